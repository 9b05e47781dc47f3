# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import medqa_mcmle
from tests.eval.benchmarks import choices, fixtures


def row(question, texts, gold):
    options = dict(zip("ABCD", texts, strict=True))
    return {
        "question": question,
        "options": options,
        "answer": options[gold],
        "meta_info": "卫生法规",
        "answer_idx": gold,
    }


# The publisher's fields; two options may have one text, or be letters themselves.
ROWS = [
    row("应报告的时间是（　　）。", ["2小时", "4小时内", "12小时内", "24小时内"], "D"),
    row("应诊断为合并（　　）。", ["主要静脉损伤", "肱动脉损伤", "肌肉断裂伤", "神经损伤"], "B"),
    row("禁食的时间为（　　）。", ["禁食6小时", "禁食10小时", "禁食10小时", "禁食8～12小时"], "D"),
    row("5-FU是哪一种碱基的类似物？（　　）", ["U", "A", "G", "T"], "D"),
    row("其数值为（　　）。", ["1～2", "3.5～5.5", "6", "7～8"], "C"),
]


@pytest.fixture
def data_dir(tmp_path):
    fixtures.write_jsonl(tmp_path / "medqa_mcmle/MedQA-MCMLE.jsonl", ROWS)
    return tmp_path


def load(folder):
    return catalog.load(medqa_mcmle.MedQaMcmle(), folder)


def test_options_are_shown_without_letters_as_in_medevalkit(data_dir):
    sample = load(data_dir)[0]
    assert choices.prompt(sample) == (
        "\n问题： 应报告的时间是（　　）。\n选项： \n2小时\n4小时内\n12小时内\n24小时内\n"
        "请直接使用给定选项中的选项字母来回答该问题。"
    )
    assert sample.choices == sample.options == ("2小时", "4小时内", "12小时内", "24小时内")
    assert sample.fields == {
        "prompt": choices.prompt(sample),
        "choices": ["2小时", "4小时内", "12小时内", "24小时内"],
        "answer": "D",
    }


def test_both_scores_read_the_gold_and_nothing_else(data_dir):
    samples = load(data_dir)
    assert [sample.gold for sample in samples] == ["D", "B", "D", "D", "C"]
    for sample in samples:
        for letter in "ABCD":
            right = letter == sample.gold
            assert choices.verdicts(sample, letter) == (right, right), (sample.id, letter)
    for sample in samples[:3]:
        text = sample.options["ABCD".index(sample.gold)]
        assert choices.verdicts(sample, text) == (True, True), sample.id


def test_an_option_that_is_a_letter_beyond_the_options_is_one_to_the_strict_score(data_dir):
    assert choices.verdicts(load(data_dir)[3], "T") == (True, False)


def test_the_publishers_folder_is_found(tmp_path):
    path = tmp_path / "data_clean/questions/Mainland/4_options/test.jsonl"
    fixtures.write_jsonl(path, ROWS)
    samples = load(tmp_path)
    assert [sample.id for sample in samples] == ["0", "1", "2", "3", "4"]
    assert dict(samples[0].strata) == {"subject": "卫生法规"}


def test_other_golds_than_published_are_told(data_dir):
    told = files.remarks(medqa_mcmle.CARD, load(data_dir))
    assert told == [
        "medqa_mcmle has 5 rows here, 3426 as published",
        "medqa_mcmle has other golds here than as published (in brackets): A 0 (779), B 1 (926),"
        " C 1 (902), D 3 (819)",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answer_idx": "E"}, "row 1: the gold must be one of A, B, C, D, got 'E'"),
        ({"answer_idx": 3}, "row 1: the gold must be one of A, B, C, D, got 3"),
        ({"options": ["甲", "乙"]}, "row 1: options must be texts under A, B, C and so on"),
        ({"options": {"B": "甲", "A": "乙"}}, "row 1: options must be texts under A, B, C"),
    ],
)
def test_a_row_of_another_form_is_named(tmp_path, change, told):
    fixtures.write_jsonl(tmp_path / "MedQA-MCMLE.jsonl", [ROWS[0], ROWS[1] | change])
    with pytest.raises(errors.UserError, match=told):
        load(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    lacking = {name: value for name, value in ROWS[0].items() if name != "answer_idx"}
    fixtures.write_jsonl(tmp_path / "MedQA-MCMLE.jsonl", [lacking])
    with pytest.raises(errors.UserError, match="row 0 needs .*'answer_idx'.*, found .*'answer'"):
        load(tmp_path)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match="hf download .* shuyuej/MedQA-MCMLE-Benchmark"):
        load(tmp_path)
