# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, catalog, files
from lingshu_jax.eval.benchmarks import healthbench
from tests.eval.benchmarks import fixtures


def rubric(criterion, points, level="example"):
    tags = [f"level:{level}", "axis:accuracy"]
    return {"criterion": criterion, "points": points, "tags": tags}


def row(number, turns, rubrics):
    roles = ("user", "assistant")
    return {
        "example_tags": ["theme:context_seeking", "physician_agreed_category:enough-context"],
        "ideal_completions_data": None if number else {"ideal_completion": "See a doctor."},
        "prompt": [{"content": text, "role": roles[i % 2]} for i, text in enumerate(turns)],
        "prompt_id": f"0000000{number}-aaaa",
        "rubrics": rubrics,
        "canary": "healthbench:0",
    }


OWN = [rubric("Names the red flags", 7), rubric("Sounds certain", -6)]
AGREED = [rubric("Asks for context", 5, level="cluster")]
# The publisher's fields; criteria to be avoided have negative points.
ROWS = [
    row(0, ["I have a headache."], OWN + AGREED),
    row(1, ["Hello", "Hello, how can I help?", "Is aspirin safe?"], OWN),
    row(2, ["Ist das ein Herzinfarkt?"], OWN + AGREED),
    row(3, ["Write a referral."], OWN),
    row(4, ["Thanks"], [rubric("Is brief", 3)]),
]
HARD = [ROWS[1], ROWS[2]]
CONSENSUS = [ROWS[0] | {"rubrics": AGREED}, ROWS[2] | {"rubrics": AGREED}]


def write(folder, rows=None, hard=None, consensus=None):
    fixtures.write_jsonl(folder / healthbench.FILE, rows or ROWS)
    fixtures.write_jsonl(folder / healthbench.SUBSETS["hard"], hard or HARD)
    fixtures.write_jsonl(folder / healthbench.SUBSETS["consensus"], consensus or CONSENSUS)


@pytest.fixture
def data_dir(tmp_path):
    write(tmp_path / "healthbench")
    return tmp_path


def load(folder):
    return catalog.load(healthbench.HealthBench(), folder)


def test_a_conversation_is_asked_turn_by_turn(data_dir):
    sample = load(data_dir)[1]
    assert [(m["role"], m["content"]) for m in sample.messages] == [
        ("user", [{"type": "text", "text": "Hello"}]),
        ("assistant", [{"type": "text", "text": "Hello, how can I help?"}]),
        ("user", [{"type": "text", "text": "Is aspirin safe?"}]),
    ]
    assert sample.question == "Is aspirin safe?"


def test_a_conversation_of_a_subset_is_asked_once(data_dir):
    samples = load(data_dir)
    assert [sample.id for sample in samples] == [row["prompt_id"] for row in ROWS]
    found = [(sample.strata["hard"], sample.strata["consensus"]) for sample in samples]
    assert found == [("no", "yes"), ("yes", "no"), ("yes", "yes"), ("no", "no"), ("no", "no")]
    assert samples[0].strata["theme"] == "context_seeking"


def test_both_lists_of_criteria_are_kept(data_dir):
    first, second, *_ = load(data_dir)
    assert first.fields["rubrics"] == OWN + AGREED
    assert first.fields["consensus_rubrics"] == AGREED
    assert second.fields["rubrics"] == OWN
    assert "consensus_rubrics" not in second.fields


def test_an_answer_has_no_verdict(data_dir):
    scored = benchmark.score(load(data_dir)[0], benchmark.Answer("Rest.", "stop"))
    assert scored["scoring"] == "rubric"
    assert scored["compat"]["correct"] is scored["strict"]["correct"] is None


def test_other_counts_than_published_are_told(data_dir):
    told = files.remarks(healthbench.CARD, load(data_dir))
    assert told == ["healthbench has 5 rows here, 5000 as published"]


def test_the_score_of_an_answer_is_the_publishers(shared_dir):
    path = shared_dir / "evaldata/healthbench/calculate_score_vector.json"
    vector = json.loads(path.read_text())
    points, met = vector["points"], vector["criteria_met"]
    assert healthbench.example_score(points, met) == vector["expected"]
    assert healthbench.example_score(points, [not is_met for is_met in met]) != vector["expected"]


@pytest.mark.parametrize(
    ("points", "met", "score"),
    [
        ([7, 5, 10, -6], [True, False, True, True], 0.5),
        ([7, 5, 10, -6], [True, True, True, False], 1.0),
        ([5, -10], [False, True], -2.0),
        ([-5, -10], [True, False], None),
        ([], [], None),
        ([2.5, 2.5], [True, False], 0.5),
    ],
)
def test_the_score_is_points_met_over_positive_points(points, met, score):
    assert healthbench.example_score(points, met) == score


def test_a_missing_grade_is_no_score():
    with pytest.raises(ValueError, match="shorter"):
        healthbench.example_score([7, 5], [True])


@pytest.mark.parametrize(
    ("scores", "score"),
    [
        ([0.5, 1.0], 0.75),
        ([-2.0, 1.0], 0.0),  # answers are not clipped, their mean is
        ([0.5, None], 0.5),
        ([-0.5, 1.0], 0.25),
        ([None], None),
        ([], None),
    ],
)
def test_the_score_of_a_set_is_the_clipped_mean(scores, score):
    assert healthbench.corpus_score(scores) == score


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prompt": []}, "the last turn must be the user's, found none"),
        (
            {"prompt": [*ROWS[1]["prompt"][:2]]},
            "the last turn must be the user's, found assistant",
        ),
        ({"prompt": [{"role": "tool", "content": "x"}]}, "list of turns with role .*'tool'"),
        ({"prompt": "I have a headache."}, "prompt must be a list of turns"),
        ({"rubrics": []}, "rubrics must be a list of criterion, points and tags"),
        ({"rubrics": [{"criterion": "x", "tags": []}]}, "rubrics must be a list of criterion"),
    ],
)
def test_a_row_of_another_form_is_named(tmp_path, change, told):
    write(tmp_path, rows=[*ROWS[:3], ROWS[3] | change])
    with pytest.raises(errors.UserError, match=f"00000003-aaaa.*{told}"):
        load(tmp_path)


def test_a_subset_that_is_none_is_refused(tmp_path):
    write(tmp_path, rows=ROWS[:2])
    with pytest.raises(errors.UserError, match="found 1 others, the first 00000002-aaaa"):
        load(tmp_path)


def test_a_conversation_that_occurs_twice_is_refused(tmp_path):
    write(tmp_path, rows=[*ROWS, ROWS[0]])
    with pytest.raises(errors.UserError, match="00000000-aaaa occurs more than once"):
        load(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    lacking = {name: value for name, value in ROWS[0].items() if name != "rubrics"}
    write(tmp_path, hard=[lacking])
    with pytest.raises(errors.UserError, match="hard_.* row 0 needs .*'rubrics'.*, found"):
        load(tmp_path)


def test_a_missing_subset_is_named(data_dir):
    (data_dir / "healthbench" / healthbench.SUBSETS["consensus"]).unlink()
    with pytest.raises(errors.UserError, match=r"must hold one consensus_2025.*found nothing"):
        load(data_dir)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match="hf download .* openai/healthbench --revision 40ee"):
        load(tmp_path)
