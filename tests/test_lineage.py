# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The walk from a checkpoint back to what its first stage began with."""

import json
import pathlib

import pytest

from lingshu_jax import convert, lineage
from lingshu_jax.common import errors
from lingshu_jax.stages import run_folder
from tests import card_runs

QWEN = "Qwen/Qwen2.5-VL-7B-Instruct"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return card_runs.write_base(tmp_path_factory.mktemp("models") / "mine")


@pytest.fixture(scope="module")
def chain(
    base: pathlib.Path, small_rows: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> list[pathlib.Path]:
    return card_runs.write_chain(tmp_path_factory.mktemp("runs"), small_rows, base)


def names(traced: lineage.Lineage) -> list[str]:
    return [stage.name for stage in traced.stages]


def test_a_chain_is_walked_to_its_base(chain: list[pathlib.Path], base: pathlib.Path) -> None:
    for source in (chain[-1], chain[-1] / "checkpoints"):
        traced = lineage.trace(source)
        assert names(traced) == ["shallow_align", "instruct", "rl"]
        assert [stage.workdir for stage in traced.stages] == chain
        assert [stage.steps for stage in traced.stages] == [40] * 3
        assert traced.base.path == base and not traced.base.is_random
        assert traced.base.known.name.endswith("/mine")
        assert traced.base.card["license_name"] == "research-only"
        assert traced.stages[0].data["sources"][0]["name"] == "cases"
    assert names(lineage.trace(chain[1])) == ["shallow_align", "instruct"]


def test_a_run_from_a_checkpoint_folder(
    chain: list[pathlib.Path], small_rows: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    later = card_runs.write_run(tmp_path / "stage3", small_rows, chain[0] / "checkpoints")
    assert names(lineage.trace(later)) == ["shallow_align", "instruct"]


def rewrite(workdir: pathlib.Path, init_from: str) -> None:
    """Gives a finished run another beginning."""
    path = workdir / "config.json"
    config = json.loads(path.read_text())
    config["model"]["init_from"] = init_from
    path.write_text(json.dumps(config))


@pytest.fixture
def alone(base: pathlib.Path, small_rows: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return card_runs.write_run(tmp_path / "stage1", small_rows, base)


def test_a_run_from_random_weights(alone: pathlib.Path) -> None:
    rewrite(alone, "random")
    traced = lineage.trace(alone)
    assert traced.base.is_random and traced.base.known.hub_id is None


def test_a_run_from_the_hub(alone: pathlib.Path) -> None:
    rewrite(alone, QWEN)
    assert lineage.trace(alone).base.known == (QWEN, QWEN, None)
    path = alone / "data.json"
    data = json.loads(path.read_text())
    data["started_from"] = {"name": QWEN, "hub_id": QWEN, "revision": "0123abc"}
    path.write_text(json.dumps(data))
    assert lineage.trace(alone).base.known == (QWEN, QWEN, "0123abc")


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"hf": QWEN}, (QWEN, QWEN, None)),
        (
            {"hf": "x", "base": {"name": QWEN, "hub_id": QWEN, "revision": "0123abc"}},
            (QWEN, QWEN, "0123abc"),
        ),
    ],
)
def test_a_converted_checkpoint(
    meta: dict, expected: tuple, alone: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    converted = tmp_path / "converted"
    (converted / "assets").mkdir(parents=True)
    step = converted / "0" / "meta"
    step.mkdir(parents=True)
    (step / "metadata").write_text(json.dumps(meta))
    rewrite(alone, str(converted))
    assert lineage.trace(alone).base.known == expected
    assert lineage.trace(converted) == (lineage.Base(expected, False, {}, converted), [])


def test_what_convert_writes_is_read(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    convert.convert(base, tmp_path / "converted")
    traced = lineage.trace(tmp_path / "converted")
    assert traced.stages == [] and traced.base.known.name.split("/")[-1] == "mine"
    assert traced.base.card["license"] == "other"


@pytest.mark.parametrize(
    ("hf", "name"),
    [("random", "random weights"), ("/data/models/mine", "models/mine"), (QWEN, QWEN)],
)
def test_a_recipe_knows_its_base(
    hf: str, name: str, alone: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Its converted base lies beside the stages, below the recipe's own config.json."""
    (tmp_path / "config.json").write_text(json.dumps({"hf": hf}))
    (tmp_path / lineage.CHECKPOINT / "assets").mkdir(parents=True)
    rewrite(alone, str(tmp_path / lineage.CHECKPOINT))
    traced = lineage.trace(alone)
    assert traced.base.known.name == name and traced.base.is_random == (hf == "random")
    assert names(traced) == ["shallow_align"]


def test_a_run_that_starts_from_itself_ends_the_walk(alone: pathlib.Path) -> None:
    rewrite(alone, str(alone))
    assert names(lineage.trace(alone)) == ["shallow_align"]


def test_a_run_whose_beginning_is_gone(alone: pathlib.Path) -> None:
    rewrite(alone, "/data/runs/gone")
    traced = lineage.trace(alone)
    assert traced.base.known == ("runs/gone", None, None) and not traced.base.path.exists()


def test_a_run_of_an_earlier_version(alone: pathlib.Path) -> None:
    for name in ("data.json", run_folder.FINISHED):
        (alone / name).unlink()
    (stage,) = lineage.trace(alone).stages
    assert (stage.data, stage.finished, stage.steps) == ({}, {}, 40)


@pytest.mark.parametrize("text", ["", "no front matter", "---\n[1, 2]\n---\n", "---\na: [\n---\n"])
def test_a_base_without_a_readable_card(text: str, alone: pathlib.Path) -> None:
    (alone / "checkpoints" / "assets" / "README.md").write_text(text)
    assert lineage.trace(alone).base.card == {}


def test_bad_input(alone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.UserError, match="is no checkpoint folder"):
        lineage.trace(tmp_path)
    (alone / "data.json").write_text("{")
    with pytest.raises(errors.UserError, match="data.json is not JSON"):
        lineage.trace(alone)
