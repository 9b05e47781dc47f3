# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a synthesis keeps a server busy, and how fast it is where the server takes no time.

    PYTHONPATH=. python -m benchmarks.synthesis [--slots=32] [--seeds=512] [--seconds=0.5]

A server of this machine has slots, and each request holds one for its seconds (`synthesis_server`).
Three questions a seed, each made of the reply before; what is no JSON is asked again. Asked are the
same seeds by a plain client (asyncio and httpx alone, as many requests at a time, nothing kept) and
by our own machinery (seeds in windows, replies kept and synced, paced, a ledger): in turns, in one
call. The busy share is the seconds that slots were held, of all slots from the first request to the
last reply. Where requests take no time, rows a second are those of our own code.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import httpx2

from benchmarks import synthesis_server
from data_tools.synthesis import asks, desk
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import pages
from lingshu_jax.engines import openai_engine, openai_options

QUESTIONS = 3  # a seed
ASKED = 0.9  # of the busy share of the plain client
OURS, PLAIN = "ours", "plain asyncio"
SERVICES = {
    "all take the same time": {},
    "times spread (sigma 0.5), 5 % unreadable": {"spread": 0.5, "unreadable": 0.05},
}


class Said(asks.Reply):
    """A reply."""

    said: str


PROMPT = asks.Prompt("next", "What follows for $about, after: $before?")


class Chain:
    """A recipe whose questions come of the replies before."""

    name, version = "chain", 1

    def settings(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def write(self, seed: seeds_lib.Seed, draw: int) -> asks.Writing:
        """Asks one question after the other.

        Args:
          seed: About what.
          draw: Not read.
        """
        del draw
        before = ""
        for number in range(QUESTIONS):
            said = yield asks.Ask(
                prompt=PROMPT,
                text=PROMPT.fill(about=f"{seed.id} {number}", before=before),
                reply=Said,
                example=Said(said="a finding"),
                max_new_tokens=64,
            )
            before = said.said
        turns = (asks.turn("user", asks.text(seed.id)), asks.turn("assistant", asks.text(before)))
        return asks.Written(drafts=(asks.Draft(kind="vqa", messages=turns),))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured.

    Attributes:
      slots: Of the server, and requests at a time.
      seeds: Written about.
      seconds: That a request takes on average.
      rounds: Each client is measured so often, in turns.
      window: Seeds at a time of ours; 0 is its own.
    """

    slots: int = 32
    seeds: int = 512
    seconds: float = 0.5
    rounds: int = 3
    window: int = 0


class Run(NamedTuple):
    """What one client did.

    Attributes:
      rows: That came out.
      requests: That the server answered.
      busy: Share of its slots, in [0, 1].
      seconds: In all, with what is done before the first request and after the last.
    """

    rows: int
    requests: int
    busy: float
    seconds: float


class Line(NamedTuple):
    """One client on one service.

    Attributes:
      service: A name of `SERVICES`.
      client: `OURS` or `PLAIN`.
      runs: Of it.
    """

    service: str
    client: str
    runs: list[Run]

    @property
    def busy(self) -> float:
        """Median share of the slots that were busy."""
        return statistics.median(run.busy for run in self.runs)

    @property
    def speed(self) -> float:
        """Median rows a second."""
        return statistics.median(run.rows / run.seconds for run in self.runs)


@contextlib.contextmanager
def serving(slots: int) -> Iterator[str]:
    """The address of a server while the block runs.

    Args:
      slots: Of it.
    """
    command = [sys.executable, "-m", "benchmarks.synthesis_server", str(slots)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def measure(plan: Plan, url: str, client: str, service: synthesis_server.Service) -> Run:
    """Lets a client write about all seeds.

    Args:
      plan: How many.
      url: Of the server.
      client: `OURS` or `PLAIN`.
      service: How the server serves.
    """
    httpx2.post(f"{url}/service", json=dataclasses.asdict(service)).raise_for_status()
    httpx2.get(f"{url}/seen")
    start = time.monotonic()
    rows = asyncio.run(_ask_plainly(plan, url)) if client == PLAIN else _ask(plan, url)
    seconds = time.monotonic() - start
    seen = synthesis_server.Seen(**httpx2.get(f"{url}/seen").json())
    busy = seen.busy / (plan.slots * (seen.last - seen.first))
    return Run(rows, seen.requests, busy, seconds)


def _ask(plan: Plan, url: str) -> int:
    options = openai_options.Options(base_url=f"{url}/v1", max_concurrency=plan.slots)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        options = dataclasses.replace(options, ledger_file=folder / "ledger.jsonl")
        counts = desk.write(
            Chain(),
            (seeds_lib.Seed(id=f"s/{i}", source="s") for i in range(plan.seeds)),
            folder,
            author=desk.Author(model="m"),
            make_engine=lambda: stack.enter_context(
                contextlib.closing(openai_engine.OpenAIEngine("m", options=options))
            ),
            **({"window": plan.window} if plan.window else {}),
        )
    assert counts.failed == 0
    return counts.rows


async def _ask_plainly(plan: Plan, url: str) -> int:
    places = asyncio.Semaphore(plan.slots)

    async def write(client: httpx2.AsyncClient, id: str) -> bool:
        before = ""
        for number in range(QUESTIONS):
            text = PROMPT.fill(about=f"{id} {number}", before=before)
            for seed in range(desk.RETRIES + 1):
                message = {"role": "user", "content": text}
                body = {"model": "m", "messages": [message], "seed": seed}
                async with places:
                    answer = await client.post("/v1/chat/completions", json=body)
                said = answer.json()["choices"][0]["message"]["content"]
                with contextlib.suppress(ValueError):
                    before = json.loads(said)["said"]
                    break
            else:
                return False
        return True

    limits = httpx2.Limits(max_connections=plan.slots, max_keepalive_connections=plan.slots)
    async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=600.0) as client:
        done = await asyncio.gather(*(write(client, f"s/{i}") for i in range(plan.seeds)))
    return sum(done)


def measure_all(plan: Plan, url: str) -> list[Line]:
    """Both clients on every service and on one that takes no time, in turns.

    Args:
      plan: What is measured.
      url: Of the server.
    """
    lines = []
    services = {
        name: synthesis_server.Service(seconds=plan.seconds, **more)
        for name, more in SERVICES.items()
    }
    services["no time"] = synthesis_server.Service()
    for name, service in services.items():
        pair = [Line(name, client, []) for client in (PLAIN, OURS)]
        for _ in range(plan.rounds):
            for line in pair:
                line.runs.append(measure(plan, url, line.client, service))
        lines += pair
    return lines


def table(lines: Sequence[Line]) -> str:
    """A line for each client and service, ours with its share of the plain client's.

    Args:
      lines: From `measure_all`.
    """
    heads = ("requests take", "client", "requests", "busy share (each run)", "of plain", "rows/s")
    text = [pages.markdown_row(heads), pages.markdown_row(["---", "---", *["---:"] * 4])]
    plain = {line.service: line.busy for line in lines if line.client == PLAIN}
    for line in lines:
        each = ", ".join(f"{run.busy:.1%}" for run in line.runs)
        is_timed = line.service in SERVICES
        cells = (
            line.service,
            line.client,
            f"{line.runs[0].requests:,}",
            f"{line.busy:.1%} ({each})" if is_timed else "",
            f"{line.busy / plain[line.service]:.3f}" if is_timed and line.client == OURS else "",
            f"{line.speed:,.1f}",
        )
        text.append(pages.markdown_row(cells))
    return "\n".join([*text, "", f"asked: {ASKED} of the plain client's busy share"])


def main() -> None:
    """Prints the table, and the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    for field in dataclasses.fields(Plan):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    plan = Plan(**vars(parser.parse_args()))
    with serving(plan.slots) as url:
        lines = measure_all(plan, url)
    print(f"{plan.slots} slots, {plan.seeds:,} seeds, {plan.seconds:g} s a request\n")
    print(table(lines))
    print(f"Python {platform.python_version()}, {platform.machine()}")


if __name__ == "__main__":
    main()
