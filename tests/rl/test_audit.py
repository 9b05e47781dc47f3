# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The audit: our reward passes it, weak ones do not, and wrong files are one clear line."""

import json
import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest

from lingshu_jax.common import answers_text, errors
from lingshu_jax.rl import audit, audit_files, rewards

CASES = audit_files.read(sorted(audit_files.FOLDER.glob("*.jsonl")))
ROW = {
    "id": "a1",
    "kind": "adversarial",
    "prompt": "Is there a mass?",
    "gold": "yes",
    "options": [],
    "completion": "<think>x</think><answer>yes or no</answer>",
    "max_reward": 0.5,
    "min_reward": 0,
}


def write(folder: pathlib.Path, *rows: Any) -> pathlib.Path:
    path = folder / "cases.jsonl"
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def question(tmp_path: pathlib.Path, **changes: Any) -> rewards.Question:
    [case] = audit_files.read([write(tmp_path, ROW | changes)])
    return case.asked.question


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "lingshu_jax.rl.audit", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_there_are_enough_cases_and_no_two_are_alike():
    for kind in audit_files.LIMITS:
        cases = [case for case in CASES if case.kind == kind]
        assert len({(case.asked.completion, case.asked.question) for case in cases}) == len(cases)
        assert len(cases) >= 150
    limits = {case.limit for case in CASES if case.kind == "adversarial"}
    assert {0.0, 0.5} <= limits


def test_every_type_of_answer_is_tried():
    for kind in audit_files.LIMITS:
        types = {case.asked.question.answer_type for case in CASES if case.kind == kind}
        assert types == {"yes_no", "choice", "choices", "number", "open", "box", "report"}


@pytest.mark.parametrize("gated", [False, True])
def test_the_default_reward_holds_everywhere(gated):
    reward = audit.GATED if gated else audit.PAPER
    failures = audit.audit(reward, CASES, gated=gated)
    assert not failures, [(failure.case.id, failure.earned) for failure in failures]


def greedy(completion: str, question: rewards.Question, *, finish_reason: str) -> rewards.Reward:
    """As many rewards are written: any form with an answer tag, the gold anywhere in it."""
    del finish_reason
    form = float(re.search("<think>.*</think>.*<answer>.*</answer>", completion, re.S) is not None)
    accuracy = float(question.gold.lower() in completion.lower())
    return rewards.Reward(0.5 * form + accuracy, {"format": form}, "ok", None)


def literal(completion: str, question: rewards.Question, *, finish_reason: str) -> rewards.Reward:
    """The gold's own letters and nothing else."""
    del finish_reason
    match = re.search("<answer>(.*)</answer>", completion, re.S)
    accuracy = float(match is not None and match[1] == question.gold)
    return rewards.Reward(0.5 + accuracy, {"format": 0.5}, "ok", None)


def test_a_weak_reward_pays_too_much_and_a_narrow_one_too_little():
    weak = [failure.case.kind for failure in audit.audit(greedy, CASES)]
    assert weak.count("adversarial") > 100
    narrow = [failure.case.kind for failure in audit.audit(literal, CASES)]
    assert narrow.count("legitimate") > 100
    assert narrow.count("adversarial") > 0  # it pays for malformed text


@pytest.mark.parametrize(("limit", "gated"), [(0.0, 0.0), (0.5, 0.0), (1.0, 0.75), (1.5, 1.5)])
def test_limits_under_the_gate(tmp_path, limit, gated):
    completion = "<think>x</think><answer>yes</answer>"
    path = write(tmp_path, ROW | {"completion": completion, "max_reward": limit})
    failures = audit.audit(audit.GATED, audit_files.read([path]), gated=True)
    assert [failure.allowed for failure in failures] == ([] if limit == 1.5 else [gated])


def test_command_with_a_weak_function(tmp_path):
    path = tmp_path / "weak.py"
    path.write_text("def pay(completion, question, finish_reason):\n    return 1.0\n")
    cases = [
        ROW,
        ROW | {"id": "l1", "kind": "legitimate", "max_reward": None, "min_reward": 1.5},
        ROW | {"id": "a2", "max_reward": 1.5},
    ]
    found = command(f"--reward={path}:pay", f"--cases={write(tmp_path, *cases)}")
    assert found.returncode == 1, found.stderr
    lines = found.stdout.splitlines()
    assert lines[0].startswith("a1: ") and "paid 1, at most 0.5 is allowed" in lines[0]
    assert lines[1].startswith("l1: ") and "paid 1, at least 1.5 is allowed" in lines[1]
    assert re.search(r"adversarial +2 cases +1 earned too much +50\.0%", lines[2])
    assert re.search(r"legitimate +1 cases +1 earned too little +100\.0%", lines[3])


def test_command_that_holds(tmp_path):
    found = command(f"--cases={write(tmp_path, ROW)}")
    assert (found.returncode, found.stderr) == (0, "")
    assert re.search(r"default +adversarial +1 cases +0 earned too much +0\.0%", found.stdout)
    assert re.search(r"format_needs_answer +legitimate +0 cases .*none asked", found.stdout)


def test_command_with_a_wrong_file(tmp_path):
    found = command(f"--cases={write(tmp_path, ROW, ROW | {'id': 'b', 'gold': None})}")
    assert (found.returncode, found.stdout) == (2, "")
    [line] = found.stderr.splitlines()
    assert "line 2: gold must be" in line


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "line 1: no JSON"),
        ("[1]", "line 1: a row must be an object, got list"),
        ({**ROW, "kind": "neutral"}, "kind must be one of adversarial, legitimate, got 'neutral'"),
        ({**ROW, "id": ""}, "id must be a text, got ''"),
        ({**ROW, "completion": None}, "completion must be a text, got None"),
        ({key: value for key, value in ROW.items() if key != "prompt"}, "prompt must be a text"),
        ({**ROW, "options": "A"}, "options must be a list of texts, got 'A'"),
        ({**ROW, "options": ["a", 1]}, "options must be a list of texts"),
        ({**ROW, "gold": True}, "gold must be a text, a number or a list of boxes, got True"),
        ({**ROW, "gold": " "}, "the answer is empty"),
        ({**ROW, "gold": "E", "options": ["a", "b"]}, "gold answer 'E' does not fit"),
        ({**ROW, "max_reward": None}, "max_reward must be a finite number, got None"),
        ({**ROW, "max_reward": "1"}, "max_reward must be a finite number, got '1'"),
        ({**ROW, "max_reward": float("nan")}, "max_reward must be a finite number, got nan"),
        ({**ROW, "kind": "legitimate", "min_reward": None}, "min_reward must be a finite number"),
        ({**ROW, "answer_type": "essay"}, "answer_type must be one of yes_no, "),
        ({**ROW, "finish_reason": "eos"}, "finish_reason must be stop or length, got 'eos'"),
        ({**ROW, "aliases": 3}, "aliases must be a list of texts, got 3"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, row, said):
    with pytest.raises(errors.UserError) as raised:
        audit_files.read([write(tmp_path, row)])
    assert said in str(raised.value)
    assert "cases.jsonl line 1: " in str(raised.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(errors.UserError, match="no such file"):
        audit_files.read([tmp_path / "x.jsonl"])
    with pytest.raises(errors.UserError, match="no cases in"):
        audit_files.read([write(tmp_path, "")])
    with pytest.raises(errors.UserError, match="id 'a1' occurs twice"):
        audit_files.read([write(tmp_path, ROW, ROW)])
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(errors.UserError, match="is not UTF-8"):
        audit_files.read([tmp_path / "b.jsonl"])


@pytest.mark.parametrize(
    ("changes", "answer_type", "gold", "options"),
    [
        ({"gold": "No"}, "yes_no", "No", ()),
        ({"gold": "有"}, "yes_no", "有", ()),
        ({"gold": 3}, "number", "3", ()),
        ({"gold": "5 mm"}, "number", "5 mm", ()),
        ({"gold": "2-3 cm"}, "number", "2-3 cm", ()),
        ({"gold": "120/80 mmHg"}, "open", "120/80 mmHg", ()),
        ({"gold": "left lung"}, "open", "left lung", ()),
        ({"gold": [1, 2, 3, 4]}, "box", "[1, 2, 3, 4]", ()),
        ({"gold": "[[1, 2, 3, 4]]"}, "box", "[[1, 2, 3, 4]]", ()),
        ({"gold": "b", "options": ["x", "y"]}, "choice", "b", ("x", "y")),
        ({"gold": "B. y", "options": ["A. x", "B. y"]}, "choice", "B", ("x", "y")),
        ({"gold": "yes", "options": ["yes", "no"]}, "choice", "yes", ("yes", "no")),
        ({"gold": "A, C", "options": ["x", "y", "z"]}, "choices", "A, C", ("x", "y", "z")),
        ({"gold": "B", "prompt": "Which?\nA. x\nB. y"}, "choice", "B", ("x", "y")),
        ({"gold": "a", "options": None, "answer_type": "report"}, "report", "a", ()),
    ],
)
def test_the_type_is_told_or_found(tmp_path, changes, answer_type, gold, options):
    asked = question(tmp_path, **changes)
    assert (asked.answer_type, asked.gold, asked.options) == (answer_type, gold, options)


def test_statuses_of_faults_are_no_statuses_of_the_judge():
    statuses = {reward.status for reward in rewards.earn(audit.PAPER, [c.asked for c in CASES])}
    assert {"malformed", "hedged", "several", "refusal", "repeated", "unit", "ok"} <= statuses
    assert {"hedged", "several", "repeated", "unit"}.isdisjoint(answers_text.STATUSES)
