# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Scores of several continuations in one row against the learner's forward over each alone."""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import errors
from lingshu_jax.data import messages, packing
from lingshu_jax.engines import jax_engine, jax_scoring, protocol
from tests import small
from tests.engines import learner, test_jax_engine

picture = test_jax_engine.picture
TOLERANCE, MARGIN = 1e-4, 100


@pytest.fixture(scope="module")
def engine(small_folder: pathlib.Path) -> jax_engine.JaxEngine:
    return jax_engine.JaxEngine.from_folder(small_folder, max_images=2)


def asked(
    text: str, *continuations: str | tuple[int, ...], images: tuple[Any, ...] = (), id: str = ""
) -> protocol.ScoreRequest:
    parts = [{"type": "image", "image": image} for image in images]
    return protocol.ScoreRequest(
        messages=[{"role": "user", "content": [*parts, {"type": "text", "text": text}]}],
        continuations=continuations,
        id=id,
    )


def several() -> list[protocol.ScoreRequest]:
    end = small.SIZE.special.im_end
    return [
        asked("Which?", "yes", "no", "perhaps not", images=(picture(0), picture(1))),
        asked("Is it?", "yes", (*b"no", end), ""),
        asked("One?", (small.SIZE.special.image_pad, 3, 283)),
        asked("None?"),
        asked("What is it?", "yes", images=(picture(1),)),
    ]


def learned(
    engine: jax_engine.JaxEngine, requests: list[protocol.ScoreRequest], late: int = 0
) -> list[list[np.ndarray]]:
    """The same by whole forward passes, each continuation behind its own copy of the prompt."""
    rows, counts = [], []
    for one in requests:
        prompt = engine.encoder.encode(one.messages, train=False, generation_prompt=True)
        for continuation in one.continuations:
            ids = continuation
            if isinstance(ids, str):
                ids = tuple(engine.encoder.text_ids(ids))
            whole = messages.extend(prompt, ids, loss_weights=np.ones(len(ids), np.float32))
            positions = whole.positions.copy()
            positions[:, prompt.num_tokens :] += late
            rows.append([dataclasses.replace(whole, positions=positions)])
            counts.append((prompt.num_tokens, whole.num_tokens))
    params = jax.tree.map(jnp.asarray, small.random_params())
    found = np.asarray(
        learner.logprobs(params, small.make_batch(rows, packing.Budget(tokens=128, patches=64)))
    )
    flat = iter(values[start:stop] for values, (start, stop) in zip(found, counts, strict=True))
    return [[next(flat) for _ in one.continuations] for one in requests]


def gap(scored: list[list[protocol.Score]], learned: list[list[np.ndarray]]) -> float:
    pairs = [
        (np.array(a.logprobs), b)
        for one, other in zip(scored, learned, strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    assert all(a.shape == b.shape for a, b in pairs)
    return max(float(np.abs(a - b).max()) for a, b in pairs if len(a))


@pytest.fixture(scope="module")
def scored(engine: jax_engine.JaxEngine) -> list[list[protocol.Score]]:
    return engine.score(several())


def test_scores_are_the_learners(
    engine: jax_engine.JaxEngine, scored: list[list[protocol.Score]]
) -> None:
    assert gap(scored, learned(engine, several())) < TOLERANCE
    assert gap(scored, learned(engine, several(), late=1)) > MARGIN * TOLERANCE


def test_scores_have_the_tokens(
    engine: jax_engine.JaxEngine, scored: list[list[protocol.Score]]
) -> None:
    assert [len(one) for one in scored] == [3, 3, 1, 0, 1]
    assert scored[1][0].tokens == tuple(engine.encoder.text_ids("yes"))
    assert scored[1][1].tokens == (*b"no", small.SIZE.special.im_end)
    assert scored[1][2] == protocol.Score(tokens=(), logprobs=())
    assert scored[2][0].tokens == (small.SIZE.special.image_pad, 3, 283)
    assert all(value < 0 for one in scored for score in one for value in score.logprobs)


def test_a_score_depends_on_no_other(
    engine: jax_engine.JaxEngine, scored: list[list[protocol.Score]]
) -> None:
    first = several()[0]
    for place, continuation in enumerate(first.continuations):
        alone = dataclasses.replace(first, continuations=(continuation,))
        (one,) = engine.score([alone])[0]
        np.testing.assert_allclose(one.logprobs, scored[0][place].logprobs, atol=1e-5)
    turned = engine.score([dataclasses.replace(first, continuations=first.continuations[::-1])])[0]
    for a, b in zip(turned[::-1], scored[0], strict=True):
        assert a.tokens == b.tokens
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)


def test_many_continuations_fill_several_rows(
    engine: jax_engine.JaxEngine,
    scored: list[list[protocol.Score]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """Nothing of the answers changes; an image that cannot be read is told once."""
    path = tmp_path / "half.png"
    picture(0).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    half = asked("x", "yes", "no", "perhaps not", images=(str(path),), id="half")
    monkeypatch.setattr(jax_scoring, "BRANCH_TOKENS", 7)
    desk = engine._desk()
    jobs = [jax_scoring.prepare(place, one, desk) for place, one in enumerate(several())]
    # The first has 3 + 1, 2 + 1 and, longer than a row may be, 11 + 1 tokens.
    assert [[len(job.spans) for job in rows] for rows in jobs] == [[2, 1], [1, 2], [1], [0], [1]]
    told: list[tuple[int, Any]] = []
    again = engine.score([half, *several()], on_result=lambda *one: told.append(one))
    assert sorted(place for place, _ in told) == list(range(6))
    assert again[0] == [] and isinstance(dict(told)[0], protocol.Failure)
    for one, other in zip(again[1:], scored, strict=True):
        assert [score.tokens for score in one] == [score.tokens for score in other]
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)


def test_sampled_answers_score_as_they_were_drawn(engine: jax_engine.JaxEngine) -> None:
    request = test_jax_engine.request("tell", image=picture(3), seed=4, n=3)
    drawn = jax_engine.JaxEngine(engine._params, small.MODEL, engine.encoder, rows=6).generate(
        [request]
    )[0]
    score = protocol.ScoreRequest(
        messages=request.messages, continuations=tuple(one.tokens for one in drawn)
    )
    for one, scored in zip(drawn, engine.score([score])[0], strict=True):
        assert scored.tokens == one.tokens
        np.testing.assert_allclose(scored.logprobs, one.logprobs, atol=1e-5)


def test_the_prompt_is_in_the_row_once(engine: jax_engine.JaxEngine) -> None:
    one = several()[0]
    prompt = engine.encoder.encode(one.messages, train=False, generation_prompt=True)
    row, spans = jax_scoring.fork(prompt, [(1, 2, 3), (), (4,)])
    assert row.media == prompt.media
    assert row.num_tokens == prompt.num_tokens - 1 + 4 + 1 + 2
    assert [row.tokens[span].tolist() for span in spans] == [[1, 2, 3], [], [4]]
    last = prompt.num_tokens - 1
    starts = [last, last + 4, last + 5]
    assert row.tokens[starts].tolist() == [prompt.tokens[last]] * 3
    assert (row.positions[:, starts] == prompt.positions[:, [last]]).all()
    after = prompt.next_position
    offsets = [-1, 0, 1, 2, -1, -1, 0]
    assert row.positions[0, last:].tolist() == [after + offset for offset in offsets]
    assert row.extras["branches"][last:].tolist() == [1, 1, 1, 1, 2, 3, 3]
    assert row.loss_weights.nonzero()[0].tolist() == [last + 1, last + 2, last + 3, last + 6]


def test_failures_stop_no_other(
    engine: jax_engine.JaxEngine, scored: list[list[protocol.Score]], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "half.png"
    picture(0).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    bad = {
        "request 'ids': ids of a continuation must be 0 to 287, got 288": asked(
            "x", (1, 288), id="ids"
        ),
        "request 'long': has ": asked("x", "y" * 1100, id="long"),
        "request 'crowd': has 3 images, allowed are at most 2 (max_images)": asked(
            "x", "y", images=(picture(0),) * 3, id="crowd"
        ),
        "request 'half': ": asked("x", "y", images=(str(path),), id="half"),
    }
    found: dict[int, Any] = {}
    answers = engine.score([several()[1], *bad.values()], on_result=found.__setitem__)
    assert gap(answers[:1], [[np.array(s.logprobs) for s in scored[1]]]) < 1e-5
    assert found[0] == answers[0] and answers[1:] == [[]] * 4
    for place, (reason, request) in enumerate(bad.items(), start=1):
        assert isinstance(found[place], protocol.Failure)
        assert found[place].reason.startswith(reason)
        with pytest.raises(errors.UserError) as raised:
            engine.score([request])
        assert str(raised.value) == found[place].reason
