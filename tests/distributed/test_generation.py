# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Two processes take the same decisions about slots and stop texts, and answer as one does."""

import json
import pathlib

import numpy as np
import pytest

from lingshu_jax.engines import jax_engine
from tests.distributed import generation, processes

pytestmark = pytest.mark.kill


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param({"data": 2, "tensor": 2}, id="requests over both"),
        pytest.param({"tensor": 2, "context": 2}, id="every request on both"),
    ],
)
def test_two_processes_answer_as_one(
    sizes: dict[str, int], small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    args = [str(small_folder), str(tmp_path), json.dumps(sizes)]
    with processes.joined(
        2, "tests.distributed.generation", args, folder=tmp_path / "logs", devices=2
    ) as group:
        group.finish()
    first, second = (json.loads((tmp_path / f"{i}.json").read_text()) for i in range(2))
    assert first == second
    engine = jax_engine.JaxEngine.from_folder(small_folder, rows=generation.ROWS)
    expected = generation.answer(engine)
    assert [tokens for _, tokens, _ in first] == [tokens for _, tokens, _ in expected]
    assert [text for text, _, _ in first] == [text for text, _, _ in expected]
    for (_, _, ours), (_, _, theirs) in zip(first, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert len({tuple(tokens) for _, tokens, _ in first}) > len(first) // 2
