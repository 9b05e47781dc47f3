# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json
import pathlib
import signal
import subprocess
import sys
from typing import Any

import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import ledger

TERMS = ledger.Terms(price_in=2.0, price_out=10.0, max_cost=1.0)  # a million of each is 12
WORST = ledger.Usage(100_000, 20_000)  # 0.2 + 0.2

# Appends lines as fast as it can, in pairs.
WRITER = """
import pathlib, sys
from lingshu_jax.engines import ledger

book = ledger.Ledger(pathlib.Path(sys.argv[1]), ledger.Terms(), model="m")
print("writing", flush=True)
for i in range(int(sys.argv[2])):
    name = book.sent("i" * 500, ledger.Usage(10, 10))
    book.settle(name, "answered", ledger.Usage(1, 1))
"""


def make(path: pathlib.Path | None = None, terms: ledger.Terms = TERMS) -> ledger.Ledger:
    return ledger.Ledger(path, terms, model="m")


def rows(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_request_is_booked_at_its_most_and_then_as_it_was(tmp_path: pathlib.Path) -> None:
    book = make(tmp_path / "ledger.jsonl")
    name = book.sent("row 1", WORST)
    assert "100,000 tokens in, 20,000 out, cost 0.4" in book.summary()
    book.settle(name, "answered", ledger.Usage(1000, 100))
    assert "1,000 tokens in, 100 out, cost 0.003" in book.summary()
    sent, answered = rows(tmp_path / "ledger.jsonl")
    assert sent["attempt"] == answered["attempt"]
    assert (sent["state"], sent["cost"], sent["id"]) == ("sent", pytest.approx(0.4), "row 1")
    assert (answered["state"], answered["tokens_in"]) == ("answered", 1000)
    assert answered["cost"] == pytest.approx(0.003)
    book.close()


@pytest.mark.parametrize(
    ("state", "usage", "cost"),
    [("refused", None, 0.0), ("lost", None, 0.4), ("answered", None, 0.4)],
)
def test_what_is_not_known_counts_as_the_most(
    state: ledger.State, usage: ledger.Usage | None, cost: float
) -> None:
    book = make()
    book.settle(book.sent("", WORST), state, usage)
    assert f"cost {cost:g}" in book.summary()
    assert f"1 {state}" in book.summary()


def test_settling_twice_changes_nothing() -> None:
    book = make()
    name = book.sent("", WORST)
    book.settle(name, "lost")
    book.settle(name, "refused")
    assert "cost 0.4" in book.summary()
    assert book.counts == {"lost": 1}


def test_the_budget_counts_what_is_under_way() -> None:
    book = make()
    names = [book.sent("", WORST) for _ in range(2)]
    refusal = book.refusal(WORST)
    assert "max_cost = 1 " in refusal and "0.8 are used, and it may use 0.4" in refusal
    book.settle(names[0], "answered", ledger.Usage(10, 10))
    assert not book.refusal(WORST)
    assert not book.refusal(ledger.Usage(0, 0))
    book.stop(refusal)
    assert book.refusal(ledger.Usage(0, 0)) == refusal


def test_the_budget_of_tokens() -> None:
    book = make(terms=ledger.Terms(max_total_tokens=1000))
    assert not book.refusal(ledger.Usage(600, 400))
    assert "budget max_total_tokens = 1,000 " in book.refusal(ledger.Usage(600, 401))


def test_the_budget_holds_for_all_runs_of_a_ledger(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ledger.jsonl"
    first = make(path)
    first.settle(first.sent("a", WORST), "answered", ledger.Usage(100_000, 10_000))  # 0.3
    first.sent("b", WORST)  # 0.4, and nobody knows
    first.close()
    second = make(path)
    assert "0.7 are used" in second.refusal(WORST)
    assert "before: 0.7" in second.summary()
    second.close()


def test_a_torn_line_is_left_out_and_the_next_one_is_whole(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ledger.jsonl"
    first = make(path)
    name = first.sent("a", WORST)
    first.settle(name, "answered", ledger.Usage(1, 1))
    first.close()
    path.write_bytes(path.read_bytes()[:-20])
    second = make(path)
    assert second.torn == 1
    # The request counts as sent: how it ended is not to be read.
    assert "before: 0.4" in second.summary()
    second.settle(second.sent("b", WORST), "refused")
    second.close()
    third = make(path)
    assert third.torn == 1
    assert len(path.read_bytes().splitlines()) == 4
    third.close()


@pytest.mark.parametrize("text", ['{"loss": 1.0}\n', "[1, 2]\n", "a,b\n1,2\n"])
def test_another_file_is_no_ledger(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(text)
    with pytest.raises(errors.UserError, match="other.jsonl.* is not"):
        make(path)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("terms", "line"),
    [
        (ledger.Terms(price_in=-1.0), "price_in must be >= 0, got -1.0"),
        (ledger.Terms(max_cost=float("nan")), "max_cost must be >= 0, got nan"),
        (ledger.Terms(max_cost=5.0), "max_cost = 5.0 needs price_in or price_out"),
    ],
)
def test_terms_that_make_no_sense(terms: ledger.Terms, line: str) -> None:
    with pytest.raises(errors.UserError, match=line):
        make(terms=terms)


def test_two_processes_one_of_them_killed_keep_every_line(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ledger.jsonl"
    command = [sys.executable, "-c", WRITER, str(path)]
    killed = subprocess.Popen([*command, "10000000"], stdout=subprocess.PIPE)
    whole = subprocess.Popen([*command, "400"], stdout=subprocess.PIPE)
    whole.communicate()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    *lines, torn = path.read_bytes().split(b"\n")
    book = make(path)
    assert book.torn == bool(torn)
    attempts: dict[str, set[str]] = {}
    for line in lines:
        row = json.loads(line)
        attempts.setdefault(row["attempt"], set()).add(row["state"])
    settled = sum(states == {"sent", "answered"} for states in attempts.values())
    assert settled >= 400
    assert settled >= len(attempts) - 1
    book.close()
