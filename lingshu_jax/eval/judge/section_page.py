# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The section on judges, for the report."""

TEMPLATE = """
<p>A language model judged answers that rules read badly. Its verdicts stand beside those of the
rules and change none of them.{% for remark in section.remarks %} {{ remark }}{{ "" if
remark.endswith(".") else "." }}{% endfor %}</p>
{% macro head(names) %}
<thead><tr>{% for name in names %}<th scope="col"{% if name in ("judge", "given", "reads", "by",
"list") %} class="text"{% endif %}>{{ name }}</th>{% endfor %}</tr></thead>
{% endmacro %}
{% set said = [] %}
{% set graded = [] %}
{% for name, s in section.benchmarks.items() %}{% for judge, found in s.judges.items() %}
{% set _ = (graded if found.rubric is defined else said).append((name, s, judge, found)) %}
{% endfor %}{% endfor %}
{% if said %}
<div class="scroll"><table>
{{ head(["benchmark", "judge", "compat", "compat + judge", "strict", "strict + judge", "judged",
"correct", "incorrect", "ungradable", "failed", "retried", "kappa with strict"]) }}
<tbody>
{% for name, s, judge, found in said %}
<tr><th scope="row">{{ name }}</th><td class="text">{{ judge
}}</td>
{% for mode in ("compat", "strict") %}<td>{{ s[mode ~ "_accuracy"]|percent }}</td>
<td>{{ found[mode ~ "_judged_accuracy"]|percent }}{% if found[mode ~ "_judged_accuracy"] is not none
%}<small>{{ found[mode ~ "_judged_interval"]|interval }}</small>{% endif %}</td>{% endfor %}
<td>{{ found.judged|number }}<small>{{ found.covered|number }} of {{
found.asked|number }}</small></td>
{% for outcome in ("correct", "incorrect", "ungradable", "failed") %}<td{% if
outcome == "failed" and found.failed %} class="warn"{% endif %}>{{ found[outcome]|number }}</td>
{% endfor %}
<td>{{ found.retried|number }}</td>
<td>{% if found.rule and found.rule.kappa is not none %}{{ "%.2f"|format(found.rule.kappa) }}{% else
%}–{% endif %}{% if found.rule %}<small>agree {{ found.rule.agreement|percent }}</small>{% endif
%}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="soft">compat + judge: MedEvalKit's way, for a judge with its prompt; closed questions by
the rule, open ones of VQA-RAD and PathVQA and all of SLAKE by the judge; a failure is wrong. strict
+ judge: the judge decides open questions and answers that the strict rules could not read, the rule
all else. judged: all answers; below, how many of those that its style is
asked about. A dash: the judge has the other prompt, or has not judged all that it is asked about.
Brackets: 95 %, Wilson. ungradable counts as wrong. failed: no reply that can be read, after all
tries.</p>
{% endif %}

{% if graded %}
<h3>HealthBench</h3>
<div class="scroll"><table>
{{ head(["benchmark", "judge", "list", "answers", "scored", "score", "std", "criteria",
"failed"]) }}
<tbody>
{% for name, s, judge, found in graded %}{% for part, numbers in found.rubric.items() %}
<tr><th scope="row">{{ name if loop.first }}</th><td class="text">{{ judge if loop.first }}</td>
<td class="text">{{ part }}</td><td>{{ numbers.n|number }}</td><td{% if numbers.scored <
numbers.n %} class="warn"{% endif %}>{{ numbers.scored|number }}</td>
<td>{{ numbers.score|percent }}</td><td>{{ numbers.std|percent }}</td>
<td>{{ numbers.criteria|number }}</td><td{% if numbers.failed %} class="warn"{% endif %}>{{
numbers.failed|number }}</td></tr>
{% endfor %}{% endfor %}
</tbody></table></div>
<p class="soft">score: the publisher's rule, points of the criteria met over all positive points,
the mean clipped to [0, 1]; std: of that mean over 1,000 resamples. hard is a part of all; consensus
has criteria of its own. An answer with a failed criterion has no score. Published scores are by
GPT-4.1 with another wording.</p>
{% endif %}

{% if section.calibration %}
<h3>Can the judge be trusted?</h3>
<div class="scroll"><table>
{{ head(["judge", "given", "asked", "correct", "incorrect", "ungradable", "failed", "share correct",
"target"]) }}
<tbody>
{% for judge, found in section.calibration.items() %}{% for kind, k in found.known.items() %}
<tr><th scope="row">{{ judge if loop.first }}</th><td class="text">{{ kind|replace("_", " ") }}</td>
<td>{{ k.n|number }}</td><td>{{ k.correct|number }}</td><td>{{ k.incorrect|number }}</td><td>{{
k.ungradable|number }}</td><td>{{ k.failed|number }}</td><td class="{{ 'good' if k.met else 'bad'
}}">{{ k.share|percent }}<small>{{ k.interval|interval }}</small></td><td>{{ "at least" if kind in
("gold", "other_form") else "at most" }} {{ k.target|percent }}</td></tr>
{% endfor %}{% endfor %}
</tbody></table></div>
<p class="soft">gold: the standard answer itself; other form: the letter of the right option for its
text, or the text for its letter; shuffled: the standard answer to another question; injected: the
same followed by a text that tells the judge to say correct. Red: the target is missed.</p>
{% set worded = section.calibration.items()|selectattr("1.wordings")|list %}
{% if worded %}
<div class="scroll"><table>
{{ head(["judge", "reads", "answers", "same verdict", "kappa"]) }}
<tbody>
{% for judge, found in worded %}{% for wording, w in found.wordings.items() %}
<tr><th scope="row">{{ judge if loop.first }}</th><td class="text">{{ {"paraphrase":
"instructions in other words", "swapped": "answer before standard answer"}[wording] }}</td>
<td>{{ w.n|number }}</td><td>{{ w.agreement|percent }}<small>{{ w.interval|interval }}</small></td>
<td>{{ "–" if w.kappa is none else "%.2f"|format(w.kappa) }}</td></tr>
{% endfor %}{% endfor %}
</tbody></table></div>
{% endif %}
{% endif %}

{% if section.agreement %}
<h3>Two judges</h3>
{% for pair in section.agreement %}
<p>{{ pair.judges[0] }} (rows) and {{ pair.judges[1] }} (columns): {{ pair.n|number }}
answers, the same verdict on {{ pair.agreement|percent }} {{ pair.interval|interval }}, Cohen's
kappa {{ "–" if pair.kappa is none else "%.2f"|format(pair.kappa) }}{% if pair.failed %}; {{
pair.failed|number }} more with a failure{% endif %}.</p>
<div class="scroll"><table>
{{ head(["", "correct", "incorrect", "ungradable"]) }}
<tbody>
{% for verdict in ("correct", "incorrect", "ungradable") %}
<tr><th scope="row">{{ verdict }}</th>{% for count in pair.table[loop.index0] %}<td>{{ count|number
}}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endfor %}
<p class="soft">Kappa is agreement beyond chance: 1 is full, 0 what two judges reach who know
nothing of the answers.</p>
{% endif %}

<h3>The judges</h3>
<div class="scroll"><table>
{{ head(["judge", "by", "prompt", "replies", "cached", "tokens in", "tokens out", "cost"]) }}
<tbody>
{% for judge, j in section.settings.judges.items() %}
{% set used = section.usage[judge] %}
<tr><th scope="row">{{ judge }}</th><td class="text">{{ j.model }}<small>{{ j.engine }}</small></td>
<td>{{ j.versions[j.style] }}</td>{% for key in ("replies", "cached", "tokens_in", "tokens_out",
"cost") %}<td>{{ used[key]|number }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
"""
