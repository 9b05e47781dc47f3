# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rotary angles against formulas of the original in float64; relations of the rotation."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.models import rope

HEAD, THETA, SECTION = 24, 5e5, (3, 5, 4)
TOLERANCE, MARGIN = 1e-5, 100


def angles_of(positions: np.ndarray, section: tuple[int, int, int] = SECTION) -> np.ndarray:
    angles = rope.text_angles(
        jnp.asarray(positions), head_dim=HEAD, theta=THETA, mrope_section=section
    )
    return np.asarray(angles)


def hub_text_angles(positions: np.ndarray, section: Sequence[int] = SECTION) -> np.ndarray:
    """As in the checkpoint's own code: all angles twice, cut by the doubled section list."""
    frequencies = 1.0 / THETA ** (np.arange(0, HEAD, 2) / HEAD)
    by_axis = positions[:, :, :, None].astype(np.float64) * frequencies  # B 3 T H/2
    doubled = np.concatenate([by_axis, by_axis], axis=-1)
    cuts = np.cumsum([*section, *section])[:-1]
    parts = np.split(doubled, cuts, axis=-1)
    return np.concatenate([part[:, i % 3] for i, part in enumerate(parts)], axis=-1)


@pytest.fixture
def positions(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 500, (2, 3, 7)).astype(np.int32)


def test_text_angles_equal_the_doubled_section_list(positions: np.ndarray) -> None:
    ours = angles_of(positions)
    theirs = hub_text_angles(positions)
    np.testing.assert_allclose(np.concatenate([ours, ours], axis=-1), theirs, rtol=TOLERANCE)


@pytest.mark.parametrize("section", [(5, 3, 4), (4, 4, 4)], ids=["swapped", "equal"])
def test_another_section_fails(positions: np.ndarray, section: tuple[int, int, int]) -> None:
    wrong = angles_of(positions, section)
    theirs = hub_text_angles(positions)[..., : HEAD // 2]
    assert np.abs(wrong - theirs).max() > MARGIN * TOLERANCE * np.abs(theirs).max()


def test_text_tokens_do_not_depend_on_the_section() -> None:
    positions = np.broadcast_to(np.arange(9, dtype=np.int32), (1, 3, 9))
    np.testing.assert_array_equal(angles_of(positions), angles_of(positions, (12, 0, 0)))


def test_large_positions_keep_their_angle() -> None:
    """Position 100,000 in float32; bfloat16 positions would be off by hundreds of radians."""
    positions = np.full((1, 3, 1), 100_001, np.int32)
    angles = angles_of(positions)
    assert angles.dtype == np.float32
    np.testing.assert_allclose(angles[0, 0, 0], 100_001.0)
    rounded = float(jnp.asarray(100_001, jnp.bfloat16))
    assert abs(rounded - 100_001) > 100


def test_vision_angles_are_rows_then_columns() -> None:
    patch_hw = np.array([[[0, 0], [1, 0], [0, 1], [37, 63]]], np.int32)
    angles = np.asarray(rope.vision_angles(jnp.asarray(patch_hw), head_dim=16))
    frequencies = 10_000.0 ** (-np.arange(0, 8, 2) / 8)
    np.testing.assert_allclose(angles[0, 1], [*frequencies, 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(angles[0, 2], [0, 0, 0, 0, *frequencies], rtol=1e-6)
    np.testing.assert_allclose(angles[0, 3], [*37 * frequencies, *63 * frequencies], rtol=1e-6)
    assert not angles[0, 0].any()


def rotate_half_form(x: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """x cos + rotate_half(x) sin over the doubled angles, in float64."""
    doubled = np.concatenate([angles, angles], axis=-1)[..., None, :].astype(np.float64)
    first, second = np.split(x.astype(np.float64), 2, axis=-1)
    return x * np.cos(doubled) + np.concatenate([-second, first], axis=-1) * np.sin(doubled)


def test_rotation_equals_the_rotate_half_form(
    positions: np.ndarray, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((2, 7, 3, HEAD)).astype(np.float32)
    angles = angles_of(positions)
    ours = np.asarray(rope.rotate(jnp.asarray(x), jnp.asarray(angles)))
    np.testing.assert_allclose(ours, rotate_half_form(x, angles), atol=TOLERANCE)
    interleaved = x.reshape(2, 7, 3, 2, -1).swapaxes(-1, -2).reshape(x.shape)
    wrong = np.asarray(rope.rotate(jnp.asarray(interleaved), jnp.asarray(angles)))
    assert np.abs(wrong - rotate_half_form(x, angles)).max() > MARGIN * TOLERANCE


def test_scores_depend_on_distances_alone(rng: np.random.Generator) -> None:
    q, k = (jnp.asarray(rng.standard_normal((1, 6, 1, HEAD)), jnp.float32) for _ in range(2))

    def scores(start: int) -> np.ndarray:
        positions = np.broadcast_to(np.arange(start, start + 6, dtype=np.int32), (1, 3, 6))
        angles = jnp.asarray(angles_of(positions))
        return np.asarray(
            jnp.einsum("BTNH,BSNH->BTS", rope.rotate(q, angles), rope.rotate(k, angles))
        )

    np.testing.assert_allclose(scores(0), scores(41), atol=1e-4)
    assert np.abs(scores(0) - scores(0)[:, :, ::-1]).max() > 0.1


def test_the_result_has_the_dtype_of_x(positions: np.ndarray) -> None:
    x = jnp.ones((2, 7, 3, HEAD), jnp.bfloat16)
    assert rope.rotate(x, jnp.asarray(angles_of(positions))).dtype == jnp.bfloat16
