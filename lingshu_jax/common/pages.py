# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""HTML pages that need no other file: one style, escaped templates, pictures as data.

A page extends `base.html`, which forbids scripts and every address outside the page, so that
what a model or a data set says stays text even where a template forgets to be careful. A page that
needs a script of its own names it by its hash (`script_policy`), and no other one runs.
"""

import base64
import hashlib
import io
import math
from collections.abc import Mapping, Sequence

import jinja2
from PIL import Image

THUMBNAIL = 320  # pixels of the longer side
_WEBP_EFFORT = 2  # of 0 to 6: 8 % larger than at the writer's own 4, in half the time
NOTHING = "\N{EN DASH}"


def environment(templates: Mapping[str, str]) -> jinja2.Environment:
    """Templates that escape all they print; an unknown name is an error.

    Args:
      templates: By name; they may extend `base.html` (blocks `title`, `style` and `body`; and
        `policy` and `scripts`, which are empty unless a page has a script, see `script_policy`).

    Returns:
      An environment with the filters `percent`, `interval` and `number` of this module.
    """
    made = jinja2.Environment(
        loader=jinja2.DictLoader({"base.html": BASE, **templates}),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": percent, "interval": interval, "number": number}
    return made


def percent(share: float | None) -> str:
    """0.437 as 43.7%; a dash for None."""
    return NOTHING if share is None else f"{100 * share:.1f}%"


def interval(bounds: Sequence[float | None]) -> str:
    """The ends of an interval of shares, in percent; a dash where there is none."""
    low, high = bounds
    if low is None or high is None:
        return NOTHING
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def number(value: float | str | None) -> str:
    """A number with as many digits as one reads: 1,234,567; 345.2; 7.063; 3.05e-07.

    Args:
      value: A text stays as it is, None is a dash.
    """
    if value is None:
        return NOTHING
    if isinstance(value, str | bool):
        return str(value)
    if isinstance(value, float) and not value.is_integer():
        if not math.isfinite(value) or abs(value) < 100:
            return f"{value:.4g}"
        return f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{int(value):,}"


def markdown_row(cells: Sequence[object]) -> str:
    """A line of a Markdown table.

    Args:
      cells: Their texts; a bar in one does not end it.
    """
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def data_address(content: bytes, kind: str) -> str:
    """A file as a `data:` address.

    Args:
      content: Its bytes.
      kind: Its MIME type.
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def thumbnail(picture: Image.Image) -> str:
    """A small JPEG of an RGB picture as a data address; the picture itself stays as it is.

    It has pixels only: what else the file said, as a comment with a name, is left out.
    """
    return data_address(small(picture, "JPEG", side=THUMBNAIL, quality=80), "image/jpeg")


def small(picture: Image.Image, form: str, *, side: int, quality: int) -> bytes:
    """A small file of an RGB picture, of pixels alone; the picture itself stays as it is.

    Args:
      picture: To be shrunk; a smaller one keeps its size.
      form: As Pillow names it, "JPEG" or "WEBP".
      side: Pixels of its longer side.
      quality: 0 to 100, as Pillow's writers take it.
    """
    copy = picture.copy()
    copy.thumbnail((side, side))
    copy.info.clear()
    file = io.BytesIO()
    copy.save(file, form, quality=quality, method=_WEBP_EFFORT)  # method: of WEBP alone
    return file.getvalue()


def script_policy(script: str) -> str:
    """What the block `policy` of a page says so that this script runs in it, and no other.

    Args:
      script: Exactly what stands between the tags.

    Source: Content Security Policy Level 3, W3C, section 2.3.1 (hash-source).
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"; script-src 'sha256-{digest}'"


STYLE = """
:root { --ink: #1f2933; --soft: #5b6876; --line: #dfe5ec; --panel: #f7f9fb; --accent: #2b6c99;
  --good: #1c7c54; --bad: #b23a48; --warn: #8a6100; color-scheme: light; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { font: 15px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  color: var(--ink); background: #fff; margin: 0 auto; padding: 2.25rem 1.5rem 4rem;
  max-width: 78rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 3rem 0 .75rem; padding-top: 1.1rem;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
p, ul { margin: .25rem 0 .8rem; max-width: 62rem; }
ul { padding-left: 1.25rem; }
a { color: var(--accent); }
code, pre { font: .87em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  padding: .8rem 1rem; overflow: auto; max-height: 32rem; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--accent); }
nav { margin: 1rem 0; display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--line);
  color: var(--soft); font-size: .9rem; }
.soft { color: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.scroll { overflow-x: auto; margin-bottom: .9rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
th, td { padding: .38rem .55rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; vertical-align: top; }
th { color: var(--soft); font-weight: 600; font-size: .86rem; vertical-align: bottom; }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
table.full { width: 100%; }
td.wrap { white-space: pre-wrap; overflow-wrap: anywhere; min-width: 6rem; }
td.most { width: 60%; min-width: 16rem; }
th[scope="row"] { color: inherit; font-size: inherit; vertical-align: top; white-space: normal;
  min-width: 8rem; }
td small { color: var(--soft); display: block; line-height: 1.3; }
tr.group td { padding-top: 1rem; font-weight: 600; color: var(--soft); }
.badge { display: inline-block; border-radius: 999px; padding: 0 .55rem; font-size: .8rem;
  border: 1px solid currentcolor; margin-right: .3rem; white-space: nowrap; }
.bar { display: inline-block; width: 9rem; height: .55rem; background: var(--line);
  border-radius: 3px; vertical-align: middle; margin-left: .5rem; overflow: hidden; }
.bar.alone { margin-left: 0; }
.bar i { display: block; height: 100%; background: var(--accent); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem;
  margin: 1.25rem 0; }
.tile { border: 1px solid var(--line); border-top: 3px solid var(--accent); border-radius: 6px;
  padding: .8rem 1rem; background: var(--panel); }
.tile b { display: block; font-size: 1.65rem; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.tile small { color: var(--soft); display: block; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(26rem, 1fr));
  gap: 1.25rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; padding: .75rem; }
figure img { width: 100%; display: block; }
figcaption { font-weight: 600; padding: 0 .25rem .3rem; }
figcaption small { display: block; color: var(--soft); font-weight: 400; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); gap: 1rem; }
.cards.wide { grid-template-columns: 1fr; }
.card { border: 1px solid var(--line); border-left: 4px solid var(--line); border-radius: 6px;
  padding: .8rem .95rem; background: var(--panel); overflow: hidden; }
.card.right { border-left-color: var(--good); } .card.wrong { border-left-color: var(--bad); }
.card img { max-height: 9.5rem; max-width: 100%; border-radius: 4px; margin: 0 .35rem .35rem 0; }
.card.split { display: grid; grid-template-columns: 12rem 1fr; gap: 0 1.1rem; }
.card dl { display: grid; grid-template-columns: auto 1fr; gap: .15rem .7rem; margin: .4rem 0; }
.card dt { color: var(--soft); }
.card dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; max-height: 9rem;
  overflow-y: auto; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
@media (max-width: 40rem) { .card.split { grid-template-columns: 1fr; }
  .figures { grid-template-columns: 1fr; } }
@media print { body { max-width: none; padding: 0; font-size: 11px; } nav { display: none; }
  .scroll, .card, .card dd, pre { overflow: visible; max-height: none; }
  .figures { grid-template-columns: 1fr 1fr; } h2, h3 { break-after: avoid; }
  figure, .card, .tile, tr { break-inside: avoid; } }
"""

BASE = (
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none';
  form-action 'none'{% block policy %}{% endblock %}">
<title>{% block title %}{% endblock %}</title>
<style>"""
    + STYLE
    + """{% block style %}{% endblock %}</style>
</head>
<body>
{% block body %}{% endblock %}
<footer>Made by lingshu_jax. For research; not a medical device.</footer>
{% block scripts %}{% endblock %}
</body>
</html>
"""
)
