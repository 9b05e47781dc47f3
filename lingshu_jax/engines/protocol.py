# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What every text generator is asked and what it answers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from lingshu_jax.common import errors

FinishReason = Literal["stop", "length"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How to decode; every field is set explicitly, nothing is inherited from a checkpoint.

    Attributes:
      max_new_tokens: Longest answer, in tokens.
      temperature: 0 is greedy.
      seed: The same request and seed give the same answer.
      n: Independent answers to one request.
    """

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    n: int = 1

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        if self.max_new_tokens < 1:
            raise errors.UserError(f"max_new_tokens must be >= 1, got {self.max_new_tokens}")
        if self.temperature < 0:
            raise errors.UserError(f"temperature must be >= 0, got {self.temperature}")
        if self.seed < 0:
            raise errors.UserError(f"seed must be >= 0, got {self.seed}")
        if self.n < 1:
            raise errors.UserError(f"n must be >= 1, got {self.n}")


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Completion:
    """One answer.

    Attributes:
      text: Without special tokens.
      tokens: Ids as sampled, the stop token included.
      logprobs: log p of each under the raw logits, nats.
      finish_reason: "stop" if a stop token ended it, "length" if it was cut.
    """

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason


@runtime_checkable
class Engine(Protocol):
    """A text generator."""

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Answers in the order of the requests, `sampling.n` of them each.

        Args:
          requests: May differ in everything.

        Raises:
          UserError: If a request cannot be served; names it.
        """
        ...
