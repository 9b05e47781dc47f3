# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Findings and impression of a report, by its headings, and what is odd about a report.

A heading is a known name with a colon at the beginning of a line or a sentence, or in the middle of
one with a capital, or a name alone in its line; in English or Chinese, with or without Markdown.
Where a name stands twice, the last one counts. A section ends at the next heading.
"""

import re
from typing import Literal, NamedTuple

from lingshu_jax.common import answers_open, answers_text

FLAGS = {
    "empty": "no text",
    "truncated": "cut off at the token limit",
    "repetition": "the same words over and over",
    "language": "in another language than the reference",
    "priors": "speaks of earlier studies although none was shown",
    "no_findings": "no heading for findings: the whole text counts as findings",
    "no_impression": "no heading for an impression",
}
Name = Literal["findings", "impression", "other"]
_NAMES: dict[Name, str] = {
    "findings": r"findings?(?:\ and\ |\ ?[/&]\ ?)impressions?"
    r"|(?:radiograph(?:ic|y)\ |imaging\ |key\ )?findings?"
    r"|(?:影像学?|检查|胸片|超声)?(?:所见|表现)|影像学?描述",
    "impression": r"(?:clinical\ |radiolog(?:ic|ical|y)\ |overall\ |final\ )?(?:impressions?"
    r"|conclusions?)|(?:诊断|影像)?印象|(?:影像学?|诊断)(?:诊断|意见|结论|提示)|诊断|结论|意见",
    "other": r"recommendations?|techniques?|comparisons?|indications?|(?:clinical\ )?history"
    r"|exam(?:ination)?|procedure|建议|检查方法|检查技术|临床资料|病史|对比",
}
_ALL = "|".join(f"(?P<{name}>{names})" for name, names in _NAMES.items())
_MARKS = r"[*_#>\s【\[-]*(?:\d+[.)、][\ \t]*)?[*_]*"
_COLON = re.compile(
    rf"""
    (?:(?:\A|\n|(?<=[.!?;:。！？；]))[\ \t]*{_MARKS}  # a new line or sentence
      |(?<=\s)(?=[*_]*[A-Z\u4e00-\u9fff【])[*_【]*)  # or a capital
    (?i:{_ALL})
    (?:[*_\ \t】\]]*[:：][*_]*|】)
    """,
    re.VERBOSE,
)
_ALONE = re.compile(rf"^[\ \t]*{_MARKS}(?i:{_ALL})[*_#\ \t\]]*$", re.VERBOSE | re.MULTILINE)
_HAN, _LATIN = re.compile(r"[\u3400-\u9fff]"), re.compile(r"[A-Za-z]")
_HAN_SHARE = 0.3  # of the letters, from which on a text is Chinese
_LONGEST_LOOP, _LEAST_TURNS, _LEAST_LOOPED = 40, 4, 16  # tokens, times in a row, tokens
_NOUN = (
    r"(?:stud(?:y|ies)|exam(?:ination)?s?|radiographs?|films?|images?|imaging|x-?rays?|scans?|cts?)"
)
_PRIOR = re.compile(
    rf"""
    \b(?:compar(?:ed|ison)(?:\ (?:is|was)\ made)?\ (?:to|with)\ (?:the\ )?
        (?:prior|previous|earlier|last|most\ recent|stud|exam|radiograph|film|x-?ray|ct\b|\d)
    |(?:prior|previous)\ (?:\w+\ ){{0,2}}{_NOUN}\b
    |(?:unchanged|worsen(?:ed|ing)|improv(?:ed|ement|ing)|increased|decreased|new|stable)
        \ (?:from|since|(?:as\ )?compared|in\ comparison|in\ the\ interval)\b
    |(?:since|from|to|than)\ (?:the\ )?(?:prior|previous|last\ stud|last\ exam)
    |interval\ (?:change|increase|decrease|development|improvement|worsening|resolution|removal
        |placement)s?\b)
    |较(?:之?前|旧|上次)|与(?:前|旧|上次|既往)\S{{0,6}}(?:比|对照)|(?:对比|对照|比较)(?:前|旧|上次|既往)
    |(?:前|旧)片
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NO_PRIOR = re.compile(
    r"\bno\s+(?:prior|previous|comparison)\b[^.]*|无(?:既往|前|旧)片\S*", re.IGNORECASE
)
_SHOWN = re.compile(
    r"\b(?:prior|previous|earlier|comparison)\b|前片|既往|旧片|前次|上次", re.IGNORECASE
)


class Sections(NamedTuple):
    """The parts of a report; "" where one is missing or holds nothing.

    Attributes:
      findings: The whole text where there is no heading for them.
      impression: What follows its heading.
      missing: Of the two, those without a heading.
    """

    findings: str
    impression: str
    missing: tuple[str, ...]


def visible(response: str) -> str:
    """A report as its reader sees it: without reasoning and answer tags, as written elsewise.

    Args:
      response: What the model said; reasoning that never ends leaves nothing.
    """
    text = answers_text.strip_reasoning(response)
    if text is None or not text.strip():
        return ""
    if text != response:
        text = text.strip()
    if "<" not in text:
        return text
    container = answers_text.find_container(text)
    return container.text if container.kind == "tag" else text


def sections(text: str) -> Sections:
    """Splits a report.

    Args:
      text: The report.
    """
    found = sorted(
        {match.end(): match for rule in (_COLON, _ALONE) for match in rule.finditer(text)}.values(),
        key=lambda match: match.start(),
    )
    parts: dict[str, str] = {}
    for place, match in enumerate(found):
        end = found[place + 1].start() if place + 1 < len(found) else len(text)
        parts[str(match.lastgroup)] = text[match.end() : end].strip(" \t\r\n*_#")
    missing = tuple(name for name in ("findings", "impression") if name not in parts)
    return Sections(parts.get("findings", text.strip()), parts.get("impression", ""), missing)


def flags(text: str, *, truth: str, prompt: str, finish_reason: str) -> list[str]:
    """What is odd about a report, keys of FLAGS.

    Args:
      text: The report.
      truth: Its reference.
      prompt: What was asked; if it speaks of earlier studies, so may the report.
      finish_reason: "length" where the model was cut off.
    """
    missing = sections(text).missing if text.strip() else ()
    found = {
        "empty": not text.strip(),
        "truncated": finish_reason == "length",
        "repetition": is_loop(answers_open.tokens(text)),
        "language": bool(text.strip() and truth.strip()) and is_han(text) != is_han(truth),
        "priors": speaks_of_priors(text) and not _SHOWN.search(prompt),
        "no_findings": "findings" in missing,
        "no_impression": "impression" in missing,
    }
    return [name for name in FLAGS if found[name]]


def is_loop(words: list[str]) -> bool:
    """Whether some words come again and again without a break.

    Args:
      words: Tokens; a run of up to 40 that stands four times in a row, 16 tokens in all, is a loop.
    """
    for period in range(1, _LONGEST_LOOP + 1):
        needed = max(_LEAST_TURNS * period, _LEAST_LOOPED) - period
        run = 0
        for place in range(period, len(words)):
            run = run + 1 if words[place] == words[place - period] else 0
            if run >= needed:
                return True
    return False


def is_han(text: str) -> bool:
    """Whether a report is Chinese by its letters, headings apart.

    Args:
      text: The report.
    """
    found = sections(text)
    body = found.findings + found.impression
    han, latin = len(_HAN.findall(body)), len(_LATIN.findall(body))
    return han > _HAN_SHARE * (han + latin)


def speaks_of_priors(text: str) -> bool:
    """Whether a report compares with earlier studies; that there are none is no comparison.

    Args:
      text: The report.
    """
    return _PRIOR.search(_NO_PRIOR.sub(" ", text)) is not None
