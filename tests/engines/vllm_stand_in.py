# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A small server that starts as vLLM's does, for tests of how ours is started and ended.

    python -m vllm.entrypoints.openai.api_server --port=N ...

where `install` has put it. $STAND_IN says what is wrong with it: `dies`, `dies inside` (a process
of its own), `silent`, `mute`, `refuses`, `short` or `aborts`. Asked with ids it goes on with 1, 2,
3; its i-th sample has the log-probabilities -i, and pads of pictures stay single.
"""

import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time


def install(folder: pathlib.Path) -> pathlib.Path:
    """A folder for PYTHONPATH in which this file is vLLM's server; what it got lies beside it."""
    package = folder / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    shutil.copy(__file__, package / "api_server.py")
    return folder


def notes(folder: pathlib.Path, name: str) -> list[str]:
    """What the server wrote down: `arguments`, `child`, `calls`.

    Args:
      folder: As of `install`.
      name: Of the notes.
    """
    path = folder / "vllm" / "entrypoints" / "openai" / name
    return path.read_text().splitlines() if path.exists() else []


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers 200 to everything, but what it is told to refuse."""

    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        _note("calls", f"{self.path} {json.loads(body)}"[:100])
        is_refused = os.environ.get("STAND_IN") == "refuses" and self.path == "/update_weights"
        if self.path == "/inference/v1/generate":
            self._answer(200, json.dumps(_generated(body)).encode())
        else:
            self._answer(500 if is_refused else 200)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def _answer(self, status: int, body: bytes = b'{"error": "no room"}') -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _generated(body: bytes) -> dict[str, object]:
    asked, mode = json.loads(body), os.environ.get("STAND_IN")
    count = asked["sampling_params"]["n"] - (mode == "short")
    choices = [
        {
            "index": place,
            "token_ids": [1, 2, 3],
            "logprobs": {"content": [{"token_id": 0, "logprob": -float(place)}] * 3},
            "finish_reason": "abort" if mode == "aborts" else "stop",
        }
        for place in reversed(range(count))
    ]
    return {"choices": choices, "prompt_token_ids": asked["token_ids"]}


def main() -> None:
    """Serves until it is ended."""
    _note("arguments", "\n".join(sys.argv[1:]))
    mode = os.environ.get("STAND_IN")
    if mode == "dies inside":
        print("(Worker) ValueError: no such layer\nTraceback\nRuntimeError: Engine core ", end="")
        print("initialization failed. See root cause above.\na warning", flush=True)
        sys.exit(1)
    if mode == "dies":
        print("loading\nValueError: no memory", flush=True)
        sys.exit(3)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    _note("child", str(child.pid))
    if mode == "silent":
        time.sleep(600)
    port = int(sys.argv[sys.argv.index("--port") + 1])
    if mode == "mute":  # takes calls, and says nothing
        listening = socket.create_server(("127.0.0.1", port))
        time.sleep(600)
        listening.close()
    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()


def _note(name: str, text: str) -> None:
    with pathlib.Path(__file__).with_name(name).open("a") as file:
        print(text, file=file)


if __name__ == "__main__":
    main()
