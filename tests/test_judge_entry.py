# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The judge as a command: against a server, with its key, its cache, and what it refuses."""

import json
import pathlib
import subprocess
import sys

import pytest

from lingshu_jax import judge
from lingshu_jax.common import errors
from lingshu_jax.engines import openai_options, registry
from lingshu_jax.eval import folder, sections
from lingshu_jax.eval.judge import items, judges
from lingshu_jax.eval.judge import run as judging
from tests.engines import bad_server
from tests.eval.judge import scripts

KEY = "sk-test-0123456789abcdef"
JUDGE = judges.Judge(name="j", model="m", engine="openai")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with bad_server.running() as made:
        yield made


@pytest.fixture
def evaluation(tmp_path):
    return scripts.evaluation(tmp_path / "e")


def plan(server: bad_server.Server, out: pathlib.Path) -> None:
    """The server judges everything; what the second answer gets first cannot be read."""
    rows = folder.read_samples(out / "predictions")
    for row in [row for row in rows if items.is_judged(row, "strict")]:
        (task,) = items.tasks([row], "strict")
        said = scripts.reply(task.prompt.text, "correct")
        if row["id"] == "o1":
            server.plan[task.prompt.text] = [bad_server.says(bad_server.answer("well"))]
            said = scripts.reply(task.prompt.text, "incorrect")
        text = task.prompt.attempt(int(row["id"] == "o1"))
        server.plan[text] = [bad_server.says(bad_server.answer(said))]


def test_a_server_judges_and_the_same_command_again_asks_nothing(server, evaluation, repo):
    plan(server, evaluation)
    line = [sys.executable, "-m", "lingshu_jax.judge", f"--evaluation={evaluation}"]
    line += ["--model=org/m", "--engine=openai", f"--base_url={server.url}"]
    line += ["--price_in=1", f"--ledger_file={evaluation.parent / 'ledger.jsonl'}"]
    first = subprocess.run(line, cwd=repo, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert (
        "predictions: 3 judged: 2 correct, 1 incorrect, 0 ungradable, 0 failed;"
        " strict 33.3%, with the judge 50.0%" in first.stdout
    )
    assert f"report: {evaluation}/report.html" in first.stdout
    assert len(server.bodies) == 4 and server.keys == [f"Bearer {KEY}"] * 4
    assert all(body["temperature"] == 0 for body in server.bodies)
    rows = {row["id"]: row["judge"] for row in folder.read_samples(evaluation / "predictions")}
    assert rows["o1"] == {"m": "incorrect"} and rows["o0"] == {"m": "correct"}
    usage = sections.read(evaluation)["judge"]["usage"]["m"]
    assert usage["replies"] == 4 and usage["tokens_in"] == 40
    assert usage["cost"] == pytest.approx(40e-6)
    second = subprocess.run(line, cwd=repo, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert len(server.bodies) == 4
    for path in [*evaluation.parent.rglob("*")]:
        assert not path.is_file() or KEY not in path.read_text(errors="replace")
    assert KEY not in first.stdout + first.stderr


def test_replies_of_another_evaluation_come_from_the_cache(server, evaluation, tmp_path):
    plan(server, evaluation)
    options = registry.Options(
        server=openai_options.Options(base_url=server.url, cache_folder=tmp_path / "cache")
    )
    judge.run(JUDGE, str(evaluation), options=options)
    other = scripts.evaluation(tmp_path / "other")
    content = judge.run(JUDGE, str(other), options=options)
    assert len(server.bodies) == 4 and content["usage"]["j"]["cached"] == 4


def test_a_server_that_answers_nothing_is_one_line_and_keeps_what_there_is(server, evaluation):
    plan(server, evaluation)
    rows = folder.read_samples(evaluation / "predictions")
    (task,) = items.tasks([rows[0]], "strict")
    server.plan[task.prompt.text] = [bad_server.error(400, "no such thing")]
    options = registry.Options(server=openai_options.Options(base_url=server.url))
    with pytest.raises(errors.UserError, match="1 without a reply .*'o0'.*no such thing"):
        judge.run(JUDGE, str(evaluation), options=options)
    kept = judges.file(evaluation, "predictions", "j").read_text().splitlines()
    assert {json.loads(line)["row"] for line in kept} == {"o1", "q2"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--evaluation is required"),
        (["--evaluation=E"], "--model is required"),
        (["--evaluation=E", "--model=m", "--engine=none"], "--engine=none is unknown"),
        (["--evaluation=E", "--model=m", "--engine=openai", "--style=x"], "--style must be one"),
        (["--evaluation=E", "--model=m", "--engine=openai"], "is no finished evaluation"),
    ],
)
def test_what_is_wrong_is_one_line(repo, tmp_path, arguments, message):
    line = [sys.executable, "-m", "lingshu_jax.judge", *arguments]
    line = [part.replace("=E", f"={tmp_path}") for part in line]
    line += ["--base_url=http://localhost:1/v1"] if "--engine=openai" in arguments else []
    found = subprocess.run(line, cwd=repo, capture_output=True, text=True, check=False)
    assert found.returncode == 2 and message in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_lines_name_calibration_and_health_scores():
    known = {"share": 0.5, "n": 4, "met": False}
    part = {"score": 0.25, "scored": 3, "n": 4, "failed": 1, "criteria": 9}
    content = {
        "benchmarks": {
            "healthbench": {"judges": {"j": {"rubric": {"all": part}}}},
            "other": {"judges": {}},
        },
        "calibration": {"j": {"known": {"other_form": known}, "wordings": {}}},
    }
    assert judge.lines(content, "j") == [
        "healthbench, all: score 25.0%, 3 of 4 answers, 1 of 9 criteria failed",
        "calibration, other form: 50.0% of 4 correct, target missed",
    ]
    assert judge.lines(content, "k") == []


def test_the_small_model_of_ours_can_be_the_judge(small_folder, evaluation):
    """It says nothing that can be read, and every answer of it is kept."""
    own = judges.Judge(
        name="own", model=str(small_folder), engine="jax", style="medevalkit", max_new_tokens=4
    )
    extent = judging.Extent(share=0.3)
    content = judge.run(own, str(evaluation), extent=extent, options=registry.Options(rows=4))
    found = content["benchmarks"]["predictions"]["judges"]["own"]
    assert (found["judged"], found["failed"]) == (1, 1)
    assert content["usage"]["own"]["replies"] == 1
