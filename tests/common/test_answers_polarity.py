# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import answers_polarity


@pytest.mark.parametrize(
    ("text", "status", "value"),
    [
        ("Yes.", "ok", "yes"),
        ("**Yes**, no pneumothorax", "ok", "yes"),
        ("yes - it is abnormal", "ok", "yes"),
        ("True", "ok", "yes"),
        ("y", "ok", "yes"),
        ("是的，有结节", "ok", "yes"),
        ("I believe yes", "ok", "yes"),
        ("No evidence of effusion", "ok", "no"),
        ("No, it is not", "ok", "no"),
        ("I would say no.", "ok", "no"),
        ("不存在", "ok", "no"),
        ("没有，肺部清晰", "ok", "no"),
        ("No idea", "unparsed", None),
        ("no way to tell", "unparsed", None),
        ("There is no evidence of effusion", "unparsed", None),
        ("'yes' or 'no'", "unparsed", None),
        ("yes/no", "unparsed", None),
        ("first yes, then no", "unparsed", None),
        ("not yes", "unparsed", None),
        ("It is definitely not a yes", "unparsed", None),
        ("normal", "unparsed", None),
        ("abnormal", "unparsed", None),
        ("nodule", "unparsed", None),
        ("unknown", "unparsed", None),
        ("正常", "unparsed", None),
        ("I cannot determine that", "refusal", None),
    ],
)
def test_extract(text, status, value):
    assert answers_polarity.extract(text) == (status, value)


def test_chinese_negative_needs_the_question():
    assert answers_polarity.extract("无结节", question="肺里有结节吗？") == ("ok", "no")
    assert answers_polarity.extract("无结节", question="心脏大吗？").status == "unparsed"
    assert answers_polarity.extract("无结节").status == "unparsed"
