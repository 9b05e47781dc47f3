# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Continuous batching: slots that finished are refilled while the others go on.

The devices decode some tokens of all rows at a time; between them this module looks at what came,
ends rows at stop texts, takes finished requests out and lets waiting ones in. Nothing here looks
at a clock, so that all processes of a mesh do the same, given the same requests and the same files:
an image that only one of them can read sets them apart.
"""

import collections
import contextlib
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any

import jax
import numpy as np

from lingshu_jax.common import errors
from lingshu_jax.data import messages
from lingshu_jax.engines import jax_programs, jax_requests, protocol, stops
from lingshu_jax.models import sampling

STEPS, STEPS_TO_STOP = 64, 8  # tokens at a time; where stop texts may end a row sooner
READERS, AHEAD = 4, 32  # threads that decode images, and of how many requests ahead


class Answer:
    """One row, as far as the host has read it.

    Attributes:
      tokens: Up to the one that ended it.
      logprobs: Of each.
      finish_reason: None while it goes on.
    """

    def __init__(
        self, encoder: messages.Encoder, rules: protocol.SamplingParams, *, is_streamed: bool
    ):
        """Nothing is read yet.

        Args:
          encoder: Makes text of tokens.
          rules: How it is decoded.
          is_streamed: Whether its text is wanted while it comes.
        """
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.finish_reason: protocol.FinishReason | None = None
        self._encoder, self._text, self._told = encoder, "", (0, 0)
        is_read = is_streamed or bool(rules.stop)
        self._reader = stops.Reader(encoder.decode, rules.stop) if is_read else None

    def read(self, drawn: jax_programs.Drawn, row: int) -> None:
        """Takes what is new of a row of the batch.

        Args:
          drawn: What all rows hold.
          row: Which is this one.
        """
        for place in range(len(self.tokens), int(drawn.lengths[row])):
            self.tokens.append(int(drawn.tokens[row, place]))
            self.logprobs.append(float(drawn.logprobs[row, place]))
            if self._reader is None:
                continue
            self._text += self._reader.push(self.tokens[-1])
            if self._reader.is_stopped:
                self.finish_reason = "stop"
                return
        if drawn.ended[row]:
            self.finish_reason = "stop" if drawn.stopped[row] else "length"
            self._text += self._reader.finish() if self._reader else ""

    def completion(self) -> protocol.Completion:
        """All of it, finished."""
        assert self.finish_reason is not None
        return protocol.Completion(
            text=self._text if self._reader else self._encoder.decode(self.tokens),
            tokens=tuple(self.tokens),
            logprobs=tuple(self.logprobs),
            finish_reason=self.finish_reason,
        )

    def delta(self) -> protocol.Delta:
        """What came since the last one."""
        text, count = self._told
        self._told = len(self._text), len(self.tokens)
        return protocol.Delta(
            text=self._text[text:],
            tokens=tuple(self.tokens[count:]),
            logprobs=tuple(self.logprobs[count:]),
            finish_reason=self.finish_reason,
        )


class Held:
    """A request in a slot, or one that could not be put there.

    Attributes:
      job: The request.
      answers: Its rows.
      error: Why there are none.
    """

    def __init__(
        self,
        job: jax_requests.Job,
        answers: Sequence[Answer] = (),
        error: errors.UserError | None = None,
    ):
        """A request.

        Args:
          job: The request.
          answers: Its rows.
          error: Why there are none.
        """
        self.job, self.answers, self.error = job, answers, error

    @property
    def is_done(self) -> bool:
        """Whether every row has ended."""
        return all(answer.finish_reason is not None for answer in self.answers)


class Batch:
    """The slots of one shape and the requests in them."""

    def __init__(
        self,
        programs: jax_programs.Programs,
        shape: jax_programs.Shape,
        *,
        desk: jax_requests.Desk,
        encoder: messages.Encoder,
        stream_steps: int = 0,
    ):
        """All slots are free.

        Args:
          programs: What the devices run.
          shape: Of the slots.
          desk: Makes rows of prompts.
          encoder: Makes text of tokens.
          stream_steps: Tokens at a time where each of them is waited for; 0 where not.
        """
        self._programs, self._shape, self._desk = programs, shape, desk
        self._encoder, self._stream_steps = encoder, stream_steps
        self._slots = programs.empty(shape)
        self._held: list[Held | None] = [None] * shape.slots

    def run(self, jobs: Sequence[jax_requests.Job]) -> Iterator[Held]:
        """Answers requests of the batch's number of samples.

        Args:
          jobs: Each fits the batch's places; best sorted by size.

        Yields:
          Every request in a slot, each time that something came; the last time it is done, or has
          an error.
        """
        with contextlib.ExitStack() as stack:
            readers = futures.ThreadPoolExecutor(READERS)
            stack.callback(readers.shutdown, cancel_futures=True)
            queue = Queue(jobs, self._desk, readers)
            while len(queue) or any(self._held):
                yield from self._refill(queue)
                is_live, enough = self._is_live(), self._wanted(queue)
                if not is_live.any():
                    continue
                self._slots, drawn = self._programs.advance(
                    self._slots, is_live, steps=self._steps(), enough=enough
                )
                yield from self._take(drawn)

    def _take(self, drawn: jax_programs.Drawn) -> Iterator[Held]:
        """Reads all rows that go on; a slot whose rows have ended is free again."""
        for slot, held in enumerate(self._held):
            if held is None:
                continue
            for row, answer in enumerate(held.answers, start=slot * self._shape.samples):
                if answer.finish_reason is None:
                    answer.read(drawn, row)
            if held.is_done:
                self._held[slot] = None
            yield held

    def _refill(self, queue: "Queue") -> Iterator[Held]:
        """Reads waiting prompts while as many as are read together find a free slot."""
        while len(queue) and self._held.count(None) >= self._wanted(queue):
            jobs, rows = [], []
            for job, row in queue.take(min(self._at_once(queue), self._held.count(None))):
                if isinstance(row, errors.UserError):
                    yield Held(job, error=row)
                else:
                    jobs.append(job)
                    rows.append(row)
            if jobs:
                self._admit(jobs, rows)

    def _admit(
        self, jobs: Sequence[jax_requests.Job], rows: Sequence[dict[str, np.ndarray]]
    ) -> None:
        count = self._programs.prompts_at_once(jobs[0].size.tokens, self._shape.slots)
        free = [slot for slot, held in enumerate(self._held) if held is None]
        # What is missing goes to places that do not exist, each to its own.
        places = np.arange(count, dtype=np.int32) + self._shape.slots
        places[: len(jobs)] = free[: len(jobs)]
        positions = np.zeros(count, np.int32)
        positions[: len(jobs)] = [job.encoded.next_position for job in jobs]
        self._slots = self._programs.admit(
            self._slots,
            self._desk.stack(rows, jobs[0].size, count),
            positions=positions,
            places=places,
            rules=rules_of([job.sampling for job in jobs], count, self._shape.samples),
        )
        for job, slot in zip(jobs, free, strict=False):
            self._held[slot] = Held(job, [self._answer(job) for _ in range(self._shape.samples)])

    def _answer(self, job: jax_requests.Job) -> Answer:
        return Answer(self._encoder, job.sampling, is_streamed=bool(self._stream_steps))

    def _at_once(self, queue: "Queue") -> int:
        return self._programs.prompts_at_once(queue.next_size.tokens, self._shape.slots)

    def _wanted(self, queue: "Queue") -> int:
        """Free slots at which to pause: enough for a refill; where nobody waits, one more.

        At most a quarter of the slots: where each part of a mesh has few, a reading is not full.
        """
        if not len(queue):
            return self._held.count(None) + 1
        return max(1, min(self._at_once(queue), len(queue), self._shape.slots // 4))

    def _is_live(self) -> np.ndarray:
        """Rows that go on, as the host sees it: stop texts are its matter."""
        samples = self._shape.samples
        is_live = np.zeros(self._shape.slots * samples, bool)
        for slot, held in enumerate(self._held):
            if held is not None:
                goes_on = [answer.finish_reason is None for answer in held.answers]
                is_live[slot * samples : (slot + 1) * samples] = goes_on
        return is_live

    def _steps(self) -> int:
        has_stops = any(held and held.job.sampling.stop for held in self._held)
        return self._stream_steps or (STEPS_TO_STOP if has_stops else STEPS)


class Queue:
    """Requests that wait; the images of the next ones are decoded while the devices work."""

    def __init__(
        self,
        jobs: Sequence[jax_requests.Job],
        desk: jax_requests.Desk,
        readers: futures.Executor,
    ):
        """All of them wait.

        Args:
          jobs: In their order.
          desk: Makes rows.
          readers: Where.
        """
        self._desk, self._readers = desk, readers
        self._unread = collections.deque(jobs)
        self._read: collections.deque[tuple[jax_requests.Job, futures.Future[Any]]]
        self._read = collections.deque()
        self._read_ahead()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._read) + len(self._unread)

    @property
    def next_size(self) -> jax_requests.Size:
        """Of the first."""
        return self._read[0][0].size

    def take(
        self, most: int
    ) -> Iterator[tuple[jax_requests.Job, dict[str, np.ndarray] | errors.UserError]]:
        """The first requests, of one size.

        Args:
          most: At least one.

        Yields:
          Each with its row, or why there is none.
        """
        size = self.next_size
        for _ in range(most):
            if not self._read or self.next_size != size:
                return
            job, reading = self._read.popleft()
            self._read_ahead()
            try:
                yield job, reading.result()
            except errors.UserError as error:
                yield job, error

    def _read_ahead(self) -> None:
        while self._unread and len(self._read) < AHEAD:
            job = self._unread.popleft()
            self._read.append((job, self._readers.submit(self._desk.row, job.encoded, job.size)))


def rules_of(
    asked: Sequence[protocol.SamplingParams], count: int, samples: int
) -> sampling.Sampling:
    """A row a sample; rows without a request end at once.

    Args:
      asked: Of each request.
      count: Requests of the program.
      samples: Rows of each.
    """
    names = ("max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "ignore_eos")
    given = {name: np.repeat([getattr(one, name) for one in asked], samples) for name in names}
    # Distinct streams for the samples of a request, whatever else is in the batch.
    seeds = np.array([_mix(one.seed, sample) for one in asked for sample in range(samples)])
    present = sampling.make(len(asked) * samples, seeds=seeds, **given)
    missing = sampling.make((count - len(asked)) * samples, max_new_tokens=0)
    return jax.tree.map(lambda *parts: np.concatenate(parts), present, missing)


def _mix(seed: int, sample: int) -> int:
    return int(np.random.SeedSequence([seed, sample]).generate_state(1)[0])
