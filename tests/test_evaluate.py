# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The command itself, as a process: what it prints, writes and returns."""

import json
import subprocess
import sys

import huggingface_hub
import pytest

from lingshu_jax import evaluate
from lingshu_jax.common import hub
from lingshu_jax.engines import registry
from lingshu_jax.eval import runner

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
    ],
)
def test_bad_input_is_one_line(run, predictions, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    places = {"OUT": "out", "EMPTY": "empty", "FILE": predictions.name}
    for word, name in places.items():
        arguments = [a.replace(f"={word}", f"={tmp_path / name}") for a in arguments]
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
