# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The command evaluate with an engine that needs no model and takes its time.

    python -m tests.kill.evaluating LOG SECONDS FLAGS OF EVALUATE

`LOG` gets the id of each question when it is asked, `SECONDS` go by before each answer.
"""

import json
import pathlib
import subprocess
from typing import Any

from PIL import Image

from lingshu_jax import evaluate
from tests.engines import stand_in

NAME = "asked"  # of the benchmark


def start(log: pathlib.Path, seconds: float, *flags: str) -> subprocess.Popen[str]:
    """Starts the command."""
    return stand_in.start("tests.kill.evaluating", log, seconds, flags)


def write_data(folder: pathlib.Path, count: int) -> pathlib.Path:
    """A benchmark of questions of several kinds, every third with a picture."""
    folder.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (28 * (1 + number), 56), (80 * number, 9, 9)).save(
            folder / f"{number}.png"
        )
    lines = []
    for number in range(count):
        content: list[dict[str, Any]] = [{"type": "text", "text": f"Is it number {number}?"}]
        if number % 3 == 0:
            content.insert(0, {"type": "image", "image": f"{number // 3 % 3}.png"})
        row = {"id": f"q{number}", "messages": [{"role": "user", "content": content}]}
        gold = {"answer": "yes" if number % 2 else "no", "answer_type": "yes_no"}
        lines.append(json.dumps(row | gold) + "\n")
    (folder / f"{NAME}.jsonl").write_text("".join(lines))
    return folder


if __name__ == "__main__":
    stand_in.serve(stand_in.StandIn, evaluate)
