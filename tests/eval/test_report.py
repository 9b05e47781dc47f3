# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

import pytest
from PIL import Image

from lingshu_jax.eval import leaderboard, metrics, report
from tests.eval import evaluations

PUBLISHED = {"set": {"Some-7B": 61.8}}
USAGE = {"answers": 12345, "cached": 2, "cost": None}


@pytest.fixture
def samples(tmp_path):
    Image.new("RGB", (900, 300), (9, 90, 200)).save(tmp_path / "x.png")
    content = [
        {"type": "image", "image": str(tmp_path / "x.png")},
        {"type": "text", "text": "q"},
    ]
    return [
        dataclasses.replace(
            sample,
            question="Is it <script>alert(1)</script>?",
            messages=({"role": "user", "content": content},),
        )
        for sample in evaluations.yes_no(3)
    ]


@pytest.fixture
def rows(samples):
    return evaluations.score(samples, ["yes", "<img src=x onerror=alert(2)>", ""])


@pytest.fixture
def summary(samples, rows):
    return evaluations.summarise({"set": samples}, {"set": rows}, model="a|b", limit=3)


@pytest.fixture
def written(tmp_path, summary, rows, samples):
    out = tmp_path / "out"
    out.mkdir()
    report.write(out, summary, rows={"set": rows}, samples={"set": samples}, published=PUBLISHED)
    return out


def render(samples, said, **extra):
    """The page of some benchmarks without pictures."""
    rows = {name: evaluations.score(samples[name], said[name]) for name in samples}
    summary = evaluations.summarise(samples, rows) | extra
    cards = {
        name: report.make_cards(rows[name], {sample.id: sample for sample in samples[name]})
        for name in samples
    }
    return report.render(summary, cards=cards, published={})


def test_the_page_is_one_file_and_escapes_what_models_say(written):
    page = (written / "report.html").read_text()
    assert "<script" not in page and "onerror=alert(2)>" not in page
    assert "&lt;img src=x onerror=alert(2)&gt;" in page
    assert page.count('src="data:image/jpeg;base64,') == 3
    assert "http://" not in page and "https://" not in page
    assert "every one of these images grey" not in page
    for text in ("33.3%", "unparsed", "empty", "Some-7B", "61.8", "first 3 rows"):
        assert text in page


def test_the_leader_board_files_agree(written, summary):
    table = json.loads((written / "leaderboard.json").read_text())
    assert table == leaderboard.make(summary)
    assert (written / "leaderboard.csv").read_text() == leaderboard.to_csv(table)
    assert (written / "leaderboard.md").read_text() == leaderboard.to_markdown(table, PUBLISHED)


def test_a_blind_run_says_so(summary, rows, samples):
    summary["settings"] |= {"blind": True, "limit": None}
    cards = {"set": report.make_cards(rows, {sample.id: sample for sample in samples})}
    page = report.render(summary, cards=cards, published={})
    assert "every one of these images grey" in page
    assert "first 3 rows" not in page and "published numbers" not in page


def test_every_way_of_failing_and_every_baseline_has_a_column(summary):
    page = report.render(summary, cards={"set": []}, published={})
    for name in (*metrics.FAILURES, "cut off", "constant", "random", "no answer", "unscored"):
        assert f'<th scope="col">{name}</th>' in page


def test_remarks_stand_on_top():
    samples, said = {"set": evaluations.yes_no(2)}, {"set": ["yes", "no"]}
    page = render(samples, said, remarks=["set has 2 rows here, 3 as <published>"])
    assert "<li>set has 2 rows here, 3 as &lt;published&gt;</li>" in page
    assert page.index("as &lt;published") < page.index("<table")
    assert 'aria-label="Remarks"' not in render(samples, said, remarks=[])


def test_usage_is_shown_where_there_is_any():
    samples, said = {"set": evaluations.yes_no(2)}, {"set": ["yes", "no"]}
    page = render(samples, said, usage=USAGE)
    assert "What the answers took" in page
    assert "What the answers took" not in render(samples, said, usage=None)


def test_usage_of_one_benchmark_among_several():
    samples = {"set": evaluations.yes_no(2), "letters": evaluations.choices("AB")}
    rows = {
        "set": evaluations.score(samples["set"], ["yes", "no"]),
        "letters": evaluations.score(samples["letters"], ["A", "A"]),
    }
    summary = evaluations.summarise(samples, rows) | {"usage": USAGE}
    summary["benchmarks"]["set"]["usage"] = {**USAGE, "answers": 777}
    page = report.render(summary, cards={"set": [], "letters": []}, published={})
    assert "<td>777</td>" in page and "<td>12,345</td>" in page


def test_what_has_no_verdict_is_not_called_wrong():
    page = render({"reports": [evaluations.report_sample()]}, {"reports": ["Clear."]})
    assert "strict not scored" in page and "compat not scored" in page
    assert "strict wrong" not in page and 'class="card wrong"' not in page
    assert "macro" not in page


def test_strata_letters_and_reasons():
    """The empty answer is option A to compat; golds are B once and A else."""
    samples = evaluations.choices("ABAA")
    page = render(
        {"letters": samples, "more": samples}, dict.fromkeys(("letters", "more"), [""] * 4)
    )
    assert "By modality" in page
    assert "how often each is right" in page
    assert "empty_is_first_option" in page and "Where compat and strict differ (3)" in page
    assert page.count('<th scope="row">macro</th>') == 1


def test_published_numbers_stand_beside_ours(summary):
    found = report.beside_published(summary, {"set": {"A-7B": 61.8}, "other": {"B": 1.0}})
    assert found == {
        "benchmarks": ["set"],
        "rows": {"a|b, compat": [33.3], "a|b, strict": [33.3], "A-7B": [61.8]},
    }
    assert report.beside_published(summary, {}) == {}


def test_a_model_without_a_published_number_has_a_gap(summary):
    summary["benchmarks"]["other"] = summary["benchmarks"]["set"]
    published = {"set": {"A": 1.0}, "other": {"A": 2.0, "B": 3.0}}
    assert report.beside_published(summary, published)["rows"]["B"] == [None, 3.0]
    page = report.render(summary, cards={"set": [], "other": []}, published=published)
    assert "<td>–</td><td>3.0</td>" in page


def test_failures_are_shown_first_of_all():
    statuses = ["ok"] * 1000
    statuses[777] = "refusal"
    statuses[500:600] = ["unparsed"] * 100
    chosen = report.choose(statuses)
    assert len(chosen) <= report.MOST_CARDS and chosen == sorted(chosen)
    assert 777 in chosen
    assert sum(statuses[i] == "unparsed" for i in chosen) >= report.MOST_OF_A_STATUS
    assert chosen[0] == 0 and chosen[-1] > 900


@pytest.mark.parametrize("count", [1, 5, 48, 49])
def test_small_sets_are_shown_whole(count):
    assert report.choose(["ok"] * count)[:48] == list(range(count))[:48]
