# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.eval import answering, question_formats
from lingshu_jax.eval.trust import calibration, confidence, overconfidence
from tests.eval import evaluations, scripted
from tests.eval.trust import believing

KINDS = ["right", "grey", "noise", "photograph", "other_modality"]


@pytest.fixture
def red(tmp_path):
    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "red.png")
    return str(tmp_path / "red.png")


def shown(path, golds="AAAA"):
    return [
        dataclasses.replace(
            sample,
            messages=question_formats.turn("Which?", [path]),
            strata={"modality": "CT"},
        )
        for sample in evaluations.choices(golds)
    ]


def is_right(request):
    """Whether the picture is a file named red: the others are in memory, or sample files."""
    return str(request.messages[0]["content"][0]["image"]).endswith("red.png")


def looks(request):
    """Sure and right on the right picture; knows nothing on others."""
    return [0.97, 0.01, 0.01, 0.01] if is_right(request) else [0.24, 0.26, 0.25, 0.25]


def boasts(request):
    """Does not look, and is sure of B."""
    return [0.02, 0.95, 0.02, 0.01]


def run(tmp_path, samples, believes, **settings):
    said = {name: ["A"] * len(found) for name, found in samples.items()}
    engine = believing.Believer(believes)
    desk = believing.make_desk(tmp_path / "out", samples, said, engine, **settings)
    return overconfidence.run(desk), engine


def test_a_model_that_looks_is_less_sure_of_other_pictures(tmp_path, red):
    content, _ = run(tmp_path, {"b": shown(red)}, looks)
    found = content["benchmarks"]["b"]["pictures"]
    assert list(found) == KINDS
    right = found["right"]
    assert (right["n"], right["sure"], right["accuracy"]) == (4, 1.0, 1.0)
    assert right["confidence"] == pytest.approx(0.97) and "change" not in right
    for kind in KINDS[1:]:
        other = found[kind]
        assert other["n"] == 4 and other["left_out"] == {}
        assert (other["sure"], other["accuracy"], other["same_choice"]) == (0.0, 0.0, 0.0)
        assert other["confidence"] == pytest.approx(0.26)
        assert other["change"]["confidence"]["mean"] == pytest.approx(-0.71)
        assert other["change"]["confidence"]["interval"] == pytest.approx([-0.71, -0.71])
        assert other["change"]["sure"]["mean"] == -1.0
        assert other["change"]["entropy"]["mean"] > 0.8
        assert other["change"]["accuracy"]["mean"] == -1.0


def test_a_model_that_does_not_look_is_as_sure(tmp_path, red):
    content, _ = run(tmp_path, {"b": shown(red)}, boasts)
    found = content["benchmarks"]["b"]["pictures"]
    for kind in KINDS[1:]:
        assert found[kind]["sure"] == found[kind]["same_choice"] == 1.0
        assert found[kind]["change"]["confidence"] == {"mean": 0.0, "interval": [0.0, 0.0]}
    page = believing.render(overconfidence.TEMPLATE, json.loads(json.dumps(content)))
    assert page.count('class="warn"') == 4


def test_each_kind_is_what_it_says(tmp_path, red):
    _, engine = run(tmp_path, {"b": shown(red, "A")}, looks)
    assert [is_right(request) for request in engine.scored] == [True] + [False] * 4
    given = [request.messages[0]["content"][0]["image"] for request in engine.scored[1:]]
    pixels = [np.asarray(Image.open(io.BytesIO(one)).convert("RGB")).astype(int) for one in given]
    grey, noise, photograph, foreign = pixels
    assert all(one.shape == (30, 40, 3) for one in pixels)
    assert grey.std() == 0
    assert noise.std() > 60 and (np.diff(noise, axis=2) == 0).all()
    assert np.ptp(photograph, axis=2).max() > 20
    assert (np.ptp(foreign, axis=2) < 30).all() and foreign.std() > 0
    assert {request.continuations for request in engine.scored} == {("A", "B", "C", "D")}


def test_a_kind_is_compared_on_the_questions_that_it_covers(tmp_path, red):
    """One question is about what the engine cannot score without its picture."""

    def believes(request):
        return None if request.id == "c1" and not is_right(request) else looks(request)

    content, _ = run(tmp_path, {"b": shown(red, "AABB")}, believes)
    found = content["benchmarks"]["b"]["pictures"]
    assert found["right"]["n"] == 4 and found["right"]["accuracy"] == 0.5
    assert found["grey"]["n"] == 3 and found["grey"]["left_out"] == {confidence.UNSCORED: 1}
    # A, B and B are right; the choice is A on the right picture and B on others.
    assert found["grey"]["accuracy"] == pytest.approx(2 / 3)
    assert found["grey"]["change"]["accuracy"]["mean"] == pytest.approx(1 / 3)
    assert "b, grey: 1 questions have no log-probabilities" in " ".join(content["remarks"])


def test_differences_come_in_clusters(tmp_path, red):
    """Four questions about each of 8 images; sure or not is a matter of the image."""
    samples = [
        dataclasses.replace(sample, group=f"image {place // 4}")
        for place, sample in enumerate(shown(red, "A" * 32))
    ]

    def believes(request):
        is_moved = int(request.id[1:]) // 4 % 2 and not is_right(request)
        return [0.4, 0.2, 0.2, 0.2] if is_moved else [0.97, 0.01, 0.01, 0.01]

    content, _ = run(tmp_path / "a", {"b": samples}, believes)
    clustered = content["benchmarks"]["b"]["pictures"]["grey"]["change"]["confidence"]
    loose = [dataclasses.replace(sample, group="") for sample in samples]
    content, _ = run(tmp_path / "b", {"b": loose}, believes)
    independent = content["benchmarks"]["b"]["pictures"]["grey"]["change"]["confidence"]
    assert clustered["mean"] == independent["mean"] == pytest.approx(-0.285)
    widths = [float(np.diff(one["interval"])[0]) for one in (clustered, independent)]
    assert widths[0] > 1.5 * widths[1] > 0


def test_questions_without_pictures_are_counted_and_not_asked(tmp_path, red):
    text = [
        dataclasses.replace(sample, id=f"t{sample.id}", messages=question_formats.turn("?"))
        for sample in evaluations.choices("AB")
    ]
    samples = {"mixed": [*shown(red, "A"), *text], "text": text}
    content, engine = run(tmp_path, samples, looks_if_it_can)
    mixed, alone = (content["benchmarks"][name] for name in samples)
    assert mixed["n"] == 1 and mixed["left_out"] == {overconfidence.NO_PICTURE: 2}
    assert mixed["pictures"]["grey"]["n"] == 1 and mixed["pictures"]["grey"]["left_out"] == {}
    assert alone == {"n": 0, "left_out": {overconfidence.NO_PICTURE: 2}, "pictures": {}}
    page = believing.render(overconfidence.TEMPLATE, content)
    assert page.count("<table>") == 1 and "text\n(2: no picture)" in page


def looks_if_it_can(request):
    if len(request.messages[0]["content"]) == 1:
        return [0.7, 0.1, 0.1, 0.1]
    return looks(request)


def test_the_right_pictures_are_scored_once_for_both_sections(tmp_path, red):
    samples, said = {"b": shown(red)}, {"b": ["A"] * 4}
    first, second = believing.Believer(looks), believing.Believer(looks)
    out = tmp_path / "out"
    calibration.run(believing.make_desk(out, samples, said, first))
    overconfidence.run(believing.make_desk(out, samples, said, second))
    assert all(map(is_right, first.scored)) and len(first.scored) == 4
    assert not any(map(is_right, second.scored)) and len(second.scored) == 16


def test_parts_wait_for_each_other_and_ask_their_share(tmp_path, red):
    found = []
    for index in range(2):
        part = answering.Part(index=index, count=2)
        content, engine = run(tmp_path, {"b": shown(red)}, looks, part=part)
        assert len(engine.scored) == 2 * 5
        found.append(content)
    assert found[0] is None
    assert found[1]["benchmarks"]["b"]["pictures"]["noise"]["n"] == 4


def test_a_picture_that_cannot_be_read_costs_one_question(tmp_path, red):
    samples = shown(red, "AA")
    gone = str(tmp_path / "gone.png")
    samples[1] = dataclasses.replace(samples[1], messages=question_formats.turn("Which?", [gone]))
    content, _ = run(tmp_path, {"b": samples}, lambda request: looks(request))
    found = content["benchmarks"]["b"]["pictures"]
    assert found["grey"]["n"] == 1 and found["grey"]["left_out"] == {confidence.UNSCORED: 1}
    assert any("'c1'" in remark and "gone.png" in remark for remark in content["remarks"])


def test_a_blind_evaluation_is_refused(tmp_path, red):
    with pytest.raises(errors.UserError, match="without --blind"):
        run(tmp_path, {"b": shown(red)}, looks, blind=True)


def test_a_server_that_cannot_score_is_refused(tmp_path, red):
    desk = believing.make_desk(
        tmp_path / "out",
        {"b": shown(red)},
        {"b": ["A"] * 4},
        scripted.Scripted(dies_after=0),
        engine="openai",
        dialect="openai",
    )
    with pytest.raises(errors.UserError, match="--overconfidence needs log-probabilities"):
        overconfidence.run(desk)


def test_the_page_says_where_there_is_nothing(tmp_path):
    content, _ = run(tmp_path, {"b": [evaluations.report_sample()]}, looks)
    page = believing.render(overconfidence.TEMPLATE, content)
    assert "No closed question with a picture" in page
    assert "b\n(1: no closed set of answers)" in page
