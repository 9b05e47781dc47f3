# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import gzip
import json
import random

import pytest

from lingshu_jax.common import answers_choice
from lingshu_jax.eval import benchmark, compat_reasons, metrics

OPTIONS = ("cat", "dog", "cow")


def sample(**fields):
    base = {
        "id": "1",
        "question": "Which?",
        "gold": "B",
        "answer_type": "choice",
        "rule": "choice",
        "options": OPTIONS,
        "choices": tuple(f"{letter}. {text}" for letter, text in zip("ABC", OPTIONS, strict=True)),
    }
    return benchmark.Sample(**base | fields)


def answer(response, finish_reason="stop"):
    return benchmark.Answer(response, finish_reason, 3)


def test_a_row_has_every_field():
    strata = {"subject": "zoology"}
    row = benchmark.score(sample(group="image 7", strata=strata), answer("B"))
    assert row == {
        "id": "1",
        "question": "Which?",
        "gold": "B",
        "response": "B",
        "thinking": "",
        "finish_reason": "stop",
        "compat": {"correct": True, "kind": "choice"},
        "strict": {"correct": True, "status": "ok", "value": "B"},
        "judge": None,
        "answer_type": "choice",
        "options": ["cat", "dog", "cow"],
        "choices": ["A. cat", "B. dog", "C. cow"],
        "rule": "choice",
        "num_tokens": 3,
        "group": "image 7",
        "strata": strata,
        "scoring": "verdict",
        "reason": "",
    }
    json.dumps(row)


@pytest.mark.parametrize("scoring", ["report", "rubric"])
@pytest.mark.parametrize(
    ("response", "finish_reason", "status"),
    [
        ("Findings: clear lungs. Impression: normal.", "stop", "ok"),
        ("", "stop", "empty"),
        ("Findings: clear", "length", "truncated"),
        ("<think>hm", "stop", "truncated"),
        ("I'm sorry, I cannot provide a report.", "stop", "refusal"),
        ("Findings: the heart cannot be assessed. " + "Clear lungs. " * 20, "stop", "ok"),
    ],
)
def test_an_answer_without_a_verdict_has_a_status(scoring, response, finish_reason, status):
    asked = sample(scoring=scoring, rule=scoring, answer_type="report", options=(), choices=())
    row = benchmark.score(asked, answer(response, finish_reason))
    assert row["compat"] == {"correct": None, "kind": scoring}
    assert row["strict"] == {"correct": None, "status": status, "value": None}
    assert (row["scoring"], row["reason"]) == (scoring, "")


@pytest.mark.parametrize(
    ("response", "correct", "jaccard"),
    [("C, A", True, 1.0), ("AB", False, 1 / 3), ("none", False, 0.0), ("A", False, 0.5)],
)
def test_a_set_of_letters_has_its_overlap(response, correct, jaccard):
    row = benchmark.score(sample(gold="A, C", answer_type="choices"), answer(response))
    assert row["strict"]["correct"] is correct
    assert row["strict"]["jaccard"] == pytest.approx(jaccard)


def test_scoring_a_benchmark_draws_its_guesses_in_row_order():
    asked = [sample(id=str(i), rule="mmmu") for i in range(20)]
    rows = list(benchmark.score_all(asked, [answer("?")] * len(asked)))
    generator = random.Random(42)
    assert [row["compat"]["parsed"] for row in rows] == [generator.choice("ABC") for _ in rows]
    alone = [benchmark.score(one, answer("?"))["compat"]["parsed"] for one in asked]
    assert len(set(alone)) == 1


def test_an_answer_too_few_is_an_error():
    with pytest.raises(ValueError, match="shorter"):
        list(benchmark.score_all([sample(), sample(id="2")], [answer("B")]))


@pytest.mark.parametrize(
    ("changes", "response", "reason"),
    [
        ({}, "B", ""),
        ({}, "A", ""),
        ({}, "A dog, or a cow", "guessed_similar"),
        ({"gold": "A"}, "", "empty_is_first_option"),
        ({}, "", ""),
        ({}, "I choose (B), since it barks", "read_by_strict_only"),
        ({}, "<think>it barks</think>B", "read_by_strict_only"),
        ({}, "B. cow", "status:conflict"),
        ({"gold": "A"}, "A\n\nC", "status:multi"),
        (
            {"gold": "A", "rule": "choice_untagged"},
            "\\boxed{A} <answer>B</answer>",
            "read_differently",
        ),
        ({"rule": "mmmu", "gold": "C"}, "?", "guessed_random"),
        ({"answer_type": "yes_no", "rule": "vqa", "gold": "no"}, "unknown", "substring_yes_no"),
        (
            {"answer_type": "yes_no", "rule": "vqa", "gold": "no"},
            "It is not normal",
            "substring_yes_no",
        ),
        ({"answer_type": "yes_no", "rule": "vqa", "gold": "yes"}, "True", "synonym"),
        ({"answer_type": "yes_no", "rule": "slake", "gold": "Yes"}, "有", "synonym"),
        ({"answer_type": "open", "rule": "vqa", "gold": "lung"}, "Answer: lung", "unstripped"),
        ({"answer_type": "open", "rule": "vqa", "gold": "lung"}, "The lung.", "normal_form"),
        (
            {"answer_type": "open", "rule": "mmmu", "gold": "lung", "choices": ()},
            "the left lung",
            "contained",
        ),
    ],
)
def test_why_the_verdicts_differ(changes, response, reason):
    row = benchmark.score(sample(**changes), answer(response))
    assert row["reason"] == reason
    assert (reason == "") == (row["compat"]["correct"] == row["strict"]["correct"])
    assert reason in {"", *compat_reasons.REASONS}


def test_a_cut_off_answer_that_compat_reads():
    row = benchmark.score(sample(), answer("B", "length"))
    assert row["reason"] == "status:truncated"


@pytest.fixture(scope="module")
def runs(shared_dir):
    """Samples and answers of the real runs on VQA-RAD and on MedQA."""
    folder = shared_dir / "evaldata" / "medevalkit_fork_saitejalekkala33"
    read = json.loads((folder / "vqa-rad_VQA-RAD_results.json").read_text())
    asked = [
        sample(
            id=str(number),
            gold=row["answer"],
            answer_type="yes_no" if row["answer"] in ("yes", "no") else "open",
            rule="vqa",
            options=(),
            choices=(),
        )
        for number, row in enumerate(read)
    ]
    radiology = asked, [answer(row["response"]) for row in read]
    path = folder / "textonly-medqa-usmle_MedQA-USMLE_results.json.gz"
    read = json.loads(gzip.decompress(path.read_bytes()))
    asked = [
        sample(
            id=str(number),
            gold=row["answer"],
            options=tuple(answers_choice.without_letters(row["choices"])),
            choices=tuple(row["choices"]),
        )
        for number, row in enumerate(read)
    ]
    return radiology, (asked, [answer(row["response"]) for row in read])


def test_reasons_of_the_real_runs(runs):
    radiology, examination = (list(benchmark.score_all(*run)) for run in runs)
    differ = {row["gold"]: row["response"] for row in radiology if row["reason"] == "normal_form"}
    assert differ == {"xray": "X-ray", "the liver": "liver"}
    assert metrics.summarise(radiology)["reasons"] == {"normal_form": 2}
    assert metrics.summarise(examination)["reasons"] == {}
    assert metrics.summarise(radiology)["strict_correct"] == 199


@pytest.mark.parametrize(
    ("form", "reason", "count"),
    [("", "empty_is_first_option", 353), ("({})", "read_by_strict_only", 650)],
)
def test_reasons_where_form_misleads_compat(runs, form, reason, count):
    asked, _ = runs[1]
    rows = benchmark.score_all(asked, [answer(form.format(one.gold)) for one in asked])
    assert metrics.summarise(list(rows))["reasons"] == {reason: count}


@pytest.mark.parametrize("scoring", ["verdict", "report"])
def test_a_thought_that_was_cut_off_is_truncated_and_one_that_led_nowhere_is_empty(scoring):
    asked = sample(scoring=scoring)
    cut = benchmark.score(asked, benchmark.Answer("", "length", 3, "hm"))
    assert (cut["strict"]["status"], cut["response"], cut["thinking"]) == ("truncated", "", "hm")
    for given in (benchmark.Answer("", "stop", 3, "hm"), benchmark.Answer("", "length", 3)):
        assert benchmark.score(asked, given)["strict"]["status"] == "empty"
