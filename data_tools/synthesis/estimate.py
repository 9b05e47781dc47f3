# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a synthesis would ask and cost, found out without asking: recipes are run with examples.

Each recipe writes about a sample of its seeds, and every question gets the recipe's own example of
a reply. Tokens are estimated (four characters a token, a picture as Qwen2.5-VL reads it), and so
is the price; the most that it may cost is what budgets count with.
"""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

from data_tools import examples
from data_tools.synthesis import asks, desk
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import errors, geometry
from lingshu_jax.data import images
from lingshu_jax.engines import ledger, openai_options, openai_requests, protocol

SAMPLE = 100  # seeds of a recipe that are written about
_CHARACTERS = 4  # a token, of English
_PIXELS = 28 * 28  # a token
_MOST_PIXELS = 16_384 * _PIXELS  # of Qwen2.5-VL's hub configuration


@dataclasses.dataclass
class Estimate:
    """What a recipe would do with the seeds it has.

    Attributes:
      seeds: All.
      sampled: Those that were written about with examples.
      calls: Questions about all seeds.
      tokens_in: Of their prompts.
      tokens_out: Of the replies.
      most_in: Tokens of prompts, at most.
      most_out: Tokens of replies, at most, when each is asked for once.
      lost: Seeds that give no row even with examples: by a rule of the recipe.
    """

    seeds: int
    sampled: int = 0
    calls: float = 0
    tokens_in: float = 0
    tokens_out: float = 0
    most_in: float = 0
    most_out: float = 0
    lost: float = 0

    def cost(self, terms: ledger.Terms) -> float:
        """What is expected to be paid.

        Args:
          terms: Prices.
        """
        return terms.cost(ledger.Usage(round(self.tokens_in), round(self.tokens_out)))

    def most_cost(self, terms: ledger.Terms) -> float:
        """The most that may be paid, when each question is asked once.

        Args:
          terms: Prices.
        """
        return terms.cost(ledger.Usage(round(self.most_in), round(self.most_out)))


class _Asked(NamedTuple):
    tokens_in: int
    tokens_out: int
    most_in: int
    most_out: int


def estimate(
    recipe: asks.Recipe,
    seeds: Iterable[seeds_lib.Seed],
    *,
    count: int,
    author: desk.Author,
    server: openai_options.Options,
) -> Estimate:
    """What a recipe would ask.

    Args:
      recipe: Which.
      seeds: A sample.
      count: Seeds that there are in all.
      author: How it would be asked.
      server: Its limits of pictures.
    """
    found = Estimate(seeds=count)
    for draw, seed in enumerate(seeds):
        found.sampled += 1
        questions: list[_Asked] = []
        found.lost += _ask(recipe, seed, draw, author=author, server=server, asked=questions)
        found.calls += len(questions)
        for asked in questions:
            for name, tokens in asked._asdict().items():
                setattr(found, name, getattr(found, name) + tokens)
    if found.sampled:
        factor = count / found.sampled
        for name in ("calls", "lost", *_Asked._fields):
            setattr(found, name, getattr(found, name) * factor)
    return found


def _ask(
    recipe: asks.Recipe,
    seed: seeds_lib.Seed,
    draw: int,
    *,
    author: desk.Author,
    server: openai_options.Options,
    asked: list[_Asked],
) -> bool:
    """Whether a seed is lost, and what is `asked` before, if every reply were as the examples."""
    writing = recipe.write(seed, draw)
    try:
        ask = next(writing)
        while True:
            asked.append(_measure(ask, author.sampling(ask, draw), server))
            ask = writing.send(ask.example)
    except StopIteration as end:
        return not end.value.drafts
    except (asks.Lost, errors.UserError):
        return True


def _measure(
    ask: asks.Ask, sampling: protocol.SamplingParams, server: openai_options.Options
) -> _Asked:
    """The tokens of a question; raises UserError where a picture cannot be read."""
    values = [examples.value(medium) for medium in ask.media]
    content = [{"type": "image", "image": value} for value in values]
    content.append({"type": "text", "text": ask.text})
    request = protocol.Request(messages=[{"role": "user", "content": content}], sampling=sampling)
    most = openai_requests.prepare(request, model="", options=server).worst(1)
    written = len(ask.text) + len(sampling.json_schema)
    return _Asked(
        tokens_in=written // _CHARACTERS + sum(map(_picture_tokens, values)),
        tokens_out=len(ask.example.model_dump_json()) // _CHARACTERS,
        most_in=most.tokens_in,
        most_out=most.tokens_out,
    )


def _picture_tokens(value: str | bytes) -> int:
    shape = images.read_shape(value, is_video=False)
    height, width = geometry.smart_resize(
        shape.height, shape.width, min_pixels=_PIXELS, max_pixels=_MOST_PIXELS
    )
    return height * width // _PIXELS
