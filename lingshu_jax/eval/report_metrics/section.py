# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The section on reports: metrics of findings, impression and both, and what is odd about them.

BENCHMARK/report_metrics.jsonl has the metrics of each report, without its text.
"""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lingshu_jax.data import formats
from lingshu_jax.eval import benchmark, catalog
from lingshu_jax.eval.report_metrics import (
    cider,
    columns,
    measure,
    meteor,
    neural,
    section_page,
    split,
)
from lingshu_jax.eval.trust import desk as desk_lib

NAME = "reports"
TITLE = "Reports"
TEMPLATE = section_page.TEMPLATE
FILE = "report_metrics.jsonl"
WHOLE = "both"
SCOPES = ("findings", "impression", WHOLE)
NO_WEIGHTS = "needs --weights_dir"


def run(
    desk: desk_lib.Desk, *, weights_dir: Path | None = None, metrics_python: str = ""
) -> dict[str, Any] | None:
    """Measures the reports of an evaluation and writes the values of each.

    Args:
      desk: Of the evaluation.
      weights_dir: Folder of the models of neural metrics; None leaves these out.
      metrics_python: Interpreter that has what they need; "" is this one.

    Returns:
      The content of the section; None where no benchmark has reports.

    Raises:
      UserError: If the folder or the interpreter is not usable.
    """
    tools = _tools(weights_dir)
    found: dict[str, Any] = {}
    remarks: list[str] = []
    absent: dict[str, str] = {}
    models: dict[str, Any] = {}
    for name in desk.names:
        pairs = zip(desk.samples(name), desk.rows(name), strict=True)
        asked = [(sample, row) for sample, row in pairs if sample.scoring == "report"]
        if not asked:
            continue
        samples, rows = zip(*asked, strict=True)
        parts = split_all(samples, rows)
        by_scope, made = _neural(parts, weights_dir, metrics_python)
        models = {"weights": made.weights, "versions": made.versions}
        absent |= _absent(tools, made.absent)
        remarks += _remarks(name, parts, len(samples))
        flags = [_flags(*pair) for pair in asked]
        numbers, values = _measure(parts, by_scope, tools)
        lines = _lines(samples, flags, parts, values)
        formats.write_jsonl(desk.output_dir / name / FILE, lines)
        counts = collections.Counter(flag for odd in flags for flag in odd)
        found[name] = {
            "n": len(samples),
            "flags": {flag: counts[flag] for flag in split.FLAGS},
            "scopes": numbers,
            "chance": measure.chance(parts[WHOLE]) if WHOLE in parts else None,
            "cut": made.counts,
            "published": _published(name, desk.model, numbers.get(WHOLE)),
        }
    if not found:
        return None
    return {
        "settings": models,
        "remarks": remarks,
        "absent": absent,
        "columns": [column._asdict() for column in columns.COLUMNS],
        "paper": {title: metric for title, (metric, _) in columns.PAPER.items()},
        "flags": split.FLAGS,
        "benchmarks": found,
    }


def _measure(
    parts: Mapping[str, measure.Part],
    found: Mapping[str, measure.Values],
    tools: measure.Tools,
) -> tuple[dict[str, Any], dict[str, measure.Values]]:
    """Numbers and values by scope; the paper's CIDEr is of whole reports alone."""
    numbers, values = {}, {}
    for scope, part in parts.items():
        here = tools if scope == WHOLE else dataclasses.replace(tools, captions=None)
        numbers[scope], values[scope] = measure.measure(part, found[scope], here)
    return numbers, values


def split_all(
    samples: Sequence[benchmark.Sample], rows: Sequence[Mapping[str, Any]]
) -> dict[str, measure.Part]:
    """The parts of reports and references, by scope.

    A reference without a section is left out of that scope; whole texts are always compared.

    Args:
      samples: Questions that ask for a report.
      rows: Their rows of samples.jsonl.
    """
    parts = {scope: measure.Part(places=[], texts=[], truths=[], groups=[]) for scope in SCOPES}
    for place, (sample, row) in enumerate(zip(samples, rows, strict=True)):
        text = split.visible(row["response"])
        said, truth = split.sections(text), _reference(sample)
        written = {"findings": said.findings, "impression": said.impression, WHOLE: text}
        for scope, part in parts.items():
            if measure.is_blank(truth[scope]):
                continue
            part.places.append(place)
            part.texts.append("" if measure.is_blank(written[scope]) else written[scope])
            part.truths.append(truth[scope])
            part.groups.append(sample.group)
    return {scope: part for scope, part in parts.items() if part.places}


def _reference(sample: benchmark.Sample) -> dict[str, str]:
    """A reference by scope; where the publisher has no sections, its headings make them."""
    given = {name: sample.fields.get(name) for name in ("findings", "impression")}
    if not all(isinstance(text, str) for text in given.values()):
        given = split.sections(sample.gold)._asdict()
    return {
        "findings": str(given["findings"]),
        "impression": str(given["impression"]),
        WHOLE: sample.gold,
    }


def _neural(
    parts: Mapping[str, measure.Part], weights_dir: Path | None, python: str
) -> tuple[dict[str, measure.Values], neural.NeuralResult]:
    """Neural metrics by scope, and what came with them; the models are loaded once."""
    if weights_dir is None:
        absent = dict.fromkeys(neural.NAMES, NO_WEIGHTS)
        nothing = neural.NeuralResult(values={}, absent=absent, counts={}, weights={}, versions={})
        return {scope: {} for scope in parts}, nothing
    pairs = [pair for part in parts.values() for pair in part.pairs]
    found = neural.compute(pairs, weights_dir=weights_dir, python=python)
    by_scope = {}
    start = 0
    for scope, part in parts.items():
        end = start + len(part.texts)
        by_scope[scope] = {name: values[start:end] for name, values in found.values.items()}
        start = end
    return by_scope, found


def _tools(weights_dir: Path | None) -> measure.Tools:
    captions = weights_dir / cider.CAPTIONS if weights_dir else None
    if captions and not captions.is_file():
        captions = None
    return measure.Tools(captions=captions, jar=meteor.find_jar())


def _absent(tools: measure.Tools, missing: Mapping[str, str]) -> dict[str, str]:
    """Why metrics are not there, by name; RadCliQ has the reason of what it is made of."""
    found = dict(missing)
    parts = [name for name in ("bertscore", "sembscore", "radgraph_f1") if name in missing]
    if parts:
        reason = NO_WEIGHTS if missing[parts[0]] == NO_WEIGHTS else f"needs {', '.join(parts)}"
        found |= dict.fromkeys(measure.RADCLIQ, reason)
    if not tools.captions:
        found["cider_medevalkit"] = (
            f"needs COCO's {cider.CAPTIONS} (of annotations_trainval2014.zip) in --weights_dir,"
            " for cidereval weighs words by these captions"
        )
    if not tools.jar:
        found["meteor"] = meteor.NEEDS
    return found


def _flags(sample: benchmark.Sample, row: Mapping[str, Any]) -> list[str]:
    asked = [part["text"] for m in sample.messages for part in m["content"] if "text" in part]
    return split.flags(
        split.visible(row["response"]),
        truth=sample.gold,
        prompt="\n".join([sample.question, *asked]),
        finish_reason=row["finish_reason"],
    )


def _published(name: str, model: str, whole: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Our numbers beside the paper's, times 100, by model and by the paper's name of a metric."""
    known = catalog.BENCHMARKS.get(name)
    if known is None or whole is None or not known.card.published_reports:
        return None
    ours = {}
    for title, (metric, over) in columns.PAPER.items():
        value = (whole[over] or {}).get(metric)
        ours[title] = None if value is None else 100 * value
    return {"ours": {"model": model, **ours}, "paper": dict(known.card.published_reports)}


def _remarks(name: str, parts: Mapping[str, measure.Part], count: int) -> Iterator[str]:
    if count < cider.FEWEST:
        yield (
            f"{name} has {count} reports: CIDEr-D depends on which references there are, and says"
            f" little below {cider.FEWEST}"
        )
    for scope in SCOPES:
        lacking = count - len(parts[scope].places) if scope in parts else count
        if lacking:
            yield f"{name}: {lacking} of {count} references have no {scope}, and are not in it"
    truths = parts[WHOLE].truths if WHOLE in parts else []
    if chinese := sum(map(split.is_han, truths)):
        yield (
            f"{name}: {chinese} of {count} references are in Chinese, where only the metrics called"
            " own count every character; the others take whole sentences as words or see nothing"
        )


def _lines(
    samples: Sequence[benchmark.Sample],
    flags: Sequence[list[str]],
    parts: Mapping[str, measure.Part],
    values: Mapping[str, measure.Values],
) -> list[dict[str, Any]]:
    """A line for each report: its metrics by scope, None where the reference has no such part."""
    lines: list[dict[str, Any]] = [
        {"id": sample.id, "flags": odd, **dict.fromkeys(SCOPES)}
        for sample, odd in zip(samples, flags, strict=True)
    ]
    for scope, part in parts.items():
        for i, place in enumerate(part.places):
            lines[place][scope] = {name: found[i] for name, found in values[scope].items()}
    return lines
