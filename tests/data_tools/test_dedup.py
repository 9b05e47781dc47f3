# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from PIL import Image

from data_tools import dedup_images, dedup_texts, groups, rows, steps
from lingshu_jax.common import errors

KINDS = {"best": "captions", "other": "captions", "chat": "instructions", "more": "instructions"}
TEXTS = {"trusted": "text", "copied": "text", "vqa": "instructions"}
STORY = " ".join(f"word{number}" for number in range(60))


def picture(path, seed, size=(96, 96), **saving):
    grey = np.random.default_rng(seed).integers(0, 255, (6, 6), np.uint8)
    Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC).save(path, **saving)
    return rows.Medium(kind="image", path=str(path))


def row(source, number, *media, said="an answer", **meta):
    content = [{"type": "text", "text": said}]
    return rows.Row(
        id=f"{source}/{number}",
        source=source,
        messages=({"role": "assistant", "content": content},),
        media=media,
        meta=meta,
    )


def run_step(step, tmp_path, *parts):
    state = steps.next_state("first", {}, steps.State(tmp_path, "", 0), tmp_path)
    for number, part in enumerate(parts):
        name = f"part-{number:05d}.parquet"
        steps.commit(state.folder, name, steps.Outcome(list(part), []), given=len(part))
    after = steps.run_step(step, state, steps.Run(output=tmp_path, workers=1))
    found = after.folder / steps.ROWS
    kept = [row for name in rows.names(found) for row in rows.read(found / name)]
    dropped = {d["id"]: (d["reason"], d["detail"]) for d in steps.read_dropped(after.folder)}
    return kept, dropped


def ids(kept):
    return [row.id for row in kept]


def images(tmp_path, *parts, **config):
    return run_step(
        dedup_images.DedupImages(dedup_images.Config(**config), KINDS), tmp_path, *parts
    )


def test_of_equal_pictures_in_captions_the_trusted_source_keeps_one(tmp_path):
    one, copy = picture(tmp_path / "1.png", 1), picture(tmp_path / "copy.png", 1)
    two = picture(tmp_path / "2.png", 2)
    parts = (
        [row("other", 0, one), row("other", 1, two)],
        [row("best", 0, copy), row("best", 1, one)],
    )
    kept, dropped = images(tmp_path, *parts)
    assert ids(kept) == ["other/1", "best/0"]
    assert dropped == {
        "other/0": ("duplicate picture", "of best/0"),
        "best/1": ("duplicate picture", "of best/0"),
    }
    assert len(kept[0].facts["image_hashes"][0][0]) == 16
    assert "ImageHash" in kept[0].facts["image_hash_version"]


def test_one_bit_of_difference_is_another_picture(tmp_path):
    one, other = picture(tmp_path / "1.png", 1), picture(tmp_path / "2.png", 1)
    with Image.open(other.path) as image:
        pixels = np.array(image)
    pixels[:, :40] = 255 - pixels[:, :40]
    Image.fromarray(pixels).save(other.path)
    kept, _ = images(tmp_path, [row("best", 0, one), row("best", 1, other)])
    assert len(kept) == 2


def test_a_row_of_several_pictures_is_equal_only_in_all_of_them(tmp_path):
    one, two = picture(tmp_path / "1.png", 1), picture(tmp_path / "2.png", 2)
    given = [row("best", 0, one, two), row("best", 1, one), row("best", 2, one, two)]
    kept, dropped = images(tmp_path, given)
    assert ids(kept) == ["best/0", "best/1"] and list(dropped) == ["best/2"]


def test_instructions_may_share_a_picture_but_within_named_sources(tmp_path):
    one = picture(tmp_path / "1.png", 1)
    given = [row(source, n, one) for source in ("chat", "more", "best") for n in range(2)]
    kept, dropped = images(tmp_path, given, within=("more",))
    assert ids(kept) == ["chat/0", "chat/1", "more/0", "best/0"]
    assert len(dropped) == 2
    kept, _ = images(tmp_path / "second", given, captions=False)
    assert len(kept) == 6


def test_slices_of_a_series_survive_and_a_copied_series_does_not(tmp_path):
    one = picture(tmp_path / "1.png", 1)
    given = [row("best", n, one, series="s1") for n in range(3)]
    given += [row("other", n, one, series="s1") for n in range(2)] + [row("best", 9, one)]
    kept, dropped = images(tmp_path, given)
    assert ids(kept) == ["best/0", "best/1", "best/2"]
    assert sorted(dropped) == ["best/9", "other/0", "other/1"]


def test_a_source_that_is_none_is_named():
    with pytest.raises(errors.UserError, match="within names 'nobody'; the sources are best"):
        dedup_images.Config(within=("nobody",)).validate(list(KINDS))


def test_groups_are_the_same_however_the_keys_are_spread(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    keys = [
        groups.Key(f"k{rng.integers(50)}", int(rng.integers(3)), f"r{i:03d}") for i in range(300)
    ]

    def find(folder, parts):
        for number in range(parts):
            groups.write_keys(folder, f"p{number}.parquet", keys[number::parts])
        found = groups.candidates(sorted((folder / groups.KEYS).iterdir()))
        return sorted((entry["row"], entry["of"]) for entry in found.to_pylist())

    first = {}
    for key in sorted(keys, key=lambda key: (key.rank, key.row)):
        first.setdefault(key.key, key.row)
    wanted = sorted((key.row, first[key.key]) for key in keys if first[key.key] != key.row)
    assert find(tmp_path / "one", 1) == find(tmp_path / "seven", 7) == wanted
    monkeypatch.setattr(groups, "ROWS_AT_A_TIME", 70)
    assert find(tmp_path / "passes", 3) == wanted


def texts(tmp_path, *parts, **config):
    return run_step(dedup_texts.DedupTexts(dedup_texts.Config(**config), TEXTS), tmp_path, *parts)


def test_nearly_equal_texts_leave_that_of_the_trusted_source(tmp_path):
    near = STORY.replace("word59", "other")
    far = " ".join(STORY.split()[:30]) + " and then something else happened to all of them " * 3
    parts = (
        [row("copied", 0, said=near), row("copied", 1, said=far)],
        [row("trusted", 0, said=STORY)],
    )
    kept, dropped = texts(tmp_path, *parts)
    assert ids(kept) == ["copied/1", "trusted/0"]
    assert dropped == {"copied/0": ("near-duplicate text", "of trusted/0")}


def test_case_and_punctuation_make_no_other_text_and_short_ones_are_equal_or_not(tmp_path):
    given = [row("trusted", 0, said="Take two."), row("trusted", 1, said="take TWO!")]
    given += [row("trusted", 2, said="Take three."), row("trusted", 3, said="?")]
    kept, _ = texts(tmp_path, given)
    assert ids(kept) == ["trusted/0", "trusted/2", "trusted/3"]


def test_other_kinds_are_not_compared(tmp_path):
    kept, _ = texts(tmp_path, [row("vqa", 0, said=STORY), row("trusted", 0, said=STORY)])
    assert len(kept) == 2


def test_the_estimate_is_the_share_of_common_runs():
    config = dedup_texts.Config(num_perm=1024, words=1)
    one = dedup_texts.sign(" ".join(f"w{n}" for n in range(90)), config)
    two = dedup_texts.sign(" ".join(f"w{n}" for n in range(30, 120)), config)
    assert dedup_texts.likeness(one, two) == pytest.approx(60 / 120, abs=0.05)
    assert dedup_texts.sign("...", config) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"words": 0}, "words must be 1 to 100, got 0"), ({"threshold": 1.0}, "below 1, got 1.0")],
)
def test_bad_settings_are_named(changes, said):
    with pytest.raises(errors.UserError, match=said):
        dedup_texts.Config(**changes).validate()
