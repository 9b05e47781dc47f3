# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Open answers: exact match after normalisation, known aliases, lists in any order."""

import re

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
_ARTICLE = re.compile(r"^(?:an?|the)\s+")
_LIST = re.compile(r"\s*[,、;]\s*(?:and\s+)?")
_LIST_WORDS = re.compile(r"\s*[,、;]\s*(?:and\s+)?|\s+and\s+|和")


def canonical(text: str) -> str:
    """The compared form: lower case, no article in front, nothing around, alias resolved."""
    short = _ARTICLE.sub("", answers_text.canonical(text)).strip(answers_text.WRAPPERS)
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
