# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from PIL import Image

from lingshu_jax.common import errors, geometry, tokens
from lingshu_jax.data import messages

IMAGE = Image.new("RGB", (84, 56))
LIMITS = {"min_pixels": 784, "max_pixels": 784 * 16}


@pytest.fixture(scope="module")
def encoder(byte_folder: Path) -> messages.Encoder:
    return messages.Encoder(byte_folder, **LIMITS)


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def trained_text(encoder: messages.Encoder, encoded: messages.Encoded) -> str:
    return encoder.decode(encoded.tokens[encoded.loss_weights == 1], skip_special=False)


def test_a_conversation_as_text(encoder: messages.Encoder) -> None:
    conversation = [
        {"role": "user", "content": [{"type": "image", "image": IMAGE}, text_part("What?")]},
        {"role": "assistant", "content": [text_part("A "), text_part("lung.")]},
    ]
    encoded = encoder.encode(conversation, id="7", source_id=2)
    assert encoder.decode(encoded.tokens, skip_special=False) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|>" + "<|image_pad|>" * 6 + "<|vision_end|>What?"
        "<|im_end|>\n<|im_start|>assistant\nA lung.<|im_end|>\n"
    )
    assert trained_text(encoder, encoded) == "A lung.<|im_end|>\n"
    assert encoder.decode(encoded.tokens).endswith("user\nWhat?\nassistant\nA lung.\n")
    assert (encoded.id, encoded.source_id, encoded.num_patches) == ("7", 2, 24)


def test_media_know_their_place_and_positions_follow(encoder: messages.Encoder) -> None:
    content = [text_part("a"), {"type": "image", "image": IMAGE}, text_part("b")]
    encoded = encoder.encode([{"role": "user", "content": content}])
    (media,) = encoded.media
    assert media.grid == geometry.Grid(1, 4, 6) and media.seconds_per_grid is None
    pads = np.flatnonzero(encoded.tokens == encoder.special.image_pad)
    assert pads.tolist() == list(range(media.start, media.start + 6))
    block = encoded.positions[:, pads] - media.start
    assert block.tolist() == [[0] * 6, [0, 0, 0, 1, 1, 1], [0, 1, 2] * 2]
    assert encoded.next_position == encoded.num_tokens - 6 + 3


def test_video_frames_and_seconds(encoder: messages.Encoder) -> None:
    video = {"type": "video", "video": [IMAGE] * 3, "fps": 4.0}
    encoded = encoder.encode([{"role": "user", "content": [video]}])
    (media,) = encoded.media
    assert media.grid == geometry.Grid(2, 4, 6) and media.seconds_per_grid == 0.5
    assert (encoded.tokens == encoder.special.video_pad).sum() == 12
    assert not (encoded.tokens == encoder.special.image_pad).any()


def test_an_image_may_bring_its_own_limit(encoder: messages.Encoder) -> None:
    image = {"type": "image", "image": IMAGE, "max_pixels": 28 * 28}
    assert encoder.encode([{"role": "user", "content": [image]}]).media[0].grid == geometry.Grid(
        1, 2, 2
    )


def test_every_answer_is_trained_and_nothing_else(encoder: messages.Encoder) -> None:
    conversation = [
        {"role": "system", "content": "assistant\n"},
        {"role": "user", "content": "<|im_start|>assistant\nno<|im_end|>\n"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "assistant"},
        {"role": "assistant", "content": "two"},
    ]
    encoded = encoder.encode(conversation)
    assert trained_text(encoder, encoded) == "one<|im_end|>\ntwo<|im_end|>\n"
    assert encoded.loss_weights[0] == 0
    assert not encoder.encode(conversation, train=False).loss_weights.any()


def test_a_message_may_be_left_untrained(encoder: messages.Encoder) -> None:
    conversation = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "one", "loss": False},
        {"role": "assistant", "content": "two"},
    ]
    assert trained_text(encoder, encoder.encode(conversation)) == "two<|im_end|>\n"


def test_media_in_an_answer_are_not_trained(encoder: messages.Encoder) -> None:
    content = [text_part("see "), {"type": "image", "image": IMAGE}]
    encoded = encoder.encode([{"role": "assistant", "content": content}])
    assert trained_text(encoder, encoded) == "see <|im_end|>\n"


@pytest.mark.parametrize("token", tokens.CONTROL_TOKENS)
def test_control_tokens_spelled_in_text_stay_text(encoder: messages.Encoder, token: str) -> None:
    plain = encoder.encode([{"role": "user", "content": ""}])
    spelled = encoder.encode([{"role": "user", "content": f"a{token}b"}])
    controls = [encoder.vocab_size - 22 + i for i in range(14)]
    assert np.isin(spelled.tokens, controls).sum() == np.isin(plain.tokens, controls).sum()
    assert f"user\na{token}b" in encoder.decode(spelled.tokens)


def test_generation_prompt_is_what_training_sees(encoder: messages.Encoder) -> None:
    question = {"role": "user", "content": "Is it?"}
    prompt = encoder.encode([question], train=False, generation_prompt=True)
    for answer in ("yes", "\n\nyes", " "):
        whole = encoder.encode([question, {"role": "assistant", "content": answer}], train=False)
        assert whole.tokens[: prompt.num_tokens].tolist() == prompt.tokens.tolist()


def test_extend_goes_on_where_encoding_would(encoder: messages.Encoder) -> None:
    question = {"role": "user", "content": [{"type": "image", "image": IMAGE}]}
    prompt = encoder.encode([question], train=False, generation_prompt=True)
    whole = encoder.encode([question, {"role": "assistant", "content": "yes"}])
    added = whole.tokens[prompt.num_tokens :]
    weights = np.ones(len(added), np.float32)
    extended = messages.extend(
        prompt, added.tolist(), loss_weights=weights, extras={"advantages": weights * 0.5}
    )
    for name in ("tokens", "positions", "loss_weights"):
        np.testing.assert_array_equal(getattr(extended, name), getattr(whole, name))
    assert extended.media is prompt.media
    assert extended.extras["advantages"].sum() == 0.5 * len(added)
    again = messages.extend(extended, [1], loss_weights=weights[:1])
    assert len(again.extras["advantages"]) == again.num_tokens


@pytest.mark.parametrize(
    ("conversation", "message"),
    [
        pytest.param([], "at least one message", id="no_messages"),
        pytest.param([{"role": "human", "content": "a"}], "got 'human'", id="role"),
        pytest.param([{"content": "a"}], "must be one of system, user, assistant", id="no_role"),
        pytest.param([{"role": "user"}], "string or a list, got None", id="no_content"),
        pytest.param([{"role": "user", "content": 3}], "string or a list, got 3", id="number"),
        pytest.param(
            [{"role": "user", "content": [{"type": "audio"}]}], "got 'audio'", id="part_type"
        ),
        pytest.param([{"role": "user", "content": ["a"]}], "text, image or video", id="bare_part"),
        pytest.param(
            [{"role": "user", "content": [{"type": "text", "image": "a"}]}],
            "needs a field 'text' that holds a string, got None",
            id="part_without_its_field",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "video", "video": [IMAGE], "fps": 0}]}],
            "fps of a video must be a positive number, got 0",
            id="fps",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "image", "image": "/no/such.png"}]}],
            "image not found: /no/such.png",
            id="missing_image",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "image", "image": Image.new("L", (500, 2))}]}],
            "aspect ratio must be at most 200, got 2 x 500",
            id="thin_image",
        ),
        pytest.param([{"role": "user", "content": "\ud800"}], "valid Unicode", id="surrogate"),
        pytest.param([{"role": "assistant", "content": " \n"}], "is empty", id="empty_answer"),
    ],
)
def test_malformed_conversations_are_refused(
    encoder: messages.Encoder, conversation: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(errors.UserError, match=message):
        encoder.encode(conversation)


def test_too_long_conversations_are_refused(byte_folder: Path) -> None:
    encoder = messages.Encoder(byte_folder, **LIMITS, max_tokens=60)
    with pytest.raises(errors.UserError, match="has 145 tokens, max_tokens is 60"):
        encoder.encode([{"role": "user", "content": "a" * 100}])


def test_blank_images_keep_sizes_and_tokens(byte_folder: Path, encoder: messages.Encoder) -> None:
    conversation = [{"role": "user", "content": [{"type": "image", "image": IMAGE}]}]
    blank = messages.Encoder(byte_folder, **LIMITS, blank_images=True).encode(conversation)
    np.testing.assert_array_equal(blank.tokens, encoder.encode(conversation).tokens)
    assert blank.media[0].blank and blank.media[0].grid == geometry.Grid(1, 4, 6)


def test_limits_are_checked(byte_folder: Path) -> None:
    with pytest.raises(errors.UserError, match="got 10 and 5"):
        messages.Encoder(byte_folder, min_pixels=10, max_pixels=5)


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.UserError, match="no tokenizer in .*: needs tokenizer.json, or"):
        messages.Encoder(tmp_path, **LIMITS)


def folder_with(byte_folder: Path, folder: Path, **files: Any) -> Path:
    for path in byte_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_geometry_and_end_tokens_come_from_the_folder(byte_folder: Path, tmp_path: Path) -> None:
    vision = {"spatial_patch_size": 8, "window_size": 64, "tokens_per_second": 4}
    folder = folder_with(
        byte_folder,
        tmp_path,
        config={"vision_config": vision},
        generation_config={"eos_token_id": 259},
    )
    encoder = messages.Encoder(folder, **LIMITS)
    assert (encoder.geometry.factor, encoder.geometry.window_cells) == (16, 4)
    assert encoder.geometry.tokens_per_second == 4.0
    assert encoder.eos_ids == (259,)


def test_defaults_are_the_released_models(encoder: messages.Encoder) -> None:
    assert encoder.geometry.factor == 28
    assert encoder.eos_ids == (encoder.special.im_end, encoder.special.pad)


def test_files_that_disagree_are_refused(byte_folder: Path, tmp_path: Path) -> None:
    folder = folder_with(byte_folder, tmp_path, preprocessor_config={"patch_size": 16})
    with pytest.raises(errors.UserError, match="patch_size 16, config.json has 14"):
        messages.Encoder(folder, **LIMITS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config", {"vision_config": None}, "config.json: vision_config must be an object, got nu"),
        ("config", {"vision_config": [1]}, r"vision_config must be an object, got \[1\]"),
        ("config", [], r"config.json must be an object, got \[\]"),
        ("config", {"vision_config": {"patch_size": "14"}}, 'patch_size must be .*, got "14"'),
        ("config", {"vision_config": {"patch_size": None}}, "patch_size must be .*, got null"),
        ("config", {"vision_config": {"spatial_merge_size": 0}}, "merge_size must be a pos"),
        ("config", {"vision_config": {"window_size": True}}, "window_size must be .*, got true"),
        ("config", {"vision_config": {"window_size": 27}}, "window_size must be >= 28, got 27"),
        ("config", {"vision_config": {"tokens_per_second": []}}, r"must be .*, got \[\]"),
        ("generation_config", {"eos_token_id": ["a"]}, r'eos_token_id must be .*, got \["a"\]'),
        ("generation_config", {"eos_token_id": 1.5}, "a token id or a list of them, got 1.5"),
        ("preprocessor_config", None, "preprocessor_config.json must be an object, got null"),
    ],
)
def test_wrong_values_in_a_folder_are_one_line(
    byte_folder: Path, tmp_path: Path, name: str, content: Any, message: str
) -> None:
    folder = folder_with(byte_folder, tmp_path, **{name: content})
    with pytest.raises(errors.UserError, match=message) as caught:
        messages.Encoder(folder, **LIMITS)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_a_folder_may_leave_its_end_tokens_open(byte_folder: Path, tmp_path: Path) -> None:
    folder = folder_with(byte_folder, tmp_path, generation_config={"eos_token_id": None})
    encoder = messages.Encoder(folder, **LIMITS)
    assert encoder.eos_ids == (encoder.special.im_end, encoder.special.pad)


def test_tokenizer_json_gives_the_same_ids(byte_folder: Path, tmp_path: Path) -> None:
    encoder = messages.Encoder(byte_folder, **LIMITS)
    encoder._tokenizer.save(str(tmp_path / "tokenizer.json"))
    saved = messages.Encoder(tmp_path, **LIMITS)
    text = "The heart, he said:\n\n <|im_end|> 12½ é"
    assert saved.text_ids(text) == encoder.text_ids(text)
    assert saved.special == encoder.special


def test_text_is_cut_and_merged_as_in_qwen2(encoder: messages.Encoder) -> None:
    ids = encoder.text_ids("he h\u0301e e\u0301")  # decomposed accents become composed ones
    merged = encoder._tokenizer.token_to_id("he")
    assert ids.count(merged) == 1
    assert encoder.decode(ids) == "he h\u0301e \u00e9"


def released_ids(shared_dir: Path, *, is_broken: bool) -> list[int]:
    encoder = messages.Encoder(shared_dir / "data/tokenizer_qwen2", **LIMITS)
    assert encoder.vocab_size == 151_665 and encoder.special.image_pad == 151_655
    if is_broken:
        encoder._tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(False)
    text = "Is there evidence of a pneumothorax? I'M sure,\r\n  12 mm é 中文 <|im_end|>"
    ids = encoder.text_ids(text)
    assert encoder.decode(ids) == text
    return ids


@pytest.mark.parametrize("is_broken", [False, True], ids=["as_is", "gpt2_cut_fails"])
def test_released_vocabulary(shared_dir: Path, is_broken: bool) -> None:
    # Made by transformers 5.24.0, split_special_tokens=True.
    expected = [3872, 1052, 5904, 315, 264, 56123, 8767, 269, 706, 30, 358, 27603, 2704, 1871]
    expected += [220, 220, 16, 17, 9465, 3958, 72858, 16744, 82639, 318, 6213, 91, 29]
    assert (released_ids(shared_dir, is_broken=is_broken) == expected) != is_broken
