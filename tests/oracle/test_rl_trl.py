# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The losses of stage 4 beside TRL's: its GRPOTrainer computes them from the same arrays.

TRL's sequences are padded rows; ours lie packed, several in a row. Its loss is in float64.
"""

import collections
import importlib
import types
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.engines import protocol
from lingshu_jax.rl import losses, weights
from tests.oracle import figures as figures_lib

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

TOLERANCE, MARGIN = 2e-5, 100
LONGEST, CAP = 9, 1.3
LENGTHS = (3, 9, 1, 6, 5, 7)
ADVANTAGES = (0.9, -1.2, 0.4, -0.1, 0.0, 1.3)
SPREAD = 0.7  # of the log ratios of tokens: most clips take hold


class Variant(NamedTuple):
    """One loss on both sides.

    Attributes:
      loss_type: TRL's.
      aggregation: Ours.
      ratio: Ours; TRL's level is "token" or "sequence".
      objective: Ours.
      clip: Ours; TRL's are of the same widths, and its `delta` our dual clip.
    """

    loss_type: str
    aggregation: str
    ratio: str = "token"
    objective: str = "clip"
    clip: losses.Clip = losses.Clip(low=0.2, high=0.28, dual=1.9)


VARIANTS = {
    "grpo": Variant("grpo", "sequence"),
    "bnpo": Variant("bnpo", "token"),
    "dr_grpo": Variant("dr_grpo", "constant"),
    "dapo": Variant("dapo", "token"),
    "gspo": Variant("grpo", "sequence", "sequence", clip=losses.Clip(3e-2, 4e-2, 1.2)),
    "gspo_token": Variant("grpo", "sequence", "sequence_token", clip=losses.Clip(3e-2, 4e-2, 1.2)),
    "cispo": Variant("cispo", "token", objective="cispo", clip=losses.Clip(1.0, 1.0, 3.0)),
}
# Coefficient of the KL term, and the truncated importance weights: none, of tokens, of sequences.
SETTINGS = {
    "plain": (0.0, ""),
    "kl": (0.04, ""),
    "token": (0.0, "token"),
    "both": (0.04, "sequence"),
}

# TRL 1.16 has no ratio with a gradient of each token's own, which differs where tokens of one
# sequence weigh differently.
CASES = [(n, s) for n in VARIANTS for s in SETTINGS if (n, s) != ("gspo_token", "token")]


@pytest.fixture(scope="session")
def trl_side() -> types.ModuleType:
    """The trainer's module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("trl.trainer.grpo_trainer")


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """Log-probabilities of padded sequences, and what is at padding is wild."""
    rng, shape = np.random.default_rng(0), (len(LENGTHS), LONGEST)
    old = rng.normal(size=shape) - 3
    made = {name: old + SPREAD * rng.normal(size=shape) for name in ("new", "ref")}
    return {"old": old, "sampler": old + 0.3 * rng.normal(size=shape), **made}


class Accelerator:
    """Of one process."""

    num_processes = 1

    def gather(self, value: Any) -> Any:
        return value

    def reduce(self, value: Any, reduction: str) -> Any:
        del reduction
        return value


def stand_in(variant: Variant, beta: float, level: str, given: tuple[Any, ...]) -> Any:
    """What `_compute_loss` reads of a trainer whose model gives the log-probabilities at hand."""
    is_cispo = variant.objective == "cispo"
    return types.SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *args, **kwargs: given,
        _entropy_bonus_enabled=False,
        _metrics={"train": collections.defaultdict(list)},
        accelerator=Accelerator(),
        args=types.SimpleNamespace(
            use_bias_correction_kl=False,
            delta=None if is_cispo else variant.clip.dual,
            steps_per_generation=1,
        ),
        aux_loss_enabled=False,
        beta=beta,
        current_gradient_accumulation_steps=1,
        epsilon_low=variant.clip.low,
        epsilon_high=variant.clip.high + is_cispo,  # there it is the weight itself
        importance_sampling_level="token" if variant.ratio == "token" else "sequence",
        loss_type=variant.loss_type,
        max_completion_length=LONGEST,
        model=types.SimpleNamespace(training=True),
        off_policy_mask_threshold=None,
        top_entropy_quantile=1.0,
        use_vllm=bool(level),
        vllm_importance_sampling_correction=True,
    )


def theirs(
    module: types.ModuleType, variant: Variant, setting: str, arrays: dict[str, np.ndarray]
) -> tuple[float, np.ndarray]:
    """TRL's loss, and its gradient by the log-probabilities."""
    (beta, level), torch = SETTINGS[setting], module.torch
    each = {name: torch.tensor(x) for name, x in arrays.items()}
    new = each["new"].requires_grad_()
    mask = torch.tensor(np.arange(LONGEST) < np.array(LENGTHS)[:, None]).int()
    ids = torch.zeros_like(mask)
    gap = (each["old"] - each["sampler"]) * mask  # as `_generate_and_score_completions` has it
    inputs = {
        "prompt_ids": ids[:, :1],
        "prompt_mask": mask[:, :1],
        "completion_ids": ids,
        "completion_mask": mask,
        "advantages": torch.tensor(ADVANTAGES, dtype=torch.float64),
        "old_per_token_logps": each["old"],
        "ref_per_token_logps": each["ref"],
        "num_items_in_batch": mask.sum(),
        "importance_sampling_ratio": torch.exp(
            gap.sum(-1, keepdim=True) if level == "sequence" else gap
        ).clamp(max=CAP),
    }
    trainer = stand_in(variant, beta, level, (new, torch.zeros_like(new), None))
    loss = module.GRPOTrainer._compute_loss(trainer, None, inputs)
    loss.backward()
    return float(loss), new.grad.numpy()[mask.numpy() > 0]


def ours(variant: Variant, setting: str, arrays: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """Our loss of two packed rows of three sequences each, and its gradient."""
    beta, level = SETTINGS[setting]
    group = [
        protocol.Completion(text="", tokens=(0,) * n, logprobs=(0.0,) * n, finish_reason="stop")
        for n in LENGTHS
    ]
    counted = weights.completion_weights(
        [group], aggregation=variant.aggregation, max_new_tokens=LONGEST
    )
    valid = np.arange(LONGEST) < np.array(LENGTHS)[:, None]
    columns = {"advantages": np.array(ADVANTAGES), "loss_weights": counted.values[0]}
    padded = arrays | {name: np.where(valid, x[:, None], 0.0) for name, x in columns.items()}
    packed = {name: jnp.asarray(x.reshape(2, -1), jnp.float32) for name, x in padded.items()}
    segments = np.where(valid, 1 + np.arange(len(LENGTHS))[:, None], 0).reshape(2, -1)
    options = losses.Options(
        clip=variant.clip,
        objective=variant.objective,
        ratio=variant.ratio,
        kl_coef=beta,
        importance_cap=CAP if level else None,
        importance_level=level or "token",
    )

    def total(logprobs: jax.Array) -> jax.Array:
        return losses.grpo_loss(
            logprobs,
            packed["old"],
            packed["sampler"],
            ref_logprobs=packed["ref"],
            advantages=packed["advantages"],
            loss_weights=packed["loss_weights"],
            segment_ids=jnp.asarray(segments),
            options=options,
        ).total

    loss, grad = jax.value_and_grad(total)(packed["new"])
    return float(loss), np.asarray(grad).reshape(valid.shape)[valid]


def gap(one: tuple[float, np.ndarray], other: tuple[float, np.ndarray]) -> float:
    """The larger of the two relative differences, of loss and gradient."""
    scale = max(abs(one[0]), 0.1)
    return max(
        abs(one[0] - other[0]) / scale, np.abs(one[1] - other[1]).max() / np.abs(one[1]).max()
    )


@pytest.mark.parametrize(("name", "setting"), CASES)
def test_loss_and_gradient_are_trl_s(
    trl_side: types.ModuleType,
    figures: figures_lib.Figures,
    arrays: dict[str, np.ndarray],
    name: str,
    setting: str,
) -> None:
    variant = VARIANTS[name]
    found = gap(theirs(trl_side, variant, setting, arrays), ours(variant, setting, arrays))
    figures.see({"loss of stage 4 and its gradient, beside TRL": found})
    assert found < TOLERANCE


def test_twin_another_variant_is_noticed(
    trl_side: types.ModuleType, arrays: dict[str, np.ndarray]
) -> None:
    distinct = ("grpo", "dr_grpo", "dapo", "gspo", "cispo")
    for name in distinct:
        expected = theirs(trl_side, VARIANTS[name], "plain", arrays)
        gaps = [gap(expected, ours(VARIANTS[x], "plain", arrays)) for x in distinct if x != name]
        assert min(gaps) > MARGIN * TOLERANCE


def test_twin_another_setting_is_noticed(
    trl_side: types.ModuleType, arrays: dict[str, np.ndarray]
) -> None:
    for setting in SETTINGS:
        expected = theirs(trl_side, VARIANTS["dapo"], setting, arrays)
        others = [x for x in SETTINGS if x != setting]
        gaps = [gap(expected, ours(VARIANTS["dapo"], x, arrays)) for x in others]
        assert min(gaps) > MARGIN * TOLERANCE


def test_twin_a_gradient_of_each_token_is_noticed(
    trl_side: types.ModuleType, arrays: dict[str, np.ndarray]
) -> None:
    """With weights of tokens GSPO-token has GSPO's value and another gradient."""
    variant = VARIANTS["gspo_token"]
    expected, found = theirs(trl_side, variant, "token", arrays), ours(variant, "token", arrays)
    assert gap(expected, (found[0], expected[1])) < TOLERANCE
    assert gap(expected, found) > MARGIN * TOLERANCE
