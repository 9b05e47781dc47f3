# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Bad steps leave no trace, are written down, and send the run back when there are too many."""

import dataclasses
import gc
import json
import os
import pathlib
import signal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import errors, metrics, sharding
from lingshu_jax.rl import step as rl_step
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import guard, loop, optim, optim_config, step
from lingshu_jax.stages import state as train_state
from lingshu_jax.stages import trainer as trainer_lib
from tests import small
from tests.models import goldens
from tests.stages import small_stage

# Alone, then two in a row, which is one too many; and a batch of random tokens.
BAD, RANDOM, STEPS, SAVE_EVERY = (3, 7, 8), 14, 16, 4


def test_the_limit_follows_the_median_of_the_last_good_losses() -> None:
    config = stage_config.GuardConfig(spike_factor=3.0, spike_window=12)
    watch = guard.Guard(config)
    for _ in range(guard.FEWEST_LOSSES - 1):
        watch.record({"loss": 2.0, "skipped": 0.0})
    assert watch.max_loss() == np.inf
    watch.record({"loss": 100.0, "skipped": 1.0})
    assert watch.max_loss() == np.inf, "a skipped step says nothing of what is usual"
    watch.record({"loss": 2.5, "skipped": 0.0})
    assert watch.max_loss() == np.float32(6.0)
    for _ in range(12):
        watch.record({"loss": 1.0, "skipped": 0.0})
    assert watch.max_loss() == np.float32(3.0), "only the window counts"
    for _ in range(12):
        watch.record({"loss": 0.01, "skipped": 0.0})
    assert watch.max_loss() == np.float32(guard.SMALLEST_SPIKE)
    off = guard.Guard(dataclasses.replace(config, spike_factor=0.0))
    off.restore(watch.to_json())
    assert off.max_loss() == np.inf


def test_a_restored_guard_is_the_same() -> None:
    watch = guard.Guard(stage_config.GuardConfig(max_skipped=3))
    for loss in np.random.default_rng(0).uniform(1, 2, 30).astype(np.float32):
        watch.record({"loss": float(loss), "skipped": 0.0})
    watch.record({"loss": None, "skipped": 1.0})
    watch.count_rollback()
    watch.record({"loss": None, "skipped": 1.0})
    again = guard.Guard(stage_config.GuardConfig(max_skipped=3))
    again.restore(json.loads(json.dumps(watch.to_json())))
    assert again.to_json() == watch.to_json() and again.max_loss() == watch.max_loss()
    assert again.counts() == {"skipped": 2, "rollbacks": 1} and again.in_a_row == 1


OPTIONS = optim_config.OptimConfig(trainable=((".*", 1e-2),), warmup_steps=0, weight_decay=0.1)


@pytest.fixture(scope="module")
def compiled() -> Any:
    static = ("model", "optimizer", "accumulation_steps", "num_sources")
    return goldens.compiled_quickly(static_argnames=static)(step.train_step)


@pytest.fixture(scope="module")
def second_step(compiled: Any) -> Any:
    """Takes a good step, then one with weights and a limit of the test's choice."""
    params, mesh = small.random_params(), sharding.make_mesh({}, jax.devices()[:1])
    names = list(optim.flatten(params))
    groups = optim.assign_groups(names, OPTIONS.rules(OPTIONS.trainable))
    optimizer = optim.make_optimizer(OPTIONS, groups)
    placed = jax.device_put(params, jax.devices()[0])
    first = train_state.create(placed, groups, optimizer, mesh)
    rates = dict.fromkeys(names, np.float32(1e-2))
    batch = small.make_batch(small.mixed_rows(np.random.default_rng(0), 2))
    fixed = {"model": small.MODEL, "optimizer": optimizer, "accumulation_steps": 1}

    def take(weight: float, max_loss: float) -> Any:
        state, _ = compiled(first, batch, rates, np.float32(np.inf), num_sources=2, **fixed)
        bad = dataclasses.replace(batch, loss_weights=batch.loss_weights * np.float32(weight))
        after, values = compiled(state, bad, rates, np.float32(max_loss), num_sources=2, **fixed)
        return state, after, {name: np.asarray(value) for name, value in values.items()}

    return take


def changed(before: train_state.TrainState, after: train_state.TrainState) -> set[str]:
    """Parts of the state of which any bit differs."""
    return {
        part
        for part in ("trained", "opt_state")
        for old, new in zip(
            jax.tree.leaves(getattr(before, part)),
            jax.tree.leaves(getattr(after, part)),
            strict=True,
        )
        if np.asarray(old).tobytes() != np.asarray(new).tobytes()
    }


@pytest.mark.parametrize(
    ("weight", "max_loss", "reason"),
    [(np.nan, np.inf, "nonfinite"), (1.0, 0.5, "spike")],
)
def test_a_bad_step_leaves_weights_and_optimizer_bit_by_bit(
    second_step: Any, weight: float, max_loss: float, reason: str
) -> None:
    before, after, values = second_step(weight, max_loss)
    assert changed(before, after) == set()
    assert int(after.step) == 2, "the step counts all the same"
    assert values["skipped"] == values[f"skipped/{reason}"] == 1
    assert values["skipped/nonfinite"] + values["skipped/spike"] == 1
    assert all(np.isfinite(leaf).all() for leaf in after.trained.values())


def test_a_good_step_is_taken(second_step: Any) -> None:
    before, after, values = second_step(1.0, 100.0)
    assert changed(before, after) == {"trained", "opt_state"}
    assert values["skipped"] == values["skipped/nonfinite"] == values["skipped/spike"] == 0


def test_without_the_choice_a_bad_step_would_be_seen(
    second_step: Any, compiled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the tests above."""
    monkeypatch.setattr(guard, "choose", lambda is_good, after, before: after)
    compiled.clear_cache()
    before, after, _ = second_step(np.nan, np.inf)
    compiled.clear_cache()
    assert changed(before, after) == {"trained", "opt_state"}
    assert not all(np.isfinite(leaf).all() for leaf in after.trained.values())


@pytest.mark.parametrize(("gradient", "is_taken"), [(1.0, True), (np.nan, False)])
def test_an_update_of_stage_4_is_left_out_as_well(gradient: float, is_taken: bool) -> None:
    leaves = {"text/x/kernel": jnp.ones((2, 3))}
    groups = optim.assign_groups(list(leaves), OPTIONS.rules(OPTIONS.trainable))
    optimizer = optim.make_optimizer(OPTIONS, groups)
    state = train_state.TrainState(
        step=jnp.int32(0), trained=leaves, frozen={}, opt_state=optimizer.init(leaves)
    )
    one = jnp.float32(1.0)
    passes = rl_step.PassSums(
        gradients={name: leaf * gradient for name, leaf in leaves.items()},
        loss=one,
        terms={},
        means={"importance/mean": one, "importance/square": one},
        maxima={},
        num_tokens=one,
    )
    rates = dict.fromkeys(leaves, np.float32(1e-2))
    after, values = rl_step.update(state, passes, rates, optimizer=optimizer)
    assert changed(state, after) == ({"trained", "opt_state"} if is_taken else set())
    assert int(after.step) == 1 and values["skipped"] == (not is_taken)


class Saboteur:
    """Spoils the batches of some steps on their way to the device, and ends a run like a host.

    Attributes:
      step: Of the batch that was placed last; a continued run goes on from where it is set.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.step, self.bad, self.terminate_at = 0, frozenset(BAD), 0
        self._place = sharding.place_batch
        monkeypatch.setattr(sharding, "place_batch", self)

    def __call__(self, arrays: dict[str, np.ndarray], mesh: jax.sharding.Mesh) -> Any:
        self.step += 1
        if self.step == self.terminate_at:
            os.kill(os.getpid(), signal.SIGTERM)
        if self.step in self.bad:
            arrays = {**arrays, "loss_weights": arrays["loss_weights"] * np.float32(np.nan)}
        if self.step == RANDOM:
            drawn = np.random.default_rng(0).integers(0, 256, arrays["tokens"].shape)
            arrays = {**arrays, "tokens": drawn.astype(arrays["tokens"].dtype)}
        return self._place(arrays, mesh)


@pytest.fixture
def saboteur(monkeypatch: pytest.MonkeyPatch) -> Saboteur:
    return Saboteur(monkeypatch)


@pytest.fixture
def config(small_folder: pathlib.Path, small_rows: pathlib.Path) -> stage_config.StageConfig:
    config = small_stage.get_config(f"{small_folder},{small_rows}")
    config.steps, config.save_every_steps = STEPS, SAVE_EVERY
    config.guard.max_skipped = 2
    config.guard.spike_factor, config.guard.spike_window = 1.5, 4
    config.validate()
    return config


def told(workdir: pathlib.Path) -> list[tuple[int, str, Any]]:
    """Step, event, and its reason or where the run went back to."""
    rows = metrics.read_rows(workdir, "events.jsonl")
    return [(r["step"], r["event"], r.get("reason", r.get("to_step"))) for r in rows]


def curve(workdir: pathlib.Path) -> list[Any]:
    names = ("step", "loss", "grad_norm", "lr/all", "skipped", "skipped/spike")
    return [tuple(row[name] for name in names) for row in metrics.read_rows(workdir)]


SKIPS = [
    (3, "skipped", "nonfinite"),
    (7, "skipped", "nonfinite"),
    (8, "skipped", "nonfinite"),
    (8, "rollback", 4),
    (14, "skipped", "spike"),
]


def test_a_run_leaves_bad_steps_out_goes_back_and_goes_on_after_a_stop(
    config: stage_config.StageConfig, saboteur: Saboteur, tmp_path: pathlib.Path
) -> None:
    summary = loop.run(config, tmp_path / "whole")
    assert told(tmp_path / "whole") == SKIPS
    assert (summary["skipped"], summary["rollbacks"]) == (4, 1)
    assert json.loads((tmp_path / "whole" / "finished.json").read_text()) == summary
    rows = metrics.read_rows(tmp_path / "whole")
    assert [row["step"] for row in rows if row["skipped"]] == [*BAD, RANDOM]
    assert all(row["grad_norm"] is None for row in rows if row["skipped/nonfinite"])
    finite = [row["loss"] for row in rows if not row["skipped"]]
    assert np.isfinite(finite).all() and finite[-1] < 0.7 * finite[0]
    # Step 4 is taken again at 8, so step 9 begins where 5 did, but with the next data.
    losses = {row["step"]: row["loss"] for row in rows}
    assert losses[9] > losses[6]

    # The same again, but ended by SIGTERM in step 11 and continued by the same call.
    saboteur.step, saboteur.terminate_at = 0, 11
    with pytest.raises(SystemExit) as stopped:
        loop.run(config, tmp_path / "stopped")
    assert stopped.value.code == 0 and saboteur.step == 11
    assert not (tmp_path / "stopped" / "finished.json").exists()
    assert (tmp_path / "stopped" / "checkpoints" / "11").is_dir()
    saboteur.terminate_at = 0
    assert loop.run(config, tmp_path / "stopped")["skipped"] == 4
    assert saboteur.step == STEPS
    assert curve(tmp_path / "stopped") == curve(tmp_path / "whole")
    events = told(tmp_path / "stopped")
    assert [event for event in events if event[1] != "stopped"] == SKIPS
    assert (11, "stopped", None) in events


def test_no_checkpoint_while_steps_are_skipped(
    config: stage_config.StageConfig, saboteur: Saboteur, tmp_path: pathlib.Path
) -> None:
    """Due at 4 and 8; written after the next good step instead."""
    saboteur.bad = frozenset((4, 8))
    config.steps, config.keep_checkpoints = 10, 9
    loop.run(config, tmp_path / "run")
    kept = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept == {"assets", "5", "9", "10"}


def test_a_run_that_does_not_recover_stops_with_one_line(
    config: stage_config.StageConfig, saboteur: Saboteur, tmp_path: pathlib.Path
) -> None:
    saboteur.bad = frozenset(range(6, 99))
    config.guard.max_rollbacks = 1
    with pytest.raises(errors.UserError, match=r"step 9: 2 steps in a row .* after 1 rollbacks"):
        loop.run(config, tmp_path / "run")
    assert [event for event in told(tmp_path / "run") if event[1] == "rollback"] == [
        (7, "rollback", 4)
    ]
    kept = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept == {"assets", "4"}


def test_before_the_first_checkpoint_it_goes_back_to_the_first_weights(
    config: stage_config.StageConfig, saboteur: Saboteur, tmp_path: pathlib.Path
) -> None:
    saboteur.bad = frozenset((2, 3))
    config.steps = config.save_every_steps = 5
    loop.run(config, tmp_path / "run")
    assert (3, "rollback", 0) in told(tmp_path / "run")
    rows = {row["step"]: row["loss"] for row in metrics.read_rows(tmp_path / "run")}
    assert abs(rows[4] - rows[1]) < 0.2 < rows[4] - rows[5]


def count_heads() -> int:
    """Live arrays of the shape of the output head: three a state, with both moments."""
    gc.collect()
    text = small.SIZE.text
    return sum(array.shape == (text.embed_dim, text.vocab_size) for array in jax.live_arrays())


def test_a_rollback_frees_the_state_before_it_reads_another(
    config: stage_config.StageConfig,
    saboteur: Saboteur,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saboteur.bad = frozenset((2, 3))
    config.steps = config.save_every_steps = 5
    found, before, first_params = [], count_heads(), trainer_lib.Trainer.first_params

    def count(trainer: trainer_lib.Trainer) -> Any:
        found.append(count_heads() - before)
        return first_params(trainer)

    monkeypatch.setattr(trainer_lib.Trainer, "first_params", count)
    loop.run(config, tmp_path / "run")
    assert found == [0, 0], "at the start, and in the rollback"
