# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The templates of an evaluation's report.html: one file, no scripts, nothing from the net."""

PAGE = """{% extends "base.html" %}
{% import "parts.html" as parts %}
{% block title %}Evaluation of {{ model }}{% endblock %}
{% block style %}.notes { border-left: 4px solid var(--warn); background: var(--panel);
  padding: .6rem 1rem .6rem 2rem; }{% endblock %}
{% block body %}
<h1>Evaluation of {{ model }}</h1>
<p class="soft">{% for name, value in settings.items() %}{{ name }} <b>{{ value }}</b>{{ " · " if
not loop.last }}{% endfor %}</p>
{% if remarks %}
<ul class="notes" role="note" aria-label="Remarks">
{% for remark in remarks %}<li>{{ remark }}</li>
{% endfor %}</ul>
{% endif %}
{% if benchmarks|length > 1 %}<nav aria-label="Benchmarks">
{% for name in benchmarks %}<a href="#{{ name }}">{{ name }}</a>
{% endfor %}</nav>{% endif %}

{{ parts.accuracies(benchmarks, totals, baselines, modes) }}
<p class="soft">compat: MedEvalKit's verdict rules. strict: an answer has to be stated, nothing is
guessed. Brackets hold 95 % intervals: Wilson's above, and below it that of a bootstrap that draws
clusters, the questions about one image or one patient; where there are as many clusters as scored
rows, nothing is known to be shared. constant: the most frequent gold of each answer type, given to
every question of it. random: an option drawn at random. no answer: what compat gives to a model
that says nothing. differ: questions on which compat and strict disagree. Green: both intervals lie
above the three baselines.</p>
{{ parts.failures(benchmarks, failures) }}
{% if published %}{{ parts.published(published, limit) }}{% endif %}
{% if usage %}{{ parts.usage(benchmarks, usage) }}{% endif %}

{% for name, s in benchmarks.items() %}
<h2 id="{{ name }}">{{ name }}</h2>
{% if limit %}<p class="warn">This run saw only the first {{ s.n }} rows.</p>{% endif %}
{{ parts.breakdown("answer type", s.by_answer_type, baselines, modes, s.constant) }}
{% for stratum, values in s.by_stratum.items() %}
{{ parts.breakdown(stratum, values, baselines, modes, {}) }}
{% endfor %}
{% if s.disagreements %}{{ parts.reasons(s, reasons) }}{% endif %}
{% if s.guessed %}<p>compat drew {{ s.guessed|number }} letters by chance, of which {{
s.guessed_correct|number }} were right; with all of them wrong its accuracy is {{
s.compat_accuracy_guesses_wrong|percent }}.</p>{% endif %}
{% if s.jaccard is not none %}<p>Sets of letters: mean Jaccard index {{
"%.3f"|format(s.jaccard) }}.</p>{% endif %}
{% if s.letters %}{{ parts.letters(s.letters) }}{% endif %}
{% if "open" in s.compat %}{{ parts.open(s, open_metrics) }}{% endif %}
<h3>Answers ({{ cards[name]|length }} of {{ s.n|number }})</h3>
{% if blind %}<p class="warn">The model saw every one of these images grey.</p>{% endif %}
<div class="cards">
{% for card in cards[name] %}{{ parts.card(card) }}{% endfor %}
</div>
{% endfor %}
{% endblock %}
"""

PARTS = """
{% macro accuracy(s, mode) %}
{% set known = s[mode ~ "_accuracy"] is not none %}
{% set above = known and [s[mode ~ "_interval"][0], s[mode ~ "_clustered_interval"][0]]|min >
[s.constant_accuracy, s.random_accuracy, s.no_answer_accuracy]|max %}
<td class="{{ 'good' if above }}">{{ s[mode ~ "_accuracy"]|percent }}{% if known %}<small>{{
s[mode ~ "_interval"]|interval }}</small><small>{{ s[mode ~ "_clustered_interval"]|interval
}}</small>{% endif %}</td>
{% endmacro %}

{% macro accuracies(benchmarks, totals, baselines, modes) %}
<div class="scroll"><table>
<thead><tr><th scope="col">benchmark</th><th scope="col">rows</th>
{% for mode in modes %}<th scope="col">{{ mode }}</th>{% endfor %}
{% for title in baselines.values() %}<th scope="col">{{ title }}</th>{% endfor %}
<th scope="col">differ</th><th scope="col">clusters</th><th scope="col">unscored</th></tr></thead>
<tbody>
{% for name, s in benchmarks.items() %}
<tr><th scope="row"><a href="#{{ name }}">{{ name }}</a></th><td>{{ s.n|number }}</td>
{% for mode in modes %}{{ accuracy(s, mode) }}{% endfor %}
{% for key in baselines %}<td>{{ s[key]|percent }}</td>{% endfor %}
<td>{{ s.disagreements|number }}</td><td>{{ s.clusters|number }}</td>
<td class="{{ 'warn' if s.unscored }}">{{ s.unscored|number }}</td></tr>
{% endfor %}
{% for name, total in totals.items() %}
<tr><th scope="row">{{ name }}</th><td></td>
{% for mode in modes %}<td>{{ total[mode]|percent }}<small>{{
total[mode ~ "_clustered_interval"]|interval }}</small></td>{% endfor %}
{% for key in baselines %}<td>{{ total[key]|percent }}</td>{% endfor %}
<td></td><td></td><td></td></tr>
{% endfor %}
</tbody></table></div>
{% if totals %}<p class="soft">macro: the mean over benchmarks; micro: over all questions. Their
brackets are of the clustered bootstrap.</p>{% endif %}
{% endmacro %}

{% macro failures(benchmarks, names) %}
<h3>How answers failed, strict</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">benchmark</th>
{% for name in names %}<th scope="col">{{ name|replace("_", " ") }}</th>{% endfor %}</tr></thead>
<tbody>
{% for benchmark, s in benchmarks.items() %}
<tr><th scope="row">{{ benchmark }}</th>
{% for name in names %}<td class="{{ 'warn' if s[name] }}">{{ s[name]|number }}<small>{{
(s[name] / s.n)|percent }}</small></td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}

{% macro published(table, limit) %}
<h3>Beside the published numbers</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">accuracy in percent</th>
{% for name in table.benchmarks %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for model, numbers in table.rows.items() %}
<tr><th scope="row">{{ model }}</th>{% for value in numbers %}<td>{{ "–" if value is none else
"%.1f"|format(value) }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
<p class="soft">Published: arXiv 2506.07044, its tables of accuracies. As far as is known a judge
model decided open answers there; here rules do.{% if limit %} <span class="warn">This run saw only
the first rows of each benchmark.</span>{% endif %}</p>
{% endmacro %}

{% macro usage(benchmarks, total) %}
<h3>What the answers took</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">benchmark</th>{% for name in total %}<th scope="col">{{
name|replace("_", " ") }}</th>{% endfor %}</tr></thead>
<tbody>
{% for name, s in benchmarks.items() if s.usage is defined %}
<tr><th scope="row">{{ name }}</th>{% for key in total %}<td>{{ s.usage[key]|number }}</td>
{% endfor %}</tr>
{% endfor %}
{% if benchmarks|length > 1 %}<tr><th scope="row">together</th>{% for value in total.values() %}
<td>{{ value|number }}</td>{% endfor %}</tr>{% endif %}
</tbody></table></div>
{% endmacro %}

{% macro breakdown(name, values, baselines, modes, constants) %}
{% if values|length > 12 %}<details><summary>By {{ name|replace("_", " ") }} ({{ values|length }}
values)</summary>{% else %}<h3>By {{ name|replace("_", " ") }}</h3>{% endif %}
<div class="scroll"><table>
<thead><tr><th scope="col">{{ name|replace("_", " ") }}</th><th scope="col">rows</th>
{% for mode in modes %}<th scope="col">{{ mode }}</th>{% endfor %}
{% for title in baselines.values() %}<th scope="col">{{ title }}</th>{% endfor %}
<th scope="col">clusters</th><th scope="col">unscored</th></tr></thead>
<tbody>
{% for value, s in values.items() %}
<tr><th scope="row">{{ value or "(none)" }}</th><td>{{ s.n|number }}</td>
{% for mode in modes %}{{ accuracy(s, mode) }}{% endfor %}
{% for key in baselines %}<td>{{ s[key]|percent }}
{% if key == "constant_accuracy" and value in constants and constants[value].answer %}
<small>{{ constants[value].answer|truncate(24) }}</small>{% endif %}</td>{% endfor %}
<td>{{ s.clusters|number }}</td><td class="{{ 'warn' if s.unscored }}">{{ s.unscored|number }}</td>
</tr>
{% endfor %}
</tbody></table></div>
{% if values|length > 12 %}</details>{% endif %}
{% endmacro %}

{% macro reasons(s, known) %}
<h3>Where compat and strict differ ({{ s.disagreements|number }})</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">reason</th><th scope="col">rows</th><th scope="col" class="text">what it
means</th></tr></thead>
<tbody>
{% for name, count in s.reasons.items() %}
<tr><th scope="row">{{ name }}</th><td>{{ count|number }}</td><td class="text">{{ known[name]
}}</td></tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}

{% macro letters(counts) %}
{% set golds = counts.golds.values()|sum %}
{% set said = counts.answers.values()|sum + counts.none %}
<h3>Letters: how often each is right, and how often it was answered</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">letter</th><th scope="col">right</th><th scope="col"></th>
<th scope="col">answered</th><th scope="col"></th></tr></thead>
<tbody>
{% for letter, count in counts.golds.items() %}
<tr><td>{{ letter }}</td>{{ share(count, golds) }}{{ share(counts.answers[letter], said) }}</tr>
{% endfor %}
<tr><td>no valid letter</td><td></td><td></td>{{ share(counts.none, said) }}</tr>
</tbody></table></div>
{% endmacro %}

{% macro share(count, total) %}
<td>{{ count|number }}<small>{{ (count / total)|percent if total }}</small></td>
<td><span class="bar alone"><i style="width: {{ (count / total)|percent if total else '0%' }}"></i>
</span></td>
{% endmacro %}

{% macro open(s, metrics) %}
<h3>Open answers, MedEvalKit's metrics</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">rows</th>{% for metric in metrics %}<th scope="col">{{ metric }}</th>
{% endfor %}</tr></thead>
<tbody><tr><td>{{ s.compat.open.total|number }}</td>{% for metric in metrics %}<td>{{
"%.4f"|format(s.compat.open[metric]) }}</td>{% endfor %}</tr></tbody>
</table></div>
{% if s.no_rouge %}<p class="soft">{{ s.no_rouge|number }} answers have no ROUGE: a side is empty;
they count as 0.</p>{% endif %}
{% endmacro %}

{% macro badge(name, correct) %}
{% if correct is none %}<span class="badge soft">{{ name }} not scored</span>
{% else %}<span class="badge {{ 'good' if correct else 'bad' }}">{{ name }} {{ "right" if correct
else "wrong" }}</span>{% endif %}
{% endmacro %}

{% macro card(item) %}
{% set row = item.row %}
<div class="card {{ '' if row.strict.correct is none else 'right' if row.strict.correct else
'wrong' }}">
{% for picture in item.pictures %}
<img src="{{ picture }}" alt="image of {{ row.id }}">{% endfor %}
<div>{{ badge("compat", row.compat.correct) }}{{ badge("strict", row.strict.correct) }}
{% if row.strict.status != "ok" %}<span class="badge warn">{{ row.strict.status }}</span>{% endif %}
{% if row.finish_reason == "length" %}<span class="badge warn">cut off</span>{% endif %}
{% if row.reason %}<span class="badge soft">{{ row.reason }}</span>{% endif %}</div>
<dl><dt>id</dt><dd>{{ row.id }}</dd><dt>question</dt><dd>{{ row.question }}</dd>
{% if row.options %}<dt>options</dt><dd>{% for option in row.options %}{{
"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[loop.index0] }}. {{ option }}
{% endfor %}</dd>{% endif %}
<dt>gold</dt><dd><b>{{ row.gold }}</b></dd>
<dt>response</dt><dd>{{ row.response or "(nothing)" }}</dd>
{% if row.strict.correct is not none %}<dt>read as</dt><dd>{{ "–" if row.strict.value is none else
row.strict.value }}</dd>{% endif %}</dl>
</div>
{% endmacro %}
"""

TEMPLATES = {"page.html": PAGE, "parts.html": PARTS}
