# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import contextlib
import io
import json
import logging
import re
import time

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import web
from lingshu_jax.data import sources
from lingshu_jax.engines import protocol
from tests import chat_pages
from tests.engines import stand_in

turn, body, ask, upload = chat_pages.turn, chat_pages.body, chat_pages.ask, chat_pages.upload
file_of, noise, ct = chat_pages.file_of, chat_pages.noise, chat_pages.ct
SAMPLING = chat_pages.SAMPLING
SECRET = chat_pages.SECRET


@pytest.fixture
def engine():
    return chat_pages.Talker()


@pytest.fixture
def client(engine):
    with chat_pages.serving(engine) as client:
        yield client


@pytest.fixture(scope="module")
def page():
    """A client for what asks nothing of the engine."""
    with chat_pages.serving(chat_pages.Talker()) as client:
        yield client


def test_the_page_is_made_of_files_of_its_own(client):
    page = client.get("/")
    assert page.headers["content-security-policy"] == web.POLICY
    assert "Research use only, not for diagnosis" in page.text
    for name in ("app.css", "app.js", "viewer.js", "icon.svg"):
        assert client.get(f"/{name}").status_code == 200
        assert f'"/{name}"' in page.text + client.get("/app.js").text
    for text in (page.text, client.get("/app.js").text, client.get("/viewer.js").text):
        assert not re.search(r"://|innerHTML|\beval\(|(local|session)Storage", text)
    assert not re.search(r"\s(style|on\w+)=", page.text)  # the policy lets neither be
    client.cookies.clear()
    assert client.get("/app.js").status_code == client.post("/uploads").status_code == 401


def test_an_answer_comes_in_pieces_with_its_times(client):
    begun, *words, done = ask(client, turn("one two three"))
    assert begun == {"begun": True}
    assert words == [{"text": "one"}, {"text": "two"}, {"text": "three"}]
    found = done["done"]
    assert found["finish_reason"] == "length" and found["tokens"] == 4
    assert 0 < found["first_seconds"] < 5 and found["rate"] > 0


def test_the_engine_gets_the_whole_conversation(client, engine):
    id = upload(client, file_of(noise()))["id"]
    sampling = {
        "max_new_tokens": 5,
        "temperature": 1.0,
        "top_p": 0.5,
        "top_k": 3,
        "repetition_penalty": 1.5,
        "seed": 7,
    }
    turns = [
        turn("first", (id, {})),
        turn("said"),
        turn("second", (id, {})),
    ]
    ask(client, *turns, sampling=sampling, system="Be brief.")
    asked = engine.requests[0]
    assert asked.sampling == protocol.SamplingParams(**sampling)
    kinds = [(m["role"], [part["type"] for part in m["content"]]) for m in asked.messages]
    assert kinds == [
        ("system", ["text"]),
        ("user", ["image", "text"]),
        ("assistant", ["text"]),
        ("user", ["image", "text"]),
    ]
    ask(client, turn("x"), system=" ")
    assert engine.requests[1].messages == [
        {"role": "user", "content": [{"type": "text", "text": "x"}]}
    ]


def test_what_an_engine_refuses_is_one_line(client):
    assert ask(client, turn("fail"))[-1] == {"error": "no room"}


def test_a_fault_is_told_without_what_it_quotes(client, caplog):
    with caplog.at_level(logging.INFO):
        answer = ask(client, turn("one crash"))
    assert answer[-1] == {"error": "the program failed (RuntimeError); its terminal shows where"}
    assert "RuntimeError" in caplog.text and "chat_pages.py" in caplog.text
    assert SECRET not in caplog.text
    assert ask(client, turn("one"))[-1]["done"]


def test_nothing_of_a_conversation_is_logged(client, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        ask(client, turn(f"hello {SECRET}"))
    out, err = capfd.readouterr()
    assert SECRET not in caplog.text + out + err


@contextlib.contextmanager
def asking(client, *turns):
    """An answer that is still coming: its lines."""
    with client.stream("POST", "/answer", json=body(*turns)) as answer:
        yield map(json.loads, answer.iter_lines())


def test_a_second_question_waits_and_hears_so(client, engine):
    with (
        asking(client, turn("a wait")) as first,
        asking(client, turn("b")) as second,
    ):
        assert next(first) == {"begun": True}
        with asking(client, turn("c")) as third:
            assert [next(second), next(third)] == [{"before": 1}, {"before": 2}]
            engine.go_on.set()
            assert [list(second)[-2], list(third)[-2]] == [{"text": "b"}, {"text": "c"}]
    assert [stand_in.text_of(request) for request in engine.requests] == ["a wait", "b", "c"]


def test_servers_answer_several_at_once(engine):
    with (
        chat_pages.serving(engine, at_once=2) as client,
        asking(client, turn("a wait")) as first,
    ):
        assert next(first) == {"begun": True}
        assert ask(client, turn("b"))[0] == {"begun": True}
        engine.go_on.set()
        assert "done" in [*first][-1]


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_leaves_stops_the_engine(client, engine):
    words = "wait b " + "c " * 5000
    with asking(client, turn(words)) as lines:
        next(lines)
    engine.go_on.set()
    until(lambda: engine.ended)
    assert ask(client, turn("next"))[-1]["done"]
    assert stand_in.text_of(engine.requests[-1]) == "next"


def test_who_leaves_the_queue_is_never_asked(client, engine):
    with asking(client, turn("a wait")) as first:
        assert next(first) == {"begun": True}
        with asking(client, turn("b")) as second:
            assert next(second) == {"before": 1}
        time.sleep(0.2)  # until the server has noticed
        engine.go_on.set()
        list(first)
    assert ask(client, turn("c"))[-1]["done"]
    assert [stand_in.text_of(request) for request in engine.requests] == ["a wait", "c"]


@pytest.mark.parametrize(
    ("sampling", "line"),
    [
        ({}, "max_new_tokens is needed"),
        ({"max_new_tokens": 0}, "max_new_tokens must be >= 1, got 0"),
        ({"max_new_tokens": 1.5}, "max_new_tokens must be a whole number, got 1.5"),
        ({"max_new_tokens": True}, "max_new_tokens must be a whole number, got True"),
        ({**SAMPLING, "top_p": 2}, "top_p must be above 0 and at most 1, got 2.0"),
        ({**SAMPLING, "temperature": "1"}, "temperature must be a number, got '1'"),
        (
            {**SAMPLING, "n": 2},
            "sampling must be an object of max_new_tokens, temperature",
        ),
        (None, "sampling must be an object of max_new_tokens, temperature"),
    ],
)
def test_sampling_that_cannot_be_is_refused(page, sampling, line):
    answer = page.post("/answer", json=body(turn("x"), sampling=sampling))
    assert answer.status_code == 400 and answer.json()["error"].startswith(line)


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        ("[]", "what was sent is not a JSON object"),
        ("{", "what was sent is not JSON (JSONDecodeError)"),
        (json.dumps(body()), "a conversation has a system prompt and turns"),
        (json.dumps(body({"media": []})), "turn 1 has no text"),
        (
            json.dumps(body(turn("a"), turn("b"))),
            "the last turn must be a question",
        ),
        (
            json.dumps(body({"text": "", "media": [7]})),
            "a picture has the name of a file",
        ),
        (json.dumps(body({"text": "", "media": 7})), "the media of turn 1 are no list"),
        (
            json.dumps(body(turn("a", ("x", [])))),
            "the view of a picture must be an object",
        ),
        (json.dumps(body(turn("a", ("gone", {})))), "a file is held no more"),
        (json.dumps(body(turn("a" * 2**22))), "the conversation is too long"),
    ],
    ids=["list", "torn", "empty", "no text", "answer", "number", "media", "view", "gone", "long"],
)
def test_a_conversation_that_cannot_be_is_refused(page, sent, line):
    answer = page.post("/answer", content=sent)
    assert answer.status_code == 400 and answer.json()["error"].startswith(line)


def test_a_download_is_a_row_that_generate_reads(client, engine, tmp_path):
    picture = upload(client, file_of(noise()))["id"]
    scan = upload(client, ct(tmp_path, np.arange(600).reshape(6, 10, 10)))["id"]
    turns = [
        turn("first", (picture, {})),
        turn("said"),
        turn("why", (scan, {"send": "clip"})),
    ]
    ask(client, *turns, system="Be brief.")
    row = client.post("/conversation", json=body(*turns, turn("last"), system="Be brief."))
    path = tmp_path / "conversation.jsonl"
    path.write_text(row.text)
    assert json.loads(row.text)["said"] == "last" and row.text.count("\n") == 1
    (example,) = sources.stream(sources.Source(name="x", path=str(path)))
    asked = engine.requests[0].messages
    assert [m["role"] for m in example.messages] == [m["role"] for m in asked]
    parts = [part for message in example.messages for part in message["content"]]
    wanted = [part for message in asked for part in message["content"]]
    assert len(parts) == len(wanted)
    for found, part in zip(parts, wanted, strict=True):
        value, want = found[found["type"]], part[part["type"]]
        if found["type"] == "text":
            assert value == want
            continue
        pairs = zip(value, want, strict=True) if isinstance(want, list) else [(value, want)]
        for data, image in pairs:
            assert (np.asarray(Image.open(io.BytesIO(data))) == np.asarray(image)).all()
