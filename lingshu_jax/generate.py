# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Batch inference: `python -m lingshu_jax.generate --model=HF_DIR --input=F --output=F ...`.

A row is `{"id", "messages": [{"role", "content": [PART, ...]}]}`; an answer row is
`{"id", "text", "tokens", "logprobs", "finish_reason"}`.
"""

import pathlib
from typing import Any

import tqdm
from absl import flags

from lingshu_jax.common import cli, errors, runtime
from lingshu_jax.data import formats, sources
from lingshu_jax.engines import jax_engine, protocol

_MODEL = flags.DEFINE_string("model", None, "Hugging Face folder.")
_INPUT = flags.DEFINE_string("input", None, "JSONL file of prompts.")
_OUTPUT = flags.DEFINE_string("output", None, "JSONL file of answers, in the prompts' order.")
_ENGINE = flags.DEFINE_string("engine", "jax", "jax; vllm and openai follow.")
_MAX_NEW_TOKENS = flags.DEFINE_integer("max_new_tokens", None, "Longest answer, in tokens.")
_TEMPERATURE = flags.DEFINE_float("temperature", 0.0, "0 is greedy.")
_SEED = flags.DEFINE_integer("seed", 0, "Of sampled answers.")
_ROWS = flags.DEFINE_integer("rows", 32, "Answers decoded at a time.")

ENGINES = ("jax",)


def run(
    model: pathlib.Path,
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    sampling: protocol.SamplingParams,
    rows: int = 32,
) -> int:
    """Answers every prompt of a file.

    Args:
      model: A Hugging Face folder.
      source: JSONL of prompts.
      target: JSONL of answers; it appears whole or not at all.
      sampling: For every prompt; row i takes seed + i.
      rows: Answers decoded at a time.

    Returns:
      The number of answers.

    Raises:
      UserError: If an input cannot be used.
    """
    sampling.validate()
    reading = sources.read(sources.Source(name="input", path=str(source.absolute())))
    if reading.dropped:
        first = reading.dropped[0]
        raise errors.UserError(f"{source} line {first.line}: {first.reason}")
    engine = jax_engine.JaxEngine.from_folder(model, rows=rows)
    requests = [
        protocol.Request(messages=x.messages, sampling=_seeded(sampling, i), id=x.id)
        for i, x in enumerate(reading.examples)
    ]
    with tqdm.tqdm(total=len(requests), desc="generate", unit="row") as bar:
        answers = engine.generate(requests, on_done=lambda n: bar.update(n) and None)
    written = zip(requests, answers, strict=True)
    return formats.write_jsonl(target, (_answer(r, a[0]) for r, a in written))


def _seeded(sampling: protocol.SamplingParams, row: int) -> protocol.SamplingParams:
    return protocol.SamplingParams(
        max_new_tokens=sampling.max_new_tokens,
        temperature=sampling.temperature,
        seed=sampling.seed + row,
    )


def _answer(request: protocol.Request, completion: protocol.Completion) -> dict[str, Any]:
    return {
        "id": request.id,
        "text": completion.text,
        "tokens": list(completion.tokens),
        "logprobs": list(completion.logprobs),
        "finish_reason": completion.finish_reason,
    }


def main(argv: list[str]) -> None:
    """Reads the flags and generates."""
    del argv
    model, source, target = (cli.required(flag) for flag in (_MODEL, _INPUT, _OUTPUT))
    if _ENGINE.value not in ENGINES:
        raise errors.UserError(f"unknown --engine={_ENGINE.value!r}; available: {ENGINES}")
    if _MAX_NEW_TOKENS.value is None:
        raise errors.UserError("--max_new_tokens is required")
    runtime.start()
    sampling = protocol.SamplingParams(
        max_new_tokens=_MAX_NEW_TOKENS.value, temperature=_TEMPERATURE.value, seed=_SEED.value
    )
    count = run(
        pathlib.Path(model), pathlib.Path(source), pathlib.Path(target),
        sampling=sampling, rows=_ROWS.value,
    )
    print(f"{count} answers in {target}")


if __name__ == "__main__":
    cli.run(main)
