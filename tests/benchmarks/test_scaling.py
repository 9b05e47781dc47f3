# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The scaling document: current, its goodput by hand, its meshes within the recipe's limits."""

import json
import math
import pathlib

import pytest

from benchmarks import scaling
from benchmarks import scaling_model as model
from lingshu_jax.aot import hlo, step_time, traffic
from lingshu_jax.models import sizes


@pytest.fixture(scope="module")
def points() -> dict[tuple[str, str, int, bool], model.Point | None]:
    return model.all_points(scaling.TABLE)


def test_the_document_is_what_the_script_writes(
    points: dict[tuple[str, str, int, bool], model.Point | None],
) -> None:
    text = scaling.DOCUMENT.read_text(encoding="utf-8")
    written = scaling.document(points, scaling.describe_collectives(model.ratios(scaling.TABLE)))
    assert scaling.between_markers(text, written) == text, "run benchmarks/scaling.py"


def test_the_picture_is_a_small_svg(
    points: dict[tuple[str, str, int, bool], model.Point | None], tmp_path: pathlib.Path
) -> None:
    scaling.draw(points, tmp_path / "a.svg")
    scaling.draw(points, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert scaling.PICTURE.stat().st_size < 100_000
    assert "predicted" in scaling.PICTURE.read_text(encoding="utf-8")


def test_goodput_by_hand() -> None:
    # Failures are rare: what is lost is the checkpoint, half an interval and the restart.
    between = 1e6
    cost = 20.0
    interval = math.sqrt(2 * cost * between)
    assert interval > model.LONGEST
    expected = 1 - cost / model.LONGEST - (model.LONGEST / 2 + model.RESTART) / between
    assert model.goodput(100, cost, mtbf=100 * between) == pytest.approx(expected, abs=1e-4)


def test_goodput_falls_with_chips_and_cost() -> None:
    by_chips = [model.goodput(count, 10.0) for count in model.COUNTS]
    assert by_chips == sorted(by_chips, reverse=True)
    assert 0.9 < by_chips[-1] < by_chips[0] < 1
    assert model.goodput(8192, 60.0) < model.goodput(8192, 10.0)


@pytest.mark.parametrize(
    ("name", "chips", "meshes"),
    [
        ("7b", 64, [(64, 1, 1)]),
        ("7b", 256, [(64, 1, 4), (64, 2, 2), (64, 4, 1)]),
        ("7b", 512, []),
        ("32b", 512, [(64, 1, 8), (64, 2, 4), (64, 4, 2), (64, 8, 1)]),
    ],
)
def test_meshes_of_the_recipe(name: str, chips: int, meshes: list[tuple[int, int, int]]) -> None:
    found = model.recipe_meshes(sizes.get(name), chips, 1)
    assert [(one["fsdp"], one["tensor"], one["context"]) for one in found] == meshes


@pytest.mark.parametrize("chip", model.CHIPS)
@pytest.mark.parametrize("count", model.COUNTS)
def test_topologies_have_the_chips_asked_for(chip: str, count: int) -> None:
    assert model.topology_of(chip, count).devices == count


def test_more_chips_are_faster_at_the_same_batch(
    points: dict[tuple[str, str, int, bool], model.Point | None],
) -> None:
    for name in model.MODELS:
        for chip in model.CHIPS:
            found = [points[name, chip, count, True] for count in model.COUNTS]
            times = [one.prediction.seconds for one in found if one and one.prediction]
            assert times == sorted(times, reverse=True) and len(times) >= 3


def test_a_compiled_row_scales_what_is_counted_by_hand(tmp_path: pathlib.Path) -> None:
    mesh = {"data": 1, "fsdp": 64, "tensor": 1, "context": 1}
    size = sizes.get("7b")
    by_hand = traffic.collectives(
        size=size,
        batch=step_time.Batch(64, model.TOKENS, model.PATCHES),
        trained=model.everything(size),
        recomputed=step_time.RECOMPUTED["full"],
        mesh=mesh,
    )
    sent = {name: 1.5 * number for name, number in hlo.summary(by_hand).items()}
    row = {"stage": "instruct", "topology": "v5e:8x8", "mesh": mesh, "remat": "full"}
    row |= {"global_batch_rows": 64, "accumulation_steps": 1, "collectives": {"train": sent}}
    row |= {"tokens_per_row": model.TOKENS, "patches_per_row": model.PATCHES}
    rows = {
        "7B stage 3 v5e:8x8": row,
        "7B stage 3 LoRA v6e:8x8": {**row, "topology": "v6e:8x8"},
        "7B stage 3 v5p:4x4x4*2": {**row, "topology": "v5p:4x4x4*2"},
        "7B GRPO v6e:8x8": {**row, "topology": "v6e:8x8", "stage": "rl"},
        "32B stage 3 v5e:8x8": {**row, "collectives": {"train": {}}},
    }
    written = {name: {"arguments": [], "result": one} for name, one in rows.items()}
    (tmp_path / "table.json").write_text(json.dumps(written), encoding="utf-8")
    known = model.ratios(tmp_path / "table.json")
    assert known == {("7b", "v5e"): pytest.approx(1.5)}
    assert model.ratios(tmp_path / "absent.json") == {}
    slower = model.point("7b", "v5e", 64, 64, ratio=1.5)
    same = model.point("7b", "v5e", 64, 64)
    assert slower and same and slower.prediction and same.prediction
    assert slower.prediction.parts["collectives"] == pytest.approx(
        1.5 * same.prediction.parts["collectives"], rel=0.01
    )


def test_what_does_not_fit_is_said() -> None:
    found = model.point("32b", "v5e", 8, 64)
    assert found and found.prediction is None
    assert scaling.cell(found) == "no memory"
    assert scaling.cell(None) == "no mesh"
