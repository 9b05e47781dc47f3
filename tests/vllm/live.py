# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our vLLM engine at work: JAX and vLLM in one process, run by the python of `.venv-vllm`.

    python -m tests.vllm.live FOLDER

FOLDER holds `exported/`, `changed/` with other weights, and `requests.json`; `live.json` is written
there. What is expected of it says `test_engines.py`.
"""

import dataclasses
import json
import pathlib
import sys
from typing import Any

import jax
import numpy as np
from PIL import Image

from lingshu_jax.common import errors, sharding
from lingshu_jax.engines import protocol, vllm_engine
from lingshu_jax.models import axes, hf
from tests.vllm import limits

SIDES = ("left", "right")
# Whole values: between parts of one, random weights write blanks without end.
SCHEMA = json.dumps({"enum": [{"side": side} for side in SIDES]})
SAMPLING = protocol.SamplingParams(max_new_tokens=24)


def main() -> None:
    """Asks before and after new weights, and everything else in between."""
    folder = pathlib.Path(sys.argv[1])
    rows = json.loads((folder / "requests.json").read_text())
    engine = vllm_engine.VllmEngine.from_folder(
        folder / "exported",
        max_images=limits.MAX_IMAGES,
        max_model_len=limits.MAX_TOKENS,
        options=limits.OPTIONS,
    )
    before = ask(engine, rows)
    report = {
        "before": before,
        "scores": score(engine, rows, before),
        "streamed": stream(engine, rows[1]),
        "sampled": sample(engine, rows),
        "stopped": stop(engine, rows[1], before[1]["text"]),
        "endless": ask(engine, rows, ignore_eos=True),
        "penalised": ask(engine, rows, repetition_penalty=1.3),
        "guided": ask(engine, rows, json_schema=SCHEMA),
        "failures": fail(engine, rows),
    }
    engine.set_params(shard(folder / "changed"))
    report["after"] = ask(engine, rows)
    engine.sleep()
    engine.wake()
    report |= {"sync": engine.last_sync._asdict(), "skipped_sleeps": engine.skipped_sleeps}
    engine.close()
    (folder / "live.json").write_text(json.dumps(report))


def request(row: dict[str, Any], **sampling: Any) -> protocol.Request:
    """A row as a request."""
    params = {"max_new_tokens": row["max_new_tokens"], **sampling}
    return protocol.Request(
        messages=row["messages"], sampling=protocol.SamplingParams(**params), id=row["id"]
    )


def ask(
    engine: vllm_engine.VllmEngine, rows: list[dict[str, Any]], **sampling: Any
) -> list[dict[str, Any]]:
    """One answer a row with everything in it.

    The prompts are not told: the engine refuses a request of which vLLM makes other ids.
    """
    groups = engine.generate([request(row, **sampling) for row in rows])
    return [
        {"id": row["id"], **dataclasses.asdict(answer)}
        for row, (answer,) in zip(rows, groups, strict=True)
    ]


def score(
    engine: vllm_engine.VllmEngine, rows: list[dict[str, Any]], answers: list[dict[str, Any]]
) -> list[Any]:
    """Of each answer, as ids, of a text and of nothing."""
    requests = [
        protocol.ScoreRequest(
            messages=row["messages"],
            continuations=(tuple(answer["tokens"]), "The left.", ""),
            id="",
        )
        for row, answer in zip(rows, answers, strict=True)
    ]
    return [[dataclasses.asdict(score) for score in group] for group in engine.score(requests)]


def stream(engine: vllm_engine.VllmEngine, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The pieces of an answer, after another that was left half read."""
    next(engine.stream(request(row)))
    return [dataclasses.asdict(delta) for delta in engine.stream(request(row))]


def sample(engine: vllm_engine.VllmEngine, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Tokens of several samples: twice the same, in other company, of another seed, of top-k 1."""

    def tokens(rows: list[dict[str, Any]], **sampling: Any) -> list[Any]:
        groups = engine.generate([request(row, temperature=1.0, **sampling) for row in rows])
        return [[answer.tokens for answer in group] for group in groups]

    return {
        "first": tokens(rows[:2], n=3),
        "again": tokens(rows[:2], n=3),
        "alone": tokens(rows[1:2], n=3),
        "other_seed": tokens(rows[:2], n=3, seed=1),
        "likeliest": tokens(rows, top_k=1),
        "nucleus": tokens(rows, top_p=1e-6),
        "hot": [
            answer.tokens
            for group in engine.generate([request(rows[1], temperature=2.0, n=16)])
            for answer in group
        ],
        "media": [engine.encoder.special.image_pad, engine.encoder.special.video_pad],
    }


def stop(engine: vllm_engine.VllmEngine, row: dict[str, Any], text: str) -> dict[str, Any]:
    """An answer that ends at two letters of what it would have been."""
    pairs = [text[i : i + 2] for i in range(2, len(text) - 1)]
    end = next(pair for pair in pairs if pair.isascii() and pair.isprintable())
    ((answer,),) = engine.generate([request(row, stop=(end,))])
    return {"stop": end, **dataclasses.asdict(answer)}


def fail(engine: vllm_engine.VllmEngine, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What becomes of requests that cannot be served, beside one that can."""
    frame = Image.fromarray(np.zeros((56, 56, 3), np.uint8))

    def chat(id: str, *content: Any, **sampling: Any) -> protocol.Request:
        messages = [{"role": "user", "content": list(content)}]
        params = dataclasses.replace(SAMPLING, **sampling)
        return protocol.Request(messages=messages, sampling=params, id=id)

    bad = [
        chat("many", *[{"type": "image", "image": frame}] * (limits.MAX_IMAGES + 1)),
        chat("long", {"type": "text", "text": "word " * limits.MAX_TOKENS}),
        chat("video", {"type": "video", "video": [frame, frame]}),
        chat("lost", {"type": "image", "image": "absent.png"}),
        chat("cold", {"type": "text", "text": "x"}, temperature=0.001),
        # Of this size our folder's processor, which vLLM has, would make another.
        chat("small", {"type": "image", "image": frame, "min_pixels": 784, "max_pixels": 784}),
    ]
    told: dict[int, Any] = {}

    def on_result(place: int, result: Any) -> None:
        assert place not in told
        is_failure = isinstance(result, protocol.Failure)
        told[place] = result.reason if is_failure else result[0].tokens

    lists = engine.generate([*bad, request(rows[1])], on_result=on_result)
    try:
        engine.generate(bad[:1])
    except errors.UserError as error:
        raised = str(error)
    return {
        "told": {request.id: told[place] for place, request in enumerate(bad)},
        "raised": raised,
        "answered": told[len(bad)],
        "lists": [len(group) for group in lists],
    }


def shard(folder: pathlib.Path) -> Any:
    """A folder's parameters as JAX arrays, spread over the devices."""
    params = hf.load_params(folder, hf.read_config(folder))
    mesh = sharding.make_mesh({"fsdp": 2}, jax.devices())
    return jax.device_put(params, sharding.param_shardings(params, axes.PARAM_AXES, mesh))


if __name__ == "__main__":
    main()
