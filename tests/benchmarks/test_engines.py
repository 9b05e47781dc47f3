# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the engines at a tiny size: its work, its sides, what the table shows."""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import engines, engines_work
from lingshu_jax.models import hf

TOKENS = [[1, 2, 3], [4, 5, 6]]
PLAN = dataclasses.replace(engines_work.CHECK, requests=2, new_tokens=3)


class FakeSide:
    """A side that has finished."""

    memory_bytes = 2.0**30

    def __init__(self, seconds: list[float], tokens: list[list[int]], error: str = ""):
        self.runs, self.error = seconds, error
        self.cpu_runs = [2 * run for run in seconds]
        self.ready = {} if error else {"tokens": tokens, "versions": {"jax": "1"}}


def summarise(**sides: FakeSide) -> dict[str, Any]:
    faked: Any = {engines.OURS: FakeSide([1.0, 3.0, 2.0], TOKENS), **sides}
    return engines.summarise(PLAN, faked)


def test_the_median_counts_and_the_faster_vllm() -> None:
    result = summarise(
        vllm=FakeSide([4.0, 4.0, 4.0], TOKENS),
        vllm_compiled=FakeSide([3.0, 3.0, 3.0], TOKENS),
        transformers=FakeSide([8.0, 8.0, 8.0], TOKENS),
    )
    ours = result["sides"][engines.OURS]
    assert ours["tokens_per_second"] == 6 / 2
    assert ours["by_processor_time"] == 6 / 4
    assert ours["tokens_per_second_runs"] == [6.0, 2.0, 3.0]
    assert result["times_vllm"] == pytest.approx([1.5, 1.5])
    assert result["times_transformers"] == pytest.approx([4.0, 4.0])


def test_tokens_are_compared_up_to_the_first_that_differs() -> None:
    result = summarise(vllm=FakeSide([1.0], [[1, 2, 3], [4, 9, 6]]))
    side = result["sides"][engines.VLLM]
    assert side["equal_answers"] == 0.5
    assert side["equal_tokens"] == pytest.approx(4 / 6)
    assert result["sides"][engines.OURS]["equal_tokens"] == 1


def test_a_side_that_fails_is_a_row_and_compares_with_nothing() -> None:
    result = summarise(vllm=FakeSide([], [], "ended with 1"))
    lines = list(engines.table_lines(result))
    assert result["times_vllm"] is None and result["times_transformers"] is None
    columns = lines[0].count("|")
    assert len(lines) == 4 and all(line.count("|") == columns for line in lines)
    assert lines[3].startswith("| vLLM | ended with 1 |")


def test_every_image_and_question_is_another(tmp_path: pathlib.Path) -> None:
    engines_work.write(engines_work.CHECK, tmp_path)
    requests = json.loads((tmp_path / engines_work.REQUESTS).read_text())
    parts = [part for (message,) in requests for part in message["content"]]
    images = [pathlib.Path(part["image"]).read_bytes() for part in parts if "image" in part]
    questions = {part["text"] for part in parts if "text" in part}
    assert len(set(images)) == len(questions) == engines_work.CHECK.requests
    assert hf.read_config(tmp_path).text.vocab_size == engines_work.CHECK_SIZE.text.vocab_size


@pytest.mark.parametrize("sides", ["ours,foo", "vllm", ""])
def test_sides_are_known_and_ours_is_among_them(
    sides: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        engines.main([f"--sides={sides}"])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(
        "--sides: must be some of ours, vllm, vllm_compiled, transformers, ours among them, got "
        f"{sides!r}"
    )


def check(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        engines.main(["--check", *argv])
    sides = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0, sides
    return sides


def test_our_side_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, "--sides=ours")["ours"]["error"] == ""


@pytest.mark.vllm
def test_all_sides_give_the_same_tokens(
    capsys: pytest.CaptureFixture[str], side_python: Callable[[str], pathlib.Path]
) -> None:
    python = side_python("vllm")  # transformers is there too
    sides = check(capsys, "--sides=ours,vllm,transformers", f"--vllm={python}", f"--torch={python}")
    assert [side["equal_answers"] for side in sides.values()] == [1, 1, 1]
