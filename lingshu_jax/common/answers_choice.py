# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Multiple choice: from the text of an answer container to a letter.

The rules are tried in order and the first that applies decides. Nothing is guessed: no
similarity, no default letter. Letters are positions in `options`, A first.
"""

import functools
import re
import string
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lingshu_jax.common import answers_polarity, answers_text

MAX_OPTIONS = 10  # letters beyond are no answers in running text, unless there are more options

_SEPARATORS = re.compile(
    r"(?:[\s*_`()\[\]{}$\"'.,:;!?。、/&+|，]|\band\b|\bor\b|和|与|或|及|以及)+", re.IGNORECASE
)
_LEADING_LETTER = re.compile(
    r"""^[\s*_`(\[{"']*(?:(?:option|choice|选项|选择?)[\s*_`(\["':]*)?
        (?P<letter>[A-Za-z])(?![A-Za-z0-9])
        (?P<close>[\s*_`)\]}"']*)(?P<delimiter>[.):,、。-]?)(?P<joined>\s*)(?P<rest>.*)$""",
    re.VERBOSE | re.IGNORECASE,
)
_OPTION_LETTER = re.compile(
    r"(?:(?<![a-z])(?:option|choice)[\s*_`(\[\"':#]|选项|选择?)[\s*_`(\[\"':#]*([a-z])(?![a-z0-9+-])",
    re.IGNORECASE,
)
_MARKED_LETTER = re.compile(
    r"(?<![A-Za-z0-9])(?:\(\s*([A-Za-z])\s*\)|\[\s*([A-Za-z])\s*\]"
    r"|(\*\*|__|`)\s*\(?([A-Za-z])[.):]?\s*\3)"
)
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9+-])(?<![A-Za-z0-9]')(?<![A-Za-z]\.)([A-Z])(?![A-Za-z0-9+-]|'[A-Za-z]|\.[A-Z](?![a-z]))"
)
_WORD_AFTER = re.compile(r"\s+(?!(?:and|or|is|because|since)(?![a-z]))[a-z]")
_RUN = re.compile(r"(?<![A-Za-z0-9+-])[A-Z]{2,10}(?![A-Za-z0-9+-])")

_SENTENCE_END = re.compile(r"[.!?;。！？；\n]")
_NEGATION = re.compile(
    r"(?<![a-z])(?:not|no|isn't|rather than|unlikely|excluded?|without)(?![a-z])"
    r"|不是|并非|排除|没有"
)
_TURN = re.compile(
    r"(?<![a-z])(?:but|however|instead|although|though|whereas|is|it's|shows?|suggests?|indicates?)"
    r"(?![a-z])(?! (?:not|no|unlikely|excluded|without)(?![a-z]))|而是|应是|因此"
)
_TEXT_REACH = 40  # characters before an option's text in which a negation counts
_LETTER_REACH = 15  # the same before a letter: "not option B"


_GAP = re.compile(r"\s")
# A text that goes on before or behind is a part of something else: "5" in "2.5", "rib" in "ribs".
_BORDER_BEFORE = re.compile(r"(?:[a-z0-9]|\d[.,])\Z")
_BORDER_BEHIND = re.compile(r"[a-z0-9]|[.,]\d")
_LONG_WORD = re.compile("[a-z]{4}")


class Mention(NamedTuple):
    """Where a text names an option: its place in the lower-case text, and the option's index."""

    start: int
    end: int
    option: int


def extract(text: str, options: Sequence[str]) -> answers_text.Extraction:
    """The one letter that `text` chooses.

    Args:
      text: What stands in the answer container.
      options: Option texts without letters, 2 to 26.

    Returns:
      `ok` with the letter, or `invalid` (a letter out of range), `multi` (several letters and
      nothing else), `conflict` (letter and text disagree), `refusal` or `unparsed`.
    """
    text = answers_text.without_lead(text)
    alone = text.strip(answers_text.WRAPPERS)
    if len(alone) == 1 and alone.isascii() and alone.isalpha():
        return _letter(alone, options)
    if (exact := _exact_text(text, options)) is not None:
        return answers_text.Extraction("ok", exact)
    if (named := _letter_and_text(text, options)) is not None:
        return answers_text.Extraction("ok", named)
    if letters := _only_letters(text, len(options)):
        if len(letters) == 1:
            return _letter(letters, options)
        if letters in text or not _RUN.fullmatch(alone):  # BAD is a word, ABD is a run
            return answers_text.Extraction("multi", letters)
    for rule in (_leading_letter, _named_letter, _letter_token, _contained_text, _foreign_letter):
        if (found := rule(text, options)) is not None:
            return found
    return answers_text.refusal_or_unparsed(text)


def extract_set(text: str, options: Sequence[str]) -> answers_text.Extraction:
    """The set of letters that `text` chooses; the value is the sorted letters.

    Runs such as ABD are letters too, and a list of option texts and nothing else stands for theirs.
    Order and repeats do not matter; no letter is `unparsed`.

    Args:
      text: What stands in the answer container.
      options: Option texts without letters, 2 to 26.
    """
    text = answers_text.without_lead(text)
    limit = max(MAX_OPTIONS, len(options))
    letters = _only_letters(text, limit) or _listed_texts(text, options)
    letters = letters or "".join(_letter_tokens(text, options))
    if not letters:
        letters = "".join(run for run in _RUN.findall(text) if _is_run(run, len(options)))
    letters = "".join(sorted(set(letters)))
    if not letters:
        return answers_text.refusal_or_unparsed(text)
    in_range = all(_index(letter) < len(options) for letter in letters)
    return answers_text.Extraction("ok" if in_range else "invalid", letters)


def jaccard(found: str, gold: str) -> float:
    """How much of two sets of letters is shared: intersection over union, in [0, 1].

    Args:
      found: Letters; none give 0.
      gold: Letters, at least one.
    """
    letters, wanted = set(found), set(gold)
    return len(letters & wanted) / len(letters | wanted)


def same_option(letter: str, other: str, options: Sequence[str]) -> bool:
    """True if two letters name one option, or options of identical text.

    A capital that begins an ordinary word does not count; those of "BB Bb" and "Aa" do.
    """
    if letter == other:
        return True
    texts = [[*map(_uncapitalised, _spelt(options[_index(x)]).split())] for x in (letter, other)]
    return texts[0] == texts[1] != []


def gold_letter(gold: str, options: Sequence[str]) -> str | None:
    """The letter of a gold answer that is a letter or an option's text; None if neither.

    A capital letter is a letter, also where options are themselves letters in another order.
    """
    spelt = _spelt(gold)
    if re.fullmatch("[A-Z]", spelt) and _index(spelt) < len(options):
        return spelt
    for index, option in enumerate(options):
        if _spelt(option) == spelt:
            return string.ascii_uppercase[index]
    wanted = answers_text.canonical(gold)
    for index, option in enumerate(options):
        if _compared(option) == wanted:
            return string.ascii_uppercase[index]
    if len(wanted) == 1 and wanted in string.ascii_lowercase and _index(wanted) < len(options):
        return wanted.upper()
    return None


def without_letters(options: Sequence[str]) -> list[str]:
    """Removes "A. ", "B. ", ... where every option begins with its own letter."""
    matches = [re.match(r"\s*\(?([A-Za-z])\s*[.):、]\s*(.+)$", o, re.DOTALL) for o in options]
    texts = []
    for index, match in enumerate(matches):
        if match is None or _index(match.group(1)) != index:
            return list(options)
        texts.append(match.group(2).strip())
    return texts


@functools.lru_cache(maxsize=4096)
def _spelt(option: str) -> str:
    return " ".join(answers_text.normalise(option).split())


@functools.lru_cache(maxsize=4096)
def _compared(option: str) -> str:
    return answers_text.canonical(option)


def _uncapitalised(word: str) -> str:
    return word.lower() if len(word) > 2 and word[1:].islower() else word


def _index(letter: str) -> int:
    return ord(letter.upper()) - ord("A")


def _letter(letter: str, options: Sequence[str]) -> answers_text.Extraction:
    in_range = _index(letter) < len(options)
    return answers_text.Extraction("ok" if in_range else "invalid", letter.upper())


def _exact_text(text: str, options: Sequence[str]) -> str | None:
    """The first option that `text` spells; None if options of different text do."""
    wanted = answers_text.canonical(text)
    if not wanted:
        return None
    equal = [i for i, option in enumerate(options) if _compared(option) == wanted]
    if len({options[i].strip() for i in equal}) > 1:  # they differ in case: so must the answer
        equal = [i for i in equal if options[i].strip() == text.strip()]
    return string.ascii_uppercase[equal[0]] if equal else None


def _letter_and_text(text: str, options: Sequence[str]) -> str | None:
    """The letter of "C. X" where X is the text of option C, and not another letter."""
    match = _LEADING_LETTER.match(text)
    if match is None or match["delimiter"] not in (".", ")", ":", "") or not _has_delimiter(match):
        return None
    index = _index(match["letter"])
    rest = answers_text.canonical(match["rest"])
    return (
        match["letter"].upper()
        if rest and rest in map(_compared, options[index : index + 1])
        else None
    )


def _only_letters(text: str, num_options: int) -> str:
    """The sorted letters of a text of letters and separators only, else ""."""
    if _LONG_WORD.search(text):  # no letter, no run of letters, and no separator
        return ""
    parts = [part for part in _SEPARATORS.split(text) if part]
    if not all(part.isascii() and part.isalpha() for part in parts):
        return ""
    if len(parts) == 1 and len(parts[0]) > 1:
        return "".join(sorted(set(parts[0]))) if _is_run(parts[0], num_options) else ""
    if all(len(part) == 1 or _is_run(part, num_options) for part in parts):
        return "".join(sorted(set("".join(parts).upper())))
    return ""


def _listed_texts(text: str, options: Sequence[str]) -> str:
    """The letters of a text of option texts and separators only, else ""."""
    spans = sorted(mentions(text, options))
    rest, end = [], 0
    for span in spans:
        rest.append(text[end : span.start])
        end = max(end, span.end)
    if any(part for piece in [*rest, text[end:]] for part in _SEPARATORS.split(piece)):
        return ""
    return "".join(string.ascii_uppercase[span.option] for span in spans)


def _is_run(word: str, num_options: int) -> bool:
    """True for capital letters in range, each once: ABD, not BCC or CAT."""
    distinct = len(set(word)) == len(word)
    return word.isupper() and distinct and all(_index(x) < num_options for x in word)


def _leading_letter(text: str, options: Sequence[str]) -> answers_text.Extraction | None:
    """`B. text`, `**B**) text`, `Option B: text`, `B text` when the text is an option's."""
    line = text.split("\n", 1)[0]
    alone = line.strip(answers_text.WRAPPERS)
    if len(alone) == 1 and alone.isascii() and alone.isalpha():
        return _letter(alone, options)
    match = _LEADING_LETTER.match(line)
    if match is None or _starts_with_option(line, options):
        return None
    letter = match["letter"].upper()
    named = _exact_text(match["rest"], options) or _exact_text(
        _SENTENCE_END.split(match["rest"], maxsplit=1)[0], options
    )
    if not _has_delimiter(match) and (named is None or _is_article(match)):
        return None
    if named is None:
        return _letter(letter, options)
    if _index(letter) >= len(options) or not same_option(letter, named, options):
        return answers_text.Extraction("conflict", letter)
    return answers_text.Extraction("ok", letter)


def _has_delimiter(match: re.Match[str]) -> bool:
    """True if punctuation follows the letter; B-12, e.g. and "a, ..." are words."""
    letter, close, delimiter = match["letter"], match["close"], match["delimiter"]
    if ")" in close or "]" in close:
        return True
    if delimiter == "-":
        return bool(close.strip(" \t") or close or match["joined"])
    if letter.islower() and delimiter == "." and re.match(r"[a-z]\.", match["rest"]):
        return False
    return delimiter != ""


def _is_article(match: re.Match[str]) -> bool:
    """True for "A nodule": an article, not a letter."""
    is_bare = match["delimiter"] == "" and match["close"].strip() == ""
    return is_bare and (match["letter"].islower() or bool(re.match("[a-z]", match["rest"])))


def _starts_with_option(line: str, options: Sequence[str]) -> bool:
    """True if the line begins with an option's own text, such as "C. difficile"."""
    lowered = " ".join(line.lower().split()).lstrip(answers_text.WRAPPERS)
    texts = [_compared(option) for option in options]
    return any(len(text) > 1 and lowered.startswith(text) for text in texts)


def _named_letter(text: str, options: Sequence[str]) -> answers_text.Extraction | None:
    """`option B`, `选项B`, and letters in brackets or bold."""
    found = {}
    for match in _OPTION_LETTER.finditer(text):
        if match[1] != "a" or not _WORD_AFTER.match(text, match.end()):  # "option a patient has"
            found[match[1].upper()] = match
    for match in _MARKED_LETTER.finditer(text):
        letter = (match[1] or match[2] or match[4]).upper()
        if _index(letter) < len(options):
            found[letter] = match
    return _one_letter(found, text, options)


def _letter_token(text: str, options: Sequence[str]) -> answers_text.Extraction | None:
    """A capital letter that stands alone, not as a part of an option's text."""
    texts = [span for span in mentions(text, options) if span.end - span.start > 1]
    found = {}
    for letter, match in _letter_tokens(text, options).items():
        is_part = any(span.start <= match.start() < span.end for span in texts)
        if _index(letter) < len(options) and not is_part:
            found[letter] = match
    return _one_letter(found, text, options)


def _letter_tokens(text: str, options: Sequence[str]) -> dict[str, re.Match[str]]:
    """Stand-alone capital letters, at least up to J; "A nodule" and "I see" hold none."""
    limit = max(MAX_OPTIONS, len(options))
    tokens = {}
    for match in _TOKEN.finditer(text):
        letter = match.group(1)
        if letter in "AI" and _WORD_AFTER.match(text, match.end()):
            continue
        if _index(letter) < limit:
            tokens[letter] = match
    return tokens


def _one_letter(
    found: dict[str, re.Match[str]], text: str, options: Sequence[str]
) -> answers_text.Extraction | None:
    """The only letter found; several, or a negated one, are no answer.

    Where nothing but another option's text stands around it, as in "Normal (B)", the two
    disagree.
    """
    if not found:
        return None
    if len(found) > 1:
        return answers_text.Extraction("unparsed")
    letter, match = next(iter(found.items()))
    if is_negated(text.lower(), match.start(), _LETTER_REACH):
        return answers_text.Extraction("unparsed")
    named = _exact_text(text[: match.start()] + text[match.end() :], options)
    in_range = _index(letter) < len(options)
    if named is not None and not (in_range and same_option(letter, named, options)):
        return answers_text.Extraction("conflict", letter)
    return _letter(letter, options)


def _contained_text(text: str, options: Sequence[str]) -> answers_text.Extraction | None:
    """The only option whose text occurs as whole words and is not negated."""
    lowered = text.lower()
    spans = mentions(text, options)
    if any(_compared(options[span.option]) == "no" for span in spans):
        # "There is no evidence" does not choose the option "no".
        said_no = answers_polarity.extract(text).value == "no"
        spans = [s for s in spans if said_no or _compared(options[s.option]) != "no"]
    asserted = [s.option for s in spans if not is_negated(lowered, s.start, _TEXT_REACH)]
    if len({_compared(options[index]) for index in asserted}) != 1:
        return answers_text.Extraction("unparsed") if asserted else None
    return answers_text.Extraction("ok", string.ascii_uppercase[min(asserted)])


def mentions(text: str, options: Sequence[str]) -> list[Mention]:
    """Where option texts stand as whole words; a text inside a longer one does not count.

    Args:
      text: Normalised; any case.
      options: Option texts without letters.
    """
    lowered = text.lower()
    words = lowered.split()
    joined = " ".join(words)
    is_joined = len(joined) == len(lowered.strip())  # every gap is one character wide
    if is_joined:
        joined = _GAP.sub(" ", lowered)
    spans = []
    for index, option in enumerate(options):
        wanted = _compared(option)
        if not wanted or wanted not in joined:
            continue
        if is_joined or " " not in wanted:
            found = _places(joined if is_joined else lowered, wanted)
        else:
            found = ((m.start(), m.end()) for m in _mention_pattern(wanted).finditer(lowered))
        spans += [Mention(start, end, index) for start, end in found]
    return [span for span in spans if not any(_is_inside(span, other) for other in spans)]


def _places(text: str, wanted: str) -> Iterator[tuple[int, int]]:
    """What `_mention_pattern` finds where gaps are single blanks; no pattern is compiled for it."""
    before, behind = wanted[0].isascii(), wanted[-1].isascii()
    start = text.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        is_part = (before and _BORDER_BEFORE.search(text, max(0, start - 2), start)) or (
            behind and _BORDER_BEHIND.match(text, end)
        )
        if not is_part:
            yield start, end
        start = text.find(wanted, start + 1 if is_part else end)


@functools.lru_cache(maxsize=4096)
def _mention_pattern(wanted: str) -> re.Pattern[str]:
    """Finds `wanted` with word borders (CJK text has none) and any white space inside."""
    pattern = r"\s+".join(map(re.escape, wanted.split()))
    if wanted[0].isascii():
        pattern = r"(?<![a-z0-9])(?<!\d[.,])" + pattern
    if wanted[-1].isascii():
        pattern += r"(?![a-z0-9]|[.,]\d)"
    return re.compile(pattern)


def _is_inside(span: Mention, other: Mention) -> bool:
    """True if `span` lies in a longer mention of another option."""
    is_longer = other.end - other.start > span.end - span.start
    return is_longer and other.start <= span.start and span.end <= other.end


def is_negated(text: str, position: int, reach: int) -> bool:
    """True if a negation stands at most `reach` characters before, in the same clause."""
    before = text[max(0, position - reach) : position]
    sentence = _SENTENCE_END.split(before)[-1]
    return _NEGATION.search(_TURN.split(sentence)[-1]) is not None


def _foreign_letter(text: str, options: Sequence[str]) -> answers_text.Extraction | None:
    """A lone letter beyond the options, as the last word: an answer out of range."""
    tokens = _letter_tokens(text, options)
    if len(tokens) != 1:
        return None
    letter, match = next(iter(tokens.items()))
    is_last = not text[match.end() :].strip(answers_text.WRAPPERS)
    return _letter(letter, options) if is_last else None
