# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Continuations of one conversation beside each other in one row, which is read once.

    tokens    <image> the question is? : yes : no way
    branch    0 .................... 0 1 1   2 2  2

A branch sees the trunk and itself (`models/attention.py`). Each begins with a copy of the prompt's
last token, which is not on the trunk: the hidden state there is what predicts the first token of
every continuation. Where there are many, they fill several rows, each behind its own prompt.

Axes: N tokens of a row.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from lingshu_jax.common import errors
from lingshu_jax.data import messages
from lingshu_jax.engines import jax_programs, jax_requests, protocol
from lingshu_jax.models import attention_masks

BRANCHES = "branches"  # of the row's tokens, while it is being made
# A row has no more behind its prompt, or one continuation. Attention costs the square of a row, and
# a further row its prompt again.
BRANCH_TOKENS = 2048


@dataclasses.dataclass(frozen=True)
class Job:
    """Continuations of a request to be scored in one row.

    Attributes:
      place: Of the request among all.
      part: Which of its rows; 0 is the first.
      parts: How many there are.
      encoded: Prompt and continuations; pixels are still files.
      spans: Where the tokens of each continuation stand.
      size: Of the program that reads it.
    """

    place: int
    part: int
    parts: int
    encoded: messages.Encoded
    spans: tuple[slice, ...]
    size: jax_requests.Size

    def scores(self, logprobs: np.ndarray) -> list[protocol.Score]:
        """Of its continuations.

        Args:
          logprobs: Of the row's tokens [N].
        """
        return [
            protocol.Score(
                tokens=tuple(self.encoded.tokens[span].tolist()),
                logprobs=tuple(logprobs[span].tolist()),
            )
            for span in self.spans
        ]


def prepare(place: int, request: protocol.ScoreRequest, desk: jax_requests.Desk) -> list[Job]:
    """Checks and encodes a request: one row or more.

    Args:
      place: Among the requests.
      request: The request.
      desk: Encodes, and knows the limits.

    Raises:
      UserError: If it cannot be served; names it.
    """
    with jax_requests.errors_of(request.id):
        prompt = desk.encode(request.messages, request.id)
        asked = [desk.ids(continuation) for continuation in request.continuations]
        desk.check_context(prompt.num_tokens, max(map(len, asked), default=0))
    rows = [fork(prompt, part) for part in _cut(asked)]
    return [
        Job(place, part, len(rows), encoded, spans, desk.size(encoded))
        for part, (encoded, spans) in enumerate(rows)
    ]


def _cut(continuations: Sequence[Sequence[int]]) -> list[list[Sequence[int]]]:
    """The continuations of each row, in their order; of none one empty row."""
    rows: list[list[Sequence[int]]] = [[]]
    used = 0
    for ids in continuations:
        if rows[-1] and used + 1 + len(ids) > BRANCH_TOKENS:
            rows.append([])
            used = 0
        rows[-1].append(ids)
        used += 1 + len(ids)
    return rows


def run(
    jobs: Sequence[Job], programs: jax_programs.Programs, desk: jax_requests.Desk
) -> Iterator[tuple[int, list[protocol.Score] | errors.UserError]]:
    """Scores requests.

    Args:
      jobs: All rows of every request, in any order.
      programs: What the devices run.
      desk: Makes rows.

    Yields:
      The place of each request once, with its scores or why there are none.
    """
    found: dict[int, dict[int, list[protocol.Score]]] = defaultdict(dict)
    failed: set[int] = set()
    for job, scored in _run_rows(jobs, programs, desk):
        if job.place in failed:
            continue
        if isinstance(scored, errors.UserError):
            failed.add(job.place)
            yield job.place, scored
            continue
        found[job.place][job.part] = scored
        if len(found[job.place]) == job.parts:
            parts = found.pop(job.place)
            yield job.place, [score for part in range(job.parts) for score in parts[part]]


def _run_rows(
    jobs: Sequence[Job], programs: jax_programs.Programs, desk: jax_requests.Desk
) -> Iterator[tuple[Job, list[protocol.Score] | errors.UserError]]:
    """Scores rows, some of one size at a time."""
    by_size: dict[jax_requests.Size, list[Job]] = {}
    for job in jobs:
        by_size.setdefault(job.size, []).append(job)
    for size, several in by_size.items():
        count = programs.rows_at_once(size.tokens)
        for start in range(0, len(several), count):
            taken, rows = [], []
            for job in several[start : start + count]:
                try:
                    rows.append(_row(job, desk))
                    taken.append(job)
                except errors.UserError as error:
                    yield job, error
            if taken:
                scored = programs.score(desk.stack(rows, size, count))
                yield from ((job, job.scores(x)) for job, x in zip(taken, scored, strict=False))


def fork(
    prompt: messages.Encoded, continuations: Sequence[Sequence[int]]
) -> tuple[messages.Encoded, tuple[slice, ...]]:
    """One row of a prompt and what may follow it; of no continuation nothing but the trunk.

    Args:
      prompt: Up to the open turn of the assistant.
      continuations: Ids of each.

    Returns:
      The row, whose loss weights are 1 on the continuations, with the extra `branches`, 0 on the
      trunk and 1, 2, ... behind it; and where the tokens of each stand.
    """
    trunk = prompt.num_tokens - 1
    tokens, positions = [prompt.tokens[:trunk]], [prompt.positions[:, :trunk]]
    branches, spans, stop = [np.zeros(trunk)], [], trunk
    for number, ids in enumerate(continuations, start=1):
        after = prompt.next_position + np.arange(len(ids))
        tokens += [prompt.tokens[trunk:], np.array(ids, np.int32)]
        positions += [prompt.positions[:, trunk:], np.stack([after] * 3)]
        branches.append(np.full(1 + len(ids), number))
        spans.append(slice(stop + 1, stop + 1 + len(ids)))
        stop = spans[-1].stop
    weights = np.zeros(stop, np.float32)
    for span in spans:
        weights[span] = 1
    row = dataclasses.replace(
        prompt,
        tokens=np.concatenate(tokens),
        loss_weights=weights,
        positions=np.concatenate(positions, axis=1).astype(np.int32),
        extras={BRANCHES: np.concatenate(branches).astype(np.float32)},
    )
    return row, tuple(spans)


def _row(job: Job, desk: jax_requests.Desk) -> dict[str, np.ndarray]:
    row = desk.row(job.encoded, job.size)
    row["segment_ids"] += row.pop(BRANCHES).astype(np.int32) * attention_masks.BRANCH
    return row
