# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json
import math

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval.report_metrics import cider

TRUTHS = [["clear", "lungs"], ["large", "effusion"], ["clear", "lungs", "today"]]


def golds(truths=TRUTHS):
    return [[truth] for truth in truths]


def test_the_rarer_words_weigh_more():
    truths = [["clear", "lungs"], ["clear", "effusion"], ["nodule"]]
    common, rare = cider.scores([["clear"], ["effusion"], []], golds(truths))[:2]
    assert rare > common > 0
    assert rare / common == pytest.approx(math.log(3) / math.log(3 / 2))


def test_one_report_has_no_score():
    assert cider.scores([["clear", "lungs"]], [[["clear", "lungs"]]]) == [0.0]
    assert cider.scores([], []) == []


def test_equal_references_have_no_scores():
    truths = [["clear", "lungs"]] * 5
    assert cider.scores(truths, golds(truths)) == [0.0] * 5
    assert cider.scores([["no", "effusion"]] * 5, golds(truths)) == [0.0] * 5
    # One other reference is enough for weights.
    assert max(cider.scores([*truths, ["effusion"]], golds([*truths, ["effusion"]]))) > 0


def test_plain_cider_bears_repetition_and_length():
    said = [["large"] * 20, ["effusion"], ["x"]]
    plain = cider.scores(said, golds([TRUTHS[1], TRUTHS[0], TRUTHS[0]]), defended=False)
    defended = cider.scores(said, golds([TRUTHS[1], TRUTHS[0], TRUTHS[0]]))
    assert plain[0] == pytest.approx(10 / 4 / math.sqrt(2))
    assert 0 < defended[0] < 0.01


@pytest.fixture
def captions(tmp_path):
    def write(entries):
        path = tmp_path / cider.CAPTIONS
        path.write_text(json.dumps({"annotations": entries}))
        return path

    return write


def test_captions_weigh_words_by_image(captions):
    path = captions(
        [
            {"image_id": 1, "caption": "A clear sky. A dog."},
            {"image_id": 1, "caption": "Clear"},
            {"image_id": 2, "caption": "The dog's lungs are CLEAR"},
            {"image_id": 3, "caption": "Sky"},
        ]
    )
    known = cider.read_captions(path, TRUTHS)
    assert known.documents == 3
    assert known.counts == {("clear",): 2, ("lungs",): 1}
    # What no caption holds weighs as much as what one does.
    found = cider.scores([["large", "x"]], [[["large", "effusion"]]], known=known, defended=False)
    assert found == [pytest.approx(10 / 4 * 0.5)]
    heavy, light = math.log(3), math.log(3 / 2)
    found = cider.scores([["clear"]], [[["clear", "lungs"]]], known=known, defended=False)
    assert found == [pytest.approx(10 / 4 * light / math.hypot(light, heavy))]


@pytest.mark.parametrize("content", ["[", "[]", "{}", '{"annotations": [{"caption": "a"}]}'])
def test_other_files_are_no_captions(tmp_path, content):
    path = tmp_path / cider.CAPTIONS
    path.write_text(content)
    with pytest.raises(errors.UserError, match=r"captions_val2014\.json must hold"):
        cider.read_captions(path, TRUTHS)
