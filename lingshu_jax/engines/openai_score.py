# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of texts from vLLM's server.

The server is told the continuation as the beginning of the assistant's turn, and says the
log-probability of each token of what it was told. Exact or refused: the ids must begin with those
of the prompt alone, and the rest must spell the continuation. It does not where the template or the
server change the text (blanks at its ends) or the tokenizer joins its beginning with the prompt.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.engines import openai_answers, protocol

_UNDECIDED = "\ufffd"  # a decoded token that is a part of a character


def texts(continuations: Sequence[str | tuple[int, ...]]) -> list[str]:
    """The continuations, if they can be asked.

    Args:
      continuations: Of a `protocol.ScoreRequest`.

    Raises:
      UserError: If one is no text.
    """
    found = []
    for place, continuation in enumerate(continuations):
        if not isinstance(continuation, str):
            raise errors.UserError(
                f"continuation {place} is token ids; a server scores texts alone"
            )
        found.append(continuation)
    return found


def body(
    model: str, messages: Sequence[Mapping[str, Any]], text: str | None = None
) -> dict[str, Any]:
    """The body of a request for the ids of a prompt, or for the scores of a continuation.

    Args:
      model: Its name at the server.
      messages: Of a chat completion.
      text: The continuation; None asks for the prompt.
    """
    asked: dict[str, Any] = {
        "model": model,
        "messages": list(messages),
        "max_tokens": 1,
        "temperature": 0.0,
        "return_token_ids": True,
    }
    if text is not None:
        asked["messages"] = [*messages, {"role": "assistant", "content": text}]
        asked |= {
            "add_generation_prompt": False,
            "continue_final_message": True,
            "prompt_logprobs": 0,
        }
    return asked


def prompt_ids(answer: Mapping[str, Any]) -> list[int]:
    """The ids of what the server was told.

    Args:
      answer: Of the server.

    Raises:
      BadAnswer: If it does not say them.
    """
    ids = answer.get("prompt_token_ids")
    if not isinstance(ids, list) or not ids or not all(type(i) is int for i in ids):
        raise openai_answers.BadAnswer("prompt_token_ids are missing: is the server vLLM?")
    return ids


def read(answer: Mapping[str, Any], *, prompt: Sequence[int], text: str) -> dict[str, Any]:
    """Ids and log-probabilities of a continuation, as the cache keeps them.

    Args:
      answer: To `body` with the continuation.
      prompt: Ids of the prompt alone.
      text: The continuation.

    Raises:
      BadAnswer: If the server does not say them.
      UserError: If the ids are not those of the prompt and the continuation.
    """
    ids, entries = prompt_ids(answer), answer.get("prompt_logprobs")
    if not isinstance(entries, list) or len(entries) != len(ids):
        raise openai_answers.BadAnswer(f"prompt_logprobs must be one for each of {len(ids)} tokens")
    start = len(prompt)
    found = [_entry(entries[i], ids[i]) for i in range(start, len(ids))]
    if ids[:start] != list(prompt) or not _spells([e.get("decoded_token") for e in found], text):
        raise errors.UserError(
            f"cannot be scored exactly: the server does not tokenize {text[:40]!r} on its own"
        )
    return {"tokens": ids[start:], "logprobs": [openai_answers.logprob(e) for e in found]}


def score(kept: Any) -> protocol.Score:
    """What the cache keeps, as a score.

    Args:
      kept: From `read`.
    """
    return protocol.Score(
        tokens=tuple(kept["tokens"]), logprobs=tuple(float(value) for value in kept["logprobs"])
    )


def _entry(entries: Any, token: int) -> dict[str, Any]:
    """Of a token that was told: the server may add likelier ones."""
    found = entries.get(str(token)) if isinstance(entries, dict) else None
    if not isinstance(found, dict):
        raise openai_answers.BadAnswer(f"prompt_logprobs say nothing about token {token}")
    return found


def _spells(pieces: Sequence[Any], text: str) -> bool:
    """Whether decoded tokens are a text; parts of characters may be anything."""
    if not all(isinstance(piece, str) for piece in pieces):
        return False
    segments = [""]  # what stands between parts of characters
    for piece in pieces:
        if _UNDECIDED in piece:
            segments.append("")
        else:
            segments[-1] += piece
    first, *middle = segments
    if not middle:
        return text == first
    last = middle.pop()
    # One after the other, each where it is first: a pattern with many `.*` may take for ever.
    place, end = len(first), len(text) - len(last)
    for segment in middle:
        place = text.find(segment, place, end) + len(segment)
        if place < len(segment):
            return False
    return place <= end and text.startswith(first) and text.endswith(last)
