# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""What each part of the data is worth: stage 3 again and again, each time without a part.

    python -m lingshu_jax.ablation --config=configs/ablation.py:7b --workdir=DIR

Stages 1 and 2 are trained once; every variant trains stage 3 from them, is exported and
evaluated. What is finished is not done again, so the same command continues where it was
interrupted, and variants may be added to the config of an ablation that is there.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from absl import flags, logging

from lingshu_jax import ablation_tables, recipe, train
from lingshu_jax.common import cli, errors, paths, runtime
from lingshu_jax.data import mixtures, sources
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import run_folder

ALIGNMENT = ("shallow_align", "deep_align")
VARIANTS = "variants"  # folder inside the workdir
# What a variant may leave out of the alignment: the later stages first, since each needs the
# one before it.
SKIPS = ((), ("deep_align",), ALIGNMENT)


@dataclasses.dataclass(kw_only=True)
class Variant:
    """A model of which something is left out.

    Attributes:
      name: Of its folder and its row: lower-case letters, digits and underscores.
      without: Groups of sources that stage 3 does not read.
      fraction: Of every source's rows that stage 3 reads; a smaller one is part of a larger.
      skip_stages: Stages that it does not have: none, ("deep_align",), or both alignments.
      published: Scores in percent that a paper prints for it, by benchmark; "mean" is over the
        paper's own benchmarks.
    """

    name: str
    without: tuple[str, ...] = ()
    fraction: float = 1.0
    skip_stages: tuple[str, ...] = ()
    published: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Whether nothing is left out."""
        return not self.without and not self.skip_stages and self.fraction == 1

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        if not re.fullmatch(r"[a-z0-9_]+", self.name):
            raise errors.UserError(
                f"a variant's name must be of a-z, 0-9 and underscores, got {self.name!r}"
            )
        for field, value, is_good, allowed in (
            ("fraction", self.fraction, 0 < self.fraction <= 1, "in (0, 1]"),
            ("skip_stages", self.skip_stages, self.skip_stages in SKIPS, f"one of {SKIPS}"),
            (
                "without",
                self.without,
                set(self.without) <= set(sources.GROUPS),
                f"some of {sources.GROUPS}",
            ),
        ):
            if not is_good:
                raise errors.UserError(
                    f"variant {self.name!r}: {field} must be {allowed}, got {value!r}"
                )


@dataclasses.dataclass(kw_only=True)
class AblationConfig(recipe.ChainConfig):
    """Stages 1 to 3, and what is left out of them in turn.

    With `evaluation.blind` the first variant is also asked with every image greyed out.

    Attributes:
      variants: The first leaves nothing out: the others are compared with it.
    """

    variants: tuple[Variant, ...]

    def validate(self) -> None:
        """Raises UserError naming the first field that is out of range."""
        super().validate()
        for variant in self.variants:
            variant.validate()
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise errors.UserError(f"config.variants must have distinct names, got {names}")
        if not self.variants or not self.variants[0].is_full:
            raise errors.UserError(
                "config.variants must begin with one that leaves nothing out, got "
                f"{names[0] if names else 'none'!r}"
            )


class Plan(NamedTuple):
    """What becomes of a variant.

    Attributes:
      variant: Which.
      data: What its stage 3 reads; the root is not set yet.
      reason: Why it is not applicable to the mixture; "" if it is.
      same_as: Name of an earlier variant that is the same run, or "".
    """

    variant: Variant
    data: stage_config.DataConfig
    reason: str = ""
    same_as: str = ""


def run(config: AblationConfig, workdir: pathlib.Path) -> dict[str, Any]:
    """Trains and evaluates what is not finished yet and writes the tables.

    Args:
      config: Not yet validated.
      workdir: The ablation's folder: `tables.json`, `.csv`, `.md` and `.html`, and below
        `variants/NAME` the stage, the exported model and the evaluation of each.

    Returns:
      The content of `tables.json`, see `ablation_tables.make`.

    Raises:
      UserError: If an input cannot be used.
    """
    config.validate()
    workdir = workdir.absolute()
    run_folder.open_run(config, workdir)
    run_folder.begin(config, workdir)
    start = recipe.prepare(config, workdir)
    data = config.instruct.data
    wanted = mixtures.without(data.sources, data.without)
    present = mixtures.present(wanted, start.root, skip_absent=data.skip_absent)
    places = [start.checkpoint]
    for name in ALIGNMENT:
        logging.info("stage %s", name)
        stage = recipe.chained(getattr(config, name), places[-1], start.root)
        places.append(recipe.stage_folder(workdir, name))
        train.run_stage(stage, places[-1])
    tables: dict[str, Any] = {}
    results: list[ablation_tables.Result] = []
    for planned in plan(config, present):
        previous = places[len(ALIGNMENT) - len(planned.variant.skip_stages)]
        folder = workdir / VARIANTS / (planned.same_as or planned.variant.name)
        stage = dataclasses.replace(config.instruct, data=planned.data)
        stage = recipe.chained(stage, previous, start.root)
        results.append(_run_variant(planned, stage, config.evaluation, folder=folder))
        tables = ablation_tables.make(results)
        ablation_tables.write(workdir, tables)
    return tables


def plan(config: AblationConfig, present: Sequence[sources.Source]) -> Iterator[Plan]:
    """What each variant reads in stage 3, and which of them there is nothing to train for.

    Args:
      config: Validated.
      present: The sources of stage 3 that are there.
    """
    data = config.instruct.data
    known = {source.group for source in present}
    seen: dict[Any, str] = {}
    for variant in config.variants:
        removed = tuple(group for group in variant.without if group in known)
        left = tuple(source.name for source in present if source.group not in removed)
        reason = ""
        if variant.without and not removed:
            reason = f"no source of the mixture is of {' or '.join(variant.without)}"
        elif not left:
            reason = "no source of the mixture would be left"
        asked = dataclasses.replace(
            data,
            without=(*data.without, *removed),
            fraction=data.fraction * variant.fraction,
        )
        key = (left, variant.fraction, variant.skip_stages)
        same_as = "" if reason else seen.setdefault(key, variant.name)
        yield Plan(variant, asked, reason, same_as if same_as != variant.name else "")


def _run_variant(
    planned: Plan,
    stage: stage_config.StageConfig,
    asked: recipe.EvaluationConfig,
    *,
    folder: pathlib.Path,
) -> ablation_tables.Result:
    """Trains stage 3 as planned, exports and evaluates it."""
    variant = planned.variant
    described = ablation_tables.Result(
        name=variant.name,
        removed=_describe(variant),
        is_scaling=variant.fraction < 1,
        reason=planned.reason,
        same_as=planned.same_as,
        published=variant.published,
    )
    if planned.reason:
        logging.info("variant %s: not applicable, %s", variant.name, planned.reason)
        return described
    logging.info("variant %s", variant.name)
    trained, evaluation = recipe.stage_folder(folder, stage.stage), folder / recipe.EVALUATION
    summary = train.run_stage(stage, trained)
    blind = asked.blind and variant.is_full
    root = pathlib.Path(stage.data.root)
    recipe.export_and_ask(asked, trained, folder, root=root, blind=blind)
    return dataclasses.replace(
        described,
        stage=summary,
        evaluation=evaluation / "after",
        blind=evaluation / "blind" if blind else None,
    )


def _describe(variant: Variant) -> str:
    """What is left out, in words."""
    parts = [*variant.without, *(f"stage {name}" for name in variant.skip_stages)]
    if variant.fraction < 1:
        parts.append(f"all but {variant.fraction:.0%} of the rows")
    return ", ".join(parts).replace("_", " ")


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config(example="configs/ablation.py:7b")
    flags.DEFINE_string(
        "workdir", None, "Folder of the ablation, or s3:// or gs://; continued if it exists."
    )


def main(argv: list[str]) -> None:
    """Reads the flags, runs the ablation, prints its tables."""
    del argv
    address, config = cli.required("workdir"), cli.required("config")
    runtime.start()
    with paths.opened(address) as workdir:
        tables = run(config, workdir)
    print(ablation_tables.to_markdown(tables))
    print(f"tables: {address}/tables.html")


if __name__ == "__main__":
    cli.run(main, define_flags)
