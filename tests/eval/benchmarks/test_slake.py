# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import zipfile

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, catalog, files
from lingshu_jax.eval.benchmarks import slake
from tests.eval.benchmarks import fixtures


def row(qid, question, answer, *, lang="en", kind="OPEN", image="xmlab1"):
    return {
        "img_id": 1,
        "img_name": f"{image}/source.jpg",
        "question": question,
        "answer": answer,
        "q_lang": lang,
        "location": "Lung",
        "modality": "CT",
        "answer_type": kind,
        "base_type": "vqa",
        "triple": ["vhead", "_", "_"],
        "qid": qid,
        "content_type": "Organ",
    }


# The publisher's fields. Closed golds are words of polarity in two languages, with a capital, or
# one of the things asked about; numbers and lists are open.
ROWS = [
    row(11, "Does the picture contain liver?", "No", kind="CLOSED"),
    row(12, "图中包含肺吗?", "包含", lang="zh", kind="CLOSED"),
    row(13, "How many kidneys are there in this image?", "2"),
    row(14, "肺部有哪些异常?", "肺结节,肺肿块", lang="zh", image="xmlab2"),
    row(15, "Is this a T1 or T2 weighted MRI?", "T2", kind="CLOSED", image="xmlab2"),
]
IMAGES = ("xmlab1/source.jpg", "xmlab2/source.jpg")


@pytest.fixture
def data_dir(tmp_path):
    fixtures.write_json(tmp_path / "slake/test.json", ROWS)
    for name in IMAGES:
        fixtures.write_picture(tmp_path / "slake/imgs" / name)
    return tmp_path


def load(folder):
    return catalog.load(slake.Slake(), folder)


def texts(samples):
    return [sample.messages[0]["content"][-1]["text"] for sample in samples]


def test_rows_are_asked_as_medevalkit_asks_them(data_dir):
    samples = load(data_dir)
    assert texts(samples) == [
        "Does the picture contain liver?\nAnswer the question using a single word or phrase.",
        "图中包含肺吗?\n请用一个单词或者短语回答该问题。",
        "How many kidneys are there in this image?\nPlease answer the question concisely.",
        "肺部有哪些异常?\n请简要回答该问题。",
        "Is this a T1 or T2 weighted MRI?\nAnswer the question using a single word or phrase.",
    ]
    image = samples[3].messages[0]["content"][0]
    assert image == {
        "type": "image",
        "image": str(data_dir / "slake/imgs/xmlab2/source.jpg"),
    }
    assert samples[1].fields == {
        "lang": "zh",
        "answer_type": "CLOSED",
        "answer": "包含",
        "question": "图中包含肺吗?",
        "prompt": "图中包含肺吗?\n请用一个单词或者短语回答该问题。",
    }


def test_strict_types_follow_the_gold(data_dir):
    kinds = [sample.answer_type for sample in load(data_dir)]
    assert kinds == ["yes_no", "yes_no", "number", "open", "open"]


def test_nothing_found_is_no_polarity_in_an_open_question(tmp_path):
    rows = [
        row(1, "肺部有哪些异常?", "无", lang="zh"),
        row(2, "有异常吗?", "无", lang="zh", kind="CLOSED"),
    ]
    fixtures.write_json(tmp_path / "test.json", rows)
    fixtures.write_picture(tmp_path / "imgs" / IMAGES[0])
    assert [sample.answer_type for sample in load(tmp_path)] == ["open", "yes_no"]


def test_samples_are_grouped_by_image_and_broken_down(data_dir):
    samples = load(data_dir)
    assert [sample.id for sample in samples] == ["11", "12", "13", "14", "15"]
    assert [sample.group for sample in samples] == [IMAGES[i] for i in (0, 0, 0, 1, 1)]
    assert [sample.is_open for sample in samples] == [False, False, True, True, False]
    assert samples[3].strata == {
        "language": "zh",
        "answer_type": "OPEN",
        "modality": "CT",
        "location": "Lung",
        "content_type": "Organ",
        "base_type": "vqa",
    }


def test_both_scores_read_the_gold(data_dir):
    for sample in load(data_dir):
        scored = benchmark.score(sample, benchmark.Answer(sample.gold, "stop"))
        assert scored["compat"]["correct"], sample.id
        assert scored["strict"]["correct"], sample.id


@pytest.mark.parametrize(
    ("place", "said", "compat", "strict"),
    [
        (0, "Yes", False, False),
        (0, "No, there is none.", False, True),  # MedEvalKit compares letter by letter
        (1, "是的", False, True),  # the same polarity in another word
        (1, "不包含", False, False),
        (2, "two", False, True),
        (2, "3", False, False),
        (3, "肺肿块、肺结节", False, True),  # lists have no order
        (3, "肺结节", False, False),
        (4, "T1", False, False),
    ],
)
def test_where_the_scores_differ(data_dir, place, said, compat, strict):
    scored = benchmark.score(load(data_dir)[place], benchmark.Answer(said, "stop"))
    assert (scored["compat"]["correct"], scored["strict"]["correct"]) == (compat, strict)


@pytest.mark.parametrize("inside", ["imgs/", ""])
def test_the_archive_of_the_hub_is_unpacked(tmp_path, inside):
    fixtures.write_json(tmp_path / "test.json", ROWS)
    with zipfile.ZipFile(tmp_path / "imgs.zip", "w") as file:
        for name in IMAGES:
            file.writestr(inside + name, fixtures.picture())
    samples = load(tmp_path)
    assert samples[0].media[0]["image"] == str(tmp_path / "imgs" / inside / IMAGES[0])


def test_the_publishers_own_folder_is_found(data_dir):
    (data_dir / "slake").rename(data_dir / "Slake1.0")
    assert len(load(data_dir)) == 5


def test_other_counts_than_published_are_told(data_dir):
    found = files.remarks(slake.CARD, load(data_dir))
    assert found[0] == "slake has 5 rows here, 2094 as published"
    assert "No 1 (180)" in found[1]


def test_a_missing_image_is_named(data_dir):
    (data_dir / "slake/imgs" / IMAGES[1]).unlink()
    with pytest.raises(errors.UserError, match="slake: no picture 'xmlab2/source.jpg' .looked in"):
        load(data_dir)


def test_missing_images_say_what_to_unpack(data_dir):
    (data_dir / "slake/imgs").rename(data_dir / "slake/pictures")
    with pytest.raises(
        errors.UserError, match="slake has no folder imgs/imgs or imgs; put imgs.zip there"
    ):
        load(data_dir)


def test_a_missing_column_is_named(data_dir):
    rows = [{name: value for name, value in ROWS[0].items() if name != "q_lang"}]
    fixtures.write_json(data_dir / "slake/test.json", rows)
    with pytest.raises(errors.UserError, match="row 0 needs .*'q_lang'.*, found .*'triple'"):
        load(data_dir)


def test_another_language_is_refused(data_dir):
    fixtures.write_json(data_dir / "slake/test.json", [ROWS[0] | {"q_lang": "fr"}])
    with pytest.raises(errors.UserError, match="qid 11: q_lang must be en or zh, got 'fr'"):
        load(data_dir)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match="hf download .* BoKelvin/SLAKE --revision a9083ce"):
        load(tmp_path)
