# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""An exam question with its options as a picture, as printed or as photographed.

The fonts are the DejaVu fonts that matplotlib brings along, so the same seed gives the same bytes
wherever Pillow and matplotlib have the same versions. Arithmetic that could come out differently in
another library is done in integers, by Pillow, or in plain Python. What the fonts cannot show is
found before anything is drawn: nothing is printed as an empty box.
"""

import dataclasses
import functools
import io
import random
import string
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import matplotlib
from matplotlib import ft2font
from PIL import Image, ImageDraw, ImageFont

from data_tools.synthesis import render_photograph

Look = Literal["print", "photograph"]
LOOKS: tuple[Look, ...] = ("print", "photograph")
SMALLEST_X_HEIGHT = 9  # pixels, in the finished picture
# Training shrinks what is larger, and small letters with it: 1,280 patches of 28 x 28 pixels.
MOST_PIXELS = 1280 * 28 * 28
NO_TEXT, NO_GLYPH, TOO_LONG = "nothing to print", "not in the fonts", "too long to print"

_FAMILIES = {
    "sans": ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    "serif": ("DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"),
    "mono": ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"),
}
_SIZES = range(17, 27)  # an em, in pixels
_COLUMNS = (42, 72)  # mean letters in a line
_PAPERS = (
    *((255, 255, 255), (255, 255, 255), (250, 247, 238), (244, 236, 216)),
    *((240, 240, 240), (236, 243, 250), (243, 248, 238)),
)
_INKS = ((0, 0, 0), (20, 20, 24), (35, 35, 35), (16, 24, 64))
_HEADINGS = ("", "", "Question {n}", "QUESTION {n}", "Item {n}.", "Q{n}.")
_MARKS = ("{}.", "{})", "({})")
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
# Controls, unassigned and private codes have no form; marks that combine need shaping.
_SHAPELESS = ("Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Mc", "Me")
_RIGHT_TO_LEFT = ("R", "AL")
_SHOWN = 5  # characters that a refusal names


class Refused(Exception):
    """A text that cannot be printed.

    Attributes:
      reason: One of the three of this module.
      detail: What exactly.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class _Line(NamedTuple):
    """A line of text; `left` and `top` in pixels of the page."""

    text: str
    left: int
    top: int
    is_bold: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """A page before it is drawn.

    Attributes:
      look: Of `LOOKS`.
      family: "sans", "serif" or "mono".
      size: An em, in pixels.
      width: Of the page, in pixels; of a photograph the picture is larger.
      height: Likewise.
      lines: Of the text.
      paper: Colour, red, green and blue from 0 to 255.
      ink: Likewise.
      is_framed: Whether a line goes round the text.
      seed: Of what is drawn at random.
    """

    look: Look
    family: str
    size: int
    width: int
    height: int
    lines: tuple[_Line, ...]
    paper: tuple[int, int, int]
    ink: tuple[int, int, int]
    is_framed: bool
    seed: int

    @property
    def x_height(self) -> int:
        """Of a small letter, in pixels of the page."""
        return _x_height(self.family, self.size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Style:
    """What is drawn by lot for a page."""

    family: str
    letters: int
    margin: float
    leading: float
    mark: str
    heading: str
    gap: float


def plan(question: str, options: Sequence[str], *, seed: int, look: Look) -> Page:
    """Lays a question out.

    Args:
      question: Its lines stay lines; blanks within them are one.
      options: Without letters, at most 26; none of an open question.
      seed: Decides the layout.
      look: Of `LOOKS`.

    Raises:
      Refused: If there is no text, the fonts lack a character, or the page would be too large.
    """
    texts = [readable(question), *map(readable, options)]
    if not all(texts):
        raise Refused(NO_TEXT, "the question" if not texts[0] else "an option")
    rng = random.Random(seed)
    families = _covering("".join(texts))
    style = _Style(
        family=rng.choice(families),
        letters=rng.randint(*_COLUMNS),
        margin=rng.uniform(1.5, 4),
        leading=rng.uniform(1.25, 1.6),
        mark=rng.choice(_MARKS),
        heading=rng.choice(_HEADINGS).format(n=rng.randint(1, 120)),
        gap=rng.uniform(0, 0.5),
    )
    colours = {"paper": rng.choice(_PAPERS), "ink": rng.choice(_INKS)}
    is_framed = rng.random() < 0.2
    least = SMALLEST_X_HEIGHT / (render_photograph.LEAST_SCALE if look == "photograph" else 1)
    sizes = [size for size in _SIZES if _x_height(style.family, size) >= least]
    drawn = rng.choice(sizes)
    dense = dataclasses.replace(style, letters=_COLUMNS[1], margin=1.5, leading=1.25, gap=0)
    own = rng.getrandbits(63)
    tries = [(style, size) for size in range(drawn, sizes[0] - 1, -1)]
    for tried, size in [*tries, (dense, sizes[0])]:
        width, height, lines = _lay_out(texts, tried, size)
        area = width * height
        if look == "photograph":
            placed = render_photograph.place(width, height, random.Random(own))
            area = placed.width * placed.height
        if area <= MOST_PIXELS:
            return Page(
                look=look,
                family=style.family,
                size=size,
                width=width,
                height=height,
                lines=lines,
                **colours,
                is_framed=is_framed,
                seed=own,
            )
    raise Refused(TOO_LONG, f"{sum(map(len, texts))} characters")


def draw(page: Page) -> bytes:
    """The picture: a PNG file of a print, a JPEG file of a photograph; pixels alone.

    Args:
      page: From `plan`.
    """
    picture = print_page(page)
    if page.look == "photograph":
        return render_photograph.take(picture, random.Random(page.seed))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=False, compress_level=6)
    return file.getvalue()


def print_page(page: Page) -> Image.Image:
    """The page, flat and clean.

    Args:
      page: From `plan`.
    """
    picture = Image.new("RGB", (page.width, page.height), page.paper)
    pen = ImageDraw.Draw(picture)
    for line in page.lines:
        font = _font(page.family, page.size, line.is_bold)
        pen.text((line.left, line.top), line.text, fill=page.ink, font=font)
    if page.is_framed:
        inset = page.size // 2
        corners = (inset, inset, page.width - 1 - inset, page.height - 1 - inset)
        pen.rectangle(corners, outline=page.ink, width=1)
    return picture


def readable(text: str) -> str:
    """The text as it is printed: composed characters, single blanks, no empty lines at its ends.

    Args:
      text: Any.
    """
    composed = unicodedata.normalize("NFC", text).translate(_INVISIBLE)
    return "\n".join(" ".join(line.split()) for line in composed.splitlines()).strip()


def _covering(text: str) -> list[str]:
    """The families that have every character; raises `Refused` if there is none."""
    wanted = {character for character in text if not character.isspace()}
    odd = {c for c in wanted if _is_shapeless(c)}
    missing = {
        family: {c for c in wanted - odd if ord(c) not in _codes(family)} for family in _FAMILIES
    }
    families = [family for family, lacks in missing.items() if not lacks]
    if families and not odd:
        return families
    fewest = min(missing.values(), key=len)
    shown = [f"U+{ord(c):04X}" for c in sorted(odd | fewest)]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    raise Refused(NO_GLYPH, " ".join(shown[:_SHOWN]) + more)


def _is_shapeless(character: str) -> bool:
    return (
        unicodedata.category(character) in _SHAPELESS
        or unicodedata.bidirectional(character) in _RIGHT_TO_LEFT
    )


def _lay_out(texts: Sequence[str], style: _Style, size: int) -> tuple[int, int, tuple[_Line, ...]]:
    """Width and height of the page, and its lines."""
    font = _font(style.family, size)
    margin, step = round(style.margin * size), round(style.leading * size)
    column = round(style.letters * font.getlength("n"))
    lines: list[_Line] = []
    top = margin
    if style.heading:
        lines.append(_Line(style.heading, margin, top, is_bold=True))
        top += round(1.4 * step)
    for line in _wrapped(texts[0], font, column):
        lines.append(_Line(line, margin, top))
        top += step if line else step // 2
    top += step // 2
    marks = [style.mark.format(letter) for letter in string.ascii_uppercase[: len(texts) - 1]]
    indent = round(max(map(font.getlength, marks), default=0)) + size // 2
    for mark, option in zip(marks, texts[1:], strict=True):
        lines.append(_Line(mark, margin, top))
        for line in _wrapped(option, font, column - indent):
            lines.append(_Line(line, margin + indent, top))
            top += step
        top += round(style.gap * step)
    used = max(
        round(_font(style.family, size, line.is_bold).getlength(line.text)) + line.left
        for line in lines
    )
    # A short question has a narrow page, of no extreme form.
    width = max(min(column + margin, used) + margin + 1, (top + margin) // 3)
    return width, top + margin, tuple(line for line in lines if line.text)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> Iterator[str]:
    """Lines of at most so many pixels; a word that is longer is broken."""
    blank = font.getlength(" ")
    for paragraph in text.split("\n"):
        line, length = "", 0.0
        for word in paragraph.split(" "):
            own = font.getlength(word)
            if line and length + blank + own <= width:
                line, length = f"{line} {word}", length + blank + own
                continue
            if line:
                yield line
            line, length = word, own
            if own > width:
                *full, line = _pieces(word, font, width)
                yield from full
                length = font.getlength(line)
        yield line


def _pieces(word: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    pieces = [""]
    for character in word:
        if pieces[-1] and font.getlength(pieces[-1] + character) > width:
            pieces.append("")
        pieces[-1] += character
    return pieces


@functools.lru_cache(maxsize=64)
def _font(family: str, size: int, is_bold: bool = False) -> ImageFont.FreeTypeFont:
    # The basic engine is in every build of Pillow; raqm is not, and sets text otherwise.
    path = _folder() / _FAMILIES[family][is_bold]
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@functools.lru_cache(maxsize=64)
def _x_height(family: str, size: int) -> int:
    _, top, _, bottom = _font(family, size).getbbox("x")
    return round(bottom - top)


@functools.cache
def _codes(family: str) -> frozenset[int]:
    """The characters that a family has, in its upright and its bold font."""
    fonts = [ft2font.FT2Font(str(_folder() / name)) for name in _FAMILIES[family]]
    return frozenset.intersection(*(frozenset(font.get_charmap()) for font in fonts))


def _folder() -> Path:
    # Not `font_manager.findfont`, which may find another version that the system has.
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"
