# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Finished evaluations of a model that answers by a function of what it is asked."""

import io
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image

from lingshu_jax.common import pages
from lingshu_jax.engines import protocol
from lingshu_jax.eval import answering, asking, benchmark, question_formats, runner
from lingshu_jax.eval.benchmarks import vqa_rad
from lingshu_jax.eval.trust import desk as desk_lib
from tests.eval import evaluations, scripted

Reply = Callable[[protocol.Request], str]
GREEDY = protocol.SamplingParams(max_new_tokens=8)


class Replies(scripted.Scripted):
    """Answers by its function; may die after some answers."""

    def __init__(self, reply: Reply, dies_after: int | None = None):
        super().__init__(dies_after)
        self.reply = reply

    def _answer(self, request: protocol.Request) -> Any:
        return [
            protocol.Completion(
                text=self.reply(request), tokens=(1, 2), logprobs=(0.0, 0.0), finish_reason="stop"
            )
        ]


def make_desk(
    out: pathlib.Path,
    samples: Mapping[str, Sequence[benchmark.Sample]],
    engine: Replies,
    *,
    part: answering.Part = runner.WHOLE,
    limit: int | None = None,
    **changes: Any,
) -> desk_lib.Desk:
    """An evaluation of the engine's own answers; it is written once."""
    settings = scripted.make_settings("", **changes)
    if not (out / "summary.json").exists():
        said = {
            name: [
                engine.reply(
                    asking.request(s, prompt=settings.prompt, blind=settings.blind, sampling=GREEDY)
                )
                for s in found
            ]
            for name, found in samples.items()
        }
        evaluations.finish(out, samples, said)
    loaded = {
        name: runner.Loaded(card=vqa_rad.CARD, samples=list(found))
        for name, found in samples.items()
    }
    return desk_lib.Desk(out, settings, loaded, lambda: engine, part=part, limit=limit)


def render(template: str, content: Mapping[str, Any]) -> str:
    """The section as a page shows it."""
    made = pages.environment({"section.html": template}).get_template("section.html")
    return made.render(section=content, summary={})


def png(shade: int, width: int = 40, height: int = 30) -> bytes:
    """A picture of one grey value."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (shade,) * 3).save(file, "PNG")
    return file.getvalue()


def choice(
    name: str, gold: str, options: Sequence[str], *, form: str = "{}. {}", **changes: Any
) -> benchmark.Sample:
    """A question of a single choice as MedEvalKit asks it; options in any form."""
    shown = tuple(
        form.format(letter, text) for letter, text in zip("ABCDEFGHIJ", options, strict=False)
    )
    question = changes.pop("question", f"Which is {name}?")
    values: dict[str, Any] = {
        "messages": question_formats.turn(question_formats.ask_choice(question, shown)),
        "rule": "choice",
    }
    return benchmark.Sample(
        id=name,
        question=question,
        gold=gold,
        answer_type="choice",
        options=tuple(options),
        choices=shown,
        **(values | changes),
    )


def text_of(request: protocol.Request) -> str:
    """The last text that is asked."""
    return [p["text"] for p in request.messages[-1]["content"] if p["type"] == "text"][-1]
