# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_tools import (
    dedup_embeddings,
    dedup_images,
    embedding_models,
    embeddings,
    groups,
    rows,
    steps,
)
from lingshu_jax.common import errors

KINDS = {"best": "captions", "other": "captions", "chat": "instructions"}
STAND_IN = embedding_models.Config(weights="random")
REAL = embedding_models.Config(weights="a folder")


def picture(path, seed, *, changed="", size=128):
    grey = np.random.default_rng(seed).integers(0, 255, (6, 6), np.uint8)
    image = Image.fromarray(grey).resize((size, size), Image.Resampling.BICUBIC)
    if changed == "overlay":
        ImageDraw.Draw(image).text((4, 4), "R  SUPINE", fill=255)
    if changed == "crop":
        image = image.crop((2, 2, size - 2, size - 1))
    image.save(path)
    return rows.Medium(kind="image", path=str(path))


def row(source, number, *media, **meta):
    return rows.Row(id=f"{source}/{number}", source=source, messages=(), media=media, meta=meta)


def run(tmp_path, *parts, images=None, **config):
    step = dedup_embeddings.DedupEmbeddings(
        dedup_embeddings.Config(**{"use": "on", "threshold": 0.95, **config}),
        images or dedup_images.Config(),
        STAND_IN,
        KINDS,
    )
    state = steps.next_state("first", {}, steps.State(tmp_path, "", 0), tmp_path)
    for number, part in enumerate(parts):
        name = f"part-{number:05d}.parquet"
        steps.commit(state.folder, name, steps.Outcome(list(part), []), given=len(part))
    after = steps.run_step(step, state, steps.Run(output=tmp_path, workers=1))
    found = after.folder / steps.ROWS
    kept = [row.id for name in rows.names(found) for row in rows.read(found / name)]
    return kept, {d["id"]: (d["reason"], d["detail"]) for d in steps.read_dropped(after.folder)}


@pytest.mark.parametrize("changed", ["overlay", "crop"])
def test_a_changed_copy_goes_and_the_trusted_source_keeps_its_own(tmp_path, changed):
    one = picture(tmp_path / "one.png", 1)
    copy = picture(tmp_path / "copy.png", 1, changed=changed)
    others = [
        row("other", number, picture(tmp_path / f"{number}.png", number)) for number in range(2, 9)
    ]
    kept, dropped = run(tmp_path, [row("other", 0, copy), *others], [row("best", 0, one)])
    assert dropped == {"other/0": ("near-duplicate picture", "of best/0")}
    assert kept == [*(row.id for row in others), "best/0"]


def test_a_copy_that_is_less_alike_than_the_threshold_stays(tmp_path):
    one = picture(tmp_path / "one.png", 1)
    copy = picture(tmp_path / "copy.png", 1, changed="overlay")
    kept, dropped = run(tmp_path, [row("best", 0, one), row("best", 1, copy)], threshold=0.99999)
    assert len(kept) == 2 and not dropped


def test_it_looks_where_the_step_by_hashes_looks(tmp_path):
    one = picture(tmp_path / "one.png", 1)
    copy = picture(tmp_path / "copy.png", 1, changed="overlay")
    given = [row(source, n, one if n else copy) for source in ("chat", "best") for n in range(2)]
    assert run(tmp_path / "one", given)[0] == ["chat/0", "chat/1", "best/0"]
    within = dedup_images.Config(captions=False, within=("chat",))
    assert run(tmp_path / "two", given, images=within)[0] == ["chat/0", "best/0", "best/1"]


def test_slices_of_a_series_survive(tmp_path):
    slices = [picture(tmp_path / "1.png", 1), picture(tmp_path / "2.png", 1, changed="overlay")]
    given = [row("best", n, medium, series="s1") for n, medium in enumerate(slices)]
    kept, dropped = run(tmp_path, [*given, row("other", 0, slices[1])])
    assert kept == ["best/0", "best/1"] and list(dropped) == ["other/0"]


def test_a_row_of_several_pictures_is_alike_only_in_all_of_them(tmp_path):
    one, two, three = (picture(tmp_path / f"{n}.png", n) for n in (1, 2, 3))
    near = picture(tmp_path / "near.png", 2, changed="overlay")
    given = [row("best", 0, one, two), row("best", 1, one, three), row("best", 2, one)]
    kept, dropped = run(tmp_path, [*given, row("best", 3, one, near)])
    assert kept == ["best/0", "best/1", "best/2"] and list(dropped) == ["best/3"]


def test_rows_without_pictures_and_with_broken_ones_stay(tmp_path):
    broken = rows.Medium(kind="image", data=b"no picture")
    kept, dropped = run(tmp_path, [row("best", 0), row("best", 1, broken)])
    assert kept == ["best/0", "best/1"] and not dropped


def test_the_result_does_not_depend_on_the_partitions(tmp_path):
    pairs = [
        (picture(tmp_path / f"{n}.png", n), picture(tmp_path / f"{n}c.png", n, changed="crop"))
        for n in range(12)
    ]
    given = [row("best", n, medium) for n, pair in enumerate(pairs) for medium in pair[:1]]
    given += [row("other", n, pair[1]) for n, pair in enumerate(pairs)]
    _, dropped = run(tmp_path / "one", given)
    _, spread = run(tmp_path / "three", given[::3], given[1::3], given[2::3])
    assert dropped == spread and list(dropped) == [f"other/{n}" for n in range(12)]


def test_runs_find_what_is_just_like_enough_and_little_else():
    rng = np.random.default_rng(0)
    count, width, threshold = 400, 64, 0.9
    vectors = rng.normal(size=(count, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    others = rng.normal(size=(count, width))
    others -= (others * vectors).sum(1, keepdims=True) * vectors
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    near = threshold * vectors + np.sqrt(1 - threshold**2) * others
    shape = dedup_embeddings.shape_of_runs(2 * count, threshold)

    def keys(vector):
        return set(dedup_embeddings.runs_of_bits(vector.astype(np.float32), shape))

    ours, theirs = [[keys(vector) for vector in each] for each in (vectors, near)]
    found = sum(bool(one & two) for one, two in zip(ours, theirs, strict=True))
    assert found >= 0.97 * count
    false = sum(bool(one & two) for one, two in zip(ours, theirs[1:], strict=False))
    assert false <= 0.02 * count


def test_more_rows_have_longer_runs_and_no_number_fails():
    widths = [dedup_embeddings.shape_of_runs(count, 0.95)[0] for count in (0, 10**3, 10**6)]
    assert widths == sorted(set(widths))
    for threshold in (-5.0, 0.0, 1.0):
        width, count = dedup_embeddings.shape_of_runs(10**9, threshold)
        assert 1 <= count <= 256 and width <= 48


def test_pictures_that_are_all_the_same_leave_one(tmp_path):
    one = picture(tmp_path / "one.png", 1)
    kept, _ = run(tmp_path, [row("best", number, one) for number in range(5)])
    assert kept == ["best/0"]


def test_it_is_off_without_weights_unless_it_is_asked_for():
    config = dedup_embeddings.Config
    off = embedding_models.Config()
    assert [config().is_on(embedding) for embedding in (off, STAND_IN, REAL)] == [0, 0, 1]
    assert config(use="on").is_on(STAND_IN) and not config(use="off").is_on(REAL)
    with pytest.raises(errors.UserError, match="it needs config.embeddings.weights"):
        config(use="on").is_on(off)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"use": "maybe"}, "auto, on, off, got 'maybe'"), ({"threshold": 1.0}, "got 1.0")],
)
def test_settings_that_cannot_be_are_named(wrong, message):
    with pytest.raises(errors.UserError, match=message):
        dataclasses.replace(dedup_embeddings.Config(), **wrong).validate()


def test_vectors_of_the_step_before_are_used(tmp_path):
    one = picture(tmp_path / "one.png", 1)
    kept, _ = run(tmp_path, [row("best", 0, one)])
    (folder,) = (tmp_path / "steps").glob("*dedup_embeddings*")
    assert kept and embeddings.read(folder / steps.PLAN, "part-00000.parquet").rows == ["best/0"]
    assert (folder / steps.PLAN / groups.DONE).is_file()
