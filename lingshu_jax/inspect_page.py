# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The HTML page of `inspect_data`: images, tokens, and which tokens are trained.

Trained tokens are told apart by a bar under them, a colour, and words that a screen reader says.
Of a file the page shows pixels and the part of its path inside the source's folder: nothing of
its header, and not where it lies.
"""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lingshu_jax import inspect_summary
from lingshu_jax.common import pages
from lingshu_jax.data import images, messages

MAX_FRAMES = 6  # of a video on the page
MAX_MEDIA = 8  # of a row
MAX_META = 4000  # characters of a row's other columns
MAX_BYTES = 4  # a character of UTF-8 has at most so many bytes, and tokens
ROLE_TOKENS = 16  # more than any role has


class Piece(NamedTuple):
    """The tokens of one or more whole characters, or all of one image.

    Attributes:
      kind: "text", "control" or "media".
      text: Theirs.
      ids: Theirs.
    """

    kind: str
    text: str
    ids: str


class Run(NamedTuple):
    """Neighbouring tokens that are all trained, or all not."""

    is_trained: bool
    pieces: list[Piece]


class Turn(NamedTuple):
    """One message.

    Attributes:
      role: Whose.
      tokens: How many, markup included.
      trained: How many of them.
      runs: All of them in order.
    """

    role: str
    tokens: int
    trained: int
    runs: list[Run]


class Picture(NamedTuple):
    """An image or video of a row.

    Attributes:
      name: "image 1".
      caption: Its file and sizes.
      frames: What each is called, with its address.
    """

    name: str
    caption: str
    frames: list[tuple[str, str]]


class Section(NamedTuple):
    """One row of the page.

    Attributes:
      row: What it shows.
      pictures: The first of its media.
      hidden: How many media are left out.
      turns: Its messages.
      meta: Its other columns, as JSON; "" if there are none.
    """

    row: inspect_summary.Row
    pictures: list[Picture]
    hidden: int
    turns: list[Turn]
    meta: str

    @property
    def trained(self) -> int:
        """Trained tokens."""
        return sum(turn.trained for turn in self.turns)


def render(
    summary: inspect_summary.Summary,
    rows: Sequence[inspect_summary.Row],
    encoder: messages.Encoder,
) -> str:
    """The page.

    Args:
      summary: Shown at the top.
      rows: Shown one below the other.
      encoder: Turns tokens back into text.

    Returns:
      HTML that needs no other file.
    """
    sections = [_section(row, encoder) for row in rows]
    template = pages.environment({"page.html": PAGE}).get_template("page.html")
    return template.render(summary=summary, total=summary.total, sections=sections)


def turns(encoded: messages.Encoded, encoder: messages.Encoder) -> list[Turn]:
    """The messages of a row, cut where their markup stands as a token.

    Args:
      encoded: The row.
      encoder: Turns tokens back into text.
    """
    starts = [i for i, token in enumerate(encoded.tokens) if token == encoder.special.im_start]
    made = []
    for start, stop in zip(starts, [*starts[1:], encoded.num_tokens], strict=True):
        runs: list[Run] = []
        for is_trained, piece in _pieces(encoded, encoder, start, stop):
            if not runs or runs[-1].is_trained != is_trained:
                runs.append(Run(is_trained, []))
            runs[-1].pieces.append(piece)
        head = encoder.decode(encoded.tokens[start + 1 : min(stop, start + ROLE_TOKENS)])
        trained = int((encoded.loss_weights[start:stop] > 0).sum())
        made.append(Turn(head.partition("\n")[0], stop - start, trained, runs))
    return made


def _pieces(
    encoded: messages.Encoded, encoder: messages.Encoder, start: int, stop: int
) -> Iterator[tuple[bool, Piece]]:
    """The tokens of a message with whether they are trained; visual tokens are one piece."""
    media = {item.start: item for item in encoded.media}
    while start < stop:
        is_trained = bool(encoded.loss_weights[start] > 0)
        if start in media:
            grid = media[start].grid
            count = encoder.geometry.num_tokens(grid)
            text = f"{count:,} x {encoder.decode(encoded.tokens[start : start + 1], False)}"
            yield is_trained, Piece("media", text, str(encoded.tokens[start]))
            start += count
            continue
        end, text = _character(encoded, encoder, start)
        ids = " ".join(str(i) for i in encoded.tokens[start:end])
        is_control = encoder.decode(encoded.tokens[start:end]) == ""
        yield is_trained, Piece("control" if is_control else "text", visible(text), ids)
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


def visible(text: str) -> str:
    """A text with signs for what a browser would hide or obey.

    A line break is a sign and a break; control and format characters, as those that turn the
    direction of writing round, become their code.

    Args:
      text: Of some tokens.
    """
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character == "\n":
        return "\N{RETURN SYMBOL}\n"
    if character == "\t":
        return "\N{RIGHTWARDS ARROW TO BAR}\t"
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
    return f"[U+{ord(character):04X}]" if hidden else character


def _section(row: inspect_summary.Row, encoder: messages.Encoder) -> Section:
    media = row.fitted.encoded.media
    names = {False: 0, True: 0}
    pictures = []
    for item in media[:MAX_MEDIA]:
        is_video = item.seconds_per_grid is not None
        names[is_video] += 1
        name = f"{'video' if is_video else 'image'} {names[is_video]}"
        pictures.append(_picture(item, name, row.roots, encoder))
    meta = row.example.meta
    text = json.dumps(meta, ensure_ascii=False, indent=1)[:MAX_META] if meta else ""
    return Section(
        row=row,
        pictures=pictures,
        hidden=len(media) - len(pictures),
        turns=turns(row.fitted.encoded, encoder),
        meta=text,
    )


def _picture(
    media: images.Media, name: str, roots: Sequence[str], encoder: messages.Encoder
) -> Picture:
    """Thumbnails of an image, or of some frames of a video, evenly spaced."""
    is_video = media.seconds_per_grid is not None
    shape = images.read_shape(media.image, is_video=is_video)
    count = shape.num_frames
    kept = {(2 * i + 1) * count // (2 * min(count, MAX_FRAMES)) for i in range(MAX_FRAMES)}
    frames = [
        (f"frame {place + 1} of {count}" if is_video else name, pages.thumbnail(frame))
        for place, frame in enumerate(images.open_frames(media.image))
        if place in kept
    ]
    grid, tokens = media.grid, encoder.geometry.num_tokens(media.grid)
    size = f"{shape.width} x {shape.height} pixels"
    caption = [inspect_summary.label(media.image, roots), size]
    if is_video:
        caption.append(f"{count} frames, {len(frames)} shown")
    pairs = f"{grid.t} x " if is_video else ""
    caption.append(f"{pairs}{grid.w} x {grid.h} patches, {tokens:,} tokens")
    return Picture(name, ", ".join(caption), frames)


PAGE = """{% extends "base.html" %}
{% block title %}What is trained: {{ summary.title }}{% endblock %}
{% block style %}
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
td.first { min-width: 11rem; }
.row { border: 1px solid var(--line); border-radius: 6px; padding: .9rem 1rem;
  margin: 0 0 1.25rem; }
.row > h3 { margin: 0; overflow-wrap: anywhere; }
.row > p { margin: .1rem 0 .7rem; }
.pictures { display: flex; flex-wrap: wrap; gap: .75rem; margin-bottom: .8rem; }
.pictures figure { padding: .5rem; max-width: 100%; }
.pictures .one { width: min-content; min-width: min(15rem, 100%); }
.pictures img { width: auto; max-width: 100%; max-height: 11rem; display: inline-block;
  margin: 0 .3rem .3rem 0; vertical-align: top; }
.pictures figcaption { padding: 0; font-size: .85rem; overflow-wrap: anywhere; }
.turn { display: grid; grid-template-columns: 10.5rem 1fr; gap: .2rem 1rem; padding: .5rem 0;
  border-top: 1px solid var(--line); }
.turn .who b { display: block; }
.turn .who small { color: var(--soft); display: block; line-height: 1.35; }
.tokens { font: .87em/2 ui-monospace, "SF Mono", Menlo, Consolas, monospace; min-width: 0;
  white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext; }
.legend .tokens { white-space: normal; }
.tokens i { font-style: normal; box-shadow: inset 1px 0 #0002; }
.tokens .control { color: #3d5a80; border-radius: 3px; box-shadow: inset 0 0 0 1px #b9c8d8; }
.tokens .media { color: var(--warn); border: 1px dashed currentcolor; border-radius: 3px;
  padding: 0 .3em; box-shadow: none; display: inline-block; line-height: 1.4; }
.tokens mark { color: #0b3d24; background: #dff3e6; padding-bottom: 1px;
  border-bottom: 2px solid var(--good); }
.legend { border: 1px solid var(--line); border-radius: 6px; padding: .4rem .9rem;
  background: var(--panel); }
@media (max-width: 40rem) { body { padding: 1.25rem .75rem 3rem; }
  td.most { min-width: 9rem; } td.first { min-width: 6.5rem; }
  .turn { grid-template-columns: 1fr; } .turn .who b { display: inline; }
  .turn .who small { display: inline; margin-left: .5rem; } }
{% endblock %}
{% block body %}
<h1>What is trained: {{ summary.title }}</h1>
<p class="soft">Tokenizer: {{ summary.tokenizer }}</p>
<div class="tiles">
<div class="tile">rows accepted<b>{{ total.accepted|number }}</b>
<small>of {{ total.read|number }} read</small></div>
<div class="tile">rows refused<b>{{ total.refused|number }}</b>
<small>{{ "named in dropped.jsonl" if total.refused else "dropped.jsonl is empty" }}</small></div>
<div class="tile">tokens trained
<b>{{ (total.trained / total.tokens if total.tokens else none)|percent }}</b>
<small>{{ total.trained|number }} of {{ total.tokens|number }}</small></div>
{% if summary.fill %}
<div class="tile">tokens filled, rows packed<b>{{ summary.fill.tokens|percent }}</b>
<small>patches {{ summary.fill.patches|percent }}; {{ summary.fill.rows|number }} rows of
{{ summary.fill.budget.tokens|number }} tokens and {{ summary.fill.budget.patches|number }}
patches</small></div>
{% endif %}
</div>

<h2>Sources</h2>
<div class="scroll"><table>
<thead><tr><th scope="col">source</th><th scope="col">rows read</th><th scope="col">accepted</th>
<th scope="col">refused</th><th scope="col">shortened</th><th scope="col">tokens</th>
<th scope="col">trained</th><th scope="col">images, videos</th><th scope="col">patches</th>
<th scope="col">header elements left behind</th></tr></thead>
<tbody>
{% for name, counts in summary.by_source.items() %}{{ counted(name, counts) }}{% endfor %}
{% if summary.by_source|length > 1 %}{{ counted("all", total) }}{% endif %}
</tbody></table></div>
{% if total.header_elements %}
<p class="soft">Elements of DICOM and NIfTI headers that may identify a person are counted and not
read any further. Text that is burned into the pixels is still there.</p>
{% endif %}

{% if summary.reasons %}
<h2>Refused rows</h2>
<p class="soft">Files, numbers and quotations are left out here; dropped.jsonl has every row with
its reason in full.</p>
<div class="scroll"><table>
<thead><tr><th scope="col" class="text">reason</th><th scope="col">rows</th>
<th scope="col" class="text">the first one</th></tr></thead>
<tbody>
{% for reason in summary.reasons %}
<tr><td class="text wrap most">{{ reason.kind }}</td><td>{{ reason.rows|number }}</td>
<td class="text wrap first">{{ reason.first.id }}<small>{{ reason.first.source }}, line {{
reason.first.line|number }}</small></td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}

<h2>Rows</h2>
<p class="legend"><span class="tokens"><mark><i>a trained token</i></mark> · <i>one that
is only seen</i> · <i class="control">&lt;|markup|&gt;</i> · <i
class="media">tokens of an image</i></span><br>A thin line begins each token; its id shows when the
pointer rests on it. A line break is shown as <span class="tokens">⏎</span>.</p>
{% for section in sections %}{{ shown(section) }}{% else %}
<p>No row to show.</p>
{% endfor %}
{% endblock %}

{% macro counted(name, counts) %}
<tr><th scope="row">{{ name }}</th><td>{{ counts.read|number }}</td>
<td>{{ counts.accepted|number }}</td><td>{{ counts.refused|number }}</td>
<td>{{ counts.rewritten|number }}</td><td>{{ counts.tokens|number }}</td>
<td>{{ counts.trained|number }}</td><td>{{ counts.media|number }}</td>
<td>{{ counts.patches|number }}</td><td>{{ counts.header_elements|number }}</td></tr>
{% endmacro %}

{% macro shown(section) %}
{% set example = section.row.example %}{% set encoded = section.row.fitted.encoded %}
<article class="row">
<h3>{{ example.id }}</h3>
<p class="soft">{{ example.source }}, line {{ example.line|number }}:
{{ encoded.num_tokens|number }} tokens, {{ section.trained|number }} trained{% if
encoded.num_patches %}, {{ encoded.num_patches|number }} patches{% endif %}
{% if section.row.fitted.change %}
<span class="badge warn">{{ section.row.fitted.change }}</span>{% endif %}</p>
{% if section.pictures %}
<div class="pictures">
{% for picture in section.pictures %}
<figure{% if picture.frames|length == 1 %} class="one"{% endif %}>
{% for name, address in picture.frames %}
<img src="{{ address }}" title="{{ name }}"
alt="{{ picture.name }}{% if name != picture.name %}, {{ name }}{% endif %}">
{% endfor %}
<figcaption>{{ picture.name }}<small>{{ picture.caption }}</small></figcaption></figure>
{% endfor %}
{% if section.hidden %}<p class="soft">and {{ section.hidden|number }} more</p>{% endif %}
</div>
{% endif %}
{% for turn in section.turns %}
<div class="turn"><div class="who"><b>{{ turn.role }}</b>
<small>{{ turn.tokens|number }} tokens, {% if turn.trained %}{{ turn.trained|number }} trained{%
else %}none trained{% endif %}</small></div>
<div class="tokens">{% for run in turn.runs %}{{ tokens(run) }}{% endfor %}</div></div>
{% endfor %}
{% if section.meta %}
<details><summary>other columns of the row</summary><pre>{{ section.meta }}</pre></details>
{% endif %}
</article>
{% endmacro %}

{% macro tokens(run) -%}
{% if run.is_trained %}<mark><span class="sr">[trained: </span>{% endif -%}
{% for piece in run.pieces %}<i{% if piece.kind != "text" %} class="{{ piece.kind }}"{% endif
%} title="{{ piece.ids }}">{{ piece.text }}</i>{% endfor -%}
{% if run.is_trained %}<span class="sr"> end of trained]</span></mark>{% endif -%}
{% endmacro %}
"""
