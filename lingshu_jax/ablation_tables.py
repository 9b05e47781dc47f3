# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of an ablation: what each variant scored, and how far that is from the full one."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lingshu_jax.common import pages
from lingshu_jax.eval import folder, stats
from lingshu_jax.stages import run_folder

MODES = ("strict", "compat")
MEAN = "mean"
TABLES = ("ablation", "scaling")
STAGE = ("examples", "steps", "last_loss")  # of the summary of stage 3
COLUMNS = (
    "table",
    "variant",
    "benchmark",
    "n",
    *(f"{mode}_{value}" for mode in MODES for value in ("score", "difference", "low", "high")),
    "published_score",
    "published_difference",
)

Row = dict[str, Any]


@dataclasses.dataclass(kw_only=True, frozen=True)
class Result:
    """What became of a variant.

    Attributes:
      name: Its name.
      removed: What it does without, in words.
      is_scaling: Whether it has all parts of the data, each in part.
      reason: Why it is not applicable; "" if it is.
      same_as: The variant whose run this one is, or "".
      published: Scores in percent by benchmark, from a paper.
      stage: Summary of its stage 3.
      evaluation: Folder of its evaluation.
      blind: Folder of the same with every image greyed out.
    """

    name: str
    removed: str
    is_scaling: bool
    reason: str = ""
    same_as: str = ""
    published: Mapping[str, float]
    stage: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    evaluation: pathlib.Path | None = None
    blind: pathlib.Path | None = None


def make(results: Sequence[Result]) -> dict[str, Any]:
    """The tables of the variants that have been looked at so far.

    Args:
      results: The first is the one that the others are compared with.

    Returns:
      Rows in `ablation` (the full variant and those that lack a part) and `scaling` (those that
      have a fraction, and the full one last), and in `baselines` what the full variant scored
      blind and what constant answers score. A row has `scores`, by benchmark and "mean": `n`,
      and for `strict` and `compat` each a `score`, the `difference` to the full variant and its
      95 % interval `low` to `high`, as shares; and `published` scores and differences, in
      percent.
    """
    full = results[0]
    assert full.evaluation is not None, "the full variant is always applicable"
    base = _read(full.evaluation)
    rows = [_row(result, full, base) for result in results]
    scaled = [row for row, result in zip(rows, results, strict=True) if result.is_scaling]
    baselines = [_constant_row(full.evaluation, rows[0]["scores"])]
    if full.blind is not None:
        scores = _scores(_read(full.blind), base)
        baselines.insert(0, {**_named(f"{full.name}, images greyed out"), "scores": scores})
    return {
        "ablation": [row for row in rows if row not in scaled],
        "scaling": [*scaled, rows[0]] if scaled else [],
        "baselines": baselines,
    }


def write(workdir: pathlib.Path, tables: Mapping[str, Any]) -> None:
    """Writes `tables.json`, `tables.csv`, `tables.md` and `tables.html`.

    Args:
      workdir: Where to.
      tables: From `make`.
    """
    run_folder.write_json(workdir / "tables.json", tables)
    folder.write_text(workdir / "tables.csv", to_csv(tables))
    folder.write_text(workdir / "tables.md", to_markdown(tables))
    environment = pages.environment({"page.html": PAGE})
    environment.filters["points"] = points
    html = environment.get_template("page.html").render(
        tables=tables, benchmarks=_benchmarks(tables), modes=MODES, notes=NOTES
    )
    folder.write_text(workdir / "tables.html", html)


def to_csv(tables: Mapping[str, Any]) -> str:
    """One line for each variant and benchmark, with the columns COLUMNS.

    Args:
      tables: From `make`.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in (*TABLES, "baselines"):
        for row in tables[table]:
            for benchmark, score in row.get("scores", {}).items():
                published = row["published"].get(benchmark, {})
                writer.writerow(
                    {
                        "table": table,
                        "variant": row["name"],
                        "benchmark": benchmark,
                        "n": score["n"],
                        **{f"{m}_{key}": v for m in MODES for key, v in score[m].items()},
                        **{f"published_{key}": value for key, value in published.items()},
                    }
                )
    return text.getvalue()


def to_markdown(tables: Mapping[str, Any]) -> str:
    """Both tables under strict rules, and what the numbers mean.

    Args:
      tables: From `make`.
    """
    names = _benchmarks(tables)
    heads = ("variant", "left out", "rows", *names, f"{MEAN}, published")
    lines = []
    for table in TABLES:
        if not tables[table]:
            continue
        lines += [f"## {table.capitalize()}", "", pages.markdown_row(heads)]
        lines.append(pages.markdown_row(["---", "---", *["---:"] * (len(heads) - 2)]))
        for row in (*tables[table], *(tables["baselines"] if table == TABLES[0] else ())):
            lines.append(pages.markdown_row(_cells(row, names)))
        lines.append("")
    return "\n".join([*lines, *NOTES, ""])


def points(difference: float | None) -> str:
    """A difference of shares in percentage points, with its sign.

    Args:
      difference: None is a dash.
    """
    return pages.NOTHING if difference is None else f"{100 * difference:+.1f}"


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    first = [row["name"], row["removed"], pages.number(row["examples"])]
    if row["reason"]:
        scores = [f"not applicable: {row['reason']}", *[""] * (len(names) - 1)]
    else:
        scores = [_cell(row["scores"][name]["strict"]) for name in names]
    published = row["published"].get(MEAN)
    printed = f"{published['score']} ({published['difference']:+.1f})" if published else ""
    return [*first, *scores, printed]


def _cell(score: Mapping[str, Any]) -> str:
    text = pages.percent(score["score"])
    if score["difference"] is None:
        return text
    bounds = "" if score["low"] is None else f" {pages.interval((score['low'], score['high']))}"
    return f"{text}, {points(score['difference'])}{bounds}"


def _benchmarks(tables: Mapping[str, Any]) -> list[str]:
    """Of the full variant, the mean last; a single benchmark is its own mean."""
    names = list(tables["ablation"][0]["scores"])
    return names[:1] if len(names) == 2 else names


def _read(evaluation: pathlib.Path) -> dict[str, list[Row]]:
    names = folder.read_summary(evaluation)["benchmarks"]
    return {name: folder.read_samples(evaluation / name) for name in names}


def _row(result: Result, full: Result, base: Mapping[str, Sequence[Row]]) -> Row:
    row = {
        **_named(result.name),
        "removed": result.removed,
        "reason": result.reason,
        "same_as": result.same_as,
        "published": _published(result, full),
    }
    if result.evaluation is None:
        return row
    stage = {name: result.stage[name] for name in STAGE}
    scores = _scores(_read(result.evaluation), base, is_full=result is full)
    return {**row, **stage, "scores": scores}


def _named(name: str) -> Row:
    """A row of which nothing else is known."""
    unknown = dict.fromkeys(STAGE)
    return {"name": name, "removed": "", "reason": "", "same_as": "", "published": {}, **unknown}


def _published(result: Result, full: Result) -> dict[str, dict[str, float]]:
    return {
        name: {"score": score, "difference": round(score - full.published[name], 6)}
        for name, score in result.published.items()
        if name in full.published
    }


def _scores(
    answered: Mapping[str, Sequence[Row]],
    base: Mapping[str, Sequence[Row]],
    *,
    is_full: bool = False,
) -> dict[str, Row]:
    scores: dict[str, Row] = {name: {"n": len(rows)} for name, rows in answered.items()}
    scores[MEAN] = {"n": sum(map(len, answered.values()))}
    for mode in MODES:
        gains = {name: stats.changes(rows, base[name], mode) for name, rows in answered.items()}
        shares = {
            name: float(np.mean([row[mode]["correct"] for row in rows]))
            for name, rows in answered.items()
        }
        shares[MEAN] = float(np.mean(list(shares.values())))
        for name, share in shares.items():
            of = list(gains) if name == MEAN else [name]
            groups = [[row.get("group", "") for row in answered[one]] for one in of]
            difference = _difference([gains[one] for one in of], groups, is_full=is_full)
            scores[name][mode] = {"score": share, **difference}
    return scores


def _difference(
    parts: Sequence[np.ndarray], groups: Sequence[Sequence[str]], *, is_full: bool
) -> Row:
    if is_full:
        return {"difference": None, "low": None, "high": None}
    low, high = stats.interval(parts, groups)
    return {"difference": float(np.mean([p.mean() for p in parts])), "low": low, "high": high}


def _constant_row(evaluation: pathlib.Path, full: Mapping[str, Row]) -> Row:
    """The most frequent gold of each kind of question, given to all of them."""
    found = folder.read_summary(evaluation)["benchmarks"]
    shares = {name: found[name]["constant_accuracy"] for name in full if name != MEAN}
    shares[MEAN] = float(np.mean(list(shares.values())))
    scores: dict[str, Row] = {}
    for name, share in shares.items():
        scores[name] = {"n": full[name]["n"]}
        for mode in MODES:
            difference = share - full[name][mode]["score"]
            scores[name][mode] = {
                "score": share,
                "difference": difference,
                "low": None,
                "high": None,
            }
    return {**_named("constant answer"), "scores": scores}


NOTES = (
    "Scores are shares of right answers. Behind them stand the difference to the full variant in "
    "percentage points and its 95 % interval, from a paired bootstrap over the images.",
    "An interval that holds 0 shows no difference. It covers the choice of the questions alone: "
    "each variant was trained once, and another seed would move it too.",
    "Published numbers are of other models and sets: they are there to compare directions, not "
    "values.",
)

PAGE = """{% extends "base.html" %}
{% block title %}Ablation{% endblock %}
{% macro cell(score, mode) %}<td>{{ score[mode].score|percent }}
{% if score[mode].difference is not none %}<small>{{ score[mode].difference|points }}
{% if score[mode].low is not none %}{{ (score[mode].low, score[mode].high)|interval }}{% endif %}
</small>{% endif %}</td>{% endmacro %}
{% macro table(rows, mode) %}
<div class="scroll"><table>
<tr><th>variant</th><th class="text">left out</th><th>rows</th><th>steps</th><th>last loss</th>
{% for name in benchmarks %}<th>{{ name }}</th>{% endfor %}<th>mean, published</th></tr>
{% for row in rows %}
<tr><th scope="row">{{ row.name }}</th><td class="text">{{ row.removed }}</td>
{% if row.reason %}<td class="text" colspan="{{ benchmarks|length + 3 }}">not applicable:
{{ row.reason }}</td>
{% else %}<td>{{ row.examples|number }}</td>
<td>{{ row.steps|number }}</td>
<td>{{ row.last_loss|number }}</td>
{% for name in benchmarks %}{{ cell(row.scores[name], mode) }}{% endfor %}
{% endif %}<td>{% if row.published.mean is defined %}{{ row.published.mean.score }}
<small>{{ "%+.1f"|format(row.published.mean.difference) }}</small>{% endif %}</td></tr>
{% endfor %}
</table></div>
{% endmacro %}
{% block body %}
<h1>What each part of the data is worth</h1>
{% for note in notes %}<p class="soft">{{ note }}</p>{% endfor %}
{% for mode in modes %}
<h2>{{ "Strict scores" if mode == "strict" else "Scores by MedEvalKit's rules" }}</h2>
<h3>Parts left out</h3>
{{ table(tables.ablation + tables.baselines, mode) }}
{% if tables.scaling %}<h3>Parts of all data</h3>{{ table(tables.scaling, mode) }}{% endif %}
{% endfor %}
{% set printed = tables.ablation|selectattr("published")|list %}
{% if printed %}
<h2>Published scores, by benchmark</h2>
<div class="scroll"><table>
<tr><th>variant</th>{% for name in printed[0].published %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in printed %}<tr><th scope="row">{{ row.name }}</th>
{% for name in printed[0].published %}<td>{% if name in row.published %}
{{ row.published[name].score }}<small>{{ "%+.1f"|format(row.published[name].difference) }}</small>
{% endif %}</td>{% endfor %}</tr>{% endfor %}
</table></div>
{% endif %}
{% endblock %}
"""
