# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The engines by name, and the flags of the commands that use one.

An engine is imported when it is made: JAX takes its time, vLLM and openai may not be installed.
"""

import contextlib
import dataclasses
import hashlib
import importlib.util
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from absl import flags

from lingshu_jax.common import cli, errors, hub
from lingshu_jax.engines import cached, ledger, openai_options, protocol, vllm_folders


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How an engine works; the command line has the same names, those of `server` among them.

    Attributes:
      rows: Answers decoded at a time; 0 is the engine's own number.
      max_images: Requests with more are refused.
      tensor: Devices that share the weights, requests going over the others; 0 takes one device.
      dtype: What vLLM computes in; "" is what the weights are stored in, as of the JAX engine.
      max_model_len: vLLM's longest prompt and answer together; 0 is the model's own.
      gpu_memory_utilization: Of a device's memory that vLLM takes; 0 is vLLM's own share.
      vllm_python: Interpreter of an environment that has vLLM, where a server is started and
        asked; "" takes vLLM into this process, other architectures than Qwen2.5-VL to a server
        in this environment.
      server: How a server is asked; its `max_images` is the one above.
    """

    rows: int = 0
    max_images: int = protocol.MAX_IMAGES
    tensor: int = 0
    dtype: str = ""
    max_model_len: int = 0
    gpu_memory_utilization: float = 0.0
    vllm_python: str = ""
    server: openai_options.Options = openai_options.Options()

    def validate(self, name: str) -> None:
        """Raises UserError where a value is out of range or means nothing to the engine.

        Args:
          name: Of the engine.
        """
        if name not in ENGINES:
            raise errors.UserError(
                f"--engine={name} is unknown; allowed are {', '.join(ENGINES)}"
                f"{errors.suggest(name, ENGINES)}"
            )
        takes = ENGINES[name].takes
        wrong = [flag for flag in _changed(self) if flag not in takes]
        if wrong:
            raise errors.UserError(
                f"--{wrong[0]} means nothing to --engine={name}, which takes {', '.join(takes)}"
            )
        if name == "vllm" and not self.vllm_python and "timeout_seconds" in _changed(self):
            raise errors.UserError("--timeout_seconds needs --vllm_python, whose server it is for")
        for field in ("rows", "max_images", "tensor", "max_model_len"):
            value = getattr(self, field)
            if value < 0:
                raise errors.UserError(f"--{field} must be >= 0, got {value}")
        if not 0 <= self.gpu_memory_utilization <= 1:
            raise errors.UserError(
                f"--gpu_memory_utilization must be 0 to 1, got {self.gpu_memory_utilization}"
            )
        if ENGINES[name].has_folder:
            self.server.validate_limits()
        else:
            self.server.validate()


DEFAULTS = Options()
# Of a model's folder: tokenizer, processor, template, generation config. The largest tokenizers
# take 20 MB.
_SUFFIXES, _LARGEST_FILE = (".json", ".jinja", ".txt"), 64 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """An engine that can be made; from `choose`.

    Attributes:
      name: Of the engine.
      model: As the user names it.
      place: Its folder here, or its name at a server.
      options: How the engine works.
    """

    name: str
    model: str
    place: str
    options: Options

    def settings(self) -> dict[str, Any]:
        """What decides the answers, in JSON values.

        Returns:
          `engine`, `model`, `dtype`, `base_url`, `dialect`, and the digests `weights` and `files`
          (tokenizer, processor, templates, generation config), "" of a server's model.

        Raises:
          UserError: If a folder is none of a model.
        """
        server = self.options.server
        found = {"engine": self.name, "model": self.model, "dtype": self.options.dtype}
        if not ENGINES[self.name].has_folder:
            asked = {"base_url": server.url, "dialect": server.dialect}
            return {**found, "weights": "", "files": "", **asked}
        folder = pathlib.Path(self.place)
        digests = {"weights": hub.digest_weights(folder), "files": _digest_files(folder)}
        return {**found, **digests, "base_url": "", "dialect": ""}

    def check(self, sampling: protocol.SamplingParams) -> None:
        """Finds out before anything is asked what no request could be asked with.

        Args:
          sampling: Of all requests, valid.

        Raises:
          UserError: If the engine or a server has no word for a field that is set.
        """
        if self.name == "jax":
            from lingshu_jax.engines import jax_requests

            jax_requests.check_free(sampling)
        if not ENGINES[self.name].has_folder:
            from lingshu_jax.engines import openai_requests

            server = self.options.server
            openai_requests.sampling_fields(sampling, server.dialect, server.unsent)

    def make(self) -> protocol.Engine:
        """Makes it; where the options name a cache, it is made when that lacks an answer.

        Raises:
          UserError: If the model cannot be used, or a library is not installed; with a cache, the
            engine's calls raise it.
        """
        kind, folder = ENGINES[self.name], self.options.server.cache_folder
        if folder is None or not kind.has_folder:  # a server's engine has its own
            return kind.make(self.place, self.options)
        # What the model is called decides nothing; a longer context may cut an answer later.
        made_with = {name: value for name, value in self.settings().items() if name != "model"}
        made_with["max_model_len"] = self.options.max_model_len
        made_with["is_served"] = _is_served(pathlib.Path(self.place), self.options)
        return cached.Cached(lambda: kind.make(self.place, self.options), folder, made_with)


def choose(name: str, model: str, *, options: Options = DEFAULTS) -> Choice:
    """Checks everything that shows before an engine is made, and finds its model.

    Args:
      name: Of `ENGINES`.
      model: A Hugging Face folder or hub id, or the name that a server knows.
      options: How it works.

    Raises:
      UserError: If there is no such engine or model, or if an option is out of range or means
        nothing to the engine.
    """
    options.validate(name)
    place = str(hub.resolve(model, "--model")) if ENGINES[name].has_folder else model
    return Choice(name=name, model=model, place=place, options=options)


def make(name: str, model: str, *, options: Options = DEFAULTS) -> protocol.Engine:
    """An engine in one call.

    Args:
      name: As in `choose`.
      model: As in `choose`.
      options: As in `choose`.

    Raises:
      UserError: As in `choose` and `Choice.make`.
    """
    return choose(name, model, options=options).make()


def define_flags() -> None:
    """Defines the flags that choose a model and an engine."""
    flags.DEFINE_string("model", None, "Folder or hub id org/name[@revision]; a server's name.")
    flags.DEFINE_string("engine", "jax", f"What answers: {', '.join(ENGINES)}.")
    flags.DEFINE_integer("rows", 0, "Answers decoded at a time, 0: the engine's own. jax, vllm.")
    flags.DEFINE_integer("max_images", DEFAULTS.max_images, "Of a row; more are refused.")
    flags.DEFINE_integer("tensor", 0, "Devices that share the weights; 0: one device. jax, vllm.")
    flags.DEFINE_string("dtype", "", "Computed in; default: as stored. vllm.")
    flags.DEFINE_integer("max_model_len", 0, "Longest prompt and answer. vllm.")
    flags.DEFINE_float("gpu_memory_utilization", 0.0, "Share of a device's memory. vllm.")
    flags.DEFINE_string("vllm_python", "", "Interpreter of an environment that has vLLM. vllm.")
    for name, said in _SERVER.items():
        _define(name, getattr(DEFAULTS.server, name), said)
    for name, said in _TERMS.items():
        _define(name, getattr(DEFAULTS.server.terms, name), said)


def options_from_flags() -> Options:
    """What the flags of `define_flags` say of the options."""
    own = {field.name for field in dataclasses.fields(Options)} - {"server"}
    terms = {name: cli.flag(name) for name in _TERMS}
    server: dict[str, Any] = {name: cli.flag(name) for name in _SERVER}
    server |= {name: pathlib.Path(server[name]) if server[name] else None for name in _FILES}
    return Options(
        **{name: cli.flag(name) for name in own},
        server=openai_options.Options(**server, terms=ledger.Terms(**terms)),
    )


# Flags of --engine=openai that are fields of `openai_options.Options` under the same name.
_SERVER = {
    "base_url": "Of the server, as http://localhost:8000/v1; default $OPENAI_BASE_URL.",
    "key_variable": "Environment variable that holds the key.",
    "dialect": f"What the server knows: {', '.join(get_args(openai_options.Dialect))}.",
    "timeout_seconds": "For one try; of vllm, with --vllm_python.",
    "max_retries": "Further tries.",
    "max_concurrency": "Most requests at a time.",
    "requests_per_minute": "At most; 0 is no limit.",
    "tokens_per_minute": "At most; 0 is no limit.",
    "image_tokens": "The most that an image may be; for the budgets.",
    "cache_folder": "Answers, found again by what was asked. jax, vllm.",
    "ledger_file": "JSONL of tokens and costs.",
}
_FILES = ("cache_folder", "ledger_file")
# And those of its terms.
_TERMS = {
    "price_in": "Of a million tokens of prompts.",
    "price_out": "Of a million tokens of answers.",
    "max_cost": "The most to be spent; 0 is no limit.",
    "max_total_tokens": "The most tokens to be used; 0 is no limit.",
}


def _define(name: str, default: Any, said: str) -> None:
    """A flag of --engine=openai, of the type of its default."""
    said = f"{said} openai."
    if isinstance(default, int):
        flags.DEFINE_integer(name, default, said)
    elif isinstance(default, float):
        flags.DEFINE_float(name, default, said)
    else:
        flags.DEFINE_string(name, str(default or ""), said)


def _changed(options: Options) -> Iterator[str]:
    """The flags that are not at their default."""
    for field in dataclasses.fields(Options):
        if field.name != "server" and getattr(options, field.name) != field.default:
            yield field.name
    for name in _SERVER:
        if getattr(options.server, name) != getattr(DEFAULTS.server, name):
            yield name
    for name in _TERMS:
        if getattr(options.server.terms, name):
            yield name


def _digest_files(folder: pathlib.Path) -> str:
    """A short hash of all that stands beside the weights and decides what is read and written."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES):
        size = path.stat().st_size
        if size <= _LARGEST_FILE:
            total.update(f"{path.name} {size}\n".encode())
            total.update(path.read_bytes())
    return total.hexdigest()[:16]


def _make_jax(folder: str, options: Options) -> protocol.Engine:
    import jax

    from lingshu_jax.common import runtime, sharding
    from lingshu_jax.engines import jax_engine

    runtime.start()
    mesh = None
    if options.tensor:
        # Where hosts are joined each has an engine of its own.
        sizes = {"data": -1, "tensor": options.tensor}
        mesh = sharding.make_mesh(sizes, jax.local_devices())
    rows: dict[str, Any] = {"rows": options.rows} if options.rows else {}
    return jax_engine.JaxEngine.from_folder(
        pathlib.Path(folder), mesh=mesh, max_images=options.max_images, **rows
    )


def _make_vllm(folder: str, options: Options) -> protocol.Engine:
    from lingshu_jax.engines import vllm_engine

    given = {
        "max_num_seqs": options.rows,
        "tensor_parallel_size": options.tensor,
        "gpu_memory_utilization": options.gpu_memory_utilization,
    }
    arguments: dict[str, Any] = {
        "dtype": options.dtype,
        "max_images": options.max_images,
        "max_model_len": options.max_model_len or None,
        "options": {name: value for name, value in given.items() if value},
    }
    if not _is_served(pathlib.Path(folder), options):
        return vllm_engine.VllmEngine.from_folder(pathlib.Path(folder), **arguments)
    return _serve_vllm(pathlib.Path(folder), options, arguments)


def _serve_vllm(
    folder: pathlib.Path, options: Options, arguments: Mapping[str, Any]
) -> protocol.Engine:
    """vLLM's server, started for this engine alone, in another environment or in this one."""
    from lingshu_jax.engines import vllm_server

    python = options.vllm_python
    if not python:
        if importlib.util.find_spec("vllm") is None:
            raise errors.UserError(
                "vLLM is not installed: pip install 'lingshu-jax[vllm]', or give --vllm_python"
            )
        python = sys.executable
    with contextlib.ExitStack() as stack:
        server = vllm_server.Server(folder, python=python, **arguments)
        stack.callback(server.close)
        asked = openai_options.Options(
            base_url=server.base_url,
            dialect="vllm",
            timeout_seconds=options.server.timeout_seconds,
            max_concurrency=options.rows or DEFAULTS.server.max_concurrency,
        )
        engine = _make_openai(server.model, dataclasses.replace(options, server=asked))
        return _WithServer(engine, stack.pop_all().close)


def _is_served(folder: pathlib.Path, options: Options) -> bool:
    """Whether vLLM answers as a server: always where the prompts are not those of our own model."""
    return bool(options.vllm_python) or not vllm_folders.read_kind(folder).is_ours


def _make_openai(model: str, options: Options) -> protocol.Engine:
    try:
        from lingshu_jax.engines import openai_engine
    except ModuleNotFoundError as error:
        raise errors.UserError(f"{error.name} is missing: pip install 'lingshu-jax[api]'") from (
            error
        )
    server = dataclasses.replace(options.server, max_images=options.max_images)
    return openai_engine.OpenAIEngine(model, options=server)


class _WithServer:
    """An engine whose server ends with it."""

    def __init__(self, engine: protocol.Engine, end_server: Callable[[], object]):
        self.generate, self.score, self.stream = engine.generate, engine.score, engine.stream
        if isinstance(engine, protocol.Converser):
            self.converse = engine.converse
        self._engine, self._end_server = engine, end_server

    def used(self) -> protocol.Used:
        engine = self._engine
        return engine.used() if isinstance(engine, protocol.Metered) else protocol.Used()

    def close(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._end_server)
            stack.callback(self._engine.close)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Engine:
    """An engine that can be made.

    Attributes:
      make: Of a choice's place and options.
      has_folder: Whether its model is a folder here.
      takes: The flags that mean something to it.
    """

    make: Callable[[str, Options], protocol.Engine]
    has_folder: bool = True
    takes: tuple[str, ...]


ENGINES = {
    "jax": _Engine(make=_make_jax, takes=("rows", "max_images", "tensor", "cache_folder")),
    "vllm": _Engine(
        make=_make_vllm,
        takes=(
            *("rows", "max_images", "tensor"),
            *("dtype", "max_model_len", "gpu_memory_utilization", "vllm_python"),
            *("timeout_seconds", "cache_folder"),
        ),
    ),
    "openai": _Engine(make=_make_openai, has_folder=False, takes=("max_images", *_SERVER, *_TERMS)),
}
