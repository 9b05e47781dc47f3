# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A synthesis killed again and again: the same rows in the end, and no reply is paid twice."""

import collections
import json
import pathlib
import shutil
import time
from collections.abc import Iterator

import numpy as np
import pytest

from lingshu_jax.engines import journal
from tests.engines import bad_server
from tests.kill import synthesizing

pytestmark = pytest.mark.kill

KILLS, KILLS_REDUCED = 10, 3
QUESTIONS = 24  # for each kill
SECONDS = 0.04  # of an answer
WAIT = 0.3  # at most, after the first new reply


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[bad_server.Server]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with bad_server.running() as server:
        server.reply, server.seconds = synthesizing.reply, SECONDS
        yield server


def kept(output: pathlib.Path) -> set[str]:
    """Marks of the replies that the command has on disk."""
    paths = [output / "replies" / f"{name}.jsonl" for name in synthesizing.RECIPES]
    answers = [answer for path in paths for _, answer in journal.read_answers(path)]
    return {_mark_in(reply) for answer in answers for reply in answer["replies"]}


def _mark_in(reply: str) -> str:
    """The mark of `synthesizing.reply`."""
    if not reply.startswith("{"):
        return reply.split()[0]
    said = json.loads(reply)
    if "items" in said:
        return said["items"][0]["question"].split()[2]
    return said["why"] if "verdict" in said else said["reasoning"].split("(")[-1].rstrip(")")


def kill(data: pathlib.Path, output: pathlib.Path, url: str, wait: float) -> None:
    """Kills the command some seconds after its first new reply."""
    before = len(kept(output))
    process = synthesizing.start(data, output, url)
    while process.poll() is None and len(kept(output)) <= before:
        time.sleep(0.005)
    time.sleep(wait)
    process.kill()
    process.communicate()
    assert process.returncode == -9, output.with_suffix(".log").read_text()


def test_a_killed_synthesis_ends_with_the_same_rows_and_pays_once(
    server: bad_server.Server, tmp_path: pathlib.Path, reduced: bool
) -> None:
    kills = KILLS_REDUCED if reduced else KILLS
    data = synthesizing.write_data(tmp_path / "data", QUESTIONS * kills)
    output, rng = tmp_path / "out", np.random.default_rng(0)
    finished: list[tuple[int, set[str]]] = []  # at each kill: requests so far, replies on disk
    for _ in range(kills):
        kill(data, output, server.url, float(rng.uniform(0, WAIT)))
        assert not (output / "summary.json").exists()
        finished.append((len(server.bodies), kept(output)))
    said = synthesizing.finish(synthesizing.start(data, output, server.url), output)
    marks = [synthesizing.mark_of(body) for body in server.bodies]
    for (before, _), (after, _) in zip(finished, finished[1:], strict=False):
        assert before < after
    for place, replies in finished:
        assert replies and not replies & set(marks[place:]), "a reply on disk was paid again"
    # Asked a second time is only what was under way when the command was killed.
    repeated = len(marks) - len(set(marks))
    assert len(server.again) <= repeated <= kills * synthesizing.AT_ONCE
    assert max(collections.Counter(marks).values()) <= 1 + kills

    whole = tmp_path / "whole"
    assert synthesizing.finish(synthesizing.start(data, whole, server.url), whole) == said
    expected = synthesizing.files(whole)
    assert synthesizing.files(output) == expected
    rows = expected["rows/reasoning.jsonl"].splitlines()
    assert QUESTIONS * kills * 0.9 < len(rows) <= QUESTIONS * kills
    assert len(expected["rows/self_instruct.jsonl"].splitlines()) > QUESTIONS * kills // 2
    print(f"\n{kills} kills: {len(set(marks))} replies, {repeated} asked for twice")


def test_lost_replies_are_noticed(server: bad_server.Server, tmp_path: pathlib.Path) -> None:
    """The twin: a run that forgets its replies asks for all of them again, and rows are equal."""
    server.seconds = 0.0
    data, output = synthesizing.write_data(tmp_path / "data", 4), tmp_path / "out"
    synthesizing.finish(synthesizing.start(data, output, server.url), output)
    asked, before = len(server.bodies), synthesizing.files(output)
    synthesizing.finish(synthesizing.start(data, output, server.url), output)
    assert len(server.bodies) == asked and not server.again
    shutil.rmtree(output / "replies")
    synthesizing.finish(synthesizing.start(data, output, server.url), output)
    assert len(server.again) == asked and synthesizing.files(output) == before
