# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import zipfile

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import medxpertqa
from tests.eval.benchmarks import choices, fixtures

MM = medxpertqa.MedXpertQa(medxpertqa.MM)
TEXT = medxpertqa.MedXpertQa(medxpertqa.TEXT)
OPTIONS = ("Suture", "Plate", "Screw", "Cast", "Wait", "Wire", "Pin", "Nail", "Sling", "Rest")


def row(name, gold, num_options, **extra):
    """The hub's row; the question holds its options already."""
    options = dict(zip("ABCDEFGHIJ"[:num_options], OPTIONS, strict=False))
    listed = " ".join(f"({letter}) {text}" for letter, text in options.items())
    return {
        "id": name,
        "question": f"What holds the bone of {name}?\nAnswer Choices: {listed}",
        "options": options,
        "label": gold,
        "medical_task": "Treatment",
        "body_system": "Other / NA",
        "question_type": "Reasoning",
        **extra,
    }


IMAGES = (["MM-0-a.jpeg"], ["MM-1-a.jpeg", "MM-1-b.png"], ["MM-2-a.jpeg"], ["MM-3-a.jpeg"])
MM_ROWS = [
    row(f"MM-{number}", gold, 5, images=images, body_system="Skeletal")
    for number, (gold, images) in enumerate(zip("AEBC", IMAGES, strict=True))
]
MM_ROWS.append(row("MM-4", "D", 5, images=["MM-4-a.jpeg"], question_type="Understanding"))
TEXT_ROWS = [row(f"Text-{number}", gold, 10) for number, gold in enumerate("AJEFB")]


def in_lists(given):
    """The same row as the publisher's repository evaluates it."""
    options = [{"letter": x, "content": text} for x, text in given["options"].items()]
    changed = given | {"options": options, "label": [given["label"]]}
    if "images" in given:
        changed["images"] = [{"image_path": name} for name in given["images"]]
    return changed


def write_archive(folder, rows, inside="images/"):
    """The hub's images.zip, which has a folder of the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "images.zip", "w") as file:
        for shade, name in enumerate(name for row in rows for name in row["images"]):
            file.writestr(inside + name, fixtures.picture(shade))


@pytest.fixture
def data_dir(tmp_path):
    folder = tmp_path / "MedXpertQA"
    fixtures.write_jsonl(folder / "MM/test.jsonl", MM_ROWS)
    fixtures.write_jsonl(folder / "Text/test.jsonl", TEXT_ROWS)
    write_archive(folder, MM_ROWS)
    return tmp_path


def shown(sample):
    """The parts of a prompt; of images the file names."""
    (message,) = sample.messages
    return [
        part["text"] if part["type"] == "text" else part["image"].rsplit("/", 1)[-1]
        for part in message["content"]
    ]


def asked(name, letters="ABCDE"):
    """The prompt of a row: its options twice, in the question and below."""
    pairs = list(zip(letters, OPTIONS, strict=False))
    return (
        f"\nQuestion: What holds the bone of {name}?\nAnswer Choices: "
        + " ".join(f"({letter}) {text}" for letter, text in pairs)
        + "\nOptions: \n"
        + "\n".join(f"{letter}. {text}" for letter, text in pairs)
        + "\nAnswer with the option's letter from the given choices directly."
    )


def test_one_image_has_a_number_too(data_dir):
    sample = catalog.load(MM, data_dir)[0]
    assert shown(sample) == ["<image_1>: ", "MM-0-a.jpeg", asked("MM-0")]
    assert sample.messages[0]["content"][1]["image"].startswith(str(data_dir))


def test_several_images_stand_behind_their_numbers(data_dir):
    sample = catalog.load(MM, data_dir)[1]
    assert shown(sample) == [
        *("<image_1>: ", "MM-1-a.jpeg", "<image_2>: ", "MM-1-b.png"),
        asked("MM-1"),
    ]


def test_ten_options_are_asked_without_images(data_dir):
    samples = catalog.load(TEXT, data_dir)
    assert choices.prompt(samples[1]) == asked("Text-1", "ABCDEFGHIJ")
    assert [sample.gold for sample in samples] == list("AJEFB")
    assert all(len(sample.options) == 10 for sample in samples)


def test_a_result_keeps_what_medevalkit_keeps(data_dir):
    sample = catalog.load(MM, data_dir)[4]
    assert sample.fields == {
        "id": "MM-4",
        "question": MM_ROWS[4]["question"],
        "medical_task": "Treatment",
        "body_system": "Other / NA",
        "question_type": "Understanding",
        "choices": ["A. Suture", "B. Plate", "C. Screw", "D. Cast", "E. Wait"],
        "answer": "D",
    }
    assert sample.strata == {
        "question_type": "Understanding",
        "medical_task": "Treatment",
        "body_system": "Other / NA",
    }


@pytest.mark.parametrize("item", [MM, TEXT])
def test_both_scores_take_the_gold_alone(data_dir, item):
    choices.expect_only_the_gold_is_right(catalog.load(item, data_dir))


def test_the_publishers_lists_are_asked_the_same(data_dir, tmp_path):
    folder = tmp_path / "original"
    fixtures.write_jsonl(folder / "medxpertqa_mm_input.jsonl", [*map(in_lists, MM_ROWS)])
    fixtures.write_jsonl(folder / "medxpertqa_text_input.jsonl", [*map(in_lists, TEXT_ROWS)])
    write_archive(folder, MM_ROWS)
    found, hubs = catalog.load(MM, folder), catalog.load(MM, data_dir)
    assert [shown(sample) for sample in found] == [shown(sample) for sample in hubs]
    assert [sample.fields for sample in found] == [sample.fields for sample in hubs]
    assert catalog.load(TEXT, folder) == catalog.load(TEXT, data_dir)


def test_images_may_lie_in_a_folder_or_straight_in_the_archive(tmp_path):
    plain, flat = tmp_path / "plain", tmp_path / "flat"
    for folder in (plain, flat):
        fixtures.write_jsonl(folder / "MM/test.jsonl", MM_ROWS)
    for name in (name for row in MM_ROWS for name in row["images"]):
        fixtures.write_picture(plain / "images" / name)
    write_archive(flat, MM_ROWS, inside="")
    assert shown(catalog.load(MM, plain)[0]) == shown(catalog.load(MM, flat)[0])


def test_other_counts_than_published_are_told(data_dir):
    assert files.remarks(medxpertqa.MM, catalog.load(MM, data_dir)) == [
        "medxpertqa_mm has 5 rows here, 2000 as published",
        "medxpertqa_mm has other golds here than as published (in brackets):"
        " A 1 (399), B 1 (408), C 1 (383), D 1 (386), E 1 (424)",
    ]
    assert files.remarks(medxpertqa.TEXT, catalog.load(TEXT, data_dir))[0] == (
        "medxpertqa_text has 5 rows here, 2450 as published"
    )


@pytest.mark.parametrize("item", [MM, TEXT])
def test_the_golds_of_a_card_are_as_many_as_its_rows(item):
    assert sum(item.card.golds.values()) == item.card.num_rows


def test_a_gold_beyond_the_options_is_refused(data_dir):
    path = data_dir / "MedXpertQA/MM/test.jsonl"
    fixtures.write_jsonl(path, [MM_ROWS[0], MM_ROWS[1] | {"label": "F"}])
    with pytest.raises(errors.UserError, match="id MM-1: the gold must be one of A, B, C, D, E"):
        catalog.load(MM, data_dir)


def test_a_missing_image_is_named(data_dir):
    path = data_dir / "MedXpertQA/MM/test.jsonl"
    fixtures.write_jsonl(path, [MM_ROWS[0] | {"images": ["MM-9-a.jpeg"]}])
    with pytest.raises(
        errors.UserError, match=r"no picture 'MM-9-a.jpeg' .*hf download .*Tsinghua"
    ):
        catalog.load(MM, data_dir)


@pytest.mark.parametrize("images", [None, [], "MM-0-a.jpeg"])
def test_a_row_without_images_is_refused(data_dir, images):
    path = data_dir / "MedXpertQA/MM/test.jsonl"
    fixtures.write_jsonl(path, [MM_ROWS[0] | {"images": images}])
    with pytest.raises(errors.UserError, match="id MM-0 needs a list of images, found"):
        catalog.load(MM, data_dir)


@pytest.mark.parametrize("name", ["images", "body_system"])
def test_a_missing_column_is_named(data_dir, name):
    path = data_dir / "MedXpertQA/MM/test.jsonl"
    fixtures.write_jsonl(path, [{key: v for key, v in MM_ROWS[0].items() if key != name}])
    with pytest.raises(errors.UserError, match=rf"row 0 needs .*'{name}'.*, found .*'medical_task"):
        catalog.load(MM, data_dir)


@pytest.mark.parametrize("item", [MM, TEXT])
def test_missing_data_say_where_they_are(tmp_path, item):
    with pytest.raises(errors.UserError, match=r"hf download .* TsinghuaC3I/MedXpertQA --revision"):
        catalog.load(item, tmp_path)
