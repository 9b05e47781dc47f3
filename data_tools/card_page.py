# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The template of the data card."""

from collections.abc import Mapping
from typing import Any

from lingshu_jax.common import pages


def render(content: Mapping[str, Any]) -> str:
    """The page.

    Args:
      content: As `card.write` gathers it.
    """
    return pages.environment({"card.html": PAGE}).get_template("card.html").render(**content)


PAGE = """{% extends "base.html" %}
{% block title %}Data card{% endblock %}
{% block style %}
.card h4 { margin: 0 0 .3rem; } .card p { margin: .2rem 0; overflow-wrap: anywhere;
  white-space: pre-wrap; }
.card .role { color: var(--soft); font-size: .85em; }
li { overflow-wrap: anywhere; }
@media (max-width: 30rem) {
  th, td, th[scope="row"] { padding: .3rem .25rem; font-size: .78rem; }
  thead th, td.text { white-space: normal; }
  th[scope="row"], td.text { min-width: 0; overflow-wrap: anywhere; }
  .stacked thead { display: none; }
  .stacked tr { display: block; border-bottom: 1px solid var(--line); }
  .stacked th, .stacked td { display: block; border: 0; padding: .15rem 0; }
}
.parents { border-left: 3px solid var(--line); padding-left: .7rem; margin-top: .5rem; }
{% endblock %}
{% block body %}
<h1>Data card</h1>
<div class="tiles">
<div class="tile">rows read<b>{{ steps[0].given|number }}</b>
<small>of {{ origins|length }} sources</small></div>
<div class="tile">rows in mixtures<b>{{ total|number }}</b>
<small>{{ seen.pictures|number }} pictures and clips; {{ num_made|number }} made rows</small></div>
<div class="tile">mixtures<b>{{ mixtures.values()|select|list|length }}</b>
<small>{{ mixtures.keys()|join(", ") }}</small></div>
</div>

<h2>Steps</h2>
<div class="scroll"><table>
<thead><tr><th scope="col">step</th><th scope="col">rows in</th><th scope="col">left out</th>
<th scope="col">rows out</th></tr></thead><tbody>
{% for step in steps %}
<tr><th scope="row">{{ step.name }}</th><td>{{ step.given|number }}</td>
<td>{{ (step.given - step.kept)|number }}</td><td>{{ step.kept|number }}</td></tr>
{% endfor %}
</tbody></table></div>

<h2>Mixtures</h2>
{% for name, mixture in mixtures.items() %}
<h3>{{ name }}</h3>
{% if mixture %}
<p>{{ mixture.rows.get(train, 0)|number }} rows for training,
{{ mixture.rows.get(validation, 0)|number }} for validation, in
{{ mixture.shards|length }} {{ "shard" if mixture.shards|length == 1 else "shards" }}.
{% if mixture.absent %}Sources that are absent: {{ mixture.absent|join(", ") }}.{% endif %}
</p>
<div class="scroll"><table>
<thead><tr><th scope="col" class="text">source</th><th scope="col">training</th>
<th scope="col">validation</th></tr></thead><tbody>
{% for source, rows in mixture.rows_by.source.items() %}
<tr><th scope="row">{{ source }}</th><td>{{ rows.get(train, 0)|number }}</td>
<td>{{ rows.get(validation, 0)|number }}</td></tr>
{% endfor %}
</tbody></table></div>
{% else %}<p>It has no rows: none of its sources is there, or nothing of them is left.</p>
{% endif %}
{% endfor %}

<h2>Distributions</h2>
<div class="figures">
{% for figure in figures %}
<figure><figcaption>{{ figure.title }}</figcaption>
<img src="{{ figure.address }}" alt="{{ figure.said }}">
{% if figure.numbers %}<details><summary>numbers</summary><table><tbody>
{% for name, rows in figure.numbers.items() %}
<tr><th scope="row">{{ name }}</th><td>{{ rows|number }}</td></tr>
{% endfor %}</tbody></table></details>
{% else %}<p class="soft">{{ figure.said }}</p>{% endif %}
</figure>
{% endfor %}
</div>

<h2>What was left out</h2>
{% for step in steps if step.reasons %}
<h3>{{ step.name }}</h3>
<div class="scroll"><table>
<thead><tr><th scope="col" class="text">source</th><th scope="col" class="text">reason</th>
<th scope="col">rows</th></tr></thead><tbody>
{% for source, reason, rows in step.reasons %}
<tr><td class="text">{{ source }}</td><td class="text">{{ reason }}</td>
<td>{{ rows|number }}</td></tr>
{% endfor %}
</tbody></table></div>
{% if step.shown %}<details><summary>some of these rows</summary>
<div class="cards">{% for row in step.shown %}{{ shown(row) }}{% endfor %}</div>
</details>{% endif %}
{% endfor %}

<h2>Duplicates</h2>
{% for step in steps if step.equals and step.name != "decontaminate" %}
<h3>{{ step.name }}</h3>
<div class="scroll"><table>
<thead><tr><th scope="col" class="text">source</th><th scope="col" class="text">equals a row of</th>
<th scope="col">rows</th></tr></thead><tbody>
{% for source, of, rows in step.equals %}
<tr><td class="text">{{ source }}</td><td class="text">{{ of }}</td><td>{{ rows|number }}</td></tr>
{% endfor %}
</tbody></table></div>
{% else %}<p>None were found.</p>{% endfor %}

<h2>Benchmarks</h2>
{% if decontamination %}
<p>Questions that were looked at:
{% for name, count in decontamination.looked_at.items() %}{{ name }} {{ count|number }}{%
if not loop.last %}, {% endif %}{% else %}none{% endfor %}.</p>
{% if decontamination.missing %}
<p>Not looked at, so that rows of them may be in the mixtures:
{{ decontamination.missing|join(", ") }}.</p>
<details><summary>why</summary><ul>
{% for name, why in decontamination.missing.items() %}<li>{{ name }}: {{ why }}</li>{%
endfor %}</ul></details>
{% endif %}
<div class="scroll"><table>
<thead><tr><th scope="col" class="text">benchmark</th><th scope="col" class="text">found by</th>
<th scope="col" class="text">source</th><th scope="col">rows left out</th></tr></thead><tbody>
{% for name, rules in decontamination.by_benchmark.items() %}
{% for rule, by_source in rules.items() %}{% for source, rows in by_source.items() %}
<tr><td class="text">{{ name }}</td><td class="text">{{ rule }}</td>
<td class="text">{{ source }}</td><td>{{ rows|number }}</td></tr>
{% endfor %}{% endfor %}
{% else %}<tr><td class="text" colspan="4">no row was found</td></tr>{% endfor %}
</tbody></table></div>
{% for source, rows in decontamination.shared_pictures.items() %}
<p>{{ source }}: {{ rows|number }} rows have a picture of a benchmark; those that ask something
else of it stay.</p>
{% endfor %}
{% else %}<p>No benchmark was looked at.</p>{% endif %}

<h2>Licences</h2>
<div class="scroll"><table class="stacked">
<thead><tr><th scope="col" class="text">source</th><th scope="col" class="text">licence</th>
<th scope="col" class="text">terms of access</th><th scope="col" class="text">citation</th></tr>
</thead><tbody>
{% for name, origin in origins.items() %}
<tr><th scope="row">{{ name }}</th><td class="text">{{ origin.licence }}</td>
<td class="text wrap">{{ origin.terms }}</td><td class="text wrap">{{ origin.citation }}</td></tr>
{% endfor %}
</tbody></table></div>

<h2>Rows of each source</h2>
{% for name, rows in by_source.items() %}
<h3>{{ name }}</h3>
<div class="cards">{% for row in rows %}{{ shown(row) }}{% endfor %}</div>
{% else %}<p>No row is left.</p>{% endfor %}

{% if made %}
<h2>Made rows, with what they were made from</h2>
<div class="cards wide">{% for row in made %}{{ shown(row) }}{% endfor %}</div>
{% endif %}
{% endblock %}

{% macro shown(row) %}
<div class="card"><h4>{{ row.source }}{% if row.reason %}
<span class="badge warn">{{ row.reason }}</span>{% endif %}</h4>
{% if row.detail %}<p class="soft">{{ row.detail }}</p>{% endif %}
{% for address in row.pictures %}<img src="{{ address }}" alt="picture {{ loop.index }}">{%
endfor %}
{% for role, text in row.text %}<p>{% if role %}<span class="role">{{ role }}</span> {% endif
%}{{ text }}</p>{% endfor %}
{% if row.facts %}<p class="soft">{{ row.facts }}</p>{% endif %}
{% for parent in row.parents %}<div class="parents">{{ shown(parent) }}</div>{% endfor %}
</div>
{% endmacro %}
"""
