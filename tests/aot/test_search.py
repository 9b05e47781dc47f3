# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The search with a compiler that only answers."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from configs import stage3_instruct
from lingshu_jax.aot import compiling, plans, rows, search
from lingshu_jax.common import errors, topologies

ARGUMENTS = ["--config=c.py", "--topology=v5e:8x8", "--search"]


class Compiler:
    """Answers that `fitting` policies fit, at `speed` times what was predicted."""

    def __init__(self, fitting: Sequence[str], speed: float):
        self.fitting, self.speed, self.asked = fitting, speed, list[Sequence[str]]()

    def __call__(self, arguments: Sequence[str]) -> dict[str, Any]:
        self.asked.append(arguments)
        remat = next(a.split("=")[1] for a in arguments if a.startswith("--config.model.remat"))
        seconds = 1.0 / (self.speed - 0.01 * len(self.asked))
        return {
            "compiled": True,
            "fits": remat in self.fitting,
            "hbm_bytes": 1,
            "step_seconds": seconds,
            "mfu": 0.5,
            "tokens_per_second": 1.0 / seconds,
            "remat": remat,
        }


def make_plan(size: str = "7b", topology: str = "v5e:8x8") -> plans.Plan:
    return plans.make(stage3_instruct.get_config(size), topologies.parse(topology))


def test_at_most_six_are_compiled_and_the_best_that_fits_is_taken() -> None:
    compiler = Compiler(["full", "save_some"], speed=0.5)  # always slower than predicted
    best = search.run(make_plan(), "train", ARGUMENTS, compiler)
    assert len(compiler.asked) <= search.MAX_COMPILED
    assert best["remat"] in ("full", "save_some")
    fitting = [one for one in best["candidates"] if one.get("fits")]
    assert best["tokens_per_second"] == max(one["tokens_per_second"] for one in fitting)


def test_it_ends_where_nothing_that_is_left_can_be_better() -> None:
    compiler = Compiler(search.REMAT, speed=1e12)
    search.run(make_plan(), "train", ARGUMENTS, compiler)
    assert len(compiler.asked) == 1


def test_a_candidate_shares_the_overrides_and_is_no_search_itself() -> None:
    compiler = Compiler(search.REMAT, speed=1e12)
    search.run(make_plan(), "train", [*ARGUMENTS, "--config.lora.rank=8"], compiler)
    (asked,) = compiler.asked
    assert "--search" not in asked
    assert asked.index("--config.lora.rank=8") < asked.index("--config.mesh.preset=")
    assert "--config.data.rows_per_batch=64" in asked


def test_arithmetic_rejects_what_cannot_fit_and_says_why() -> None:
    usable = compiling.USABLE["v5e"]
    found = list(search.candidates(make_plan("32b"), "train"))
    reasons = [search.rejection(one, usable) for one in found]
    assert any(reasons) and not all(reasons)
    for one, reason in zip(found, reasons, strict=True):
        assert bool(reason) == (one.least_bytes > usable)
    assert next(filter(None, reasons)).startswith("needs at least")


def test_what_a_block_keeps_grows_with_the_policy_and_the_rows() -> None:
    plan = make_plan(topology="v5p:4x4x4")
    trained = ("vision/blocks/norm1/scale", "text/layers/mlp/up/kernel")

    def kept(remat: str, rows: int = 1) -> float:
        model = dataclasses.replace(plan.config.model, remat=remat)
        data = dataclasses.replace(plan.config.data, rows_per_batch=64 * rows)
        config = dataclasses.replace(plan.config, model=model, data=data)
        return search.kept_bytes(plan._replace(config=config), trained)

    # Inputs of the blocks: 28 of [8192, 3584] and 32 of [16384, 1280], bfloat16.
    assert kept("full") == 2 * (28 * 8192 * 3584 + 32 * 16384 * 1280)
    order = [kept(name) for name in ("full", "save_some", "save_attention", "save_products")]
    assert order == sorted(order) and len(set(order)) == 4
    assert kept("full", rows=2) == 2 * kept("full")


def test_what_has_no_predicted_time_is_not_searched() -> None:
    tried = {one.plan.config.model.remat for one in search.candidates(make_plan(), "train")}
    assert tried == set(search.REMAT)
    assert not {name for name in tried if not rows.is_timed(name)} and not rows.is_timed("offload")


def test_nothing_that_fits_is_one_clear_line() -> None:
    with pytest.raises(errors.UserError, match="no candidate of instruct fits v5e:8x8") as raised:
        search.run(make_plan(), "train", ARGUMENTS, Compiler([], speed=0.5))
    assert "\n" not in str(raised.value)
    with pytest.raises(errors.UserError, match="needs at least"):
        search.run(make_plan("72b", "v5e:2x4"), "train", ARGUMENTS, Compiler([], speed=0.5))


def test_generation_is_not_searched() -> None:
    with pytest.raises(errors.UserError, match="--search"):
        search.run(make_plan(), "decode", ARGUMENTS, Compiler([], speed=1.0))
