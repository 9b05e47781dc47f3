# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The decode benchmark at a tiny size: its work, our side, what the table makes of the times."""

import argparse
import pathlib
from typing import Any

import numpy as np
import pytest

from benchmarks import decode, decode_ours, decode_work, train_step_sides


class FakeSide:
    """A side that has finished; a run is (one token, all tokens), each (wall, processor)."""

    error = ""
    memory_bytes = 2.0**30

    def __init__(self, runs: list[list[tuple[float, float]]], tokens: list[list[int]]):
        self.steps = runs
        self.ready = {"tokens": tokens, "weight_bytes": 1e6, "device": "NVIDIA H200"}


def row(**changes: Any) -> decode.Row:
    plan = decode.check_row().plan
    values = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
    return decode.Row("x", decode_work.Plan(**{**values, **changes}))


def summarise(bandwidth: float = 0.0) -> dict[str, Any]:
    runs = [[(1.0, 2.0), (1.0 + wall, 2.0 + 2 * wall)] for wall in (0.5, 1.1, 0.9)]
    slow = [[(1.0, 2.0), (10.0, 20.0)]] * 3
    sides: Any = {
        decode.OURS: FakeSide(runs, [[1, 2], [3, 4]]),
        decode.THEIRS: FakeSide(slow, [[1, 2], [3, 5]]),
    }
    return decode.summarise(row(rows=3, new_tokens=10), sides, bandwidth)


def test_the_first_token_counts_as_prefill() -> None:
    ours = summarise()["sides"][decode.OURS]
    assert ours["prefill"] == 3 * 40 / 1.0
    assert ours["decode"] == pytest.approx(3 * 9 / 0.9)
    assert ours["decode_by_processor_time"] == pytest.approx(3 * 9 / 1.8)
    assert ours["decode_runs"] == pytest.approx([3 * 9 / wall for wall in (0.5, 1.1, 0.9)])


def test_the_limit_is_what_a_step_must_read() -> None:
    result = summarise(bandwidth=1e9)
    # 2 layers, one key/value head of 32, keys and values, float32; half of the new tokens.
    needed = 1e6 + 3 * (40 + 5) * 2 * 2 * 32 * 4
    assert result["step_bytes"] == needed
    share = result["sides"][decode.OURS]["of_bandwidth"]
    assert share == pytest.approx(needed / 1e9 / (0.9 / 9))
    assert summarise()["bandwidth"] == 4.8e12  # of the card that ran it


def test_the_table_compares_the_sides() -> None:
    result = summarise()
    assert result["times_transformers"] == pytest.approx(10.0)
    assert result["equal_tokens"] == 0.5
    lines = list(decode.table_lines(result))
    columns = decode.HEADER[0].count("|")
    assert len(lines) == 3 and all(line.count("|") == columns for line in lines)


def test_an_error_is_a_row() -> None:
    side: Any = FakeSide([], [])
    side.error = "out of memory"
    result = decode.summarise(row(), {decode.OURS: side}, 0.0)
    assert list(decode.table_lines(result)) == ["| x | 3 | ours | out of memory | | | | | |"]


def test_our_side_gives_every_new_token(tmp_path: pathlib.Path) -> None:
    plan = row(rows=2, new_tokens=5, has_weights=False).plan
    decode_work.write(plan, tmp_path)
    side = decode_ours.Generator(train_step_sides.Work(tmp_path), argparse.Namespace())
    assert side.step(0) == 2
    first = side.describe()["tokens"]
    assert side.step(1) == 10
    said = side.describe()
    assert [row[:1] for row in said["tokens"]] == first
    assert [len(row) for row in said["tokens"]] == [5, 5]
    text = plan.size.text
    assert said["weight_bytes"] > 4 * text.embed_dim * text.vocab_size  # the head alone


def test_prompts_are_whole_and_differ() -> None:
    plan = row().plan
    arrays = decode_work.make_prompts(plan)
    assert arrays["prompt_ids"].shape == (3, 40)
    np.testing.assert_array_equal(arrays["prompt_ids"], arrays["tokens"])
    is_image = arrays["prompt_ids"] == plan.size.special.image_pad
    assert is_image.sum(axis=1).tolist() == [16, 16, 16] and not is_image[:, -1].any()
    assert arrays["pictures"].shape[0] == 3 * 64
    assert len({row.tobytes() for row in arrays["prompt_ids"]}) == 3


def test_bandwidth_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "READ_BYTES", 2**22)
    assert 1e7 < decode.read_bandwidth(2) < 1e13
