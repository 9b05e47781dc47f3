# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import asyncio
import base64
import io
import json
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.engines import answer_cache, ledger, openai_engine, openai_options, protocol
from tests.engines import bad_server

KEY = "sk-test-0123456789abcdef"

# Asks forty questions, and is killed before it has all answers.
KILLED = """
import pathlib, sys
from lingshu_jax.engines import openai_engine, openai_options, protocol

options = openai_options.Options(
    base_url=sys.argv[1], max_concurrency=4, cache_folder=pathlib.Path(sys.argv[2])
)
engine = openai_engine.OpenAIEngine("m", options=options)
sampling = protocol.SamplingParams(max_new_tokens=8)
messages = [({"role": "user", "content": f"q{i}"},) for i in range(40)]
requests = [protocol.Request(messages=m, sampling=sampling) for m in messages]
engine.generate(requests, on_result=lambda place, _: print(place, flush=True))
"""

# Asks, and never closes.
FORGETFUL = """
import sys
from lingshu_jax.engines import openai_engine, openai_options, protocol

engine = openai_engine.OpenAIEngine("m", options=openai_options.Options(base_url=sys.argv[1]))
request = protocol.Request(
    messages=({"role": "user", "content": "q"},), sampling=protocol.SamplingParams(max_new_tokens=8)
)
print(engine.generate([request])[0][0].text)
"""

Make = Callable[..., openai_engine.OpenAIEngine]


@pytest.fixture
def server() -> Iterator[bad_server.Server]:
    with bad_server.running() as server:
        yield server


@pytest.fixture
def make(server: bad_server.Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    made = []

    def one(**options: Any) -> openai_engine.OpenAIEngine:
        fields = {"base_url": server.url, **options}
        engine = openai_engine.OpenAIEngine("m", options=openai_options.Options(**fields))
        made.append(engine)
        return engine

    yield one
    for engine in made:
        engine.close()


def ask(text: str, **sampling: Any) -> protocol.Request:
    params = protocol.SamplingParams(**{"max_new_tokens": 8, **sampling})
    return protocol.Request(messages=({"role": "user", "content": text},), sampling=params, id=text)


def texts(found: list[list[protocol.Completion]]) -> list[list[str]]:
    return [[completion.text for completion in several] for several in found]


def test_it_is_an_engine(make: Make) -> None:
    assert isinstance(make(), protocol.Engine)


def test_answers_stand_in_the_order_of_the_requests(server: bad_server.Server, make: Make) -> None:
    server.plan["q0"] = [bad_server.Act(seconds=0.2)]
    came: list[int] = []
    threads = set()

    def note(place: int, result: Any) -> None:
        came.append(place)
        threads.add(threading.current_thread())

    found = make().generate([ask(f"q{i}") for i in range(6)], on_result=note)
    assert texts(found) == [[f"to q{i}"] for i in range(6)]
    assert sorted(came) == list(range(6)) and came[-1] == 0
    assert threads == {threading.current_thread()}
    assert set(server.keys) == {f"Bearer {KEY}"}


def test_nothing_is_asked_for_no_requests(server: bad_server.Server, make: Make) -> None:
    assert make().generate([]) == []
    assert not server.bodies


def test_it_works_inside_a_running_event_loop(make: Make) -> None:
    engine = make()

    async def inside() -> list[list[protocol.Completion]]:
        return engine.generate([ask("q")])

    assert texts(asyncio.run(inside())) == [["to q"]]
    assert texts(engine.generate([ask("q")])) == [["to q"]]


def test_an_error_of_the_callers_own_passes(make: Make) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("mine")

    engine = make()
    with pytest.raises(KeyError, match="mine"):
        engine.generate([ask(f"q{i}") for i in range(20)], on_result=fail)
    assert texts(engine.generate([ask("q")])) == [["to q"]]


def test_several_samples_are_one_request(server: bad_server.Server, make: Make) -> None:
    (found,) = make().generate([ask("q", temperature=1.0, n=3, seed=7)])
    assert len(found) == 3
    assert [(body["n"], body["seed"]) for body in server.bodies] == [(3, 7)]


def test_greedy_samples_are_all_the_same_one(server: bad_server.Server, make: Make) -> None:
    assert texts(make().generate([ask("q", n=3)])) == [["to q"] * 3]
    assert "n" not in server.bodies[0]


def test_a_picture_arrives_as_its_file(server: bad_server.Server, make: Make) -> None:
    out = io.BytesIO()
    Image.new("RGB", (5, 3), (200, 10, 10)).save(out, "PNG")
    parts = [{"type": "image", "image": out.getvalue()}, {"type": "text", "text": "q"}]
    request = protocol.Request(
        messages=({"role": "user", "content": parts},),
        sampling=protocol.SamplingParams(max_new_tokens=8),
    )
    assert texts(make().generate([request])) == [["to q"]]
    url = server.bodies[0]["messages"][0]["content"][0]["image_url"]["url"]
    assert base64.b64decode(url.partition(",")[2]) == out.getvalue()


def test_a_process_ends_although_nobody_closed_its_engine(server: bad_server.Server) -> None:
    command = [sys.executable, "-c", FORGETFUL, server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "to q" and done.returncode == 0
    assert not done.stderr


# ---- the cache ----


def test_an_answer_is_paid_once(
    server: bad_server.Server, make: Make, tmp_path: pathlib.Path
) -> None:
    requests = [ask("a"), ask("b"), ask("a"), ask("a")]
    found = make(cache_folder=tmp_path).generate(requests)
    engine = make(cache_folder=tmp_path)
    assert engine.generate(requests) == found
    assert server.paid == {"a": 1, "b": 1}
    assert "0 answered, 4 cached" in engine.summary()


@pytest.mark.parametrize(
    "other",
    [
        ask("a", max_new_tokens=9),
        ask("a", temperature=0.5),
        ask("a", stop=("x",)),
        ask("a "),
        ask("a", json_schema="{}"),
    ],
    ids=["tokens", "temperature", "stop", "text", "schema"],
)
def test_another_question_is_another_answer(
    server: bad_server.Server, make: Make, tmp_path: pathlib.Path, other: protocol.Request
) -> None:
    make(cache_folder=tmp_path).generate([ask("a"), other])
    assert sum(server.paid.values()) == 2


def test_an_answer_that_was_kept_before_there_were_schemas_is_found(
    server: bad_server.Server, make: Make, tmp_path: pathlib.Path
) -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "a"}],
        "temperature": 0.0,
        "max_completion_tokens": 8,
    }
    key = answer_cache.digest({"url": f"{server.url}/", "body": body, "seed": None})
    make(cache_folder=tmp_path).generate([ask("a")])
    assert (tmp_path / key[:2] / f"{key}.0.json").exists()


def test_properties_in_another_order_are_another_question(
    server: bad_server.Server, make: Make, tmp_path: pathlib.Path
) -> None:
    schemas = [
        json.dumps({"properties": {name: {} for name in names}}) for names in ("ab", "ba", "ab")
    ]
    make(cache_folder=tmp_path).generate([ask("a", json_schema=schema) for schema in schemas])
    assert server.paid == {"a": 2}
    orders = {str(body["response_format"]["json_schema"]["schema"]) for body in server.bodies}
    assert len(orders) == 2, "and it is sent in its order"


def test_one_pixel_is_another_question(
    server: bad_server.Server, make: Make, tmp_path: pathlib.Path
) -> None:
    path, pixels = tmp_path / "a.png", Image.new("RGB", (5, 3))
    parts = [{"type": "image", "image": str(path)}, {"type": "text", "text": "q"}]
    request = protocol.Request(
        messages=({"role": "user", "content": parts},),
        sampling=protocol.SamplingParams(max_new_tokens=8),
    )
    engine = make(cache_folder=tmp_path / "cache")
    for paid in (1, 1):
        pixels.save(path)
        engine.generate([request])
        assert server.paid["q"] == paid
    pixels.putpixel((0, 0), (1, 0, 0))
    pixels.save(path)
    engine.generate([request])
    assert server.paid["q"] == 2


def test_models_and_servers_do_not_share_answers(
    server: bad_server.Server, make: Make, tmp_path: pathlib.Path
) -> None:
    make(cache_folder=tmp_path).generate([ask("a")])
    options = openai_options.Options(base_url=server.url, cache_folder=tmp_path)
    other = openai_engine.OpenAIEngine("other", options=options)
    other.generate([ask("a")])
    other.close()
    with bad_server.running() as second:
        make(base_url=second.url, cache_folder=tmp_path).generate([ask("a")])
        assert second.paid == {"a": 1}
    assert server.paid == {"a": 2}


def test_more_samples_cost_only_what_is_new(
    server: bad_server.Server, make: Make, tmp_path: pathlib.Path
) -> None:
    engine = make(cache_folder=tmp_path)
    engine.generate([ask("a", temperature=1.0, n=2, seed=10)])
    (found,) = engine.generate([ask("a", temperature=1.0, n=5, seed=10)])
    assert len(found) == 5
    assert [(body["n"], body["seed"]) for body in server.bodies] == [(2, 10), (3, 12)]
    engine.generate([ask("a", temperature=1.0, n=5, seed=11)])
    assert len(server.bodies) == 3


def test_no_two_samples_are_drawn_with_one_seed(
    server: bad_server.Server, make: Make, tmp_path: pathlib.Path
) -> None:
    engine = make(cache_folder=tmp_path)
    engine.generate([ask("a", temperature=1.0, n=4, seed=10)])
    for sample in (0, 2, 3):
        (path,) = tmp_path.rglob(f"*.{sample}.json")
        path.unlink()
    (found,) = engine.generate([ask("a", temperature=1.0, n=4, seed=10)])
    assert len(found) == 4
    # Sample 1 has seed 11, and is there.
    asked = [(body["seed"], body.get("n", 1)) for body in server.bodies[1:]]
    assert asked == [(10, 1), (12, 2)]


def test_greedy_answers_do_not_depend_on_the_seed(
    server: bad_server.Server, make: Make, tmp_path: pathlib.Path
) -> None:
    make(cache_folder=tmp_path).generate([ask("a", seed=1), ask("a", seed=2)])
    assert server.paid == {"a": 1}


def test_an_answer_is_in_the_cache_before_it_is_handed_on(
    make: Make, tmp_path: pathlib.Path
) -> None:
    seen: list[int] = []

    def count(*_: Any) -> None:
        seen.append(len(list(tmp_path.rglob("*.json"))))

    make(cache_folder=tmp_path, max_concurrency=1).generate(
        [ask(f"q{i}") for i in range(4)], on_result=count
    )
    assert all(found >= place + 1 for place, found in enumerate(seen))


def test_a_killed_run_pays_nothing_twice_that_it_handed_on(
    server: bad_server.Server, make: Make, tmp_path: pathlib.Path
) -> None:
    server.seconds = 0.02
    command = [sys.executable, "-c", KILLED, server.url, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        done = {int(process.stdout.readline()) for _ in range(10)}
        process.kill()
    paid = dict(server.paid)
    found = make(cache_folder=tmp_path).generate([ask(f"q{i}") for i in range(40)])
    assert texts(found) == [[f"to q{i}"] for i in range(40)]
    assert all(server.paid[f"q{i}"] == 1 for i in done)
    # What was under way when it was killed is all that may have been paid twice.
    assert sum(server.paid.values()) <= 40 + 4
    assert len(paid) < 40


def test_a_fault_of_the_disk_comes_as_itself(make: Make, tmp_path: pathlib.Path) -> None:
    engine = make(cache_folder=tmp_path / "cache")
    (tmp_path / "cache" / "locks").rmdir()
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").touch()
    with pytest.raises(NotADirectoryError):
        engine.generate([ask("a"), ask("b")], on_result=print)


# ---- money ----


def test_the_ledger_says_what_was_used(make: Make, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ledger.jsonl"
    terms = ledger.Terms(price_in=1.0, price_out=2.0)
    engine = make(ledger_file=path, terms=terms, cache_folder=tmp_path / "cache")
    engine.generate([ask("a"), ask("b"), ask("a")])
    assert engine.summary() == (
        "m: 2 answered, 1 cached, 0 refused, 0 lost; 20 tokens in, 10 out, cost 4e-05"
    )
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((row["id"], row["state"]) for row in rows) == [
        ("a", "answered"),
        ("a", "sent"),
        ("b", "answered"),
        ("b", "sent"),
    ]


def test_the_budget_ends_what_it_does_not_hold(
    server: bad_server.Server, make: Make, tmp_path: pathlib.Path
) -> None:
    make(cache_folder=tmp_path).generate([ask("q6")])
    # A question is at most 90 tokens, an answer uses 15: the sixth does not fit.
    worst = 2 + 64 + 16 + 8
    terms = ledger.Terms(max_total_tokens=5 * 15 + worst - 1)
    engine = make(terms=terms, cache_folder=tmp_path, max_concurrency=3)
    found: dict[int, Any] = {}
    engine.generate([ask(f"q{i}") for i in range(8)], on_result=found.__setitem__)
    failed = [place for place, result in found.items() if isinstance(result, protocol.Failure)]
    assert len(found) == 8 and len(failed) == 2
    for place in failed:
        assert f"request 'q{place}': the budget max_total_tokens = 164" in found[place].reason
    assert 6 not in failed, "what is paid already is answered"
    assert len(server.bodies) == 1 + 5
    again = make(cache_folder=tmp_path)
    again.generate([ask(f"q{i}") for i in range(8)])
    assert server.paid == {f"q{i}": 1 for i in range(8)}


def test_the_budget_names_the_request_without_a_callback(make: Make) -> None:
    engine = make(terms=ledger.Terms(price_out=1e6, max_cost=7.0))
    with pytest.raises(errors.UserError, match="request 'q': the budget max_cost = 7 does not"):
        engine.generate([ask("q")])


# ---- pace ----


def test_as_many_at_a_time_as_the_server_bears(server: bad_server.Server, make: Make) -> None:
    server.seconds, server.limit = 0.03, 4
    engine = make(max_retries=20)
    found = engine.generate([ask(f"q{i}") for i in range(40)])
    assert texts(found) == [[f"to q{i}"] for i in range(40)]
    assert set(server.paid.values()) == {1}
    server.most = 0
    engine.generate([ask(f"r{i}") for i in range(8)])
    assert server.most <= 8


def test_requests_are_spread_over_the_minute(server: bad_server.Server, make: Make) -> None:
    started = time.monotonic()
    make(requests_per_minute=1200.0).generate([ask(f"q{i}") for i in range(11)])
    assert time.monotonic() - started >= 0.45


def test_tokens_are_made_up_for(make: Make) -> None:
    started = time.monotonic()
    # 15 tokens an answer, 100 a second: nobody waits for the last, and 100 are there at once.
    make(tokens_per_minute=6000.0, max_concurrency=1).generate([ask(f"q{i}") for i in range(11)])
    assert time.monotonic() - started >= 0.45


# ---- streams ----


def test_a_stream_ends_with_its_reason(make: Make, tmp_path: pathlib.Path) -> None:
    engine = make(ledger_file=tmp_path / "ledger.jsonl")
    deltas = list(engine.stream(ask("a b c")))
    assert "".join(delta.text for delta in deltas) == "to a b c"
    assert [delta.finish_reason for delta in deltas] == [None] * 4 + ["stop"]
    assert "1 answered, 0 cached, 0 refused, 0 lost; 10 tokens in, 4 out" in engine.summary()


def test_a_stream_that_nobody_reads_on_is_lost(server: bad_server.Server, make: Make) -> None:
    engine = make()
    stream = engine.stream(ask("a b c"))
    assert next(stream).text == "to"
    del stream
    assert texts(engine.generate([ask("q")])) == [["to q"]]


@pytest.mark.parametrize(
    ("act", "line"),
    [
        (bad_server.Act(share=0.5), "without a finish_reason"),
        (bad_server.Act(body='{"choices": ['), "not JSON"),
        (bad_server.Act(body='{"choices": [{"delta": 1}]}'), "delta must be an object"),
        (bad_server.Act(body="[1]"), "must be an object"),
        (bad_server.Act(body='{"error": {"message": "too long"}}'), "too long"),
        (bad_server.error(400, "no such thing"), "status 400"),
    ],
    ids=["half", "torn", "odd", "list", "error", "refused"],
)
def test_a_stream_that_breaks_is_named(
    server: bad_server.Server, make: Make, act: bad_server.Act, line: str
) -> None:
    server.plan["a b c"] = [act]
    with pytest.raises(errors.UserError, match=f"request 'a b c': .*{line}"):
        list(make().stream(ask("a b c")))


def test_a_stream_has_one_answer(make: Make) -> None:
    with pytest.raises(errors.UserError, match="n must be 1 .*, got 2"):
        next(make().stream(ask("q", n=2)))


# ---- options ----


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("http://user:secretword@localhost/v1", "must have no user, password or query"),
        ("http://localhost/v1?key=secretword", "must have no user, password or query"),
        ("http://localhost:secretword/v1", "is no address"),
        ("http://local\x01secretword/v1", "is no address"),
    ],
)
def test_an_address_that_is_none(make: Make, url: str, line: str) -> None:
    with pytest.raises(errors.UserError, match=line) as caught:
        make(base_url=url)
    assert "secretword" not in str(caught.value)


def test_a_model_needs_a_name() -> None:
    with pytest.raises(errors.UserError, match="model must be"):
        openai_engine.OpenAIEngine("", options=openai_options.Options())
