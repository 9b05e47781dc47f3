# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import collections
import dataclasses
import fractions
import json
from pathlib import Path

import numpy as np
import pytest

from lingshu_jax.common import errors
from lingshu_jax.data import mixtures, sources

SOURCE = sources.Source(name="a", path="rows.jsonl")


def choose(count: int = 1000, seed: int = 3, fraction: float = 1.0, limit: int = 0) -> set[int]:
    source = dataclasses.replace(SOURCE, limit=limit)
    chosen = mixtures.choose(source, count, fraction=fraction, seed=seed)
    assert (np.diff(chosen) > 0).all()
    return set(chosen.tolist())


def epoch(number: int, copies: float = 1.0, *, sizes: tuple[int, ...] = (10, 7)) -> list[int]:
    """The members of an epoch of two sources, the second read as it is."""
    ends = np.cumsum((0, *sizes))
    places = [np.arange(start, stop) for start, stop in zip(ends[:-1], ends[1:], strict=True)]
    members = mixtures.epoch_members(
        places,
        ["a", "b"],
        [mixtures.copies(dataclasses.replace(SOURCE, weight=copies), 0), fractions.Fraction(1)],
        epoch=number,
        seed=3,
    )
    return members.tolist()


@pytest.mark.parametrize("limits", [(10, 200, 999), (1, 2, 3)])
def test_a_smaller_limit_is_part_of_a_larger(limits: tuple[int, ...]) -> None:
    chosen = [choose(limit=limit) for limit in limits]
    assert [len(rows) for rows in chosen] == list(limits)
    assert chosen[0] < chosen[1] < chosen[2] < choose()


def test_a_smaller_fraction_is_part_of_a_larger() -> None:
    quarter, half = choose(fraction=0.25), choose(fraction=0.5)
    assert len(quarter) == 250 and len(half) == 500 and quarter < half
    assert choose(limit=400, fraction=0.25) < choose(limit=400)
    assert len(choose(limit=400, fraction=0.25)) == 100


def test_a_choice_is_spread_and_depends_on_the_seed() -> None:
    chosen = choose(limit=100)
    assert len(chosen & set(range(500))) in range(30, 71), "not the first of the file"
    assert choose(limit=100) == chosen != choose(limit=100, seed=4)
    other = mixtures.choose(
        dataclasses.replace(SOURCE, name="b", limit=100), 1000, fraction=1.0, seed=3
    )
    assert set(other.tolist()) != chosen


@pytest.mark.parametrize(
    ("count", "limit", "fraction", "taken"),
    [(5, 9, 1.0, 5), (5, 0, 0.01, 1), (0, 0, 0.5, 0), (0, 3, 1.0, 0), (3, 0, 1.0, 3)],
)
def test_how_many_are_chosen(count: int, limit: int, fraction: float, taken: int) -> None:
    assert len(choose(count, limit=limit, fraction=fraction)) == taken


def test_every_row_is_read_once_in_each_epoch() -> None:
    assert epoch(0) == epoch(5) == list(range(17))


def test_halves_take_turns() -> None:
    first, second, third, fourth = (epoch(i, 0.5)[:5] for i in range(4))
    assert sorted(first + second) == sorted(third + fourth) == list(range(10))
    assert first != third, "every pass has its own order"


@pytest.mark.parametrize("copies", [0.3, 1.5, 2.0, 2.25, 0.1])
def test_copies_are_what_all_epochs_read_together(copies: float) -> None:
    epochs = 40
    read = collections.Counter(place for i in range(epochs) for place in epoch(i, copies))
    counts = [read[place] for place in range(10)]
    assert sum(counts) == copies * epochs * 10
    assert max(counts) - min(counts) <= 1
    assert {read[place] for place in range(10, 17)} == {epochs}


def test_whole_copies_are_in_every_epoch() -> None:
    assert collections.Counter(epoch(3, 2.0)[:20]) == dict.fromkeys(range(10), 2)


def test_a_source_without_rows_is_passed_over() -> None:
    assert epoch(0, sizes=(0, 3)) == [0, 1, 2] and epoch(0, sizes=(0, 0)) == []


def test_another_source_does_not_change_what_is_read() -> None:
    alone = mixtures.epoch_members(
        [np.arange(10)], ["a"], [fractions.Fraction(1, 2)], epoch=1, seed=3
    )
    assert epoch(1, 0.5)[:5] == alone.tolist()


@pytest.mark.parametrize(
    ("source", "epochs", "copies"),
    [
        (SOURCE, 0, 1),
        (dataclasses.replace(SOURCE, weight=0.1), 3, fractions.Fraction(1, 10)),
        (dataclasses.replace(SOURCE, epochs=3.0), 2, fractions.Fraction(3, 2)),
    ],
)
def test_copies(source: sources.Source, epochs: int, copies: fractions.Fraction) -> None:
    assert mixtures.copies(source, epochs) == copies


def test_epochs_need_a_run_that_has_them() -> None:
    with pytest.raises(errors.UserError, match="source 'a': epochs need a run that has epochs"):
        mixtures.copies(dataclasses.replace(SOURCE, epochs=1.0), 0)


def grouped() -> list[sources.Source]:
    groups = ("captions", "synthetic", "")
    return [sources.Source(name=f"s{i}", path="x", group=group) for i, group in enumerate(groups)]


def test_groups_are_left_out() -> None:
    left = mixtures.without(grouped(), ["synthetic"])
    assert [source.name for source in left] == ["s0", "s2"]
    assert mixtures.without(grouped(), []) == tuple(grouped())


@pytest.mark.parametrize(
    ("every", "groups", "message"),
    [
        (grouped(), ["captoins"], r"names 'captoins'; the sources are of captions, synthetic"),
        (grouped()[:2], ["captions", "synthetic"], "leaves no source"),
        (grouped()[2:], ["captions"], "the sources are of no group"),
    ],
)
def test_bad_groups_are_named(every: list[sources.Source], groups: list[str], message: str) -> None:
    with pytest.raises(errors.UserError, match=message):
        mixtures.without(every, groups)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten good rows, the fourth and the last line being broken."""
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    lines = [json.dumps({"id": str(i), "messages": turns}) for i in range(10)]
    lines.insert(3, "{")
    (tmp_path / "rows.jsonl").write_text("\n".join([*lines, "{"]))
    return tmp_path


def test_a_survey_counts(root: Path) -> None:
    found = mixtures.survey(SOURCE, root)
    assert (found.good, len(found.dropped), found.media) == (10, 2, set())
    assert [row.line for row in found.dropped] == [4, 12]


@pytest.mark.parametrize("places", [[0, 3, 9], [], [5], list(range(10))])
def test_examples_are_the_chosen_rows(root: Path, places: list[int]) -> None:
    shares = [mixtures.Share(SOURCE, np.asarray(places, int))] * 2
    examples = mixtures.Examples(shares, root)
    assert [int(example.id) for example in examples] == places * 2
    assert list(examples) == list(examples) and len(examples) == 2 * len(places)
