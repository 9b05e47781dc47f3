# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Stages 1 to 3 from random weights on small public data, evaluated beside its baselines.

    PYTHONPATH=. python benchmarks/real_run.py --data=DIR --size=small --workdir=DIR

`--data` is a folder of public data as `real_run_rows.py` names it; `base` also reads the real
tokenizer, `tokenizer_qwen2/{vocab.json,merges.txt}`. The config is `configs/real_run.py`. In the
work folder: `data/` the rows, `base/` the random model, `stage*/`, `export/`, `evaluation/`,
`report.html` with the curves, `results.md` and `results.json`; of the ablation `variants/` and
`tables.*`. What is finished is not done again, so the same command continues. `--steps=N` is a
trial of the whole line: N steps a stage, one row a batch and a few questions.
"""

import dataclasses
import math
import os
import time
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from absl import flags

from benchmarks import real_run_results, real_run_rows
from configs import real_run as real_run_config
from lingshu_jax import ablation, recipe, report, train
from lingshu_jax.common import cli, runtime
from lingshu_jax.data import tokenizer
from lingshu_jax.models import qwen2_5_vl, sizes
from lingshu_jax.stages import initial, run_folder

STAGES = ("shallow_align", "deep_align", "instruct")
ROWS, BASE = "data", "base"
TRIAL_QUESTIONS = 8

Chain = TypeVar("Chain", bound=recipe.ChainConfig)


def run(
    config: real_run_config.RealRunConfig, data: Path, workdir: Path, *, steps: int = 0
) -> dict[str, Any]:
    """Runs what is not finished yet and writes the tables.

    Args:
      config: Of a size, with folders not filled in.
      data: Folder of public data.
      workdir: The run's folder.
      steps: Of every stage, for a trial; 0 takes what the config says.

    Returns:
      The content of `results.json`.

    Raises:
      UserError: If an input cannot be used.
    """
    workdir = workdir.absolute()
    started = time.perf_counter()
    root = workdir / ROWS
    workdir.mkdir(parents=True, exist_ok=True)
    rows = real_run_rows.prepare(data, root, questions=TRIAL_QUESTIONS if steps else 0)
    base = make_base(config, data, root)
    chain = _bind(config.chain, root, base, steps)
    chain.validate()
    start = recipe.prepare(chain, workdir)
    stages, previous = {}, start.checkpoint
    for name in STAGES:
        stage = recipe.chained(getattr(chain, name), previous, start.root)
        previous = recipe.stage_folder(workdir, name)
        stages[name] = train.run_stage(stage, previous)
    evaluations = recipe.export_and_ask(chain.evaluation, previous, workdir, root=root, blind=True)
    results = {
        "size": config.size,
        "trial_steps": steps,
        "parameters": _count_parameters(previous),
        "machine": f"{os.cpu_count()} CPU cores, {jax.devices()[0].device_kind}",
        "minutes_of_this_call": {"main": _minutes(started)},
        "rows": rows["rows"],
        "vqa_rad": rows["vqa_rad"],
        "stages": stages,
        "evaluations": {name: summary["benchmarks"] for name, summary in evaluations.items()},
        "ablation": None,
        **real_run_results.read(
            workdir / recipe.EVALUATION,
            stages={name: recipe.stage_folder(workdir, name) for name in STAGES},
            rephrased={*rows["vqa_rad"]["rephrased"]},
        ),
    }
    _write(workdir, results)  # the ablation takes as long again
    if config.ablation is not None:
        started = time.perf_counter()
        results["ablation"] = ablation.run(_bind(config.ablation, root, base, steps), workdir)
        results["minutes_of_this_call"]["ablation"] = _minutes(started)
        _write(workdir, results)
    return results


def make_base(config: real_run_config.RealRunConfig, data: Path, root: Path) -> Path:
    """The folder of the random model, made whole or not at all; one that is there is kept.

    Args:
      config: The size, the seed and the pixel limits.
      data: Folder of public data.
      root: The rows, whose texts train the tokenizer of a size without the real vocabulary.

    Raises:
      UserError: If the real tokenizer is needed and absent.
    """
    stage = config.chain.shallow_align
    is_real = sizes.get(config.size).special == sizes.get(sizes.PUBLISHED[0]).special
    return initial.make_random_folder(
        root.parent / BASE,
        config.size,
        tokenizer.load(data / "tokenizer_qwen2") if is_real else real_run_rows.texts(root),
        seed=stage.seed,
        min_pixels=stage.data.min_pixels,
        max_pixels=stage.data.max_pixels,
    )


def _bind(chain: Chain, root: Path, base: Path, steps: int) -> Chain:
    """A chain with its folders; where steps are given, short stages of small batches."""
    bound = dataclasses.replace(chain, hf=str(base), root=str(root))
    if not steps:
        return bound
    stages = {}
    for name in STAGES:
        stage = getattr(chain, name)
        data = dataclasses.replace(stage.data, rows_per_batch=1)
        stages[name] = dataclasses.replace(stage, data=data, epochs=0, steps=steps)
    return dataclasses.replace(bound, **stages)


def _minutes(started: float) -> float:
    return round((time.perf_counter() - started) / 60, 1)


def _count_parameters(workdir: Path) -> int:
    """Of the model that a stage's folder holds."""
    shapes = qwen2_5_vl.abstract_params(initial.find(workdir).size, jnp.dtype(jnp.float32))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def _write(workdir: Path, results: dict[str, Any]) -> None:
    """The tables and the page."""
    run_folder.write_json(workdir / "results.json", results)
    (workdir / "results.md").write_text(real_run_results.to_markdown(results), encoding="utf-8")
    report.write_recipe_page(
        workdir / report.REPORT,
        title=f"Real run, {results['size']}",
        stages={name: recipe.stage_folder(workdir, name) for name in STAGES},
        evaluations={name: workdir / recipe.EVALUATION / name for name in results["evaluations"]},
        facts={
            "parameters": results["parameters"],
            "machine": results["machine"],
            **{
                f"minutes, {name}": value for name, value in results["minutes_of_this_call"].items()
            },
        },
        notes=real_run_results.notes(results),
    )


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("data", None, "Folder of public data.")
    flags.DEFINE_enum("size", "small", real_run_config.SIZES, "Which of the two.")
    flags.DEFINE_string("workdir", None, "Folder of the run; continued if it exists.")
    flags.DEFINE_integer("steps", 0, "A trial of so many steps a stage.", lower_bound=0)


def main(argv: list[str]) -> None:
    """Runs and prints the tables."""
    del argv
    data, workdir = Path(cli.required("data")), Path(cli.required("workdir"))
    runtime.start()
    config = real_run_config.get_config(cli.flag("size"))
    results = run(config, data, workdir, steps=cli.flag("steps"))
    print(real_run_results.to_markdown(results))
    print(f"report: {workdir / report.REPORT}")


if __name__ == "__main__":
    cli.run(main, define_flags)
