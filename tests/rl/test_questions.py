# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Examples become prompts, or are refused with a reason."""

import itertools

import numpy as np
import pytest

from lingshu_jax.data import messages, packing, sources
from lingshu_jax.rl import questions
from tests import small

ASK = "Think, then answer."


@pytest.fixture(scope="module")
def encoder(model_folder):
    return messages.Encoder(model_folder, **small.PIXELS)


@pytest.fixture(scope="module")
def examples(question_folder):
    return sources.read(sources.Source(name="train", path="train.jsonl"), question_folder).examples


def example(turns=None, **meta):
    turns = turns or [{"role": "user", "content": [{"type": "text", "text": "Is it?"}]}]
    return sources.Example(id="x", source="s", messages=tuple(turns), meta=meta)


def make(given, encoder, **changes):
    options = {"instruction": ASK, "max_prompt_tokens": 200, "budget": packing.Budget(256, 64)}
    return questions.make_prompts(given, encoder, **options | changes)


def text_of(prompt, encoder):
    return encoder.decode(prompt.encoded.tokens, skip_special=False)


def test_instruction_stands_behind_the_question_once(encoder):
    good = {"answer": "yes", "answer_type": "yes_no"}
    told = [{"role": "user", "content": [{"type": "text", "text": f"Is it?\n{ASK}"}]}]
    plain, already = make([example(**good), example(told, **good)], encoder).prompts
    assert text_of(plain, encoder) == text_of(already, encoder)
    assert text_of(plain, encoder).endswith(f"Is it?\n{ASK}<|im_end|>\n<|im_start|>assistant\n")
    assert plain.question.text == "Is it?"


def test_no_instruction_leaves_the_question_alone(encoder):
    (prompt,) = make([example(answer="a", answer_type="open")], encoder, instruction="").prompts
    assert "Is it?<|im_end|>" in text_of(prompt, encoder)


def test_the_gold_turn_is_not_shown(encoder):
    turns = [
        {"role": "user", "content": "Is it?"},
        {"role": "assistant", "content": "secret"},
    ]
    (prompt,) = make([example(turns, answer="secret", answer_type="open")], encoder).prompts
    assert "secret" not in text_of(prompt, encoder)
    assert not prompt.encoded.loss_weights.any()


REFUSED = {
    "no_gold": ({"answer_type": "open"}, "no answer: the answer cannot be verified"),
    "no_type": ({"answer": "yes"}, "no answer_type"),
    "gold_of_another_type": ({"answer": "maybe", "answer_type": "yes_no"}, "gold answer 'maybe'"),
    "unknown_type": ({"answer": "a", "answer_type": "essay"}, "unknown answer_type 'essay'"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_refused_with_a_reason(case, encoder):
    meta, reason = case
    made = make([example(**meta)], encoder)
    assert made.prompts == []
    assert reason in made.dropped[0].reason
    assert (made.dropped[0].id, made.dropped[0].source) == ("x", "s")


def test_too_long_is_refused(encoder):
    made = make([example(answer="a", answer_type="open")], encoder, max_prompt_tokens=10)
    assert "max_prompt_tokens is 10" in made.dropped[0].reason


def test_an_image_that_fits_no_row_is_refused(examples, encoder):
    meta = {"answer": "yes", "answer_type": "yes_no"}
    pictures = [part for one in examples for part in one.messages[0]["content"][:1]] * 2
    made = make([example([{"role": "user", "content": pictures}], **meta)], encoder)
    assert "do not fit a row of 64" in made.dropped[0].reason


def test_blank_images_change_pixels_and_nothing_else(examples, encoder):
    prompt = make(examples, encoder).prompts[1]
    blind = questions.without_images(prompt)
    assert blind.image_paths == [] and len(prompt.image_paths) == 1
    again = encoder.encode(blind.messages, train=False, generation_prompt=True)
    np.testing.assert_array_equal(again.tokens, prompt.encoded.tokens)
    np.testing.assert_array_equal(again.positions, prompt.encoded.positions)
    options = {"geometry": encoder.geometry, "pad_id": encoder.special.pad}
    row = packing.prompt_row(again, packing.Budget(256, 64), **options)
    seen = packing.prompt_row(prompt.encoded, packing.Budget(256, 64), **options)
    used = row["patch_frame_ids"] > 0
    assert (row["patches"][used] == 128).all()
    assert not (seen["patches"][used] == 128).all()


def test_order_shuffles_every_epoch_anew():
    indices = questions.order(50, seed=1)
    first, second = (list(itertools.islice(indices, 50)) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


def test_order_is_a_function_of_the_seed():
    def begin(seed):
        return list(itertools.islice(questions.order(20, seed=seed), 30))

    assert begin(1) == begin(1)
    assert begin(1) != begin(2)
