# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A synthesis through a server that fails in every way: nothing is lost, nothing is paid twice."""

import collections
import contextlib
import itertools
import json
import pathlib
import shutil
from typing import NamedTuple

import numpy as np
import pytest

from data_tools.synthesis import desk
from lingshu_jax.engines import ledger, openai_engine, openai_options
from tests.data_tools.synthesis import test_desk
from tests.engines import bad_server

SEEDS, STUBBORN, RUSHED = 24, "7", ("3", "4", "11")
TIMEOUT, RETRIES, RUNS = 2.0, 1, 12  # seconds that a busy machine never takes
ROWS = "rows/twice.jsonl"
LATE = bad_server.Act(seconds=1.5 * TIMEOUT, share=0.0)
CUT = bad_server.Act(share=0.6)
NOT_LETTING = (
    bad_server.error(429, "too many"),
    bad_server.error(500, "the server is ill"),
    bad_server.error(503, "the server is full"),
)
MALFORMED = (
    bad_server.Act(body="<html>a proxy</html>"),
    bad_server.says({"choices": []}),
    bad_server.says({"choices": [{"index": 0, "message": {"content": "x"}}]}),
)
OTHER = (  # read and paid, and not what was asked for
    bad_server.answers("no JSON at all"),
    bad_server.answers('{"said": 3}'),
    bad_server.answers('{"said": "x", "right": true}'),
    bad_server.answers('{"said": "x'),
)


class Disturbed(NamedTuple):
    """What came of a synthesis through faults, and what the server knows of it.

    Attributes:
      folder: Of the synthesis.
      counts: Of the last run.
      runs: How many there were.
      requests: That came.
      delivered: Answers, by question and seed.
      again: Questions that came although their answer had been delivered.
      left: Faults that did not happen.
    """

    folder: pathlib.Path
    counts: desk.Counts
    runs: int
    requests: int
    delivered: collections.Counter[tuple[str, int | None]]
    again: list[tuple[str, int | None]]
    left: int


@pytest.fixture(scope="module")
def server():
    with bad_server.running() as server:
        server.reply = reply
        yield server


@pytest.fixture(autouse=True)
def _without_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture(scope="module")
def disturbed(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "out"
    server.plan = faults()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OPENAI_API_KEY", raising=False)
        counts, runs = run_until_done(server, folder)
    return Disturbed(
        folder,
        counts,
        runs,
        requests=len(server.bodies),
        delivered=server.delivered.copy(),
        again=[*server.again],
        left=sum(map(len, server.plan.values())),
    )


def first_of(name):
    """The first question about a seed."""
    return test_desk.FIRST.fill(what=name)


def reply(body):
    """What a good model says."""
    question = bad_server.question_of(body)
    if question.startswith("About"):
        return json.dumps({"said": question[6:-1].upper()})
    return json.dumps({"right": True})


def faults():
    """Up to three faults for each question, by its text; a reply is never unreadable thrice."""
    rng = np.random.default_rng(0)
    kinds = ([CUT], NOT_LETTING, MALFORMED, OTHER)
    plan = {}
    for name in map(str, range(SEEDS)):
        for prompt in (first_of(name), test_desk.SECOND.fill(said=name))[: 1 + (name != STUBBORN)]:
            drawn = [kinds[kind] for kind in rng.integers(0, len(kinds), rng.integers(0, 4))]
            plan[prompt] = [kind[rng.integers(len(kind))] for kind in drawn]
            while sum(act in OTHER for act in plan[prompt]) > desk.RETRIES:
                plan[prompt].remove(next(act for act in plan[prompt] if act in OTHER))
    for name in RUSHED:
        plan[first_of(name)] = [LATE]
    plan[first_of(STUBBORN)] = list(OTHER[: desk.RETRIES + 1])
    return plan


def run(server, folder):
    """One run of a command with an engine of its own."""
    options = openai_options.Options(
        base_url=server.url,
        timeout_seconds=TIMEOUT,
        max_retries=RETRIES,
        ledger_file=folder.with_suffix(".ledger"),
        terms=ledger.Terms(price_in=1.0, price_out=10.0),
    )
    with contextlib.closing(openai_engine.OpenAIEngine("m", options=options)) as engine:
        return desk.write(
            test_desk.Twice(),
            [test_desk.seed(str(i)) for i in range(SEEDS)],
            folder,
            author=test_desk.AUTHOR,
            make_engine=lambda: engine,
        )


def run_until_done(server, folder):
    """The same command until nothing fails; its counts, and how many runs there were."""
    for number in range(1, RUNS):
        counts = run(server, folder)
        if not counts.failed:
            return counts, number
        assert counts.seeds == SEEDS and counts.rows + sum(counts.dropped.values()) >= SEEDS
    raise AssertionError("it fails for ever")


def booked(folder):
    """The last line of each attempt in the ledger."""
    lines = folder.with_suffix(".ledger").read_text().splitlines()
    return {row["attempt"]: row for row in map(json.loads, lines)}.values()


def planned(kind):
    """How many faults of a kind there are, but for those of the stubborn question."""
    acts = [acts for question, acts in faults().items() if question != first_of(STUBBORN)]
    return sum(act in kind for act in itertools.chain(*acts))


def test_nothing_is_lost(server, disturbed):
    counts, undisturbed = disturbed.counts, disturbed.folder.with_name("undisturbed")
    assert disturbed.left == 0 and disturbed.runs > 1, "no fault was left out"
    assert (counts.seeds, counts.rows, counts.failed) == (SEEDS, SEEDS - 1, 0)
    assert counts.dropped == {desk.UNREADABLE: 1, "spare": SEEDS - 1}
    run(server, undisturbed)
    rows = (undisturbed / ROWS).read_text().splitlines()
    found = (disturbed.folder / ROWS).read_text().splitlines()
    assert len(rows) == SEEDS
    assert found == [row for row in rows if json.loads(row)["answer"] != STUBBORN]


def test_nothing_is_paid_twice(server, disturbed):
    counts = disturbed.counts
    assert disturbed.again == [] and set(disturbed.delivered.values()) == {1}
    # Every answer that was paid is a reply, readable or not.
    assert counts.asked == disturbed.delivered.total()
    assert counts.again == planned(OTHER) + desk.RETRIES + 1
    before = len(server.bodies)
    assert run(server, disturbed.folder) == counts and len(server.bodies) == before


def test_the_ledger_says_what_the_server_says(disturbed):
    lines = disturbed.folder.with_suffix(".ledger").read_text().splitlines()
    attempts = {row["attempt"]: row for row in map(json.loads, lines)}.values()
    states = collections.Counter(row["state"] for row in attempts)
    assert states == {
        "answered": disturbed.delivered.total(),
        "refused": planned(NOT_LETTING),
        "lost": planned((LATE, CUT, *MALFORMED)),
    }
    assert states.total() == disturbed.requests and min(states.values()) > 5
    usage = bad_server.answer("")["usage"]
    told = [row for row in attempts if row["state"] == "answered"]
    assert {(row["tokens_in"], row["tokens_out"]) for row in told} == {
        (usage["prompt_tokens"], usage["completion_tokens"])
    }
    paid = usage["prompt_tokens"] + 10 * usage["completion_tokens"]
    assert sum(row["cost"] for row in told) == pytest.approx(1e-6 * paid * len(told))
    # What never came back may have been paid: it counts as the most that it may be.
    assert all(row["cost"] > 1e-6 * paid for row in attempts if row["state"] == "lost")


def test_a_lost_reply_is_noticed(server, disturbed):
    """The twin: without the replies everything is asked, and paid, again."""
    copy = disturbed.folder.with_name("copy")
    shutil.copytree(disturbed.folder, copy)
    (copy / "replies" / "twice.jsonl").unlink()
    run(server, copy)
    assert len(server.again) > SEEDS
