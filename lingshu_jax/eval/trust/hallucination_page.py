# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The section of the report on hallucination probes."""

TEMPLATE = """
{% macro rate(share, bounds) %}{{ share|percent }}{% if bounds %}<small>{{ bounds|interval
}}</small>{% endif %}{% endmacro %}
{% macro youden(j) %}{{ "–" if j is none else "%.2f"|format(j) }}{% endmacro %}
{% macro cells(s) %}
<td>{{ s.absent|number }}</td><td>{{ rate(s.false_yes_rate, s.false_yes_interval) }}
{% if s.false_yes_rate is not none %}<span class="bar alone"><i style="width: {{
s.false_yes_rate|percent }}"></i></span>{% endif %}</td>
<td>{{ s.present|number }}</td><td>{{ rate(s.true_yes_rate, s.true_yes_interval) }}</td>
<td class="{{ 'warn' if s.unanswered }}">{{ s.unanswered|number }}</td>
<td>{{ s.balanced_accuracy|percent }}</td><td>{{ youden(s.youden) }}</td>
{% endmacro %}
{% macro head(first) %}
<thead><tr><th scope="col">{{ first }}</th><th scope="col">absent</th><th scope="col">false yes</th>
<th scope="col">present</th><th scope="col">true yes</th><th scope="col">no answer</th>
<th scope="col">balanced accuracy</th><th scope="col">Youden's J</th></tr></thead>
{% endmacro %}
{% set all = section.overall %}

<p>How often the model says that an image shows a finding which it does not: “{{
section.settings.question|replace("{finding}", "X") }}” about {{ section.settings.images|number }}
images and {{ section.findings|length }} findings.</p>
<div class="scroll"><table>
{{ head("finding") }}
<tbody>
{% for name, s in section.findings.items() %}
<tr><th scope="row">{{ name }}</th>{{ cells(s) }}</tr>
{% endfor %}
<tr><th scope="row">all, {{ all.clusters|number }} images or patients</th>
<td>{{ all.absent|number }}</td><td>{{ rate(all.false_yes_rate, all.false_yes_clustered_interval)
}}</td><td>{{ all.present|number }}</td><td>{{ rate(all.true_yes_rate,
all.true_yes_clustered_interval) }}</td><td class="{{ 'warn' if all.unanswered }}">{{
all.unanswered|number }}</td><td>{{ all.balanced_accuracy|percent }}</td><td>{{
youden(all.youden) }}
{% if all.youden_interval %}<small>[{{ "%.2f"|format(all.youden_interval[0]) }}, {{
"%.2f"|format(all.youden_interval[1]) }}]</small>{% endif %}</td></tr>
{% if all.macro.findings %}
<tr><th scope="row">mean over {{ all.macro.findings|number }} findings</th><td></td>
<td>{{ all.macro.false_yes_rate|percent }}</td><td></td><td>{{ all.macro.true_yes_rate|percent }}
</td><td></td><td>{{ all.macro.balanced_accuracy|percent }}</td><td>{{ youden(all.macro.youden) }}
</td></tr>
{% endif %}
{% for answer, s in section.baselines.items() %}
<tr><th scope="row">always “{{ answer }}”</th><td></td><td>{{ s.false_yes_rate|percent }}</td>
<td></td><td>{{ s.true_yes_rate|percent }}</td><td></td><td>{{ s.balanced_accuracy|percent }}</td>
<td>{{ youden(s.youden) }}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="soft">false yes: of the images that do not show it, those on which the model says yes.
true yes: of those that do, the same. A low share of false yeses beside as low a share of true ones
is a habit of saying no. Balanced accuracy: the mean of right yeses and right noes, 50 % for a model
that does not look. Youden's J: their sum less 1, 0 for such a model. An answer that is neither yes
nor no is wrong both ways. Brackets: 95 %, Wilson's, and over all questions a bootstrap that draws
images of a patient together. Accuracy over all questions is {{ all.accuracy|percent }}; always
“no” has {{ section.baselines.no.accuracy|percent }}.</p>

{% for stratum, values in section.strata.items() if values|length > 1 %}
<h3>By {{ stratum }}</h3>
<div class="scroll"><table>
{{ head(stratum) }}
<tbody>
{% for value, s in values.items() %}<tr><th scope="row">{{ value }}</th>{{ cells(s) }}</tr>
{% endfor %}
</tbody></table></div>
{% endfor %}

{% if section.worst %}
<h3>Images with the most false yeses</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">row of the table</th><th scope="col">absent</th><th scope="col">false
yes</th><th scope="col" class="text">said to be there</th><th scope="col" class="text">really
there</th></tr></thead>
<tbody>
{% for one in section.worst %}
<tr><td>{{ one.row|number }}</td><td>{{ one.asked|number }}</td><td>{{ one.ids|length }}</td>
<td class="text wrap">{{ one.false_yes|join(", ") }}</td><td class="text wrap">{{
one.present|join(", ") or "nothing" }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}
"""
