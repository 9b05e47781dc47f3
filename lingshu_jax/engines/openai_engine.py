# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Any OpenAI-compatible server as a text generator.

Requests are asked at the same time, as many as the server bears. An answer is kept in the cache
before it is handed on, so that nothing is paid twice. It works in a thread of its own, beside
whatever event loop the caller has.
"""

import asyncio
import contextlib
import functools
import json
import queue
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import anyio.to_thread
from absl import logging
from anyio import from_thread

from lingshu_jax.common import errors
from lingshu_jax.engines import (
    answer_cache,
    ledger,
    openai_answers,
    openai_client,
    openai_options,
    openai_requests,
    openai_score,
    protocol,
)

Asked = TypeVar("Asked", protocol.Request, protocol.ScoreRequest)
Answered = TypeVar("Answered", protocol.Completion, protocol.Score)
Read = TypeVar("Read")
# Results as they come, None after the last one.
_Ready: TypeAlias = queue.SimpleQueue[tuple[int, list[Answered] | protocol.Failure] | None]


class OpenAIEngine:
    """Asks one model of one server; `close` it."""

    def __init__(self, model: str, *, options: openai_options.Options):
        """Reads the key from the environment; nothing is asked yet.

        Args:
          model: Its name at the server.
          options: How the server is asked.

        Raises:
          UserError: If an option is wrong or there is no key.
        """
        if not model:
            raise errors.UserError("model must be the server's name of a model, got ''")
        options.validate()
        self._model, self._options = model, options
        with contextlib.ExitStack() as stack:
            self._book = ledger.Ledger(options.ledger_file, options.terms, model=model)
            stack.callback(self._book.close)
            self._client = openai_client.Client(options, self._book)
            self._cache = (
                answer_cache.AnswerCache(options.cache_folder) if options.cache_folder else None
            )
            self._portal = stack.enter_context(from_thread.start_blocking_portal())
            stack.callback(self._portal.call, self._client.close)
            # Also for who forgets it: at the very end of a process the thread can end no more.
            self._close = weakref.finalize(self, stack.pop_all().close)

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._client.url

    def generate(
        self,
        requests: Sequence[protocol.Request],
        *,
        on_result: protocol.OnCompletions | None = None,
    ) -> list[list[protocol.Completion]]:
        """Answers in the order of the requests, `sampling.n` of them each.

        Args:
          requests: May differ in everything.
          on_result: As of `protocol.Generator`; called from the thread of the caller.

        Raises:
          UserError: As of `protocol.Generator`. What is under way then is waited for and kept in
            the cache.
        """
        return self._serve(requests, self._complete, on_result)

    def converse(
        self, requests: Sequence[protocol.Request], *, on_result: protocol.OnReply
    ) -> None:
        """As of `protocol.Converser`.

        Args:
          requests: First questions.
          on_result: Called from the thread of the caller.

        Raises:
          UserError: As of `generate`.
        """
        ready: _Ready[protocol.Completion] = queue.SimpleQueue()
        talk = _Talk(requests, self._complete, ready.put)
        with self._working(talk, ready) as results:
            for place, result in results:
                talk.go_on(place, on_result(place, result))

    def score(
        self,
        requests: Sequence[protocol.ScoreRequest],
        *,
        on_result: protocol.OnScores | None = None,
    ) -> list[list[protocol.Score]]:
        """Log-probabilities of texts, from servers of dialect "vllm".

        Args:
          requests: With continuations that are texts; each is a request to the server.
          on_result: As of `protocol.Engine`.

        Raises:
          UserError: If the dialect has no word for it, and as of `protocol.Engine`.
        """
        if self._options.dialect != "vllm":
            raise errors.UserError(
                f"a server of dialect {self._options.dialect!r} cannot score; one of 'vllm' can"
            )
        return self._serve(requests, self._score, on_result)

    def stream(self, request: protocol.Request) -> Iterator[protocol.Delta]:
        """One answer as it comes; the cache is not asked, and keeps nothing.

        Args:
          request: With one sample.

        Raises:
          UserError: If it cannot be served, or breaks off.
        """
        request.check_streamable()
        ready: queue.SimpleQueue[protocol.Delta | None] = queue.SimpleQueue()

        async def produce() -> None:
            async for delta in self._deltas(request):
                ready.put(delta)

        future = self._portal.start_task_soon(produce)
        future.add_done_callback(lambda _: ready.put(None))
        try:
            while (delta := ready.get()) is not None:
                yield delta
            future.result()
        except errors.UserError as error:
            raise errors.UserError(f"request {request.id!r}: {error}") from None
        finally:
            future.cancel()

    def used(self) -> protocol.Used:
        """As of `protocol.Metered`: what servers say, with the prices of the options."""
        tokens, cost = self._book.ours
        return protocol.Used(
            cached=self._book.counts["cached"],
            tokens_in=tokens.tokens_in,
            tokens_out=tokens.tokens_out,
            cost=cost,
        )

    def summary(self) -> str:
        """One line: what was asked, what came from the cache, tokens, cost."""
        return self._book.summary()

    def close(self) -> None:
        """Closes connections and files, and logs the summary."""
        logging.info("%s", self.summary())
        self._close()

    def _serve(
        self,
        requests: Sequence[Asked],
        answer: Callable[[Asked], Awaitable[list[Answered]]],
        on_result: Callable[[int, list[Answered] | protocol.Failure], object] | None,
    ) -> list[list[Answered]]:
        """Hands out what the other thread answers."""
        found: list[list[Answered]] = [[] for _ in requests]
        ready: _Ready[Answered] = queue.SimpleQueue()
        crew = _Crew(requests, answer, ready.put, is_strict=on_result is None)
        refused = None
        with self._working(crew, ready) as results:
            for place, result in results:
                if not isinstance(result, protocol.Failure):
                    found[place] = result
                elif refused is None:
                    refused = result.reason
                if on_result is not None:
                    on_result(place, result)
        if refused is not None and on_result is None:
            raise errors.UserError(refused)
        return found

    @contextlib.contextmanager
    def _working(
        self, crew: "_Crew[Any, Answered]", ready: _Ready[Answered]
    ) -> Iterator[Iterator[tuple[int, list[Answered] | protocol.Failure]]]:
        """The results of a crew that works in the other thread meanwhile."""
        future = self._portal.start_task_soon(crew.run, self._options.max_concurrency)
        future.add_done_callback(lambda _: ready.put(None))
        try:
            yield iter(ready.get, None)
            future.result()
        finally:
            future.cancel()

    async def _complete(self, request: protocol.Request) -> list[protocol.Completion]:
        """All samples of a request, from the cache or the server."""
        prepared = await anyio.to_thread.run_sync(self._prepare, request)
        samples = range(prepared.samples)
        async with self._asking(prepared.body, prepared.seed) as key:
            known = {sample: self._known(key, sample) for sample in samples}
            found = {sample: choice for sample, choice in known.items() if choice is not None}
            missing = [sample for sample in samples if sample not in found]
            for run in openai_requests.runs(missing):
                found.update(await self._ask_choices(request.id, prepared, run, key=key))
        completions = [openai_answers.completion(found[sample]) for sample in samples]
        # Where nothing is random all samples are one.
        return completions * (request.sampling.n // prepared.samples)

    def _prepare(self, request: protocol.Request) -> openai_requests.Prepared:
        return openai_requests.prepare(request, model=self._model, options=self._options)

    async def _ask_choices(
        self,
        request_id: str,
        prepared: openai_requests.Prepared,
        samples: range,
        *,
        key: str,
    ) -> dict[int, Any]:
        """The choices of some samples; those that make sense are kept first."""

        def read(answer: dict[str, Any]) -> dict[int, Any]:
            choices = openai_answers.choices(answer, len(samples))
            came = dict(zip(samples, choices, strict=False))
            faults = {sample: openai_answers.fault(choice) for sample, choice in came.items()}
            for sample, choice in came.items():
                if faults[sample] is None:
                    self._keep(key, sample, choice)
            if len(came) < len(samples):
                raise openai_answers.BadAnswer(
                    f"the server sent {len(came)} of {len(samples)} answers"
                )
            for found in filter(None, faults.values()):
                raise found
            return came

        worst = prepared.worst(len(samples))
        return await self._ask(request_id, prepared.body_of(samples), worst, read=read)

    async def _score(self, request: protocol.ScoreRequest) -> list[protocol.Score]:
        """The continuations of a request, a question each, and one for the prompt."""
        texts = openai_score.texts(request.continuations)
        prompt = await anyio.to_thread.run_sync(
            openai_requests.encode, request.messages, self._options
        )
        prompt_ids: list[int] = []
        scores = []
        for text in texts:
            worst = ledger.Usage(prompt.tokens + len(text.encode()), 1)
            body = openai_score.body(self._model, prompt.messages, text)
            async with self._asking(body, 0) as key:
                found = self._known(key, 0) if text else {"tokens": [], "logprobs": []}
                if found is None:
                    if not prompt_ids:
                        first = openai_score.body(self._model, prompt.messages)
                        prompt_ids = await self._ask(
                            request.id, first, worst, read=openai_score.prompt_ids
                        )
                    read = functools.partial(openai_score.read, prompt=prompt_ids, text=text)
                    found = await self._ask(request.id, body, worst, read=read)
                    self._keep(key, 0, found)
            scores.append(openai_score.score(found))
        return scores

    async def _ask(
        self,
        request_id: str,
        body: dict[str, Any],
        worst: ledger.Usage,
        *,
        read: Callable[[dict[str, Any]], Read],
    ) -> Read:
        """Asks and reads; what `read` keeps is kept before the question is settled."""
        ask = openai_client.Ask(id=request_id, worst=worst)
        answer = await self._client.ask(ask, body)
        state: ledger.State = "lost"
        try:
            found = read(answer)
            state = "answered"
        finally:
            await self._client.settle(ask, state, openai_answers.usage(answer))
        return found

    async def _deltas(self, request: protocol.Request) -> AsyncIterator[protocol.Delta]:
        prepared = await anyio.to_thread.run_sync(self._prepare, request)
        ask = openai_client.Ask(id=request.id, worst=prepared.worst(1))
        state: ledger.State = "lost"
        usage = None
        try:
            async for piece in self._client.stream(ask, prepared.body_of(range(1))):
                usage = openai_answers.usage(piece) or usage
                delta = openai_answers.delta(piece)
                if delta is not None:
                    state = "answered" if delta.finish_reason else state
                    yield delta
        finally:
            await self._client.settle(ask, state, usage)
        if state == "lost":
            raise openai_answers.BadAnswer("the server ended its answer without a finish_reason")

    @contextlib.asynccontextmanager
    async def _asking(self, body: dict[str, Any], seed: int) -> AsyncIterator[str]:
        """The key of a question, which nobody else asks meanwhile."""
        if self._cache is None:
            yield ""
            return
        is_random = body.get("temperature", 1.0) != 0  # where it is not sent, the service draws
        question = {"url": self.url, "body": body, "seed": seed if is_random else None}
        if "response_format" in body:  # a key sorts properties, whose order decides an answer
            question["response_format"] = json.dumps(body["response_format"])
        key = answer_cache.digest(question)
        async with self._cache.asking(key):
            yield key

    def _known(self, key: str, sample: int) -> dict[str, Any] | None:
        found = None if self._cache is None else self._cache.get(key, sample)
        self._book.counts["cached"] += found is not None
        return found

    def _keep(self, key: str, sample: int, value: dict[str, Any]) -> None:
        if self._cache is not None:
            self._cache.put(key, sample, value)


class _Crew(Generic[Asked, Answered]):
    """Takes requests one after the other, several at a time."""

    def __init__(
        self,
        requests: Sequence[Asked],
        answer: Callable[[Asked], Awaitable[list[Answered]]],
        hand_on: Callable[[tuple[int, list[Answered] | protocol.Failure]], object],
        *,
        is_strict: bool,
    ):
        """Begins nothing yet.

        Args:
          requests: What is asked.
          answer: Answers one; what it raises as a UserError is that one's failure.
          hand_on: Takes each result.
          is_strict: Begins no other request after a failure.
        """
        self._left: Iterator[tuple[int, Asked]] = iter(enumerate(requests))
        self._answer, self._hand_on, self._is_strict = answer, hand_on, is_strict
        self._size = len(requests)
        self._end: openai_client.Unservable | None = None
        self._is_over = False

    async def run(self, largest: int) -> None:
        """Answers all.

        Args:
          largest: So many at a time.

        Raises:
          Unservable: If the server can answer no request any more; what was under way has ended.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(largest, self._size)):
                    group.create_task(self._work())
        except BaseExceptionGroup as faults:
            # As itself: a full disk is to be known as one.
            raise faults.exceptions[0] from None
        if self._end is not None:
            raise self._end

    async def _work(self) -> None:
        while not self._is_over and (item := await self._next()) is not None:
            place, request = item
            result: list[Answered] | protocol.Failure
            try:
                result = await self._answer(request)
            except openai_client.Unservable as error:
                self._end, self._is_over = error, True
                self._wake()
                return
            except errors.UserError as error:
                result = protocol.Failure(f"request {request.id!r}: {error}")
                self._is_over |= self._is_strict
            self._hand_on((place, result))

    async def _next(self) -> tuple[int, Asked] | None:
        return next(self._left, None)

    def _wake(self) -> None:
        """Nobody waits for another request any more."""


class _Talk(_Crew[protocol.Request, protocol.Completion]):
    """A crew for conversations: what follows from a reply is asked after all that waits already."""

    def __init__(
        self,
        requests: Sequence[protocol.Request],
        answer: Callable[[protocol.Request], Awaitable[list[protocol.Completion]]],
        hand_on: Callable[[tuple[int, list[protocol.Completion] | protocol.Failure]], object],
    ):
        super().__init__(requests, answer, hand_on, is_strict=False)
        self._waiting: asyncio.Queue[tuple[int, protocol.Request] | None] = asyncio.Queue()
        self._open = self._size
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, largest: int) -> None:
        self._loop = asyncio.get_running_loop()
        for item in self._left:
            self._waiting.put_nowait(item)
        await super().run(largest)

    def go_on(self, place: int, request: protocol.Request | None) -> None:
        """What follows from a reply; from the thread of the caller.

        Args:
          place: Of the conversation.
          request: None ends it.
        """
        assert self._loop is not None, "it has handed on a reply"
        self._loop.call_soon_threadsafe(self._put, place, request)

    def _put(self, place: int, request: protocol.Request | None) -> None:
        if request is not None:
            self._waiting.put_nowait((place, request))
            return
        self._open -= 1
        if not self._open:
            self._wake()

    async def _next(self) -> tuple[int, protocol.Request] | None:
        item = await self._waiting.get()
        if item is None:
            self._wake()  # the next one that waits
        return item

    def _wake(self) -> None:
        self._waiting.put_nowait(None)
