# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Answers to the questions of a benchmark that have none yet, kept one by one as they come.

Several processes may answer parts of one benchmark, each with a journal of its own; what any of
them has answered is asked by none again, whatever the number of parts was then.
"""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tqdm

from lingshu_jax.common import errors
from lingshu_jax.engines import journal, protocol
from lingshu_jax.eval import asking, benchmark, folder, peers

WINDOW = 512  # requests that an engine is given at a time
SHOWN = 20  # questions without an answer that are shown
FAILED = "error"  # finish_reason of a question without an answer that is scored all the same

Entry = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """What one process does of an evaluation.

    Attributes:
      index: Which part.
      count: Of how many; question i of a benchmark is part i modulo `count`.
      score_failed: Questions that get no answer count as empty answers.
    """

    index: int = 0
    count: int = 1
    score_failed: bool = False

    def validate(self) -> None:
        """Raises UserError where a value is out of range."""
        if self.count < 1:
            raise errors.UserError(f"--num_shards must be >= 1, got {self.count}")
        if not 0 <= self.index < self.count:
            raise errors.UserError(
                f"--shard must be 0 to {self.count - 1}, one less than --num_shards, "
                f"got {self.index}"
            )

    @property
    def name(self) -> str:
        """As `0-of-2`; "" where there is one part."""
        return "" if self.count == 1 else f"{self.index}-of-{self.count}"

    def of(self, samples: Sequence[benchmark.Sample]) -> list[tuple[int, benchmark.Sample]]:
        """The questions of this part, with their places in the benchmark."""
        return [pair for pair in enumerate(samples) if pair[0] % self.count == self.index]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """How everything is asked.

    Attributes:
      prompt: One of `asking.PROMPTS`.
      blind: Every picture is grey.
      sampling: Question i of a benchmark takes its seed plus i.
      change: What becomes of a question when it is asked; None is nothing. It is scored as it was.
      peer: What the model is asked with besides, and where its thoughts end.
    """

    prompt: str
    blind: bool
    sampling: protocol.SamplingParams
    change: Callable[[benchmark.Sample], benchmark.Sample] | None = None
    peer: peers.Peer = peers.NONE

    def request(self, place: int, sample: benchmark.Sample) -> protocol.Request:
        """What the engine is asked.

        Args:
          place: Of the question in its benchmark.
          sample: The question.

        Raises:
          UserError: As in `asking.request`.
        """
        sampling = dataclasses.replace(self.sampling, seed=self.sampling.seed + place)
        sample = self.change(sample) if self.change else sample
        asked = asking.request(sample, prompt=self.prompt, blind=self.blind, sampling=sampling)
        return dataclasses.replace(asked, messages=self.peer.arrange(asked.messages))


class Outcome(NamedTuple):
    """What came of the questions of a benchmark.

    Attributes:
      asked: How many had no answer.
      reasons: Why there is none still, by id.
    """

    asked: int
    reasons: dict[str, str]


class Answerer:
    """Answers benchmarks into their folders; the engine is made when the first question needs it.

    Attributes:
      part: What this process does.
    """

    def __init__(
        self,
        make_engine: Callable[[], protocol.Generator],
        begin: Callable[[], object],
        *,
        form: Form,
        part: Part,
    ):
        """Nothing is asked yet.

        Args:
          make_engine: Called at most once.
          begin: Called once, before the first answer is kept.
          form: How everything is asked.
          part: What this process does.
        """
        self.part = part
        self._make_engine, self._begin, self._form = make_engine, begin, form
        self._engine: protocol.Generator | None = None

    def answer(self, name: str, samples: Sequence[benchmark.Sample], path: Path) -> Outcome:
        """Asks what has no answer; each is on disk as soon as it is there.

        Args:
          name: Of the benchmark, for the progress bar.
          samples: All of the benchmark.
          path: Its folder.

        Raises:
          UserError: If the engine can give no more answers, another process is at this part, or a
            question was answered that had other pictures.
        """
        ours, done = self.part.of(samples), folder.read_generations(path)
        if folder.is_complete(path):  # perhaps while it was read
            return Outcome(0, {})
        _check_pictures(name, samples, done)
        pending = [pair for pair in ours if pair[1].id not in done.answers]
        if not pending:
            return Outcome(0, {})
        with contextlib.ExitStack() as stack:
            bar = tqdm.tqdm(
                desc=name, total=len(ours), initial=len(ours) - len(pending), unit="row"
            )
            stack.enter_context(bar)
            kept = _Kept(folder.generations_file(path, self.part.name), self._begin_once)
            stack.callback(kept.close)
            desk = _Desk(kept, bar, self._form, score_failed=self.part.score_failed)
            for window in desk.sorted_windows(pending):
                self._engine = self._engine or self._make_engine()
                desk.ask(self._engine, window)
        if len(desk.reasons) > SHOWN:
            _tell(f"and {len(desk.reasons) - SHOWN} more questions of {name} without an answer")
        return Outcome(len(pending), desk.reasons)

    def _begin_once(self) -> None:
        self._begin()
        self._begin = _nothing


class _Kept:
    """The journal of one part; it is there from the first answer on."""

    def __init__(self, path: Path, begin: Callable[[], object]):
        self._path, self._begin = path, begin
        self._journal: journal.Journal | None = None
        if path.is_file():  # nobody else may go on with it meanwhile
            self._open()

    def append(self, sample: benchmark.Sample, answer: benchmark.Answer, used: Entry) -> None:
        self._begin()
        taken = self._journal or self._open()
        pictures = asking.digest_pictures(sample)
        taken.append(sample.id, {**answer._asdict(), "pictures": pictures, "used": used})

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def _open(self) -> journal.Journal:
        self._journal = journal.Journal(self._path, begin=_nothing, is_synced=True)
        self._journal.load()
        return self._journal


class _Desk:
    """Questions that become answers in a journal, or reasons.

    Attributes:
      reasons: Why questions have no answer, by id.
    """

    def __init__(self, kept: _Kept, bar: "tqdm.tqdm[Any]", form: Form, *, score_failed: bool):
        self.reasons: dict[str, str] = {}
        self._kept, self._bar, self._form = kept, bar, form
        self._score_failed = score_failed

    def sorted_windows(
        self, pending: Sequence[tuple[int, benchmark.Sample]]
    ) -> Iterable[list[tuple[int, benchmark.Sample]]]:
        """Questions with readable pictures, like beside like, some at a time."""
        sizes = asking.read_sizes([sample for _, sample in pending])
        readable = []
        for item, size in zip(pending, sizes, strict=True):
            if isinstance(size, errors.UserError):
                self._fail(item[1], str(size))
            else:
                readable.append((size, item))
        # Neighbours of like size share a compiled shape and little padding.
        ordered = [item for _, item in sorted(readable, key=lambda pair: pair[0])]
        for start in range(0, len(ordered), WINDOW):
            yield ordered[start : start + WINDOW]

    def ask(
        self, engine: protocol.Generator, window: Sequence[tuple[int, benchmark.Sample]]
    ) -> None:
        """Has some questions answered."""
        asked, requests = [], []
        for place, sample in window:
            try:
                requests.append(self._form.request(place, sample))
                asked.append(sample)
            except errors.UserError as error:
                self._fail(sample, str(error))
        meter = _Meter(engine)

        def take(place: int, result: list[protocol.Completion] | protocol.Failure) -> None:
            if isinstance(result, protocol.Failure):
                self._fail(asked[place], result.reason)
                return
            (given,) = result
            said = self._form.peer.split(given.text)
            answer = benchmark.Answer(
                said.response, given.finish_reason, len(given.tokens), said.thinking
            )
            self._kept.append(asked[place], answer, meter.read(len(given.tokens)))
            self._bar.update()

        engine.generate(requests, on_result=take)

    def _fail(self, sample: benchmark.Sample, reason: str) -> None:
        self._bar.update()
        reason = reason.removeprefix(f"request {sample.id!r}: ")
        self.reasons[sample.id] = reason
        if len(self.reasons) <= SHOWN:
            _tell(f"question {sample.id!r} has no answer: {reason}")
        if self._score_failed:
            self._kept.append(sample, benchmark.Answer("", FAILED), {})


class _Meter:
    """What an engine uses from one answer to the next."""

    def __init__(self, engine: protocol.Generator):
        self._engine, self._since, self._used = engine, time.monotonic(), self._count(engine)

    def read(self, tokens: int) -> Entry:
        """Since the last time.

        Args:
          tokens: Of the answer, for an engine that does not count.
        """
        now, used = time.monotonic(), self._count(self._engine)
        seconds, self._since, before, self._used = now - self._since, now, self._used, used
        if used is None or before is None:
            return {"seconds": round(seconds, 6), "tokens_out": tokens}
        more = [new - old for new, old in zip(used, before, strict=True)]
        return {"seconds": round(seconds, 6), **dict(zip(used._fields, more, strict=True))}

    def _count(self, engine: protocol.Generator) -> protocol.Used | None:
        return engine.used() if isinstance(engine, protocol.Metered) else None


def total(generations: folder.Generations) -> dict[str, Any]:
    """The `usage` of a benchmark's summary.

    Args:
      generations: All of its answers.

    Returns:
      `answers`, of which `cached` came from the cache and `failed` are none; tokens of the prompts
      read and of the answers made (None where the engine does not tell); `seconds` in which
      processes waited for answers, summed over them, and how many answers a second they made;
      `cost`, None without prices.
    """
    sums = {
        name: sum(entry.get(name, 0) for entry in generations.used)
        for name in ("seconds", *protocol.Used._fields)
    }
    failed = sum(answer.finish_reason == FAILED for answer in generations.answers.values())
    answers = len(generations.answers)
    made = max(0, len(generations.used) - sums["cached"] - failed)
    return {
        "answers": answers,
        "cached": sums["cached"],
        "failed": failed,
        "prompt_tokens": sums["tokens_in"] or None,
        "new_tokens": sums["tokens_out"] or None,
        "seconds": round(sums["seconds"], 6),
        "answers_per_second": _rate(made, sums["seconds"]),
        "cost": sums["cost"] or None,
    }


def add(usages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The usage of several benchmarks together.

    Args:
      usages: Results of `total`, at least one.
    """
    usages = list(usages)
    sums: dict[str, Any] = {}
    for name in usages[0]:
        known = [usage[name] for usage in usages if usage[name] is not None]
        sums[name] = sum(known) if known else None
    made = sums["answers"] - sums["cached"] - sums["failed"]
    return {**sums, "answers_per_second": _rate(made, sums["seconds"])}


def _rate(made: int, seconds: float) -> float | None:
    return round(made / seconds, 3) if made and seconds else None


def _check_pictures(
    name: str, samples: Sequence[benchmark.Sample], done: folder.Generations
) -> None:
    """An answer to other pictures is none; a picture that was mended had no answer."""
    for sample in samples:
        answer = done.answers.get(sample.id)
        if answer is None or answer.finish_reason == FAILED:
            continue
        if done.pictures[sample.id] != asking.digest_pictures(sample):
            raise errors.UserError(
                f"question {sample.id!r} of {name} was answered with other pictures than it has "
                "now; use another --output_dir, or --overwrite"
            )


def _nothing() -> None:
    """Stands for what has been done."""


def _tell(line: str) -> None:
    """On standard error, above the progress bar."""
    tqdm.tqdm.write(line, file=sys.stderr)
