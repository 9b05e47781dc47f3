# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The report metrics that need models: computed in an environment that has torch, summed up here.

BERTScore, CheXbert's labels and SembScore, RadGraph F1 and RaTEScore read their weights from one
local folder (`worker/layout.py` says what lies where); a metric without weights is absent, with the
reason. Empty reports score 0 everywhere, by rule, and reach no model.
"""

import dataclasses
import json
import math
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

import lingshu_jax
from lingshu_jax.common import errors, interpreters
from lingshu_jax.engines import vllm_child
from lingshu_jax.eval.report_metrics import radcliq
from lingshu_jax.eval.report_metrics.worker import layout

FINDINGS = layout.FINDINGS
TOP5 = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
LABELS = "chexbert"  # the value that is no number but the labels of both reports
NAMES = tuple(name for names in layout.VALUES.values() for name in names)
_WORKER = "lingshu_jax.eval.report_metrics.worker.main"
_NEEDS = ("torch", "transformers")
_STOP_SECONDS = 10.0
_CHUNK = 1 << 16
_NO_LABELS = [0] * len(FINDINGS)
_HOW = (
    "python -m venv .venv-metrics; .venv-metrics/bin/pip install -r envs/metrics.txt; "
    "then name .venv-metrics/bin/python"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeuralResult:
    """The metrics of some pairs.

    Attributes:
      values: By name, of `NAMES`, one for each pair. `LABELS` holds
        [labels of the hypothesis, labels of the reference], each 14 of 0 or 1 as `FINDINGS`.
      absent: Why a name is not in `values`.
      counts: What a reader should know of, as how many texts were cut.
      weights: SHA-256 of each file of weights that was read, by its path below the folder.
      versions: Of the other environment, and its device.
    """

    values: dict[str, list[Any]]
    absent: dict[str, str]
    counts: dict[str, int]
    weights: dict[str, str]
    versions: dict[str, str]


def compute(
    pairs: Sequence[tuple[str, str]], *, weights_dir: pathlib.Path, python: str = ""
) -> NeuralResult:
    """The metrics of each pair.

    Args:
      pairs: (hypothesis, reference).
      weights_dir: The folder of weights.
      python: The interpreter that has torch and transformers; "" is this one, if it has them.

    Raises:
      UserError: If the folder does not exist, no interpreter has torch, or the computation ends
        with an error. Missing weights are no error: their metrics are absent.
    """
    if not weights_dir.is_dir():
        raise errors.UserError(f"no folder {weights_dir}: the metrics' weights are expected there")
    reasons = {group: layout.missing(weights_dir, group) for group in layout.VALUES}
    groups = [group for group, reason in reasons.items() if reason is None]
    absent = {group: reason for group, reason in reasons.items() if reason is not None}
    full = [i for i, pair in enumerate(pairs) if all(text.strip() for text in pair)]
    single = [
        (i, side)
        for i, pair in enumerate(pairs)
        for side in (0, 1)
        if pair[side].strip() and not pair[1 - side].strip()
    ]
    answer: dict[str, Any] = {"values": {}, "single": [], "absent": {}}
    if groups:
        request = {
            "weights_dir": str(weights_dir.absolute()),
            "groups": groups,
            "pairs": [pairs[i] for i in full],
            "single": [pairs[i][side] for i, side in single],
        }
        answer = _ask(request, find_python(python))
    values = {
        name: _spread(found, full, len(pairs), name) for name, found in answer["values"].items()
    }
    if LABELS in values:
        for (i, side), labels in zip(single, answer["single"], strict=True):
            values[LABELS][i][side] = labels
    absent |= answer["absent"]
    return NeuralResult(
        values=values,
        absent={name: why for group, why in absent.items() for name in layout.VALUES[group]},
        counts=answer.get("counts", {}),
        weights=answer.get("weights", {}),
        versions=answer.get("versions", {}),
    )


def find_python(python: str = "") -> str:
    """The interpreter for the metrics.

    Args:
      python: A path or a name; "" is this one.

    Raises:
      UserError: If it is none, or this one is meant and has no torch; says how to make one.
    """
    return interpreters.find(python, needs=_NEEDS, what="the report metrics", how=_HOW)


def summarise(values: Mapping[str, Sequence[Any]], bleu2: Sequence[float]) -> dict[str, Any]:
    """The numbers of a set of reports.

    Args:
      values: As of `NeuralResult`; metrics that are absent are absent in the result too.
      bleu2: BLEU-2 of each report, as RadCliQ takes it.

    Returns:
      By name the mean; under "chexbert" what `finding_scores` gives; under "radcliq_v1" and
      "radcliq_v0", if all they are made of is there, `raw`, `inverse` and `reason`. Empty without
      reports.
    """
    if not bleu2:
        return {}
    result: dict[str, Any] = {
        name: math.fsum(found) / len(found) for name, found in values.items() if name != LABELS
    }
    if LABELS in values:
        result[LABELS] = finding_scores(values[LABELS])
    features = radcliq_features(values, bleu2)
    if features is not None:
        for version in radcliq.VERSIONS:
            result[f"radcliq_{version}"] = radcliq.corpus(version, features)._asdict()
    return result


def radcliq_features(
    values: Mapping[str, Sequence[Any]], bleu2: Sequence[float]
) -> list[radcliq.Features] | None:
    """What RadCliQ of each report is made of; None if one of its metrics is absent.

    Args:
      values: As of `NeuralResult`; of an empty report they are 0.
      bleu2: BLEU-2 of each report; 0 of an empty one.
    """
    names = ("radgraph_f1", "bertscore", "sembscore")
    if not all(name in values for name in names):
        return None
    columns = (*(values[name] for name in names), bleu2)
    return [radcliq.Features(*row) for row in zip(*columns, strict=True)]


def finding_scores(labels: Sequence[Sequence[Sequence[int]]]) -> dict[str, Any]:
    """CheXbert F1 over a set of reports.

    Args:
      labels: Of each pair the labels of hypothesis and reference, as `FINDINGS`.

    Returns:
      `micro_14`, `macro_14`, `micro_5`, `macro_5` (F1, over all findings and over `TOP5`);
      `exact_5`, the share of reports that have all of `TOP5` right; `findings`: by name
      `precision`, `recall`, `f1`, `support` (references that have it) and `predicted`. What would
      be divided by 0 is 0, so a macro mean takes findings that nobody has as 0.
    """
    counts = {name: _counts(labels, i) for i, name in enumerate(FINDINGS)}
    findings = {name: _scores(*each) for name, each in counts.items()}
    result: dict[str, Any] = {}
    for size, names in ((len(FINDINGS), FINDINGS), (len(TOP5), TOP5)):
        sums = [sum(column) for column in zip(*(counts[name] for name in names), strict=True)]
        result[f"micro_{size}"] = _scores(*sums)["f1"]
        result[f"macro_{size}"] = sum(findings[name]["f1"] for name in names) / size
    top = [FINDINGS.index(name) for name in TOP5]
    exact = [all(ours[i] == theirs[i] for i in top) for ours, theirs in labels]
    result["exact_5"] = sum(exact) / len(exact) if exact else 0.0
    return {**result, "findings": findings}


def _counts(labels: Sequence[Sequence[Sequence[int]]], i: int) -> tuple[int, int, int]:
    """Of one finding: both have it, the hypotheses have it, the references have it."""
    both = sum(ours[i] and theirs[i] for ours, theirs in labels)
    return both, sum(ours[i] for ours, _ in labels), sum(theirs[i] for _, theirs in labels)


def _scores(both: int, predicted: int, support: int) -> dict[str, float | int]:
    return {
        "precision": both / predicted if predicted else 0.0,
        "recall": both / support if support else 0.0,
        "f1": 2 * both / (predicted + support) if both else 0.0,
        "support": support,
        "predicted": predicted,
    }


def _spread(found: Sequence[Any], full: Sequence[int], size: int, name: str) -> list[Any]:
    """Values of the pairs that were computed, and of the others what an empty report scores."""
    values: list[Any] = [[_NO_LABELS, _NO_LABELS] if name == LABELS else 0.0 for _ in range(size)]
    for i, value in zip(full, found, strict=True):
        values[i] = value
    return values


def _ask(request: dict[str, Any], python: str) -> dict[str, Any]:
    """Runs the worker and returns its answer; it ends with this process, however that ends."""
    with tempfile.TemporaryDirectory() as folder:
        files = pathlib.Path(folder)
        ask, answer = files / "request.json", files / "answer.json"
        ask.write_text(json.dumps(request))
        # A folder with this package alone: its environment is another one than ours.
        packages = files / "packages"
        packages.mkdir()
        package = pathlib.Path(lingshu_jax.__file__).parent
        (packages / package.name).symlink_to(package, target_is_directory=True)
        paths = [str(packages), os.environ.get("PYTHONPATH", "")]
        command = [python, "-m", _WORKER, str(ask), str(answer)]
        logging.info("report metrics: %s", shlex.join(command))
        code, last = _run(command, os.pathsep.join(filter(None, paths)))
        if code or not answer.is_file():
            raise errors.UserError(f"the report metrics ended with code {code}: {last:.400}")
        return json.loads(answer.read_text())


def _run(command: list[str], path: str) -> tuple[int, str]:
    """Its exit status and the last line it said; shows all of it as it comes."""
    guard = [sys.executable, vllm_child.__file__, str(_STOP_SECONDS)]
    process = subprocess.Popen(
        [*guard, *command],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    said = ""
    try:
        while chunk := os.read(process.stdout.fileno(), _CHUNK).decode(errors="replace"):
            sys.stderr.write(chunk)
            sys.stderr.flush()
            said = (said + chunk)[-_CHUNK:]
    finally:
        # Ends it, where this process was interrupted.
        process.stdin.close()
        code = process.wait()
        process.stdout.close()
    lines = [line.strip() for line in said.splitlines()]
    return code, next((line for line in reversed(lines) if line), "it said nothing")
