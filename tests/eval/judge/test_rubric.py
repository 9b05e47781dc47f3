# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json
from typing import Any

import numpy as np
import pytest

from lingshu_jax.eval import benchmark, folder, runner
from lingshu_jax.eval.judge import judges, replies, rubric, run
from tests.eval import evaluations
from tests.eval.judge import scripts


def criteria(*points: int, words: str = "says") -> list[dict[str, Any]]:
    return [{"criterion": f"{words} {p}", "points": p, "tags": []} for p in points]


def conversation(row_id: str, *points: int, **changes: Any) -> benchmark.Sample:
    content = [{"type": "text", "text": f"I feel {row_id}"}]
    values: dict[str, Any] = {
        "strata": {"hard": "no", "consensus": "no", "theme": "hedging"},
        "fields": {"rubrics": criteria(*points)},
        "messages": ({"role": "user", "content": content},),
    }
    return benchmark.Sample(
        id=row_id,
        question=f"I feel {row_id}",
        gold="",
        answer_type="report",
        rule="rubric",
        scoring="rubric",
        **(values | changes),
    )


SAMPLES = [
    conversation("a/1", 7, 5, 10, -6),
    conversation("b 2", 4, strata={"hard": "yes", "theme": "hedging, context"}),
    conversation(
        "c", 2, 2, fields={"rubrics": criteria(2, 2), "consensus_rubrics": criteria(1, words="c")}
    ),
]
SAID = ["drink water", "rest", "see a doctor"]


def grade(samples, says) -> dict[str, str]:
    """The outcomes that a function of the criterion gives, without an evaluation."""
    rows = evaluations.score(samples, SAID)
    return {
        task.key: task.read(
            scripts.reply(
                task.prompt.text,
                "",
                criteria_met=says(scripts.blocks(task.prompt.text)["CRITERION"]),
            ),
            task.prompt.code,
        )
        for task in rubric.tasks(samples, rows)
    }


def test_one_call_a_criterion_shows_conversation_response_and_criterion():
    rows = evaluations.score(SAMPLES, SAID)
    asked = rubric.tasks(SAMPLES, rows)
    assert len(asked) == 4 + 1 + 2 + 1 and len({task.key for task in asked}) == 8
    assert scripts.blocks(asked[0].prompt.text) == {
        "CONVERSATION": "user: I feel a/1",
        "RESPONSE": "drink water",
        "CRITERION": "says 7",
    }


def test_the_official_vector(shared_dir):
    path = shared_dir / "evaldata/healthbench/calculate_score_vector.json"
    vector = json.loads(path.read_text())
    points, met = vector["points"], vector["criteria_met"]
    said = dict(zip([f"says {p}" for p in points], met, strict=True))
    samples = [conversation("x", *points)]
    score = rubric.score(samples[0], grade([*samples, *SAMPLES[1:]], lambda c: said.get(c, True)))
    assert score == pytest.approx(vector["expected"])


def test_points_add_up_and_a_set_is_clipped():
    # 7 + 10 - 6 of 22; all of 4; none of 4; consensus met.
    said = grade(SAMPLES, lambda c: c in ("says 7", "says 10", "says -6", "says 4", "c 1"))
    assert rubric.score(SAMPLES[0], said) == pytest.approx(11 / 22)
    found = rubric.summarise(SAMPLES, said)
    assert list(found) == ["all", "hard", "consensus", "theme: context", "theme: hedging"]
    assert found["all"]["score"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert found["hard"]["score"] == found["theme: context"]["score"] == 1
    assert found["consensus"] == {
        **{"n": 1, "scored": 1, "score": 1.0, "std": 0.0, "criteria": 1, "failed": 0}
    }
    assert found["theme: hedging"]["n"] == 3
    worst = grade([conversation("z", 1, -9), *SAMPLES[1:]], lambda c: c == "says -9")
    assert rubric.score(conversation("z", 1, -9), worst) == -9
    assert rubric.summarise([conversation("z", 1, -9)], worst)["all"]["score"] == 0


def test_an_answer_with_a_criterion_without_verdict_has_no_score_and_is_counted():
    said = grade(SAMPLES, lambda c: "unsure" if c == "says 5" else True)
    assert rubric.score(SAMPLES[0], said) == "failed"
    found = rubric.summarise(SAMPLES, said)["all"]
    assert (found["n"], found["scored"], found["failed"], found["criteria"]) == (3, 2, 1, 7)
    assert found["score"] == 1


def test_an_answer_that_was_not_asked_about_has_no_score_and_is_not_counted():
    said = {k: v for k, v in grade(SAMPLES, lambda c: True).items() if k != "all/2/a/1"}
    assert rubric.score(SAMPLES[0], said) is None
    assert rubric.summarise(SAMPLES, said)["all"]["n"] == 2


def test_the_bootstrap_is_of_clipped_means_and_seeded():
    scores = np.random.default_rng(1).normal(0.5, 0.2, 400).tolist()
    found = rubric.bootstrap_std(scores)
    assert found == rubric.bootstrap_std(scores) != rubric.bootstrap_std(scores, seed=1)
    assert found == pytest.approx(0.2 / 20, rel=0.15)
    assert rubric.bootstrap_std([-3.0, -2.0, -1.0]) == 0  # all means are clipped to 0


def test_a_file_of_answers_with_criteria_is_graded_and_goes_into_rows_and_page(tmp_path):
    rows = [
        {
            "prompt_id": sample.id,
            "prompt": [{"role": "user", "content": sample.question}],
            "rubrics": sample.fields["rubrics"],
            "response": said,
        }
        for sample, said in zip(SAMPLES, SAID, strict=True)
    ]
    path, out = tmp_path / "answers.json", tmp_path / "e"
    path.write_text(json.dumps(rows))
    settings = runner.Settings(model="m", benchmarks="healthbench", predictions=str(path))
    runner.score_predictions(settings, out)

    def says(prompt: str) -> str:
        met = scripts.blocks(prompt)["CRITERION"] != "says -6"
        return scripts.reply(prompt, "", criteria_met=met)

    engine = scripts.Judge(says)
    content = run.run(judges.Judge(name="j", model="m"), out, engine)
    assert len(engine.prompts) == 6  # two criteria of c are the same
    numbers = content["benchmarks"]["healthbench"]["judges"]["j"]["rubric"]
    assert numbers["all"]["score"] == 1 and numbers["all"]["n"] == 3
    assert [row["judge"]["j"] for row in folder.read_samples(out / "healthbench")] == [1.0] * 3
    assert "HealthBench" in (out / "report.html").read_text()
    kept = replies.read(judges.file(out, "healthbench", "j"))
    assert sorted(kept)[0].startswith("all/0/") and len(kept) == 7
