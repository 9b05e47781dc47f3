# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import asyncio
import time

import pytest

from lingshu_jax.engines import openai_pace


def limits(aimd: openai_pace.Aimd, outcomes: str) -> list[int]:
    """Limits after one request after another, "g"ood or "b"ad."""
    found = []
    for outcome in outcomes:
        begun = aimd.begin()
        aimd.good() if outcome == "g" else aimd.bad(begun)
        found.append(aimd.limit)
    return found


def test_a_round_of_good_answers_raises_the_limit_by_one() -> None:
    aimd = openai_pace.Aimd(first=8, smallest=1, largest=100)
    assert limits(aimd, "b") == [4]
    assert limits(aimd, "g" * 5)[-1] == 5  # 4 + 1/4 + 1/4.25 + ... passes 5 with the fifth
    assert limits(aimd, "g" * 6)[-1] == 6


def test_it_doubles_the_limit_before_anything_was_bad() -> None:
    aimd = openai_pace.Aimd(first=8, smallest=1, largest=100)
    assert limits(aimd, "g" * 8)[-1] == 16
    assert limits(aimd, "g" * 16)[-1] == 32
    assert limits(aimd, "bg") == [16, 16]


def test_a_bad_answer_halves_it_down_to_the_smallest() -> None:
    aimd = openai_pace.Aimd(first=20, smallest=3, largest=32)
    assert limits(aimd, "bbbb") == [10, 5, 3, 3]


def test_it_never_passes_the_largest() -> None:
    aimd = openai_pace.Aimd(first=3, smallest=1, largest=4)
    assert limits(aimd, "g" * 50)[-1] == 4
    assert limits(aimd, "b") == [2]


def test_requests_that_fail_together_halve_once() -> None:
    aimd = openai_pace.Aimd(first=16, smallest=1, largest=32)
    begun = [aimd.begin() for _ in range(16)]
    for one in begun:
        aimd.bad(one)
    assert aimd.limit == 8
    aimd.bad(aimd.begin())
    assert aimd.limit == 4


def test_it_settles_near_what_a_server_bears() -> None:
    aimd, capacity, found = openai_pace.Aimd(first=2, smallest=1, largest=64), 20, []
    for _ in range(400):
        begun = [aimd.begin() for _ in range(aimd.limit)]
        for place, one in enumerate(begun):
            aimd.good() if place < capacity else aimd.bad(one)
        found.append(aimd.limit)
    assert max(found[100:]) <= capacity + 2
    assert min(found[100:]) >= capacity // 2 - 1


def test_no_more_at_a_time_than_the_limit_says() -> None:
    now = most = 0

    async def one(pace: openai_pace.Pace) -> None:
        nonlocal now, most
        async with pace.turn() as begun:
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1
            pace.done(begun, is_good=False)

    async def several() -> None:
        nonlocal most
        pace = openai_pace.Pace(openai_pace.Aimd(first=4, smallest=1, largest=4))
        await asyncio.gather(*(one(pace) for _ in range(4)))
        assert most == 4
        most = 0
        await asyncio.gather(*(one(pace) for _ in range(4)))
        assert most == 2

    asyncio.run(several())


def seconds_of(pace: openai_pace.Pace, requests: int, tokens: int) -> float:
    async def one() -> None:
        async with pace.turn() as begun:
            pace.used(tokens)
            pace.done(begun, is_good=True)

    async def several() -> None:
        await asyncio.gather(*(one() for _ in range(requests)))

    started = time.monotonic()
    asyncio.run(several())
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("rates", "smallest"),
    [
        ({"requests_per_minute": 1800.0}, 0.5),  # 16 requests, a thirtieth of a second apart
        # Of 150 tokens, for the last ones nobody waits, a second's worth is there at once.
        ({"tokens_per_minute": 6000.0}, 0.5),
    ],
    ids=["requests", "tokens"],
)
def test_rates(rates: dict[str, float], smallest: float) -> None:
    aimd = openai_pace.Aimd(first=8, smallest=1, largest=8)
    taken = seconds_of(openai_pace.Pace(aimd, **rates), requests=16, tokens=10)
    assert taken >= smallest * 0.9
