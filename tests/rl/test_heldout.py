# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Held-out questions, seeing, blind and shuffled, asked of an engine that knows its pictures."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from configs import stage4_rl
from lingshu_jax.data import messages, packing
from lingshu_jax.engines import protocol
from lingshu_jax.rl import heldout, questions, rewards, rollout
from tests import small

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255,) * 3}


class Looker:
    """Answers with the colour of the picture; where it sees none it says `guess`."""

    def __init__(self, guess, knows_the_answer=False):
        self.guess, self.knows, self.requests = guess, knows_the_answer, []

    def generate(self, requests, *, on_result=None):
        assert on_result is None
        self.requests += requests
        return [[self.complete(r)] * r.sampling.n for r in requests]

    def complete(self, request):
        picture = request.messages[0]["content"][0]["image"].getpixel((0, 0))
        said = {colour: name for name, colour in COLOURS.items()}.get(picture, self.guess)
        said = request.id if self.knows else said
        text = f"<think>x</think><answer>{said}</answer>"
        return protocol.Completion(text=text, tokens=(1,), logprobs=(0.0,), finish_reason="stop")


@pytest.fixture(scope="module")
def encoder(model_folder):
    return messages.Encoder(model_folder, **small.PIXELS)


@pytest.fixture(scope="module")
def prompts(encoder):
    """Which colour? with a red, a green, a blue and a white picture."""
    made = []
    for name, colour in COLOURS.items():
        picture = {"type": "image", "image": Image.new("RGB", (56, 56), colour)}
        turns = [{"role": "user", "content": [picture, {"type": "text", "text": "Which colour?"}]}]
        judged = rewards.Question(text="Which colour?", gold=name, answer_type="open")
        encoded = encoder.encode(turns, train=False, generation_prompt=True)
        made.append(
            questions.Prompt(id=name, messages=tuple(turns), question=judged, encoded=encoded)
        )
    return made


def shuffle(prompts, encoder, **changes):
    options = {"seed": 1, "max_prompt_tokens": 200, "budget": packing.Budget(256, 64)}
    return questions.with_other_images(prompts, encoder, **options | changes)


def take(prompts, engine, encoder, *, shuffled=None, reward_fn=None, **changes):
    sampler = rollout.Sampler(
        max_new_tokens=9,
        temperature=1.0,
        samples=2,
        seed=0,
        reward_fn=reward_fn or rewards.FormatAccuracy(),
    )
    shuffled = shuffle(prompts, encoder) if shuffled is None else shuffled
    options = {"greedy": True, "blind_probe": True, "shuffled": shuffled}
    exam = heldout.Exam(prompts=prompts, sampler=sampler, **options | changes)
    return exam.take(engine, step=3)


def test_who_looks_loses_all_in_both_probes(prompts, encoder):
    scores = take(prompts, Looker("nothing"), encoder)
    assert scores == {
        "eval/step": 3.0,
        **{f"eval/{term}": 1.0 for term in ("format", "accuracy", "greedy_accuracy")},
        **{
            f"{probe}/{name}": float(name == "format")
            for probe in ("blind", "shuffled")
            for name in (
                *("format", "accuracy", "greedy_accuracy"),
                *("share", "share_low", "share_high"),
            )
        },
    }


def test_who_knows_the_answers_by_heart_loses_nothing(prompts, encoder):
    scores = take(prompts, Looker("nothing", knows_the_answer=True), encoder)
    for probe in ("blind", "shuffled"):
        assert [scores[f"{probe}/share{end}"] for end in ("", "_low", "_high")] == [1.0] * 3


def test_a_guess_survives_the_blind_probe_alone(prompts, encoder):
    scores = take(prompts, Looker("red"), encoder)
    assert (scores["blind/share"], scores["shuffled/share"]) == (0.25, 0.0)
    assert scores["blind/share_low"] == 0.0 and scores["blind/share_high"] > 0.25


def test_probes_can_be_left_out(prompts, encoder):
    scores = take(prompts, Looker("red"), encoder, blind_probe=False, shuffled=(), greedy=False)
    assert set(scores) == {"eval/step", "eval/format", "eval/accuracy"}


def test_a_question_without_other_images_counts_in_no_share(prompts, encoder):
    shuffled = [None, *shuffle(prompts[1:], encoder)]
    engine = Looker("red", knows_the_answer=True)
    scores = take(prompts, engine, encoder, shuffled=shuffled, blind_probe=False)
    assert scores["shuffled/questions"] == 3.0 and scores["shuffled/share"] == 1.0
    # The others are drawn with the random numbers of their seeing answers.
    assert [r.sampling.seed for r in engine.requests[:4]] == [
        r.sampling.seed for r in engine.requests[8:12]
    ]


def test_other_terms_than_accuracy(prompts, encoder):
    def judge(completion, question, *, finish_reason):
        del completion, question, finish_reason
        return rewards.Reward(0.25, {"mine": 0.25}, "ok", None)

    scores = take(prompts, Looker("red"), encoder, reward_fn=judge, shuffled=())
    assert scores == {"eval/step": 3.0, "eval/mine": 0.25, "blind/mine": 0.25}


def test_nothing_right_has_no_share(prompts, encoder):
    wrong = [
        dataclasses.replace(p, question=dataclasses.replace(p.question, gold="x")) for p in prompts
    ]
    scores = take(wrong, Looker("red"), encoder, shuffled=())
    assert scores["blind/share"] is None and scores["blind/share_low"] is None


def test_the_interval_holds_the_share_and_shrinks_with_questions():
    rng = np.random.default_rng(0)
    widths = []
    for count in (50, 800):
        seeing = rng.random(count)
        found = heldout.share(0.5 * seeing + 0.1 * rng.random(count), seeing)
        assert found["share_low"] < found["share"] < found["share_high"]
        widths.append(found["share_high"] - found["share_low"])
    assert widths[1] < widths[0] / 2
    one_right = np.zeros(4)
    one_right[0] = 1.0
    assert heldout.share(one_right, one_right) == {
        "share": 1.0,
        "share_low": None,
        "share_high": None,
    }


def test_a_question_gets_the_images_of_another(prompts, encoder):
    shuffled = shuffle(prompts, encoder)
    pictures = [p.messages[0]["content"][0]["image"].getpixel((0, 0)) for p in shuffled]
    assert sorted(pictures) == sorted(COLOURS.values())
    assert all(got != own for got, own in zip(pictures, COLOURS.values(), strict=True))
    assert [p.question for p in shuffled] == [p.question for p in prompts]


def with_picture(prompt, encoder, picture, kind="image"):
    turns = [
        {
            "role": "user",
            "content": [{"type": kind, kind: picture}, *prompt.messages[0]["content"][1:]],
        }
    ]
    encoded = encoder.encode(turns, train=False, generation_prompt=True)
    return dataclasses.replace(prompt, messages=tuple(turns), encoded=encoded)


def test_other_sizes_are_encoded_anew_and_checked(prompts, encoder):
    wide = with_picture(prompts[0], encoder, Image.new("RGB", (112, 84)))
    pair = [wide, prompts[1]]
    first, second = shuffle(pair, encoder)
    assert first.encoded.num_tokens + second.encoded.num_tokens == sum(
        p.encoded.num_tokens for p in pair
    )
    assert second.encoded.num_tokens > prompts[1].encoded.num_tokens
    assert second.encoded.media[0].grid == wide.encoded.media[0].grid
    limit = prompts[1].encoded.num_tokens
    assert [p is None for p in shuffle(pair, encoder, max_prompt_tokens=limit)] == [False, True]


def test_only_questions_with_as_many_images_swap(prompts, encoder):
    text = dataclasses.replace(prompts[0], messages=({"role": "user", "content": "Which?"},))
    alone = with_picture(prompts[0], encoder, [Image.new("RGB", (56, 56))] * 2, kind="video")
    shuffled = shuffle([text, alone, *prompts[:2]], encoder)
    assert [p is None for p in shuffled] == [True, True, False, False]


def test_equal_pictures_are_no_other_pictures(prompts, encoder, tmp_path):
    """Two files of the same pixels and a copy in memory are one picture."""
    red = Image.new("RGB", (56, 56), COLOURS["red"])
    red.save(tmp_path / "a.png")
    red.save(tmp_path / "b.bmp")
    same = [with_picture(prompts[0], encoder, str(tmp_path / name)) for name in ("a.png", "b.bmp")]
    assert shuffle([*same, prompts[0]], encoder) == [None] * 3
    shuffled = shuffle([*same, *prompts], encoder)
    assert all(
        other is not None and other.messages[0]["content"][0] != own.messages[0]["content"][0]
        for other, own in zip(shuffled, [*same, *prompts], strict=True)
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "counts", [(1,), (3,), (1, 1), (5, 1, 1), (3, 3), (4, 3, 2, 1), (1,) * 9, (50, 20, 31)]
)
def test_as_few_equal_keys_as_possible(counts, seed):
    rng = np.random.default_rng(seed)
    keys = rng.permutation(np.repeat(np.arange(len(counts)), counts)).tolist()
    donors = questions.swap(keys, seed=seed)
    assert sorted(donors) == list(range(len(keys)))
    equal = sum(keys[at] == keys[donor] for at, donor in enumerate(donors))
    assert equal == max(0, 2 * max(counts) - len(keys))
    assert donors == questions.swap(keys, seed=seed)


@pytest.mark.parametrize("is_shuffled", [True, False])
def test_the_probes_of_a_stage(prompts, encoder, is_shuffled):
    config = stage4_rl.get_config("tiny")
    config.rl.eval.shuffled_probe = is_shuffled
    sampler = rollout.Sampler(
        max_new_tokens=9, temperature=1.0, samples=2, seed=0, reward_fn=rewards.FormatAccuracy()
    )
    exam = heldout.make(config, prompts, encoder, sampler)
    assert len(exam.shuffled) == 4 * is_shuffled and None not in exam.shuffled
    assert (exam.sampler.samples, exam.sampler.stream) == (8, heldout.STREAM)


def test_who_swaps_depends_on_the_seed():
    keys = list(range(40))
    assert questions.swap(keys, seed=1) != questions.swap(keys, seed=2)
