# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json
import subprocess
import sys

import pytest

from lingshu_jax.common import answers, errors
from lingshu_jax.eval import mirage

GOLDS = {
    "mmlu": "mmlu",
    "medqa": "phrases_no_exclude_test.jsonl.gz",
    "pubmedqa": "test_set.json.gz",
}


@pytest.fixture(scope="module")
def published(shared_dir):
    """Reads the published answers of a model to a question set, and its golds."""
    folder = shared_dir / "data" / "model_outputs_mirage"

    def read(data, model):
        golds = mirage.read_golds(folder / "gold" / GOLDS[data])
        return mirage.read_predictions(folder / "pred" / f"{data}__cot__{model}.jsonl.gz"), golds

    return read


@pytest.mark.parametrize(
    ("data", "model", "n", "accuracy", "strict", "differ"),
    [
        ("mmlu", "gpt-4-32k", 1089, 89.44, 970, {"unparsed": 3, "multi": 1}),
        (
            "medqa",
            "gpt-4-32k",
            1273,
            83.97,
            1056,
            {"unparsed": 9, "invalid": 2, "refusal": 1, "ok": 1},
        ),
        ("pubmedqa", "gpt-4-32k", 500, 39.60, 198, {}),
        (
            *("mmlu", "gpt-35-turbo-16k", 1089, 72.91, 782),
            {"unparsed": 7, "multi": 3, "invalid": 1, "refusal": 1},
        ),
        (
            *("medqa", "gpt-35-turbo-16k", 1273, 65.04, 821),
            {"unparsed": 4, "multi": 2, "empty": 2, "ok": 1},
        ),
        ("pubmedqa", "gpt-35-turbo-16k", 500, 36.00, 181, {"ok": 1}),
    ],
)
def test_every_published_score(published, data, model, n, accuracy, strict, differ):
    predictions, golds = published(data, model)
    result = mirage.score(predictions, golds)
    assert result.n == n
    assert f"{100 * result.correct / n:.2f}" == f"{accuracy:.2f}"
    assert (result.strict_correct, result.differ) == (strict, differ)


def test_without_the_letter_for_what_it_cannot_read_the_score_is_another(published):
    predictions, golds = published("medqa", "gpt-4-32k")
    right = [
        golds[name].letter == mirage.read_letter(response)
        for name, response in predictions
        if "None of the above" not in response
    ]
    assert f"{100 * sum(right) / len(predictions):.2f}" != "83.97"


def test_where_only_mirage_counts_an_answer_strict_has_a_reason(published):
    guesses = {"unparsed", "multi", "invalid", "refusal", "empty"}
    for data in GOLDS:
        predictions, golds = published(data, "gpt-4-32k")
        for name, response in predictions:
            asked = {"gold": golds[name].letter, "answer_type": "choice"}
            verdict = answers.judge(response, options=golds[name].options, **asked)
            if mirage.read_letter(response) == golds[name].letter and not verdict.correct:
                assert verdict.status in guesses or "None of the above" in response


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("B", "B"),
        ("  C or D", "C"),
        ("B/D", "B"),
        ("it is Option C", "C"),
        ("Answer: D", "D"),
        ("D. lung", "D"),
        ('{"answer_choice": "B"}', "B"),
        ('{"answer_choice": "B", "more": "x", "answer_choice": "C. lung"}', "C"),
        ("lung", "A"),
        ("", "A"),
    ],
)
def test_reading_a_letter(response, letter):
    assert mirage.read_letter(response) == letter


def test_the_command(tmp_path, repo):
    folder = tmp_path / "gpt-4"
    folder.mkdir()
    for name, given in {"0000": ["B"], "0001": [], "0002": ["None of the above"]}.items():
        (folder / f"test_{name}.json").write_text(json.dumps(given))
    options = {"A": "lung", "B": "liver", "C": "heart", "D": "skin"}
    golds = {f"000{n}": {"answer": letter, "options": options} for n, letter in enumerate("BBA")}
    gold = tmp_path / "benchmark.json"
    gold.write_text(json.dumps({"medqa": golds}))
    command = [
        sys.executable,
        "-m",
        "lingshu_jax.eval.mirage",
        f"--pred={folder}",
        f"--gold={gold}",
    ]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "MIRAGE 100.00 (3 of 3)",
        "strict 33.33 (1)",
        "they differ on 2: empty 1, unparsed 1",
    ]


@pytest.mark.parametrize("text", ["[]", "{}\n", '{"id": "1"}\n', '{"id": "1", "prediction": [1]}'])
def test_what_holds_no_predictions_is_one_clear_error(tmp_path, text):
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(errors.UserError, match=r"--pred .*p\.jsonl"):
        mirage.read_predictions(path)


@pytest.mark.parametrize(
    "text", ["x", "[]", '{"medqa": {"1": {}}}', '{"1": {"final_decision": 3}}']
)
def test_what_holds_no_golds_is_one_clear_error(tmp_path, text):
    path = tmp_path / "g.json"
    path.write_text(text)
    with pytest.raises(errors.UserError, match=r"--gold .*g\.json"):
        mirage.read_golds(path)


def test_an_answer_to_an_unknown_question_is_an_error():
    with pytest.raises(errors.UserError, match="'0007'"):
        mirage.score([("0007", "A")], {"0001": mirage.Gold("A", ("x", "y"))})
