# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which parts of a conversation are trained, decided from its messages, never from its tokens.

Only assistant messages are trained, and none that says `"loss": False`. Of the others:

    all        every one: its text, `<|im_end|>` and the newline after it
    last       the conversation's last one alone, in the same way
    reasoning  of every one the reasoning alone: from its first `<think>` to the first `</think>`
               after that, both included, if more than blanks stand between them. Neither the
               answer behind it nor `<|im_end|>` is trained, and nothing of a message without one

A conversation in which nothing is trained is refused by `require`. The two tags are text like any
other. A token that holds a character of the reasoning and one beside it is trained.

Axes: N tokens of a text.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float32

from lingshu_jax.common import errors

TrainOn = Literal["all", "last", "reasoning"]
TRAIN_ON: tuple[TrainOn, ...] = get_args(TrainOn)
REASONING = ("<think>", "</think>")


class Target(NamedTuple):
    """What is trained of a message.

    Attributes:
      start: First character of its text; media are not counted.
      stop: Behind the last; None is the whole text, and the end of the turn with it.
    """

    start: int
    stop: int | None

    @property
    def is_whole(self) -> bool:
        """Whether the whole message is meant."""
        return self.stop is None

    def weights(self, places: Sequence[tuple[int, int]], *, offset: int) -> list[float]:
        """Loss weights of tokens: 1 for those that hold a character of the target.

        Args:
          places: First character and the one behind the last of each token, in its piece of text.
          offset: Where the piece starts in the text of the message.
        """
        stop = math.inf if self.stop is None else self.stop - offset
        return [float(last > self.start - offset and first < stop) for first, last in places]


WHOLE = Target(0, None)


def find(messages: Sequence[Mapping[str, Any]], train_on: TrainOn) -> list[Target | None]:
    """The target of each message; None where nothing of it is trained.

    Args:
      messages: Canonical messages.
      train_on: As above.
    """
    places = [i for i, message in enumerate(messages) if message.get("role") == "assistant"]
    places = places[-1:] if train_on == "last" else places
    found: list[Target | None] = [None] * len(messages)
    for place in places:
        if messages[place].get("loss", True):
            is_whole = train_on != "reasoning"
            found[place] = WHOLE if is_whole else _reasoning(text_of(messages[place]))
    return found


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, its media left out."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def require(loss_weights: Float32[np.ndarray, " N"], train_on: TrainOn) -> None:
    """Refuses a conversation in which no token is trained.

    Args:
      loss_weights: Of its tokens.
      train_on: What was asked for.

    Raises:
      UserError: If all are 0.
    """
    if loss_weights.any():
        return
    which = {
        "all": "no assistant message that is to be trained",
        "last": "no last assistant message that is to be trained",
        "reasoning": f"no assistant message with a text between {' and '.join(REASONING)}",
    }
    raise errors.UserError(f"nothing to train on: {which[train_on]}")


def _reasoning(text: str) -> Target | None:
    """The reasoning of an answer."""
    opening, closing = REASONING
    start = text.find(opening)
    inside = start + len(opening)
    stop = text.find(closing, inside) if start >= 0 else -1
    if stop < 0 or not text[inside:stop].strip():
        return None
    return Target(start, stop + len(closing))
