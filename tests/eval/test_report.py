# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import csv
import io

import pytest
from PIL import Image

from lingshu_jax.eval import benchmark, metrics, report

PUBLISHED = {"set": {"Some-7B": 61.8}}


@pytest.fixture
def samples(tmp_path):
    Image.new("RGB", (900, 300), (9, 90, 200)).save(tmp_path / "x.png")
    content = [
        {"type": "image", "image": str(tmp_path / "x.png")},
        {"type": "text", "text": "q"},
    ]
    return [
        benchmark.Sample(
            id=str(number),
            question="Is it <script>alert(1)</script>?",
            gold="yes",
            answer_type="yes_no",
            rule="vqa",
            messages=({"role": "user", "content": content},),
        )
        for number in range(3)
    ]


@pytest.fixture
def rows(samples):
    said = ("yes", "<img src=x onerror=alert(2)>", "")
    return [
        benchmark.score(sample, benchmark.Answer(text, "stop"))
        for sample, text in zip(samples, said, strict=True)
    ]


@pytest.fixture
def summary(rows):
    summaries = {"set": metrics.summarise(rows)}
    settings = {"model": "a|b", "limit": 3}
    return {
        "model": "a|b",
        "settings": settings,
        "benchmarks": summaries,
        **metrics.totals(summaries),
    }


@pytest.fixture
def written(tmp_path, summary, rows, samples):
    out = tmp_path / "out"
    out.mkdir()
    report.write(out, summary, rows={"set": rows}, samples={"set": samples}, published=PUBLISHED)
    return out


def test_the_page_is_one_file_and_escapes_what_models_say(written):
    page = (written / "report.html").read_text()
    assert "<script" not in page and "onerror=alert(2)>" not in page
    assert "&lt;img src=x onerror=alert(2)&gt;" in page
    assert page.count('src="data:image/jpeg;base64,') == 3
    assert "http://" not in page and "https://" not in page
    assert "every one of these images grey" not in page
    for text in ("33.3%", "unparsed", "empty", "Some-7B", "61.8", "first 3 rows"):
        assert text in page


def test_the_leader_board_tables_agree(written):
    (row,) = csv.DictReader(io.StringIO((written / "leaderboard.csv").read_text()))
    assert tuple(row) == report.COLUMNS
    assert (row["model"], row["benchmark"], row["n"]) == ("a|b", "set", "3")
    assert float(row["strict_accuracy"]) == pytest.approx(1 / 3)
    assert (row["empty"], row["unparsed"]) == ("1", "1")
    lines = (written / "leaderboard.md").read_text().splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| a\\|b | set | 3 | 33.3% ")
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_a_blind_run_says_so(summary, rows, samples):
    summary["settings"] |= {"blind": True, "limit": None}
    cards = {"set": report.make_cards(rows, {sample.id: sample for sample in samples})}
    page = report.render(summary, cards=cards, published={})
    assert "every one of these images grey" in page
    assert "first 3 rows" not in page and "Published accuracy" not in page


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
