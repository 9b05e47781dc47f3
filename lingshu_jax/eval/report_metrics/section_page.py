# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How the section on reports is shown."""

TEMPLATE = """
{% macro hundred(value, is_share=true) -%}
{% if value is none %}–{% elif is_share %}{{ '%.1f' % (100 * value) }}
{%- else %}{{ '%.3f' % value }}{% endif %}
{%- endmacro %}
{% macro plain(value) %}{% if value is none %}–{% else %}{{ '%.1f' % value }}{% endif %}
{% endmacro %}
{% macro paper(table) %}
<div class="scroll"><table><caption>Beside the paper's numbers, times 100, of whole reports
</caption>
<tr><th>Model</th>
{% for title in table.ours if title != 'model' %}<th>{{ title }}</th>{% endfor %}</tr>
<tr><th scope="row">{{ table.ours.model }}</th>
{% for title, value in table.ours.items() if title != 'model' %}
<td>{{ plain(value) }}</td>{% endfor %}</tr>
{% for model, row in table.paper.items() %}
<tr class="soft"><td>{{ model }} (published)</td>
{% for title in table.ours if title != 'model' %}<td>{{ plain(row.get(title)) }}</td>{% endfor %}
</tr>
{% endfor %}
</table></div>
{% endmacro %}
{% macro labels(found) %}
<details><summary>CheXbert: which findings are in reports and references (micro F1 of 14
{{ hundred(found.micro_14) }}, macro {{ hundred(found.macro_14) }}; of 5 micro
{{ hundred(found.micro_5) }}, macro {{ hundred(found.macro_5) }})</summary>
<div class="scroll"><table>
<tr><th>Finding</th><th>In references</th><th>In reports</th><th>Precision</th><th>Recall</th>
<th>F1</th></tr>
{% for finding, row in found.findings.items() %}
<tr><td>{{ finding }}</td><td>{{ row.support | number }}</td><td>{{ row.predicted | number }}</td>
<td>{{ hundred(row.precision) }}</td><td>{{ hundred(row.recall) }}</td>
<td>{{ hundred(row.f1) }}</td></tr>
{% endfor %}
</table></div>
<p class="soft">Findings that nobody has count as 0 in the macro mean: look at the column of
references.</p></details>
{% endmacro %}
<p>How close generated reports come to the reference reports. There is no right or wrong here, and
no metric replaces a radiologist's reading.</p>
{% for remark in section.remarks %}<p class="warn">{{ remark }}.</p>{% endfor %}
{% for name, entry in section.benchmarks.items() %}
<h3>{{ name }}: {{ entry.n | number }} reports</h3>
{% if entry.published %}{{ paper(entry.published) }}{% endif %}
<div class="scroll"><table><caption>Metrics, times 100 but for RadCliQ; in brackets the 95 %
interval over all</caption>
<tr><th></th>
{% for scope, part in entry.scopes.items() %}
<th colspan="{{ 2 if part.empty else 1 }}">{{ scope }}, {{ part.n | number }}</th>{% endfor %}
{% if entry.chance %}<th>by chance</th>{% endif %}</tr>
<tr><th>Metric</th>{% for part in entry.scopes.values() %}<th>all</th>
{% if part.empty %}<th>{{ (part.n - part.empty) | number }} non-empty</th>{% endif %}
{% endfor %}
{% if entry.chance %}<th>both</th>{% endif %}</tr>
{% for column in section.columns if entry.scopes.values() | selectattr('all.' ~ column.name,
  'defined') | list %}
<tr><td>{{ column.title }}{% if column.name in section.paper.values() %}
 <span class="badge">the paper's</span>{% endif %}</td>
{% for part in entry.scopes.values() %}
<td>{{ hundred(part.all.get(column.name), column.is_share) }}
{% if part.intervals.get(column.name) %}
<small>{{ part.intervals[column.name] | interval }}</small>{% endif %}</td>
{% if part.empty %}<td>{{ hundred(part.non_empty.get(column.name) if part.non_empty else none,
  column.is_share) }}</td>{% endif %}
{% endfor %}
{% if entry.chance %}<td class="soft">{{ hundred(entry.chance.get(column.name)) }}</td>{% endif %}
</tr>
{% endfor %}
</table></div>
{% for scope, part in entry.scopes.items() if scope == 'both' and part.chexbert %}
{{ labels(part.chexbert) }}{% endfor %}
{% if entry.cut %}<p class="soft">{% for what, count in entry.cut.items() %}
{{ what }}: {{ count | number }}{{ '; ' if not loop.last else '.' }}{% endfor %}</p>{% endif %}
<div class="scroll"><table><caption>What is odd about reports</caption>
<tr><th>Reports</th><th>Number</th><th>Share</th></tr>
{% for flag, count in entry.flags.items() if count %}
<tr><td>{{ section.flags[flag] }}</td><td>{{ count | number }}</td>
<td>{{ (count / entry.n) | percent }}</td></tr>
{% else %}<tr><td>nothing</td><td>0</td><td>–</td></tr>
{% endfor %}
</table></div>
{% endfor %}
<details><summary>Which metric is which</summary><ul>
{% for column in section.columns %}<li>{{ column.title }}: {{ column.about }}</li>{% endfor %}
</ul></details>
{% if section.absent %}
<details><summary>Metrics that are not here, and why</summary><ul>
{% for name, reason in section.absent.items() %}<li>{{ name }}: {{ reason }}</li>{% endfor %}
</ul></details>
{% endif %}
<p class="soft">Metrics of one name differ by a third between programs, so each variant is a row of
its own; compare with other tables only where the variant is the same. An empty report scores 0 in
every metric. By chance: the reference of another study, as if it had been written; what is not well
above that says nothing of the images. A report or reference without headings counts whole as
findings; an impression that is missing counts as empty. The whole reference is “Findings: …
Impression: ….” as in MedEvalKit. The paper leaves empty reports out of CIDEr and RaTEScore, and so
does the comparison with it. Intervals draw studies, or patients where they are known, and hold the
words' weights of CIDEr-D fixed. Values of each report are in report_metrics.jsonl.</p>
"""
