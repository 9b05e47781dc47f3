# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""vLLM's OpenAI-compatible server over an exported folder, and a client that asks it."""

import base64
import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

import openai

from tests.vllm import processes

HOST, MODEL = "127.0.0.1", "exported"
START_SECONDS = 300
# As a module, and by the command that users type.
ENTRIES = {
    "module": ("python", "-m", "vllm.entrypoints.openai.api_server", "--model"),
    "command": ("vllm", "serve"),
}
OPTIONS = {
    "--served-model-name": MODEL,
    "--dtype": "float32",
    "--max-model-len": "1024",
    "--kv-cache-memory-bytes": str(64 * 2**20),
    "--limit-mm-per-prompt": json.dumps({"image": 2, "video": 0}),
    "--host": HOST,
}


@contextlib.contextmanager
def running(python: pathlib.Path, folder: pathlib.Path, *, entry: str) -> Iterator[int]:
    """The port of a server that answers, over the `exported/` of a folder."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
    program, *arguments = ENTRIES[entry]
    command = [str(python.with_name(program)), *arguments, str(folder / "exported")]
    command += ["--enforce-eager", "--port", str(port)]
    command += [word for option in OPTIONS.items() for word in option]
    log = folder / "server.log"
    with processes.started(command, log) as process:
        wait_until_healthy(process, port, log)
        yield port


def wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: pathlib.Path) -> None:
    """Returns once the server takes requests; fails with the end of its log."""
    deadline = time.monotonic() + START_SECONDS
    while not is_healthy(port):
        assert process.poll() is None, f"the server ended:{processes.end_of(log)}"
        assert time.monotonic() < deadline, f"no server yet:{processes.end_of(log)}"
        time.sleep(0.5)


def is_healthy(port: int) -> bool:
    """Whether a server answers there."""
    with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=5)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False


def ask(port: int, rows: Sequence[dict[str, Any]], *, at_once: int) -> list[dict[str, Any]]:
    """The server's answers in the order of the requests, in the form of `ask.py`."""

    def one(row: dict[str, Any]) -> dict[str, Any]:
        completion = client.chat.completions.create(
            model=MODEL,
            messages=[with_data(message) for message in row["messages"]],
            temperature=0.0,
            max_tokens=row["max_new_tokens"],
            extra_body={"return_token_ids": True},
        )
        (choice,) = completion.choices
        # Fields of vLLM's, which the client hands on as they are.
        extra = {**(completion.model_extra or {}), **(choice.model_extra or {})}
        return {
            "id": row["id"],
            "prompt_tokens": extra["prompt_token_ids"],
            "tokens": extra["token_ids"],
            "finish_reason": choice.finish_reason,
        }

    url = f"http://{HOST}:{port}/v1"
    with (
        openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=120) as client,
        concurrent.futures.ThreadPoolExecutor(at_once) as pool,
    ):
        return list(pool.map(one, rows))


def with_data(message: dict[str, Any]) -> Any:
    """A message with the bytes of its PNG files in the place of their paths."""

    def load(part: dict[str, Any]) -> dict[str, Any]:
        if part["type"] != "image":
            return part
        data = base64.b64encode(pathlib.Path(part["image"]).read_bytes()).decode()
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}

    return {**message, "content": [load(part) for part in message["content"]]}
