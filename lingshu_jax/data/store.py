# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Encoded rows on disk: tokenised once, read by number, whichever run asks again.

A folder named after the digest of all that its rows depend on holds

    rows.array_record   a record a row: a line of JSON, the token ids, embedded pictures
    index.npz           for each row its tokens, its windows by size, its source
    dropped.jsonl       refused rows
    rewritten.jsonl     rows that were made to fit

In memory are the lengths. Pictures stay the files that they are, but those that were embedded in
their rows are copied into the records, which are then as large as the data set.
"""

import array
import contextlib
import dataclasses
import hashlib
import importlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tqdm
from absl import logging

import lingshu_jax
from lingshu_jax.common import errors
from lingshu_jax.data import formats, images, messages, packing, records, sources, too_long

ROWS, INDEX = "rows.array_record", "index.npz"
DROPPED, REWRITTEN = "dropped.jsonl", "rewritten.jsonl"
PARTIAL = ".partial-"
ABANDONED_SECONDS = 24 * 3600.0
# Compiled, without types: imported by name.
_LIBRARY = "array_record.python.array_record_module"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What the rows depend on, beside the examples and the encoder.

    Attributes:
      budget: What a row holds; longer ones are handled as the policy says.
      policy: See `too_long.encode`.
      verify_images: Decodes every image once, so that a truncated one is dropped here instead of
        stopping the run when its row comes.
    """

    budget: packing.Budget
    policy: too_long.Policy = "drop"
    verify_images: bool = False


class Store:
    """The encoded rows of a mixture.

    Attributes:
      lengths: What each needs of a packed row.
      source_ids: Its source, an index of the mixture's names.
      dropped: Rows that were refused while encoding.
      rewritten: Rows that were made to fit; the reason says how.
      digest: Of everything that they depend on.
      geometry: Of the encoder.
      pad_id: Of the encoder.
    """

    def __init__(self, folder: Path, encoder: messages.Encoder) -> None:
        """Opens a folder that `build` has made.

        Args:
          folder: The folder.
          encoder: What encoded the rows.
        """
        self.digest, self.geometry, self.pad_id = folder.name, encoder.geometry, encoder.special.pad
        with np.load(folder / INDEX) as index:
            self.lengths = packing.Lengths(index["tokens"], index["windows"])
            self.source_ids = index["source_ids"]
        self.dropped, self.rewritten = (_read(folder / name) for name in (DROPPED, REWRITTEN))
        library = importlib.import_module(_LIBRARY)
        self._reader = library.ArrayRecordReader(
            str(folder / ROWS), "readahead_buffer_size:0,max_parallelism:0"
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> messages.Encoded:
        """Reads one row; threads may do so at the same time."""
        [record] = self._reader.read([number])
        return records.unpack(record, self.geometry)


def build(
    examples: Iterable[sources.Example],
    encoder: messages.Encoder,
    *,
    names: Sequence[str],
    folder: Path,
    mixture: str,
    options: Options,
) -> Store:
    """Encodes examples, or opens what has been encoded before.

    Args:
      examples: Read only if there is nothing yet.
      encoder: Tokenizer and image sizes; images are opened for their sizes only.
      names: Of the sources, in the order of the source ids.
      folder: Where encoded mixtures lie, one folder each. It may be shared by runs and by
        processes: a folder appears complete or not at all, and the first one stays.
      mixture: Digest of the examples, and of where their files lie.
      options: What else the rows depend on.

    Raises:
      UserError: If no example is left; nothing is written then.
    """
    target = folder / _digest(mixture, encoder, options)
    if not target.is_dir():
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        try:
            _write(target, examples, encoder, names=names, options=options)
        except errors.UserError:
            for place in missing:
                place.rmdir()
            raise
    return Store(target, encoder)


def _write(
    target: Path,
    examples: Iterable[sources.Example],
    encoder: messages.Encoder,
    *,
    names: Sequence[str],
    options: Options,
) -> None:
    """Encodes everything into a folder of another name, and gives it its own in the end."""
    rejected: list[sources.Dropped] = []
    rewritten: list[sources.Dropped] = []
    tokens, windows, source_ids = (array.array("i") for _ in range(3))
    with tempfile.TemporaryDirectory(prefix=target.name + PARTIAL, dir=target.parent) as name:
        partial = Path(name) / "rows"
        partial.mkdir()
        with _writing(partial / ROWS) as write:
            for example in tqdm.tqdm(examples, desc="encoding", unit="row", disable=None):
                try:
                    fitted = _encode(example, encoder, names=names, options=options)
                except errors.UserError as error:
                    rejected.append(_note(example, str(error)))
                    continue
                if fitted.change:
                    rewritten.append(_note(example, fitted.change))
                length = packing.length(fitted.encoded, encoder.geometry)
                write(records.pack(fitted.encoded))
                tokens.append(length.tokens)
                windows.extend(length.windows)
                source_ids.append(fitted.encoded.source_id)
        if not tokens:
            reason = f"; the first: {rejected[0].text}" if rejected else ""
            raise errors.UserError(f"no example to read, {len(rejected)} dropped{reason}")
        np.savez(
            partial / INDEX,
            tokens=np.asarray(tokens, np.int32),
            windows=np.asarray(windows, np.int32).reshape(len(tokens), -1),
            source_ids=np.asarray(source_ids, np.int32),
        )
        for file, rows in ((DROPPED, rejected), (REWRITTEN, rewritten)):
            formats.write_jsonl(partial / file, map(dataclasses.asdict, rows))
        _rename(partial, target)
    logging.info("%d rows encoded, %d dropped", len(tokens), len(rejected))


def _encode(
    example: sources.Example,
    encoder: messages.Encoder,
    *,
    names: Sequence[str],
    options: Options,
) -> too_long.Fitted:
    fitted = too_long.encode(
        encoder,
        example,
        budget=options.budget,
        policy=options.policy,
        source_id=names.index(example.source),
    )
    if options.verify_images:
        for media in fitted.encoded.media:
            images.verify(media)
    return fitted


def _note(example: sources.Example, reason: str) -> sources.Dropped:
    return sources.Dropped(id=example.id, source=example.source, line=example.line, reason=reason)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Lends what appends a record to a new file."""
    writer = importlib.import_module(_LIBRARY).ArrayRecordWriter(str(path), "group_size:1")
    try:
        yield writer.write
    finally:
        writer.close()


def _read(path: Path) -> list[sources.Dropped]:
    return [sources.Dropped(**row) for _, row in formats.read_values(path)]


def _digest(mixture: str, encoder: messages.Encoder, options: Options) -> str:
    version = lingshu_jax.__version__
    whole = [version, mixture, encoder.fingerprint(), dataclasses.asdict(options)]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:16]


def _rename(partial: Path, target: Path) -> None:
    """Where another process was faster, its folder stays: both hold the same."""
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _remove_abandoned(folder: Path) -> None:
    """What a killed process left; the folders of living ones are younger."""
    for partial in folder.glob(f"*{PARTIAL}*"):
        if time.time() - partial.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(partial, ignore_errors=True)
