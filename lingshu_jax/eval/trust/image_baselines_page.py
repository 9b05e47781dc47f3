# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The section on other pictures, for the report."""

TEMPLATE = """
{% macro baseline_head(first) %}
<thead><tr><th scope="col">{{ first }}</th><th scope="col" class="text">instead</th>
<th scope="col">rows</th>
{% for mode in ("compat", "strict") %}<th scope="col">{{ mode }}<br>right picture</th>
<th scope="col">{{ mode }}<br>instead</th><th scope="col">reliance</th>{% endfor %}
<th scope="col">sensitivity</th></tr></thead>
{% endmacro %}
{% macro baseline_row(title, way, found) %}
<tr><th scope="row">{{ title }}</th><td class="text">{{ way|replace("_", " ") }}</td>
<td>{{ found.n|number }}</td>
{% for mode in ("compat", "strict") %}{% set part = found[mode] %}
<td>{{ part.first|percent }}</td>
<td>{{ part.second|percent }}<small>{{ part.changed|number }} changed</small></td>
<td>{{ "–" if part.difference is none else "%+.1f"|format(100 * part.difference) }}<small>{{
part.interval|interval }}</small><small>p {{ part.get("holm_p", part.permutation_p)|number
}}</small></td>{% endfor %}
<td>{{ found.sensitivity|percent }}<small>{{ found.same_text|number }} the same</small></td></tr>
{% endmacro %}
<p>How much of the accuracy is there without the right picture. {% for name, what in
section.settings.baselines.items() %}<b>{{ name|replace("_", " ") }}</b>: {{ what }}{{ "; " if not
loop.last else "." }}{% endfor %}</p>
{% if section.benchmarks %}
<div class="scroll"><table>
{{ baseline_head("benchmark") }}
<tbody>
{% for name, found in section.benchmarks.items() %}
{% for way, part in found.baselines.items() %}
{{ baseline_row(name if loop.first, way, part) }}
{% endfor %}
{% endfor %}
</tbody></table></div>
<p class="soft">reliance: what the right picture gains, in points, with the 95 % interval of a
paired bootstrap that draws clusters; about 0 means that questions are answered without looking.
p: the exact paired permutation test that swaps whole clusters, by Holm's method over all lines.
changed: verdicts that differ. sensitivity: the share of answers whose text changes; where it is
small, the picture is hardly read, whatever the accuracy. A long answer may change in its words and
yet say the same.</p>
{% for name, found in section.benchmarks.items() %}
<details><summary>{{ name }} by answer type, and {{ found.right_blind.count|number }} answers that
are right without the picture</summary>
<div class="scroll"><table>
{{ baseline_head("answer type") }}
<tbody>
{% for way, numbers in found.baselines.items() %}
{% for kind, part in numbers.by_answer_type.items() %}
{{ baseline_row(kind, way, part) }}
{% endfor %}
{% endfor %}
</tbody></table></div>
<p class="soft">p here: of each line alone.{% if found.right_blind.count %} Right by the strict
verdict with the picture, and with a grey one: {% for id in found.right_blind.ids[:20] %}{{ id }}{{
", " if not loop.last }}{% endfor %}{% if found.right_blind.count > 20 %} and {{
(found.right_blind.count - 20)|number }} more, see sections/image_baselines.json{% endif %}.{% endif
%}</p>
</details>
{% endfor %}
{% endif %}
"""
