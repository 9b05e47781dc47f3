# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of a few rows in their publishers' layouts, written where a test wants them."""

import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow
from PIL import Image
from pyarrow import parquet

Rows = Sequence[Mapping[str, Any]]


def picture(shade: int = 90) -> bytes:
    """A small PNG of one grey."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (shade,) * 3).save(file, "PNG")
    return file.getvalue()


def write_parquet(path: pathlib.Path, rows: Rows) -> None:
    """Rows as a file of the hub; pictures are `{"bytes", "path"}`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), path)


def write_json(path: pathlib.Path, value: Any) -> None:
    """One JSON value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def write_jsonl(path: pathlib.Path, rows: Rows) -> None:
    """A row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def write_picture(path: pathlib.Path, shade: int = 90) -> None:
    """A picture as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(shade))
