# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Daft as the engine of curation: work on every partition, on this machine or on a Ray cluster.

The library sends usage statistics home unless it is told not to: this module tells it before it is
imported, and is the only one that imports it.
"""

import gc
import importlib
import logging
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

from lingshu_jax.common import errors

Runner = Literal["local", "ray"]
QUIET = {
    "DO_NOT_TRACK": "true",
    "SCARF_NO_ANALYTICS": "true",
    "DAFT_ANALYTICS_ENABLED": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
_CONNECT_SECONDS = 10.0
_LOOK_SECONDS = 0.1  # how soon a process notices that it was left alone


def start(runner: Runner, *, address: str = "") -> None:
    """Chooses where the work is done, for the whole process.

    Args:
      runner: "local": processes of this machine; "ray": a cluster.
      address: Of the cluster, as head:6379 or ray://head:10001; "" starts one on this machine,
        which ends with this process. The nodes of a cluster have this package installed and find
        the same folders under the same names.

    Raises:
      UserError: If a library is not installed, or there is no cluster.
    """
    daft = load()
    if runner == "local":
        if daft.get_or_infer_runner_type() != "native":  # can be set once
            daft.set_runner_native()
        return
    try:
        ray: Any = importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise errors.UserError("ray is missing: pip install 'lingshu-jax[ray]'") from error
    if address:
        _check(address)
    # "local": whatever cluster RAY_ADDRESS names is not meant.
    ray.init(address or "local", **_ray_options(is_here=not address))
    daft.set_runner_ray(noop_if_initialized=True)


def _check(address: str) -> None:
    """Refuses an address where nobody listens: Ray would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and host and port.isdigit()):
        raise errors.UserError(f"--ray_address must be HOST:PORT or ray://HOST:PORT, got {address}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise errors.UserError(f"--ray_address={address}: no cluster answers there") from error


def _ray_options(*, is_here: bool) -> dict[str, Any]:
    """What a cluster is told; one that is there has a dashboard or not as it likes."""
    told = QUIET | {"DAFT_PROGRESS_BAR": "0"}
    options: dict[str, Any] = {"runtime_env": {"env_vars": told}}
    return options | ({"include_dashboard": False} if is_here else {})


def load() -> Any:
    """The library, which is told first to send nothing home."""
    os.environ.update(QUIET)
    logging.getLogger("tracing").setLevel(logging.WARNING)  # names each part of a query on INFO
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
    # On a cluster the parent is one of its processes.
    owner = os.getpid() if daft.get_or_infer_runner_type() == "native" else None
    if owner is not None and workers == 1:
        # Needs no process, whose start takes seconds; the library starts one even when told not to.
        return list(map(_Worker(work, owner).run, names))
    worker = daft.cls(_Worker, use_process=True, max_concurrency=workers)
    table = daft.from_pydict({"name": list(names)}).into_batches(1)
    run = worker(work, owner).run
    return table.with_column("error", run(daft.col("name"))).to_pydict()["error"]


class _Worker:
    """What a process does; its method is declared when the library is there.

    The library's processes outlive a parent that is killed until their partition is done. A rerun
    would meet them at the same files, so they end with it.
    """

    def __init__(self, work: Callable[[str], Any], owner: int | None):
        self._work = work
        if owner != os.getpid():
            parent = os.getppid() if owner is None else owner
            threading.Thread(target=_end_with, args=(parent,), daemon=True).start()

    def run(self, name: str) -> str:
        """Does the work; a user's error comes back as its text, for it crosses processes."""
        try:
            self._work(name)
        except errors.UserError as error:
            return str(error)
        return ""


def _end_with(parent: int) -> None:
    """Kills this process as soon as its parent is another one than that."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
