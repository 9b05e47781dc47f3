# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a model picks an option or a place: the same questions with their options reordered.

Orders are drawn so that every one is equally likely, the benchmark's own too: then each text is as
often at each place, and a model that reads the texts answers each letter equally often.
"""

import collections
import math
import random
import string
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import scipy.stats

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, metrics
from lingshu_jax.eval.trust import desk as desk_lib
from lingshu_jax.eval.trust import option_layout, option_shuffles_page, paired

NAME, TITLE = "option_shuffles", "Options in other orders"
TEMPLATE = option_shuffles_page.TEMPLATE
VERSION = "1"
SEED = 0

Row = Mapping[str, Any]
Order = tuple[int, ...]


class Asked(NamedTuple):
    """One question in one order.

    Attributes:
      order: For each place, where the option stands in the benchmark.
      row: How it was answered.
    """

    order: Order
    row: Row


def run(desk: desk_lib.Desk, *, count: int) -> dict[str, Any] | None:
    """Asks the questions of a single choice in other orders of their options.

    Args:
      desk: The evaluation.
      count: How many orders, >= 1. A question has at most the factorial of its options; where that
        is less, its answers are taken again.

    Returns:
      The content of the section, None while answers of other shards are missing. By benchmark what
      `_benchmark` gives.

    Raises:
      UserError: If `count` is out of range, and as of `Desk.ask`.
    """
    if count < 1:
        raise errors.UserError(f"--option_shuffles must be >= 1, got {count}")
    chosen = {name: paired.choose(desk, name, _why_not) for name in desk.names}
    found = {name: _ask(desk, name, c, count) for name, c in chosen.items() if c.samples}
    benchmarks = {}
    for name, shuffles in found.items():
        if shuffles is None:
            return None
        benchmarks[name] = _benchmark(chosen[name], shuffles)
    left_out = {name: c.left_out for name, c in chosen.items()}
    return {
        "settings": {"version": VERSION, "seed": SEED, "count": count},
        "remarks": paired.left_out_remarks(left_out),
        "benchmarks": benchmarks,
    }


def orders(sample: benchmark.Sample, count: int) -> list[Order]:
    """Different orders of a question's options; the first ones stay when more are drawn.

    Args:
      sample: With options.
      count: How many, if there are so many.
    """
    places = range(len(sample.options))
    rng = random.Random(f"{VERSION} {SEED} {sample.id}")
    found: dict[Order, None] = {}
    while len(found) < min(count, math.factorial(len(places))):
        found[tuple(rng.sample(places, len(places)))] = None
    return list(found)


def _why_not(sample: benchmark.Sample) -> str:
    found = option_layout.find(sample)
    return found if isinstance(found, str) else ""


def _ask(
    desk: desk_lib.Desk, name: str, chosen: paired.Chosen, count: int
) -> list[list[Asked]] | None:
    """Each question in each order, shuffle by shuffle; None while other shards are at work."""
    drawn = [orders(sample, count) for sample in chosen.samples]
    given: list[list[dict[str, Any]] | None] = []
    for number in range(count):
        new = [
            option_layout.reorder(sample, known[number])
            for sample, known in zip(chosen.samples, drawn, strict=True)
            if number < len(known) and not _is_own(known[number])
        ]
        given.append(desk.ask(name, f"{NAME}/{number + 1}", new) if new else [])
    by_id: list[dict[str, Row]] = []
    for rows in given:
        if rows is None:
            return None
        by_id.append({row["id"]: row for row in rows})
    shuffles: list[list[Asked]] = []
    for number in range(count):
        shuffle = []
        for own, known in zip(chosen.rows, drawn, strict=True):
            first = number % len(known)  # where this order was asked
            row = own if _is_own(known[first]) else by_id[first][own["id"]]
            shuffle.append(Asked(known[first], row))
        shuffles.append(shuffle)
    return shuffles


def _is_own(order: Sequence[int]) -> bool:
    """Whether it is the benchmark's own order, whose answer is there already."""
    return list(order) == sorted(order)


def _benchmark(chosen: paired.Chosen, shuffles: Sequence[Sequence[Asked]]) -> dict[str, Any]:
    """How answers depend on the order.

    Returns:
      `n` questions; `left_out`; the accuracies of the `original` order and of each of `shuffles`;
      for each mode their `spread`; `agreement`, on questions that were asked in two orders or more,
      the benchmark's own among them: in how many the same text was chosen in all; and
      `consistent_right`, in how many it is the right one; `letters` as `_letters` gives them.
    """
    rows = [[asked.row for asked in shuffle] for shuffle in shuffles]
    groups = [row["group"] for row in chosen.rows]
    accuracies = [paired.accuracies(part) for part in rows]
    several, same, right = [], [], []
    for place, (sample, own) in enumerate(zip(chosen.samples, chosen.rows, strict=True)):
        asked = [Asked(tuple(range(len(sample.options))), own), *(s[place] for s in shuffles)]
        if len({one.order for one in asked}) > 1:
            texts = {_text(sample, one) for one in asked}
            several.append(groups[place])
            same.append(len(texts) == 1 and None not in texts)
            right.append(same[-1] and all(one.row["strict"]["correct"] for one in asked))
    return {
        "n": len(chosen.rows),
        "left_out": chosen.left_out,
        "original": paired.accuracies(chosen.rows),
        "shuffles": accuracies,
        "spread": {
            mode: paired.spread([numbers[mode] for numbers in accuracies]) for mode in metrics.MODES
        },
        "agreement": paired.share(same, several),
        "consistent_right": paired.share(right, several),
        "letters": _letters(chosen.samples, shuffles),
    }


def _text(sample: benchmark.Sample, asked: Asked) -> str | None:
    """The text of the option that was chosen; None without a valid letter."""
    letter = paired.letter(asked.row)
    if letter is None:
        return None
    place = asked.order[string.ascii_uppercase.index(letter)]
    return " ".join(sample.options[place].split())


def _letters(
    samples: Sequence[benchmark.Sample], shuffles: Sequence[Sequence[Asked]]
) -> dict[str, Any]:
    """How often each letter was answered over all shuffles, beside what no bias gives.

    Returns:
      `answered` and `expected` (each of a question's letters equally often) by letter; `none`, the
      answers without a valid letter; `chi_square` and its `p`, which takes answers as independent;
      None where fewer than two letters could be answered.
    """
    answered: collections.Counter[str] = collections.Counter()
    expected: collections.Counter[str] = collections.Counter()
    none = 0
    for place, sample in enumerate(samples):
        own = string.ascii_uppercase[: len(sample.options)]
        for asked in {shuffle[place].order: shuffle[place] for shuffle in shuffles}.values():
            letter = paired.letter(asked.row)
            if letter is None:
                none += 1
                continue
            answered[letter] += 1
            expected.update(dict.fromkeys(own, 1 / len(own)))
    names = sorted(expected)
    numbers: dict[str, Any] = {
        "answered": {name: answered[name] for name in names},
        "expected": {name: expected[name] for name in names},
        "none": none,
        "chi_square": None,
        "p": None,
    }
    if len(names) > 1:
        test = scipy.stats.chisquare(
            [answered[name] for name in names], [expected[name] for name in names]
        )
        numbers |= {"chi_square": float(test.statistic), "p": float(test.pvalue)}
    return numbers
