# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the chat page asks for: files in, pictures out, answers as they come.

The page keeps the conversation and sends all of it with each question; files stay here under
names that nobody guesses. Nothing is written and nothing of what is said is logged.

An answer is lines of JSON: `{"before": N}` while others come first, `{"begun": true}`, then
`{"text": S}` as often as there is some, and last `{"done": {...}}` or `{"error": LINE}`.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import importlib.resources
import json
import threading
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any

import anyio.to_thread
from absl import logging
from starlette import requests, responses, routing, types

from lingshu_jax import chat_uploads
from lingshu_jax.common import errors, web
from lingshu_jax.engines import protocol

MAX_BODY_BYTES = 2**22  # of a conversation, without its pictures
MAX_SIDE = 4096  # of a picture on the page
_FILES = {
    "page.html": "text/html",
    "app.css": "text/css",
    "app.js": "text/javascript",
    "viewer.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_SAMPLING = {
    "max_new_tokens": int,
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "repetition_penalty": float,
    "seed": int,
}
_ID = "question"  # of a request, in what an engine says of it


@dataclasses.dataclass(frozen=True, kw_only=True)
class About:
    """What answers.

    Attributes:
      model: As users know it.
      engine: A name of `registry.ENGINES`.
      at_once: Answers at a time; further questions wait.
      unknown: Fields of `SamplingParams` that the engine has no word for.
    """

    model: str
    engine: str
    at_once: int = 1
    unknown: tuple[str, ...] = ()


def make_app(
    engine: protocol.Engine, about: About, *, token: str, is_open: bool = False
) -> types.ASGIApp:
    """The application.

    Args:
      engine: What answers; whoever made it closes it, after the application has ended.
      about: Of it.
      token: From `web.new_token`.
      is_open: As of `web.make_app`.
    """
    chat = _Chat(engine, about)

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        chat.answers.close()

    return web.make_app(chat.routes(), token=token, is_open=is_open, lifespan=lifespan)


class _Chat:
    """The pages of one engine."""

    def __init__(self, engine: protocol.Engine, about: About):
        self.answers = _Answers(engine, about.at_once)
        self._about, self._shelf = about, chat_uploads.Shelf()
        self._reading = asyncio.Lock()  # files one at a time: they may be large

    def routes(self) -> list[routing.Route]:
        folder = importlib.resources.files("lingshu_jax") / "chat_page"
        fixed = {name: (folder / name).read_bytes() for name in _FILES}

        async def show(request: requests.Request) -> responses.Response:
            name = request.url.path.removeprefix("/") or "page.html"
            return responses.Response(fixed[name], media_type=_FILES[name])

        handlers: list[tuple[str, Callable[..., Awaitable[responses.Response]], str]] = [
            ("/about", self._tell_about, "GET"),
            ("/uploads", self._take, "POST"),
            ("/uploads/{name}/view", self._view, "GET"),
            ("/forget", self._forget, "POST"),
            ("/answer", self._answer, "POST"),
            ("/conversation", self._download, "POST"),
        ]
        return [
            *(routing.Route(f"/{name}".replace("/page.html", "/"), show) for name in _FILES),
            *(routing.Route(path, _told(do), methods=[how]) for path, do, how in handlers),
        ]

    async def _tell_about(self, _: requests.Request) -> responses.Response:
        told = dataclasses.asdict(self._about)
        limits = {"max_sent": chat_uploads.MAX_SENT, "max_bytes": chat_uploads.MAX_FILE_BYTES}
        return responses.JSONResponse({**told, **limits})

    async def _take(self, request: requests.Request) -> responses.Response:
        data = await _body(request, chat_uploads.MAX_FILE_BYTES, chat_uploads.too_large())

        def read() -> dict[str, Any]:
            upload = chat_uploads.read(data)
            told = upload.describe()
            return {"id": self._shelf.put(upload), **told}

        async with self._reading:
            return responses.JSONResponse(await anyio.to_thread.run_sync(read))

    async def _view(self, request: requests.Request) -> responses.Response:
        upload = self._shelf.get(request.path_params["name"])
        view = chat_uploads.parse_view(request.query_params)
        side = request.query_params.get("side", str(MAX_SIDE))
        if not (side.isdecimal() and 1 <= int(side) <= MAX_SIDE):
            raise errors.UserError(f"side must be 1 to {MAX_SIDE}, got {side[:40]!r}")

        def draw() -> bytes:
            picture = upload.picture(view, view.frame)
            picture.thumbnail((int(side), int(side)))
            return chat_uploads.png(picture)

        return responses.Response(await anyio.to_thread.run_sync(draw), media_type="image/png")

    async def _forget(self, request: requests.Request) -> responses.Response:
        names = await _json(request)
        if not isinstance(names, list):
            raise errors.UserError("files are forgotten by a list of their names")
        self._shelf.forget(name for name in names if isinstance(name, str))
        return responses.Response(status_code=204)

    async def _answer(self, request: requests.Request) -> responses.Response:
        asked = await _object(request)
        sampling = _sampling(asked.get("sampling"))
        messages = await anyio.to_thread.run_sync(self._messages, asked)
        if messages[-1]["role"] != "user":
            raise errors.UserError("the last turn must be a question")
        question = protocol.Request(messages=messages, sampling=sampling, id=_ID)
        lines = self.answers.stream(question)
        return responses.StreamingResponse(lines, media_type="application/x-ndjson")

    async def _download(self, request: requests.Request) -> responses.Response:
        """The conversation up to its last question as a row that `generate` takes."""
        asked = await _object(request)
        text = await anyio.to_thread.run_sync(self._row, asked)
        return responses.PlainTextResponse(text, media_type="application/x-ndjson")

    def _row(self, asked: Mapping[str, Any]) -> str:
        messages = self._messages(asked)
        said = messages.pop()["content"] if messages[-1]["role"] == "assistant" else None
        for part in [part for message in messages for part in message["content"]]:
            if part["type"] == "image":
                part["image"] = chat_uploads.data_url(part["image"])
            if part["type"] == "video":
                part["video"] = [chat_uploads.data_url(frame) for frame in part["video"]]
        row = {"id": "chat", "messages": messages, "model": self._about.model}
        row["sampling"] = _sampling(asked.get("sampling")).settings()
        if said is not None:
            row["said"] = said[0]["text"]
        return json.dumps(row) + "\n"

    def _messages(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The conversation of the page as canonical messages."""
        system, turns = asked.get("system", ""), asked.get("turns")
        if not isinstance(turns, list) or not turns or not isinstance(system, str):
            raise errors.UserError("a conversation has a system prompt and turns")
        messages = [{"role": "system", "content": [_text(system)]}] if system.strip() else []
        for place, turn in enumerate(turns):
            if not isinstance(turn, dict) or not isinstance(turn.get("text"), str):
                raise errors.UserError(f"turn {place + 1} has no text")
            media = turn.get("media", [])
            if not isinstance(media, list):
                raise errors.UserError(f"the media of turn {place + 1} are no list")
            parts = [part for medium in media for part in self._parts(medium)]
            texts = [_text(turn["text"])] if turn["text"] or not parts else []
            role = "assistant" if place % 2 else "user"
            messages.append({"role": role, "content": [*parts, *texts]})
        return messages

    def _parts(self, medium: Any) -> list[dict[str, Any]]:
        if not isinstance(medium, dict) or not isinstance(medium.get("id"), str):
            raise errors.UserError("a picture has the name of a file")
        view = medium.get("view", {})
        if not isinstance(view, dict):
            raise errors.UserError("the view of a picture must be an object")
        return self._shelf.get(medium["id"]).parts(chat_uploads.parse_view(view))


class _Job:
    """A question on its way to the engine."""

    def __init__(self, request: protocol.Request):
        self.request, self.stopped = request, threading.Event()
        self._loop = asyncio.get_running_loop()
        self.events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def tell(self, event: dict[str, Any] | None) -> None:
        """From a thread of the engine; None is the end."""
        self.call(self.events.put_nowait, event)

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Has a function called in the thread of the page; not where that is over."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)


class _Answers:
    """Gives questions to the engine, in the order in which they came."""

    def __init__(self, engine: protocol.Engine, at_once: int):
        self._engine, self._waiting = engine, list[_Job]()
        self._running: set[_Job] = set()
        self._at_once, self._begun, self._lock = at_once, 0, threading.Lock()
        self._pool = concurrent.futures.ThreadPoolExecutor(at_once, "chat")

    async def stream(self, request: protocol.Request) -> AsyncIterator[str]:
        """The lines of an answer; whoever stops reading stops the engine."""
        job = _Job(request)
        self._waiting.append(job)
        self._tell_places()
        future = self._pool.submit(self._work, job)
        future.add_done_callback(functools.partial(self._end, job))
        try:
            while (event := await job.events.get()) is not None:
                yield json.dumps(event) + "\n"
        finally:
            job.stopped.set()
            if future.cancel():
                self._leave(job)

    def close(self) -> None:
        """Stops everything at its next token."""
        for job in [*self._waiting, *self._running]:
            job.stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, job: _Job) -> None:
        """In a thread of the pool."""
        job.call(self._enter, job)
        meter = _Meter(self._engine)
        begun = self._begin()
        try:
            deltas = self._engine.stream(job.request)
            for delta in deltas:
                if job.stopped.is_set():
                    break
                meter.count(delta)
                if delta.text:
                    job.tell({"text": delta.text})
            if isinstance(deltas, Generator):
                deltas.close()
        except errors.UserError as error:
            job.tell({"error": _line(error)})
            return
        is_alone = len(self._running) <= 1 and begun == self._begun
        job.tell({"done": meter.result(is_alone=is_alone)})

    def _begin(self) -> int:
        with self._lock:
            self._begun += 1
            return self._begun

    def _enter(self, job: _Job) -> None:
        job.events.put_nowait({"begun": True})
        self._running.add(job)
        self._leave(job)

    def _leave(self, job: _Job) -> None:
        """It waits no more."""
        if job in self._waiting:
            self._waiting.remove(job)
        self._tell_places()

    def _tell_places(self) -> None:
        for place, job in enumerate(self._waiting):
            before = place + len(self._running) - self._at_once + 1
            if before > 0:
                job.events.put_nowait({"before": before})

    def _end(self, job: _Job, future: concurrent.futures.Future[None]) -> None:
        fault = None if future.cancelled() else future.exception()
        if fault is not None:
            # Without its message, which may quote what was asked.
            trace = "".join(traceback.format_tb(fault.__traceback__))
            logging.error("an answer failed: %s\n%s", type(fault).__name__, trace)
            name = type(fault).__name__
            job.tell({"error": f"the program failed ({name}); its terminal shows where"})
        job.call(self._running.discard, job)
        job.tell(None)


class _Meter:
    """Times and counts one answer."""

    def __init__(self, engine: protocol.Engine):
        self._engine, self._start = engine, time.perf_counter()
        self._first = self._last = 0.0
        self._tokens = self._first_tokens = 0
        self._reason: protocol.FinishReason | None = None
        self._before = self._told()

    def count(self, delta: protocol.Delta) -> None:
        self._last = time.perf_counter()
        self._tokens += len(delta.tokens)
        if not self._first and (delta.text or delta.tokens):
            self._first, self._first_tokens = self._last, len(delta.tokens)
        self._reason = delta.finish_reason or self._reason

    def result(self, *, is_alone: bool) -> dict[str, Any]:
        """What the page says of an answer; None where it is not known.

        Args:
          is_alone: Whether what the engine counted meanwhile is this answer.
        """
        tokens, first_tokens = self._tokens, self._first_tokens
        if not tokens and is_alone:
            # Servers that tell no ids say in the end how many there were.
            tokens, first_tokens = self._told() - self._before, 1
        seconds = self._last - self._first
        rate = (tokens - first_tokens) / seconds if seconds > 0 else 0.0
        return {
            "finish_reason": self._reason,
            "first_seconds": self._first - self._start if self._first else None,
            "tokens": tokens or None,
            "rate": rate if rate > 0 else None,
        }

    def _told(self) -> int:
        engine = self._engine
        return engine.used().tokens_out if isinstance(engine, protocol.Metered) else 0


def _told(
    handler: Callable[[requests.Request], Awaitable[responses.Response]],
) -> Callable[[requests.Request], Awaitable[responses.Response]]:
    """A handler whose refusals are a line on the page."""

    @functools.wraps(handler)
    async def handle(request: requests.Request) -> responses.Response:
        try:
            return await handler(request)
        except errors.UserError as error:
            return responses.JSONResponse({"error": _line(error)}, 400)

    return handle


def _line(error: errors.UserError) -> str:
    return " ".join(str(error).removeprefix(f"request {_ID!r}: ").split())


async def _body(request: requests.Request, limit: int, refusal: errors.UserError) -> bytes:
    """What is sent, not read further than it is allowed to be."""
    pieces: collections.deque[bytes] = collections.deque()
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise refusal
        pieces.append(piece)
    return b"".join(pieces)


async def _json(request: requests.Request) -> Any:
    refusal = errors.UserError(f"the conversation is too long: {MAX_BODY_BYTES} bytes are allowed")
    try:
        return json.loads(await _body(request, MAX_BODY_BYTES, refusal))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.UserError(f"what was sent is not JSON ({type(error).__name__})") from None


async def _object(request: requests.Request) -> Mapping[str, Any]:
    found = await _json(request)
    if not isinstance(found, dict):
        raise errors.UserError("what was sent is not a JSON object")
    return found


def _sampling(given: Any) -> protocol.SamplingParams:
    """The fields of the page, checked."""
    if not isinstance(given, dict) or not set(given) <= set(_SAMPLING):
        raise errors.UserError(f"sampling must be an object of {', '.join(_SAMPLING)}")
    values: dict[str, Any] = {}
    for name, value in given.items():
        kind = _SAMPLING[name]
        if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
            whole = "whole " if kind is int else ""
            raise errors.UserError(f"{name} must be a {whole}number, got {value!r:.40}")
        values[name] = kind(value)
    if "max_new_tokens" not in values:
        raise errors.UserError("max_new_tokens is needed")
    sampling = protocol.SamplingParams(**values)
    sampling.validate()
    return sampling


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
