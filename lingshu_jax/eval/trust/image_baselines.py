# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a model looks: the same questions with grey pictures, with none, and with others'.

A benchmark whose questions are answered as well without their pictures says little about seeing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.eval import benchmark, metrics, pictures, stats
from lingshu_jax.eval.trust import desk as desk_lib
from lingshu_jax.eval.trust import image_baselines_page, paired

NAME, TITLE = "image_baselines", "With other pictures, or none"
TEMPLATE = image_baselines_page.TEMPLATE
VERSION = "1"
SEED = 0  # of the exchange of pictures
# What a question is shown instead of its pictures.
BASELINES = {
    "blind": "every picture grey, of the same size",
    "text_only": "no picture at all",
    "shuffled": "the pictures of another question, of another patient or group where there is one",
}
BLIND_RUN = "the evaluation itself is blind: every picture was grey, so there is nothing to compare"
NO_PICTURE = "there is no picture"

Row = Mapping[str, Any]


def run(desk: desk_lib.Desk) -> dict[str, Any] | None:
    """Asks the questions that have pictures once more for each of `BASELINES`.

    Args:
      desk: The evaluation.

    Returns:
      The content of the section, None while answers of other shards are missing. By benchmark:
      `left_out`; `baselines`, each with what `paired.compare` gives, room for `holm_p`, `reliance`
      and `sensitivity` (what its picture gains a question, and the share of answers that change
      without it) and all by answer type; `right_blind`, the ids of questions that are right by the
      strict verdict both with their pictures and blind.

    Raises:
      UserError: As of `Desk.ask`.
    """
    settings = {"version": VERSION, "seed": SEED, "baselines": dict(BASELINES)}
    if desk.settings.blind:
        return {"settings": settings, "remarks": [BLIND_RUN], "benchmarks": {}}
    chosen = {name: paired.choose(desk, name, _why_not) for name in desk.names}
    asked = {name: _ask(desk, name, found) for name, found in chosen.items() if found.samples}
    benchmarks, remarks = {}, []
    for name, answered in asked.items():
        if any(rows is None for rows, _ in answered.values()):
            return None
        benchmarks[name] = _benchmark(chosen[name], answered)
        remarks += [f"{name}: shuffled: {remark}" for remark in answered["shuffled"][1]]
    _adjust(benchmarks)
    remarks += paired.left_out_remarks({name: found.left_out for name, found in chosen.items()})
    return {"settings": settings, "remarks": remarks, "benchmarks": benchmarks}


def _why_not(sample: benchmark.Sample) -> str:
    return "" if sample.media else NO_PICTURE


def _ask(
    desk: desk_lib.Desk, name: str, chosen: paired.Chosen
) -> dict[str, tuple[list[dict[str, Any]] | None, list[str]]]:
    """Rows and remarks of each baseline; no rows while other shards are at work."""
    grey = pictures.change("grey", chosen.samples)
    shuffled = pictures.change("shuffled", chosen.samples, seed=SEED)
    covered = [sample for sample in chosen.samples if shuffled.covers(sample)]
    ways = {
        "blind": (chosen.samples, grey.apply, []),
        "text_only": (chosen.samples, pictures.without, []),
        "shuffled": (covered, shuffled.apply, shuffled.remarks),
    }
    return {
        way: (
            desk.ask(name, f"{NAME}/{way}", samples, change=change) if samples else [],
            remarks,
        )
        for way, (samples, change, remarks) in ways.items()
    }


def _benchmark(
    chosen: paired.Chosen, answered: Mapping[str, tuple[Sequence[Row] | None, list[str]]]
) -> dict[str, Any]:
    by_id = {row["id"]: row for row in chosen.rows}
    baselines = {}
    for way, (rows, _) in answered.items():
        assert rows is not None, "all shards have answered"
        baselines[way] = _baseline([by_id[row["id"]] for row in rows], rows)
    blind = answered["blind"][0] or []
    right = [
        row["id"]
        for row in blind
        if row["strict"]["correct"] and by_id[row["id"]]["strict"]["correct"]
    ]
    return {
        "n": len(chosen.rows),
        "left_out": chosen.left_out,
        "baselines": baselines,
        "right_blind": {"count": len(right), "ids": right},
    }


def _baseline(rows: Sequence[Row], base: Sequence[Row]) -> dict[str, Any]:
    types = sorted({row["answer_type"] for row in rows})
    parts = {}
    for kind in types:
        both = [pair for pair in zip(rows, base, strict=True) if pair[0]["answer_type"] == kind]
        parts[kind] = _measured([first for first, _ in both], [second for _, second in both])
    return {**_measured(rows, base), "by_answer_type": parts}


def _measured(rows: Sequence[Row], base: Sequence[Row]) -> dict[str, Any]:
    numbers = paired.compare(rows, base)
    same = numbers["same_text"] / len(rows) if rows else None
    return {
        **numbers,
        "reliance": {mode: numbers[mode]["difference"] for mode in metrics.MODES},
        "same_text_share": same,
        "sensitivity": None if same is None else 1 - same,
    }


def _adjust(benchmarks: Mapping[str, Any]) -> None:
    """Holm's p-values over all benchmarks and baselines, for each mode."""
    for mode in metrics.MODES:
        tested = [
            found[mode]
            for numbers in benchmarks.values()
            for found in numbers["baselines"].values()
            if found["n"]
        ]
        adjusted = stats.holm([numbers["permutation_p"] for numbers in tested])
        for numbers, p in zip(tested, adjusted, strict=True):
            numbers["holm_p"] = p
