# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What servers send, read as if they might send anything.

A choice is a JSON object of `choices`, without secrets; it is what the cache keeps.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.engines import ledger, protocol

_SHOWN = 80  # characters of what makes no sense
_MOST_TOKENS = 1 << 53  # larger counts are no counts, and no floating-point numbers either


class BadAnswer(errors.UserError):
    """What a server sent makes no sense; it may do better when asked again."""


class Refusal(errors.UserError):
    """A server will not answer this; what it says is meant, and paid like an answer."""


def read(text: str) -> dict[str, Any]:
    """The JSON object of an answer.

    Args:
      text: Body of a response.

    Raises:
      BadAnswer: If it is none.
    """
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"the server's answer is not JSON: {_show(text)}") from error
    return whole(answer)


def whole(answer: Any) -> dict[str, Any]:
    """A JSON value, if it is an object.

    Args:
      answer: Whatever came.

    Raises:
      BadAnswer: If it is none.
    """
    if not isinstance(answer, dict):
        raise BadAnswer(f"the server's answer must be an object, got {_show(answer)}")
    return answer


def choices(answer: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """The choices of a chat completion in the order of their numbers.

    Args:
      answer: From `read`.
      count: How many were asked for; there may be fewer.

    Raises:
      BadAnswer: If there are none or more, or if they are no objects.
    """
    found = answer.get("choices")
    if not isinstance(found, list) or not all(isinstance(choice, dict) for choice in found):
        raise BadAnswer(f"choices must be a list of objects, got {_show(found)}")
    if not 0 < len(found) <= count:
        raise BadAnswer(f"the server sent {len(found)} answers, asked for {count}")
    # By place where a server does not number them.
    numbers = [choice.get("index", place) for place, choice in enumerate(found)]
    is_numbered = all(type(number) is int for number in numbers)
    if not is_numbered or sorted(numbers) != list(range(len(found))):
        raise BadAnswer(f"the answers must be numbered 0 to {len(found) - 1}, got {numbers!r:.80}")
    return [found[numbers.index(number)] for number in range(len(found))]


def usage(answer: Mapping[str, Any]) -> ledger.Usage | None:
    """The tokens that a server says it used; None if it does not say.

    Args:
      answer: From `read`.
    """
    found = answer.get("usage")
    if not isinstance(found, dict):
        return None
    told, written = found.get("prompt_tokens"), found.get("completion_tokens")
    if not (type(told) is int and type(written) is int):
        return None
    if min(told, written) < 0 or max(told, written) > _MOST_TOKENS:
        return None
    return ledger.Usage(told, written)


def completion(choice: Mapping[str, Any]) -> protocol.Completion:
    """One answer.

    Args:
      choice: From `choices`, or the cache.

    Raises:
      Refusal: If there is none and will be none.
      BadAnswer: If it makes no sense or broke off.
    """
    message, reason = choice.get("message"), choice.get("finish_reason")
    if not isinstance(message, dict):
        raise BadAnswer(f"message must be an object, got {_show(message)}")
    if reason == "content_filter":
        raise Refusal("the server's filter ended the answer (finish_reason content_filter)")
    text, refusal = message.get("content"), message.get("refusal")
    if text is None and isinstance(refusal, str) and refusal:
        raise Refusal(f"the model refuses to answer: {_show(refusal)}")
    if reason not in ("stop", "length"):
        raise BadAnswer(f"finish_reason must be stop or length, got {_show(reason)}")
    if not isinstance(text, str):
        raise BadAnswer(f"content must be a text, got {_show(text)}")
    tokens, logprobs = token_values(choice)
    return protocol.Completion(
        text=whole_text(text), tokens=tokens, logprobs=logprobs, finish_reason=reason
    )


def fault(choice: Mapping[str, Any]) -> BadAnswer | None:
    """Why a choice is not worth keeping; None for an answer or a refusal.

    Args:
      choice: From `choices`.
    """
    try:
        completion(choice)
    except BadAnswer as error:
        return error
    except Refusal:
        return None
    return None


def delta(chunk: Mapping[str, Any]) -> protocol.Delta | None:
    """A piece of a stream; None for one that is about something else.

    Args:
      chunk: A JSON object.

    Raises:
      BadAnswer: If it makes no sense, or the filter ended the answer.
    """
    found = chunk.get("choices")
    if found == []:
        return None
    (choice,) = choices(chunk, 1)
    message, reason = choice.get("delta"), choice.get("finish_reason")
    if not isinstance(message, dict):
        raise BadAnswer(f"delta must be an object, got {_show(message)}")
    if reason not in ("stop", "length", None):
        raise BadAnswer(f"finish_reason must be stop or length, got {_show(reason)}")
    text = message.get("content")
    if not isinstance(text, str | None):
        raise BadAnswer(f"content must be a text, got {_show(text)}")
    tokens, logprobs = token_values(choice)
    return protocol.Delta(
        text=whole_text(text or ""), tokens=tokens, logprobs=logprobs, finish_reason=reason
    )


def token_values(choice: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Ids and log-probabilities of an answer, as vLLM gives them; none from other servers.

    Args:
      choice: Of an answer or a stream.

    Raises:
      BadAnswer: If they make no sense or do not fit together.
    """
    tokens = choice.get("token_ids")
    if not tokens:
        return (), ()
    content = _field(choice.get("logprobs"), "content")
    if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
        raise BadAnswer(f"token_ids must be numbers, got {_show(tokens)}")
    if not isinstance(content, list) or len(content) != len(tokens):
        raise BadAnswer(f"logprobs must be one for each of {len(tokens)} tokens")
    return tuple(tokens), tuple(logprob(entry) for entry in content)


def logprob(entry: Any) -> float:
    """The log-probability in an object with that field, nats.

    Args:
      entry: What should be one.

    Raises:
      BadAnswer: If it is none.
    """
    value = _field(entry, "logprob")
    try:
        found = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise BadAnswer(f"logprob must be a number, got {_show(value)}")
    return found


def whole_text(text: str) -> str:
    """A text of whole characters; halves of them cannot be written to a file."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    line = " ".join(whole_text(text).split())
    return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "...")
