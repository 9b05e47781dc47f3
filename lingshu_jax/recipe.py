# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The four stages, export and evaluation in order.

    python -m lingshu_jax.recipe --config=configs/recipe.py:7b --workdir=DIR

Every part is the command of its own name; a part that is finished is not done again, so the
same command continues where it was interrupted.
"""

import dataclasses
import json
import pathlib
from typing import Any

from absl import flags, logging

from lingshu_jax import convert, evaluate, export, lineage, model_card, train
from lingshu_jax.common import cli, errors, hub, runtime
from lingshu_jax.data import demo_rows
from lingshu_jax.eval import runner
from lingshu_jax.rl import config as rl_config
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import initial, run_folder

BASE, EXPORT, EVALUATION = "base", "export", "evaluation"
STAGES = stage_config.STAGES


@dataclasses.dataclass(kw_only=True)
class EvaluationConfig:
    """What is asked before the first and after the last stage.

    Attributes:
      benchmarks: Comma list of names.
      data_dir: Folder of their data; the demo's rows where the recipe's root is "demo".
      max_new_tokens: Longest answer.
      batch_size: Rows generated at a time.
      prompt: "direct", or "think" for the form that stage 4 is paid for.
      blind: Also asks with every image greyed out, after the last stage.
    """

    benchmarks: str
    data_dir: str = ""
    max_new_tokens: int
    batch_size: int = 32
    prompt: str = "direct"
    blind: bool = True


@dataclasses.dataclass(kw_only=True)
class RecipeConfig:
    """Four stages that hand their weights on, then export and evaluation.

    Each stage starts from the one before it: their own `init_from` is not read.

    Attributes:
      hf: Hugging Face folder to start from; "random" makes the tiny random one.
      root: Data root of all stages; "demo" makes the demo's rows.
      images: With root "demo": a folder of DICOM, NIfTI, PNG or JPEG files to make the rows
        from; "" takes those inside the installed libraries.
      shallow_align: Stage 1.
      deep_align: Stage 2.
      instruct: Stage 3.
      rl: Stage 4.
      evaluation: Before and after.
    """

    hf: str
    root: str
    images: str = ""
    shallow_align: stage_config.StageConfig
    deep_align: stage_config.StageConfig
    instruct: stage_config.StageConfig
    rl: rl_config.RLStageConfig
    evaluation: EvaluationConfig

    def validate(self) -> None:
        """Raises UserError naming the first field that is out of range."""
        for name in STAGES:
            stage = getattr(self, name)
            stage.validate()
            if stage.stage != name:
                raise errors.UserError(f"config.{name}.stage must be {name!r}, got {stage.stage!r}")
        if self.hf == stage_config.RANDOM and self.root != stage_config.DEMO:
            raise errors.UserError(
                "config.hf 'random' needs config.root 'demo', whose texts train its tokenizer; "
                f"got {self.root!r}"
            )


def stage_folder(workdir: pathlib.Path, name: str) -> pathlib.Path:
    """Where a stage of a recipe is trained.

    Args:
      workdir: The recipe's folder.
      name: One of `STAGES`.
    """
    return workdir / f"stage{STAGES.index(name) + 1}_{name}"


def run(config: RecipeConfig, workdir: pathlib.Path) -> dict[str, Any]:
    """Runs what is not finished yet.

    Args:
      config: Not yet validated.
      workdir: The recipe's folder.

    Returns:
      `stages` (their summaries by name) and `evaluations` (summaries by `before`, `after`,
      `blind`), as in `finished.json`.

    Raises:
      UserError: If an input cannot be used.
    """
    config.validate()
    workdir = workdir.absolute()
    finished = run_folder.open_run(config, workdir)
    if finished is not None:
        return finished
    run_folder.begin(config, workdir)
    root = _make_root(config, workdir)
    base = _find_base(config, workdir)
    previous = workdir / lineage.CHECKPOINT
    if not (previous / "0").is_dir():
        convert.convert(base, previous)
    folder = workdir / EVALUATION
    evaluations = {"before": _evaluate(config.evaluation, base, folder / "before", root=root)}
    stages = {}
    for name in STAGES:
        logging.info("stage %s", name)
        stages[name] = train.run_stage(
            _chained(config, name, previous, root), stage_folder(workdir, name)
        )
        previous = stage_folder(workdir, name)
    exported = workdir / EXPORT
    if not exported.is_dir():
        export.export(previous, exported)
    evaluations["after"] = _evaluate(config.evaluation, exported, folder / "after", root=root)
    if config.evaluation.blind:
        evaluations["blind"] = _evaluate(
            config.evaluation, exported, folder / "blind", root=root, blind=True
        )
    if runtime.is_main_host():
        model_card.write(exported, previous, evaluation=folder)
    summary = {"stages": stages, "evaluations": evaluations}
    run_folder.finish(workdir, summary)
    return summary


def _make_root(config: RecipeConfig, workdir: pathlib.Path) -> pathlib.Path:
    if config.root != stage_config.DEMO:
        return pathlib.Path(config.root)
    images = pathlib.Path(config.images) if config.images else None
    return demo_rows.make(workdir / stage_config.DEMO, images).folder


def _find_base(config: RecipeConfig, workdir: pathlib.Path) -> pathlib.Path:
    if config.hf != stage_config.RANDOM:
        return hub.resolve(config.hf, "--config.hf")
    data = config.shallow_align.data
    return initial.make_random_folder(
        workdir / BASE,
        stage_config.TINY,
        demo_rows.load(workdir / stage_config.DEMO).corpus(),
        seed=config.shallow_align.seed,
        min_pixels=data.min_pixels,
        max_pixels=data.max_pixels,
    )


def _chained(
    config: RecipeConfig, name: str, previous: pathlib.Path, root: pathlib.Path
) -> stage_config.StageConfig:
    """A stage that starts from the previous one and reads under the common root."""
    stage = getattr(config, name)
    return dataclasses.replace(
        stage,
        model=dataclasses.replace(stage.model, init_from=str(previous)),
        data=dataclasses.replace(stage.data, root=str(root)),
    )


def _evaluate(
    asked: EvaluationConfig,
    model: pathlib.Path,
    folder: pathlib.Path,
    *,
    root: pathlib.Path,
    blind: bool = False,
) -> dict[str, Any]:
    settings = runner.Settings(
        model=str(model),
        engine="jax",
        benchmarks=asked.benchmarks,
        data_dir=asked.data_dir or str(root),
        max_new_tokens=asked.max_new_tokens,
        prompt=asked.prompt,
        blind=blind,
    )
    return evaluate.run(settings, folder, batch_size=asked.batch_size)


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config()
    flags.DEFINE_string("workdir", None, "Folder of the recipe; continued if it exists.")


def main(argv: list[str]) -> None:
    """Reads the flags, runs the recipe, prints its end."""
    del argv
    workdir, config = pathlib.Path(cli.required("workdir")), cli.required("config")
    runtime.start()
    summary = run(config, workdir)
    if runtime.is_main_host():
        print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    cli.run(main, define_flags)
