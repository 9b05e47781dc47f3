# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Continuations scored by a command: their log-probabilities, in order, or why there are none."""

import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from lingshu_jax import generate, score
from lingshu_jax.common import errors
from lingshu_jax.engines import batch_file, protocol, registry
from tests import small
from tests.engines import stand_in

ROWS = registry.Options(rows=4)


def row(text: str, *continuations: Any, **keys: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"id": text, "messages": messages, "continuations": list(continuations), **keys}


def write(folder: pathlib.Path, rows: Sequence[dict[str, Any]]) -> pathlib.Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> stand_in.StandIn:
    """Takes the place of every engine."""
    made = stand_in.StandIn()
    monkeypatch.setattr(registry.Choice, "make", lambda _: made)
    return made


def test_scores_of_an_answer_are_its_log_probabilities(
    small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """What `generate` says of its own tokens, `score` says of them as well."""
    (tmp_path / "prompts").mkdir()
    prompts = write(tmp_path / "prompts", [row("what?"), row("who?")])
    sampling = protocol.SamplingParams(max_new_tokens=6)
    generate.run(small_folder, prompts, tmp_path / "answers.jsonl", sampling=sampling, options=ROWS)
    answers = read(tmp_path / "answers.jsonl")
    source = write(tmp_path, [row(a["id"], a["tokens"], "yes", "no and no more") for a in answers])
    counts = score.run(small_folder, source, tmp_path / "scores.jsonl", options=ROWS)
    assert counts == batch_file.Counts(answered=2, failed=0)
    scored = read(tmp_path / "scores.jsonl")
    assert [one["id"] for one in scored] == ["what?", "who?"]
    for one, answer in zip(scored, answers, strict=True):
        assert list(one) == ["id", "scores"]
        own, yes, no = one["scores"]
        assert own["tokens"] == answer["tokens"]
        assert own["logprobs"] == pytest.approx(answer["logprobs"], abs=1e-4)
        assert len(yes["tokens"]) < len(no["tokens"])
        for item in (own, yes, no):
            assert item["logprob"] == pytest.approx(math.fsum(item["logprobs"]))
            assert all(value < 0 for value in item["logprobs"])
        assert yes["logprob"] != no["logprob"]


def test_rows_without_continuations_are_error_rows(
    small_folder: pathlib.Path, tmp_path: pathlib.Path, engine: stand_in.StandIn
) -> None:
    answered = row("answered", "yes")
    answered["messages"].append({"role": "assistant", "content": "x"})
    bad = [
        row("none"),
        row("empty text", "yes", ""),
        row("number", 3),
        row("no ids", []),
        row("no id", [1, -1]),
        row("truth", [True]),
        {key: value for key, value in row("missing", "x").items() if key != "continuations"},
        row("text", "x", continuations="yes"),
    ]
    source = write(tmp_path, [row("good", "yes", [1, 2]), *bad, answered])
    counts = score.run(small_folder, source, tmp_path / "out.jsonl")
    assert counts == batch_file.Counts(answered=1, failed=len(bad) + 1)
    good, *failed, last = read(tmp_path / "out.jsonl")
    assert [item["tokens"] for item in good["scores"]] == [list(b"yes"), [1, 2]]
    assert good["scores"][1] == {"tokens": [1, 2], "logprobs": [-0.25] * 2, "logprob": -0.5}
    for one in failed:
        assert "continuations must be a list of texts or of lists of token ids" in one["error"]
    assert "the last message must be the user's" in last["error"]


def test_scores_are_no_answers(
    small_folder: pathlib.Path, tmp_path: pathlib.Path, engine: stand_in.StandIn
) -> None:
    """One command does not go on with the file of the other."""
    source, target = write(tmp_path, [row("good", "yes")]), tmp_path / "out.jsonl"
    score.run(small_folder, source, target)
    score.run(small_folder, source, target)
    assert engine.asked == ["good"]
    with pytest.raises(
        errors.UserError, match="with the command score, now it is the command generate"
    ):
        sampling = protocol.SamplingParams(max_new_tokens=6)
        generate.run(small_folder, source, target, sampling=sampling)


def test_the_command(small_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    source, target = write(tmp_path, [row("good", "yes")]), tmp_path / "out.jsonl"
    given = (f"--model={small_folder}", f"--input={source}", f"--output={target}")
    assert f"1 answers in {target}" in small.finish(small.start("score", *given))
    line = small.fail(small.start("score", *given[:2]))
    assert "--output is required" in line
