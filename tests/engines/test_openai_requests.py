# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import base64
import io
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import images
from lingshu_jax.engines import openai_images, openai_options, openai_requests, protocol

OPTIONS = openai_options.Options()
QUESTION = ({"role": "user", "content": "what is it?"},)


def prepare(
    messages: Any, *, options: openai_options.Options = OPTIONS, **sampling: Any
) -> openai_requests.Prepared:
    params = protocol.SamplingParams(**{"max_new_tokens": 7, **sampling})
    request = protocol.Request(messages=messages, sampling=params)
    return openai_requests.prepare(request, model="m", options=options)


def test_greedy_in_the_words_of_openai() -> None:
    prepared = prepare(QUESTION, seed=3, n=4)
    assert prepared.body_of(range(1)) == {
        "model": "m",
        "messages": [{"role": "user", "content": "what is it?"}],
        "temperature": 0.0,
        "max_completion_tokens": 7,
    }
    assert prepared.samples == 1


def test_sampling_in_the_words_of_openai() -> None:
    prepared = prepare(QUESTION, temperature=0.5, top_p=0.9, stop=("a", "b"), seed=3, n=4)
    body = prepared.body_of(range(2, 4))
    assert {k: v for k, v in body.items() if k not in ("model", "messages")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["a", "b"],
        "max_completion_tokens": 7,
        "n": 2,
        "seed": 5,
    }
    assert "n" not in prepared.body_of(range(1))


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        ([], []),
        ([0, 1, 2], [range(3)]),
        ([0, 2], [range(1), range(2, 3)]),
        ([1, 2, 5, 7, 8], [range(1, 3), range(5, 6), range(7, 9)]),
    ],
)
def test_a_request_asks_for_samples_without_a_gap(samples: list[int], found: list[range]) -> None:
    assert [*openai_requests.runs(samples)] == found


def test_vllm_is_told_every_field() -> None:
    options = openai_options.Options(dialect="vllm")
    fields = {"temperature": 1.0, "top_k": 5, "repetition_penalty": 1.5, "ignore_eos": True}
    body = prepare(QUESTION, options=options, **fields).body_of(range(1))
    # What is not said, vLLM takes from the checkpoint's generation config.
    assert body | fields == body
    assert body["top_p"] == 1.0 and body["min_p"] == 0.0 and body["max_tokens"] == 7
    assert body["return_token_ids"] and body["logprobs"]
    assert body["bad_words"] == ["<|image_pad|>", "<|video_pad|>"]
    assert prepare(QUESTION, options=options).body["bad_words"] == []


def test_older_servers_know_max_tokens() -> None:
    body = prepare(QUESTION, options=openai_options.Options(dialect="basic")).body
    assert body["max_tokens"] == 7 and "max_completion_tokens" not in body


@pytest.mark.parametrize(
    "field", [{"top_k": 5}, {"repetition_penalty": 1.1}, {"ignore_eos": True}], ids=str
)
def test_a_field_that_a_dialect_has_no_word_for(field: dict[str, Any]) -> None:
    with pytest.raises(errors.UserError, match=f"{next(iter(field))} = .* 'openai'; 'vllm' has it"):
        prepare(QUESTION, **field)
    # Before any picture is read.
    parts = [{"type": "image", "image": "/no.png"}]
    with pytest.raises(errors.UserError, match=f"{next(iter(field))} = "):
        prepare(({"role": "user", "content": parts},), **field)


@pytest.mark.parametrize(
    ("messages", "line"),
    [
        ((), "at least one message"),
        (({"role": "tool", "content": "a"},), "role must be one of .*, got 'tool'"),
        (({"role": "user", "content": [{"type": "audio"}]},), "got 'audio'"),
        (({"role": "user", "content": "a\ud800"},), "not valid Unicode"),
        (({"role": "user", "content": [{"type": "image", "image": "/no.png"}]},), "not found"),
        (
            ({"role": "user", "content": [{"type": "image", "image": b"x", "max_pixels": 9}]},),
            "max_pixels of an image means nothing to a server",
        ),
    ],
)
def test_messages_that_cannot_be_sent(messages: Any, line: str) -> None:
    with pytest.raises(errors.UserError, match=line):
        prepare(messages)


def test_sampling_is_checked() -> None:
    with pytest.raises(errors.UserError, match="temperature must be >= 0, got -1"):
        prepare(QUESTION, temperature=-1.0)


SCHEMA = '{"type": "object", "properties": {"b": {}, "a": {}}}'


@pytest.mark.parametrize("dialect", ["openai", "vllm"])
def test_a_schema_is_sent_and_counts_as_read(dialect: Any) -> None:
    options = openai_options.Options(dialect=dialect)
    prepared = prepare(QUESTION, options=options, json_schema=SCHEMA)
    plain = prepare(QUESTION, options=options)
    assert prepared.body.pop("response_format") == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": json.loads(SCHEMA), "strict": True},
    }
    assert prepared.body == plain.body
    assert prepared.prompt_tokens == plain.prompt_tokens + len(SCHEMA)


def test_older_servers_have_no_word_for_a_schema() -> None:
    with pytest.raises(errors.UserError, match="json_schema means nothing .*'basic'; 'openai' and"):
        prepare(QUESTION, options=openai_options.Options(dialect="basic"), json_schema=SCHEMA)


@pytest.mark.parametrize(
    "text", ["{", "[]", "null", '"a"', '{"const": NaN}', '{"const": "\\ud800"}']
)
def test_a_schema_must_be_a_json_object(text: str) -> None:
    with pytest.raises(errors.UserError, match="json_schema must be a JSON object as text, or ''"):
        prepare(QUESTION, json_schema=text)


def test_a_schema_ends_an_answer() -> None:
    options = openai_options.Options(dialect="vllm")
    with pytest.raises(errors.UserError, match="ignore_eos must be False beside a json_schema"):
        prepare(QUESTION, options=options, json_schema=SCHEMA, ignore_eos=True)


# ---- pictures ----

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(PIXELS), "JPEG", exif=exif)


def opened(url: str) -> tuple[str, bytes]:
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return kind, base64.b64decode(data)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: saved(Image.fromarray(PIXELS), "PNG"), "image/png"),
        (lambda: saved(Image.fromarray(PIXELS), "JPEG"), "image/jpeg"),
        (lambda: saved(Image.fromarray(PIXELS), "WEBP"), "image/webp"),
        (lambda: saved(Image.fromarray(PIXELS[..., 0]), "PNG"), "image/png"),
    ],
    ids=["png", "jpeg", "webp", "grey"],
)
def test_files_that_servers_take_go_as_they_are(
    make: Callable[[], bytes], kind: str, tmp_path: pathlib.Path
) -> None:
    file = make()
    (tmp_path / "picture").write_bytes(file)
    assert opened(openai_images.encode(file)) == (kind, file)
    assert opened(openai_images.encode(str(tmp_path / "picture"))) == (kind, file)


@pytest.mark.parametrize(
    "make",
    [
        rotated,
        lambda: saved(Image.fromarray(PIXELS), "TIFF"),
        lambda: saved(Image.fromarray(np.dstack([PIXELS, PIXELS[..., :1]]), "RGBA"), "PNG"),
        lambda: saved(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 300), "PNG"),
        lambda: saved(Image.fromarray(PIXELS).quantize(8), "PNG"),
        lambda: Image.fromarray(PIXELS),
    ],
    ids=["exif", "tiff", "transparent", "deep", "palette", "memory"],
)
def test_others_go_as_the_pixels_that_we_see(make: Callable[[], images.Picture]) -> None:
    picture = make()
    kind, file = opened(openai_images.encode(picture))
    assert kind == "image/png" and file != picture
    ours = np.asarray(images.open_image(picture))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(file))), ours)


def test_a_broken_file_is_not_sent() -> None:
    with pytest.raises(errors.UserError, match="does not decode"):
        openai_images.encode(saved(Image.fromarray(PIXELS), "JPEG")[:-200])


def test_pictures_stand_where_they_stood() -> None:
    picture = {"type": "image", "image": saved(Image.fromarray(PIXELS), "PNG")}
    text = [{"type": "text", "text": part} for part in ("a", "b", "c")]
    content = [picture, text[0], text[1], picture, text[2]]
    body = prepare(({"role": "user", "content": content},)).body
    kinds = [part.get("text", "image") for part in body["messages"][0]["content"]]
    assert kinds == ["image", "ab", "image", "c"]


def test_a_video_goes_as_its_frames_and_counts_them() -> None:
    frames = [Image.fromarray(np.roll(PIXELS, i, axis=1)) for i in range(3)]
    video = ({"role": "user", "content": [{"type": "video", "video": frames}]},)
    parts = prepare(video).body["messages"][0]["content"]
    sent = [np.asarray(Image.open(io.BytesIO(opened(p["image_url"]["url"])[1]))) for p in parts]
    assert np.array_equal(np.stack(sent), np.stack([np.asarray(frame) for frame in frames]))
    with pytest.raises(errors.UserError, match=r"has 3 images, allowed are at most 2 \(max_images"):
        prepare(video, options=openai_options.Options(max_images=2))


def test_a_prompt_is_never_longer_than_it_is_booked() -> None:
    picture = {"type": "image", "image": saved(Image.fromarray(PIXELS), "PNG")}
    text = {"type": "text", "text": "ä" * 100}
    prepared = prepare(({"role": "user", "content": [picture, text]},), temperature=1.0, n=3)
    worst = prepared.worst(3)
    assert worst.tokens_out == 21
    assert worst.tokens_in == 200 + OPTIONS.image_tokens + 64 + 2 * 16
