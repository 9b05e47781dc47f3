# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The chat page before vLLM's server, known by its address alone."""

import contextlib
import json
import pathlib
from collections.abc import Callable

import pytest
from starlette import testclient

from lingshu_jax import chat, chat_app
from lingshu_jax.engines import jax_engine, protocol, registry
from tests.vllm import folders, server

pytestmark = pytest.mark.vllm

NEW_TOKENS = 12


def test_a_question_about_a_picture_is_answered_as_by_our_engine(
    side_python: Callable[[str], pathlib.Path], tmp_path: pathlib.Path
) -> None:
    (row,) = [row for row in folders.requests(tmp_path, extra=0) if row["id"] == "one"]
    picture, said = row["messages"][0]["content"]
    own = jax_engine.JaxEngine.from_folder(folders.make(tmp_path, "untied"), rows=1)
    sampling = protocol.SamplingParams(max_new_tokens=NEW_TOKENS)
    ((ours,),) = own.generate([protocol.Request(messages=row["messages"], sampling=sampling)])
    with server.running(side_python("vllm"), tmp_path, entry="module") as port:
        choice = chat.choose_server(f"http://{server.HOST}:{port}", "", registry.DEFAULTS)
        assert choice.model == server.MODEL and choice.options.server.dialect == "vllm"
        with contextlib.closing(choice.make()) as engine:
            app = chat_app.make_app(engine, chat.describe(choice), token="token-of-this-test")
            with testclient.TestClient(app, base_url="http://127.0.0.1") as client:
                client.get("/?token=token-of-this-test")
                data = pathlib.Path(picture["image"]).read_bytes()
                id = client.post("/uploads", content=data).json()["id"]
                turns = [{"text": said["text"], "media": [{"id": id}]}]
                fields = {"max_new_tokens": NEW_TOKENS, "top_k": 0, "repetition_penalty": 1.0}
                body = {"turns": turns, "sampling": fields}
                lines = client.post("/answer", json=body).text.splitlines()
    begun, *pieces, last = map(json.loads, lines)
    assert begun == {"begun": True} and last["done"]["tokens"] == len(ours.tokens)
    assert last["done"]["finish_reason"] == ours.finish_reason
    assert "".join(piece["text"] for piece in pieces) == ours.text
