# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json

import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, catalog, files
from lingshu_jax.eval.benchmarks import rows, vqa_rad

ROW = {
    "id": "a",
    "messages": [
        {
            "role": "user",
            "content": [{"type": "image", "image": "x.png"}, {"type": "text", "text": "Which?"}],
        },
        {"role": "assistant", "content": "B"},
    ],
    "answer": "B",
    "answer_type": "choice",
    "options": ["cat", "dog"],
    "image_id": "x",
}
# The publisher's field names and quirks: a trailing blank, a numeric answer, a blank before "?".
VQA_ROWS = [
    {
        "qid": 1,
        "image_name": "s1.jpg",
        "answer": "Yes",
        "answer_type": "CLOSED ",
        "question": "Is it A ?",
    },
    {"qid": 2, "image_name": "s1.jpg", "answer": 3, "answer_type": "OPEN", "question": "How many?"},
]


@pytest.fixture
def rows_file(tmp_path):
    Image.new("RGB", (30, 40)).save(tmp_path / "x.png")

    def write(*found):
        path = tmp_path / "set.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
        return path

    return write


@pytest.fixture
def vqa_folder(tmp_path):
    folder = tmp_path / "vqa_rad"
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (30, 40)).save(folder / "images" / "s1.jpg")
    (folder / "testset.json").write_text(json.dumps(VQA_ROWS))
    return folder


def test_rows_become_samples_without_their_answer_turn(rows_file):
    path = rows_file(ROW)
    (sample,) = rows.Rows("set", "set.jsonl").load(path.parent)
    assert [message["role"] for message in sample.messages] == ["user"]
    assert sample.media == [{"type": "image", "image": str(path.parent / "x.png")}]
    assert (sample.question, sample.gold, sample.answer_type) == ("Which?", "B", "choice")
    assert sample.choices == ("A. cat", "B. dog")
    assert (sample.rule, sample.group) == ("choice", "x")


def test_a_row_may_ask_for_a_report(rows_file):
    gold = "Findings: clear. Impression: normal."
    path = rows_file(ROW | {"answer_type": "report", "answer": gold, "options": []})
    (sample,) = catalog.load(rows.Rows("set", "set.jsonl"), path.parent)
    assert (sample.rule, sample.scoring, sample.gold) == ("report", "report", gold)
    row = benchmark.score(sample, benchmark.Answer(gold, "stop"))
    assert (row["compat"]["correct"], row["strict"]["correct"]) == (None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": " ", "answer_type": "report"}, "does not fit type 'report'"),
        ({"answer": None}, "answer must be"),
        ({"answer_type": "essay"}, "answer_type must be one of"),
        ({"options": "AB"}, "options must be a list"),
        ({"messages": []}, "line 1: messages must be"),
        ({"answer": "fish"}, "gold answer 'fish'"),
    ],
)
def test_a_malformed_row_is_named(rows_file, change, message):
    path = rows_file(ROW | change)
    with pytest.raises(errors.UserError, match=message):
        catalog.load(rows.Rows("set", "set.jsonl"), path.parent)


def test_vqa_rad_asks_what_medevalkit_asks(vqa_folder):
    closed, opened = catalog.load(vqa_rad.VqaRad(), vqa_folder.parent)
    image = {"type": "image", "image": str(vqa_folder / "images" / "s1.jpg")}
    assert closed.messages[0]["content"] == [
        image,
        {"type": "text", "text": "is it a?\nPlease output 'yes' or 'no'(no extra output)."},
    ]
    assert opened.messages[0]["content"][1] == {
        "type": "text",
        "text": "how many?\nPlease answer the question concisely.",
    }
    assert [(s.id, s.gold, s.answer_type) for s in (closed, opened)] == [
        ("1", "yes", "yes_no"),
        ("2", "3", "number"),
    ]


def test_the_whole_of_vqa_rad(shared_dir):
    samples = catalog.load(vqa_rad.VqaRad(), shared_dir / "data")
    golds = [sample.gold for sample in samples]
    assert files.remarks(vqa_rad.CARD, samples) == []
    assert len(samples) == 451
    assert (golds.count("no"), golds.count("yes")) == (133, 118)
    assert len({sample.group for sample in samples}) == 203
    folder = shared_dir / "evaldata" / "medevalkit_fork_saitejalekkala33"
    run = json.loads((folder / "vqa-rad_VQA-RAD_results.json").read_text())
    asked = sorted((sample.question, sample.gold) for sample in samples)
    assert asked == sorted((row["question"], row["answer"]) for row in run)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "testset.json").unlink(), "holds testset.json"),
        (lambda folder: (folder / "testset.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "testset.json").write_text('[{"qid": 1}]'), "row 0 needs"),
        (lambda folder: (folder / "images").rename(folder / "pictures"), "no folder named"),
    ],
    ids=["no-file", "no-json", "no-columns", "no-images"],
)
def test_a_broken_vqa_rad_folder_is_named(vqa_folder, break_it, message):
    break_it(vqa_folder)
    with pytest.raises(errors.UserError, match=message):
        vqa_rad.VqaRad().load(vqa_folder.parent)


def test_names_become_benchmarks(rows_file):
    path = rows_file(ROW)
    names = f"vqa_rad, demo_vqa,rows:{path},set"
    with pytest.raises(errors.UserError, match="names set more than once"):
        catalog.choose(names, path.parent)
    chosen = catalog.choose("vqa_rad, demo_vqa,set", path.parent)
    assert [item.card.name for item in chosen] == ["vqa_rad", "demo_vqa", "set"]
    (by_file,) = catalog.choose(f"rows:{path}", None)
    assert [sample.id for sample in catalog.load(by_file, None)] == ["a"]


@pytest.mark.parametrize("names", ["nonsense", "../set", "", " , "])
def test_unknown_names_list_the_known_ones(tmp_path, names):
    with pytest.raises(errors.UserError, match="vqa_rad"):
        catalog.choose(names, tmp_path)


def test_an_id_occurs_once(rows_file):
    path = rows_file(ROW, ROW)
    with pytest.raises(errors.UserError, match="id 'a' occurs more than once"):
        catalog.load(rows.Rows("set", "set.jsonl"), path.parent)
