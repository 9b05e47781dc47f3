# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses

import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import protocol
from lingshu_jax.eval import answering, folder, runner
from lingshu_jax.eval.trust import desk as desk_lib
from tests.eval import scripted


class Scoring(scripted.Scripted):
    """Also scores continuations: minus their length for each of two tokens; may die, or fail."""

    def __init__(self, **script):
        super().__init__(**script)
        self.scored: list[str] = []

    def score(self, requests, *, on_result=None):
        for place, request in enumerate(requests):
            if len(self.scored) == self._dies_after:
                raise scripted.Killed
            self.scored.append(request.id)
            if request.id in self._fails:
                on_result(place, protocol.Failure("cannot be scored"))
                continue
            scores = [
                protocol.Score(tokens=(1, 2), logprobs=(-len(text) / 2, -len(text) / 2))
                for text in request.continuations
            ]
            on_result(place, scores)
        return []

    def stream(self, request):
        raise NotImplementedError

    def close(self):
        pass


@pytest.fixture
def evaluated(tmp_path):
    settings = scripted.make_settings(scripted.write_data(tmp_path / "data"))
    runner.evaluate(settings, tmp_path / "out", scripted.Scripted)
    return settings, tmp_path / "out"


def make_desk(evaluated, engine, **options):
    settings, out = evaluated
    return desk_lib.Desk(out, settings, runner.load_questions(settings), lambda: engine, **options)


def ask_letters(sample):
    return protocol.ScoreRequest(messages=sample.messages, continuations=("A", "B, C"))


def renamed(samples):
    return [dataclasses.replace(sample, gold="no") for sample in samples[:2]]


def test_questions_are_asked_as_changed_and_scored_as_they_were(evaluated):
    engine = scripted.Scripted()
    desk = make_desk(evaluated, engine)
    samples = renamed(desk.samples("small"))

    def without_pictures(sample):
        (message,) = sample.messages
        texts = [part for part in message["content"] if part["type"] == "text"]
        return dataclasses.replace(sample, messages=({**message, "content": texts},), gold="?")

    rows = desk.ask("small", "probe/1", samples, change=without_pictures)
    assert [row["gold"] for row in rows] == ["no", "no"]
    assert [row["strict"]["correct"] for row in rows] == [False, False]
    assert {part["type"] for r in engine.requests for part in r.messages[0]["content"]} == {"text"}
    assert desk.rows("small")[0]["strict"]["correct"], "the evaluation itself is as it was"


def test_a_finished_probe_is_not_asked_again_and_an_interrupted_one_goes_on(evaluated):
    _, out = evaluated
    dying = scripted.Scripted(dies_after=3)
    desk = make_desk(evaluated, dying)
    with pytest.raises(scripted.Killed):
        desk.ask("small", "probe", desk.samples("small"))
    assert not folder.is_complete(out / "small" / "probe")
    after = scripted.Scripted()
    desk = make_desk(evaluated, after)
    rows = desk.ask("small", "probe", desk.samples("small"))
    assert sorted(dying.asked + after.asked) == [f"r{i}" for i in range(6)]
    silent = scripted.Scripted(dies_after=0)
    desk = make_desk(evaluated, silent)
    assert desk.ask("small", "probe", desk.samples("small")) == rows


def test_other_questions_under_a_probes_name_are_refused(evaluated):
    desk = make_desk(evaluated, scripted.Scripted())
    desk.ask("small", "probe", desk.samples("small"))
    with pytest.raises(errors.UserError, match=r"small/probe was made from other questions"):
        desk.ask("small", "probe", renamed(desk.samples("small")))


def test_a_question_without_an_answer_is_named_and_asked_again(evaluated):
    desk = make_desk(evaluated, scripted.Scripted(fails=["r2"]))
    with pytest.raises(errors.UserError, match=r"1 of 6 questions of small probe .*'r2'"):
        desk.ask("small", "probe", desk.samples("small"))
    after = scripted.Scripted()
    desk = make_desk(evaluated, after)
    assert len(desk.ask("small", "probe", desk.samples("small"))) == 6
    assert after.asked == ["r2"]


def test_log_probabilities_are_sums_and_failures_have_reasons(evaluated):
    engine = Scoring(fails=["r1"])
    desk = make_desk(evaluated, engine)
    found = desk.score("small", "probe", desk.samples("small"), ask_letters)
    assert list(found) == ["r0", "r2", "r3", "r4", "r5"]
    assert found["r0"] == [-1.0, -4.0]
    assert desk.reasons["small", "probe"] == {"r1": "cannot be scored"}


def test_scores_are_kept_over_a_kill(evaluated):
    dying = Scoring(dies_after=2)
    desk = make_desk(evaluated, dying)
    with pytest.raises(scripted.Killed):
        desk.score("small", "probe", desk.samples("small"), ask_letters)
    after = Scoring()
    desk = make_desk(evaluated, after)
    found = desk.score("small", "probe", desk.samples("small"), ask_letters)
    assert len(found) == 6 and len(after.scored) == 4
    assert not set(dying.scored) & set(after.scored)


def test_an_engine_that_cannot_score_is_named(evaluated):
    desk = make_desk(evaluated, scripted.Scripted())
    with pytest.raises(errors.UserError, match="gives no log-probabilities"):
        desk.score("small", "probe", desk.samples("small"), ask_letters)


def test_parts_wait_for_each_other(evaluated):
    parts = [answering.Part(index=index, count=2) for index in range(2)]
    first, second = (make_desk(evaluated, Scoring(), part=part) for part in parts)
    samples = first.samples("small")
    assert first.ask("small", "probe", samples) is None
    assert first.score("small", "scores", samples, ask_letters) is None
    assert len(second.ask("small", "probe", samples)) == 6
    assert len(second.score("small", "scores", samples, ask_letters)) == 6


def test_a_limit_draws_questions_that_are_the_same_each_time(evaluated):
    desks = [make_desk(evaluated, Scoring(), limit=3) for _ in range(2)]
    drawn = [[sample.id for sample in desk.samples("small")] for desk in desks]
    assert drawn[0] == drawn[1] == sorted(set(drawn[0])) and len(drawn[0]) == 3
    assert drawn[0] != ["r0", "r1", "r2"], "data sets may be sorted by answer"
    desk = desks[0]
    assert [row["id"] for row in desk.rows("small")] == drawn[0]
    assert len(desk.whole().rows("small")) == 6
    with pytest.raises(errors.UserError, match="--probe_limit must be >= 1, got 0"):
        make_desk(evaluated, Scoring(), limit=0)
