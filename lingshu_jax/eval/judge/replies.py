# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Replies of a judge: asked for, kept as they come, and asked for again where none can be read.

A line of a file of replies is `{"row": KEY, "answer": {...}}` with `version` and digest of the
`prompt`, `verdict`, `reply`, `finish_reason`, the number of `tries`, the replies to `earlier` ones,
and what was `used`. It is written after every try; the last line of a key counts. A killed judge
goes on after the last line, and a prompt that has a verdict in one of its files is not asked again.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tqdm

from lingshu_jax.engines import journal, protocol
from lingshu_jax.eval import answering
from lingshu_jax.eval.judge import prompts, verdicts

RETRIES = 3  # of a reply that cannot be read
SHOWN = 20  # questions without a reply that are told

Entry = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One thing to be judged.

    Attributes:
      key: Of its line.
      prompt: What is asked.
      read: The verdict of a reply, given the code of the prompt.
      retries: How often it is asked again at most.
    """

    key: str
    prompt: prompts.Prompt
    read: Callable[[str, str], str]
    retries: int = RETRIES

    def is_done(self, entry: Mapping[str, Any] | None) -> bool:
        """Whether a line is the last word.

        Args:
          entry: Of this task; None if there is none.
        """
        if entry is None:
            return False
        return entry["verdict"] != verdicts.FAILED or entry["tries"] > self.retries


class Clerk:
    """Asks one judge; the engine is made when the first reply is missing.

    Attributes:
      reasons: Why there is no reply, by title and key.
    """

    def __init__(
        self,
        make_engine: Callable[[], protocol.Generator],
        *,
        sampling: protocol.SamplingParams,
        score_failed: bool = False,
    ):
        """Asks nothing yet.

        Args:
          make_engine: Called at most once.
          sampling: Greedy; a further try takes the next seed.
          score_failed: What gets no reply has the verdict FAILED and is not asked again.
        """
        self.reasons: dict[str, dict[str, str]] = {}
        self._make_engine, self._sampling = make_engine, sampling
        self._score_failed = score_failed
        self._made: protocol.Generator | None = None
        self._known: dict[str, Entry] = {}  # last words by digest of the prompt

    def ask(self, path: Path, tasks: Sequence[Task], title: str) -> dict[str, Entry]:
        """Judges what has no verdict yet.

        Args:
          path: The file of replies.
          tasks: With unique keys.
          title: Of the progress bar.

        Returns:
          The line of each task that has one, by key.

        Raises:
          UserError: If another process writes the file, or the engine can give no more replies.
        """
        with (
            contextlib.closing(journal.Journal(path, begin=_nothing, is_synced=True)) as kept,
            tqdm.tqdm(desc=title, total=len(tasks), unit="reply") as bar,
        ):
            kept.load()
            desk = _Desk(kept, tasks, self._known, bar, score_failed=self._score_failed)
            while groups := desk.open_groups():
                self._made = self._made or self._make_engine()
                for start in range(0, len(groups), answering.WINDOW):
                    window = groups[start : start + answering.WINDOW]
                    desk.ask(self._made, window, self._sampling)
        if desk.reasons and not self._score_failed:
            self.reasons[title] = desk.reasons
        return desk.entries


def read(path: Path) -> dict[str, Entry]:
    """The lines of a file of replies by key; none if there is no file.

    Args:
      path: As of `Clerk.ask`.
    """
    return dict(journal.read_answers(path))


def usage(entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What replies took.

    Args:
      entries: From `read`.

    Returns:
      `replies`, of which `cached` came from the engine's cache; `tokens_in` and `tokens_out`, None
      where the engine does not tell them; `cost`, None without prices.
    """
    entries = list(entries)
    sums = {
        name: sum(entry["used"].get(name, 0) for entry in entries) for name in protocol.Used._fields
    }
    told = {name: sums[name] or None for name in ("tokens_in", "tokens_out", "cost")}
    asked = sum(entry["tries"] for entry in entries if entry["used"])
    return {"replies": asked, "cached": sums["cached"], **told}


def add(usages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The usage of several benchmarks together.

    Args:
      usages: Results of `usage`.
    """
    sums = {name: sum(used[name] or 0 for used in usages) for name in usage([])}
    return {**sums, **{name: sums[name] or None for name in ("tokens_in", "tokens_out", "cost")}}


class _Desk:
    """The tasks of one call.

    Attributes:
      entries: Their lines so far, by key.
      reasons: Why there is no reply, by key.
    """

    def __init__(
        self,
        kept: journal.Journal,
        tasks: Sequence[Task],
        known: dict[str, Entry],
        bar: "tqdm.tqdm[Any]",
        *,
        score_failed: bool,
    ):
        self.entries: dict[str, Entry] = {}
        self.reasons: dict[str, str] = {}
        self._kept, self._tasks, self._known, self._bar = kept, tasks, known, bar
        self._score_failed = score_failed
        for task in tasks:
            entry = kept.read(task.key) if task.key in kept else None
            if entry is not None and entry["prompt"] == task.prompt.digest:
                self._note(task, entry)
        for task in self.open():
            if (entry := known.get(task.prompt.digest)) is not None:
                self._keep(task, {**entry, "used": {}})

    def open(self) -> list[Task]:
        """What has no last word, and may still get one."""
        return [
            task
            for task in self._tasks
            if not task.is_done(self.entries.get(task.key)) and task.key not in self.reasons
        ]

    def open_groups(self) -> list[list[Task]]:
        """The same, equal prompts together."""
        groups: dict[str, list[Task]] = {}
        for task in self.open():
            groups.setdefault(task.prompt.digest, []).append(task)
        return list(groups.values())

    def ask(
        self,
        engine: protocol.Generator,
        groups: Sequence[Sequence[Task]],
        sampling: protocol.SamplingParams,
    ) -> None:
        """One more try for each group."""
        before = [
            next((self.entries[task.key] for task in group if task.key in self.entries), None)
            for group in groups
        ]
        used = _count(engine)

        def take(place: int, result: list[protocol.Completion] | protocol.Failure) -> None:
            nonlocal used
            now = _count(engine)
            if isinstance(result, protocol.Failure):
                self._fail(groups[place], before[place], result.reason)
            else:
                more = _more(now, used, result)
                self._take(groups[place], before[place], result[0], more)
            used = now

        requests = [
            _request(group[0], entry, sampling) for group, entry in zip(groups, before, strict=True)
        ]
        engine.generate(requests, on_result=take)

    def _take(
        self,
        group: Sequence[Task],
        before: Mapping[str, Any] | None,
        given: protocol.Completion,
        used: Mapping[str, Any],
    ) -> None:
        first = group[0]
        said = {"reply": given.text, "finish_reason": given.finish_reason}
        entry = _entry(first, before, used) | said
        entry["verdict"] = first.read(given.text, first.prompt.code)
        for task in group:
            self._keep(task, entry)
            entry = {**entry, "used": {}}  # it was paid once

    def _fail(self, group: Sequence[Task], before: Mapping[str, Any] | None, reason: str) -> None:
        for task in group:
            self.reasons[task.key] = reason.removeprefix(f"request {group[0].key!r}: ")
            if len(self.reasons) <= SHOWN:
                line = f"{task.key!r} got no reply: {self.reasons[task.key]}"
                tqdm.tqdm.write(line, file=sys.stderr)
            if self._score_failed:
                entry = _entry(task, before, {}) | {"tries": task.retries + 1}
                self._keep(task, entry | {"reason": self.reasons[task.key]})

    def _keep(self, task: Task, entry: Entry) -> None:
        self._kept.append(task.key, entry)
        self._note(task, entry)

    def _note(self, task: Task, entry: Entry) -> None:
        self.entries[task.key] = entry
        if not task.is_done(entry):
            return
        self._bar.update()
        if "reason" not in entry:
            self._known[task.prompt.digest] = entry


def _entry(task: Task, before: Mapping[str, Any] | None, used: Mapping[str, Any]) -> Entry:
    """The line of one more try, before its reply is known."""
    before = before or {"tries": 0, "earlier": [], "used": {}}
    earlier = [*before["earlier"], before["reply"]] if "reply" in before else before["earlier"]
    names = dict.fromkeys([*before["used"], *used])
    return {
        "version": task.prompt.version,
        "prompt": task.prompt.digest,
        "verdict": verdicts.FAILED,
        "reply": "",
        "finish_reason": "",
        "tries": before["tries"] + 1,
        "earlier": earlier,
        "used": {name: before["used"].get(name, 0) + used.get(name, 0) for name in names},
    }


def _request(
    task: Task, before: Mapping[str, Any] | None, sampling: protocol.SamplingParams
) -> protocol.Request:
    tries = before["tries"] if before else 0
    content = [{"type": "text", "text": task.prompt.attempt(tries)}]
    return protocol.Request(
        messages=({"role": "user", "content": content},),
        sampling=dataclasses.replace(sampling, seed=sampling.seed + tries),
        id=task.key,
    )


def _count(engine: protocol.Generator) -> protocol.Used | None:
    return engine.used() if isinstance(engine, protocol.Metered) else None


def _more(
    now: protocol.Used | None, before: protocol.Used | None, given: Sequence[protocol.Completion]
) -> dict[str, Any]:
    """What an engine used from one reply to the next; one that does not count made tokens."""
    if now is None or before is None:
        return {"tokens_out": sum(len(one.tokens) for one in given)}
    return {k: new - old for k, new, old in zip(now._fields, now, before, strict=True)}


def _nothing() -> None:
    """There is nothing to begin: the evaluation has its folder."""
