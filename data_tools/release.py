# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a curation leaves behind its steps: mixtures with their manifests, and the data card.

OUTPUT/mixtures/NAME/    shards, manifest.json, fingerprints.parquet
OUTPUT/card.html
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_tools import card, manifest, steps
from data_tools import config as config_lib
from data_tools import mixture as mixture_lib
from data_tools import shards as shards_lib

CARD = "card.html"


def run(
    config: config_lib.CurationConfig,
    states: Sequence[steps.State],
    run_: steps.Run,
    counts: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Writes all of it that is missing.

    Args:
      config: Of the curation.
      states: After each step, ingest the first and the mixture the last.
      run_: How work is spread.
      counts: What is told of each step.

    Returns:
      By mixture its rows by split, and the sources that it names and that are not there.

    Raises:
      UserError: If a picture cannot be read any more, or a library is missing.
    """
    names = [source.name for source in config.sources]
    every = config.mixture.all_mixtures(names)
    region = config.filters.region
    writer = make_writer(config)
    state, made = shards_lib.write(writer, states[-1], run_)
    origins = manifest.origins(config.sources)
    choice = mixture_lib.read_choice(_plan(states[-1]))
    about = {"steps": counts, "config": dataclasses.asdict(config)}
    manifests = {
        name: one and manifest.write(one, state.folder, origins, choice=choice, about=about)
        for name, one in made.items()
    }
    card.write(
        run_.output / CARD,
        states,
        state.folder,
        manifests=manifests,
        origins=origins,
        region=region,
    )
    return {
        mixture.name: {
            "rows": found["rows"] if (found := manifests[mixture.name]) else {},
            "absent": [name for name in mixture.shares if name not in names],
        }
        for mixture in every
    }


def make_writer(config: config_lib.CurationConfig) -> shards_lib.Writer:
    """How the rows of a curation become shards.

    Args:
      config: Of the curation.
    """
    every = config.mixture.all_mixtures([source.name for source in config.sources])
    return shards_lib.Writer(
        mixtures=tuple(mixture.name for mixture in every),
        rows_per_shard=config.mixture.rows_per_shard,
        train_on={source.name: source.train_on for source in config.sources},
        region=config.filters.region,
        seed=config.seed,
    )


def _plan(state: steps.State) -> Path:
    return state.folder / steps.PLAN
