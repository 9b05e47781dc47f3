# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""SIGKILL while questions are tried: the same command asks the rest, and ends the same."""

import json
import time
from pathlib import Path

import pytest

from lingshu_jax.rl import prepare, prepare_report
from tests import small
from tests.rl import trying

ROWS = 40

pytestmark = pytest.mark.kill


@pytest.fixture
def flags(tmp_path: Path, model_folder: Path) -> list[str]:
    rows = [
        {
            "id": f"r{i}",
            "messages": [{"role": "user", "content": f"Where, {i % 9} ?"}],
            "answer": "left",
            "answer_type": "open",
        }
        for i in range(ROWS)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [f"--input={path}", f"--model={model_folder}", "--max_pass=0.9"]


def asked(log: Path) -> list[str]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_killed_run_asks_no_finished_question_again(tmp_path, flags):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    small.finish(trying.start(tmp_path / "whole.log", 0.0, *flags, f"--output={whole}"))
    log = tmp_path / "first.log"
    process = trying.start(log, 0.1, *flags, f"--output={cut}")
    while len(asked(log)) < 10:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    first = asked(log)
    assert not (cut / prepare.TRAIN).exists()
    small.finish(trying.start(tmp_path / "second.log", 0.0, *flags, f"--output={cut}"))
    second = asked(tmp_path / "second.log")
    assert set(first) | set(second) == {f"r{i}" for i in range(ROWS)}
    assert set(first) & set(second) <= {first[-1]}  # the one that was being answered
    for name in (prepare.TRAIN, prepare.DROPPED, prepare_report.MANIFEST):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
