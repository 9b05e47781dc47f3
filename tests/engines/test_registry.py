# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Engines by name: what each is given, what means nothing to it, what is imported when."""

import dataclasses
import importlib
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from absl import flags

from lingshu_jax.common import errors
from lingshu_jax.engines import (
    jax_engine,
    ledger,
    openai_client,
    openai_options,
    protocol,
    registry,
    vllm_engine,
    vllm_server,
)
from tests.engines import stand_in

SERVER = openai_options.Options(base_url="http://127.0.0.1:9/v1")


@pytest.fixture
def own_flags(monkeypatch: pytest.MonkeyPatch) -> Iterator[flags.FlagValues]:
    """A set of flags that no other test sees."""
    values = flags.FlagValues()
    for module in (flags, importlib.import_module("absl.flags._defines")):
        monkeypatch.setattr(module, "FLAGS", values, raising=False)
    for name in ("DEFINE_string", "DEFINE_integer", "DEFINE_float"):
        define = getattr(flags, name)
        monkeypatch.setattr(
            flags,
            name,
            lambda *args, define=define: define(*args, flag_values=values),
        )
    yield values


def test_the_jax_engine(small_folder: pathlib.Path) -> None:
    engine = registry.make("jax", str(small_folder), options=registry.Options(rows=2))
    assert isinstance(engine, jax_engine.JaxEngine) and isinstance(engine, protocol.Engine)
    sampling = protocol.SamplingParams(max_new_tokens=2)
    messages = [{"role": "user", "content": "what?"}]
    ((answer,),) = engine.generate([protocol.Request(messages=messages, sampling=sampling)])
    assert 1 <= len(answer.tokens) <= 2
    engine.close()


def test_vllm_is_given_what_the_flags_say(
    small_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def from_folder(folder: pathlib.Path, **arguments: Any) -> protocol.Engine:
        given.update(arguments, folder=folder)
        return stand_in.StandIn()

    monkeypatch.setattr(vllm_engine.VllmEngine, "from_folder", from_folder)
    registry.make("vllm", str(small_folder))
    assert given == {
        "folder": small_folder,
        "dtype": "",
        "max_images": protocol.MAX_IMAGES,
        "max_model_len": None,
        "options": {},
    }
    options = registry.Options(
        rows=3, tensor=2, dtype="float32", max_model_len=99, gpu_memory_utilization=0.5
    )
    registry.make("vllm", str(small_folder), options=options)
    assert given["options"] == {
        "max_num_seqs": 3,
        "tensor_parallel_size": 2,
        "gpu_memory_utilization": 0.5,
    }
    assert (given["dtype"], given["max_model_len"]) == ("float32", 99)


def test_vllm_of_another_environment_is_served(
    small_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    ended: list[str] = []

    class Server:
        base_url, model = "http://127.0.0.1:9/v1", "hf"

        def __init__(self, folder: pathlib.Path, **arguments: Any):
            given.update(arguments, folder=folder)

        def close(self) -> None:
            ended.append("server")

    monkeypatch.setattr(vllm_server, "Server", Server)
    patient = openai_options.Options(timeout_seconds=9.0)
    options = registry.Options(vllm_python="python9", tensor=2, rows=100, server=patient)
    asked: list[openai_options.Options] = []
    make_client = openai_client.Client

    def note(found: openai_options.Options, book: ledger.Ledger) -> openai_client.Client:
        asked.append(found)
        return make_client(found, book)

    monkeypatch.setattr(openai_client, "Client", note)
    engine = registry.make("vllm", str(small_folder), options=options)
    assert isinstance(engine, protocol.Engine)
    # As many are asked at a time as the server decodes.
    assert (asked[0].timeout_seconds, asked[0].max_concurrency) == (9.0, 100)
    assert (given["folder"], given["python"]) == (small_folder, "python9")
    assert given["options"] == {"max_num_seqs": 100, "tensor_parallel_size": 2}
    assert not ended
    engine.close()
    assert ended == ["server"]
    # Where it cannot be asked, it is ended as well.
    monkeypatch.setattr(openai_options, "read_key", _refuse)
    with pytest.raises(errors.UserError, match="no key"):
        registry.make("vllm", str(small_folder), options=options)
    assert ended == ["server"] * 2


@pytest.mark.parametrize("python", ["", "python9"])
def test_other_architectures_are_served_from_this_environment_or_another(
    small_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    python: str,
) -> None:
    given: dict[str, Any] = {}

    class Server:
        base_url, model = "http://127.0.0.1:9/v1", "hf"

        def __init__(self, folder: pathlib.Path, **arguments: Any):
            given.update(arguments, folder=folder)

        def close(self) -> None:
            pass

    monkeypatch.setattr(vllm_server, "Server", Server)
    folder = shutil.copytree(small_folder, tmp_path / "llava")
    config = {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava"}
    (folder / "config.json").write_text(json.dumps(config))
    options = registry.Options(vllm_python=python)
    choice = registry.choose("vllm", str(folder), options=options)
    assert choice.settings()["weights"]
    if not python:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        with pytest.raises(errors.UserError, match="vLLM is not installed: .* --vllm_python"):
            choice.make()
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    choice.make().close()
    assert (given["folder"], given["python"]) == (folder, python or sys.executable)


def test_a_server_ends_although_its_engine_does_not() -> None:
    engine, ended = stand_in.StandIn(), list[str]()

    def fail() -> None:
        ended.append("engine")
        raise OSError("the connection is gone")

    engine.close = fail
    both = registry._WithServer(engine, lambda: ended.append("server"))
    with pytest.raises(OSError, match="the connection is gone"):
        both.close()
    assert ended == ["engine", "server"]


def _refuse(*_: Any) -> str:
    raise errors.UserError("no key")


def test_a_server_is_any_name_of_a_model() -> None:
    engine = registry.make("openai", "no/folder", options=registry.Options(server=SERVER))
    assert isinstance(engine, protocol.Engine)
    engine.close()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("llama", {}, "--engine=llama is unknown; allowed are jax, vllm, openai"),
        ("jax", {"dtype": "float32"}, "--dtype means nothing to --engine=jax, which takes rows"),
        ("jax", {"server": SERVER}, "--base_url means nothing to --engine=jax"),
        ("openai", {"rows": 3}, "--rows means nothing to --engine=openai"),
        ("jax", {"rows": -1}, "--rows must be >= 0, got -1"),
        ("jax", {"tensor": -1}, "--tensor must be >= 0, got -1"),
        ("vllm", {"gpu_memory_utilization": 2.0}, "--gpu_memory_utilization must be 0 to 1"),
        (
            "vllm",
            {"server": openai_options.Options(terms=ledger.Terms(max_total_tokens=3))},
            "--max_total_tokens means nothing to --engine=vllm",
        ),
        (
            "openai",
            {"server": dataclasses.replace(SERVER, timeout_seconds=0.0)},
            "timeout_seconds must be > 0",
        ),
        (
            "vllm",
            {"server": openai_options.Options(timeout_seconds=9.0)},
            "--timeout_seconds needs --vllm_python",
        ),
        (
            "vllm",
            {"server": openai_options.Options(timeout_seconds=-1.0), "vllm_python": "python9"},
            "timeout_seconds must be > 0",
        ),
        (
            "openai",
            {"server": openai_options.Options(base_url="http://a:b@localhost/v1")},
            "base_url must have no user, password or query",
        ),
    ],
)
def test_bad_options_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.UserError, match=message):
        registry.make(name, "m", options=registry.Options(**options))


@pytest.mark.parametrize("name", ["jax", "vllm"])
def test_a_model_that_is_not_there_is_named(name: str) -> None:
    for call in (registry.make, registry.choose):
        with pytest.raises(errors.UserError, match="--model=nowhere is no folder"):
            call(name, "nowhere")


def settings(name: str, model: str, options: registry.Options = registry.DEFAULTS) -> Any:
    return registry.choose(name, model, options=options).settings()


def test_what_decides_answers(small_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = settings("jax", str(small_folder))
    assert len(ours["weights"]) == len(ours["files"]) == 16
    assert ours["base_url"] == ours["dialect"] == ""
    faster = registry.Options(rows=7, max_images=3)
    assert settings("jax", str(small_folder), options=faster) == ours
    typed = registry.Options(dtype="float32")
    assert settings("vllm", str(small_folder), options=typed) == {
        **ours,
        "engine": "vllm",
        "dtype": "float32",
    }
    monkeypatch.setenv("OPENAI_BASE_URL", "http://somewhere/v1")
    assert settings("openai", "m") == {
        "engine": "openai",
        "model": "m",
        "weights": "",
        "files": "",
        "dtype": "",
        "base_url": "http://somewhere/v1",
        "dialect": "openai",
    }
    basic = registry.Options(server=openai_options.Options(dialect="basic"))
    assert settings("openai", "m", options=basic)["dialect"] == "basic"
    # An address that is none of a server is no affair of other engines.
    monkeypatch.setenv("OPENAI_BASE_URL", "nowhere")
    assert settings("jax", str(small_folder)) == ours


FILES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "merges.txt")


@pytest.mark.parametrize("name", [*FILES, "preprocessor_config.json", "chat_template.jinja"])
def test_files_beside_the_weights_decide_answers(
    small_folder: pathlib.Path, tmp_path: pathlib.Path, name: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small_folder, folder)
    before = settings("jax", str(folder))
    (folder / "README.md").write_text("a model")
    assert settings("jax", str(folder)) == before
    with (folder / name).open("a") as file:
        file.write("\n")
    after = settings("jax", str(folder))
    assert after["files"] != before["files"]
    assert {**after, "files": ""} == {**before, "files": ""}


def test_fields_that_a_server_has_no_word_for_are_found_before_it_is_asked() -> None:
    sampling = protocol.SamplingParams(max_new_tokens=1, top_k=5)
    with pytest.raises(errors.UserError, match="top_k = 5 means nothing to a server of dialect"):
        registry.choose("openai", "m", options=registry.Options(server=SERVER)).check(sampling)
    knows = registry.Options(server=dataclasses.replace(SERVER, dialect="vllm"))
    registry.choose("openai", "m", options=knows).check(sampling)


def test_a_schema_is_refused_before_the_jax_engine_is_made(small_folder: pathlib.Path) -> None:
    sampling = protocol.SamplingParams(max_new_tokens=1, json_schema="{}")
    with pytest.raises(errors.UserError, match="json_schema means nothing to the JAX engine"):
        registry.choose("jax", str(small_folder)).check(sampling)
    for name, model in (("vllm", str(small_folder)), ("openai", "m")):
        registry.choose(name, model).check(sampling)


def test_flags_say_all_options(own_flags: flags.FlagValues) -> None:
    registry.define_flags()
    own_flags(["command"])
    assert registry.options_from_flags() == registry.DEFAULTS
    values = {
        "rows": 5,
        "max_images": 6,
        "tensor": 7,
        "dtype": "float32",
        "max_model_len": 8,
        "gpu_memory_utilization": 0.5,
        "vllm_python": "python9",
        "base_url": "http://x/v1",
        "key_variable": "KEY",
        "dialect": "vllm",
        "timeout_seconds": 9.0,
        "max_retries": 10,
        "max_concurrency": 11,
        "requests_per_minute": 12.0,
        "tokens_per_minute": 13.0,
        "image_tokens": 14,
        "cache_folder": "a",
        "ledger_file": "b",
        "price_in": 15.0,
        "price_out": 16.0,
        "max_cost": 17.0,
        "max_total_tokens": 18,
    }
    assert {*values, "model", "engine"} == {*own_flags}
    own_flags(["command", *(f"--{name}={value}" for name, value in values.items())])
    options = registry.options_from_flags()
    flat = {**vars(options.server.terms), **vars(options.server), **vars(options)}
    for name, value in values.items():
        found = str(flat[name]) if name in ("cache_folder", "ledger_file") else flat[name]
        assert found == value, name


@pytest.mark.parametrize("command", ["generate", "score", "evaluate"])
def test_commands_import_no_engine_before_it_is_needed(command: str, repo: pathlib.Path) -> None:
    code = (
        f"import sys, lingshu_jax.{command}; "
        "print([name for name in ('jax', 'openai', 'vllm', 'torch') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_openai_without_its_library_is_one_line(repo: pathlib.Path) -> None:
    code = """
import sys
from lingshu_jax.common import errors
from lingshu_jax.engines import registry
sys.modules["openai"] = None
try:
    registry.make("openai", "m")
except errors.UserError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "openai is missing: pip install 'lingshu-jax[api]'"
