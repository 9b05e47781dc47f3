# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Options in other orders: one model reads the texts, another always says A."""

import collections
import dataclasses
import math
import re

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import answering, question_formats
from lingshu_jax.eval.benchmarks import letters
from lingshu_jax.eval.trust import option_layout, option_shuffles
from tests.eval import evaluations, scripted
from tests.eval.trust import asked_again

OPTIONS = ("cat", "dog", "cow", "pig")
FORMS = ["{}. {}", "{}.{}", "({}) {}", " {}:{} ", "{} {}"]


def questions(count=24):
    """Golds and options by turns; the name of a question names its right option."""
    return {
        "b": [
            asked_again.choice(f"{OPTIONS[n % 4]} {n}", "ABCD"[n % 4], OPTIONS)
            for n in range(count)
        ]
    }


def read(request):
    """The letter before the text that the question names."""
    asked = asked_again.text_of(request)
    wanted = re.search(r"Which is (\w+)", asked)[1]
    return re.search(rf"^\W*([A-J])\W+{wanted}\b", asked, re.MULTILINE)[1]


def say_a(request):
    return "A"


def test_a_model_that_reads_agrees_in_all(tmp_path):
    engine = asked_again.Replies(read)
    found = option_shuffles.run(asked_again.make_desk(tmp_path, questions(), engine), count=4)
    numbers = found["benchmarks"]["b"]
    assert numbers["n"] == 24 and found["remarks"] == []
    assert numbers["shuffles"] == [{"compat": 1.0, "strict": 1.0}] * 4
    assert numbers["spread"]["strict"] == {"mean": 1.0, "min": 1.0, "max": 1.0, "deviation": 0.0}
    for name in ("agreement", "consistent_right"):
        assert (numbers[name]["share"], numbers[name]["n"]) == (1.0, 24)
    assert numbers["letters"]["p"] > 0.01 and numbers["letters"]["none"] == 0
    assert sum(numbers["letters"]["answered"].values()) == 4 * 24


def test_a_model_that_says_a_falls_to_chance(tmp_path):
    """The twin of the one above."""
    samples = {"b": [asked_again.choice(f"cat {n}", "A", OPTIONS) for n in range(200)]}
    engine = asked_again.Replies(say_a)
    found = option_shuffles.run(asked_again.make_desk(tmp_path, samples, engine), count=2)
    numbers = found["benchmarks"]["b"]
    assert numbers["original"] == {"compat": 1.0, "strict": 1.0}
    for mode in ("compat", "strict"):
        assert numbers["spread"][mode]["mean"] == pytest.approx(0.25, abs=0.08)
        assert numbers["spread"][mode]["max"] < 0.4
    assert numbers["agreement"]["share"] < 0.15 and numbers["consistent_right"]["share"] < 0.15
    assert numbers["letters"]["answered"] == {"A": 400, "B": 0, "C": 0, "D": 0}
    assert numbers["letters"]["expected"] == pytest.approx(dict.fromkeys("ABCD", 100.0))
    assert numbers["letters"]["chi_square"] == pytest.approx(1200.0)
    assert numbers["letters"]["p"] < 1e-99


def test_each_order_is_as_likely_as_the_others():
    samples = [asked_again.choice(str(n), "A", OPTIONS[:3]) for n in range(1200)]
    counts = collections.Counter(option_shuffles.orders(s, 1)[0] for s in samples)
    assert len(counts) == 6 and all(150 < count < 250 for count in counts.values())


def test_orders_differ_and_stay_when_more_are_drawn():
    sample = asked_again.choice("q", "A", OPTIONS)
    every = option_shuffles.orders(sample, 99)
    assert len(every) == len({*every}) == math.factorial(4)
    assert option_shuffles.orders(sample, 5) == every[:5]


def test_two_options_have_two_orders(tmp_path):
    samples = {"b": [asked_again.choice(f"cat {n}", "A", OPTIONS[:2]) for n in range(10)]}
    engine = asked_again.Replies(say_a)
    found = option_shuffles.run(asked_again.make_desk(tmp_path, samples, engine), count=5)
    numbers = found["benchmarks"]["b"]
    assert len(engine.asked) == 10, "the benchmark's own order is not asked again"
    assert len(numbers["shuffles"]) == 5
    assert numbers["shuffles"][0] == numbers["shuffles"][2] == numbers["shuffles"][4]
    first, second = (numbers["shuffles"][n]["strict"] for n in (0, 1))
    assert first + second == pytest.approx(1.0)
    assert numbers["letters"]["answered"] == {"A": 20, "B": 0}, "no answer counts twice"


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_options_is_kept(form):
    sample = asked_again.choice("cow", "C", OPTIONS, form=form)
    moved = option_layout.reorder(sample, (2, 0, 3, 1))
    wanted = asked_again.choice("cow", "A", ("cow", "cat", "pig", "dog"), form=form)
    assert moved == wanted
    assert option_layout.reorder(sample, (0, 1, 2, 3)) == sample


def test_options_without_letters_and_in_mmmu_s_form():
    bare = dataclasses.replace(asked_again.choice("cow", "C", OPTIONS, form="{1}"), rule="choice")
    moved = option_layout.reorder(bare, (2, 0, 3, 1))
    assert moved.choices == moved.options == ("cow", "cat", "pig", "dog") and moved.gold == "A"
    assert "\ncow\ncat\npig\ndog\n" in moved.messages[0]["content"][0]["text"]
    listed = "".join(f"({x}) {text}\n" for x, text in zip("ABCD", OPTIONS, strict=True))
    tail = question_formats.TAILS["choice", "en"]
    messages = question_formats.turn(f"\nWhich?\n\n{listed}\n\n        {tail}", [b"picture"])
    mmmu = asked_again.choice("cow", "C", OPTIONS, form="({}) {}", messages=messages, rule="mmmu")
    text = option_layout.reorder(mmmu, (3, 2, 1, 0)).messages[0]["content"][-1]["text"]
    assert text == f"\nWhich?\n\n(A) pig\n(B) cow\n(C) dog\n(D) cat\n\n\n        {tail}"


def test_options_that_the_question_repeats_move_there_too():
    inline = " ".join(f"({x}) {text}" for x, text in zip("ABCD", OPTIONS, strict=True))
    question = f"Which?{letters.LISTED}{inline}"
    sample = asked_again.choice("cow", "C", OPTIONS, question=question)
    moved = option_layout.reorder(sample, (2, 0, 3, 1))
    assert moved == asked_again.choice(
        "cow",
        "A",
        ("cow", "cat", "pig", "dog"),
        question=f"Which?{letters.LISTED}(A) cow (B) cat (C) pig (D) dog",
    )
    odd = asked_again.choice("cow", "C", OPTIONS, question=question.replace("(C) cow", "(C)  cow"))
    assert option_layout.find(odd) == option_layout.NOT_LISTED


def test_a_gold_that_is_a_text_stays():
    sample = asked_again.choice("cow", "cow", OPTIONS)
    assert option_layout.reorder(sample, (2, 0, 3, 1)).gold == "cow"


def test_what_cannot_be_reordered():
    plain = asked_again.choice("cow", "C", OPTIONS)
    listed = "\n".join(plain.choices)
    twice = question_formats.turn(f"{listed}\n{listed}")
    longer = question_formats.turn(f"{listed} house")
    cases = {
        option_layout.NO_CHOICE: [
            dataclasses.replace(plain, answer_type="choices", gold="AC"),
            evaluations.yes_no(1)[0],
        ],
        option_layout.NOT_LISTED: [
            dataclasses.replace(plain, messages=twice),
            dataclasses.replace(plain, messages=longer),
            dataclasses.replace(plain, messages=()),
            dataclasses.replace(plain, choices=()),
            dataclasses.replace(plain, choices=plain.choices[:3]),
            dataclasses.replace(plain, options=("cat", "dog", "cow", "pigs")),
        ],
        option_layout.OTHER_LETTERS: [
            asked_again.choice("cow", "C", OPTIONS, form="D. {1}"),
            asked_again.choice("cow", "C", ("A. cat", "dog", "cow", "pig"), form="{1}"),
        ],
        option_layout.UNCLEAR: [dataclasses.replace(plain, gold="horse")],
        option_layout.REFERS: [
            asked_again.choice("cow", "C", ("cat", "dog", "cow", "All of the above"))
        ],
    }
    assert isinstance(option_layout.find(plain), option_layout.Layout)
    for reason, samples in cases.items():
        for sample in samples:
            assert option_layout.find(sample) == reason, sample


@pytest.mark.parametrize(
    "option",
    [
        *("All of the above", "none of the above.", "Any of the above", "All the above"),
        *("Both A and B", "A and C", "A, B and D", "B & C only", "Either A or B", "A and B only"),
        *(
            "Neither A nor B",
            "Options A and C",
            "Answer B is correct",
            "(a) and (b)",
            "both a and b",
        ),
        *("Both of the above are correct", "Two of the above", "A, B, and C are correct"),
        *(
            "以上都不是",
            "以上均可",
            "上述各项",
            "A和B",
            "A、B、C",
            "A和B都是",
            "选项A",
            "ABC均正确",
        ),
        *("前两项都对", "患者以上选项均不对", "以下都是", "A+B", "a & b", "a, b and d"),
    ],
)
def test_options_that_speak_of_others(option):
    sample = asked_again.choice("cow", "C", ("cat", "dog", "cow", option))
    assert option_layout.refers(sample)


@pytest.mark.parametrize(
    "option",
    [
        *("Hepatitis B and C", "Vitamins A and D", "Above the diaphragm", "Blood group A", "AB"),
        *("A", "Type A influenza", "Below-knee amputation", "Able to answer a question"),
        *("Immunoglobulin A", "None", "Neither", "Option", "C. difficile", "60岁以上", "38℃以上"),
        *(
            "维生素A和D",
            "维生素B",
            "A型",
            "前列腺",
            "下肢",
            "甲、乙型肝炎",
            "All of these",
            "a and b waves",
        ),
    ],
)
def test_options_that_do_not(option):
    sample = asked_again.choice("cow", "C", ("cat", "dog", "cow", option))
    assert not option_layout.refers(sample)


def test_a_question_that_names_an_option():
    named = asked_again.choice("q", "A", OPTIONS, question="Why is option B wrong?")
    assert option_layout.refers(named)
    assert not option_layout.refers(dataclasses.replace(named, question="Which option?"))


def test_what_is_left_out_is_counted(tmp_path):
    report = dataclasses.replace(
        evaluations.report_sample(), messages=question_formats.turn("Write.")
    )
    above = asked_again.choice("pig", "A", ("pig", "None of the above"))
    samples = {"b": [*questions(4)["b"], report, above], "reports": [report]}
    engine = asked_again.Replies(
        lambda request: "A" if "Write" in asked_again.text_of(request) else read(request)
    )
    found = option_shuffles.run(asked_again.make_desk(tmp_path, samples, engine), count=1)
    assert found["benchmarks"]["b"]["n"] == 4 and list(found["benchmarks"]) == ["b"]
    assert found["remarks"] == [
        "b: 1 question is left out: the text speaks of options by their letter or place",
        "b: 1 question is left out: there is no verdict",
        "reports: 1 question is left out: there is no verdict",
    ]


def test_answers_without_a_letter_never_agree(tmp_path):
    engine = asked_again.Replies(lambda request: "I cannot tell")
    found = option_shuffles.run(asked_again.make_desk(tmp_path, questions(8), engine), count=3)
    numbers = found["benchmarks"]["b"]
    assert numbers["agreement"]["share"] == 0.0 and numbers["letters"]["none"] == 24
    assert numbers["letters"]["p"] is None
    assert "no valid letter" in asked_again.render(option_shuffles.TEMPLATE, found)


def test_a_killed_probe_goes_on_where_it_was(tmp_path):
    engine = asked_again.Replies(read, dies_after=30)
    with pytest.raises(scripted.Killed):
        option_shuffles.run(asked_again.make_desk(tmp_path, questions(), engine), count=3)
    again = asked_again.Replies(read)
    found = option_shuffles.run(asked_again.make_desk(tmp_path, questions(), again), count=3)
    whole = asked_again.Replies(read)
    desk = asked_again.make_desk(tmp_path / "whole", questions(), whole)
    assert option_shuffles.run(desk, count=3) == found
    assert len(engine.asked) == 30 and len(engine.asked) + len(again.asked) == len(whole.asked)
    more = asked_again.Replies(read)
    option_shuffles.run(asked_again.make_desk(tmp_path, questions(), more), count=4)
    assert 0 < len(more.asked) <= 24, "what was asked with fewer orders is not asked again"


def test_parts_wait_for_each_other(tmp_path):
    found = []
    for index in range(2):
        part = answering.Part(index=index, count=2)
        engine = asked_again.Replies(read)
        desk = asked_again.make_desk(tmp_path, questions(), engine, part=part)
        found.append(option_shuffles.run(desk, count=2))
    assert found[0] is None and found[1]["benchmarks"]["b"]["n"] == 24


def test_the_number_of_orders_is_checked(tmp_path):
    desk = asked_again.make_desk(tmp_path, questions(2), asked_again.Replies(read))
    with pytest.raises(errors.UserError, match="--option_shuffles"):
        option_shuffles.run(desk, count=0)


def test_the_page_shows_the_numbers_and_escapes_names(tmp_path):
    engine = asked_again.Replies(say_a)
    found = option_shuffles.run(asked_again.make_desk(tmp_path, questions(), engine), count=2)
    found["benchmarks"]["<b>odd</b>"] = found["benchmarks"].pop("b")
    page = asked_again.render(option_shuffles.TEMPLATE, found)
    assert "&lt;b&gt;odd&lt;/b&gt;" in page and "<b>odd" not in page
    assert "100.0%" in page and "25.0%" in page
