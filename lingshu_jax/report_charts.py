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
MORE_COLOURS = (*COLOURS, "#c9a227", "#7fb2a8", "#d9b8c4", "#1f2933")  # of areas
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
      is_stacked: What the lines add up to is 1: each is a part of their sum.
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
    is_stacked: bool = False
    at: str = "step"
    note: str = ""


class Line(NamedTuple):
    """A metric over steps.

    Attributes:
      label: Names all metrics that are equal to it.
      steps: Where it has values.
      values: Its values.
      band: What `<name>_low` and `<name>_high` say of them, NaN where they say nothing.
    """

    label: str
    steps: Float64[np.ndarray, " N"]
    values: Float64[np.ndarray, " N"]
    band: Float64[np.ndarray, "2 N"] | None = None


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
        ("(eval|blind|shuffled)/accuracy", "(eval|blind|shuffled)/greedy_accuracy"),
        is_share=True,
        is_examined=True,
        at="eval/step",
        note="Blind: every image greyed out. Shuffled: the images of other questions. Shaded: "
        "first and last quarter of the steps.",
    ),
    Spec(
        "What survives without the right image",
        "share of the accuracy",
        ("(blind|shuffled)/share",),
        is_share=True,
        is_sparse=True,
        at="eval/step",
        note="Accuracy of the probe over that with the own image. At 100 % the images are not "
        "needed for what is right; a share that rises means that training has taught to answer "
        "without them. Bands: 95 %, bootstrap over questions.",
    ),
    Spec(
        "Reward terms on training questions",
        "mean over completions",
        ("reward/accuracy", "reward/format", "reward/.*"),
        is_noisy=True,
    ),
    Spec(
        "Alarms",
        "1: raised",
        ("alarm/.*",),
        note="Steps at which a number was outside its bounds for long; the table below says which.",
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
    Spec(
        "What the monitors measure",
        "share",
        ("monitor/.*",),
        is_share=True,
        note="Accuracy of formed: accuracy reward a unit of format reward.",
    ),
    Spec(
        "Ratio of the new policy to the old",
        "ratio",
        ("ratio/mean", "ratio/max"),
        note="1 at the first update of a rollout batch.",
    ),
    Spec("Clipped tokens", "share of tokens", ("clip_fraction", "clip_fraction/.*")),
    Spec("Sampler against learner", "nats", ("logprob_gap/.*",), note="0 where both agree."),
    Spec(
        "Importance weights of learner over sampler",
        "share",
        ("importance/effective_share", "importance/truncated"),
        is_share=True,
        note="Effective share of the tokens under the weights, and the share of cut weights.",
    ),
    Spec(
        "Staleness of the completions",
        "optimizer steps",
        ("staleness",),
        note="Steps between the weights that sampled and those that are updated.",
    ),
    Spec("Loss", "loss", ("loss", "loss/.*"), note="Not a measure of quality.", is_noisy=True),
    *(spec for spec in SUPERVISED if spec.title in ("Learning rate", "Gradient norm")),
    Spec("Throughput", "tokens a second", ("tokens_per_second", "rollout/tokens_per_second")),
    Spec(
        "What a step spends its time on",
        "share of its time",
        ("seconds/(?!start$|eval$|save$).*",),
        is_share=True,
        is_stacked=True,
        note="Without examinations and checkpoints; the table below has all.",
    ),
    *(spec for spec in SUPERVISED if spec.title == "Utilisation"),
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
    if spec.is_stacked:
        return _parts(rows, [*dict.fromkeys(names)], spec)
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
        if spec.is_stacked:
            _draw_stack(plot, lines)
        else:
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
    band = None if line.band is None else line.band[:, kept]
    return Line(line.label, line.steps[kept], line.values[kept], band)


def _line(rows: Sequence[Row], name: str, at: str) -> Line:
    shown = [row for row in rows if row.get(name) is not None and at in row]
    columns = (at, name, f"{name}_low", f"{name}_high")
    table = [[row.get(column) for column in columns] for row in shown]
    steps, values, *ends = np.array(table, np.float64).reshape(-1, len(columns)).T
    band = np.stack(ends)
    return Line(name, steps, values, None if np.isnan(band).all() else band)


def _parts(rows: Sequence[Row], names: Sequence[str], spec: Spec) -> list[Line]:
    """The shares of some metrics in their sum, where there is one."""
    shown = [row for row in rows if sum(row.get(name) or 0.0 for name in names) > 0]
    if not shown:
        return []
    table = np.array([[row.get(name) or 0.0 for name in names] for row in shown], np.float64)
    steps = np.array([row[spec.at] for row in shown], np.float64)
    shares = (table / table.sum(axis=1, keepdims=True)).T
    pairs = zip(names, shares, strict=True)
    return [Line(name.partition("/")[2], steps, share) for name, share in pairs if share.any()]


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
    if line.band is not None:
        plot.fill_between(line.steps, *line.band, color=colour, alpha=0.15, lw=0)


def _draw_stack(plot: axes.Axes, lines: Sequence[Line]) -> None:
    thinned = [thin(line) for line in lines]
    colours = [MORE_COLOURS[place % len(MORE_COLOURS)] for place in range(len(lines))]
    edges = {"edgecolor": "white", "lw": 0.3}
    steps = thinned[0].steps
    if steps.size == 1:  # an area needs two
        steps = np.array([steps[0] - 0.5, steps[0] + 0.5])
    heights = [np.broadcast_to(line.values, steps.shape) for line in thinned]
    labels = [line.label for line in lines]
    plot.stackplot(steps, heights, labels=labels, colors=colours, alpha=0.8, **edges)
    plot.margins(x=0)


def _finish(plot: axes.Axes, spec: Spec, lines: Sequence[Line]) -> None:
    plot.set_xlabel("optimizer step")
    plot.set_ylabel(spec.unit)
    plot.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
    lowest = min(float(line.values.min()) for line in lines)
    highest = max(float(line.values.max()) for line in lines)
    if spec.is_share:
        bands = [float(np.nanmax(line.band)) for line in lines if line.band is not None]
        plot.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
        plot.set_ylim(0.0, 1.0 if spec.is_stacked else 1.06 * max([highest, 0.01, *bands]))
    if lowest > 0 and highest > 50 * lowest and not spec.is_share:
        plot.set_yscale("log")
    if spec.is_stacked:
        plot.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, edgecolor="none")
    elif len(lines) > 1 or lines[0].label not in spec.patterns:
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
