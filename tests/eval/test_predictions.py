# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import gzip
import json
import pathlib
from typing import Any

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, predictions

KIT_ROWS = [
    {"question": "q", "answer": "yes", "response": "Yes", "correct": True},
    {"prompt": "q", "answer": "B", "choices": ["A. cat", "B. dog"], "response": "B"},
    {"question": "q", "answer": "Lung", "answer_type": "OPEN", "lang": "en", "response": None},
    {"question": "q", "answer": "是", "answer_type": "CLOSED", "lang": "zh", "response": "是"},
]
CHOICES = ["A. cat", "B. dog"]
MMMU_ROW = {
    "id": "validation_Pharmacy_3",
    "question_type": "multiple-choice",
    "answer": "B",
    "all_choices": ["A", "B"],
    "index2ans": {"A": "cat", "B": "dog"},
    "response": "(B)",
    "parsed_pred": "B",
    "judge": "Correct",
}
# A row of each set, and what is to be read out of it: rule, answer type, options, strata.
SETS: dict[str, tuple[dict[str, Any], tuple[str, str, tuple[str, ...]], dict[str, str]]] = {
    "VQA_RAD": ({"question": "q", "answer": "No"}, ("vqa", "yes_no", ()), {}),
    "PATH_VQA": ({"question": "q", "answer": "the liver"}, ("vqa", "open", ()), {}),
    "SLAKE": (
        {"lang": "en", "answer_type": "CLOSED", "answer": "Yes", "question": "q", "prompt": "p"},
        ("slake", "yes_no", ()),
        {"language": "en", "answer_type": "CLOSED"},
    ),
    "PMC_VQA": (
        {"prompt": "q", "answer": "A", "choices": [" A:cat ", "B: dog"]},
        ("choice_untagged", "choice", ("cat", "dog")),
        {},
    ),
    "OmniMedVQA": (
        {
            **{"question_id": "x_1", "question": "q", "question_type": "Modality Recognition"},
            **{"modality_type": "MRI", "choices": CHOICES, "answer": "A"},
        },
        ("choice", "choice", ("cat", "dog")),
        {"question_type": "Modality Recognition", "modality": "MRI"},
    ),
    "OmniMedVQA without a gold letter": (
        {"question": "q", "choices": CHOICES, "answer": "a horse"},
        ("choice", "open", ("cat", "dog")),
        {},
    ),
    "MedXpertQA-MM": (
        {
            **{"id": "MM-1", "question": "q", "medical_task": "Diagnosis", "body_system": "Skin"},
            **{"question_type": "Reasoning", "choices": CHOICES, "answer": "B"},
        },
        ("choice", "choice", ("cat", "dog")),
        {"question_type": "Reasoning", "medical_task": "Diagnosis", "body_system": "Skin"},
    ),
    "MedFrameQA": (
        {"question_id": "f", "video_id": "v", "question": "q", "choices": CHOICES, "answer": "B"},
        ("choice_untagged", "choice", ("cat", "dog")),
        {},
    ),
    "Radrestruct yes and no": (
        {"answer_type": "single_choice", "question": "q", "choices": ["yes", "no"], "answer": "no"},
        ("radrestruct", "yes_no", ()),
        {"answer_type": "single_choice"},
    ),
    "Radrestruct options": (
        {
            "answer_type": "multi_choice",
            "question": "q",
            "choices": ["a", "dog"],
            "answer": "dog",
        },
        ("radrestruct", "choice", ("a", "dog")),
        {"answer_type": "multi_choice"},
    ),
    "Radrestruct asked as yes and no": (
        {"answer_type": "single_choice", "question": "q", "choices": ["a", "b"], "answer": "b"},
        ("radrestruct", "choice", ("a", "b")),
        {"answer_type": "single_choice"},
    ),
    "Radrestruct one option": (
        {"answer_type": "fixed_choice", "question": "q", "choices": ["ribs"], "answer": "ribs"},
        ("radrestruct", "open", ()),
        {"answer_type": "fixed_choice"},
    ),
    "IU_XRAY": (
        {"image": ["a.png"], "findings": "Clear.", "impression": ""},
        ("report", "report", ()),
        {},
    ),
    "SuperGPQA": (
        {
            **{"uuid": "u", "question": "q", "field": "Clinical Medicine", "difficulty": "hard"},
            **{"options": ["cat", "dog"], "choices": ["A.cat", "B.dog"], "answer": "A"},
        },
        ("choice", "choice", ("cat", "dog")),
        {"field": "Clinical Medicine", "difficulty": "hard"},
    ),
    "PubMedQA": (
        {"Question": "q", "choices": ["A.yes", "B.no", "C.maybe"], "answer": "C"},
        ("choice", "choice", ("yes", "no", "maybe")),
        {},
    ),
    "CMExam, several letters": (
        {"prompt": "p", "question": "q", "answer": "AB", "choices": ["A.猫", "B.狗", "C.马"]},
        ("choice", "choices", ("猫", "狗", "马")),
        {},
    ),
    "MedQA_MCMLE": (
        {"prompt": "q", "answer": "B", "choices": ["猫", "狗"]},
        ("choice", "choice", ("猫", "狗")),
        {},
    ),
    "HealthBench": (
        {
            "prompt": [{"role": "user", "content": "q"}],
            "rubrics": [{"criterion": "c", "points": 5, "tags": []}],
            "dataset_type": "hard",
        },
        ("rubric", "report", ()),
        {"dataset_type": "hard"},
    ),
    "MMMU-Medical-val": (
        MMMU_ROW,
        ("mmmu", "choice", ("cat", "dog")),
        {"question_type": "multiple-choice", "subject": "Pharmacy"},
    ),
    "MMMU-Medical-val, open": (
        {"id": "validation_Pharmacy_4", "question_type": "open", "answer": "10"},
        ("mmmu", "number", ()),
        {"question_type": "open", "subject": "Pharmacy"},
    ),
}


SAID = ("B", "dog", "yes", "it is 10", "ribs", "", "猫")


def write(path: pathlib.Path, rows: Any) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def score(answered: list[predictions.Answered]) -> list[dict[str, Any]]:
    rows = benchmark.score_all([a.sample for a in answered], [a.answer for a in answered])
    return list(rows)


@pytest.mark.parametrize("form", ["list", "lines", "gzip", "odd-name"])
def test_kit_rows_in_any_file(tmp_path, form):
    text = json.dumps(KIT_ROWS, indent=1)
    if form == "lines":
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in KIT_ROWS)
    path = tmp_path / {"odd-name": "preds.txt", "lines": "rows.json"}.get(form, "results.json")
    raw = text.encode("utf-8-sig" if form == "odd-name" else "utf-8")
    path.write_bytes(gzip.compress(raw) if form == "gzip" else raw)
    samples = [item.sample for item in predictions.read(path)]
    assert [s.id for s in samples] == ["0", "1", "2", "3"]
    assert [s.answer_type for s in samples] == ["yes_no", "choice", "open", "yes_no"]
    assert [s.rule for s in samples] == ["vqa", "choice", "slake", "slake"]
    assert samples[1].options == ("cat", "dog")
    assert samples[1].choices == ("A. cat", "B. dog")
    assert samples[2].is_open


@pytest.mark.parametrize("name", SETS)
def test_a_row_of_each_set_says_how_it_is_scored(tmp_path, name):
    row, (rule, answer_type, options), strata = SETS[name]
    path = write(tmp_path / "anything.json", [{**row, "response": "B", "correct": True}])
    ((sample, answer),) = predictions.read(path)
    assert (sample.rule, sample.answer_type, sample.options) == (rule, answer_type, options)
    assert (sample.strata, answer.response) == (strata, "B")
    kept = [name for name in row if name not in ("response", "parsed_pred", "judge")]
    assert list(sample.fields) == kept
    ((told, _),) = predictions.read(path, rule)
    assert told == sample
    assert score([predictions.Answered(sample, answer)])


def test_a_report_has_both_sections_as_its_gold(tmp_path):
    row = {"findings": "Clear.", "impression": "", "response": "Findings: Clear."}
    ((sample, _),) = predictions.read(write(tmp_path / "r.json", [row]))
    assert (sample.gold, sample.scoring) == ("Findings: Clear. Impression: .", "report")


@pytest.mark.parametrize(
    ("rows", "ids"),
    [
        ([{"id": "a"}, {"id": "b"}], ["a", "b"]),
        ([{"question_id": 7}, {"question_id": 8}], ["7", "8"]),
        ([{"id": "a"}, {"id": "a"}], ["0", "1"]),
        ([{"id": "a", "uuid": "u"}, {"id": "a", "uuid": "v"}], ["u", "v"]),
        ([{"id": "a"}, {}], ["0", "1"]),
        ([{"findings": "a", "impression": ""}] * 2, ["study_1", "study_2"]),
    ],
)
def test_ids_are_the_rows_own_where_all_have_one_of_their_own(tmp_path, rows, ids):
    rows = [{"question": "q", "answer": "yes", "response": "no", **row} for row in rows]
    answered = predictions.read(write(tmp_path / "r.json", rows))
    assert [item.sample.id for item in answered] == ids


@pytest.mark.parametrize("name", ["parsed_output.json", "output_sample.json"])
def test_all_subjects_of_mmmu_are_read_as_one_folder(tmp_path, name):
    for subject in ("Public_Health", "Clinical_Medicine"):
        rows = [{**MMMU_ROW, "id": f"validation_{subject}_{i}"} for i in (2, 1)]
        write(tmp_path / "set" / subject / name, rows)
        write(tmp_path / "set" / subject / "result.json", {"acc": 1.0})
    answered = predictions.read(tmp_path / "set")
    assert [item.sample.id.removeprefix("validation_") for item in answered] == [
        *("Clinical_Medicine_2", "Clinical_Medicine_1"),
        *("Public_Health_2", "Public_Health_1"),
    ]
    assert len(predictions.sources(tmp_path / "set")) == 2
    write(tmp_path / "set" / "Public_Health" / name, [MMMU_ROW, {"id": 1}])
    with pytest.raises(errors.UserError, match=f"Public_Health/{name} row 1: needs response"):
        predictions.read(tmp_path / "set")


def write_reports(folder: pathlib.Path, answers: str, golds: str) -> pathlib.Path:
    (folder / "ground_truth.csv").write_text(f"study_id,report\n{golds}", encoding="utf-8")
    path = folder / "predictions.csv"
    path.write_text(f"study_id,report\n{answers}", encoding="utf-8-sig")
    return path


def test_reports_are_read_from_their_two_tables(tmp_path):
    path = write_reports(
        tmp_path,
        'study_1,"Clear, ""both"" sides\nof it"\nstudy_2,\n',
        "study_2,Findings: B Impression: b.\nstudy_1,Findings: A Impression: a.\n",
    )
    first, second = predictions.read(path)
    assert (first.sample.id, first.answer.response) == ("study_1", 'Clear, "both" sides\nof it')
    assert (second.sample.gold, second.answer.response) == ("Findings: B Impression: b.", "")
    assert first.sample.rule == "report"
    assert predictions.sources(path) == [path, tmp_path / "ground_truth.csv"]
    packed = tmp_path / "packed.dat"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert predictions.read(packed) == [first, second]


@pytest.mark.parametrize(
    ("answers", "golds", "message"),
    [
        ("study_1,a\nstudy_9,b\n", "study_1,a\nstudy_2,b\n", "no report of study_9"),
        ("study_1,a\n", "study_1,a\nstudy_2,b\n", "1 reports, .*: 2"),
        ("study_1\n", "study_1,a\n", "row 0 must have the columns"),
        ("study_1,a,b\n", "study_1,a\n", "row 0 must have the columns"),
        ("study_1,a\n", "", "no report of study_1"),
        ("", "", "no rows"),
    ],
)
def test_tables_of_reports_that_do_not_fit_are_refused(tmp_path, answers, golds, message):
    with pytest.raises(errors.UserError, match=message):
        predictions.read(write_reports(tmp_path, answers, golds))


def test_a_table_of_answers_needs_its_golds(tmp_path):
    path = write_reports(tmp_path, "study_1,a\n", "study_1,b\n")
    with pytest.raises(errors.UserError, match="holds golds"):
        predictions.read(tmp_path / "ground_truth.csv")
    (tmp_path / "ground_truth.csv").unlink()
    with pytest.raises(errors.UserError, match=r"needs ground_truth\.csv beside it"):
        predictions.read(path)


@pytest.mark.parametrize("value", ["B", ["10", 10.0], "(B) dog, because\nof it"])
def test_answers_of_mmmus_test_split_have_no_golds(tmp_path, value):
    path = write(tmp_path / "results.json", {"test_Clinical_Medicine_1": value})
    with pytest.raises(errors.UserError, match=r"MMMU's test split .* without the questions'"):
        predictions.read(path)


def test_own_rows_say_what_they_are(tmp_path):
    row = {
        "id": "x1",
        "question": "q",
        "gold": "2 cm",
        "response": "20 mm",
        "finish_reason": "length",
        "answer_type": "number",
        "options": [],
        "strict": {"correct": False},
        "num_tokens": 4,
    }
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (item,) = predictions.read(path, "vqa")
    assert (item.sample.id, item.sample.answer_type, item.sample.gold) == ("x1", "number", "2 cm")
    assert (item.answer.finish_reason, item.answer.num_tokens) == ("length", 4)


@pytest.mark.parametrize("name", SETS)
def test_own_rows_scored_again_get_the_same_verdicts(tmp_path, name):
    row, (rule, _, _), _ = SETS[name]
    given = [
        {**row, "response": said} for said in ("B", "dog", "yes", "it is 10", "ribs", "", "猫")
    ]
    answered = predictions.read(write(tmp_path / "r.json", given))
    rows = score(answered)
    shown = list(answered[0].sample.choices)  # "A.text" and "text" are not alike to compat
    lines = [json.dumps({**row, "choices": shown} if shown else row) for row in rows]
    (tmp_path / "samples.jsonl").write_text("\n".join(lines))
    assert score(predictions.read(tmp_path / "samples.jsonl", rule)) == rows


def test_a_real_vqa_rad_run_gets_its_own_verdicts(shared_dir):
    name = "evaldata/medevalkit_fork_saitejalekkala33/vqa-rad_VQA-RAD_results.json"
    old = json.loads((shared_dir / name).read_text(encoding="utf-8"))
    rows = score(predictions.read(shared_dir / name))
    assert [row["compat"]["correct"] for row in rows] == [row["correct"] for row in old]
    assert sum(row["compat"]["correct"] for row in rows) == 197
    stored = {"precision": "f1", "recall": "precision", "f1": "recall"}
    assert [
        {name: row["compat"][stored.get(name, name)] for name in given["metrics"] if name != "em"}
        for row, given in zip(rows, old, strict=True)
        if "metrics" in given
    ] == [{k: v for k, v in r["metrics"].items() if k != "em"} for r in old if "metrics" in r]


@pytest.mark.parametrize("rule", [None, "choice"])
def test_a_real_medqa_run_gets_its_own_verdicts(shared_dir, rule):
    folder = shared_dir / "evaldata/medevalkit_fork_saitejalekkala33"
    path = folder / "textonly-medqa-usmle_MedQA-USMLE_results.json.gz"
    old = json.loads(gzip.decompress(path.read_bytes()))
    rows = score(predictions.read(path, rule))
    assert [row["compat"]["correct"] for row in rows] == [row["correct"] for row in old]
    assert (len(rows), sum(row["compat"]["correct"] for row in rows)) == (1273, 866)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ("[]", "no rows"),
        ("nonsense", "neither JSON nor JSONL"),
        ('{"answer": "yes", "response": ""}\n{"a', "neither JSON nor JSONL: line 2"),
        ("[" * 100_000, "neither JSON nor JSONL"),
        ("7", "must be a list of rows or JSONL, got int"),
        ('["a"]', "row 0: must be an object"),
        ('[{"answer": "yes"}]', "row 0: needs response"),
        ('[{"response": "yes"}]', "row 0: needs gold or answer"),
        ('[{"answer": "yes", "response": ["a"]}]', r"row 0: response must be text, got \['a'\]"),
        ('[{"answer": true, "response": ""}]', "row 0: answer must be text, got True"),
        ('{"total metrics": {"total": 1}}', r"holds metrics; the answers are in results\.json"),
        (
            '[{"answer": "E", "choices": ["A. x", "B. y"], "response": ""}]',
            "row 0: gold answer 'E'",
        ),
        ('[{"answer": "A", "choices": "A. x", "response": ""}]', "row 0: choices must be a list"),
        ('[{"answer": "A", "choices": ["A. x"], "response": ""}]', "2 to 26 texts, got 1"),
        (
            '[{"id": 1, "gold": "a", "response": ""}, {"id": 1, "gold": "a", "response": ""}]',
            "id '1'",
        ),
        (
            '[{"answer": "a", "response": ""}, {"answer": "b"}, 1, {"answer": "c"}]',
            "row 1: needs response.*; not usable either: row 2, row 3$",
        ),
        (
            json.dumps([{"answer": "a"}] * 30),
            "row 0: .*row 1, row 2, .*row 10, and 19 more",
        ),
    ],
)
def test_an_unusable_file_is_one_clear_error(tmp_path, text, message):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(errors.UserError, match=message) as caught:
        predictions.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "row", "message"),
    [
        ("choice", {"answer": "yes"}, "choices must be 2 to 26 texts, got 0"),
        ("choice_untagged", {"answer": "A", "choices": []}, "choices must be 2 to 26 texts, got 0"),
        ("vqa", {"answer": "A", "choices": CHOICES}, "has choices, which"),
        ("slake", {"answer": "Yes"}, "answer_type must be one of OPEN, CLOSED, got None"),
        ("radrestruct", {"answer": "yes"}, "answer_type must be one of single_choice"),
        ("radrestruct", {"answer": "x", "answer_type": "multi_choice"}, "needs choices"),
        ("mmmu", {"answer": "A"}, "question_type must be one of multiple-choice, open, got None"),
        ("mmmu", {**MMMU_ROW, "all_choices": ["B", "A"]}, r"a multiple-choice .* \[A, B, \.\.\.\]"),
        ("mmmu", {**MMMU_ROW, "index2ans": {"A": "x"}}, "a multiple-choice question"),
        ("mmmu", {**MMMU_ROW, "answer": ["A", "B"]}, r"answer must be text, got \['A', 'B'\]"),
        ("report", {"findings": "x"}, "needs findings and impression"),
        ("rubric", {"prompt": "x"}, "needs rubrics, a list"),
    ],
)
def test_a_row_that_does_not_fit_the_benchmark_is_named(tmp_path, rule, row, message):
    path = write(tmp_path / "results.json", [{"question": "q", "response": "", **row}])
    with pytest.raises(errors.UserError, match=f"row 0: {message}"):
        predictions.read(path, rule)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(errors.UserError, match="no such file"):
        predictions.read(tmp_path / "none.json")
    with pytest.raises(errors.UserError, match=r"is a folder that holds none of results\.json"):
        predictions.read(tmp_path)


def test_half_a_surrogate_pair_can_be_written_again(tmp_path):
    path = tmp_path / "r.json"
    path.write_text('[{"question": "q", "answer": "yes", "response": "no \\ud800"}]')
    ((_, answer),) = predictions.read(path)
    assert answer.response == "no ?"
