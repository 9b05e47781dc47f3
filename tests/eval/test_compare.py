# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import base64
import dataclasses
import gzip
import html
import json

import numpy as np
import pytest
import scipy.stats

from lingshu_jax.common import errors, pages
from lingshu_jax.eval import compare, compare_page, folder, report_viewer, runner, stats
from tests.eval import evaluations

SAMPLES = evaluations.yes_no(40, per_image=4)
BASE = ["yes"] * 20 + ["no"] * 20
BETTER = ["yes"] * 16 + ["no"] * 4 + ["yes"] * 16 + ["I cannot answer that"] * 4


@pytest.fixture
def finish(tmp_path):
    """Writes an evaluation of one benchmark `asked` unless others are named."""

    def write(name, said, samples=SAMPLES, **settings):
        if not isinstance(said, dict):
            said, samples = {"asked": said}, {"asked": samples}
        return evaluations.finish(tmp_path / name, samples, said, model=f"made/{name}", **settings)

    return write


def test_the_numbers_of_a_comparison(tmp_path, finish, capsys):
    """16 gained and 4 lost, on 40 questions about ten images."""
    result = compare.run(finish("a", BASE), finish("b", BETTER), tmp_path / "c")
    numbers = result["benchmarks"]["asked"]
    assert (numbers["n"], numbers["clusters"], numbers["unscored"]) == (40, 10, 0)
    strict = numbers["strict"]
    assert (strict["first"], strict["second"], strict["difference"]) == (0.5, 0.8, 0.3)
    assert (strict["gained"], strict["lost"]) == (16, 4)
    assert strict["mcnemar_p"] == pytest.approx(scipy.stats.binomtest(16, 20).pvalue)
    # One image lost four, four gained four: 2 * (1 + 5) of the 2^5 signs are as far from 0.
    assert strict["permutation_p"] == strict["holm_p"] == pytest.approx(12 / 32)
    low, high = strict["interval"]
    assert low < strict["difference"] < high
    assert strict["minimum_detectable"] > 0.2
    assert numbers["statuses"]["refusal"] == [0, 4]
    assert (result["first"], result["second"]) == ("made/a", "made/b")
    assert result["settings"] == {"model": ["made/a", "made/b"]}
    assert result["remarks"] == []
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("asked: 40 rows; compat 50.0% -> 80.0% (+30.0 [-10.0, +70.0]), p 0.375,")
    assert line.endswith(
        "; strict 50.0% -> 80.0% (+30.0 [-10.0, +70.0]), p 0.375, 16 gained, 4 lost"
    )


def test_the_comparison_is_three_files(tmp_path, finish):
    result = compare.run(finish("a", BASE), finish("b", BETTER), tmp_path / "c")
    assert {path.name for path in (tmp_path / "c").iterdir()} == {
        *("compare.json", "compare.md", "compare.html"),
    }
    assert json.loads((tmp_path / "c" / "compare.json").read_text()) == result
    lines = (tmp_path / "c" / "compare.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 * 3
    assert len({line.count("|") for line in table}) == 1
    assert "McNemar p" in table[0] and "0.375" in table[-1]


def test_the_page_escapes_what_models_say(tmp_path, finish):
    said = ["yes" if text == "yes" else "<script>alert(1)</script>" for text in BETTER]
    result = compare.run(finish("a", BASE), finish("b", said), tmp_path / "c")
    page = (tmp_path / "c" / "compare.html").read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "http://" not in page and "https://" not in page
    assert result["benchmarks"]["asked"]["strict"]["gained"] == 16
    assert "gained (12 of 16)" in page and "lost (4 of 4)" in page


def test_swapping_the_two_turns_the_sign(tmp_path, finish):
    first, second = finish("a", BASE), finish("b", BETTER)
    there = compare.run(first, second, tmp_path / "c")["benchmarks"]["asked"]["strict"]
    back = compare.run(second, first, tmp_path / "d")["benchmarks"]["asked"]["strict"]
    assert back["difference"] == -there["difference"]
    assert (back["gained"], back["lost"]) == (there["lost"], there["gained"])
    assert back["permutation_p"] == there["permutation_p"]


def test_the_same_evaluation_twice_differs_in_nothing(tmp_path, finish):
    path = finish("a", BASE)
    strict = compare.run(path, path, tmp_path / "c")["benchmarks"]["asked"]["strict"]
    assert (strict["difference"], strict["interval"]) == (0.0, [0.0, 0.0])
    assert strict["mcnemar_p"] == strict["permutation_p"] == 1.0
    assert strict["minimum_detectable"] is None


def test_questions_that_only_one_has_are_counted_and_named(tmp_path, finish):
    first = finish("a", BASE[:30], SAMPLES[:30])
    second = finish("b", BETTER[2:], SAMPLES[2:])
    result = compare.run(first, second, tmp_path / "c")
    numbers = result["benchmarks"]["asked"]
    assert numbers["n"] == 28
    assert numbers["only_first"] == ["q0", "q1"]
    assert numbers["only_second"] == [f"q{number}" for number in range(30, 40)]
    assert "asked: 2 questions are only in the first: q0, q1" in result["remarks"]
    named = "q30, q31, q32, q33, q34 and 5 more"
    assert f"asked: 10 questions are only in the second: {named}" in result["remarks"]


def test_rows_are_compared_by_id_not_by_place(tmp_path, finish):
    first = finish("a", BASE)
    second = finish("b", BETTER[::-1], SAMPLES[::-1])
    strict = compare.run(first, second, tmp_path / "c")["benchmarks"]["asked"]["strict"]
    assert (strict["gained"], strict["lost"]) == (16, 4)


def test_other_data_and_other_questions_are_told(tmp_path, finish):
    changed = [dataclasses.replace(SAMPLES[0], question="Is it another?"), *SAMPLES[1:]]
    first = finish("a", BASE, data={"asked": "d1"}, prompt="direct")
    second = finish("b", BETTER, changed, data={"asked": "d2"}, prompt="think")
    result = compare.run(first, second, tmp_path / "c")
    assert result["remarks"] == [
        "asked: the data differ (digests d1 and d2)",
        "asked: 1 question is not the same in both, in question, gold or options: q0",
        "the settings differ: prompt 'direct' and 'think'",
    ]
    page = (tmp_path / "c" / "compare.html").read_text()
    assert (
        "digests d1 and d2" in page
        and "digests d1 and d2" in (tmp_path / "c" / "compare.md").read_text()
    )


def test_several_benchmarks_have_totals_and_holm_s_p_values(tmp_path, finish):
    letters = evaluations.choices("ABCD" * 5)
    samples = {"asked": SAMPLES, "letters": letters, "reports": [evaluations.report_sample()]}
    golds = [sample.gold for sample in letters]
    first = {"asked": BASE, "letters": ["A"] * 20, "reports": ["x"]}
    second = {"asked": BETTER, "letters": golds, "reports": ["y"]}
    result = compare.run(finish("a", first, samples), finish("b", second, samples), tmp_path / "c")
    found = result["benchmarks"]
    assert (found["reports"]["n"], found["reports"]["unscored"]) == (0, 1)
    assert found["reports"]["strict"]["difference"] is None
    p = [found[name]["strict"]["permutation_p"] for name in ("asked", "letters")]
    assert p[1] == pytest.approx(2 / 2**15)
    holm = [found[name]["strict"]["holm_p"] for name in ("asked", "letters")]
    assert holm == pytest.approx([p[0], 2 * p[1]])
    assert result["macro"]["strict"]["difference"] == pytest.approx((0.3 + 0.75) / 2)
    assert result["micro"]["strict"]["difference"] == pytest.approx((12 + 15) / 60)
    lines = compare.lines(result)
    assert lines[-1].startswith("macro: compat") and "reports: no verdicts" in lines[-2]
    table = compare_page.table(result, "strict")
    assert list(table) == ["asked", "letters", "reports", "macro", "micro"]


def test_benchmarks_that_only_one_has_are_told(tmp_path, finish):
    letters = evaluations.choices("AB")
    first = finish("a", BASE)
    second = finish(
        "b", {"asked": BETTER, "letters": ["A", "A"]}, {"asked": SAMPLES, "letters": letters}
    )
    result = compare.run(first, second, tmp_path / "c")
    assert list(result["benchmarks"]) == ["asked"]
    assert result["remarks"] == ["only the second has letters"]


def test_two_prediction_files(tmp_path):
    """The whole way: groups of the rows are kept by scoring and used here."""
    paths = []
    for name, said in (("a", BASE), ("b", BETTER)):
        path = tmp_path / f"{name}.jsonl"
        rows = evaluations.score(SAMPLES, said)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        settings = runner.Settings(model=name, benchmarks="predictions", predictions=str(path))
        runner.score_predictions(settings, tmp_path / name)
        paths.append(tmp_path / name)
    result = compare.run(paths[0], paths[1], tmp_path / "c")
    assert result["benchmarks"]["predictions"]["clusters"] == 10
    assert result["benchmarks"]["predictions"]["strict"]["gained"] == 16
    assert result["remarks"] == []


def test_what_cannot_be_compared(tmp_path, finish):
    first = finish("a", BASE)
    with pytest.raises(errors.UserError, match="no finished evaluation: it has no COMMIT"):
        compare.run(first, tmp_path / "missing", tmp_path / "c")
    other = finish("b", {"letters": ["A"]}, {"letters": evaluations.choices("A")})
    with pytest.raises(
        errors.UserError, match="nothing to compare: one has asked, the other letters"
    ):
        compare.run(first, other, tmp_path / "c")
    strange = finish("d", ["yes"], evaluations.yes_no(1, first=99))
    with pytest.raises(errors.UserError, match="have no question in common"):
        compare.run(first, strange, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_other_files_are_left_alone(tmp_path, finish):
    first = finish("a", BASE)
    with pytest.raises(errors.UserError, match="holds files of something else"):
        compare.run(first, first, first)
    assert folder.is_complete(first)
    compare.run(first, first, tmp_path / "c")
    compare.run(first, finish("b", BETTER), tmp_path / "c")
    result = json.loads((tmp_path / "c" / "compare.json").read_text())
    assert result["second"] == "made/b"


def test_the_interval_is_clustered(tmp_path, finish):
    """Twin of the numbers above: with every question for itself it would be narrower."""
    alone = [dataclasses.replace(sample, group="") for sample in SAMPLES]
    grouped = compare.run(finish("a", BASE), finish("b", BETTER), tmp_path / "c")
    single = compare.run(finish("d", BASE, alone), finish("e", BETTER, alone), tmp_path / "f")
    widths = [
        np.ptp(result["benchmarks"]["asked"]["strict"]["interval"]) for result in (grouped, single)
    ]
    assert widths[0] > 1.3 * widths[1]
    assert single["benchmarks"]["asked"]["strict"]["permutation_p"] == pytest.approx(
        stats.mcnemar(np.array([1.0] * 16 + [-1.0] * 4))
    )


def unpacked(page):
    """The columns that the page's script reads."""
    packed = page.split('id="viewer-rows">')[1].split("</script>")[0]
    return json.loads(gzip.decompress(base64.b64decode(packed)))["columns"]


def test_the_page_has_all_pairs_of_answers(tmp_path):
    samples = {"set": evaluations.yes_no(3), "letters": evaluations.choices("AB")}
    first = {"set": ["yes", "no", "<script>alert(1)</script>"], "letters": ["A", "A"]}
    second = {"set": ["yes", "yes", ""], "letters": ["B", "B"]}
    for name, said in (("one", first), ("two", second)):
        evaluations.finish(tmp_path / name, samples, said)
    compare.run(tmp_path / "one", tmp_path / "two", tmp_path / "c")
    page = (tmp_path / "c" / "compare.html").read_text()
    columns = unpacked(page)
    values = columns["response_2"]["values"]
    shown = [values[i] for i in columns["response_2"]["index"]]
    assert shown == [*second["set"], *second["letters"]]
    assert columns["response"]["values"][columns["response"]["index"][2]] == first["set"][2]
    assert pages.script_policy(report_viewer.script()) in html.unescape(page)
    assert "<script>alert(1)</script>" not in page
    assert 'href="#viewer?benchmark=set&amp;change=strict+gained"' in page
    assert "pictures" not in columns and 'id="filter-verdict"' not in page
