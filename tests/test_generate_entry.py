# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Batch inference: prompts in, answers out in their order, or one line that says what is wrong."""

import json
import pathlib
import shutil
import subprocess
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from PIL import Image

from lingshu_jax import generate
from lingshu_jax.common import errors
from lingshu_jax.engines import batch_file, jax_engine, protocol, registry
from tests import small
from tests.engines import answering, stand_in

NEW_TOKENS = 8
ROWS = registry.Options(rows=4)


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


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> stand_in.StandIn:
    """Takes the place of every engine."""
    made = stand_in.StandIn()
    monkeypatch.setattr(registry.Choice, "make", lambda _: made)
    return made


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_answers_stand_in_the_order_of_the_prompts(
    small_folder: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    target = tmp_path / "new" / "answers.jsonl"
    counts = generate.run(small_folder, prompts, target, sampling=sampling(), options=ROWS)
    assert counts == batch_file.Counts(answered=3, failed=0)
    answers = read(target)
    assert [answer["id"] for answer in answers] == ["b", "a", "prompts:3"]
    engine = jax_engine.JaxEngine.from_folder(small_folder, rows=4)
    for answer in answers:
        assert list(answer) == ["id", "text", "tokens", "logprobs", "finish_reason"]
        assert len(answer["tokens"]) == len(answer["logprobs"]) <= NEW_TOKENS
        assert answer["text"] == engine.encoder.decode(answer["tokens"])
        assert answer["finish_reason"] in ("stop", "length")
    beside = sorted(path.name for path in target.parent.iterdir())
    assert beside == ["answers.jsonl", "answers.jsonl.settings.json"]


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
    generate.run(small_folder, prompts, by_folder, sampling=sampling(), options=ROWS)
    assert not asked
    generate.run("some-org/model@v1", prompts, by_id, sampling=sampling(), options=ROWS)
    assert asked == [("some-org/model", "v1")]
    assert read(by_id) == read(by_folder)


def test_a_seed_decides_the_samples(
    small_folder: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    drawn = []
    for i, seed in enumerate((1, 1, 2)):
        options, target = sampling(temperature=1.0, seed=seed), tmp_path / f"{i}.jsonl"
        generate.run(small_folder, prompts, target, sampling=options, options=ROWS)
        drawn.append([answer["tokens"] for answer in read(target)])
    assert drawn[0] == drawn[1] != drawn[2]


def test_several_answers_stand_in_one_row(
    small_folder: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    target, options = tmp_path / "out.jsonl", sampling(temperature=1.0, n=2)
    generate.run(small_folder, prompts, target, sampling=options, options=ROWS)
    for answer in read(target):
        assert list(answer) == ["id", "completions"]
        first, second = answer["completions"]
        assert list(first) == list(second) == ["text", "tokens", "logprobs", "finish_reason"]
        assert first["tokens"] != second["tokens"]


def test_no_two_answers_of_a_file_have_a_seed_in_common(
    small_folder: pathlib.Path,
    prompts: pathlib.Path,
    tmp_path: pathlib.Path,
    engine: stand_in.StandIn,
) -> None:
    """A server draws the answers of a request from its seed, seed + 1, and so on."""
    options = sampling(temperature=1.0, n=3, seed=5)
    generate.run(small_folder, prompts, tmp_path / "out.jsonl", sampling=options)
    assert [request.sampling.seed for request in engine.requests] == [5, 8, 11]


def test_a_bad_row_is_an_error_row_and_stops_no_other(
    small_folder: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    picture = (prompts.parent / "a.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(picture[: len(picture) // 2])
    (tmp_path / "text.png").write_text("not an image")
    reply = {"role": "assistant", "content": "x"}
    ended = row("what?", id="ended")
    ended["messages"].append(reply)
    bad = {
        "id": "many",
        "messages": row("what?", *[str(prompts.parent / "a.png")] * 3)["messages"],
    }
    rows = [
        ("no such file: gone.png", row("what?", "gone.png", id="gone")),
        ("unknown role 'robot'", {"id": "role", "messages": [{"role": "robot", "content": "x"}]}),
        ("messages must be a list", {"id": "empty", "messages": []}),
        ("messages must be a list", {"id": "none", "prompt": "x"}),
        ("torn.png", row("what?", "torn.png", id="torn")),
        ("text.png", row("what?", "text.png", id="text")),
        ("the last message of a prompt must be the user's", ended),
        ("has 3 images, allowed are at most 2", bad),
    ]
    source = write(tmp_path, [row("good"), *(one for _, one in rows), row("better")])
    target, options = tmp_path / "out.jsonl", registry.Options(rows=4, max_images=2)
    counts = generate.run(small_folder, source, target, sampling=sampling(), options=options)
    assert counts == batch_file.Counts(answered=2, failed=len(rows))
    first, *found, last = read(target)
    assert first["tokens"] and last["tokens"]
    for (reason, given), answer in zip(rows, found, strict=True):
        assert list(answer) == ["id", "error"] and answer["id"] == given["id"]
        assert reason in answer["error"], answer


def test_the_same_command_again_and_another_one(
    small_folder: pathlib.Path,
    prompts: pathlib.Path,
    tmp_path: pathlib.Path,
    engine: stand_in.StandIn,
) -> None:
    def again(**changes: Any) -> None:
        generate.run(small_folder, prompts, tmp_path / "out.jsonl", **changes)

    again(sampling=sampling(stop=("x", "y")))
    again(sampling=sampling(stop=("x", "y")))
    assert len(engine.asked) == 3
    with pytest.raises(errors.UserError, match=r"with --stop=\['x', 'y'\], now it is --stop="):
        again(sampling=sampling(stop=("x",)))
    with pytest.raises(errors.UserError, match="--max_new_tokens=8, now it is --max_new_tokens=9"):
        again(sampling=sampling(stop=("x", "y"), max_new_tokens=9))
    again(sampling=sampling(max_new_tokens=9), overwrite=True)
    assert len(engine.asked) == 6


def test_other_weights_under_the_same_name_are_noticed(
    small_folder: pathlib.Path,
    prompts: pathlib.Path,
    tmp_path: pathlib.Path,
    engine: stand_in.StandIn,
) -> None:
    model = tmp_path / "model"
    shutil.copytree(small_folder, model)
    generate.run(model, prompts, tmp_path / "out.jsonl", sampling=sampling())
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "x": 1}))
    with pytest.raises(errors.UserError, match="with the weights .*, now it is the weights"):
        generate.run(model, prompts, tmp_path / "out.jsonl", sampling=sampling())


def test_a_command_with_failed_rows_leaves_with_code_1(
    small_folder: pathlib.Path, prompts: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    gone = tmp_path / "gone.png"
    source = write(tmp_path, [row("good", id="a"), row("bad", str(gone), id="b")])

    def start() -> subprocess.Popen[str]:
        return answering.start(
            tmp_path / "asked.jsonl",
            0.0,
            f"--model={small_folder}",
            f"--input={source}",
            f"--output={tmp_path / 'out.jsonl'}",
            "--max_new_tokens=2",
            "--stop=zz",
            "--stop=yy",
        )

    process = start()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    assert "1 answers and 1 failed rows in" in out
    assert "row 'b': line 2: no such file" in err and "Traceback" not in err
    gone.write_bytes((prompts.parent / "a.png").read_bytes())
    assert "2 answers in" in small.finish(start())
    assert [answer["id"] for answer in read(tmp_path / "out.jsonl")] == ["a", "b"]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--top_k=5"], "top_k = 5 means nothing to a server of dialect 'openai'; 'vllm' has it"),
        (
            ["--base_url=http://user:secretword@localhost/v1"],
            "base_url must have no user, password",
        ),
        (["--base_url=http://localhost:secretword/v1"], "base_url is no address"),
    ],
)
def test_a_server_that_cannot_be_asked_so_is_one_line_and_no_row(
    prompts: pathlib.Path, tmp_path: pathlib.Path, flags: list[str], line: str
) -> None:
    command = small.start(
        "generate",
        *("--engine=openai", "--model=m", f"--input={prompts}", "--max_new_tokens=4"),
        *(f"--output={tmp_path / 'out.jsonl'}", f"--ledger_file={tmp_path / 'ledger.jsonl'}"),
        *(f"--cache_folder={tmp_path / 'cache'}", "--base_url=http://127.0.0.1:9/v1", *flags),
    )
    found = small.fail(command)
    assert line in found and "secretword" not in found
    assert not list(tmp_path.iterdir())


def test_a_password_in_the_environments_address_is_in_no_file_and_no_error(
    prompts: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: stand_in.StandIn,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:secretword@localhost/v1")

    def run() -> None:
        generate.run("m", prompts, tmp_path / "out.jsonl", sampling=sampling(), engine="openai")

    with pytest.raises(errors.UserError, match="OPENAI_BASE_URL must have no user") as caught:
        run()
    assert "secretword" not in str(caught.value)
    assert not list(tmp_path.iterdir()) and not engine.asked
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost/v1")
    run()
    assert len(engine.asked) == 3


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
        "engine": ("llama", ["--engine=llama", "jax, vllm, openai"]),
        "rows": (-1, ["--rows must be >= 0, got -1"]),
        "base_url": ("http://localhost", ["--base_url means nothing to --engine=jax"]),
        "max_new_tokens": (0, ["max_new_tokens must be >= 1, got 0"]),
    }

    def start(name: str) -> subprocess.Popen[str]:
        values = {**good, name: cases[name][0]}
        return small.start("generate", *(f"--{key}={value}" for key, value in values.items()))

    for name in cases:
        line = small.fail(start(name))
        assert all(word in line for word in cases[name][1]), line
    assert not list(tmp_path.iterdir())
