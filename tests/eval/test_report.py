# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import base64
import dataclasses
import hashlib
import html
import importlib
import json
import re

import pytest
from PIL import Image

from lingshu_jax.common import errors, pages
from lingshu_jax.eval import (
    leaderboard,
    metrics,
    report,
    report_sections,
    report_viewer,
    sections,
)
from tests.eval import evaluations

PUBLISHED = {"set": {"Some-7B": 61.8}}
EMPTY = {
    "image_baselines": {"settings": {"baselines": {}}, "remarks": [], "benchmarks": {}},
    "option_shuffles": {"settings": {"count": 2}, "remarks": [], "benchmarks": {}},
}
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


def render(samples, said, *, found=(), **extra):
    """The page of some benchmarks."""
    rows = {name: evaluations.score(samples[name], said[name]) for name in samples}
    summary = evaluations.summarise(samples, rows) | extra
    return show(summary, rows, samples, found=dict(found))


def show(summary, rows, samples, *, published=None, found=None):
    return report.render(
        summary, rows=rows, samples=samples, published=published or {}, found=found or {}
    )


def scripts_of(page):
    """What stands between the tags of the page's scripts, by type."""
    found = re.findall(r"<script(?: type=\"([^\"]+)\"[^>]*)?>(.*?)</script>", page, re.S)
    return {kind or "text/javascript": text for kind, text in found}


def test_the_page_is_one_file_and_escapes_what_models_say(written):
    page = (written / "report.html").read_text()
    assert "<script>alert" not in page and "onerror=alert(2)>" not in page
    assert "&lt;img src=x onerror=alert(2)&gt;" in page
    assert page.count('<img src="data:image/webp;base64,') == 3
    assert "http://" not in page and "https://" not in page
    assert "every one of these images grey" not in page
    for text in ("33.3%", "unparsed", "empty", "Some-7B", "61.8", "first 3 rows"):
        assert text in page


def test_one_script_runs_and_its_hash_is_named(written):
    page = (written / "report.html").read_text()
    scripts = scripts_of(page)
    assert list(scripts) == ["application/gzip", "text/plain", "text/javascript"]
    assert scripts["text/javascript"] == report_viewer.script()
    digest = hashlib.sha256(scripts["text/javascript"].encode()).digest()
    policy = html.unescape(re.search(r'Policy"\s+content="([^"]*)"', page)[1])
    allowed = dict(part.split(maxsplit=1) for part in policy.split(";"))
    assert allowed == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "script-src": f"'sha256-{base64.b64encode(digest).decode()}'",
    }
    elements = re.findall(r"<[a-z][^>]*>", re.sub(r"<script.*?</script>", "", page, flags=re.S))
    assert elements and not [found for found in elements if re.search(r"\son\w+=", found)]


def test_the_answers_of_the_page_are_all_rows(written, rows):
    packed = scripts_of((written / "report.html").read_text())["application/gzip"]
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed)
    assert len(scripts_of((written / "report.html").read_text())["text/plain"].split()) == 1
    assert "3 of 3\nanswers" in (written / "report.html").read_text()


def test_pictures_that_are_gone_leave_the_page(tmp_path, written, summary, rows, samples):
    (tmp_path / "x.png").unlink()
    report.write(
        written, summary, rows={"set": rows}, samples={"set": samples}, published=PUBLISHED
    )
    page = (written / "report.html").read_text()
    assert "<img" not in page and '<span class="warn">3</span> could not be read' in page
    report.write(written, summary, rows={"set": rows}, samples={}, published=PUBLISHED)
    assert "could not be read" not in (written / "report.html").read_text()


def test_the_leader_board_files_agree(written, summary):
    table = json.loads((written / "leaderboard.json").read_text())
    assert table == leaderboard.make(summary)
    assert (written / "leaderboard.csv").read_text() == leaderboard.to_csv(table)
    assert (written / "leaderboard.md").read_text() == leaderboard.to_markdown(table, PUBLISHED)


def test_a_blind_run_says_so(summary, rows, samples):
    summary["settings"] |= {"blind": True, "limit": None}
    page = show(summary, {"set": rows}, {"set": samples})
    assert "every one of these images grey" in page
    assert "first 3 rows" not in page and "published numbers" not in page


def test_every_way_of_failing_and_every_baseline_has_a_column(summary, rows):
    page = show(summary, {"set": rows}, {})
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
    page = show(summary, rows, samples)
    assert "<td>777</td>" in page and "<td>12,345</td>" in page


def test_what_has_no_verdict_is_not_called_wrong():
    page = render({"reports": [evaluations.report_sample()]}, {"reports": ["Clear."]})
    page = page.partition("<script")[0]
    assert "strict not scored" in page and "compat not scored" in page
    assert ">strict wrong<" not in page and 'class="card wrong"' not in page
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


def test_published_numbers_stand_below_ours_with_gaps(summary, rows):
    summary["benchmarks"]["other"] = summary["benchmarks"]["set"]
    published = {"set": {"A": 1.0}, "other": {"A": 2.0, "B": 3.0}}
    page = show(summary, {"set": rows, "other": rows}, {}, published=published)
    assert re.search("<td>–</td>\\s*<td>3.0</td>", page)
    assert page.index("a|b, strict</th>") < page.index(">A</th>")
    assert 'id="published"' not in show(summary, {"set": rows, "other": rows}, {})


def test_bars_show_a_share_its_interval_and_the_baselines(summary, rows):
    page = show(summary, {"set": rows}, {})
    numbers = summary["benchmarks"]["set"]
    ends = report.ends_of([numbers["strict_interval"], numbers["strict_clustered_interval"]])
    label = f"33.3%, interval {pages.interval(ends)}, constant 100.0%, random 50.0%, no answer 0.0%"
    bar = re.search(rf'aria-label="{re.escape(label)}">(.*?)</svg>', page, re.S)[1]
    assert f'width="{124 / 3:.1f}"' in bar and "M128.0 1v16" in bar
    low, high = (report.x_of(end) for end in ends)
    assert f"M{low} 9H{high}" in bar


def test_a_bar_without_numbers_begins_at_zero():
    assert (report.x_of(None), report.x_of(0.0), report.x_of(1.0)) == (4.0, 4.0, 128.0)
    assert report.ends_of([[None, None], [0.2, 0.4], (0.1, 0.3)]) == (0.1, 0.4)
    assert report.ends_of([[None, None]]) is None


def test_tables_lead_to_the_answers_they_count():
    samples = {"a&b": evaluations.choices("ABAA")}
    page = render(samples, {"a&b": ["A", "", "A", "A"]})
    links = {html.unescape(link) for link in re.findall(r'href="(#viewer[^"]*)"', page)}
    assert {
        "#viewer?benchmark=a%26b",
        "#viewer?benchmark=a%26b&verdict=strict+wrong",
        "#viewer?benchmark=a%26b&status=empty",
        "#viewer?benchmark=a%26b&type=choice",
        "#viewer?benchmark=a%26b&stratum=modality%3A%20CT",
    } <= links


def test_sections_stand_in_their_order_under_their_titles(tmp_path, summary, rows):
    for name in ("option_shuffles", "image_baselines"):
        sections.write(tmp_path, name, EMPTY[name])
    report.write(tmp_path, summary, rows={"set": rows}, samples={}, published={})
    page = (tmp_path / "report.html").read_text()
    places = [page.index(f'<h2 id="{name}">') for name in EMPTY]
    assert places == sorted(places) and page.index('<h2 id="set">') < places[0]
    assert page.index('<h2 id="viewer">') > places[1]
    assert '<a href="#option_shuffles">Options in other orders</a>' in page
    absent = re.search(r'id="absent">(.*?)</p>', page)[1]
    assert (
        "calibration (--calibration)" in absent and "judge (python -m lingshu_jax.judge)" in absent
    )
    assert "option shuffles" not in absent and "reports" not in absent


def test_remarks_of_a_section_stand_in_it_once(summary, rows):
    found = {"option_shuffles": EMPTY["option_shuffles"] | {"remarks": ["some <b> are not here"]}}
    page = show(summary, {"set": rows}, {}, found=found)
    assert page.count("some &lt;b&gt; are not here") == 1
    assert page.index('id="option_shuffles"') < page.index("are not here")


def test_an_unknown_section_is_an_error(tmp_path, summary, rows):
    sections.write(tmp_path, "horoscope", {})
    with pytest.raises(errors.UserError, match="sections/horoscope.json is no section .*judge"):
        report.write(tmp_path, summary, rows={"set": rows}, samples={}, published={})
    assert not (tmp_path / "report.html").exists()


def test_reports_without_metrics_say_what_asks_for_them():
    page = render({"reports": [evaluations.report_sample()]}, {"reports": ["Clear."]})
    assert "reports (--weights_dir)" in page


@pytest.mark.parametrize("name", report_sections.SECTIONS)
def test_every_section_of_the_table_has_its_module(name):
    module = importlib.import_module(report_sections.SECTIONS[name].module)
    assert module.NAME == name and module.TITLE
    pages.environment({"section": module.TEMPLATE}).get_template("section")


def test_many_benchmarks_share_the_cards():
    chosen = report.choose(["ok"] * 500 + ["empty"] * 500, report.LEAST_CARDS)
    assert len(chosen) == report.LEAST_CARDS and 500 in chosen
    many = {f"set{i}": evaluations.yes_no(30) for i in range(24)}
    page = render(many, dict.fromkeys(many, ["yes"] * 30))
    assert page.count('class="card right"') == 24 * report.LEAST_CARDS


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
