# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Line charts of an evaluation's sections: SVG pictures as data addresses, and what they say."""

import dataclasses
import io
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import axes, figure, ticker

from lingshu_jax.common import pages

COLOURS = ("#2b6c99", "#cf7a3a", "#4d8f5d", "#8a5a9c", "#b5485a", "#6d7680")
GREY = "#9aa5b1"
MOST_POINTS = 200  # of a line
SIZE = (4.8, 3.1)  # inches
LEGEND_WIDTH = 36  # characters
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "lingshu_jax",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": "#3e4c59",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6ebf0",
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """Points that are joined.

    Attributes:
      label: In the legend.
      x: Horizontal positions, in order; at least one.
      y: As many heights.
      has_dots: Every point is marked.
      is_reference: What the others are compared with: grey and dashed.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    has_dots: bool = False
    is_reference: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """What an axis shows.

    Attributes:
      label: Beside it.
      low: Where it begins; None leaves it to the values.
      high: Where it ends.
      is_share: Values are shares and are shown in percent.
    """

    label: str
    low: float | None = None
    high: float | None = None
    is_share: bool = False


def lines(title: str, shown: Sequence[Line], *, x: Axis, y: Axis, note: str = "") -> dict[str, str]:
    """A chart, in JSON values; the same input gives the same bytes.

    Args:
      title: Above it.
      shown: At least one.
      x: The horizontal axis.
      y: The vertical one.
      note: Below the title.

    Returns:
      `title`, `note`, `address` (the picture as a data address) and `text`, the same in words.
    """
    with matplotlib.rc_context(STYLE):
        picture = figure.Figure(figsize=SIZE, layout="constrained")
        plot = picture.add_subplot()
        colours = iter(COLOURS * (1 + len(shown) // len(COLOURS)))
        for line in shown:
            _draw(plot, line, GREY if line.is_reference else next(colours))
        plot.set(xlabel=x.label, ylabel=y.label)
        plot.set_xlim(x.low, x.high)
        plot.set_ylim(y.low, y.high)
        for axis, spec in ((plot.xaxis, x), (plot.yaxis, y)):
            if spec.is_share:
                axis.set_major_formatter(ticker.PercentFormatter(1.0))
        plot.legend(loc="best", fontsize=8, framealpha=0.85, edgecolor="none")
        file = io.BytesIO()
        picture.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    address = pages.data_address(file.getvalue(), "image/svg+xml")
    return {"title": title, "note": note, "address": address, "text": _words(title, shown, x, y)}


def _draw(plot: axes.Axes, line: Line, colour: str) -> None:
    kept = _kept(len(line.x))
    across, up = (np.asarray(values, np.float64)[kept] for values in (line.x, line.y))
    marker = "o" if line.has_dots or len(across) == 1 else None
    style: dict[str, Any] = {"ls": "--", "lw": 1.1} if line.is_reference else {"lw": 1.7}
    label = textwrap.fill(line.label, LEGEND_WIDTH)
    plot.plot(across, up, color=colour, marker=marker, ms=4, label=label, **style)


def _kept(count: int) -> np.ndarray:
    """Places of at most MOST_POINTS points, evenly spaced, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))


def _words(title: str, shown: Sequence[Line], x: Axis, y: Axis) -> str:
    parts = [
        f"{line.label} from {_value(line.y[0], y)} at {_value(line.x[0], x)} "
        f"to {_value(line.y[-1], y)} at {_value(line.x[-1], x)}"
        for line in shown
    ]
    return f"{title}: {y.label} over {x.label}; " + "; ".join(parts)


def _value(value: float, axis: Axis) -> str:
    return pages.percent(float(value)) if axis.is_share else pages.number(float(value))
