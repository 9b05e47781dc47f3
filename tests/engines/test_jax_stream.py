# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Answers as they come: the parts are the whole."""

import dataclasses
import pathlib
from collections.abc import Sequence

import jax
import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import jax_engine, protocol
from tests.engines import test_jax_engine

picture, request = test_jax_engine.picture, test_jax_engine.request
LONG = 3 * jax_engine.STREAM_STEPS + 2


@pytest.fixture(scope="module")
def engine(small_folder: pathlib.Path) -> jax_engine.JaxEngine:
    return jax_engine.JaxEngine.from_folder(small_folder, rows=1)


def join(deltas: Sequence[protocol.Delta]) -> protocol.Completion:
    assert [delta.finish_reason is None for delta in deltas] == [True] * (len(deltas) - 1) + [False]
    reason = deltas[-1].finish_reason
    assert reason is not None
    return protocol.Completion(
        text="".join(delta.text for delta in deltas),
        tokens=tuple(token for delta in deltas for token in delta.tokens),
        logprobs=tuple(value for delta in deltas for value in delta.logprobs),
        finish_reason=reason,
    )


def test_the_parts_are_the_answer(engine: jax_engine.JaxEngine) -> None:
    whole = request("tell me", image=picture(0), seed=1, max_new_tokens=LONG, ignore_eos=True)
    plain = engine.generate([whole])[0][0]
    readable = next(c for c in plain.text[1:] if c != "\ufffd")
    sampled = [
        whole.sampling,
        dataclasses.replace(whole.sampling, max_new_tokens=1),
        dataclasses.replace(whole.sampling, temperature=0.0, ignore_eos=False),
        dataclasses.replace(whole.sampling, stop=(readable,)),
    ]
    for rules in sampled:
        asked = dataclasses.replace(whole, sampling=rules)
        deltas = list(engine.stream(asked))
        assert join(deltas) == engine.generate([asked])[0][0]
    assert plain.text.index(readable) == len(join(deltas).text)
    parts = [len(delta.tokens) for delta in engine.stream(whole)]
    assert len(parts) >= 4 and max(parts) <= jax_engine.STREAM_STEPS + 1


def test_the_mesh_is_not_left_set_while_a_reader_waits(engine: jax_engine.JaxEngine) -> None:
    deltas = engine.stream(request("x", max_new_tokens=LONG, ignore_eos=True))
    next(deltas)
    assert jax.sharding.get_abstract_mesh().empty
    other = engine.generate([request("y", max_new_tokens=2, seed=2)])
    assert len(list(deltas)) >= 3
    assert engine.generate([request("y", max_new_tokens=2, seed=2)]) == other


def test_only_one_answer_is_streamed(engine: jax_engine.JaxEngine) -> None:
    with pytest.raises(errors.UserError, match="request 'two': n must be 1 .*, got 2"):
        next(iter(engine.stream(request("x", id="two", n=2))))


def test_bad_requests_are_named(engine: jax_engine.JaxEngine, tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.UserError, match="request 'long': .*context is 1024"):
        next(iter(engine.stream(request("x", id="long", max_new_tokens=2000))))
    path = tmp_path / "half.png"
    picture(0).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(errors.UserError, match="request 'half': .*half.png"):
        next(iter(engine.stream(request("x", id="half", image=str(path)))))
