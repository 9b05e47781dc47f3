# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Text as its tokens come, and the texts that end it.

A token may hold a part of a character, and a stop text may span tokens: what is not yet decided is
held back.
"""

from collections.abc import Callable, Sequence

UNDECIDED = "\ufffd"  # what decoders write for bytes that are no character, or not yet


class Reader:
    """One answer's text.

    The concatenation of everything that `push` and `finish` return is the decoded whole, cut
    before the first stop text.

    Attributes:
      is_stopped: Whether a stop text has ended it.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str] = ()):
        """Nothing is read yet.

        Args:
          decode: Ids to text; of a byte-level tokenizer, so that the texts of two parts that each
            end with a whole character are that of both.
          stops: Texts that end the answer.
        """
        self.is_stopped = False
        self._decode, self._stops = decode, tuple(stops)
        self._tokens: list[int] = []  # since the last whole character
        self._held = ""  # before them, where a stop text may have begun

    def push(self, token: int) -> str:
        """Reads one more token.

        Args:
          token: The newest.

        Returns:
          Text that is now certain; with `is_stopped` the last.
        """
        self._tokens.append(token)
        text = self._decode(self._tokens)
        whole = text.rstrip(UNDECIDED)
        seen = self._held + whole
        places = [place for place in map(seen.find, self._stops) if place >= 0]
        if places:
            self.is_stopped = True
            return seen[: min(places)]
        if whole != text:
            return ""
        self._tokens.clear()
        certain = len(seen) - self._undecided(seen)
        self._held = seen[certain:]
        return seen[:certain]

    def finish(self) -> str:
        """The rest, where no stop text ended it."""
        return "" if self.is_stopped else self._held + self._decode(self._tokens)

    def _undecided(self, text: str) -> int:
        """Characters at the end of a text with which a stop text may begin."""
        longest = max(map(len, self._stops), default=0)
        for length in range(min(longest - 1, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
