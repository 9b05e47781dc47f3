# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""vLLM's OpenAI-compatible server as a child of this process, with live weights.

`openai_engine.py` asks it; here it is started, given weights and ended. Its Python may be that of
another environment, which needs vLLM and none of our packages.
"""

import atexit
import contextlib
import http.client
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from absl import logging

import lingshu_jax
from lingshu_jax.common import errors
from lingshu_jax.engines import (
    protocol,
    vllm_child,
    vllm_engine,
    vllm_folders,
    vllm_weights,
)
from lingshu_jax.models import hf, sizes

HOST = "127.0.0.1"  # nobody from outside: it asks for no key
START_SECONDS, CALL_SECONDS, STOP_SECONDS = 900.0, 600.0, 30.0
_POLL_SECONDS, _HEALTH_SECONDS = 0.5, 10.0
_LOG_LINES, _SHOWN = 3, 400  # of its log, in an error
_ELSEWHERE = "See root cause above"
_CAUSE = re.compile(r"(\b\w+(?:Error|Exception): .*)")


class Server:
    """A running server; it ends with `close`, with the block or with this process, if killed too.

    Attributes:
      base_url: For `openai_engine.py` and other clients.
      model: Its name of the model.
      last_sync: What the last transfer of weights took; None before the first.
      skipped_sleeps: Calls of `sleep` that did nothing, for it was started without `can_sleep`.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        python: str = sys.executable,
        dtype: str = "",
        max_images: int = protocol.MAX_IMAGES,
        size: sizes.ModelSize | None = None,
        max_model_len: int | None = None,
        has_live_weights: bool = False,
        can_sleep: bool = False,
        start_seconds: float = START_SECONDS,
        options: Mapping[str, Any] = vllm_engine.NO_OPTIONS,
    ):
        """Starts the server and returns once it answers.

        Args:
          folder: A Hugging Face folder of any architecture that vLLM has; without weights where
            `size` and `dtype` are given and the options have the load format `vllm_names.LATER`.
          python: The interpreter that has vLLM.
          dtype: To compute in; "" is what the weights are stored in.
          max_images: Requests with more are refused.
          size: Of a model with live weights; None reads it from the folder.
          max_model_len: Tokens of prompt and answer together; None is the model's own context.
          has_live_weights: Whether `set_params` works. Everybody on this machine can then reach
            vLLM's routes for developers as well.
          can_sleep: Whether `sleep` does something; not on CPUs and TPUs.
          start_seconds: It has so long to answer for the first time.
          options: Further arguments of vLLM's command line by name, as `tensor_parallel_size`;
            True or False for one without a value.

        Raises:
          UserError: If the folder is none or incomplete, or the server ends or does not answer in
            time; shows the end of its log.
        """
        if not folder.is_dir():
            raise errors.UserError(f"no folder {folder}: a Hugging Face folder is needed")
        vllm_folders.check(folder)
        self._size, self._dtype = size, dtype
        if has_live_weights:
            self._size = size or hf.read_config(folder)
            self._dtype = dtype or vllm_engine.stored_dtype(folder, self._size)
        self._has_live_weights, self._can_sleep = has_live_weights, can_sleep
        self.model, self.last_sync, self.skipped_sleeps = folder.absolute().name, None, 0
        self._port = _free_port()
        self.base_url = f"http://{HOST}:{self._port}/v1"
        arguments = {
            **vllm_engine.engine_arguments(
                dtype=self._dtype or vllm_folders.stored_dtype(folder), max_images=max_images
            ),
            **(vllm_engine.LIVE_WEIGHTS if has_live_weights else {}),
            "model": str(folder.absolute()),
            "served_model_name": self.model,
            "host": HOST,
            "port": self._port,
            "max_model_len": max_model_len,
            "enable_sleep_mode": can_sleep,
            "disable_uvicorn_access_log": True,  # a line a request, for as long as it runs
            **options,
        }
        with contextlib.ExitStack() as stack:
            self._files = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            command = [python, "-m", "vllm.entrypoints.openai.api_server", *_flags(arguments)]
            self._process = self._start(command)
            stack.callback(_end, self._process)
            self._wait(time.monotonic() + start_seconds)
            self._close = stack.pop_all().close
        atexit.register(self.close)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def set_params(self, params: Any) -> None:
        """The next request is answered with these parameters; those at work are finished first.

        Args:
          params: Nested dict of the same shapes, on devices of this host; adapters are merged.

        Raises:
          UserError: If they do not fit the model, or the server was started without
            `has_live_weights`. If it fails on the way, it is ended as well.
        """
        if not self._has_live_weights:
            raise errors.UserError("the vLLM server takes no weights: has_live_weights is False")
        assert self._size is not None, "read where weights are taken"
        dtype = jnp.dtype(self._dtype)
        self.last_sync = vllm_weights.send(params, self._size, self, dtype=dtype)

    def start_weight_update(self) -> None:
        """Lets the requests at work finish and keeps others waiting."""
        self._post("/pause?mode=wait")
        self._post("/start_weight_update")

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Loads a bucket.

        Args:
          update_info: As of `vllm_weights.Receiver`.
        """
        self._post("/update_weights", {"update_info": update_info})

    def finish_weight_update(self) -> None:
        """Forgets what was computed with the weights before, and goes on."""
        self._post("/finish_weight_update")
        for cache in ("prefix", "mm", "encoder"):
            self._post(f"/reset_{cache}_cache")
        self._post("/resume")

    def ask(self, path: str, body: Mapping[str, Any], *, timeout: float) -> dict[str, Any]:
        """What a route of the server answers.

        Args:
          path: Of the route.
          body: JSON values.
          timeout: Seconds until the whole answer is there.

        Raises:
          UserError: If it does not answer, or refuses; shows why.
        """
        return json.loads(self._post(path, body, timeout=timeout))

    def abort(self) -> None:
        """Ends the requests at work; what their callers get is no answer."""
        self._post("/pause?mode=abort")
        self._post("/resume")

    def sleep(self) -> None:
        """Moves the weights to the host and lets the cache go, until `wake`.

        Without `can_sleep` nothing happens, and `skipped_sleeps` counts it.
        """
        if self._can_sleep:
            self._post("/sleep?level=1")
            return
        self.skipped_sleeps += 1
        logging.info("the vLLM server cannot sleep: nothing done, %d", self.skipped_sleeps)

    def wake(self) -> None:
        """Ends `sleep`."""
        if self._can_sleep:
            self._post("/wake_up")

    def close(self) -> None:
        """Ends the server and every process of it."""
        atexit.unregister(self.close)
        self._close()

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        logging.info("starting %s", shlex.join(command))
        # A folder with this package alone: its environment is another one than ours.
        packages = self._files / "packages"
        packages.mkdir()
        package = pathlib.Path(lingshu_jax.__file__).parent
        (packages / package.name).symlink_to(package, target_is_directory=True)
        paths = [str(packages), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_SERVER_DEV_MODE": str(int(self._has_live_weights or self._can_sleep)),
        }
        guard = [sys.executable, vllm_child.__file__, str(STOP_SECONDS)]
        with (self._files / "log").open("wb") as log:
            return subprocess.Popen(
                [*guard, *command],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait(self, deadline: float) -> None:
        """Returns once it answers."""
        while not self._is_healthy():
            code = self._process.poll()
            if code is not None:
                raise errors.UserError(f"the vLLM server ended with code {code}: {self._last()}")
            if time.monotonic() > deadline:
                raise errors.UserError(f"the vLLM server does not answer in time: {self._last()}")
            time.sleep(_POLL_SECONDS)

    def _is_healthy(self) -> bool:
        try:
            return self._request("GET", "/health", timeout=_HEALTH_SECONDS)[0] == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def _post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout: float = CALL_SECONDS,
    ) -> str:
        try:
            status, answer = self._request("POST", path, body, timeout=timeout)
        except (OSError, http.client.HTTPException) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise errors.UserError(
                f"the vLLM server does not answer {path} ({reason}): {self._last()}"
            ) from error
        if status != http.HTTPStatus.OK:
            raise errors.UserError(f"the vLLM server answers {path} with {status}: {answer:.400}")
        return answer

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        timeout: float = CALL_SECONDS,
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=timeout)
        with contextlib.closing(connection):
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body or {}), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")

    def _last(self) -> str:
        """The end of its log, on one line; it goes with the server."""
        log = self._files / "log"
        if not log.exists():
            return "the server is closed"
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
        end = [line for line in lines if line][-_LOG_LINES:]
        if _ELSEWHERE in " ".join(end):  # what a process of the server died of
            causes = [line for line in lines if _CAUSE.search(line) and _ELSEWHERE not in line]
            end = [_CAUSE.split(cause, maxsplit=1)[1][:_SHOWN] for cause in causes[-1:]] or end
        return " | ".join(end)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]


def _flags(arguments: Mapping[str, Any]) -> list[str]:
    """Arguments of `vllm.LLM` on the command line."""
    words = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            words += [f"--{flag}", json.dumps(value) if isinstance(value, Mapping) else str(value)]
    return words


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks a server to end, and ends it with all its processes where it does not."""
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2 * STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
