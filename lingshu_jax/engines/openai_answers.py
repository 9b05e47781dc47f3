# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What servers send, read as if they might send anything.

A choice is a JSON object of `choices`, without secrets; it is what the cache keeps.
"""

import json
import math
import types
from collections.abc import Mapping
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.engines import ledger, protocol

_SHOWN = 80  # characters of what makes no sense
# What services say beside OpenAI's own stop and length, in small letters. Anthropic's words come
# through some proxies; Google's for answers that it withholds come as they are
# (HKUDS/Vibe-Trading#308).
_REASONS: Mapping[str, protocol.FinishReason] = types.MappingProxyType(
    {
        "stop": "stop",
        "end_turn": "stop",
        "stop_sequence": "stop",
        "length": "length",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
    }
)
_FILTERS = (
    *("content_filter", "refusal", "safety", "recitation", "blocklist", "prohibited_content"),
    *("spii", "image_safety", "image_prohibited_content", "image_recitation"),
)
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
    # In OpenAI's words or in Anthropic's; an answer of nothing may have no count.
    told = found.get("prompt_tokens", found.get("input_tokens"))
    written = found.get("completion_tokens", found.get("output_tokens"))
    if written is None and type(told) is int and type(found.get("total_tokens")) is int:
        written = found["total_tokens"] - told
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
    message, said = choice.get("message"), choice.get("finish_reason")
    # Where nothing could be said, a message may be missing beside its reason.
    message = {} if message is None and _is_filter(said) else message
    if not isinstance(message, dict):
        raise BadAnswer(f"message must be an object, got {_show(message)}")
    text, refusal = message.get("content"), message.get("refusal")
    if not text and isinstance(refusal, str) and refusal:
        raise Refusal(f"the model refuses to answer: {_show(refusal)}")
    reason = _finish_reason(said)
    if reason is None:
        raise BadAnswer(f"finish_reason must be stop or length, got {_show(said)}")
    if text is None and reason == "length":
        text = ""  # all tokens went into thoughts that are not shown
    text = _joined(text) if isinstance(text, list) else text
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
      BadAnswer: If it makes no sense.
      Refusal: If a filter ended the answer.
    """
    found = chunk.get("choices")
    if found == []:
        return None
    (choice,) = choices(chunk, 1)
    message, said = choice.get("delta"), choice.get("finish_reason")
    if not isinstance(message, dict):
        raise BadAnswer(f"delta must be an object, got {_show(message)}")
    reason = None if said is None else _finish_reason(said)
    if said is not None and reason is None:
        raise BadAnswer(f"finish_reason must be stop or length, got {_show(said)}")
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


def _is_filter(said: Any) -> bool:
    """Whether a service withheld an answer; it may say more after a colon."""
    return isinstance(said, str) and said.partition(":")[0].strip().lower() in _FILTERS


def _finish_reason(said: Any) -> protocol.FinishReason | None:
    """Why an answer ended, in our words; None where that makes no sense."""
    if _is_filter(said):
        line = " ".join(whole_text(said).split())[:_SHOWN]
        raise Refusal(f"the server's filter ended the answer (finish_reason {line})")
    return _REASONS.get(said.lower()) if isinstance(said, str) else None


def _joined(parts: list[Any]) -> str | list[Any]:
    """The texts of an answer in parts, thoughts left out; as it is where it makes no sense."""
    if not all(isinstance(part, dict) for part in parts):
        return parts
    texts = [part.get("text") for part in parts if part.get("type") in ("text", "output_text")]
    if not texts or not all(isinstance(text, str) for text in texts):
        return parts
    return "".join(texts)


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    line = " ".join(whole_text(text).split())
    return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "...")
