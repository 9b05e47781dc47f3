# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Questions to a server, through the `openai` client; every try is paced and booked.

The client repeats what failed: after a 408, 409, 429 or 5xx, a time-out, or a connection that
broke, with the pause that the server names or growing ones with jitter. What it sends goes through
`_Transport`, which sees each try.
"""

import asyncio
import contextvars
import dataclasses
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai

from lingshu_jax.common import errors
from lingshu_jax.engines import ledger, openai_answers, openai_options, openai_pace

_PATH = "/chat/completions"
_CONNECT_SECONDS = 10.0
_FIRST_CONCURRENCY = 8
# Connections in a row that fail before a server that never answered counts as dead.
_DEAD_TRIES = 3
_TOO_MANY = 429
_SHOWN = 400  # characters of what a server says
# What a second request would be told as well: wrong key, no money, no such model or address.
_NO_KEY = 401
_FINAL = (_NO_KEY, 402, 404)
_FINAL_CODES = ("insufficient_quota",)
_UNREACHED = (httpx2.ConnectError, httpx2.ConnectTimeout)
# On lower levels they show headers, and what a server says in them.
for _name in ("openai", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclasses.dataclass
class Ask:
    """A question while it is being asked.

    Attributes:
      id: As users know it.
      worst: The most that a try may use.
      tries: How often it was sent.
      attempt: The ledger's name of the last try, until `settle`.
      heard: How many responses of any kind had come when it began.
    """

    id: str
    worst: ledger.Usage
    tries: int = 0
    attempt: str = ""
    heard: int = 0


_asking: contextvars.ContextVar[Ask] = contextvars.ContextVar("asking")


class Unservable(errors.UserError):
    """This server can answer no request any more."""


class _Stop(openai.OpenAIError):
    """No try may follow; the client lets it pass, as all errors of its own kind."""


class _BudgetStop(_Stop):
    """The budget does not hold another try."""


class _DeadStop(_Stop):
    """Nobody is there."""


class Client:
    """One server."""

    def __init__(self, options: openai_options.Options, book: ledger.Ledger):
        """Connects to nothing yet.

        Args:
          options: Valid.
          book: What is sent is booked here.

        Raises:
          UserError: If there is no key, or the address is none.
        """
        key = openai_options.read_key(options)
        self.secrets = openai_options.read_secrets(key)
        self._options, self._book = options, book
        smallest, largest = options.min_concurrency, options.max_concurrency
        first = min(max(_FIRST_CONCURRENCY, smallest), largest)
        self.pace = openai_pace.Pace(
            openai_pace.Aimd(first=first, smallest=smallest, largest=largest),
            requests_per_minute=options.requests_per_minute,
            tokens_per_minute=options.tokens_per_minute,
        )
        self._transport = _Transport(self.pace, book, options.timeout_seconds)
        try:
            self._client = openai.AsyncOpenAI(
                api_key=key,
                base_url=options.base_url or None,
                max_retries=options.max_retries,
                http_client=self._transport,
            )
        except httpx2.InvalidURL as error:
            raise errors.UserError(f"base_url is no address ({type(error).__name__})") from None
        self.url = str(self._client.base_url)

    async def ask(self, ask: Ask, body: dict[str, Any]) -> dict[str, Any]:
        """Asks for a chat completion.

        Args:
          ask: `settle` it afterwards.
          body: Of the request.

        Returns:
          The server's JSON object without secrets.

        Raises:
          UserError: If the request cannot be served, `Unservable` if none can any more. What was
            sent is settled then.
        """
        self._begin(ask)
        try:
            response = await self._client.post(_PATH, cast_to=httpx2.Response, body=body)
            # As a text first: what makes no sense is shown, and a part of a key is not found.
            return self._hide(openai_answers.read(self.secrets.hide(response.text)))
        except openai_answers.BadAnswer as error:
            failure = error
        except openai.OpenAIError as error:
            failure = self._explain(error, ask)
        await self.settle(ask, "lost")
        # Not inside `except`: the client's errors hold the headers and the server's words.
        raise failure

    async def stream(self, ask: Ask, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Asks for a chat completion in pieces.

        Args:
          ask: `settle` it afterwards.
          body: Of the request.

        Yields:
          The server's JSON objects without secrets.

        Raises:
          UserError: As of `ask`, also if the server breaks off.
        """
        self._begin(ask)
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        try:
            pieces = await self._client.post(
                _PATH, cast_to=object, body=body, stream=True, stream_cls=openai.AsyncStream[object]
            )
            async with pieces:
                async for piece in pieces:
                    yield openai_answers.whole(self._hide(piece))
            return
        except openai.OpenAIError as error:
            failure = self._explain(error, ask)
        except openai_answers.BadAnswer as error:
            failure = error
        except (ValueError, RecursionError):
            failure = openai_answers.BadAnswer("a piece of the server's answer is not JSON")
        raise failure

    async def settle(
        self, ask: Ask, state: ledger.State, usage: ledger.Usage | None = None
    ) -> None:
        """Books how the last try of a question ended, if that is open.

        Args:
          ask: The question.
          state: How.
          usage: What the server says.
        """
        await self._transport.settle(ask, state, usage)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    def _begin(self, ask: Ask) -> None:
        ask.heard = self._transport.heard
        _asking.set(ask)

    def _explain(self, error: openai.OpenAIError, ask: Ask) -> errors.UserError:
        """One line for what the client raises."""
        tries = f"after {ask.tries} tries" if ask.tries > 1 else ""
        if isinstance(error, openai.APIStatusError):
            line = self._line([f"status {error.status_code}", tries, self._message(error)])
            if error.status_code == _NO_KEY:
                line += f" (the key is in {self._options.key_variable})"
            if error.status_code in _FINAL or error.code in _FINAL_CODES:
                return Unservable(f"{self.url}: {line}")
            return errors.UserError(line)
        if isinstance(error, _BudgetStop):
            return errors.UserError(str(error))
        line = self._line([_cause(error), tries])
        is_unreached = isinstance(error.__cause__, _UNREACHED)
        if isinstance(error, _DeadStop) or (is_unreached and self._transport.heard == ask.heard):
            return Unservable(f"no server answers at {self.url}: {line}")
        if isinstance(error, openai.APITimeoutError) and not is_unreached:
            line = self._line(
                [f"no answer within {self._options.timeout_seconds:g} seconds", tries]
            )
            return errors.UserError(line)
        return errors.UserError(f"the connection broke: {line}")

    def _message(self, error: openai.APIStatusError) -> str:
        """What the server says: the field for it, else the beginning of the body."""
        try:
            body = self.secrets.hide(error.body)
            text = body.get("message", body) if isinstance(body, dict) else body
            return str(text or "")[:_SHOWN]
        except RecursionError:
            return ""

    def _hide(self, value: Any) -> Any:
        """A JSON value without secrets."""
        try:
            return self.secrets.hide(value)
        except RecursionError:
            reason = "the server's answer is nested too deeply"
        raise openai_answers.BadAnswer(reason)

    def _line(self, parts: list[str]) -> str:
        return self.secrets.hide(": ".join(" ".join(part.split()) for part in parts if part))


class _Transport(openai.DefaultAsyncHttpxClient):
    """Sends what the client wants sent, one try after the other.

    Attributes:
      heard: Responses so far, of any status.
    """

    def __init__(self, pace: openai_pace.Pace, book: ledger.Ledger, seconds: float):
        connect = min(_CONNECT_SECONDS, seconds)
        super().__init__(timeout=httpx2.Timeout(seconds, connect=connect, pool=None))
        self.heard = 0
        self._unreached, self._failure = 0, ""  # connections that failed, and how the last one did
        self._pace, self._book, self._seconds = pace, book, seconds
        self._settled = asyncio.Condition()

    async def send(self, request: httpx2.Request, **kwargs: Any) -> httpx2.Response:
        """Waits for its turn and for the budget, and books how the try ends."""
        ask = _asking.get()
        async with self._pace.turn() as begun:
            if not self.heard and self._unreached >= _DEAD_TRIES:
                raise _DeadStop(self._failure)
            ask.attempt = await self._reserve(ask)
            ask.tries += 1
            state: ledger.State | None = "lost"
            is_good = False
            try:
                # The client's own time-outs are for one read; a trickle passes them.
                async with asyncio.timeout(self._seconds):
                    response = await super().send(request, **kwargs)
                self.heard += 1
                is_good = response.status_code != _TOO_MANY and response.status_code < 500
                # A good answer is settled by who reads it.
                state = "refused" if response.is_error else None
                return response
            except TimeoutError as error:
                raise httpx2.ReadTimeout("no answer in time", request=request) from error
            except _UNREACHED as error:
                self._unreached, self._failure = self._unreached + 1, _describe(error)
                state = "refused"
                raise
            finally:
                self._pace.done(begun, is_good=is_good)
                if state is not None:
                    await self.settle(ask, state)

    async def settle(
        self, ask: Ask, state: ledger.State, usage: ledger.Usage | None = None
    ) -> None:
        """Books how a try ended; those that wait for the budget look again."""
        self._book.settle(ask.attempt, state, usage)
        self._pace.used(usage.tokens if usage else 0)
        async with self._settled:
            self._settled.notify_all()

    async def _reserve(self, ask: Ask) -> str:
        """Waits while what others leave over may be enough."""
        async with self._settled:
            while refusal := self._book.refusal(ask.worst):
                if not self._book.is_open:
                    self._book.stop(refusal)
                    raise _BudgetStop(refusal)
                await self._settled.wait()
            return self._book.sent(ask.id, ask.worst)


def _cause(error: openai.OpenAIError) -> str:
    cause = error.__cause__
    return str(error) if cause is None else _describe(cause)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__} ({error})"
