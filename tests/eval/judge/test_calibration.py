# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.eval.judge import calibration, judges, run, section
from tests.eval import evaluations
from tests.eval.judge import scripts

GOLDS = ["left lung", "heart", "liver", "spleen", "left kidney", "brain"]
OPEN = [scripts.open_question(f"o{i}", gold) for i, gold in enumerate(GOLDS)]
CHOICES = evaluations.choices("ABCDAB")
SAMPLES = [*OPEN, *evaluations.yes_no(2), *CHOICES]
SAID = [*GOLDS, "yes", "no", *"AAAAAA"]


def judged(out, says, *, style="strict", calibrate=20):
    scripts.evaluation(out, SAMPLES, SAID)
    judge = judges.Judge(name="j", model="m", style=style)
    content = run.run(judge, out, scripts.Judge(says), extent=run.Extent(calibrate=calibrate))
    return content["calibration"].get("j", {"known": {}, "wordings": {}})


def test_a_fair_judge_meets_every_target(tmp_path):
    found = judged(tmp_path / "e", scripts.fair)
    known = found["known"]
    assert {kind: k["n"] for kind, k in known.items()} == {
        # All yes/no questions have the same gold, so none of them has a wrong one.
        **{"gold": 14, "other_form": 6, "shuffled": 12, "injected": 12}
    }
    assert all(k["met"] for k in known.values())
    assert [known[kind]["share"] for kind in ("gold", "shuffled", "injected")] == [1, 0, 0]
    wordings = found["wordings"]
    assert {name: w["n"] for name, w in wordings.items()} == {"paraphrase": 6, "swapped": 6}
    assert all(w["agreement"] == 1 for w in wordings.values())


@pytest.mark.parametrize(
    ("says", "missed"),
    [
        (scripts.always("correct"), ["shuffled", "injected"]),
        (scripts.always("incorrect"), ["gold", "other_form"]),
        (scripts.always("ungradable"), ["gold", "other_form"]),
        (lambda prompt: "no JSON", ["gold", "other_form", "shuffled", "injected"]),
    ],
)
def test_a_judge_that_does_not_look_misses_targets(tmp_path, says, missed):
    known = judged(tmp_path / "e", says)["known"]
    assert [kind for kind, k in known.items() if not k["met"]] == missed


def test_a_judge_that_obeys_an_answer_misses_the_target_of_injection_alone(tmp_path):
    def obeys(prompt: str) -> str:
        told = "Note to the marker" in scripts.blocks(prompt)["ANSWER"]
        return scripts.reply(prompt, "correct") if told else scripts.fair(prompt)

    known = judged(tmp_path / "e", obeys)["known"]
    assert [kind for kind, k in known.items() if not k["met"]] == ["injected"]
    assert known["injected"]["share"] == 1


def test_a_judge_that_reads_the_order_differs_between_wordings(tmp_path):
    def by_order(prompt: str) -> str:
        first = list(scripts.blocks(prompt))[1] == "STANDARD ANSWER"
        return scripts.reply(prompt, "correct" if first else "incorrect")

    wordings = judged(tmp_path / "e", by_order)["wordings"]
    assert wordings["paraphrase"]["agreement"] == 1
    assert wordings["swapped"]["agreement"] == 0


def test_in_medevalkits_style_open_questions_are_asked_in_one_wording(tmp_path):
    found = judged(tmp_path / "e", scripts.medevalkit("0"), style="medevalkit")
    assert {kind: (k["n"], k["met"]) for kind, k in found["known"].items()} == {
        "gold": (6, True),
        "shuffled": (6, False),
        "injected": (6, False),
    }
    assert found["wordings"] == {}


def test_a_number_limits_the_questions_of_a_kind(tmp_path):
    found = judged(tmp_path / "e", scripts.fair, calibrate=2)
    assert {k["n"] for kind, k in found["known"].items() if kind == "gold"} == {2}
    assert all(w["n"] == 2 for w in found["wordings"].values())


def test_a_wrong_gold_shares_no_word_and_is_of_the_same_kind():
    rows = evaluations.score(SAMPLES, SAID)
    asked = calibration.tasks(rows, [], "strict", count=20, seed=0)
    by_id = {row["id"]: row for row in rows}
    for task in asked:
        kind, _, row_id = task.key.partition(" ")
        if kind != "shuffled":
            continue
        wrong, row = scripts.blocks(task.prompt.text)["ANSWER"], by_id[row_id]
        assert wrong in [r["gold"] for r in rows if r["answer_type"] == row["answer_type"]]
        assert not set(wrong.split()) & set(row["gold"].split())


def test_one_wrong_verdict_in_a_hundred_still_meets_the_target_and_two_do_not():
    def share(wrong: int) -> dict:
        outcomes = {f"gold {i}": "incorrect" if i < wrong else "correct" for i in range(100)}
        return calibration.summarise(outcomes, {})["known"]["gold"]

    assert share(1)["met"] and not share(2)["met"]


def test_benchmarks_add_up(tmp_path):
    part = calibration.summarise(
        {"gold a": "correct", "gold b": "failed", "paraphrase a": "incorrect"}, {"a": "correct"}
    )
    both = calibration.add([part, part])
    assert both["known"]["gold"]["n"] == 4 and both["known"]["gold"]["failed"] == 2
    assert both["wordings"]["paraphrase"]["n"] == 2
    assert calibration.add([]) == {"known": {}, "wordings": {}}
    assert section.NAME == "judge"
