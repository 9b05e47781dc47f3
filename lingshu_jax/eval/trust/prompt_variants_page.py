# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The section on wordings, for the report."""

TEMPLATE = """
{% macro named(name) %}{{ name if name == "original" else "wording " ~ name }}{% endmacro %}
<p>The same questions with {{ section.settings.count }} other wording{{ "s" if
section.settings.count > 1 }} of the sentence that says how to answer: how far the accuracy
moves.</p>
{% if section.benchmarks %}
<div class="scroll"><table>
<thead><tr><th scope="col">benchmark</th><th scope="col">rows</th><th scope="col">mode</th>
<th scope="col">original</th><th scope="col">mean</th><th scope="col">lowest</th>
<th scope="col">highest</th><th scope="col">deviation</th><th scope="col">same answer in all</th>
<th scope="col">same verdict</th><th scope="col">always right</th></tr></thead>
<tbody>
{% for name, found in section.benchmarks.items() %}
{% for mode, numbers in found.spread.items() %}
<tr><th scope="row">{{ name if loop.first }}</th><td>{{ found.n|number if loop.first }}</td>
<td>{{ mode }}</td><td>{{ found.wordings.original[mode]|percent }}</td>
<td>{{ numbers.mean|percent }}</td><td>{{ numbers.min|percent }}<small>{{ named(numbers.worst)
}}</small></td><td>{{ numbers.max|percent }}<small>{{ named(numbers.best) }}</small></td>
<td>{{ numbers.deviation|percent }}</td>
{% for key in ("same_answer", "same_verdict", "always_right") %}{% if mode == "strict" %}
<td>{{ found[key].share|percent }}<small>{{ found[key].interval|interval }}</small></td>{% else
%}<td></td>{% endif %}{% endfor %}</tr>
{% endfor %}
{% endfor %}
</tbody></table></div>
<p class="soft">Everything but the first accuracy is of the original and the other wordings
together. deviation: the standard deviation of their accuracies. same answer: strict scoring read
the same in every wording; answers that it could not read never are the same. Two models
that differ by less than this spread cannot be told apart by one prompt.</p>
<details><summary>Accuracy of each wording</summary>
<div class="scroll"><table>
<thead><tr><th scope="col">benchmark</th><th scope="col" class="text">wording</th>
<th scope="col">compat</th><th scope="col">strict</th></tr></thead>
<tbody>
{% for name, found in section.benchmarks.items() %}
{% for wording, numbers in found.wordings.items() %}
<tr><th scope="row">{{ name if loop.first }}</th><td class="text">{{ named(wording) }}</td>
<td>{{ numbers.compat|percent }}</td><td>{{ numbers.strict|percent }}</td></tr>
{% endfor %}
{% endfor %}
</tbody></table></div></details>
<details><summary>The wordings</summary>
<div class="scroll"><table>
<thead><tr><th scope="col">form</th><th scope="col" class="text">wording</th>
<th scope="col" class="text">sentence</th></tr></thead>
<tbody>
{% for form, sentences in section.settings.wordings.items() %}
{% for sentence in sentences %}
<tr><th scope="row">{{ form if loop.first }}</th><td class="text">{{ named("original" if loop.first
else loop.index0) }}</td><td class="text wrap">{{ sentence }}</td></tr>
{% endfor %}
{% endfor %}
</tbody></table></div></details>
{% endif %}
"""
