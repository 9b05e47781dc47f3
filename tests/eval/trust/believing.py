# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Finished evaluations whose model has the probabilities that a test gives it."""

import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lingshu_jax.common import pages
from lingshu_jax.engines import protocol
from lingshu_jax.eval import answering, benchmark, runner
from lingshu_jax.eval.benchmarks import vqa_rad
from lingshu_jax.eval.trust import desk as desk_lib
from tests.eval import evaluations, scripted

Believes = Callable[[protocol.ScoreRequest], Sequence[float] | None]


class Believer(scripted.Scripted):
    """Has a probability for each continuation; None fails. Keeps what it was asked."""

    def __init__(self, believes: Believes):
        super().__init__()
        self.believes, self.scored = believes, []

    def score(self, requests: Sequence[protocol.ScoreRequest], *, on_result: Any = None) -> Any:
        for place, request in reversed(list(enumerate(requests))):
            self.scored.append(request)
            found = self.believes(request)
            if found is None:
                on_result(place, protocol.Failure("no scores"))
            else:
                assert len(found) == len(request.continuations)
                # In two tokens: what counts is their sum.
                halves = [math.log(p) / 2 for p in found]
                on_result(place, [protocol.Score(tokens=(1, 2), logprobs=(x, x)) for x in halves])
        return []

    def stream(self, request: protocol.Request) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        pass


def make_desk(
    out: pathlib.Path,
    samples: Mapping[str, Sequence[benchmark.Sample]],
    said: Mapping[str, Sequence[str]],
    engine: protocol.Generator,
    /,
    *,
    part: answering.Part = runner.WHOLE,
    limit: int | None = None,
    **changes: Any,
) -> desk_lib.Desk:
    """A finished evaluation with these answers; it is written once."""
    settings = scripted.make_settings("", **changes)
    if not (out / "summary.json").exists():
        evaluations.finish(out, samples, said)
    loaded = {
        name: runner.Loaded(card=vqa_rad.CARD, samples=list(found))
        for name, found in samples.items()
    }
    return desk_lib.Desk(out, settings, loaded, lambda: engine, part=part, limit=limit)


def render(template: str, content: Mapping[str, Any], **summary: Any) -> str:
    """The section as a page shows it."""
    return (
        pages.environment({"section.html": template})
        .get_template("section.html")
        .render(section=content, summary=summary)
    )
