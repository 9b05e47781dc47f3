# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Requests of the JAX engine: checked, encoded, sorted into few compiled sizes, and answered."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from lingshu_jax.common import errors, structs
from lingshu_jax.data import messages, packing, slots
from lingshu_jax.engines import protocol
from lingshu_jax.models import sizes

MIN_TOKENS, MIN_PATCHES, MIN_NEW = 128, 64, 16  # smallest compiled sizes

Result = TypeVar("Result")


class Size(NamedTuple):
    """What a compiled program reads at a time of each prompt."""

    tokens: int
    patches: int


@dataclasses.dataclass(frozen=True)
class Job:
    """A request to be continued.

    Attributes:
      place: Among the requests.
      encoded: Its prompt; pixels are still files.
      sampling: How it is decoded.
      size: Of the program that reads it.
    """

    place: int
    encoded: messages.Encoded
    sampling: protocol.SamplingParams
    size: Size


class Results(Generic[Result]):
    """What each request got, told as it comes."""

    def __init__(
        self,
        count: int,
        on_result: Callable[[int, list[Result] | protocol.Failure], object] | None,
    ):
        """Nothing is there yet.

        Args:
          count: Of the requests.
          on_result: As of `protocol.Generator.generate`.
        """
        self.lists: list[list[Result]] = [[] for _ in range(count)]
        self._on_result = on_result

    def put(self, place: int, result: list[Result]) -> None:
        """A request is answered."""
        self.lists[place] = result
        if self._on_result is not None:
            self._on_result(place, result)

    def fail(self, place: int, error: errors.UserError) -> None:
        """A request cannot be; raises where nobody is told."""
        if self._on_result is None:
            raise error
        self._on_result(place, protocol.Failure(str(error)))


class Desk:
    """Takes requests in."""

    def __init__(
        self, encoder: messages.Encoder, *, size: sizes.TextSize, max_images: int, is_exact: bool
    ):
        """Remembers the limits.

        Args:
          encoder: Tokenizer and image sizes.
          size: Of the text model.
          max_images: Images and videos of a request.
          is_exact: Whether four sizes are compiled an octave, instead of one: where computing is
            dear and compiling is not.
        """
        self._encoder, self._size = encoder, size
        self._max_images, self._is_exact = max_images, is_exact

    def job(self, place: int, request: protocol.Request) -> Job:
        """Checks and encodes a request.

        Args:
          place: Among the requests.
          request: The request.

        Raises:
          UserError: If it cannot be served; names it.
        """
        with errors_of(request.id):
            request.sampling.validate()
            check_free(request.sampling)
            encoded = self.encode(request.messages, request.id)
            self.check_context(encoded.num_tokens, request.sampling.max_new_tokens)
        return Job(place, encoded, request.sampling, self.size(encoded))

    def encode(self, conversation: Sequence[Mapping[str, Any]], id: str) -> messages.Encoded:
        """A conversation up to the open turn of the assistant.

        Args:
          conversation: Canonical messages.
          id: Of the request.

        Raises:
          UserError: If it is malformed, or has too many images.
        """
        encoded = self._encoder.encode(conversation, train=False, generation_prompt=True, id=id)
        count = len(encoded.media)
        if count > self._max_images:
            raise errors.UserError(
                f"has {count} images, allowed are at most {self._max_images} (max_images)"
            )
        return encoded

    def check_context(self, prompt: int, added: int) -> None:
        """Raises UserError where prompt and answer are longer than the model's context."""
        context = self._size.max_positions
        if prompt + added > context:
            raise errors.UserError(
                f"has {prompt} prompt tokens and may add {added}; the model's context is {context}"
            )

    def ids(self, continuation: str | Sequence[int]) -> Sequence[int]:
        """Ids of what the assistant might say; a text gets no end token.

        Args:
          continuation: Text or ids.

        Raises:
          UserError: If the model has no such ids.
        """
        if isinstance(continuation, str):
            return self._encoder.text_ids(continuation)
        for token in continuation:
            if not 0 <= token < self._size.vocab_size:
                raise errors.UserError(
                    f"ids of a continuation must be 0 to {self._size.vocab_size - 1}, got {token}"
                )
        return continuation

    def size(self, encoded: messages.Encoded) -> Size:
        """The smallest compiled size that holds a conversation."""
        geometry = self._encoder.geometry
        length = packing.length(encoded, geometry)
        patches = slots.slots_needed(length.windows) * geometry.slot_patches
        return Size(
            tokens=self._round_up(encoded.num_tokens, MIN_TOKENS),
            patches=self._round_up(patches, MIN_PATCHES),
        )

    def prompt_places(self, tokens: int) -> int:
        """Places of a compiled cache that hold the longest prompt.

        Args:
          tokens: Of that prompt.
        """
        return self._round_up(tokens, MIN_TOKENS)

    def row(self, encoded: messages.Encoded, size: Size) -> dict[str, np.ndarray]:
        """One conversation as a row, its images decoded.

        Args:
          encoded: The conversation.
          size: Of the row.

        Raises:
          UserError: If an image cannot be read; names the request.
        """
        with errors_of(encoded.id):
            return packing.prompt_row(encoded, packing.Budget(*size), **self._row_options())

    def stack(
        self, rows: Sequence[Mapping[str, np.ndarray]], size: Size, count: int
    ) -> structs.Batch:
        """Rows of one size as a batch; those that are missing are empty.

        Args:
          rows: From `row`.
          size: Of each.
          count: Rows of the batch.
        """
        empty = packing.assemble([], packing.Budget(*size), **self._row_options())
        filled = [*rows, *[empty] * (count - len(rows))]
        return structs.Batch.from_arrays(
            {name: np.stack([row[name] for row in filled]) for name in empty}
        )

    def _row_options(self) -> dict[str, Any]:
        return {"geometry": self._encoder.geometry, "pad_id": self._encoder.special.pad}

    def _round_up(self, value: int, smallest: int) -> int:
        whole = power_of_two(value, smallest)
        step = max(MIN_PATCHES, whole // 8) if self._is_exact else whole
        return max(smallest, -(-value // step) * step)


@contextlib.contextmanager
def errors_of(id: str) -> Iterator[None]:
    """Errors inside name the request.

    Args:
      id: Of the request.
    """
    try:
        yield
    except errors.UserError as error:
        reason = str(error).removeprefix(f"row {id!r}: ")  # what the data layer calls it
        raise errors.UserError(f"request {id!r}: {reason}") from error


def check_free(sampling: protocol.SamplingParams) -> None:
    """Raises UserError where an answer is to follow a schema."""
    if sampling.json_schema:
        raise errors.UserError(
            "json_schema means nothing to the JAX engine, which follows no schema; engines vllm "
            "and openai do"
        )


def power_of_two(value: int, smallest: int) -> int:
    """The next power of two.

    Args:
      value: What it must reach.
      smallest: What it is at least.
    """
    return max(smallest, 1 << (max(value, 1) - 1).bit_length())
