# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Small charts of a data card, as SVG data addresses; the same numbers give the same bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Int64
from matplotlib import figure, ticker

from lingshu_jax.common import pages

COLOUR = "#2b6c99"
MOST_BARS, MOST_LETTERS = 16, 40
OTHERS = "all others"
_ROW, _WIDTH, _FRAME = 0.24, 5.2, 0.7  # inches
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "lingshu_jax",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa5b1",
    "axes.axisbelow": True,
    "grid.color": "#e6ebf0",
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "text.parse_math": False,  # a name may have a dollar sign
}


def bars(counts: Mapping[str, int]) -> str:
    """Horizontal bars, the longest on top.

    Args:
      counts: By name; the smallest of many are one bar.
    """
    found = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    if len(found) > MOST_BARS:
        rest = sum(value for _, value in found[MOST_BARS - 1 :])
        found = [*found[: MOST_BARS - 1], (OTHERS, rest)]
    names = [_short(name) for name, _ in found]
    values = [value for _, value in found]
    with matplotlib.rc_context(_STYLE):
        picture = figure.Figure(figsize=(_WIDTH, _FRAME + _ROW * len(found)), layout="constrained")
        plot = picture.add_subplot()
        drawn = plot.barh(range(len(found)), values, color=COLOUR)
        plot.bar_label(drawn, [f"{value:,}" for value in values], padding=3)
        plot.set_yticks(range(len(found)), names)
        plot.invert_yaxis()
        plot.margins(x=0.15)
        plot.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
        plot.set_xlabel("rows")
        return _address(picture)


def histogram(
    edges: Sequence[float], counts: Int64[np.ndarray, " bins"], *, label: str, of: str
) -> str:
    """Counts between edges that grow by a factor.

    Args:
      edges: One more than counts.
      counts: Between them.
      label: Of the axis of values.
      of: What is counted.
    """
    with matplotlib.rc_context(_STYLE):
        picture = figure.Figure(figsize=(_WIDTH, 2.4), layout="constrained")
        plot = picture.add_subplot()
        plot.stairs(counts, edges, fill=True, color=COLOUR)
        plot.set_xscale("log")
        filled = np.flatnonzero(counts)
        if len(filled):  # a factor of ten at least, so that there are marks
            first, last = edges[filled[0]], edges[filled[-1] + 1]
            plot.set_xlim(min(first, last / 10) / 1.5, last * 1.5)
        plot.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
        plot.xaxis.set_minor_formatter(ticker.NullFormatter())
        plot.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
        plot.set_xlabel(label)
        plot.set_ylabel(of)
        plot.grid(visible=True, axis="y")
        return _address(picture)


def _short(name: str) -> str:
    return (
        name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
    )


def _address(picture: figure.Figure) -> str:
    file = io.BytesIO()
    picture.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return pages.data_address(file.getvalue(), "image/svg+xml")
