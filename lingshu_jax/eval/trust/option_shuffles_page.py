# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The section on the order of options, for the report."""

TEMPLATE = """
<p>Questions of a single choice in {{ section.settings.count }} random order{{ "s" if
section.settings.count > 1 }} of their options: whether the answer follows the text or the
place.</p>
{% if section.benchmarks %}
<div class="scroll"><table>
<thead><tr><th scope="col">benchmark</th><th scope="col">rows</th><th scope="col">mode</th>
<th scope="col">own order</th><th scope="col">mean</th><th scope="col">lowest</th>
<th scope="col">highest</th><th scope="col">same answer in all</th>
<th scope="col">and right</th></tr></thead>
<tbody>
{% for name, found in section.benchmarks.items() %}
{% for mode, numbers in found.spread.items() %}
<tr><th scope="row">{{ name if loop.first }}</th><td>{{ found.n|number if loop.first }}</td>
<td>{{ mode }}</td><td>{{ found.original[mode]|percent }}</td><td>{{ numbers.mean|percent }}</td>
<td>{{ numbers.min|percent }}</td><td>{{ numbers.max|percent }}</td>
{% if mode == "strict" %}<td>{{ found.agreement.share|percent }}<small>{{
found.agreement.interval|interval }}</small></td><td>{{ found.consistent_right.share|percent
}}<small>{{ found.consistent_right.interval|interval }}</small></td>{% else %}<td></td><td></td>{%
endif %}</tr>
{% endfor %}
{% endfor %}
</tbody></table></div>
<p class="soft">same answer in all: the share of questions whose chosen text is the same in every
order, the benchmark's own among them; answers without a valid letter never are. Questions that came
in one order alone do not count there. Brackets: 95 % intervals of a bootstrap that draws clusters.
Every order is equally likely, so that a few questions come in the benchmark's own; its answer is
then taken from the evaluation. Where a question has fewer orders than were asked for, its answers
count again.</p>
<h3>Which letters are answered</h3>
{% for name, found in section.benchmarks.items() %}
{% set letters = found.letters %}
{% set total = letters.answered.values()|sum %}
<details{{ " open" if section.benchmarks|length == 1 }}><summary>{{ name }}: chi-square {{
letters.chi_square|number }}, p {{ letters.p|number }}</summary>
<div class="scroll"><table>
<thead><tr><th scope="col">letter</th><th scope="col">answered</th><th scope="col"></th>
<th scope="col">without bias</th></tr></thead>
<tbody>
{% for letter, count in letters.answered.items() %}
<tr><td>{{ letter }}</td><td>{{ count|number }}<small>{{ (count / total)|percent if total
}}</small></td><td><span class="bar alone"><i style="width: {{ (count / total)|percent if total else
'0%' }}"></i></span></td><td>{{ "%.1f"|format(letters.expected[letter]) }}<small>{{
(letters.expected[letter] / total)|percent if total }}</small></td></tr>
{% endfor %}
<tr><td>no valid letter</td><td>{{ letters.none|number }}</td><td></td><td></td></tr>
</tbody></table></div></details>
{% endfor %}
<p class="soft">All orders together. without bias: each letter of a question equally often. p: the
chance of so uneven letters without any bias, each answer taken as independent of the others. A
small p says that there is a bias, the columns say how large it is.</p>
{% endif %}
"""
