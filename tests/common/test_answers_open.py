# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import answers_open

ORGAN = "Which organ is affected?"


@pytest.mark.parametrize(
    ("text", "gold", "question"),
    [
        ("The Liver.", "liver", ""),
        ("The affected organ is the liver.", "liver", ORGAN),
        ("The image shows an enlarged liver", "liver", "Which organ is enlarged?"),
        ("The affected lung is the left lung", "left lung", ORGAN),
        ("haemorrhage", "hemorrhage", ""),
        ("vasogenic oedema", "vasogenic edema", ""),
        ("Gallstones", "gallstone", ""),
        ("Crohn disease", "Crohn's disease", ""),
        ("BIRADS 4", "BI-RADS 4", ""),
        ("left-sided", "left", ""),
        ("MRI (magnetic resonance imaging)", "MRI", ""),
        ("4 cm^2", "4 cm2", ""),
        ("答案是右肺", "右肺", ""),
        ("病变位于右肺。", "右肺", "病变位于哪里?"),
        ("这是CT图像", "CT", ""),
        ("右肺中叶", "右肺中叶", ""),
        ("kidney, spleen and liver", "liver, spleen, kidney", ""),
    ],
)
def test_a_sentence_that_says_the_gold_and_nothing_else(text, gold, question):
    assert answers_open.states(text, [gold], question=question)


@pytest.mark.parametrize(
    ("text", "gold", "question"),
    [
        ("the organ", "liver", ORGAN),
        ("liver and spleen", "liver", ORGAN),
        ("liver or spleen", "liver", ORGAN),
        ("liver spleen", "liver", "Is it the liver or the spleen?"),
        ("affected organ, liver", "spleen", ORGAN),
        ("not the liver", "liver", ORGAN),
        ("no liver affected", "liver", ORGAN),
        ("left right", "left", "left or right?"),
        ("the normal liver", "liver", ORGAN),
        ("livery", "liver", ORGAN),
        ("grade 23", "grade 2 3", ""),
        ("右肺和左肺", "右肺", "病变位于哪里?"),
        ("不在右肺", "右肺", "病变位于哪里?"),
        ("liver, spleen", "liver, spleen, kidney", ""),
    ],
)
def test_a_sentence_that_says_something_else(text, gold, question):
    assert not answers_open.states(text, [gold], question=question)


def test_aliases_are_golds():
    golds = ["myocardial infarction", "heart attack"]
    assert answers_open.states("It is a heart attack.", golds)
    assert not answers_open.states("It is a heart attack.", golds[:1])
    assert answers_open.is_any("Heart attacks", golds)


@pytest.mark.parametrize(
    ("text", "gold", "expected"),
    [
        ("left lung", "left lung", 1.0),
        ("the left lung", "left lung", 0.8),
        ("left left left", "left lung", 0.4),
        ("spleen", "left lung", 0.0),
        ("", "left lung", 0.0),
        ("右肺", "右肺上叶", 2 / 3),
    ],
)
def test_token_f1(text, gold, expected):
    assert answers_open.token_f1(text, gold) == pytest.approx(expected)
