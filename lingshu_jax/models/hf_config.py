# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""config.json of Qwen2.5-VL: three layouts are read, the hub's is written.

Layouts: flat (hub, transformers 4.49 and 4.50), flat plus `text_config` (4.57), only
`text_config` (5.x). What a file may omit is filled from the published checkpoints, never
from the class defaults of transformers, which differ from every checkpoint. A null counts as
omitted. Everything else is checked here, so that no later error needs the file to explain it.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.common import errors, geometry, tokens
from lingshu_jax.models import sizes, vision

MODEL_TYPE = "qwen2_5_vl"
ARCHITECTURE = "Qwen2_5_VLForConditionalGeneration"
_CHECKPOINT = "it is a run or a checkpoint; `python -m lingshu_jax.export` makes a folder of it"
LARGEST = 2**31 - 1  # of any size or id: what an int32 holds

# Ids of the added tokens stand in one order everywhere; these are their distances from
# <|image_pad|>, the one id that every config.json names.
_FROM_IMAGE_PAD = {
    "pad": -12,
    "im_start": -11,
    "im_end": -10,
    "vision_start": -3,
    "vision_end": -2,
    "vision_pad": -1,
    "image_pad": 0,
    "video_pad": 1,
}
_ID_KEYS = {
    "vision_start": "vision_start_token_id",
    "vision_end": "vision_end_token_id",
    "vision_pad": "vision_token_id",
    "video_pad": "video_token_id",
}


def read(folder: pathlib.Path) -> sizes.ModelSize:
    """The sizes a folder's config.json describes.

    Args:
      folder: A Hugging Face folder.

    Raises:
      UserError: If there is no config.json, it is no JSON, or `parse` refuses it; the line names
        the file.
    """
    path = folder / "config.json"
    if not path.is_file():
        why = _CHECKPOINT if (folder / "assets").is_dir() else "it holds no config.json"
        raise errors.UserError(f"{folder} is no Hugging Face folder: {why}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise errors.UserError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise errors.UserError(f"{path} must hold a JSON object, got a {type(config).__name__}")
    if "model_type" not in config and (folder / "checkpoints").is_dir():
        raise errors.UserError(f"{folder} is no Hugging Face folder: {_CHECKPOINT}")
    try:
        return parse(config)
    except errors.UserError as error:
        raise errors.UserError(f"{path}: {error}") from error


def parse(config: Mapping[str, Any]) -> sizes.ModelSize:
    """The sizes of a config.json in any of the three layouts.

    A tie flag that stands nowhere counts as true, as in transformers, which leaves out what
    equals its default; `hf.read_config` then compares the tensors.

    Args:
      config: The parsed file.

    Raises:
      UserError: If it describes another model, or quantised weights, lacks a field, or holds a
        value of the wrong kind or sizes that cannot go together.
    """
    top = _Fields(config)
    _check_model(top)
    nested = top.part("text_config")
    text = _Fields({**top.values, **nested.values})
    size = sizes.ModelSize(
        text=_parse_text(text, tied=_is_tied(top, nested)),
        vision=_parse_vision(top.part("vision_config")),
        special=_parse_special(top, text.count("vocab_size")),
    )
    size.validate()
    _check_vision(top.part("vision_config"), size)
    return size


def dump(size: sizes.ModelSize, *, dtype: str) -> dict[str, Any]:
    """config.json in the hub's layout.

    Args:
      size: The model's sizes.
      dtype: Name of the weights' dtype, as "bfloat16".
    """
    text, special = size.text, size.special
    return {
        "architectures": [ARCHITECTURE],
        "model_type": MODEL_TYPE,
        "attention_dropout": 0.0,
        "bos_token_id": special.pad,
        "eos_token_id": special.im_end,
        "pad_token_id": special.pad,
        "vision_start_token_id": special.vision_start,
        "vision_end_token_id": special.vision_end,
        "vision_token_id": special.vision_pad,
        "image_token_id": special.image_pad,
        "video_token_id": special.video_pad,
        "hidden_act": "silu",
        "hidden_size": text.embed_dim,
        "head_dim": text.head_dim,
        "initializer_range": 0.02,
        "intermediate_size": text.mlp_dim,
        "max_position_embeddings": text.max_positions,
        "max_window_layers": text.num_layers,
        "num_attention_heads": text.num_heads,
        "num_hidden_layers": text.num_layers,
        "num_key_value_heads": text.num_kv_heads,
        "rms_norm_eps": text.rms_norm_eps,
        "rope_theta": text.rope_theta,
        "rope_scaling": {"type": "mrope", "mrope_section": list(text.mrope_section)},
        "sliding_window": text.max_positions,
        "tie_word_embeddings": text.tie_embeddings,
        "torch_dtype": dtype,
        "use_cache": True,
        "use_sliding_window": False,
        "vision_config": _dump_vision(size.vision, text.embed_dim),
        "vocab_size": text.vocab_size,
    }


@dataclasses.dataclass(frozen=True)
class _Fields:
    """One object of the file and its name there, for error messages; nulls are left out."""

    values: Mapping[str, Any]
    name: str = ""

    def __post_init__(self) -> None:
        """Forgets the nulls."""
        kept = {key: value for key, value in self.values.items() if value is not None}
        object.__setattr__(self, "values", kept)

    def part(self, key: str) -> "_Fields":
        """An object inside this one; a missing one is empty."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return _Fields(value, f"{self.name}{key}.")

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number above 0; a missing one is `default`, or an error where there is none."""
        value = self._get(key, default)
        if not _is_whole(value) or not 0 < value <= LARGEST:
            raise self.wrong(key, "a whole number above 0")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number above 0."""
        value = self._get(key, default)
        is_number = _is_whole(value) or isinstance(value, float)
        # The bound comes before the conversion: JSON holds integers that no float does.
        if not is_number or not 0 < value <= LARGEST or not math.isfinite(value):
            raise self.wrong(key, "a number above 0")
        return float(value)

    def indexes(self, key: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
        """A list of whole numbers from 0 on."""
        value = self._get(key, default)
        if not isinstance(value, (list, tuple)) or not all(map(_is_whole, value)):
            raise self.wrong(key, "a list of whole numbers")
        if any(not 0 <= item <= LARGEST for item in value):
            raise self.wrong(key, "a list of whole numbers that are not negative")
        return tuple(value)

    def flag(self, key: str) -> bool | None:
        """True, false, or None where it is missing."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def wrong(self, key: str, allowed: str) -> errors.UserError:
        """The error for a value of the wrong kind."""
        value = f"{self.values[key]!r:.80}"
        return errors.UserError(f"{self.name}{key} must be {allowed}, got {value}")

    def _get(self, key: str, default: Any) -> Any:
        value = self.values.get(key, default)
        if value is None:
            raise errors.UserError(f"config.json lacks the field {self.name + key!r}")
        return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_model(top: _Fields) -> None:
    """Refuses another model, and weights that are not plain numbers."""
    values = top.values
    if values.get("model_type") != MODEL_TYPE:
        raise errors.UserError(
            f"model_type {values.get('model_type')!r:.80} is not known; allowed: {MODEL_TYPE!r}"
        )
    architectures = values.get("architectures", [ARCHITECTURE])
    if not isinstance(architectures, list) or ARCHITECTURE not in architectures:
        raise errors.UserError(
            f"architectures {architectures!r:.80} is not known; allowed: [{ARCHITECTURE!r}]"
        )
    for key in ("quantization_config", "compression_config"):
        if values.get(key):
            method = top.part(key).values.get("quant_method")
            raise errors.UserError(
                f"{key} (method {method!r:.80}): quantised weights are not read; give the folder "
                "of the unquantised checkpoint"
            )


def _parse_text(text: _Fields, *, tied: bool) -> sizes.TextSize:
    rope = text.part("rope_parameters")
    scaling = text.part("rope_scaling")
    scaling = scaling if scaling.values else rope
    kinds = [scaling.values[key] for key in ("rope_type", "type") if key in scaling.values]
    if any(kind not in ("mrope", "default") for kind in kinds) or (
        "mrope_section" not in scaling.values
    ):
        raise errors.UserError(
            f"rope_scaling {dict(scaling.values)!r:.160} is not multimodal rope: type mrope or "
            "default with mrope_section is needed"
        )
    section = scaling.indexes("mrope_section")
    if len(section) != 3:
        raise scaling.wrong("mrope_section", "three whole numbers")
    if text.flag("use_sliding_window"):
        raise errors.UserError("use_sliding_window true is not supported; the models have false")
    _check_activation(text)
    width, heads = text.count("hidden_size"), text.count("num_attention_heads")
    if "head_dim" not in text.values and width % heads:
        raise errors.UserError(
            f"hidden_size {width} is not a multiple of num_attention_heads {heads}"
        )
    return sizes.TextSize(
        num_layers=text.count("num_hidden_layers"),
        embed_dim=width,
        num_heads=heads,
        num_kv_heads=text.count("num_key_value_heads"),
        head_dim=text.count("head_dim", width // heads),
        mlp_dim=text.count("intermediate_size"),
        vocab_size=text.count("vocab_size"),
        tie_embeddings=tied,
        rope_theta=(rope if "rope_theta" in rope.values else text).number("rope_theta"),
        mrope_section=(section[0], section[1], section[2]),
        rms_norm_eps=text.number("rms_norm_eps", 1e-6),
        max_positions=text.count("max_position_embeddings", 128_000),
    )


def _parse_vision(fields: _Fields) -> sizes.VisionSize:
    _check_activation(fields)
    return sizes.VisionSize(
        num_layers=fields.count("depth", 32),
        embed_dim=fields.count("hidden_size"),
        num_heads=fields.count("num_heads", 16),
        mlp_dim=fields.count("intermediate_size", 3420),
        full_attention_layers=fields.indexes("fullatt_block_indexes", (7, 15, 23, 31)),
        geometry=geometry.VisionGeometry(
            patch_size=fields.count(
                "patch_size" if "patch_size" in fields.values else "spatial_patch_size", 14
            ),
            temporal_patch_size=fields.count("temporal_patch_size", 2),
            merge_size=fields.count("spatial_merge_size", 2),
            window_size=fields.count("window_size", 112),
            tokens_per_second=fields.number("tokens_per_second", 2.0),
        ),
    )


def _check_activation(fields: _Fields) -> None:
    if fields.values.get("hidden_act", "silu") != "silu":
        raise fields.wrong("hidden_act", "'silu'")


def _check_vision(fields: _Fields, size: sizes.ModelSize) -> None:
    """What the tower takes for granted: colours, the text's width, windows of one slot."""
    for key, needed in (
        ("in_channels", 3),
        ("in_chans", 3),
        ("out_hidden_size", size.text.embed_dim),
    ):
        if fields.values.get(key, needed) != needed:
            raise fields.wrong(key, str(needed))
    shape = size.vision.geometry
    if shape.window_size % shape.factor or shape.slot_patches != vision.SLOT:
        raise errors.UserError(
            f"a vision window of {shape.window_size} pixels must hold {vision.SLOT} patches, in "
            f"whole cells of {shape.merge_size} x {shape.merge_size} patches of "
            f"{shape.patch_size} pixels"
        )


def _parse_special(top: _Fields, vocab_size: int) -> tokens.SpecialIds:
    """Named ids, and the others by their distance from <|image_pad|>."""
    image_pad = top.count("image_token_id")
    ids = {name: image_pad + distance for name, distance in _FROM_IMAGE_PAD.items()}
    for name, key in _ID_KEYS.items():
        ids[name] = top.count(key, ids[name])
    outside = {name: token for name, token in ids.items() if not 0 <= token < vocab_size}
    if outside:
        raise errors.UserError(
            f"special token ids {outside} are outside the vocabulary of {vocab_size}"
        )
    return tokens.SpecialIds(**ids)


def _is_tied(top: _Fields, nested: _Fields) -> bool:
    """4.57 drops the top flag when it is true and keeps the nested one."""
    flags = [fields.flag("tie_word_embeddings") for fields in (top, nested)]
    return any(flags) or flags == [None, None]


def _dump_vision(tower: sizes.VisionSize, text_dim: int) -> dict[str, Any]:
    patch = tower.geometry
    per_second = patch.tokens_per_second
    return {
        "model_type": MODEL_TYPE,
        "depth": tower.num_layers,
        "fullatt_block_indexes": list(tower.full_attention_layers),
        "hidden_act": "silu",
        "hidden_size": tower.embed_dim,
        "in_channels": 3,
        "in_chans": 3,
        "intermediate_size": tower.mlp_dim,
        "num_heads": tower.num_heads,
        "out_hidden_size": text_dim,
        "patch_size": patch.patch_size,
        "spatial_merge_size": patch.merge_size,
        "spatial_patch_size": patch.patch_size,
        "temporal_patch_size": patch.temporal_patch_size,
        "tokens_per_second": int(per_second) if per_second.is_integer() else per_second,
        "window_size": patch.window_size,
    }
