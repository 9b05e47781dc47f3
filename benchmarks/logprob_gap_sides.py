# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the sides of `logprob_gap.py` that run in an environment of their own have in common."""

import argparse
import json
import pathlib
from collections.abc import Callable
from typing import Any

Answers = dict[str, Any]


def serve(name: str, answer: Callable[[pathlib.Path, str, list[Any], int], Answers]) -> None:
    """Has a side answer for every checkpoint in every dtype; writes `NAME.json` to its folder.

    Args:
      name: Of the side.
      answer: Of an exported folder, a dtype, rows of requests and the samples of each: answers by
        way ("sampled", "greedy").
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=pathlib.Path, required=True)
    folder = parser.parse_args().work
    work = json.loads((folder / "work.json").read_text())
    found: dict[str, dict[str, Answers]] = {}
    for checkpoint in work["checkpoints"]:
        rows = json.loads((folder / checkpoint / "requests.json").read_text())
        exported = folder / checkpoint / "exported"
        found[checkpoint] = {
            dtype: answer(exported, dtype, rows, work["samples"]) for dtype in work["dtypes"]
        }
    (folder / f"{name}.json").write_text(json.dumps(found))
