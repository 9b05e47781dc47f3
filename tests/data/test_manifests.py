# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Digests of a mixture: they follow the content, not the place."""

import hashlib
import json
import pathlib
import shutil
from typing import Any

import pytest

from lingshu_jax.data import manifests, mixtures, sources

ROWS = sources.Source(name="rows", path="rows.jsonl")


@pytest.fixture
def root(small_rows: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy that a test may change."""
    return pathlib.Path(shutil.copytree(small_rows, tmp_path / "rows"))


def describe(root: pathlib.Path, source: sources.Source = ROWS) -> dict[str, Any]:
    found = mixtures.survey(source, root)
    return manifests.describe(source, root, found.media, rows=found.good, examples=found.good)


def test_the_digests_are_what_other_tools_compute(root: pathlib.Path) -> None:
    entry = describe(root)
    content = (root / "rows.jsonl").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    assert entry["files"] == [{"name": "rows.jsonl", "bytes": len(content), "sha256": sha256}]
    sizes = {f"{i}.png": (root / f"{i}.png").stat().st_size for i in range(3)}
    listed = "".join(f"{name}\t{size}\n" for name, size in sizes.items())
    assert entry["media"] == {
        "files": 3,
        "bytes": sum(sizes.values()),
        "sha256": hashlib.sha256(listed.encode()).hexdigest(),
    }
    assert (entry["name"], entry["rows"], entry["examples"]) == ("rows", 12, 12)
    assert "path" not in entry and str(root) not in json.dumps(entry)


def test_the_place_does_not_count(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    moved = shutil.copytree(root, tmp_path / "elsewhere" / "deeper")
    assert describe(root) == describe(moved)


def change_a_letter(root: pathlib.Path) -> None:
    path = root / "rows.jsonl"
    path.write_text(path.read_text().replace("number 3?", "number 4?"))


def change_an_image(root: pathlib.Path) -> None:
    with (root / "1.png").open("ab") as file:
        file.write(b"!")


def rename_an_image(root: pathlib.Path) -> None:
    (root / "1.png").rename(root / "9.png")
    path = root / "rows.jsonl"
    path.write_text(path.read_text().replace("1.png", "9.png"))


@pytest.mark.parametrize("change", [change_a_letter, change_an_image, rename_an_image])
def test_the_content_counts(change: Any, root: pathlib.Path) -> None:
    before = describe(root)
    change(root)
    assert describe(root)["sha256"] != before["sha256"]


def test_pixels_are_not_read(root: pathlib.Path) -> None:
    """On purpose: an image of the same name and size is taken for the same."""
    before, path = describe(root), root / "1.png"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert describe(root) == before


def test_a_source_without_images(tmp_path: pathlib.Path) -> None:
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    empty = hashlib.sha256(b"").hexdigest()
    assert describe(tmp_path)["media"] == {"files": 0, "bytes": 0, "sha256": empty}


def test_frames_of_a_video_count_as_files(root: pathlib.Path) -> None:
    frames = root / "clip"
    frames.mkdir()
    for i in range(3):
        shutil.copy(root / "0.png", frames / f"{i}.png")
    parts = [
        {"type": "video", "video": "clip", "fps": 2.0},
        {"type": "video", "video": ["1.png", "clip/0.png"]},
        {"type": "text", "text": "What moves?"},
    ]
    turns = [{"role": "user", "content": parts}, {"role": "assistant", "content": "Nothing."}]
    (root / "rows.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    before = describe(root)
    assert before["media"]["files"] == 4
    shutil.copy(root / "0.png", frames / "3.png")
    assert describe(root)["sha256"] != before["sha256"]


def test_a_format_with_splits_reads_one_of_its_files(
    root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "vqa_rad"
    (folder / "images").mkdir(parents=True)
    shutil.copy(root / "0.png", folder / "images")
    for split in ("train", "test"):
        row = {"question": f"Is it {split}?", "answer": "yes", "image_name": "0.png"}
        (folder / f"{split}set.json").write_text(json.dumps([row]))
    source = sources.Source(name="v", path="vqa_rad", format="vqa_rad", split="test")
    entry = describe(tmp_path, source)
    assert [file["name"] for file in entry["files"]] == ["testset.json"]
    (folder / "trainset.json").write_text("[]")
    assert describe(tmp_path, source) == entry


def combine(*entries: dict[str, Any]) -> str:
    return manifests.combine(entries).sha256


def test_a_mixture_is_its_sources_and_how_they_are_mixed(root: pathlib.Path) -> None:
    entry = describe(root)
    other = {**entry, "name": "other"}
    distinct = [
        combine(entry),
        combine(other),
        combine(entry, other),
        combine(other, entry),
        combine({**entry, "weight": 0.5}),
        combine({**entry, "epochs": 2.0}),
        combine({**entry, "limit": 5}),
        combine({**entry, "group": "captions"}),
        combine({**entry, "chosen": {"rows": 5, "seed": 0}}),
        combine({**entry, "chosen": {"rows": 5, "seed": 1}}),
        combine({**entry, "sha256": "0" * 64}),
    ]
    assert len(set(distinct)) == len(distinct)
    assert combine(dict(entry)) == distinct[0]


def test_dropped_rows_are_counted_by_source_and_reason(root: pathlib.Path) -> None:
    entry = describe(root)
    manifest = manifests.combine([entry, {**entry, "name": "other"}])
    reasons = ["long: 9", "long: 8", "long"]
    reasons += [f"{i}.png is broken" for i in range(manifests.MOST_REASONS)]
    dropped = [
        sources.Dropped(id=str(i), source="rows", line=i, reason=reason)
        for i, reason in enumerate(reasons)
    ]
    counted = manifest.counted(dropped, dropped[:2])
    first, second = (entry["dropped"] for entry in counted.sources)
    assert [entry["rewritten"] for entry in counted.sources] == [{"long": 2}, {}]
    assert second == {} and sum(first.values()) == len(reasons)
    assert [*first.items()][0] == ("long", 3) and first[manifests.OTHERS] == 1
    assert len(first) == manifests.MOST_REASONS + 1
    assert counted.sha256 == manifest.sha256, "which rows fit depends on the model as well"
