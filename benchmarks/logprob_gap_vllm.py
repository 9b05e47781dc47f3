# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""vLLM's side of `logprob_gap.py`: our engine around it, in the process of its environment.

PYTHONPATH=. VLLM_PYTHON -m benchmarks.logprob_gap_vllm --work=DIR
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from benchmarks import logprob_gap_sides
from lingshu_jax.engines import protocol, vllm_engine

CACHE_BYTES = 128 * 2**20  # of keys and values
MAX_TOKENS, MAX_IMAGES = 1024, 2  # of a prompt and its answer


def ask(engine: protocol.Generator, rows: Sequence[dict[str, Any]], samples: int) -> Any:
    """Answers to every row, by how they were decoded.

    Args:
      engine: Any of ours.
      rows: Of `requests.json`.
      samples: Answers of a row at temperature 1; greedy it gets one.

    Returns:
      For `sampled` and `greedy` the answers of each row, as `{"tokens", "logprobs"}`.
    """
    ways = {"sampled": {"temperature": 1.0, "n": samples}, "greedy": {}}
    answers = {}
    for name, way in ways.items():
        requests = [
            protocol.Request(
                messages=row["messages"],
                sampling=protocol.SamplingParams(
                    max_new_tokens=row["max_new_tokens"], seed=place, **way
                ),
                id=row["id"],
            )
            for place, row in enumerate(rows)
        ]
        answers[name] = [
            [{"tokens": one.tokens, "logprobs": one.logprobs} for one in group]
            for group in engine.generate(requests)
        ]
    return answers


def answer(folder: pathlib.Path, dtype: str, rows: list[Any], samples: int) -> dict[str, Any]:
    """As `logprob_gap_sides.serve` asks."""
    engine = vllm_engine.VllmEngine.from_folder(
        folder,
        dtype=dtype,
        max_images=MAX_IMAGES,
        max_model_len=MAX_TOKENS,
        options={"enforce_eager": True, "kv_cache_memory_bytes": CACHE_BYTES},
    )
    answers = ask(engine, rows, samples)
    engine.close()
    return answers


if __name__ == "__main__":
    logprob_gap_sides.serve("vllm", answer)
