# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Conversations with an engine that takes their next questions as they come, and with others."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import conversing, openai_engine, openai_options, protocol
from tests.engines import bad_server, stand_in

QUESTIONS = 3


@pytest.fixture
def server() -> Iterator[bad_server.Server]:
    with bad_server.running() as server:
        yield server


@pytest.fixture(params=["server", "rounds"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if request.param == "rounds":
        yield stand_in.StandIn()
        return
    options = openai_options.Options(
        base_url=request.getfixturevalue("server").url, max_concurrency=3, max_retries=0
    )
    with contextlib.closing(openai_engine.OpenAIEngine("m", options=options)) as engine:
        yield engine


def ask(text: str) -> protocol.Request:
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    sampling = protocol.SamplingParams(max_new_tokens=8)
    return protocol.Request(messages=(message,), sampling=sampling, id=text)


class Talk:
    """Conversations of a few questions, `PLACE NUMBER`, each asked once its last has a reply.

    Attributes:
      came: Questions in the order of their replies.
      failures: Of those that got none, by question.
    """

    def __init__(self, count: int):
        self.first = [ask(f"q{place} 0") for place in range(count)]
        self.asked = [request.id for request in self.first]
        self.came: list[str] = []
        self.failures: dict[str, str] = {}
        self.threads: set[threading.Thread] = set()

    def take(
        self, place: int, result: list[protocol.Completion] | protocol.Failure
    ) -> protocol.Request | None:
        self.threads.add(threading.current_thread())
        asked = self.asked[place]
        self.came.append(asked)
        if isinstance(result, protocol.Failure):
            self.failures[asked] = result.reason
            return None
        assert result[0].text in (f"to {asked}", asked[::-1])
        number = int(asked.split()[1]) + 1
        if number == QUESTIONS:
            return None
        self.asked[place] = f"q{place} {number}"
        return ask(self.asked[place])


def test_every_conversation_comes_to_its_end(engine: Any) -> None:
    talk = Talk(8)
    conversing.converse(engine, talk.first, on_result=talk.take)
    assert sorted(talk.came) == [f"q{i} {j}" for i in range(8) for j in range(QUESTIONS)]
    assert talk.threads == {threading.current_thread()}
    conversing.converse(engine, [], on_result=talk.take)
    assert len(talk.came) == 8 * QUESTIONS


def test_a_server_is_asked_on_while_one_reply_is_late(server: bad_server.Server) -> None:
    server.plan["q0 0"] = [bad_server.Act(seconds=1.0)]
    options = openai_options.Options(base_url=server.url, max_concurrency=3)
    talk = Talk(4)
    with contextlib.closing(openai_engine.OpenAIEngine("m", options=options)) as engine:
        assert isinstance(engine, protocol.Converser)
        engine.converse(talk.first, on_result=talk.take)
    assert talk.came[-QUESTIONS:] == ["q0 0", "q0 1", "q0 2"]
    # The twin: in rounds everybody waits for it.
    rounds = Talk(4)
    conversing.converse(stand_in.StandIn(), rounds.first, on_result=rounds.take)
    assert [asked.split()[1] for asked in rounds.came] == ["0"] * 4 + ["1"] * 4 + ["2"] * 4


def test_a_failure_ends_its_own_conversation(engine: Any, request: pytest.FixtureRequest) -> None:
    talk = Talk(3)
    talk.first[1] = ask("q1 fail")
    talk.asked[1] = "q1 fail"
    if isinstance(engine, openai_engine.OpenAIEngine):
        server = request.getfixturevalue("server")
        server.plan["q1 fail"] = [bad_server.error(400, "the stand-in fails")]
    conversing.converse(engine, talk.first, on_result=talk.take)
    assert talk.failures.keys() == {"q1 fail"} and "the stand-in fails" in str(talk.failures)
    assert len(talk.came) == 2 * QUESTIONS + 1


def test_an_engine_that_can_no_more_ends_all(server: bad_server.Server) -> None:
    server.plan["q1 1"] = [bad_server.error(402, "no money")]
    options = openai_options.Options(base_url=server.url, max_concurrency=2)
    talk = Talk(6)
    with contextlib.closing(openai_engine.OpenAIEngine("m", options=options)) as engine:
        with pytest.raises(errors.UserError, match="no money"):
            engine.converse(talk.first, on_result=talk.take)
        assert "q1 1" not in talk.came and not talk.failures
        answers = engine.generate([dataclasses.replace(ask("q"), id="q")])
        assert answers[0][0].text == "to q", "it can be asked again"


def test_an_error_of_the_callers_own_passes(engine: Any) -> None:
    def fail(place: int, result: object) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        conversing.converse(engine, Talk(3).first, on_result=fail)
    talk = Talk(2)
    conversing.converse(engine, talk.first, on_result=talk.take)
    assert len(talk.came) == 2 * QUESTIONS
