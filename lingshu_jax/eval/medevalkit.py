# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Results in the layout of MedEvalKit (alibaba-damo-academy/MedEvalKit@9b12e3b), and its metrics.

    medevalkit/total_results.json              {SET: metrics}
    medevalkit/<SET>/results.json              the publisher's fields, response, correct[, metrics]
    medevalkit/<SET>/metrics.json
    medevalkit/<SET>/predictions.csv           reports, with ground_truth.csv
    medevalkit/MMMU-Medical-val/result.json    <SUBJECT>/{output_sample,parsed_output,result}.json
    medevalkit/MMMU-Medical-test/results.json  {id: prediction}, and response.json {id: text}

The verdicts are MedEvalKit's (`compat`). What its bookkeeping has wrong is right here: accuracy of
open answers is not divided by their number twice; precision, recall and F1 have their own names;
`field` and `difficulty` of SuperGPQA are not swapped; MMMU's open answers are parsed on both
splits. A part of a table without rows is left out, where MedEvalKit ends with an error. Answers
that only a judge can score (HealthBench) have no metrics.
"""

import csv
import json
import math
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors, paths
from lingshu_jax.eval import benchmark, compat, medevalkit_rows, metrics
from lingshu_jax.eval import card as card_lib

FOLDER = "medevalkit"
Row = Mapping[str, Any]
# Tables by a column, as MedEvalKit calls both.
BREAKDOWNS: dict[str, dict[str, str]] = {
    "OmniMedVQA": {
        "question type metrics": "question_type",
        "modality type metrics": "modality_type",
    },
    **{
        name: {"question type metrics": "question_type", "task type metrics": "medical_task"}
        for name in ("MedXpertQA-MM", "MedXpertQA-Text")
    },
    "SuperGPQA": {"field": "field", "difficulty": "difficulty"},
}
DIFFICULTIES = frozenset({"easy", "middle", "hard"})  # SuperGPQA's
_TOTALS = frozenset({"total metrics", "total", "score"})  # one of them is in every set's metrics
_METRICS = ("em", *compat.OPEN_METRICS)
_REPORTS = "in metrics_2.json, which cal_report_metrics.py makes of results.json"


def write(
    output_dir: Path,
    evaluated: Mapping[str, tuple[card_lib.Card, Sequence[benchmark.Sample], Sequence[Row]]],
) -> None:
    """Writes `output_dir`/medevalkit, whole or not at all; an earlier one is replaced.

    Args:
      output_dir: Of an evaluation.
      evaluated: Card, samples and rows of samples.jsonl of each benchmark, in the same order.
    """
    target, totals = output_dir / FOLDER, {}
    with paths.whole_folder(target) as partial:
        for card, samples, rows in evaluated.values():
            name = card.upstream or card.name
            table = write_set(partial / name, card, samples, rows)
            if table:
                totals[name] = table
        _dump(partial / "total_results.json", totals, ascii_only=True)
        paths.remove(target)


def write_set(
    folder: Path, card: card_lib.Card, samples: Sequence[benchmark.Sample], rows: Sequence[Row]
) -> dict[str, Any]:
    """Writes the files of one benchmark.

    Args:
      folder: Not there yet.
      card: Of the benchmark; its `upstream` decides about the tables.
      samples: With MedEvalKit's fields in `fields`.
      rows: Of samples.jsonl, one for each sample.

    Returns:
      Its entry of total_results.json; empty if nothing has a score.
    """
    assert [sample.id for sample in samples] == [row["id"] for row in rows], card.name
    folder.mkdir(parents=True)
    if samples and samples[0].rule == "mmmu":
        return _write_mmmu(folder, card, samples, rows)
    pairs = zip(samples, rows, strict=True)
    _dump(folder / "results.json", [_result(sample, row) for sample, row in pairs])
    if samples and samples[0].scoring == "report":
        _write_reports(folder, samples, rows)
        table: dict[str, Any] = {"total metrics": _REPORTS}
    else:
        table = _table(card, samples, rows)
    if table:
        _dump(folder / "metrics.json", table)
    return table


def read_metrics(path: Path, *, repaired: bool | None = None) -> dict[str, Any]:
    """Reads a metrics.json or total_results.json, whoever wrote it, with what is wrong put right.

    Args:
      path: The file.
      repaired: Whether open answers have right numbers already, as in what `write` writes. None
        looks at their accuracy, which MedEvalKit divides by their number twice; where that shows
        nothing (none right, or a single one), the numbers count as MedEvalKit's.

    Returns:
      The content, with open accuracy, precision, recall, F1, field and difficulty as named.

    Raises:
      UserError: If it is no such file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise errors.UserError(f"{path} does not read as JSON: {error}") from error
    if not isinstance(content, dict) or not content:
        raise errors.UserError(f"{path} must hold MedEvalKit's metrics, an object")
    is_one = bool(_TOTALS & set(content))
    found = {}
    for name, table in ({"metrics": content} if is_one else content).items():
        try:
            found[name] = _put_right(table, repaired)
        except errors.UserError as error:
            raise errors.UserError(f"{path}: {name}: {error}") from error
    return found["metrics"] if is_one else found


def _result(sample: benchmark.Sample, row: Row) -> dict[str, Any]:
    """A row of results.json."""
    kept, verdict = _kept(sample), row["compat"]
    kept["response"] = row["response"]
    if verdict["correct"] is not None:
        kept["correct"] = verdict["correct"]
    if verdict["kind"] == "open":
        kept["metrics"] = {n: verdict["correct"] if n == "em" else verdict[n] for n in _METRICS}
    return kept


def _kept(sample: benchmark.Sample) -> dict[str, Any]:
    """The publisher's fields; a row of ours without them has the like."""
    if sample.fields:
        return {k: v for k, v in sample.fields.items() if k not in medevalkit_rows.OUTCOME}
    columns = medevalkit_rows.STRATA.items()
    kept: dict[str, Any] = {k: sample.strata[ours] for k, ours in columns if ours in sample.strata}
    if sample.rule != "mmmu":
        kept |= {"question": sample.question, "answer": sample.gold}
        return kept | ({"choices": list(sample.choices)} if sample.choices else {})
    kind = medevalkit_rows.MMMU_TYPES[not sample.choices]
    kept |= {"id": sample.id, "question_type": kind, "answer": sample.gold}
    if sample.choices:
        letters = list(string.ascii_uppercase[: len(sample.options)])
        texts = dict(zip(letters, sample.options, strict=True))
        kept |= {"all_choices": letters, "index2ans": texts}
    return kept


def _table(
    card: card_lib.Card, samples: Sequence[benchmark.Sample], rows: Sequence[Row]
) -> dict[str, Any]:
    """The content of metrics.json, its keys in MedEvalKit's order."""
    table: dict[str, Any] = metrics.compat_table(rows)
    if "open" in table:
        last = {name: table["open"].pop(name) for name in ("em", "acc")}
        table["open"] |= last
    for title, column in BREAKDOWNS.get(card.upstream, {}).items():
        values = [_column(sample, column) for sample in samples]
        if all(values):
            table[title] = {
                value: _right([r for r, v in zip(rows, values, strict=True) if v == value])
                for value in dict.fromkeys(values)
            }
    return table


def _column(sample: benchmark.Sample, column: str) -> str:
    """What a sample has in one of MedEvalKit's columns; "" if nothing."""
    value = sample.fields.get(column)
    return str(sample.strata.get(medevalkit_rows.STRATA[column], "") if value is None else value)


def _right(rows: Sequence[Row]) -> dict[str, Any]:
    right = sum(row["compat"]["correct"] for row in rows)
    return {"total": len(rows), "right": right, "acc": right / len(rows)}


def _write_reports(folder: Path, samples: Sequence[benchmark.Sample], rows: Sequence[Row]) -> None:
    reports = {
        "predictions.csv": [row["response"] for row in rows],
        "ground_truth.csv": [sample.gold for sample in samples],
    }
    for name, texts in reports.items():
        with (folder / name).open("w", encoding="utf-8", errors="replace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["study_id", "report"])
            writer.writerows([f"study_{i}", text] for i, text in enumerate(texts, 1))


def _write_mmmu(
    folder: Path, card: card_lib.Card, samples: Sequence[benchmark.Sample], rows: Sequence[Row]
) -> dict[str, Any]:
    """MMMU's own files: by subject for validation, by id for testing."""
    by_subject: dict[str, list[tuple[benchmark.Sample, Row]]] = {}
    for sample, row in zip(samples, rows, strict=True):
        name = medevalkit_rows.subject(sample.id) or sample.strata.get("subject") or "MMMU"
        by_subject.setdefault(name, []).append((sample, row))
    is_test = card.upstream.endswith("-test")
    results: dict[str, Any] = {"total": metrics.compat_table(rows)["total metrics"]}
    for name, pairs in by_subject.items():
        right = _right([row for _, row in pairs])
        ordered = {key: right[key] for key in ("acc", "right", "total")}
        results[name] = {**ordered, "num_example": len(pairs)}
        if not is_test:
            _write_subject(folder / name, pairs, results[name])
    if is_test:
        parsed = {row["id"]: row["compat"]["parsed"] for row in rows}
        texts = {row["id"]: _inside(row["response"]) for row in rows}
        _dump(folder / "results.json", parsed, ascii_only=True)
        _dump(folder / "response.json", texts, ascii_only=True)
    else:
        _dump(folder / "result.json", results, ascii_only=True)
    return results


def _write_subject(
    folder: Path, pairs: Sequence[tuple[benchmark.Sample, Row]], result: dict[str, Any]
) -> None:
    folder.mkdir()
    answered, judged = [], []
    for sample, row in pairs:
        kept = {**_kept(sample), "response": _inside(row["response"])}
        kept["parsed_pred"] = row["compat"]["parsed"]
        answered.append(kept)
        judged.append({**kept, "judge": "Correct" if row["compat"]["correct"] else "Wrong"})
    _dump(folder / "output_sample.json", answered, ascii_only=True)
    _dump(folder / "parsed_output.json", judged, ascii_only=True)
    _dump(folder / "result.json", result, ascii_only=True)


def _inside(response: str) -> str:
    """An answer to MMMU as MedEvalKit keeps it: the box, or what stands between answer tags."""
    tagged = compat.between_tags(response, "answer") if "<answer>" in response else response
    boxed = compat.box(tagged)
    return tagged if boxed == compat.NO_BOX else boxed


def _put_right(table: Any, repaired: bool | None) -> dict[str, Any]:
    """One table of metrics without MedEvalKit's slips."""
    if not isinstance(table, dict):
        raise errors.UserError(f"must be an object, got {table!r:.60}")
    table = dict(table)
    if {"field", "difficulty"} <= set(table) and DIFFICULTIES >= set(table["field"]):
        table["field"], table["difficulty"] = table["difficulty"], table["field"]
    opened = table.get("open")
    if opened is None:
        return table
    wanted = ("total", "right", "acc", "precision", "recall", "f1")
    if not isinstance(opened, dict) or not all(_is_number(opened.get(name)) for name in wanted):
        raise errors.UserError(f"open must have numbers {', '.join(wanted)}, got {opened!r:.80}")
    if not opened["total"]:
        return table
    accuracy = opened["right"] / opened["total"]
    if repaired is None:
        wrong, said = accuracy / opened["total"], opened["acc"]
        if not any(math.isclose(said, value, rel_tol=1e-9) for value in (accuracy, wrong)):
            raise errors.UserError(f"accuracy of open answers is {said}, not {accuracy} or {wrong}")
        repaired = wrong != accuracy and not math.isclose(said, wrong, rel_tol=1e-9)
    if not repaired:
        f1, precision, recall = (opened[name] for name in ("precision", "recall", "f1"))
        right = {"precision": precision, "recall": recall, "f1": f1, "acc": accuracy}
        table["open"] = {**opened, **right}
    return table


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _dump(path: Path, value: Any, *, ascii_only: bool = False) -> None:
    """JSON as MedEvalKit writes it; half a surrogate pair becomes a question mark."""
    text = json.dumps(value, indent=4, ensure_ascii=ascii_only)
    path.write_text(text, encoding="utf-8", errors="replace", newline="\n")
