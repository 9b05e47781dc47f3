# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The data card of a curation: one HTML page with counts, pictures and distributions."""

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from data_tools import card_charts, card_page, card_samples, decontaminate, manifest, steps
from data_tools import mixture as mixture_lib
from data_tools import shards as shards_lib
from lingshu_jax.common import paths

FILE = "card.html"
SIDES = np.geomspace(16, 16_384, 41)  # pixels
LENGTHS = np.geomspace(1, 100_000, 41)  # characters
_BY_ROWS = ("source", "group", "modality", "language", "licence")


class Step(NamedTuple):
    """A step on the card.

    Attributes:
      name: Its name.
      given: Rows in.
      kept: Rows out.
      reasons: Source, reason and rows of what was left out.
      shown: Some of those rows.
      equals: Source, what its rows equal, and how many they are.
    """

    name: str
    given: int
    kept: int
    reasons: Sequence[tuple[str, str, int]]
    shown: Sequence[card_samples.Shown]
    equals: Sequence[tuple[str, str, int]]


class Figure(NamedTuple):
    """A chart with its numbers.

    Attributes:
      title: What it shows.
      address: The picture.
      numbers: By name; empty where the picture says it all.
      said: The picture in words.
    """

    title: str
    address: str
    numbers: Mapping[str, int]
    said: str


class Seen(NamedTuple):
    """What the rows of all mixtures are like, each row counted once.

    Attributes:
      rows: By kind and value.
      sides: The larger side of pictures, by bins of `SIDES`.
      lengths: Characters of rows, by bins of `LENGTHS`.
      pictures: How many, frames not counted.
    """

    rows: Mapping[str, Mapping[str, int]]
    sides: Int64[np.ndarray, " bins"]
    lengths: Int64[np.ndarray, " bins"]
    pictures: int


def write(
    path: Path,
    states: Sequence[steps.State],
    folder: Path,
    *,
    manifests: Mapping[str, Mapping[str, Any] | None],
    origins: Mapping[str, manifest.Origin],
    region: str,
) -> None:
    """Writes the card.

    Args:
      path: Of the page.
      states: After each step from ingest to the mixture.
      folder: Of the step that made the records.
      manifests: Of the mixtures by name; None of one without rows.
      origins: From `manifest.origins`.
      region: As in `filter_texts.personal`.
    """
    rows = states[-1].folder / steps.ROWS
    by_source, made = card_samples.kept(rows, folder, region)
    seen = look(folder, origins)
    content = {
        "steps": describe(states, region),
        "mixtures": manifests,
        "figures": figures(seen),
        "seen": seen,
        "total": sum(seen.rows.get("source", {}).values()),
        "decontamination": _decontamination(states),
        "origins": origins,
        "by_source": by_source,
        "made": made,
        "num_made": seen.rows.get("made", {}).get("yes", 0),
        "train": mixture_lib.TRAIN,
        "validation": mixture_lib.VALIDATION,
    }
    with paths.whole_file(path) as partial:
        partial.write_text(card_page.render(content), encoding="utf-8")


def describe(states: Sequence[steps.State], region: str) -> list[Step]:
    """All steps, with some of the rows that each left out.

    Args:
      states: After each step, in their order.
      region: As in `filter_texts.personal`.
    """
    found = []
    for place, state in enumerate(states):
        counts = steps.read_counts(state.folder)
        before = states[place - 1].folder if place else None
        dropped = card_samples.dropped(state.folder, before, region)
        name = state.folder.name.partition("_")[2].rpartition("-")[0]
        found.append(
            Step(
                name=name,
                given=sum(of["in"] for of in counts.values()),
                kept=sum(of["out"] for of in counts.values()),
                reasons=card_samples.reasons(counts),
                shown=dropped.shown,
                equals=[(*names, rows) for names, rows in dropped.equals.items()],
            )
        )
    return found


def look(folder: Path, origins: Mapping[str, manifest.Origin]) -> Seen:
    """Reads what is known of the rows, a partition at a time.

    Args:
      folder: Of the step that made the records.
      origins: From `manifest.origins`.
    """
    rows: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    sides, lengths = np.zeros(len(SIDES) - 1, np.int64), np.zeros(len(LENGTHS) - 1, np.int64)
    pictures = 0
    for table in shards_lib.read_index(folder):
        for entry in table.select(["source", "modality", "language", "is_made"]).to_pylist():
            origin = origins[entry["source"]]
            rows["source"][entry["source"]] += 1
            rows["group"][origin.group or manifest.NOT_STATED] += 1
            rows["licence"][origin.licence] += 1
            for kind in ("modality", "language"):
                rows[kind][entry[kind] or "unknown"] += 1
            rows["made"]["yes" if entry["is_made"] else "no"] += 1
        sizes = [max(size) for found in table["sizes"].to_pylist() for size in found if size]
        sides += _binned(np.array(sizes, np.float64), SIDES)
        lengths += _binned(table["characters"].to_numpy().astype(np.float64), LENGTHS)
        pictures += int(table["media"].to_numpy().sum())
    return Seen(rows, sides, lengths, pictures)


def figures(seen: Seen) -> list[Figure]:
    """The charts of the card.

    Args:
      seen: What is shown.
    """
    found = []
    for kind in _BY_ROWS:
        counts = dict(sorted(seen.rows.get(kind, {}).items(), key=lambda one: (-one[1], one[0])))
        if counts:
            said = "; ".join(f"{name} {rows:,}" for name, rows in counts.items())
            found.append(Figure(f"rows by {kind}", card_charts.bars(counts), counts, said))
    for title, edges, counts, unit, of in (
        ("sizes of pictures", SIDES, seen.sides, "larger side, pixels", "pictures"),
        ("lengths of texts", LENGTHS, seen.lengths, "characters of a row", "rows"),
    ):
        if counts.any():
            drawn = card_charts.histogram([*edges], counts, label=unit, of=of)
            said = f"half of the {of} are below {_median(counts, edges):,.0f} ({unit})"
            found.append(Figure(title, drawn, {}, said))
    return found


def _binned(
    values: Float64[np.ndarray, " N"], edges: Float64[np.ndarray, " E"]
) -> Int64[np.ndarray, " bins"]:
    """Values in bins; what is outside counts in the first or last."""
    inside = np.clip(values, edges[0], np.nextafter(edges[-1], 0))
    return np.histogram(inside, edges)[0].astype(np.int64)


def _median(counts: Int64[np.ndarray, " bins"], edges: Float64[np.ndarray, " E"]) -> float:
    """The upper end of the bin that the middle value is in."""
    half = np.searchsorted(np.cumsum(counts), counts.sum() / 2)
    return float(edges[1:][half])


def _decontamination(states: Sequence[steps.State]) -> dict[str, Any] | None:
    """What the step found, without the examples, which are among those of its step."""
    for state in states:
        if state.folder.name.partition("_")[2].startswith("decontaminate-"):
            found = decontaminate.summarise(state.folder)
            missing = {name: _reason(name, text) for name, text in found["missing"].items()}
            return {**found, "missing": missing, "examples": {}}
    return None


def _reason(name: str, text: str) -> str:
    """Why a benchmark was not looked at, without the folder and without how it can be fetched."""
    cleaned = manifest.without_places(text).removeprefix(f"{name}: ").partition(";")[0]
    return cleaned[: card_samples.MOST_TEXT]
