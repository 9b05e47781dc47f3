# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A chat server on this machine that misbehaves on purpose.

A question is known by the last text of its last message. `plan` says how its tries are answered,
one after the other; what is not planned is answered well, with the question itself or what `reply`
makes of its body. `refused` makes it one of the services whose models do not take every field.
"""

import collections
import contextlib
import dataclasses
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

MODEL = "model-a"
# What services say of fields that a model does not take, by field.
_FIXED = "Unsupported value: '{name}' does not support {value} with this model."
_UNKNOWN = "Unsupported parameter: '{name}' is not supported with this model."
_OLD = "`{name}` is deprecated for this model."
_NO_FORMAT = "This {name} type is unavailable now"
_NO_FIELD = 'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
SERVICES = {
    "gpt-5": {
        **dict.fromkeys(("temperature", "top_p"), _FIXED),
        **dict.fromkeys(("max_tokens", "stop", "seed", "logprobs"), _UNKNOWN),
    },
    "claude-opus-4-7": dict.fromkeys(("temperature", "top_p", "top_k"), _OLD),
    "deepseek-v4-pro": {"response_format": _NO_FORMAT},
    "gemini-3-pro": dict.fromkeys(("seed", "logprobs", "frequency_penalty"), _NO_FIELD),
}
# Between them the client waits half a second and more; a server may ask for less.
SOON = {"retry-after-ms": "20"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Act:
    """How one try is answered.

    Attributes:
      status: Of the response.
      body: Text; None is a good answer.
      headers: Further ones.
      share: How much of the body is sent before the connection closes.
      seconds: Waits first.
      pause: Seconds between two bytes; 0 sends all at once.
      echoes_key: The body says what the Authorization header was.
      is_answer: The body is an answer that is paid, whatever it says.
    """

    status: int = 200
    body: str | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    share: float = 1.0
    seconds: float = 0.0
    pause: float = 0.0
    echoes_key: bool = False
    is_answer: bool = False


def error(status: int, message: str = "no", **fields: Any) -> Act:
    """An error as OpenAI's API words it; it may be tried again soon."""
    body = json.dumps({"error": {"message": message, **fields}})
    return Act(status=status, body=body, headers=SOON)


def answer(text: str | None, *, count: int = 1, **fields: Any) -> dict[str, Any]:
    """A chat completion; `fields` go into every choice."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", **fields}
    return {
        "model": MODEL,
        "choices": [{"index": i, **choice} for i in range(count)],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5 * count},
    }


def says(value: Any) -> Act:
    """A response with any JSON value."""
    return Act(body=json.dumps(value))


def answers(text: str) -> Act:
    """A response that says something else than a good one, and is paid like it."""
    return Act(body=json.dumps(answer(text)), is_answer=True)


class Server(http.server.ThreadingHTTPServer):
    """Serves chat completions.

    Attributes:
      reply: What a good answer says to a body.
      plan: The next tries of a question.
      bodies: Of the requests, in their order.
      keys: The Authorization header of each.
      asked: Tries by question.
      paid: Answers that were sent whole, by question.
      delivered: The same by question and seed, None where there is none.
      again: Questions with their seeds that came although their answer had been delivered.
      most: The most requests at a time.
      limit: More at a time get a 429; 0 is no limit.
      refused: Fields that get a 400, as of `SERVICES`.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.plan: dict[str, list[Act]] = {}
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.asked: collections.Counter[str] = collections.Counter()
        self.paid: collections.Counter[str] = collections.Counter()
        self.reply: Callable[[dict[str, Any]], str] = lambda body: f"to {question_of(body)}"
        self.delivered: collections.Counter[tuple[str, int | None]] = collections.Counter()
        self.again: list[tuple[str, int | None]] = []
        self.refused: dict[str, str] = {}
        self.seconds = 0.0  # every good answer takes
        self.most = self.limit = self.now = 0
        self.lock = threading.Lock()
        self.is_over = threading.Event()

    @property
    def url(self) -> str:
        """For base_url."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def stop(self) -> None:
        """Answers what is under way, and nobody after that."""
        self.is_over.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """The server while a test runs."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = question_of(body)
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.keys.append(self.headers.get("Authorization", ""))
            self.server.asked[question] += 1
            key = question, body.get("seed")
            if key in self.server.delivered:
                self.server.again.append(key)
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
            planned = self.server.plan.get(question)
            act = planned.pop(0) if planned else Act(seconds=self.server.seconds)
            if self.server.limit and self.server.now > self.server.limit:
                act = error(429, "too many")
            for name in self.server.refused.keys() & body.keys():
                said = self.server.refused[name].format(name=name, value=body[name])
                act = error(400, said, param=name)
        try:
            self._perform(act, body, question)
        finally:
            self.close_connection |= self.server.is_over.is_set()
            with self.server.lock:
                self.server.now -= 1

    def _perform(self, act: Act, body: dict[str, Any], question: str) -> None:
        self.server.is_over.wait(act.seconds)
        text = act.body
        if act.echoes_key:
            text = json.dumps({"error": {"message": f"bad header {dict(self.headers)}"}})
        if body.get("stream"):
            self._stream(act, text, question)
            return
        is_good = text is None or act.is_answer
        if text is None:
            text = json.dumps(answer(self.server.reply(body), count=body.get("n", 1)))
        content = text.encode()
        self.send_response(act.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in act.headers.items():
            self.send_header(name, value)
        self.end_headers()
        content = content[: int(len(content) * act.share)]
        size = 1 if act.pause else max(1, len(content))
        for start in range(0, len(content), size):
            self.server.is_over.wait(act.pause)
            self.wfile.write(content[start : start + size])
        self.close_connection = act.share < 1
        if is_good and act.status == 200 and act.share == 1:
            with self.server.lock:
                self.server.paid[question] += 1
                self.server.delivered[question, body.get("seed")] += 1

    def _stream(self, act: Act, text: str | None, question: str) -> None:
        """Words as events; a planned body replaces the last event."""
        words = f"to {question}".split(" ")
        events = [
            {"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
            for word in [words[0], *(f" {word}" for word in words[1:])]
        ]
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        usage = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": len(words)}}
        lines = [json.dumps(event) for event in [*events, end, usage]] + ["[DONE]"]
        if text is not None:
            lines[-3:] = [text]
        self.send_response(act.status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for line in lines[: int(len(lines) * act.share)]:
            self.wfile.write(f"data: {line}\n\n".encode())
        self.close_connection = True


def question_of(body: dict[str, Any]) -> str:
    """The last text of the last message."""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return [part["text"] for part in content if part["type"] == "text"][-1]
