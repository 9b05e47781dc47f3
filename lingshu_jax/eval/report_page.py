# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The template of an evaluation's report.html: one file, no scripts, nothing from the net."""

PAGE = """{% extends "base.html" %}
{% from "macros.html" import badge %}
{% block title %}Evaluation of {{ model }}{% endblock %}
{% block body %}
<h1>Evaluation of {{ model }}</h1>
<p class="soft">{% for name, value in settings.items() %}{{ name }} <b>{{ value }}</b>{{ " · " if
not loop.last }}{% endfor %}</p>
<p class="soft">compat: MedEvalKit's verdict rules. strict: an answer has to be stated; nothing is
guessed, and each way of failing has its column. constant: the most frequent gold answer of each
answer type, given to every question. Brackets hold 95 % Wilson intervals.</p>

<div class="scroll"><table>
<tr><th>benchmark</th><th>rows</th><th>compat</th><th>strict</th><th>constant</th><th>differ</th>
{% for status in statuses %}<th>{{ status }}</th>{% endfor %}</tr>
{% for name, s in benchmarks.items() %}
<tr><td><a href="#{{ name }}">{{ name }}</a></td><td>{{ s.n }}</td>
<td>{{ s.compat_accuracy|percent }}<small>{{ s.compat_interval|interval }}</small></td>
<td>{{ s.strict_accuracy|percent }}<small>{{ s.strict_interval|interval }}</small></td>
<td>{{ s.constant_accuracy|percent }}</td><td>{{ s.disagreements }}</td>
{% for status in statuses %}<td class="{{ 'warn' if s[status] }}">{{ s[status] }}</td>
{% endfor %}</tr>
{% endfor %}
{% if benchmarks|length > 1 %}
<tr><td>macro</td><td></td><td>{{ macro.compat|percent }}</td><td>{{ macro.strict|percent }}</td>
</tr><tr><td>micro</td><td></td><td>{{ micro.compat|percent }}</td><td>{{ micro.strict|percent }}
</td></tr>
{% endif %}
</table></div>

{% for name, s in benchmarks.items() %}
<h2 id="{{ name }}">{{ name }}</h2>
{% if published[name] %}
<p class="soft">Published accuracy (arXiv 2506.07044), in percent: {% for other, value in
published[name].items() %}{{ other }} <b>{{ value }}</b>{{ ", " if not loop.last }}{% endfor %}.
{% if limit %}This run saw only the first {{ s.n }} rows.{% endif %}</p>
{% endif %}
<div class="scroll"><table>
<tr><th>answer type</th><th>rows</th><th>compat</th><th>strict</th><th>constant answer</th>
<th>constant</th></tr>
{% for kind, k in s.by_answer_type.items() %}
<tr><td>{{ kind }}</td><td>{{ k.n }}</td>
<td>{{ k.compat_accuracy|percent }}<span class="bar"><i style="width:
{{ k.compat_accuracy|percent }}"></i></span></td>
<td>{{ k.strict_accuracy|percent }}<span class="bar"><i style="width:
{{ k.strict_accuracy|percent }}"></i></span></td>
<td>{{ s.constant[kind].answer|truncate(40) }}</td>
<td>{{ (s.constant[kind].correct / k.n)|percent }}</td></tr>
{% endfor %}
</table></div>
{% if "open" in s.compat %}
<h3>Open answers, MedEvalKit's metrics</h3>
<div class="scroll"><table>
<tr><th>rows</th>{% for metric in open_metrics %}<th>{{ metric }}</th>{% endfor %}</tr>
<tr><td>{{ s.compat.open.total }}</td>{% for metric in open_metrics %}<td>{{
"%.4f"|format(s.compat.open[metric]) }}</td>{% endfor %}</tr>
</table></div>
{% endif %}
<h3>Answers ({{ cards[name]|length }} of {{ s.n }})</h3>
{% if blind %}<p class="warn">The model saw every one of these images grey.</p>{% endif %}
<div class="cards">
{% for card in cards[name] %}
<div class="card {{ 'right' if card.row.strict.correct else 'wrong' }}">
{% for picture in card.pictures %}
<img src="{{ picture }}" alt="image of {{ card.row.id }}">{% endfor %}
<div>{{ badge("compat", card.row.compat.correct) }}{{ badge("strict", card.row.strict.correct) }}
{% if card.row.strict.status != "ok" %}<span class="badge warn">{{ card.row.strict.status }}</span>
{% endif %}{% if card.row.finish_reason == "length" %}<span class="badge warn">cut off</span>
{% endif %}</div>
<dl><dt>id</dt><dd>{{ card.row.id }}</dd><dt>question</dt><dd>{{ card.row.question }}</dd>
{% if card.row.options %}<dt>options</dt><dd>{% for option in card.row.options %}{{
"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[loop.index0] }}. {{ option }}
{% endfor %}</dd>{% endif %}
<dt>gold</dt><dd><b>{{ card.row.gold }}</b></dd>
<dt>response</dt><dd>{{ card.row.response or "(nothing)" }}</dd>
<dt>read as</dt><dd>{{ "—" if card.row.strict.value is none else card.row.strict.value }}</dd></dl>
</div>
{% endfor %}
</div>
{% endfor %}
{% endblock %}
"""

MACROS = """{% macro badge(name, correct) %}<span class="badge {{ 'good' if correct else 'bad' }}">
{{ name }} {{ "right" if correct else "wrong" }}</span>{% endmacro %}
"""

TEMPLATES = {"page.html": PAGE, "macros.html": MACROS}
