# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import io
import json

import numpy as np
import pytest
from PIL import Image

from data_tools import (
    embedding_models,
    embeddings,
    linear_head,
    modality,
    modality_classifier,
    modality_names,
    rows,
    steps,
)
from lingshu_jax.common import errors

OFF = embedding_models.Config()
STAND_IN = embedding_models.Config(weights="random")
SETTINGS = modality_classifier.Settings(min_confidence=0.6, min_rows=5, most_rows=100, c=100.0)
WIDTH = 24


def medium(seed, level=0):
    grey = np.random.default_rng(seed).integers(level, level + 60, (6, 6), np.uint8)
    image = Image.fromarray(grey).resize((80, 80), Image.Resampling.BICUBIC)
    return rows.Medium(kind="image", data=_png(image))


def _png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def row(number, *media, source="s", facts=None, **meta):
    return rows.Row(
        id=f"{source}/{number}",
        source=source,
        messages=(),
        media=media,
        meta=meta,
        facts=facts or {},
    )


def run(tmp_path, *parts, embedding=OFF, declared=None, **config):
    step = modality.Modality(modality.Config(**config), embedding, declared or {})
    state = steps.next_state("first", {}, steps.State(tmp_path, "", 0), tmp_path)
    for number, part in enumerate(parts):
        name = f"part-{number:05d}.parquet"
        steps.commit(state.folder, name, steps.Outcome(list(part), []), given=len(part))
    after = steps.run_step(step, state, steps.Run(output=tmp_path, workers=1))
    found = after.folder / steps.ROWS
    return [row for name in rows.names(found) for row in rows.read(found / name)], after.folder


def said(row):
    return row.facts["modality"], row.facts["modality_from"]


def test_the_file_is_believed_before_the_publisher_and_the_row_before_its_source(tmp_path):
    given = [
        row(0, medium(0), facts={"modality": "MR", "modality_from": "tag"}, modality="CT"),
        row(1, medium(1), modality="Chest X-Ray"),
        row(2, medium(2)),
        row(3),
        row(4, medium(3), source="unknown"),
        row(5, medium(4), facts={"modality": "OT", "modality_from": "tag"}),
    ]
    found, folder = run(tmp_path, given, declared={"s": "endoscopy"})
    assert [said(row) for row in found] == [
        ("MRI", "tag"),
        ("X-ray", "declared"),
        ("endoscopy", "declared"),
        ("text-only", "none"),
        ("", "none"),
        ("endoscopy", "declared"),
    ]
    assert modality.summarise(folder) == {
        "rows": {
            "declared": {"X-ray": 1, "endoscopy": 2},
            "none": {"not known": 1, "text-only": 1},
            "tag": {"MRI": 1},
        },
        "classifier": None,
    }


def test_a_dicom_file_says_its_modality(tmp_path, shared_dir):
    path = shared_dir / "data" / "dicom_samples"
    file = next(iter(sorted(path.rglob("CT_small.dcm"))), None)
    if file is None:
        pytest.skip("no CT_small.dcm")
    given = [row(0, rows.Medium(kind="image", path=str(file)), modality="MRI")]
    (found,), _ = run(tmp_path, given)
    assert said(found) == ("CT", "tag")


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("CT", "CT"),
        ("mr", "MRI"),
        ("X-RAY", "X-ray"),
        ("Computed Tomography", "CT"),
        ("DX", "X-ray"),
        ("MG", "X-ray"),
        ("PT", "PET"),
        ("OPT", "OCT"),
        ("SM", "histopathology"),
        ("Histopathology", "histopathology"),
        ("NM", "other"),
        ("SC", ""),
        ("a sentence", ""),
        ("", ""),
    ],
)
def test_names_of_modalities(word, name):
    assert modality_names.of_word(word) == name


def test_every_modality_has_wordings_and_no_code_has_two():
    assert set(modality_names.PROMPTS) == set(modality_names.MODALITIES)
    assert len(modality_names.MODALITIES) == 12
    assert all(len(set(texts)) == len(texts) >= 6 for texts in modality_names.PROMPTS.values())


def test_of_the_stand_in_nothing_is_believed_and_nothing_told(tmp_path):
    given = [row(n, medium(n), modality="CT" if n % 2 else "MRI", case=n) for n in range(40)]
    unknown = [row(100 + n, medium(n), case=100 + n) for n in range(4)]
    broken = row(200, rows.Medium(kind="image", data=b"no picture"))
    found, folder = run(tmp_path, given, [*unknown, broken], embedding=STAND_IN, min_rows=5)
    assert {said(row) for row in found[:40]} == {("CT", "declared"), ("MRI", "declared")}
    assert {said(row) for row in found[40:]} == {("", "none")}
    words = [row.facts["modality_stand_in"] for row in found[40:44]]
    assert {by for _, by, _ in words} <= {"head", "zero_shot"}
    assert "modality_stand_in" not in found[44].facts
    assert all(row.facts[embeddings.FACT] == folder.name for row in found)
    report = modality.summarise(folder)["classifier"]
    assert report == {"plumbing": "vectors of the stand-in say nothing"}
    for file in (folder / steps.PLAN).glob("*.json"):
        assert "accuracy" not in file.read_text() and "confusion" not in file.read_text()


def test_a_step_that_was_interrupted_comes_to_the_same(tmp_path):
    parts = [[row(10 * p + n, medium(10 * p + n), modality="CT") for n in range(5)] for p in (0, 1)]
    parts[1].append(row(99, medium(99)))
    found, folder = run(tmp_path, *parts, embedding=STAND_IN)
    plan = folder / steps.PLAN
    before = {path: path.read_bytes() for path in plan.rglob("*") if path.is_file()}
    for path in (plan / "classifier.json", plan / "vectors" / "part-00001.parquet"):
        path.unlink()
    (folder / steps.ROWS / "part-00001.parquet").unlink()
    modality._read_classifier.cache_clear()
    assert run(tmp_path, *parts, embedding=STAND_IN)[0] == found
    assert {path: path.read_bytes() for path in plan.rglob("*") if path.is_file()} == before


class Axes:
    """A model whose sentences stand at right angles to each other, in the order they are asked."""

    scale = 20.0

    def texts(self, texts):
        names = [
            name for name in modality_names.MODALITIES if modality_names.PROMPTS[name] == texts
        ]
        return np.eye(WIDTH, dtype=np.float32)[
            [modality_names.MODALITIES.index(names[0])] * len(texts)
        ]

    def images(self, pictures):
        raise AssertionError(pictures)


def vector(name, rng, noise=0.1):
    found = np.eye(WIDTH)[modality_names.MODALITIES.index(name)] + noise * rng.normal(size=WIDTH)
    return (found / np.linalg.norm(found)).astype(np.float32)


def known(*names, count=60, by="tag", per_case=1, noise=0.1):
    rng = np.random.default_rng(0)
    return [
        modality_classifier.Example(
            f"{name}/{n}", name, by, f"{name} {n // per_case}", vector(name, rng, noise)
        )
        for name in names
        for n in range(count)
    ]


def make(*names, settings=SETTINGS, **made):
    examples = modality_classifier.gather(known(*names, **made), settings)
    return modality_classifier.make(examples, Axes(), settings), examples


def test_the_head_decides_what_it_knows_and_the_sentences_the_rest():
    classifier, _ = make("CT", "MRI", "X-ray")
    assert classifier.head_names == ("X-ray", "CT", "MRI")
    rng = np.random.default_rng(1)
    found = classifier.classify({name: vector(name, rng) for name in ("CT", "MRI", "fundus")})
    assert [(guess.modality, guess.by) for guess in found.values()] == [
        ("CT", "head"),
        ("MRI", "head"),
        ("fundus", "zero_shot"),
    ]


def test_it_abstains_where_it_is_not_sure():
    classifier, _ = make("CT", "MRI", noise=0.5, count=200)
    rng = np.random.default_rng(1)
    ends = vector("CT", rng, 0), vector("MRI", rng, 0)
    between = [(1 - part) * ends[0] + part * ends[1] for part in np.linspace(0, 1, 21)]
    found = classifier.classify({str(n): vector for n, vector in enumerate(between)})
    words = [guess.modality for guess in found.values()]
    assert (words[0], words[-1]) == ("CT", "MRI") and "" in words
    assert all((guess.confidence < 0.6) == (guess.modality == "") for guess in found.values())


def test_a_modality_with_too_few_rows_is_not_trained():
    classifier, examples = make("CT", "MRI", settings=SETTINGS._replace(min_rows=1000))
    assert classifier.head is None and classifier.head_names == ()
    report = modality_classifier.report(classifier, examples)
    assert set(report["tag"]) == {"zero_shot", "together"}


def test_the_report_counts_on_held_out_rows_by_where_their_truth_is_from():
    classifier, examples = make("CT", "MRI", "X-ray")
    report = modality_classifier.report(classifier, examples)
    head = report["tag"]["head"]
    assert head["rows"] == len(examples["test"]) > 10
    assert head["accuracy"] == head["accuracy_where_sure"] == 1.0
    assert sum(sum(of.values()) for of in head["confusion"].values()) == head["rows"]
    assert report["declared"]["head"]["accuracy"] is None
    assert sum(report["rows"]["train"].values()) == len(examples["train"])


def test_a_report_of_wrong_truths_is_a_bad_one():
    classifier, examples = make("CT", "MRI")
    turned = {"CT": "MRI", "MRI": "CT"}
    wrong = [row._replace(modality=turned[row.modality]) for row in examples["test"]]
    report = modality_classifier.report(classifier, {**examples, "test": wrong})
    head = report["tag"]["head"]
    assert head["accuracy"] == 0.0 and set(head["confusion"]["CT"]) <= {"MRI", "abstained"}


def test_cases_are_on_one_side_and_the_order_of_rows_does_not_matter():
    given = known("CT", "MRI", per_case=6)
    examples = modality_classifier.gather(given, SETTINGS)
    sides = [{row.group for row in rows} for rows in examples.values()]
    assert all(sides) and sum(map(len, sides)) == len({row.group for row in given})
    turned = modality_classifier.gather(given[::-1], SETTINGS)
    assert [[row.row for row in rows] for rows in turned.values()] == [
        [row.row for row in rows] for rows in examples.values()
    ]


def test_only_so_many_rows_of_a_modality_are_used():
    settings = SETTINGS._replace(most_rows=7)
    examples = modality_classifier.gather(known("CT", "MRI", count=200), settings)
    assert {len(rows) for rows in examples.values()} == {14}


def test_a_classifier_is_the_same_after_it_was_written():
    classifier, _ = make("CT", "MRI")
    again = modality_classifier.Classifier.of_json(json.loads(json.dumps(classifier.to_json())))
    rng = np.random.default_rng(1)
    asked = {name: vector(name, rng, 0.3) for name in modality_names.MODALITIES}
    assert again.classify(asked) == classifier.classify(asked)


def test_rows_of_a_case_a_series_and_a_file_are_groups():
    one = rows.Medium(kind="image", path="a.dcm#frame=1")
    other = rows.Medium(kind="image", path="a.dcm#frame=2")
    assert modality.group(row(0, one)) == modality.group(row(1, other)) == "s a.dcm"
    assert modality.group(row(0, one, series="x", case=3)) == "s case 3"
    assert modality.group(row(0, medium(0))) != modality.group(row(0, medium(1)))


def test_a_separable_set_is_separated_and_classes_weigh_the_same():
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(3), (400, 20, 4))
    vectors = np.eye(3)[classes] + 0.05 * rng.normal(size=(len(classes), 3))
    head = linear_head.fit(vectors, classes, count=3, c=1.0)
    assert (head.logits(vectors).argmax(1) == classes).all()
    # Without differences between rows no class is preferred, though one has 400 rows.
    flat = linear_head.fit(np.ones((len(classes), 3)), classes, count=3, c=1.0)
    np.testing.assert_allclose(
        linear_head.probabilities(flat.logits(np.ones((1, 3))), 1.0), 1 / 3, atol=1e-4
    )


def test_the_head_is_where_its_loss_is_flat():
    rng = np.random.default_rng(2)
    vectors, classes = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    head = linear_head.fit(vectors, classes, count=3, c=0.5)
    weight = (60 / (3 * np.bincount(classes)))[classes]

    def loss(weights):
        logits = vectors @ weights.T + head.bias
        odds = np.take_along_axis(logits, classes[:, None], 1)[:, 0]
        rest = np.log(np.exp(logits).sum(1))
        return -0.5 * weight @ (odds - rest) + (weights**2).sum() / 2

    best = loss(head.weights)
    for place in np.ndindex(3, 5):
        for step in (-0.01, 0.01):
            moved = head.weights.copy()
            moved[place] += step
            assert loss(moved) > best


@pytest.mark.parametrize("heat", [0.25, 1.0, 4.0])
def test_the_temperature_is_that_which_rows_were_drawn_with(heat):
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 4))
    draws = linear_head.probabilities(logits, heat).cumsum(1)
    classes = (rng.random((len(logits), 1)) > draws).sum(1).clip(max=3)
    assert linear_head.temperature(logits, classes) == pytest.approx(heat, rel=0.1)
    assert linear_head.temperature(logits[:0], classes[:0]) == 1.0


def test_few_rows_that_are_all_right_do_not_make_it_certain():
    logits = np.eye(3)[np.arange(9) % 3]
    heat = linear_head.temperature(logits, np.arange(9) % 3)
    (first, *_) = linear_head.probabilities(logits, heat)
    assert first[0] == pytest.approx(10 / 11, abs=0.01)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_confidence": 1.5}, "min_confidence must be 0 to 1, got 1.5"),
        ({"min_rows": 0}, "min_rows must be >= 1, got 0"),
        ({"c": 0.0}, "c must be above 0, got 0.0"),
    ],
)
def test_settings_that_cannot_be_are_named(wrong, message):
    with pytest.raises(errors.UserError, match=message):
        modality.Config(**wrong).validate()
