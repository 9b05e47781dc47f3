# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import asyncio
import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import answer_cache

# Keeps answers until it is killed; with a lock, it says so and never lets go.
WRITER = """
import asyncio, pathlib, sys
from lingshu_jax.engines import answer_cache

cache, key = answer_cache.AnswerCache(pathlib.Path(sys.argv[1])), sys.argv[2]

async def hold():
    async with cache.asking(key):
        print("held", flush=True)
        await asyncio.sleep(60)

if sys.argv[3] == "hold":
    asyncio.run(hold())
print("writing", flush=True)
while True:
    for sample in range(4):
        cache.put(key, sample, {"text": "x" * 100_000, "by": sys.argv[3]})
"""


@pytest.fixture
def cache(tmp_path: pathlib.Path) -> answer_cache.AnswerCache:
    return answer_cache.AnswerCache(tmp_path / "cache")


def test_an_answer_is_found_by_question_and_sample(cache: answer_cache.AnswerCache) -> None:
    key = answer_cache.digest({"a": 1, "b": [2, "é"]})
    cache.put(key, 1, {"text": "é\ud800"})
    assert cache.get(key, 1) == {"text": "é\ud800"}
    assert cache.get(key, 0) is None
    assert cache.get(answer_cache.digest({"a": 1, "b": [2, "e"]}), 1) is None


def test_the_order_of_keys_does_not_matter_but_that_of_lists_does() -> None:
    assert answer_cache.digest({"a": 1, "b": 2}) == answer_cache.digest({"b": 2, "a": 1})
    assert answer_cache.digest([1, 2]) != answer_cache.digest([2, 1])


def test_a_damaged_file_is_named(cache: answer_cache.AnswerCache, tmp_path: pathlib.Path) -> None:
    key = answer_cache.digest("q")
    cache.put(key, 0, {"text": "a"})
    (file,) = tmp_path.rglob("*.json")
    for content in ("", '{"text": ', "[1]"):
        file.write_text(content)
        with pytest.raises(errors.UserError, match=f"{file.name} is damaged"):
            cache.get(key, 0)


def test_a_file_is_no_cache(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.UserError, match="file is a file"):
        answer_cache.AnswerCache(tmp_path / "file")


def writer(folder: pathlib.Path, key: str, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), key, what]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() in ("held", "writing")
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_two_processes_and_sigkill_leave_whole_files(tmp_path: pathlib.Path) -> None:
    folder, key = tmp_path / "cache", answer_cache.digest("q")
    writers = [writer(folder, key, what) for what in ("one", "other")]
    cache = answer_cache.AnswerCache(folder)
    deadline, seen = time.monotonic() + 1.0, set()
    while time.monotonic() < deadline:
        for sample in range(4):
            answer = cache.get(key, sample)  # raises where a file is torn
            if answer is not None:
                seen.add(answer["by"])
                assert len(answer["text"]) == 100_000
    for process in writers:
        kill(process)
    assert seen == {"one", "other"}
    found = list((folder / key[:2]).glob("*.json"))
    assert found and all(json.loads(path.read_text())["text"] for path in found)


def test_what_is_killed_lets_go_of_its_question(tmp_path: pathlib.Path) -> None:
    folder, key = tmp_path / "cache", answer_cache.digest("q")
    holder = writer(folder, key, "hold")
    cache = answer_cache.AnswerCache(folder)

    async def ask() -> bool:
        async with cache.asking(key):
            return holder.poll() is not None

    async def both() -> bool:
        asked = asyncio.create_task(ask())
        await asyncio.sleep(0.3)
        assert not asked.done()
        kill(holder)
        return await asked

    assert asyncio.run(both())


def test_equal_questions_wait_for_each_other_in_one_process(
    cache: answer_cache.AnswerCache,
) -> None:
    inside, most = 0, {}

    async def ask(key: str) -> None:
        nonlocal inside
        async with cache.asking(key):
            inside += 1
            most[key] = max(most.get(key, 0), inside)
            await asyncio.sleep(0.02)
            inside -= 1

    async def several(keys: list[str]) -> None:
        await asyncio.gather(*map(ask, keys))

    asyncio.run(several(["aaa1"] * 3))
    assert most == {"aaa1": 1}
    asyncio.run(several(["bbb1", "ccc1", "ddd1"]))
    assert max(most.values()) == 3
