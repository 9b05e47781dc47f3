# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import csv
import io
import zipfile

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import cmmlu
from tests.eval.benchmarks import choices, fixtures

# The publisher's columns; the first counts rows and has no name. Options may begin or end in a
# blank, and two of one question may differ in that alone.
HEADER = ["", "Question", "A", "B", "C", "D", "Answer"]
ROWS = [
    ["0", "女性生殖腺是", "卵巢", "前庭大腺", "前庭球", "乳腺", "A"],
    [
        "1",
        "窦房结",
        " 由平滑肌纤维构成",
        "为心的正常起搏点",
        "与房室结无联系",
        "位于心内膜深面",
        "B",
    ],
    ["2", "黄子叶的概率是", "1/16 ", "3/16", "1/16", "1/8", "B"],
    ["3", "属于DNA病毒的是", "新城疫病毒", "马立克氏病病毒", "口蹄疫病毒", "禽流感病毒", "D"],
    ["4", "“泻南补北”法适用于", "肾阴虚，肝阳亢", "心阴虚", "肾阴虚", "心火旺", "C"],
]


def text(rows, header=None):
    file = io.StringIO(newline="")
    csv.writer(file).writerows([header or HEADER, *rows])
    return file.getvalue()


def write(folder, rows=None, header=None):
    folder.mkdir(parents=True, exist_ok=True)
    for task in (*cmmlu.TASKS, "agronomy"):
        few = ROWS[:1] if task != "anatomy" else (rows or ROWS)
        (folder / f"{task}.csv").write_text(text(few, header), encoding="utf-8")


@pytest.fixture
def data_dir(tmp_path):
    write(tmp_path / "CMMLU/data/test")
    return tmp_path


def load(folder):
    return catalog.load(cmmlu.Cmmlu(), folder)


def test_a_question_is_asked_in_chinese_and_options_have_no_blank(data_dir):
    samples = load(data_dir)
    assert choices.prompt(samples[1]) == (
        "\n问题： 窦房结\n选项： \nA. 由平滑肌纤维构成\nB.为心的正常起搏点\n"
        "C.与房室结无联系\nD.位于心内膜深面\n"
        "请直接使用给定选项中的选项字母来回答该问题。"
    )


def test_medical_tasks_are_read_one_after_the_other(data_dir):
    samples = load(data_dir)
    assert [sample.id for sample in samples] == [
        *[f"anatomy-{number}" for number in range(5)],
        *[f"{task}-0" for task in cmmlu.TASKS[1:]],
    ]
    assert [sample.gold for sample in samples[:5]] == ["A", "B", "B", "D", "C"]
    assert dict(samples[-1].strata) == {"task": "virology"}


def test_both_scores_read_the_gold_and_nothing_else(data_dir):
    choices.expect_only_the_gold_is_right(load(data_dir))


def test_results_keep_the_row_under_medevalkits_names(data_dir):
    sample = load(data_dir)[0]
    assert sample.fields == {
        "task": "anatomy",
        "question": "女性生殖腺是",
        "A": "卵巢",
        "B": "前庭大腺",
        "C": "前庭球",
        "D": "乳腺",
        "prompt": choices.prompt(sample),
        "choices": ["A.卵巢", "B.前庭大腺", "C.前庭球", "D.乳腺"],
        "answer": "A",
    }


def test_the_hubs_archive_is_unpacked_once(tmp_path):
    write(tmp_path / "source")
    archive = tmp_path / "cmmlu" / cmmlu.ARCHIVE
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((tmp_path / "source").iterdir()):
            file.write(path, f"test/{path.name}")
    first = load(tmp_path)
    archive.write_bytes(b"")
    assert load(tmp_path) == first
    assert len(first) == 11


def test_other_golds_than_published_are_told(data_dir):
    told = files.remarks(cmmlu.CARD, load(data_dir))
    assert told == [
        "cmmlu has 11 rows here, 1333 as published",
        "cmmlu has other golds here than as published (in brackets): A 7 (333), B 2 (332),"
        " C 1 (335), D 1 (333)",
    ]


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (
            ["0", "问题", "甲", "乙", "丙", "丁", "E"],
            "row 0: the gold must be one of A, B, C, D, got 'E'",
        ),
        (["0", "问题", "甲", "乙", "丙", "丁"], "row 0 needs 7 cells"),
        (["0", "问题", "甲", "乙", "丙", "丁", "A", "B"], "row 0 needs 7 cells"),
    ],
)
def test_a_row_of_another_form_is_named(tmp_path, odd, told):
    write(tmp_path / "test", rows=[odd])
    with pytest.raises(errors.UserError, match=told):
        load(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    write(tmp_path / "test", header=[*HEADER[:-1], "Gold"])
    with pytest.raises(errors.UserError, match="row 0 needs .*'Answer'.*, found .*'Gold'"):
        load(tmp_path)


def test_a_missing_task_is_named(data_dir):
    (data_dir / "CMMLU/data/test/virology.csv").unlink()
    with pytest.raises(errors.UserError, match=r"must hold one virology\.csv, found nothing"):
        load(data_dir)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match="hf download .* haonan-li/cmmlu --revision efcc940"):
        load(tmp_path)


def test_a_damaged_archive_is_named(tmp_path):
    fixtures.write_json(tmp_path / "cmmlu" / cmmlu.ARCHIVE, {})
    with pytest.raises(errors.UserError, match=r"cmmlu_v1_0_1\.zip does not unpack"):
        load(tmp_path)
