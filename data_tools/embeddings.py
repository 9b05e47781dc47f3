# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors of the pictures of all rows, as tables beside the partitions.

    PLAN/vectors/<partition>    row, medium, vector: one for each picture that decodes
    PLAN/VERSION.json           of the model

Vectors have length 1 and 16 bits a value. Of a clip it is the middle frame's. A table that is there
is complete and never made again; a later step takes the vectors of an earlier one.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow
from jaxtyping import Float16, Float32
from PIL import Image
from pyarrow import compute, parquet

from data_tools import embedding_models, examples, steps
from data_tools import rows as rows_lib
from lingshu_jax.common import errors
from lingshu_jax.data import images

VECTORS, VERSION = "vectors", "VERSION.json"
Key = TypeVar("Key")
FACT = "embedded_in"  # the step whose plan has the vectors of a row


class Vectors(NamedTuple):
    """Vectors of pictures.

    Attributes:
      rows: Ids of their rows, N.
      media: Their places in their rows, N.
      values: Of length 1.
    """

    rows: list[str]
    media: list[int]
    values: Float16[np.ndarray, "N D"]

    def by_row(self) -> dict[str, list[int]]:
        """Where the vectors of each row are, in the order of its media."""
        found: dict[str, list[tuple[int, int]]] = {}
        for place, (row, medium) in enumerate(zip(self.rows, self.media, strict=True)):
            found.setdefault(row, []).append((medium, place))
        return {row: [place for _, place in sorted(pairs)] for row, pairs in found.items()}

    def means(self) -> dict[str, Float32[np.ndarray, " D"]]:
        """A vector of length 1 for each row: the mean of those of its pictures."""
        return {row: _mean(self.values[places]) for row, places in self.by_row().items()}


def plan(source: Path, folder: Path, run: steps.Run, config: embedding_models.Config) -> None:
    """Writes the tables that are missing.

    Args:
      source: Folder of the partitions.
      folder: Of the plan.
      run: How work is spread.
      config: What embeds; each of its processes does a share of the partitions.

    Raises:
      UserError: If the model cannot be loaded.
    """
    steps.write_json(folder / VERSION, {"version": embedding_models.version(config)})
    names = rows_lib.names(source)
    missing = [name for name in names if not (folder / VECTORS / name).is_file()]
    count = min(config.processes, len(missing))
    shares = [missing[number::count] for number in range(count)]
    work = functools.partial(_write_share, config, source, folder=folder, shares=shares)
    run.each(work, [str(number) for number in range(count)])


def read(folder: Path, part: str, wanted: pyarrow.Array | None = None) -> Vectors:
    """The vectors of a partition.

    Args:
      folder: Of the plan.
      part: Name of the partition.
      wanted: Ids of rows; None is all.
    """
    table = parquet.read_table(folder / VECTORS / part)
    if wanted is not None:
        table = table.filter(compute.field("row").isin(wanted))
    return _of_table(table)


def embed(
    media: Sequence[rows_lib.Medium], model: embedding_models.Model, batch_size: int
) -> dict[rows_lib.Medium, Float16[np.ndarray, " D"]]:
    """The vectors of pictures; one that does not decode has none.

    Args:
      media: Each is embedded once, however often it is there.
      model: That embeds.
      batch_size: Pictures at a time.
    """
    return dict(embed_pictures(_decoded(dict.fromkeys(media)), model, batch_size))


def embed_pictures(
    pictures: Iterable[tuple[Key, Image.Image]], model: embedding_models.Model, batch_size: int
) -> Iterator[tuple[Key, Float16[np.ndarray, " D"]]]:
    """The vectors of pictures, in their order.

    Args:
      pictures: Each with what it is called.
      model: That embeds.
      batch_size: Pictures at a time.
    """
    stream = iter(pictures)
    while batch := list(itertools.islice(stream, batch_size)):
        vectors = model.images([picture for _, picture in batch]).astype(np.float16)
        for (key, _), vector in zip(batch, vectors, strict=True):
            yield key, vector


def write(path: Path, vectors: Vectors) -> None:
    """Writes a table of vectors.

    Args:
      path: Of the file.
      vectors: Its content.
    """
    kind = pyarrow.list_(pyarrow.float16(), vectors.values.shape[1])
    columns = {
        "row": pyarrow.array(vectors.rows, pyarrow.string()),
        "medium": pyarrow.array(vectors.media, pyarrow.int32()),
        "vector": pyarrow.FixedSizeListArray.from_arrays(
            pyarrow.array(vectors.values.reshape(-1), pyarrow.float16()), type=kind
        ),
    }
    rows_lib.write_table(path, pyarrow.table(columns))


def read_file(path: Path) -> Vectors:
    """The vectors of a table of `write`."""
    return _of_table(parquet.read_table(path))


def middle(visual: Any, *, is_video: bool) -> Image.Image:
    """A picture, or the frame in the middle of a clip.

    Args:
      visual: As a row or a message names it.
      is_video: Whether it is a clip.

    Raises:
      UserError: If it does not decode.
    """
    if not is_video:
        return images.open_image(visual)
    visual = tuple(visual) if isinstance(visual, list) else visual
    place = images.read_shape(visual, is_video=True).num_frames // 2
    return next(itertools.islice(images.open_frames(visual), place, None))


def _write_share(
    config: embedding_models.Config,
    source: Path,
    number: str,
    *,
    folder: Path,
    shares: Sequence[Sequence[str]],
) -> None:
    """The tables of a share of the partitions; the model is loaded where it is needed first."""
    version = embedding_models.version(config)
    with contextlib.ExitStack() as stack:
        opened = functools.cache(lambda: stack.enter_context(embedding_models.opened(config)))
        for part in shares[int(number)]:
            rows = rows_lib.read(source / part)
            vectors = _of_rows(rows, _earlier(rows, folder, part, version), opened, config)
            write(folder / VECTORS / part, vectors)


def _of_rows(
    rows: Sequence[rows_lib.Row],
    known: dict[tuple[str, int], Float16[np.ndarray, " D"]],
    opened: Callable[[], embedding_models.Model],
    config: embedding_models.Config,
) -> Vectors:
    places = [(row.id, place) for row in rows for place in range(len(row.media))]
    media = [medium for row in rows for medium in row.media]
    new = [medium for place, medium in zip(places, media, strict=True) if place not in known]
    made = embed(new, opened(), config.batch_size) if new else {}
    found = [
        (place, known[place] if place in known else made[medium])
        for place, medium in zip(places, media, strict=True)
        if place in known or medium in made
    ]
    values = np.stack([value for _, value in found]) if found else np.zeros((0, 1), np.float16)
    return Vectors([row for (row, _), _ in found], [place for (_, place), _ in found], values)


def _earlier(
    rows: Sequence[rows_lib.Row], folder: Path, part: str, version: str
) -> dict[tuple[str, int], Float16[np.ndarray, " D"]]:
    """What an earlier step has, if its model was the same and its tables are still there."""
    found: dict[tuple[str, int], Float16[np.ndarray, " D"]] = {}
    names = {row.facts[FACT] for row in rows if FACT in row.facts}
    for name in sorted(names):
        plan_ = folder.parents[1] / name / steps.PLAN
        if not (plan_ / VECTORS / part).is_file():
            continue
        if steps.read_json(plan_ / VERSION)["version"] == version:
            vectors = read(plan_, part)
            keys = zip(vectors.rows, vectors.media, strict=True)
            found |= dict(zip(keys, vectors.values, strict=True))
    return found


def _decoded(
    media: Iterable[rows_lib.Medium],
) -> Iterator[tuple[rows_lib.Medium, Image.Image]]:
    for medium in media:
        try:
            yield medium, middle(examples.value(medium), is_video=medium.kind == "video")
        except errors.UserError:
            continue  # a later step drops it, and counts it


def _of_table(table: pyarrow.Table) -> Vectors:
    column = table["vector"].combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float16)
    return Vectors(
        table["row"].to_pylist(),
        table["medium"].to_pylist(),
        values.reshape(len(table), column.type.list_size),
    )


def _mean(vectors: Float16[np.ndarray, "N D"]) -> Float32[np.ndarray, " D"]:
    total = vectors.astype(np.float32).sum(0)
    return total / max(float(np.linalg.norm(total)), 1e-6)
