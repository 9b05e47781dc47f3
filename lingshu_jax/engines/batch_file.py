# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A JSONL file of questions through an engine, into a JSONL file of answers in the same order.

    FILE                  an answer a row; written whole once every row has been asked
    FILE.part             the answers so far, in the order they came (`journal.py`)
    FILE.settings.json    what they are made with

The same command again asks only rows that have no answer: what a kill cut off, and what failed. A
row that fails is `{"id", "error"}` in FILE, and FILE.part stays until none does. Where all are
answered nothing is done. A row is known by its content: its messages, its other keys but the id,
and size and time of the files that it names. So rows may be added, removed and put in another
order before FILE is finished.

In an object store lie FILE and FILE.settings.json; FILE.part lies in the local mirror
(`common/paths.py`), so that the machine which began goes on.
"""

import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import tqdm
from absl import flags

from lingshu_jax.common import cli, errors, paths
from lingshu_jax.data import formats, formats_media, sources, volume_files
from lingshu_jax.engines import journal, protocol, registry

PART, SETTINGS = ".part", ".settings.json"  # after the name of the output
WINDOW = 4096  # requests that an engine is given at a time
SHOWN = 50  # failed rows that are shown; all of them stand in the output
_COMMAND = "command"
_NO_FLAGS = (_COMMAND, "weights", "files")  # of the settings
_INPUT = "input"  # in the settings of a finished file: the digest of its rows

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")
OnResult = Callable[[int, list[Answered] | protocol.Failure], object]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(Generic[Asked, Answered]):
    """What is done with every row.

    Attributes:
      name: Of the command.
      request: Makes a request of a row and its place in the file; raises UserError.
      ask: Gives requests to an engine.
      describe: The fields of an answer's row, but for its id.
    """

    name: str
    request: Callable[[sources.Example, int], Asked]
    ask: Callable[[protocol.Engine, Sequence[Asked], OnResult[Answered]], object]
    describe: Callable[[list[Answered]], dict[str, Any]]


class Counts(NamedTuple):
    """How many rows of the output are answers, and how many say why there is none."""

    answered: int
    failed: int


class _Row(NamedTuple):
    """A row of the input.

    Attributes:
      place: 0 is the first.
      id: Its own, or its file and line.
      key: By which its answer is found again.
      example: What it asks; None if it was refused.
      reason: Why it was.
    """

    place: int
    id: str
    key: str = ""
    example: sources.Example | None = None
    reason: str = ""


def run(
    task: Task[Asked, Answered],
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    settings: Mapping[str, Any],
    make_engine: Callable[[], protocol.Engine],
    overwrite: bool = False,
) -> Counts:
    """Answers every row of a file that has no answer yet.

    Args:
      task: What is done with a row.
      source: JSONL of rows, or another file that `formats.read_values` reads.
      target: JSONL of answers.
      settings: All that decides the answers, in JSON values, under the names of flags.
      make_engine: Called only if a row is to be asked.
      overwrite: Starts anew, whatever is there; a finished file stays until the new one is whole.

    Raises:
      UserError: If the input cannot be read, if `target` was made with other settings or from
        other rows, or if the engine can answer no more. What is answered is kept.
    """
    if target.is_dir():
        raise errors.UserError(f"--output={target} is a folder, allowed is a file")
    if target.resolve() == source.resolve():
        raise errors.UserError(f"--output={target} is the --input")
    rows = _read(source)
    settings = json.loads(json.dumps({_COMMAND: task.name, **settings}))
    finished = {**settings, _INPUT: _digest([row.key for row in rows])}

    def begin() -> None:
        _write_settings(target, {**settings, _INPUT: None})

    with contextlib.closing(journal.Journal(_beside(target, PART), begin=begin)) as kept:
        # Not before nobody else can finish it.
        if overwrite:
            kept.clear()
        elif _is_finished(target, finished):
            return Counts(len(rows), 0)
        kept.load()
        failed = _answer_missing(task, rows, kept, make_engine)
        begin()
        formats.write_jsonl(target, _answers(rows, kept, failed))
        if not failed:
            _write_settings(target, finished)
            kept.clear()
    return Counts(len(rows) - len(failed), len(failed))


def define_flags() -> None:
    """Defines the flags of a command that answers a file."""
    registry.define_flags()
    flags.adopt_module_key_flags(registry)
    flags.DEFINE_string("input", None, "JSONL file of rows.")
    flags.DEFINE_string("output", None, "JSONL file of answers, in the order of the rows.")
    flags.DEFINE_boolean("overwrite", False, "Starts anew, whatever is there.")


def command(answer: Callable[..., Counts], **arguments: Any) -> None:
    """Answers the file that the flags of `define_flags` name, and leaves with code 1 if rows fail.

    Args:
      answer: Takes model, source and target, then `engine`, `options` and `overwrite`.
      **arguments: More of its own.

    Raises:
      UserError: As in `run`.
    """
    model, address = cli.required("model"), cli.required("output")
    source = paths.fetched(cli.required("input"))
    with paths.opened(address) as target, paths.opened(address + SETTINGS):
        counts = answer(
            model,
            source,
            target,
            engine=cli.flag("engine"),
            options=registry.options_from_flags(),
            overwrite=cli.flag("overwrite"),
            **arguments,
        )
    if counts.failed:
        print(
            f"{counts.answered} answers and {counts.failed} failed rows in {address}; the same "
            "command asks those again"
        )
        sys.exit(1)
    print(f"{counts.answered} answers in {address}")


def _read(source: pathlib.Path) -> list[_Row]:
    # Rows may name their images by absolute paths.
    file = sources.Source(name="input", path=str(source.absolute()), allow_outside=True)
    seen: collections.Counter[str] = collections.Counter()
    rows = []
    for place, row in enumerate(sources.stream(file)):
        if isinstance(row, sources.Dropped):
            rows.append(_Row(place, row.id, reason=f"line {row.line}: {row.reason}"))
            continue
        content = _digest([row.messages, [*map(_stamp, _paths(row))], row.meta])
        seen[content] += 1  # equal rows have an answer each
        rows.append(_Row(place, row.id, f"{content}-{seen[content]}", row))
    return rows


def _paths(example: sources.Example) -> Iterator[str]:
    """The files of a row's images and videos."""
    for message in example.messages:
        for part in message["content"]:
            media = [] if part["type"] == "text" else formats_media.as_list(part[part["type"]])
            yield from (value for value in media if isinstance(value, str))


def _stamp(path: str) -> tuple[int, int]:
    found = os.stat(volume_files.split_fragment(path)[0])
    return found.st_size, found.st_mtime_ns


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=lambda data: hashlib.sha256(data).hexdigest())
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _beside(target: pathlib.Path, suffix: str) -> pathlib.Path:
    return target.with_name(target.name + suffix)


def _is_finished(target: pathlib.Path, finished: Mapping[str, Any]) -> bool:
    """Whether nothing is left to do; what cannot be gone on with is an error."""
    part, path = _beside(target, PART), _beside(target, SETTINGS)
    found = [file for file in (part, target) if file.is_file() and file.stat().st_size > 0]
    if not found and not (target.is_file() and path.is_file()):
        return False
    if not path.is_file():
        raise errors.UserError(
            f"{found[0]} is there, but no {path.name} that says what it was made with; use "
            "another --output, or --overwrite"
        )
    old = _read_settings(path)
    for name in [name for name in {**finished, **old} if name != _INPUT]:
        if old.get(name) != finished.get(name):
            raise errors.UserError(
                f"{target} was made with {_say(name, old.get(name))}, now it is "
                f"{_say(name, finished.get(name))}; use another --output, or --overwrite"
            )
    if part in found or old.get(_INPUT) is None or not target.is_file():
        return False
    if old[_INPUT] != finished[_INPUT]:
        raise errors.UserError(
            f"{target} answers other rows than the --input has now; use another --output, or "
            "--overwrite"
        )
    return True


def _read_settings(path: pathlib.Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise errors.UserError(f"{path} is damaged; use another --output, or --overwrite") from (
            error
        )


def _say(name: str, value: Any) -> str:
    return f"the {name} {value}" if name in _NO_FLAGS else f"--{name}={value}"


def _write_settings(target: pathlib.Path, settings: Mapping[str, Any]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with paths.whole_file(_beside(target, SETTINGS)) as partial:
        partial.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def _answer_missing(
    task: Task[Asked, Answered],
    rows: Sequence[_Row],
    kept: journal.Journal,
    make_engine: Callable[[], protocol.Engine],
) -> dict[int, str]:
    """Asks what has no answer; the reasons of failed rows by their places."""
    pending = [row for row in rows if row.example is not None and row.key not in kept]
    if kept.torn:
        _tell(f"torn lines of the journal: {kept.torn}; their rows are asked again")
    with contextlib.ExitStack() as stack:
        bar = tqdm.tqdm(
            desc=task.name, total=len(rows), initial=len(rows) - len(pending), unit="row"
        )
        stack.enter_context(bar)
        asking = _Asking(task, kept, bar.update)
        for row in rows:
            if row.example is None:
                asking.fail(row, row.reason)
        if pending:
            engine = stack.enter_context(contextlib.closing(make_engine()))
            for start in range(0, len(pending), WINDOW):
                asking.ask(engine, pending[start : start + WINDOW])
    if len(asking.failed) > SHOWN:
        _tell(f"and {len(asking.failed) - SHOWN} more failed rows, which the output names")
    return asking.failed


class _Asking(Generic[Asked, Answered]):
    """Rows that become answers in a journal, or reasons.

    Attributes:
      failed: Reasons by the places of rows.
    """

    def __init__(
        self,
        task: Task[Asked, Answered],
        kept: journal.Journal,
        advance: Callable[[], object],
    ):
        self.failed: dict[int, str] = {}
        self._task, self._kept, self._advance = task, kept, advance

    def fail(self, row: _Row, reason: str) -> None:
        """Notes and shows why a row has no answer."""
        self.failed[row.place] = reason
        if len(self.failed) <= SHOWN:
            _tell(f"row {row.id!r}: {reason}")

    def ask(self, engine: protocol.Engine, rows: Sequence[_Row]) -> None:
        """Has rows answered."""
        asked: list[_Row] = []
        requests: list[Asked] = []
        for row in rows:
            assert row.example is not None
            try:
                requests.append(self._task.request(row.example, row.place))
                asked.append(row)
            except errors.UserError as error:
                self.fail(row, str(error))
                self._advance()

        def take(place: int, result: list[Answered] | protocol.Failure) -> None:
            row = asked[place]
            if isinstance(result, protocol.Failure):
                self.fail(row, result.reason.removeprefix(f"request {row.id!r}: "))
            else:
                self._kept.append(row.key, self._task.describe(result))
            self._advance()

        try:
            self._task.ask(engine, requests, take)
        except errors.UserError as error:
            raise errors.UserError(
                f"{error}; {len(self._kept)} answers are kept for the same command"
            ) from error


def _answers(
    rows: Sequence[_Row], kept: journal.Journal, failed: Mapping[int, str]
) -> Iterator[dict[str, Any]]:
    for row in rows:
        reason = failed.get(row.place)
        found = kept.read(row.key) if reason is None else {"error": reason}
        yield {"id": row.id, **found}


def _tell(line: str) -> None:
    """On standard error, above the progress bar."""
    tqdm.tqdm.write(line, file=sys.stderr)
