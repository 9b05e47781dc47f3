# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import csv
import zipfile

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, catalog, files
from lingshu_jax.eval.benchmarks import pmc_vqa
from tests.eval.benchmarks import fixtures

HEADER = [
    *("index", "Figure_path", "Caption", "Question"),
    *("Choice A", "Choice B", "Choice C", "Choice D"),
    *("Answer", "split"),
]


def row(number, figure, answer, caption="A caption."):
    question = f"What is shown in panel {number}?"
    choices = [" A:Diffuse uptake", " B:Focal uptake ", " C:No uptake", " D:Cannot be told"]
    return [number, figure, caption, question, *choices, answer, "test"]


# Cells hold letters and blanks; a caption has commas, quotes and lines.
ROWS = [
    row(7, "PMC1_F1_1.jpg", "A"),
    row(7, "PMC1_F1_1.jpg", "B", 'A "caption",\nof two lines'),
    row(9, "PMC1_F1_2.jpg", "C"),
    row(10, "PMC2_F3_1.jpg", "D"),
    row(11, "PMC2_F3_1.jpg", "C"),
]
IMAGES = ("PMC1_F1_1.jpg", "PMC1_F1_2.jpg", "PMC2_F3_1.jpg")


def write_csv(folder, rows, header=HEADER):
    folder.mkdir(exist_ok=True)
    with open(folder / "test_2.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def data_dir(tmp_path):
    write_csv(tmp_path / "pmc_vqa", ROWS)
    for name in IMAGES:
        fixtures.write_picture(tmp_path / "pmc_vqa/figures" / name)
    return tmp_path


def load(folder):
    return catalog.load(pmc_vqa.PmcVqa(), folder)


def test_a_row_is_asked_as_medevalkit_asks_it(data_dir):
    sample = load(data_dir)[1]
    prompt = (
        "\nQuestion: What is shown in panel 7?\nOptions: \n A:Diffuse uptake\n B:Focal uptake \n"
        " C:No uptake\n D:Cannot be told\nAnswer with the option's letter from the given choices"
        " directly."
    )
    image = str(data_dir / "pmc_vqa/figures/PMC1_F1_1.jpg")
    assert sample.messages[0]["content"] == [
        {"type": "image", "image": image},
        {"type": "text", "text": prompt},
    ]
    assert sample.fields == {
        "prompt": prompt,
        "answer": "B",
        "choices": [" A:Diffuse uptake", " B:Focal uptake ", " C:No uptake", " D:Cannot be told"],
    }


def test_options_have_no_letters_and_figures_make_groups(data_dir):
    samples = load(data_dir)
    assert [sample.id for sample in samples] == ["0", "1", "2", "3", "4"]
    assert samples[0].options == (
        *("Diffuse uptake", "Focal uptake", "No uptake", "Cannot be told"),
    )
    assert [sample.group for sample in samples] == [IMAGES[i] for i in (0, 0, 1, 2, 2)]


def test_both_scores_read_the_gold(data_dir):
    for sample in load(data_dir):
        scored = benchmark.score(sample, benchmark.Answer(f"{sample.gold}.", "stop"))
        assert scored["compat"]["correct"]
        assert scored["strict"]["correct"]


def test_both_scores_refuse_another_option(data_dir):
    for sample in load(data_dir):
        other = "B" if sample.gold == "A" else "A"
        scored = benchmark.score(sample, benchmark.Answer(other, "stop"))
        assert not scored["compat"]["correct"]
        assert not scored["strict"]["correct"]


def test_the_rule_does_not_look_between_tags(data_dir):
    sample = load(data_dir)[2]
    scored = benchmark.score(sample, benchmark.Answer("<answer>C</answer>", "stop"))
    assert sample.rule == "choice_untagged"
    assert scored["compat"]["correct"]


@pytest.mark.parametrize("folder", ["pmc_vqa", "PMC-VQA"])
def test_the_archive_of_the_hub_is_unpacked(tmp_path, folder):
    write_csv(tmp_path / folder, ROWS)
    with zipfile.ZipFile(tmp_path / folder / "images_2.zip", "w") as file:
        for name in IMAGES:
            file.writestr(f"figures/{name}", fixtures.picture())
    image = load(tmp_path)[3].media[0]["image"]
    assert image == str(tmp_path / folder / "images_2/figures/PMC2_F3_1.jpg")


def test_other_golds_than_published_are_told(data_dir):
    count, golds = files.remarks(pmc_vqa.CARD, load(data_dir))
    assert count == "pmc_vqa has 5 rows here, 33430 as published"
    assert "C 2 (12636)" in golds


def test_a_missing_image_is_named(data_dir):
    (data_dir / "pmc_vqa/figures/PMC1_F1_2.jpg").unlink()
    with pytest.raises(errors.UserError, match="no picture 'PMC1_F1_2.jpg' .looked in .*figures"):
        load(data_dir)


def test_missing_images_say_what_to_unpack(tmp_path):
    write_csv(tmp_path, ROWS)
    with pytest.raises(
        errors.UserError, match="no folder figures or images_2/figures; put images_2.zip"
    ):
        load(tmp_path)


def test_version_1_is_told_by_its_columns(data_dir):
    header = ["Figure_path", "Question", "Answer", *HEADER[4:8], "Answer_label"]
    write_csv(data_dir / "pmc_vqa", [["a.jpg", "Why?", "x", "a", "b", "c", "d", "A"]], header)
    with pytest.raises(errors.UserError, match="row 0 needs .*'split'.*, found .*'Answer_label'"):
        load(data_dir)


@pytest.mark.parametrize("cells", [ROWS[1][:-1], [*ROWS[1], "more"]])
def test_a_row_of_another_length_is_refused(data_dir, cells):
    write_csv(data_dir / "pmc_vqa", [ROWS[0], cells])
    with pytest.raises(errors.UserError, match="row 1 needs 10 cells, found (9|11)"):
        load(data_dir)


def test_a_gold_that_is_no_letter_is_refused(data_dir):
    write_csv(data_dir / "pmc_vqa", [row(1, IMAGES[0], "Focal uptake")])
    with pytest.raises(errors.UserError, match="row 0: Answer must be A, B, C or D, got 'Focal"):
        load(data_dir)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match="hf download .* RadGenome/PMC-VQA --revision b56a"):
        load(tmp_path)
