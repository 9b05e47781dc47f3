# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Daft as the engine of curation: work on every partition, on this machine or on a Ray cluster.

The library sends usage statistics home unless it is told not to: this module tells it before it is
imported, and is the only one that imports it.
"""

import gc
import importlib
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

from lingshu_jax.common import errors

Runner = Literal["local", "ray"]
_QUIET = {"DO_NOT_TRACK": "true", "SCARF_NO_ANALYTICS": "true", "DAFT_ANALYTICS_ENABLED": "0"}


def start(runner: Runner, *, address: str = "") -> None:
    """Chooses where the work is done, for the whole process.

    Args:
      runner: "local": processes of this machine; "ray": a cluster.
      address: Of the cluster, as ray://head:10001; "" starts one on this machine.

    Raises:
      UserError: If a library is not installed.
    """
    daft = load()
    if runner == "local":
        daft.set_runner_native()
        return
    try:
        importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise errors.UserError("ray is missing: pip install 'lingshu-jax[ray]'") from error
    daft.set_runner_ray(address=address or None)


def load() -> Any:
    """The library, which is told first to send nothing home."""
    os.environ.update(_QUIET)
    try:
        return importlib.import_module("daft")
    except ModuleNotFoundError as error:
        raise errors.UserError("daft is missing: pip install 'lingshu-jax[curate]'") from error


def map_names(work: Callable[[str], Any], names: Sequence[str], *, workers: int) -> None:
    """Calls a function with every name, in several processes and in any order.

    Args:
      work: Leaves its result on disk; goes to other processes, so it is a function of a module,
        or a partial of one.
      names: As of partitions.
      workers: Processes at a time.

    Raises:
      UserError: If it raised one.
    """
    if not names:
        return
    with warnings.catch_warnings():
        # The library leaves the pipes of its processes to the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        found = _map(work, names, max(1, min(workers, len(names))))
        gc.collect()
    for error in found:
        if error:
            raise errors.UserError(error)


def _map(work: Callable[[str], Any], names: Sequence[str], workers: int) -> list[str]:
    """The errors of all names, "" where there is none."""
    daft = load()
    # One at a time needs no process, whose start takes a second or two.
    worker = daft.cls(_Worker, use_process=workers > 1, max_concurrency=workers)
    table = daft.from_pydict({"name": list(names)}).into_batches(1)
    return table.with_column("error", worker(work).run(daft.col("name"))).to_pydict()["error"]


class _Worker:
    """What a process does; its method is declared when the library is there."""

    def __init__(self, work: Callable[[str], Any]):
        self._work = work

    def run(self, name: str) -> str:
        """Does the work; a user's error comes back as its text, for it crosses processes."""
        try:
            self._work(name)
        except errors.UserError as error:
            return str(error)
        return ""
