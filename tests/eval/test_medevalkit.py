# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import csv
import dataclasses
import gzip
import json
import pathlib
from typing import Any

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, medevalkit, predictions
from lingshu_jax.eval import card as card_lib

FORK = "evaldata/medevalkit_fork_saitejalekkala33"
MMMU_VAL = "MMMU-Medical-val"
CHOICES = ["A. cat", "B. dog"]
OMNI = {"question": "q", "choices": CHOICES, "answer": "A"}
MMMU = {"question_type": "multiple-choice", "all_choices": ["A", "B"], "answer": "B"}
MMMU |= {"index2ans": {"A": "cat", "B": "dog"}}
ROWS: dict[str, list[dict[str, Any]]] = {
    "VQA_RAD": [
        {"question": "q", "answer": "yes", "response": "Yes, it is"},
        {"question": "q", "answer": "No", "response": "unknown"},
        {"question": "q", "answer": "left lung", "response": "the left"},
        {"question": "q", "answer": "liver", "response": "Liver"},
    ],
    "SLAKE": [
        {"lang": "en", "answer_type": "CLOSED", "answer": "Yes", "question": "q", "prompt": "p"},
        {"lang": "zh", "answer_type": "OPEN", "answer": "肝", "question": "q", "prompt": "p"},
    ],
    "PMC_VQA": [{"prompt": "q", "answer": "A", "choices": [" A:cat ", " B:dog "]}],
    "OmniMedVQA": [
        {"question_type": "Modality", "modality_type": "MRI", **OMNI, "response": "A"},
        {"question_type": "Anatomy", "modality_type": "CT", **OMNI, "response": "dog"},
        {"question_type": "Modality", "modality_type": "CT", **OMNI, "response": "B"},
    ],
    "MedXpertQA-MM": [
        {"question_type": "Reasoning", "medical_task": "Treatment", **OMNI, "response": "A"},
        {"question_type": "Understanding", "medical_task": "Treatment", **OMNI, "response": "B"},
    ],
    "SuperGPQA": [
        {"field": "Surgery", "difficulty": "hard", **OMNI, "response": "A"},
        {"field": "Pharmacy", "difficulty": "hard", **OMNI, "response": "B"},
    ],
    "Radrestruct": [
        {"answer_type": "single_choice", "question": "q", "choices": ["yes", "no"], "answer": "no"},
        {"answer_type": "single_choice", "question": "q", "choices": ["a", "b"], "answer": "b"},
        {"answer_type": "multi_choice", "question": "q", "choices": ["a", "b"], "answer": "b"},
        {"answer_type": "fixed_choice", "question": "q", "choices": ["rib"], "answer": "rib"},
    ],
    "IU_XRAY": [
        {"findings": "Clear.", "impression": "", "response": 'Findings: "Clear",\nImpression: .'},
        {"findings": "A.", "impression": "B.", "response": ""},
    ],
    "HealthBench": [{"prompt": [{"role": "user", "content": "q"}], "rubrics": []}],
    MMMU_VAL: [
        {"id": "validation_Pharmacy_1", **MMMU, "response": "<answer>(B)</answer>"},
        {"id": "validation_Public_Health_1", **MMMU, "response": "\\boxed{A}"},
        {"id": "validation_Pharmacy_2", "question_type": "open", "answer": "10"},
    ],
}


def evaluated(
    name: str, answered: list[predictions.Answered]
) -> dict[str, tuple[card_lib.Card, list[benchmark.Sample], list[dict[str, Any]]]]:
    samples = [item.sample for item in answered]
    rows = list(benchmark.score_all(samples, [item.answer for item in answered]))
    return {name: (card_lib.Card(name="x", title="x", upstream=name, family="text"), samples, rows)}


def write(folder: pathlib.Path, name: str) -> pathlib.Path:
    """The layout of the rows above; returns the set's folder."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps([{"response": "it is 10", **row} for row in ROWS[name]]))
    medevalkit.write(folder, evaluated(name, predictions.read(path)))
    return folder / "medevalkit" / name


def read(path: pathlib.Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def files_of(folder: pathlib.Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ROWS)
def test_what_is_written_gets_the_same_verdicts_when_read(tmp_path, name):
    path = tmp_path / "given.json"
    path.write_text(json.dumps([{"response": "it is 10", **row} for row in ROWS[name]]))
    first = evaluated(name, predictions.read(path))[name][2]
    again = evaluated(name, predictions.read(write(tmp_path, name)))[name][2]
    by_id = {row["id"]: row["compat"] for row in again}
    assert by_id == {row["id"]: row["compat"] for row in first}
    if name != MMMU_VAL:  # a file a subject, so the order is another
        assert [row["response"] for row in again] == [row["response"] for row in first]


@pytest.mark.parametrize("name", [n for n in ROWS if n[:4] not in ("MMMU", "IU_X", "Heal")])
def test_a_row_keeps_its_fields_in_order_before_answer_and_verdict(tmp_path, name):
    for given, kept in zip(ROWS[name], read(write(tmp_path, name) / "results.json"), strict=True):
        fields = [field for field in given if field != "response"]
        assert list(kept) in (
            [*fields, "response", "correct"],
            [*fields, "response", "correct", "metrics"],
        )
        assert {field: kept[field] for field in fields} == {f: given[f] for f in fields}


def test_open_answers_carry_their_metrics(tmp_path):
    rows = read(write(tmp_path, "VQA_RAD") / "results.json")
    assert [row["correct"] for row in rows] == [True, True, False, True]  # "no" is in "unknown"
    assert ["metrics" in row for row in rows] == [False, False, True, True]
    assert list(rows[2]["metrics"]) == [
        *("em", "bleu1", "bleu2", "bleu3", "bleu4", "rouge1", "rouge2", "rougel"),
        *("precision", "recall", "f1"),
    ]
    assert rows[2]["metrics"]["precision"] == rows[2]["metrics"]["recall"] == 0.5


def test_tables_have_medevalkits_names_and_order(tmp_path):
    table = read(write(tmp_path, "OmniMedVQA") / "metrics.json")
    assert table == {
        "total metrics": {"total": 3, "right": 1, "acc": 1 / 3},
        "question type metrics": {
            "Modality": {"total": 2, "right": 1, "acc": 0.5},
            "Anatomy": {"total": 1, "right": 0, "acc": 0.0},
        },
        "modality type metrics": {
            "MRI": {"total": 1, "right": 1, "acc": 1.0},
            "CT": {"total": 2, "right": 0, "acc": 0.0},
        },
    }
    assert [*table] == ["total metrics", "question type metrics", "modality type metrics"]
    assert [*table["question type metrics"]] == ["Modality", "Anatomy"]
    assert [*table["total metrics"]] == ["total", "right", "acc"]


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("MedXpertQA-MM", {"question type metrics": 2, "task type metrics": 1}),
        ("SuperGPQA", {"field": 2, "difficulty": 1}),
        ("Radrestruct", {"single_choice": 3, "multiple_choice": 3}),
        ("VQA_RAD", {"open": 14, "close": 3}),
        ("PMC_VQA", {}),
    ],
)
def test_each_set_has_its_own_tables(tmp_path, name, tables):
    table = read(write(tmp_path, name) / "metrics.json")
    assert {title: len(part) for title, part in table.items()} == {"total metrics": 3, **tables}


def test_field_and_difficulty_are_not_swapped(tmp_path):
    table = read(write(tmp_path, "SuperGPQA") / "metrics.json")
    assert ([*table["field"]], [*table["difficulty"]]) == (["Surgery", "Pharmacy"], ["hard"])


def test_reports_are_tables_of_study_and_report(tmp_path):
    folder = write(tmp_path, "IU_XRAY")
    assert files_of(folder) == {
        *("results.json", "metrics.json", "predictions.csv", "ground_truth.csv"),
    }
    assert (folder / "predictions.csv").read_text() == (
        'study_id,report\nstudy_1,"Findings: ""Clear"",\nImpression: ."\nstudy_2,\n'
    )
    with (folder / "ground_truth.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"study_id": "study_1", "report": "Findings: Clear. Impression: ."},
            {"study_id": "study_2", "report": "Findings: A. Impression: B.."},
        ]
    assert isinstance(read(folder / "metrics.json")["total metrics"], str)
    assert "correct" not in read(folder / "results.json")[0]
    answered = predictions.read(folder / "predictions.csv")
    assert [item.answer.response for item in answered] == [r["response"] for r in ROWS["IU_XRAY"]]


def test_answers_that_only_a_judge_scores_have_no_metrics(tmp_path):
    folder = write(tmp_path, "HealthBench")
    assert files_of(folder) == {"results.json"}
    assert [*read(folder / "results.json")[0]] == ["prompt", "rubrics", "response"]
    assert read(folder.parent / "total_results.json") == {}


def test_mmmu_has_files_by_subject(tmp_path):
    folder = write(tmp_path, MMMU_VAL)
    names = ("output_sample.json", "parsed_output.json", "result.json")
    subjects = ("Pharmacy", "Public_Health")
    assert files_of(folder) == {"result.json", *(f"{s}/{n}" for s in subjects for n in names)}
    first, second = read(folder / "Pharmacy" / "parsed_output.json")
    assert first == {
        **{"id": "validation_Pharmacy_1", **MMMU},
        **{"response": "(B)", "parsed_pred": "B", "judge": "Correct"},
    }
    assert (second["response"], second["judge"]) == ("it is 10", "Correct")
    assert "judge" not in read(folder / "Pharmacy" / "output_sample.json")[0]
    total = {
        "total": {"total": 3, "right": 2, "acc": 2 / 3},
        "Pharmacy": {"acc": 1.0, "right": 2, "total": 2, "num_example": 2},
        "Public_Health": {"acc": 0.0, "right": 0, "total": 1, "num_example": 1},
    }
    assert read(folder / "result.json") == total
    assert read(folder.parent / "total_results.json") == {MMMU_VAL: total}
    assert read(folder / "Public_Health" / "result.json") == total["Public_Health"]


def test_mmmus_test_split_is_two_mappings_of_ids(tmp_path):
    given = [{**row, "id": row["id"].replace("validation", "test")} for row in ROWS[MMMU_VAL]]
    path = tmp_path / "given.json"
    path.write_text(json.dumps([{"response": "it is 10", **row} for row in given]))
    medevalkit.write(tmp_path, evaluated("MMMU-Medical-test", predictions.read(path)))
    folder = tmp_path / "medevalkit" / "MMMU-Medical-test"
    assert files_of(folder) == {"results.json", "response.json"}
    assert read(folder / "results.json") == {
        "test_Pharmacy_1": "B",
        "test_Public_Health_1": "A",
        "test_Pharmacy_2": [10.0],
    }
    assert read(folder / "response.json")["test_Public_Health_1"] == "A"
    assert read(folder.parent / "total_results.json")["MMMU-Medical-test"]["total"]["right"] == 2


def test_samples_without_publisher_fields_are_written_all_the_same(tmp_path):
    for name in ("SLAKE", "OmniMedVQA", MMMU_VAL):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps([{"response": "B", **row} for row in ROWS[name]]))
        (card, samples, rows) = evaluated(name, predictions.read(path))[name]
        bare = [dataclasses.replace(sample, fields={}) for sample in samples]
        medevalkit.write(tmp_path / name, {name: (card, bare, rows)})
        folder = tmp_path / name / "medevalkit" / name
        again = evaluated(name, predictions.read(folder))[name][2]
        verdicts = {row["id"]: row["compat"] for row in rows}
        assert {row["id"]: row["compat"] for row in again} == verdicts
        if name == "OmniMedVQA":
            assert len(read(folder / "metrics.json")["modality type metrics"]) == 2


def test_sets_come_together_and_an_earlier_layout_goes(tmp_path):
    found = {}
    for name in ("PMC_VQA", "SuperGPQA"):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps([{"response": "A", **row} for row in ROWS[name]]))
        found |= evaluated(name, predictions.read(path))
    (tmp_path / "medevalkit" / "OLD").mkdir(parents=True)
    medevalkit.write(tmp_path, found)
    totals = read(tmp_path / "medevalkit" / "total_results.json")
    assert [*totals] == ["PMC_VQA", "SuperGPQA"]
    assert totals["SuperGPQA"] == read(tmp_path / "medevalkit" / "SuperGPQA" / "metrics.json")
    assert sorted(entry.name for entry in (tmp_path / "medevalkit").iterdir()) == [
        *("PMC_VQA", "SuperGPQA", "total_results.json"),
    ]


def test_a_layout_is_whole_or_not_there(tmp_path):
    write(tmp_path, "PMC_VQA")
    before = files_of(tmp_path)
    found = evaluated("SLAKE", predictions.read(tmp_path / "medevalkit" / "PMC_VQA"))
    card, samples, rows = found["SLAKE"]
    broken = [dataclasses.replace(samples[0], fields={"answer": object()})]
    with pytest.raises(TypeError, match="not JSON serializable"):
        medevalkit.write(tmp_path, {"SLAKE": (card, broken, rows)})
    assert files_of(tmp_path) == before


def test_a_real_medqa_run_is_written_byte_for_byte(tmp_path, shared_dir):
    name = "textonly-medqa-usmle_MedQA-USMLE"
    source = shared_dir / FORK / f"{name}_results.json.gz"
    medevalkit.write(tmp_path, evaluated("MedQA_USMLE", predictions.read(source)))
    folder = tmp_path / "medevalkit" / "MedQA_USMLE"
    assert (folder / "results.json").read_bytes() == gzip.decompress(source.read_bytes())
    published = (shared_dir / FORK / f"{name}_metrics.json").read_bytes()
    assert (folder / "metrics.json").read_bytes() == published


def test_a_real_vqa_rad_run_differs_in_what_is_put_right_alone(tmp_path, shared_dir):
    name = "vqa-rad_VQA-RAD"
    source = shared_dir / FORK / f"{name}_results.json"
    medevalkit.write(tmp_path, evaluated("VQA_RAD", predictions.read(source)))
    folder = tmp_path / "medevalkit" / "VQA_RAD"
    ours, theirs = read(folder / "metrics.json"), read(shared_dir / FORK / f"{name}_metrics.json")
    assert [[*ours], [*ours["open"]]] == [[*theirs], [*theirs["open"]]]
    different = {
        (table, key)
        for table in ours
        for key in ours[table]
        if ours[table][key] != theirs[table][key]
    }
    assert different == {("open", key) for key in ("precision", "recall", "f1", "acc")}
    stored = {"precision": "recall", "recall": "f1", "f1": "precision"}  # where each one stands
    assert all(ours["open"][key] == theirs["open"][name] for key, name in stored.items())
    assert ours["open"]["acc"] == pytest.approx(theirs["open"]["acc"] * 200, rel=1e-12)
    assert medevalkit.read_metrics(shared_dir / FORK / f"{name}_metrics.json") == ours
    assert medevalkit.read_metrics(folder / "metrics.json") == ours
    rows = read(source)
    for row in rows:
        given = row.get("metrics", {})
        row.get("metrics", {}).update({key: given[name] for key, name in stored.items() if given})
    assert read(folder / "results.json") == rows


OPEN = {"total": 4, "right": 2, "acc": 0.125, "precision": 0.3, "recall": 0.4, "f1": 0.5, "em": 0.5}
RIGHT = {**OPEN, "acc": 0.5, "precision": 0.4, "recall": 0.5, "f1": 0.3}


ONE = {"total": 1, "right": 1, "acc": 1.0}


@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        (OPEN, RIGHT),
        (RIGHT, RIGHT),
        ({**OPEN, "right": 0, "acc": 0.0}, {**RIGHT, "right": 0, "acc": 0.0}),
        (
            {**OPEN, "total": 1, "right": 1, "acc": 1.0},
            {**RIGHT, "total": 1, "right": 1, "acc": 1.0},
        ),
        ({**OPEN, "total": 0, "right": 0, "acc": 0}, {**OPEN, "total": 0, "right": 0, "acc": 0}),
    ],
)
def test_open_numbers_are_put_under_their_own_names(tmp_path, opened, expected):
    table = {"total metrics": {"total": 4, "right": 2, "acc": 0.5}, "open": opened}
    (tmp_path / "metrics.json").write_text(json.dumps(table))
    (tmp_path / "total.json").write_text(json.dumps({"VQA_RAD": table}))
    assert medevalkit.read_metrics(tmp_path / "metrics.json")["open"] == expected
    assert medevalkit.read_metrics(tmp_path / "total.json")["VQA_RAD"]["open"] == expected


def test_who_knows_that_numbers_are_right_says_so(tmp_path):
    none_right = {**OPEN, "right": 0, "acc": 0.0}
    (tmp_path / "m.json").write_text(json.dumps({"total metrics": {}, "open": none_right}))
    assert medevalkit.read_metrics(tmp_path / "m.json", repaired=True)["open"] == none_right
    assert medevalkit.read_metrics(tmp_path / "m.json")["open"]["f1"] == none_right["precision"]


@pytest.mark.parametrize("is_swapped", [True, False])
def test_field_and_difficulty_are_put_under_their_own_names(tmp_path, is_swapped):
    field, difficulty = {"Surgery": {"total": 2}}, {"hard": {"total": 1}, "easy": {"total": 1}}
    stored = (difficulty, field) if is_swapped else (field, difficulty)
    table = {"total metrics": {}, "field": stored[0], "difficulty": stored[1]}
    (tmp_path / "metrics.json").write_text(json.dumps(table))
    found = medevalkit.read_metrics(tmp_path / "metrics.json")
    assert (found["field"], found["difficulty"]) == (field, difficulty)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "does not read as JSON"),
        ("[]", "must hold MedEvalKit's metrics"),
        ("{}", "must hold MedEvalKit's metrics"),
        ('{"VQA_RAD": 3}', "VQA_RAD: must be an object, got 3"),
        ('{"total metrics": {}, "open": {"total": 1}}', "open must have numbers total, right, acc"),
        (
            json.dumps({"VQA_RAD": {"total metrics": {}, "open": {**OPEN, "acc": 0.3}}}),
            r"VQA_RAD: accuracy of open answers is 0\.3, not 0\.5 or 0\.125",
        ),
    ],
)
def test_unusable_metrics_are_one_clear_error(tmp_path, text, message):
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(errors.UserError, match=message):
        medevalkit.read_metrics(path)


def test_a_missing_metrics_file_is_named(tmp_path):
    with pytest.raises(errors.UserError, match=r"none\.json does not read"):
        medevalkit.read_metrics(tmp_path / "none.json")
