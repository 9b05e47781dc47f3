# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's rows: what is held out, what can be answered blindly, and that golds are right."""

import json
import re
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors, prompts
from lingshu_jax.data import demo_rows, sources


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return demo_rows.make(tmp_path_factory.mktemp("demo") / "rows")


@pytest.fixture(scope="module")
def rows(made):
    return {
        name: [json.loads(line) for line in made.path(name).read_text().splitlines()]
        for name in demo_rows.FILES
    }


def question_of(row):
    return row["messages"][0]["content"][-1]["text"]


def pixels_of(made, row):
    path = made.folder / row["messages"][0]["content"][0]["image"]
    return np.asarray(Image.open(path).convert("RGB")).mean(axis=-1) / 255


def test_size(made, rows):
    assert {name: len(rows[name]) for name in rows} == made.counts
    assert 1000 <= sum(made.images.values()) <= 2300
    assert made.counts["instruct"] + made.counts["vqa_train"] + made.counts["vqa_test"] > 4000
    assert made.modalities == ["CT", "MR", "ultrasound"]
    assert len(list((made.folder / "images").iterdir())) == sum(made.images.values())


def test_every_row_reads_as_a_source(made):
    for name in demo_rows.FILES:
        reading = sources.read(sources.Source(name=name, path=f"{name}.jsonl"), made.folder)
        assert (len(reading.examples), reading.dropped) == (made.counts[name], [])


def test_no_held_out_picture_is_trained_on(rows):
    train = {row.get("unit") for name in demo_rows.FILES[:3] for row in rows[name]}
    test = {row["unit"] for row in rows["vqa_test"]}
    assert not train & test and len(test) > 20
    trained = {p["image"] for n in demo_rows.FILES[:3] for r in rows[n] for p in media(r)}
    assert not trained & {p["image"] for r in rows["vqa_test"] for p in media(r)}


def media(row):
    return [p for p in row["messages"][0]["content"] if p["type"] == "image"]


def test_instruction_and_rl_views_are_apart(rows):
    assert not {r.get("image_id") for r in rows["instruct"]} & {
        r["image_id"] for r in rows["vqa_train"]
    }


@pytest.mark.parametrize("name", ["vqa_train", "vqa_test"])
def test_a_constant_answer_is_no_better_than_chance(rows, name):
    golds = {}
    for row in rows[name]:
        golds.setdefault(row["kind"], Counter())[row["answer"]] += 1
    for kind, counts in golds.items():
        assert len(counts) > 1 and len(set(counts.values())) == 1, (kind, counts)


def test_baselines_are_those_of_the_test_file(made, rows):
    assert sum(b.rows for b in made.baselines.values()) == len(rows["vqa_test"])
    assert made.baselines["modality"].accuracy == pytest.approx(1 / 3)
    assert made.baselines["quadrant"].accuracy == pytest.approx(1 / 4)
    assert made.blind_accuracy < 0.45


def test_golds_agree_with_the_saved_pixels(made, rows):
    checked = Counter()
    for row in rows["vqa_train"] + rows["vqa_test"]:
        gray = pixels_of(made, row)
        h, w = gray.shape
        if row["kind"] == "left_right":
            bright = "left" if gray[:, : w // 2].sum() > gray[:, -(w // 2) :].sum() else "right"
        elif row["kind"] == "top_bottom":
            bright = "top" if gray[: h // 2].sum() > gray[-(h // 2) :].sum() else "bottom"
        elif row["kind"] == "brightness":
            bright = "bright" if gray.mean() > 0.45 else "dark"
        elif row["kind"] == "quadrant":
            sums = [part.sum() for half in np.array_split(gray, 2) for part in split_columns(half)]
            bright = "ABCD"[int(np.argmax(sums))]
        else:
            continue
        assert row["answer"] == bright, row
        checked[row["kind"]] += 1
    assert set(checked) == {"left_right", "top_bottom", "brightness", "quadrant"}


def split_columns(half):
    return half[:, : half.shape[1] // 2], half[:, -(half.shape[1] // 2) :]


def test_choice_rows_list_their_options(rows):
    choices = [r for r in rows["vqa_test"] if r["answer_type"] == "choice"]
    assert choices
    for row in choices:
        lines = [f"{'ABCD'[i]}. {option}" for i, option in enumerate(row["options"])]
        assert question_of(row).split("\n")[1:] == lines
        assert row["answer"] in "ABCD"[: len(lines)]


def test_form_of_instruction_answers(rows):
    forms = Counter()
    for row in rows["instruct"]:
        answer = row["messages"][-1]["content"][0]["text"]
        asked = question_of(row).endswith(prompts.ANSWER_FORMAT)
        if asked:
            found = re.fullmatch(r"<think>([^<]+)</think> <answer>([^<]+)</answer>", answer)
            assert found and found[2] == row["answer"]
        else:
            assert answer == row["answer"]
        forms[asked] += 1
    assert 0.4 < forms[True] / forms.total() < 0.6
    assert not any(prompts.ANSWER_FORMAT in question_of(r) for r in rows["vqa_train"])


def test_text_only_and_two_image_rows_are_there(rows):
    counts = Counter(len(media(row)) for row in rows["instruct"])
    assert counts[0] >= 10 and counts[2] >= 50 and counts[1] > 1000


def test_captions_say_what_the_header_says(rows):
    texts = [row["messages"][1]["content"][0]["text"] for row in rows["captions"]]
    assert any(re.search("axial MR image, 2.2 mm thick", text) for text in texts)
    assert any(
        re.search("ultrasound image, from a clip. It is mostly (dark|bright)", text)
        for text in texts
    )
    assert any("body part whole body" in text for text in texts)
    assert max(map(len, texts)) < 120 and not any("None" in text for text in texts)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(demo_rows, "TRAIN_VIEWS", 60)
    monkeypatch.setattr(demo_rows, "TEST_VIEWS", 40)


def test_same_seed_same_rows_other_seed_other_rows(few, tmp_path):
    one, again = (demo_rows.make(tmp_path / name) for name in ("one", "again"))
    other = demo_rows.make(tmp_path / "other", seed=1)
    texts = [d.path("vqa_test").read_text() for d in (one, again, other)]
    assert texts[0] == texts[1] != texts[2]
    image = "images/train-0003.png"
    assert (one.folder / image).read_bytes() == (again.folder / image).read_bytes()


def test_a_finished_folder_is_used_again(made):
    before = (made.folder / demo_rows.MANIFEST).stat().st_mtime_ns
    assert demo_rows.make(made.folder) == made
    assert (made.folder / demo_rows.MANIFEST).stat().st_mtime_ns == before


def test_nothing_half_written_stays(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (50, 50)).save(pictures / "a.png")
    with pytest.raises(errors.UserError, match="pictures: too few different pictures, 0 to train"):
        demo_rows.make(tmp_path / "rows", pictures)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


def test_another_folder_is_not_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(errors.UserError, match="holds no demo rows"):
        demo_rows.make(tmp_path)
    with pytest.raises(errors.UserError, match="demo_rows.json is missing"):
        demo_rows.load(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_own_pictures_give_pixel_questions_only(made, few, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i, path in enumerate(sorted((made.folder / "images").iterdir())[::40]):
        shutil.copy(path, pictures / f"{i}.png")
    own = demo_rows.make(tmp_path / "rows", pictures)
    kinds = set(own.baselines)
    assert kinds and kinds <= {"brightness", "left_right", "top_bottom", "quadrant", "centre"}
    assert own.modalities == []
