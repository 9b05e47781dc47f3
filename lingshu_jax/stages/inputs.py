# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a stage reads before it trains: the mixture's examples and the first weights."""

import dataclasses
import pathlib
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lingshu_jax.data import demo_rows, formats, sources
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import initial

BASE = "base"  # folder of a random checkpoint inside the workdir


class Mixture(NamedTuple):
    """All examples of a mixture.

    Attributes:
      examples: In the order of the sources, repeated as their weights say.
      dropped: Rows that were refused while reading.
      names: Of the sources that gave examples, in the order of `source_ids`.
    """

    examples: list[sources.Example]
    dropped: list[sources.Dropped]
    names: tuple[str, ...]


def read_mixture(config: stage_config.DataConfig, workdir: pathlib.Path) -> Mixture:
    """Reads every source; makes the demo's rows first where they are asked for.

    Args:
      config: Names the sources.
      workdir: The run's folder.

    Raises:
      UserError: If a file is missing or of an unknown format.
    """
    root = data_root(config, workdir)
    examples: list[sources.Example] = []
    dropped: list[sources.Dropped] = []
    for source in config.sources:
        reading = sources.read(source, root)
        examples += _weigh(reading.examples, source.weight, config.seed)
        dropped += reading.dropped
    names = tuple(dict.fromkeys(example.source for example in examples))
    return Mixture(examples, dropped, names)


def data_root(config: stage_config.DataConfig, workdir: pathlib.Path) -> pathlib.Path:
    """Folder that relative source paths start from; makes the demo's rows if it is theirs.

    Args:
      config: Names the root.
      workdir: The run's folder.
    """
    if config.root == stage_config.DEMO:
        return demo_rows.make(workdir / stage_config.DEMO).folder
    return pathlib.Path(config.root)


def find_initial(
    config: stage_config.StageConfig, mixture: Mixture, workdir: pathlib.Path
) -> initial.Initial:
    """The first weights; a random checkpoint is made in the workdir.

    Args:
      config: Names them.
      mixture: Its texts train the random checkpoint's tokenizer.
      workdir: The run's folder.

    Raises:
      UserError: If the folder is no checkpoint.
    """
    if config.model.init_from != stage_config.RANDOM:
        return initial.find(pathlib.Path(config.model.init_from))
    if config.data.root == stage_config.DEMO:
        corpus = demo_rows.load(workdir / stage_config.DEMO).corpus()
    else:
        corpus = _texts(mixture.examples)
    folder = initial.make_random_folder(
        workdir / BASE,
        config.model.size,
        corpus,
        seed=config.seed,
        min_pixels=config.data.min_pixels,
        max_pixels=config.data.max_pixels,
    )
    return initial.find(folder)


def write_dropped(workdir: pathlib.Path, dropped: Sequence[sources.Dropped]) -> None:
    """Writes `dropped.jsonl`: every refused row with its reason; empty when there is none.

    Args:
      workdir: The run's folder.
      dropped: From reading and from encoding.
    """
    formats.write_jsonl(workdir / "dropped.jsonl", (dataclasses.asdict(row) for row in dropped))


def _weigh(examples: list[sources.Example], weight: float, seed: int) -> list[sources.Example]:
    """Whole copies, then a seeded sample for the rest of the weight."""
    count = round(len(examples) * weight)
    copies, rest = divmod(count, max(len(examples), 1))
    return examples * copies + random.Random(seed).sample(examples, rest)


def _texts(examples: Sequence[sources.Example]) -> Iterator[str]:
    for example in examples:
        for message in example.messages:
            yield from (part["text"] for part in message["content"] if part["type"] == "text")
