# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers with units: from the text of an answer container to a quantity, and comparison."""

import math
import re
from typing import NamedTuple

from lingshu_jax.common import answers_text

RELATIVE_TOLERANCE = 1e-2  # for reals; integers are exact

# Names of a unit -> (dimension, factor to the first unit of that dimension). A name may end in s.
_NAMES: dict[str, tuple[str, float]] = {
    "mm, millimeter, millimetre, 毫米": ("length", 1.0),
    "cm, centimeter, centimetre, 厘米, 公分": ("length", 10.0),
    "m, meter, metre, 米": ("length", 1000.0),
    "um, μm, micron, micrometer, micrometre, 微米": ("length", 1e-3),
    "nm, nanometer, nanometre, 纳米": ("length", 1e-6),
    "km, kilometer, kilometre, 公里": ("length", 1e6),
    "inch, inche": ("length", 25.4),
    "ft, foot, feet": ("length", 304.8),
    "mg, milligram, 毫克": ("mass", 1.0),
    "g, gram, 克": ("mass", 1000.0),
    "kg, kilogram, 公斤, 千克": ("mass", 1e6),
    "ug, μg, mcg, microgram, 微克": ("mass", 1e-3),
    "ml, milliliter, millilitre, cc, 毫升": ("volume", 1.0),
    "l, liter, litre, 升": ("volume", 1000.0),
    "dl, deciliter, decilitre": ("volume", 100.0),
    "ms, millisecond, 毫秒": ("time", 1.0),
    "s, sec, second, 秒": ("time", 1000.0),
    "min, minute, 分钟": ("time", 6e4),
    "h, hr, hour, 小时": ("time", 3.6e6),
    "day, 天": ("days", 1.0),
    "week, 周": ("days", 7.0),
    "month, 个月": ("months", 1.0),
    "year, yr, 年, 岁": ("months", 12.0),
    "%, percent": ("share", 0.01),
    "hu": ("attenuation", 1.0),
    "mmhg, mm hg": ("pressure", 1.0),
    "bpm, beats per minute, beats/min": ("rate", 1.0),
    "°, degree, 度": ("angle", 1.0),
}
UNITS = {name: scale for names, scale in _NAMES.items() for name in names.split(", ")}
_UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_GAP = r"[\s*_`(]*-?[\s*_`(]*"  # between a number and its unit: markdown, a bracket, a hyphen
# Behind a unit nothing goes on: neither a word nor an exponent (cm2) nor a quotient (mg/l).
_UNIT_BEHIND = re.compile(
    rf"{_GAP}({_UNIT})s?(?![a-z0-9]|\^\s*\d|\s*/\s*[a-z]|\s+per(?![a-z]))", re.IGNORECASE
)
_OTHER_BEHIND = re.compile(
    r"[\s*_`(-]*(?P<word>in(?=\W*$)|(?!(?:and|are|as|at|by|cases?|each|for|from|in|is|it|of|on|or"
    r"|per|seen|that|the|to|total|was|were|which|with)(?![a-z]))[a-z]+)"
    r"(?P<more>\^?\s*-?\d+(?![.\d])|\s*/\s*[a-z]+\d?)?",
    re.IGNORECASE,
)
_OTHER = "?"  # stands before a unit that the table does not know

# A comma is decimal where it cannot be a thousands one: 2,5 or 0,125; not 1,234 or 1,2,3.
_WHOLE = r"[1-9]\d{0,2}(?:(?:,\d{3})+|(?: \d{3})+)(?!\d)"
_COMMA = r"0,\d+(?![\d,])|\d+,\d{1,2}(?![\d,])"
_DIGITS = rf"(?:{_WHOLE}|{_COMMA}|\d+)(?:\.\d+)?|\.\d+"
_POWER = r"(?:[eE](?P<exponent>[-+]?\d+)|\s*[x×*]\s*10\^?\{?(?P<power>[-+]?\d+)\}?)?"
_NUMBER = re.compile(
    r"(?<![A-Za-z\d.])(?<![A-Za-z\d]_)(?<![A-Za-z]-)(?P<sign>(?<![^\W_])(?<![)\]])[-+])?"
    rf"(?:(?P<whole>\d+)\s+(?P<part>\d+)/(?P<of>\d+)|(?P<top>{_DIGITS})\s*/\s*(?P<bottom>{_DIGITS})"
    rf"|(?P<plain>{_DIGITS}){_POWER})"
)
_RANGE_WORDS = re.compile(r"\s*(?:-|~|to|至|到)\s*")

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ENGLISH = {word: value for value, word in enumerate(_ONES)}
_ENGLISH |= {word: 10 * value for value, word in enumerate(_TENS, 2)}
_ENGLISH |= {
    f"{tens}-{ones}": _ENGLISH[tens] + _ENGLISH[ones] for tens in _TENS for ones in _ONES[1:10]
}
_HAN_DIGITS = {**dict(zip("零一二三四五六七八九", range(10), strict=True)), "〇": 0, "两": 2}
_MEASURE = "个只块处枚张根条颗片段节支例次层种位侧对名人毫厘公微克升米秒天周年岁度分小"
_ENGLISH_WORD = re.compile(rf"(?<![a-z-])({'|'.join(_ENGLISH)})(?![a-z-])", re.IGNORECASE)
_HAN_NUMBER = "[二两三四五六七八九]?十[一二三四五六七八九]?|[零〇一二两三四五六七八九]{1,9}"
_HAN_WORD = re.compile(rf"(?<![零〇一二两三四五六七八九十])({_HAN_NUMBER})(?=[{_MEASURE}])")
_HAN_WHOLE = re.compile(_HAN_NUMBER)


class Quantity(NamedTuple):
    """A number or, with `high` above `low`, an interval.

    `unit` is a key of UNITS, "" where nothing stands behind the number, or "?" and the word that
    does, such as "?lesion" or "?cm2".
    """

    low: float
    high: float
    unit: str


def extract(text: str) -> answers_text.Extraction:
    """The one number in `text`: `ok` with its value, `ambiguous`, `refusal` or `unparsed`.

    Digits come first; words ("two", "两个") count only where there are none. A unit does not
    change the value; one quantity in two units, as 5 mm (0.5 cm), is one number.
    """
    found = quantities(text)
    if not found:
        return answers_text.refusal_or_unparsed(text)
    if not all(_is_same(quantity, found[0]) for quantity in found):
        return answers_text.Extraction("ambiguous")
    return answers_text.Extraction("ok", found[0].low)


def quantities(text: str) -> list[Quantity]:
    """Every number of a normalised text with the unit behind it, in order."""
    found = []
    for match in _NUMBER.finditer(text):
        value = _value(match)
        if value is not None:
            found.append(Quantity(value, value, _unit(text, match.end())))
    return found or spelled(text)


def is_whole(text: str) -> bool:
    """True if a normalised text is one number, or one range, with its unit and nothing else."""
    match = _NUMBER.match(text) or _ENGLISH_WORD.match(text) or _HAN_WORD.match(text)
    if _HAN_WHOLE.fullmatch(text.rstrip(_MEASURE)):
        return True
    if match is None:
        return False
    if (
        match.re is _NUMBER
        and match["bottom"]
        and min(map(_float, match.group("top", "bottom"))) >= 10
    ):
        return False  # 120/80 is a blood pressure
    if interval(text) is not None:
        match = list(_NUMBER.finditer(text))[-1]
    unit = _UNIT_BEHIND.match(text, match.end())
    return not text[unit.end() if unit else match.end() :].strip(answers_text.WRAPPERS)


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
    if not _are_comparable(found.unit, gold.unit):
        return False
    if found.unit in UNITS and gold.unit in UNITS:
        (dimension, factor), (wanted, unit) = UNITS[found.unit], UNITS[gold.unit]
        if dimension != wanted:
            return False
        scales = {factor / unit}
    elif "share" in {UNITS[x][0] for x in (found.unit, gold.unit) if x in UNITS}:
        scales = {1.0, 0.01 if found.unit in UNITS else 100.0}
    return any(
        _is_close(found.low * scale, gold.low, tolerance)
        and _is_close(found.high * scale, gold.high, tolerance)
        for scale in scales
    )


def _is_same(quantity: Quantity, first: Quantity) -> bool:
    """True if two numbers of one answer are equal as they stand or by their units."""
    if quantity.low == first.low:
        return True
    both_known = quantity.unit in UNITS and first.unit in UNITS
    return both_known and is_equal(quantity, first, tolerance=1e-9)


def _are_comparable(found: str, gold: str) -> bool:
    """False for 5 inches against 5 mm, or cm2 against cm; words that count nothing are free."""
    if not found or not gold or (found in UNITS and gold in UNITS):
        return True
    if found in UNITS or gold in UNITS:
        return False
    return found == gold or (found[1:].isalpha() and gold[1:].isalpha())


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
        value = float(f"{_plain(match['plain'])}e{exponent}")
    return sign * value if math.isfinite(value) else None


def _float(digits: str) -> float:
    return float(_plain(digits))


def _plain(digits: str) -> str:
    """Digits with a point, and without commas: 2,5 is 2.5 and 1,234 is 1234."""
    whole, comma, rest = digits.partition(",")
    is_decimal = bool(comma) and rest.isdigit() and (len(rest) < 3 or whole == "0")
    return digits.replace(",", "." if is_decimal else "").replace(" ", "")


def _unit(text: str, position: int) -> str:
    """The unit that begins at `position`; see `Quantity`."""
    match = _UNIT_BEHIND.match(text, position)
    if match is not None:
        return match.group(1).lower()
    other = _OTHER_BEHIND.match(text, position)
    if other is None:
        return ""
    return _OTHER + "".join(f"{other['word']}{other['more'] or ''}".lower().split())


def spelled(text: str) -> list[Quantity]:
    """Numbers written as English or Chinese words, with their units.

    Args:
      text: Normalised.
    """
    found = [(float(_ENGLISH[m[1].lower()]), m.end()) for m in _ENGLISH_WORD.finditer(text)]
    whole = text.strip(answers_text.WRAPPERS)
    if _HAN_WHOLE.fullmatch(whole):
        return [Quantity(_han_value(whole), _han_value(whole), "")]
    found += [(_han_value(m[1]), m.end()) for m in _HAN_WORD.finditer(text)]
    return [Quantity(value, value, _unit(text, end)) for value, end in found]


def _han_value(word: str) -> float:
    """三 is 3, 十二 is 12, 二十三 is 23, 二〇 is 20."""
    if "十" in word:
        tens, _, ones = word.partition("十")
        return 10.0 * (_han_value(tens) if tens else 1.0) + (_han_value(ones) if ones else 0.0)
    return float("".join(str(_HAN_DIGITS[character]) for character in word))
