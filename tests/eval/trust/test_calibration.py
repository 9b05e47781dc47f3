# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import base64
import dataclasses
import itertools
import json
import time
from xml.etree import ElementTree

import numpy as np
import pytest

from lingshu_jax.eval import question_formats, sections
from lingshu_jax.eval.trust import calibration, confidence, confidence_draws
from lingshu_jax.eval.trust import calibration_measures as measures
from tests.eval import evaluations
from tests.eval.trust import believing

# Five questions by hand: bins of a fifth hold 0.3 and 0.35, 0.5, and 0.9 and 0.95.
SURE = np.array([0.3, 0.5, 0.9, 0.95, 0.35])
RIGHT = np.array([True, False, True, False, False])


def alone(values):
    return [""] * len(values)


def ece(sure, right, bins=measures.BINS):
    return measures.calibration_error(sure, right, measures.equal_width(sure, bins))


def draw(rng, count, gap=0.0):
    """Confidences, and verdicts that are right so much less often than these say."""
    sure = rng.uniform(0.3, 1.0, count)
    return sure, rng.random(count) < sure - gap


def test_bins_hold_their_upper_end():
    values = np.array([0.05, 0.2, 0.2000001, 0.4, 1.0])
    assert measures.equal_width(values, 5).tolist() == [0, 0, 1, 1, 4]
    edges = np.linspace(0, 1, 16)[1:]
    assert measures.equal_width(edges).tolist() == list(range(15))


def test_calibration_errors_by_hand():
    assert measures.equal_width(SURE, 5).tolist() == [1, 2, 4, 4, 1]
    assert ece(SURE, RIGHT, 5) == pytest.approx((0.35 + 0.5 + 0.85) / 5)
    places = measures.equal_width(SURE, 5)
    assert measures.largest_error(SURE, RIGHT, places) == pytest.approx(0.5)
    assert ece(SURE, RIGHT | True, 5) != pytest.approx(ece(SURE, RIGHT, 5))


def test_a_single_question_is_off_by_what_it_lacks():
    assert ece(np.array([0.7]), np.array([True])) == pytest.approx(0.3)
    assert ece(np.array([1.0]), np.array([True])) == 0.0
    assert ece(np.array([1.0]), np.array([False])) == 1.0


def test_bins_of_equal_mass_are_full_and_keep_equals_together(rng):
    values = rng.random(1500)
    assert np.bincount(measures.equal_mass(values)).tolist() == [100] * 15
    order = rng.permutation(1500)
    again = measures.equal_mass(values[order])
    assert again.tolist() == measures.equal_mass(values)[order].tolist()
    few = np.array([0.5, 0.9, 0.5, 0.5, 0.9])
    assert len(set(measures.equal_mass(few)[[0, 2, 3]])) == 1
    assert measures.equal_mass(few)[0] < measures.equal_mass(few)[1] < measures.BINS


def test_perfect_calibration_has_hardly_an_error_and_overconfidence_its_gap(rng):
    sure, right = draw(rng, 60_000)
    assert ece(sure, right) < 0.01
    assert measures.calibration_error(sure, right, measures.equal_mass(sure)) < 0.01
    sure, right = draw(rng, 60_000, gap=0.2)
    assert ece(sure, right) == pytest.approx(0.2, abs=0.01)
    assert measures.calibration_error(sure, right, measures.equal_mass(sure)) == pytest.approx(
        0.2, abs=0.01
    )


def test_the_reliability_table_adds_up(rng):
    sure, right = draw(rng, 500)
    table = measures.reliability(sure, right)
    assert sum(row.n for row in table) == 500 and len(table) == measures.BINS
    assert sum(row.n * row.accuracy for row in table if row.n) == pytest.approx(right.sum())
    assert all(row.low < row.confidence <= row.high for row in table if row.n)
    assert table[0].n == 0 and table[0].accuracy is None
    again = sum(row.n * abs(row.accuracy - row.confidence) for row in table if row.n) / 500
    assert again == pytest.approx(ece(sure, right))


def test_risk_and_coverage_by_hand():
    curve = measures.risk_coverage(SURE, RIGHT)
    assert curve.coverage.tolist() == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert curve.risk == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
    assert curve.area == pytest.approx(np.mean([1, 1 / 2, 2 / 3, 3 / 4, 3 / 5]))
    assert curve.at(1.0) == pytest.approx((3 / 5, 0.3))
    assert curve.at(0.5) == pytest.approx((2 / 3, 0.5))
    assert curve.at(0.8) == pytest.approx((3 / 4, 0.35))
    assert measures.best_area(RIGHT) == pytest.approx(np.mean([0, 0, 1 / 3, 2 / 4, 3 / 5]))


def test_equal_confidences_are_the_mean_over_all_orders():
    sure = np.array([0.9, 0.5, 0.5, 0.5])
    right = np.array([True, False, True, True])
    found = measures.risk_coverage(sure, right).risk
    orders = [
        np.cumsum([0, *(1 - right[list(order)])]) / np.arange(1, 5)
        for order in itertools.permutations((1, 2, 3))
    ]
    assert found == pytest.approx(np.mean(orders, axis=0))
    assert len({tuple(order) for order in orders}) == 3


def test_every_share_of_coverage_finds_its_question():
    curve = measures.risk_coverage(np.linspace(0.99, 0.5, 10), np.arange(10) < 7)
    for coverage in measures.COVERAGES:
        assert curve.at(coverage)[1] == pytest.approx(curve.threshold[round(coverage * 10) - 1])
    assert curve.at(0.7)[0] == 0.0 and curve.at(0.8)[0] == pytest.approx(1 / 8)


@pytest.mark.parametrize("gap", [0.0, 0.15])
def test_the_interval_of_ece_covers_the_truth(rng, gap):
    covered = 0
    for _ in range(20):
        sure, right = draw(rng, 400, gap)
        found = measures.intervals(sure, right, (sure - right) ** 2, alone(sure)).ece
        covered += found.low <= gap <= found.high
    assert covered >= 16


def test_chance_tells_noise_from_a_gap(rng):
    sure, right = draw(rng, 300)
    found = measures.intervals(sure, right, sure, alone(sure))
    assert found.ece.low == 0.0
    assert 0.5 < ece(sure, right) / found.chance_ece < 2
    sure, right = draw(rng, 300, gap=0.25)
    found = measures.intervals(sure, right, sure, alone(sure))
    assert found.ece.low > 0.1 and ece(sure, right) > 2 * found.chance_ece


def test_the_interval_of_a_mean_is_the_normal_one_and_clusters_widen_it(rng):
    values = rng.random((600, 2))
    low, high = confidence_draws.means(values, alone(values))[1]
    half = 1.96 * values[:, 1].std() / np.sqrt(600)
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)
    assert (high + low) / 2 == pytest.approx(values[:, 1].mean(), abs=0.003)
    groups = [str(number) for number in range(100) for _ in range(6)]
    alike = np.repeat(rng.random((100, 1)), 6, axis=0)
    wide, narrow = (confidence_draws.means(alike, of)[0] for of in (groups, alone(alike)))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_fewer_than_two_clusters_have_no_interval():
    columns = np.ones((3, 1))
    assert confidence_draws.means(columns, ["a"] * 3) == [None]
    found = measures.intervals(SURE, RIGHT, SURE, ["a"] * 5)
    assert found.ece is None and found.brier is None and found.chance_ece > 0


def test_a_large_benchmark_takes_seconds(rng):
    sure, right = draw(rng, 40_000)
    groups = [str(number) for number in rng.integers(0, 30_000, 40_000)]
    started = time.perf_counter()
    measures.intervals(sure, right, sure, groups)
    assert time.perf_counter() - started < 10


def asked(count, **changes):
    """Choices of four letters, the gold is always A; in two modalities."""
    samples = evaluations.choices("A" * count)
    return [
        dataclasses.replace(sample, messages=question_formats.turn("?"), **changes)
        for sample in samples
    ]


def scripted_beliefs(shares):
    """The probability of A by id; the rest goes to B, C and D, a hundredth to something else."""

    def believes(request):
        share = shares[int(request.id[1:])]
        if share is None:
            return None
        rest = (1 - share) / 3
        return [0.99 * p for p in (share, rest, rest, rest)]

    return believes


def run(tmp_path, samples, said, believes, **settings):
    engine = believing.Believer(believes)
    desk = believing.make_desk(tmp_path, samples, said, engine, **settings)
    return calibration.run(desk)


def test_the_numbers_of_a_benchmark(tmp_path):
    shares = [0.9, 0.7, 0.1, 0.4]  # of A, which is right; the third chooses B
    said = ["A", "B", "B", "no idea"]
    content = run(tmp_path, {"b": asked(4)}, {"b": said}, scripted_beliefs(shares))
    found = content["benchmarks"]["b"]
    assert found["n"] == 4 and found["left_out"] == {}
    assert found["accuracy"] == 3 / 4 and found["answered_accuracy"] == 1 / 4
    assert found["readable"] == 3 and found["agreement"] == pytest.approx(2 / 3)
    assert found["confidence"] == pytest.approx((0.9 + 0.7 + 0.3 + 0.4) / 4)
    briers = [(1 - p) ** 2 + 3 * ((1 - p) / 3) ** 2 for p in shares]
    assert found["brier"] == pytest.approx(np.mean(briers))
    assert found["brier_chosen"] == pytest.approx((0.01 + 0.09 + 0.09 + 0.36) / 4)
    assert found["nats"] == pytest.approx(-np.log(shares).mean())
    assert found["mass"] == pytest.approx(0.99) and found["low_mass"] == 0
    assert found["ece"] == pytest.approx((0.1 + 0.3 + 0.3 + 0.6) / 4)
    assert found["mce"] == pytest.approx(0.6)
    assert found["uniform_brier"] == 0.75 and found["uniform_nats"] == pytest.approx(np.log(4))
    assert [at["coverage"] for at in found["coverage"]] == [1.0, 0.9, 0.8, 0.7, 0.5]
    assert [at["accuracy"] for at in found["coverage"]] == [3 / 4, 3 / 4, 3 / 4, 1, 1]
    assert set(found["by_stratum"]) == {"CT", "MR"}
    assert found["by_stratum"]["CT"]["n"] == 2
    assert found["by_stratum"]["CT"]["confidence"] == pytest.approx((0.7 + 0.4) / 2)
    assert json.loads(json.dumps(content)) == content, "what is written is what is read"


def beliefs_of(shares):
    each = []
    for sample, share in zip(asked(len(shares)), shares, strict=True):
        rest = (1 - share) / 3
        logprobs = np.log([0.99 * p for p in (share, rest, rest, rest)])
        each.append(confidence.believe(confidence.closed(sample), logprobs.tolist()))
    return confidence.Beliefs.of(each)


def test_the_numbers_are_those_of_scikit_learn_and_netcal():
    """scikit-learn 1.9.1 (brier_score_loss, log_loss) and netcal 1.4.0 (ECE, MCE of 15 bins)."""
    count = np.arange(240)
    logits = np.stack([3 * np.sin((1.7 + j) * count + j) for j in range(4)], axis=1)
    golds = (count * 7 + count // 5) % 4
    (sample,) = asked(1)
    question = confidence.closed(sample)
    each = [
        confidence.believe(dataclasses.replace(question, gold=int(gold)), row.tolist())
        for row, gold in zip(logits, golds, strict=True)
    ]
    found = calibration.summarise(confidence.Beliefs.of(each))
    theirs = {
        "brier": 1.0461506821290691,
        "brier_chosen": 0.3942024430384568,
        "nats": 2.4930327772265115,
        "ece": 0.41132424516676463,
        "mce": 0.7236575236496261,
        "adaptive_ece": 0.40718022028605144,
    }
    assert {name: found[name] for name in theirs} == pytest.approx(theirs, rel=1e-9)
    shifted = confidence.Beliefs.of([*each[1:], dataclasses.replace(each[0], gold_nats=0.0)])
    assert calibration.summarise(shifted)["nats"] != pytest.approx(theirs["nats"], rel=1e-9)


def test_a_calibrated_model_and_a_boaster(rng):
    """Of both the chosen option is right in 60 of 100; one says 62, and one says 99."""
    is_right = rng.permutation(300) < 180
    found = {}
    for name, claim in (("honest", 0.62), ("boaster", 0.99)):
        # Where it is wrong it chooses B.
        shares = np.where(is_right, claim, (1 - claim) / 3)
        each = []
        for one, right in zip(beliefs_of(shares).each, is_right, strict=True):
            wrong = [(1 - claim) / 3] * 4
            wrong[1] = claim
            each.append(one if right else dataclasses.replace(one, probabilities=tuple(wrong)))
        found[name] = calibration.summarise(confidence.Beliefs.of(each))
    honest, boaster = found["honest"], found["boaster"]
    assert honest["accuracy"] == boaster["accuracy"] == 0.6
    assert honest["ece"] == pytest.approx(0.02)
    assert boaster["ece"] == boaster["mce"] == pytest.approx(0.39)
    assert honest["ece_interval"][0] == 0 and boaster["ece_interval"][0] > 0.25
    assert honest["brier"] < honest["uniform_brier"] < boaster["brier"]
    assert honest["nats"] < honest["uniform_nats"] < boaster["nats"]


def test_the_page_shows_every_benchmark_and_escapes(tmp_path):
    samples = {"<b>one</b>": asked(3), "two": [evaluations.report_sample()]}
    said = {"<b>one</b>": ["A"] * 3, "two": ["x"]}
    desk_content = {
        "settings": {"bins": 15},
        "remarks": [],
        "benchmarks": {name: {"n": 0, "left_out": {}} for name in samples},
        "charts": [],
    }
    page = believing.render(calibration.TEMPLATE, desk_content)
    assert "No question has a closed set" in page and "Left out: nothing." in page
    content = run(
        tmp_path,
        {"one": samples["<b>one</b>"], "two": samples["two"]},
        {"one": said["<b>one</b>"], "two": said["two"]},
        scripted_beliefs([0.9, 0.8, 0.1]),
    )
    content["benchmarks"]["<b>one</b>"] = content["benchmarks"].pop("one")
    page = believing.render(calibration.TEMPLATE, json.loads(json.dumps(content)))
    assert "<b>one" not in page and "&lt;b&gt;one" in page
    assert "two\n(1: no closed set of answers)" in page
    assert page.count("<figure>") == 2 and "66.7%" in page
    for word in ("ECE", "MCE", "Brier", "NLL", "AURC", "by modality"):
        assert word in page


def test_charts_are_pictures_that_say_what_they_show(tmp_path):
    content = run(tmp_path, {"b": asked(3)}, {"b": ["A"] * 3}, scripted_beliefs([0.9, 0.8, 0.1]))
    assert [chart["title"] for chart in content["charts"]] == [
        "b: reliability",
        "b: risk and coverage",
    ]
    for chart in content["charts"]:
        head, _, data = chart["address"].partition(",")
        assert head == "data:image/svg+xml;base64"
        picture = base64.b64decode(data)
        assert ElementTree.fromstring(picture).tag.endswith("svg")
        assert len(picture) < 60_000
    assert (
        "wrong among the answered from 0.0% at 33.3% to 33.3% at 100.0%"
        in (content["charts"][1]["text"])
    )
    again = calibration.draw("b", beliefs_of([0.9, 0.8, 0.1]))
    assert again == content["charts"]
    assert calibration.draw("b", beliefs_of([0.9, 0.8, 0.2])) != again


def test_charts_stop_at_some_benchmarks_and_tables_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "MOST_DRAWN", 1)
    names = ["one", "two", "three"]
    content = run(
        tmp_path,
        {name: asked(2) for name in names},
        {name: ["A"] * 2 for name in names},
        scripted_beliefs([0.9, 0.6]),
    )
    assert [chart["title"].partition(":")[0] for chart in content["charts"]] == ["one", "one"]
    assert content["remarks"] == ["Charts show the first 1 of 3 benchmarks."]
    assert all(content["benchmarks"][name]["n"] == 2 for name in names)


def test_unscored_questions_and_limits_are_told(tmp_path):
    content = run(
        tmp_path,
        {"b": asked(5)},
        {"b": ["A"] * 5},
        scripted_beliefs([0.9, None, 0.8, 0.7, 0.6]),
        limit=4,
    )
    assert content["benchmarks"]["b"]["n"] == 3
    assert content["benchmarks"]["b"]["left_out"] == {confidence.UNSCORED: 1}
    assert content["remarks"] == [
        "b: 1 questions have no log-probabilities, such as 'c1': no scores.",
    ]


def test_the_section_is_a_file_that_reads_back(tmp_path):
    content = run(tmp_path, {"b": asked(3)}, {"b": ["A"] * 3}, scripted_beliefs([0.9, 0.8, 0.1]))
    sections.write(tmp_path, calibration.NAME, content)
    assert sections.read(tmp_path) == {"calibration": content}
