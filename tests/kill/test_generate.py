# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Batch inference killed again and again: no finished row is asked twice, none is lost."""

import json
import pathlib
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lingshu_jax.engines import batch_file
from tests import small
from tests.engines import answering

pytestmark = pytest.mark.kill

ROWS, KILLS, KILLS_REDUCED = 400, 20, 4
SECONDS = 0.002  # of an answer
MODEL_ROWS, MODEL_KILLS, MODEL_KILLS_REDUCED = 24, 4, 1
FAILS = 7  # one row of so many


def write_rows(path: pathlib.Path, count: int) -> pathlib.Path:
    lines = []
    for i in range(count):
        text = f"fail {i}" if i % FAILS == FAILS - 1 else f"question {i}"
        row = {"id": f"row{i}", "messages": [{"role": "user", "content": text}]}
        lines.append(json.dumps(row) + "\n")
    path.write_text("".join(lines))
    return path


def lines_of(path: pathlib.Path) -> list[Any]:
    """The lines that were written to the end."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().rpartition("\n")[0].splitlines()]


def name_of(line: Any) -> str:
    """The id of the row that a line of the journal answers, with its text backwards."""
    return f"row{line['answer']['text'][::-1].removeprefix('question ')}"


def kill_after_an_answer(
    start: Callable[[], subprocess.Popen[str]], part: pathlib.Path, wait: float
) -> bool:
    """Kills a command `wait` seconds after its first new answer; whether it was still at work."""
    process, before = start(), len(lines_of(part))
    while process.poll() is None and len(lines_of(part)) <= before:
        time.sleep(0.001)
    time.sleep(wait)
    process.kill()
    _, error = process.communicate()
    assert process.returncode in (0, 1, -9), error
    return process.returncode == -9


def test_no_finished_row_is_asked_again(
    small_folder: pathlib.Path, tmp_path: pathlib.Path, reduced: bool
) -> None:
    kills = KILLS_REDUCED if reduced else KILLS
    count = ROWS // (KILLS // kills)
    source, target = write_rows(tmp_path / "rows.jsonl", count), tmp_path / "out.jsonl"
    part, asked = tmp_path / f"out.jsonl{batch_file.PART}", tmp_path / "asked.jsonl"
    names = (f"--model={small_folder}", f"--input={source}", f"--output={target}")

    def start() -> subprocess.Popen[str]:
        return answering.start(asked, SECONDS, *names, "--max_new_tokens=8")

    rng, killed = np.random.default_rng(0), 0
    finished: list[tuple[int, set[str]]] = []  # at each kill: questions so far, rows with answers
    for trial in range(kills):
        done = {row["row"] for row in lines_of(part)}
        before = len(lines_of(asked))
        if trial % 2:
            # What a kill in the middle of a line leaves, at any byte of it.
            with part.open("ab") as file:
                file.write(b'{"row": "0", "answer": {"text": "'[: int(rng.integers(1, 34))])
        killed += kill_after_an_answer(start, part, float(rng.uniform(0, 0.04)))
        again = {row["row"] for row in lines_of(part)[: len(done)]} & done
        assert again == done, "an answer was lost"
        assert len(lines_of(asked)) > before and not target.exists()
        finished.append((len(lines_of(asked)), {name_of(row) for row in lines_of(part)}))
    assert killed == kills, "a command had finished before it was killed"
    out, error = start().communicate(timeout=300)
    failed = count // FAILS
    assert f"{count - failed} answers and {failed} failed rows in {target}" in out, error
    rows = lines_of(target)
    assert [row["id"] for row in rows] == [f"row{i}" for i in range(count)]
    assert all(("error" in row) == (i % FAILS == FAILS - 1) for i, row in enumerate(rows))
    for place, names_then in finished:
        assert names_then and not names_then & set(lines_of(asked)[place:])
    # A kill may come between an answer and its line: that row alone is asked again.
    questions = [name for name in lines_of(asked) if int(name[3:]) % FAILS != FAILS - 1]
    assert len(set(questions)) == count - failed
    print(f"\n{kills} kills: {len(questions)} questions asked for {len(set(questions))} rows")


def test_the_small_model_gives_the_same_answers(
    small_folder: pathlib.Path, tmp_path: pathlib.Path, reduced: bool
) -> None:
    """Sampled ones, with a JAX engine that is killed among its batches."""
    source = write_rows(tmp_path / "rows.jsonl", MODEL_ROWS)

    def start(name: str) -> subprocess.Popen[str]:
        return small.start(
            "generate",
            *(f"--model={small_folder}", f"--input={source}", f"--output={tmp_path / name}"),
            *("--max_new_tokens=48", "--temperature=1", "--rows=4", "--n=2"),
        )

    small.finish(start("undisturbed.jsonl"))
    part, killed = tmp_path / f"killed.jsonl{batch_file.PART}", 0
    for _ in range(MODEL_KILLS_REDUCED if reduced else MODEL_KILLS):
        killed += kill_after_an_answer(lambda: start("killed.jsonl"), part, 0.0)
    assert killed, "every command had finished before it was killed"
    small.finish(start("killed.jsonl"))
    expected, found = lines_of(tmp_path / "undisturbed.jsonl"), lines_of(tmp_path / "killed.jsonl")
    assert [row["id"] for row in found] == [f"row{i}" for i in range(MODEL_ROWS)]
    for ours, theirs in zip(found, expected, strict=True):
        tokens = [[one["tokens"] for one in row["completions"]] for row in (ours, theirs)]
        assert tokens[0] == tokens[1], ours["id"]
    assert not part.exists()
