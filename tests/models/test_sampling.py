# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Each processor against its rule in plain numpy, row by row; the draw and what it may draw."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from lingshu_jax.models import sampling
from tests import small

VOCABULARY, DRAWS = 288, 2000
MEDIA = (small.SIZE.special.image_pad, small.SIZE.special.video_pad)


def plain_penalty(logits: np.ndarray, ids: Sequence[int], penalty: float) -> np.ndarray:
    out = logits.copy()
    for token in {token for token in ids if token >= 0}:
        out[token] = out[token] / penalty if out[token] > 0 else out[token] * penalty
    return out


def plain_top_k(logits: np.ndarray, k: int) -> np.ndarray:
    if not 0 < k < len(logits):
        return logits
    return np.where(logits >= np.sort(logits)[-k], logits, -np.inf)


def plain_top_p(logits: np.ndarray, p: float) -> np.ndarray:
    """The likeliest tokens one after the other, until they have p together; and their equals."""
    probs = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    kept, total = set(), 0.0
    for token in np.argsort(-logits, kind="stable"):
        kept.add(logits[token])
        total += probs[token]
        if total >= p:
            break
    return np.where(np.isin(logits, list(kept)), logits, -np.inf)


@jax.jit
def keep(logits: Any, top_k: Any, top_p: Any) -> jax.Array:
    rows = logits.shape[:1]
    top_k = jnp.broadcast_to(jnp.asarray(top_k, jnp.int32), rows)
    return sampling.keep_likeliest(
        jnp.asarray(logits), top_k, jnp.broadcast_to(jnp.asarray(top_p, jnp.float32), rows)
    )


def test_top_k_keeps_so_many(rng: np.random.Generator) -> None:
    values = [0, 1, 2, 7, VOCABULARY - 1, VOCABULARY, VOCABULARY + 1, 10**6]
    logits = rng.standard_normal((len(values), VOCABULARY)).astype(np.float32)
    out = keep(logits, np.array(values), 1.0)
    for row, value in enumerate(values):
        np.testing.assert_array_equal(out[row], plain_top_k(logits[row], value))
    assert np.isfinite(out).sum(axis=1).tolist() == [288, 1, 2, 7, 287, 288, 288, 288]


def test_top_p_keeps_what_has_the_probability(rng: np.random.Generator) -> None:
    values = np.array([1e-45, 0.1, 0.5, 0.9, 0.95, 0.999, 1.0])
    for spread in (0.1, 1.0, 5.0):
        logits = spread * rng.standard_normal((len(values), VOCABULARY)).astype(np.float32)
        out = keep(logits, 0, values)
        for row, value in enumerate(values):
            np.testing.assert_array_equal(out[row], plain_top_p(logits[row], value), str(value))
    kept = np.isfinite(keep(np.broadcast_to(logits[0], logits.shape), 0, values)).sum(axis=1)
    assert kept[0] == 1 and kept[-1] == VOCABULARY and (np.diff(kept) >= 0).all()


def test_top_p_is_of_what_top_k_left(rng: np.random.Generator) -> None:
    ks, ps = np.array([3, 20, 288, 5, 1]), np.array([0.7, 0.5, 0.9, 1.0, 0.1])
    logits = rng.standard_normal((5, VOCABULARY)).astype(np.float32)
    out = keep(logits, ks, ps)
    for row, (k, p) in enumerate(zip(ks, ps, strict=True)):
        np.testing.assert_array_equal(out[row], plain_top_p(plain_top_k(logits[row], k), p))
    assert (np.isfinite(out) != np.isfinite(keep(logits, 0, ps))).any(), "the order matters"


def test_top_p_ends_with_the_token_that_reaches_it() -> None:
    logits = np.log(np.array([[0.4, 0.3, 0.2, 0.1]] * 4, np.float32))
    out = keep(logits, 0, np.array([0.39, 0.41, 0.69, 0.71]))
    assert np.isfinite(out).sum(axis=1).tolist() == [1, 2, 2, 3]


def test_equals_of_the_last_kept_token_are_kept() -> None:
    logits = np.array([[1.0, 3.0, 1.0, 1.0, 0.0]] * 2, np.float32)
    by_k = keep(logits, np.array([2, 1]), 1.0)
    assert np.isfinite(by_k).astype(int).tolist() == [[1, 1, 1, 1, 0], [0, 1, 0, 0, 0]]
    by_p = keep(logits, 0, np.array([0.75, 0.5]))
    assert np.isfinite(by_p).tolist() == np.isfinite(by_k).tolist()
    flat = keep(np.zeros((1, 5), np.float32), 2, 1.0)
    assert np.isfinite(flat).all(), "all equal: none is better than another"


def test_one_token_always_stays() -> None:
    alone = np.full((2, 5), -np.inf, np.float32)
    alone[:, 3] = 2.0
    for kept in (keep(alone, 0, np.array([1e-6, 0.5])), keep(alone, np.array([1, 4]), 1.0)):
        assert np.isfinite(kept).sum(axis=1).tolist() == [1, 1]


def test_the_penalty_divides_or_multiplies_once(rng: np.random.Generator) -> None:
    logits = rng.standard_normal((4, VOCABULARY)).astype(np.float32)
    ids = rng.integers(0, VOCABULARY, (4, 40)).astype(np.int32)
    ids[:, 20:] = ids[:, :20]  # every token twice
    ids[1, 5:] = -1
    ids[2] = -1
    penalties = [1.5, 0.5, 3.0, 1.0]
    out = jax.jit(sampling.penalise)(jnp.asarray(logits), jnp.asarray(ids), jnp.array(penalties))
    for row, penalty in enumerate(penalties):
        expected = plain_penalty(logits[row], ids[row].tolist(), penalty)
        np.testing.assert_allclose(out[row], expected, rtol=1e-6)
    np.testing.assert_array_equal(out[2], logits[2])
    np.testing.assert_array_equal(out[3], logits[3])
    assert (np.asarray(out[0]) != logits[0]).sum() == len(set(ids[0].tolist()))


def test_bans_and_temperature() -> None:
    logits = jnp.arange(8.0).reshape(2, 4)
    assert np.isneginf(sampling.ban(logits, (1, 3))).tolist() == [[False, True, False, True]] * 2
    np.testing.assert_array_equal(sampling.ban(logits, ()), logits)
    scaled = sampling.scale(logits, jnp.array([0.5, 0.0]))
    np.testing.assert_allclose(scaled[0], logits[0] * 2)
    assert np.isfinite(scaled).all()


def state_of(
    rows: int, *, lengths: Any = 0, tokens: Any = 0, prompts: Any = -1, **rules: Any
) -> sampling.State:
    return sampling.State(
        sampling=sampling.make(rows, max_new_tokens=4, **rules),
        prompts=np.atleast_2d(np.int32(prompts)),
        tokens=np.broadcast_to(np.int32(tokens), (rows, 3)),
        lengths=np.broadcast_to(np.int32(lengths), (rows,)),
    )


jitted_choose = jax.jit(sampling.choose, static_argnames=("banned", "processors"))


def choose(logits: np.ndarray, temperature: float, step: int = 0, **rules: Any) -> np.ndarray:
    """Tokens of one row a draw; log-probabilities must be those of the raw logits."""
    rows = len(logits)
    seeds = rules.pop("seeds", np.arange(rows))
    state = state_of(rows, lengths=step, temperature=temperature, seeds=seeds, **rules)
    tokens, logprobs = jitted_choose(logits, state, banned=MEDIA)
    chosen = logits.astype(np.float64)[np.arange(rows), tokens]
    expected = chosen - np.log(np.exp(logits.astype(np.float64)).sum(axis=-1))
    np.testing.assert_allclose(logprobs, expected, rtol=1e-5, atol=1e-5)
    return np.asarray(tokens)


@pytest.mark.parametrize("media", MEDIA)
def test_media_ids_are_banned_when_sampling_but_not_when_greedy(
    media: int, rng: np.random.Generator
) -> None:
    logits = rng.standard_normal((DRAWS, VOCABULARY)).astype(np.float32)
    logits[:, media] = 30.0
    assert (choose(logits, 0.0) == media).all()
    assert (choose(logits, 1.0) != media).all()
    logits[:, media], logits[:, media - 3] = 0.0, 30.0
    assert (choose(logits, 1.0) == media - 3).all()


FIVE = np.array([0.0, 1.0, 2.0, -1.0, 0.5])


def draw_of_five(**rules: Any) -> np.ndarray:
    """How often each of five tokens is drawn, of 2,000 times."""
    logits = np.full((DRAWS, VOCABULARY), -1e9, np.float32)
    logits[:, :5] = FIVE
    counts = np.bincount(choose(logits, 0.7, **rules), minlength=VOCABULARY)
    assert counts[5:].sum() == 0
    return counts[:5]


def chi_square(counts: np.ndarray, temperature: float, kept: Sequence[int] = range(5)) -> float:
    weights = np.exp(FIVE / temperature) * np.isin(np.arange(5), list(kept))
    expected = DRAWS * weights / weights.sum()
    seen = expected > 0
    assert counts[~seen].sum() == 0
    return float(((counts[seen] - expected[seen]) ** 2 / expected[seen]).sum())


def test_draws_follow_the_distribution() -> None:
    """A chi-square of 2,000 draws over five tokens; a wrong temperature is far outside."""
    counts = draw_of_five()
    assert chi_square(counts, 0.7) < 18.5  # 0.1 % beyond
    assert chi_square(counts, 1.0) > 50


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ({"top_k": 3}, (1, 2, 4)),
        ({"top_p": 0.9}, (1, 2, 4)),
        ({"top_p": 0.5}, (2,)),
        # Top-p is of what top-k left: of two tokens the first has 81 %.
        ({"top_k": 2, "top_p": 0.81}, (1, 2)),
        ({"top_k": 2, "top_p": 0.80}, (2,)),
    ],
)
def test_draws_are_of_what_is_kept(rules: dict[str, Any], kept: tuple[int, ...]) -> None:
    assert chi_square(draw_of_five(**rules), 0.7, kept) < 18.5


def test_rows_have_their_own_rules() -> None:
    """Off in one row and on in another."""
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((6, VOCABULARY)).astype(np.float32)
    temperature = np.array([0, 1, 1, 0, 1, 1], np.float32)
    rules = {"top_k": [5, 0, 1, 1, 0, 0], "top_p": [0.1, 1, 1, 1, 1e-6, 1]}
    rules["repetition_penalty"] = [1, 1, 1, 1, 1, 1e-9]
    logits[5, 7] = 0.5
    state = state_of(6, temperature=temperature, seeds=range(6), prompts=7, **rules)
    together = np.asarray(jitted_choose(logits, state, banned=MEDIA)[0])
    best = np.where(np.isin(np.arange(VOCABULARY), MEDIA), -np.inf, logits).argmax(axis=1)
    assert together[0] == logits[0].argmax() and together[3] == logits[3].argmax()
    assert together[2] == best[2] and together[4] == best[4]
    assert together[5] == 7
    alone = state_of(1, temperature=1.0, seeds=1)
    assert together[1] == int(jitted_choose(logits[1:2], alone, banned=MEDIA)[0][0])


def test_the_penalty_counts_prompt_and_answer_and_is_for_greedy_too() -> None:
    logits = np.zeros((4, VOCABULARY), np.float32)
    logits[:, [5, 6, 7, 8]] = [4.0, 3.0, 2.0, 1.0]
    state = state_of(
        4,
        prompts=[[5, -1], [9, -1]],  # two rows each
        tokens=[[6, 7, 5], [9, 9, 9], [5, 7, 9], [5, 6, 7]],
        lengths=[2, 0, 1, 3],
        repetition_penalty=10.0,
    )
    out, logprobs = jitted_choose(logits, state)
    assert np.asarray(out).tolist() == [8, 6, 6, 8]
    raw = np.asarray(jax.nn.log_softmax(jnp.asarray(logits)))
    np.testing.assert_allclose(logprobs, raw[np.arange(4), np.asarray(out)], rtol=1e-6)


def test_own_processors_are_applied_in_order_and_to_greedy_rows() -> None:
    seen = []

    def at_the_second_token(logits: jax.Array, state: sampling.State) -> jax.Array:
        seen.append(logits.shape)
        only = jnp.full_like(logits, -jnp.inf).at[:, 3].set(0.0)
        return jnp.where((state.lengths == 1)[:, None], only, logits)

    def add_to_four(logits: jax.Array, state: sampling.State) -> jax.Array:
        return logits.at[:, 4].add(50.0)

    logits = np.zeros((2, VOCABULARY), np.float32)
    state = state_of(2, lengths=[1, 0], temperature=[0.0, 1.0], seeds=range(2))
    both = (at_the_second_token, add_to_four)
    tokens, logprobs = jitted_choose(logits, state, processors=both)
    assert np.asarray(tokens).tolist() == [3, 4] and seen == [(2, VOCABULARY)]
    np.testing.assert_allclose(logprobs, -np.log(VOCABULARY), rtol=1e-6)
    turned, _ = jitted_choose(logits, state, processors=both[::-1])
    assert np.asarray(turned).tolist() == [3, 4]


def test_draws_differ_by_step_and_by_seed() -> None:
    flat = np.zeros((DRAWS, VOCABULARY), np.float32)
    first, second = choose(flat, 1.0), choose(flat, 1.0, step=1)
    assert len(set(first.tolist())) > 250
    assert (first != second).sum() > 0.95 * DRAWS
    np.testing.assert_array_equal(choose(flat, 1.0), first)


def test_a_row_draws_by_its_own_step() -> None:
    flat = np.zeros((2, VOCABULARY), np.float32)
    state = state_of(2, lengths=[0, 3], temperature=1.0, seeds=5)
    both = np.asarray(jitted_choose(flat, state, banned=MEDIA)[0])
    apart = [choose(flat[:1], 1.0, step=step, seeds=[5])[0] for step in (0, 3)]
    assert both.tolist() == apart and apart[0] != apart[1]


def primitives(jaxpr: Any, *, with_branches: bool) -> set[str]:
    """Names of what is computed; without branches only what always is."""
    found = set()
    for equation in jaxpr.eqns:
        found.add(equation.primitive.name)
        if equation.primitive.name == "cond" and not with_branches:
            continue
        for inner in core.jaxprs_in_params(equation.params):
            found |= primitives(inner, with_branches=with_branches)
    return found


def test_what_no_row_asks_for_is_not_computed() -> None:
    """Sorting and noise stand in branches that a greedy batch does not take."""
    traced = jax.make_jaxpr(lambda x, s: sampling.choose(x, s, banned=MEDIA))(
        np.zeros((2, VOCABULARY), np.float32), state_of(2)
    )
    costly = {"sort", "random_bits", "scatter", "cumsum"}
    assert costly <= primitives(traced.jaxpr, with_branches=True)
    assert not costly & primitives(traced.jaxpr, with_branches=False)
