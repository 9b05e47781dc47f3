# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The figures of the log-probability gap, by hand and for the JAX engine itself."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest

from benchmarks import logprob_gap
from tests.engines import test_jax_engine


def tokens(learner: list[float], engine: list[float]) -> logprob_gap.Tokens:
    return logprob_gap.Tokens(
        engine=np.array(engine, np.float32),
        learner=np.array(learner, np.float32),
        exact=np.array(learner, np.float32) + 0.5,
        is_likeliest=np.array([True, True, True, False]),
        has_images=np.array([True, False, False, True]),
    )


def test_figures_by_hand() -> None:
    engine = np.array([-1.0, -2.0, -3.0, -1.0])
    weights = np.array([2.0, 0.5, 1.0, 1.0])  # of the learner over the engine
    found = logprob_gap.summarise(tokens((engine + np.log(weights)).tolist(), engine.tolist()))
    assert found["tokens"] == 4 and found["other_argmax"] == 0.25
    assert found["mean"] == pytest.approx(2 * np.log(2) / 4)
    assert found["mean_without_images"] == pytest.approx(np.log(2) / 2)
    assert found["largest"] == pytest.approx(np.log(2))
    assert found["rounding"] == pytest.approx(0.5)
    assert found["mean_weight"] == pytest.approx(4.5 / 4)
    assert found["effective_share"] == pytest.approx(4.5**2 / (4 * 6.25))


def test_sides_that_agree_have_no_gap() -> None:
    found = logprob_gap.summarise(tokens([-1.0, -2.0, -3.0, -1.0], [-1.0, -2.0, -3.0, -1.0]))
    assert found["mean"] == found["p99"] == found["largest"] == 0
    assert found["mean_weight"] == found["effective_share"] == 1


def test_a_line_has_a_cell_a_column() -> None:
    figures = logprob_gap.summarise(tokens([-1.0] * 4, [-1.0] * 4))
    results = [
        {"dtype": "float32", "engine": "vllm", "way": way, **figures} for way in logprob_gap.WAYS
    ]
    lines = list(logprob_gap.table_lines(results))
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3].startswith("| float32 | vLLM | greedy | 4 |")


@pytest.fixture(scope="module")
def folder(small_folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    made = tmp_path_factory.mktemp("checkpoint")
    (made / "exported").symlink_to(small_folder)
    return made


@pytest.fixture(scope="module")
def rows(folder: pathlib.Path) -> list[dict[str, Any]]:
    path = folder / "0.png"
    test_jax_engine.picture(0).save(path)
    text: Any = {"type": "text", "text": "Is it?"}
    image = {"type": "image", "image": str(path)}
    chats = {"text": [text], "image": [image, text]}
    found = [
        {"id": id, "messages": [{"role": "user", "content": parts}], "max_new_tokens": 8}
        for id, parts in chats.items()
    ]
    (folder / "requests.json").write_text(json.dumps(found))
    return found


def test_the_jax_engine_reports_what_the_learner_computes(
    folder: pathlib.Path, rows: list[dict[str, Any]]
) -> None:
    """The twin: the log-probabilities of every answer in the wrong order."""
    asked = json.loads(json.dumps(logprob_gap.ask_jax(folder, "float32")))
    learner = logprob_gap.Learner(folder / "exported", rows, "float32")
    for way, count in (("sampled", logprob_gap.SAMPLES), ("greedy", 1)):
        assert [len(group) for group in asked[way]] == [count] * 2
        found = learner.read(asked[way])
        assert len(found.engine) == sum(len(one["tokens"]) for group in asked[way] for one in group)
        figures = logprob_gap.summarise(found)
        assert figures["largest"] < 1e-4 and figures["rounding"] == 0
        assert 0 < found.has_images.mean() < 1
        if way == "greedy":
            assert figures["other_argmax"] == 0
    changed = [
        [{**one, "logprobs": one["logprobs"][::-1]} for one in group] for group in asked[way]
    ]
    assert logprob_gap.summarise(learner.read(changed))["mean"] > 1e-2
