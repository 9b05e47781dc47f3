# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A page to talk to a model about pictures: `python -m lingshu_jax.chat --model=DIR_OR_ID`.

Any engine answers (`--engine`), and any OpenAI-compatible server by its address:

    python -m lingshu_jax.chat --server=http://localhost:8000/v1 [--model=NAME]

For research use only, not for diagnosis. See docs/chat.md.
"""

import contextlib
import dataclasses
import pathlib
import urllib.parse
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import flags

from lingshu_jax.common import cli, errors, web_address
from lingshu_jax.engines import openai_options, registry

if TYPE_CHECKING:
    from lingshu_jax import chat_app

_SERVER_SECONDS = 10.0  # to name its models
_AT_ONCE = 4  # answers of a server; an engine here gives one
_NO_LIST = (404, 405, 501)  # of servers that do not name their models
_NOT_SENT = ("top_k", "repetition_penalty")  # to servers that are none of vLLM


class _Served(NamedTuple):
    """What a server says of its models.

    Attributes:
      names: Of all.
      is_vllm: Whether it is vLLM.
    """

    names: tuple[str, ...]
    is_vllm: bool


def choose_server(address: str, model: str, options: registry.Options) -> registry.Choice:
    """The model of a server that is known by its address.

    Args:
      address: As http://localhost:8000/v1; without a path `/v1` is meant.
      model: Its name there; "" is the only one that there is.
      options: Of the engine; a server of vLLM's is asked in its own dialect, unless one is set.

    Raises:
      UserError: If nobody answers there, or if it is not clear which model is meant.
    """
    server = dataclasses.replace(options.server, base_url=address)
    server.validate()
    if not urllib.parse.urlsplit(address).path.strip("/"):
        server = dataclasses.replace(server, base_url=f"{address.rstrip('/')}/v1")
    served = _ask_models(server, model)
    if not model:
        if len(served.names) != 1:
            known = ", ".join(served.names) or "none"
            raise errors.UserError(f"--model=NAME is needed: {server.url} has {known}")
        (model,) = served.names
    if served.is_vllm and server.dialect == openai_options.Options().dialect:
        server = dataclasses.replace(server, dialect="vllm")
    return registry.choose("openai", model, options=dataclasses.replace(options, server=server))


def describe(choice: registry.Choice) -> "chat_app.About":
    """What the page says of a model.

    Args:
      choice: Of it.
    """
    from lingshu_jax import chat_app

    has_folder = registry.ENGINES[choice.name].has_folder
    is_poor = not has_folder and choice.options.server.dialect != "vllm"
    folder = pathlib.Path(choice.model)
    return chat_app.About(
        model=folder.resolve().name if has_folder and folder.is_dir() else choice.model,
        engine=choice.name,
        at_once=1 if has_folder else _AT_ONCE,
        unknown=_NOT_SENT if is_poor else (),
    )


def define_flags() -> None:
    """Defines the command's flags."""
    registry.define_flags()
    web_address.define_flags()
    for module in (registry, web_address):
        flags.adopt_module_key_flags(module)  # --help shows them
    flags.DEFINE_string("server", "", "Address of a server, for --engine=openai --base_url.")


def main(argv: list[str]) -> None:
    """Reads the flags, loads the model and serves the page."""
    del argv
    address = web_address.from_flags()
    address.validate()
    # Before a model is fetched or loaded: a missing extra is said at once. `web` says it, which
    # therefore stands before what needs it.
    from lingshu_jax.common import web

    choice = _choose()
    about = describe(choice)
    from lingshu_jax import chat_app

    print(f"loading {about.model} ({about.engine})", flush=True)
    with contextlib.closing(choice.make()) as engine:
        token = web.new_token()
        app = chat_app.make_app(engine, about, token=token, is_open=not address.is_loopback)
        web.serve(app, address, token=token, title="chat, for research use only")


def _choose() -> registry.Choice:
    options, server = registry.options_from_flags(), cli.flag("server")
    if not server:
        return registry.choose(cli.flag("engine"), cli.required("model"), options=options)
    if flags.FLAGS["engine"].present and cli.flag("engine") != "openai":
        raise errors.UserError(f"--server is of --engine=openai, got {cli.flag('engine')}")
    if cli.flag("base_url"):
        raise errors.UserError("--server and --base_url say the same: give one of them")
    return choose_server(server, cli.flag("model") or "", options)


def _ask_models(server: openai_options.Options, model: str) -> _Served:
    """What the server has; one that names none has the model that is asked for, if any."""
    try:
        import openai
    except ModuleNotFoundError as error:
        raise errors.UserError(f"{error.name} is missing: pip install 'lingshu-jax[api]'") from (
            error
        )
    key = openai_options.read_key(server)
    options: dict[str, Any] = {"max_retries": 0, "timeout": _SERVER_SECONDS}
    try:
        with openai.OpenAI(base_url=server.url, api_key=key, **options) as client:
            models = list(client.models.list())
    except openai.OpenAIError as error:
        if model and getattr(error, "status_code", 0) in _NO_LIST:
            return _Served((model,), is_vllm=False)
        said = openai_options.read_secrets(key).hide(str(error))
        raise errors.UserError(f"--server={server.url} does not name its models: {said}") from None
    owners = {getattr(model, "owned_by", "") for model in models}
    return _Served(tuple(model.id for model in models), "vllm" in owners)


if __name__ == "__main__":
    cli.run(main, define_flags)
