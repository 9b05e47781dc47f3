# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Batch inference: `python -m lingshu_jax.generate --model=DIR_OR_ID --input=F --output=F ...`.

A row is `{"id", "messages": [{"role", "content": [PART, ...]}]}`; an answer row is
`{"id", "text", "tokens", "logprobs", "finish_reason"}`, with --n above 1
`{"id", "completions": [{"text", "tokens", "logprobs", "finish_reason"}, ...]}`, and
`{"id", "error"}` where there is no answer. Tokens and log-probabilities are empty where a server
does not tell them.

The same command again asks only rows without an answer, after a kill as well: see
`engines/batch_file.py`. Exit code 0: all rows are answered; 1: some failed; 2: bad input.
"""

import dataclasses
import pathlib
from typing import Any

from absl import flags

from lingshu_jax.common import cli, errors
from lingshu_jax.data import sources
from lingshu_jax.engines import batch_file, protocol, registry

_NO_FLAGS = ("ignore_eos", "json_schema")  # of the sampling


def run(
    model: pathlib.Path | str,
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    sampling: protocol.SamplingParams,
    engine: str = "jax",
    options: registry.Options = registry.DEFAULTS,
    overwrite: bool = False,
) -> batch_file.Counts:
    """Answers every prompt of a file that has no answer yet.

    Args:
      model: A Hugging Face folder, a hub id, or the name that a server knows.
      source: JSONL of prompts.
      target: JSONL of answers; it appears whole or not at all.
      sampling: For every prompt; row i takes seed + i * n, since servers count on from a seed.
      engine: A name of `registry.ENGINES`.
      options: Its own.
      overwrite: Starts anew, whatever is there.

    Raises:
      UserError: As in `batch_file.run`.
    """
    sampling.validate()
    choice = registry.choose(engine, str(model), options=options)
    choice.check(sampling)
    return batch_file.run(
        _task(sampling),
        source,
        target,
        settings={
            **choice.settings(),
            **sampling.settings(),
        },
        make_engine=choice.make,
        overwrite=overwrite,
    )


def _task(
    sampling: protocol.SamplingParams,
) -> batch_file.Task[protocol.Request, protocol.Completion]:
    def request(example: sources.Example, place: int) -> protocol.Request:
        if example.messages[-1]["role"] != "user":
            raise errors.UserError("the last message of a prompt must be the user's")
        seeded = dataclasses.replace(sampling, seed=sampling.seed + place * sampling.n)
        return protocol.Request(messages=example.messages, sampling=seeded, id=example.id)

    def describe(given: list[protocol.Completion]) -> dict[str, Any]:
        answers = [dataclasses.asdict(completion) for completion in given]
        return answers[0] if sampling.n == 1 else {"completions": answers}

    return batch_file.Task(
        name="generate",
        request=request,
        ask=lambda engine, requests, take: engine.generate(requests, on_result=take),
        describe=describe,
    )


def define_flags() -> None:
    """Defines the command's flags."""
    batch_file.define_flags()
    flags.adopt_module_key_flags(batch_file)  # --help shows them
    flags.DEFINE_integer("max_new_tokens", None, "Longest answer, in tokens.")
    flags.DEFINE_float("temperature", 0.0, "0 is greedy.")
    flags.DEFINE_float("top_p", 1.0, "Sample from the likeliest tokens that have this share.")
    flags.DEFINE_integer("top_k", 0, "Sample from so many of the likeliest tokens; 0 is all.")
    flags.DEFINE_float("repetition_penalty", 1.0, "Of tokens that occurred; 1 is off.")
    flags.DEFINE_multi_string("stop", [], "A text that ends an answer; may be given repeatedly.")
    flags.DEFINE_integer("seed", 0, "Of sampled answers; row i takes seed + i * n.")
    flags.DEFINE_integer("n", 1, "Answers to each prompt.")


def main(argv: list[str]) -> None:
    """Reads the flags and generates."""
    del argv
    cli.required("max_new_tokens")
    names = [field.name for field in dataclasses.fields(protocol.SamplingParams)]
    given = {name: cli.flag(name) for name in names if name not in _NO_FLAGS}
    sampling = protocol.SamplingParams(**{**given, "stop": tuple(given["stop"])})
    batch_file.command(run, sampling=sampling)


if __name__ == "__main__":
    cli.run(main, define_flags)
