# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, catalog, files
from lingshu_jax.eval.benchmarks import path_vqa
from tests.eval.benchmarks import fixtures


def row(question, answer, shade=90):
    return {
        "image": {"bytes": fixtures.picture(shade), "path": None},
        "question": question,
        "answer": answer,
    }


# The hub's columns, in two of three files. The fourth gold is yes only after MedEvalKit's scoring
# strips it: the prompt is that of an open question.
ROWS = [
    row("where are liver stem cells (oval cells) located?", "in the canals of hering"),
    row("is the covering mucosa ulcerated?", "yes"),
    row("are the cells small ?", "no", 120),
    row("is the lesion malignant?", "Yes ", 120),
    row("how many lobules are there?", "2", 120),
]
FILES = [f"data/test-0000{i}-of-00002-{tail}.parquet" for i, tail in enumerate(("e9ad", "16a3"))]


@pytest.fixture
def data_dir(tmp_path):
    fixtures.write_parquet(tmp_path / "path_vqa" / FILES[0], ROWS[:2])
    fixtures.write_parquet(tmp_path / "path_vqa" / FILES[1], ROWS[2:])
    return tmp_path


def load(folder):
    return catalog.load(path_vqa.PathVqa(), folder)


def test_rows_are_asked_as_medevalkit_asks_them(data_dir):
    samples = load(data_dir)
    assert [sample.messages[0]["content"][1]["text"] for sample in samples] == [
        "where are liver stem cells (oval cells) located?\nPlease answer the question concisely.",
        "is the covering mucosa ulcerated?\nPlease output 'yes' or 'no'(no extra output).",
        "are the cells small ?\nPlease output 'yes' or 'no'(no extra output).",
        "is the lesion malignant?\nPlease answer the question concisely.",
        "how many lobules are there?\nPlease answer the question concisely.",
    ]
    assert samples[0].messages[0]["content"][0] == {"type": "image", "image": fixtures.picture()}
    assert samples[3].fields == {"question": "is the lesion malignant?", "answer": "Yes "}


def test_parts_are_read_in_order_and_equal_pictures_are_kept_once(data_dir):
    samples = load(data_dir)
    assert [sample.id for sample in samples] == ["0", "1", "2", "3", "4"]
    assert samples[2].media[0]["image"] is samples[4].media[0]["image"]
    groups = [sample.group for sample in samples]
    assert groups[0] == groups[1] != groups[2] == groups[3] == groups[4]


def test_strict_types_follow_the_gold(data_dir):
    samples = load(data_dir)
    kinds = [sample.answer_type for sample in samples]
    assert kinds == ["open", "yes_no", "yes_no", "yes_no", "number"]
    assert [sample.strata["answer_type"] for sample in samples] == [
        *("open", "yes/no", "yes/no", "yes/no", "open")
    ]


def test_both_scores_read_the_gold(data_dir):
    for sample in load(data_dir):
        scored = benchmark.score(sample, benchmark.Answer(sample.gold, "stop"))
        assert scored["compat"]["correct"], sample.id
        assert scored["strict"]["correct"], sample.id


@pytest.mark.parametrize(
    ("place", "said"), [(0, "in the portal vein"), (1, "no"), (2, "Yes"), (3, "No."), (4, "3")]
)
def test_both_scores_refuse_a_wrong_answer(data_dir, place, said):
    scored = benchmark.score(load(data_dir)[place], benchmark.Answer(said, "stop"))
    assert not scored["compat"]["correct"]
    assert not scored["strict"]["correct"]


def test_other_counts_than_published_are_told(data_dir):
    assert files.remarks(path_vqa.CARD, load(data_dir)) == [
        "path_vqa has 5 rows here, 6719 as published"
    ]


def test_a_missing_part_is_told(data_dir):
    (data_dir / "path_vqa" / FILES[0]).unlink()
    with pytest.raises(errors.UserError, match="hold 2 files data/test.*, found test-00001-of"):
        load(data_dir)


def test_a_missing_column_is_named(tmp_path):
    fixtures.write_parquet(tmp_path / "data/test-0.parquet", [{"image": None, "question": "why?"}])
    with pytest.raises(errors.UserError, match="row 0 needs .*'answer'.*, found .*'image'"):
        load(tmp_path)


def test_a_missing_picture_is_named(tmp_path):
    broken = ROWS[1] | {"image": {"bytes": b"", "path": "img_0001.jpg"}}
    fixtures.write_parquet(tmp_path / "data/test-0.parquet", [ROWS[0], broken])
    with pytest.raises(errors.UserError, match="test-0.parquet question 1 image must hold"):
        load(tmp_path)


def test_a_missing_answer_is_named(tmp_path):
    fixtures.write_parquet(tmp_path / "data/test-0.parquet", [ROWS[0], ROWS[1] | {"answer": None}])
    with pytest.raises(errors.UserError, match="question 1: question and answer must be text"):
        load(tmp_path)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match="hf download .* flaviagiammarino/path-vqa"):
        load(tmp_path)
