# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Batch inference: `python -m lingshu_jax.generate --model=DIR_OR_ID --input=F --output=F ...`.

A row is `{"id", "messages": [{"role", "content": [PART, ...]}]}`; an answer row is
`{"id", "text", "tokens", "logprobs", "finish_reason"}`.
"""

import pathlib
from typing import Any

import tqdm
from absl import flags

from lingshu_jax.common import cli, errors, hub, paths, runtime
from lingshu_jax.data import formats, sources
from lingshu_jax.engines import jax_engine, protocol

ENGINES = ("jax",)


def run(
    model: pathlib.Path | str,
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    sampling: protocol.SamplingParams,
    rows: int = 32,
) -> int:
    """Answers every prompt of a file.

    Args:
      model: A Hugging Face folder or hub id.
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
    # Prompts may name their images by absolute paths.
    prompts = sources.Source(name="input", path=str(source.absolute()), allow_outside=True)
    reading = sources.read(prompts)
    if reading.dropped:
        first = reading.dropped[0]
        raise errors.UserError(f"{source} line {first.line}: {first.reason}")
    engine = jax_engine.JaxEngine.from_folder(hub.resolve(str(model), "--model"), rows=rows)
    requests = [
        protocol.Request(messages=x.messages, sampling=_seeded(sampling, i), id=x.id)
        for i, x in enumerate(reading.examples)
    ]
    with tqdm.tqdm(total=len(requests), desc="generate", unit="row") as bar:
        answers = engine.generate(requests, on_done=bar.update)
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


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("model", None, "Hugging Face folder, or hub id org/name[@revision].")
    flags.DEFINE_string("input", None, "JSONL file of prompts.")
    flags.DEFINE_string("output", None, "JSONL file of answers, in the prompts' order.")
    flags.DEFINE_string("engine", "jax", "Text generator: jax.")
    flags.DEFINE_integer("max_new_tokens", None, "Longest answer, in tokens.")
    flags.DEFINE_float("temperature", 0.0, "0 is greedy.")
    flags.DEFINE_integer("seed", 0, "Of sampled answers.")
    flags.DEFINE_integer("rows", 32, "Answers decoded at a time.")


def main(argv: list[str]) -> None:
    """Reads the flags and generates."""
    del argv
    model = cli.required("model")
    source, address = paths.fetched(cli.required("input")), cli.required("output")
    engine = cli.flag("engine")
    if engine not in ENGINES:
        raise errors.UserError(
            f"--engine={engine} is not available; available: {', '.join(ENGINES)}"
        )
    sampling = protocol.SamplingParams(
        max_new_tokens=cli.required("max_new_tokens"),
        temperature=cli.flag("temperature"),
        seed=cli.flag("seed"),
    )
    runtime.start()
    with paths.opened(address) as target:
        count = run(model, source, target, sampling=sampling, rows=cli.flag("rows"))
    print(f"{count} answers in {address}")


if __name__ == "__main__":
    cli.run(main, define_flags)
