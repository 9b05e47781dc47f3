# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers of a run: one JSONL row a step, the same to TensorBoard."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorboardX

Scalars = Mapping[str, float | int | None]


class MetricsWriter:
    """Appends rows to `metrics.jsonl` and to `tensorboard/` of a run's folder."""

    def __init__(self, workdir: pathlib.Path, *, after_step: int):
        """Opens both, dropping rows that a restored run will write again.

        Args:
          workdir: The run's folder.
          after_step: Rows of later steps are from before an interruption and go.
        """
        self._path = workdir / "metrics.jsonl"
        _drop_rows_after(self._path, after_step)
        self._file = self._path.open("a", encoding="utf-8")
        self._board = tensorboardX.SummaryWriter(
            str(workdir / "tensorboard"), purge_step=after_step + 1
        )

    def write(self, step: int, scalars: Scalars) -> None:
        """Writes one row.

        Args:
          step: The step the numbers belong to.
          scalars: By name; None (a value that does not exist here) is kept in the row only.
        """
        self._file.write(json.dumps({"step": step, **scalars}) + "\n")
        self._file.flush()
        for name, value in scalars.items():
            if value is not None:
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes and closes both."""
        self._file.close()
        self._board.close()


def read_rows(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """All complete rows of a run; a torn last line is not one.

    Args:
      workdir: The run's folder.
    """
    path = workdir / "metrics.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("}\n")]


def _drop_rows_after(path: pathlib.Path, step: int) -> None:
    rows = read_rows(path.parent)
    kept = [row for row in rows if row["step"] <= step]
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    partial.rename(path)
