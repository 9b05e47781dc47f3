# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a run measures of itself: the right number, at the right steps, and nothing else moves."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
import pytest

from lingshu_jax.common import errors, metrics, structs
from lingshu_jax.data import messages, packing, sources
from lingshu_jax.models import lora, qwen2_5_vl
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import inputs, loop, optim, validation
from lingshu_jax.stages import trainer as trainer_lib
from tests import small
from tests.models import goldens
from tests.stages import small_stage

STEPS, EVERY = 6, 2
HELD_OUT = (
    sources.Source(name="held", path="rows.jsonl"),
    sources.Source(name="few", path="rows.jsonl", limit=3),
)


def make_config(folder: pathlib.Path, rows: pathlib.Path) -> stage_config.StageConfig:
    made = small_stage.get_config(f"{folder},{rows}")
    wanted = stage_config.ValidationConfig(sources=HELD_OUT, every_steps=EVERY, rows=12)
    return dataclasses.replace(made, steps=STEPS, save_every_steps=3, validation=wanted)


@pytest.fixture
def config(small_folder: pathlib.Path, small_rows: pathlib.Path) -> stage_config.StageConfig:
    return make_config(small_folder, small_rows)


class Watcher:
    """An examine function: its answer is a function of the weights; it may break once."""

    def __init__(self, *, breaks_at: int = -1):
        self.steps: list[int] = []
        self._breaks_at = breaks_at

    def __call__(self, live: validation.Live) -> Mapping[str, float]:
        if live.step == self._breaks_at:
            raise KeyboardInterrupt
        self.steps.append(live.step)
        total = sum(float(np.abs(leaf).sum()) for leaf in jax.tree.leaves(live.params))
        return {"validation/weights": total}


def curve(workdir: pathlib.Path) -> list[tuple[float, ...]]:
    rows = metrics.read_rows(workdir)
    return [(row["step"], row["loss"], row["grad_norm"]) for row in rows if "loss" in row]


def measured(workdir: pathlib.Path) -> dict[int, dict[str, float]]:
    """By step, what was measured."""
    found = {}
    for row in metrics.read_rows(workdir):
        if values := {k: v for k, v in row.items() if k.startswith("validation/")}:
            assert row["step"] not in found, "a step is measured once"
            found[row["step"]] = values
    return found


class Whole(NamedTuple):
    """A run from start to end: what it measured, and its curve beside that of a run without."""

    asked: list[int]
    measured: dict[int, dict[str, float]]
    curve: list[tuple[float, ...]]
    plain_curve: list[tuple[float, ...]]


@pytest.fixture(scope="module")
def whole(
    small_folder: pathlib.Path, small_rows: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    config, watcher = make_config(small_folder, small_rows), Watcher()
    loop.run(config, folder / "run", examine=watcher)
    config.validation.every_steps = 0
    loop.run(config, folder / "plain", examine=watcher)
    assert not measured(folder / "plain")
    found = measured(folder / "run")
    return Whole(watcher.steps, found, curve(folder / "run"), curve(folder / "plain"))


def test_a_run_measures_itself_and_trains_as_without(
    config: stage_config.StageConfig, whole: Whole
) -> None:
    assert whole.curve == whole.plain_curve and len(whole.curve) == STEPS
    assert whole.asked == list(whole.measured) == [0, 2, 4, 6]
    names = {"validation/loss", "validation/loss/held", "validation/loss/few"}
    assert all(set(found) == names | {"validation/weights"} for found in whole.measured.values())
    losses = {step: found["validation/loss/held"] for step, found in whole.measured.items()}
    # The very first one is the loss of the weights that the run starts from; the twin is another.
    assert losses[0] == pytest.approx(direct_loss(config), rel=1e-5)
    assert losses[2] != pytest.approx(direct_loss(config), rel=1e-3) and losses[6] < losses[0]


def direct_loss(config: stage_config.StageConfig) -> float:
    """Mean over all trained tokens of the first source, each sequence in a row of its own."""
    data, root = config.data, pathlib.Path(config.data.root)
    encoder = messages.Encoder(
        pathlib.Path(config.model.init_from), min_pixels=data.min_pixels, max_pixels=data.max_pixels
    )
    total = weight = 0.0
    chosen = dataclasses.replace(HELD_OUT[0], limit=6)
    every = inputs.read_mixture(dataclasses.replace(data, sources=(chosen,)), root)
    params = jax.tree.map(jax.numpy.asarray, small.random_params())

    @goldens.compiled_quickly()
    def logprobs_of(batch: structs.Batch) -> jax.Array:
        hidden = qwen2_5_vl.apply(small.MODEL, params, batch)
        logits = qwen2_5_vl.apply(small.MODEL, params, hidden, method=small.MODEL.logits)
        return jax.nn.log_softmax(logits[0, :-1])

    for example in every.examples:
        encoded = encoder.encode(example.messages, train=True, generation_prompt=False, id="x")
        row = packing.assemble(
            [encoded],
            packing.Budget(128, 128),
            geometry=encoder.geometry,
            pad_id=encoder.special.pad,
        )
        arrays = {name: jax.numpy.asarray(value[None]) for name, value in row.items()}
        logprobs = logprobs_of(structs.Batch.from_arrays(arrays))
        of_targets = np.asarray(logprobs)[np.arange(127), row["tokens"][1:]]
        total -= float((of_targets * row["loss_weights"][1:]).sum())
        weight += float(row["loss_weights"].sum())
    return total / weight


@pytest.mark.parametrize(("breaks_at", "asked_again"), [(0, [0, 2, 4, 6]), (4, [4, 6])])
def test_a_run_that_is_cut_off_while_it_measures(
    config: stage_config.StageConfig,
    whole: Whole,
    tmp_path: pathlib.Path,
    breaks_at: int,
    asked_again: list[int],
) -> None:
    with pytest.raises(KeyboardInterrupt):
        loop.run(config, tmp_path / "run", examine=Watcher(breaks_at=breaks_at))
    watcher = Watcher()
    loop.run(config, tmp_path / "run", examine=watcher)
    assert curve(tmp_path / "run") == whole.curve
    assert measured(tmp_path / "run") == whole.measured
    assert watcher.steps == asked_again


def test_each_part_of_a_measure_is_a_phase_to_the_watchdog(
    config: stage_config.StageConfig, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[str] = []
    begin = trainer_lib.Trainer.begin

    def note(trainer: trainer_lib.Trainer, phase: str) -> None:
        beats.append(phase)
        begin(trainer, phase)

    def examine(live: validation.Live) -> Mapping[str, float]:
        beats.append("examine")
        live.progress()
        return {}

    monkeypatch.setattr(trainer_lib.Trainer, "begin", note)
    config.steps, config.validation.every_steps = 1, 1
    loop.run(config, tmp_path / "run", examine=examine)
    before_the_first_step = beats[: beats.index("data")]
    batches = before_the_first_step.index("examine") - 2  # before and behind those of the loss
    assert batches > 0
    assert before_the_first_step == ["validation"] * (batches + 2) + ["examine", "validation"]


def test_a_source_without_a_target_is_refused(
    config: stage_config.StageConfig, small_rows: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    asked = '{"messages": [{"role": "user", "content": "So?"}]}\n'
    (tmp_path / "asked.jsonl").write_text(asked)
    silent = sources.Source(name="silent", path=str(tmp_path / "asked.jsonl"))
    config.validation.sources = (HELD_OUT[0], silent)
    with pytest.raises(errors.UserError, match="'silent' gives no row to measure"):
        loop.run(config, tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_rows_at_a_time_are_those_of_a_micro_batch(config: stage_config.StageConfig) -> None:
    for accumulation, multiple, rows in ((1, 8, 8), (2, 4, 4), (8, 1, 1), (4, 4, 4), (1, 3, 6)):
        changed = dataclasses.replace(config, accumulation_steps=accumulation)
        assert validation.rows_per_batch(changed, multiple) == rows


def test_adapters_count_and_a_row_is_written_whenever_it_is_measured(
    config: stage_config.StageConfig, tmp_path: pathlib.Path
) -> None:
    kept = {}

    def examine(live: validation.Live) -> Mapping[str, float]:
        kept[live.step] = jax.tree.map(np.asarray, live.params)
        return {}

    config.lora.modules, config.lora.learning_rate = "text/.*", 1e-2
    config.log_every_steps = 5
    loop.run(config, tmp_path / "run", examine=examine)
    found = measured(tmp_path / "run")
    assert list(found) == [0, 2, 4, 6]
    assert [step for step, *_ in curve(tmp_path / "run")] == [2, 4, 5, 6]
    assert found[6]["validation/loss"] < found[0]["validation/loss"]
    first, last = (optim.flatten(lora.strip(kept[at])) for at in (0, 6))
    assert all(np.array_equal(first[name], last[name]) for name in first)
    assert lora.find(kept[6])
