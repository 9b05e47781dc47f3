# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The part of the report that tells how sure a model stays without the right picture."""

from lingshu_jax.eval.trust import calibration_page

TEMPLATE = (
    """
{% set titles = {"right": "the right picture", "grey": "grey", "noise": "noise", "photograph":
"a photograph", "other_modality": "another modality"} %}
{% set asked = section.benchmarks.items()|selectattr("1.n")|list %}
{% macro change(p, name) %}
{% if p.change is defined %}<small>{{ "%+.1f"|format(100 * p.change[name].mean) }}{% if
p.change[name].interval %} {{ p.change[name].interval|interval }}{% endif %}</small>{% endif %}
{% endmacro %}
<p>How sure the model is of its choice when the picture is taken away or exchanged: a model that
looks at the picture is less sure then.</p>
{% for name, s in asked %}
<div class="scroll"><table><caption>{{ name }}</caption>
<thead><tr>{% for title in ["picture", "questions", "confidence", "above " ~
(100 * section.settings.sure)|round|int ~ "%", "entropy", "accuracy", "same choice",
"on options"] %}<th scope="col">{{ title }}</th>{% endfor %}</tr></thead>
<tbody>
{% for kind, p in s.pictures.items() %}
<tr><th scope="row">{{ titles[kind] }}</th><td>{{ p.n|number }}</td>
{% if p.n %}
<td class="{{ 'warn' if p.change is defined and p.change.confidence.mean > -0.05 }}">{{
p.confidence|percent }}{{ change(p, "confidence") }}</td>
{% for column in ["sure", "entropy", "accuracy"] %}<td>{{ p[column]|percent }}{{ change(p, column)
}}</td>{% endfor %}
<td>{{ p.same_choice|percent if p.same_choice is defined else "–" }}</td><td>{{ p.mass|percent
}}</td>
{% else %}<td colspan="6" class="text">no question has such a picture</td>{% endif %}</tr>
{% endfor %}
</tbody></table></div>
{% else %}
<p class="warn">No closed question with a picture has probabilities.</p>
{% endfor %}
{% if asked %}
<p class="soft">confidence: mean probability of the likeliest option; entropy: 0% is certain, 100%
knows nothing; same choice: as on the right picture; on options: what all options have before they
are normalised. Small numbers: the difference to the right picture on the same questions, in points,
with a 95 % interval of a bootstrap that draws clusters. Yellow: confidence falls by less than 5
points. The accuracy on other pictures is what the question alone gives away.</p>
{% endif %}
"""
    + calibration_page.LEFT_OUT
)
