# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import catalog, files
from lingshu_jax.eval.benchmarks import iu_xray
from tests.eval.benchmarks import fixtures

# MedEvalKit's fields and names; words that could identify somebody read XXXX.
ROWS = [
    {
        "id": f"open_i_{number}",
        "image": [f"CXR{number}_IM-{number}-{view}001.png" for view in range(1, views + 1)],
        "findings": findings,
        "impression": "No acute disease.",
    }
    for number, views, findings in (
        (1020, 2, "Lung volumes are low."),
        (1027, 2, "Compared to XXXX, no change."),
        (103, 3, "The lungs are clear."),
        (1041, 1, "Heart size normal."),
        (105, 4, "XXXX stable."),
    )
]


@pytest.fixture
def data_dir(tmp_path):
    fixtures.write_json(tmp_path / "iu_xray/test.json", ROWS)
    for row in ROWS:
        for name in row["image"]:
            fixtures.write_picture(tmp_path / "iu_xray/images" / name)
    return tmp_path


def load(folder):
    return catalog.load(iu_xray.IuXray(), folder)


def test_all_views_are_shown_in_order_before_the_prompt(data_dir):
    samples = load(data_dir)
    assert [len(sample.media) for sample in samples] == [2, 2, 3, 1, 4]
    content = samples[0].messages[0]["content"]
    assert [part["text"] for part in content if part["type"] == "text"] == [
        "<image_1>: ",
        "<image_2>: ",
        "You are a helpful assistant. Please generate a report for the given images, including both"
        " findings and impressions. Return the report in the following format: Findings: {}"
        " Impression: {}.",
    ]
    assert [part["type"] for part in content] == ["text", "image", "text", "image", "text"]
    shown = [part["image"] for part in samples[0].media]
    assert shown == [str(data_dir / "iu_xray/images" / name) for name in ROWS[0]["image"]]


def test_the_reference_and_what_is_kept_of_a_study(data_dir):
    sample = load(data_dir)[1]
    assert sample.id == "study_2"
    assert sample.gold == ("Findings: Compared to XXXX, no change. Impression: No acute disease..")
    assert sample.fields == {
        "findings": "Compared to XXXX, no change.",
        "impression": "No acute disease.",
    }
    assert (sample.scoring, sample.answer_type, sample.rule, sample.group) == (
        *("report", "report", "report"),
        "",
    )
    assert dict(sample.strata) == {"views": "2", "sections": "findings, impression"}


def test_other_counts_than_published_are_told(data_dir):
    told = files.remarks(iu_xray.CARD, load(data_dir))
    assert told == ["iu_xray has 5 rows here, 296 as published"]


def test_missing_data_say_where_they_are(data_dir):
    (data_dir / "iu_xray/images" / ROWS[2]["image"][1]).unlink()
    with pytest.raises(errors.UserError, match=f"row 2: .* the image {ROWS[2]['image'][1]}"):
        load(data_dir)
    (data_dir / "iu_xray/test.json").unlink()
    with pytest.raises(errors.UserError, match=r"holds test\.json; .*MedEvalKit.*NLMCXR_png\.tgz"):
        load(data_dir)
