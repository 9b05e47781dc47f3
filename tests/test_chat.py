# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import contextlib
import http.server
import json
import subprocess
import sys
import threading

import pytest

from lingshu_jax import chat
from lingshu_jax.common import errors
from lingshu_jax.engines import openai_options, registry
from tests.engines import bad_server


@contextlib.contextmanager
def naming(answer, status=200):
    """The address of a server that names its models."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.path == "/v1/models"
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def models(*names, owner="someone"):
    data = [{"id": name, "object": "model", "created": 0, "owned_by": owner} for name in names]
    return {"object": "list", "data": data}


def test_the_only_model_of_a_server_is_taken():
    with naming(models("a")) as address:
        for given in (address, f"{address}/", f"{address}/v1"):
            choice = chat.choose_server(given, "", registry.DEFAULTS)
            assert (choice.name, choice.model) == ("openai", "a")
            assert choice.options.server.base_url.removesuffix("/") == f"{address}/v1"
    about = chat.describe(choice)
    assert (about.model, about.engine, about.at_once) == ("a", "openai", 4)
    assert about.unknown == ("top_k", "repetition_penalty")


def test_a_server_of_vllm_is_asked_in_its_own_dialect():
    with naming(models("a", owner="vllm")) as address:
        choice = chat.choose_server(address, "", registry.DEFAULTS)
        assert choice.options.server.dialect == "vllm" and chat.describe(choice).unknown == ()
        basic = registry.Options(server=openai_options.Options(dialect="basic"))
        choice = chat.choose_server(address, "", basic)
        assert choice.options.server.dialect == "basic"


def test_one_of_several_models_is_named():
    with naming(models("a", "b")) as address:
        assert chat.choose_server(address, "b", registry.DEFAULTS).model == "b"
        with pytest.raises(errors.UserError, match=r"--model=NAME is needed: .*/v1 has a, b$"):
            chat.choose_server(address, "", registry.DEFAULTS)


def test_a_server_that_names_no_models_needs_a_name(monkeypatch):
    with bad_server.running() as server:
        assert chat.choose_server(server.url, "x", registry.DEFAULTS).model == "x"
        with pytest.raises(errors.UserError, match="does not name its models"):
            chat.choose_server(server.url, "", registry.DEFAULTS)
    monkeypatch.setenv("OPENAI_API_KEY", "key-that-is-secret")
    with naming({"error": {"message": "bad key-that-is-secret"}}, status=401) as address:
        with pytest.raises(errors.UserError, match=r"bad \[hidden\]"):
            chat.choose_server(address, "x", registry.DEFAULTS)


def test_an_address_that_is_none_is_refused():
    with pytest.raises(errors.UserError, match="base_url must be an http or https address"):
        chat.choose_server("localhost:8000", "", registry.DEFAULTS)


def command(*arguments, before=""):
    code = f"{before}\nfrom lingshu_jax import chat\nfrom lingshu_jax.common import cli\n"
    code += "cli.run(chat.main, chat.define_flags)"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "--model is required"),
        (("--server=http://a", "--engine=jax"), "--server is of --engine=openai, got jax"),
        (("--server=http://a", "--base_url=http://b"), "--server and --base_url say the same"),
        (("--model=x", "--port=-1"), "--port must be 0 to 65535, got -1"),
    ],
)
def test_wrong_flags_are_one_line(arguments, line):
    done = command(*arguments)
    assert done.returncode == 2 and done.stderr.startswith(f"error: {line}"), done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_a_missing_extra_is_one_line():
    done = command("--model=x", before="import sys; sys.modules['uvicorn'] = None")
    assert done.returncode == 2
    assert done.stderr == "error: uvicorn is missing: pip install 'lingshu-jax[web]'\n"
