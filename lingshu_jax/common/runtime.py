# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What every command that uses JAX does first."""

import contextlib
import importlib.metadata
import importlib.util
import logging
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
from jax.experimental import multihost_utils
from jax.experimental.compilation_cache import compilation_cache

from lingshu_jax.common import errors

_CONFIG: Any = jax.config  # its fields are made at run time, which no type checker sees

# A host that is part of one of these gets its peers' addresses from the environment.
_ADDRESSES = ("JAX_COORDINATOR_ADDRESS", "MEGASCALE_COORDINATOR_ADDRESS")
_COUNTS = ("SLURM_JOB_NUM_NODES", "OMPI_COMM_WORLD_SIZE")
# jax 0.10 gives reductions on a CPU to YNNPACK, which takes 15 times as long for a norm's backward
# pass; an empty value is none of it. 0.11 has no such fault.
_CPU_FLAG = "--xla_cpu_experimental_ynn_fusion_type"
# By platform, the package that drives it and the extra that has it.
_EXTRAS = {"cuda": ("cuda", "gpu"), "gpu": ("cuda", "gpu"), "tpu": ("libtpu", "tpu")}
# So long a process that ends waits for the others; one that failed would else keep them 5 minutes.
_SHUTDOWN_SECONDS = 60


def start(*, several_hosts: bool = False, keeps_programs: bool = True) -> None:
    """Joins the other hosts, if any, and turns on the persistent compilation cache.

    TPU pods, Slurm and Open MPI say themselves who the hosts are. Elsewhere the variables
    JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID do.
    The cache lies where JAX_COMPILATION_CACHE_DIR says, else in ~/.cache/lingshu_jax/compiled
    (XDG_CACHE_HOME moves it); JAX_ENABLE_COMPILATION_CACHE=false does without. A program that
    took half a second to compile is read from there at the next start.

    Args:
      several_hosts: Whether the command can run on more than one.
      keeps_programs: Whether there is a persistent cache; without it nothing is written.

    Raises:
      UserError: If the variables do not fit together or name more hosts than the command can
        use, or the cache folder cannot be made.
    """
    logging.getLogger("jax").setLevel(logging.WARNING)
    _require_plugin()
    _ignore_absent_accelerators()
    _set_cpu_flag()
    several = _several_hosts()
    if several and not several_hosts and not jax.distributed.is_initialized():
        raise errors.UserError(
            f"this command runs on one host, and {several}={os.environ[several]} says that there "
            f"are several; start it on one of them, with {several}= before it"
        )
    if several and not jax.distributed.is_initialized():
        _join()
    if not keeps_programs:
        jax.config.update("jax_enable_compilation_cache", False)
    elif not _CONFIG.jax_compilation_cache_dir:
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        cache = pathlib.Path(base) / "lingshu_jax" / "compiled"
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.UserError(f"cannot make the compilation cache {cache}: {error}") from error
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _set_cpu_flag() -> None:
    """Read when devices are first asked for; what the user says of it stays."""
    given = os.environ.get("XLA_FLAGS", "")
    if jax.__version_info__ < (0, 11) and _CPU_FLAG not in given:
        os.environ["XLA_FLAGS"] = f"{given} {_CPU_FLAG}=".strip()


@contextlib.contextmanager
def without_compilation_cache() -> Iterator[None]:
    """Compiles what is inside, whatever the persistent cache holds, and keeps none of it.

    A program for devices that are only described can be written there and not read back. JAX
    decides once whether it uses the cache, so that the setting alone would come too late.
    """
    enabled = _CONFIG.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", enabled)
        compilation_cache.reset_cache()


def is_main_host() -> bool:
    """True on the one process that writes logs, metrics and tables."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Blocks until every process has come here; at once where there is only one.

    Args:
      name: The same everywhere; another one means that the processes have parted ways.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


@contextlib.contextmanager
def main_first(name: str) -> Iterator[None]:
    """A block that makes files: the main process runs it alone, then the others find them made.

    If it fails on the main process, the others run it all the same and say what they find. It
    must not wait for other processes itself.

    Args:
      name: Of the block, for `wait_for_all`.
    """
    if not is_main_host():
        wait_for_all(name)
    try:
        yield
    finally:
        if is_main_host():
            wait_for_all(name)


def _require_plugin() -> None:
    """Refuses a platform that this jax cannot use; jax itself would fail in an assertion."""
    wanted = {name.strip() for name in (_CONFIG.jax_platforms or "").split(",")} & _EXTRAS.keys()
    found = importlib.metadata.entry_points(group="jax_plugins").names
    for name in sorted(wanted):
        package, extra = _EXTRAS[name]
        if package not in " ".join(found) and importlib.util.find_spec(package) is None:
            raise errors.UserError(
                f"JAX_PLATFORMS={_CONFIG.jax_platforms}: this jax has no {name}: pip install "
                f"'lingshu-jax[{extra}]', or JAX_PLATFORMS=cpu to compute on the CPU"
            )


def _ignore_absent_accelerators() -> None:
    # libtpu beside a CPU jax (the extra [aot]) would look for a TPU and complain at length.
    devices = [*pathlib.Path("/dev").glob("accel*"), *pathlib.Path("/dev").glob("nvidia[0-9]*")]
    devices += pathlib.Path("/dev").glob("vfio/[0-9]*")
    if not devices and not _CONFIG.jax_platforms:
        jax.config.update("jax_platforms", "cpu")


def _join() -> None:
    count, index = _number("JAX_NUM_PROCESSES"), _number("JAX_PROCESS_ID")
    if (count is None) != (index is None) or (count and index is not None and index >= count):
        raise errors.UserError(
            "JAX_PROCESS_ID must be smaller than JAX_NUM_PROCESSES, or neither be set; "
            f"they are {index} and {count}"
        )
    try:
        # jax reads the address, but not these two.
        jax.distributed.initialize(
            num_processes=count, process_id=index, shutdown_timeout_seconds=_SHUTDOWN_SECONDS
        )
    except ValueError as error:  # nobody says how many; one out of reach is another type
        raise errors.UserError(
            f"cannot join the other hosts: {error} JAX_NUM_PROCESSES and JAX_PROCESS_ID may say it"
        ) from error
    # Connections between CPUs are made at the first use, which waits 30 seconds and no longer.
    wait_for_all("start")


def _number(name: str) -> int | None:
    text = os.environ.get(name, "")
    if text and not text.isdigit():
        raise errors.UserError(f"{name} must be a whole number, got {text!r}")
    return int(text) if text else None


def _several_hosts() -> str:
    """The variable that says that there are several hosts; empty where there is one."""
    hosts = os.environ.get("TPU_WORKER_HOSTNAMES", "")
    if hosts:
        return "TPU_WORKER_HOSTNAMES" if "," in hosts else ""
    for name in _ADDRESSES:
        if os.environ.get(name) and os.environ.get("JAX_NUM_PROCESSES") != "1":
            return name
    for name in _COUNTS:
        count = os.environ.get(name, "")
        if count.isdigit() and int(count) > 1:
            return name
    return ""
