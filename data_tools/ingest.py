# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The first step: rows of every source, in its publisher's layout or a format, as partitions.

What a reader refuses is dropped with its reason. Nothing is decoded here: a picture is its file's
name, or the bytes that were embedded in its row.
"""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging

from data_tools import config as config_lib
from data_tools import deidentify, examples, source_rows, steps
from data_tools import rows as rows_lib
from lingshu_jax.data import sources

NAME = "ingest"
REFUSED = "refused"  # by the reader; its reason is the detail


def run(
    config: config_lib.CurationConfig, run_: steps.Run, cleaning: deidentify.Deidentify
) -> steps.State:
    """Reads all sources that are not read yet.

    Args:
      config: Of the curation.
      run_: How work is spread.
      cleaning: Makes pictures of DICOM and NIfTI files, so that no name of one reaches the disk.

    Raises:
      UserError: If a source cannot be read at all.
    """
    given = {**settings(config), cleaning.name: cleaning.settings()}
    state = steps.next_state(NAME, given, steps.State(Path(), "", 0), run_.output)
    names = [
        f"{place:03d}-{source.name}"
        for place, source in enumerate(config.sources)
        if not _marker(state.folder, place, source.name).is_file()
    ]
    logging.info("%s: %d of %d sources to read", NAME, len(names), len(config.sources))
    run_.each(functools.partial(_read, config, cleaning, state.folder), names)
    return state


def settings(config: config_lib.CurationConfig) -> dict[str, Any]:
    """What decides the rows: the sources as configured, with size and time of their files.

    Args:
      config: Of the curation.

    Raises:
      UserError: If a file is missing.
    """
    found = []
    for source in config.sources:
        files = source_rows.row_files(source, config.root)
        stats = [(file.name, file.stat().st_size) for file in files]
        found.append({**dataclasses.asdict(source), "files": stats})
    return {"sources": found, "rows_per_partition": config.rows_per_partition}


def _read(
    config: config_lib.CurationConfig,
    cleaning: deidentify.Deidentify,
    folder: Path,
    name: str,
) -> None:
    """The partitions of one source; those that are there are left alone."""
    place, _, source_name = name.partition("-")
    source = config.sources[int(place)]
    number = 0
    stream = iter(source_rows.stream(source, config.root))
    while chunk := list(itertools.islice(stream, config.rows_per_partition)):
        partition = f"{name}-{number:05d}{rows_lib.SUFFIX}"
        if not (folder / steps.ROWS / partition).is_file():
            steps.commit(folder, partition, _outcome(chunk, cleaning), given=len(chunk))
        number += 1
    steps.write_json(_marker(folder, int(place), source_name), {"partitions": number})


def _outcome(
    chunk: Sequence[sources.Example | sources.Dropped], cleaning: deidentify.Deidentify
) -> steps.Outcome:
    kept, dropped = [], []
    for row in chunk:
        if isinstance(row, sources.Dropped):
            dropped.append(
                rows_lib.Dropped(
                    id=f"{row.source}/{row.id}",
                    source=row.source,
                    line=row.line,
                    reason=REFUSED,
                    detail=row.reason,
                )
            )
        else:
            kept.append(examples.from_example(row))
    made = cleaning.convert(kept)
    return steps.Outcome(made.kept, [*dropped, *made.dropped])


def _marker(folder: Path, place: int, name: str) -> Path:
    return folder / "sources" / f"{place:03d}-{name}.json"
