# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Existing answers to be scored: our own rows, or what MedEvalKit wrote for any of its sets.

A MedEvalKit row has `answer` and `response`, and what its set keeps besides, see
`medevalkit_rows`; ours has `id`, `question`, `gold`, `response`, and what a row of samples.jsonl
has besides; `choices`, if there, are its options as the prompt showed them, else "A. " and so on
stand before them. An old verdict is ignored. Besides a file of rows these are read:

    predictions.csv   MedEvalKit's reports, with ground_truth.csv beside it
    a folder          of one of MedEvalKit's sets: its results.json; MMMU's files of all subjects;
                      its predictions.csv
"""

import collections
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lingshu_jax.common import errors, paths
from lingshu_jax.eval import benchmark, compat, medevalkit_rows

GZIP = b"\x1f\x8b"
TRUTH = "ground_truth.csv"
# Where rows may keep an id of their own.
IDS = ("id", "question_id", "uuid", "qid", "prompt_id", "study_id")
_FOLDER = ("results.json", "*/parsed_output.json", "*/output_sample.json", "predictions.csv")
_COLUMNS = ["study_id", "report"]
_HEADER = ",".join(_COLUMNS)
_HEADER_SIZE = 100  # bytes that hold it, with a byte order mark
_CELL = 2**31 - 1  # characters of a CSV cell; Python's own limit is 128 KiB
_SHOWN = 10  # numbers of unusable rows in one message


class Answered(NamedTuple):
    """A sample without its prompt, and the answer it got."""

    sample: benchmark.Sample
    answer: benchmark.Answer


class _Row(NamedTuple):
    where: str  # "" in the first file
    number: int
    value: Any

    def __str__(self) -> str:
        return f"{self.where}row {self.number}"


def read(path: Path, rule: str | None = None) -> list[Answered]:
    """Reads answers, in their order.

    Args:
      path: A JSON list or JSONL, perhaps gzipped, whatever its name; or see above.
      rule: A key of `compat.RULES`; None chooses by what each row holds.

    Raises:
      UserError: If there is nothing to read, or a row lacks what scoring needs.
    """
    assert rule is None or rule in compat.RULES, rule
    rows = [row for file in _files(path) for row in _rows(file, path)]
    if not rows:
        raise errors.UserError(f"--predictions {path}: no rows")
    ids, answered, problems = _ids([row.value for row in rows]), [], []
    for row, row_id in zip(rows, ids, strict=True):
        try:
            answered.append(_answered(row.value, row_id, rule))
        except errors.UserError as error:
            problems.append((row, error))
    if problems:
        raise errors.UserError(f"--predictions {path} {_told(problems)}") from problems[0][1]
    counts = collections.Counter(item.sample.id for item in answered)
    if len(counts) < len(answered):
        repeated = next(row_id for row_id, count in counts.items() if count > 1)
        raise errors.UserError(f"--predictions {path}: id {repeated!r} occurs more than once")
    return answered


def sources(path: Path) -> list[Path]:
    """All files that `read` reads, so that a digest can cover them.

    Args:
      path: As of `read`.

    Raises:
      UserError: If there is none.
    """
    return [file for found in _files(path) for file in (found, *_truths(found))]


def _files(path: Path) -> list[Path]:
    """The files that hold answers."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise errors.UserError(f"--predictions: no such file: {path}")
    for pattern in _FOLDER:
        if files := sorted(path.glob(pattern)) or sorted(path.glob(f"{pattern}.gz")):
            return files
    raise errors.UserError(
        f"--predictions {path} is a folder that holds none of {', '.join(_FOLDER)}"
    )


def _told(problems: Sequence[tuple[_Row, errors.UserError]]) -> str:
    """The first unusable row with what is wrong, and which others there are."""
    row, error = problems[0]
    others = [str(other) for other, _ in problems[1:]]
    if not others:
        return f"{row}: {error}"
    more = f", and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    return f"{row}: {error}; not usable either: {', '.join(others[:_SHOWN])}{more}"


def _ids(values: Sequence[Any]) -> list[str]:
    """Ids of the rows' own: as they are of ours, of MedEvalKit if all have one and it is unique."""
    rows = [value if isinstance(value, dict) else {} for value in values]
    if any("gold" in row for row in rows):
        return [str(row.get("id", number)) for number, row in enumerate(rows)]
    for name in IDS:
        found = [str(row[name]) for row in rows if isinstance(row.get(name), str | int)]
        if len(set(found)) == len(rows):
            return found
    if all("findings" in row for row in rows):
        return [f"study_{number}" for number in range(1, len(rows) + 1)]  # as in its tables
    return [str(number) for number in range(len(rows))]


def _answered(row: Any, row_id: str, rule: str | None) -> Answered:
    if not isinstance(row, dict):
        raise errors.UserError(f"must be an object, got {type(row).__name__}")
    if "response" not in row:
        raise errors.UserError(f"needs response, found {sorted(row)}")
    sample = medevalkit_rows.sample(row, row_id, rule or medevalkit_rows.rule_of(row))
    response = medevalkit_rows.text(row, "response") or ""
    num_tokens = row.get("num_tokens")
    return Answered(
        sample,
        benchmark.Answer(
            response,
            str(row.get("finish_reason") or "stop"),
            num_tokens if isinstance(num_tokens, int) else 0,
        ),
    )


def _rows(path: Path, root: Path) -> Iterator[_Row]:
    """The rows of a file, with its name where there are several."""
    where = "" if path == root else f"{path.relative_to(root)} "
    values = _report_rows(path) if _is_table(path) else _json_rows(path)
    for number, value in enumerate(values):
        yield _Row(where, number, value)


def _json_rows(path: Path) -> list[Any]:
    """A list, or JSONL."""
    text = _text(path).strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.startswith("["):
            raise errors.UserError(
                f"--predictions {path}: neither JSON nor JSONL: {error}"
            ) from error
        return _lines(path, text)
    if isinstance(value, dict):
        return [_only_row(path, value)]
    if not isinstance(value, list):
        kind = type(value).__name__
        raise errors.UserError(f"--predictions {path}: must be a list of rows or JSONL, got {kind}")
    return value


def _lines(path: Path, text: str) -> list[Any]:
    values = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise errors.UserError(
                f"--predictions {path}: neither JSON nor JSONL: line {number}: {error}"
            ) from error
    return values


def _only_row(path: Path, value: dict[str, Any]) -> dict[str, Any]:
    """The object that a file is; a mapping of ids or a table of metrics is no row."""
    if any(map(medevalkit_rows.subject, value)):
        raise errors.UserError(
            f"--predictions {path} holds MedEvalKit's answers to MMMU's test split by id, without"
            " the questions' golds, and cannot be scored alone; --benchmarks=mmmu_medical_test asks"
            " and scores them"
        )
    if "total metrics" in value or "total" in value:
        raise errors.UserError(
            f"--predictions {path} holds metrics; the answers are in results.json beside it"
        )
    return value


def _is_table(path: Path) -> bool:
    """True if a file is one of MedEvalKit's two tables of reports."""
    with path.open("rb") as file:
        is_packed = file.read(len(GZIP)) == GZIP
    try:
        with gzip.open(path) if is_packed else path.open("rb") as file:
            return file.readline(_HEADER_SIZE).decode("utf-8-sig").startswith(_HEADER)
    except (ValueError, EOFError, OSError, zlib.error):
        return False


def _truths(path: Path) -> list[Path]:
    return [_truth(path)] if _is_table(path) else []


def _truth(path: Path) -> Path:
    """The table of golds beside a table of answers."""
    if path.name.startswith(TRUTH):
        raise errors.UserError(f"--predictions {path} holds golds; name the file of answers")
    for name in (TRUTH, f"{TRUTH}.gz"):
        found = paths.fetch(path.with_name(name))
        if found.is_file():
            return found
    raise errors.UserError(f"--predictions {path} needs {TRUTH} beside it")


def _report_rows(path: Path) -> list[Any]:
    """Answers and golds of reports, by study."""
    truth = _truth(path)
    golds = {row["study_id"]: row["report"] for row in _table(truth)}
    rows = []
    for row in _table(path):
        study = row["study_id"]
        if study not in golds:
            raise errors.UserError(f"--predictions {truth} has no report of {study}")
        rows.append(
            {"id": study, "gold": golds[study], "response": row["report"], "rule": "report"}
        )
    if len(rows) != len(golds):
        raise errors.UserError(f"--predictions {path}: {len(rows)} reports, {truth}: {len(golds)}")
    return rows


def _table(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(_CELL)
    rows = []
    try:
        for number, row in enumerate(csv.DictReader(io.StringIO(_text(path), newline=""))):
            if sorted(row, key=str) != sorted(_COLUMNS) or None in row.values():
                raise errors.UserError(
                    f"--predictions {path} row {number} must have the columns {_COLUMNS}"
                )
            rows.append(row)
    except csv.Error as error:
        raise errors.UserError(f"--predictions {path} is no CSV: {error}") from error
    return rows


def _text(path: Path) -> str:
    raw = path.read_bytes()
    try:
        return (gzip.decompress(raw) if raw[:2] == GZIP else raw).decode("utf-8-sig")
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise errors.UserError(f"--predictions {path}: neither JSON nor JSONL: {error}") from error
