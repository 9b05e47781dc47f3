# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever a server does, every row is answered or named, and nothing is paid twice."""

import contextlib
import json
import logging
import pathlib
import re
import socket
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import openai_engine, openai_options, protocol
from tests.engines import bad_server

KEY = "sk-test-0123456789abcdef"
ROWS = [f"q{i}" for i in range(5)]
GOOD = bad_server.answer("a")
Act = bad_server.Act


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[bad_server.Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with bad_server.running() as server:
        yield server


def make(url: str, folder: pathlib.Path, **options: Any) -> openai_engine.OpenAIEngine:
    fields = {
        "base_url": url,
        "max_retries": 2,
        "cache_folder": folder / "cache",
        "ledger_file": folder / "ledger.jsonl",
        **options,
    }
    return openai_engine.OpenAIEngine("m", options=openai_options.Options(**fields))


def ask(text: str, **sampling: Any) -> protocol.Request:
    params = protocol.SamplingParams(**{"max_new_tokens": 8, **sampling})
    return protocol.Request(messages=({"role": "user", "content": text},), sampling=params, id=text)


def run(url: str, folder: pathlib.Path, **options: Any) -> tuple[dict[str, Any], str]:
    """Asks all rows; their results, and the summary."""
    found: dict[str, Any] = {}

    def note(place: int, result: Any) -> None:
        assert ROWS[place] not in found, "once each"
        found[ROWS[place]] = result

    with contextlib.closing(make(url, folder, **options)) as engine:
        lists = engine.generate([ask(row) for row in ROWS], on_result=note)
    for row, several in zip(ROWS, lists, strict=True):
        assert several == ([] if isinstance(found[row], protocol.Failure) else found[row])
    return found, engine.summary()


def check_others(found: dict[str, Any], failed: set[str]) -> None:
    assert set(found) == set(ROWS)
    for row, result in found.items():
        assert isinstance(result, protocol.Failure) == (row in failed), (row, result)
        if row not in failed:
            assert result[0].text == f"to {row}"


@pytest.mark.parametrize(
    ("acts", "counts"),
    [
        ([bad_server.error(429)], "1 refused, 0 lost"),
        ([Act(status=429, body="{}", headers={"retry-after": "1"})], "1 refused, 0 lost"),
        ([bad_server.error(500), bad_server.error(503)], "2 refused, 0 lost"),
        ([Act(status=502, body="<html>", headers=bad_server.SOON)], "1 refused, 0 lost"),
        ([Act(share=0.5)], "0 refused, 1 lost"),
        ([Act(share=0.0)], "0 refused, 1 lost"),
    ],
    ids=["429", "retry-after", "500 burst", "proxy", "half", "nothing"],
)
def test_what_passes_is_tried_again(
    server: bad_server.Server, tmp_path: pathlib.Path, acts: list[Act], counts: str
) -> None:
    server.plan["q3"] = list(acts)
    started = time.monotonic()
    found, summary = run(server.url, tmp_path)
    check_others(found, failed=set())
    if "retry-after" in acts[0].headers:
        assert time.monotonic() - started >= 1.0
    assert server.asked["q3"] == len(acts) + 1
    assert set(server.paid.values()) == {1}
    assert f"{len(ROWS)} answered, 0 cached, {counts}" in summary


BAD = {
    "500": (bad_server.error(500, "out of\nmemory"), "status 500: after 3 tries: out of memory"),
    "400": (bad_server.error(400, "too long"), "status 400: too long"),
    "403": (bad_server.error(403, "not here"), "status 403: not here"),
    "422": (Act(status=422, body='{"detail": "odd"}'), "status 422: .*odd"),
    "400 and no word": (Act(status=400, body=""), "status 400"),
    "half of the JSON": (Act(body='{"choices": [{"mess'), "the server's answer is not JSON"),
    "a page": (Act(body="<html>login</html>"), "not JSON: '<html>login</html>'"),
    "empty": (Act(body=""), "not JSON: ''"),
    "a list": (bad_server.says([GOOD]), "must be an object"),
    "a text for a number": (
        bad_server.says({**GOOD, "choices": [{**GOOD["choices"][0], "index": "0"}]}),
        "must be numbered 0 to 0",
    ),
    "endless number": (Act(body=f'{{"choices": {"9" * 5000}}}'), "not JSON"),
    "no choices": (bad_server.says({**GOOD, "choices": []}), "sent 0 answers, asked for 1"),
    "null choices": (bad_server.says({**GOOD, "choices": None}), "choices must be a list"),
    "two choices": (bad_server.says(bad_server.answer("a", count=2)), "sent 2 answers"),
    "no text": (bad_server.says(bad_server.answer(None)), "content must be a text"),
    "a number": (bad_server.says(bad_server.answer("a", finish_reason=3)), "finish_reason must be"),
    "abort": (bad_server.says(bad_server.answer("a", finish_reason="abort")), "got 'abort'"),
}


@pytest.mark.parametrize(("act", "line"), BAD.values(), ids=BAD)
def test_a_row_that_fails_is_named_and_the_others_go_on(
    server: bad_server.Server, tmp_path: pathlib.Path, act: Act, line: str
) -> None:
    server.plan["q3"] = [act] * (3 if act.status == 500 else 1)
    found, summary = run(server.url, tmp_path)
    check_others(found, failed={"q3"})
    with pytest.raises(AssertionError):
        check_others(found, failed=set())
    reason = found["q3"].reason
    assert re.match(f"request 'q3': .*{line}", reason) and "\n" not in reason
    assert not server.plan["q3"], "no try too few"
    assert f"{len(ROWS) - 1} answered" in summary
    # The same command again asks this row alone.
    found, summary = run(server.url, tmp_path)
    check_others(found, failed=set())
    assert f"1 answered, {len(ROWS) - 1} cached" in summary
    assert server.paid == dict.fromkeys(ROWS, 1)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("depth", [100, 600, 5000])
def test_an_answer_of_any_depth_ends_no_other_row(
    server: bad_server.Server, tmp_path: pathlib.Path, depth: int, status: int
) -> None:
    """In an answer that is good otherwise, in a stream, and where an error says what it is."""
    nest = f"{'[' * depth}{']' * depth}"
    body = json.dumps({**GOOD, "error": None})[:-1] + f', "message": {nest}}}'
    server.plan["q3"] = [Act(status=status, body=body)] * 2
    found, _ = run(server.url, tmp_path)
    failed = {row for row, result in found.items() if isinstance(result, protocol.Failure)}
    assert failed <= {"q3"} and set(found) == set(ROWS)
    # How deep is too deep is Python's affair; between the two it may be either.
    assert bool(failed) == (status == 400 or depth == 5000) or depth == 600
    with contextlib.closing(make(server.url, tmp_path)) as engine:
        with contextlib.suppress(errors.UserError):
            list(engine.stream(ask("q3")))
        (again,) = engine.generate([ask("q4")])
    assert again[0].text == "to q4"


def test_numbers_beyond_all_measure_end_no_other_row(
    server: bad_server.Server, tmp_path: pathlib.Path
) -> None:
    large = "9" * 400
    usage = {"prompt_tokens": int(large), "completion_tokens": int(large)}
    logprobs = {"content": [{"logprob": -int(large)}]}
    odd = bad_server.answer("a", token_ids=[1], logprobs=logprobs)
    server.plan["q3"] = [bad_server.says(odd)]
    server.plan["q4"] = [bad_server.says({**bad_server.answer("to q4"), "usage": usage})]
    found, summary = run(server.url, tmp_path, dialect="vllm", tokens_per_minute=1e6)
    check_others(found, failed={"q3"})
    assert "logprob must be a number" in found["q3"].reason
    # What it says that it used is no number of tokens: the most that it may use counts.
    assert large not in summary and large not in (tmp_path / "ledger.jsonl").read_text()


def test_a_refusal_is_not_asked_and_paid_again(
    server: bad_server.Server, tmp_path: pathlib.Path
) -> None:
    refusal = bad_server.answer("a", finish_reason="content_filter")
    server.plan["q3"] = [bad_server.says(refusal)]
    for _ in range(2):
        found, _ = run(server.url, tmp_path)
        check_others(found, failed={"q3"})
        assert "content_filter" in found["q3"].reason
    assert set(server.asked.values()) == {1}


def test_samples_that_came_are_not_paid_again(
    server: bad_server.Server, tmp_path: pathlib.Path
) -> None:
    server.plan["q"] = [bad_server.says(bad_server.answer("first", count=2))]
    engine = make(server.url, tmp_path)
    request = ask("q", temperature=1.0, n=3)
    with pytest.raises(errors.UserError, match="request 'q': the server sent 2 of 3 answers"):
        engine.generate([request])
    (found,) = engine.generate([request])
    assert [completion.text for completion in found] == ["first", "first", "to q"]
    assert [body.get("n", 1) for body in server.bodies] == [3, 1]
    engine.close()


def test_usage_that_is_not_told_counts_as_the_most(
    server: bad_server.Server, tmp_path: pathlib.Path
) -> None:
    server.plan["q"] = [
        bad_server.says({**bad_server.answer("a"), "usage": {"prompt_tokens": "x"}})
    ]
    engine = make(server.url, tmp_path)
    engine.generate([ask("q")])
    assert "1 answered, 0 cached, 0 refused, 0 lost; 81 tokens in, 8 out" in engine.summary()
    engine.close()


def attempts(folder: pathlib.Path, row: str) -> list[dict[str, Any]]:
    """The ledger's last lines of the tries of a row."""
    lines = map(json.loads, (folder / "ledger.jsonl").read_text().splitlines())
    last = {line["attempt"]: line for line in lines}
    return [line for line in last.values() if line["id"] == row]


def test_a_server_that_hangs(server: bad_server.Server, tmp_path: pathlib.Path) -> None:
    server.plan["q3"] = [Act(seconds=60.0)] * 2
    found, _ = run(server.url, tmp_path, timeout_seconds=1.5, max_retries=1)
    check_others(found, failed={"q3"})
    assert found["q3"].reason == "request 'q3': no answer within 1.5 seconds: after 2 tries"
    # Both tries may have been paid, and are booked at their most.
    tries = [(line["state"], line["tokens_out"]) for line in attempts(tmp_path, "q3")]
    assert tries == [("lost", 8)] * 2


def test_slow_and_then_fine(server: bad_server.Server, tmp_path: pathlib.Path) -> None:
    server.plan["q3"] = [Act(seconds=60.0), Act(seconds=0.1)]
    found, _ = run(server.url, tmp_path, timeout_seconds=1.5)
    check_others(found, failed=set())
    assert [line["state"] for line in attempts(tmp_path, "q3")] == ["lost", "answered"]


def test_a_trickle_is_no_answer(server: bad_server.Server, tmp_path: pathlib.Path) -> None:
    server.plan["q3"] = [Act(pause=0.5)] * 2
    found, _ = run(server.url, tmp_path, timeout_seconds=1.5, max_retries=1)
    check_others(found, failed={"q3"})
    assert "no answer within 1.5 seconds" in found["q3"].reason


# ---- nobody answers any more ----


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_dead_server_is_named_soon(server: bad_server.Server, tmp_path: pathlib.Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}/v1"
    engine = make(url, tmp_path, max_retries=5)
    found: list[Any] = []
    started = time.monotonic()
    with pytest.raises(errors.UserError, match=f"no server answers at {url}/?: ConnectError"):
        engine.generate([ask(f"q{i}") for i in range(500)], on_result=lambda *a: found.append(a))
    assert time.monotonic() - started < 5
    assert not found, "no row failed: all can be asked when the server is back"
    assert "cost" not in engine.summary() and "0 tokens in, 0 out" in engine.summary()
    engine.close()


def test_a_server_that_dies_on_the_way(server: bad_server.Server, tmp_path: pathlib.Path) -> None:
    server.seconds = 0.02
    found: dict[int, Any] = {}

    def stop(place: int, result: Any) -> None:
        found[place] = result
        if len(found) == 5:
            server.stop()

    with (
        contextlib.closing(make(server.url, tmp_path, max_concurrency=2)) as engine,
        pytest.raises(errors.UserError, match=f"no server answers at {server.url}/?: Connect"),
    ):
        engine.generate([ask(f"q{i}") for i in range(300)], on_result=stop)
    # Nothing failed but what may have been under way, and what was paid was handed on.
    failed = [place for place, result in found.items() if isinstance(result, protocol.Failure)]
    assert len(failed) <= 2 and len(found) < 300
    assert {f"q{place}" for place in found} - {f"q{i}" for i in failed} == set(server.paid)


@pytest.mark.parametrize(
    ("act", "line"),
    [
        (bad_server.error(401, "who?"), r"status 401: who\? \(the key is in OPENAI_API_KEY\)"),
        (bad_server.error(404, "no model m"), "status 404: no model m"),
        (bad_server.error(402, "pay first"), "status 402: pay first"),
        (bad_server.error(429, "no money", code="insufficient_quota"), "status 429: .*no money"),
    ],
    ids=["key", "model", "payment", "quota"],
)
def test_what_no_row_can_pass_ends_them_all(
    server: bad_server.Server, tmp_path: pathlib.Path, act: Act, line: str
) -> None:
    for row in ROWS:
        server.plan[row] = [act] * 5
    with pytest.raises(errors.UserError, match=f"{server.url}/?: {line}"):
        run(server.url, tmp_path, max_retries=1, max_concurrency=2)
    assert sum(server.asked.values()) <= 4
    assert not server.paid


# ---- the key ----


def everything_shown(error: BaseException | None) -> str:
    """An error with all that is chained to it, as traces print it, and as it is."""
    if error is None:
        return ""
    trace = "".join(traceback.format_exception(error))
    chained = everything_shown(error.__cause__) + everything_shown(error.__context__)
    return trace + repr(error) + repr(vars(error)) + chained


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_the_key_is_nowhere(
    server: bad_server.Server,
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    status: int,
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = Act(status=status, echoes_key=True, headers={**bad_server.SOON, "x-key": KEY})
    answer = bad_server.answer(f"your key is {KEY}", logprobs={"content": [KEY]})
    # What is cut for an error, cut in the key: at each place of it.
    words = range(390, 400, 3), range(60, 80, 3)
    cut = {f"long {n}": json.dumps({"error": {"message": "x" * n + KEY}}) for n in words[0]}
    cut |= {f"page {n}": "<" * n + KEY for n in (*words[0], *words[1])}
    odd = status if status >= 400 else 200
    server.plan = {
        **{
            row: [Act(status=odd, body=body, headers=bad_server.SOON)] * 9
            for row, body in cut.items()
        },
        "echo": [echo] * 9,
        "text": [bad_server.says(answer)],
        "filter": [bad_server.says(bad_server.answer(KEY, finish_reason=KEY))],
    }
    engine = make(server.url, tmp_path, max_concurrency=1, max_retries=1)
    shown = []
    for row in server.plan:
        try:
            shown.append(repr(engine.generate([ask(row)])))
        except errors.UserError as error:
            shown.append(everything_shown(error))
        try:
            shown.append(repr(list(engine.stream(ask(row)))))
        except errors.UserError as error:
            shown.append(everything_shown(error))
    shown += [engine.summary(), repr(engine), repr(vars(engine))]
    engine.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".json", ".jsonl"}
    captured = capfd.readouterr()
    texts = [*shown, caplog.text, captured.out, captured.err]
    texts += [path.read_text() for path in files] + [str(path) for path in files]
    assert all(f"Bearer {KEY}" == key for key in server.keys)
    assert "[hidden]" in "".join(shown), "the server did say it"
    # A part of it is too much as well.
    assert not [text for text in texts if KEY[:8] in text]


@pytest.mark.parametrize("key", [f"{KEY}\n{KEY}", f"{KEY}\u00e9", f"\u00e9{KEY}", f"{KEY}\t{KEY}"])
def test_a_key_that_cannot_be_sent_is_nowhere(
    server: bad_server.Server,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    key: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(errors.UserError, match="variable OPENAI_API_KEY holds") as caught:
        with contextlib.closing(make(server.url, tmp_path, max_retries=0)) as engine:
            engine.generate([ask("q")])
    texts = [everything_shown(caught.value), caplog.text]
    texts += [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in texts if KEY[:8] in text]
    assert not server.bodies
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    with contextlib.closing(make(server.url, tmp_path)) as engine:
        assert engine.generate([ask("q")])[0][0].text == "to q"
    assert server.keys == [f"Bearer {KEY}"]
