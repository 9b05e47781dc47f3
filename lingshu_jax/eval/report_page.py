# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The page of an evaluation's report.html: one file, one script, nothing from the net."""

from lingshu_jax.eval import report_parts

STYLE = """.notes { border-left: 4px solid var(--warn); background: var(--panel);
  padding: .6rem 1rem .6rem 2rem; }
[hidden] { display: none !important; }
body { overflow-wrap: break-word; }
svg.share { display: block; margin: .15rem 0 .1rem auto; }
svg.share .all { fill: var(--line); } svg.share .ours { fill: #8fb8d4; }
svg.share .ends { stroke: var(--ink); stroke-width: 1.5; fill: none; }
svg.share .mark { stroke: var(--warn); stroke-width: 1.5; fill: none; }
svg.share .filled { fill: var(--warn); stroke: none; }
.good svg.share .ours { fill: #7fc3a4; }
.key svg.share { display: inline-block; vertical-align: middle; margin: 0; }
tr.ours { background: var(--panel); } tr.ours th { color: var(--accent); }
.filters { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr));
  gap: .7rem 1rem; align-items: end; border: 1px solid var(--line); border-radius: 6px;
  background: var(--panel); padding: .9rem 1rem; margin: .8rem 0; }
.filters label span { display: block; font-size: .86rem; color: var(--soft); font-weight: 600; }
.filters p { margin: 0; } .filters .wide { grid-column: span 2; }
select, input, button { font: inherit; color: inherit; background: #fff; min-height: 2.3rem;
  border: 1px solid #8593a1; border-radius: 5px; padding: .2rem .6rem; }
select, input { width: 100%; }
button { cursor: pointer; } button:disabled { color: var(--soft); cursor: default; opacity: .6; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; }
.card:focus { outline: 3px solid var(--accent); outline-offset: 1px; }
.card { scroll-margin: 1rem; min-width: 0; }
.card .which { margin: 0 0 .4rem; overflow-wrap: anywhere; } .card small { color: var(--soft); }
#viewer-cards { align-items: start; } #viewer-cards img { max-height: 16rem; }
#viewer-cards dd { max-height: 16rem; }
#viewer-count { font-weight: 600; } .card .badge { margin-bottom: .2rem; }
.pager { display: flex; gap: .8rem; align-items: center; margin: .8rem 0; }
kbd { font: .8em ui-monospace, Menlo, Consolas, monospace; border: 1px solid #8593a1;
  border-radius: 4px; padding: 0 .35rem; background: #fff; }
@media (max-width: 40rem) { body { padding: 1.2rem .9rem 3rem; }
  .cards { grid-template-columns: minmax(0, 1fr); }
  .filters { grid-template-columns: repeat(2, minmax(0, 1fr)); padding: .7rem .8rem; } }"""

PAGE = """{% extends "base.html" %}
{% import "parts.html" as parts %}
{% block title %}Evaluation of {{ model }}{% endblock %}
{% block policy %}{{ policy }}{% endblock %}
{% block style %}{% include "style.css" %}{% endblock %}
{% block body %}
<h1>Evaluation of {{ model }}</h1>
<p class="soft">{% for name, value in settings.items() %}{{ name }} <b>{{ value }}</b>{{ " · " if
not loop.last }}{% endfor %}</p>
{% if remarks %}{{ parts.notes(remarks, "Remarks") }}{% endif %}
<nav aria-label="Sections">
<a href="#accuracies">Accuracies</a>
{% if published %}<a href="#published">Published numbers</a>
{% endif %}
{% for part in sections %}<a href="#{{ part.name }}">{{ part.title }}</a>
{% endfor %}
<a href="#viewer">All answers</a>
</nav>
{% if benchmarks|length > 1 %}<nav aria-label="Benchmarks">
{% for name in benchmarks %}<a href="#{{ name }}">{{ name }}</a>
{% endfor %}</nav>{% endif %}

<h2 id="accuracies">Accuracies</h2>
{{ parts.accuracies(benchmarks, totals, baselines, modes) }}
{{ parts.key(baselines) }}
<p class="soft">compat: MedEvalKit's verdict rules. strict: an answer has to be stated, nothing is
guessed. Brackets hold 95 % intervals: first Wilson's, then that of a bootstrap that draws clusters,
the questions about one image or one patient; where there are as many clusters as scored rows,
nothing is known to be shared. constant: the most frequent gold of each answer type, given to every
question of it. random: an option drawn at random. no answer: what compat gives to a model that says
nothing. differ: questions on which compat and strict disagree. Green: both intervals lie above the
three baselines.</p>
{{ parts.failures(benchmarks, failures) }}
{% if published %}{{ parts.published(published, limit) }}{% endif %}
{% if usage %}{{ parts.usage(benchmarks, usage) }}{% endif %}

{% for name, s in benchmarks.items() %}
<h2 id="{{ name }}">{{ name }}</h2>
<p><a href="#viewer?benchmark={{ name|urlencode }}">Read its {{ s.n|number }} answers</a>, or
<a href="#viewer?benchmark={{ name|urlencode }}&amp;verdict=strict+wrong">those that strict calls
wrong</a>.</p>
{% if limit %}<p class="warn">This run saw only the first {{ s.n }} rows.</p>{% endif %}
{{ parts.breakdown(name, "answer type", s.by_answer_type, baselines, modes, s.constant) }}
{% for stratum, values in s.by_stratum.items() %}
{{ parts.breakdown(name, stratum, values, baselines, modes, {}) }}
{% endfor %}
{% if s.disagreements %}{{ parts.reasons(name, s, reasons) }}{% endif %}
{% if s.guessed %}<p>compat drew {{ s.guessed|number }} letters by chance, of which {{
s.guessed_correct|number }} were right; with all of them wrong its accuracy is {{
s.compat_accuracy_guesses_wrong|percent }}.</p>{% endif %}
{% if s.jaccard is not none %}<p>Sets of letters: mean Jaccard index {{
"%.3f"|format(s.jaccard) }}.</p>{% endif %}
{% if s.letters %}{{ parts.letters(s.letters) }}{% endif %}
{% if "open" in s.compat %}{{ parts.open(s, open_metrics) }}{% endif %}
{% endfor %}

{% for part in sections %}
<h2 id="{{ part.name }}">{{ part.title }}</h2>
{% if part.remarks %}{{ parts.notes(part.remarks, "Remarks on " ~ part.title) }}{% endif %}
{% with section = part.content %}{% include "sections/" ~ part.name %}{% endwith %}
{% endfor %}

<h2 id="viewer">All answers</h2>
{% if blind %}<p class="warn">The model saw every one of these images grey.</p>{% endif %}
{{ parts.viewer(total, pictures, cards) }}
{% if absent %}<p class="soft" id="absent">Not asked for: {{ absent|join(", ") }}.</p>{% endif %}
{% endblock %}
{% block scripts %}
<script type="application/gzip" id="viewer-rows">{{ packed }}</script>
<script type="text/plain" id="viewer-pictures">{% for text in pictures.texts %}{{ text }}
{% endfor %}</script>
<script>{{ script|safe }}</script>
{% endblock %}
"""

TEMPLATES = {"page.html": PAGE, "parts.html": report_parts.PARTS, "style.css": STYLE}
