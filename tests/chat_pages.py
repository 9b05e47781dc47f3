# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The chat page before an engine that says what it is asked, and files to give it."""

import contextlib
import io
import json
import threading
import time

import httpx2
import numpy as np
import uvicorn
from PIL import Image

from lingshu_jax import chat_app
from lingshu_jax.common import errors
from lingshu_jax.engines import protocol
from tests.data import dicom_files
from tests.engines import stand_in

SECRET = "DOE^JANE"
SAMPLING = {"max_new_tokens": 8}


class Talker(stand_in.StandIn):
    """Streams what it is asked, word by word; some words make it behave otherwise."""

    def __init__(self):
        super().__init__()
        self.go_on = threading.Event()
        self.ended = []

    def stream(self, request):
        self.requests.append(request)
        text = stand_in.text_of(request)
        try:
            if "fail" in text:
                raise errors.UserError(f"request {request.id!r}: no\nroom")
            for place, word in enumerate(text.split()):
                if word == "crash":
                    raise RuntimeError(f"quotes {SECRET}")
                if word == "wait":
                    assert self.go_on.wait(20)
                said = protocol.Delta(text=word, tokens=(place,), logprobs=(), finish_reason=None)
                yield said
            yield protocol.Delta(text="", tokens=(9,), logprobs=(), finish_reason="length")
        finally:
            self.ended.append(text)


@contextlib.contextmanager
def serving(engine, **about):
    """A client that has the token of the page."""
    told = chat_app.About(model="m", engine="jax", **about)
    app = chat_app.make_app(engine, told, token="token-of-this-test")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            assert client.get("/?token=token-of-this-test").status_code == 307
            yield client
    finally:
        server.should_exit = True
        thread.join()


def file_of(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(height=20, width=30, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def upload(client, data):
    answer = client.post("/uploads", content=data)
    assert answer.status_code == 200, answer.text
    return answer.json()


def turn(text, *media):
    return {"text": text, "media": [{"id": id, "view": view} for id, view in media]}


def body(*turns, sampling=SAMPLING, **more):
    return {"turns": list(turns), "sampling": sampling, **more}


def ask(client, *turns, **more):
    answer = client.post("/answer", json=body(*turns, **more))
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def ct(tmp_path, values=None, **fields):
    """A CT with a person's name, in memory."""
    values = np.arange(-1000, 1000, 20).reshape(1, 10, 10) if values is None else values
    fields = {"RescaleSlope": 1, "RescaleIntercept": -24, "BodyPartExamined": "CHEST", **fields}
    path = dicom_files.write(tmp_path / "a.dcm", values.astype(np.int16), **fields)
    return path.read_bytes()
