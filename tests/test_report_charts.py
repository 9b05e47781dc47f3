# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import base64

import numpy as np
import pytest

from lingshu_jax import report_charts

SPEC = report_charts.Spec("Title", "nats", ("a", "a/.*"))


def make_rows(**columns):
    return [
        {"step": step, **dict(zip(columns, values, strict=True))}
        for step, values in enumerate(zip(*columns.values(), strict=True), start=1)
    ]


def make_line(count):
    places = np.arange(count, dtype=np.float64)
    return report_charts.Line("x", places + 1, places**2)


def test_equal_lines_are_drawn_once():
    rows = make_rows(a=[1.0, 2.0], **{"a/x": [1.0, 2.00001], "a/y": [1.0, 2.1], "b": [0.0, 0.0]})
    labels = [line.label for line in report_charts.find_lines(rows, SPEC)]
    assert labels == ["a = a/x", "a/y"]


def test_missing_values_are_left_out():
    rows = make_rows(a=[None, 2.0, None])
    (line,) = report_charts.find_lines(rows, SPEC)
    assert line.steps.tolist() == [2.0] and line.values.tolist() == [2.0]
    assert report_charts.find_lines(make_rows(a=[None]), SPEC) == []


def test_a_chart_of_zeros_is_not_drawn():
    zero, one = (report_charts.draw_all(make_rows(a=[0.0, end]), [SPEC]) for end in (0.0, 1.0))
    assert zero[0].address == "" and one[0].address.startswith("data:image/svg+xml;base64,")
    assert one[0].text == "Line chart: a from 0 at step 1 to 1 at step 2"


def test_lines_that_find_no_room_are_counted():
    names = {f"a/{i:02}": [float(i), 1.0] for i in range(report_charts.MOST_LINES + 2)}
    (chart,) = report_charts.draw_all(make_rows(**names), [SPEC])
    assert "2 more lines" in chart.note


def test_the_same_rows_give_the_same_picture():
    first, again, other = (
        report_charts.draw_all(make_rows(a=[1.0, end]), [SPEC])[0].address for end in (2, 2, 3)
    )
    assert first == again != other


@pytest.mark.parametrize("change", [{}, {"is_share": True}, {"is_examined": True}])
@pytest.mark.parametrize("count", [1, 2, 100, 2000])
def test_every_kind_of_chart_has_its_axes_named(change, count):
    values = np.geomspace(0.001, 1.0, count).tolist()
    spec = SPEC._replace(is_noisy=True, **change)
    (chart,) = report_charts.draw_all(make_rows(a=values), [spec])
    picture = base64.b64decode(chart.address.split(",")[1]).decode()
    for label in ("optimizer step", "nats"):
        assert f"<!-- {label} -->" in picture
    assert len(picture) < 120_000


def test_smoothing_is_a_mean_over_the_neighbours():
    values = np.random.default_rng(0).normal(size=200)
    half = 10
    by_hand = [values[max(0, i - half) : i + half + 1].mean() for i in range(200)]
    np.testing.assert_allclose(report_charts.smooth(values), by_hand, atol=1e-12)
    assert np.abs(report_charts.smooth(values) - values).max() > 1.0


@pytest.mark.parametrize("count", [1, 500, 501, 5000])
def test_thinning_keeps_the_ends(count):
    line = make_line(count)
    thinned = report_charts.thin(line)
    assert thinned.values.size == min(count, report_charts.MOST_POINTS)
    assert thinned.steps[[0, -1]].tolist() == line.steps[[0, -1]].tolist()
    assert np.array_equal(thinned.values, (thinned.steps - 1) ** 2)


def test_parts_add_up_to_one():
    rows = make_rows(**{"a": [9.0, 9.0], "a/x": [1.0, None], "a/y": [3.0, 2.0], "a/z": [0.0, 0.0]})
    spec = SPEC._replace(patterns=("a/.*",), is_stacked=True, is_share=True)
    first, second = report_charts.find_lines([*rows, {"step": 3}], spec)
    assert (first.label, first.values.tolist()) == ("x", [0.25, 0.0])
    assert (second.label, second.values.tolist()) == ("y", [0.75, 1.0])
    assert report_charts.draw_all(rows, [spec])[0].address
    assert report_charts.draw_all(rows[:1], [spec])[0].address
    assert report_charts.find_lines([{"step": 1, "a/x": 0.0}], spec) == []


def test_an_interval_is_a_band():
    rows = make_rows(a=[0.5, 0.6], a_low=[0.4, None], a_high=[0.7, None])
    (line,) = report_charts.find_lines(rows, SPEC)
    np.testing.assert_array_equal(line.band, [[0.4, np.nan], [0.7, np.nan]])
    assert report_charts.find_lines(make_rows(a=[0.5]), SPEC)[0].band is None
    with_band, without = (
        report_charts.draw_all(given, [SPEC])[0].address
        for given in (rows, make_rows(a=[0.5, 0.6]))
    )
    assert with_band != without


def test_thinning_keeps_the_band():
    line = make_line(2000)
    thinned = report_charts.thin(line._replace(band=np.stack([line.values - 1, line.values + 1])))
    np.testing.assert_array_equal(thinned.band, [thinned.values - 1, thinned.values + 1])
