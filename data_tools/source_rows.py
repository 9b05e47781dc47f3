# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The rows of a source, read by the adapter of its publisher or by a format of training.

Nothing is fetched unless the config says so, and then only open sets of the Hugging Face hub. Who
may have a set only after applying for it gives the folder that was handed out.
"""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from data_tools import config as config_lib
from data_tools import registry
from data_tools.adapters import table
from lingshu_jax.common import errors, hub, paths
from lingshu_jax.data import formats, sources, targets

ARCHIVE = ".zip"


def row_files(source: config_lib.CuratedSource, root: str = "") -> list[Path]:
    """The files that hold the rows of a source.

    Args:
      source: What is read.
      root: Folder that relative paths start from.

    Raises:
      UserError: If there is none; it says where the set is to be had.
    """
    path = _located(source, root)
    if source.format in table.ADAPTERS:
        return table.ADAPTERS[source.format].row_files(path)
    return sources.row_files(_at(source, path), root)


def stream(
    source: config_lib.CuratedSource, root: str = ""
) -> Iterator[sources.Example | sources.Dropped]:
    """Every row of a source, good or refused, in the order of its files.

    Args:
      source: What is read.
      root: As in `row_files`.

    Raises:
      UserError: If the source is ill-formed or not there.
    """
    source.validate()
    path = _located(source, root)
    if source.format not in table.ADAPTERS:
        yield from sources.stream(_at(source, path), root)
        return
    image_root = paths.under(root, source.image_root) if source.image_root else None
    if image_root is not None and not image_root.is_dir():
        raise errors.UserError(f"source {source.name!r}: no such image root: {image_root}")
    options = formats.Options(
        image_root=image_root,
        allow_outside=source.allow_outside,
        media_newline=cast(formats.MediaNewline, source.media_newline),
        split=source.split,
        dataset=source.dataset,
    )
    train_on = cast(targets.TrainOn, source.train_on)
    for row in table.ADAPTERS[source.format].read(path, options):
        if isinstance(row, formats.Refusal):
            yield sources.Dropped(
                id=row.row_id, source=source.name, line=row.line, reason=row.reason
            )
        else:
            yield sources.Example(
                id=row.row_id,
                source=source.name,
                line=row.line,
                messages=row.messages,
                meta=row.meta,
                train_on=train_on,
            )


def _at(source: config_lib.CuratedSource, path: Path) -> config_lib.CuratedSource:
    """The source with the path that it was found at; only a fetched one has another."""
    return dataclasses.replace(source, path=str(path)) if source.fetch else source


def _located(source: config_lib.CuratedSource, root: str) -> Path:
    """Where a source lies on this machine."""
    if source.fetch:
        return _fetched(source)
    path = paths.under(root, source.path)
    paths.fetch_once(str(path))
    if not os.path.exists(path) and source.publisher:
        entry = registry.get(source.publisher)
        raise errors.UserError(
            f"source {source.name!r}: no such file or folder: {path}; {entry.where()}"
        )
    return path


def _fetched(source: config_lib.CuratedSource) -> Path:
    """Where an open set lies in the hub's cache; what is missing of it is fetched."""
    entry = registry.get(source.publisher)
    entry.fetchable(source.name)
    if any(name.endswith(ARCHIVE) for name in entry.files):
        raise errors.UserError(
            f"source {source.name!r}: {entry.title} has archives, which are unpacked by hand: `hf"
            f" download --repo-type dataset {entry.repository} --local-dir DIR`, then unpack them"
            " there and give DIR as path"
        )
    return hub.fetch_dataset(entry.repository, entry.revision, entry.files) / source.path
