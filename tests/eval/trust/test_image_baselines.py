# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A model that looks and one that does not, with other pictures and with none."""

import dataclasses

import numpy as np
import pytest

from lingshu_jax.data import images
from lingshu_jax.eval import answering, benchmark, question_formats
from lingshu_jax.eval.trust import image_baselines
from tests.eval import evaluations, scripted
from tests.eval.trust import asked_again


def shaded(shade, **changes):
    """What grey value has it? Every question has a picture of its own size."""
    picture = asked_again.png(shade, 40 + shade // 10)
    values = {
        "id": f"s{shade}",
        "question": "How bright?",
        "gold": str(shade),
        "answer_type": "number",
        "rule": "vqa",
        "messages": question_formats.turn(question_formats.ask("How bright?", "open"), [picture]),
    }
    return benchmark.Sample(**(values | changes))


def look(request):
    """The grey value in the middle of the first picture, in tens; a refusal without one."""
    for part in request.messages[-1]["content"]:
        if part["type"] == "image":
            pixels = np.asarray(images.open_image(part["image"]))
            return str(round(pixels[pixels.shape[0] // 2, pixels.shape[1] // 2, 0] / 10) * 10)
    return "I am unable to see a picture"


SAMPLES = {"b": [shaded(shade) for shade in range(10, 90, 10)]}


def test_a_model_that_looks_loses_all(tmp_path):
    desk = asked_again.make_desk(tmp_path, SAMPLES, asked_again.Replies(look))
    found = image_baselines.run(desk)["benchmarks"]["b"]
    assert found["n"] == 8 and found["right_blind"] == {"count": 0, "ids": []}
    for name in image_baselines.BASELINES:
        part = found["baselines"][name]
        for mode in ("compat", "strict"):
            numbers = part[mode]
            assert (numbers["first"], numbers["second"], numbers["changed"]) == (1.0, 0.0, 8)
            assert part["reliance"][mode] == 1.0 and numbers["interval"] == [1.0, 1.0]
            assert numbers["permutation_p"] == pytest.approx(2 / 2**8)
            assert numbers["holm_p"] == pytest.approx(3 * 2 / 2**8)
        assert (part["sensitivity"], part["same_text"], part["same_reading"]) == (1.0, 0, 0)
        assert part["by_answer_type"]["number"]["n"] == 8


def test_a_model_that_does_not_look_loses_nothing(tmp_path):
    """The twin of the one above."""
    desk = asked_again.make_desk(tmp_path, SAMPLES, asked_again.Replies(lambda request: "20"))
    found = image_baselines.run(desk)["benchmarks"]["b"]
    assert found["right_blind"] == {"count": 1, "ids": ["s20"]}
    for part in found["baselines"].values():
        assert part["strict"]["first"] == part["strict"]["second"] == 1 / 8
        assert part["reliance"] == {"compat": 0.0, "strict": 0.0}
        assert part["strict"]["permutation_p"] == part["strict"]["holm_p"] == 1.0
        assert (part["sensitivity"], part["same_text"], part["same_reading"]) == (0.0, 8, 8)


def test_what_each_baseline_shows(tmp_path):
    engine = asked_again.Replies(look)
    image_baselines.run(asked_again.make_desk(tmp_path, SAMPLES, engine))
    said = {name: {} for name in image_baselines.BASELINES}
    assert len(engine.requests) == 24
    for number, request in enumerate(engine.requests):
        said[list(said)[number // 8]][request.id] = look(request)
    assert set(said["blind"].values()) == {"130"}, "mid-grey is 128"
    assert set(said["text_only"].values()) == {"I am unable to see a picture"}
    assert sorted(said["shuffled"].values()) == sorted(s.gold for s in SAMPLES["b"])
    assert all(said["shuffled"][f"s{shade}"] != str(shade) for shade in range(10, 90, 10))


def test_what_is_left_out_is_counted(tmp_path):
    report = dataclasses.replace(shaded(10), id="r", answer_type="report", scoring="report")
    report = dataclasses.replace(report, rule="report")
    asked = question_formats.turn("Is it?")
    text, *texts = [dataclasses.replace(s, messages=asked) for s in evaluations.yes_no(3)]
    pair = question_formats.turn("?", [asked_again.png(5), asked_again.png(7)])
    samples = {
        "b": [shaded(10), shaded(20), report, text, shaded(30, messages=pair)],
        "texts": texts,
    }
    engine = asked_again.Replies(look)
    content = image_baselines.run(asked_again.make_desk(tmp_path, samples, engine))
    assert list(content["benchmarks"]) == ["b"]
    found = content["benchmarks"]["b"]
    assert found["n"] == 3 and found["baselines"]["shuffled"]["n"] == 2
    assert content["remarks"] == [
        "b: shuffled: 1 question has pictures of which there are no other ones and is left out",
        "b: 1 question is left out: there is no picture",
        "b: 1 question is left out: there is no verdict",
        "texts: 2 questions are left out: there is no picture",
    ]


def test_a_blind_evaluation_is_not_asked(tmp_path):
    engine = asked_again.Replies(look)
    content = image_baselines.run(asked_again.make_desk(tmp_path, SAMPLES, engine, blind=True))
    assert content["benchmarks"] == {} and engine.asked == []
    assert content["remarks"] == [image_baselines.BLIND_RUN]
    assert "<table>" not in asked_again.render(image_baselines.TEMPLATE, content)


def test_a_killed_probe_goes_on_where_it_was(tmp_path):
    engine = asked_again.Replies(look, dies_after=11)
    desk = asked_again.make_desk(tmp_path, SAMPLES, engine)
    with pytest.raises(scripted.Killed):
        image_baselines.run(desk)
    again = asked_again.Replies(look)
    content = image_baselines.run(asked_again.make_desk(tmp_path, SAMPLES, again))
    assert len(engine.asked) == 11 and len(again.asked) == 24 - 11
    whole = asked_again.make_desk(tmp_path / "whole", SAMPLES, asked_again.Replies(look))
    assert content == image_baselines.run(whole)
    last = asked_again.Replies(look)
    assert image_baselines.run(asked_again.make_desk(tmp_path, SAMPLES, last)) == content
    assert last.asked == []


def test_parts_wait_for_each_other(tmp_path):
    found = []
    for index in range(2):
        part = answering.Part(index=index, count=2)
        engine = asked_again.Replies(look)
        found.append(
            image_baselines.run(asked_again.make_desk(tmp_path, SAMPLES, engine, part=part))
        )
        assert len(engine.asked) == 12, "a part asks its questions of every baseline"
    assert found[0] is None and found[1]["benchmarks"]["b"]["n"] == 8


def test_the_page_escapes_ids(tmp_path):
    odd = "<script>alert(1)</script>"
    samples = {"b": [shaded(20, id=odd), shaded(30)]}
    engine = asked_again.Replies(lambda request: "20")
    content = image_baselines.run(asked_again.make_desk(tmp_path, samples, engine))
    page = asked_again.render(image_baselines.TEMPLATE, content)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and odd not in page
    assert "+0.0" in page and "50.0%" in page
