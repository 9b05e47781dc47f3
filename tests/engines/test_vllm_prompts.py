# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our prompts and sampling in vLLM's terms; vLLM itself is asked in tests/vllm."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import images, messages
from lingshu_jax.engines import protocol, vllm_prompts
from tests import small

SAMPLING = protocol.SamplingParams(max_new_tokens=8)


@pytest.fixture(scope="module")
def encoder(small_folder: pathlib.Path) -> messages.Encoder:
    return messages.Encoder(small_folder, **small.PIXELS)


def encode(encoder: messages.Encoder, *parts: Any) -> messages.Encoded:
    content = [part if isinstance(part, dict) else {"type": "text", "text": part} for part in parts]
    turns = [{"role": "user", "content": content}]
    return encoder.encode(turns, train=False, generation_prompt=True)


def picture(rng: np.random.Generator, height: int, width: int) -> dict[str, Any]:
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return {"type": "image", "image": Image.fromarray(pixels)}


def expand(made: dict[str, Any], encoder: messages.Encoder) -> list[int]:
    """What vLLM does with the pads: as many of each as its picture has cells."""
    pictures = iter(made.get("multi_modal_data", {}).get("image", []))
    factor, ids = encoder.geometry.factor, []
    for token in made["prompt_token_ids"]:
        count = 1
        if token == encoder.special.image_pad:
            image = next(pictures)
            count = (image.height // factor) * (image.width // factor)
        ids += [token] * count
    assert next(pictures, None) is None
    return ids


def test_pads_multiplied_again_are_our_ids(
    encoder: messages.Encoder, rng: np.random.Generator
) -> None:
    encoded = encode(encoder, "a", picture(rng, 61, 150), "b", picture(rng, 90, 40), "c")
    made = vllm_prompts.prompt(encoded, encoder)
    assert made["prompt_token_ids"].count(encoder.special.image_pad) == 2
    assert len(made["prompt_token_ids"]) < encoded.num_tokens
    assert expand(made, encoder) == encoded.tokens.tolist()


def test_pictures_have_the_pixels_that_the_model_was_trained_on(
    encoder: messages.Encoder, rng: np.random.Generator
) -> None:
    encoded = encode(encoder, picture(rng, 61, 150))
    (image,) = vllm_prompts.prompt(encoded, encoder)["multi_modal_data"]["image"]
    patches = images.patchify(np.asarray(image)[None], encoder.geometry)
    np.testing.assert_array_equal(patches, images.load_patches(encoded.media[0], encoder.geometry))


def test_a_blank_picture_is_grey_in_the_same_size(
    small_folder: pathlib.Path, rng: np.random.Generator
) -> None:
    encoder = messages.Encoder(small_folder, blank_images=True, **small.PIXELS)
    encoded = encode(encoder, picture(rng, 61, 150))
    made = vllm_prompts.prompt(encoded, encoder)
    assert expand(made, encoder) == encoded.tokens.tolist()
    (image,) = made["multi_modal_data"]["image"]
    assert set(np.asarray(image).ravel()) == {images.BLANK}


def test_text_alone_has_no_media_and_a_continuation_follows(encoder: messages.Encoder) -> None:
    encoded = encode(encoder, "a <|image_pad|> that is text")
    made = vllm_prompts.prompt(encoded, encoder, [5, 6])
    assert made == {"prompt_token_ids": [*encoded.tokens.tolist(), 5, 6]}


def test_a_video_is_refused(encoder: messages.Encoder, rng: np.random.Generator) -> None:
    frames = [picture(rng, 56, 56)["image"] for _ in range(2)]
    encoded = encode(encoder, {"type": "video", "video": frames})
    with pytest.raises(errors.UserError, match="videos are not given to vLLM"):
        vllm_prompts.prompt(encoded, encoder)


def test_every_field_of_ours_reaches_vllm(encoder: messages.Encoder) -> None:
    params = protocol.SamplingParams(
        max_new_tokens=8,
        temperature=0.7,
        top_p=0.9,
        top_k=5,
        repetition_penalty=1.1,
        stop=("x", "yz"),
        seed=3,
        n=4,
    )
    fields = vllm_prompts.sampling(params, encoder)
    assert fields["max_tokens"] == 8 and fields["stop"] == ["x", "yz"] and fields["detokenize"]
    for name in ("temperature", "top_p", "top_k", "repetition_penalty", "n"):
        assert fields[name] == getattr(params, name)
    # What else vLLM could take from elsewhere is said as well.
    assert (fields["min_p"], fields["presence_penalty"], fields["frequency_penalty"]) == (0, 0, 0)


def test_a_schema_is_vllms_structured_output(encoder: messages.Encoder) -> None:
    schema = '{"type": "object"}'
    guided = vllm_prompts.sampling(dataclasses.replace(SAMPLING, json_schema=schema), encoder)
    assert guided.pop("structured_outputs") == {"json": schema}
    assert guided == vllm_prompts.sampling(SAMPLING, encoder)


def test_media_tokens_are_banned_when_sampling_and_greedy_is_plain(
    encoder: messages.Encoder,
) -> None:
    warm = vllm_prompts.sampling(dataclasses.replace(SAMPLING, temperature=1.0), encoder)
    banned = {encoder.special.image_pad, encoder.special.video_pad}
    assert set(warm["logit_bias"]) == banned and set(warm["logit_bias"].values()) == {-100.0}
    assert vllm_prompts.sampling(SAMPLING, encoder)["logit_bias"] is None


def test_the_end_tokens_are_the_folders(encoder: messages.Encoder) -> None:
    fields = vllm_prompts.sampling(SAMPLING, encoder)
    assert fields["stop_token_ids"] == list(encoder.eos_ids) and fields["ignore_eos"]
    endless = dataclasses.replace(SAMPLING, ignore_eos=True)
    assert vllm_prompts.sampling(endless, encoder)["stop_token_ids"] == []


def test_neighbouring_seeds_share_no_samples(encoder: messages.Encoder) -> None:
    def seed(value: int) -> int:
        return vllm_prompts.sampling(dataclasses.replace(SAMPLING, seed=value), encoder)["seed"]

    # vLLM seeds the i-th sample with the request's seed plus i.
    seeds = sorted(seed(value) for value in range(100))
    assert min(np.diff(seeds)) > 64 and seeds[0] >= 0 and seeds[-1] < 2**31
    assert seed(7) == seed(7)


@pytest.mark.parametrize("temperature", [0.001, 2.5])
def test_a_temperature_that_vllm_would_change_is_refused(
    encoder: messages.Encoder, temperature: float
) -> None:
    params = dataclasses.replace(SAMPLING, temperature=temperature)
    with pytest.raises(errors.UserError, match=f"0.01 to 2.0 with vLLM, got {temperature}"):
        vllm_prompts.sampling(params, encoder)
