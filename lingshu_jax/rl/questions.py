# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Verifiable questions: examples with golds become prompts, or are refused with a reason."""

import collections
import dataclasses
import hashlib
import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from lingshu_jax.common import answers, errors, prompts
from lingshu_jax.data import images, packing, sources
from lingshu_jax.data import messages as messages_lib
from lingshu_jax.rl import rewards


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Prompt:
    """One question, as the model is asked it and as its answers are judged.

    Attributes:
      id: Of the example.
      messages: Up to and with the last user turn, the instruction included.
      question: What answers are judged against.
      encoded: The prompt's tokens with the open assistant turn.
    """

    id: str
    messages: tuple[Mapping[str, Any], ...]
    question: rewards.Question
    encoded: messages_lib.Encoded

    @property
    def image_paths(self) -> list[str]:
        """Files of its images, for the rollout log; pictures in memory have none."""
        parts = (part for message in self.messages for part in _parts(message))
        return [part["image"] for part in parts if isinstance(part.get("image"), str)]


class Asked(NamedTuple):
    """A conversation as the model is asked it, and what its answers are judged against."""

    messages: tuple[Mapping[str, Any], ...]
    question: rewards.Question


class Prompts(NamedTuple):
    """All usable prompts in the order of the examples, and the refused examples."""

    prompts: list[Prompt]
    dropped: list[sources.Dropped]


def make_prompts(
    examples: Sequence[sources.Example],
    encoder: messages_lib.Encoder,
    *,
    instruction: str,
    max_prompt_tokens: int,
    budget: packing.Budget,
    verify_images: bool = False,
) -> Prompts:
    """Makes the prompts of a mixture.

    Args:
      examples: With `answer` and `answer_type` in their meta; a final assistant turn is cut.
      encoder: Tokenizer and image sizes; the engine must use the same.
      instruction: Put after the last user text unless that holds it already; may be empty.
      max_prompt_tokens: Longer ones are refused.
      budget: Of a training row, which must hold any prompt's images.
      verify_images: Decodes every image once, so that a damaged one is refused here.

    Returns:
      Prompts, and a reason for every example that became none.
    """
    kept, dropped = [], []
    for example in examples:
        try:
            prompt = _make_prompt(example, encoder, instruction)
            _check(prompt.encoded, max_prompt_tokens, budget, encoder)
            if verify_images:
                for media in prompt.encoded.media:
                    images.verify(media)
        except errors.UserError as error:
            line = example.line
            dropped.append(
                sources.Dropped(id=example.id, source=example.source, line=line, reason=str(error))
            )
            continue
        kept.append(prompt)
    return Prompts(kept, dropped)


def as_asked(example: sources.Example, instruction: str) -> Asked:
    """What an example asks; a final assistant turn is cut.

    Args:
      example: With `answer` and `answer_type` in its meta.
      instruction: Put after the last user text unless that holds it already; may be empty.

    Raises:
      UserError: If its answers cannot be verified.
    """
    missing = [name for name in ("answer", "answer_type") if not example.meta.get(name)]
    if missing:
        raise errors.UserError(f"no {' and no '.join(missing)}: the answer cannot be verified")
    turns = list(example.messages)
    if turns[-1]["role"] == "assistant":
        turns.pop()
    if not turns or turns[-1]["role"] != "user":
        raise errors.UserError("no user turn to answer")
    text = "".join(part["text"] for part in _parts(turns[-1]) if part["type"] == "text")
    if instruction and instruction not in text:
        turns[-1] = _ask(turns[-1], instruction)
    gold, answer_type = str(example.meta["answer"]), example.meta["answer_type"]
    options = tuple(example.meta.get("options", ()))
    answers.check_gold(gold, answer_type=answer_type, options=options)
    question = rewards.Question(
        text=text,
        gold=gold,
        answer_type=answer_type,
        options=options,
        aliases=rewards.read_aliases(example.meta.get("aliases")),
    )
    return Asked(tuple(turns), question)


def without_images(prompt: Prompt) -> Prompt:
    """The same prompt with every picture replaced by mid-grey of its size.

    The image-blind probe asks these: what is still answered right needed no image.

    Args:
      prompt: Any prompt. Its tokens do not change.
    """
    blank = tuple(
        {**message, "content": [_blank_part(part) for part in _parts(message)]}
        for message in prompt.messages
    )
    return dataclasses.replace(prompt, messages=blank)


def with_other_images(
    prompts: Sequence[Prompt],
    encoder: messages_lib.Encoder,
    *,
    seed: int,
    max_prompt_tokens: int,
    budget: packing.Budget,
) -> list[Prompt | None]:
    """Each question with the images of another one that has as many.

    The shuffled probe asks these: what is still answered right was not read from the image.
    Questions that share a picture, as those of most data sets do, get another one wherever that
    is possible. Sizes may differ from the question's own images, and with them the tokens.

    Args:
      prompts: All that may swap.
      encoder: As of `make_prompts`.
      seed: Of who swaps with whom.
      max_prompt_tokens: As of `make_prompts`.
      budget: As of `make_prompts`.

    Returns:
      In the order of the prompts; None for a question without images, for one for which only
      equal pictures are left, and for one that would not fit with the others.
    """
    digests: dict[str, str] = {}
    pictures = [_pictures(prompt, digests) for prompt in prompts]
    alike: dict[tuple[str, ...], list[int]] = {}
    for place, prompt in enumerate(prompts):
        kinds = tuple(part["type"] for part in _media(prompt))
        alike.setdefault(kinds, []).append(place)
    made: list[Prompt | None] = [None] * len(prompts)
    for places in alike.values():
        donors = swap([pictures[place] for place in places], seed=seed)
        for place, donor in zip(places, (places[at] for at in donors), strict=True):
            if pictures[place] == pictures[donor]:
                continue
            other = _with_media(prompts[place], _media(prompts[donor]), encoder)
            if not _misfit(other.encoded, max_prompt_tokens, budget, encoder):
                made[place] = other
    return made


def swap(keys: Sequence[Hashable], *, seed: int) -> list[int]:
    """Who gets whose: a permutation in which as few as possible get one with their own key.

    Items stand in a circle, equal ones side by side, and each takes from the one as many places
    further on as the largest class has members. No class then reaches itself, unless one has
    more than half of all.

    Args:
      keys: At least one.
      seed: Of the order in the circle.
    """
    shuffled = list(itertools.islice(order(len(keys), seed=seed), len(keys)))
    classes = {key: rank for rank, key in enumerate(dict.fromkeys(keys[at] for at in shuffled))}
    circle = sorted(shuffled, key=lambda at: classes[keys[at]])
    further = max(collections.Counter(keys).values())
    taken = dict(zip(circle, circle[further:] + circle[:further], strict=True))
    return [taken[at] for at in range(len(keys))]


def order(count: int, *, seed: int) -> Iterator[int]:
    """Endless indices: every epoch a new permutation, a pure function of the seed.

    Args:
      count: Prompts, > 0.
      seed: Of the shuffles.
    """
    epoch = 0
    while True:
        # Raw draws: numpy keeps a bit generator's stream for good, but not a permutation.
        draws = np.random.PCG64(np.random.SeedSequence([seed, epoch])).random_raw(count)
        yield from np.argsort(draws, kind="stable").tolist()
        epoch += 1


def _make_prompt(
    example: sources.Example, encoder: messages_lib.Encoder, instruction: str
) -> Prompt:
    asked = as_asked(example, instruction)
    encoded = encoder.encode(asked.messages, train=False, generation_prompt=True, id=example.id)
    return Prompt(id=example.id, messages=asked.messages, question=asked.question, encoded=encoded)


def _ask(message: Mapping[str, Any], instruction: str) -> dict[str, Any]:
    """Puts the instruction behind the last text of a message."""
    parts = [dict(part) for part in _parts(message)]
    texts = [part for part in parts if part["type"] == "text"]
    if texts:
        texts[-1]["text"] = prompts.ask(texts[-1]["text"], instruction)
    else:
        parts.append({"type": "text", "text": instruction})
    return {**message, "content": parts}


def _check(
    encoded: messages_lib.Encoded,
    max_prompt_tokens: int,
    budget: packing.Budget,
    encoder: messages_lib.Encoder,
) -> None:
    reason = _misfit(encoded, max_prompt_tokens, budget, encoder)
    if reason:
        raise errors.UserError(reason)


def _misfit(
    encoded: messages_lib.Encoded,
    max_prompt_tokens: int,
    budget: packing.Budget,
    encoder: messages_lib.Encoder,
) -> str:
    """Why a prompt cannot be used; "" where it can."""
    if encoded.num_tokens > max_prompt_tokens:
        return f"prompt has {encoded.num_tokens} tokens, max_prompt_tokens is {max_prompt_tokens}"
    length = packing.length(encoded, encoder.geometry)
    if packing.plan([length], budget, geometry=encoder.geometry).oversize:
        return f"images of {encoded.num_patches} patches do not fit a row of {budget.patches}"
    return ""


def _parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _blank_part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if part["type"] == "text":
        return part
    is_video = part["type"] == "video"
    shape = images.read_shape(part[part["type"]], is_video=is_video)
    grey = Image.new("RGB", (shape.width, shape.height), (images.BLANK,) * 3)
    return {**part, part["type"]: [grey] * shape.num_frames if is_video else grey}


def _media(prompt: Prompt) -> list[Mapping[str, Any]]:
    """The images and videos of a prompt, in their order."""
    parts = (part for message in prompt.messages for part in _parts(message))
    return [part for part in parts if part["type"] != "text"]


def _with_media(
    prompt: Prompt, media: Sequence[Mapping[str, Any]], encoder: messages_lib.Encoder
) -> Prompt:
    others = iter(media)
    turns = tuple(
        {
            **message,
            "content": [p if p["type"] == "text" else next(others) for p in _parts(message)],
        }
        for message in prompt.messages
    )
    encoded = encoder.encode(turns, train=False, generation_prompt=True, id=prompt.id)
    return dataclasses.replace(prompt, messages=turns, encoded=encoded)


def _pictures(prompt: Prompt, known: dict[str, str]) -> tuple[str, ...]:
    """Digests of the pixels of a prompt's images and videos; those of files are kept."""
    found = []
    for part in _media(prompt):
        visual = part[part["type"]]
        if not isinstance(visual, str):
            found.append(_digest(tuple(visual) if isinstance(visual, list) else visual))
            continue
        if visual not in known:
            known[visual] = _digest(visual)
        found.append(known[visual])
    return tuple(found)


def _digest(visual: images.Visual) -> str:
    whole = hashlib.sha256()
    for frame in images.open_frames(visual):
        whole.update(f"{frame.size}".encode() + frame.tobytes())
    return whole.hexdigest()
