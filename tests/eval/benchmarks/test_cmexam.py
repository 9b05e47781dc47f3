# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import csv

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import cmexam
from tests.eval.benchmarks import choices, fixtures

FIVE = ["保泰松", "卡马西平", "苯妥英钠", "阿苯达唑", "B超"]


def row(number, texts, gold, *, start="A"):
    first = ord(start)
    return {
        "Question": f"第{number}题，应选",
        "Options": [{"key": chr(first + i), "value": text} for i, text in enumerate(texts)],
        "Answer": gold,
        "Explanation": None if number == 1 else "解析。",
    }


# The hub's fields. Golds may be several letters; in two questions the options begin with B, once
# although the gold is A.
ROWS = [
    row(1, FIVE, "C"),
    row(2, FIVE, "ABD"),
    row(3, FIVE[1:], "A", start="B"),
    row(4, FIVE[:4], "BCE", start="B"),
    row(5, FIVE[:4], "D"),
]
LABELS = {
    "Disease Group": "循环系统疾病",
    "Area of Competency": "诊断",
    "Clinical Department": "内科",
    "Medical Discipline": "临床医学",
    "Difficulty level": 2,
}


def write_csv(path, rows):
    """The publisher's file: options are lines of one cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*ROWS[0], *LABELS])
        writer.writeheader()
        for r in rows:
            lines = [f"{o['key']} {o['value']}" for o in r["Options"]]
            writer.writerow({**r, **LABELS, "Options": "\n".join(lines)})


@pytest.fixture
def data_dir(tmp_path):
    fixtures.write_jsonl(tmp_path / "cmexam/test.json", ROWS)  # JSON lines in spite of the name
    return tmp_path


def load(folder):
    return catalog.load(cmexam.CmExam(), folder)


def test_a_question_is_asked_in_chinese_and_options_have_no_blank(data_dir):
    samples = load(data_dir)
    assert choices.prompt(samples[0]) == (
        "\n问题： 第1题，应选\n选项： \nA.保泰松\nB.卡马西平\nC.苯妥英钠\nD.阿苯达唑\nE.B超\n"
        "请直接使用给定选项中的选项字母来回答该问题。"
    )
    assert "选项： \nB.卡马西平\nC.苯妥英钠\nD.阿苯达唑\nE.B超\n" in choices.prompt(samples[2])


def test_several_right_options_are_a_set_and_letters_mean_what_is_shown(data_dir):
    samples = load(data_dir)
    assert [(s.gold, s.answer_type) for s in samples] == [
        ("C", "choice"),
        ("ABD", "choices"),
        ("A", "choice"),
        ("BCE", "choices"),
        ("D", "choice"),
    ]
    assert samples[3].options == ("", *FIVE[:4])
    assert len(samples[3].choices) == 4


def test_both_scores_read_the_golds_and_nothing_else(data_dir):
    samples = load(data_dir)
    choices.expect_only_the_gold_is_right([samples[0], samples[4]])
    for sample in samples:
        assert choices.verdicts(sample, sample.gold) == (True, True)
    # Order does not matter to the strict score; MedEvalKit compares the letters as they stand.
    assert choices.verdicts(samples[1], "DBA") == (False, True)
    assert choices.verdicts(samples[1], "AB") == (False, False)
    assert choices.verdicts(samples[3], "BCD") == (False, False)


def test_a_gold_without_its_option_is_told(data_dir):
    remarks = files.remarks(cmexam.CARD, load(data_dir))
    assert len(remarks) == 2
    assert remarks[0] == (  # no folder: it goes into files that are passed on
        "cmexam: test.json row 2: Answer must be among B, C, D, E, got A; it is asked as it stands"
    )


def test_more_golds_without_an_option_are_refused(tmp_path):
    rows = [ROWS[0], *[ROWS[0] | {"Answer": "G"}] * 3]
    fixtures.write_jsonl(tmp_path / "test.json", rows)
    with pytest.raises(
        errors.UserError, match=r"row 1: Answer must be among A, B, C, D, E, got G \(3 such rows\)"
    ):
        load(tmp_path)


def test_results_keep_the_row_under_medevalkits_names(data_dir):
    sample = load(data_dir)[1]
    assert sample.fields == {
        "Explanation": "解析。",
        "question": "第2题，应选",
        "prompt": choices.prompt(sample),
        "choices": ["A.保泰松", "B.卡马西平", "C.苯妥英钠", "D.阿苯达唑", "E.B超"],
        "answer": "ABD",
    }
    assert dict(sample.strata) == {"answers": "several"}


def test_the_publishers_file_says_the_same_and_more(data_dir, tmp_path):
    write_csv(tmp_path / "publisher/data/test_with_annotations.csv", ROWS)
    samples = load(tmp_path / "publisher")
    assert [(s.messages, s.gold, s.options) for s in samples] == [
        (s.messages, s.gold, s.options) for s in load(data_dir)
    ]
    assert dict(samples[0].strata) == {
        "answers": "one",
        "discipline": "临床医学",
        "department": "内科",
        "competency": "诊断",
        "difficulty": "2",
    }


def test_a_line_without_a_letter_goes_on_with_its_option(tmp_path):
    texts = ["血压\n高于正常", "CT检查\nE值升高", "X线"]
    write_csv(tmp_path / "test_with_annotations.csv", [row(1, texts, "B")])
    assert load(tmp_path)[0].options == tuple(texts)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"Answer": ""}, "row 0: Answer must be letters, got ''"),
        ({"Answer": None}, "row 0: Answer must be letters, got None"),
        ({"Answer": "A,B"}, "row 0: Answer must be letters, got 'A,B'"),
        ({"Options": []}, "row 0: Options must be texts under letters in order"),
        ({"Options": ROWS[0]["Options"][::-1]}, "row 0: Options must be texts under letters"),
        ({"Options": ROWS[0]["Options"][:1] * 2}, "row 0: Options must be texts under letters"),
        ({"Options": "保泰松\n卡马西平"}, "row 0: Options must be texts under letters in order"),
    ],
)
def test_a_row_of_another_form_is_named(tmp_path, change, told):
    fixtures.write_jsonl(tmp_path / "test.json", [ROWS[0] | change])
    with pytest.raises(errors.UserError, match=told):
        load(tmp_path)


def test_a_file_of_another_form_is_named(tmp_path):
    fixtures.write_json(tmp_path / "test.json", ROWS)
    with pytest.raises(errors.UserError, match="row 0 needs .*'Options'.*, found list"):
        load(tmp_path)
    (tmp_path / "test.json").write_text("Question,Options\n")
    with pytest.raises(errors.UserError, match="must hold a JSON object a line"):
        load(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    lacking = {name: value for name, value in ROWS[0].items() if name != "Answer"}
    fixtures.write_jsonl(tmp_path / "test.json", [lacking])
    with pytest.raises(errors.UserError, match="row 0 needs .*'Answer'.*, found .*'Question'"):
        load(tmp_path)


def test_other_counts_than_published_are_told(data_dir):
    told = files.remarks(cmexam.CARD, load(data_dir))
    assert told[1:] == ["cmexam has 5 rows here, 6811 as published"]


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match="hf download .* fzkuji/CMExam --revision a4aaeb2"):
        load(tmp_path)
