# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses

import pytest

from benchmarks import synthesis, synthesis_server

PLAN = synthesis.Plan(slots=4, seeds=24, seconds=0.1, rounds=1)


@pytest.fixture(scope="module")
def url():
    with synthesis.serving(PLAN.slots) as url:
        yield url


@pytest.fixture(autouse=True)
def _without_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.parametrize("client", [synthesis.PLAIN, synthesis.OURS])
def test_a_client_asks_everything_and_no_slot_is_busier_than_busy(url, client):
    service = synthesis_server.Service(seconds=PLAN.seconds)
    found = synthesis.measure(PLAN, url, client, service)
    assert (found.rows, found.requests) == (PLAN.seeds, synthesis.QUESTIONS * PLAN.seeds)
    assert 0 < found.busy <= 1
    assert found.seconds > found.requests * PLAN.seconds / PLAN.slots


def test_one_request_at_a_time_leaves_the_other_slots_idle(url):
    """The twin: a client that is known to be slow."""
    plan = dataclasses.replace(PLAN, seeds=1)
    service = synthesis_server.Service(seconds=PLAN.seconds)
    found = synthesis.measure(plan, url, synthesis.OURS, service)
    assert found.busy < 1.1 / PLAN.slots


def test_what_is_not_readable_is_asked_again(url):
    service = synthesis_server.Service(unreadable=0.2)
    for client in (synthesis.PLAIN, synthesis.OURS):
        found = synthesis.measure(PLAN, url, client, service)
        assert found.rows > PLAN.seeds * 0.8
        assert found.requests > synthesis.QUESTIONS * found.rows


def test_a_service_is_the_same_for_equal_requests():
    service = synthesis_server.Service(seconds=2.0, spread=0.5, unreadable=0.1)
    drawn = [service.draw(f"question {i}", 0) for i in range(4000)]
    assert drawn[:3] == [service.draw(f"question {i}", 0) for i in range(3)]
    assert service.draw("question 0", 1)[0] != drawn[0][0]
    assert sum(seconds for seconds, _ in drawn) / len(drawn) == pytest.approx(2.0, rel=0.05)
    unreadable = sum(said == synthesis_server.UNREADABLE for _, said in drawn)
    assert unreadable / len(drawn) == pytest.approx(0.1, abs=0.02)


def test_the_table_puts_ours_beside_the_plain_client():
    name = next(iter(synthesis.SERVICES))
    runs = [synthesis.Run(rows=10, requests=30, busy=0.8, seconds=2.0)]
    lines = [
        synthesis.Line(name, synthesis.PLAIN, runs),
        synthesis.Line(name, synthesis.OURS, [runs[0]._replace(busy=0.6)]),
        synthesis.Line("no time", synthesis.PLAIN, runs),
    ]
    text = synthesis.table(lines).split("\n")
    assert text[2].endswith("| 80.0% (80.0%) |  | 5.0 |")
    assert text[3].endswith("| 60.0% (60.0%) | 0.750 | 5.0 |")
    assert text[4].endswith("|  |  | 5.0 |")
