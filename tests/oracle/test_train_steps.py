# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Ten training steps beside torch's, from the same weights on the same rows, in float32.

Theirs are transformers' model, its cosine with warm-up, torch's clipping and torch's AdamW on
unpacked, padded sequences at transformers' own positions. Ours is the training step of the stages
on packed rows. Every tensor is compared: with rotary positions even the bias of the keys has a
gradient. The twins are the same comparison after one thing is broken.
"""

import dataclasses
import pathlib
import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import structs
from lingshu_jax.data import packing
from lingshu_jax.models import hf, qwen2_5_vl
from lingshu_jax.stages import optim, optim_config, step
from lingshu_jax.stages import state as train_state
from tests.make_golden import tiny_models
from tests.models import goldens
from tests.oracle import checkpoints, sides
from tests.oracle import figures as figures_lib

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

# Losses and norms relative; updates (after - before) relative in the norm of each tensor.
LIMITS = {"training losses": 1e-5, "gradient norms": 1e-5, "training updates": 1e-3}
MARGIN = 10  # by which a twin must miss the limit of the updates
STEPS, WARM_UP, CLIP = 10, 2, 1.0
BUDGET = packing.Budget(tokens=96, patches=320)
MOVED = (
    ("vision/.*", 2e-3, {"weight_decay": 0.2}),
    ("merger/.*", 1.5e-3),
    ("text/.*", 1e-3),
)
TEXT_FROZEN = (("vision/.*", 1e-3), ("merger/.*", 2e-3), ("text/.*", None))

# One thing that is not as ours; the last is of the data, not of the optimizer.
CHANGES: dict[str, dict[str, Any]] = {
    "no_weight_decay": {"weight_decay": 0.0},
    "no_clipping": {"clip_norm": 1e9},
    "other_b1": {"b1": 0.8},
    "other_b2": {"b2": 0.9},
    "longer_warm_up": {"warmup_steps": WARM_UP + 1},
    "other_z_loss": {"z_loss": 0.1},
    "other_normalization": {},
}

STATIC = ("model", "optimizer", "accumulation_steps", "num_sources", "z_loss")
train_step = goldens.compiled_quickly(static_argnames=STATIC)(step.train_step)

Rows = list[dict[str, tiny_models.Case]]  # of one batch: in each the sequences by name


class Setting(NamedTuple):
    """What both sides are told."""

    seed: int
    trainable: tuple[optim_config.Entry, ...]
    normalization: packing.Normalization
    accumulation_steps: int
    z_loss: float

    @property
    def config(self) -> optim_config.OptimConfig:
        """With the epsilon that every stage has."""
        return optim_config.OptimConfig(
            trainable=self.trainable,
            warmup_steps=WARM_UP,
            weight_decay=0.1,
            clip_norm=CLIP,
            z_loss=self.z_loss,
        )


# Seeds of an untied and a tied checkpoint; the names are in conftest.py too.
SETTINGS = {
    "untied": Setting(26, MOVED, "token", 1, 0.0),
    "tied_accumulated": Setting(1, MOVED, "sequence", 2, 1e-2),
    "text_frozen": Setting(26, TEXT_FROZEN, "token", 2, 0.0),
}


class Run(NamedTuple):
    """A side's ten steps: losses, norms before clipping, tensors after by hub name."""

    losses: np.ndarray
    norms: np.ndarray
    tensors: dict[str, np.ndarray]


def make_batches(model: tiny_models.TinyModel) -> list[Rows]:
    """Two batches of two rows: no, one or several images a sequence, one to three sequences."""
    rng = np.random.default_rng(30_000 + model.seed)

    def case(grids: list[tuple[int, int]], lengths: tuple[int, ...]) -> tiny_models.Case:
        pictures = [checkpoints.picture(rng, *grid) for grid in grids]
        return tiny_models.make_case(model, rng, pictures, lengths)

    first = {"a": case([(3, 4)], (3, 9)), "b": case([], (6,))}
    second = {"c": case([(2, 5), (5, 2)], (2, 3, 17)), "d": case([(1, 2)], (4, 14))}
    third = {"e": case([], (7,)), "f": case([(4, 4)], (5, 21)), "g": case([(2, 2)], (1, 3))}
    fourth = {"h": case([(6, 3)], (8, 6))}
    return [[first, second], [third, fourth]]


class Training:
    """One setting on both sides; our run is made once."""

    def __init__(
        self, setting: Setting, side: types.ModuleType, transformers: Any, folder: pathlib.Path
    ):
        self.setting, self.side, self.transformers = setting, side, transformers
        self.model = checkpoints.random_model(setting.seed)
        oracle = checkpoints.build(side, self.model)
        self.golden = checkpoints.to_golden(oracle, folder)
        self.before = tensors_of(oracle)
        self.batches = make_batches(self.model)
        self.run = self.ours([self.packed(rows) for rows in self.batches])

    def packed(self, rows: Rows) -> structs.Batch:
        """Our batch, every sequence a segment of its row."""
        shape, pad = self.golden.size.vision.geometry, self.golden.size.special.pad
        arrays = []
        for row in rows:
            encoded = [sides.to_encoded(name, case, self.golden) for name, case in row.items()]
            options: Any = {"normalization": self.setting.normalization, "pad_id": pad}
            arrays.append(packing.assemble(encoded, BUDGET, geometry=shape, **options))
        return structs.Batch.from_arrays({k: np.stack([a[k] for a in arrays]) for k in arrays[0]})

    def ours(self, batches: list[structs.Batch]) -> Run:
        """Ten steps as a stage takes them."""
        config, params = self.setting.config, self.golden.params
        rules = config.rules(config.trainable)
        groups = optim.assign_groups(list(optim.flatten(params)), rules)
        optimizer = optim.make_optimizer(config, groups)
        trained, frozen = optim.split(params, groups)
        state = train_state.TrainState(
            step=jnp.int32(0), trained=trained, frozen=frozen, opt_state=optimizer.init(trained)
        )
        seen = []
        for number in range(STEPS):
            state, metrics = train_step(
                state,
                batches[number % len(batches)],
                optim.leaf_rates(groups, STEPS, number),
                model=qwen2_5_vl.Qwen2_5_VL(size=self.golden.size),
                optimizer=optimizer,
                accumulation_steps=self.setting.accumulation_steps,
                num_sources=1,
                z_loss=config.z_loss,
            )
            seen.append((metrics["loss"], metrics["grad_norm"]))
        losses, norms = np.array(seen, np.float64).T
        params = jax.tree.map(np.asarray, state.params())
        return Run(losses, norms, dict(hf.hub_tensors(params, self.golden.size)))

    def theirs(self, config: optim_config.OptimConfig, normalization: packing.Normalization) -> Run:
        """Ten steps of torch's."""
        torch = self.side.torch
        oracle = checkpoints.build(self.side, self.model)
        groups = parameter_groups(oracle, config)
        moved = [parameter for group in groups for parameter in group["params"]]
        optimizer = torch.optim.AdamW(groups, betas=(config.b1, config.b2), eps=config.eps)
        schedule = self.transformers.get_cosine_schedule_with_warmup(
            optimizer, config.warmup_steps, STEPS
        )
        theirs, seen = sides.Theirs(self.side, self.model, oracle), []
        for number in range(STEPS):
            rows = self.batches[number % len(self.batches)]
            cases = {name: case for row in rows for name, case in row.items()}
            optimizer.zero_grad()
            logits = oracle(**theirs.padded(cases, "right")).logits
            loss, squares = mean_losses(torch, logits, list(cases.values()), normalization)
            (loss + config.z_loss * squares).backward()
            norm = torch.nn.utils.clip_grad_norm_(moved, config.clip_norm)
            optimizer.step()
            schedule.step()
            seen.append((loss.item(), norm.item()))
        losses, norms = np.array(seen).T
        return Run(losses, norms, tensors_of(oracle))

    def gaps(self, ours: Run, theirs: Run) -> dict[str, float]:
        """The largest of each kind."""
        assert ours.tensors.keys() == theirs.tensors.keys() == self.before.keys()
        updates = {
            name: update_gap(ours.tensors[name], theirs.tensors[name], before)
            for name, before in self.before.items()
        }
        return {
            "training losses": float(np.abs(ours.losses / theirs.losses - 1).max()),
            "gradient norms": float(np.abs(ours.norms / theirs.norms - 1).max()),
            "training updates": max(updates.values()),
        }


def tensors_of(oracle: Any) -> dict[str, np.ndarray]:
    """Copies of all parameters by hub name; a tied head is not among them."""
    named = oracle.named_parameters()
    return {hf.hub_name(name): parameter.detach().numpy().copy() for name, parameter in named}


def parameter_groups(oracle: Any, config: optim_config.OptimConfig) -> list[dict[str, Any]]:
    """A group a tensor; frozen ones have no gradient. Vectors are not decayed."""
    rules = {rule.pattern: rule for rule in config.rules(config.trainable)}
    groups = []
    for name, parameter in oracle.named_parameters():
        is_visual, is_merger = name.startswith("model.visual."), "visual.merger." in name
        rule = rules["merger/.*" if is_merger else "vision/.*" if is_visual else "text/.*"]
        if rule.peak is None:
            parameter.requires_grad_(False)
            continue
        decay = rule.weight_decay if parameter.ndim > 1 else 0.0
        groups.append({"params": [parameter], "lr": rule.peak, "weight_decay": decay})
    return groups


def mean_losses(
    torch: Any, logits: Any, cases: list[tiny_models.Case], normalization: packing.Normalization
) -> tuple[Any, Any]:
    """Cross entropy and square of log Z: means over all tokens, or of the sequences' means."""
    of_sequences = []
    for row, case in zip(logits, cases, strict=True):
        is_target = case.loss_weights[1:] > 0
        used = row[: len(is_target)][torch.from_numpy(is_target)]
        targets = torch.from_numpy(case.tokens[1:][is_target])
        crosses = torch.nn.functional.cross_entropy(used, targets, reduction="none")
        of_sequences.append((crosses, torch.logsumexp(used, dim=-1) ** 2))
    crosses, squares = zip(*of_sequences, strict=True)
    if normalization == "token":
        return torch.cat(crosses).mean(), torch.cat(squares).mean()
    return tuple(torch.stack([x.mean() for x in kind]).mean() for kind in (crosses, squares))


def update_gap(ours: np.ndarray, theirs: np.ndarray, before: np.ndarray) -> float:
    """Norm of the difference by that of their update; infinite where only ours moved."""
    ours, theirs = ours.astype(np.float64) - before, theirs.astype(np.float64) - before
    difference, size = np.linalg.norm(ours - theirs), np.linalg.norm(theirs)
    return float(difference / size) if size else float("inf" if difference else 0.0)


@pytest.fixture(scope="module")
def training(
    training_setting: str,
    oracle_side: types.ModuleType,
    transformers: types.ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
) -> Training:
    folder = tmp_path_factory.mktemp("training")
    return Training(SETTINGS[training_setting], oracle_side, transformers, folder)


def test_ten_steps_equal_those_of_torch(training: Training, figures: figures_lib.Figures) -> None:
    setting = training.setting
    theirs = training.theirs(setting.config, setting.normalization)
    gaps = training.gaps(training.run, theirs)
    print(f"\n{setting}: {gaps}, losses {theirs.losses}, norms {theirs.norms}")
    figures.see(gaps)
    assert all(gaps[kind] < limit for kind, limit in LIMITS.items()), gaps
    assert theirs.norms.min() > CLIP, "clipping is active in every step"
    first, last = (losses.mean() for losses in (training.run.losses[:2], training.run.losses[-2:]))
    assert last < 0.8 * first, "both batches together, at the beginning and at the end"
    frozen = {rule.pattern for rule in setting.config.rules(setting.trainable) if not rule.peak}
    for name, before in training.before.items():
        stays = np.array_equal(training.run.tensors[name], before)
        is_text = not name.startswith("visual.")
        assert stays == (is_text and "text/.*" in frozen), name


@pytest.mark.parametrize("change", CHANGES)
def test_another_recipe_is_noticed(training: Training, change: str) -> None:
    setting, normalization = training.setting, training.setting.normalization
    if change == "other_normalization":
        normalization = "token" if normalization == "sequence" else "sequence"
    config = dataclasses.replace(setting.config, **CHANGES[change])
    gaps = training.gaps(training.run, training.theirs(config, normalization))
    print(f"\n{change}: {gaps}")
    assert gaps["training updates"] > MARGIN * LIMITS["training updates"], gaps
    assert gaps["training losses"] > LIMITS["training losses"], gaps


def test_sequences_that_see_each_other_are_noticed(training: Training) -> None:
    joined = [
        dataclasses.replace(batch, segment_ids=np.minimum(batch.segment_ids, 1))
        for batch in map(training.packed, training.batches)
    ]
    setting = training.setting
    theirs = training.theirs(setting.config, setting.normalization)
    gaps = training.gaps(training.ours(joined), theirs)
    assert gaps["training updates"] > MARGIN * LIMITS["training updates"], gaps
