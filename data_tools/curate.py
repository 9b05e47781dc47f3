# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Curates a training mixture: `python -m data_tools.curate --config=FILE.py --output=DIR`.

Sources are read, filtered, freed of duplicates and of benchmark questions, and mixed into shards
with a manifest. The same command goes on where it was interrupted; with other settings it goes on
from the first step that they change. `--runner=ray` works on a Ray cluster, with the same output.
"""

from pathlib import Path
from typing import Any

from absl import flags

from data_tools import config as config_lib
from data_tools import (
    decontaminate,
    dedup_embeddings,
    dedup_images,
    dedup_texts,
    deidentify,
    engine,
    filters,
    ingest,
    mixture,
    modality,
    release,
    scans,
    steps,
)
from lingshu_jax.common import cli, paths


def run(config: config_lib.CurationConfig, output: Path) -> dict[str, Any]:
    """Does all that is missing of a curation; `engine.start` comes before.

    Args:
      config: What to curate, and how.
      output: Folder; missing, empty, or of an earlier curation.

    Returns:
      The content of summary.json: the steps with their counts, and the rows of the mixtures.

    Raises:
      UserError: If the config or an input cannot be used.
    """
    config.validate()
    run_ = steps.Run(output=output, workers=config.num_workers)
    first, *others = make_steps(config, output)
    assert isinstance(first, deidentify.Deidentify), "ingest needs it too"
    states = [ingest.run(config, run_, first)]
    for step in (first, *others):
        states.append(steps.run_step(step, states[-1], run_))
    counts = [describe(state) for state in states]
    summary = {"steps": counts, "mixtures": release.run(config, states, run_, counts)}
    steps.write_json(output / "summary.json", summary)
    return summary


def make_steps(config: config_lib.CurationConfig, output: Path) -> list[steps.Step]:
    """The steps after ingest, in their order.

    Args:
      config: Of the curation.
      output: Its folder, which keeps the secret of its hashes.
    """
    secret = scans.salt(output, config.deidentify.salt)
    return [
        deidentify.Deidentify(config.deidentify, secret),
        filters.Filters(config.filters, config.kinds),
        modality.Modality(config.modality, config.embeddings, config.declared),
        dedup_images.DedupImages(config.dedup_images, config.kinds),
        *_embedding_steps(config),
        dedup_texts.DedupTexts(config.dedup_texts, config.kinds),
        decontaminate.Decontaminate(config.decontaminate, config.embeddings),
        mixture.Mix(config.mixture, tuple(config.kinds), config.seed),
    ]


def _embedding_steps(config: config_lib.CurationConfig) -> list[steps.Step]:
    """The second look for duplicates, where pictures are embedded."""
    if not config.dedup_embeddings.is_on(config.embeddings):
        return []
    step = dedup_embeddings.DedupEmbeddings(
        config.dedup_embeddings, config.dedup_images, config.embeddings, config.kinds
    )
    return [step]


def describe(state: steps.State) -> dict[str, Any]:
    """A finished step: its folder, and its counts by source and together.

    Args:
      state: After the step.
    """
    by_source = steps.read_counts(state.folder)
    return {
        "name": state.folder.name.partition("_")[2].rpartition("-")[0],
        "folder": state.folder.name,
        "in": sum(counts["in"] for counts in by_source.values()),
        "out": sum(counts["out"] for counts in by_source.values()),
        "by_source": by_source,
    }


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config(example="configs/curation.py:.")
    flags.DEFINE_string("output", None, "Folder that everything is written to.")
    flags.DEFINE_enum("runner", "local", ["local", "ray"], "Where the work is done.")
    flags.DEFINE_string("ray_address", "", "Of a Ray cluster; default: one on this machine.")


def main(argv: list[str]) -> None:
    """Curates as the flags say and prints a line a step."""
    del argv
    config, address = cli.required("config"), cli.required("output")
    engine.start(cli.flag("runner"), address=cli.flag("ray_address"))
    with paths.opened(address) as output:
        summary = run(config, output)
    for step in summary["steps"]:
        print(f"{step['name']}: {step['in']:,} rows in, {step['out']:,} out")
    for name, found in summary["mixtures"].items():
        rows = ", ".join(f"{count:,} {split}" for split, count in found["rows"].items())
        absent = f"; absent: {', '.join(found['absent'])}" if found["absent"] else ""
        print(f"mixture {name}: {rows or 'no rows'}{absent}")


if __name__ == "__main__":
    cli.run(main, define_flags)
