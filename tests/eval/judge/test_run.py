# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json
import pathlib
from typing import Any

import pytest

from lingshu_jax.common import errors, pages
from lingshu_jax.engines import protocol
from lingshu_jax.eval import benchmark, folder, sections
from lingshu_jax.eval.judge import items, judges, replies, run, section
from tests.eval import evaluations, scripted
from tests.eval.judge import scripts

NAME = "predictions"
JUDGE = judges.Judge(name="j", model="org/judge", engine="openai")
COMPAT = judges.Judge(name="k", model="org/judge", style="medevalkit")


def rows_of(out: pathlib.Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in folder.read_samples(out / NAME)}


def kept(out: pathlib.Path, judge: str = "j") -> dict[str, dict[str, Any]]:
    return replies.read(judges.file(out, NAME, judge))


def numbers(content: dict[str, Any], judge: str = "j") -> dict[str, Any]:
    return content["benchmarks"][NAME]["judges"][judge]


def test_open_questions_and_unread_answers_are_judged_and_no_others(tmp_path):
    out = scripts.evaluation(tmp_path / "e")
    engine = scripts.Judge(scripts.fair)
    content = run.run(JUDGE, out, engine)
    # o2 says nothing, q0 and q1 can be read.
    assert set(kept(out)) == {"o0", "o1", "q2"}
    assert all(request.sampling.temperature == 0 for request in engine.requests)
    found = numbers(content)
    assert (found["asked"], found["judged"]) == (3, 3)
    assert {row_id: row["judge"] for row_id, row in rows_of(out).items()} == {
        "o0": {"j": "incorrect"},  # "The Left Lung." is another string for this judge
        "o1": {"j": "incorrect"},
        "o2": None,
        "q0": None,
        "q1": None,
        "q2": {"j": "incorrect"},
    }


def test_the_rules_verdicts_stay_and_the_accuracies_stand_side_by_side(tmp_path):
    out = scripts.evaluation(tmp_path / "e")
    before = rows_of(out)
    content = run.run(JUDGE, out, scripts.Judge(scripts.always("correct")))
    after = rows_of(out)
    assert all({**after[i], "judge": None} == before[i] for i in before)
    found = content["benchmarks"][NAME]
    assert found["strict_accuracy"] == pytest.approx(2 / 6)  # o0 and q0
    # o0, o1 and q2 by the judge; o2 and q1 are wrong by the rule, q0 right.
    assert numbers(content)["strict_judged_accuracy"] == pytest.approx(4 / 6)
    low, high = numbers(content)["strict_judged_interval"]
    assert low < 4 / 6 < high
    assert numbers(content)["compat_judged_accuracy"] is None
    assert numbers(content)["rule"]["table"] == [[1, 0, 0], [2, 0, 0], [0, 0, 0]]


def test_ungradable_is_wrong_and_a_failure_leaves_the_rule(tmp_path):
    out = scripts.evaluation(tmp_path / "e")
    content = run.run(JUDGE, out, scripts.Judge(scripts.always("ungradable")))
    assert numbers(content)["strict_judged_accuracy"] == pytest.approx(1 / 6)  # q0
    other = judges.Judge(name="silent", model="m")
    content = run.run(other, out, scripts.Judge(lambda prompt: "hm"))
    assert numbers(content, "silent")["failed"] == 3
    assert numbers(content, "silent")["strict_judged_accuracy"] == pytest.approx(2 / 6)
    assert rows_of(out)["o0"]["judge"] == {"j": "ungradable", "silent": "failed"}
    assert any("gave no verdict on 3" in remark for remark in content["remarks"])


def test_an_unreadable_reply_is_asked_for_three_more_times_and_all_are_kept(tmp_path):
    out = scripts.evaluation(tmp_path / "e")
    engine = scripts.Judge(lambda prompt: "hm" if "try 3" not in prompt else "{}")
    run.run(JUDGE, out, engine)
    entry = kept(out)["o1"]
    assert (entry["verdict"], entry["tries"]) == ("failed", 4)
    assert entry["earlier"] == ["hm", "hm", "{}"] and entry["reply"] == "hm"
    assert entry["version"] == "strict-1/first" and entry["finish_reason"] == "stop"
    seeds = sorted(r.sampling.seed for r in engine.requests if r.id == "o1")
    assert seeds == [0, 1, 2, 3]


def test_a_second_try_that_can_be_read_counts_and_is_told(tmp_path):
    out = scripts.evaluation(tmp_path / "e")

    def says(prompt: str) -> str:
        return scripts.reply(prompt, "correct") if "try 2" in prompt else "hm"

    found = numbers(run.run(JUDGE, out, scripts.Judge(says)))
    assert (found["correct"], found["failed"], found["retried"]) == (3, 0, 3)


@pytest.mark.parametrize("dies_after", range(4))
def test_a_killed_judge_goes_on_where_it_was(tmp_path, dies_after: int):
    out = scripts.evaluation(tmp_path / "e")
    first = scripts.Judge(scripts.fair, dies_after=dies_after)
    if dies_after < 3:
        with pytest.raises(scripted.Killed):
            run.run(JUDGE, out, first)
        assert len(kept(out)) == dies_after
        assert all(row["judge"] is None for row in rows_of(out).values())
        assert not sections.read(out)
    second = scripts.Judge(scripts.fair)
    content = run.run(JUDGE, out, second)
    assert len(second.prompts) == 3 - len(first.prompts)
    assert not set(first.prompts) & set(second.prompts)
    straight = scripts.evaluation(tmp_path / "straight")
    assert content == {**run.run(JUDGE, straight, scripts.Judge(scripts.fair))}
    assert rows_of(out) == rows_of(straight)


def test_a_judge_killed_between_tries_repeats_none(tmp_path):
    out = scripts.evaluation(tmp_path / "e")
    first = scripts.Judge(lambda prompt: "hm", dies_after=5)
    with pytest.raises(scripted.Killed):
        run.run(JUDGE, out, first)
    second = scripts.Judge(lambda prompt: "hm")
    run.run(JUDGE, out, second)
    assert len(first.prompts) + len(second.prompts) == 3 * 4
    assert not set(first.prompts) & set(second.prompts)


def test_a_finished_judge_asks_nothing_and_makes_no_engine(tmp_path):
    out = scripts.evaluation(tmp_path / "e")
    before = run.run(JUDGE, out, scripts.Judge(scripts.fair))

    def make() -> protocol.Generator:
        raise AssertionError("nothing is missing")

    assert run.run(JUDGE, out, make) == before


def test_equal_prompts_are_asked_once(tmp_path):
    twins = [scripts.open_question(f"o{i}", "heart", question="Which?") for i in range(4)]
    out = scripts.evaluation(tmp_path / "e", twins, ["lung"] * 4)
    engine = scripts.Judge(scripts.fair)
    content = run.run(JUDGE, out, engine)
    assert len(engine.prompts) == 1 and numbers(content)["incorrect"] == 4
    assert numbers(content)["usage"] == {
        **{"replies": 1, "cached": 0, "tokens_in": 10, "tokens_out": 1, "cost": None}
    }


def test_what_gets_no_reply_stops_the_judge_after_the_others_and_is_asked_again(tmp_path):
    out = scripts.evaluation(tmp_path / "e")

    def says(prompt: str) -> str | protocol.Failure:
        is_refused = scripts.blocks(prompt)["ANSWER"] == "the kidney"
        return protocol.Failure("blocked") if is_refused else scripts.fair(prompt)

    with pytest.raises(errors.UserError, match="1 without a reply .*'o1': blocked.*asks again"):
        run.run(JUDGE, out, scripts.Judge(says))
    assert set(kept(out)) == {"o0", "q2"}
    engine = scripts.Judge(scripts.fair)
    run.run(JUDGE, out, engine)
    assert len(engine.prompts) == 1


def test_with_score_failed_it_is_a_failure_and_not_asked_again(tmp_path):
    out = scripts.evaluation(tmp_path / "e")
    engine = scripts.Judge(lambda prompt: protocol.Failure("blocked"))
    extent = run.Extent(score_failed=True)
    assert numbers(run.run(JUDGE, out, engine, extent=extent))["failed"] == 3
    assert kept(out)["o1"]["reason"] == "blocked"
    run.run(JUDGE, out, scripts.Judge(scripts.fair))
    assert len(engine.prompts) == 3 and rows_of(out)["o1"]["judge"] == {"j": "failed"}


def test_a_part_is_drawn_by_the_seed_and_grows_without_asking_twice(tmp_path):
    many = [scripts.open_question(f"o{i}", "heart") for i in range(20)]
    out = scripts.evaluation(tmp_path / "e", many, ["lung"] * 20)
    first = scripts.Judge(scripts.fair)
    content = run.run(JUDGE, out, first, extent=run.Extent(share=0.1))
    assert len(first.prompts) == 2 and numbers(content)["strict_judged_accuracy"] is None
    assert any("2 of 20" in remark for remark in content["remarks"])
    rows = folder.read_samples(out / NAME)
    drawn = [[row["id"] for row in items.share_of(rows, 0.1, seed)] for seed in range(5)]
    assert drawn[0] == [row["id"] for row in rows if row["judge"]]
    assert len(set(map(tuple, drawn))) > 1
    second = scripts.Judge(scripts.fair)
    content = run.run(JUDGE, out, second, extent=run.Extent(share=0.5))
    assert len(second.prompts) == 8 and numbers(content)["judged"] == 10


def test_all_questions_can_be_judged_and_the_accuracy_with_the_judge_stays(tmp_path):
    out = scripts.evaluation(tmp_path / "e")
    content = run.run(
        JUDGE, out, scripts.Judge(scripts.always("correct")), extent=run.Extent(items="all")
    )
    assert numbers(content)["judged"] == 5  # not o2, which says nothing
    assert numbers(content)["strict_judged_accuracy"] == pytest.approx(4 / 6)


def test_two_judges_are_compared_on_what_both_judged(tmp_path):
    out = scripts.evaluation(tmp_path / "e")
    run.run(JUDGE, out, scripts.Judge(scripts.fair))
    other = judges.Judge(name="z", model="m")

    def says(prompt: str) -> str:
        is_lung = scripts.blocks(prompt)["STANDARD ANSWER"] == "left lung"
        return scripts.reply(prompt, "correct" if is_lung else "incorrect")

    content = run.run(other, out, scripts.Judge(says))
    (pair,) = content["benchmarks"][NAME]["agreement"]
    assert pair["judges"] == ["j", "z"] and pair["n"] == 3
    assert pair["table"] == [[0, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert pair["kappa"] == 0 and content["agreement"] == [pair]
    assert rows_of(out)["o0"]["judge"] == {"j": "incorrect", "z": "correct"}


SLAKE = [
    benchmark.Sample(
        id="s0", question="Is it?", gold="Yes", answer_type="yes_no", rule="slake", is_open=False
    ),
    benchmark.Sample(
        id="s1", question="What?", gold="Liver", answer_type="open", rule="slake", is_open=True
    ),
]


def test_medevalkits_way_judges_all_of_slake_and_the_open_ones_of_vqa_rad(tmp_path):
    samples = [*SLAKE, *scripts.OPEN, *evaluations.yes_no(2)]
    said = [r"so \boxed{ Yes }", "<answer>The Liver </answer>", " The LUNG", "x", "", "yes", "no"]
    out = scripts.evaluation(tmp_path / "e", samples, said)
    engine = scripts.Judge(scripts.medevalkit("0"))
    content = run.run(COMPAT, out, engine)
    assert set(kept(out, "k")) == {"s0", "s1", "o0", "o1", "o2"}
    prompts = "\n".join(engine.prompts)
    # SLAKE's answers keep their case; those of VQA-RAD lose it, and their blanks.
    assert "The standard answer: Yes\n\nThe user's answer: Yes\n" in prompts
    assert "The standard answer: Liver\n\nThe user's answer: The Liver\n" in prompts
    assert "The standard answer: left lung\n\nThe user's answer: the lung\n" in prompts
    # Closed: q0 right, q1 wrong, by the rule; the five others by the judge.
    assert numbers(content, "k")["compat_judged_accuracy"] == pytest.approx(6 / 7)
    assert numbers(content, "k")["strict_judged_accuracy"] is None


def test_in_medevalkits_way_a_failure_is_wrong_once_and_counted(tmp_path):
    out = scripts.evaluation(tmp_path / "e")
    engine = scripts.Judge(lambda prompt: "<judge>0.</judge>")
    found = numbers(run.run(COMPAT, out, engine), "k")
    assert len(engine.prompts) == 3 and (found["failed"], found["retried"]) == (3, 0)
    # Of six: q0 alone. The rule has q0 right too, and none of the open ones.
    assert found["compat_judged_accuracy"] == pytest.approx(1 / 6)


def test_thoughts_are_no_answer_and_a_container_is_all_of_it():
    def shown(response: str) -> str:
        (row,) = evaluations.score([scripts.OPEN[0]], [response])
        return items.question(row, "strict").answer

    assert shown("<think>maybe heart</think>The lung") == "The lung"
    assert shown(r"It looks like \boxed{\text{lung}}, I think") == "lung"
    assert shown("<answer>lung</answer>") == "lung"
    assert shown("The answer is lung, left.") == "The answer is lung, left."
    assert shown("<think>never ends") == ""


@pytest.mark.parametrize("part", ["model", "seed", "style", "max_new_tokens"])
def test_another_judge_of_the_same_name_is_refused(tmp_path, part: str):
    out = scripts.evaluation(tmp_path / "e")
    run.run(JUDGE, out, scripts.Judge(scripts.fair))
    values = {"model": "other", "seed": 1, "style": "medevalkit", "max_new_tokens": 9}
    fields = {"name": "j", "model": "org/judge", "engine": "openai", part: values[part]}
    with pytest.raises(errors.UserError, match=rf"had {part} = .*another --name"):
        run.run(judges.Judge(**fields), out, scripts.Judge(scripts.fair))


@pytest.mark.parametrize(
    ("judge", "extent", "message"),
    [
        ({"style": "loose"}, {}, "--style must be one of strict, medevalkit, got 'loose'"),
        ({"name": "a/b"}, {}, "--name must be letters"),
        ({"name": "../x"}, {}, "--name must be letters"),
        ({"max_new_tokens": 0}, {}, "max_new_tokens must be >= 1"),
        ({}, {"share": 0.0}, "--share must be above 0 and at most 1, got 0.0"),
        ({}, {"share": 1.5}, "--share must be above 0"),
        ({}, {"calibrate": -1}, "--calibrate must be >= 0"),
        ({}, {"items": "some"}, "--items must be one of open, all"),
        ({"style": "medevalkit"}, {"items": "all"}, "--items=all needs --style=strict"),
        ({}, {"benchmarks": ("slake",)}, "--benchmarks=slake is not in the evaluation, .*pred"),
    ],
)
def test_wrong_settings_are_named_and_nothing_is_written(tmp_path, judge, extent, message):
    out = scripts.evaluation(tmp_path / "e")
    with pytest.raises(errors.UserError, match=message):
        run.run(
            judges.Judge(**({"model": "m"} | judge)),
            out,
            scripts.Judge(scripts.fair),
            extent=run.Extent(**extent),
        )
    assert not (out / judges.FOLDER).exists() and not (out / NAME / judges.REPLIES).exists()


def test_a_folder_without_anything_to_judge_says_so(tmp_path):
    out = scripts.evaluation(tmp_path / "e", evaluations.yes_no(2), ["yes", "no"])
    with pytest.raises(errors.UserError, match="no answers that a judge of --style=strict is"):
        run.run(JUDGE, out, scripts.Judge(scripts.fair))
    with pytest.raises(errors.UserError, match="is no finished evaluation"):
        run.run(JUDGE, tmp_path, scripts.Judge(scripts.fair))


def test_names_come_from_the_model_and_the_style():
    assert judges.Judge(model="/a/b/Qwen 2:7B/").title == "Qwen-2-7B"
    assert judges.Judge(model="gpt-4.1", style="medevalkit").title == "gpt-4.1-medevalkit"
    assert judges.Judge(model="x", name="mine").title == "mine"


def test_the_section_is_written_and_shown_and_escapes_what_models_say(tmp_path):
    samples = [scripts.open_question("o0", "<b>gold</b>"), *evaluations.choices("ABCD")]
    out = scripts.evaluation(tmp_path / "e", samples, ["<script>x</script>", *"ABCD"])
    run.run(JUDGE, out, scripts.Judge(scripts.fair), extent=run.Extent(calibrate=5))
    run.run(COMPAT, out, scripts.Judge(scripts.medevalkit("1")))
    content = sections.read(out)[section.NAME]
    assert content["remarks"][0] == section.BLIND
    assert content["settings"]["judges"]["j"]["model"] == "org/judge"
    page = (out / "report.html").read_text()
    assert section.TITLE in page and "strict-1" in page
    assert "<script>x" not in page
    template = pages.environment({"section.html": section.TEMPLATE}).get_template("section.html")
    shown = template.render(section=content, summary=folder.read_summary(out))
    for text in ("org/judge", "injected", "answer before standard answer", "Cohen&#39;s"):
        assert text in shown or text.replace("&#39;", "'") in shown


def test_every_table_of_the_section_can_be_empty():
    content = {
        "settings": {"judges": {}},
        **{"remarks": [], "benchmarks": {}, "agreement": [], "calibration": {}, "usage": {}},
    }
    template = pages.environment({"section.html": section.TEMPLATE}).get_template("section.html")
    assert "Two judges" not in template.render(section=content, summary={})


def test_replies_are_lines_that_any_tool_reads(tmp_path):
    out = scripts.evaluation(tmp_path / "e")
    run.run(JUDGE, out, scripts.Judge(scripts.fair))
    lines = judges.file(out, NAME, "j").read_text().splitlines()
    assert {json.loads(line)["row"] for line in lines} == {"o0", "o1", "q2"}
