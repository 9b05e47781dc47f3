# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of an evaluation: what it was made with, what is done, what is finished.

settings.json                           what decides the answers
manifest.json                           software, hardware, data: see `manifest.py`
<benchmark>/generations[.I-of-N].jsonl  answers so far, a journal for each part that is at work
<benchmark>/samples.jsonl               all scored rows, in the benchmark's order
<benchmark>/summary.json
<benchmark>/COMMIT                      written last; without it the benchmark is partial
summary.json report.html leaderboard.{json,csv,md}
COMMIT                                  written last; without it the evaluation is partial

Several processes may share it. Each appends to a journal of its own, which nobody else opens for
writing; what has one writer at a time is written while `locked`.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from lingshu_jax.common import errors, paths
from lingshu_jax.data import formats
from lingshu_jax.engines import journal
from lingshu_jax.eval import benchmark

COMMIT = "COMMIT"
SETTINGS = "settings.json"
GENERATIONS = "generations"
LOCK = "lock" + paths.PARTIAL  # object stores never get it


class Generations(NamedTuple):
    """The answers that a benchmark has so far.

    Attributes:
      answers: By id; where two parts have answered a question, that of the file which is first by
        name counts.
      pictures: `asking.digest_pictures` of each question when it was asked, by id.
      used: What each of them took, those that do not count included.
    """

    answers: dict[str, benchmark.Answer]
    pictures: dict[str, str]
    used: list[Mapping[str, Any]]


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
        leftovers = (SETTINGS + paths.PARTIAL, LOCK)
        if output_dir.is_dir() and any(e.name not in leftovers for e in output_dir.iterdir()):
            raise errors.UserError(f"--output_dir {output_dir} holds files of something else")
        return
    made_with = json.loads(path.read_text(encoding="utf-8"))
    for name, new in settings.items():
        old = made_with.get(name)
        if old != new and (name in made_with or new):  # older folders lack settings of today
            raise errors.UserError(
                f"--output_dir {output_dir} was made with {name} = {old!r}, now it is {new!r}; use"
                " another folder, or --overwrite"
            )


def begin(output_dir: Path, settings: Mapping[str, Any]) -> None:
    """Makes the folder and notes its settings, unless both are there.

    Raises:
      UserError: If another process has begun it with other settings meanwhile.
    """
    with locked(output_dir):
        check(output_dir, settings)
        if not (output_dir / SETTINGS).is_file():
            write_text(output_dir / SETTINGS, dump(settings))


@contextlib.contextmanager
def locked(output_dir: Path) -> Iterator[None]:
    """Waits until no other process is in this block for the same folder.

    Args:
      output_dir: Of the evaluation; it is made.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / LOCK
    with filelock.FileLock(path):
        yield
        if is_complete(output_dir):  # who waits finds nothing left to do
            path.unlink(missing_ok=True)


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


def generations_file(folder: Path, part: str) -> Path:
    """Where a part keeps its answers.

    Args:
      folder: Of a benchmark.
      part: As `0-of-2`; "" where there is one.
    """
    return folder / (f"{GENERATIONS}.{part}.jsonl" if part else f"{GENERATIONS}.jsonl")


def read_generations(folder: Path) -> Generations:
    """All answers of a benchmark that is not complete, whatever the parts that gave them.

    A line that is torn, by a kill or because it is being written, is left out.

    Args:
      folder: Of the benchmark; may be missing.
    """
    found = Generations({}, {}, [])
    for path in _generations(folder):
        for key, kept in journal.read_answers(path):
            fields = benchmark.Answer._fields
            answer = benchmark.Answer(**{name: kept[name] for name in fields if name in kept})
            found.answers.setdefault(key, answer)
            found.pictures.setdefault(key, kept["pictures"])
            found.used.append(kept["used"])
    return found


def commit_benchmark(folder: Path, rows: Sequence[dict[str, Any]], summary: dict[str, Any]) -> None:
    """Writes the scored rows and the summary, then the marker."""
    formats.write_jsonl(folder / "samples.jsonl", rows)
    write_text(folder / "summary.json", dump(summary))
    write_text(folder / COMMIT, f"{len(rows)} rows\n")
    for path in _generations(folder):
        path.unlink(missing_ok=True)
        paths.remove(path)  # from the store, where it is the mirror of one


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


def _generations(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{GENERATIONS}*.jsonl"))
