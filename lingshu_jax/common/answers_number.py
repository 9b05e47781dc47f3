# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers with units: from the text of an answer container to a quantity, and comparison."""

import math
import re
from typing import NamedTuple

from lingshu_jax.common import answers_text

RELATIVE_TOLERANCE = 1e-2  # for reals; integers are exact

# Unit -> (dimension, factor to the first unit of that dimension).
UNITS: dict[str, tuple[str, float]] = {
    "mm": ("length", 1.0),
    "millimeter": ("length", 1.0),
    "millimetre": ("length", 1.0),
    "毫米": ("length", 1.0),
    "cm": ("length", 10.0),
    "centimeter": ("length", 10.0),
    "centimetre": ("length", 10.0),
    "厘米": ("length", 10.0),
    "m": ("length", 1000.0),
    "um": ("length", 1e-3),
    "μm": ("length", 1e-3),
    "mg": ("mass", 1.0),
    "g": ("mass", 1000.0),
    "kg": ("mass", 1e6),
    "ml": ("volume", 1.0),
    "l": ("volume", 1000.0),
    "ms": ("time", 1.0),
    "s": ("time", 1000.0),
    "%": ("share", 0.01),
    "percent": ("share", 0.01),
}
_UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_UNIT_BEHIND = re.compile(rf"\s*({_UNIT})s?(?![a-z0-9])", re.IGNORECASE)

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(
    r"(?<![A-Za-z_\d.])(?<![A-Za-z]-)(?P<sign>(?<![\w)\]])[-+])?"
    rf"(?:(?P<whole>\d+)\s+(?P<part>\d+)/(?P<of>\d+)|(?P<top>{_DIGITS})\s*/\s*(?P<bottom>{_DIGITS})"
    rf"|(?P<plain>{_DIGITS})(?:[eE](?P<exponent>[-+]?\d+)|\s*[x×*]\s*10\^?(?P<power>[-+]?\d+))?)"
)
_RANGE_WORDS = re.compile(r"\s*(?:-|~|to|至|到)\s*")

_ENGLISH = dict(
    zip(
        "zero one two three four five six seven eight nine ten eleven twelve".split(),
        range(13),
        strict=True,
    )
)
_HAN_DIGITS = {**dict(zip("零一二三四五六七八九", range(10), strict=True)), "〇": 0, "两": 2}
_MEASURE = "个只块处枚张根条颗片段节支例次层种位侧对名人毫厘"
_ENGLISH_WORD = re.compile(rf"(?<![a-z-])({'|'.join(_ENGLISH)})(?![a-z-])", re.IGNORECASE)
_HAN_NUMBER = "[二两三四五六七八九]?十[一二三四五六七八九]?|[零〇一二两三四五六七八九]{1,9}"
_HAN_WORD = re.compile(rf"(?<![零〇一二两三四五六七八九十])({_HAN_NUMBER})(?=[{_MEASURE}])")
_HAN_WHOLE = re.compile(_HAN_NUMBER)


class Quantity(NamedTuple):
    """A number or, with `high` above `low`, an interval; `unit` is a key of UNITS or ""."""

    low: float
    high: float
    unit: str


def extract(text: str) -> answers_text.Extraction:
    """The one number in `text`: `ok` with its value, `ambiguous`, `refusal` or `unparsed`.

    Digits come first; words ("two", "两个") count only where there are none. A unit does not
    change the value.
    """
    values = {quantity.low for quantity in quantities(text)}
    if not values:
        return answers_text.refusal_or_unparsed(text)
    if len(values) > 1:
        return answers_text.Extraction("ambiguous")
    return answers_text.Extraction("ok", values.pop())


def quantities(text: str) -> list[Quantity]:
    """Every number of a normalised text with the unit behind it, in order."""
    found = []
    for match in _NUMBER.finditer(text):
        value = _value(match)
        if value is not None:
            found.append(Quantity(value, value, _unit(text, match.end())))
    return found or [Quantity(value, value, "") for value in _spelled(text)]


def interval(text: str) -> Quantity | None:
    """The range that `text` consists of, such as "2-3 cm"; None if it is none."""
    first = _NUMBER.match(text)
    if first is None:
        return None
    unit = _UNIT_BEHIND.match(text, first.end())
    middle = _RANGE_WORDS.match(text, unit.end() if unit else first.end())
    second = _NUMBER.match(text, middle.end()) if middle else None
    if second is None:
        return None
    low, high = _value(first), _value(second)
    if low is None or high is None or low > high:
        return None
    return Quantity(low, high, _unit(text, second.end()) or _unit(text, first.end()))


def is_equal(found: Quantity, gold: Quantity, *, tolerance: float | None = None) -> bool:
    """Compares two quantities, converting units of one dimension.

    Args:
      found: The answer. Without a unit it is read in the gold's.
      gold: The truth.
      tolerance: Relative; None is exact for integers and RELATIVE_TOLERANCE for reals.

    Returns:
      False for units of different dimensions. A share may stand as 0.5 or 50 %.
    """
    scales = {1.0}
    if found.unit and gold.unit:
        (dimension, factor), (wanted, unit) = UNITS[found.unit], UNITS[gold.unit]
        if dimension != wanted:
            return False
        scales = {factor / unit}
    elif "share" in {UNITS[x][0] for x in (found.unit, gold.unit) if x}:
        scales = {1.0, 0.01 if found.unit else 100.0}
    return any(
        _is_close(found.low * scale, gold.low, tolerance)
        and _is_close(found.high * scale, gold.high, tolerance)
        for scale in scales
    )


def _is_close(value: float, gold: float, tolerance: float | None) -> bool:
    if tolerance is None:
        tolerance = 1e-9 if float(gold).is_integer() else RELATIVE_TOLERANCE
    return math.isclose(value, gold, rel_tol=tolerance, abs_tol=1e-9)


def _value(match: re.Match[str]) -> float | None:
    """The value of a match; None for a division by zero or a number beyond float."""
    sign = -1.0 if match["sign"] == "-" else 1.0
    if match["of"] or match["bottom"]:
        top, bottom = match["part"] or match["top"], match["of"] or match["bottom"]
        if _float(bottom) == 0:
            return None
        value = float(match["whole"] or 0) + _float(top) / _float(bottom)
    else:
        exponent = match["exponent"] or match["power"] or "0"
        value = _float(f"{match['plain']}e{exponent}")
    return sign * value if math.isfinite(value) else None


def _float(digits: str) -> float:
    return float(digits.replace(",", ""))


def _unit(text: str, position: int) -> str:
    """The unit that begins at `position`, or ""."""
    match = _UNIT_BEHIND.match(text, position)
    return match.group(1).lower() if match else ""


def _spelled(text: str) -> list[float]:
    """Numbers written as English or Chinese words."""
    words = [float(_ENGLISH[word.lower()]) for word in _ENGLISH_WORD.findall(text)]
    whole = text.strip(answers_text.WRAPPERS)
    if _HAN_WHOLE.fullmatch(whole):
        return [*words, _han_value(whole)]
    return words + [_han_value(word) for word in _HAN_WORD.findall(text)]


def _han_value(word: str) -> float:
    """三 is 3, 十二 is 12, 二十三 is 23, 二〇 is 20."""
    if "十" in word:
        tens, _, ones = word.partition("十")
        return 10.0 * (_han_value(tens) if tens else 1.0) + (_han_value(ones) if ones else 0.0)
    return float("".join(str(_HAN_DIGITS[character]) for character in word))
