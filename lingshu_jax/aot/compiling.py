# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Compilation for TPUs that are not here, and the memory that the program needs."""

import pathlib
import re
import tempfile
import time
from typing import Any, NamedTuple

import jax
from absl import logging

from lingshu_jax.aot import hlo, programs
from lingshu_jax.common import runtime, topologies

_GIB = 2**30
# What the compiler gives to programs, by its own messages (libtpu 0.0.52); a chip has a little
# more, of v5p it counts a little more.
USABLE = {
    "v4": 30.75 * _GIB,
    "v5e": 15.75 * _GIB,
    "v5p": 95.73 * _GIB,
    "v6e": 31.24 * _GIB,
    "tpu7x": 94.74 * _GIB,
}
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
# "... for HLO temporaries (67.02G) exceeds available HBM (15.75G)"; "Used 20.1G of 15.75G hbm".
_NEEDED = re.compile(
    r"temporaries \(([\d.]+)([KMGT]?)\) exceeds|Used ([\d.]+)([KMGT]?) of [\d.]+[KMGT]? hbm"
)


class Compiled(NamedTuple):
    """What a compilation came to; bytes are those of one device.

    Attributes:
      fits: Whether the memory of a device holds it, what stays there beside it included.
      seconds: Tracing and compilation.
      needed: Memory of arguments, results, temporaries, code and what stays beside them; None
        where the compiler gave up without saying.
      bytes: By kind: argument, output, alias, temp, code, resident, host_temp. Empty where it
        gave up.
      collectives: Of the program; None where it gave up.
    """

    fits: bool
    seconds: float
    needed: int | None
    bytes: dict[str, int]
    collectives: list[hlo.Collective] | None

    @property
    def is_compiled(self) -> bool:
        """Whether there is a program."""
        return self.collectives is not None


def run(
    program: programs.Program, mesh: jax.sharding.Mesh, topology: topologies.Topology
) -> Compiled:
    """Compiles a program; that its memory does not suffice is a result, not an error.

    Args:
      program: What.
      mesh: Devices of the topology.
      topology: Says how much memory there is.
    """
    start = time.monotonic()
    logging.info("%s: tracing for %s", program.name, topology.name)
    lowered = program.lower(mesh)
    logging.info("%s: compiling", program.name)
    try:
        made, text = _compile(lowered)
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(str(error)):
            raise
        logging.warning("%s: %s", program.name, str(error).splitlines()[0])
        needed = needed_bytes(str(error))
        return Compiled(False, time.monotonic() - start, needed, {}, None)
    seconds = time.monotonic() - start
    sizes = _sizes(made, program.resident)
    needed = sum(sizes[name] for name in ("argument", "output", "temp", "code", "resident"))
    needed -= sizes["alias"]
    axes = {name: mesh.shape[name] for name in mesh.axis_names}
    found = hlo.collectives(text, axes)
    return Compiled(needed <= USABLE[topology.chip.name], seconds, needed, sizes, found)


def _compile(lowered: jax.stages.Lowered) -> tuple[jax.stages.Compiled, str]:
    """The program, and its text as the compiler itself writes it.

    `as_text` of programs for v6e fails: jaxlib 0.10.2 does not read the asynchronous collectives
    of libtpu 0.0.52.
    """
    with runtime.without_compilation_cache(), tempfile.TemporaryDirectory() as folder:
        made = lowered.compile({"xla_dump_to": folder, "xla_dump_hlo_as_text": True})
        (path,) = pathlib.Path(folder).glob("*.after_optimizations.txt")
        return made, path.read_text(encoding="utf-8")


def is_out_of_memory(message: str) -> bool:
    """Whether a compiler's message says that the device's memory is too small.

    Args:
      message: Of a JaxRuntimeError. What a kernel needs inside a core is another matter.
    """
    return "RESOURCE_EXHAUSTED" in message and re.search(r"\bhbm\b", message, re.I) is not None


def needed_bytes(message: str) -> int | None:
    """The bytes that such a message says are needed.

    Args:
      message: Of a JaxRuntimeError.

    >>> needed_bytes("memory required for HLO temporaries (2.00G) exceeds available HBM (1.0G)")
    2147483648
    """
    match = _NEEDED.search(message)
    if not match:
        return None
    number, unit = (match[1], match[2]) if match[1] else (match[3], match[4])
    return round(float(number) * _UNITS[unit])


def _sizes(made: jax.stages.Compiled, resident: int) -> dict[str, int]:
    stats: Any = made.memory_analysis()
    return {
        "argument": stats.argument_size_in_bytes,
        "output": stats.output_size_in_bytes,
        "alias": stats.alias_size_in_bytes,
        "temp": stats.temp_size_in_bytes,
        "code": stats.generated_code_size_in_bytes,
        "resident": resident,
        "host_temp": stats.host_temp_size_in_bytes,
    }
