# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What every command that uses JAX does first."""

import logging
import os
import pathlib
from typing import Any

import jax

from lingshu_jax.common import errors

_CONFIG: Any = jax.config  # its fields are made at run time, which no type checker sees

# A host that is part of one of these gets its peers' addresses from the environment.
_CLUSTER_VARIABLES = (
    "JAX_COORDINATOR_ADDRESS",
    "MEGASCALE_COORDINATOR_ADDRESS",
    "TPU_WORKER_HOSTNAMES",
    "SLURM_JOB_NUM_NODES",
    "OMPI_COMM_WORLD_SIZE",
)


def start() -> None:
    """Joins the other hosts, if any, and turns on the persistent compilation cache.

    The cache lies where JAX_COMPILATION_CACHE_DIR says, else in the user's cache folder.

    Raises:
      UserError: If the cache folder cannot be made.
    """
    logging.getLogger("jax").setLevel(logging.WARNING)
    _ignore_absent_accelerators()
    if _has_several_hosts() and not jax.distributed.is_initialized():
        jax.distributed.initialize()
    if not _CONFIG.jax_compilation_cache_dir:
        cache = pathlib.Path.home() / ".cache" / "lingshu_jax" / "compiled"
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.UserError(f"cannot make the compilation cache {cache}: {error}") from error
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def is_main_host() -> bool:
    """True on the one process that writes logs, metrics and tables."""
    return jax.process_index() == 0


def _ignore_absent_accelerators() -> None:
    # libtpu beside a CPU jax (the extra [aot]) would look for a TPU and complain at length.
    devices = [*pathlib.Path("/dev").glob("accel*"), *pathlib.Path("/dev").glob("nvidia[0-9]*")]
    devices += pathlib.Path("/dev").glob("vfio/[0-9]*")
    if not devices and not _CONFIG.jax_platforms:
        jax.config.update("jax_platforms", "cpu")


def _has_several_hosts() -> bool:
    hosts = os.environ.get("TPU_WORKER_HOSTNAMES", "")
    if hosts:
        return "," in hosts
    counts = [os.environ.get(name, "1") for name in _CLUSTER_VARIABLES[3:]]
    addresses = [name for name in _CLUSTER_VARIABLES[:2] if os.environ.get(name)]
    return bool(addresses) or any(count.isdigit() and int(count) > 1 for count in counts)
