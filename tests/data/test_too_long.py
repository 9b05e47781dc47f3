# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import messages, packing, sources, too_long

SIDE = 28  # of a cell


@pytest.fixture(scope="module")
def encoder(byte_folder: Path) -> messages.Encoder:
    """A token a byte; an image has as many tokens as it has cells, at least 4."""
    return messages.Encoder(byte_folder, min_pixels=4 * SIDE**2, max_pixels=64 * SIDE**2)


def picture(name: str, cells: int = 8) -> dict[str, Any]:
    """A square picture; its grey value tells it apart."""
    return {"type": "image", "image": Image.new("RGB", (cells * SIDE,) * 2, (ord(name),) * 3)}


def user(text: str, *images: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [*images, {"type": "text", "text": text}]}


def answer(text: str, **flags: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **flags}


SYSTEM = {"role": "system", "content": "Be brief."}


def encode(
    encoder: messages.Encoder,
    turns: list[dict[str, Any]],
    policy: too_long.Policy = "drop",
    *,
    tokens: int = 150,
    patches: int = 64 * 40,
) -> too_long.Fitted:
    example = sources.Example(id="x", source="s", messages=(SYSTEM, *turns))
    budget = packing.Budget(tokens, patches)
    return too_long.encode(encoder, example, budget=budget, policy=policy, source_id=3)


def names(fitted: too_long.Fitted) -> str:
    """The pictures that are left, in order."""
    return "".join(chr(np.asarray(media.image)[0, 0, 0]) for media in fitted.encoded.media)


@pytest.mark.parametrize("policy", too_long.POLICIES)
def test_what_fits_is_left_alone(encoder: messages.Encoder, policy: too_long.Policy) -> None:
    turns = [user("What?", picture("a")), answer("A lung.")]
    fitted = encode(encoder, turns, policy)
    assert fitted.change == "" and fitted.encoded.source_id == 3 and fitted.encoded.id == "x"
    expected = encoder.encode([SYSTEM, *turns]).tokens
    assert fitted.encoded.tokens.tolist() == expected.tolist()


def test_what_does_not_fit_is_dropped(encoder: messages.Encoder) -> None:
    turns = [user("What?" * 30, picture("a")), answer("A lung.")]
    with pytest.raises(errors.UserError) as raised:
        encode(encoder, turns)
    kind, _, details = str(raised.value).partition(": ")
    assert kind == "does not fit into a row of 150 tokens and 2560 patches"
    needed = encoder.encode([SYSTEM, *turns])
    hint = "a longer data.tokens_per_row or data.too_long would keep it"
    assert details == f"it has {needed.num_tokens} and 256 patches; {hint}"


def test_patches_may_be_what_is_too_much(encoder: messages.Encoder) -> None:
    turns = [user("What?", picture("a")), answer("A lung.")]
    with pytest.raises(errors.UserError, match="and 192 patches: it has"):
        encode(encoder, turns, patches=64 * 3)
    assert encode(encoder, turns, patches=64 * 4).change == ""
    fitted = encode(encoder, turns, "shrink_images", patches=64 * 3)
    assert fitted.encoded.num_patches <= 64 * 3


def test_where_patches_are_no_limit_they_are_not_named(encoder: messages.Encoder) -> None:
    endless = packing.token_budget(150, encoder.geometry).patches
    with pytest.raises(errors.UserError, match="a row of 150 tokens: it has"):
        encode(encoder, [user("What?" * 30), answer("A lung.")], patches=endless)


@pytest.mark.parametrize("policy", too_long.POLICIES)
def test_nothing_to_train_on_is_no_matter_of_length(
    encoder: messages.Encoder, policy: too_long.Policy
) -> None:
    turns = [user("What?" * 99, picture("a")), answer("A lung.", loss=False)]
    with pytest.raises(errors.UserError, match="nothing to train on"):
        encode(encoder, turns, policy)


def test_images_are_shrunk_no_more_than_needed(encoder: messages.Encoder) -> None:
    turns = [user("What?" * 5, picture("a"), picture("b", 4)), answer("A lung.")]
    whole = encoder.encode([SYSTEM, *turns])
    room = whole.num_tokens - 20
    fitted = encode(encoder, turns, "shrink_images", tokens=room)
    assert names(fitted) == "ab" and fitted.encoded.num_tokens in range(room - 20, room + 1)
    kind, _, details = fitted.change.partition(": ")
    assert kind == "images shrunk" and details.startswith("to at most ")
    limit = int(details.split()[3])
    sizes = [media.grid.h * media.grid.w * 14**2 for media in fitted.encoded.media]
    assert max(sizes) <= limit and sizes[1] == (4 * SIDE) ** 2, "the small one stays as it is"
    assert fitted.encoded.loss_weights.sum() == whole.loss_weights.sum()


def test_images_are_shrunk_to_one_cell_at_the_least(encoder: messages.Encoder) -> None:
    turns = [user("What?", *[picture("a")] * 6), answer("A lung.")]
    smallest = encoder.encode([SYSTEM, *turns]).num_tokens - 6 * 63
    fitted = encode(encoder, turns, "shrink_images", tokens=smallest)
    assert [media.grid[1:] for media in fitted.encoded.media] == [(2, 2)] * 6
    with pytest.raises(errors.UserError, match="does not fit"):
        encode(encoder, turns, "shrink_images", tokens=smallest - 1)


def test_limits_of_a_part_are_lowered_too(encoder: messages.Encoder) -> None:
    own = {**picture("a"), "min_pixels": 36 * SIDE**2, "max_pixels": 49 * SIDE**2}
    turns = [user("What?" * 10, own), answer("A lung.")]
    room = encoder.encode([SYSTEM, *turns]).num_tokens - 25
    fitted = encode(encoder, turns, "shrink_images", tokens=room)
    assert fitted.encoded.num_tokens <= room


def test_without_images_there_is_nothing_to_shrink(encoder: messages.Encoder) -> None:
    with pytest.raises(errors.UserError, match="does not fit"):
        encode(encoder, [user("What?" * 99), answer("A lung.")], "shrink_images")


def dialogue(*images: int) -> list[dict[str, Any]]:
    """Four questions; those of the given numbers show a picture named by their number."""
    turns = []
    for number in range(4):
        shown = [picture(str(number), 2)] * (number in images)
        turns += [user(f"question {number}?", *shown), answer(f"answer {number}")]
    return turns


def cut(encoder: messages.Encoder, turns: list[dict[str, Any]], left: int) -> too_long.Fitted:
    """Cuts a dialogue so that `left` of its questions, and no more, fit."""
    lengths = [
        encoder.encode([SYSTEM, *turns[2 * (4 - count) :]]).num_tokens for count in (left, left + 1)
    ]
    assert lengths[0] + 12 < lengths[1]
    return encode(encoder, turns, "cut_turns", tokens=lengths[1] - 1)


@pytest.mark.parametrize("left", [1, 2, 3])
def test_as_few_turns_are_cut_as_needed(encoder: messages.Encoder, left: int) -> None:
    fitted = cut(encoder, dialogue(), left)
    expected = encoder.encode([SYSTEM, *dialogue()[2 * (4 - left) :]])
    assert fitted.encoded.tokens.tolist() == expected.tokens.tolist()
    assert fitted.change == f"earlier turns cut: {4 - left} of 4 questions"
    text = encoder.decode(fitted.encoded.tokens, skip_special=False)
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>")
    assert f"answer {3 - left}" not in text and text.count("answer") == left


@pytest.mark.parametrize(
    ("images", "left", "expected"),
    [
        ((0,), 2, "0"),  # the later questions are about it
        ((0, 1), 2, "1"),
        ((0, 2), 2, "2"),  # the first one left has its own
        ((0, 3), 2, "03"),
        ((2,), 1, "2"),
    ],
)
def test_the_images_that_the_rest_is_about_stay(
    encoder: messages.Encoder, images: tuple[int, ...], left: int, expected: str
) -> None:
    fitted = encode(encoder, dialogue(*images), "cut_turns", tokens=500)
    assert fitted.change == "" and len(names(fitted)) == len(images)
    turns = dialogue(*images)
    shorter = too_long._cut((SYSTEM, *turns), 1, 1 + 2 * (4 - left))
    kept = encoder.encode(shorter)
    shown = "".join(chr(np.asarray(media.image)[0, 0, 0]) for media in kept.media)
    assert shown == expected
    assert (
        kept.tokens.tolist()
        == encode(encoder, turns, "cut_turns", tokens=kept.num_tokens).encoded.tokens.tolist()
    )


def test_the_last_question_is_never_cut(encoder: messages.Encoder) -> None:
    turns = [*dialogue()[:6], user("long " * 60), answer("A lung.")]
    with pytest.raises(errors.UserError, match="does not fit"):
        encode(encoder, turns, "cut_turns")


def test_a_question_in_two_messages_is_not_split(encoder: messages.Encoder) -> None:
    turns = [*dialogue()[:2], user("first half"), user("second half"), answer("yes")]
    needed = encoder.encode([SYSTEM, *turns[2:]]).num_tokens
    fitted = encode(encoder, turns, "cut_turns", tokens=needed)
    assert "first half" in encoder.decode(fitted.encoded.tokens)
    with pytest.raises(errors.UserError, match="does not fit"):
        encode(encoder, turns, "cut_turns", tokens=needed - 1)


def test_a_later_system_message_stays(encoder: messages.Encoder) -> None:
    late = {"role": "system", "content": "Speak Latin."}
    turns = [*dialogue()[:2], late, *dialogue()[2:]]
    needed = encoder.encode([SYSTEM, late, *dialogue()[6:]]).num_tokens
    fitted = encode(encoder, turns, "cut_turns", tokens=needed)
    assert "Speak Latin." in encoder.decode(fitted.encoded.tokens)


def test_only_a_trained_rest_counts(encoder: messages.Encoder) -> None:
    """What is left would fit, but nothing in it is to be learned."""
    turns = [user("one " * 20), answer("A lung."), user("two"), answer("Two.", loss=False)]
    with pytest.raises(errors.UserError, match="does not fit"):
        encode(encoder, turns, "cut_turns", tokens=110)
