# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The part of the report that tells whether a model knows when it is right."""

# Questions without a place in a section's numbers, by reason.
LEFT_OUT = """
<p class="soft">Left out: {% for name, s in section.benchmarks.items() if s.left_out %}{{ name }}
({% for reason, count in s.left_out.items() %}{{ count|number }}: {{ reason }}{{ ", " if not
loop.last }}{% endfor %}){{ "; " if not loop.last }}{% else %}nothing{% endfor %}.</p>
"""

TEMPLATE = (
    """
{% macro head(names) %}
<thead><tr>{% for name in names %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
{% endmacro %}
{% set asked = section.benchmarks.items()|selectattr("1.n")|list %}
<p>Beside each benchmark: how sure the model is of the option that it finds likeliest, and how often
that option is right.</p>
{% if asked %}
<div class="scroll"><table>
{{ head(["benchmark", "questions", "accuracy", "confidence", "ECE", "adaptive ECE", "MCE", "Brier",
"NLL", "on options", "as answered"]) }}
<tbody>
{% for name, s in asked %}
<tr><th scope="row">{{ name }}</th><td>{{ s.n|number }}</td><td>{{ s.accuracy|percent
}}<small>answered {{ s.answered_accuracy|percent }}</small></td><td class="{{ 'warn' if
s.confidence - s.accuracy > 0.1 }}">{{ s.confidence|percent }}</td>
<td>{{ s.ece|percent }}{% if s.ece_interval %}<small>{{ s.ece_interval|interval }}</small>{% endif
%}<small>chance {{ s.chance_ece|percent }}</small></td>
<td>{{ s.adaptive_ece|percent }}</td><td>{{ s.mce|percent }}</td>
<td>{{ "%.3f"|format(s.brier) }}{% if s.brier_interval %}<small>[{{
"%.3f"|format(s.brier_interval[0]) }}, {{ "%.3f"|format(s.brier_interval[1]) }}]</small>{% endif
%}<small>uniform {{ "%.3f"|format(s.uniform_brier) }}</small><small>chosen {{
"%.3f"|format(s.brier_chosen) }}</small></td>
<td>{{ "%.3f"|format(s.nats) }}<small>uniform {{ "%.3f"|format(s.uniform_nats) }}</small></td>
<td class="{{ 'warn' if s.low_mass > 0.05 }}">{{ s.mass|percent }}</td>
<td>{{ s.agreement|percent }}<small>of {{ s.readable|number }}</small></td></tr>
{% endfor %}
</tbody></table></div>
<p class="soft">accuracy: of the likeliest option; answered: of what the model wrote, strict.
confidence: mean probability of the likeliest option; yellow where it is more than 10 points above
the accuracy. ECE: mean distance of the two over {{ section.settings.bins }} bins of equal width,
with a 95 % interval of a bootstrap that draws clusters; chance: what so few questions show of a
perfectly calibrated model. adaptive: bins of equally many questions. MCE: the worst bin. Brier:
squared error over all options, 0 to 2; chosen: of the likeliest alone, 0 to 1. NLL: nats on the
right option. uniform: equal probabilities. on options: what all options have before they are
normalised; yellow where more than 5 % of the questions have less than half, and the model would
rather say something else. as answered: how often the likeliest option is what the model wrote,
where that could be read.</p>

<h3>Answering only the surest questions</h3>
<div class="scroll"><table>
{{ head(["accuracy at a coverage of"] + (asked[0][1].coverage|map(attribute="coverage")
|map("percent")|list) + ["AURC", "best", "random"]) }}
<tbody>
{% for name, s in asked %}
<tr><th scope="row">{{ name }}</th>{% for at in s.coverage %}<td>{{ at.accuracy|percent
}}<small>risk {{ at.risk|percent }}</small><small>from {{ at.threshold|percent }}</small></td>
{% endfor %}
<td>{{ "%.3f"|format(s.aurc) }}</td><td>{{ "%.3f"|format(s.best_aurc) }}</td><td>{{
"%.3f"|format(1 - s.accuracy) }}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="soft">risk: what is wrong among the answered. from: the confidence that this takes. AURC:
mean risk over all coverages, between that of a model that is sure exactly where it is right and
that of a random order.</p>
{% if section.charts %}
<div class="figures">
{% for chart in section.charts %}
<figure><figcaption>{{ chart.title }}<small>{{ chart.note }}</small></figcaption><img src="{{
chart.address }}" alt="{{ chart.text }}"></figure>
{% endfor %}
</div>
{% endif %}
{% for name, s in asked if s.by_stratum %}
<details><summary>{{ name }} by modality ({{ s.by_stratum|length }})</summary>
<div class="scroll"><table>
{{ head(["modality", "questions", "accuracy", "confidence", "ECE", "Brier", "on options"]) }}
<tbody>
{% for value, part in s.by_stratum.items() %}
<tr><th scope="row">{{ value or "(none)" }}</th><td>{{ part.n|number }}</td><td>{{
part.accuracy|percent }}</td><td>{{ part.confidence|percent }}</td><td>{{ part.ece|percent }}</td>
<td>{{ "%.3f"|format(part.brier) }}</td><td>{{ part.mass|percent }}</td></tr>
{% endfor %}
</tbody></table></div></details>
{% endfor %}
<details><summary>Reliability tables</summary>
{% for name, s in asked %}
<div class="scroll"><table><caption>{{ name }}</caption>
{{ head(["confidence", "questions", "mean confidence", "accuracy"]) }}
<tbody>
{% for bin in s.bins if bin.n %}
<tr><td>{{ bin.low|percent }} to {{ bin.high|percent }}</td><td>{{ bin.n|number }}</td><td>{{
bin.confidence|percent }}</td><td>{{ bin.accuracy|percent }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endfor %}
</details>
{% else %}
<p class="warn">No question has a closed set of answers whose probabilities are known.</p>
{% endif %}
"""
    + LEFT_OUT
)
