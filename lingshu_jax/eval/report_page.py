# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The template of an evaluation's report.html: one file, no scripts, nothing from the net."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation of {{ model }}</title>
<style>
:root { --ink: #1d2733; --soft: #5b6876; --line: #dde3ea; --good: #1b7f4b; --bad: #b3362b;
  --warn: #8a6100; --panel: #f6f8fa; --accent: #2f6fb2; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 0 auto; padding: 2rem
  1.25rem 4rem; max-width: 76rem; background: #fff; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-top: 1rem; border-top: 1px solid
  var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p, ul { margin: .25rem 0 .75rem; }
.soft { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: .85rem; }
th:first-child, td:first-child { text-align: left; }
td small { color: var(--soft); display: block; line-height: 1.2; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); gap: 1rem; }
.card { border: 1px solid var(--line); border-left: 4px solid var(--bad); border-radius: 6px;
  padding: .75rem .9rem; background: var(--panel); overflow: hidden; }
.card.right { border-left-color: var(--good); }
.card img { max-height: 9rem; max-width: 100%; border-radius: 4px; margin: 0 .35rem .35rem 0; }
.card dl { display: grid; grid-template-columns: auto 1fr; gap: .15rem .6rem; margin: .4rem 0; }
.card dt { color: var(--soft); }
.card dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; max-height: 9rem;
  overflow-y: auto; }
.badge { display: inline-block; border-radius: 999px; padding: 0 .55rem; font-size: .8rem;
  border: 1px solid currentcolor; margin-right: .3rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.bar { display: inline-block; width: 9rem; height: .55rem; background: var(--line);
  border-radius: 3px; vertical-align: middle; margin-left: .5rem; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--accent); }
</style>
</head>
<body>
<h1>Evaluation of {{ model }}</h1>
<p class="soft">{% for name, value in settings.items() %}{{ name }} <b>{{ value }}</b>{{ " · " if
not loop.last }}{% endfor %}</p>
<p class="soft">compat: MedEvalKit's verdict rules. strict: an answer has to be stated; nothing is
guessed, and each way of failing has its column. constant: the most frequent gold answer of each
answer type, given to every question. Brackets hold 95 % Wilson intervals. For research; not a
medical device.</p>

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
<div class="card {{ 'right' if card.row.strict.correct }}">
{% for picture in card.pictures %}<img src="{{ picture }}" alt="input image">{% endfor %}
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
</body>
</html>
"""

MACROS = """{% macro badge(name, correct) %}<span class="badge {{ 'good' if correct else 'bad' }}">
{{ name }} {{ "right" if correct else "wrong" }}</span>{% endmacro %}
"""
