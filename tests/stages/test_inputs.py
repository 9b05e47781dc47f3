# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a run notes of its data, and that it goes on with the same data only."""

import json
import pathlib
import shutil
from typing import Any

import jax
import pytest

import lingshu_jax
from lingshu_jax.common import errors
from lingshu_jax.data import formats, manifests, sources
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import initial, inputs


@pytest.fixture
def root(small_rows: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """Twelve rows, and two that are refused while reading."""
    folder = pathlib.Path(shutil.copytree(small_rows, tmp_path / "rows"))
    with (folder / "rows.jsonl").open("a") as file:
        file.write('{"id": "torn"\n{"id": "silent", "messages": []}\n')
    return folder


def make_config(root: pathlib.Path) -> stage_config.DataConfig:
    return stage_config.DataConfig(
        sources=(
            sources.Source(name="first", path="rows.jsonl"),
            sources.Source(name="second", path="rows.jsonl", weight=0.5),
        ),
        root=str(root),
        tokens_per_row=128,
        patches_per_row=128,
        rows_per_batch=2,
        normalization="token",
        min_pixels=784,
        max_pixels=9408,
    )


def write(root: pathlib.Path, workdir: pathlib.Path, folder: pathlib.Path) -> dict[str, Any]:
    mixture = inputs.read_mixture(make_config(root), workdir)
    late = sources.Dropped(id="row0", source="second", line=1, reason="too long")
    dropped = [*mixture.dropped, late]
    manifest = mixture.manifest.counted(dropped)
    inputs.write_data(workdir, manifest, dropped, start=initial.find(folder))
    return json.loads((workdir / "data.json").read_text())


def test_a_run_notes_what_it_reads(
    root: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    written = write(root, tmp_path / "run", small_folder)
    first, second = written["sources"]
    assert (first["name"], first["rows"], first["examples"]) == ("first", 14, 12)
    assert (second["name"], second["rows"], second["examples"]) == ("second", 14, 6)
    assert sum(first["dropped"].values()) == 2 and sum(second["dropped"].values()) == 3
    assert second["dropped"]["too long"] == 1
    assert first["sha256"] == second["sha256"] != written["sha256"]
    assert written["held_out"] is None and written["started_from"]["name"].endswith("/hf")
    assert written["made_with"] == {
        "lingshu_jax": lingshu_jax.__version__,
        "jax": jax.__version__,
    }
    dropped = [row for _, row in formats.read_rows(tmp_path / "run" / "dropped.jsonl")]
    assert len(dropped) == 5 and isinstance(dropped[0], dict)
    reading = sources.read(make_config(root).sources[0], root)
    entry = manifests.describe(make_config(root).sources[0], root, reading, examples=12)
    assert {**entry, "dropped": first["dropped"]} == first


def test_a_run_goes_on_with_the_same_data(
    root: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = tmp_path / "run"
    before = write(root, workdir, small_folder)
    moved = root.rename(tmp_path / "moved")
    assert write(moved, workdir, small_folder) == before


def test_a_run_does_not_go_on_with_other_data(
    root: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    workdir = tmp_path / "run"
    before = write(root, workdir, small_folder)
    path = root / "rows.jsonl"
    path.write_text(path.read_text().replace("number 3?", "number 4?"))
    with pytest.raises(errors.UserError, match=r"a run on other data: first, second changed"):
        write(root, workdir, small_folder)
    assert json.loads((workdir / "data.json").read_text()) == before


def test_one_process_writes(
    root: pathlib.Path,
    small_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with pytest.raises(FileNotFoundError):
        write(root, tmp_path / "run", small_folder)
    assert not (tmp_path / "run").exists()
