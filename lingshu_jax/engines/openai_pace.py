# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How fast a server is asked: as many requests at a time as it bears, and what its rates allow."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiolimiter
import anyio

_SECONDS = 60.0


class Aimd:
    """A number of requests at a time: additive increase, multiplicative decrease.

    A round of good answers doubles it until the first bad one, and raises it by one after that. A
    bad one halves it, unless its request was begun before the last halving: what fails together is
    one piece of news.

    Source: Chiu and Jain, Computer Networks and ISDN Systems 17 (1989); RFC 5681, section 3.1 (with
    its slow start).
    """

    def __init__(self, *, first: int, smallest: int, largest: int):
        """Begins.

        Args:
          first: Requests at a time.
          smallest: Never fewer.
          largest: Never more.
        """
        assert 1 <= smallest <= first <= largest
        self._limit, self._smallest, self._largest = float(first), smallest, largest
        self._halvings = 0

    @property
    def limit(self) -> int:
        """Requests at a time."""
        return int(self._limit)

    def begin(self) -> int:
        """What `bad` is told of a request that begins now."""
        return self._halvings

    def good(self) -> None:
        """An answer came, whatever it says."""
        more = 1 / self._limit if self._halvings else 1.0
        self._limit = min(self._limit + more, self._largest)

    def bad(self, begun: int) -> None:
        """The server had too much to do, or nothing came from it.

        Args:
          begun: From `begin`, when the request began.
        """
        if begun == self._halvings:
            self._limit = max(self._limit / 2, self._smallest)
            self._halvings += 1


class Pace:
    """Makes requests wait for their turn."""

    def __init__(
        self, aimd: Aimd, *, requests_per_minute: float = 0.0, tokens_per_minute: float = 0.0
    ):
        """Takes the limits; 0 is none.

        Args:
          aimd: Requests at a time.
          requests_per_minute: Sent, repetitions included.
          tokens_per_minute: Of prompts and answers, as servers report them.
        """
        self.aimd = aimd
        self._owed = 0.0  # tokens that the rate has not made up for
        self._line = asyncio.Lock()  # nobody passes who waits for a rate
        self._places = anyio.CapacityLimiter(aimd.limit)
        self._requests = self._tokens = None
        # Evenly spread: a bucket that holds a minute would let two minutes' worth out in one.
        if requests_per_minute:
            self._requests = aiolimiter.AsyncLimiter(1, _SECONDS / requests_per_minute)
        if tokens_per_minute:
            self._tokens = aiolimiter.AsyncLimiter(tokens_per_minute / _SECONDS, 1)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[int]:
        """Waits for a place and the rate; lends what `done` is told."""
        async with self._places:
            async with self._line:
                await self._make_up()
                if self._requests is not None:
                    await self._requests.acquire()
            yield self.aimd.begin()

    def done(self, begun: int, *, is_good: bool) -> None:
        """A request has ended, well or badly.

        Args:
          begun: From `turn`.
          is_good: Whether the server bore it.
        """
        if is_good:
            self.aimd.good()
        else:
            self.aimd.bad(begun)
        self._places.total_tokens = self.aimd.limit

    def used(self, tokens: int) -> None:
        """The next request waits until the rate has made up for these tokens.

        Args:
          tokens: As the server reports them; only then are they known.
        """
        self._owed += tokens if self._tokens is not None else 0

    async def _make_up(self) -> None:
        while self._tokens is not None and self._owed > 0:
            portion = min(self._owed, self._tokens.max_rate)
            await self._tokens.acquire(portion)
            self._owed -= portion
