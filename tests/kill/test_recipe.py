# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A recipe killed in and between its parts ends with the numbers of one that never was."""

import json
import pathlib
import signal
import time
from typing import Any

import numpy as np
import pytest

from lingshu_jax.eval import folder as eval_folder
from tests import small
from tests.kill import small_recipe

pytestmark = pytest.mark.kill

# Each is killed a moment after something of this pattern has appeared in its folder; the export's
# own name comes when it is whole, before that it is export.partial.
MOMENTS = (
    "base_checkpoint/*",
    "evaluation/before/*",
    "stage1_shallow_align/checkpoints/*",
    "stage2_deep_align/metrics.jsonl",
    "stage3_instruct/finished.json",
    "stage4_rl/rollouts/*",
    "export*",
    "evaluation/after/*",
    "evaluation/blind/*",
)
MOMENTS_REDUCED = (MOMENTS[2], MOMENTS[6])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return small_recipe.write_folder(tmp_path_factory.mktemp("recipe"))


def command(folder: pathlib.Path, workdir: pathlib.Path) -> tuple[str, ...]:
    return ("recipe", f"--config=tests/kill/small_recipe.py:{folder}", f"--workdir={workdir}")


def kill_at(args: tuple[str, ...], workdir: pathlib.Path, pattern: str, wait: float) -> bool:
    """Kills a recipe `wait` seconds after a new path of a pattern; whether it still ran."""
    before, process = set(workdir.glob(pattern)), small.start(*args)
    while process.poll() is None and not set(workdir.glob(pattern)) - before:
        time.sleep(0.002)
    time.sleep(wait)
    process.kill()
    _, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode != 0


def numbers(workdir: pathlib.Path) -> dict[str, Any]:
    """All that came out, but for paths and speeds; the weights by the digest of the export."""
    finished = json.loads((workdir / "finished.json").read_text())
    scores = ("benchmarks", "macro", "micro")
    for evaluation in finished["evaluations"].values():
        for benchmark in evaluation["benchmarks"].values():
            del benchmark["usage"]["seconds"], benchmark["usage"]["answers_per_second"]
    return {
        "stages": {
            name: {key: value for key, value in stage.items() if key != "tokens_per_second"}
            for name, stage in finished["stages"].items()
        },
        "scores": {
            when: {name: summary[name] for name in scores}
            for when, summary in finished["evaluations"].items()
        },
        "weights": {
            when: summary["settings"]["weights"]
            for when, summary in finished["evaluations"].items()
        },
        "answers": {
            when: [
                row["response"]
                for row in eval_folder.read_samples(
                    workdir / "evaluation" / when / small_recipe.QUESTIONS
                )
            ]
            for when in finished["evaluations"]
        },
    }


def test_a_killed_recipe_ends_with_the_same_numbers(
    folder: pathlib.Path, tmp_path: pathlib.Path, reduced: bool
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    small.finish(small.start(*command(folder, whole)))
    rng, kills = np.random.default_rng(0), 0
    for pattern in MOMENTS_REDUCED if reduced else MOMENTS:
        kills += kill_at(command(folder, killed), killed, pattern, float(rng.uniform(0, 0.1)))
    assert kills >= (1 if reduced else len(MOMENTS) - 2), "too few were still running"
    out = small.finish(small.start(*command(folder, killed)))
    assert '"evaluations"' in out
    assert numbers(killed) == numbers(whole)
    weights = numbers(whole)["weights"]
    assert weights["before"] != weights["after"] == weights["blind"], "training shows in the digest"
    assert not list(killed.rglob("*.partial"))
