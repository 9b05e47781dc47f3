# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The same real conversations come out of every format, down to the tokens."""

import pathlib
from typing import Any

import pytest

from lingshu_jax.common import answers, errors
from lingshu_jax.data import formats, messages, packing, readers, sources, tokenizer_files
from lingshu_jax.rl import questions as rl_questions
from tests.data import real_rows

EACH = 24
LIMITS = {"min_pixels": 4 * 784, "max_pixels": 64 * 784}
EACH_FORMAT = pytest.mark.parametrize("word", sorted(real_rows.WRITERS))


@pytest.fixture(scope="module")
def questions(shared_dir: pathlib.Path) -> list[real_rows.Question]:
    return real_rows.load(shared_dir / "data", EACH)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> messages.Encoder:
    folder = tmp_path_factory.mktemp("hf")
    tokenizer_files.write_tokenizer(folder, (), tokenizer_files.MIN_VOCAB)
    return messages.Encoder(folder, **LIMITS)


def read(word: str, folder: pathlib.Path, rows: list[real_rows.Question], **options: Any):
    """What is read of the rows that are written in a format."""
    path = real_rows.WRITERS[word](folder, rows)
    return sources.read(sources.Source(name="real", path=str(path), format=word, **options))


def as_bytes(part: dict[str, Any]) -> dict[str, Any]:
    """A part with its picture as the bytes of the file, wherever that is."""
    image = part.get("image")
    return {**part, "image": pathlib.Path(image).read_bytes()} if isinstance(image, str) else part


def expected(question: real_rows.Question) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    for image in question.images:
        content += [{"type": "image", "image": image.read_bytes()}, {"type": "text", "text": "\n"}]
    if question.images:
        content.pop()
    text = ("\n" if question.images else "") + question.text
    answer = [{"type": "text", "text": question.answer}]
    return [
        {"role": "user", "content": [*content, {"type": "text", "text": text}]},
        {"role": "assistant", "content": answer},
    ]


def joined(conversation: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Messages with neighbouring texts as one, and pictures as bytes."""
    made = []
    for message in conversation:
        parts: list[dict[str, Any]] = []
        for part in map(as_bytes, message["content"]):
            if parts and part["type"] == parts[-1]["type"] == "text":
                parts[-1] = {"type": "text", "text": parts[-1]["text"] + part["text"]}
            else:
                parts.append(part)
        made.append({"role": message["role"], "content": parts})
    return made


@EACH_FORMAT
def test_real_rows_read_alike(
    word: str, tmp_path: pathlib.Path, questions: list[real_rows.Question]
) -> None:
    reading = read(word, tmp_path, questions, allow_outside=True)
    assert not reading.dropped
    found = {example.id: example for example in reading.examples}
    assert len(found) == len(questions)
    for question in questions:
        assert joined(found[question.id].messages) == expected(question)


@EACH_FORMAT
def test_real_rows_encode_alike(
    word: str,
    tmp_path: pathlib.Path,
    questions: list[real_rows.Question],
    encoder: messages.Encoder,
) -> None:
    reading = read(word, tmp_path, questions[:16], allow_outside=True)
    found = {example.id: example for example in reading.examples}
    for question in questions[:16]:
        ours = encoder.encode(found[question.id].messages)
        theirs = encoder.encode(expected(question))
        assert ours.tokens.tolist() == theirs.tokens.tolist()
        assert ours.loss_weights.tolist() == theirs.loss_weights.tolist()
        assert [media.grid for media in ours.media] == [media.grid for media in theirs.media]


@EACH_FORMAT
def test_without_leave_no_image_elsewhere_is_read(
    word: str, tmp_path: pathlib.Path, questions: list[real_rows.Question]
) -> None:
    reading = read(word, tmp_path, questions)
    outside = {row.id for row in reading.dropped}
    assert all("is outside the image root" in row.reason for row in reading.dropped)
    assert len(outside) + len(reading.examples) == len(questions)
    if word in ("tfds", "verl"):  # their images are embedded
        assert not outside
    elif word in ("array_record", "messages"):  # half of theirs are
        assert 0 < len(outside) < EACH
    else:
        assert outside == {question.id for question in questions if question.images}


@pytest.mark.parametrize("word", ["easyr1", "tfds", "verl"])
def test_golds_become_prompts_of_reinforcement_learning(
    word: str,
    tmp_path: pathlib.Path,
    questions: list[real_rows.Question],
    encoder: messages.Encoder,
) -> None:
    reading = read(word, tmp_path, questions, allow_outside=True)
    made = rl_questions.make_prompts(
        reading.examples,
        encoder,
        instruction="Think.",
        max_prompt_tokens=4096,
        budget=packing.Budget(8192, 8192),
    )
    assert not made.dropped and len(made.prompts) == len(questions)
    asked = {question.id: question for question in questions}
    for prompt in made.prompts:
        assert prompt.question.gold == asked[prompt.id].answer.strip()
        assert prompt.messages[-1]["role"] == "user"
        right = answers.judge(
            asked[prompt.id].answer,
            gold=prompt.question.gold,
            answer_type=prompt.question.answer_type,
        )
        assert right.correct
    kinds = {prompt.question.answer_type for prompt in made.prompts}
    assert kinds == {"open", "yes_no"}


def test_every_format_is_tested() -> None:
    assert set(real_rows.WRITERS) | {"vqa_rad"} == set(readers.FORMATS)


def test_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(errors.UserError, match="unknown format 'lava'; known: array_record, easyr"):
        readers.get("lava")


def test_row_files_of_a_plain_format(tmp_path: pathlib.Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    path = tmp_path / "rows.jsonl"
    assert readers.get("llava").row_files(path, formats.Options()) == [path]
