# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""manifest.json of an evaluation: what would be needed to have the same numbers again.

It names software, hardware and data by versions, counts and hashes. It holds no path of the machine
and no key; the address of a server has none either (`openai_options.Options.validate`).
"""

import collections
import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.engines import registry
from lingshu_jax.eval import asking, benchmark, files, folder
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval.benchmarks import rows

NAME = "manifest.json"
LARGEST_HASHED = 4 << 30  # bytes of a file; of larger ones, which are archives, the size is noted
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DISTRIBUTION = "lingshu-jax"
# Of `registry.Options`: paths, and what is asked how fast, are no matter of the numbers.
_OPTIONS = ("rows", "max_images", "tensor", "dtype", "max_model_len", "gpu_memory_utilization")
# Where the hub's own command keeps the commit of each file that it fetched into a folder.
_HUB_NOTES = pathlib.PurePath(".cache", "huggingface", "download")


def note_session(output_dir: pathlib.Path, session: Mapping[str, Any]) -> None:
    """Adds what one process works with, unless one that was equal has been here before.

    Args:
      output_dir: Of the evaluation, begun.
      session: From `session`.
    """
    with folder.locked(output_dir):
        found = _read(output_dir)
        sessions = found.setdefault("sessions", [])
        if not any(_without_time(old) == _without_time(session) for old in sessions):
            sessions.append(dict(session))
            _write(output_dir, found)


def finish(output_dir: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Adds what is known in the end; `folder.locked` is the caller's.

    Args:
      output_dir: Of the evaluation.
      facts: Under names of their own.
    """
    found = {"sessions": [], **_read(output_dir)}
    _write(output_dir, {**facts, "scored_with": software(), **found})


def session(engine: str, options: registry.Options, part: str) -> dict[str, Any]:
    """What this process answers with.

    Args:
      engine: Its name.
      options: How it works.
      part: Which part of the evaluation; "" is all of it.
    """
    known: dict[str, Any] = {name: getattr(options, name) for name in _OPTIONS}
    if engine == "openai":
        known["prices"] = {
            "in": options.server.terms.price_in,
            "out": options.server.terms.price_out,
        }
    if options.vllm_python:
        known["vllm"] = _vllm_of(options.vllm_python)
    return {
        "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "part": part,
        "engine": {name: value for name, value in known.items() if value},
        "hardware": hardware(engine),
        "software": software(),
    }


@functools.cache
def software() -> Mapping[str, Any]:
    """Versions of Python, of this package with its commit, and of all that is installed."""
    found = {dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions()}
    return {
        "python": platform.python_version(),
        "lingshu_jax": {"version": found.get(_DISTRIBUTION), **_checkout()},
        "packages": dict(sorted(found.items(), key=lambda pair: pair[0].lower())),
    }


def hardware(engine: str) -> dict[str, Any]:
    """The machine, without its name.

    Args:
      engine: Its name; its library is asked for devices only where it has them already.
    """
    devices: collections.Counter[str] = collections.Counter()
    torch: Any = sys.modules.get("torch")
    if engine == "jax" and "lingshu_jax.engines.jax_engine" in sys.modules:
        import jax

        devices.update(device.device_kind for device in jax.local_devices())
    elif engine == "vllm" and torch is not None and torch.cuda.is_available():
        devices.update(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "devices": dict(devices),
    }


def describe_data(
    item: benchmark.Benchmark,
    data_dir: pathlib.Path | None,
    samples: Sequence[benchmark.Sample],
) -> dict[str, Any]:
    """Where the questions of a benchmark come from, and hashes of the files.

    Args:
      item: The benchmark.
      data_dir: As it was loaded from.
      samples: All that were asked.

    Returns:
      `repository` and the `revision` that is asked for, "" where nothing says that the files are
      the hub's; `commits` that were fetched, as far as the hub's own notes tell; `files` with
      `bytes` and `sha256` (None above `LARGEST_HASHED`); `pictures` and their bytes; how many
      `rows` were asked.
    """
    card = item.card
    weight = asking.weigh(samples)
    paths = _files(item, data_dir)
    commits = {commit for base, path in paths for commit in _commits(base, path)}
    is_from_hub = bool(commits) or data_dir is None
    return {
        "repository": card.repository if is_from_hub else "",
        "revision": card.revision if is_from_hub else "",
        "commits": sorted(commits),
        "files": [_describe_file(base, path) for base, path in paths],
        "pictures": {"count": weight.pictures, "bytes": weight.bytes},
        "rows": len(samples),
    }


def digest_file(path: pathlib.Path) -> str:
    """The SHA-256 of a file.

    Args:
      path: Which.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(
    item: benchmark.Benchmark, data_dir: pathlib.Path | None
) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """The files that a benchmark is made of, each with the folder that it was looked for in."""
    if isinstance(item, rows.Rows):
        path = (data_dir or pathlib.Path()) / item.file
        return [(path.parent, path)]
    card: card_lib.Card = item.card
    base = files.find(card, data_dir)
    found = {path: None for pattern in card.files for path in files.matches(base, pattern)}
    return [(base, path) for path in found]


def _describe_file(base: pathlib.Path, path: pathlib.Path) -> dict[str, Any]:
    size = path.stat().st_size
    return {
        "name": path.relative_to(base).as_posix(),
        "bytes": size,
        "sha256": digest_file(path) if size <= LARGEST_HASHED else None,
    }


def _commits(base: pathlib.Path, path: pathlib.Path) -> Iterable[str]:
    """The commit of a file in the hub's cache, or in a folder that the hub's command filled."""
    if base.parent.name == "snapshots" and _COMMIT.fullmatch(base.name):
        yield base.name
    note = base / _HUB_NOTES / f"{path.relative_to(base).as_posix()}.metadata"
    if note.is_file():
        first = note.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0].strip()
        if _COMMIT.fullmatch(first):
            yield first


def _checkout() -> dict[str, Any]:
    """The commit of the checkout that this package lies in, and whether its files are changed."""
    root = pathlib.Path(__file__).resolve().parents[2]
    top = _say("git", "-C", str(root), "rev-parse", "--show-toplevel")
    if not top or pathlib.Path(top).resolve() != root:
        return {"commit": None}
    changed = _say("git", "-C", str(root), "status", "--porcelain", "--", "lingshu_jax")
    return {"commit": _say("git", "-C", str(root), "rev-parse", "HEAD"), "changed": bool(changed)}


def _vllm_of(python: str) -> str | None:
    code = "import importlib.metadata as m; print(m.version('vllm'))"
    return _say(python, "-c", code) or None


def _say(*command: str) -> str:
    """What a command prints; "" if it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _read(output_dir: pathlib.Path) -> dict[str, Any]:
    path = output_dir / NAME
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise errors.UserError(f"{path} is damaged; without it the run goes on") from error


def _write(output_dir: pathlib.Path, content: Mapping[str, Any]) -> None:
    folder.write_text(output_dir / NAME, folder.dump(content))


def _without_time(session: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in session.items() if name != "began"}
