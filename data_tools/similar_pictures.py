# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows whose pictures are near those of the evaluator's benchmarks, by their vectors.

Crops, overlays and new contrasts escape the hashes of `decontaminate`. What is near is a suspect:
two chests of two people are near each other too. So suspects are counted and told, with what they
are near to, and stay unless it is asked that they go.

    PLAN/benchmark_vectors.parquet    row: a benchmark's question
    PLAN/suspects/<partition>.json    of each row that is near one: the question, and the cosine
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from PIL import Image

from data_tools import embedding_models, embeddings, steps
from data_tools import rows as rows_lib
from lingshu_jax.common import errors, paths
from lingshu_jax.eval import catalog

REASON = "like a benchmark picture"
VECTORS, SUSPECTS, KEPT = "benchmark_vectors.parquet", "suspects", "kept_suspects"
_ROWS_AT_A_TIME = 4096


def plan(
    source: Path,
    folder: Path,
    run: steps.Run,
    embedding: embedding_models.Config,
    *,
    benchmarks: str,
    data_dir: str,
    threshold: float,
) -> None:
    """Finds the suspects of all partitions.

    Args:
      source: Folder of the partitions.
      folder: Of the plan.
      run: How work is spread.
      embedding: What embeds.
      benchmarks: Names or groups of the evaluator; what is missing is left out here.
      data_dir: Folder of their data.
      threshold: Cosine from which a picture is a suspect.
    """
    embeddings.plan(source, folder, run, embedding)
    if not (folder / VECTORS).is_file():
        pictures = _pictures(benchmarks, data_dir)
        with embedding_models.opened(embedding) as model:
            found = [*embeddings.embed_pictures(pictures, model, embedding.batch_size)]
        values = np.stack([value for _, value in found]) if found else np.zeros((0, 1), np.float16)
        names = [question for question, _ in found]
        embeddings.write(folder / VECTORS, embeddings.Vectors(names, [0] * len(names), values))
    missing = [part for part in rows_lib.names(source) if not _file(folder, part).is_file()]
    run.each(functools.partial(_write_suspects, folder, threshold), missing)


def read(folder: Path, part: str) -> dict[str, tuple[str, float]]:
    """The suspects of a partition: the question that a row is nearest to, and the cosine.

    Args:
      folder: Of the plan.
      part: Name of the partition.
    """
    found = steps.read_json(_file(folder, part))
    return {row: (question, near) for row, (question, near) in found.items()}


def write_kept(
    folder: Path,
    part: str,
    suspects: Mapping[str, tuple[str, float]],
    kept: Sequence[rows_lib.Row],
) -> None:
    """Writes which suspects stay.

    Args:
      folder: Of the plan.
      part: Name of the partition.
      suspects: Of the partition.
      kept: Its rows that stay.
    """
    found = []
    for row in kept:
        if row.id in suspects:
            question, near = suspects[row.id]
            found.append({"row": row.id, "source": row.source, "of": question, "cosine": near})
    steps.write_json(folder / KEPT / f"{Path(part).stem}.json", found)


def summarise(folder: Path) -> dict[str, Any]:
    """The suspects that stay, for the report.

    Args:
      folder: Of the plan.

    Returns:
      `by_source`, how many, and `examples`, the nearest ones.
    """
    found = [
        entry for path in sorted((folder / KEPT).glob("*.json")) for entry in steps.read_json(path)
    ]
    sources = sorted(entry["source"] for entry in found)
    found.sort(key=lambda entry: (-entry["cosine"], entry["row"]))
    return {
        "by_source": {source: sources.count(source) for source in dict.fromkeys(sources)},
        "examples": found[: steps.SHOWN],
    }


def _write_suspects(folder: Path, threshold: float, part: str) -> None:
    theirs = embeddings.read_file(folder / VECTORS)
    ours = embeddings.read(folder, part)
    nearest: dict[str, tuple[str, float]] = {}
    benchmark_values = theirs.values.astype(np.float32).T
    for start in range(0, len(ours.rows) if theirs.rows else 0, _ROWS_AT_A_TIME):
        piece = slice(start, start + _ROWS_AT_A_TIME)
        cosines = ours.values[piece].astype(np.float32) @ benchmark_values
        best = cosines.argmax(1)
        for row, place, values in zip(ours.rows[piece], best, cosines, strict=True):
            near = round(float(values[place]), 4)
            if near >= threshold and near > nearest.get(row, ("", -1.0))[1]:
                nearest[row] = (theirs.rows[place], near)
    steps.write_json(_file(folder, part), nearest)


def _pictures(benchmarks: str, data_dir: str) -> Iterator[tuple[str, Image.Image]]:
    """The pictures of all questions, each with the first that it is of."""
    place = paths.local(data_dir) if data_dir else None
    for item in catalog.choose(benchmarks, None) if benchmarks else ():
        try:
            samples = catalog.load(item, place)
        except errors.UserError as error:
            logging.warning("%s is not looked at: %s", item.card.name, error)
            continue
        seen: set[Any] = set()
        for sample in samples:
            for part in sample.media:
                visual = part[part["type"]]
                key = visual if isinstance(visual, str | bytes) else id(visual)
                if key in seen:
                    continue
                seen.add(key)
                try:
                    picture = embeddings.middle(visual, is_video=part["type"] == "video")
                except errors.UserError as error:
                    logging.warning("a picture of question %s: %s", sample.id, error)
                    continue
                yield f"{item.card.name}/{sample.id}", picture


def _file(folder: Path, part: str) -> Path:
    return folder / SUSPECTS / f"{Path(part).stem}.json"
