# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluations killed again and again: nothing that is finished is asked, or paid, a second time."""

import collections
import json
import pathlib
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from lingshu_jax.engines import journal
from lingshu_jax.eval import folder, manifest
from tests import small
from tests.distributed import processes
from tests.engines import bad_server
from tests.kill import evaluating

pytestmark = pytest.mark.kill

QUESTIONS, KILLS, KILLS_REDUCED = 300, 20, 4
SECONDS = 0.004  # of an answer
SHARD_KILLS, SHARD_KILLS_REDUCED = 10, 2
MODEL_QUESTIONS, MODEL_KILLS, MODEL_KILLS_REDUCED = 24, 4, 1
PAID_QUESTIONS, PAID_KILLS, PAID_KILLS_REDUCED = 120, 8, 2

Start = Callable[[], subprocess.Popen[str]]


def flags(data: pathlib.Path, out: pathlib.Path, *more: str) -> tuple[str, ...]:
    return (
        *("--engine=openai", "--model=m", "--base_url=http://127.0.0.1:9/v1"),
        *(f"--benchmarks={evaluating.NAME}", f"--data_dir={data}", f"--output_dir={out}"),
        *("--max_new_tokens=8", *more),
    )


def answered(out: pathlib.Path) -> set[str]:
    """Ids of the questions that have an answer on disk."""
    path = out / evaluating.NAME
    if folder.is_complete(path):
        return {row["id"] for row in folder.read_samples(path)}
    files = path.glob(f"{folder.GENERATIONS}*.jsonl")
    return {key for file in files for key, _ in journal.read_answers(file)}


def asked_so_far(log: pathlib.Path) -> list[str]:
    """Ids in the order in which they were asked; a kill may have torn a line."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line) for line in lines if line.endswith('"') and line.startswith('"')]


def kill(running: Sequence[subprocess.Popen[str]]) -> int:
    """Kills commands; how many were still at work."""
    count = 0
    for process in running:
        process.kill()
        _, error = process.communicate()
        assert process.returncode in (0, -9), error
        count += process.returncode == -9
    return count


def wait_for_more(out: pathlib.Path, running: Sequence[subprocess.Popen[str]]) -> None:
    before = len(answered(out))
    while any(p.poll() is None for p in running) and len(answered(out)) <= before:
        time.sleep(0.005)


def rows(out: pathlib.Path) -> list[dict[str, Any]]:
    return folder.read_samples(out / evaluating.NAME)


def check_whole(out: pathlib.Path, count: int) -> None:
    """The evaluation is finished, every question is there once, and no rest is left."""
    assert folder.is_complete(out)
    assert [row["id"] for row in rows(out)] == [f"q{i}" for i in range(count)]
    for i, row in enumerate(rows(out)):
        assert row["response"] == f"Is it number {i}?"[::-1]
    assert not list(out.rglob("*.partial")) and not list(out.rglob(f"{folder.GENERATIONS}*"))
    usage = folder.read_summary(out)["benchmarks"][evaluating.NAME]["usage"]
    assert usage["answers"] == count and usage["failed"] == 0


def test_no_finished_question_is_asked_again(tmp_path: pathlib.Path, reduced: bool) -> None:
    """At random moments, from the start of the process to the last file that it writes."""
    kills = KILLS_REDUCED if reduced else KILLS
    count = QUESTIONS // (KILLS // kills)
    data, out = evaluating.write_data(tmp_path / "data", count), tmp_path / "out"
    log, finished = tmp_path / "asked.jsonl", list[tuple[int, set[str]]]()
    rng, killed = np.random.default_rng(0), 0
    for trial in range(kills):
        path = folder.generations_file(out / evaluating.NAME, "")
        if trial % 2 and path.is_file():
            # What a kill in the middle of a line leaves, at any byte of it.
            with path.open("ab") as file:
                file.write(b'{"row": "q0", "answer": {"response": "'[: int(rng.integers(1, 38))])
        before = answered(out)
        process = evaluating.start(log, SECONDS, *flags(data, out))
        wait_for_more(out, [process])
        time.sleep(float(rng.uniform(0, 1.2 * count * SECONDS / kills)))
        killed += kill([process])
        assert before <= answered(out), "an answer was lost"
        finished.append((len(asked_so_far(log)), answered(out)))
    assert killed >= kills - 1, "commands had finished before they were killed"
    out_text = small.finish(evaluating.start(log, SECONDS, *flags(data, out)))
    assert f"{evaluating.NAME}: {count} rows" in out_text
    check_whole(out, count)
    for place, ids in finished:
        assert ids and not ids & set(asked_so_far(log)[place:]), "a finished one was asked again"
    asked = asked_so_far(log)
    assert len(set(asked)) == count
    # A kill may come between an answer and its line: that question alone is asked again.
    assert len(asked) - count <= kills
    print(f"\n{kills} kills: {len(asked)} questions asked for {count}")


def test_killed_while_it_scores_and_writes(tmp_path: pathlib.Path, reduced: bool) -> None:
    """All answers are there: what is killed then asks nothing, and ends with the same files."""
    kills = KILLS_REDUCED if reduced else KILLS // 2
    data, out = evaluating.write_data(tmp_path / "data", 60), tmp_path / "out"
    log = tmp_path / "asked.jsonl"
    small.finish(evaluating.start(log, 0.0, *flags(data, tmp_path / "whole")))
    place = len(asked_so_far(log))
    process = evaluating.start(log, 0.0, *flags(data, out))
    while len(answered(out)) < 60:
        time.sleep(0.001)
    kill([process])
    rng, moments = np.random.default_rng(1), ("samples.jsonl", "summary.json", "COMMIT", "")
    for trial in range(kills):
        process = evaluating.start(log, 0.0, *flags(data, out))
        wanted = out / evaluating.NAME / moments[trial % len(moments)]
        while process.poll() is None and not wanted.exists():
            time.sleep(0.0005)
        time.sleep(float(rng.uniform(0, 0.05)))
        kill([process])
    small.finish(evaluating.start(log, 0.0, *flags(data, out)))
    check_whole(out, 60)
    again = collections.Counter(asked_so_far(log)[place:])
    assert len(again) == 60 and again.total() == 60, "something was asked again"
    assert rows(out) == rows(tmp_path / "whole")


def test_shards_that_are_killed_lose_and_repeat_nothing(
    tmp_path: pathlib.Path, reduced: bool
) -> None:
    """Two and three processes at a time, another number each time, then one that ends it."""
    kills = SHARD_KILLS_REDUCED if reduced else SHARD_KILLS
    count = QUESTIONS // (SHARD_KILLS // kills)
    data, out = evaluating.write_data(tmp_path / "data", count), tmp_path / "out"
    log, finished = tmp_path / "asked.jsonl", list[tuple[int, set[str]]]()
    rng, killed = np.random.default_rng(0), 0

    def start_all(number: int) -> list[subprocess.Popen[str]]:
        parts = [(f"--num_shards={number}", f"--shard={index}") for index in range(number)]
        return [evaluating.start(log, 2 * SECONDS, *flags(data, out, *part)) for part in parts]

    for trial in range(kills):
        before, running = answered(out), start_all(2 + trial % 2)
        wait_for_more(out, running)
        time.sleep(float(rng.uniform(0, count * SECONDS / kills)))
        killed += kill(running)
        assert before <= answered(out), "an answer was lost"
        finished.append((len(asked_so_far(log)), answered(out)))
    assert killed >= kills, "most had finished before they were killed"
    running = start_all(3)
    texts = [small.finish(process) for process in running]
    assert sum("report: " in text for text in texts) >= 1, texts
    check_whole(out, count)
    for place, ids in finished:
        assert not ids & set(asked_so_far(log)[place:]), "a finished one was asked again"
    asked = asked_so_far(log)
    assert len(set(asked)) == count and len(asked) - count <= 3 * kills
    sessions = json.loads((out / manifest.NAME).read_text())["sessions"]
    assert len(sessions) == len({session["part"] for session in sessions})
    print(f"\n{killed} kills of shards: {len(asked)} questions asked for {count}")


@pytest.mark.parametrize("trial", range(3))
def test_shards_that_end_together_score_once(tmp_path: pathlib.Path, trial: int) -> None:
    """Real processes, without a pause between the last answers and scoring."""
    data, out = evaluating.write_data(tmp_path / "data", 40), tmp_path / "out"
    running = [
        evaluating.start(
            tmp_path / "log", 0.0, *flags(data, out, "--num_shards=4", f"--shard={index}")
        )
        for index in range(4)
    ]
    texts = [small.finish(process) for process in running]
    assert any("report: " in text for text in texts)
    check_whole(out, 40)


def test_the_small_model_ends_with_the_same_rows(
    small_folder: pathlib.Path, tmp_path: pathlib.Path, reduced: bool
) -> None:
    """The JAX engine with a cache, killed among its batches; then from the cache alone."""
    data = evaluating.write_data(tmp_path / "data", MODEL_QUESTIONS)

    def start(name: str, *more: str) -> subprocess.Popen[str]:
        return small.start(
            "evaluate",
            *(f"--model={small_folder}", f"--benchmarks={evaluating.NAME}", f"--data_dir={data}"),
            *(f"--output_dir={tmp_path / name}", "--max_new_tokens=32", "--rows=2", *more),
            *("--temperature=1", "--seed=3"),
        )

    small.finish(start("undisturbed"))
    cache, out, killed = f"--cache_folder={tmp_path / 'cache'}", tmp_path / "killed", 0
    for _ in range(MODEL_KILLS_REDUCED if reduced else MODEL_KILLS):
        process = start("killed", cache)
        wait_for_more(out, [process])
        killed += kill([process])
    assert killed, "every command had finished before it was killed"
    small.finish(start("killed", cache))
    assert rows(out) == rows(tmp_path / "undisturbed")
    assert len({row["response"] for row in rows(out)}) > MODEL_QUESTIONS // 2
    text = small.finish(start("again", cache))
    assert f"{MODEL_QUESTIONS} answers, {MODEL_QUESTIONS} cached" in text
    assert rows(tmp_path / "again") == rows(out)


def test_no_answer_is_paid_twice(tmp_path: pathlib.Path, reduced: bool) -> None:
    """A server that counts; what it has sent and the cache has kept is never asked again."""
    kills = PAID_KILLS_REDUCED if reduced else PAID_KILLS
    data, out = evaluating.write_data(tmp_path / "data", PAID_QUESTIONS), tmp_path / "out"
    cache, known = tmp_path / "cache", list[tuple[dict[str, int], set[str]]]()
    with bad_server.running() as server:
        server.seconds = 0.05

        def start(out: pathlib.Path) -> subprocess.Popen[str]:
            ours = flags(data, out, f"--cache_folder={cache}", f"--base_url={server.url}")
            return small.start("evaluate", *ours, "--max_concurrency=4")

        rng, killed = np.random.default_rng(0), 0
        for _ in range(kills):
            process = start(out)
            wait_for_more(out, [process])
            time.sleep(float(rng.uniform(0, 0.3)))
            killed += kill([process])
            time.sleep(0.2)  # until the server has noted what was under way
            found = {f"Is it number {key[1:]}?" for key in answered(out)} | kept_in(cache)
            known.append((dict(server.asked), found))
        assert killed == kills, "a command had finished before it was killed"
        small.finish(start(out))
        asked = dict(server.asked)
        for then, found in known:
            assert found
            repeated = [question for question in found if asked[question] != then[question]]
            assert not repeated, "a kept answer was paid again"
        assert len(asked) == PAID_QUESTIONS
        text = small.finish(start(tmp_path / "other"))
        assert dict(server.asked) == asked, "the cache had all answers"
        assert f"{PAID_QUESTIONS} answers, {PAID_QUESTIONS} cached" in text
    assert rows(tmp_path / "other") == rows(out)
    paid = sum(asked.values())
    print(f"\n{kills} kills: {paid} requests for {PAID_QUESTIONS} questions")


def kept_in(cache: pathlib.Path) -> set[str]:
    """Questions whose answer is in the cache."""
    texts = [json.loads(path.read_text()) for path in cache.glob("??/*.json")]
    return {text["message"]["content"].removeprefix("to ") for text in texts}


def test_two_joined_hosts_share_the_questions(
    small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """One command on both, without flags: each answers on its own devices, one of them scores."""
    data, out = evaluating.write_data(tmp_path / "data", 12), tmp_path / "out"
    args = [f"--model={small_folder}", f"--benchmarks={evaluating.NAME}", f"--data_dir={data}"]
    args += ["--max_new_tokens=8", "--rows=2"]
    joined = [*args, f"--output_dir={out}"]
    with processes.joined(2, "lingshu_jax.evaluate", joined, folder=tmp_path / "logs") as group:
        group.finish(300)
        texts = [group.output(index) for index in range(2)]
    assert any("report: " in text for text in texts)
    small.finish(small.start("evaluate", *args, f"--output_dir={tmp_path / 'one'}"))
    assert rows(out) == rows(tmp_path / "one")
    sessions = json.loads((out / manifest.NAME).read_text())["sessions"]
    assert {session["part"] for session in sessions} == {"0-of-2", "1-of-2"}
    assert all(session["hardware"]["devices"] == {"cpu": 1} for session in sessions)
