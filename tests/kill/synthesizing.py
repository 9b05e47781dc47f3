# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A synthesis of questions, reasons and a few pictures: as a command, and what a server says to it.

It is its own config: `--config=tests/kill/synthesizing.py:FOLDER`.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
from PIL import Image

from data_tools import config as curation
from data_tools.synthesis import config as config_lib
from data_tools.synthesis import reasoning, self_instruct
from tests.engines import bad_server

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPES = ("self_instruct", "reasoning")
PICTURES, AT_ONCE = 7, 4
UNREADABLE = 9  # one reply of so many
TRACE = """The picture shows a sharp bright line across the field, which is where the finding of the
question would be seen. Nothing beside it is displaced, and its edge is regular on both sides. What
is asked for is there."""


def write_data(folder: pathlib.Path, count: int) -> pathlib.Path:
    """Questions with answers, and captioned pictures, half as many."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        shades = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(shades).save(folder / "images" / f"{number}.png")
    asked = [_row(f"q{i}", f"Is finding {i} there?", "yes", i) for i in range(count)]
    shown = [_row(f"c{i}", "Describe it.", f"Finding {i} is there.", i) for i in range(count // 2)]
    for name, rows in (("questions", asked), ("captions", shown)):
        lines = [json.dumps(row) + "\n" for row in rows]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return folder


def _row(id: str, question: str, answer: str, number: int) -> dict[str, Any]:
    picture = {"type": "image", "image": f"images/{number % PICTURES}.png"}
    content = [picture, {"type": "text", "text": question}]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    return {"id": id, "messages": messages}


def get_config(arg: str) -> config_lib.SynthesisConfig:
    """The synthesis about a folder of `write_data`."""
    return config_lib.SynthesisConfig(
        sources=[
            curation.CuratedSource(name="questions", path="questions.jsonl"),
            curation.CuratedSource(name="captions", path="captions.jsonl", kind="captions"),
        ],
        root=arg,
        window=32,
        self_instruct=self_instruct.Config(sources=("captions",)),
        reasoning=reasoning.Config(sources=("questions",)),
    )


def reply(body: dict[str, Any]) -> str:
    """What a model says: always the same to a body, and another thing to every other."""
    mark = mark_of(body)
    properties = body["response_format"]["json_schema"]["schema"]["properties"]
    if int(mark, 16) % UNREADABLE == 0:
        return f"{mark} is no JSON"
    if "items" in properties:
        items = [
            {"question": f"What is {mark} here?", "answer": "a line", "wrong": ["a cyst"]},
            {"question": f"Is {mark} here?", "answer": "yes", "wrong": ["no"]},
        ]
        return json.dumps({"fits": True, "why": "", "items": items})
    if "verdict" in properties:
        return json.dumps({"verdict": "consistent", "told": "no", "why": mark})
    return json.dumps({"reasoning": f"{TRACE} ({mark})", "answer": "yes"})


def mark_of(body: dict[str, Any]) -> str:
    """Of a question and its seed; it stands in the reply."""
    said = f"{bad_server.question_of(body)} {body['seed']}"
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def start(
    data: pathlib.Path, output: pathlib.Path, url: str, *more: str, model: str = "m"
) -> subprocess.Popen[str]:
    """Starts the command; its errors go to OUTPUT.log."""
    flags = ("--engine=openai", f"--model={model}", f"--base_url={url}", *more)
    with output.with_suffix(".log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "data_tools.synthesize", f"--config={__file__}:{data}"]
            + [f"--output={output}", f"--max_concurrency={AT_ONCE}", *flags],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "."},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def finish(process: subprocess.Popen[str], output: pathlib.Path) -> str:
    """Waits for a command that must succeed; what it printed."""
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output.with_suffix(".log").read_text()
    return said


def files(output: pathlib.Path) -> dict[str, bytes]:
    """What a synthesis is for: rows, their pictures, and what was dropped."""
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for part in ("rows", "dropped")
        for path in sorted((output / part).rglob("*"))
        if path.is_file()
    }
