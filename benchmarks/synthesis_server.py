# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A chat server without a model that takes its time, as one with so many slots does.

    python -m benchmarks.synthesis_server SLOTS

It prints its port. A request waits for a slot, holds it for as long as the service takes and is
answered; `GET /seen` says what the slots did since the last time, `POST /service` sets the service.
Both are a process of its own, so that a client shares its interpreter with nobody.
"""

import asyncio
import dataclasses
import hashlib
import json
import math
import sys
import time
from typing import Any

READABLE, UNREADABLE = json.dumps({"said": "a finding of the left lung"}), "no JSON"
_TWO_TO_THE_64 = 1 << 64


@dataclasses.dataclass
class Service:
    """How requests are served.

    Attributes:
      seconds: On average.
      spread: Of the logarithm of the seconds; 0 is the same for all.
      unreadable: Share of replies that are no JSON.
    """

    seconds: float = 0.0
    spread: float = 0.0
    unreadable: float = 0.0

    def draw(self, text: str, seed: int) -> tuple[float, str]:
        """Seconds and reply of a request, always the same for equal ones.

        Args:
          text: Of the question.
          seed: Of its answer.
        """
        digest = hashlib.sha256(f"{seed} {text}".encode()).digest()
        one, other, third = (
            (int.from_bytes(digest[i : i + 8], "big") + 0.5) / _TWO_TO_THE_64 for i in (0, 8, 16)
        )
        normal = math.sqrt(-2 * math.log(one)) * math.cos(2 * math.pi * other)  # Box and Muller
        seconds = self.seconds * math.exp(self.spread * normal - self.spread**2 / 2)
        return seconds, UNREADABLE if third < self.unreadable else READABLE


@dataclasses.dataclass
class Seen:
    """What the slots did.

    Attributes:
      requests: Answered.
      busy: Seconds of all slots together.
      first: When the first one was taken, as of `time.monotonic`.
      last: When the last one was let go.
    """

    requests: int = 0
    busy: float = 0.0
    first: float = math.inf
    last: float = 0.0


class Server:
    """Serves chat completions."""

    def __init__(self, slots: int):
        self._slots = asyncio.Semaphore(slots)
        self._service, self._seen = Service(), Seen()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the requests of a connection, one after the other."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().lower().split("\r\n")
                sizes = [line.partition(":")[2] for line in lines if line[:15] == "content-length:"]
                body = await reader.readexactly(int(sizes[0]) if sizes else 0)
                answer = json.dumps(await self._answer(lines[0].split()[1], body)).encode()
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                writer.write(head + str(len(answer)).encode() + b"\r\n\r\n" + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    async def _answer(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/seen":
            seen, self._seen = self._seen, Seen()
            return dataclasses.asdict(seen)
        given = json.loads(body)
        if path == "/service":
            self._service = Service(**given)
            return {}
        content = given["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[-1]["text"]
        seconds, reply = self._service.draw(text, given.get("seed", 0))
        async with self._slots:
            start = time.monotonic()
            await asyncio.sleep(seconds)
            end = time.monotonic()
        seen = self._seen
        seen.requests, seen.busy = seen.requests + 1, seen.busy + end - start
        seen.first, seen.last = min(seen.first, start), max(seen.last, end)
        message = {"role": "assistant", "content": reply}
        return {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 10},
        }


async def main() -> None:
    """Serves until it is ended."""
    served = Server(int(sys.argv[1]))
    listening = await asyncio.start_server(served.connect, "127.0.0.1", 0, limit=1 << 24)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
