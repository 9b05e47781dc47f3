# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import answers_number, answers_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2.0),
        ("There are 2 lesions (two)", 2.0),
        ("2.5cm", 2.5),
        ("-3.5", -3.5),
        ("1,234.5", 1234.5),
        (".5", 0.5),
        ("3/4", 0.75),
        ("2½", 2.5),
        ("1e3", 1000.0),
        ("1.5 x 10^3", 1500.0),
        ("50%", 50.0),
        ("T2 lesion of 4 mm, area 4 cm2", 4.0),
        ("COVID-19 with three nodules", 3.0),
        ("twelve", 12.0),
        ("Twenty weeks", 20.0),
        ("twenty-four", 24.0),
        ("两个", 2.0),
        ("有十二枚结节", 12.0),
        ("二十三", 23.0),
        ("共３个", 3.0),
        ("2,5 cm", 2.5),
        ("0,125", 0.125),
        ("1 234", 1234.0),
        ("5 mm (0.5 cm)", 5.0),
        ("1.2 x 10^{3}", 1200.0),
    ],
)
def test_one_number(text, value):
    assert answers_number.extract(answers_text.normalise(text)) == ("ok", value)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("2 or 3", "ambiguous"),
        ("2-3", "ambiguous"),
        ("1,2,3", "ambiguous"),
        ("5 mm (5 cm) or 6", "ambiguous"),
        ("one or two", "ambiguous"),
        ("unclear", "unparsed"),
        ("一般", "unparsed"),
        ("1/0", "unparsed"),
        ("1e999999", "unparsed"),
        ("9" * 5000, "unparsed"),
        ("unable to determine", "refusal"),
    ],
)
def test_no_number(text, status):
    assert answers_number.extract(text) == (status, None)


@pytest.mark.parametrize(
    ("found", "gold", "equal"),
    [
        ((2.0, 2.0, ""), (2.0, 2.0, "cm"), True),
        ((20.0, 20.0, "mm"), (2.0, 2.0, "cm"), True),
        ((2.0, 2.0, "mm"), (2.0, 2.0, "cm"), False),
        ((2.01, 2.01, ""), (2.0, 2.0, ""), False),
        ((2.51, 2.51, ""), (2.5, 2.5, ""), True),
        ((2.6, 2.6, ""), (2.5, 2.5, ""), False),
        ((0.5, 0.5, ""), (50.0, 50.0, "%"), True),
        ((50.0, 50.0, "%"), (0.5, 0.5, ""), True),
        ((2.0, 2.0, "s"), (2.0, 2.0, "cm"), False),
        ((2.0, 3.0, ""), (2.0, 3.0, ""), True),
        ((2.0, 4.0, ""), (2.0, 3.0, ""), False),
        ((5.0, 5.0, "?inches"), (5.0, 5.0, "mm"), False),
        ((5.0, 5.0, "?cm2"), (5.0, 5.0, "?cm3"), False),
        ((5.0, 5.0, "?lesions"), (5.0, 5.0, "?nodules"), True),
        ((5.0, 5.0, "?lesions"), (5.0, 5.0, ""), True),
    ],
)
def test_is_equal(found, gold, equal):
    quantities = [answers_number.Quantity(*q) for q in (found, gold)]
    assert answers_number.is_equal(*quantities) is equal


def test_interval():
    assert answers_number.interval("2-3 cm") == (2.0, 3.0, "cm")
    assert answers_number.interval("2 cm to 3 cm") == (2.0, 3.0, "cm")
    assert answers_number.interval("2") is None
    assert answers_number.interval("3-2") is None


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("5 mm", "mm"),
        ("5-mm nodule", "mm"),
        ("5 **mm**", "mm"),
        ("5 (mm)", "mm"),
        ("five millimetres", "millimetre"),
        ("五毫米", "毫米"),
        ("5 inches", "inche"),
        ("80 beats per minute", "beats per minute"),
        ("5 cm2", "?cm2"),
        ("5 mg/l", "?mg/l"),
        ("5 lesions", "?lesions"),
        ("5 in the left lung", ""),
        ("5", ""),
    ],
)
def test_units(text, unit):
    [quantity] = answers_number.quantities(text)
    assert quantity.unit == unit


@pytest.mark.parametrize("text", ["5", "5 mm", "2-3 cm", "1/2", "two", "三个", "1,200", "-2.5 %"])
def test_is_whole(text):
    assert answers_number.is_whole(text)


@pytest.mark.parametrize("text", ["5 lesions", "grade 3", "120/80 mmHg", "left", "L4", "3 x 4 cm"])
def test_is_not_whole(text):
    assert not answers_number.is_whole(text)
