# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Shares and levels of the training file: by hand, and as rules that hold for any sizes."""

import collections
import fractions

import numpy as np
import pytest

from lingshu_jax.rl import prepare_balance

FIVE = fractions.Fraction("0.05")


@pytest.mark.parametrize(
    ("sizes", "total", "parts"),
    [
        ({}, 5, {}),
        ({"a": 10, "b": 2, "c": 10}, 12, {"a": 5, "b": 2, "c": 5}),
        ({"a": 10, "b": 10}, 7, {"a": 4, "b": 3}),
        ({"a": 2, "b": 3}, 100, {"a": 2, "b": 3}),
        ({"a": 0, "b": 3}, 2, {"a": 0, "b": 2}),
        ({"a": 9, "b": 9, "c": 9}, 2, {"a": 1, "b": 1, "c": 0}),
    ],
)
def test_pouring_by_hand(sizes, total, parts):
    assert prepare_balance.pour(sizes, total) == parts


def test_pouring_is_level_whatever_the_sizes(rng: np.random.Generator):
    for _ in range(500):
        sizes = dict(enumerate(rng.integers(0, 7, rng.integers(0, 6)).tolist()))
        total = int(rng.integers(0, 30))
        parts = prepare_balance.pour(sizes, total)
        assert sum(parts.values()) == min(total, sum(sizes.values()))
        assert all(parts[key] <= sizes[key] for key in sizes)
        short = [parts[key] for key in sizes if parts[key] < sizes[key]]
        assert not short or max(parts.values()) - min(short) <= 1


def cells(**sizes):
    """`ct_open=3` is three open questions of CT; yes/no ones are half yes, half no."""
    made = []
    for name, count in sizes.items():
        modality, _, form = name.partition("_")
        for number in range(count):
            polarity = ("yes", "no")[number % 2] if form == "yes_no" else ""
            made.append(prepare_balance.Cell(modality, form, polarity))
    return made


def choose(given, total=0, share=FIVE, seed=0):
    return prepare_balance.choose(given, total=total, yes_no_share=share, seed=seed)


def kept(given, choice):
    return collections.Counter(given[place] for place in choice.kept)


def test_yes_no_is_a_share_of_the_result():
    given = cells(ct_open=95, ct_yes_no=400)
    found = kept(given, choose(given))
    assert found == {
        prepare_balance.Cell("ct", "open"): 95,
        prepare_balance.Cell("ct", "yes_no", "yes"): 2,
        prepare_balance.Cell("ct", "yes_no", "no"): 3,
    }


@pytest.mark.parametrize("share", ["0", "0.05", "0.3", "1"])
@pytest.mark.parametrize("total", [0, 7, 60, 1000])
def test_the_share_and_the_total_hold(share, total):
    given = cells(ct_open=40, mri_choice=20, ct_yes_no=50, us_yes_no=3)
    limit = fractions.Fraction(share)
    choice = choose(given, total=total, share=limit)
    polar = sum(given[place].form == "yes_no" for place in choice.kept)
    assert polar <= limit * len(choice.kept)
    assert len(choice.kept) <= (total or len(given))
    assert len(choice.kept) + len(choice.reasons) == len(given)
    assert not set(choice.kept) & set(choice.reasons)
    if share == "1" and total == 0:
        assert len(choice.kept) == len(given)


def test_modalities_are_level_and_forms_inside_them():
    given = cells(ct_open=500, ct_choice=500, mri_open=40, us_choice=500)
    found = kept(given, choose(given, total=240))
    by_modality = collections.Counter()
    for cell, count in found.items():
        by_modality[cell.modality] += count
    assert by_modality == {"ct": 100, "mri": 40, "us": 100}
    assert found[prepare_balance.Cell("ct", "open")] == 50


def test_what_is_kept_depends_on_the_seed_alone():
    given = cells(ct_open=50, mri_choice=50)
    first = choose(given, total=20, seed=1)
    assert choose(given, total=20, seed=1) == first
    assert choose(given, total=20, seed=2).kept != first.kept
    assert first.kept == sorted(first.kept)
    # Not the first rows of the file.
    assert first.kept[:5] != [0, 1, 2, 3, 4]


def test_the_reason_says_how_many_are_kept():
    given = cells(ct_open=4, ct_yes_no=1)
    choice = choose(given, total=2)
    assert choice.reasons[4] == (
        "over the share of yes/no questions: at most 5.0%, 0 of 1 are kept of ct, yes"
    )
    assert set(choice.reasons.values()) - {choice.reasons[4]} == {
        "over the level of its modality and form: 2 of 4 are kept of ct, open"
    }


def test_counts():
    assert prepare_balance.counts(cells(us_open=1, ct_open=2, ct_choice=1)) == {
        "ct": {"choice": 1, "open": 2},
        "us": {"open": 1},
    }
