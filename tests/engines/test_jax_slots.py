# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Continuous batching: refilled slots, stop texts, processors, failures, no recompilation."""

import dataclasses
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import monitoring

from lingshu_jax.common import errors
from lingshu_jax.engines import jax_engine, jax_slots, protocol
from lingshu_jax.models import sampling
from tests import small
from tests.engines import test_jax_engine

picture, request = test_jax_engine.picture, test_jax_engine.request
ROWS, NEW_TOKENS = test_jax_engine.ROWS, test_jax_engine.NEW_TOKENS
COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture(scope="module")
def engine(small_folder: pathlib.Path) -> jax_engine.JaxEngine:
    return jax_engine.JaxEngine.from_folder(small_folder, rows=ROWS)


def many() -> list[protocol.Request]:
    """Three times as many as there are slots, of different lengths, drawn and greedy."""
    rng = np.random.default_rng(4)
    return [
        request(
            "".join(rng.choice(list("abc "), 1 + 3 * i)),
            image=picture(i) if i % 3 == 1 else None,
            seed=i,
            temperature=float(i % 4 > 0),
            max_new_tokens=int(rng.integers(1, NEW_TOKENS + 1)),
            top_k=(0, 5)[i % 2],
            top_p=(1.0, 0.8, 1.0)[i % 3],
            repetition_penalty=(1.0, 1.0, 1.0, 1.0, 1.3)[i % 5],
            id=str(i),
        )
        for i in range(3 * ROWS)
    ]


def assert_equal(
    ours: list[list[protocol.Completion]], theirs: list[list[protocol.Completion]]
) -> None:
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.tokens == b.tokens and a.finish_reason == b.finish_reason and a.text == b.text
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)


@pytest.fixture(scope="module")
def alone(engine: jax_engine.JaxEngine) -> list[list[protocol.Completion]]:
    """Each request as the only one, in the first slot."""
    return [engine.generate([one])[0] for one in many()]


@pytest.mark.parametrize("turn", [1, -1])
def test_an_answer_depends_on_no_other(
    engine: jax_engine.JaxEngine, alone: list[list[protocol.Completion]], turn: int
) -> None:
    """Whatever else is in the batch, whichever slot it has and whoever had it before."""
    together = engine.generate(many()[::turn])[::turn]
    assert_equal(together, alone)
    assert len({group[0].tokens for group in alone}) > len(alone) - 3
    assert len({len(group[0].tokens) for group in alone}) > NEW_TOKENS // 2


def test_slots_are_refilled_while_others_go_on(
    engine: jax_engine.JaxEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One long answer beside twelve short ones: all are told as they finish, in its time."""
    long = request("long", max_new_tokens=NEW_TOKENS, ignore_eos=True, seed=3)
    short = [request("x" * i, max_new_tokens=2, seed=i) for i in range(1, 2 * ROWS + 1)]
    told: dict[int, Any] = {}
    drawn: list[np.ndarray] = []
    take = jax_slots.Batch._take

    def watched(self: Any, new: Any) -> Any:
        drawn.append(new.lengths)
        return take(self, new)

    monkeypatch.setattr(jax_slots.Batch, "_take", watched)
    answers = engine.generate([long, *short], on_result=told.__setitem__)
    assert [told[place] for place in range(len(short) + 1)] == answers
    assert list(told)[-1] == 0 and answers[0][0].finish_reason == "length"
    # The first slot has the long one. The short ones took less time than it.
    assert drawn[0][0] < drawn[-2][0] < NEW_TOKENS == drawn[-1][0]


def test_a_stop_text_ends_an_answer(
    engine: jax_engine.JaxEngine, alone: list[list[protocol.Completion]]
) -> None:
    # Two characters within an answer that goes on behind them.
    found = [re.search("(?<=.)[^\ufffd]{2}(?=.)", group[0].text, re.DOTALL) for group in alone]
    place = next(place for place, match in enumerate(found) if match)
    whole, stop = alone[place][0], found[place].group()
    asked = many()[place]
    rules = dataclasses.replace(asked.sampling, stop=("never there", stop))
    (one,), *rest = engine.generate([dataclasses.replace(asked, sampling=rules), *many()[:3]])
    assert one.text == whole.text[: whole.text.index(stop)] and one.text
    assert one.finish_reason == "stop"
    assert one.tokens == whole.tokens[: len(one.tokens)] and len(one.tokens) < len(whole.tokens)
    assert stop in engine.encoder.decode(one.tokens)
    assert stop not in engine.encoder.decode(one.tokens[:-1])
    assert one.logprobs == pytest.approx(whole.logprobs[: len(one.tokens)], abs=1e-5)
    assert_equal(rest, alone[:3])


def test_samples_stop_by_themselves(engine: jax_engine.JaxEngine) -> None:
    plain = engine.generate([request("six", seed=6, n=3)])[0]
    stop = plain[1].text[:1]
    stopped = engine.generate([request("six", seed=6, n=3, stop=(stop,))])[0]
    assert stopped[1].text == "" and stopped[1].finish_reason == "stop"
    for one, whole in zip(stopped, plain, strict=True):
        assert one.tokens == whole.tokens[: len(one.tokens)]
        assert (one == whole) == (stop not in whole.text)


def prefer_the_end(logits: jax.Array, state: sampling.State) -> jax.Array:
    """A processor of the caller's: `<|im_end|>` in every row that has drawn something."""
    is_on = (state.lengths > 0)[:, None]
    return jnp.where(is_on, logits.at[:, small.SIZE.special.im_end].add(1e4), logits)


def test_own_processors_and_ignored_end_tokens(
    engine: jax_engine.JaxEngine, alone: list[list[protocol.Completion]]
) -> None:
    end = small.SIZE.special.im_end
    other = jax_engine.JaxEngine(
        engine._params, small.MODEL, engine.encoder, rows=ROWS, processors=(prefer_the_end,)
    )
    asked = [
        request("x", temperature=t, seed=5, ignore_eos=ignored)
        for t in (0.0, 1.0)
        for ignored in (False, True)
    ]
    plain = [group[0] for group in engine.generate(asked)]
    for completion, whole, one in zip(other.generate(asked), plain, asked, strict=True):
        first, *rest = completion[0].tokens
        assert first == whole.tokens[0] != end
        if one.sampling.ignore_eos:
            assert rest == [end] * (NEW_TOKENS - 1) and completion[0].finish_reason == "length"
        else:
            assert rest == [end] and completion[0].finish_reason == "stop"
        assert max(completion[0].logprobs[1:]) < -1, "the raw logits do not prefer it"


def test_the_penalty_forbids_what_was_there(engine: jax_engine.JaxEngine) -> None:
    plain = request("abc", temperature=0.0, ignore_eos=True)
    punished = request("abc", temperature=0.0, ignore_eos=True, repetition_penalty=1e9)
    (one,), (other,) = engine.generate([punished, plain])
    encoded = engine.encoder.encode(punished.messages, train=False, generation_prompt=True)
    prompt = set(encoded.tokens.tolist())
    assert len({*one.tokens, *prompt}) == NEW_TOKENS + len(prompt)
    assert len({*other.tokens, *prompt}) < NEW_TOKENS + len(prompt)


def test_the_likeliest_token_alone_is_greedy(engine: jax_engine.JaxEngine) -> None:
    greedy = request("abcd", temperature=0.0)
    kept = [request("abcd", seed=1, top_k=1), request("abcd", seed=1, top_p=1e-6)]
    (expected,), *drawn = engine.generate([greedy, *kept])
    media = {small.SIZE.special.image_pad, small.SIZE.special.video_pad}
    assert not media & set(expected.tokens)
    assert [group[0].tokens for group in drawn] == [expected.tokens] * 2


def bad_requests(tmp_path: pathlib.Path) -> dict[str, tuple[protocol.Request, str]]:
    """What cannot be served, each with the line that says why."""
    truncated = tmp_path / "half.png"
    picture(0).save(truncated)
    truncated.write_bytes(truncated.read_bytes()[:2000])
    images = [{"type": "image", "image": picture(i)} for i in range(4)]
    crowd = protocol.Request(
        messages=[{"role": "user", "content": images}],
        sampling=protocol.SamplingParams(max_new_tokens=2),
        id="crowd",
    )
    return {
        "crowd": (crowd, "request 'crowd': has 4 images, allowed are at most 3 (max_images)"),
        "long": (request("x", id="long", max_new_tokens=2000), "the model's context is 1024"),
        "cold": (request("x", id="cold", temperature=-1.0), "request 'cold': temperature must be"),
        "gone": (request("x", id="gone", image=str(tmp_path / "gone.png")), "gone.png"),
        "half": (request("x", id="half", image=str(truncated)), "half.png"),
    }


def test_what_cannot_be_served_stops_no_other(
    engine: jax_engine.JaxEngine, alone: list[list[protocol.Completion]], tmp_path: pathlib.Path
) -> None:
    bad = bad_requests(tmp_path)
    asked = [many()[0], *(one for one, _ in bad.values()), *many()[1:4]]
    strict = jax_engine.JaxEngine(
        engine._params, small.MODEL, engine.encoder, rows=ROWS, max_images=3
    )
    found: dict[int, Any] = {}
    answers = strict.generate(asked, on_result=found.__setitem__)
    assert sorted(found) == list(range(len(asked)))
    assert_equal([answers[0], *answers[-3:]], alone[:4])
    for place, (name, (_, line)) in enumerate(bad.items(), start=1):
        assert answers[place] == []
        failure = found[place]
        assert isinstance(failure, protocol.Failure)
        assert failure.reason.startswith(f"request '{name}': ") and line in failure.reason
        with pytest.raises(errors.UserError) as raised:
            strict.generate([many()[0], asked[place]])
        assert str(raised.value) == failure.reason


def test_nothing_is_computed_where_nothing_can_be(engine: jax_engine.JaxEngine) -> None:
    other = jax_engine.JaxEngine(engine._params, small.MODEL, engine.encoder)
    found: dict[int, Any] = {}
    assert other.generate([request("x", top_p=2.0)], on_result=found.__setitem__) == [[]]
    assert other.generate([]) == []
    assert isinstance(found[0], protocol.Failure) and other.layout_seconds == 0


@pytest.fixture(scope="module")
def compiled() -> list[str]:
    """Grows by an entry for every program that is compiled, or read from the cache of the disk."""
    seen: list[str] = []

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event == COMPILED:
            seen.append(event)

    monitoring.register_event_duration_secs_listener(listen)
    return seen


def random_requests(seed: int, count: int) -> Iterator[protocol.Request]:
    """Prompts of any length below the smallest compiled size, with no, one or two images."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        sides = 28 * rng.integers(1, 5, (int(rng.integers(0, 3)), 2))
        images = [
            {"type": "image", "image": test_jax_engine.Image.fromarray(pixels)}
            for pixels in (rng.integers(0, 256, (*side, 3), dtype=np.uint8) for side in sides)
        ]
        words = {"type": "text", "text": "ab " * int(rng.integers(1, 20)) + str(i)}
        sampled = {"temperature": float(rng.integers(0, 2)), "seed": i, "top_k": i % 3}
        yield protocol.Request(
            messages=[{"role": "user", "content": [*images, words]}],
            sampling=protocol.SamplingParams(max_new_tokens=1 + i % NEW_TOKENS, **sampled),
        )


def test_prompts_of_known_sizes_compile_nothing(
    engine: jax_engine.JaxEngine, compiled: list[str]
) -> None:
    desk = engine._desk()

    def sizes(requests: list[protocol.Request]) -> set[Any]:
        return {desk.job(0, one).size for one in requests}

    first, second = list(random_requests(0, 40)), list(random_requests(2, 40))
    assert sizes(second) <= sizes(first) and len(sizes(first)) >= 2
    lengths = {engine.encoder.encode(one.messages, train=False).num_tokens for one in second}
    assert len(lengths) > 15, "the prompts differ"
    engine.generate(first)
    before = len(compiled)
    engine.generate(second)
    for one in second[:5]:
        engine.generate([one])
    assert len(compiled) == before
    engine.generate([request("x" * 140, max_new_tokens=2)])
    assert len(compiled) > before, "the twin: a longer prompt than any before"
