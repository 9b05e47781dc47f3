# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json

import pytest

from lingshu_jax.common import errors, pages
from lingshu_jax.eval import benchmark, catalog, folder, runner
from lingshu_jax.eval.benchmarks import reports
from lingshu_jax.eval.report_metrics import cider, columns, lexical, measure, neural, section, split
from lingshu_jax.eval.trust import desk as desk_lib

STUDIES = [
    ("The lungs are clear. No effusion.", "No acute disease."),
    ("Large left pleural effusion.", "Effusion."),
    ("The heart is enlarged.", ""),
    ("Low lung volumes without pneumothorax.", "No acute disease."),
    ("", "Old rib fracture."),
]
RESPONSES = [
    "Findings: The lungs are clear. No effusion. Impression: No acute disease.",
    "",
    "The heart is enlarged compared to the prior study.",
    "**Findings:** Low lung volumes.\n**Impression:** <b>No acute disease.</b>",
    "No effusion. " * 40,
]


def no_engine():
    raise AssertionError("nobody is asked")


def make_desk(tmp_path, responses=RESPONSES, *, benchmarks="iu_xray", studies=STUDIES):
    rows = [
        {"id": f"p{number}", "findings": findings, "impression": impression, "response": response}
        for number, ((findings, impression), response) in enumerate(
            zip(studies, responses, strict=True)
        )
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows))
    settings = runner.Settings(model="made/up", benchmarks=benchmarks, predictions=str(path))
    runner.score_predictions(settings, tmp_path / "out")
    loaded = runner.load_questions(settings)
    return desk_lib.Desk(tmp_path / "out", settings, loaded, no_engine)


@pytest.fixture
def desk(tmp_path):
    return make_desk(tmp_path)


def run(desk, **options):
    content = section.run(desk, **options)
    assert content is not None
    return content


def render(content):
    page = "{% extends 'base.html' %}{% block body %}" + section.TEMPLATE + "{% endblock %}"
    template = pages.environment({"page": page}).get_template("page")
    return template.render(section=json.loads(json.dumps(content)), summary={})


def test_every_scope_counts_the_references_that_have_it(desk):
    found = run(desk)["benchmarks"]["iu_xray"]["scopes"]
    assert {scope: (part["n"], part["empty"]) for scope, part in found.items()} == {
        "findings": (4, 1),
        "impression": (4, 2),
        "both": (5, 1),
    }


def test_an_empty_report_scores_0_and_is_left_out_of_non_empty(desk):
    part = run(desk)["benchmarks"]["iu_xray"]["scopes"]["both"]
    lines = read_lines(desk)
    assert set(lines[1]["both"].values()) == {0.0}
    for name in lines[0]["both"]:
        values = [line["both"][name] for line in lines]
        assert part["all"][name] == pytest.approx(sum(values) / 5)
        assert part["non_empty"][name] == pytest.approx(sum(values) / 4)
    assert part["non_empty"]["rougeL_coco"] > part["all"]["rougeL_coco"] > 0


def read_lines(desk):
    path = desk.output_dir / "iu_xray" / section.FILE
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_whole_is_compared_with_medevalkits_reference(desk):
    run(desk)
    lines = read_lines(desk)
    for line, response, (findings, impression) in zip(lines, RESPONSES, STUDIES, strict=True):
        reference = f"Findings: {findings} Impression: {impression}."
        expected = lexical.rouge_l_rouge101(response, reference) if response else 0.0
        assert line["both"]["rougeL_rouge101"] == expected
    assert lines[0]["findings"]["rougeL_own"] == 1.0
    assert lines[0]["both"]["rougeL_rouge101"] < 1.0  # for the point behind the point
    assert lines[2]["impression"] is None
    assert lines[4]["findings"] is None


def test_values_of_each_report_hold_no_text(desk):
    run(desk)
    text = (desk.output_dir / "iu_xray" / section.FILE).read_text()
    for findings, impression in STUDIES:
        assert not [part for part in (findings, impression) if part and part in text]
    assert [line["id"] for line in read_lines(desk)] == [row["id"] for row in desk.rows("iu_xray")]


def test_odd_reports_are_counted(desk):
    content = run(desk)
    counts = content["benchmarks"]["iu_xray"]["flags"]
    assert {flag: count for flag, count in counts.items() if count} == {
        "empty": 1,
        "repetition": 1,
        "priors": 1,
        "no_findings": 2,
        "no_impression": 2,
    }
    assert set(counts) == set(split.FLAGS)
    assert read_lines(desk)[1]["flags"] == ["empty"]


def test_ours_stand_beside_the_papers(desk):
    content = run(desk)
    entry = content["benchmarks"]["iu_xray"]
    ours = entry["published"]["ours"]
    assert ours["ROUGE-L"] == 100 * entry["scopes"]["both"]["all"]["rougeL_rouge101"]
    assert ours["CIDEr"] is ours["SembScore"] is None
    assert list(ours) == ["model", *columns.PAPER]
    assert entry["published"]["paper"]["Lingshu-32B"]["RaTEScore"] == 63.5
    page = render(content)
    assert "Lingshu-7B (published)" in page
    assert "180.7" in page


def test_what_is_absent_says_what_it_needs(desk, tmp_path):
    absent = run(desk)["absent"]
    assert {absent[name] for name in (*neural.NAMES, "radcliq_v1")} == {section.NO_WEIGHTS}
    assert cider.CAPTIONS in absent["cider_medevalkit"]
    (tmp_path / "weights").mkdir()
    absent = run(desk, weights_dir=tmp_path / "weights")["absent"]
    assert "chexbert.pth is missing" in absent["sembscore"]
    assert absent["radcliq_v0"] == "needs bertscore, sembscore, radgraph_f1"
    with pytest.raises(errors.UserError, match="no folder"):
        run(desk, weights_dir=tmp_path / "elsewhere")


def test_cocos_captions_give_the_papers_cider(desk, tmp_path):
    entries = [{"image_id": 1, "caption": "No dog"}, {"image_id": 2, "caption": "A dog."}]
    (tmp_path / "weights").mkdir()
    captions = tmp_path / "weights" / cider.CAPTIONS
    captions.write_text(json.dumps({"annotations": entries}))
    content = run(desk, weights_dir=tmp_path / "weights")
    entry = content["benchmarks"]["iu_xray"]
    both = entry["scopes"]["both"]
    assert both["non_empty"]["cider_medevalkit"] > both["all"]["cider_medevalkit"] > 0
    # MedEvalKit leaves empty reports out of this one, and not out of ROUGE-L.
    ours = entry["published"]["ours"]["CIDEr"]
    assert ours == 100 * both["non_empty"]["cider_medevalkit"]
    assert "cider_medevalkit" not in entry["scopes"]["findings"]["all"]
    assert "cider_medevalkit" not in content["absent"]


def test_intervals_hold_the_mean(desk):
    part = run(desk)["benchmarks"]["iu_xray"]["scopes"]["both"]
    for name, (low, high) in part["intervals"].items():
        assert low <= part["all"][name] <= high
    assert part["intervals"]["cider_ptb"][1] > 1  # no share


def test_one_study_has_no_interval_and_no_chance(tmp_path):
    desk = make_desk(tmp_path, RESPONSES[:1], studies=STUDIES[:1])
    content = run(desk)
    entry = content["benchmarks"]["iu_xray"]
    assert set(entry["scopes"]["both"]["intervals"].values()) == {None}
    assert entry["chance"] is None
    assert entry["scopes"]["both"]["all"]["cider_ptb"] == 0.0
    assert content["remarks"] == [
        "iu_xray has 1 reports: CIDEr-D depends on which references there are, and says little"
        " below 50"
    ]
    render(content)


def test_chance_is_the_reference_of_another_study():
    part = measure.Part(
        places=[0, 1],
        texts=["clear lungs", "effusion"],
        truths=["clear lungs today", "large effusion"],
        groups=["", ""],
    )
    chance = measure.chance(part)
    assert chance is not None
    swapped = lexical.of_reports(["large effusion", "clear lungs today"], part.truths)
    assert chance["rougeL_own"] == sum(swapped["rougeL_own"]) / 2 == 0.0
    assert measure.measure(part, {}, measure.Tools())[0]["all"]["rougeL_own"] > 0.5


def test_nothing_but_empty_reports(tmp_path):
    content = run(make_desk(tmp_path, [""] * 5))
    part = content["benchmarks"]["iu_xray"]["scopes"]["both"]
    assert part["non_empty"] is None
    assert set(part["all"].values()) == {0.0}
    assert content["benchmarks"]["iu_xray"]["published"]["ours"]["ROUGE-L"] == 0.0
    assert "0 non-empty" in render(content)


def test_reports_in_chinese_have_a_remark(tmp_path):
    studies = [("双肺清晰", "未见异常"), ("心影增大", "心脏增大")]
    desk = make_desk(
        tmp_path, ["检查所见：双肺清晰。印象：未见异常", "所见：正常"], studies=studies
    )
    content = run(desk)
    assert any("2 of 2 references are in Chinese" in remark for remark in content["remarks"])
    part = content["benchmarks"]["iu_xray"]["scopes"]["findings"]["all"]
    assert part["rougeL_own"] > 0.4
    assert part["rougeL_rougescore"] == 0.0


def test_models_metrics_are_summed_up_and_shown(desk):
    content = run(desk)
    part = measure.Part(
        places=[0, 1], texts=["clear lungs", ""], truths=["clear lungs", "mass"], groups=["", ""]
    )
    none = [0] * len(neural.FINDINGS)
    found = {
        "bertscore": [1.0, 0.0],
        "sembscore": [1.0, 0.0],
        "radgraph_f1": [1.0, 0.0],
        "ratescore": [0.9, 0.0],
        "chexbert": [[[*none[:-1], 1]] * 2, [none, [1, *none[1:]]]],
    }
    numbers, values = measure.measure(part, found, measure.Tools())
    assert values["ratescore"] == [0.9, 0.0]
    assert numbers["all"]["ratescore"] == pytest.approx(0.45)
    assert numbers["non_empty"]["ratescore"] == pytest.approx(0.9)
    assert numbers["non_empty"]["radcliq_v1"] == pytest.approx(-1.4407, abs=1e-4)
    assert numbers["non_empty"]["radcliq_v1_inverse"] is None
    mean = (2.4501 - 1.4407) / 2
    assert numbers["all"]["radcliq_v1"] == pytest.approx(mean, abs=1e-4)
    assert numbers["all"]["radcliq_v1_inverse"] == pytest.approx(1 / mean, rel=1e-3)
    assert numbers["chexbert"]["findings"]["Enlarged Cardiomediastinum"]["support"] == 1
    assert "chexbert" not in numbers["intervals"]
    content["benchmarks"]["iu_xray"]["scopes"]["both"] = numbers
    page = render(content)
    for text in ("RadCliQ-v1", "Enlarged Cardiomediastinum", "RaTEScore", "BERTScore"):
        assert text in page


def test_a_benchmark_without_reports_has_no_section(tmp_path):
    path = tmp_path / "results.json"
    rows = [{"question": "Is it?", "answer": "yes", "response": "yes"}]
    path.write_text(json.dumps(rows))
    settings = runner.Settings(model="m", benchmarks="vqa_rad", predictions=str(path))
    runner.score_predictions(settings, tmp_path / "out")
    loaded = runner.load_questions(settings)
    desk = desk_lib.Desk(tmp_path / "out", settings, loaded, no_engine)
    assert section.run(desk) is None
    assert not (tmp_path / "out" / "vqa_rad" / section.FILE).exists()


def test_a_reference_without_sections_is_split_by_its_headings():
    samples = [
        benchmark.Sample(
            id=str(number), question="?", gold=gold, answer_type="report", rule="report"
        )
        for number, gold in enumerate(["FINDINGS: clear\nIMPRESSION: normal", "Clear lungs."])
    ]
    rows = [{"response": "Findings: a Impression: b"}] * 2
    parts = section.split_all(samples, rows)
    assert (parts["findings"].truths, parts["impression"].truths) == (
        ["clear", "Clear lungs."],
        ["normal"],
    )
    assert parts["impression"].places == [0]
    assert parts["both"].texts == [rows[0]["response"]] * 2


def test_the_page_escapes_and_reads(desk):
    content = run(desk)
    content["benchmarks"]["<b>x</b>"] = content["benchmarks"].pop("iu_xray")
    page = render(content)
    assert "<b>x</b>" not in page
    for column in columns.COLUMNS:
        known = column.name in content["benchmarks"]["<b>x</b>"]["scopes"]["both"]["all"]
        assert (f"<tr><td>{column.title}" in page) is known
        assert f"<li>{column.title}: " in page
    assert page.count(">the paper's</span>") == 1
    assert folder.dump(content)


@pytest.mark.parametrize("name", ["mimic_cxr", "iu_xray", "chexpert_plus"])
def test_the_paper_has_five_metrics_of_three_models(name):
    published = catalog.BENCHMARKS[name].card.published_reports
    assert list(published) == ["Lingshu-7B", "Lingshu-32B", "Qwen2.5-VL-7B"]
    for row in published.values():
        assert tuple(row) == reports.PUBLISHED == tuple(columns.PAPER)
        assert 10 < min(row.values()) < max(row.values()) < 200
