# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The templates of a run's page and of a recipe's page; `common/pages.py` has their frame."""

RUN = """{% extends "base.html" %}
{% import "parts.html" as parts %}
{% block title %}{{ view.run.name }}{% endblock %}
{% block body %}
<h1>Training run: {{ view.run.name }}</h1>
<p class="soft">{{ view.run.workdir }}</p>
{{ parts.stage(view, true) }}
{% endblock %}
"""

RECIPE = """{% extends "base.html" %}
{% import "parts.html" as parts %}
{% import "answers.html" as answers %}
{% block title %}{{ title }}{% endblock %}
{% block body %}
<h1>{{ title }}</h1>
<nav aria-label="Sections">
{% for view in views %}<a href="#stage-{{ loop.index }}">{{ view.run.name }}</a>
{% endfor %}
{% if benchmarks %}<a href="#evaluation">evaluation</a>{% endif %}
{% if notes %}<a href="#notes">notes</a>{% endif %}
</nav>

<div class="tiles">
{% for tile in tiles %}
<div class="tile">{{ tile.name }}<b>{{ tile.value }}</b><small>{{ tile.beside }}</small></div>
{% endfor %}
</div>

<h2 id="summary">Summary</h2>
{{ parts.overview(views) }}
{% for view in views if view.terms %}{{ parts.terms(view) }}{% endfor %}
{% if benchmarks %}{{ answers.overview(benchmarks) }}{% endif %}
{% if facts %}
<h3>Circumstances</h3>
<div class="scroll"><table><tbody>
{% for name, value in facts.items() %}
<tr><th scope="row">{{ name }}</th><td class="text wrap most">{{ value|number }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}

{% for view in views %}
<h2 id="stage-{{ loop.index }}">{{ loop.index }}. {{ view.run.name }}</h2>
{{ parts.stage(view, false) }}
{% endfor %}

{% if benchmarks %}
<h2 id="evaluation">Evaluation</h2>
<p class="soft">strict: an answer has to be stated, nothing is guessed, and each way of failing is
counted. compat: MedEvalKit's verdict rules. constant: the most frequent gold answer of each answer
type, given to every question. Brackets hold 95 % Wilson intervals.</p>
{% for benchmark in benchmarks %}{{ answers.benchmark(benchmark, statuses) }}{% endfor %}
{% endif %}

{% if notes %}
<h2 id="notes">Notes</h2>
<ul>
{% for note in notes %}<li>{{ note }}</li>
{% endfor %}
</ul>
{% endif %}
{% endblock %}
"""

PARTS = """
{% macro overview(views) %}
<div class="scroll"><table>
<caption>Stages in order</caption>
<thead><tr><th scope="col">stage</th><th scope="col">steps</th>
<th scope="col">loss, first step</th><th scope="col">loss, last step</th>
<th scope="col" class="text">trained</th><th scope="col" class="text">frozen</th>
<th scope="col">fill, tokens</th><th scope="col">fill, patches</th>
<th scope="col">tokens a second</th></tr></thead>
<tbody>
{% for view in views %}
{% set run = view.run %}{% set loss = run.ends("loss") %}
<tr><td><a href="#stage-{{ loop.index }}">{{ run.name }}</a>{{ unfinished(run) }}</td>
<td>{{ run.steps|number }}</td><td>{{ loss[0]|number }}</td>
<td>{{ loss[1]|number }}{% if run.is_rl %}<small>policy loss</small>{% endif %}</td>
<td class="text">{{ patterns(run.groups|rejectattr("frozen")) }}</td>
<td class="text">{{ patterns(run.groups|selectattr("frozen")) }}</td>
<td>{{ view.fill.tokens|percent }}</td><td>{{ view.fill.patches|percent }}</td>
<td>{{ view.speed|number }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}

{% macro patterns(groups) %}
{% for group in groups %}<code>{{ group.pattern }}</code>{{ " " }}{% else %}–{% endfor %}
{% endmacro %}

{% macro unfinished(run) %}
{% if run.finished is none %} <span class="badge warn">not finished</span>{% endif %}
{% endmacro %}

{% macro terms(view) %}
<div class="scroll"><table>
<caption>{{ view.run.name }}: first and last quarter of the steps. Held-out questions are never
trained on; blind: every image is greyed out; shuffled: the images are those of another question.
What is right blind or shuffled was not read from the image.</caption>
<thead><tr><th scope="col">mean of</th><th scope="col">first quarter</th>
<th scope="col">last quarter</th><th scope="col">change, points</th></tr></thead>
<tbody>
{% for term in view.terms %}
<tr><td>{{ term.name }}</td><td>{{ term.first|percent }}</td><td>{{ term.last|percent }}</td>
<td class="{{ 'good' if term.change > 0 }}">{{ "%+.1f"|format(100 * term.change) }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}

{% macro stage(view, is_alone) %}
{% set run = view.run %}
<div class="scroll"><table><tbody>
{% for name, value in view.numbers %}
<tr><th scope="row">{{ name }}</th><td class="text wrap">{{ value }}</td></tr>
{% endfor %}
</tbody></table></div>
{% if is_alone and view.terms %}{{ terms(view) }}{% endif %}
<h3>Curves</h3>
{% if view.charts %}
<div class="figures">
{% for chart in view.charts if chart.address %}
<figure><figcaption>{{ chart.title }}{% if chart.note %}<small>{{ chart.note }}</small>{% endif %}
</figcaption><img src="{{ chart.address }}" alt="{{ chart.text }}"></figure>
{% endfor %}
</div>
{% for chart in view.charts if not chart.address %}
<p class="soft">{{ chart.title }}: 0 at every step.</p>
{% endfor %}
{% else %}<p class="soft">No step has been logged yet.</p>{% endif %}
{{ alarms(view.alarms) }}
{{ events(run) }}
{{ groups(run, view.total) }}
{{ time(view) }}
<h3>Dropped rows</h3>
{% if view.reasons %}
<div class="scroll"><table>
<thead><tr><th scope="col" class="text">reason</th><th scope="col">rows</th>
<th scope="col" class="text">for example</th></tr></thead>
<tbody>
{% for reason, count, row in view.reasons[:12] %}
<tr><td class="text wrap">{{ reason }}</td><td>{{ count|number }}</td>
<td class="text">{{ row.source }}, line {{ row.line }}: {{ row.id }}</td></tr>
{% endfor %}
</tbody></table></div>
{% if view.reasons|length > 12 %}<p class="soft">{{ view.reasons|length - 12 }} more reasons in
dropped.jsonl.</p>{% endif %}
{% else %}<p>None: every row was used.</p>{% endif %}
{% if view.samples %}
<h3>Rows that were trained on</h3>
<div class="cards">
{% for sample in view.samples %}{{ trained_row(sample) }}{% endfor %}
</div>
{% endif %}
{% if view.progress %}
<h3>Answers while training</h3>
<p class="soft">The same questions at some of the steps at which benchmarks were asked; right and
wrong by the strict rules.</p>
<div class="cards">
{% for question in view.progress %}{{ asked(question) }}{% endfor %}
</div>
{% endif %}
{% for step, questions in view.rollouts.items() %}
<h3>Rollouts of step {{ step }}</h3>
<div class="cards wide">
{% for question in questions %}{{ rollout(question) }}{% endfor %}
</div>
{% endfor %}
<details><summary>Configuration as resolved</summary><pre>{{ view.config }}</pre></details>
{% endmacro %}

{% macro alarms(alarms) %}
{% if alarms %}
<h3>Alarms</h3>
{% set raised = alarms|selectattr("first")|list %}
{% if raised %}
<div class="scroll"><table>
<caption>An alarm is raised when a number stayed outside its bounds for several steps; it does not
say that the run is lost, but that somebody should look.</caption>
<thead><tr><th scope="col">alarm</th><th scope="col" class="text">what it says</th>
<th scope="col">raised at step</th><th scope="col">last up at step</th>
<th scope="col">times raised</th><th scope="col">logged steps up</th>
<th scope="col" class="text">at the end</th></tr></thead>
<tbody>
{% for alarm in raised %}
<tr><td><code>{{ alarm.name }}</code></td><td class="text wrap">{{ alarm.meaning }}</td>
<td>{{ alarm.first|number }}</td><td>{{ alarm.last|number }}</td><td>{{ alarm.times|number }}</td>
<td>{{ alarm.rows|number }}</td><td class="text"><span class="badge {{ 'bad' if alarm.is_up else
'warn' }}">{{ "up" if alarm.is_up else "gone" }}</span></td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}
{% set quiet = alarms|rejectattr("first")|map(attribute="name")|list %}
{% if quiet %}<p class="soft">Never raised: {{ quiet|join(", ")|replace("_", " ") }}.</p>{% endif %}
{% endif %}
{% endmacro %}

{% macro events(run) %}
{% if run.events %}
<h3>Events</h3>
<div class="scroll"><table>
<caption>What happened besides steps: a skipped step changes nothing, and after several of them the
run goes back to the weights of its last good checkpoint.</caption>
<thead><tr><th scope="col">step</th><th scope="col" class="text">event</th>
<th scope="col" class="text">details</th></tr></thead>
<tbody>
{% for row in run.events[:20] %}
<tr><td>{{ row.step|number }}</td><td class="text">{{ row.event|replace("_", " ") }}</td>
<td class="text wrap">{% for name, value in row.items() if name not in ("step", "event", "time") %}
{{ name|replace("_", " ") }} {{ value|number }}{{ "" if loop.last else ", " }}{% endfor %}</td></tr>
{% endfor %}
</tbody></table></div>
{% if run.events|length > 20 %}<p class="soft">{{ run.events|length - 20 }} more in
events.jsonl.</p>{% endif %}
{% endif %}
{% endmacro %}

{% macro groups(run, total) %}
<h3>Parameter groups</h3>
{% if run.groups %}
<div class="scroll"><table>
<thead><tr><th scope="col">pattern</th><th scope="col">parameters</th>
<th scope="col" colspan="2" class="text">share</th><th scope="col">peak learning rate</th>
<th scope="col" class="text">schedule</th><th scope="col">warm-up steps</th>
<th scope="col">ends at, of the peak</th><th scope="col">weight decay</th>
<th scope="col" class="text">state</th></tr></thead>
<tbody>
{% for group in run.groups %}
<tr><td><code>{{ group.pattern }}</code></td><td>{{ group.size|number }}</td>
<td>{{ (group.size / total)|percent }}</td><td>{{ bar(group.size / total) }}</td>
{% set of_group = [group.rate, group.schedule, group.warmup_steps, group.final_fraction,
group.weight_decay] %}
{% for value in of_group %}<td class="{{ 'text' if loop.index == 2 }}">{{ "–" if group.frozen else
value }}</td>
{% endfor %}
<td class="text"><span class="badge {{ '' if group.frozen else 'good' }}">{{ "frozen" if
group.frozen else "trained" }}</span></td></tr>
{% endfor %}
</tbody></table></div>
<div class="scroll"><table>
<caption>Every step</caption><tbody>
{% for name, value in run.settings %}
<tr><th scope="row">{{ name|replace("_", " ") }}</th><td class="text">{{ value }}</td></tr>
{% endfor %}
</tbody></table></div>
<details><summary>All {{ run.parameters|length }} parameters</summary>
<div class="scroll"><table>
<thead><tr><th scope="col">path</th><th scope="col">shape</th><th scope="col">dtype</th>
<th scope="col">weight decay</th><th scope="col" class="text">state</th></tr></thead>
<tbody>
{% for path, shape, dtype, decay, state in run.parameters %}
<tr><td><code>{{ path }}</code></td><td>{{ shape }}</td><td>{{ dtype }}</td><td>{{ decay }}</td>
<td class="text">{{ state }}</td></tr>
{% endfor %}
</tbody></table></div></details>
{% else %}<p class="soft">params.txt is not written yet.</p>{% endif %}
{% endmacro %}

{% macro bar(share) %}
<span class="bar alone" aria-hidden="true"><i style="width: {{ share|percent }}"></i></span>
{% endmacro %}

{% macro time(view) %}
{% if view.seconds %}
<h3>Where the time went</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">part</th><th scope="col">seconds</th>
<th scope="col" colspan="2" class="text">share</th></tr></thead>
<tbody>
{% for part, seconds, share in view.seconds %}
<tr><td>{{ part }}</td><td>{{ "%.1f"|format(seconds) }}</td><td>{{ share|percent }}</td>
<td>{{ bar(share) }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}
{% endmacro %}

{% macro trained_row(sample) %}
<div class="card">
{% for picture in sample.pictures %}<img src="{{ picture }}" alt="image of row {{ sample.id }}">
{% endfor %}
<dl>
{% for turn in sample.turns %}
<dt>{{ turn.role }}</dt><dd>{{ turn.text }}{% if turn.is_trained %}
 <span class="badge good">trained</span>{% endif %}</dd>
{% endfor %}
</dl>
<small class="soft">{{ sample.source }}: {{ sample.id }}</small>
</div>
{% endmacro %}

{% macro asked(question) %}
<div class="card">
{% for picture in question.pictures %}
<img src="{{ picture }}" alt="image of question {{ question.row.id }}">
{% else %}{% if question.row.images %}<p class="soft">its images are not here</p>{% endif %}
{% endfor %}
<dl><dt>question</dt><dd>{{ question.row.question }}</dd>
<dt>gold</dt><dd><b>{{ question.row.gold }}</b></dd>
{% for step, answer in question.answers.items() %}
<dt>step {{ step }}</dt><dd><span class="badge {{ 'good' if answer.correct else 'bad' }}">{{ "right"
if answer.correct else "wrong" }}</span> {{ answer.response.strip() or "(nothing)" }}{% if
answer.finish_reason == "length" %} <span class="badge warn">cut off</span>{% endif %}</dd>
{% endfor %}</dl>
<small class="soft">{{ question.row.benchmark }}: {{ question.row.id }}</small>
</div>
{% endmacro %}

{% macro rollout(question) %}
<div class="card split">
<div>{% for picture in question.pictures %}
<img src="{{ picture }}" alt="image of question {{ question.row.id }}">
{% else %}<p class="soft">{{ "its images are not here" if question.row.images else "no image" }}</p>
{% endfor %}</div>
<div>
<p><span class="badge">{{ question.why }}</span>{% if question.row.get("left_out") %}<span
class="badge warn">not learned from</span>{% endif %}</p>
<dl><dt>question</dt><dd>{{ question.row.question }}</dd>
<dt>gold</dt><dd><b>{{ question.row.gold }}</b> <span class="soft">{{ question.row.answer_type }}
</span></dd>
<dt>mean reward</dt><dd>{{ question.mean|number }}</dd>
{% if question.accuracy is not none %}
<dt>right</dt><dd>{{ question.accuracy|percent }} of its rollouts</dd>
{% endif %}</dl>
<div class="scroll"><table class="full">
<thead><tr><th scope="col">rollouts</th><th scope="col" class="text">completion</th>
<th scope="col" class="text">read as</th><th scope="col" class="text">status</th>
{% for term in question.row.rewards %}<th scope="col">{{ term }}</th>{% endfor %}
<th scope="col">reward</th><th scope="col">advantage</th><th scope="col">tokens</th></tr></thead>
<tbody>
{% for record in question.completions %}
<tr><td>{{ record.count }} ×</td>
<td class="text wrap most">{{ folded(record.completion.strip()) }}</td>
<td class="text wrap">{{ record.parsed|number }}</td>
<td class="text {{ 'warn' if record.status != 'ok' }}">{{ record.status }}</td>
{% for value in record.rewards.values() %}
<td class="{{ 'good' if value > 0 else 'soft' }}">{{ value|number }}</td>{% endfor %}
<td>{{ record.reward|number }}</td><td>{{ "%+.2f"|format(record.advantage) }}</td>
<td>{{ record.tokens|number }}<small class="{{ 'warn' if record.finish_reason == 'length' }}">{{
"cut off" if record.finish_reason == "length" else record.finish_reason }}</small></td></tr>
{% endfor %}
</tbody></table></div>
{% if question.hidden %}<small class="soft">{{ question.hidden }} more between the best and the
worst</small>{% endif %}
</div>
</div>
{% endmacro %}

{% macro folded(text) %}
{% if text|length > 400 %}
<details><summary>{{ text[:160] }}… ({{ text|length|number }} characters)</summary>{{ text
}}</details>
{%- else %}{{ text or "(nothing)" }}{% endif %}
{% endmacro %}
"""

ANSWERS = """
{% macro overview(benchmarks) %}
<div class="scroll"><table>
<caption>Accuracy with 95 % intervals, green where the interval lies above what constant answers
score. Blind means that every image is greyed out.</caption>
<thead><tr><th scope="col">benchmark</th><th scope="col" class="text">model</th>
<th scope="col">questions</th><th scope="col">strict</th><th scope="col">compat</th>
<th scope="col">constant answers</th></tr></thead>
<tbody>
{% for benchmark in benchmarks %}
{% for name, s in benchmark.numbers.items() %}
<tr><td>{{ benchmark.name if loop.first }}</td><td class="text">{{ name }}</td>
<td>{{ s.n|number }}</td>{{ accuracy(s, "strict") }}{{ accuracy(s, "compat") }}
<td>{{ s.constant_accuracy|percent }}</td></tr>
{% endfor %}
{% endfor %}
</tbody></table></div>
{% endmacro %}

{% macro accuracy(s, mode) %}
<td class="{{ 'good' if s[mode ~ "_accuracy"] is not none and
s[mode ~ "_interval"][0] > s.constant_accuracy }}">{{
s[mode ~ "_accuracy"]|percent }}<small>{{ s[mode ~ "_interval"]|interval }}</small></td>
{% endmacro %}

{% macro benchmark(item, statuses) %}
<h3>{{ item.name }}: how answers fail</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">model</th><th scope="col">questions</th><th scope="col">right</th>
{% for status in statuses %}<th scope="col">{{ status }}</th>{% endfor %}
<th scope="col">cut off</th></tr></thead>
<tbody>
{% for name, s in item.numbers.items() %}
<tr><td>{{ name }}</td><td>{{ s.n|number }}</td><td>{{ s.strict_correct|number }}</td>
{% for status in statuses %}<td class="{{ 'warn' if s[status] }}">{{ s[status]|number }}</td>
{% endfor %}<td class="{{ 'warn' if s.cut_off }}">{{ s.cut_off|number }}</td></tr>
{% endfor %}
</tbody></table></div>
<h3>{{ item.name }}: by answer type, strict</h3>
{% set last = item.numbers[item.ends[1]] %}
<div class="scroll"><table>
<thead><tr><th scope="col">answer type</th><th scope="col">questions</th>
{% for name in item.numbers %}<th scope="col">{{ name }}</th>{% endfor %}
<th scope="col">constant</th><th scope="col" class="text">constant answer</th></tr></thead>
<tbody>
{% for kind, constant in last.constant.items() %}
<tr><td>{{ kind }}</td><td>{{ constant.n|number }}</td>
{% for s in item.numbers.values() %}<td>{{ s.by_answer_type[kind].strict_accuracy|percent if kind in
s.by_answer_type else "–" }}</td>{% endfor %}
<td>{{ (constant.correct / constant.n)|percent }}</td>
<td class="text">{{ constant.answer|truncate(40) }}</td></tr>
{% endfor %}
</tbody></table></div>
{% if item.ends[0] != item.ends[1] %}
<p>From {{ item.ends[0] }} to {{ item.ends[1] }}:
<b class="good">{{ item.moves.get((false, true), 0)|number }}</b> became right,
<b class="bad">{{ item.moves.get((true, false), 0)|number }}</b> became wrong,
{{ item.moves.get((true, true), 0)|number }} stayed right,
{{ item.moves.get((false, false), 0)|number }} stayed wrong.</p>
{% endif %}
<h3>{{ item.name }}: answers</h3>
<div class="cards">
{% for card in item.cards %}{{ answer(card) }}{% endfor %}
</div>
{% endmacro %}

{% macro answer(card) %}
<div class="card {{ 'right' if card.is_right else 'wrong' }}">
{% for picture in card.pictures %}<img src="{{ picture }}" alt="image of {{ card.row.id }}">
{% endfor %}
<dl><dt>question</dt><dd>{{ card.row.question }}</dd>
{% if card.row.options and card.row.options[0] not in card.row.question %}
<dt>options</dt><dd>{{ card.row.options|join(" · ") }}</dd>{% endif %}
<dt>gold</dt><dd><b>{{ card.row.gold }}</b></dd>
{% for name, row in card.answers.items() %}
<dt>{{ name }}</dt><dd><span class="badge {{ 'good' if row.strict.correct else 'bad' }}">{{ "right"
if row.strict.correct else "wrong" }}</span>{% if row.strict.status != "ok" %}<span class="badge
warn">{{ row.strict.status }}</span>{% endif %} {{ row.response.strip() or "(nothing)" }}</dd>
{% endfor %}</dl>
<small class="soft">{{ card.row.id }}</small>
</div>
{% endmacro %}
"""

TEMPLATES = {
    "run.html": RUN,
    "recipe.html": RECIPE,
    "parts.html": PARTS,
    "answers.html": ANSWERS,
}
