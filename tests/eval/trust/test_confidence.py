# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import math
import pathlib

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import answers, errors
from lingshu_jax.engines import jax_engine, protocol
from lingshu_jax.eval import answering, question_formats, runner
from lingshu_jax.eval.benchmarks import vqa_rad
from lingshu_jax.eval.trust import confidence
from lingshu_jax.eval.trust import desk as desk_lib
from tests.engines import test_jax_scoring
from tests.eval import evaluations, scripted
from tests.eval.trust import believing

OPTIONS = ("cat", "dog", "cow", "pig")


def choice(gold="B", options=OPTIONS, **changes):
    (sample,) = evaluations.choices(gold, options)
    return dataclasses.replace(sample, messages=question_formats.turn("Which?"), **changes)


def polar(question="Is it?", gold="yes", **changes):
    (sample,) = evaluations.yes_no(1)
    messages = question_formats.turn(question)
    return dataclasses.replace(sample, question=question, gold=gold, messages=messages, **changes)


def logs(*shares):
    return [math.log(share) for share in shares]


def test_a_choice_is_asked_by_its_letters():
    found = confidence.closed(choice("C"))
    assert found.continuations == found.labels == ("A", "B", "C", "D")
    assert (found.options, found.gold) == ((0, 1, 2, 3), 2)


@pytest.mark.parametrize("form", ["{}. {}", "{}.{}", " {}:{}", "({}) {}"])
def test_letters_are_found_as_benchmarks_show_them(form):
    shown = tuple(form.format("ABCD"[i], text) for i, text in enumerate(OPTIONS))
    assert confidence.closed(choice("C", choices=shown)).continuations == ("A", "B", "C", "D")


@pytest.mark.parametrize("gold", ["B", "dog", "Dog."])
def test_the_gold_is_that_of_strict_scoring(gold):
    sample = choice(options=OPTIONS)
    sample = dataclasses.replace(sample, gold=gold)
    found = confidence.closed(sample)
    verdicts = [
        answers.judge(letter, gold=gold, answer_type="choice", options=OPTIONS).correct
        for letter in found.continuations
    ]
    assert verdicts.index(True) == found.gold == 1 and sum(verdicts) == 1


def test_letters_with_one_text_are_one_option():
    sample = choice("D", options=("cat", "dog", "cow", "dog"))
    found = confidence.closed(sample)
    assert found.labels == ("A", "B", "C") and found.options == (0, 1, 2, 1) and found.gold == 1
    belief = confidence.believe(found, logs(0.3, 0.2, 0.1, 0.2))
    assert belief.probabilities == pytest.approx((3 / 8, 4 / 8, 1 / 8))
    assert belief.chosen == 1, "each letter alone is less likely than A"
    assert confidence.same_option(belief, "D") and confidence.same_option(belief, "B")
    assert not confidence.same_option(belief, "A")


def test_yes_and_no_are_asked_in_the_language_of_the_question():
    english, chinese = (confidence.closed(polar(q, "no")) for q in ("Is it?", "这是CT吗?"))
    assert english.continuations == ("Yes", "yes", "No", "no")
    assert english.options == (0, 0, 1, 1) and english.gold == 1
    assert chinese.continuations == ("是", "否") and chinese.gold == 1
    assert confidence.closed(polar("有结节吗?", "没有")).gold == 1
    assert confidence.closed(polar("有结节吗?", "有")).gold == 0


def test_forms_of_one_polarity_add_up():
    belief = confidence.believe(confidence.closed(polar()), logs(0.2, 0.2, 0.3, 0.01))
    assert belief.probabilities == pytest.approx((0.4 / 0.71, 0.31 / 0.71))
    assert belief.label == "yes", "No is the likeliest form, and no is not the likeliest answer"
    assert belief.mass == pytest.approx(0.71)
    assert belief.gold_nats == pytest.approx(-math.log(0.4 / 0.71))
    assert confidence.same_option(belief, "yes") and not confidence.same_option(belief, "no")


def test_of_equal_options_the_first_is_chosen():
    belief = confidence.believe(confidence.closed(choice()), logs(0.1, 0.2, 0.2, 0.2))
    assert belief.chosen == 1 and belief.label == "B"


def test_brier_and_entropy_by_hand():
    belief = confidence.believe(confidence.closed(choice("B")), logs(0.5, 0.25, 0.125, 0.125))
    assert belief.brier == pytest.approx(0.25 + 0.5625 + 2 * 0.015625)
    assert belief.entropy == pytest.approx(1.75 / 2)
    even = confidence.believe(confidence.closed(choice()), logs(0.1, 0.1, 0.1, 0.1))
    assert even.entropy == 1.0 and even.mass == pytest.approx(0.4)
    sure = confidence.believe(confidence.closed(choice("B")), [-900.0, 0.0, -900.0, -900.0])
    assert (sure.entropy, sure.brier, sure.gold_nats) == (0.0, 0.0, 0.0)


def test_the_unlikeliest_truth_has_finite_nats():
    belief = confidence.believe(confidence.closed(choice("B")), [0.0, -2000.0, -3000.0, -3000.0])
    assert belief.gold_nats == 2000.0 and belief.brier == 2.0


def test_what_is_no_number_is_no_belief():
    assert confidence.believe(confidence.closed(choice()), [-1.0, -math.inf, -1.0, -1.0]) is None


def mixed():
    """Each kind of question once, and what becomes of it."""
    opened = dataclasses.replace(polar(), id="open", answer_type="open", gold="liver")
    several = dataclasses.replace(choice(), id="several", answer_type="choices", gold="AB")
    report = evaluations.report_sample()
    bare = choice(id="bare", choices=OPTIONS)
    alike = choice(id="alike", options=("a cat", "a cat"))
    return [choice(), polar(), opened, several, report, bare, alike]


def believe_first(request):
    return [0.5, *[0.1] * (len(request.continuations) - 1)]


def test_what_has_no_closed_set_is_counted(tmp_path):
    engine = believing.Believer(believe_first)
    desk = believing.make_desk(tmp_path, {"b": mixed()}, {"b": ["A"] * 7}, engine)
    found = confidence.measure(desk, "b")
    assert list(found.beliefs) == ["c0", "q0"]
    assert found.left_out == {confidence.NO_SET: 3, confidence.NO_LETTERS: 1, confidence.ALIKE: 1}
    assert sum(found.left_out.values()) + len(found.beliefs) == len(mixed())
    assert found.beliefs["c0"].probabilities == pytest.approx((5 / 8, 1 / 8, 1 / 8, 1 / 8))
    assert found.beliefs["q0"].probabilities == pytest.approx((6 / 8, 2 / 8))


def test_a_benchmark_without_closed_questions_asks_nothing(tmp_path):
    samples = {"b": [evaluations.report_sample()]}
    desk = believing.make_desk(tmp_path, samples, {"b": ["?"]}, scripted.Scripted(dies_after=0))
    assert confidence.measure(desk, "b") == confidence.Measured({}, {confidence.NO_SET: 1})


def test_the_prompt_is_the_direct_one_whatever_the_evaluation_s(tmp_path):
    engine = believing.Believer(believe_first)
    desk = believing.make_desk(tmp_path, {"b": [choice()]}, {"b": ["A"]}, engine, prompt="think")
    confidence.measure(desk, "b")
    (request,) = engine.scored
    assert list(request.messages) == list(choice().messages)
    assert "asked with --prompt=think" in confidence.remarks(desk)[0]


def test_a_blind_evaluation_is_blind_here_too(tmp_path):
    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "red.png")
    shown = choice(id="shown")
    shown = dataclasses.replace(
        shown, messages=question_formats.turn("Which?", [str(tmp_path / "red.png")])
    )
    seen = []
    for blind in (False, True):
        engine = believing.Believer(believe_first)
        out = tmp_path / str(blind)
        desk = believing.make_desk(out, {"b": [shown]}, {"b": ["A"]}, engine, blind=blind)
        confidence.measure(desk, "b")
        seen.append(engine.scored[0].messages[0]["content"][0]["image"])
    assert seen[0] == str(tmp_path / "red.png") and isinstance(seen[1], bytes)


def test_questions_without_scores_are_counted_with_an_example(tmp_path):
    samples = evaluations.choices("ABCD")
    samples = [dataclasses.replace(s, messages=question_formats.turn("?")) for s in samples]
    engine = believing.Believer(
        lambda request: None if request.id == "c2" else believe_first(request)
    )
    desk = believing.make_desk(tmp_path, {"b": samples}, {"b": ["A"] * 4}, engine)
    found = confidence.measure(desk, "b")
    assert list(found.beliefs) == ["c0", "c1", "c3"]
    assert found.left_out == {confidence.UNSCORED: 1}
    (remark,) = confidence.unscored_remark("b", found)
    assert remark == "b: 1 questions have no log-probabilities, such as 'c2': no scores."


def test_parts_wait_for_each_other(tmp_path):
    samples = evaluations.choices("ABCD")
    samples = [dataclasses.replace(s, messages=question_formats.turn("?")) for s in samples]
    found = []
    for index in range(2):
        engine = believing.Believer(believe_first)
        part = answering.Part(index=index, count=2)
        desk = believing.make_desk(tmp_path, {"b": samples}, {"b": ["A"] * 4}, engine, part=part)
        found.append(confidence.measure(desk, "b"))
        assert len(engine.scored) == 2
    assert found[0] is None and len(found[1].beliefs) == 4


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_server_that_cannot_score_is_told_before_it_is_asked(tmp_path, dialect):
    desk = believing.make_desk(
        tmp_path,
        {"b": [choice()]},
        {"b": ["A"]},
        scripted.Scripted(dies_after=0),
        engine="openai",
        dialect=dialect,
    )
    with pytest.raises(errors.UserError) as told:
        confidence.check(desk, "calibration")
    assert "\n" not in str(told.value)
    for words in ("--calibration", "--engine=jax", "--dialect=vllm", f"--dialect={dialect}"):
        assert words in str(told.value)


@pytest.mark.parametrize(
    "settings", [{"engine": "jax"}, {"engine": "vllm"}, {"engine": "openai", "dialect": "vllm"}]
)
def test_engines_that_can_score_pass(tmp_path, settings):
    engine = scripted.Scripted()
    desk = believing.make_desk(tmp_path, {"b": [choice()]}, {"b": ["A"]}, engine, **settings)
    confidence.check(desk, "calibration")


def test_an_engine_that_cannot_score_is_an_error(tmp_path):
    engine = scripted.Scripted()
    desk = believing.make_desk(tmp_path, {"b": [choice()]}, {"b": ["A"]}, engine)
    with pytest.raises(errors.UserError, match="log-probabilities"):
        confidence.measure(desk, "b")


@pytest.fixture(scope="module")
def engine(small_folder: pathlib.Path) -> jax_engine.JaxEngine:
    return jax_engine.JaxEngine.from_folder(small_folder, rows=4)


def test_the_probabilities_of_letters_are_those_of_the_model_s_first_token(tmp_path, engine):
    """Against the learner's forward pass over each letter, and against a generated first token."""
    pixels = np.random.default_rng(3).integers(0, 256, (56, 84, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    picture = [str(tmp_path / "x.png")]
    shown = dataclasses.replace(choice("C"), messages=question_formats.turn("A to D?", picture))
    settings = scripted.make_settings("", engine="jax")
    loaded = {"b": runner.Loaded(card=vqa_rad.CARD, samples=[shown])}
    desk = desk_lib.Desk(tmp_path, settings, loaded, lambda: engine)
    found = confidence.measure(desk, "b").beliefs["c0"]

    def learned(messages, *others):
        request = protocol.ScoreRequest(messages=messages, continuations=(*"ABCD", *others))
        (values,) = test_jax_scoring.learned(engine, [request])
        assert all(len(one) == 1 for one in values)
        return np.exp(np.concatenate(values))

    sampling = protocol.SamplingParams(max_new_tokens=1)
    asked = protocol.Request(messages=shown.messages, sampling=sampling)
    (said,) = engine.generate([asked])[0]
    *shares, likeliest = learned(shown.messages, said.tokens)
    assert math.exp(said.logprobs[0]) == pytest.approx(likeliest, rel=1e-3)
    assert likeliest >= max(shares)
    assert found.mass == pytest.approx(sum(shares), rel=1e-3)
    np.testing.assert_allclose(found.probabilities, np.array(shares) / sum(shares), rtol=1e-3)
    blind = learned(question_formats.turn("A to D?"))
    assert not np.allclose(found.probabilities, blind / blind.sum(), rtol=1e-2)
