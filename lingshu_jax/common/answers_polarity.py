# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Yes or no: from the text of an answer container to a polarity.

Only whole words count. "normal", "abnormal" and their Chinese forms say nothing here: what
they mean depends on the question.
"""

import re

from lingshu_jax.common import answers_text

YES: tuple[str, ...] = tuple(
    "yes y yeah yep true correct positive affirmative "
    "是 是的 有 存在 对 正确 可以 能 包含 属于 会".split()
)
NO: tuple[str, ...] = tuple(
    "no n nope false incorrect negative "
    "否 不是 没有 无 不存在 不 不对 不正确 错误 不可以 不能 不包含 不属于 不会".split()
)
_POLARITY = {**dict.fromkeys(YES, "yes"), **dict.fromkeys(NO, "no")}

_BOTH = re.compile(r"(?<![a-z])(?:yes\W+or\W+no|no\W+or\W+yes|yes\s*['\"]?/['\"]?\s*no)(?![a-z])")
_LEADING = re.compile(
    r"[\s*_`(\[{\"'>#-]*(yes|yeah|yep|no|nope)(?![a-z0-9])"
    r"(?!\s+(?:idea|way\s+to|information|clue|answer|comment|opinion|doubt|conclusion)(?![a-z]))"
)
# Longest first, so that a negative is not read as the affirmative it contains.
_HAN_TOKENS = "|".join(sorted((w for w in _POLARITY if not w.isascii()), key=len, reverse=True))
_LEADING_HAN = re.compile(rf"[\s*_`(\[\"'#-]*({_HAN_TOKENS})(?=[,，。;；!！、\s*])")
_HAN_PREFIX = re.compile(r"[\s*_`\"'-]*(?:没有|不|无)(?P<named>[^\s,，。;；!！?？、.]+)")
_NOT_EITHER = re.compile(
    r"(?:(?<![a-z])(?:not|never|hardly|non)|n't)\W+(?:an?\W+)?(?:yes|no)(?![a-z])"
)
_WORDS = re.compile(r"[a-z]+(?:'[a-z]+)?")


def extract(text: str, *, question: str = "") -> answers_text.Extraction:
    """The polarity that `text` states.

    Args:
      text: What stands in the answer container.
      question: Lets a Chinese negative name the thing asked about; may be empty.

    Returns:
      `ok` with "yes" or "no", or `refusal` or `unparsed`.
    """
    lowered = answers_text.without_lead(text).lower()
    whole = lowered.strip(answers_text.WRAPPERS + "！？，；")
    if (polarity := _POLARITY.get(whole)) is not None:
        return answers_text.Extraction("ok", polarity)
    if "yes" in lowered and "no" in lowered and _BOTH.search(lowered):
        return answers_text.Extraction("unparsed")
    if (leading := _LEADING.match(lowered) or _LEADING_HAN.match(lowered)) is not None:
        return answers_text.Extraction("ok", _POLARITY[leading.group(1)])
    if answers_text.is_refusal(lowered):
        return answers_text.Extraction("refusal")
    prefix = _HAN_PREFIX.match(lowered)
    if prefix is not None and prefix["named"] in answers_text.normalise(question).lower():
        return answers_text.Extraction("ok", "no")
    return _from_words(lowered)


def _from_words(text: str) -> answers_text.Extraction:
    """A text that says only yes, or that ends in no; "no" before a noun is no answer."""
    if _NOT_EITHER.search(text):
        return answers_text.Extraction("unparsed")
    words = _WORDS.findall(text)
    if "yes" in words and "no" not in words:
        return answers_text.Extraction("ok", "yes")
    if words and words[-1] == "no" and "yes" not in words:
        return answers_text.Extraction("ok", "no")
    return answers_text.Extraction("unparsed")
