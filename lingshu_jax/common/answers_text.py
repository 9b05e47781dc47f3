# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Text under every answer rule: normal form, reasoning, answer containers, refusals.

A response goes through four steps before any rule of a question type sees it: `normalise`
(one form for each character), `strip_reasoning` (what the model thought is no answer),
`find_container` (where the answer stands) and, inside it, `plain` (markup that means
nothing). All functions are pure and use the standard library only.
"""

import re
import unicodedata
from typing import Literal, NamedTuple, get_args

Status = Literal[
    "ok",
    "empty",
    "truncated",
    "refusal",
    "unparsed",
    "invalid",
    "multi",
    "conflict",
    "ambiguous",
]
STATUSES: tuple[Status, ...] = get_args(Status)
REFUSAL_VERSION = 1  # of REFUSALS; raised with every change of the list

# Characters that may stand around an answer and mean nothing.
WRAPPERS = " \t\r\n*_`()[]{}$\"'.,:;!?。、"

_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u2033\u00ab\u00bb\u300c\u300d", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\ufe63\u2212", "-"),
        **dict.fromkeys([*range(0x200B, 0x2010), 0x2060, 0xFEFF, 0x00AD], ""),
        **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], ""),
        "\u2044": "/",
    }
)
_MIXED_FRACTION = re.compile(r"(?<=\d)(?=[\u00bc-\u00be\u2150-\u215e])")

_REASONING = "think|thinking|thought|reasoning"
_REASONING_PAIR = re.compile(rf"<\s*({_REASONING})\s*>.*?<\s*/\s*\1\s*>", re.IGNORECASE | re.DOTALL)
_REASONING_OPEN = re.compile(rf"<\s*(?:{_REASONING})\s*>", re.IGNORECASE)
_REASONING_CLOSE = re.compile(rf"<\s*/\s*(?:{_REASONING})\s*>", re.IGNORECASE)

_ANSWER_PAIR = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.IGNORECASE | re.DOTALL)
_BOX = re.compile(r"\\boxed\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped character is no brace
_MARKS = r"[*_`~\s]*"  # markdown around a marker or its separator
# Lines that open or close a block of code, with the kind of text that it holds.
_FENCE = re.compile(
    r"^[ \t]*(?:```|~~~)(?:text|txt|plaintext|json|markdown|md|latex|html|answer)?[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_END_TOKEN = re.compile(r"(?:<\|[a-z_]{0,20}(?:end|eot|eos)[a-z_]{0,20}\|>|</s>)\Z")
_LONGEST_END = 48  # characters of such a token
_LEAD = re.compile(r"^(?:[-*+>#•]+\s+)+(?=\D)")  # a list bullet, a quote mark, a heading
_MARKER = re.compile(
    rf"(?<![a-z])final[*_`~\s]+answer(?![a-z]){_MARKS}(?:is(?![a-z]))?{_MARKS}[:=]?"
    # Also as the key of a JSON object, answer or answer_choice.
    rf"|(?<![a-z])answer(?:_choice)?[\"']?{_MARKS}(?:is(?![a-z]){_MARKS}:?|:)"
    rf"|(?<![a-z])(?:correct|best)[*_`~\s]+(?:answer|option|choice)[*_`~\s]+is(?![a-z]){_MARKS}:?"
    rf"|答案{_MARKS}(?:是|为|:){_MARKS}:?"
    r"|^[#*_ \t]*(?:correct answer|answer|(?:正确|最终)?答案)[*_ \t]*$"  # a heading
    rf"|选(?!项)择?{_MARKS}:?",
    re.IGNORECASE | re.MULTILINE,
)

_LATEX_DEPTH = 4  # styles inside styles
_LATEX_STYLE = re.compile(
    r"\\(?:text(?:bf|it|rm|tt|sf|normal)?|math(?:rm|bf|it|sf|tt|cal)|operatorname|boldsymbol|bm"
    r"|emph)\s*\{([^{}]*)\}"
)
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
# Signs of LaTeX that mean something.
_LATEX_SIGNS = {
    **{r"\times": "x", r"\pm": "±", r"\approx": "≈", r"\sim": "~"},
    **{r"\leq": "≤", r"\le": "≤", r"\geq": "≥", r"\ge": "≥", r"\degree": "°", r"\mu": "μ"},
}
_LATEX_SIGN = re.compile("|".join(rf"{re.escape(sign)}(?![a-zA-Z])" for sign in _LATEX_SIGNS))
_LATEX_NOISE = re.compile(r"\\(?:[()\[\],;!%$ ]|left\b|right\b)")
_HTML_BREAK = re.compile(r"</?(?:br|p|div)\b[^<>]*>", re.IGNORECASE)
_HTML_STYLE = re.compile(r"</?(?:b|i|u|em|strong|span|code|mark|font)\b[^<>]*>", re.IGNORECASE)

# Apology or inability. Hedges ("unknown", "not sure", "maybe") are no refusals.
_CANNOT = r"(?:can't|cannot|can not|couldn't|could not)"
_VERBS = "help|assist|provide|determine|answer|diagnose|assess|evaluate|identify|interpret"
REFUSALS: tuple[str, ...] = (
    r"\bsorry\b",
    r"\bapologi[sz]e\b",
    r"\bmy apologies\b",
    rf"\b{_CANNOT} (?:\w+ )?(?:help|assist|provide|determine|answer)\b",
    rf"\b(?:i|we) {_CANNOT} (?:\w+ )?(?:{_VERBS}|see|view|tell|say|make|give|comment)\b",
    rf"\b{_CANNOT} be (?:\w+ )?(?:determined|answered|assessed|identified|provided|evaluated)\b",
    rf"\b(?:unable|not able) to (?:\w+ )?(?:{_VERBS}|see|view|tell|say|make|give|comment)\b",
    r"\b(?:impossible|not possible) to (?:determine|answer|tell|say|assess)\b",
    r"\bas an? (?:ai|artificial intelligence|language model)\b",
    "无法(?:判断|确定|回答|提供|识别|查看)",
    "不能(?:判断|确定|回答)",
    "抱歉",
)
_REFUSAL = re.compile("|".join(REFUSALS))
# Each pattern holds one of these: most texts need no search.
_REFUSAL_HINTS = (
    *("sorry", "apolog", "can't", "cannot", "can not", "could", "able to", "possible to"),
    *("as a", "无法", "不能", "抱歉"),
)


class Extraction(NamedTuple):
    """What strict extraction made of a response.

    `value` belongs to the status: the answer (`ok`), the letter (`invalid`, `conflict`), the
    sorted letters (`multi`), otherwise None.
    """

    status: Status
    value: str | float | None = None


class Container(NamedTuple):
    """The part of a response that holds the answer, and how it was found."""

    text: str
    kind: Literal["tag", "box", "line", "whole"]


def normalise(text: str | None) -> str:
    """Gives one form to characters that mean the same; case and layout stay.

    Full-width forms become ASCII, quotes and dashes their plain ones, and characters without
    width go. None, as some servers return, is the empty string.
    """
    if text is None:
        return ""
    if text.isascii():
        return text
    text = _MIXED_FRACTION.sub(" ", text)  # 2 and a half must not become 21/2
    return unicodedata.normalize("NFKC", text.translate(_TYPOGRAPHY)).translate(_TYPOGRAPHY)


def canonical(text: str) -> str:
    """Lower case, single blanks, nothing around it: the form in which texts are compared."""
    return " ".join(normalise(text).lower().split()).strip(WRAPPERS)


def strip_reasoning(text: str) -> str | None:
    """Removes what the model thought; None when a thought was opened and never closed.

    Pairs go with their content. A closing tag alone ends a thought that the prompt had
    opened, so only what follows the last one counts.
    """
    if "<" not in text:
        return text
    if _REASONING_CLOSE.search(text) is None:
        return None if _REASONING_OPEN.search(text) else text
    text = _REASONING_PAIR.sub(" ", text)
    if _REASONING_OPEN.search(text):
        return None
    return _REASONING_CLOSE.split(text)[-1]


def without_frame(text: str) -> str:
    """Removes what a page or a server puts around a text: lines of code fences, end tokens."""
    if "<" in text:
        text = text.rstrip()
        while match := _END_TOKEN.search(text, max(0, len(text) - _LONGEST_END)):
            text = text[: match.start()].rstrip()
    return _FENCE.sub("", text) if "```" in text or "~~~" in text else text


def without_lead(text: str) -> str:
    """Strips the text and removes a bullet, quote mark or heading in front, unless of a number."""
    return _LEAD.sub("", text.strip())


def last_box(text: str) -> str | None:
    r"""The content of the last balanced, non-empty `\boxed{}`, or None."""
    boxes = list(_BOX.finditer(text))
    ends = _closing_braces(text) if boxes else {}
    for match in reversed(boxes):
        content = text[match.end() : ends.get(match.end() - 1, match.end())].strip()
        if content:
            return content
    return None


def find_container(text: str) -> Container:
    r"""Finds where the answer stands: `<answer>`, `\boxed{}`, the line after a marker, all.

    The last one of a kind counts. A box inside `<answer>` wins over the text around it.

    Args:
      text: A normalised response without its reasoning, not blank.
    """
    if "<" in text:
        tagged = [m.strip() for m in _ANSWER_PAIR.findall(text) if m.strip()]
        if tagged:
            return Container(plain(last_box(tagged[-1]) or tagged[-1]), "tag")
    if (boxed := last_box(text)) is not None:
        return Container(plain(boxed), "box")
    for match in reversed(list(_MARKER.finditer(text)) if _may_have_marker(text) else []):
        behind = text[match.end() :].lstrip(" \t\r\n*_`~:").split("\n", 1)[0]
        if behind.strip(WRAPPERS):
            return Container(plain(behind), "line")
    return Container(plain(text), "whole")


def _may_have_marker(text: str) -> bool:
    """False where `_MARKER` has nothing to find; it takes longer to say so."""
    lowered = text.lower()
    if "answer" in lowered or "答案" in text or "选" in text:
        return True
    is_praised = "correct" in lowered or "best" in lowered
    return is_praised and ("option" in lowered or "choice" in lowered)


def plain(text: str) -> str:
    """Removes LaTeX and HTML that only style the text."""
    if "\\" in text:
        for _ in range(_LATEX_DEPTH):
            text = _LATEX_STYLE.sub(r"\1", text)
        text = _LATEX_SIGN.sub(lambda match: _LATEX_SIGNS[match[0]], text)
        text = _LATEX_NOISE.sub(" ", _LATEX_FRACTION.sub(r"\1/\2", text.replace("\\%", "%")))
    if "<" in text:
        text = _HTML_STYLE.sub("", _HTML_BREAK.sub("\n", text))
    return text.replace("$", "").strip()


def is_refusal(text: str) -> bool:
    """True if a normalised text apologises or says that it cannot answer."""
    lowered = text.lower().replace("_", " ")  # underscores around a word are form
    return any(hint in lowered for hint in _REFUSAL_HINTS) and bool(_REFUSAL.search(lowered))


def refusal_or_unparsed(text: str) -> Extraction:
    """The last rule of every question type."""
    return Extraction("refusal" if is_refusal(text) else "unparsed")


def _closing_braces(text: str) -> dict[int, int]:
    """The place of each opening brace that is closed, and where; escaped braces are text."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for match in _BRACE.finditer(text):
        if match.group() == "{":
            opened.append(match.start())
        elif match.group() == "}" and opened:
            ends[opened.pop()] = match.start()
    return ends
