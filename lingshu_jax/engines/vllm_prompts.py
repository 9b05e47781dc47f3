# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our prompts and sampling in vLLM's terms, its answers in ours; pure, vLLM is not imported.

Pictures go to vLLM resized by our own resizer, so that its processor finds nothing to resize: the
pixels are those that training and our own engine see.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import images, messages
from lingshu_jax.engines import protocol, stops

# vLLM replaces a colder temperature by this one, and takes none hotter than that.
COLDEST, HOTTEST = 0.01, 2.0
BANNED = -100.0  # the lowest bias that it takes
OTHER_PROMPT = "vLLM makes another prompt of it than training does"


def prompt(
    encoded: messages.Encoded, encoder: messages.Encoder, continuation: Sequence[int] = ()
) -> dict[str, Any]:
    """A prompt as `vllm.inputs.TokensPrompt`: ids with one pad an image, which vLLM multiplies.

    Args:
      encoded: The conversation.
      encoder: That it was encoded with.
      continuation: Ids to stand after it.

    Raises:
      UserError: If it has a video, or an image does not decode.
    """
    ids, pictures, end = encoded.tokens.tolist(), [], 0
    collapsed: list[int] = []
    for media in encoded.media:
        if media.seconds_per_grid is not None:
            raise errors.UserError("videos are not given to vLLM; engine=jax takes them")
        collapsed += ids[end : media.start + 1]
        end = media.start + encoder.geometry.num_tokens(media.grid)
        pictures.append(_picture(media, encoder))
    made: dict[str, Any] = {"prompt_token_ids": [*collapsed, *ids[end:], *continuation]}
    return {**made, "multi_modal_data": {"image": pictures}} if pictures else made


def sampling(params: protocol.SamplingParams, encoder: messages.Encoder) -> dict[str, Any]:
    """Arguments of `vllm.SamplingParams`; whatever changes an answer is set explicitly.

    `structured_outputs`, where it is there, is a dict of `vllm.StructuredOutputsParams`.

    Args:
      params: How to decode.
      encoder: Knows the end tokens.

    Raises:
      UserError: If a value is out of range, or out of vLLM's.
    """
    params.validate()
    warm = params.temperature
    if warm and not COLDEST <= warm <= HOTTEST:
        raise errors.UserError(
            f"temperature must be 0 or from {COLDEST} to {HOTTEST} with vLLM, got {warm}"
        )
    special = encoder.special
    guided = {"structured_outputs": {"json": params.json_schema}} if params.json_schema else {}
    return {
        **guided,
        "n": params.n,
        "temperature": warm,
        "top_p": params.top_p,
        "top_k": params.top_k,
        "min_p": 0.0,
        "repetition_penalty": params.repetition_penalty,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": params.max_new_tokens,
        "min_tokens": 0,
        "stop": list(params.stop),
        # The end tokens are the folder's and no others; vLLM's own notion of one is switched off.
        "ignore_eos": True,
        "stop_token_ids": [] if params.ignore_eos else list(encoder.eos_ids),
        "seed": _seed(params.seed),
        "logprobs": 0,  # of the sampled token alone
        "detokenize": bool(params.stop),
        "skip_special_tokens": True,
        "logit_bias": {special.image_pad: BANNED, special.video_pad: BANNED} if warm else None,
    }


SCORING = {"temperature": 0.0, "max_tokens": 1, "prompt_logprobs": 0, "detokenize": False}


def completion(
    tokens: Sequence[int],
    logprobs: Sequence[float],
    reason: Any,
    *,
    encoder: messages.Encoder,
    stop: Sequence[str],
) -> protocol.Completion:
    """An answer of vLLM.

    Args:
      tokens: Ids as sampled.
      logprobs: Of each.
      reason: Why it ended, as vLLM says it.
      encoder: Makes the text.
      stop: Texts that end an answer.

    Raises:
      UserError: If it ended otherwise than answers do.
    """
    reader = stops.Reader(encoder.decode, stop)
    text = "".join([*map(reader.push, tokens), reader.finish()])
    return protocol.Completion(
        text=text,
        tokens=tuple(tokens),
        logprobs=tuple(logprobs),
        finish_reason=finish_reason(reason),
    )


def finish_reason(reason: Any) -> protocol.FinishReason:
    """Why an answer ended.

    Args:
      reason: As vLLM says it.

    Raises:
      UserError: If it is none that an answer has, as "abort".
    """
    if reason not in ("stop", "length"):
        raise errors.UserError(f"vLLM ended an answer with {reason!r}")
    return reason


def _picture(media: images.Media, encoder: messages.Encoder) -> Image.Image:
    """An image in the size of its grid."""
    side = encoder.geometry.patch_size
    height, width = media.grid.h * side, media.grid.w * side
    if media.blank:
        return Image.new("RGB", (width, height), (images.BLANK,) * 3)
    assert not isinstance(media.image, tuple), "an image is one picture"
    return images.resize(images.open_image(media.image), height, width)


def _seed(seed: int) -> int:
    """Seeds far from each other: vLLM gives the samples of a request the numbers after its own."""
    return int(np.random.SeedSequence([seed]).generate_state(1)[0]) % 2**31
