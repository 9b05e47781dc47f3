# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The HTML page of `inspect_data`: images, tokens, and which tokens are trained."""

import base64
import html
import io
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from PIL import Image

from lingshu_jax.data import images, messages, sources

THUMBNAIL_SIDE = 224  # pixels
MAX_FRAMES = 4  # of a video on the page
MAX_BYTES = 4  # a character of UTF-8 has at most so many bytes, and tokens

STYLE = """
body { font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 1100px; color: #222; }
table { border-collapse: collapse; } td, th { padding: .15em .8em .15em 0; text-align: left; }
section { border-top: 1px solid #bbb; margin-top: 1.5em; padding-top: .5em; }
h2 { font-size: 1em; } img { margin: 0 .5em .5em 0; image-rendering: pixelated; }
.tokens { font: 13px/1.9 monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.tokens span { border-radius: 2px; padding: 1px 0; box-shadow: inset 1px 0 #0002; }
.plain { background: #eee; } .trained { background: #9fdf9f; }
.control { background: #dde4f5; color: #456; }
.control.trained { background: #6fc26f; color: #000; }
.media { background: #f5dfb8; } .meta { color: #666; font-size: 13px; }
"""


class Row(NamedTuple):
    """One row of the page."""

    example: sources.Example
    encoded: messages.Encoded


class Summary(NamedTuple):
    """The totals.

    Attributes:
      tokenizer: Its folder, or what stands in for it.
      counts: Numbers by name.
      fill: Shares of tokens and patches that packing fills, where a budget is known.
      reasons: How many rows were refused for which reason, most frequent first.
    """

    tokenizer: str
    counts: dict[str, int]
    fill: tuple[float, float] | None
    reasons: dict[str, int]

    def table(self) -> list[tuple[str, str]]:
        """Names and values."""
        pairs = [("tokenizer", self.tokenizer)]
        pairs += [(name, f"{count:,}") for name, count in self.counts.items()]
        if self.fill is not None:
            pairs.append(
                ("fill of packed rows", "{:.1%} tokens, {:.1%} patches".format(*self.fill))
            )
        return pairs

    def lines(self) -> Iterator[str]:
        """The totals as text."""
        yield from (f"{name}: {value}" for name, value in self.table())
        yield from (f"refused {count} x: {reason}" for reason, count in self.reasons.items())


def render(summary: Summary, rows: Sequence[Row], encoder: messages.Encoder) -> str:
    """The page.

    Args:
      summary: Shown at the top.
      rows: Shown one below the other.
      encoder: Turns tokens back into text.

    Returns:
      HTML that needs no other file.
    """
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Data</title>",
        f"<style>{STYLE}</style>",
        "<h1>What is trained</h1>",
        _table(summary.table()),
        "<p class=tokens><span class=trained>trained</span> <span class=plain>seen only</span> "
        "<span class=control>&lt;|control|&gt;</span> <span class=media>[image]</span></p>",
    ]
    if summary.reasons:
        pairs = [(reason, str(count)) for reason, count in summary.reasons.items()]
        parts += ["<h2>Refused rows (dropped.jsonl)</h2>", _table(pairs)]
    parts += [_section(row, encoder) for row in rows]
    return "\n".join([*parts, "</html>\n"])


def _table(pairs: Sequence[tuple[str, str]]) -> str:
    rows = (f"<tr><th>{html.escape(a)}<td>{html.escape(b)}" for a, b in pairs)
    return f"<table>{''.join(rows)}</table>"


def _section(row: Row, encoder: messages.Encoder) -> str:
    example, encoded = row
    trained = int(encoded.loss_weights.astype(bool).sum())
    title = (
        f"{example.id} ({example.source}, line {example.line}): {encoded.num_tokens} tokens, "
        f"{trained} trained, {encoded.num_patches} patches"
    )
    meta = json.dumps(example.meta, ensure_ascii=False) if example.meta else ""
    return "\n".join(
        [
            f"<section><h2>{html.escape(title)}</h2>",
            "".join(_thumbnails(encoded.media)),
            f"<div class=tokens>{''.join(spans(encoded, encoder))}</div>",
            f"<p class=meta>{html.escape(meta)}</p></section>",
        ]
    )


def _thumbnails(media: Sequence[images.Media]) -> Iterator[str]:
    for item in media:
        frames: Iterator[Image.Image]
        if item.seconds_per_grid is None and not isinstance(item.image, tuple):
            frames = iter([images.open_image(item.image)])
        else:
            frames = images.open_frames(item.image)
        for frame, _ in zip(frames, range(MAX_FRAMES), strict=False):
            frame.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            buffer = io.BytesIO()
            frame.save(buffer, "PNG")
            data = base64.b64encode(buffer.getvalue()).decode()
            label = html.escape(images.describe(item.image), quote=True)
            yield f'<img src="data:image/png;base64,{data}" title="{label}">'


def spans(encoded: messages.Encoded, encoder: messages.Encoder) -> Iterator[str]:
    """The tokens of a row as coloured HTML; a run of visual tokens is one span.

    Args:
      encoded: The row.
      encoder: Turns tokens back into text.

    Yields:
      Spans in order; the title of one holds its ids.
    """
    media = {item.start: item for item in encoded.media}
    start = 0
    while start < encoded.num_tokens:
        if start in media:
            grid = media[start].grid
            count = encoder.geometry.num_tokens(grid)
            shape = f"{grid.t} x {grid.h} x {grid.w} patches"
            yield _span("media", f"{shape}, {count} tokens", f"ids {encoded.tokens[start]}")
            start += count
            continue
        end, text = _character(encoded, encoder, start)
        ids = " ".join(str(i) for i in encoded.tokens[start:end])
        is_control = encoder.decode(encoded.tokens[start:end]) == ""
        kinds = ["control"] if is_control else []
        kinds.append("trained" if encoded.loss_weights[start] else "plain")
        yield _span(" ".join(kinds), text, f"ids {ids}")
        start = end


def _character(encoded: messages.Encoded, encoder: messages.Encoder, start: int) -> tuple[int, str]:
    """The fewest tokens from `start` on that are whole characters, and their text.

    A token may be a part of a character; bytes that make no character stay a replacement sign.
    """
    for end in range(start + 1, min(start + MAX_BYTES, encoded.num_tokens) + 1):
        text = encoder.decode(encoded.tokens[start:end], skip_special=False)
        if "\ufffd" not in text:
            return end, text
    return start + 1, encoder.decode(encoded.tokens[start : start + 1], skip_special=False)


def _span(kind: str, text: str, title: str) -> str:
    # A line break is shown as a sign and as a break.
    shown = html.escape(text).replace("\n", "\u23ce\n")
    return f'<span class="{kind}" title="{html.escape(title, quote=True)}">{shown}</span>'
