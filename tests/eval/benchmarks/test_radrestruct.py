# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import radrestruct
from tests.eval.benchmarks import choices, fixtures


def item(question, answers, kind="single_choice", *, options=("yes", "no"), path="lung", after=()):
    about = {"answer_type": kind, "options": list(options), "path": path}
    return [question, list(answers), [list(earlier) for earlier in after], about]


SIGNS = ["Are there any signs in the lung?", ["yes"]]
PARTS = ("apex", "left lower lobe", "right lower lobe")
WHERE = "In which part of the body?"
# Question, golds, earlier questions, about. A single choice may have other options than yes and no.
REPORT = [
    item("Are there any foreign objects?", ["no"], path="foreign objects_objects"),
    item("Are there any signs in the lung?", ["yes"], path="lung_signs"),
    item(
        WHERE,
        ["right lower lobe", "left lower lobe"],
        "multi_choice",
        options=PARTS,
        path="lung_signs_opacity_body_region",
        after=[SIGNS],
    ),
    item(
        "What is the degree?",
        ["mild"],
        options=("mild", "no selection"),
        path="lung_signs_opacity_degree",
        after=[SIGNS],
    ),
    item(
        WHERE,
        ["ribs"],
        "fixed_choice",
        options=("ribs",),
        path="skeletal system_signs_nipple shadow_body_region",
    ),
]
MAPPING = {
    "1": ["CXR1_1_IM-0001-4001"],
    "100": ["CXR100_IM-0002-1001"],
    "1005": ["CXR1005_IM-0006-1001", "CXR1005_IM-0006-3001"],
}


def write(folder, report=REPORT, images="images"):
    fixtures.write_json(folder / radrestruct.MAPPING, MAPPING)
    fixtures.write_json(folder / "test_qa_pairs/1005.json", report)
    fixtures.write_json(folder / "test_qa_pairs/100.json", REPORT[:1])
    for name in (*MAPPING["100"], *MAPPING["1005"]):
        fixtures.write_picture(folder / images / f"{name}.png")


@pytest.fixture
def data_dir(tmp_path):
    write(tmp_path / "radrestruct")
    return tmp_path


def load(folder):
    return catalog.load(radrestruct.RadRestruct(), folder)


def test_every_image_is_asked_the_questions_of_its_report(data_dir):
    samples = load(data_dir)
    assert len(samples) == 1 + 2 * 5
    shown = [sample.media[0]["image"].rpartition("/")[2] for sample in samples]
    names = (*MAPPING["100"], *MAPPING["1005"])
    assert shown == [
        f"{name}.png" for name, n in zip(names, (1, 5, 5), strict=True) for _ in range(n)
    ]


def test_questions_are_asked_as_medevalkit_asks_them(data_dir):
    asked = [sample.messages[0]["content"][1]["text"] for sample in load(data_dir)[1:6]]
    assert asked == [
        "Are there any foreign objects?\nPlease output 'yes' or 'no'(no extra output).",
        "Are there any signs in the lung?\nPlease output 'yes' or 'no'(no extra output).",
        "\nQuestion: In which part of the body?\nOptions: \napex\nleft lower lobe\nright lower"
        " lobe\nAnswer with the option's letter from the given choices directly.",
        "What is the degree?\nPlease output 'yes' or 'no'(no extra output).",
        "\nQuestion: In which part of the body?\nOptions: \nribs\nAnswer with the option's letter"
        " from the given choices directly.",
    ]


def test_strict_types_follow_the_options(data_dir):
    found = [(s.answer_type, s.gold, s.options, s.choices) for s in load(data_dir)[1:6]]
    assert found == [
        ("yes_no", "no", (), ()),
        ("yes_no", "yes", (), ()),
        ("choices", "CB", PARTS, PARTS),
        ("choice", "mild", ("mild", "no selection"), ()),
        ("open", "ribs", (), ("ribs",)),
    ]


def test_results_keep_the_first_gold(data_dir):
    assert load(data_dir)[3].fields == {
        "answer_type": "multi_choice",
        "question": "In which part of the body?",
        "choices": list(PARTS),
        "answer": "right lower lobe",
    }


def test_yes_and_no_are_read_by_both_scores(data_dir):
    no, yes = load(data_dir)[1:3]
    assert choices.verdicts(no, "no") == choices.verdicts(yes, "Yes.") == (True, True)
    assert choices.verdicts(no, "yes") == choices.verdicts(yes, "No.") == (False, False)


def test_medevalkit_counts_the_first_gold_and_the_strict_score_all(data_dir):
    sample = load(data_dir)[3]
    assert choices.verdicts(sample, "C") == (True, False)
    assert choices.verdicts(sample, "B, C")[1]
    assert choices.verdicts(sample, "A") == (False, False)


def test_questions_of_a_report_share_a_group_that_does_not_name_it(data_dir):
    samples = load(data_dir)
    assert len({sample.group for sample in samples}) == 2
    assert len({sample.group for sample in samples[1:]}) == 1
    assert not any("100" in sample.group + sample.id for sample in samples)
    assert [dict(sample.strata) for sample in samples[3:6]] == [
        {"answer_type": "multi_choice", "area": "lung"},
        {"answer_type": "single_choice", "area": "lung"},
        {"answer_type": "fixed_choice", "area": "skeletal system"},
    ]


def test_medevalkits_folder_of_images_does_as_well(tmp_path):
    write(tmp_path / "Radrestruct", images="imgs")
    assert len(load(tmp_path)) == 11


def test_other_golds_than_published_are_told(data_dir):
    told = files.remarks(radrestruct.CARD, load(data_dir))
    assert told == [
        "radrestruct has 11 rows here, 18186 as published",
        "radrestruct has other golds here than as published (in brackets): no 3 (15720),"
        " yes 2 (1021)",
    ]


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (
            item("Where?", ["heart"], "multi_choice", options=PARTS),
            r"question 0: answers must be among \['apex', .*\], got \['heart'\]",
        ),
        (
            item("Where?", ["apex"], "free_text", options=PARTS),
            "question 0: answer_type must be one of single_choice, .*, got 'free_text'",
        ),
        (item("Where?", [], "multi_choice", options=PARTS), "question 0 needs .question, answers"),
        (item("Where?", ["apex"], "multi_choice", options=()), "question 0 needs"),
        ({"question": "Where?"}, "question 0 needs .question, answers, history"),
    ],
)
def test_a_question_of_another_form_is_named(tmp_path, odd, told):
    write(tmp_path, report=[odd])
    with pytest.raises(errors.UserError, match=told):
        load(tmp_path)


def test_a_missing_image_is_named(data_dir):
    (data_dir / "radrestruct/images/CXR1005_IM-0006-3001.png").unlink()
    with pytest.raises(errors.UserError, match=r"no picture 'CXR1005_IM-0006-3001\.png'"):
        load(data_dir)


def test_a_report_without_images_is_named(data_dir):
    fixtures.write_json(data_dir / "radrestruct" / radrestruct.MAPPING, {"1": MAPPING["1"]})
    with pytest.raises(errors.UserError, match="must list the images of report 100"):
        load(data_dir)


def test_missing_data_say_where_they_are(tmp_path):
    with pytest.raises(errors.UserError, match=r"ChantalMP/Rad-ReStruct.*NLMCXR_png\.tgz"):
        load(tmp_path)
