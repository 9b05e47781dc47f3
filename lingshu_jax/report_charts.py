# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Metric rows as line charts: SVG pictures as data addresses, with a text that says the same."""

import contextlib
import io
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float64
from matplotlib import axes, figure, ticker

from lingshu_jax.common import pages

COLOURS = ("#2b6c99", "#cf7a3a", "#4d8f5d", "#8a5a9c", "#b5485a", "#6d7680")
DASHES = ("-", "--", "-.", ":")
MOST_POINTS = 500  # of a line
MOST_LINES = 8
SMOOTH_FROM = 30  # steps; shorter runs are shown as they are
SAME = 1e-4  # relative; lines that differ by less are drawn once
SIZE = (6.4, 3.1)  # inches
LEGEND_WIDTH = 44  # characters

Row = Mapping[str, Any]


class Spec(NamedTuple):
    """A chart: which metrics it shows.

    Attributes:
      title: Above it.
      unit: Of the vertical axis.
      patterns: Regexes of whole metric names; their order is the order of lines.
      is_share: Values are shares from 0 to 1.
      is_noisy: A running mean is drawn over the values.
      is_sparse: Few values, each worth a dot.
      is_examined: The same, and the first and last quarter are shaded.
      at: Metric that holds the horizontal position.
      note: Below the title.
    """

    title: str
    unit: str
    patterns: tuple[str, ...]
    is_share: bool = False
    is_noisy: bool = False
    is_sparse: bool = False
    is_examined: bool = False
    at: str = "step"
    note: str = ""


class Line(NamedTuple):
    """A metric over steps; `label` names all metrics that are equal to it."""

    label: str
    steps: Float64[np.ndarray, " N"]
    values: Float64[np.ndarray, " N"]


class Chart(NamedTuple):
    """A drawn chart.

    Attributes:
      title: Above it.
      note: Below the title.
      address: The picture as a data address; "" where every value is 0.
      text: The same for those who do not see it.
    """

    title: str
    note: str
    address: str
    text: str


SUPERVISED = (
    Spec("Loss", "nats a token", ("loss", "loss/.*"), is_noisy=True),
    Spec(
        "Loss on rows that are not trained on",
        "nats a token",
        ("validation/loss", "validation/loss/.*"),
        is_sparse=True,
    ),
    Spec(
        "Benchmarks while training",
        "accuracy",
        ("validation/.*/strict_accuracy", "validation/.*_accuracy"),
        is_share=True,
        is_sparse=True,
        note="Constant: what the most frequent gold answers would score.",
    ),
    Spec("Learning rate", "learning rate", ("lr/.*",)),
    Spec("Gradient norm", "norm before clipping", ("grad_norm", "grad_norm/.*"), is_noisy=True),
    Spec("Packing fill", "share of a row", ("fill/.*",), is_share=True),
    Spec("Throughput", "tokens a second", ("tokens_per_second",)),
    Spec(
        "Utilisation",
        "share",
        ("goodput", "mfu"),
        is_share=True,
        note="Goodput: share of the run's wall time spent in steps. MFU: as models/flops.py says.",
    ),
)
REINFORCEMENT = (
    Spec(
        "Held-out questions",
        "accuracy",
        ("eval/accuracy", "blind/accuracy", "eval/greedy_accuracy", "blind/greedy_accuracy"),
        is_share=True,
        is_examined=True,
        at="eval/step",
        note="Blind: every image greyed out. Shaded: first and last quarter of the steps.",
    ),
    Spec(
        "Reward terms on training questions",
        "mean over completions",
        ("reward/accuracy", "reward/format", "reward/.*"),
        is_noisy=True,
    ),
    Spec("KL divergence from the stage's first model", "nats a token", ("kl",), is_noisy=True),
    Spec("Entropy of the sampler", "nats a token", ("entropy",), is_noisy=True),
    Spec("Length of completions", "tokens", ("length/mean", "length/max")),
    Spec(
        "Completions cut off or repeated, questions without contrast",
        "share",
        ("length/truncated", "duplicates", "groups/zero_variance"),
        is_share=True,
        note="Without contrast: all rollouts of the question earn the same.",
    ),
    Spec("Clipped tokens", "share of tokens", ("clip_fraction", "clip_fraction/.*")),
    Spec("Sampler against learner", "nats", ("logprob_gap/.*",), note="0 where both agree."),
    Spec("Policy loss", "loss", ("loss",), note="Not a measure of quality.", is_noisy=True),
    *(spec for spec in SUPERVISED if spec.title in ("Learning rate", "Gradient norm")),
    Spec("Throughput", "tokens a second", ("tokens_per_second", "rollout/tokens_per_second")),
)


def draw_all(rows: Sequence[Row], specs: Sequence[Spec]) -> list[Chart]:
    """The charts that have something to show.

    Args:
      rows: Metric rows in the order of their steps.
      specs: SUPERVISED or REINFORCEMENT.
    """
    charts = []
    for spec in specs:
        lines = find_lines(rows, spec)
        if lines:
            shown, rest = lines[:MOST_LINES], lines[MOST_LINES:]
            notes = [spec.note] if spec.note else []
            if spec.is_noisy and any(line.values.size >= SMOOTH_FROM for line in shown):
                notes.append("Thin: every step; thick: running mean.")
            if rest:
                notes.append(f"{len(rest)} more lines are in metrics.jsonl.")
            is_drawn = any(line.values.any() for line in shown)
            address = draw(shown, spec, float(rows[-1]["step"])) if is_drawn else ""
            charts.append(Chart(spec.title, " ".join(notes), address, describe(shown)))
    return charts


def find_lines(rows: Sequence[Row], spec: Spec) -> list[Line]:
    """The lines of a chart; equal ones become one with several names.

    Args:
      rows: Metric rows.
      spec: The chart.
    """
    known = dict.fromkeys(name for row in rows for name in row)
    names = [name for p in spec.patterns for name in known if re.fullmatch(p, name)]
    lines: list[Line] = []
    for name in dict.fromkeys(names):
        line = _line(rows, name, spec.at)
        twins = [i for i, other in enumerate(lines) if _is_same(line, other)]
        if twins:
            twin = lines[twins[0]]
            lines[twins[0]] = twin._replace(label=f"{twin.label} = {name}")
        elif line.values.size:
            lines.append(line)
    return lines


def describe(lines: Sequence[Line]) -> str:
    """What a chart shows, in words.

    Args:
      lines: Its lines.
    """
    parts = [
        f"{line.label} from {pages.number(float(line.values[0]))} at step {line.steps[0]:.0f} "
        f"to {pages.number(float(line.values[-1]))} at step {line.steps[-1]:.0f}"
        for line in lines
    ]
    return "Line chart: " + "; ".join(parts)


def draw(lines: Sequence[Line], spec: Spec, last_step: float) -> str:
    """The chart as an SVG data address; the same input gives the same bytes.

    Args:
      lines: At least one.
      spec: How to draw them.
      last_step: Of the run.
    """
    with _style():
        picture = figure.Figure(figsize=SIZE, layout="constrained")
        plot = picture.add_subplot()
        if spec.is_examined:
            for start in (0.0, 0.75):
                plot.axvspan(start * last_step, (start + 0.25) * last_step, color="#eef3f8", lw=0)
        for place, line in enumerate(lines):
            _draw_line(plot, line, spec, place)
        _finish(plot, spec, lines)
        file = io.BytesIO()
        picture.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return pages.data_address(file.getvalue(), "image/svg+xml")


def smooth(values: Float64[np.ndarray, " N"]) -> Float64[np.ndarray, " N"]:
    """A centred running mean over a tenth of the values; shorter windows at the ends.

    Args:
      values: At least one.
    """
    half = max(1, values.size // 20)
    totals = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(values.size)
    low, high = np.maximum(places - half, 0), np.minimum(places + half + 1, values.size)
    return (totals[high] - totals[low]) / (high - low)


def thin(line: Line) -> Line:
    """At most MOST_POINTS points, evenly spaced, both ends kept."""
    if line.values.size <= MOST_POINTS:
        return line
    kept = np.linspace(0, line.values.size - 1, MOST_POINTS).round().astype(int)
    return line._replace(steps=line.steps[kept], values=line.values[kept])


def _line(rows: Sequence[Row], name: str, at: str) -> Line:
    pairs = [(row[at], row[name]) for row in rows if row.get(name) is not None and at in row]
    steps, values = np.array(pairs, np.float64).reshape(-1, 2).T
    return Line(name, steps, values)


def _is_same(a: Line, b: Line) -> bool:
    return np.array_equal(a.steps, b.steps) and np.allclose(a.values, b.values, rtol=SAME, atol=0)


def _draw_line(plot: axes.Axes, line: Line, spec: Spec, place: int) -> None:
    colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
    has_dots = spec.is_sparse or spec.is_examined or line.values.size == 1
    marker = "o" if has_dots else None
    if spec.is_noisy and line.values.size >= SMOOTH_FROM:
        raw = thin(line)
        plot.plot(raw.steps, raw.values, color=colour, alpha=0.3, lw=0.8)
        line = line._replace(values=smooth(line.values))
    line = thin(line)
    label = textwrap.fill(line.label, LEGEND_WIDTH, break_long_words=False)
    plot.plot(line.steps, line.values, dash, color=colour, lw=1.7, marker=marker, ms=4, label=label)


def _finish(plot: axes.Axes, spec: Spec, lines: Sequence[Line]) -> None:
    plot.set_xlabel("optimizer step")
    plot.set_ylabel(spec.unit)
    plot.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
    if spec.is_share:
        plot.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
        plot.set_ylim(bottom=0.0)
    lowest = min(float(line.values.min()) for line in lines)
    highest = max(float(line.values.max()) for line in lines)
    if lowest > 0 and highest > 50 * lowest and not spec.is_share:
        plot.set_yscale("log")
    if len(lines) > 1 or lines[0].label not in spec.patterns:
        plot.legend(loc="best", fontsize=8, framealpha=0.85, edgecolor="none")


@contextlib.contextmanager
def _style() -> Iterator[None]:
    settings: dict[Any, Any] = {
        "svg.hashsalt": "lingshu_jax",
        "font.size": 9,
        "axes.formatter.useoffset": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#9aa5b1",
        "axes.labelcolor": "#3e4c59",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e6ebf0",
        "xtick.color": "#52606d",
        "ytick.color": "#52606d",
        "figure.facecolor": "none",
        "axes.facecolor": "none",
    }
    with matplotlib.rc_context(settings):
        yield
