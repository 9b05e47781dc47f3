# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How full the JAX engine's cache is, and what blocks for prompts would save: counted, not run.

    PYTHONPATH=. python -m benchmarks.cache_places

Prompts and answers of drawn lengths go through slots as `engines/jax_slots.py` takes them, longest
prompt first, a free slot refilled at once. A place holds the key and value of one token.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from lingshu_jax.engines import jax_requests
from lingshu_jax.models import attention_cached

BLOCK = attention_cached.BLOCK
PROMPTS = (300, 2000)  # tokens, all equally likely
ANSWER, SPREAD, MOST = 250, 0.8, 1024  # log-normal around the first, cut at the last


@dataclasses.dataclass(frozen=True)
class Case:
    """What is asked.

    Attributes:
      requests: How many.
      samples: Answers of each.
      slots: Requests that decode together.
      is_sorted: Whether the longest come first, as the engine does it.
    """

    requests: int
    samples: int
    slots: int
    is_sorted: bool = True


@dataclasses.dataclass(frozen=True)
class Count:
    """Shares of the places that the slots have, and of the prompt places that a step reads.

    Attributes:
      prompts: Of the places for prompts, tokens of prompts that are being answered; the mean.
      all: The same of all places, answers as far as they have come.
      peak_blocks: Places in blocks of prompts that are being answered; the most there ever are.
      saved: Of all places, what a pool of just that many blocks would do without.
      read: Of the prompt places that decoding reads, those that hold a token; the mean.
    """

    prompts: float
    all: float
    peak_blocks: float
    saved: float
    read: float


def draw(case: Case, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of each prompt [requests] and of its answers [requests, samples].

    Args:
      case: How many.
      seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    prompts = rng.integers(PROMPTS[0], PROMPTS[1] + 1, case.requests)
    drawn = ANSWER * rng.lognormal(0.0, SPREAD, (case.requests, case.samples))
    return prompts, np.clip(drawn, 1, MOST).astype(int)


def count(case: Case, prompts: np.ndarray, answers: np.ndarray) -> Count:
    """Follows the slots from the first token to the last.

    Args:
      case: What is asked.
      prompts: From `draw`.
      answers: From `draw`.
    """
    order = np.argsort(-prompts, kind="stable") if case.is_sorted else np.arange(len(prompts))
    waiting = iter(order.tolist())
    held, age = np.full(case.slots, -1), np.zeros(case.slots, int)
    used: list[tuple[int, int, int, int]] = []  # prompts, answers, in blocks, read
    while True:
        _refill(held, age, waiting)
        live = held >= 0
        if not live.any():
            break
        lengths, ages = prompts[held[live]], age[live]
        done = np.minimum(answers[held[live]], ages[:, None] + 1).sum()
        blocks = -(-lengths // BLOCK)
        read = case.slots * blocks.max() * BLOCK
        used.append((lengths.sum(), done, blocks.sum() * BLOCK, read))
        age += 1
        held[live & (age >= answers.max(axis=1)[held])] = -1
    held_prompts, new, in_blocks, read = np.array(used).T
    room = case.slots * jax_requests.power_of_two(int(prompts.max()), jax_requests.MIN_TOKENS)
    whole = room + case.slots * case.samples * MOST
    return Count(
        prompts=held_prompts.mean() / room,
        all=(held_prompts + new).mean() / whole,
        peak_blocks=in_blocks.max() / room,
        saved=(room - in_blocks.max()) / whole,
        read=(held_prompts / read).mean(),
    )


def _refill(held: np.ndarray, age: np.ndarray, waiting: Iterator[int]) -> None:
    for slot in np.flatnonzero(held < 0):
        held[slot], age[slot] = next(waiting, -1), 0


def main() -> None:
    """Prints a table."""
    fields = [field.name for field in dataclasses.fields(Count)]
    names = ["requests", "answers of each", "slots", "order", *fields]
    print(f"| {' | '.join(names)} |", "|---" * len(names) + "|", sep="\n")
    for case in (
        Case(32, 1, 32),
        Case(256, 1, 32),
        Case(256, 1, 32, is_sorted=False),
        Case(64, 8, 16),
    ):
        shares = dataclasses.astuple(count(case, *draw(case)))
        order = "longest first" if case.is_sorted else "as drawn"
        cells = [case.requests, case.samples, case.slots, order, *(f"{s:.0%}" for s in shares)]
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
