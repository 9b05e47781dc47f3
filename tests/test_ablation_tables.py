# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Tables from evaluations that the real writers wrote."""

import csv
import dataclasses
import io
import json
import pathlib
from collections.abc import Sequence

import pytest

from lingshu_jax import ablation_tables
from lingshu_jax.eval import benchmark, folder, metrics

STAGE = {"examples": 1234, "steps": 20, "last_loss": 0.5, "dropped": 0}
FULL = "yyyn", "yynnyyny"  # answers to two benchmarks, all of which are "yes"


def write_evaluation(place: pathlib.Path, answers: Sequence[str]) -> pathlib.Path:
    summaries = {}
    for name, said in zip(("small", "larger"), answers, strict=True):
        rows = [
            benchmark.score(
                benchmark.Sample(
                    id=f"q{number}",
                    question="Is it so?",
                    gold="no" if number == 2 else "yes",
                    answer_type="yes_no",
                    rule="vqa",
                ),
                benchmark.Answer({"y": "yes", "n": "no"}[letter], "stop"),
            )
            for number, letter in enumerate(said)
        ]
        (place / name).mkdir(parents=True)
        summaries[name] = metrics.summarise(rows)
        folder.commit_benchmark(place / name, rows, summaries[name])
    summary = {"benchmarks": summaries, **metrics.totals(summaries)}
    folder.write_text(place / "summary.json", folder.dump(summary))
    return place


def result(place: pathlib.Path | None, name: str, **changes: object) -> ablation_tables.Result:
    made = ablation_tables.Result(
        name=name, removed="", is_scaling=False, published={}, stage=STAGE, evaluation=place
    )
    return dataclasses.replace(made, **changes)


@pytest.fixture
def results(tmp_path: pathlib.Path) -> list[ablation_tables.Result]:
    def wrote(name: str, *answers: str) -> pathlib.Path:
        return write_evaluation(tmp_path / name, answers)

    return [
        result(
            wrote("full", *FULL),
            "full",
            blind=wrote("blind", "nnnn", "yynnyynn"),
            published={"small": 60.0, "mean": 50.0},
        ),
        result(
            wrote("lacking", "nyyn", FULL[1]),
            "lacking",
            removed="medical | text",
            published={"small": 55.5, "mean": 49.0},
        ),
        result(None, "absent", stage={}, reason="no source of the mixture is of synthetic"),
        result(wrote("half", *FULL), "half", is_scaling=True, same_as="full"),
    ]


def test_what_a_row_says(results: list[ablation_tables.Result]) -> None:
    tables = ablation_tables.make(results)
    full, lacking, absent = tables["ablation"]
    nothing = {"difference": None, "low": None, "high": None}
    assert full["scores"]["small"] == {"n": 4, **{m: {"score": 0.5, **nothing} for m in MODES}}
    assert full["scores"]["mean"]["strict"]["score"] == pytest.approx((2 / 4 + 6 / 8) / 2)
    strict = lacking["scores"]["small"]["strict"]
    assert (strict["score"], strict["difference"]) == (0.25, -0.25)
    assert -1 < strict["low"] < strict["difference"] < strict["high"] <= 0
    same = lacking["scores"]["larger"]["strict"]
    assert (same["difference"], same["low"], same["high"]) == (0.0, 0.0, 0.0)
    mean = lacking["scores"]["mean"]["strict"]
    assert mean["difference"] == pytest.approx(-0.125) and mean["low"] == strict["low"] / 2
    assert lacking["published"]["small"] == {"score": 55.5, "difference": -4.5}
    assert lacking["published"]["mean"]["difference"] == -1.0
    assert (lacking["examples"], lacking["steps"], lacking["last_loss"]) == (1234, 20, 0.5)
    assert absent["reason"] and "scores" not in absent


MODES = ablation_tables.MODES


def test_the_scaling_table_ends_with_the_full_variant(
    results: list[ablation_tables.Result],
) -> None:
    tables = ablation_tables.make(results)
    assert [row["name"] for row in tables["scaling"]] == ["half", "full"]
    assert tables["scaling"][0]["same_as"] == "full"
    assert ablation_tables.make(results[:3])["scaling"] == []


def test_the_baselines(results: list[ablation_tables.Result]) -> None:
    blind, constant = ablation_tables.make(results)["baselines"]
    assert blind["name"] == "full, images greyed out"
    assert blind["scores"]["small"]["strict"]["difference"] == -0.25
    assert constant["scores"]["small"]["strict"]["score"] == 0.75, "three of four golds are yes"
    assert constant["scores"]["small"]["strict"]["difference"] == 0.25
    [constant] = ablation_tables.make([dataclasses.replace(results[0], blind=None)])["baselines"]
    assert constant["name"] == "constant answer"


def test_the_files(results: list[ablation_tables.Result], tmp_path: pathlib.Path) -> None:
    tables = ablation_tables.make(results)
    ablation_tables.write(tmp_path, tables)
    assert json.loads((tmp_path / "tables.json").read_text()) == tables
    rows = list(csv.DictReader(io.StringIO((tmp_path / "tables.csv").read_text())))
    assert tuple(rows[0]) == ablation_tables.COLUMNS
    [row] = [r for r in rows if (r["variant"], r["benchmark"]) == ("lacking", "small")]
    assert (row["table"], row["n"], row["strict_difference"]) == ("ablation", "4", "-0.25")
    assert row["published_difference"] == "-4.5"
    lines = (tmp_path / "tables.md").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("| lacking")]
    assert line.split(" | ")[1:4] == ["medical \\| text", "1,234", "25.0%, -25.0 [-75.0, 0.0]"]
    assert line.endswith("| 49.0 (-1.0) |")
    [line] = [line for line in lines if line.startswith("| absent")]
    assert "not applicable: no source of the mixture is of synthetic" in line
    rows_of_tables = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    assert {line.count("|") for line in rows_of_tables} == {8}
    page = (tmp_path / "tables.html").read_text()
    assert "-25.0\n[-75.0, 0.0]" in page and "not applicable:" in page
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert ("Parts of all data" in page) and "images greyed out" in page


def test_one_benchmark_is_its_own_mean(tmp_path: pathlib.Path) -> None:
    place = write_evaluation(tmp_path / "full", FULL)
    summary = folder.read_summary(place)
    del summary["benchmarks"]["larger"]
    folder.write_text(place / "summary.json", folder.dump(summary))
    lines = ablation_tables.to_markdown(ablation_tables.make([result(place, "full")])).splitlines()
    assert "| variant | left out | rows | small | mean, published |" in lines


def test_other_questions_are_not_compared(
    results: list[ablation_tables.Result], tmp_path: pathlib.Path
) -> None:
    other = write_evaluation(tmp_path / "other", ("yyy", FULL[1]))
    with pytest.raises(ValueError, match="different questions"):
        ablation_tables.make([results[0], result(other, "other")])
