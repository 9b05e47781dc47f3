# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities: `python -m lingshu_jax.score --model=DIR_OR_ID --input=F --output=F ...`.

A row is `{"id", "messages", "continuations": [TEXT, ...]}`, a text being what the assistant might
say, or a list of token ids. An answer row is `{"id", "scores": [{"tokens", "logprobs", "logprob"},
...]}`, one for each continuation and in their order: its ids, log p of each in nats, and their
sum; or `{"id", "error"}`. No end token is added.

The same command again asks only rows without scores, after a kill as well: see
`engines/batch_file.py`. Exit code 0: all rows are scored; 1: some failed; 2: bad input.
"""

import math
import pathlib
from typing import Any

from absl import flags

from lingshu_jax.common import cli, errors
from lingshu_jax.data import sources
from lingshu_jax.engines import batch_file, protocol, registry


def run(
    model: pathlib.Path | str,
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    engine: str = "jax",
    options: registry.Options = registry.DEFAULTS,
    overwrite: bool = False,
) -> batch_file.Counts:
    """Scores the continuations of every row of a file that is not scored yet.

    Args:
      model: A Hugging Face folder, a hub id, or the name that a server knows.
      source: JSONL of conversations with continuations.
      target: JSONL of scores; it appears whole or not at all.
      engine: A name of `registry.ENGINES`.
      options: Its own.
      overwrite: Starts anew, whatever is there.

    Raises:
      UserError: As in `batch_file.run`, and if the engine cannot score.
    """
    task: batch_file.Task[protocol.ScoreRequest, protocol.Score] = batch_file.Task(
        name="score",
        request=_request,
        ask=lambda engine, requests, take: engine.score(requests, on_result=take),
        describe=lambda scores: {"scores": [_describe(score) for score in scores]},
    )
    choice = registry.choose(engine, str(model), options=options)
    return batch_file.run(
        task,
        source,
        target,
        settings=choice.settings(),
        make_engine=choice.make,
        overwrite=overwrite,
    )


def _request(example: sources.Example, place: int) -> protocol.ScoreRequest:
    del place
    if example.messages[-1]["role"] != "user":
        raise errors.UserError("the last message must be the user's; continuations follow it")
    given = example.meta.get("continuations")
    if not isinstance(given, list) or not given or not all(map(_is_continuation, given)):
        raise errors.UserError(
            "continuations must be a list of texts or of lists of token ids, none of them empty"
        )
    continuations = tuple(item if isinstance(item, str) else tuple(item) for item in given)
    return protocol.ScoreRequest(
        messages=example.messages, continuations=continuations, id=example.id
    )


def _is_continuation(value: Any) -> bool:
    is_ids = isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)
    return bool(value) and (isinstance(value, str) or is_ids)


def _describe(score: protocol.Score) -> dict[str, Any]:
    return {
        "tokens": score.tokens,
        "logprobs": score.logprobs,
        "logprob": math.fsum(score.logprobs),
    }


def define_flags() -> None:
    """Defines the command's flags."""
    batch_file.define_flags()
    flags.adopt_module_key_flags(batch_file)  # --help shows them


def main(argv: list[str]) -> None:
    """Reads the flags and scores."""
    del argv
    batch_file.command(run)


if __name__ == "__main__":
    cli.run(main, define_flags)
