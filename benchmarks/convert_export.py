# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What convert and export of a full-size folder cost, beside `cp` of the same bytes.

    PYTHONPATH=. python benchmarks/convert_export.py --size=7b --workdir=DIR

Needs room for two and a half copies of the weights: 40 GB for 7B. The source is deleted before
the export. Every part is a process of its own, whose anonymous memory (RssAnon, what cannot be
dropped under pressure; mapped files can) is sampled. Before each part the file cache of what it
reads is dropped. Prints a Markdown table; fails if a tensor came back with other bytes.
"""

import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import random_checkpoint
from lingshu_jax.models import safetensors_files, sizes

SAMPLE_SECONDS = 0.05
GIB = 2**30


class Cost(NamedTuple):
    """One part of the benchmark: wall-clock seconds and bytes."""

    seconds: float
    peak_anonymous: int


def measure(command: Sequence[str], reads: pathlib.Path) -> Cost:
    """Runs a command that must succeed.

    Args:
      command: Program and arguments.
      reads: Folder whose files are dropped from the cache before.
    """
    os.sync()
    for path in reads.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    code = process.wait()
    seconds = time.monotonic() - start
    watcher.join()
    if code:
        sys.exit(f"{' '.join(command)} failed with exit code {code}")
    return Cost(seconds, peak[0])


def checksums(folder: pathlib.Path) -> dict[str, str]:
    """SHA-256 of every tensor's shape, dtype and bytes, by name."""
    sums = {}
    for name, tensor in safetensors_files.Tensors(folder).items():
        digest = hashlib.sha256(f"{tensor.shape} {tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view("u1").data)
        sums[name] = digest.hexdigest()
    return sums


def run(size: str, workdir: pathlib.Path) -> str:
    """The benchmark.

    Args:
      size: Name in `models/sizes.py`.
      workdir: Where the folders are made; an existing `hf` in it is used.

    Returns:
      A Markdown table.
    """
    source, copy = workdir / "hf", workdir / "copy"
    checkpoint, exported = workdir / "checkpoint", workdir / "exported"
    if not source.exists():
        random_checkpoint.write(source, sizes.get(size))
    num_bytes = sum(path.stat().st_size for path in source.glob("*.safetensors"))
    before = checksums(source)
    costs = {"cp": measure(["cp", "-r", str(source), str(copy)], source)}
    shutil.rmtree(copy)
    flags = [f"--hf={source}", f"--checkpoint={checkpoint}"]
    costs["convert"] = measure([sys.executable, "-m", "lingshu_jax.convert", *flags], source)
    shutil.rmtree(source)
    flags = [f"--hf={exported}", f"--checkpoint={checkpoint}"]
    costs["export"] = measure([sys.executable, "-m", "lingshu_jax.export", *flags], checkpoint)
    if checksums(exported) != before:
        sys.exit("tensors came back with other names, shapes or bytes")
    lines = [
        f"{size}: {num_bytes / 1e9:.1f} GB in {len(before)} tensors, all bytes identical",
        "",
        "| | seconds | GB/s | beside cp | peak RssAnon |",
        "|---|---|---|---|---|",
    ]
    for name, cost in costs.items():
        lines.append(
            f"| {name} | {cost.seconds:.1f} | {num_bytes / cost.seconds / 1e9:.2f} | "
            f"{costs['cp'].seconds / cost.seconds:.2f} | {cost.peak_anonymous / GIB:.2f} GiB |"
        )
    return "\n".join(lines)


def _watch(process: subprocess.Popen, peak: list[int]) -> None:
    status = pathlib.Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            lines = status.read_text().splitlines()
        except OSError:
            return
        for line in lines:
            if line.startswith("RssAnon:"):
                peak[0] = max(peak[0], int(line.split()[1]) * 1024)
        time.sleep(SAMPLE_SECONDS)


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the arguments and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="7b", choices=sorted(sizes.SIZES))
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    arguments = parser.parse_args(argv)
    print(run(arguments.size, arguments.workdir))


if __name__ == "__main__":
    main()
