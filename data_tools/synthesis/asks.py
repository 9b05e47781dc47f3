# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a recipe of synthesis is: a generator that asks a model, and drafts of rows in the end.

A recipe writes about one seed as one reads it: `reply = yield Ask(...)` asks, and what comes back
is a reply that has been validated. Everything else (asking many at a time, keeping replies, asking
again, provenance) is done by `desk.py`. A generator is run again from its beginning when a run goes
on: the same seed gives the same questions.
"""

import dataclasses
import functools
import hashlib
import json
import string
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import pydantic

from data_tools import rows as rows_lib
from data_tools.synthesis import seeds as seeds_lib

_DIGEST = 12  # hexadecimal digits


class Reply(pydantic.BaseModel):
    """A reply in JSON; recipes say its fields. Others than those are refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A text with places for what is asked about: `$name`, as of `string.Template`.

    Attributes:
      name: In provenance.
      text: With its places.
    """

    name: str
    text: str

    @property
    def digest(self) -> str:
        """Another one where a letter is another."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:_DIGEST]

    def fill(self, **values: str) -> str:
        """The text with its places filled.

        Args:
          **values: One for each place.

        Raises:
          KeyError: If one is missing.
        """
        return string.Template(self.text).substitute(values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ask:
    """A question to the model.

    Attributes:
      prompt: It was made from; in the provenance of the row.
      text: The prompt, filled.
      media: Pictures that it comes after.
      reply: What the answer has to be; its schema is sent along and checked.
      example: A reply as it may look, for estimates.
      max_new_tokens: Longest reply, in tokens.
    """

    prompt: Prompt
    text: str
    media: tuple[rows_lib.Medium, ...] = ()
    reply: type[Reply]
    example: Reply
    max_new_tokens: int = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draft:
    """A row as a recipe leaves it.

    Attributes:
      kind: "caption", "vqa", "reasoning", "ocr" or "dialogue".
      messages: As of `rows.Row`: a media part holds its place in `media`.
      media: Its pictures.
      meta: What can be checked, as `answer` and `options`.
      checks: What was looked at, and found, by name; in the provenance.
    """

    kind: str
    messages: tuple[dict[str, Any], ...]
    media: tuple[rows_lib.Medium, ...] = ()
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    checks: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Loss:
    """A draft or a seed that gives no row.

    Attributes:
      reason: A few words, by which losses are counted.
      detail: What exactly.
    """

    reason: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Written:
    """What became of a seed.

    Attributes:
      drafts: Rows.
      losses: What was made and thrown out again, or why nothing was made.
    """

    drafts: tuple[Draft, ...] = ()
    losses: tuple[Loss, ...] = ()


class Lost(Exception):
    """Ends the writing about a seed."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason)
        self.loss = Loss(reason, detail)


Writing: TypeAlias = Generator[Ask, Any, Written]


class Recipe(Protocol):
    """How rows are written about seeds; a plain object, the same for equal settings."""

    @property
    def name(self) -> str:
        """Of its files: small letters and _."""
        ...

    @property
    def version(self) -> int:
        """Another one where rows come out differently for equal replies."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """What decides the outcome beside prompts and replies, in JSON values."""
        ...

    def write(self, seed: seeds_lib.Seed, draw: int) -> Writing:
        """Writes about a seed.

        Args:
          seed: What is known.
          draw: A number of 63 bits that is the seed's own: the one source of chance.

        Returns:
          The rows, by way of a generator that yields questions; raises `Lost` where there is
          nothing to be written.
        """
        ...


@functools.cache
def schema(reply: type[Reply]) -> str:
    """The JSON Schema of a reply as services take it: every field required, in one line.

    Args:
      reply: Its class.
    """
    return json.dumps(_strict(reply.model_json_schema()))


def picture(place: int) -> dict[str, Any]:
    """The part of a message that holds a picture.

    Args:
      place: In the media of the draft.
    """
    return {"type": "image", "image": place}


def text(said: str) -> dict[str, Any]:
    """The part of a message that holds a text.

    Args:
      said: The text.
    """
    return {"type": "text", "text": said}


def turn(role: str, *parts: Any) -> dict[str, Any]:
    """A message.

    Args:
      role: "user" or "assistant".
      *parts: From `picture` and `text`.
    """
    return {"role": role, "content": [*parts]}


def listed(options: Sequence[str]) -> str:
    """Options as lines: A. one, B. another.

    Args:
      options: Without their letters; at most 26.
    """
    return "\n".join(f"{string.ascii_uppercase[i]}. {one}" for i, one in enumerate(options))


def _strict(value: Any) -> Any:
    """With all fields required; defaults and titles mean nothing to a server."""
    if isinstance(value, list):
        return [_strict(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {k: _strict(v) for k, v in value.items() if k not in ("title", "default")}
    if isinstance(value.get("properties"), dict):
        kept["properties"] = {k: _strict(v) for k, v in value["properties"].items()}
        kept["required"] = list(kept["properties"])
    return kept
