# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Computes the neural report metrics, in an interpreter that has torch and transformers.

    python -m lingshu_jax.eval.report_metrics.worker.main REQUEST.json ANSWER.json

Nothing of the package is imported but this folder: that environment need not have JAX. The request
is `{"weights_dir", "groups", "pairs": [[hypothesis, reference], ...], "single": [text, ...]}`. The
answer is `{"values": {name: [one for each pair]}, "single": [labels], "absent": {group: reason},
"counts", "weights": {file: sha256}, "versions"}`, written when all is done.
"""

import json
import os
import pathlib
import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any

# Before the libraries are imported: nothing is fetched, and no thread of theirs is forked.
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import torch
import transformers

from lingshu_jax.eval.report_metrics.worker import (
    bertscore,
    chexbert,
    layout,
    models,
    radgraph,
    ratescore,
)


def main(arguments: Sequence[str]) -> None:
    """Reads the request and writes the answer.

    Args:
      arguments: The paths of both.
    """
    request_file, answer_file = map(pathlib.Path, arguments)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    answer = compute(json.loads(request_file.read_text()))
    # Beside its place, then moved: an answer is whole.
    part = answer_file.with_suffix(".part")
    part.write_text(json.dumps(answer))
    part.replace(answer_file)


def compute(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request; a group whose weights cannot be used is absent, the others are not.

    Args:
      request: As above.
    """
    request = {**request, "pairs": [tuple(pair) for pair in request["pairs"]]}
    answer: dict[str, Any] = {"values": {}, "single": [], "absent": {}, "counts": {}}
    answer["weights"], answer["versions"] = {}, _versions()
    for group in request["groups"]:
        try:
            _GROUPS[group](request, pathlib.Path(request["weights_dir"]), answer)
        except layout.WeightsError as error:
            answer["absent"][group] = str(error)
    return answer


def _bertscore(request: dict[str, Any], folder: pathlib.Path, answer: dict[str, Any]) -> None:
    values, counts = bertscore.score(request["pairs"], folder)
    _put(answer, values, counts, layout.digests(folder, [bertscore.FOLDER]))


def _chexbert(request: dict[str, Any], folder: pathlib.Path, answer: dict[str, Any]) -> None:
    values, counts = chexbert.score(request["pairs"], request["single"], folder)
    answer["single"] = values.pop("single")
    weights = layout.digests(folder, [chexbert.CHECKPOINT, chexbert.FOLDER])
    _put(answer, values, counts, weights)


def _radgraph(request: dict[str, Any], folder: pathlib.Path, answer: dict[str, Any]) -> None:
    values, read = radgraph.score(request["pairs"], folder)
    _put(answer, values, {}, layout.digests(folder, read))


def _ratescore(request: dict[str, Any], folder: pathlib.Path, answer: dict[str, Any]) -> None:
    values, counts = ratescore.score(request["pairs"], folder)
    weights = layout.digests(folder, [ratescore.NER, ratescore.SYNONYMS])
    _put(answer, values, counts, weights)


_GROUPS: dict[str, Callable[[dict[str, Any], pathlib.Path, dict[str, Any]], None]] = {
    "bertscore": _bertscore,
    "chexbert": _chexbert,
    "radgraph": _radgraph,
    "ratescore": _ratescore,
}


def _put(
    answer: dict[str, Any], values: dict[str, Any], counts: dict[str, int], weights: dict[str, str]
) -> None:
    answer["values"].update(values)
    answer["counts"].update(counts)
    answer["weights"].update(weights)


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": str(models.device()),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
