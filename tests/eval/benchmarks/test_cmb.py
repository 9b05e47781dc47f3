# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import cmb
from tests.eval.benchmarks import choices, fixtures

FIVE = dict(
    zip("ABCDE", ("小叶型肺炎", "浸润性肺结核", "原发性肺结核", "肺癌", "胸膜炎"), strict=True)
)


def row(number, kind, options):
    return {
        "id": number,
        "exam_type": "医师考试",
        "exam_class": "执业医师",
        "exam_subject": "口腔执业医师",
        "question": f"第{number}题，患者最可能患",
        "question_type": kind,
        "option": options,
    }


# The publisher's fields: golds lie in a file of their own. An option may have no text; questions of
# several right options and of type C are among them.
ROWS = [
    row(1, "单项选择题", FIVE),
    row(2, "多项选择题", FIVE),
    row(3, "单项选择题", FIVE | {"E": ""}),
    row(4, "C型选择题", dict(list(FIVE.items())[:4])),
    row(5, "单项选择题", FIVE | {"F": "肺炎"}),
]
GOLDS = dict(zip(range(1, 6), ("C", "ABD", "A", "B", "F"), strict=True))
ANSWERS = [
    {
        **{name: r[name] for name in ("id", "exam_type", "exam_class", "exam_subject")},
        "question_type": "多项选择题" if r["id"] == 2 else "单项选择题",
        "answer": GOLDS[r["id"]],
    }
    for r in ROWS
]
QUESTIONS = f"{cmb.TEST}/{cmb.QUESTIONS}"


def write(questions, answers=None, rows=None, golds=None):
    fixtures.write_json(questions, rows or ROWS)
    if answers:
        fixtures.write_json(answers, golds or ANSWERS)


@pytest.fixture
def data_dir(tmp_path):
    write(tmp_path / "cmb" / QUESTIONS, tmp_path / "cmb" / cmb.ANSWERS)
    return tmp_path


def load(folder):
    return catalog.load(cmb.Cmb(), folder)


def test_a_question_is_asked_in_chinese_and_options_have_no_blank(data_dir):
    samples = load(data_dir)
    assert choices.prompt(samples[0]) == (
        "\n问题： 第1题，患者最可能患\n选项： \nA.小叶型肺炎\nB.浸润性肺结核\n"
        "C.原发性肺结核\nD.肺癌\nE.胸膜炎\n"
        "请直接使用给定选项中的选项字母来回答该问题。"
    )
    assert "\nD.肺癌\nE.\n" in choices.prompt(samples[1])
    assert "\nF.肺炎\n" in choices.prompt(samples[2])


def test_only_questions_of_one_right_option_are_asked_and_the_rest_counted(data_dir):
    samples = load(data_dir)
    assert [(sample.id, sample.gold) for sample in samples] == [("1", "C"), ("3", "A"), ("5", "F")]
    assert files.remarks(cmb.CARD, samples) == [
        "cmb: 2 of 5 questions are not 单项选择题 and are left out, as in MedEvalKit",
        "cmb has 3 rows here, 9999 as published",
    ]


def test_both_scores_read_the_gold_and_nothing_else(data_dir):
    choices.expect_only_the_gold_is_right([s for s in load(data_dir) if s.id != "3"])
    blank = load(data_dir)[1]
    assert choices.verdicts(blank, "A") == (True, True)
    assert choices.verdicts(blank, "E") == (False, False)
    assert choices.verdicts(blank, "肺癌")[1] is False


def test_results_keep_the_row(data_dir):
    sample = load(data_dir)[0]
    assert sample.fields == {
        **ROWS[0],
        "prompt": choices.prompt(sample),
        "choices": ["A.小叶型肺炎", "B.浸润性肺结核", "C.原发性肺结核", "D.肺癌", "E.胸膜炎"],
        "answer": "C",
    }
    assert dict(sample.strata) == {"exam_type": "医师考试", "exam_class": "执业医师"}


@pytest.mark.parametrize(
    ("questions", "answers"),
    [
        (f"data/CMB/{QUESTIONS}", f"data/{cmb.ANSWERS}"),  # the repository, data_dir at its root
        (f"CMB/{QUESTIONS}", cmb.ANSWERS),  # data_dir is its folder `data`
        (QUESTIONS, f"{cmb.TEST}/{cmb.ANSWERS}"),
        (cmb.QUESTIONS, cmb.ANSWERS),
    ],
)
def test_the_publishers_folders_are_found(tmp_path, questions, answers):
    write(tmp_path / questions, tmp_path / answers)
    assert [sample.gold for sample in load(tmp_path)] == ["C", "A", "F"]


def test_golds_in_the_questions_and_options_as_a_list_do_as_well(tmp_path):
    rows = [
        {
            **r,
            "answer": GOLDS[r["id"]],
            "option": [{"key": key, "value": value} for key, value in r["option"].items()],
        }
        for r in ROWS
    ]
    write(tmp_path / QUESTIONS, rows=rows)
    samples = load(tmp_path)
    assert [sample.gold for sample in samples] == ["C", "A", "F"]
    assert samples[1].options == (*list(FIVE.values())[:4], "")


def test_questions_without_golds_say_where_the_golds_are(tmp_path):
    write(tmp_path / "cmb" / QUESTIONS)
    with pytest.raises(
        errors.UserError, match=r"must hold CMB-test-choice-answer\.json.*data/CMB-test-choice-ans"
    ):
        load(tmp_path)


@pytest.mark.parametrize(
    ("golds", "told"),
    [
        ([ANSWERS[0] | {"answer": "G"}], "id 1: the gold must be one of A, B, C, D, E, got 'G'"),
        ([ANSWERS[0] | {"answer": "AB"}], "id 1: the gold must be one of .*, got 'AB'"),
        (ANSWERS[1:], "id 1: the gold must be one of A, B, C, D, E, got None"),
        ([{"id": 1}], "row 0 needs .*'answer'.*, found .*'id'"),
    ],
)
def test_a_gold_that_no_option_has_is_named(tmp_path, golds, told):
    write(tmp_path / QUESTIONS, tmp_path / cmb.ANSWERS, golds=golds)
    with pytest.raises(errors.UserError, match=told):
        load(tmp_path)


@pytest.mark.parametrize("options", [{}, {"A": "x", "C": "y"}, None, ["x", "y"]])
def test_options_of_another_form_are_named(tmp_path, options):
    write(tmp_path / QUESTIONS, tmp_path / cmb.ANSWERS, rows=[ROWS[0] | {"option": options}])
    with pytest.raises(errors.UserError, match="id 1: options must be texts under A, B, C"):
        load(tmp_path)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(
        errors.UserError, match="hf download .* FreedomIntelligence/CMB .*golds are"
    ):
        load(tmp_path)
