# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Services whose models do not take every field: asked without them, or refused by name."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import openai_engine, openai_options, openai_requests, protocol
from tests.engines import bad_server

DRAWN = ("temperature", "top_p", "stop", "seed")
SCHEMA = '{"type": "object"}'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[bad_server.Server]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with bad_server.running() as server:
        yield server


def ask(server: bad_server.Server, *, unsent: tuple[str, ...] = (), **given: Any) -> Any:
    """The result of one question, "q"."""
    folder: pathlib.Path | None = given.pop("folder", None)
    options = openai_options.Options(base_url=server.url, unsent=unsent, cache_folder=folder)
    sampling = protocol.SamplingParams(**{"max_new_tokens": 8, **given})
    message = {"role": "user", "content": "q"}
    request = protocol.Request(messages=(message,), sampling=sampling, id="q")
    found: list[Any] = []
    with contextlib.closing(openai_engine.OpenAIEngine("m", options=options)) as engine:
        engine.generate([request], on_result=lambda _, result: found.append(result))
    return found[0]


@pytest.mark.parametrize(
    ("service", "unsent", "given"),
    [
        ("gpt-5", DRAWN, {}),
        ("claude-opus-4-7", ("temperature", "top_p", "seed"), {}),
        ("gemini-3-pro", ("seed",), {"temperature": 0.5}),
    ],
)
def test_a_field_that_a_model_refuses_is_not_sent(
    server: bad_server.Server, service: str, unsent: tuple[str, ...], given: dict[str, Any]
) -> None:
    server.refused = bad_server.SERVICES[service]
    (answer,) = ask(server, unsent=unsent, **given)
    assert answer.text == "to q"
    (body,) = server.bodies
    assert not set(body) & set(unsent) and body["max_completion_tokens"] == 8
    # The twin: sent, it costs the answer, and the service's own words say why.
    failure = ask(server, **given)
    assert isinstance(failure, protocol.Failure)
    assert "status 400" in failure.reason and "'" in failure.reason.replace('"', "'")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"temperature": 0.5}, "temperature = 0.5 is refused by this model, .*; allowed is 1.0"),
        ({"top_p": 0.9}, "top_p = 0.9 is refused"),
        ({"stop": ("a",)}, "stop = .* is refused"),
        ({"json_schema": SCHEMA}, "json_schema = .*object.* is refused .*; allowed is ''"),
    ],
)
def test_a_field_that_is_asked_for_is_not_dropped_in_silence(
    given: dict[str, Any], line: str
) -> None:
    sampling = protocol.SamplingParams(max_new_tokens=8, **given)
    with pytest.raises(errors.UserError, match=line):
        openai_requests.sampling_fields(sampling, "openai", (*DRAWN, "json_schema"))
    assert openai_requests.sampling_fields(sampling, "openai", ("seed",))


def test_a_service_without_schemas_is_asked_without_one(server: bad_server.Server) -> None:
    server.refused = bad_server.SERVICES["deepseek-v4-pro"]
    (answer,) = ask(server, unsent=("json_schema",))
    assert answer.text == "to q" and "response_format" not in server.bodies[-1]
    # The twin: sent, it costs the answer.
    failure = ask(server, json_schema=SCHEMA)
    assert "status 400" in failure.reason and "response_format type" in failure.reason
    failure = ask(server, unsent=("json_schema",), json_schema=SCHEMA)
    assert "json_schema = " in failure.reason and len(server.bodies) == 2, "nothing is asked"


def test_samples_of_a_model_that_takes_no_temperature_are_different_answers(
    server: bad_server.Server, tmp_path: pathlib.Path
) -> None:
    assert len(ask(server, unsent=DRAWN, n=3, seed=1, folder=tmp_path)) == 3
    assert server.bodies[-1]["n"] == 3 and "seed" not in server.bodies[-1]
    # The cache knows them by the seed that is not sent: another one asks again.
    ask(server, unsent=DRAWN, n=3, seed=1, folder=tmp_path)
    assert len(server.bodies) == 1
    ask(server, unsent=DRAWN, n=3, seed=2, folder=tmp_path)
    assert len(server.bodies) == 2
    assert len(ask(server, n=3)) == 3 and "n" not in server.bodies[-1], "greedy: one answer"
