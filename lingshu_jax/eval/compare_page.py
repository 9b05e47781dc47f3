# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The page of a comparison of two evaluations, and how its tables write numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.common import pages
from lingshu_jax.eval import metrics, report_page, report_parts, report_viewer

LIKELY = 0.05  # adjusted p-values below it are marked

# Heads of the tables, and what of a benchmark's mode stands below.
COLUMNS = (
    ("benchmark", ""),
    ("first", "first"),
    ("second", "second"),
    ("difference", "difference"),
    ("95 % interval", "interval"),
    ("gained", "gained"),
    ("lost", "lost"),
    ("McNemar p", "mcnemar_p"),
    ("permutation p", "permutation_p"),
    ("Holm p", "holm_p"),
    ("detectable", "minimum_detectable"),
    ("rows", "n"),
    ("clusters", "clusters"),
)
NOTES = (
    "difference: second minus first, in percentage points; its interval is from a paired bootstrap"
    " that draws clusters, the questions about one image or one patient.",
    "gained: questions that only the second has right; lost: that only the first has right.",
    "McNemar p: exact, takes all questions as independent. permutation p: exact, swaps whole"
    " clusters; without clusters both are equal. Holm p: permutation p, adjusted for the number of"
    " benchmarks in the table.",
    "detectable: the true difference that such a comparison finds four times in five (5 %,"
    " two-sided); a smaller one may be there and go unseen.",
    "All of it covers the choice of the questions alone: another training run, another seed or"
    " another prompt would move the scores too.",
)


def table(result: Mapping[str, Any], mode: str) -> dict[str, dict[str, Any]]:
    """The rows of a table: benchmarks, then macro and micro where there are several.

    Args:
      result: Content of compare.json.
      mode: "compat" or "strict".
    """
    found = {
        name: {"n": numbers["n"], "clusters": numbers["clusters"], **numbers[mode]}
        for name, numbers in result["benchmarks"].items()
    }
    if result["macro"] and len(found) > 1:
        found |= {name: result[name][mode] for name in ("macro", "micro")}
    return found


def cell(numbers: Mapping[str, Any], key: str) -> str:
    """What stands in a cell; nothing where a row does not have it.

    Args:
      numbers: A row of `table`.
      key: One of those of COLUMNS.
    """
    if key not in numbers:
        return ""
    value = numbers[key]
    if key in ("first", "second"):
        return pages.percent(value)
    if key == "difference":
        return points(value)
    if key == "interval":
        return bounds(value)
    if key.endswith("_p"):
        return p_value(value)
    if key == "minimum_detectable":
        return pages.NOTHING if value is None else f"{100 * value:.1f}"
    return pages.number(value)


def points(difference: float | None) -> str:
    """A difference of shares in percentage points, with its sign; a dash for None."""
    return pages.NOTHING if difference is None else f"{100 * difference:+.1f}"


def bounds(interval: Sequence[float | None]) -> str:
    """The ends of an interval of differences in percentage points; a dash where there is none."""
    low, high = interval
    if low is None or high is None:
        return pages.NOTHING
    return f"[{points(low)}, {points(high)}]"


def p_value(p: float | None) -> str:
    """A p-value as one reads it: 0.031, <0.001; a dash for None."""
    if p is None:
        return pages.NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def render(
    result: Mapping[str, Any],
    cards: Mapping[str, Mapping[str, Sequence[tuple[Any, Any]]]],
    packed: str,
) -> str:
    """The page; whatever a model or a data set says is escaped.

    Args:
      result: Content of compare.json.
      cards: By benchmark, from `compare.make_cards`; they stand where the page's script does not
        run.
      packed: All answers, from `report_viewer.pack_pairs`.
    """
    script = report_viewer.script()
    environment = pages.environment(
        {"page.html": PAGE, "parts.html": report_parts.PARTS, "style.css": report_page.STYLE}
    )
    environment.globals |= {"cell": cell, "table": table}
    return environment.get_template("page.html").render(
        result=result,
        cards=cards,
        modes=metrics.MODES,
        columns=COLUMNS,
        notes=NOTES,
        likely=LIKELY,
        statuses=metrics.FAILURES,
        total=sum(b["n"] + b["unscored"] for b in result["benchmarks"].values()),
        packed=packed,
        script=script,
        policy=pages.script_policy(script),
    )


PAGE = """{% extends "base.html" %}
{% import "parts.html" as parts %}
{% block policy %}{{ policy }}{% endblock %}
{% block style %}{% include "style.css" %}{% endblock %}
{% block title %}{{ result.second }} against {{ result.first }}{% endblock %}
{% macro count(name, numbers, mode, key) %}{% if numbers.get(key) and numbers.n is defined %}<a
href="#viewer?benchmark={{ name|urlencode }}&amp;change={{ mode }}+{{ key }}">{{ numbers[key]|number
}}</a>{% else %}{{ cell(numbers, key) }}{% endif %}{% endmacro %}
{% macro answer(which, row) %}<dt>{{ which }}</dt><dd><span class="badge {{ 'good' if
row.strict.correct else 'bad' }}">{{ "right" if row.strict.correct else "wrong" }}</span>
{%- if row.strict.status != "ok" %}<span class="badge warn">{{ row.strict.status }}</span>
{%- endif %}{{ row.response or "(nothing)" }}</dd>{% endmacro %}
{% block body %}
<h1>{{ result.second }} against {{ result.first }}</h1>
<p class="soft">first <b>{{ result.first }}</b> · second <b>{{ result.second }}</b></p>
<nav aria-label="Sections"><a href="#viewer">All answers</a></nav>
{% if result.remarks %}<ul class="warn">{% for remark in result.remarks %}<li>{{ remark }}</li>
{% endfor %}</ul>{% endif %}
{% for mode in modes %}
<h2>{{ "compat: MedEvalKit's rules" if mode == "compat" else "strict: stated answers only" }}</h2>
<div class="scroll"><table>
<tr>{% for head, _ in columns %}<th>{{ head }}</th>{% endfor %}</tr>
{% for name, numbers in table(result, mode).items() %}
<tr><th scope="row">{{ name }}</th>{% for _, key in columns[1:] %}
<td{% if key == "holm_p" and numbers.holm_p is defined and numbers.holm_p is not none
and numbers.holm_p < likely %} class="{{ 'good' if numbers.difference > 0 else 'bad' }}"{% endif %}>
{{ count(name, numbers, mode, key) if key in ("gained", "lost") else cell(numbers, key) }}</td>
{% endfor %}</tr>
{% endfor %}
</table></div>
{% endfor %}
<ul class="soft">{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>

<h2>Answers that strict scoring could not take, first → second</h2>
<div class="scroll"><table>
<tr><th>benchmark</th>{% for status in statuses %}<th>{{ status }}</th>{% endfor %}
<th>no verdict</th></tr>
{% for name, b in result.benchmarks.items() %}
<tr><th scope="row">{{ name }}</th>{% for status in statuses %}
<td>{{ b.statuses[status][0] }} → {{ b.statuses[status][1] }}</td>{% endfor %}
<td>{{ b.unscored }}</td></tr>
{% endfor %}
</table></div>

{% if result.settings %}
<h2>Settings that differ</h2>
<div class="scroll"><table><tr><th>setting</th><th class="text">first</th>
<th class="text">second</th></tr>
{% for name, both in result.settings.items() %}<tr><th scope="row">{{ name }}</th>
{% for value in both %}<td class="text wrap">{{ value }}</td>{% endfor %}</tr>{% endfor %}
</table></div>
{% endif %}

<h2 id="viewer">All answers</h2>
<p id="viewer-count" role="status" aria-live="polite">Some stand below. All {{ total|number }} that
both have are in this file; its script shows them.</p>
<noscript><p class="warn">Scripts are off here.</p></noscript>
{{ parts.controls([("benchmark", "Benchmark", "all"), ("change", "From first to second",
"any, or none"), ("type", "Answer type", "any"), ("stratum", "Kind of question", "any")]) }}
<div id="viewer-static">
{% for name, b in result.benchmarks.items() if b.strict.gained or b.strict.lost %}
<h3>{{ name }}: answers whose strict verdict changed</h3>
{% for kind in ("lost", "gained") if b.strict[kind] %}
<h4>{{ kind }} ({{ cards[name][kind]|length }} of {{ b.strict[kind] }})</h4>
<div class="cards">
{% for one, two in cards[name][kind] %}
<div class="card {{ 'right' if two.strict.correct else 'wrong' }}">
<dl><dt>id</dt><dd>{{ one.id }}</dd><dt>question</dt><dd>{{ one.question }}</dd>
{% if one.options %}<dt>options</dt><dd>{% for option in one.options %}{{
"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[loop.index0] }}. {{ option }}
{% endfor %}</dd>{% endif %}
<dt>gold</dt><dd><b>{{ one.gold }}</b></dd>
{{ answer("first", one) }}{{ answer("second", two) }}</dl>
</div>
{% endfor %}
</div>
{% endfor %}
{% endfor %}
</div>
{% endblock %}
{% block scripts %}
<script type="application/gzip" id="viewer-rows">{{ packed }}</script>
<script>{{ script|safe }}</script>
{% endblock %}
"""
