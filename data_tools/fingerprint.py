# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of training data, for the evaluator's check of what a model may have seen.

    python -m data_tools.fingerprint --path=rows.json --format=llava --image_root=DIR \
        --output=train.parquet
    python -m data_tools.fingerprint --config=configs/stage3_instruct.py:7b --output=train.parquet

Reads whatever training reads; the first form takes the options of one source, the second all rows
of all sources of a stage, whatever their weights and limits. Every picture is decoded and hashed,
by `--workers` processes. Rows that are refused, or whose pictures do not decode, are left out,
counted in the file, and listed beside it in FILE.dropped.jsonl. The file names rows by their ids:
keep it as you keep the data. Needs `lingshu-jax[data,curate]`.
"""

import collections
import contextlib
import dataclasses
import itertools
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import tqdm
from absl import flags

from lingshu_jax.common import cli, errors, paths
from lingshu_jax.data import fingerprint_files, fingerprints, formats, mixtures, sources

CHUNK_ROWS = 64  # that a process is given at a time
CHUNKS_AHEAD = 4  # of each process; what is read further would wait in memory
SHOWN = 20  # rows left out that are named on the screen
# Flags that describe the one source of --path; a config says all this itself.
SOURCE_FLAGS = (
    *("format", "image_root", "allow_outside", "media_newline", "dataset", "split", "columns"),
)

Prints = list[fingerprints.Fingerprint | sources.Dropped]


def write(
    output: Path, given: Sequence[sources.Source], root: Path, *, workers: int
) -> tuple[dict[str, Any], list[sources.Dropped]]:
    """Writes the fingerprints of some sources.

    Args:
      output: The Parquet file; FILE.dropped.jsonl appears beside it.
      given: The sources; each row counts once, whatever their weights.
      root: Folder that their relative paths start from.
      workers: Processes that hash; 0 does it in this one.

    Returns:
      What is noted in the file, and the rows that were left out.

    Raises:
      UserError: If a source cannot be read, or a library is missing.
    """
    dropped: list[sources.Dropped] = []
    counts: collections.Counter[str] = collections.Counter()

    def kept() -> Iterator[fingerprints.Fingerprint]:
        for source in given:
            rows = sources.stream(source, root)
            for one in tqdm.tqdm(_each(rows, workers), desc=source.name, unit="row", disable=None):
                if isinstance(one, sources.Dropped):
                    dropped.append(one)
                else:
                    counts[source.name] += 1
                    yield one

    def meta() -> dict[str, Any]:
        left_out = collections.Counter(row.source for row in dropped)
        each = {s.name: {"rows": counts[s.name], "dropped": left_out[s.name]} for s in given}
        return {"dropped": len(dropped), "sources": each}

    note = fingerprint_files.write(output, kept(), meta=meta)
    formats.write_jsonl(dropped_file(output), map(dataclasses.asdict, dropped))
    return note, dropped


def dropped_file(output: Path) -> Path:
    """Where the rows that were left out are listed.

    Args:
      output: The file of fingerprints.
    """
    return output.with_name(f"{output.stem}.dropped.jsonl")


def _each(rows: Iterable[sources.Example | sources.Dropped], workers: int) -> Iterator[Any]:
    """Fingerprints in the order of the rows; refused rows pass through."""
    rest = iter(rows)
    chunks = iter(lambda: [*itertools.islice(rest, CHUNK_ROWS)], [])
    if not workers:
        yield from itertools.chain.from_iterable(map(_prints, chunks))
        return
    with contextlib.ExitStack() as stack:
        # Spawned: a fork of a process that has threads may hang.
        context = multiprocessing.get_context("spawn")
        pool = stack.enter_context(futures.ProcessPoolExecutor(workers, mp_context=context))
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        waiting: collections.deque[futures.Future[Prints]] = collections.deque()
        for chunk in chunks:
            waiting.append(pool.submit(_prints, chunk))
            if len(waiting) >= workers * CHUNKS_AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _prints(chunk: Sequence[sources.Example | sources.Dropped]) -> Prints:
    found: Prints = []
    for row in chunk:
        made = [row] if isinstance(row, sources.Dropped) else fingerprints.of_examples([row])
        found.extend(made)
    return found


def _asked() -> tuple[list[sources.Source], Path]:
    """The sources that the flags name, and where their relative paths start."""
    if (cli.flag("config") is None) == (cli.flag("path") is None):
        raise errors.UserError("give one of --config=FILE.py and --path=FILE")
    if cli.flag("config") is not None:
        given = [name for name in SOURCE_FLAGS if flags.FLAGS[name].present]
        if given:
            raise errors.UserError(f"--{given[0]} belongs to --path; the config says it itself")
        data = cli.flag("config").data
        if not data.sources:
            raise errors.UserError("--config has no sources in data.sources")
        return [*mixtures.without(data.sources, data.without)], paths.local(data.root)
    path = cli.required("path")
    columns = [pair.partition("=") for pair in cli.flag("columns")]
    for ours, sign, theirs in columns:
        if not (ours and sign and theirs):
            raise errors.UserError("--columns must be OURS=THEIRS,OURS=THEIRS")
    source = sources.Source(
        name=cli.flag("name") or Path(path).absolute().stem,
        path=path,
        format=cli.flag("format"),
        image_root=cli.flag("image_root"),
        allow_outside=cli.flag("allow_outside"),
        media_newline=cli.flag("media_newline"),
        dataset=cli.flag("dataset"),
        split=cli.flag("split"),
        columns={ours: theirs for ours, _, theirs in columns},
    )
    return [source], Path()


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config()
    flags.DEFINE_string("path", None, "One file or folder instead of a config's mixture.")
    flags.DEFINE_string("name", "", "What the report calls it; else the file's name.")
    flags.DEFINE_string("format", "messages", "Its format, a word of docs/data_formats.md.")
    flags.DEFINE_string("image_root", "", "Folder of its images; else beside the file.")
    flags.DEFINE_bool("allow_outside", False, "Images may lie outside that folder.")
    flags.DEFINE_string("media_newline", "keep", "Around image tags: keep, swallow_one, strip.")
    flags.DEFINE_string("dataset", "", "For llamafactory: entries, joined by commas.")
    flags.DEFINE_string("split", "train", "For formats with splits of their own.")
    flags.DEFINE_list("columns", [], "Our names of columns to the file's, as answer=label.")
    flags.DEFINE_string("output", None, "The Parquet file.")
    flags.DEFINE_integer("workers", os.cpu_count() or 1, "Processes; 0: this one.", lower_bound=0)


def main(argv: list[str]) -> None:
    """Reads the flags, writes the file, prints the totals."""
    del argv
    output = paths.local(cli.required("output"))
    if output.suffix != ".parquet":
        raise errors.UserError(f"--output must end with .parquet, got {cli.flag('output')}")
    given, root = _asked()
    note, dropped = write(output, given, root, workers=cli.flag("workers"))
    for file in (output, dropped_file(output)):
        paths.push(file)
    for row in dropped[:SHOWN]:
        print(f"left out: {row.text}")
    if len(dropped) > SHOWN:
        print(f"and {len(dropped) - SHOWN} more, see {dropped_file(output).name}")
    print(
        f"{note['rows']} rows ({note['rows_with_images']} with {note['images']} pictures),"
        f" {len(dropped)} left out: {cli.flag('output')}"
    )


if __name__ == "__main__":
    cli.run(main, define_flags)
