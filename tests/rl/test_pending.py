# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Finished rollouts come back from disk bit by bit, and no others."""

import json
import math
import pathlib

import numpy as np
import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import protocol
from lingshu_jax.rl import pending

# The smallest float, one that 17 digits must tell from its neighbour, and what a ban gives.
LOGPROBS = (-5e-324, -float(np.nextafter(0.1, 1.0)), -math.inf)


def request(id: str = "a", seed: int = 1) -> protocol.Request:
    sampling = protocol.SamplingParams(max_new_tokens=3, seed=seed, n=2)
    return protocol.Request(messages=[], sampling=sampling, id=id)


def sampled(text: str = "é\n") -> pending.Sampled:
    one = protocol.Completion(text=text, tokens=(1, 2, 3), logprobs=LOGPROBS, finish_reason="stop")
    other = protocol.Completion(text="", tokens=(4,), logprobs=(-0.5,), finish_reason="length")
    return pending.Sampled([one, other], at=6, is_new=True)


def test_what_was_finished_is_found_again(tmp_path: pathlib.Path) -> None:
    with pending.opened(tmp_path, step=7, lineage=(0, 0)) as finished:
        assert finished.find([request("a"), request("b")]) == [None, None]
        finished.put(request("b"), sampled())
    with pending.opened(tmp_path, step=7, lineage=(0, 0)) as finished:
        assert finished.find([request("a"), request("b")]) == [
            None,
            sampled()._replace(is_new=False),
        ]


@pytest.mark.parametrize(
    ("asked", "step", "lineage"),
    [
        (request(seed=2), 7, (0, 0)),
        (request(id="c"), 7, (0, 0)),
        (request(), 9, (0, 0)),
        (request(), 7, (1, 1)),
    ],
    ids=["other draws", "other prompt", "other batch", "other weights"],
)
def test_what_is_not_the_same_is_not_found(
    tmp_path: pathlib.Path, asked: protocol.Request, step: int, lineage: tuple[int, ...]
) -> None:
    with pending.opened(tmp_path, step=7, lineage=(0, 0)) as finished:
        finished.put(request(), sampled())
    with pending.opened(tmp_path, step=step, lineage=lineage) as finished:
        assert finished.find([asked]) == [None]


def test_a_torn_last_line_is_sampled_again_and_overwritten(tmp_path: pathlib.Path) -> None:
    path = tmp_path / pending.FOLDER / "000001.jsonl"
    with pending.opened(tmp_path, step=1, lineage=()) as finished:
        finished.put(request("a"), sampled())
        finished.put(request("b"), sampled())
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pending.opened(tmp_path, step=1, lineage=()) as finished:
        found = finished.find([request("a"), request("b")])
        assert [one is not None for one in found] == [True, False]
        finished.put(request("b"), sampled())
    assert path.read_bytes() == whole
    assert [json.loads(line)["answer"]["at"] for line in path.read_text().splitlines()] == [6, 6]


def test_no_second_process_writes_the_same_batch(tmp_path: pathlib.Path) -> None:
    with pending.opened(tmp_path, step=1, lineage=()):
        with pytest.raises(errors.UserError, match="another process is writing it"):
            with pending.opened(tmp_path, step=1, lineage=()):
                pass


def test_what_a_checkpoint_holds_goes(tmp_path: pathlib.Path) -> None:
    for step in (1, 5, 9):
        with pending.opened(tmp_path, step=step, lineage=()) as finished:
            finished.put(request(), sampled())
    folder = tmp_path / pending.FOLDER
    pending.clear(tmp_path, saved=None)
    assert len(list(folder.iterdir())) == 3
    # After step 8 a run goes on with the batch of step 9.
    pending.clear(tmp_path, saved=8)
    assert [path.name for path in folder.iterdir()] == ["000009.jsonl"]
    pending.clear(tmp_path, saved=12)
    assert not folder.exists()
    pending.clear(tmp_path, saved=12)
