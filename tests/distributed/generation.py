# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Answers and scores of the JAX engine over the devices of several processes.

    python -m tests.distributed.generation FOLDER OUT '{"data": 2, "tensor": 2}'

Every process writes what it got as OUT/<its index>.json.
"""

import json
import pathlib
import sys
from typing import Any

import jax
import numpy as np
from PIL import Image

from lingshu_jax.common import runtime, sharding
from lingshu_jax.engines import jax_engine, protocol

ROWS, NEW_TOKENS = 4, 8


def requests() -> list[protocol.Request]:
    """More than there are slots, for one and two answers, drawn and greedy, one with an image."""
    pixels = np.random.default_rng(0).integers(0, 256, (56, 84, 3), dtype=np.uint8)
    asked = []
    for i in range(9):
        parts: list[dict[str, Any]] = [{"type": "text", "text": "abcdefghi"[: i + 1]}]
        if i == 4:
            parts.insert(0, {"type": "image", "image": Image.fromarray(pixels)})
        sampling = protocol.SamplingParams(
            max_new_tokens=1 + (3 * i) % NEW_TOKENS,
            temperature=float(i % 2),
            stop=("a", "e", "i") if i % 3 == 1 else (),
            seed=i,
            n=1 + (i > 6),
        )
        message = {"role": "user", "content": parts}
        asked.append(protocol.Request(messages=[message], sampling=sampling, id=str(i)))
    return asked


def answer(engine: jax_engine.JaxEngine) -> list[Any]:
    """Completions as JSON values, and the scores of the first two requests' answers."""
    answers = engine.generate(requests())
    scored = [
        protocol.ScoreRequest(messages=one.messages, continuations=(several[0].tokens, "yes"))
        for one, several in zip(requests()[:2], answers, strict=False)
    ]
    found = [[one.text, one.tokens, one.logprobs] for several in answers for one in several]
    found += [["", one.tokens, one.logprobs] for group in engine.score(scored) for one in group]
    return json.loads(json.dumps(found))


def main(folder: str, out: str, axes: str) -> None:
    runtime.start(several_hosts=True)
    jax.config.update("jax_default_matmul_precision", "highest")
    mesh = sharding.make_mesh(json.loads(axes))
    sharding.connect(mesh)
    engine = jax_engine.JaxEngine.from_folder(pathlib.Path(folder), mesh=mesh, rows=ROWS)
    found = answer(engine)
    (pathlib.Path(out) / f"{jax.process_index()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
