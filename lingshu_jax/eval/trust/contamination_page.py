# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The section of the report on contamination."""

TEMPLATE = """
<p>How much of each benchmark stands in the {{ section.training.rows|number }} training rows that
were compared, and whether the model answers it better.</p>
<div class="scroll"><table>
<thead><tr><th scope="col">benchmark</th><th scope="col">rows</th><th scope="col">counts as
contaminated</th><th scope="col">image</th><th scope="col">question</th><th scope="col">question and
options</th><th scope="col">runs of {{ section.settings.n }} words</th><th scope="col">image and
question</th></tr></thead>
<tbody>
{% for name, s in section.benchmarks.items() %}
<tr><th scope="row">{{ name }}</th><td>{{ s.n|number }}</td>
<td class="{{ 'warn' if s.contaminated }}">{{ s.contaminated|number }}<small>{{
s.contaminated_share|percent }} {{ s.contaminated_interval|interval }}</small></td>
{% for rule in s.rules.values() %}<td>{{ rule.n|number }}<small>{{ rule.share|percent }}</small>
</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
<p class="soft">image: a training picture with the same perceptual hash, no bit of 64 differs.
question: the same words, whatever the punctuation and case; short questions are in training data
without being known from there. runs of words: at least {{
"%.0f"|format(100 * section.settings.threshold) }} % of the question's runs of {{
section.settings.n }} words (of Chinese: characters); shorter questions have none. image and
question: both in one training row. A question with pictures counts where image and question do, a
report where the image does, a question without pictures where its text does, with its options if
it has some, or its runs of words.</p>

{% set compared = namespace(any=false) %}
{% for s in section.benchmarks.values() if s.accuracy and s.accuracy.contaminated %}
{% set compared.any = true %}{% endfor %}
{% if compared.any %}
<h3>Accuracy on contaminated and clean questions</h3>
<div class="scroll"><table>
<thead><tr><th scope="col">benchmark</th><th scope="col">contaminated</th><th scope="col">clean</th>
{% for mode in ("compat", "strict") %}<th scope="col">{{ mode }}, contaminated</th>
<th scope="col">{{ mode }}, clean</th><th scope="col">difference</th>{% endfor %}</tr></thead>
<tbody>
{% for name, s in section.benchmarks.items() if s.accuracy and s.accuracy.contaminated %}
<tr><th scope="row">{{ name }}</th><td>{{ s.accuracy.contaminated|number }}</td>
<td>{{ s.accuracy.clean|number }}</td>
{% for mode in ("compat", "strict") %}{% set m = s.accuracy[mode] %}
<td>{{ m.contaminated|percent }}</td><td>{{ m.clean|percent }}</td>
<td class="{{ 'warn' if m.interval and m.interval[0] > 0 }}">{{ m.difference|percent }}
{% if m.interval %}<small>{{ m.interval|interval }}</small>{% endif %}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
<p class="soft">Brackets: 95 %, a bootstrap that draws questions about one image or patient
together. The two sets of questions may also differ in other ways: a difference is no proof that
answers were remembered, and none is no proof that they were not.</p>
{% endif %}

{% for name, s in section.benchmarks.items() if s.examples %}
<details><summary>{{ name }}: {{ s.examples|length }} of {{ s.contaminated|number }} contaminated
questions; sources: {% for source, count in s.sources.items() %}{{ source }} {{ count|number }}{{
", " if not loop.last }}{% endfor %}</summary>
<div class="scroll"><table class="full">
<thead><tr><th scope="col">id</th><th scope="col" class="text">question</th><th scope="col"
class="text">found</th><th scope="col" class="text">sources</th></tr></thead>
<tbody>
{% for one in s.examples %}
<tr><td>{{ one.id }}</td><td class="text wrap most">{{ one.question }}</td>
<td class="text wrap">{{
one.rules|join(", ")|replace("ngrams", "runs of words")|replace("_", " ") }}</td>
<td class="text wrap">{{ one.sources|join(", ") }}</td></tr>
{% endfor %}
</tbody></table></div></details>
{% endfor %}

<p class="soft">Compared with: {% for name, source in section.sources.items() %}{{ name }} ({{
source.rows|number }} rows{% if source.dropped %}, {{ source.dropped|number }} left out{% endif
%}){{ ", " if not loop.last }}{% endfor %}. What else a model was trained on is not known here.</p>
"""
