# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of the real run from folders laid out as the publishers', its config, and its tables."""

import csv
import gzip
import json
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from benchmarks import real_run, real_run_results, real_run_rows
from configs import real_run as real_run_config
from lingshu_jax.common import errors, pages
from lingshu_jax.data import sources
from lingshu_jax.models import qwen2_5_vl, sizes

SMEAR = "<annotation>{}</annotation>"
CELL = "<object><name>{}</name></object>"


def save_image(path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(path)


def save_csv(path: pathlib.Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def save_lines(path: pathlib.Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def write_vqa_rad(folder: pathlib.Path) -> None:
    """Twelve training questions on three images; of the test set one is rephrased in training."""
    for i in range(3):
        save_image(folder / "images" / f"{i}.jpg")
    train = [
        {"qid": i, "image_name": f"{i % 3}.jpg", "question": f"Question {i} ?", "answer": "Yes"}
        for i in range(12)
    ]
    train[0] |= {"question": "Is the heart normal?", "answer": "No"}
    train[1]["question"] = "The very question?"
    test = [
        {"qid": 20, "image_name": "0.jpg", "question": "Is the heart large?", "answer": "no"},
        {"qid": 21, "image_name": "1.jpg", "question": "the very question?", "answer": "yes"},
        {"qid": 22, "image_name": "2.jpg", "question": "Which plane?", "answer": "axial"},
    ]
    forms = {"question_rephrase": "is the heart normal?", "question_frame": "NULL"}
    public = [{**row, "qid_linked_id": f"link{row['qid']}"} for row in test]
    public[0] |= forms
    for name, rows in (
        ("trainset", train),
        ("testset", test),
        ("VQA_RAD_Dataset_Public", public),
    ):
        (folder / f"{name}.json").write_text(json.dumps(rows))


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of public data in miniature."""
    folder = tmp_path / "public"
    write_vqa_rad(folder / "vqa_rad")
    pairs = [{"question": f"What is {i}?", "answer": f"It is {i}."} for i in range(6)]
    save_lines(folder / "medquad" / "medquad_sample.jsonl.gz", pairs)
    listed = "\nAnswer Choices: (A) one (B) two (or three) (C) four"
    choices = [{"question": f"How many, {i}?{listed}", "label": ["B"]} for i in range(6)]
    save_lines(folder / "text_mcq" / "medxpertqa_repo" / "medqa_input.jsonl.gz", choices)
    (folder / "mts_dialog").mkdir()
    note = {"section_text": "Well.", "dialogue": "Doctor: How are you?\r\nPatient: Well."}
    for split in ("TrainingSet", "ValidationSet"):
        save_csv(folder / "mts_dialog" / f"MTS-Dialog-{split}.csv", [note])
    xray = {"modality": "CR", "projection": "pa", "icu_admission_offset": "1.0"}
    save_image(folder / "hannover_covid_cxr" / "png" / "a1.png")
    save_csv(
        folder / "hannover_covid_cxr" / "data.csv",
        [{"image_id": "a1", "sex": "f", "age": "60", **xray}, {"image_id": "b2", **xray}],
    )
    save_image(folder / "bccd" / "images" / "s.jpg")
    (folder / "bccd" / "annotations").mkdir()
    cells = "".join(map(CELL.format, ("RBC", "RBC", "WBC")))
    (folder / "bccd" / "annotations" / "s.xml").write_text(SMEAR.format(cells))
    doctors = {"MD2": "", "Comments first medical doctor (MD1)": "B-lines"}
    lung = {"image": "images/u.png", "Probe": "linear", "Label": "COVID-19", **doctors}
    chest = {"image": "images/c.png", "modality": "X-ray", "view": "PA", "finding": "ARDS"}
    for name, row in (
        ("pocus_lung_us_ccby", lung),
        ("covid_chestxray_open", {**chest, "caption": "Intubated."}),
    ):
        save_image(folder / name / row["image"])
        save_lines(folder / name / "captions.jsonl", [row])
    for name in real_run_rows.SKIMAGE_CAPTIONS:
        save_image(folder / "skimage_bundled" / name)
    return folder


def texts_of(path: pathlib.Path, role: str) -> list[str]:
    rows = map(json.loads, path.read_text().splitlines())
    turns = [turn for row in rows for turn in row["messages"] if turn["role"] == role]
    return [turn["content"][-1]["text"] for turn in turns]


def test_rows_of_every_kind(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    made = real_run_rows.prepare(data, tmp_path / "rows")
    assert made["rows"] == {
        "vqa_rad/trainset.json": 8,
        "vqa_rad/testset.json": 3,
        "held_out/vqa_rad/trainset.json": 4,
        "captions": 7,
        "vqa_rad_captions": 9,
        "bccd_counts": 3,
        "medquad": 4,
        "mts_dialog": 1,
        "medqa": 4,
        "medqa_held_out": 2,
        "held_out/medquad": 2,
        "held_out/mts_dialog": 1,
    }
    captions = texts_of(tmp_path / "rows" / "captions.jsonl", "assistant")
    assert captions[:3] == [
        "A chest X-ray (CR, pa projection) of a woman aged 60 with COVID-19 and intensive care.",
        "A lung ultrasound image, linear probe. COVID-19. B-lines.",
        "A chest X-ray, PA view. ARDS. Intubated.",
    ]
    assert captions[-1] == (
        "A stained blood smear with 2 red blood cells, 1 white blood cell and 0 platelets."
    )
    assert texts_of(tmp_path / "rows" / "bccd_counts.jsonl", "assistant") == ["2", "1", "0"]
    question, *_ = texts_of(tmp_path / "rows" / "medqa.jsonl", "user")
    assert "\nA. one\nB. two (or three)\nC. four\nAnswer with the option's letter" in question


def test_what_is_held_out_is_nowhere_trained_on(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "rows"
    real_run_rows.prepare(data, folder)
    kept, held = (
        {row["question"].lower() for row in json.loads((folder / name).read_text())}
        for name in ("vqa_rad/trainset.json", "held_out/vqa_rad/trainset.json")
    )
    told = " ".join(texts_of(folder / "vqa_rad_captions.jsonl", "assistant"))
    assert len(kept) == 8 and len(held) == 4 and not kept & held
    assert all(question.replace(" ?", "?") in told for question in kept)
    assert not any(question.replace(" ?", "?") in told for question in held)
    for trained, asked in (("medquad", "held_out/medquad"), ("medqa", "medqa_held_out")):
        trained_on = set(texts_of(folder / f"{trained}.jsonl", "user"))
        assert not trained_on & set(texts_of(folder / f"{asked}.jsonl", "user"))
    corpus = "\n".join(real_run_rows.texts(folder))
    assert "How many" in corpus
    for asked in texts_of(folder / "medqa_held_out.jsonl", "user"):
        assert asked not in corpus


@pytest.mark.parametrize("size", real_run_config.SIZES)
def test_every_source_of_the_config_reads_all_of_its_rows(
    size: str, data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    made = real_run_rows.prepare(data, tmp_path / "rows")["rows"]
    stage = real_run_config.get_config(size).chain.instruct
    for source in (*stage.data.sources, *stage.validation.sources):
        reading = sources.read(source, tmp_path / "rows")
        assert not reading.dropped
        file = source.path.removesuffix(".jsonl")
        expected = made.get(file) or made[f"{file}/trainset.json"]
        assert len(reading.examples) == expected, source.name


def test_made_once_and_only_from_one_folder(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "rows"
    first = real_run_rows.prepare(data, folder)
    (data / "medquad" / "medquad_sample.jsonl.gz").unlink()
    assert real_run_rows.prepare(data, folder) == first
    with pytest.raises(errors.UserError, match="holds rows of .*public.*, not "):
        real_run_rows.prepare(tmp_path / "other", folder)
    with pytest.raises(errors.UserError, match=r"not laid out as expected.*medquad_sample"):
        real_run_rows.prepare(data, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_trial_asks_a_few_questions(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rows = real_run_rows.prepare(data, tmp_path / "rows", questions=1)["rows"]
    assert (rows["vqa_rad/testset.json"], rows["medqa_held_out"]) == (1, 1)
    assert rows["vqa_rad/trainset.json"] == 8


def test_what_the_splits_share(data: pathlib.Path) -> None:
    shared = real_run_rows.overlap(data / "vqa_rad")
    assert shared == {
        "test_questions": 3,
        "test_images": 3,
        "images_in_train": 3,
        "questions_in_train": 1,
        "rephrased_in_train": 1,
        "rephrased_with_the_same_answer": 1,
        "rephrased": ["20"],
    }


def test_a_rephrasing_with_another_answer_is_noticed(data: pathlib.Path) -> None:
    path = data / "vqa_rad" / "trainset.json"
    rows = json.loads(path.read_text())
    rows[0]["answer"] = "yes"
    path.write_text(json.dumps(rows))
    shared = real_run_rows.overlap(data / "vqa_rad")
    assert (shared["rephrased_in_train"], shared["rephrased_with_the_same_answer"]) == (1, 0)


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("One. Two.", 20, "One. Two."),
        ("One. Two. Three.", 11, "One. Two."),
        ("one two three", 9, "one two"),
        ("onetwothree", 5, "onetw"),
    ],
)
def test_shorten_ends_with_a_sentence(text: str, most: int, expected: str) -> None:
    assert real_run_rows.shorten(text, most) == expected


def test_counts_of_the_real_data(shared_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    made = real_run_rows.prepare(shared_dir / "data", tmp_path / "rows")
    rows, shared = made["rows"], made["vqa_rad"]
    trained, held = (
        rows[f"{name}vqa_rad/trainset.json"] for name in ("", f"{real_run_rows.HELD_OUT}/")
    )
    assert (trained + held, rows["vqa_rad/testset.json"]) == (3064, 451)
    assert rows["medqa"] + rows["medqa_held_out"] == 1273
    assert rows["medquad"] + rows["held_out/medquad"] == 5000
    assert (rows["captions"], rows["bccd_counts"], rows["mts_dialog"]) == (66, 120, 1201)
    assert (shared["test_images"], shared["images_in_train"]) == (203, 203)
    assert (shared["questions_in_train"], shared["rephrased_in_train"]) == (14, 290)
    captions = real_run_config.alignment()[0]
    assert not sources.read(captions, tmp_path / "rows").dropped


@pytest.mark.parametrize(("size", "most"), [("small", 10_000_000), ("base", 100_000_000)])
def test_the_sizes_are_what_the_config_says(size: str, most: int) -> None:
    shapes = qwen2_5_vl.abstract_params(sizes.get(size), jnp.dtype(jnp.float32))
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    assert parameters <= most
    assert f"{parameters:,}" in (real_run_config.__doc__ or "")


def test_the_ablation_shares_stages_1_and_2() -> None:
    config = real_run_config.get_config("small")
    config.validate()
    assert config.ablation is not None
    for name in real_run.STAGES[:2]:
        assert getattr(config.ablation, name) == getattr(config.chain, name)
    assert config.ablation.instruct.epochs < config.chain.instruct.epochs


def test_an_unknown_size_and_an_absent_tokenizer_are_errors(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.UserError, match="'7b'; known: small, base"):
        real_run_config.get_config("7b")
    config = real_run_config.get_config("base")
    with pytest.raises(errors.UserError, match=r"no tokenizer in .*tokenizer_qwen2"):
        real_run.make_base(config, tmp_path, tmp_path / "rows")


def scores(n: int, right: dict[str, tuple[int, int]], constant: float) -> dict[str, Any]:
    """A benchmark's summary, as far as the tables read it."""
    share = sum(correct for correct, _ in right.values()) / n
    kinds = {kind: {"n": of, "strict_accuracy": k / of} for kind, (k, of) in right.items()}
    return {
        "n": n,
        **{f"{mode}_accuracy": share for mode in real_run_results.MODES},
        "strict_interval": [0.1, 0.9],
        "constant_accuracy": constant,
        "constant": {k: {"answer": "no", "correct": 1, "n": of} for k, (_, of) in right.items()},
        "by_answer_type": kinds,
    }


def results(**changed: Any) -> dict[str, Any]:
    parts = {"with": {"n": 4, "strict": 3}, "without": {"n": 0, "strict": 0}}
    stage = dict.fromkeys(real_run_results.STAGE, 1.5)
    right = {"yes_no": (3, 5), "open": (1, 5)}
    return {
        "size": "small",
        "trial_steps": 0,
        "parameters": 4_469_696,
        "machine": "2 CPU cores",
        "minutes_of_this_call": {"main": 18.0},
        "rows": {"medqa": 9, "medqa_held_out": 4, "held_out/vqa_rad/trainset.json": 2},
        "vqa_rad": {
            "test_questions": 10,
            "test_images": 3,
            "images_in_train": 3,
            "rephrased_in_train": 4,
            "rephrased_with_the_same_answer": 3,
        },
        "stages": {"instruct": {**stage, "frozen": []}},
        "evaluations": {
            "after": {
                "vqa_rad": scores(10, right, 0.32),
                "medqa_held_out": scores(4, {"choice": (1, 4)}, 0.5),
            },
            "blind": {"vqa_rad": scores(10, {"yes_no": (2, 5), "open": (0, 5)}, 0.32)},
        },
        "rephrased": {"after": parts, "blind": parts},
        "chance": 0.25,
        "held_out_loss": {"instruct": {"": [9.0, 2.5]}, "deep_align": {}},
        "ablation": None,
        **changed,
    }


def test_the_tables_put_the_baselines_beside_the_model() -> None:
    text = real_run_results.to_markdown(results())
    for line in (
        "| trained model | 40.0% | [10.0, 90.0] | 40.0% | 60.0% | 20.0% | 75.0% | - |",
        "| the same, images greyed out | 20.0% | [10.0, 90.0] | 20.0% | 40.0% | 0.0% | 75.0% | - |",
        "| constant answer | 32.0% |  | 32.0% | 20.0% (no) | 20.0% (no) |  |  |",
        "| chance | 25.0% |  |  |",
        "| instruct | 9 → 2.5 |",
    ):
        assert line.replace("| - |", f"| {pages.NOTHING} |") in text
    assert "3 of the 3 VQA-RAD test images occur in the training split" in text
    assert "no medical model" in text
    assert "A trial" not in text


def test_a_trial_says_that_it_is_one() -> None:
    assert "A trial of 2 steps" in real_run_results.to_markdown(results(trial_steps=2))
