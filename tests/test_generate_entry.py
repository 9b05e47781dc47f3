# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Batch inference: prompts in, answers out in their order, or one line that says what is wrong."""

import json
import pathlib
import subprocess
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from PIL import Image

from lingshu_jax import generate
from lingshu_jax.common import errors
from lingshu_jax.engines import jax_engine, protocol
from tests import small

NEW_TOKENS = 8


def row(text: str, *images: str, **keys: Any) -> dict[str, Any]:
    parts = [{"type": "image", "image": image} for image in images]
    content = [*parts, {"type": "text", "text": text}]
    return {**keys, "messages": [{"role": "user", "content": content}]}


def write(folder: pathlib.Path, rows: list[dict[str, Any]]) -> pathlib.Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("prompts")
    pixels = np.random.default_rng(0).integers(0, 256, (56, 84, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    rows = [
        row("what?", "a.png", id="b"),
        row("who?", id="a"),
        row("where?", str(folder / "a.png")),
    ]
    return write(folder, rows)


def sampling(**changes: Any) -> protocol.SamplingParams:
    return protocol.SamplingParams(**{"max_new_tokens": NEW_TOKENS, **changes})


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_answers_stand_in_the_order_of_the_prompts(
    small_folder: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    target = tmp_path / "new" / "answers.jsonl"
    assert generate.run(small_folder, prompts, target, sampling=sampling(), rows=4) == 3
    answers = read(target)
    assert [answer["id"] for answer in answers] == ["b", "a", "prompts:3"]
    engine = jax_engine.JaxEngine.from_folder(small_folder, rows=4)
    for answer in answers:
        assert list(answer) == ["id", "text", "tokens", "logprobs", "finish_reason"]
        assert len(answer["tokens"]) == len(answer["logprobs"]) <= NEW_TOKENS
        assert answer["text"] == engine.encoder.decode(answer["tokens"])
        assert answer["finish_reason"] in ("stop", "length")
    assert [path.name for path in target.parent.iterdir()] == ["answers.jsonl"]


def test_a_model_by_hub_id(
    small_folder: pathlib.Path,
    prompts: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the hub gives for the id is what answers."""
    asked = []

    def download(repo_id: str, **options: Any) -> str:
        asked.append((repo_id, options["revision"]))
        return str(small_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    by_folder, by_id = tmp_path / "folder.jsonl", tmp_path / "id.jsonl"
    generate.run(small_folder, prompts, by_folder, sampling=sampling(), rows=4)
    assert not asked
    generate.run("some-org/model@v1", prompts, by_id, sampling=sampling(), rows=4)
    assert asked == [("some-org/model", "v1")]
    assert read(by_id) == read(by_folder)


def test_a_seed_decides_the_samples(
    small_folder: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    drawn = []
    for seed in (1, 1, 2):
        options = sampling(temperature=1.0, seed=seed)
        generate.run(small_folder, prompts, tmp_path / "out.jsonl", sampling=options, rows=4)
        drawn.append([answer["tokens"] for answer in read(tmp_path / "out.jsonl")])
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("what?", "gone.png"), "line 2: no such file: gone.png"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "line 2: unknown role 'robot'"),
        ({"messages": []}, "line 2: messages must be a list"),
        ({"prompt": "x"}, "line 2: messages must be a list"),
    ],
    ids=["missing_image", "role", "empty", "no_messages"],
)
def test_a_bad_row_is_named_and_nothing_is_written(
    small_folder: pathlib.Path, tmp_path: pathlib.Path, bad: dict[str, Any], message: str
) -> None:
    source = write(tmp_path, [row("good"), bad])
    with pytest.raises(errors.UserError, match=message):
        generate.run(small_folder, source, tmp_path / "out.jsonl", sampling=sampling())
    assert [path.name for path in tmp_path.iterdir()] == ["prompts.jsonl"]


def test_an_image_that_does_not_decode_is_named(
    small_folder: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    data = (prompts.parent / "a.png").read_bytes()
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    source = write(tmp_path, [row("what?", "half.png", id="torn")])
    with pytest.raises(errors.UserError, match=r"'torn'.*half.png"):
        generate.run(small_folder, source, tmp_path / "out.jsonl", sampling=sampling(), rows=4)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_file_that_is_no_image_is_named(
    small_folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "a.png").write_text("not an image")
    source = write(tmp_path, [row("what?", "a.png", id="first")])
    with pytest.raises(errors.UserError, match="a.png"):
        generate.run(small_folder, source, tmp_path / "out.jsonl", sampling=sampling())


def test_bad_commands_are_one_line(
    small_folder: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    target = tmp_path / "out.jsonl"
    good = {
        "model": small_folder,
        "input": prompts,
        "output": target,
        "engine": "jax",
        "max_new_tokens": 4,
    }
    cases = {
        "input": ("nowhere.jsonl", ["no such file", "nowhere.jsonl"]),
        "model": ("nowhere", ["--model=nowhere is no folder", "hub id"]),
        "engine": ("llama", ["--engine=llama", "jax"]),
        "max_new_tokens": (0, ["max_new_tokens must be >= 1, got 0"]),
    }

    def start(name: str) -> subprocess.Popen[str]:
        values = {**good, name: cases[name][0]}
        return small.start("generate", *(f"--{key}={value}" for key, value in values.items()))

    for name in cases:
        line = small.fail(start(name))
        assert all(word in line for word in cases[name][1]), line
    assert not list(tmp_path.iterdir())
