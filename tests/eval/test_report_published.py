# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses

import pytest

from lingshu_jax.eval import catalog, report_published
from tests.eval import evaluations

PUBLISHED = {"set": {"Some-7B": 61.8}}


@pytest.fixture
def rows():
    return evaluations.score(evaluations.yes_no(3), ["yes", "no", "no"])


@pytest.fixture
def summary(rows):
    return evaluations.summarise({"set": evaluations.yes_no(3)}, {"set": rows}, model="a|b")


def test_published_numbers_stand_beside_ours(summary):
    found = report_published.table(summary, {"set": {"A-7B": 61.8}, "other": {"B": 1.0}})
    ours = ["a|b, compat", "a|b, strict"]
    third = pytest.approx(100 / 3)
    assert found == {
        "columns": ["set"],
        "rows": {**dict.fromkeys(ours, [third]), "A-7B": [61.8]},
        "ours": ours,
    }
    assert report_published.table(summary, {}) == {}


def test_a_model_without_a_published_number_has_a_gap(summary):
    summary["benchmarks"]["other"] = summary["benchmarks"]["set"]
    published = {"set": {"A": 1.0}, "other": {"A": 2.0, "B": 3.0}}
    assert report_published.table(summary, published)["rows"]["B"] == [None, 3.0]


def judged_by(style, benchmarks):
    return {"settings": {"judges": {"J": {"style": style}}}, "benchmarks": benchmarks}


def test_what_judges_say_stands_beside_the_published_numbers(summary, rows):
    section = judged_by("strict", {"set": {"judges": {"J": {"strict_judged_accuracy": 0.5}}}})
    judged = report_published.judged(summary, {"set": rows}, section)
    title = "a|b, strict, judged by J"
    assert judged == {title: {"set": 50.0}}
    found = report_published.table(summary, PUBLISHED, judged)
    assert found["rows"][title] == [50.0] and found["ours"][-1] == title
    assert list(found["rows"])[3:] == ["Some-7B"]
    assert report_published.judged(summary, {"set": rows}, {}) == {}


def test_rules_decide_what_no_judge_is_asked_about(summary, rows):
    """All of `set` is yes or no, the open question is for a judge who was not asked."""
    open_sample = dataclasses.replace(evaluations.yes_no(1)[0], answer_type="open", gold="liver")
    samples = {"set": evaluations.yes_no(3), "open": [open_sample]}
    all_rows = {"set": rows, "open": evaluations.score([open_sample], ["the liver"])}
    whole = evaluations.summarise(samples, all_rows, model="a|b")
    for style, mode in (("medevalkit", "compat"), ("strict", "strict")):
        judged = report_published.judged(whole, all_rows, judged_by(style, {}))
        told = judged[f"a|b, {mode}, judged by J"]
        assert told == {"set": pytest.approx(100 / 3)}, style


def of_the_paper(family):
    cards = [item.card for item in catalog.members("paper")]
    return {card.name: card.published for card in cards if card.family == family and card.published}


def test_a_group_of_the_paper_has_a_mean_where_it_is_whole(summary):
    """The paper's own mean of Lingshu-7B over its seven multimodal sets is 61.8."""
    published = of_the_paper("multimodal")
    numbers = dict.fromkeys(published, summary["benchmarks"]["set"])
    found = report_published.table({**summary, "benchmarks": numbers}, published)
    assert found["columns"][-1] == "mean of 7 multimodal"
    assert found["rows"]["Lingshu-7B"][-1] == pytest.approx(61.8, abs=0.06)
    assert found["rows"]["a|b, strict"][-1] == pytest.approx(100 / 3)
    del numbers["slake"]
    found = report_published.table({**summary, "benchmarks": numbers}, published)
    assert not any("mean" in column for column in found["columns"])


def test_a_mean_needs_all_its_numbers(summary):
    published = {name: {**of, "X": 1.0} for name, of in of_the_paper("text").items()}
    numbers = dict.fromkeys(published, summary["benchmarks"]["set"])
    del published["pubmedqa"]["X"]
    found = report_published.table({**summary, "benchmarks": numbers}, published)
    assert found["rows"]["X"][-1] is None and found["rows"]["X"][0] == 1.0
