# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The command itself, as a process: what it prints, writes and returns."""

import json
import re
import subprocess
import sys

import huggingface_hub
import pytest

from lingshu_jax import evaluate
from lingshu_jax.common import hub
from lingshu_jax.engines import registry
from lingshu_jax.eval import runner
from tests.engines import bad_server

ROWS = [
    {"question": "q", "answer": "yes", "response": "Yes"},
    {"question": "q", "answer": "no", "response": "I cannot determine"},
]


@pytest.fixture
def run(repo, tmp_path):
    def command(*arguments):
        line = [sys.executable, "-m", "lingshu_jax.evaluate", *arguments]
        return subprocess.run(line, cwd=repo, capture_output=True, text=True, check=False)

    return command


@pytest.fixture
def predictions(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(ROWS))
    return path


def test_scoring_a_file_twice(run, predictions, tmp_path):
    out = tmp_path / "out"
    arguments = (f"--predictions={predictions}", "--benchmarks=vqa_rad", f"--output_dir={out}")
    first = run(*arguments)
    assert first.returncode == 0, first.stderr
    assert "vqa_rad: 2 rows, compat 100.0%, strict 50.0%, constant 50.0%; 1 refusal" in first.stdout
    written = (out / "COMMIT").stat().st_mtime_ns
    second = run(*arguments)
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert (out / "COMMIT").stat().st_mtime_ns == written
    predictions.write_text(json.dumps(ROWS[:1]))
    changed = run(*arguments)
    assert changed.returncode == 2
    assert "predictions = " in changed.stderr and len(changed.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=m", "--benchmarks=vqa_rad"], "--output_dir is required"),
        (["--benchmarks=vqa_rad", "--output_dir=OUT"], "--model is required"),
        (["--model=m", "--output_dir=OUT"], "--benchmarks is required"),
        (
            ["--model=m", "--benchmarks=vqa_rad", "--output_dir=OUT"],
            "--model=m is no folder, and it is no hub id",
        ),
        (
            ["--model=org/model@v1", "--benchmarks=vqa_rad", "--output_dir=OUT"],
            "give --model=DIR, a folder with config.json",
        ),
        (["--model=EMPTY", "--benchmarks=vqa_rad", "--output_dir=OUT"], "has no config.json"),
        (
            ["--engine=vllm", "--model=EMPTY", "--benchmarks=vqa_rad", "--output_dir=OUT"],
            "has no config.json",
        ),
        (
            ["--engine=llama", "--model=EMPTY", "--benchmarks=vqa_rad", "--output_dir=OUT"],
            "--engine=llama is unknown; allowed are jax, vllm, openai",
        ),
        (
            ["--tensor=2", "--engine=openai", "--model=m", "--benchmarks=x", "--output_dir=OUT"],
            "--tensor means nothing to --engine=openai",
        ),
        (["--predictions=none.json", "--output_dir=OUT"], "no such file: none.json"),
        (["--predictions=FILE", "--benchmarks=x", "--output_dir=OUT"], "unknown benchmark 'x'"),
        (["--nonsense=1"], "nonsense"),
        (
            ["--model=m", "--benchmarks=x", "--output_dir=OUT", "--shard=1"],
            "--num_shards and --shard go together; --num_shards is missing",
        ),
        (
            ["--engine=openai", "--model=m", "--benchmarks=x", "--output_dir=OUT", "--top_k=5"],
            "top_k = 5 means nothing to a server of dialect 'openai'",
        ),
        (["--compare=EMPTY", "--output_dir=OUT"], "--compare takes two folders, DIR,DIR, got 1"),
        (["--compare=EMPTY,EMPTY", "--output_dir=OUT"], "is no finished evaluation"),
    ],
)
def test_bad_input_is_one_line(run, predictions, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    places = {"OUT": "out", "EMPTY": "empty", "FILE": predictions.name}
    for word, name in places.items():
        arguments = [re.sub(rf"(?<=[=,]){word}\b", str(tmp_path / name), a) for a in arguments]
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_model_by_hub_id(small_folder, tmp_path, monkeypatch):
    """The report names what was asked for; the digest is that of the folder it stands for."""
    question = [{"role": "user", "content": [{"type": "text", "text": "Is it?"}]}]
    row = {"id": "a", "messages": question, "answer": "yes", "answer_type": "yes_no", "options": []}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(small_folder))
    settings = runner.Settings(
        model="some-org/model@v1",
        engine="jax",
        benchmarks=f"rows:{tmp_path / 'rows.jsonl'}",
        max_new_tokens=2,
    )
    summary = evaluate.run(settings, tmp_path / "out", options=registry.Options(rows=2))
    assert summary["model"] == summary["settings"]["model"] == "some-org/model@v1"
    assert summary["settings"]["weights"] == hub.digest_weights(small_folder)
    assert summary["benchmarks"]["rows"]["n"] == 1


@pytest.fixture
def rows_file(tmp_path):
    """A benchmark `rows` of five questions without pictures."""
    lines = []
    for number in range(5):
        content = [{"type": "text", "text": f"Is it {number}?"}]
        row = {"id": f"q{number}", "messages": [{"role": "user", "content": content}]}
        lines.append(json.dumps({**row, "answer": "yes", "answer_type": "yes_no"}) + "\n")
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(lines))
    return path


def test_two_shards_and_what_they_print(repo, rows_file, tmp_path):
    """With a server; one more command finds it finished."""
    out = tmp_path / "out"
    with bad_server.running() as server:
        line = [sys.executable, "-m", "lingshu_jax.evaluate", "--engine=openai", "--model=m"]
        line += [f"--base_url={server.url}", f"--benchmarks=rows:{rows_file}"]
        line += [f"--output_dir={out}", "--price_in=1000", "--price_out=2000"]

        def command(*more):
            done = subprocess.run([*line, *more], cwd=repo, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return done.stdout

        first = command("--num_shards=2", "--shard=1")
        assert first.startswith("all questions of this shard have answers; the shard that ends")
        last = command("--num_shards=2", "--shard=0", "--medevalkit_layout")
        assert server.paid.total() == 5
        assert command() == last
    assert "rows: 5 rows, compat 0.0%" in last
    # The server says 10 tokens of each prompt and 5 of each answer.
    assert "  5 answers, 50 tokens in, 25 tokens out, " in last
    assert "answers a second, cost 0.1\n" in last
    assert f"report: {out}/report.html" in last
    assert (out / "medevalkit" / "rows" / "results.json").is_file()


def test_a_services_model_is_asked_by_its_row(repo, rows_file, tmp_path):
    """Without the row the service refuses every question."""
    with bad_server.running() as server:
        server.refused = bad_server.SERVICES["gpt-5"]
        line = [sys.executable, "-m", "lingshu_jax.evaluate", "--engine=openai", "--model=gpt-5"]
        line += [f"--base_url={server.url}", f"--benchmarks=rows:{rows_file}"]

        def command(out, *more):
            whole = [*line, f"--output_dir={tmp_path / out}", *more]
            return subprocess.run(whole, cwd=repo, capture_output=True, text=True, check=False)

        done = command("row")
        assert done.returncode == 0, done.stderr
        refused = command("none", "--peer=none")
        assert refused.returncode == 2 and "status 400" in refused.stderr
        changed = command("row", "--peer=none")
        assert changed.returncode == 2 and "was made with peer = 'gpt-5: not" in changed.stderr
        assert "--peer=gpt-6 is unknown" in command("other", "--peer=gpt-6").stderr
    summary = json.loads((tmp_path / "row" / "summary.json").read_text())
    said = "gpt-5: not sent: temperature, top_p, stop, seed"
    assert summary["settings"]["peer"] == said
    assert "GPT-5 takes no temperature" in " ".join(summary["remarks"])
    manifest = json.loads((tmp_path / "row" / "manifest.json").read_text())
    assert manifest["prompts"]["peer"] == said
    assert said in (tmp_path / "row" / "report.html").read_text()


def test_the_layout_of_a_finished_evaluation(run, predictions, tmp_path):
    out = tmp_path / "out"
    arguments = (f"--predictions={predictions}", "--benchmarks=vqa_rad", f"--output_dir={out}")
    assert run(*arguments).returncode == 0 and not (out / "medevalkit").exists()
    done = run(*arguments, "--medevalkit_layout")
    assert done.returncode == 0, done.stderr
    totals = json.loads((out / "medevalkit" / "total_results.json").read_text())
    assert totals["VQA_RAD"]["total metrics"] == {"total": 2, "right": 2, "acc": 1.0}


def test_two_runs_are_compared(run, predictions, tmp_path):
    for name, said in (("first", "Yes"), ("second", "No")):
        predictions.write_text(json.dumps([{**ROWS[0], "response": said}, ROWS[1]]))
        arguments = (f"--predictions={predictions}", "--benchmarks=vqa_rad")
        assert run(*arguments, f"--output_dir={tmp_path / name}").returncode == 0
    folders = f"--compare={tmp_path / 'first'},{tmp_path / 'second'}"
    done = run(folders, f"--output_dir={tmp_path / 'both'}")
    assert done.returncode == 0, done.stderr
    assert "vqa_rad" in done.stdout
    assert f"comparison: {tmp_path / 'both'}/compare.html" in done.stdout
    assert (tmp_path / "both" / "compare.json").is_file()
