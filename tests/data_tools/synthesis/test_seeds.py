# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json

import pytest

from data_tools import config as curation
from data_tools import rows as rows_lib
from data_tools.synthesis import asks
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.data import sources


def row(question, said, media=(), **meta):
    pictures = [asks.picture(i) for i in range(len(media))]
    return rows_lib.Row(
        id="s/1",
        source="s",
        messages=(
            asks.turn("user", *pictures, asks.text(question)),
            asks.turn("assistant", asks.text(said)),
        ),
        media=media,
        meta=meta,
    )


PICTURE = rows_lib.Medium(kind="image", path="/a.png")


def test_a_caption_is_what_the_assistant_says():
    seed = seeds_lib.from_row(row("Describe it.", " A lung. ", (PICTURE,)), kind="captions")
    assert (seed.caption, seed.question, seed.answer) == ("A lung.", "", "")
    assert seed.media == (PICTURE,) and seed.id == "s/1"


def test_an_open_question_has_its_answer():
    seed = seeds_lib.from_row(row("What is it?", "A lung."), kind="instructions")
    assert (seed.question, seed.answer, seed.options) == ("What is it?", "A lung.", ())


@pytest.mark.parametrize("options", [{"A": "heart", "B": "lung"}, ["heart", "lung"]])
@pytest.mark.parametrize("mark", [".", ":", ")"])
def test_options_leave_the_question_and_a_letter_becomes_its_text(options, mark):
    text = f"What is it?\nOptions:\nA{mark} heart\nB{mark} lung"
    seed = seeds_lib.from_row(row(text, "B", answer="B", options=options), kind="text")
    assert seed.question == "What is it?"
    assert seed.options == ("heart", "lung") and seed.answer == "lung"


def test_lines_that_are_no_options_stay():
    seed = seeds_lib.from_row(row("A. fumigatus is what?", "a", options=["b", "a"]), kind="text")
    assert seed.question == "A. fumigatus is what?"


def test_the_publishers_answer_is_before_what_is_said():
    seed = seeds_lib.from_row(row("Is it?", "Yes, it is.", answer="yes"), kind="instructions")
    assert seed.answer == "yes"


def test_a_source_gives_a_seed_a_row_and_its_refused_rows(tmp_path):
    good = {
        "id": "1",
        "messages": [
            {"role": "user", "content": "What?"},
            {"role": "assistant", "content": "That."},
        ],
    }
    lines = [json.dumps(good), "{torn"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    source = curation.CuratedSource(name="a", path="a.jsonl", kind="text")
    seed, refused = seeds_lib.stream(source, str(tmp_path))
    assert isinstance(seed, seeds_lib.Seed) and seed.id == "a/1" and seed.answer == "That."
    assert isinstance(refused, sources.Dropped) and refused.line == 2
