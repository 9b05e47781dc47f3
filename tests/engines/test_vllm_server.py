# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A server that is started, given weights and ended; a stand-in for vLLM's, real processes."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from lingshu_jax.common import errors
from lingshu_jax.engines import vllm_server
from lingshu_jax.models import hf
from tests import small
from tests.engines import vllm_stand_in

Start = Callable[..., vllm_server.Server]


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    return vllm_stand_in.install(tmp_path)


@pytest.fixture
def start(
    place: pathlib.Path, small_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Start:
    """Starts a server with something wrong, or nothing."""

    def run(mode: str = "", **options: Any) -> vllm_server.Server:
        monkeypatch.setenv("PYTHONPATH", str(place))
        monkeypatch.setenv("STAND_IN", mode)
        return vllm_server.Server(small_folder, python=sys.executable, **options)

    return run


def is_gone(pid: int) -> bool:
    """Whether a process ends within seconds; one that has ended and waits for init is gone."""
    status = pathlib.Path(f"/proc/{pid}/stat")
    for _ in range(100):
        try:
            if status.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def calls(place: pathlib.Path) -> list[str]:
    return [line.split()[0] for line in vllm_stand_in.notes(place, "calls")]


def test_it_ends_with_every_process_of_its_own(place: pathlib.Path, start: Start) -> None:
    with start() as server:
        (child,) = map(int, vllm_stand_in.notes(place, "child"))
        assert server.base_url.startswith("http://127.0.0.1:")
        assert not is_gone(child)
    assert is_gone(child)
    server.close()  # a second time is no harm


def test_it_is_told_what_decides_answers(place: pathlib.Path, start: Start) -> None:
    with start(max_images=3, options={"enforce_eager": True, "kv_cache_memory_bytes": 5}) as server:
        arguments = vllm_stand_in.notes(place, "arguments")
        assert arguments[arguments.index("--served-model-name") + 1] == server.model
    pairs = dict(zip(arguments, arguments[1:], strict=False))
    assert pairs["--generation-config"] == "vllm" and pairs["--dtype"] == "float32"
    assert pairs["--limit-mm-per-prompt"] == '{"image": 3, "video": 0}'
    assert pairs["--kv-cache-memory-bytes"] == "5" and "--enforce-eager" in arguments
    assert "--max-model-len" not in arguments and "None" not in arguments
    assert "--worker-extension-cls" not in arguments  # no live weights


def test_a_folder_without_weights_will_do_where_they_come_live(
    place: pathlib.Path, small_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = shutil.copytree(
        small_folder, place / "bare", ignore=shutil.ignore_patterns("*.safetensors*")
    )
    monkeypatch.setenv("PYTHONPATH", str(place))
    with pytest.raises(errors.UserError, match="holds no model.safetensors"):
        vllm_server.Server(bare, python=sys.executable, has_live_weights=True)
    size = hf.read_config(small_folder)
    with vllm_server.Server(
        bare, python=sys.executable, dtype="float32", size=size, has_live_weights=True
    ) as server:
        server.set_params(small.random_params())
    assert "/update_weights" in calls(place)


def test_weights_come_between_a_pause_and_forgetting(place: pathlib.Path, start: Start) -> None:
    with start(has_live_weights=True) as server:
        assert "--worker-extension-cls" in vllm_stand_in.notes(place, "arguments")
        server.set_params(small.random_params())
        assert server.last_sync is not None and server.last_sync.num_bytes > 0
    assert calls(place) == [
        "/pause?mode=wait",
        "/start_weight_update",
        "/update_weights",
        "/finish_weight_update",
        "/reset_prefix_cache",
        "/reset_mm_cache",
        "/reset_encoder_cache",
        "/resume",
    ]


def test_a_server_without_live_weights_says_so(place: pathlib.Path, start: Start) -> None:
    with start() as server, pytest.raises(errors.UserError, match="has_live_weights is False"):
        server.set_params(small.random_params())
    assert calls(place) == []


def test_sleep_is_counted_where_it_does_nothing(place: pathlib.Path, start: Start) -> None:
    with start() as server:
        server.sleep()
        server.wake()
        assert server.skipped_sleeps == 1 and calls(place) == []
    with start(can_sleep=True) as server:
        server.sleep()
        server.wake()
        assert server.skipped_sleeps == 0
    assert calls(place) == ["/sleep?level=1", "/wake_up"]


def test_weights_that_are_refused_end_the_server(place: pathlib.Path, start: Start) -> None:
    server = start("refuses", has_live_weights=True)
    (child,) = map(int, vllm_stand_in.notes(place, "child"))
    with pytest.raises(errors.UserError, match="answers /update_weights with 500: .*no room"):
        server.set_params(small.random_params())
    assert is_gone(child)


def test_a_dead_server_is_noticed(start: Start) -> None:
    with start(has_live_weights=True) as server:
        os.killpg(server._process.pid, signal.SIGKILL)
        server._process.wait()
        with pytest.raises(errors.UserError, match="does not answer /pause"):
            server.set_params(small.random_params())


def test_it_does_not_outlive_a_killed_owner(
    place: pathlib.Path, small_folder: pathlib.Path, repo: pathlib.Path
) -> None:
    code = (
        "import pathlib, sys, time; from lingshu_jax.engines import vllm_server;"
        "server = vllm_server.Server(pathlib.Path(sys.argv[1]));"
        "print('ready', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{repo}{os.pathsep}{place}"}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(small_folder)], env=environment, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"ready\n"
        (child,) = map(int, vllm_stand_in.notes(place, "child"))
        assert not is_gone(child)
        owner.kill()
    assert is_gone(child)


def test_what_it_said_is_in_the_error(start: Start) -> None:
    with pytest.raises(errors.UserError, match=r"ended with code 3: loading \| ValueError: no mem"):
        start("dies")


def test_what_one_of_its_processes_died_of_is_in_the_error(start: Start) -> None:
    with pytest.raises(errors.UserError, match="with code 1: ValueError: no such layer$"):
        start("dies inside")


def test_any_architecture_is_served_but_not_with_live_weights(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(place))
    folder = place / "other"
    folder.mkdir()
    config = {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava"}
    (folder / "config.json").write_text(json.dumps(config))
    safetensors.numpy.save_file({"a": np.zeros(2, np.float16)}, folder / "model.safetensors")
    with vllm_server.Server(folder) as server:
        arguments = vllm_stand_in.notes(place, "arguments")
        assert server.model == "other"
    assert arguments[arguments.index("--dtype") + 1] == "float16"
    assert not [word for word in arguments if "remote" in word]
    with pytest.raises(errors.UserError, match="model_type 'llava' is not known"):
        vllm_server.Server(folder, has_live_weights=True)
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoConfig": "c.C"}}))
    with pytest.raises(errors.UserError, match="needs code of its repository, and none is run"):
        vllm_server.Server(folder)


@pytest.mark.parametrize("mode", ["silent", "mute"])
def test_one_that_never_answers_is_ended(
    mode: str, place: pathlib.Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_server, "_HEALTH_SECONDS", 0.5)
    begun = time.monotonic()
    with pytest.raises(errors.UserError, match="does not answer in time"):
        start(mode, start_seconds=3.0)
    assert time.monotonic() - begun < 60
    for child in map(int, vllm_stand_in.notes(place, "child")):
        assert is_gone(child)


def test_a_closed_one_says_so(start: Start) -> None:
    server = start(has_live_weights=True)
    server.close()
    with pytest.raises(errors.UserError, match="does not answer /pause.*the server is closed"):
        server.start_weight_update()


def test_an_environment_without_vllm_is_named(place: pathlib.Path, start: Start) -> None:
    (place / "vllm" / "entrypoints" / "openai" / "api_server.py").unlink()
    with pytest.raises(errors.UserError, match="ended with code 1: .*No module named"):
        start()
