# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What every text generator is asked and what it answers.

Two calls: `generate` continues conversations, `score` gives the log-probabilities of continuations
that are there already. `stream` is `generate` for one reader who waits.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from lingshu_jax.common import errors

FinishReason = Literal["stop", "length"]
_LARGEST = 2**31 - 1  # int32, on devices
MAX_IMAGES = 16  # of a request, where an engine is not told otherwise


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How to decode; every field is set explicitly, nothing is inherited from a checkpoint.

    Log-probabilities are those of the raw logits, whatever is set here; with a `json_schema` vLLM's
    are those among the tokens that it lets through.

    Attributes:
      max_new_tokens: Longest answer, in tokens.
      temperature: 0 is greedy.
      top_p: Sampling keeps the likeliest tokens that together have this probability; 1 is all.
      top_k: Sampling keeps so many of the likeliest tokens; 0 is all.
      repetition_penalty: Logits of tokens of the prompt or the answer so far are divided by it
        where positive and multiplied where negative, also when greedy; 1 is off.
      stop: Texts that end an answer; they are left out of its text, and the token that completed
        one is its last.
      ignore_eos: Whether the end tokens end nothing, to measure speed.
      seed: The same request and seed give the same answer.
      n: Independent answers to one request.
      json_schema: A JSON Schema as JSON text that every answer follows, unless it was cut; "" is
        none. The text counts as it is, for servers write properties in the order of the schema.
        OpenAI's own service takes objects with all properties required and
        `"additionalProperties": false` alone.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    seed: int = 0
    n: int = 1
    json_schema: str = ""

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        at_least = {
            "max_new_tokens": (self.max_new_tokens, 1),
            "temperature": (self.temperature, 0),
            "top_k": (self.top_k, 0),
            "seed": (self.seed, 0),
            "n": (self.n, 1),
        }
        for name, (value, smallest) in at_least.items():
            _require(value >= smallest, name, value, f">= {smallest}")
        _require(math.isfinite(self.temperature), "temperature", self.temperature, "finite")
        _require(self.top_k <= _LARGEST, "top_k", self.top_k, f"at most {_LARGEST}")
        _require(
            not isinstance(self.stop, str), "stop", repr(self.stop), "a tuple of texts, not one"
        )
        _require(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1")
        _require(
            0 < self.repetition_penalty < math.inf,
            *("repetition_penalty", self.repetition_penalty, "above 0 and finite"),
        )
        for text in self.stop:
            _require(bool(text), "stop", text, "texts of one character or more")
        if self.json_schema:
            shown = f"{self.json_schema!r:.80}"
            _require(
                _is_object(self.json_schema), "json_schema", shown, "a JSON object as text, or ''"
            )
            _require(not self.ignore_eos, "ignore_eos", True, "False beside a json_schema")

    def settings(self) -> dict[str, Any]:
        """The fields in JSON values, as files and keys record them.

        `json_schema` is there only where it is set: what was recorded before there was one stays
        as it is.
        """
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if name != "json_schema" or value}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One conversation to be continued.

    Attributes:
      messages: Canonical messages (`data/sources.py`); the assistant's turn is next.
      sampling: How.
      id: For error messages.
    """

    messages: Sequence[Mapping[str, Any]]
    sampling: SamplingParams
    id: str = ""

    def check_streamable(self) -> None:
        """Raises UserError where more than one answer is asked for."""
        if self.sampling.n != 1:
            raise errors.UserError(
                f"request {self.id!r}: n must be 1 where an answer is streamed, got "
                f"{self.sampling.n}"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Completion:
    """One answer.

    Attributes:
      text: Without special tokens and without a stop text.
      tokens: Ids as sampled, the stop token included; none where a server does not tell them.
      logprobs: log p of each under the raw logits, nats; none where a server does not tell them.
      finish_reason: "stop" if a stop token or text ended it, "length" if it was cut.
    """

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """Continuations of one conversation to be scored; it is read once for all of them.

    Attributes:
      messages: As of `Request`.
      continuations: What the assistant might say: a text, or the ids an engine sampled. A text
        gets no end token.
      id: For error messages.
    """

    messages: Sequence[Mapping[str, Any]]
    continuations: tuple[str | tuple[int, ...], ...]
    id: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """The log-probabilities of one continuation.

    Attributes:
      tokens: Its ids.
      logprobs: log p of each, given the conversation and those before it, nats.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Failure:
    """A request that got no answer.

    Attributes:
      reason: One line.
    """

    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delta:
    """What came since the last one.

    Attributes:
      text: May be empty, while a character or a stop text is not yet decided.
      tokens: As of `Completion`.
      logprobs: As of `Completion`.
      finish_reason: None until the last one.
    """

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason | None


def _is_object(text: str) -> bool:
    """Whether a text is a JSON object that can be sent on."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def _require(condition: bool, name: str, value: Any, allowed: str) -> None:
    if not condition:
        raise errors.UserError(f"{name} must be {allowed}, got {value}")


OnCompletions = Callable[[int, list[Completion] | Failure], object]
OnReply = Callable[[int, list[Completion] | Failure], Request | None]
OnScores = Callable[[int, list[Score] | Failure], object]


@runtime_checkable
class Generator(Protocol):
    """What answers requests."""

    def generate(
        self, requests: Sequence[Request], *, on_result: OnCompletions | None = None
    ) -> list[list[Completion]]:
        """Answers in the order of the requests, `sampling.n` of them each.

        Args:
          requests: May differ in everything.
          on_result: Called with a request's place and its answers as soon as they are there, in
            any order and from one thread at a time. With it, a request that cannot be served is
            a `Failure` there and an empty list in the end, and stops no other.

        Raises:
          UserError: Without `on_result`, if a request cannot be served; names it. With or
            without, if none can be any more.
        """
        ...


@runtime_checkable
class Converser(Protocol):
    """An engine that asks the next question of one conversation while others wait for replies."""

    def converse(self, requests: Sequence[Request], *, on_result: OnReply) -> None:
        """Asks the first questions of conversations, and those that follow from the replies.

        Args:
          requests: The first question of each.
          on_result: Called with a conversation's place and its reply, as `on_result` of
            `Generator.generate` is; what it returns is asked next, None ends the conversation.

        Raises:
          UserError: If no request can be served any more.
        """
        ...


class Used(NamedTuple):
    """What an engine has used since it was made.

    Attributes:
      cached: Answers that it found instead of making them.
      tokens_in: Of the prompts that it read; 0 where it is not told.
      tokens_out: Of the answers that it made; 0 where it is not told.
      cost: In the currency of its prices; 0 without prices.
    """

    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0

    def plus(self, prompt: int, answers: Sequence[Completion]) -> "Used":
        """With one more request.

        Args:
          prompt: Its tokens.
          answers: To it.
        """
        made = sum(len(answer.tokens) for answer in answers)
        return self._replace(tokens_in=self.tokens_in + prompt, tokens_out=self.tokens_out + made)


@runtime_checkable
class Metered(Protocol):
    """An engine that counts."""

    def used(self) -> Used:
        """All so far, with what is under way where that is known already."""
        ...


@runtime_checkable
class Engine(Generator, Protocol):
    """A text generator with everything that commands use."""

    def score(
        self, requests: Sequence[ScoreRequest], *, on_result: OnScores | None = None
    ) -> list[list[Score]]:
        """Log-probabilities in the order of the requests and of their continuations.

        Args:
          requests: May differ in everything.
          on_result: As of `generate`.

        Raises:
          UserError: If this engine cannot score, and as `generate` does.
        """
        ...

    def stream(self, request: Request) -> Iterator[Delta]:
        """One answer as it comes; `sampling.n` is 1.

        Args:
          request: What is asked.

        Raises:
          UserError: If it cannot be served.
        """
        ...

    def close(self) -> None:
        """Lets go of memory, processes and connections; nothing is asked afterwards."""
        ...
