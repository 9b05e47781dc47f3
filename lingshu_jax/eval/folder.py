# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of an evaluation: what it was made with, what is done, what is finished.

settings.json                        what decides the answers
<benchmark>/generations.jsonl        answers so far, one JSON line each, appended
<benchmark>/samples.jsonl            all scored rows, in the benchmark's order
<benchmark>/summary.json
<benchmark>/COMMIT                   written last; without it the benchmark is partial
summary.json report.html leaderboard.{json,csv,md}
COMMIT                               written last; without it the evaluation is partial
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors, paths
from lingshu_jax.data import formats
from lingshu_jax.eval import benchmark

COMMIT = "COMMIT"
SETTINGS = "settings.json"
GENERATIONS = "generations.jsonl"


def check(output_dir: Path, settings: Mapping[str, Any]) -> None:
    """Raises a UserError if the folder belongs to something else.

    Args:
      output_dir: May be missing or empty.
      settings: What this evaluation is made with; must equal what the folder was made with.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise errors.UserError(f"--output_dir {output_dir} is a file")
    path = output_dir / SETTINGS
    if not path.is_file():
        leftover = path.with_name(SETTINGS + paths.PARTIAL)
        if output_dir.is_dir() and any(entry != leftover for entry in output_dir.iterdir()):
            raise errors.UserError(f"--output_dir {output_dir} holds files of something else")
        return
    made_with = json.loads(path.read_text(encoding="utf-8"))
    for name, new in settings.items():
        old = made_with.get(name)
        if old != new:
            raise errors.UserError(
                f"--output_dir {output_dir} was made with {name} = {old!r}, now it is {new!r}; use"
                " another folder, or --overwrite"
            )


def begin(output_dir: Path, settings: Mapping[str, Any]) -> None:
    """Makes the folder and notes its settings, unless both are there."""
    if not (output_dir / SETTINGS).is_file():
        output_dir.mkdir(parents=True, exist_ok=True)
        write_text(output_dir / SETTINGS, dump(settings))


def check_replaceable(output_dir: Path) -> None:
    """Raises a UserError unless the folder is missing, empty, or of an evaluation."""
    if not output_dir.exists() or (output_dir / SETTINGS).is_file():
        return
    if not output_dir.is_dir() or any(output_dir.iterdir()):
        raise errors.UserError(f"--overwrite: {output_dir} is not the folder of an evaluation")


def clear(output_dir: Path) -> None:
    """Deletes an evaluation folder; anything else is left alone.

    Raises:
      UserError: If the folder is none of an evaluation.
    """
    check_replaceable(output_dir)
    paths.remove(output_dir)


def is_complete(folder: Path) -> bool:
    """True if the folder of an evaluation or of one benchmark has its commit marker."""
    return (folder / COMMIT).is_file()


def read_generations(folder: Path) -> dict[str, benchmark.Answer]:
    """The answers that a benchmark already has, by id.

    A line that was torn by a kill is cut off the file, with all that follows it; it will be
    generated again.
    """
    path = folder / GENERATIONS
    if not path.is_file():
        return {}
    found, intact = {}, 0
    raw = path.read_bytes()
    for line in raw.splitlines(keepends=True):
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        found[row["id"]] = benchmark.Answer(
            row["response"], row["finish_reason"], row["num_tokens"]
        )
        intact += len(line)
    if intact < len(raw):
        os.truncate(path, intact)
    return found


def append_generations(folder: Path, ids: Sequence[str], given: Iterable[benchmark.Answer]) -> None:
    """Appends answers; they are on disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ({"id": id, **answer._asdict()} for id, answer in zip(ids, given, strict=True))
    with (folder / GENERATIONS).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


def commit_benchmark(folder: Path, rows: Sequence[dict[str, Any]], summary: dict[str, Any]) -> None:
    """Writes the scored rows and the summary, then the marker."""
    formats.write_jsonl(folder / "samples.jsonl", rows)
    write_text(folder / "summary.json", dump(summary))
    write_text(folder / COMMIT, f"{len(rows)} rows\n")
    (folder / GENERATIONS).unlink(missing_ok=True)


def read_samples(folder: Path) -> list[dict[str, Any]]:
    """The scored rows of a complete benchmark."""
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary of a complete benchmark or evaluation."""
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def write_text(path: Path, text: str) -> None:
    """Writes a file that appears whole or not at all."""
    with paths.whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def dump(value: Mapping[str, Any]) -> str:
    """JSON as the files of an evaluation have it."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
