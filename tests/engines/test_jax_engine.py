# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our own engine: what comes back, in which order, and what it may not depend on.

Six rows: six slots of one answer, or two of three; these two shapes serve nearly all tests.
"""

import dataclasses
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import messages, packing
from lingshu_jax.engines import jax_engine, jax_layout, protocol
from lingshu_jax.models import hf, sizes
from lingshu_jax.stages import initial
from tests import small
from tests.engines import learner

ROWS, NEW_TOKENS = 6, 12
TOLERANCE, MARGIN = 1e-4, 10


@pytest.fixture(scope="module")
def engine(small_folder: pathlib.Path) -> jax_engine.JaxEngine:
    return jax_engine.JaxEngine.from_folder(small_folder, rows=ROWS)


def picture(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (56, 84, 3), dtype=np.uint8))


def request(
    text: str, *, image: Image.Image | str | None = None, id: str = "", **sampling: Any
) -> protocol.Request:
    content: list[dict[str, Any]] = [] if image is None else [{"type": "image", "image": image}]
    content.append({"type": "text", "text": text})
    options = {"max_new_tokens": NEW_TOKENS, "temperature": 1.0, **sampling}
    return protocol.Request(
        messages=[{"role": "user", "content": content}],
        sampling=protocol.SamplingParams(**options),
        id=id,
    )


def several() -> list[protocol.Request]:
    """Different in everything; the fourth and the sixth have three samples."""
    return [
        request("one", seed=1),
        request("two", image=picture(0), seed=2),
        request("three", seed=3, max_new_tokens=5),
        request("four", image=picture(1), seed=4, n=3),
        request("five", temperature=0.0),
        request("six", seed=6, n=3),
        request("one", seed=7),
    ]


@pytest.fixture(scope="module")
def answers(engine: jax_engine.JaxEngine) -> list[list[protocol.Completion]]:
    return engine.generate(several())


def tokens_of(answers: list[list[protocol.Completion]]) -> list[list[tuple[int, ...]]]:
    return [[completion.tokens for completion in group] for group in answers]


def test_it_is_an_engine(engine: jax_engine.JaxEngine) -> None:
    assert isinstance(engine, protocol.Engine)
    assert engine.size == small.SIZE


def test_the_seconds_of_a_generation_are_told_by_part(engine: jax_engine.JaxEngine) -> None:
    engine.take_seconds()
    before = time.perf_counter()
    engine.generate(several()[:2])
    elapsed, seconds = time.perf_counter() - before, engine.take_seconds()
    assert {"prefill", "decode", "host"} <= set(seconds) <= {"prefill", "decode", "host", "sync"}
    assert min(seconds["prefill"], seconds["decode"]) > 0
    assert sum(seconds.values()) == pytest.approx(elapsed, rel=0.05, abs=0.02)
    assert engine.take_seconds() == {}


def test_answers_come_in_the_order_of_the_requests(
    engine: jax_engine.JaxEngine, answers: list[list[protocol.Completion]]
) -> None:
    assert [len(group) for group in answers] == [1, 1, 1, 3, 1, 3, 1]
    alone = [engine.generate([one])[0] for one in several()]
    assert tokens_of(answers) == tokens_of(alone)
    flat = [tokens for group in tokens_of(answers) for tokens in group]
    assert len(set(flat)) == len(flat), "equal answers would hide a wrong order"


def test_a_seed_gives_the_same_answer_in_any_company(
    engine: jax_engine.JaxEngine, answers: list[list[protocol.Completion]]
) -> None:
    turned = engine.generate(several()[::-1])[::-1]
    assert tokens_of(turned) == tokens_of(answers)
    for ours, theirs in zip(turned, answers, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)


def test_samples_of_a_request_are_its_single_answers(
    engine: jax_engine.JaxEngine, answers: list[list[protocol.Completion]]
) -> None:
    single = engine.generate([request("six", seed=6)])[0][0]
    assert answers[5][0].tokens == single.tokens
    assert len({completion.tokens for completion in answers[5]}) == 3


def test_completions_are_consistent(
    engine: jax_engine.JaxEngine, answers: list[list[protocol.Completion]]
) -> None:
    for asked, group in zip(several(), answers, strict=True):
        for completion in group:
            assert len(completion.logprobs) == len(completion.tokens)
            assert all(value < 0 for value in completion.logprobs)
            assert completion.text == engine.encoder.decode(completion.tokens)
            has_stop = completion.tokens[-1] in engine.encoder.eos_ids
            assert completion.finish_reason == ("stop" if has_stop else "length")
            assert has_stop or len(completion.tokens) == asked.sampling.max_new_tokens
            assert not set(completion.tokens[:-1]) & set(engine.encoder.eos_ids)


def test_logprobs_are_those_of_the_learner(
    engine: jax_engine.JaxEngine, answers: list[list[protocol.Completion]]
) -> None:
    params = jax.tree.map(jnp.asarray, small.random_params())
    asked = several()[:4]

    def gap(shift: int) -> float:
        rows = []
        for one, group in zip(asked, answers, strict=False):
            prompt = engine.encoder.encode(one.messages, train=False, generation_prompt=True)
            weights = np.ones(len(group[0].tokens), np.float32)
            rows.append([messages.extend(prompt, group[0].tokens, loss_weights=weights)])
        batch = small.make_batch(rows, packing.Budget(tokens=128, patches=64))
        batch = dataclasses.replace(batch, media_index=np.roll(batch.media_index, shift, axis=1))
        theirs = np.asarray(learner.logprobs(params, batch))
        gaps = []
        for row, group in enumerate(answers[:4]):
            stop = rows[row][0].num_tokens
            start = stop - len(group[0].tokens)
            gaps.append(np.abs(theirs[row, start:stop] - group[0].logprobs).max())
        return float(max(gaps))

    assert gap(0) < TOLERANCE
    assert gap(1) > MARGIN * TOLERANCE


def test_a_stop_token_ends_an_answer(engine: jax_engine.JaxEngine) -> None:
    """A head that knows two tokens, `<|im_end|>` and "!", with opposite logits."""
    letter, stop = 0, small.SIZE.special.im_end
    params = jax.tree.map(jnp.asarray, small.random_params())
    direction = params["text"]["head"][:, letter]
    first = []
    try:
        for sign in (1.0, -1.0):
            head = jnp.zeros_like(params["text"]["head"])
            head = head.at[:, letter].set(sign * direction).at[:, stop].set(-sign * direction)
            engine.set_params({**params, "text": {**params["text"], "head": head}})
            (completion,) = engine.generate([request("stop", temperature=0.0)])[0]
            first.append(completion.tokens[0])
            if stop in completion.tokens:
                assert completion.tokens.index(stop) == len(completion.tokens) - 1
                assert completion.finish_reason == "stop"
                assert completion.text == engine.encoder.decode(completion.tokens[:-1])
            else:
                assert completion.tokens == (letter,) * NEW_TOKENS
                assert completion.finish_reason == "length"
    finally:
        engine.set_params(params)
    assert sorted(first) == [letter, stop]


def test_blank_images_hide_the_pixels_alone(
    engine: jax_engine.JaxEngine, small_folder: pathlib.Path
) -> None:
    blind = jax_engine.JaxEngine.from_folder(small_folder, rows=ROWS, blank_images=True)
    asked = [request("what?", image=picture(seed), temperature=0.0) for seed in (0, 1)]
    text = request("what?", temperature=0.0)
    seen = [group[0].logprobs for group in engine.generate([*asked, text])]
    unseen = [group[0].logprobs for group in blind.generate([*asked, text])]
    assert unseen[0] == unseen[1]
    assert len({*seen[:2], unseen[0]}) == 3
    assert unseen[2] == seen[2]


def test_prompts_must_fit_the_context(engine: jax_engine.JaxEngine) -> None:
    with pytest.raises(errors.UserError, match=r"'long': has \d+ prompt .*context is 1024"):
        engine.generate([request("x", id="long", max_new_tokens=1000)])


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens must be >= 1, got 0"),
        ({"temperature": -0.5}, "temperature must be >= 0, got -0.5"),
        ({"temperature": float("inf")}, "temperature must be finite, got inf"),
        ({"repetition_penalty": float("inf")}, "repetition_penalty must be above 0 and finite"),
        ({"top_k": 2**32 + 1}, "top_k must be at most 2147483647, got 4294967297"),
        ({"n": 0}, "n must be >= 1, got 0"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
        ({"stop": ("a", "")}, "stop must be texts of one character or more, got "),
        ({"json_schema": "[]"}, r"json_schema must be a JSON object as text, or '', got '\[\]'"),
        ({"json_schema": "{}"}, "json_schema means nothing to the JAX engine, which follows no"),
    ],
)
def test_bad_sampling(engine: jax_engine.JaxEngine, sampling: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.UserError, match=f"^request 'x1': {message}"):
        engine.generate([request("x", id="x1", **sampling)])


def test_a_missing_image_is_named(engine: jax_engine.JaxEngine, tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.UserError, match="gone.png"):
        engine.generate([request("x", image=str(tmp_path / "gone.png"))])


def test_a_truncated_image_is_named(engine: jax_engine.JaxEngine, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "half.png"
    picture(0).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(errors.UserError, match=r"^request 'seventh': .*half.png"):
        engine.generate([request("x", image=str(path), id="seventh")])


def test_a_request_that_cannot_be_encoded_is_named(engine: jax_engine.JaxEngine) -> None:
    frames = [Image.fromarray(np.zeros((side, 56, 3), np.uint8)) for side in (56, 84)]
    content = [{"type": "video", "video": frames}, {"type": "text", "text": "x"}]
    messages = [{"role": "user", "content": content}]
    sampling = protocol.SamplingParams(max_new_tokens=1)
    with pytest.raises(errors.UserError, match="request 'ninth': .*frames must have one size"):
        engine.generate([protocol.Request(messages=messages, sampling=sampling, id="ninth")])


def test_no_folder(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.UserError, match=r"no folder .*nowhere"):
        jax_engine.JaxEngine.from_folder(tmp_path / "nowhere")


def make_random(folder: pathlib.Path, seed: int = 0) -> pathlib.Path:
    return initial.make_random_folder(folder, "small", ["ab"], seed=seed, **small.PIXELS)


def test_a_random_folder_can_be_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setitem(sizes.SIZES, "small", small.SIZE)
    folder = make_random(tmp_path / "base")
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
    engine = jax_engine.JaxEngine.from_folder(folder, rows=ROWS)
    assert engine.size == small.SIZE
    (completion,) = engine.generate([request("hello", image=picture(0), seed=1)])[0]
    assert completion.tokens
    before = (folder / "model.safetensors").read_bytes()
    make_random(folder, seed=1)
    assert (folder / "model.safetensors").read_bytes() == before, "an existing one is kept"
    other = hf.load_params(make_random(tmp_path / "other", seed=1), small.SIZE)
    kernel = other["vision"]["patch_embed"]["kernel"]
    assert (kernel != hf.load_params(folder, small.SIZE)["vision"]["patch_embed"]["kernel"]).any()


def test_the_dtype_is_that_of_the_weights(tmp_path: pathlib.Path) -> None:
    folder = small.write_folder(tmp_path / "hf", dtype="bfloat16")
    engine = jax_engine.JaxEngine.from_folder(folder)
    assert engine._model.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(engine._params)} == {jnp.dtype(jnp.bfloat16)}


def test_one_stop_text_is_no_tuple_of_its_letters() -> None:
    options = protocol.SamplingParams(max_new_tokens=1)
    object.__setattr__(options, "stop", "END")  # as where nothing checks types
    with pytest.raises(errors.UserError, match="stop must be a tuple of texts, not one, got 'END'"):
        options.validate()


def test_a_closed_engine_says_so(small_folder: pathlib.Path) -> None:
    engine = jax_engine.JaxEngine.from_folder(small_folder)
    engine.close()
    assert engine._params is None and engine._kept is None
    with pytest.raises(errors.UserError, match="the engine is closed"):
        engine.generate([request("x")])


def test_live_weights_leave_no_copy(small_folder: pathlib.Path) -> None:
    """Those of a folder stay laid out, those of a trainer do not."""
    loaded = jax_engine.JaxEngine.from_folder(small_folder, rows=ROWS)
    live = jax_engine.JaxEngine(loaded._params, small.MODEL, loaded.encoder, rows=ROWS)
    assert live.layout_seconds == 0
    ours = live.generate([request("one", seed=1)])
    assert ours == loaded.generate([request("one", seed=1)])
    assert live.layout_seconds > 0
    assert live._kept is None and loaded._kept is not None
    loaded.set_params(loaded._params)
    loaded.generate([request("one", seed=1)])
    assert loaded._kept is None, "they are somebody else's now"


def test_a_folder_is_in_memory_once_and_on_cpus_its_layers_twice(
    small_folder: pathlib.Path,
) -> None:
    engine = jax_engine.JaxEngine.from_folder(small_folder, rows=ROWS)
    loaded = jax.tree.leaves(engine._params)
    layout = engine._programs()._layout
    used = {id(leaf) for leaf in loaded}
    assert {id(leaf) for leaf in jax.tree.leaves(layout.params)} == used
    assert {id(leaf) for leaf in jax.tree.leaves(engine._params)} == used
    again = {**layout.decoder, "text": {"embed": layout.decoder["text"]["embed"]}}
    assert {id(leaf) for leaf in jax.tree.leaves(again)} < used
    other, _ = jax_layout.arrange(engine._params, dtype=jnp.dtype(jnp.bfloat16))
    assert not {id(leaf) for leaf in jax.tree.leaves(other.params)} & used
