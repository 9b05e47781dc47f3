# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Mixtures as ArrayRecord shards that TFDS, grain and our format `tfds` read.

    OUTPUT/mixtures/NAME/NAME-train.array_record-00000-of-00004
                         NAME-validation.array_record-00000-of-00001
                         features.json, dataset_info.json

Each partition's rows become records once, in the step's own folder (`records.py`). The rows of a
mixture then stand in the order of a hash of their ids, cut into shards of equal length, and each
shard fetches its records: rows are in memory one shard at a time, and what is written does not
depend on how many work. A shard is written whole, and one that is there is not written again.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
from pyarrow import compute, parquet

from data_tools import mixture as mixture_lib
from data_tools import records as records_lib
from data_tools import rows as rows_lib
from data_tools import splits, steps
from lingshu_jax.common import paths
from lingshu_jax.data import fingerprint_files, fingerprints, sources

NAME = "shards"
FOLDER, RECORDS, INDEX, PRINTS, ORDERS = "mixtures", "records", "index", "prints", "orders"
SUMS = "sums"
STAMP = "state.json"
TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_OPTIONS = "group_size:1"  # each record can be read alone
_LIBRARIES = ("array_record", "tensorflow-datasets", "pillow", "phonenumbers")
# What is known of every row that is in a mixture, in the order of the records of its partition.
INDEX_SCHEMA = pyarrow.schema(
    [
        ("order", pyarrow.uint64()),
        ("split", pyarrow.string()),
        ("mixtures", pyarrow.list_(pyarrow.string())),
        ("source", pyarrow.string()),
        ("modality", pyarrow.string()),
        ("language", pyarrow.string()),
        ("characters", pyarrow.int64()),
        ("sizes", pyarrow.list_(pyarrow.list_(pyarrow.int32()))),
        ("media", pyarrow.int64()),
        ("is_made", pyarrow.bool_()),
    ]
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Writer:
    """How rows become records and shards; a plain object that can go to other processes.

    Attributes:
      mixtures: Names of all.
      rows_per_shard: At most.
      train_on: Of the sources, by name.
      region: As in `filter_texts.personal`.
      seed: Of the order.
    """

    mixtures: Sequence[str]
    rows_per_shard: int
    train_on: Mapping[str, str]
    region: str = "US"
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """What decides the bytes of the shards."""
        versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
        return {
            **dataclasses.asdict(self),
            "version": records_lib.VERSION,
            "texts": fingerprints.TEXT_VERSION,
            "libraries": versions,
        }


class Shard(NamedTuple):
    """A shard.

    Attributes:
      file: Its name.
      rows: How many records.
      bytes: Its size.
      sha256: Of its content.
    """

    file: str
    rows: int
    bytes: int
    sha256: str


class Made(NamedTuple):
    """A mixture that was written.

    Attributes:
      name: Its name.
      folder: Where it lies.
      shards: By split, in their order.
    """

    name: str
    folder: Path
    shards: dict[str, list[Shard]]


def write(
    writer: Writer, state: steps.State, run: steps.Run
) -> tuple[steps.State, dict[str, Made | None]]:
    """Writes what is missing of all mixtures.

    Args:
      writer: How.
      state: After the step `mixture`.
      run: How work is spread.

    Returns:
      The state with the folder of the records, and each mixture by name; None if it has no rows.

    Raises:
      UserError: If a picture cannot be read any more, or a library is missing.
    """
    after = steps.next_state(NAME, writer.settings(), state, run.output)
    folder, source = after.folder, state.folder / steps.ROWS
    parts = rows_lib.names(source)
    missing = [part for part in parts if not (folder / INDEX / part).is_file()]
    run.each(functools.partial(_write_records, writer, source, folder), missing)
    (folder / INDEX).mkdir(parents=True, exist_ok=True)
    lengths = _write_orders(writer, folder, parts)
    wanted: dict[str, list[str]] = {}
    for stamp in (run.output / FOLDER).glob(f"*/{STAMP}"):
        if stamp.parent.name not in writer.mixtures:
            shutil.rmtree(stamp.parent)
    for name in writer.mixtures:
        target = run.output / FOLDER / name
        _clear(target, after.digest if lengths[name] else "")
        wanted[name] = [
            shard_name(name, split, number, _num_shards(writer, rows))
            for split, rows in lengths[name].items()
            for number in range(_num_shards(writer, rows))
        ]
    places = [f"{name}/{file}" for name, files in wanted.items() for file in files]
    missing = [place for place in places if not (run.output / FOLDER / place).is_file()]
    run.each(functools.partial(_write_shard, folder, run.output / FOLDER), missing)
    made: dict[str, Made | None] = dict.fromkeys(writer.mixtures)
    for name, files in wanted.items():
        if files:
            made[name] = _finish(folder, run.output / FOLDER / name, files)
    return after, made


def shard_name(name: str, split: str, number: int, count: int) -> str:
    """The name of a shard, as TFDS has them.

    Args:
      name: Of the mixture.
      split: "train" or "validation".
      number: From 0.
      count: Of the split.
    """
    return f"{name}-{split}.array_record-{number:05d}-of-{count:05d}"


def read_index(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pyarrow.Table]:
    """What is known of the rows, a partition at a time.

    Args:
      folder: From `write`.
      columns: Of `INDEX_SCHEMA`; None is all.
    """
    for name in rows_lib.names(folder / INDEX):
        yield parquet.read_table(folder / INDEX / name, columns=columns and [*columns])


def training_prints(folder: Path, name: str) -> Iterator[fingerprints.Fingerprint]:
    """The fingerprints of the training rows of a mixture.

    Args:
      folder: From `write`.
      name: Of the mixture.
    """
    for part in rows_lib.names(folder / INDEX):
        index = parquet.read_table(folder / INDEX / part, columns=["split", "mixtures"])
        wanted = _members(index, name, mixture_lib.TRAIN)
        if wanted.any():
            table = parquet.read_table(folder / PRINTS / part).filter(pyarrow.array(wanted))
            for entry in table.to_pylist():
                lists = ("images", "texts", "ngrams")
                keys = {of: tuple(f"{key:016x}" for key in entry[of]) for of in lists}
                yield fingerprints.Fingerprint(id=entry["id"], source=entry["source"], **keys)


def _write_records(writer: Writer, source: Path, folder: Path, part: str) -> None:
    """The records of a partition, what is known of them, and their fingerprints."""
    rows = rows_lib.read(source / part)
    encode = records_lib.encoder(writer.train_on, writer.region)
    _write_array_record(_records(folder, part), map(encode, rows))
    prints = map(_fingerprint, rows)
    fingerprint_files.write(folder / PRINTS / part, prints, meta=dict)
    values = [_known(row, writer.seed) for row in rows]
    table = pyarrow.Table.from_pylist(values, schema=INDEX_SCHEMA)
    rows_lib.write_table(folder / INDEX / part, table)  # last: with it the partition is done


def _known(row: rows_lib.Row, seed: int) -> dict[str, Any]:
    return {
        "order": splits.number(f"{seed} order {row.id}"),
        "split": row.facts[mixture_lib.SPLIT],
        "mixtures": row.facts[mixture_lib.MIXTURES],
        "source": row.source,
        "modality": row.facts.get("modality"),
        "language": row.facts.get("language"),
        "characters": sum(map(len, row.texts())),
        "sizes": row.facts.get("image_sizes") or [],
        "media": len(row.media),
        "is_made": records_lib.PROVENANCE in row.meta,
    }


def _fingerprint(row: rows_lib.Row) -> fingerprints.Fingerprint:
    """The keys of a row; its pictures were hashed before."""
    messages = [
        {**message, "content": [part for part in message["content"] if part["type"] == "text"]}
        for message in row.messages
    ]
    example = sources.Example(
        id=records_lib.shard_id(row.id), source=row.source, messages=tuple(messages)
    )
    hashes = [key for keys in row.facts.get("image_hashes", ()) for key in keys]
    return fingerprints.of_example(example)._replace(images=tuple(dict.fromkeys(hashes)))


def _write_orders(writer: Writer, folder: Path, parts: Sequence[str]) -> dict[str, dict[str, int]]:
    """Writes which records each shard has, in their order; the rows by mixture and split."""
    tables = [
        parquet.read_table(folder / INDEX / part, columns=["order", "split", "mixtures"])
        for part in parts
    ]
    lengths: dict[str, dict[str, int]] = {name: {} for name in writer.mixtures}
    for name in writer.mixtures:
        for split in (mixture_lib.TRAIN, mixture_lib.VALIDATION):
            places = [np.flatnonzero(_members(table, name, split)) for table in tables]
            number = np.repeat(np.arange(len(parts)), [len(found) for found in places])
            if not len(number):
                continue
            place = np.concatenate(places)
            draws = [t["order"].to_numpy()[p] for t, p in zip(tables, places, strict=True)]
            order = np.lexsort((place, number, np.concatenate(draws)))
            lengths[name][split] = len(order)
            count = _num_shards(writer, len(order))
            for shard, chosen in enumerate(np.array_split(order, count)):
                columns = {
                    "part": pyarrow.array(parts).take(pyarrow.array(number[chosen])),
                    "place": pyarrow.array(place[chosen]),
                }
                path = folder / ORDERS / shard_name(name, split, shard, count)
                rows_lib.write_table(path, pyarrow.table(columns))
    return lengths


def _members(index: pyarrow.Table, name: str, split: str) -> Any:
    """Which rows of a partition are in a split of a mixture."""
    inside = np.zeros(index.num_rows, np.bool_)
    parents = compute.call_function("list_parent_indices", [index["mixtures"]]).to_numpy()
    named = compute.call_function(
        "equal", [compute.call_function("list_flatten", [index["mixtures"]]), name]
    )
    inside[parents[named.to_numpy(zero_copy_only=False).astype(np.bool_)]] = True
    of_split = compute.call_function("equal", [index["split"], split]).to_numpy()
    return inside & of_split.astype(np.bool_)


def _num_shards(writer: Writer, rows: int) -> int:
    return math.ceil(rows / writer.rows_per_shard)


def _clear(target: Path, digest: str) -> None:
    """Makes room for a mixture: what other settings left goes."""
    stamp = target / STAMP
    if digest and stamp.is_file() and steps.read_json(stamp) == {"digest": digest}:
        return
    if target.is_dir():
        shutil.rmtree(target)
    if digest:
        steps.write_json(stamp, {"digest": digest})


def _write_shard(folder: Path, target: Path, place: str) -> None:
    """A shard, `NAME/FILE`."""
    order = parquet.read_table(folder / ORDERS / Path(place).name)
    found: list[bytes] = [b""] * order.num_rows
    parts = order["part"].to_numpy()
    records = order["place"].to_numpy()
    for part in dict.fromkeys(parts):
        ours = np.flatnonzero(parts == part)
        with _reading(_records(folder, part)) as reader:
            for at, record in zip(ours, reader.read(records[ours].tolist()), strict=True):
                found[at] = record
    path = target / place
    with paths.whole_file(path) as partial:
        _write_array_record(Path(str(partial)), iter(found))
        with Path(str(partial)).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.seek(0, 2)
        shard = Shard(path.name, len(found), size, digest)
        steps.write_json(folder / SUMS / f"{path.name}.json", shard._asdict())


def _finish(folder: Path, target: Path, files: Sequence[str]) -> Made:
    """Writes what TFDS wants to know of the shards."""
    tfds = records_lib.load_tfds()
    shards: dict[str, list[Shard]] = {}
    for file in files:
        split = file.partition("-")[2].partition(".")[0]
        shards.setdefault(split, []).append(
            Shard(**steps.read_json(folder / SUMS / f"{file}.json"))
        )
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[shard.rows for shard in of],
            num_bytes=sum(shard.bytes for shard in of),
            filename_template=tfds.core.ShardedFileTemplate(
                dataset_name=target.name,
                data_dir=target,
                split=split,
                filetype_suffix="array_record",
            ),
        )
        for split, of in shards.items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=str(target),
        features=records_lib.features(),
        split_infos=infos,
        filename_template=TEMPLATE,
        version="1.0.0",
        check_data=False,  # reads with TensorFlow
        description="A training mixture of lingshu_jax; manifest.json says what is in it.",
    )
    return Made(target.name, target, shards)


def _records(folder: Path, part: str) -> Path:
    return folder / RECORDS / f"{Path(part).stem}.array_record"


def _write_array_record(path: Path, records: Iterator[bytes]) -> None:
    """Writes a file; not whole if it is interrupted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = _array_record().ArrayRecordWriter(str(path), _OPTIONS)
    try:
        for record in records:
            writer.write(record)
    finally:
        writer.close()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Any]:
    reader = _array_record().ArrayRecordReader(str(path))
    try:
        yield reader
    finally:
        reader.close()


def _array_record() -> Any:
    # Compiled, without types: imported by name.
    return importlib.import_module("array_record.python.array_record_module")
