# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What written texts must not say, and whether an answer is right: pure functions of text.

    leaks_answer    a trace that says that it was given the answer
    mentions_boxes  a caption that speaks of drawn boxes, or of what was supplied with the picture
    consistent      an answer beside the truth, as rewards and evaluation judge it
    ungrounded      sentences that claim what nothing known supports

Rules of words catch how such things are usually said. They are no proof of absence.
"""

import collections
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from data_tools.synthesis import checks_words
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import answers, answers_number, answers_open, answers_text


def _any(table: str) -> re.Pattern[str]:
    """A pattern of all lines; one that is indented goes on with the one before."""
    return re.compile("|".join(table.replace("\n    ", "").strip().splitlines()))


_GIVEN = r"(?:provided|supplied|given|stated|expected|known|reference|gold|official|predetermined)"
_RIGHT = r"(?:correct|right|true|actual|final)"
_NO_OPTIONS = r"(?!\s+(?:choices?|options?|candidates?|list|set|format)\b)"
_TELLS = r"(?:states?|says?|tells?|mentions?|specifies|indicates?|confirms?|reveals?)"
_STATED = r"(?:stated|indicated|given|noted|mentioned|shown|specified|provided|supplied|suggested)"
_LEAKS = _any(
    rf"""
\bground[- ]?truths?\b|\banswer key\b|\bgold (?:label|answer)\b
\b{_GIVEN} (?:{_RIGHT} )?answer\b{_NO_OPTIONS}
\b(?:target|desired|model) answer\b
\banswer,? as {_STATED}\b|\bknown {_RIGHT} (?:answer|option|choice|diagnosis)\b
\bwork(?:ing|ed)? backwards?\b|\btold\b[^.?!]{{0,60}} in the answer\b
\b(?:true|correct|given) label\b|\b(?:because|since|as) the label (?:is|says|states)\b
\bthe reference {_TELLS}\b|\b(?:{_STATED}|said|told) (?:in|by) the (?:prompt|input|instructions?)\b
\b(?:question|prompt|task|user|instructions?) (?:has |have |had |already )?(?:gives?|gave|given
    |provide[sd]?|supplie[sd]|supply) (?:me |us )?(?:with )?the (?:{_RIGHT} )?(?:answer
    |solution)\b{_NO_OPTIONS}
\banswer,? (?:that |which )?(?:(?:i|we) )?(?:(?:was|were|is|has been|have been
    |am) )(?:already )?(?:provided|given|supplied|told)\b(?! by (?:option|choice))
\banswer (?:provided|given|supplied)(?= (?:is|was|as|above|in|here|to|with)\b|[.,;:)]|$)
\bgiven (?:that )?the (?:{_RIGHT} )?answer(?: is\b| was\b|:)
\bgiven (?:that )?the {_RIGHT} answer\b{_NO_OPTIONS}(?! (?:must|should|has to)\b)
(?:^|[.!?:\n] ?)(?:since|because|as) the {_RIGHT} (?:answer|option|choice) is\b
\b(?:since|because|as) (?:i|we) (?:already )?know (?:that )?the (?:{_RIGHT} )?answer\b
\b(?:i|we) already know (?:that )?the (?:{_RIGHT} )?answer\b
\bknowing (?:that )?the (?:{_RIGHT} )?answer\b{_NO_OPTIONS}
\b(?:according to|based on|consistent with|in line with|aligns? with|match(?:es|ing)?|agrees? with
    |corresponds? to|confirm(?:s|ed by)|justif(?:y|ies)|as per|per) the (?:correct|right|true
    |actual|{_GIVEN}) (?:answer|label)\b{_NO_OPTIONS}
\bas {_STATED} (?:in|by) the (?:\w+ )?(?:answer|solution|labels?|key)\b{_NO_OPTIONS}
\bas the (?:{_RIGHT} )?answer (?:suggests|{_TELLS})\b
\bthe (?:{_RIGHT} )?answer {_TELLS} (?:that|us|me)\b
\b(?:told|informed) (?:that )?the (?:{_RIGHT} )?answer\b{_NO_OPTIONS}
\b(?:told|informed) (?:that )?the {_RIGHT} (?:option|choice)\b
\b{_RIGHT} answer (?:is |that is )?available\b|\banswer field\b
    |\bas {_STATED}, the (?:{_RIGHT} )?answer\b|\breference (?:response|output)\b
\b(?:i|we) (?:was|were|am|are|have been|had been) (?:given|shown|provided with
    |supplied with) the (?:{_RIGHT} )?(?:answer|solution|label)\b{_NO_OPTIONS}
\b(?:question|prompt|task|user|instructions?|dataset|metadata) (?:already )?{_TELLS}
    (?:[ ]us|[ ]me)?(?: that)? the (?:{_RIGHT} )?answer\b{_NO_OPTIONS}
\b(?:marked|labell?ed|flagged|designated|listed) (?:as (?:the )?correct\b
    |as (?:the )?right (?:answer|option|choice)|the correct (?:answer|option|choice))
\banswer is supposed to be\b
\b(?:provided|supplied|given) (?:labels?|annotations?|captions?|metadata|diagnosis label)\b
标准答案|参考答案|金标准答案|真实标签|真值(?!表)|答案键
(?<![我们])(?:给定|给出|提供|所给|已给|已知)的?(?:正确|最终)?答案(?!选项|中的选项)
(?:正确)?答案(?:已经?|中已)(?:给出|提供|告知|告诉|知道|标明)
(?:正确|题目)?答案(?:指出|提到|告诉我们|告知|所示|所述|所说)
(?<![我们])(?:提供|给出|告知)了(?:正确|标准|最终|参考)?答案(?!选项)
(?:根据|依据|按照|参照|鉴于|由于|既然|因为)(?:题目)?(?:给出的?|提供的?)?(?:正确|标准|参考)的?答案
(?:被标记为|标注为|标为)正确
"""
)

_DRAWN = r"(?:red|green|blue|yellow|cyan|magenta|orange|coloured|colored)"
_MARKED = r"(?:marked|highlighted|annotated|outlined|circled|framed|encircled|selected|designated)"
_ENCLOSED = (
    r"(?:marked|highlighted|outlined|circled|annotated|enclosed|framed|delineated|indicated)"
)
_PLACE = (
    r"(?:regions?|areas?|rois?|lesions?|zones?|portions?|sections?|parts?|structures?|mass(?:es)?"
    r"|nodules?|tumou?rs?|boundar(?:y|ies))"
)
_THE = r"(?:the|this|that|these|those|each|every|both|all)"
_SUPPLIED = r"(?:provided|supplied|given|accompanying|coarse|attached|associated|reference)"
_NO_BOX = (
    r"(?<![-\w])(?<!snuff )(?<!voice )(?<!black )(?<!ice )(?<!tata )(?<!glove )(?<!tool )"
    r"(?<!forkhead )"
)
_BOXES = _any(
    rf"""
\bbounding[- ]?(?:box|rectangle|region|area)\w*|\bbbox\w*|\bboxed\b
{_NO_BOX}\bbox(?:es)?\b(?![-\s]?(?:shaped?|like|plots?|configuration)\b)(?!-)
\brectangles?\b|\brectangular (?:box|outline|marker|frame|annotation|overlay|selection)
\b{_DRAWN} (?:rectang\w+|square|frame|bounding|contour|overlay|outline|dashed line)
\b(?:red|green|blue|cyan|magenta) (?:circle|ellipse)\b
\b{_THE} (?:{_DRAWN} )?{_MARKED} {_PLACE}\b
\b{_PLACE} (?:that (?:is|are|was|were) |which (?:is|are) )?{_ENCLOSED} (?:in|on|within
    |inside) (?:the|this) (?:image|picture|scan|photo\w*|figure|slide|radiograph)\b
\b{_ENCLOSED} in {_DRAWN}\b
\b{_ENCLOSED} (?:by|with|using|inside|within) (?:an? |the )?(?:\w+ )?(?:square|outline|frame|marker
    |annotation|overlay|drawn (?:line|contour)|contour line)\b
\bregions? of interest\b|\brois?\b
\b(?:segmentation|lesion|tumou?r|binary|annotation) masks?\b|\bmask overlay\b
\bcaption(?:s|ed)?\b|\bmetadata\b
\b{_SUPPLIED} (?:\w+ )?(?:descriptions?|labels?|annotations?|knowledge|notes|text|information)\b
\b(?:according to|based on|as per|as {_STATED} (?:in|by)
    |as described (?:in|by)) the (?:\w+ )?(?:descriptions?|labels?|annotations?|knowledge|context)\b
\bthe (?:descriptions?|labels?|annotations?|knowledge|context) (?:{_TELLS}|describes?)\b
(?:边界|标注|检测|矩形|红|绿|蓝|黄|红色|绿色|蓝色|黄色)的?(?:方)?框|方框|框(?:出|选|内|住|中)
矩形区域|高亮(?:的)?(?:区域|部分)|感兴趣区
(?:标记|标注|标出|圈出|勾画)(?:出)?的(?:区域|部位|病灶|范围|部分)
元数据|图注|(?:所给|给定|给出|提供|所提供)的?(?:说明|标题|描述|知识|标签|标注)
(?:根据|依据|如)(?:图像|图片)?(?:说明|描述|标题|标签|标注|知识)(?:文字)?(?:所|中|,)
"""
)

_LIST_MARK = re.compile(r"^\s*(?:\(?\d{1,2}[.)]|[-*•#]+)\s+")
# Not behind the mark of a list: "1. The lungs".
_SENTENCES = re.compile(r"(?<=[.!?])(?<!^\d\.)(?<!\s\d\.)\s+(?=[\"'(]?[A-Z0-9])|\n+|(?<=;)\s+")
_BEFORE = re.compile(
    r"\b(?:no|not(?! only)|without|absence of|negative for|free (?:of|from)|never|neither|nor|non"
    r"|lacks?|lacking|rules? out|excludes?)\b"
)
# What ends the reach of a negation: "no effusion, but a nodule".
_BREAK = _any(
    r"""
\b(?:but|however|although|though|except|while|whereas|which|with|there (?:is|are))\b
\b(?:shows?|demonstrates?|reveals?|suggest\w*)\b
[:()]
, (?:and )?(?:the|an?|there|it|this)\b
"""
)
_BEHIND = _any(
    r"""
^[^,.;:]{0,40}?\b(?:is|are|was|were)(?: (?:also|clearly))? (?:absent|ruled out|excluded)
^[^,.;:]{0,40}?\b(?:is|are|was|were)(?: (?:also|clearly))? not (?!only|excluded|ruled)
^\s*(?:absent|negative)\b
^\s*[:=]\s*(?:0(?![.\d])|no\b|none\b|absent|negative|false)
"""
)
_NORMAL = _any(
    r"""
(?<!not )\bnormal\b|\bunremarkable\b|\bhealthy\b|\bclear\b
\bno (?:acute |significant )?(?:findings?|abnormalit\w+|patholog\w+|disease)
"""
)
_ALL_NORMAL = _any(
    r"""
\bno (?:acute |significant |focal |visible )?(?:abnormalit\w+|patholog\w+|disease)\b
\b(?:normal|unremarkable|healthy) (?:\w+ )?(?:study|examination|exam|radiograph|scan|image)\b
"""
)
# "left" and "right" of parts that are named after their side, and of other meaning, do not count.
_SIDES = _any(
    r"""
\b(left|right)(?:[- ]sided)?\b(?! (?:\w+ )?(?:atri|ventric|heart|main coronary|untreated|behind
    |over\b|unchanged|answer|anterior descending))
\b(bilateral(?:ly)?|contralateral|ipsilateral)\b
\b(both)(?= (?:\w+ )?(?:lungs?|sides|eyes|kidneys|breasts|knees|hips|hemithora\w+))
"""
)
_AGES = {
    "child": r"\b(?:child|children|infants?|neonat\w+|newborns?|pa?ediatric|toddlers?)\b",
    "elderly": r"\b(?:elderly|geriatric|old(?:er)? (?:patient|man|woman|adult))\b",
    "adult": r"\b(?:adults?|middle[- ]aged)\b",
    "age": r"\b(?:years?[- ]old|years of age|months?[- ]old|aged \d+|age\b)",
}
_AGE = re.compile(r"\bage\w*\W{0,3}(\d{1,3})|\b(\d{1,3})[- ]?(?:year|yr|y/?o)")
_SEXES = (
    r"\b(?:female|wom[ae]n|girl|lady|she|hers?(?! ?2)|herself)\b|\b(?:sex|gender)\W{1,3}f\b",
    r"\b(?:male|m[ae]n|boy|gentleman|he|his|him(?:self)?)\b|\b(?:sex|gender)\W{1,3}m\b",
)
_EARLIER = _any(
    r"""
\b(?:prior|previous|earlier|last|preceding|old(?:er)?) (?:\w+ )?(?:stud(?:y|ies)|exam\w*|scans?
    |images?|radiographs?|films?|ct|mri|x-?rays?|mammograms?|imaging)\b
\bpreviously (?:seen|noted)\b|\bagain (?:seen|noted|demonstrated|identified)\b
\binterval (?:\w+ )?(?:change|increase|decrease|improvement|development|worsening|growth|resol\w+)
\b(?:has|have) (?:\w+ )?(?:improved|worsened|resolved|progressed|increased|decreased|enlarged
    |grown|developed|regressed|cleared)\b
\b(?:remains?|is|are|appears?) (?:stable|unchanged)\b|\bunchanged\b|\bnewly \w+\b
\bnew (?:\w+ )?(?:opacit|lesion|nodule|effusion|fracture|mass|consolidation|infiltrat)\w*
\bfollow[- ]?up\b|\bsince the (?:last|prior|previous)\b
\bcompar(?:ed|ison) (?:to|with) (?:the )?(?:prior|previous|earlier|last|baseline)\b
"""
)
_COUNTED = {
    word: float(value)
    for value, word in enumerate("two three four five six seven eight nine ten".split(), 2)
}
_COUNTS = re.compile(rf"\b({'|'.join(_COUNTED)})\b(?= (?:\w+ ){{0,2}}(\w+))")


class Unsupported(NamedTuple):
    """A sentence that claims what is not known.

    Attributes:
      sentence: As it stands in the text.
      words: What nothing supports.
    """

    sentence: str
    words: tuple[str, ...]


class _Known(NamedTuple):
    """What a text of labels and captions supports.

    Attributes:
      text: All of it, in lower case.
      present: Names of words that are said to be there, and what they imply.
      absent: Names of words that are said not to be.
      is_normal: Whether nothing is wrong.
      numbers: Quantities.
      ages: Words of `_AGES`.
    """

    text: str
    present: frozenset[str]
    absent: frozenset[str]
    is_normal: bool
    numbers: tuple[answers_number.Quantity, ...]
    ages: frozenset[str]


def leaks_answer(text: str) -> str:
    """The words by which a trace says that it was given the answer, or cites it; "" if it does not.

    "The answer is B" says no such thing; "the provided answer is B" does. English and Chinese.

    Args:
      text: A trace of reasoning.
    """
    return _first(_LEAKS, text)


def mentions_boxes(text: str) -> str:
    """The words by which a text speaks of what the model alone was given; "" if it does not.

    These are marks drawn on the picture (a box, "the highlighted region"), and what came with it: a
    caption, metadata, knowledge. English and Chinese.

    Args:
      text: A caption, or a question about a picture.
    """
    return _first(_BOXES, text)


def consistent(answer: str, gold: str, options: Sequence[str] = (), *, question: str = "") -> bool:
    """Whether an answer says the truth, by the rules of rewards and evaluation.

    An open answer may stand in a sentence that adds nothing, as of `answers_open.states`. Another
    wording of it is not recognised: False is no proof that an open answer is wrong.

    Args:
      answer: As the model gave it.
      gold: The truth; of a choice the letter or the text of an option.
      options: Without their letters; none of an open question.
      question: As asked; may be empty.

    Raises:
      UserError: If the truth is none of the options.
    """
    kind = answers.infer_type(gold, options)
    verdict = answers.judge(answer, gold=gold, answer_type=kind, options=options, question=question)
    if verdict.correct or kind != "open":
        return verdict.correct
    return answers_open.states(answers_text.normalise(answer), [gold], question=question)


def ungrounded(text: str, known: str | Iterable[str]) -> list[Unsupported]:
    """The sentences of a text that claim what nothing known supports.

    Looked at are sides, numbers, age and sex, comparisons with an earlier study, and the words of
    `checks_words`: findings, anatomy, modalities, stains. A finding has to be known to be there;
    where one is denied, it has to be known to be absent, or all to be normal. What a word implies
    is supported with it. A sentence without such words is never flagged, and neither is one in
    another language than English.

    Args:
      text: As a caption.
      known: Labels, captions, names of regions; a line or an item for each, such as
        "finding: pneumonia".
    """
    facts = _known(known if isinstance(known, str) else "\n".join(known))
    found = []
    for sentence in _split(text):
        words = _unsupported(_LIST_MARK.sub("", sentence), facts)
        if words:
            found.append(Unsupported(sentence, tuple(dict.fromkeys(words))))
    return found


def facts_of(seed: seeds_lib.Seed) -> list[str]:
    """What is known of the picture of a seed, as `ungrounded` takes it.

    Args:
      seed: With labels, a caption, boxes or masks.
    """
    labels = dict(seed.labels)
    if seed.modality:
        labels.setdefault("modality", seed.modality)
    boxes = collections.Counter(box.label for box in seed.boxes)
    return [
        *(f"{name.replace('_', ' ')}: {value}" for name, value in labels.items()),
        *(f"{label}: {number}" for label, number in boxes.items()),
        *seed.masks.values(),
        *([seed.caption] if seed.caption else []),
    ]


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(re.sub(r"[ \t]+", " ", answers_text.normalise(text).lower()))
    return found[0].strip() if found else ""


def _split(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCES.split(text) if part.strip()]


def _plain(sentence: str) -> str:
    """In the form that `checks_words` reads."""
    return answers_text.normalise(sentence).lower().replace("-", " ")


def _known(text: str) -> _Known:
    lowered = answers_text.normalise(text).lower()
    present: set[str] = set()
    absent: set[str] = set()
    for line in _split(text):
        plain = _plain(line)
        for mention in checks_words.mentions(plain):
            (absent if _is_denied(plain, mention) else present).add(mention.name)
    numbers = [*answers_number.quantities(lowered)]
    numbers += [answers_number.Quantity(_COUNTED[w], _COUNTED[w], "") for w in _words_of(lowered)]
    return _Known(
        text=lowered,
        present=checks_words.implied(present) | checks_words.shown(present),
        absent=frozenset(absent),
        is_normal=bool(_NORMAL.search(lowered)) and not present & checks_words.FINDING_NAMES,
        numbers=tuple(numbers),
        ages=_ages(lowered),
    )


def _words_of(text: str) -> list[str]:
    return [word for word in re.findall(r"[a-z]+", text) if word in _COUNTED]


def _ages(text: str) -> frozenset[str]:
    """What is known of the age, by words of `_AGES`."""
    ages = {name for name, pattern in _AGES.items() if re.search(pattern, text)}
    for match in _AGE.finditer(text):
        years = int(match[1] or match[2])
        ages |= {"age", "child" if years < 18 else "adult"} | (
            {"elderly"} if years >= 65 else set()
        )
    return frozenset(ages)


def _unsupported(sentence: str, known: _Known) -> list[str]:
    """The words of a sentence that nothing supports."""
    lowered = answers_text.normalise(sentence).lower()
    is_calm = known.is_normal and bool(_NORMAL.search(lowered) or _BEFORE.search(lowered))
    words = [] if is_calm else _sides(lowered, known)
    words += _numbers(lowered, known) + _persons(sentence, known)
    if not _EARLIER.search(known.text):
        words += [match[0] for match in _EARLIER.finditer(lowered)]
    if known.present & checks_words.FINDING_NAMES and not known.is_normal:
        words += [match[0] for match in _ALL_NORMAL.finditer(lowered)]
    return words + _terms(_plain(sentence), known)


def _sides(lowered: str, known: _Known) -> list[str]:
    sides = {side for match in _SIDES.finditer(known.text) for side in match.groups() if side}
    if sides & {"bilateral", "bilaterally", "both"} or {"left", "right"} <= sides:
        return []
    return [match[0] for match in _SIDES.finditer(lowered) if match[1] not in sides]


def _numbers(lowered: str, known: _Known) -> list[str]:
    words = []
    if re.search(r"\d", lowered):
        for quantity in answers_number.quantities(lowered):
            if not any(_is_same(quantity, other) for other in known.numbers):
                words.append(f"{quantity.low:g} {quantity.unit.strip('?')}".strip())
    for match in _COUNTS.finditer(lowered):
        counted = {
            mention.name for mention in checks_words.mentions(match.string[match.end() :][:40])
        }
        is_count = counted & (checks_words.FINDING_NAMES | checks_words.CELLS)
        value = _COUNTED[match[1]]
        if is_count and not any(quantity.low == value for quantity in known.numbers):
            words.append(match[0])
    return words


def _is_same(quantity: answers_number.Quantity, other: answers_number.Quantity) -> bool:
    """Whether two quantities are one, in other units perhaps; one without a unit fits any."""
    ours = answers_number.UNITS.get(quantity.unit)
    theirs = answers_number.UNITS.get(other.unit)
    if ours is None or theirs is None:
        return quantity.low == other.low
    if ours[0] != theirs[0]:
        return False
    return abs(quantity.low * ours[1] - other.low * theirs[1]) <= 0.01 * other.low * theirs[1]


def _persons(sentence: str, known: _Known) -> list[str]:
    """Words of age and of sex."""
    # Of the small letters alone: HE is a stain.
    lowered = re.sub(r"\bHE\b", "", answers_text.normalise(sentence)).lower()
    words = []
    for name, pattern in _AGES.items():
        if name not in known.ages:
            words += [match[0] for match in re.finditer(pattern, lowered)]
    for pattern in _SEXES:
        if not re.search(pattern, known.text):
            words += [match[0] for match in re.finditer(pattern, lowered)]
    return words


def _terms(plain: str, known: _Known) -> list[str]:
    """Words of the list."""
    words = []
    for mention in checks_words.mentions(plain):
        if mention.name not in checks_words.FINDING_NAMES:
            is_supported = mention.name in known.present | known.absent
        elif _is_denied(plain, mention):
            is_supported = mention.name in known.absent or known.is_normal
        else:
            is_supported = mention.name in known.present
        if not is_supported:
            words.append(mention.said)
    return words


def _is_denied(plain: str, mention: checks_words.Mention) -> bool:
    """Whether a word is said not to be there."""
    if _BEHIND.search(plain[mention.end :]):
        return True
    before = plain[: mention.start]
    cues = [match.end() for match in _BEFORE.finditer(before)]
    return bool(cues) and not _BREAK.search(before[cues[-1] :])
