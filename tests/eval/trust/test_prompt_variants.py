# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The same questions with other instructions at their end."""

import dataclasses

import pytest

from lingshu_jax.common import errors, prompts
from lingshu_jax.eval import answering, question_formats
from lingshu_jax.eval.trust import prompt_variants, prompt_wordings
from tests.eval import evaluations, scripted
from tests.eval.trust import asked_again

TAIL = question_formats.TAILS["judgement", "en"]
SECOND = prompt_wordings.WORDINGS["judgement", "en"][1]


def polar(count=6, form="judgement", language="en"):
    """Questions whose answer is yes."""
    return [
        dataclasses.replace(
            sample,
            messages=question_formats.turn(
                question_formats.ask(sample.question, form, language), [asked_again.png(9)]
            ),
        )
        for sample in evaluations.yes_no(count)
    ]


def run(out, samples, reply, *, count=3, dies_after=None, **settings):
    """The section, and the engine that was asked."""
    engine = asked_again.Replies(reply, dies_after)
    return prompt_variants.run(
        asked_again.make_desk(out, samples, engine, **settings), count=count
    ), engine


def minds_the_second(request):
    """Says no where it is asked in one of the wordings."""
    return "no" if SECOND in asked_again.text_of(request) else "yes"


def test_a_model_that_minds_no_words(tmp_path):
    found, _ = run(tmp_path, {"b": polar()}, lambda request: "Yes")
    numbers = found["benchmarks"]["b"]
    assert numbers["n"] == 6 and list(numbers["wordings"]) == ["original", "1", "2", "3"]
    for mode in ("compat", "strict"):
        spread = numbers["spread"][mode]
        assert (spread["mean"], spread["min"], spread["max"]) == (1.0, 1.0, 1.0)
        assert (spread["deviation"], spread["best"], spread["worst"]) == (
            0.0,
            "original",
            "original",
        )
    for name in ("same_answer", "same_verdict", "always_right"):
        assert numbers[name]["share"] == 1.0


def test_a_model_that_minds_one_wording(tmp_path):
    """The twin of the one above."""
    found, _ = run(tmp_path, {"b": polar()}, minds_the_second)
    numbers = found["benchmarks"]["b"]
    assert numbers["wordings"]["2"] == {"compat": 0.0, "strict": 0.0}
    spread = numbers["spread"]["strict"]
    assert (spread["mean"], spread["min"], spread["max"]) == (0.75, 0.0, 1.0)
    assert spread["deviation"] == pytest.approx(0.5), "of 1, 1, 0, 1 with n - 1"
    assert (spread["best"], spread["worst"]) == ("original", "2")
    for name in ("same_answer", "same_verdict", "always_right"):
        assert numbers[name]["share"] == 0.0


def test_the_same_wrong_answer_is_the_same(tmp_path):
    found, _ = run(tmp_path, {"b": polar()}, lambda request: "NO")
    numbers = found["benchmarks"]["b"]
    assert numbers["same_answer"]["share"] == numbers["same_verdict"]["share"] == 1.0
    assert numbers["always_right"]["share"] == 0.0


def test_answers_that_cannot_be_read_are_never_the_same(tmp_path):
    found, _ = run(tmp_path, {"b": polar()}, lambda request: "")
    numbers = found["benchmarks"]["b"]
    assert numbers["same_answer"]["share"] == 0.0 and numbers["same_verdict"]["share"] == 1.0


@pytest.mark.parametrize("key", question_formats.TAILS)
def test_nothing_but_the_instruction_changes(key):
    (sample,) = polar(1, *key)
    assert prompt_variants.tail(sample) == key
    said = []
    for number in range(prompt_variants.MOST):
        changed = prompt_variants.reworded(sample, number, boxed=False)
        picture, text = changed.messages[0]["content"]
        assert picture == sample.messages[0]["content"][0]
        assert dataclasses.replace(changed, messages=sample.messages) == sample
        said.append(text["text"])
        assert text["text"] == prompts.ask(sample.question, prompt_wordings.WORDINGS[key][number])
    original = sample.messages[0]["content"][1]["text"]
    assert len({*said, original}) == 1 + prompt_variants.MOST


def test_wordings_are_as_many_for_each_instruction_and_none_is_given_twice():
    assert list(prompt_wordings.WORDINGS) == list(question_formats.TAILS)
    every = [text for texts in prompt_wordings.WORDINGS.values() for text in texts]
    assert len(every) == len(set(every)) == 5 * len(question_formats.TAILS)
    assert not {*every} & {*question_formats.TAILS.values()}
    for (_, language), texts in prompt_wordings.WORDINGS.items():
        assert all(text.isascii() == (language == "en") for text in texts)


@pytest.mark.parametrize(
    ("prompt", "end"),
    [
        ("direct", SECOND),
        ("think", f"{SECOND}\n{prompts.ANSWER_FORMAT}"),
        ("boxed", f"{SECOND} {prompt_wordings.BOXED['en']}"),
    ],
)
def test_the_form_of_the_evaluation_is_kept(tmp_path, prompt, end):
    found, engine = run(tmp_path, {"b": polar(1)}, minds_the_second, count=2, prompt=prompt)
    texts = [asked_again.text_of(request) for request in engine.requests]
    assert texts[1] == f"Is it 0?\n{end}" and TAIL not in "".join(texts)
    assert found["settings"]["prompt"] == prompt
    (listed,) = found["settings"]["wordings"].values()
    assert len(listed) == 3 and end.startswith(listed[2])


def test_what_has_no_known_instruction_is_left_out_and_counted(tmp_path):
    plain = dataclasses.replace(polar(1)[0], id="p", messages=question_formats.turn("Is it?"))
    report = dataclasses.replace(
        evaluations.report_sample(), messages=question_formats.turn(f"Write.\n{TAIL}")
    )
    samples = {"b": [*polar(2), plain, report], "rows": [plain]}
    found, engine = run(tmp_path, samples, lambda request: "yes", count=1)
    assert engine.asked == ["q1", "q0"] and list(found["benchmarks"]) == ["b"]
    assert found["remarks"] == [
        f"b: 1 question is left out: {prompt_variants.NO_TAIL}",
        "b: 1 question is left out: there is no verdict",
        f"rows: 1 question is left out: {prompt_variants.NO_TAIL}",
    ]


def test_a_killed_probe_goes_on_where_it_was(tmp_path):
    with pytest.raises(scripted.Killed):
        run(tmp_path, {"b": polar()}, minds_the_second, dies_after=8)
    found, engine = run(tmp_path, {"b": polar()}, minds_the_second)
    assert len(engine.asked) == 18 - 8
    assert found == run(tmp_path / "whole", {"b": polar()}, minds_the_second)[0]
    found, engine = run(tmp_path, {"b": polar()}, minds_the_second, count=4)
    assert len(engine.asked) == 6, "of four wordings three are asked already"


def test_parts_wait_for_each_other(tmp_path):
    found = []
    for index in range(2):
        part = answering.Part(index=index, count=2)
        found.append(run(tmp_path, {"b": polar()}, minds_the_second, part=part)[0])
    assert found[0] is None and found[1]["benchmarks"]["b"]["n"] == 6


@pytest.mark.parametrize("count", [0, 6])
def test_the_number_of_wordings_is_checked(tmp_path, count):
    with pytest.raises(errors.UserError, match="--prompt_variants must be 1 to 5"):
        run(tmp_path, {"b": polar(1)}, minds_the_second, count=count)


def test_the_page_shows_the_wordings_and_escapes_names(tmp_path):
    found, _ = run(tmp_path, {"b": polar()}, minds_the_second)
    found["benchmarks"]["<b>odd</b>"] = found["benchmarks"].pop("b")
    page = asked_again.render(prompt_variants.TEMPLATE, found)
    assert "&lt;b&gt;odd&lt;/b&gt;" in page and "<b>odd" not in page
    assert SECOND in page and "wording 2" in page and "75.0%" in page
