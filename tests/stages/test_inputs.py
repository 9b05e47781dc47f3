# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a run notes of its data, and that it goes on with the same data only."""

import dataclasses
import json
import pathlib
import shutil
from typing import Any

import jax
import pytest

import lingshu_jax
from lingshu_jax.common import errors
from lingshu_jax.data import batch_plans, formats, manifests, mixtures, sources
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
    manifest = mixture.manifest.counted(dropped, [late])
    inputs.write_data(workdir, manifest, dropped, start=initial.find(folder), rewritten=[late])
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
    source = make_config(root).sources[0]
    media = mixtures.survey(source, root).media
    entry = manifests.describe(source, root, media, rows=14, examples=12)
    assert {**entry, "dropped": first["dropped"], "rewritten": {}} == first
    assert second["rewritten"] == {"too long": 1}
    rewritten = [row for _, row in formats.read_rows(tmp_path / "run" / "rewritten.jsonl")]
    assert rewritten == [{"id": "row0", "source": "second", "line": 1, "reason": "too long"}]


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


def test_validation_goes_on_with_the_same_rows_or_without(
    root: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    def write_with(held_out: manifests.Manifest | None) -> None:
        start = initial.find(small_folder)
        inputs.write_data(tmp_path / "run", trained, [], start=start, held_out=held_out)

    trained = inputs.read_mixture(make_config(root), tmp_path).manifest
    held = pathlib.Path(shutil.copytree(root, tmp_path / "held"))
    known = inputs.read_mixture(make_config(held), tmp_path).manifest
    for held_out in (known, None, known):
        write_with(held_out)
    lines = (held / "rows.jsonl").read_text().splitlines(keepends=True)
    (held / "rows.jsonl").write_text("".join(lines[1:]))
    other = inputs.read_mixture(make_config(held), tmp_path).manifest
    with pytest.raises(errors.UserError, match="a run on other data: first, second changed"):
        write_with(other)


def test_one_process_writes(
    root: pathlib.Path,
    small_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with pytest.raises(errors.UserError, match="another folder here than on the first host"):
        write(root, tmp_path / "run", small_folder)
    assert not (tmp_path / "run").exists()


# Encoding, and what is computed from it


def read(config: stage_config.DataConfig, workdir: pathlib.Path, folder: pathlib.Path) -> Any:
    mixture = inputs.read_mixture(config, workdir)
    return mixture, inputs.encode(config, mixture, folder, workdir=workdir)


def test_rows_are_encoded_once(
    root: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = make_config(root)
    for _ in range(2):
        mixture, rows = read(config, tmp_path / "run", small_folder)
        assert len(rows) == len(mixture.examples) == 24
        assert len(list((tmp_path / "run" / "encoded").iterdir())) == 1
    config.cache = str(tmp_path / "shared")
    assert read(config, tmp_path / "other", small_folder)[1].digest == rows.digest
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("field", ["seed", "normalization", "rows_per_batch", "max_pixels"])
def test_what_they_depend_on(
    field: str, root: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = make_config(root)
    before = read(config, tmp_path, small_folder)[1].digest
    other = {"seed": 7, "normalization": "sequence", "rows_per_batch": 4, "max_pixels": 7840}
    setattr(config, field, other[field])
    after = read(config, tmp_path, small_folder)[1].digest
    assert (after == before) == (field != "max_pixels")


def test_moved_rows_are_encoded_anew(
    root: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The encoded rows name the files of their pictures."""
    _, before = read(make_config(root), tmp_path / "run", small_folder)
    moved = root.rename(tmp_path / "moved")
    _, after = read(make_config(moved), tmp_path / "run", small_folder)
    assert after.digest != before.digest
    [path] = {media.image for media in after[1].media}
    assert pathlib.Path(path).is_file()


def complete(
    config: stage_config.DataConfig, workdir: pathlib.Path, folder: pathlib.Path, multiple: int = 4
) -> tuple[int, int]:
    mixture, rows = read(config, workdir, folder)
    multiples = batch_plans.Multiples(rows=multiple)
    found = inputs.complete(config, mixture, rows, workdir=workdir, multiples=multiples)
    return found.patches_per_row, found.rows_per_batch


def test_a_continued_run_keeps_its_numbers(
    root: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = make_config(root)
    config.patches_per_row, config.rows_per_batch, config.sequences_per_batch = 0, 0, 6
    patches, rows = complete(config, tmp_path, small_folder)
    assert patches % 64 == 0 and rows % 4 == 0 and min(patches, rows) > 0
    assert complete(config, tmp_path, small_folder, multiple=5) == (patches, 10)
    begun = {"data": {"patches_per_row": 640, "rows_per_batch": 12}}
    (tmp_path / "config.json").write_text(json.dumps(begun))
    assert complete(config, tmp_path, small_folder, multiple=5) == (640, 12)


def test_given_numbers_are_left_alone(
    root: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    assert complete(make_config(root), tmp_path, small_folder) == (128, 2)


def test_limits_groups_and_fractions(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = make_config(root)
    first, second = config.sources
    first.group, second.limit = "captions", 5
    mixture = inputs.read_mixture(config, tmp_path)
    assert len(mixture.examples) == 12 + 5
    entries = mixture.manifest.sources
    assert [entry["chosen"] for entry in entries] == [None, {"rows": 5, "seed": 42}]
    assert [entry["examples"] for entry in entries] == [12, 2]
    config.fraction = 0.5
    fewer = inputs.read_mixture(config, tmp_path)
    assert len(fewer.examples) == 6 + 2
    ids = [{(e.source, e.id) for e in found.examples} for found in (fewer, mixture)]
    assert ids[0] < ids[1]
    config.without = ("captions",)
    assert inputs.read_mixture(config, tmp_path).names == ("second",)
    digests = {fewer.manifest.sha256, mixture.manifest.sha256}
    assert len(digests | {inputs.read_mixture(config, tmp_path).manifest.sha256}) == 3


def with_absent(root: pathlib.Path) -> stage_config.DataConfig:
    """Two sources that are there, and three of which a file, a folder, a media folder is not."""
    config = make_config(root)
    gone = (
        sources.Source(name="file", path="gone.jsonl"),
        sources.Source(name="folder", path="gone", format="vqa_rad"),
        sources.Source(name="media", path="rows.jsonl", image_root="pictures"),
    )
    return dataclasses.replace(config, sources=(gone[0], *config.sources, *gone[1:]))


def test_absent_sources_are_named_all_at_once(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.UserError) as raised:
        inputs.read_mixture(with_absent(root), tmp_path)
    places = ", ".join(str(root / name) for name in ("gone.jsonl", "gone", "pictures"))
    assert str(raised.value) == (
        f"data.sources: 3 of 5 are absent: {places}; --config.data.skip_absent leaves them out"
    )


def test_absent_sources_are_left_out_where_that_is_asked_for(
    root: pathlib.Path,
    small_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = dataclasses.replace(with_absent(root), skip_absent=True)
    with caplog.at_level("WARNING"):
        mixture = inputs.read_mixture(config, tmp_path)
    assert mixture.names == ("first", "second")
    assert "3 of 5 sources are absent: ('file', 'folder', 'media')" in caplog.text
    inputs.write_data(tmp_path, mixture.manifest, [], start=initial.find(small_folder))
    assert json.loads((tmp_path / "data.json").read_text())["absent"] == ["file", "folder", "media"]
    plain = inputs.read_mixture(make_config(root), tmp_path).manifest
    assert plain.absent == () and plain.sha256 == mixture.manifest.sha256


def test_a_source_that_comes_or_goes_is_other_data(
    root: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = dataclasses.replace(make_config(root), skip_absent=True)
    config.sources[1].path = "more.jsonl"

    def begin(workdir: pathlib.Path) -> None:
        manifest = inputs.read_mixture(config, workdir).manifest
        inputs.write_data(workdir, manifest, [], start=initial.find(small_folder))

    begin(tmp_path / "without")
    shutil.copy(root / "rows.jsonl", root / "more.jsonl")
    begin(tmp_path / "with")
    with pytest.raises(errors.UserError, match="a run on other data: second changed"):
        begin(tmp_path / "without")
    (root / "more.jsonl").unlink()
    with pytest.raises(errors.UserError, match="a run on other data: second changed"):
        begin(tmp_path / "with")


def test_no_source_at_all_is_an_error(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = make_config(root / "elsewhere")
    config.skip_absent = True
    path = root / "elsewhere" / "rows.jsonl"
    with pytest.raises(errors.UserError, match=f"no source .* is there; absent: {path}, {path}; "):
        inputs.read_mixture(config, tmp_path)


def test_strict_refuses_the_first_refused_row(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = make_config(root)
    assert len(inputs.read_mixture(config, tmp_path).dropped) == 4
    config.strict = True
    with pytest.raises(errors.UserError, match=r"^first, line 13, id '.*': broken"):
        inputs.read_mixture(config, tmp_path)


def test_strict_refuses_rows_that_do_not_fit(
    small_rows: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = make_config(small_rows)
    config.strict = True
    rows = read(config, tmp_path, small_folder)[1]
    assert not rows.dropped
    config.tokens_per_row = int(rows.lengths.tokens.max()) - 1
    with pytest.raises(errors.UserError, match=r"^first, line \d+, id 'row\d+': .* tokens"):
        read(config, tmp_path, small_folder)
    config.strict = False
    assert read(config, tmp_path, small_folder)[1].dropped


def test_epochs_of_a_source(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = make_config(root)
    config.sources[1].weight, config.sources[1].epochs = 1.0, 3.0
    mixture = inputs.read_mixture(config, tmp_path, epochs=2)
    assert [float(amount) for amount in mixture.amounts.copies] == [1.0, 1.5]
    assert len(mixture.first_epoch(seed=1)) == 12 + 18
    with pytest.raises(errors.UserError, match="'second': epochs need a run that has epochs"):
        inputs.read_mixture(config, tmp_path)


def test_without_a_good_row_the_first_reason_is_told(
    root: pathlib.Path, small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (root / "rows.jsonl").write_text("{\n[]\n")
    config = make_config(root)
    assert inputs.read_mixture(config, tmp_path).first_epoch(seed=1) == []
    line = r"no row to read in .*: 4 refused; the first: .* broken"
    with pytest.raises(errors.UserError, match=line):
        read(config, tmp_path / "run", small_folder)
    assert not (tmp_path / "run").exists()
