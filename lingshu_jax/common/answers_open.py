# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Open answers: exact match after normalisation, known aliases, lists in any order.

`is_equal` is what evaluation counts. `states` also takes a whole sentence that says the gold and
nothing else; `token_f1` measures how much of it is said.
"""

import collections
import itertools
import re
from collections.abc import Sequence

from lingshu_jax.common import answers_text

ALIAS_VERSION = 1  # of ALIASES; raised with every change of the table

# Other spellings of one short answer -> the spelling compared.
ALIASES: dict[str, str] = {
    "l": "left",
    "left side": "left",
    "left-sided": "left",
    "r": "right",
    "right side": "right",
    "right-sided": "right",
    "左": "left",
    "左侧": "left",
    "右": "right",
    "右侧": "right",
    "mr": "mri",
    "magnetic resonance imaging": "mri",
    "核磁共振": "mri",
    "磁共振": "mri",
    "computed tomography": "ct",
    "ct scan": "ct",
    "x ray": "x-ray",
    "xray": "x-ray",
    "x光": "x-ray",
    "us": "ultrasound",
    "ultrasonography": "ultrasound",
    "超声": "ultrasound",
}
# British spellings, and the American ones to which they are compared.
_SPELLINGS = (
    ("oedema", "edema"),
    ("haem", "hem"),
    ("anaem", "anem"),
    ("oesoph", "esoph"),
    ("foet", "fet"),
    ("paed", "ped"),
    ("caec", "cec"),
    ("faec", "fec"),
    ("tumour", "tumor"),
    ("colour", "color"),
    ("grey", "gray"),
    ("fibre", "fiber"),
    ("centre", "center"),
    ("litre", "liter"),
    ("metre", "meter"),
    ("leuk", "leuc"),
    ("sulph", "sulf"),
)
# Words that say nothing of their own around an answer. None of them denies, doubts or adds.
_FILLERS = frozenset(
    "a an the is are was were be been being has have had it its it's this that these those "
    "there here of in on at to as by for with from within therefore thus so hence based which "
    "what answer final correct best response result conclusion diagnosis diagnosed finding "
    "impression assessment interpretation reading dx ans most likely affected involved "
    "abnormality image picture photo figure scan slide film study radiograph view our patient "
    "person individual show shown depict depicted demonstrate demonstrated reveal revealed "
    "display displayed indicate indicated suggest represent see seen visible present located "
    "identified observed evident noted found lie lies consistent compatible called named known "
    "acquired taken obtained performed slice section plane modality type kind i we you can "
    "think believe conclude would say my".split()
)
_LEAD_HAN = re.compile(
    r"^\W*(?:最终|正确|该|此|本|这|的|是|为|在|位于|答案|诊断|结果|图像|图片|图中|影像|图|片|显示|可见"
    r"|看到|患者|器官|部位|应|中(?!叶)|:\s*)+"
)
_TAIL_HAN = re.compile(r"(?:图像|图片|影像|扫描|检查|征象|[。.\s])+$")
_BULLET = re.compile(r"^\s*(?:[-*+•]|\(?\d+[.):])\s+", re.MULTILINE)
_RESIDUE = frozenset(
    [
        *"or and not no nor neither either without but except than versus vs".split(),
        *"或和不没无非未",
    ]
)
_SPLIT = re.compile(r"[,;/|、，；&+\n]|\.\s")  # marks that part one answer from the next
_TOKEN = re.compile(r"[a-z0-9]+(?:\.\d+)?|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")

_ARTICLE = re.compile(r"^(?:an?|the)\s+")
_LIST = re.compile(r"\s*[,、;]\s*(?:and\s+)?")
_LIST_WORDS = re.compile(r"\s*[,、;]\s*(?:and\s+)?|\s+and\s+|和")


def canonical(text: str) -> str:
    """The compared form: lower case, no article in front, nothing around, alias resolved."""
    short = _ARTICLE.sub("", answers_text.canonical(answers_text.without_lead(text)))
    short = short.strip(answers_text.WRAPPERS)
    return ALIASES.get(short, short)


def extract(text: str) -> answers_text.Extraction:
    """`ok` with the compared form of `text`, or `refusal`, or `unparsed` if nothing is left."""
    if answers_text.is_refusal(text):
        return answers_text.Extraction("refusal")
    value = canonical(text)
    return answers_text.Extraction("ok", value) if value else answers_text.Extraction("unparsed")


def is_equal(value: str, gold: str) -> bool:
    """Exact match of compared forms; a gold list may be given in any order.

    Args:
      value: The answer, in any form.
      gold: The truth; commas, semicolons or 、 make it a list.
    """
    value, wanted = canonical(value), canonical(gold)
    if value == wanted:
        return True
    if _LIST.search(wanted) is None:
        return False
    parts = [sorted(map(canonical, _LIST_WORDS.split(text))) for text in (value, wanted)]
    return parts[0] == parts[1]


def is_any(value: str, golds: Sequence[str]) -> bool:
    """True if an answer is one of several golds in the sense of `is_equal` or in other spelling.

    Args:
      value: The answer, in any form.
      golds: The gold and its aliases.
    """
    said = _joined(value)
    return any(is_equal(value, gold) or said == _joined(gold) for gold in golds)


def states(text: str, golds: Sequence[str], *, question: str = "") -> bool:
    """True if a text says a gold and nothing else, alone or in a sentence.

    Around the gold may stand words that add nothing ("the image shows ..."), another form of it
    ("MRI (magnetic resonance imaging)"), and words of the question, so that "The affected organ is
    the liver" answers "Which organ is affected?". Words of a question that names the gold itself,
    as one of its choices perhaps, may not.

    Args:
      text: The answer, normalised.
      golds: The gold and its aliases.
      question: As asked; may be empty.
    """
    if is_any(text, golds) or any(_states_list(text, gold, question) for gold in golds):
        return True
    forms = [form for gold in golds for form in _forms(gold)]
    said = _folded(_TAIL_HAN.sub("", _LEAD_HAN.sub("", text)))
    rest, found = said, False
    for form in sorted(forms, key=len, reverse=True):
        parts = _cut_out(rest, form)
        found |= len(parts) > 1
        rest = list(itertools.chain.from_iterable(parts))
    if not found:
        return False
    own = {
        word for form in forms for word in form
    } - _RESIDUE  # "the affected lung is the left lung"
    content = [word for word in rest if word not in _FILLERS and word not in own]
    if not content:
        return True
    asked = _folded(question)
    is_named = any(len(_cut_out(asked, form)) > 1 for form in forms)
    allowed = set(asked) - _RESIDUE
    is_parted = _SPLIT.search(text.strip(answers_text.WRAPPERS)) is not None
    return not is_named and not is_parted and all(word in allowed for word in content)


def _states_list(text: str, gold: str, question: str) -> bool:
    """True if a text names every part of a gold list and nothing else; bullets are free."""
    if _LIST.search(gold) is None:
        return False
    parts = [_folded(part) for part in _LIST_WORDS.split(canonical(gold))]
    rest = _folded(_BULLET.sub(" ", text))
    asked = _folded(question)
    is_named = any(len(_cut_out(asked, part)) > 1 for part in parts)
    for part in sorted(parts, key=len, reverse=True):
        around = _cut_out(rest, part)
        if not part or len(around) == 1:
            return False
        rest = list(itertools.chain.from_iterable(around))
    allowed = _FILLERS | {"and", "both", "all"} | (set() if is_named else set(asked) - _RESIDUE)
    return all(word in allowed for word in rest)


def tokens(text: str) -> list[str]:
    """Words of letters and digits, lower case; of Chinese, Japanese and Korean each character."""
    return _TOKEN.findall(answers_text.normalise(text).lower())


def token_f1(text: str, gold: str) -> float:
    """F1 of two multisets of tokens, in [0, 1].

    Args:
      text: The answer.
      gold: The truth.

    Source: SQuAD's measure, arXiv:1606.05250, section 6.1.
    """
    said, truth = collections.Counter(tokens(text)), collections.Counter(tokens(gold))
    shared = (said & truth).total()
    return 2.0 * shared / (said.total() + truth.total()) if shared else 0.0


def _forms(gold: str) -> list[list[str]]:
    """The gold's words, and those of the aliases that mean the same."""
    same = canonical(gold)
    texts = [gold, same, *(alias for alias, meant in ALIASES.items() if meant == same)]
    return [form for form in map(_folded, texts) if form]


def _folded(text: str) -> list[str]:
    """Words in one spelling: American, singular, without hyphens and possessives."""
    plain = (
        answers_text.canonical(text)
        .replace("'s ", " ")
        .replace("&", " and ")
        .replace("×", "x")
        .replace("^", "")
    )
    for british, american in _SPELLINGS:
        plain = plain.replace(british, american)
    return [_singular(word) for word in tokens(_ARTICLE.sub("", plain))]


def _joined(text: str) -> str:
    """The folded words without gaps, but for those between digits: BI-RADS is BIRADS."""
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(_folded(text)))


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    is_plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if is_plural else word


def _cut_out(words: list[str], form: list[str]) -> list[list[str]]:
    """The parts of a text around every place where a form stands."""
    parts, start, place = [], 0, 0
    while place + len(form) <= len(words):
        if words[place : place + len(form)] == form:
            parts.append(words[start:place])
            start = place = place + len(form)
        else:
            place += 1
    return [*parts, words[start:]]
