# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""One question on its way into the training file: what stays of it and what does not."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors, prompts
from lingshu_jax.data import formats, images, sources
from lingshu_jax.rl import prepare_choices, prepare_rows
from tests.data import dicom_files

GEO3K = (
    "You FIRST think about the reasoning process as an internal monologue and then provide the "
    "final answer. The reasoning process MUST BE enclosed within <think> </think> tags. The final "
    "answer MUST BE put in \\boxed{}."
)
LETTER = GEO3K.replace(
    "MUST BE put in \\boxed{}.",
    "MUST BE a single option letter (e.g., A, B, C, D, E) enclosed within <answer> </answer> tags.",
)
R1V = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves "
    "it. The assistant first thinks. The reasoning process and answer are enclosed within <think> "
    "</think> and <answer> </answer> tags, respectively, i.e., <think> reasoning process here "
    "</think><answer> answer here </answer>"
)


def text(value):
    return {"type": "text", "text": value}


def example(question="Which side?", *pictures, before=(), **meta):
    parts = [{"type": "image", "image": picture} for picture in pictures]
    turns = [*before, {"role": "user", "content": [*parts, text(question)]}]
    turns.append({"role": "assistant", "content": [text("left, I think")]})
    meta = {"answer": "left", "answer_type": "open", **meta}
    return sources.Example(id="7", source="s", messages=tuple(turns), meta=meta)


def make(given, **options):
    return prepare_rows.make(given, **{"open_choices": True, **options})


def row(made):
    return prepare_rows.as_row(made.example, {})


def test_of_the_meta_the_list_alone_goes_on():
    private = {"patient": "DOE^JOHN", "study": 3, "extra_info": {"name": "DOE"}, "image_id": "p1"}
    made = make(example(kind="ORGAN", aliases=["l"], **private))
    assert row(made) == {
        "id": "7",
        "messages": [
            {"role": "user", "content": [text("Which side?")]},
            {"role": "assistant", "content": "left"},
        ],
        "answer": "left",
        "answer_type": "open",
        "aliases": ["l"],
        "kind": "ORGAN",
        "source": "s",
        "modality": "unknown",
    }
    assert "DOE" not in json.dumps(row(made))


def test_a_choice_is_rewritten_and_says_so():
    asked = prompts.ask(prompts.ask_choice("Which side?", ["left", "right"]), prompts.CHOICE)
    made = make(example(asked, answer="A", answer_type="choice", options=["left", "right"]))
    assert (made.form, made.choice) == ("choice", prepare_rows.REWRITTEN)
    assert made.cell == ("unknown", "open", "")
    found = row(made)
    assert found["messages"][0]["content"] == [text(f"Which side?\n{prompts.OPEN}")]
    assert found["messages"][1]["content"] == found["answer"] == "left"
    assert found["rewritten"] is True and "options" not in found


def test_a_choice_that_stays_one_keeps_its_options():
    asked = prompts.ask_choice("Which of the following is seen?", ["left", "right"])
    given = example(asked, answer="A", answer_type="choice", options=["left", "right"])
    made = make(given)
    assert made.choice == prepare_choices.REFERS and row(made)["options"] == ["left", "right"]
    assert row(made)["messages"][0]["content"] == [text(asked)]
    assert make(given, open_choices=False).choice == ""


def test_a_choice_with_maybe_counts_as_yes_no():
    options = ["yes", "no", "maybe"]
    made = make(example("Is it?", answer="A", answer_type="choice", options=options))
    assert made.cell == ("unknown", "yes_no", "a choice with yes or no")


@pytest.mark.parametrize("answer", ["yes", "No.", "false"])
def test_the_polarity_of_a_yes_no_question(answer):
    made = make(example("Is it?", answer=answer, answer_type="yes_no"))
    assert made.cell.polarity == ("yes" if answer == "yes" else "no")


@pytest.mark.parametrize(
    ("question", "left"),
    [
        (f"Find x. {GEO3K}", "Find x."),
        (f"Find x.\n\n{LETTER}", "Find x."),
        (f"Find x. {R1V}", "Find x."),
        ('Find x. Let\'s think step by step and output the final answer after "####".', "Find x."),
        (
            "Find x. Let's think step by step and output the final answer within \\boxed{}.",
            "Find x.",
        ),
        (
            "Find x.\nPlease reason step by step, and put your final answer within \\boxed{}.",
            "Find x.",
        ),
        ('Is it?\nAnswer and put the answer in one "\\boxed{}".', "Is it?\nAnswer."),
        ("You FIRST think, then look.", "You FIRST think, then look."),
    ],
)
def test_instructions_for_other_forms_go(question, left):
    made = make(example(question))
    assert row(made)["messages"][0]["content"] == [text(left)]
    assert made.instructions == (left != question)


def test_a_system_message_of_an_instruction_alone_goes():
    system = {"role": "system", "content": [text(GEO3K)]}
    assert [turn["role"] for turn in make(example(before=(system,))).example.messages] == ["user"]
    other = {"role": "system", "content": [text("You are a radiologist.")]}
    assert len(make(example(before=(other,))).example.messages) == 2


@pytest.mark.parametrize(
    ("meta", "modality"),
    [
        ({}, "unknown"),
        ({"modality": "MR"}, "mri"),
        ({"modality": " Computed_Tomography "}, "ct"),
        ({"modality": "Fundus Photography"}, "fundus"),
        ({"modality": "slit lamp"}, "slit lamp"),
        ({"modality": "", "predicted_modality": {"label": "CT", "confidence": 0.9}}, "ct"),
        ({"modality": "MR", "predicted_modality": "ct"}, "mri"),
        ({"extra_info": {"modality": "US"}}, "ultrasound"),
        ({"extra_info": {"modality": "US"}, "modality": "ct"}, "ct"),
        ({"modality": 3}, "unknown"),
    ],
)
def test_modality(meta, modality):
    keys = ("modality", "predicted_modality")
    assert make(example(**meta), modality_keys=keys).cell.modality == modality


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (example(answer=""), "no answer"),
        (example(answer="maybe", answer_type="yes_no"), "gold answer 'maybe'"),
        (example(GEO3K), "nothing is asked"),
        (example("What?", b"no picture"), "does not decode"),
    ],
)
def test_what_cannot_be_verified_is_refused(given, reason):
    with pytest.raises(errors.UserError, match=reason):
        make(given)


def png(value, size=(30, 30)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def test_pictures_are_called_after_their_content(tmp_path):
    file = tmp_path / "DOE_JOHN.1.2.840.113619"
    file.write_bytes(png(1))
    other = tmp_path / "same.PNG"
    other.write_bytes(png(1))
    made = make(example("Which?", str(file), png(1), str(other), png(2)))
    pictures = prepare_rows.Pictures(tmp_path / "out" / "images")
    pictures.add(made.example)
    found = prepare_rows.as_row(made.example, pictures.names)
    names = [part["image"] for part in found["messages"][0]["content"][:-1]]
    stem = names[0]
    assert names[1] == names[2] == f"{stem}.png" and names[3] not in names[:3]
    assert "DOE" not in json.dumps(found)
    assert (tmp_path / "out" / names[1]).read_bytes() == png(1)


def test_pictures_that_are_there_are_left_alone(tmp_path):
    made = make(example("Which?", png(1)))
    prepare_rows.Pictures(tmp_path).add(made.example)
    [file] = tmp_path.iterdir()
    stamp = file.stat().st_mtime_ns
    prepare_rows.Pictures(tmp_path).add(made.example)
    assert file.stat().st_mtime_ns == stamp and [*tmp_path.iterdir()] == [file]


def test_a_dicom_file_goes_on_without_its_header(tmp_path):
    path = dicom_files.write(
        tmp_path / "a.dcm", np.eye(64, dtype=np.uint16), PatientName="DOE^JOHN"
    )
    made = make(example("Which?", str(path)))
    pictures = prepare_rows.Pictures(tmp_path / "images")
    pictures.add(made.example)
    [file] = (tmp_path / "images").iterdir()
    assert file.suffix == ".png" and b"DOE" not in file.read_bytes()
    np.testing.assert_array_equal(images.open_image(str(file)), images.open_image(str(path)))


def test_frames_of_a_video(tmp_path):
    given = example()
    clip = {"type": "video", "video": [png(1), png(2)], "fps": 2.0}
    turn = {"role": "user", "content": [clip, text("Which?")]}
    made = make(sources.Example(id="1", source="s", messages=(turn,), meta=given.meta))
    pictures = prepare_rows.Pictures(tmp_path / "images")
    pictures.add(made.example)
    formats.write_jsonl(tmp_path / "a.jsonl", [prepare_rows.as_row(made.example, pictures.names)])
    [record] = sources.read(sources.Source(name="a", path=str(tmp_path / "a.jsonl"))).examples
    assert len(record.messages[0]["content"][0]["video"]) == 2
    assert record.messages[0]["content"][0]["fps"] == 2.0
