# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import csv
import json

import pytest
from PIL import Image

from lingshu_jax.common import errors, pages, prompts
from lingshu_jax.engines import protocol
from lingshu_jax.eval.trust import desk as desk_lib
from lingshu_jax.eval.trust import findings, hallucination
from tests.eval import scripted


class Saying:
    """Answers every question with what a function of its text says."""

    def __init__(self, say):
        self.requests: list[protocol.Request] = []
        self._say = say

    def generate(self, requests, *, on_result):
        for place, request in enumerate(requests):
            self.requests.append(request)
            text = self._say(request.messages[-1]["content"][-1]["text"], request.id)
            completion = protocol.Completion(
                text=text, tokens=(1,), logprobs=(0.0,), finish_reason="stop"
            )
            on_result(place, [completion])
        return []


def write_images(folder, *names):
    for place, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40 + place, 30), 60).save(path, "PNG")


def write_csv(path, header, *rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def table(tmp_path):
    """Three images of two patients; pneumonia, effusion and COVID-19 are the findings."""
    write_images(tmp_path, "SMITH_1.png", "SMITH_2.png", "JONES.png")
    return write_csv(
        tmp_path / "table.csv",
        ["image", "findings", "group", "view"],
        ["SMITH_1.png", "Pneumonia|Effusion", "SMITH", "PA"],
        ["SMITH_2.png", "", "SMITH", "AP"],
        ["JONES.png", "COVID-19; pneumonia", "JONES", "AP"],
    )


def run(tmp_path, table, say, limit=None):
    engine = Saying(say)
    desk = desk_lib.Desk(
        tmp_path / "out", scripted.make_settings("nowhere"), {}, lambda: engine, limit=limit
    )
    return hallucination.run(desk, table=table), engine.requests


def states(row):
    return row.present, row.absent, row.uncertain


def test_each_finding_of_the_table_is_asked_about_in_the_words_of_medevalkit(tmp_path, table):
    section, requests = run(tmp_path, table, lambda text, _: "no")
    asked = sorted((r.id, r.messages[0]["content"][-1]["text"]) for r in requests)
    assert len(asked) == 3 * 3
    assert asked[0] == ("1-1", f"Is there COVID-19 in this image?\n{prompts.YES_NO}")
    assert asked[1] == ("1-2", f"Is there effusion in this image?\n{prompts.YES_NO}")
    assert requests[0].messages[0]["content"][0]["type"] == "image"
    assert list(section["findings"]) == ["COVID-19", "effusion", "pneumonia"]
    assert section["benchmarks"] == {}


def test_one_who_knows_has_no_false_yes(tmp_path, table):
    present = {"1-2", "1-3", "3-1", "3-3"}
    section, _ = run(tmp_path, table, lambda _, row_id: "yes" if row_id in present else "No.")
    overall = section["overall"]
    assert (overall["absent"], overall["present"], overall["clusters"]) == (5, 4, 2)
    assert (overall["false_yes_rate"], overall["true_yes_rate"]) == (0.0, 1.0)
    assert (overall["balanced_accuracy"], overall["youden"]) == (1.0, 1.0)
    assert section["worst"] == []


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_one_answer_to_everything_is_the_baseline(tmp_path, table, answer):
    section, _ = run(tmp_path, table, lambda *_: answer)
    overall, baseline = section["overall"], section["baselines"][answer]
    for name, value in baseline.items():
        assert overall[name] == pytest.approx(value), name
    assert overall["youden"] == 0
    assert baseline["accuracy"] == pytest.approx(4 / 9 if answer == "yes" else 5 / 9)


def test_rates_by_finding_are_of_its_own_images(tmp_path, table):
    section, _ = run(tmp_path, table, lambda text, _: "yes" if "pneumonia" in text else "no")
    pneumonia, effusion = section["findings"]["pneumonia"], section["findings"]["effusion"]
    assert (pneumonia["absent"], pneumonia["false_yes"]) == (1, 1)
    assert (pneumonia["present"], pneumonia["true_yes"]) == (2, 2)
    assert pneumonia["youden"] == 0
    assert (effusion["absent"], effusion["false_yes"], effusion["true_yes"]) == (2, 0, 0)
    assert effusion["false_yes_interval"][1] > 0.5, "two images say little"
    assert [(one["row"], one["ids"]) for one in section["worst"]] == [(2, ["2-3"])]
    assert section["worst"][0]["present"] == []
    assert section["strata"]["view"]["AP"]["absent"] == 4


def test_an_answer_that_is_neither_is_wrong_both_ways(tmp_path, table):
    section, _ = run(tmp_path, table, lambda *_: "I cannot tell from this picture.")
    overall = section["overall"]
    assert (overall["unanswered"], overall["false_yes"], overall["true_yes"]) == (9, 0, 0)
    assert (overall["accuracy"], overall["balanced_accuracy"], overall["youden"]) == (0, 0, -1)
    assert overall["youden_interval"] == [-1, -1]


def test_names_of_files_and_patients_stay_out_of_the_output(tmp_path, table):
    section, _ = run(tmp_path, table, lambda *_: "yes")
    template = pages.environment({"it": hallucination.TEMPLATE}).get_template("it")
    page = template.render(section=section, summary={})
    written = [path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    for text in (json.dumps(section), page, *written):
        assert "SMITH" not in text
        assert "JONES" not in text
    assert any("group 2" in text for text in written), "and images of a patient are together"


def test_the_page_shows_each_finding_and_the_baselines(tmp_path, table):
    section, _ = run(tmp_path, table, lambda text, _: "yes" if "COVID" in text else "no")
    template = pages.environment({"it": hallucination.TEMPLATE}).get_template("it")
    page = " ".join(template.render(section=section, summary={}).split())
    for text in ("COVID-19", "pneumonia", "always “yes”", "always “no”", "By view", "3 images"):
        assert text in page


def test_a_limit_draws_images_and_always_the_same(tmp_path):
    names = [f"{number}.png" for number in range(20)]
    write_images(tmp_path, *names)
    path = write_csv(tmp_path / "t.csv", ["image", "findings"], *([name, "mass"] for name in names))
    section, requests = run(tmp_path, path, lambda *_: "yes", limit=5)
    assert len(requests) == 5
    assert section["remarks"] == ["5 of 20 images were drawn"]
    rows = findings.read(path).rows
    drawn = [row.number for row in hallucination.choose(rows, 5)]
    assert [r.id for r in sorted(requests, key=lambda r: int(r.id.split("-")[0]))] == [
        f"{number}-1" for number in drawn
    ]
    assert drawn == sorted(drawn) != [1, 2, 3, 4, 5]
    assert hallucination.choose(rows, None) == rows


def test_our_layout_takes_json_lists_and_findings_in_doubt(tmp_path):
    write_images(tmp_path, "a.png", "b.png")
    path = write_jsonl(
        tmp_path / "t.jsonl",
        {"image": "a.png", "findings": ["Mass"], "uncertain": "nodule", "modality": "CT"},
        {"image": "b.png", "findings": "[]"},
        {"image": "missing.png", "findings": "Nodule|mass"},
    )
    table = findings.read(path)
    assert (table.layout, table.missing) == ("findings", 1)
    assert table.findings == {"mass": "mass", "nodule": "nodule"}
    assert states(table.rows[0]) == ({"mass"}, None, {"nodule"})
    assert table.rows[0].strata == {"modality": "CT"}
    asked = hallucination.questions(table.rows, table.findings)
    assert [(s.id, s.gold) for s in asked] == [("1-1", "yes"), ("2-1", "no"), ("2-2", "no")]
    section, _ = run(tmp_path, path, lambda *_: "no")
    assert section["remarks"][0] == "The images of 1 rows of the table are not there"
    assert "1 pairs of image and finding are uncertain" in section["remarks"][1]


def test_chest_x_ray14_is_read_as_published(tmp_path):
    write_images(tmp_path, "images_001/images/1_000.png", "images_002/images/2_000.png")
    path = write_csv(
        tmp_path / "Data_Entry_2017.csv",
        ["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "View Position"],
        ["1_000.png", "Cardiomegaly|Pleural_Thickening", "0", "1", "PA"],
        ["2_000.png", "No Finding", "0", "2", "AP"],
    )
    table = findings.read(path)
    assert (table.layout, table.missing) == ("nih", 0)
    assert list(table.findings.values()) == ["cardiomegaly", "pleural thickening"]
    assert states(table.rows[1]) == (frozenset(), None, frozenset())
    assert (table.rows[0].group, table.rows[0].strata) == ("1", {"view": "PA"})


def test_chexpert_blanks_are_absent_only_in_a_normal_image_and_devices_never(tmp_path):
    folder = tmp_path / "CheXpert-v1.0-small"
    place = "CheXpert-v1.0-small/train/{}/study1/view1_frontal.jpg"
    names = [place.format(f"patient0000{number}") for number in range(1, 4)]
    write_images(tmp_path, *names)
    path = write_csv(
        folder / "train.csv",
        ["Path", "Sex", "No Finding", "Edema", "Fracture", "Support Devices"],
        [names[0], "Male", "1.0", "", "0.0", ""],
        [names[1], "Male", "", "-1.0", "", "1.0"],
        [names[2], "Male", "0.0", "1.0", "", "0.0"],
    )
    table = findings.read(path)
    assert (table.layout, table.missing) == ("columns", 0)
    assert [states(row) for row in table.rows] == [
        (set(), {"edema", "fracture"}, {"support devices"}),
        ({"support devices"}, set(), {"edema", "fracture"}),
        ({"edema"}, {"support devices"}, {"fracture"}),
    ]
    assert [row.group for row in table.rows] == ["patient00001", "patient00002", "patient00003"]


def test_real_labels_of_open_i_are_read(tmp_path, shared_dir):
    labels = shared_dir / "data" / "negbio_openi_gold" / "openi_gld_std14.csv"
    path = tmp_path / "t.csv"
    path.write_text("".join(labels.read_text().splitlines(keepends=True)[:200]))
    write_images(tmp_path, "CXR1", "CXR1000")
    table = findings.read(path)
    assert len(table.findings) == 14
    assert [(row.present, len(row.absent)) for row in table.rows] == [
        (set(), 14),
        ({"atelectasis"}, 13),
    ]


def test_real_images_with_captions_become_a_table(tmp_path, shared_dir):
    folder = shared_dir / "data" / "covid_chestxray_open"
    lines = (folder / "captions.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    path = write_jsonl(
        tmp_path / "t.jsonl",
        *({**r, "image": str(folder / r["image"]), "findings": r["finding"]} for r in rows),
    )
    section, requests = run(tmp_path, path, lambda text, _: "yes" if "ARDS" in text else "no")
    assert len(requests) == 3 * 2
    assert section["findings"]["ARDS"]["false_yes_rate"] == 1
    assert section["findings"]["pneumocystis"]["true_yes_rate"] == 0


def test_a_finding_in_another_case_is_the_same(tmp_path):
    write_images(tmp_path, "a.png", "b.png")
    path = write_csv(
        tmp_path / "t.csv", ["image", "findings"], ["a.png", "EDEMA"], ["b.png", "Edema"]
    )
    table = findings.read(path)
    assert table.findings == {"edema": "EDEMA"}
    assert [row.present for row in table.rows] == [{"edema"}, {"edema"}]


def test_an_image_that_does_not_read_is_left_out_and_counted(tmp_path, table):
    (tmp_path / "JONES.png").write_bytes(b"no picture")
    section, requests = run(tmp_path, table, lambda *_: "no")
    assert {r.id.split("-")[0] for r in requests} == {"1", "2"}
    assert section["remarks"] == ["1 images do not read and were not asked about"]


@pytest.mark.parametrize(
    "header, row, said",
    [
        (["image", "labels"], ["a.png", "mass"], "needs the columns image and findings"),
        (["image", "findings"], ["b.png", "mass"], "none of the images of 1 rows is there"),
        (["image", "findings"], ["", "mass"], "row 1: no image is named"),
        (["image", "findings"], ["a.png", "[mass"], "row 1: findings are no JSON list"),
        (["image", "findings"], ["a.png", "normal"], "no row names a finding"),
        (["Path", "Edema"], ["a.png", "2"], "row 1: Edema must be 1, 0, -1 or blank, got '2'"),
        (["image", "findings"], None, "has no rows"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(tmp_path, header, row, said):
    write_images(tmp_path, "a.png")
    path = write_csv(tmp_path / "t.csv", header, *([row] if row else []))
    with pytest.raises(errors.UserError, match=said.replace("[", r"\[")):
        findings.read(path)


def test_a_row_without_findings_is_named(tmp_path):
    write_images(tmp_path, "a.png", "b.png")
    path = write_jsonl(
        tmp_path / "t.jsonl", {"image": "a.png", "findings": ["mass"]}, {"image": "b.png"}
    )
    with pytest.raises(errors.UserError, match="row 2: it has no findings, as the first row has"):
        findings.read(path)


def test_nothing_to_ask_is_an_error(tmp_path):
    write_images(tmp_path, "a.png", "b.png")
    path = write_jsonl(
        tmp_path / "t.jsonl",
        {"image": "a.png", "findings": [], "uncertain": ["mass"]},
        {"image": "missing.png", "findings": ["mass"]},
    )
    with pytest.raises(errors.UserError, match="none of 1 images can be asked about"):
        run(tmp_path, path, lambda *_: "no")
