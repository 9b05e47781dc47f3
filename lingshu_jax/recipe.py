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
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from absl import flags, logging

from lingshu_jax import convert, dry_run, evaluate, export, lineage, model_card, train
from lingshu_jax.common import checkpoints, cli, errors, hub, paths, runtime
from lingshu_jax.data import demo_rows
from lingshu_jax.engines import registry
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
class ChainConfig:
    """The supervised stages, each from the weights of the one before it, and an evaluation.

    A stage's own `init_from` and `data.root` are not read.

    Attributes:
      hf: Hugging Face folder to start from; "random" makes the tiny random one.
      root: Data root of all stages; "demo" makes the demo's rows.
      images: With root "demo": a folder of DICOM, NIfTI, PNG or JPEG files to make the rows
        from; "" takes those inside the installed libraries.
      shallow_align: Stage 1.
      deep_align: Stage 2.
      instruct: Stage 3.
      evaluation: What models are asked.
    """

    hf: str
    root: str
    images: str = ""
    shallow_align: stage_config.StageConfig
    deep_align: stage_config.StageConfig
    instruct: stage_config.StageConfig
    evaluation: EvaluationConfig

    def validate(self) -> None:
        """Raises UserError naming the first field that is out of range."""
        for name in filter(self.__dict__.__contains__, STAGES):  # an ablation has no stage 4
            stage = getattr(self, name)
            try:
                stage.validate()
            except errors.UserError as error:  # a stage says config.steps; here it is one of four
                text = str(error)
                end = text.removeprefix("config.")
                where = f"config.{name}." if end != text else f"config.{name}: "
                raise errors.UserError(where + end) from error
            if stage.stage != name:
                raise errors.UserError(f"config.{name}.stage must be {name!r}, got {stage.stage!r}")
        if self.hf == stage_config.RANDOM and self.root != stage_config.DEMO:
            raise errors.UserError(
                "config.hf 'random' needs config.root 'demo', whose texts train its tokenizer; "
                f"got {self.root!r}"
            )


@dataclasses.dataclass(kw_only=True)
class RecipeConfig(ChainConfig):
    """Four stages that hand their weights on, then export and evaluation.

    Attributes:
      rl: Stage 4.
      stages: Which stages are run, in their order; the first of them starts from `hf`.
    """

    rl: rl_config.RLStageConfig
    stages: tuple[str, ...] = STAGES

    def validate(self) -> None:
        """Raises UserError naming the first field that is out of range."""
        super().validate()
        if not self.stages or self.stages != tuple(s for s in STAGES if s in self.stages):
            raise errors.UserError(
                f"config.stages must be some of {STAGES} in this order, got {self.stages!r}"
            )


class Start(NamedTuple):
    """What the first stage of a chain begins with.

    Attributes:
      root: Data root of all stages.
      base: The Hugging Face folder.
      checkpoint: The same, converted.
    """

    root: pathlib.Path
    base: pathlib.Path
    checkpoint: pathlib.Path


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
    start = prepare(config, workdir)
    asked, root = config.evaluation, start.root
    # By its own name, which is the same on every machine.
    base = str(start.base) if config.hf == stage_config.RANDOM else config.hf
    before = ask(asked, base, workdir / EVALUATION / "before", root=root)
    stages, previous = {}, start.checkpoint
    for name in config.stages:
        logging.info("stage %s", name)
        stage = chained(getattr(config, name), previous, root)
        previous = stage_folder(workdir, name)
        stages[name] = train.run_stage(stage, previous)
    after = export_and_ask(asked, previous, workdir, root=root, blind=asked.blind)
    evaluations = {"before": before, **after}
    summary = {"stages": stages, "evaluations": evaluations}
    run_folder.finish(workdir, summary)
    return summary


def plan(config: RecipeConfig) -> Iterator[str]:
    """What every stage would do, line by line, without doing it.

    Args:
      config: Not yet validated.

    Raises:
      UserError: If an input cannot be used.
    """
    config.validate()
    yield f"stages {', '.join(config.stages)}, then export and evaluation; starts from {config.hf}"
    with tempfile.TemporaryDirectory(prefix="dry_run-") as name:
        workdir = pathlib.Path(name)
        root, start = _make_root(config, workdir), None
        if config.hf == stage_config.RANDOM:
            texts = demo_rows.load(workdir / stage_config.DEMO).corpus()
            start = dry_run.random_start(config.shallow_align, workdir / BASE, texts)
        for stage in config.stages:
            folder = stage_folder(workdir, stage)
            yield ""
            # A stage's first weights are those of the one before it, which is of the same sizes.
            chosen = chained(getattr(config, stage), config.hf, root)
            yield from dry_run.describe(chosen, folder, start=start)
    asked = config.evaluation
    times = "before and after" + ", and blind" * asked.blind
    yield f"\nevaluation: {asked.benchmarks}, {times}; answers of {asked.max_new_tokens:,} tokens"


def prepare(config: ChainConfig, workdir: pathlib.Path) -> Start:
    """Makes what is not there yet: the demo's rows, the random model, the base's checkpoint.

    Args:
      config: Validated.
      workdir: The folder of the chain.

    Raises:
      UserError: If the base or the images cannot be used.
    """
    root = _make_root(config, workdir)
    base = _find_base(config, workdir)
    checkpoint = workdir / lineage.CHECKPOINT
    if not checkpoints.has_step(checkpoint):
        convert.convert(base, checkpoint)
    return Start(root, base, checkpoint)


def chained(
    stage: stage_config.StageConfig, previous: pathlib.Path | str, root: pathlib.Path
) -> stage_config.StageConfig:
    """A stage that starts from the previous one and reads under the common root.

    Args:
      stage: As the config has it.
      previous: A checkpoint folder, the workdir of a stage, or what a recipe starts from.
      root: Of the data.
    """
    return dataclasses.replace(
        stage,
        model=dataclasses.replace(stage.model, init_from=str(previous)),
        data=dataclasses.replace(stage.data, root=str(root)),
    )


def export_and_ask(
    asked: EvaluationConfig,
    trained: pathlib.Path,
    workdir: pathlib.Path,
    *,
    root: pathlib.Path,
    blind: bool,
) -> dict[str, dict[str, Any]]:
    """Exports a trained model and evaluates it, as far as that is not done yet.

    Args:
      asked: What is asked.
      trained: The workdir of its last stage.
      workdir: Gets the folders `export` and `evaluation`.
      root: Of the benchmarks' data where `asked` names none.
      blind: Asks a second time with every image greyed out.

    Returns:
      Summaries by `after` and `blind`.

    Raises:
      UserError: If an input cannot be used.
    """
    exported, folder = workdir / EXPORT, workdir / EVALUATION
    if not (exported / "config.json").is_file():  # the last file that is sent
        paths.remove(exported)
        export.export(trained, exported)
        paths.push(exported)
    evaluations = {"after": ask(asked, exported, folder / "after", root=root)}
    if blind:
        evaluations["blind"] = ask(asked, exported, folder / "blind", root=root, blind=True)
    model_card.write(exported, trained, evaluation=folder)
    return evaluations


def ask(
    asked: EvaluationConfig,
    model: str | pathlib.Path,
    folder: pathlib.Path,
    *,
    root: pathlib.Path,
    blind: bool = False,
) -> dict[str, Any]:
    """Evaluates a model; what is answered already is not asked again.

    Args:
      asked: What.
      model: A Hugging Face folder, or a hub id.
      folder: Of the evaluation.
      root: Of the benchmarks' data where `asked` names none.
      blind: With every image greyed out.

    Returns:
      The content of summary.json.

    Raises:
      UserError: If an input cannot be used.
    """
    settings = runner.Settings(
        model=str(model),
        engine="jax",
        benchmarks=asked.benchmarks,
        data_dir=asked.data_dir or str(root),
        max_new_tokens=asked.max_new_tokens,
        prompt=asked.prompt,
        blind=blind,
    )
    options = registry.Options(rows=asked.batch_size)
    return evaluate.run(settings, folder, options=options)


def _make_root(config: ChainConfig, workdir: pathlib.Path) -> pathlib.Path:
    if config.root != stage_config.DEMO:
        return paths.local(config.root)
    images = pathlib.Path(config.images) if config.images else None
    return demo_rows.make(workdir / stage_config.DEMO, images).folder


def _find_base(config: ChainConfig, workdir: pathlib.Path) -> pathlib.Path:
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


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config(example="configs/recipe.py:7b")
    flags.DEFINE_string(
        "workdir", None, "Folder of the recipe, or s3:// or gs://; continued if it exists."
    )
    flags.DEFINE_bool(
        "dry_run", False, "Prints the plan of all stages, as --dry_run of train does of one."
    )


def main(argv: list[str]) -> None:
    """Reads the flags, runs the recipe, prints its end."""
    del argv
    config = cli.required("config")
    if cli.flag("dry_run"):
        runtime.start(keeps_programs=False)
        for line in plan(config):
            print(line, flush=True)
        return
    address = cli.required("workdir")
    runtime.start()
    with paths.opened(address) as workdir:
        summary = run(config, workdir)
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    cli.run(main, define_flags)
