# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of a row that does not fit: dropped, its images shrunk, or earlier turns cut.

Nothing is ever cut inside an image, a turn or the system message, and every change is told.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from lingshu_jax.common import errors
from lingshu_jax.data import messages, packing, sources, targets

Policy = Literal["drop", "shrink_images", "cut_turns"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
SHRINK = 0.9  # of the area, again and again

Messages = Sequence[Mapping[str, Any]]


class Fitted(NamedTuple):
    """A conversation that fits into a row.

    Attributes:
      encoded: Ready to be packed.
      change: What was done to it, `kind: details`; "" is nothing.
    """

    encoded: messages.Encoded
    change: str = ""


def encode(
    encoder: messages.Encoder,
    example: sources.Example,
    *,
    budget: packing.Budget,
    policy: Policy,
    source_id: int = 0,
) -> Fitted:
    """Encodes an example for training.

    `shrink_images` lowers the largest area of all its images by a tenth again and again, down
    to one cell (28 x 28 pixels) at the least. `cut_turns` leaves out the earliest questions with
    their answers, as few as possible; the system message and the last question stay. If the
    first question that stays shows no image, the images that were shown last before it are put
    in front of it, for it is about them.

    Args:
      encoder: Tokenizer and image sizes.
      example: Its messages, and which of its tokens are trained.
      budget: What a row holds.
      policy: What is done with one that does not fit.
      source_id: Index of its source.

    Returns:
      The conversation, and what was done.

    Raises:
      UserError: If it does not encode, has nothing to train on, or does not fit all the same.
    """

    def attempt(tried: Messages) -> messages.Encoded:
        return encoder.encode(tried, train_on=example.train_on, id=example.id, source_id=source_id)

    conversation = example.messages
    whole = attempt(conversation)
    targets.require(whole.loss_weights, example.train_on)
    if _fits(whole, budget, encoder):
        return Fitted(whole)
    if policy == "shrink_images" and whole.media:
        limit = float(encoder.max_pixels)
        while limit > encoder.geometry.factor**2:
            limit = max(limit * SHRINK, encoder.geometry.factor**2)
            smaller = attempt(_shrunk(conversation, int(limit), encoder))
            if _fits(smaller, budget, encoder):
                return Fitted(smaller, f"images shrunk: to at most {int(limit)} pixels each")
    if policy == "cut_turns":
        starts = _questions(conversation)
        for number, start in enumerate(starts[1:], start=1):
            shorter = attempt(_cut(conversation, starts[0], start))
            if shorter.loss_weights.any() and _fits(shorter, budget, encoder):
                return Fitted(shorter, f"earlier turns cut: {number} of {len(starts)} questions")
    raise errors.UserError(
        f"does not fit into a row of {budget.tokens} tokens"
        f"{_patches(budget, encoder)}: it has {whole.num_tokens} and {whole.num_patches} patches"
        "; a longer data.tokens_per_row or data.too_long would keep it"
    )


def _fits(encoded: messages.Encoded, budget: packing.Budget, encoder: messages.Encoder) -> bool:
    length = packing.length(encoded, encoder.geometry)
    return packing.fits(length, budget, encoder.geometry)


def _patches(budget: packing.Budget, encoder: messages.Encoder) -> str:
    """The patches of a row, where they can run out at all."""
    endless = packing.token_budget(budget.tokens, encoder.geometry).patches
    return f" and {budget.patches} patches" if budget.patches < endless else ""


def _shrunk(conversation: Messages, limit: int, encoder: messages.Encoder) -> Messages:
    """The conversation with a lower limit on the area of each image."""

    def limits(part: Mapping[str, Any]) -> dict[str, int]:
        smallest, largest = (
            min(part.get(name, getattr(encoder, name)), limit)
            for name in ("min_pixels", "max_pixels")
        )
        return {"min_pixels": smallest, "max_pixels": largest}

    return [
        {
            **message,
            "content": [
                part if part["type"] == "text" else {**part, **limits(part)}
                for part in _parts(message)
            ],
        }
        for message in conversation
    ]


def _questions(conversation: Messages) -> list[int]:
    """Where questions begin: messages of the user that do not follow another of his."""
    roles = [message["role"] for message in conversation]
    return [i for i, role in enumerate(roles) if role == "user" and roles[i - 1 : i] != ["user"]]


def _cut(conversation: Messages, first: int, start: int) -> Messages:
    """The conversation without its messages from `first` to `start`."""
    cut, left = conversation[first:start], list(conversation[start:])
    asked = itertools.takewhile(lambda message: message["role"] == "user", left)
    if not any(map(_images, asked)):
        shown = next(filter(None, map(_images, reversed(cut))), [])
        left[0] = {**left[0], "content": [*shown, *_parts(left[0])]}
    system = [message for message in cut if message["role"] == "system"]
    return [*conversation[:first], *system, *left]


def _images(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [part for part in _parts(message) if part["type"] != "text"]


def _parts(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
