# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Windows and stretches of gray values."""

import numpy as np
import pytest

from lingshu_jax.common import errors
from lingshu_jax.data import volumes


def test_window_functions() -> None:
    values = np.array([[[-1e9, 30.0, 40.0, 50.0, 1e9]]])
    exact = volumes.window(values, center=40.0, width=40.0, function="LINEAR_EXACT")
    assert exact.ravel().tolist() == [0, 64, 128, 191, 255]
    sigmoid = volumes.window(values, center=40.0, width=40.0, function="SIGMOID").ravel()
    assert sigmoid.tolist() == [0, 69, 128, 186, 255]


def test_linear_window_is_the_formula_of_the_standard() -> None:
    center, width = 40.0, 80.0
    values = np.arange(-20.0, 100.0).reshape(1, 1, -1)
    expected = [
        0
        if x <= center - 0.5 - (width - 1) / 2
        else 255
        if x > center - 0.5 + (width - 1) / 2
        else round(((x - (center - 0.5)) / (width - 1) + 0.5) * 255)
        for x in values.ravel().tolist()
    ]
    assert volumes.window(values, center=center, width=width).ravel().tolist() == expected
    exact = volumes.window(values, center=center, width=width, function="LINEAR_EXACT")
    assert exact.ravel().tolist() != expected


@pytest.mark.parametrize("width", [0.0, 1.0])
def test_a_window_of_no_width_is_a_threshold(width: float) -> None:
    values = np.array([[[39.0, 41.0]]])
    assert volumes.window(values, center=40.0, width=width).ravel().tolist() == [0, 255]


def test_stretch_survives_what_is_no_number() -> None:
    values = np.array([np.nan, -np.inf, 0.0, 1.0, np.inf, 1e308, -1e308])
    assert volumes.stretch(values, 0.0, 2.0).tolist() == [0, 0, 0, 128, 255, 255, 0]


def test_stretch_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(-30, 30, dtype=np.int16).reshape(5, 4, 3)
    whole = volumes.stretch(values, -10.0, 20.0)
    monkeypatch.setattr(volumes, "CHUNK", 13)
    np.testing.assert_array_equal(volumes.stretch(values, -10.0, 20.0), whole)
    assert (whole != volumes.stretch(values, -10.0, 21.0)).any()


def test_tails_leave_outliers_and_non_numbers_out() -> None:
    values = np.concatenate([np.linspace(0, 1, 1001), [1e9, np.nan, np.inf]])
    low, high = volumes.tails(values)
    assert low == pytest.approx(0.005, abs=1e-3) and high == pytest.approx(0.996, abs=1e-3)
    assert volumes.tails(np.array([np.nan])) == (0.0, 1.0)


def test_tails_of_a_sample_are_near(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(10_000, dtype=np.int32).reshape(100, 100)
    whole = volumes.tails(values)
    monkeypatch.setattr(volumes, "MAX_SAMPLE", 1000)
    assert volumes.tails(values) == pytest.approx(whole, abs=10)


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, -1, 4), (2**15, 2**15, 1), (2**62, 4, 4)])
def test_sizes_that_cannot_be(shape: tuple[int, ...]) -> None:
    volumes.check_size("a.dcm", (512, 512, 512))
    with pytest.raises(errors.UserError, match=r"a\.dcm declares .* pixel values; allowed: 1 to"):
        volumes.check_size("a.dcm", shape)
