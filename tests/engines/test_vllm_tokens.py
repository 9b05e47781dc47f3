# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A vLLM server asked with ids; a stand-in for it, and tests/vllm asks the real one."""

import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import messages
from lingshu_jax.engines import protocol, vllm_server, vllm_tokens
from lingshu_jax.models import hf
from tests import small
from tests.engines import vllm_stand_in

PICTURE = Image.fromarray(np.zeros((56, 84, 3), np.uint8))


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    return vllm_stand_in.install(tmp_path)


@pytest.fixture
def engine(
    place: pathlib.Path,
    small_folder: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[vllm_tokens.VllmTokens]:
    monkeypatch.setenv("PYTHONPATH", str(place))
    monkeypatch.setenv("STAND_IN", getattr(request, "param", ""))
    made = vllm_tokens.VllmTokens(
        vllm_server.Server(small_folder, python=sys.executable, has_live_weights=True),
        messages.Encoder(small_folder, **small.PIXELS),
        hf.read_config(small_folder),
        max_images=1,
        max_model_len=100,
        at_once=2,
    )
    yield made
    made.close()


def ask(id: str, *content: Any, n: int = 2, **sampling: Any) -> protocol.Request:
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    params = protocol.SamplingParams(max_new_tokens=8, temperature=1.0, n=n, **sampling)
    return protocol.Request(messages=[{"role": "user", "content": parts}], sampling=params, id=id)


def paths(place: pathlib.Path) -> list[str]:
    return [line.split()[0] for line in vllm_stand_in.notes(place, "calls")]


def test_samples_come_in_their_order_with_raw_log_probabilities(
    engine: vllm_tokens.VllmTokens, place: pathlib.Path
) -> None:
    groups = engine.generate([ask("a", "one"), ask("b", "two", n=3)])
    assert [len(group) for group in groups] == [2, 3]
    text = engine.encoder.decode([1, 2, 3])
    for group in groups:
        for place_of, answer in enumerate(group):
            assert answer == protocol.Completion(
                text=text,
                tokens=(1, 2, 3),
                logprobs=(-float(place_of),) * 3,
                finish_reason="stop",
            )
    assert paths(place) == [vllm_tokens.ROUTE] * 2


def test_a_request_that_cannot_be_served_stops_no_other(engine: vllm_tokens.VllmTokens) -> None:
    picture = {"type": "image", "image": PICTURE}
    asked = [
        ask("other", picture, "which side?"),  # the stand-in leaves the pad single
        ask("many", picture, picture, "which?"),
        ask("long", "word " * 100),
        ask("good", "one"),
    ]
    told: dict[str, Any] = {}

    def on_result(place: int, result: list[protocol.Completion] | protocol.Failure) -> None:
        told[asked[place].id] = result

    assert [len(group) for group in engine.generate(asked, on_result=on_result)] == [0, 0, 0, 2]
    for id, reason in (
        ("other", "vLLM makes another prompt of it than training does"),
        ("many", "has 2 images, allowed are at most 1"),
        ("long", "the model's context is 100"),
    ):
        assert told[id].reason.startswith(f"request {id!r}: ") and reason in told[id].reason
    with pytest.raises(errors.UserError, match="request 'many': has 2 images"):
        engine.generate(asked[1:2])


def test_who_wants_no_more_answers_ends_those_at_work(
    engine: vllm_tokens.VllmTokens, place: pathlib.Path
) -> None:
    def stop(place: int, result: Any) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        engine.generate([ask(str(i), "one") for i in range(20)], on_result=stop)
    made = paths(place)
    assert [path for path in made if path != vllm_tokens.ROUTE] == ["/pause?mode=abort", "/resume"]
    assert len(made) < 20, "not all were asked"


@pytest.mark.parametrize(
    ("engine", "reason"),
    [("short", "vLLM gave 1 of 2 answers"), ("aborts", "vLLM ended an answer with 'abort'")],
    indirect=["engine"],
)
def test_odd_answers_are_refused(engine: vllm_tokens.VllmTokens, reason: str) -> None:
    with pytest.raises(errors.UserError, match=f"request 'a': {reason}"):
        engine.generate([ask("a", "one")])


def test_weights_and_sleep_are_the_server_s(
    engine: vllm_tokens.VllmTokens, place: pathlib.Path
) -> None:
    engine.set_params(small.random_params())
    engine.sleep()
    engine.wake()
    assert paths(place).count("/update_weights") == 1 and "/sleep?level=1" not in paths(place)
    engine.close()
    with pytest.raises(errors.UserError, match="does not answer .*the server is closed"):
        engine.generate([ask("a", "one")])
