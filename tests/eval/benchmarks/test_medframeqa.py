# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import medframeqa
from tests.eval.benchmarks import choices, fixtures


def cell(shade):
    return {"bytes": fixtures.picture(shade), "path": f"frame-{shade}.jpg"}


def row(number, shades, gold, *, options=5):
    frames = {f"image_{i + 1}": cell(shades[i]) if i < len(shades) else None for i in range(5)}
    return {
        "question_id": f"q{number}",
        "system": "nervous system",
        "organ": "brain",
        "keyword": "tumor",
        "modality": "MRI",
        "video_id": f"video-{number // 3}",
        "question": f"What do the {len(shades)} frames show?",
        "options": [f"Finding {text}" for text in range(options)],
        "correct_answer": gold,
        "reasoning_chain": "The first frame shows ...",
        "image_url": [f"frame-{shade}.jpg" for shade in shades],
        **frames,
    }


# The hub's columns: two to five frames, empty ones last; five options or six.
ROWS = [
    row(1, [10, 20], "A", options=6),
    row(2, [30, 40, 50], "E"),
    row(3, [60, 70], "B"),
    row(4, [80, 90, 100, 110, 120], "F", options=6),
    row(5, [10, 130], "C"),
]


@pytest.fixture
def data_dir(tmp_path):
    fixtures.write_parquet(tmp_path / "medframeqa/data/test-00000-of-00002.parquet", ROWS[:3])
    fixtures.write_parquet(tmp_path / "medframeqa/data/test-00001-of-00002.parquet", ROWS[3:])
    return tmp_path


def load(folder):
    return catalog.load(medframeqa.MedFrameQa(), folder)


def test_frames_are_numbered_and_options_have_no_blank(data_dir):
    samples = load(data_dir)
    assert [sample.id for sample in samples] == ["q1", "q2", "q3", "q4", "q5"]
    assert samples[1].messages[0]["content"] == [
        {"type": "text", "text": "<image_1>: "},
        {"type": "image", "image": fixtures.picture(30)},
        {"type": "text", "text": "<image_2>: "},
        {"type": "image", "image": fixtures.picture(40)},
        {"type": "text", "text": "<image_3>: "},
        {"type": "image", "image": fixtures.picture(50)},
        {
            "type": "text",
            "text": "\nQuestion: What do the 3 frames show?\nOptions: \nA.Finding 0\nB.Finding 1\n"
            "C.Finding 2\nD.Finding 3\nE.Finding 4\nAnswer with the option's letter from the given"
            " choices directly.",
        },
    ]


def test_both_scores_read_the_gold_and_nothing_else(data_dir):
    samples = load(data_dir)
    assert [sample.gold for sample in samples] == ["A", "E", "B", "F", "C"]
    for sample in samples:
        for letter in "ABCDE":
            right = letter == sample.gold
            assert choices.verdicts(sample, f"{letter}.") == (right, right)


def test_questions_of_a_video_share_a_group(data_dir):
    samples = load(data_dir)
    assert [sample.group for sample in samples] == [f"video-{i}" for i in (0, 0, 1, 1, 1)]
    assert dict(samples[3].strata) == {
        "system": "nervous system",
        "organ": "brain",
        "modality": "MRI",
        "images": "5",
    }


def test_results_keep_the_row_without_frames(data_dir):
    fields = load(data_dir)[1].fields
    assert fields["answer"] == "E"
    assert fields["choices"][0] == "A.Finding 0"
    assert fields["reasoning_chain"] == "The first frame shows ..."
    assert not {"options", "correct_answer", *medframeqa.IMAGES} & set(fields)


def test_other_counts_than_published_are_told(data_dir):
    told = files.remarks(medframeqa.CARD, load(data_dir))
    assert told == ["medframeqa has 5 rows here, 2851 as published"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"correct_answer": "F"}, "id q2: the gold must be one of A, B, C, D, E, got 'F'"),
        ({"correct_answer": None}, "id q2: the gold must be one of A, B, C, D, E, got None"),
        ({"options": []}, "id q2: options must be a list of texts"),
        ({"image_2": None, "image_3": None}, "id q2 needs 2 to 5 of image_1, .*, found 1"),
        (
            {"image_2": {"bytes": b"", "path": "frame-40.jpg"}},
            "id q2 image_2 must hold an encoded picture",
        ),
    ],
)
def test_a_row_that_cannot_be_asked_is_named(tmp_path, change, told):
    fixtures.write_parquet(tmp_path / "data/test-0.parquet", [ROWS[0], ROWS[1] | change])
    with pytest.raises(errors.UserError, match=told):
        load(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    lacking = {name: value for name, value in ROWS[0].items() if name != "correct_answer"}
    fixtures.write_parquet(tmp_path / "data/test-0.parquet", [lacking])
    with pytest.raises(errors.UserError, match="row 0 needs .*'correct_answer'.*, found"):
        load(tmp_path)


def test_a_missing_part_is_named(data_dir):
    (data_dir / "medframeqa/data/test-00001-of-00002.parquet").unlink()
    with pytest.raises(errors.UserError, match="must hold 2 files"):
        load(data_dir)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match="hf download .* SuhaoYu1020/MedFrameQA --revision"):
        load(tmp_path)
