# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The macros of an evaluation's report.html: its tables, bars and cards."""

PARTS = """
{% macro notes(remarks, title) %}
<ul class="notes" role="note" aria-label="{{ title }}">
{% for remark in remarks %}<li>{{ remark }}</li>
{% endfor %}</ul>
{% endmacro %}

{% macro accuracy(s, mode, baselines) %}
{% set known = s[mode ~ "_accuracy"] is not none %}
{% set above = known and [s[mode ~ "_interval"][0], s[mode ~ "_clustered_interval"][0]]|min >
[s.constant_accuracy, s.random_accuracy, s.no_answer_accuracy]|max %}
<td class="{{ 'good' if above }}">{{ s[mode ~ "_accuracy"]|percent }}{% if known %}{{
bar(s[mode ~ "_accuracy"], [s[mode ~ "_interval"], s[mode ~ "_clustered_interval"]], s, baselines)
}}<small>{{ s[mode ~ "_interval"]|interval }} {{ s[mode ~ "_clustered_interval"]|interval
}}</small>{% endif %}</td>
{% endmacro %}

{% macro bar(share, intervals, s, baselines) %}
{% set ends = ends_of(intervals) %}
<svg class="share" viewBox="0 0 132 18" width="132" height="18" role="img" aria-label="{{
share|percent }}{% if ends %}, interval {{ ends|interval }}{% endif %}{% for key, title in
baselines.items() %}, {{ title }} {{ s[key]|percent }}{% endfor %}">
<rect class="all" x="4" y="5" width="124" height="8"/>
<rect class="ours" x="4" y="5" width="{{ (x_of(share) - 4)|round(1) }}" height="8"/>
{% for key in baselines %}{{ mark(loop.index0, x_of(s[key])) }}{% endfor %}
{% if ends %}{% set low, high = x_of(ends[0]), x_of(ends[1]) %}
<path class="ends" d="M{{ low }} 9H{{ high }}M{{ low }} 5.5v7M{{ high }} 5.5v7"/>{% endif %}
</svg>
{% endmacro %}

{% macro mark(kind, x) %}
{% if kind == 0 %}<path class="mark" d="M{{ x }} 1v16"/>
{% elif kind == 1 %}<path class="mark filled" d="M{{ (x - 3.5)|round(1) }} 18h7l-3.5 -5.5z"/>
{% else %}<path class="mark filled" d="M{{ (x - 3.5)|round(1) }} 0h7l-3.5 5.5z"/>{% endif %}
{% endmacro %}

{% macro key(baselines) %}
<p class="soft key">Bars run from 0 to 100 %. {% for title in baselines.values() %}<svg
class="share" viewBox="0 0 12 18" width="12" height="18" aria-hidden="true">{{
mark(loop.index0, 6.0) }}</svg> {{ title }}{{ ", " if not loop.last }}{% endfor %}, <svg
class="share" viewBox="0 0 24 18" width="24" height="18" aria-hidden="true"><path class="ends"
d="M2 9H22M2 5.5v7M22 5.5v7"/></svg>
the wider ends of both intervals.</p>
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
{% for mode in modes %}{{ accuracy(s, mode, baselines) }}{% endfor %}
{% for key in baselines %}<td>{{ s[key]|percent }}</td>{% endfor %}
<td>{{ s.disagreements|number }}</td><td>{{ s.clusters|number }}</td>
<td class="{{ 'warn' if s.unscored }}">{{ s.unscored|number }}</td></tr>
{% endfor %}
{% for name, total in totals.items() %}
<tr><th scope="row">{{ name }}</th><td></td>
{% for mode in modes %}<td>{{ total[mode]|percent }}{{ bar(total[mode],
[total[mode ~ "_clustered_interval"]], total, baselines) }}<small>{{
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
{% for name in names %}<td class="{{ 'warn' if s[name] }}">{% if s[name] and name != "cut_off" %}<a
href="#viewer?benchmark={{ benchmark|urlencode }}&amp;status={{ name }}">{{ s[name]|number }}</a>
{% else %}{{ s[name]|number }}{% endif %}<small>{{ (s[name] / s.n)|percent }}</small></td>
{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}

{% macro published(table, limit) %}
<h3 id="published">Beside the published numbers</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">accuracy in percent</th>
{% for name in table.columns %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for model, numbers in table.rows.items() %}
<tr class="{{ 'ours' if model in table.ours }}"><th scope="row">{{ model }}</th>
{% for value in numbers %}<td>{{ "–" if value is none else "%.1f"|format(value) }}</td>
{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
<p class="soft">Above: this evaluation. Below: arXiv 2506.07044, its tables of accuracies; numbers
of models that came later are MedEvalKit's. As far as is known a judge model decided open answers
there; rules do in the rows compat and strict. Means count each benchmark once, of those with
published numbers.{% if limit %} <span class="warn">This run saw only the first rows of each
benchmark.</span>{% endif %}</p>
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

{% macro breakdown(benchmark, name, values, baselines, modes, constants) %}
{% set about = "answer type" == name %}
{% if values|length > 12 %}<details><summary>By {{ name|replace("_", " ") }} ({{ values|length }}
values)</summary>{% else %}<h3>By {{ name|replace("_", " ") }}</h3>{% endif %}
<div class="scroll"><table>
<thead><tr><th scope="col">{{ name|replace("_", " ") }}</th><th scope="col">rows</th>
{% for mode in modes %}<th scope="col">{{ mode }}</th>{% endfor %}
{% for title in baselines.values() %}<th scope="col">{{ title }}</th>{% endfor %}
<th scope="col">clusters</th><th scope="col">unscored</th></tr></thead>
<tbody>
{% for value, s in values.items() %}
<tr><th scope="row">{% if value %}<a href="#viewer?benchmark={{ benchmark|urlencode }}&amp;{{
("type=" ~ value|urlencode) if about else ("stratum=" ~ (name ~ ": " ~ value)|urlencode) }}">{{
value|replace("_", " ") if about else value }}</a>{% else %}(none){% endif %}</th><td>{{
s.n|number }}</td>
{% for mode in modes %}{{ accuracy(s, mode, baselines) }}{% endfor %}
{% for key in baselines %}<td>{{ s[key]|percent }}
{% if key == "constant_accuracy" and value in constants and constants[value].answer %}
<small>{{ constants[value].answer|truncate(24) }}</small>{% endif %}</td>{% endfor %}
<td>{{ s.clusters|number }}</td><td class="{{ 'warn' if s.unscored }}">{{ s.unscored|number }}</td>
</tr>
{% endfor %}
</tbody></table></div>
{% if values|length > 12 %}</details>{% endif %}
{% endmacro %}

{% macro reasons(benchmark, s, known) %}
<h3>Where compat and strict differ ({{ s.disagreements|number }})</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">reason</th><th scope="col">rows</th><th scope="col" class="text">what it
means</th></tr></thead>
<tbody>
{% for name, count in s.reasons.items() %}
<tr><th scope="row"><a href="#viewer?benchmark={{ benchmark|urlencode }}&amp;reason={{
name|urlencode }}">{{ name }}</a></th><td>{{ count|number }}</td><td class="text">{{ known[name]
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

{% macro choice(key, title, every) %}
<label hidden><span>{{ title }}</span><select id="filter-{{ key }}"><option value="">{{ every }}
</option></select></label>
{% endmacro %}

{% macro pager() %}
<p class="pager"><button type="button" data-page="-1">Previous</button>
<span data-place></span> <button type="button" data-page="1">Next</button></p>
{% endmacro %}

{% macro controls(choices) %}
<div id="viewer-controls" hidden>
<div class="filters" role="search" aria-label="Answers">
{% for key, title, every in choices %}{{ choice(key, title, every) }}{% endfor %}
<label class="wide"><span>Text <kbd>/</kbd></span><input id="filter-q" type="search"
autocomplete="off" placeholder="in question, options, gold, response, id"></label>
<p><button type="button" id="viewer-clear">Clear filters</button></p>
</div>
{{ pager() }}
<div class="cards" id="viewer-cards"></div>
{{ pager() }}
<p class="soft"><kbd>j</kbd> and <kbd>k</kbd>, or on an answer the arrows to the right and left, go
to the next and the one before; <kbd>/</kbd> goes to the search, <kbd>Esc</kbd> leaves it. The
address of this page holds the filters and the answer.</p>
</div>
{% endmacro %}

{% macro viewer(total, pictures, cards) %}
<p id="viewer-count" role="status" aria-live="polite">{{ cards|length }} of {{ total|number }}
answers stand below. All are in this file; its script shows them.</p>
<noscript><p class="warn">Scripts are off here. leaderboard.csv and samples.jsonl beside this file
have the rest.</p></noscript>
{% if pictures.wanted %}<p class="soft">This file has the pictures of {{ pictures.shown|number }} of
{{ pictures.wanted|number }} questions with pictures, made small{% if pictures.unreadable %};
pictures of <span class="warn">{{ pictures.unreadable|number }}</span> could not be read when it was
written{% endif %}.</p>{% endif %}
{{ controls([("benchmark", "Benchmark", "all"), ("verdict", "Verdicts", "any"),
("status", "Read by strict as", "anything"), ("type", "Answer type", "any"),
("reason", "Why the two differ", "any reason, or none"), ("stratum", "Kind of question", "any"),
("judge", "Judge", "whatever it says")]) }}
<div class="cards" id="viewer-static">
{% for item in cards %}{{ card(item) }}{% endfor %}
</div>
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
<p class="which"><b>{{ item.benchmark }} {{ row.id }}</b></p>
{% for picture in item.pictures %}
<img src="{{ picture }}" alt="picture of {{ item.benchmark }} {{ row.id }}">{% endfor %}
<div>{{ badge("compat", row.compat.correct) }}{{ badge("strict", row.strict.correct) }}
{% if row.strict.status != "ok" %}<span class="badge warn">{{ row.strict.status }}</span>{% endif %}
{% if row.finish_reason == "length" %}<span class="badge warn">cut off</span>{% endif %}
{% if row.reason %}<span class="badge soft">{{ row.reason }}</span>{% endif %}</div>
<dl><dt>question</dt><dd>{{ row.question }}</dd>
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
