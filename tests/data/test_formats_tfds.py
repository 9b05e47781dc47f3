# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Prepared data sets of TensorFlow Datasets, read without TensorFlow."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import formats, formats_tfds
from tests.data import test_formats

QUESTIONS = {
    "id": tfds.features.Text(),
    "question": tfds.features.Text(),
    "answer": tfds.features.ClassLabel(names=["no", "yes"]),
    "image": tfds.features.Image(),
    "score": tfds.features.Tensor(shape=(2,), dtype=np.float32),
}
TURNS = {
    "turns": tfds.features.Sequence({"role": tfds.features.Text(), "content": tfds.features.Text()})
}


def features(*texts, images):
    """Features of text columns, and perhaps of a list of images."""
    found = {name: tfds.features.Text() for name in texts}
    return found | ({"images": tfds.features.Sequence(tfds.features.Image())} if images else {})


def prepare(folder, name, columns, rows):
    """Writes a data set with the splits train and test; its version's folder."""

    def generate(builder, split):
        yield from enumerate(rows[split])

    body = {
        "VERSION": tfds.core.Version("1.0.0"),
        "_info": lambda self: tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(columns)
        ),
        "_split_generators": lambda self, manager: {s: generate(self, s) for s in rows},
        "_generate_examples": generate,
    }
    with tfds.core.registered.skip_registration():
        kind = type(name.title(), (tfds.core.GeneratorBasedBuilder,), body)
    builder = kind(data_dir=folder, file_format="array_record")
    builder.download_and_prepare()
    return folder / name / "1.0.0"


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "a.png"
    Image.new("RGB", (40, 30), "red").save(path)
    return path


@pytest.fixture(scope="module")
def questions(tmp_path_factory, picture):
    def rows(split, count):
        row = {"question": "Is it?", "answer": "yes", "image": str(picture), "score": [1, 2]}
        return [{**row, "id": f"{split}{i}"} for i in range(count)]

    folder = tmp_path_factory.mktemp("tfds")
    return prepare(
        folder, "questions", QUESTIONS, {s: rows(s, n) for s, n in {"train": 4, "test": 1}.items()}
    )


def read(folder, **options):
    return list(formats_tfds.read_tfds(folder, formats.Options(**options)))


def test_questions_with_images_labels_and_golds(questions, picture):
    rows = read(questions)
    assert sorted(row.row_id for row in rows) == [f"train{i}" for i in range(4)]
    assert [row.line for row in rows] == [1, 2, 3, 4]
    user, assistant = rows[0].messages
    image = {"type": "image", "image": picture.read_bytes()}
    assert user["content"] == [image, {"type": "text", "text": "Is it?"}]
    assert assistant["content"] == [{"type": "text", "text": "yes"}]
    assert rows[0].meta == {"score": [1.0, 2.0], "answer": "yes", "answer_type": "yes_no"}


@pytest.mark.parametrize(("split", "count"), [("test", 1), ("train[:50%]", 2)])
def test_any_split_of_tfds(questions, split, count):
    assert len(read(questions, split=split)) == count


def test_the_folder_above_will_do(questions):
    assert read(questions.parent.parent) == read(questions)


def test_columns_may_have_other_names(questions):
    columns = {"question": "id", "answer": "question"}
    [record] = read(questions, split="test", columns=columns)
    assert [part.get("text") for part in record.messages[0]["content"]] == [None, "test0"]
    assert record.row_id == "questions/test:1"


def test_messages_as_json_or_as_a_sequence(tmp_path, picture):
    turns = [
        {"role": "user", "content": "<image>What?\n<image>"},
        {"role": "assistant", "content": "A lung."},
    ]
    row = {"messages": json.dumps(turns), "images": [str(picture)] * 2}
    [record] = read(prepare(tmp_path, "chats", features("messages", images=True), {"train": [row]}))
    content = record.messages[0]["content"]
    embedded = picture.read_bytes()
    assert [part.get("image", part.get("text")) for part in content] == [
        embedded,
        "What?\n",
        embedded,
    ]
    plain = [{**turn, "content": "é"} for turn in turns]
    folder = prepare(tmp_path, "turns", TURNS, {"train": [{"turns": plain}]})
    [record] = read(folder, columns={"messages": "turns"})
    assert [m["role"] for m in record.messages] == ["user", "assistant"]
    assert record.messages[1]["content"][0]["text"] == "é"


def test_bad_rows_are_refused_with_the_reason(tmp_path):
    texts = ["{", "[]", "3", '[{"role": "user", "content": "<image>?"}]']
    rows = [{"messages": text, "images": []} for text in texts]
    refused = read(prepare(tmp_path, "bad", features("messages", images=True), {"train": rows}))
    reasons = sorted(row.reason for row in refused)
    assert reasons[0].startswith("1 <image> in the text") and len(reasons) == 4
    assert reasons[1].startswith("messages hold broken JSON")
    assert {row.row_id for row in refused} == {f"bad/train:{i}" for i in (1, 2, 3, 4)}


def test_other_columns_stand_in_an_object_beside_the_messages(tmp_path):
    said = json.dumps([{"role": "user", "content": "?"}, {"role": "assistant", "content": "b"}])
    rows = [{"messages": said, "meta_json": text} for text in ('{"answer": "b"}', "[]", "{")]
    columns = features("messages", "meta_json", images=False)
    found = read(prepare(tmp_path, "kept", columns, {"train": rows}))
    assert [row.meta for row in found if isinstance(row, formats.Record)] == [{"answer": "b"}]
    reasons = sorted(row.reason for row in found if isinstance(row, formats.Refusal))
    assert reasons[0].startswith("meta_json holds broken JSON")
    assert reasons[1] == "meta_json must hold an object, got list"


def test_a_damaged_record_is_refused_alone(questions, tmp_path):
    folder = tmp_path / "questions" / "1.0.0"
    shutil.copytree(questions, folder)
    shard = folder / "questions-train.array_record-00000-of-00001"
    test_formats.write_array_record(shard, [b"\xff\xffno proto"] * 4)
    rows = read(folder)
    assert len(rows) == 4 and all("damaged example" in row.reason for row in rows)


def test_what_is_no_prepared_data_set_is_an_error(questions, tmp_path):
    with pytest.raises(errors.UserError, match=r"must hold one prepared .* found no features.json"):
        read(tmp_path)
    for version in ("1.0.0", "2.0.0"):
        shutil.copytree(questions, tmp_path / version)
    with pytest.raises(errors.UserError, match=r"found 1\.0\.0, 2\.0\.0"):
        read(tmp_path)
    with pytest.raises(errors.UserError, match="Unknown split 'nope'"):
        read(questions, split="nope")
    (tmp_path / "1.0.0" / "dataset_info.json").write_text("{")
    with pytest.raises(errors.UserError, match=r"1\.0\.0"):
        read(tmp_path / "1.0.0")


def test_a_data_set_without_its_records_is_no_empty_one(questions, tmp_path):
    shutil.copytree(questions, tmp_path / "1.0.0")
    for shard in (tmp_path / "1.0.0").glob("*train*"):
        shard.unlink()
    rows = read(tmp_path)
    assert len(rows) == 4 and all(isinstance(row, formats.Refusal) for row in rows)


def test_the_files_that_hold_rows(questions):
    files = formats_tfds.row_files(questions.parent, formats.Options())
    assert {"features.json", "dataset_info.json"} < {file.name for file in files}


def test_tensorflow_is_not_imported(questions, repo):
    code = (
        "import sys, pathlib; from lingshu_jax.data import formats, formats_tfds;"
        "rows = list(formats_tfds.read_tfds(pathlib.Path(sys.argv[1]), formats.Options()));"
        "assert len(rows) == 4 and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(questions)], check=True, cwd=repo, timeout=120)
