# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A benchmark `small` of six questions with pictures, and a generator that has a script."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import images
from lingshu_jax.engines import protocol
from lingshu_jax.eval import runner

RESPONSES = {
    "r0": "<answer>yes</answer>",
    "r1": "I am unable to answer",
    "r2": "",
    "r3": "<think>because",
    "r4": "B. dog",
    "r5": "The axial plane",
}
ROWS = [
    ("r0", "yes", "yes_no", []),
    ("r1", "no", "yes_no", []),
    ("r2", "no", "yes_no", []),
    ("r3", "2", "number", []),
    ("r4", "B", "choice", ["cat", "dog"]),
    ("r5", "axial plane", "open", []),
]


class Killed(BaseException):
    """Stands for a signal that ends the process."""


class Scripted:
    """Answers by id, last first, and keeps what it has answered.

    May die after some answers; has none to some questions, nor to one whose picture does not
    decode.
    """

    def __init__(self, dies_after: int | None = None, fails: Sequence[str] = ()):
        self.requests: list[protocol.Request] = []
        self._dies_after, self._fails = dies_after, fails

    @property
    def asked(self) -> list[str]:
        """Ids in the order of the answers."""
        return [request.id for request in self.requests]

    def generate(self, requests: Sequence[protocol.Request], *, on_result: Any) -> Any:
        answers: list[Any] = [[] for _ in requests]
        for place in reversed(range(len(requests))):
            if len(self.requests) == self._dies_after:
                raise Killed
            self.requests.append(requests[place])
            result = self._answer(requests[place])
            if not isinstance(result, protocol.Failure):
                answers[place] = result
            on_result(place, result)
        return answers

    def _answer(self, request: protocol.Request) -> Any:
        if request.id in self._fails:
            return protocol.Failure("no answer")
        try:
            for part in request.messages[-1]["content"]:
                if part["type"] == "image":
                    images.open_image(part["image"])
        except errors.UserError as error:
            return protocol.Failure(f"request {request.id!r}: {error}")
        return [
            protocol.Completion(
                text=RESPONSES[request.id],
                tokens=(1, 2),
                logprobs=(0.0, 0.0),
                finish_reason="stop",
            )
        ]


def write_data(folder: pathlib.Path) -> pathlib.Path:
    """A data folder with the benchmark; its pictures differ in size."""
    folder.mkdir()
    lines = []
    for number, (row_id, gold, answer_type, options) in enumerate(ROWS):
        Image.new("RGB", (60 - number, 40), (200, 10, 10)).save(folder / f"{row_id}.png")
        content = [
            {"type": "image", "image": f"{row_id}.png"},
            {"type": "text", "text": f"Question {row_id} <b>?</b>"},
        ]
        row: dict[str, Any] = {"id": row_id, "messages": [{"role": "user", "content": content}]}
        row |= {"answer": gold, "answer_type": answer_type, "options": options}
        lines.append(json.dumps(row))
    (folder / "small.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def make_settings(data_dir: pathlib.Path | str, /, **changes: Any) -> runner.Settings:
    """How the benchmark is evaluated."""
    values = {"model": "m", "benchmarks": "small", "data_dir": str(data_dir), "max_new_tokens": 8}
    return runner.Settings(**(values | changes))
