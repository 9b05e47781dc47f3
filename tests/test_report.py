# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import html.parser
import subprocess
import sys

import pytest

from lingshu_jax import report, report_evals, report_run
from lingshu_jax.common import errors
from tests import report_folders

VOID = {"meta", "img", "br"}


class Page(html.parser.HTMLParser):
    """Reads a page; every tag must be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.pictures, self.tags, self._open, self._text = [], set(), [], []
        self.feed(text)
        self.close()
        assert not self._open
        self.text = " ".join("".join(self._text).split())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        links = [value for name, value in attrs if name in ("src", "href")]
        assert all(link.startswith(("data:image/", "#")) for link in links), links
        if tag == "img":
            self.pictures.append(dict(attrs))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self._text += [data, " "]


@pytest.fixture
def data(tmp_path):
    return report_folders.write_data(tmp_path / "data")


@pytest.fixture
def supervised(tmp_path, data):
    return report_folders.write_supervised(tmp_path / "stage1_shallow_align", data)


@pytest.fixture
def reinforced(tmp_path, data):
    return report_folders.write_rl(tmp_path / "stage4_rl", data)


@pytest.fixture
def evaluations(tmp_path, data):
    said = {"before": "<b>hm", "after": "yes", "blind": ""}
    return {
        when: report_folders.write_evaluation(tmp_path / "evaluation" / when, data, text)
        for when, text in said.items()
    }


def read_page(path):
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_of_a_supervised_run(supervised):
    page = read_page(report.write_run_page(supervised))
    assert {"script", "link", "iframe"}.isdisjoint(page.tags)
    assert all(picture["alt"] for picture in page.pictures)
    for text in (
        "finished, 40 steps",
        "8 → 0.2",
        "130 of 400 (32.5%)",
        "94.0% of tokens, 36.0% of patches",
        "1.00 GiB",
        "vision/.* 100 25.0% 0.001 cosine 10 0.0 0.1 trained",
        "text/.* 270 67.5% – – – – – frozen",
        "normalization sequence",
        "step 120.0 75.0%",
        "too long 2 captions, line 1: row1",
        f"bad {report_folders.EVIL} 1",
        f"no {report_folders.EVIL} trained",
    ):
        assert text in page.text
    charts = [p["alt"] for p in page.pictures if p["src"].startswith("data:image/svg+xml")]
    assert charts[0] == "Line chart: loss = loss/captions from 8 at step 1 to 0.2 at step 40"
    assert sum(p["src"].startswith("data:image/jpeg") for p in page.pictures) == 4


def test_the_page_of_an_examined_run(tmp_path, data):
    workdir = report_folders.write_examined(tmp_path / "run", data)
    page = read_page(report.write_run_page(workdir))
    for text in (
        "Loss on rows that are not trained on",
        "Benchmarks while training",
        "validation loss, first and last 5 → 2",
        "events 1 × skipped, 1 × rollback",
        f"12 skipped reason spike {report_folders.EVIL}, loss nan",
        "14 rollback to step 8",
        f"gold yes step 0 wrong said at 0 {report_folders.EVIL} step 10 right said at 10",
    ):
        assert text in page.text
    assert [p["alt"] for p in page.pictures if "question" in p["alt"]] == [
        "image of question q0",
        "image of question q1",
    ]
    charts = [p["alt"] for p in page.pictures if p["src"].startswith("data:image/svg+xml")]
    assert "validation/small/strict_accuracy from 0 at step 0 to 0.75 at step 30" in charts[2]


def test_answers_are_shown_at_a_few_steps_with_both_ends(tmp_path, data):
    workdir = report_folders.write_examined(tmp_path / "run", data, times=12)
    found = report_run.progress(report_run.read(workdir))
    assert [question.row["id"] for question in found] == ["q0", "q1"]
    steps = list(found[0].answers)
    assert len(steps) == report_run.MOMENTS and steps[0] == 0 and steps[-1] == 120
    assert all(question.pictures for question in found)
    (data / "q0.png").unlink()
    gone = report_run.progress(report_run.read(workdir))
    assert not gone[0].pictures and gone[1].pictures
    assert "its images are not here" in read_page(report.write_run_page(workdir)).text


def test_the_page_of_a_reinforced_run(reinforced):
    page = read_page(report.write_run_page(reinforced))
    for text in (
        "accuracy, held out 25.0% 75.0% +50.0",
        "accuracy, held out, blind 25.0% 25.0% +0.0",
        "KL divergence from the stage's first model: 0 at every step.",
        "Rollouts of step 1",
        "Rollouts of step 4",
        "50.0% of its rollouts",
        "2 × no no ok 1 1 1.5 +0.50 3 stop",
        f"1 × {report_folders.EVIL} – unparsed 1 0 0.5 -0.50 3 stop",
        "entropy_collapse the policy has become almost certain",
        "little is tried any more 3 4 1 2 up",
        "Never raised: ratio gap.",
        "alarms entropy_collapse from step 3",
    ):
        assert text in page.text
    assert "blind/share from 0.75 at step 0 to 0.75 at step 4; shuffled/share" in str(page.pictures)
    assert "Line chart: data from 0.125 at step 1 to 0.125 at step 4; step" in str(page.pictures)
    # What is learned from comes first: the question that is sometimes right.
    assert page.text.index("Is q1 so?") < page.text.index("Is q0 so?")
    assert "Line chart: eval/accuracy from 0.25 at step 0 to 0.75 at step 4; blind" in str(
        page.pictures
    )


def test_rollouts_without_their_images(reinforced, data):
    for path in data.glob("*.png"):
        path.unlink()
    page = read_page(report.write_run_page(reinforced))
    assert "its images are not here" in page.text
    assert not [p for p in page.pictures if p["src"].startswith("data:image/jpeg")]


@pytest.mark.parametrize("gone", ["finished.json", "metrics.jsonl", "params.txt", "dropped.jsonl"])
def test_a_run_that_is_not_finished_has_a_page(supervised, gone):
    (supervised / "finished.json").unlink()
    (supervised / gone).unlink(missing_ok=True)
    page = read_page(report.write_run_page(supervised))
    steps = 0 if gone == "metrics.jsonl" else 40
    assert f"not finished, {steps} steps" in page.text
    assert ("No step has been logged yet" in page.text) == (steps == 0)


def test_the_page_of_a_recipe(tmp_path, supervised, reinforced, evaluations):
    path = tmp_path / "page.html"
    report.write_recipe_page(
        path,
        title="All of it",
        stages={"first": supervised, "last": reinforced},
        evaluations=evaluations,
        facts={"seed": 42, "hardware": "2 cores", "hours": 0.125},
        notes=["A small random model."],
    )
    page = read_page(path)
    for text in (
        "accuracy on small, after 50.0% before 0.0% · constant answers 50.0% · blind 0.0%",
        "held-out accuracy, last, last quarter 75.0% first quarter 25.0% · blind 25.0%",
        "first 40 8 0.2 vision/.* merger/.* text/.* 94.0% 36.0% 1,234",
        "hours 0.125",
        "before 4 0 0 0 0 4",
        "2 became right, 0 became wrong, 0 stayed right, 2 stayed wrong",
        "yes_no 4 0.0% 50.0% 0.0% 50.0%",
        "before wrong unparsed <b>hm after right yes blind wrong empty (nothing)",
        "A small random model.",
        "not a medical device",
    ):
        assert text in page.text
    assert path.stat().st_size < 5e6


def test_a_recipe_without_evaluations(tmp_path, supervised):
    path = tmp_path / "page.html"
    report.write_recipe_page(
        path, title="t", stages={"s": supervised}, evaluations={}, facts={}, notes=()
    )
    assert "Evaluation" not in read_page(path).text


def test_answers_without_their_questions(evaluations, data):
    (data / "small.jsonl").unlink()
    read = [report_evals.read(name, path) for name, path in evaluations.items()]
    (benchmark,) = report_evals.compare(read)
    assert [card.pictures for card in benchmark.cards] == [[]] * 4


def test_every_kind_of_change_is_shown():
    verdicts = [(False, False)] * 500 + [(True, True)] * 400 + [(False, True), (True, False)]
    chosen = report_evals.choose(verdicts, 16)
    assert len(chosen) == len(set(chosen)) == 16
    assert [verdicts[i] for i in chosen[:4]] == [
        *((False, True), (False, False), (True, True), (True, False))
    ]
    assert report_evals.choose([], 16) == []


def test_an_evaluation_that_is_not_complete(evaluations):
    (evaluations["after"] / "COMMIT").unlink()
    with pytest.raises(errors.UserError, match="no complete evaluation"):
        report_evals.read("after", evaluations["after"])


def command(repo, workdir):
    line = [sys.executable, "-m", "lingshu_jax.report", f"--workdir={workdir}"]
    return subprocess.run(line, cwd=repo, capture_output=True, text=True, check=False)


def test_the_command_finds_a_recipe(repo, tmp_path, supervised, evaluations):
    (evaluations["blind"] / "COMMIT").unlink()
    done = command(repo, tmp_path)
    assert done.returncode == 0, done.stderr
    text = read_page(tmp_path / "report.html").text
    assert "1. shallow_align" in text and "before 0.0% · constant answers 50.0%" in text
    assert "blind 0" not in text


def test_bad_input_is_one_line(repo, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    done = command(repo, tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"error: {tmp_path} is no training run: it has no config.json that names a stage"
    ]
    assert not (tmp_path / "report.html").exists()
    with pytest.raises(errors.UserError, match="no folder"):
        report_run.read(tmp_path / "none")
