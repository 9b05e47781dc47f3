# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""config.json of Qwen2.5-VL: three layouts are read, the hub's is written.

Layouts: flat (hub, transformers 4.49 and 4.50), flat plus `text_config` (4.57), only
`text_config` (5.x). What a file may omit is filled from the published checkpoints, never
from the class defaults of transformers, which differ from every checkpoint.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from lingshu_jax.common import errors, geometry, tokens
from lingshu_jax.models import sizes

MODEL_TYPE = "qwen2_5_vl"
ARCHITECTURE = "Qwen2_5_VLForConditionalGeneration"

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


def read(folder: pathlib.Path) -> sizes.ModelSize:
    """The sizes a folder's config.json describes.

    Args:
      folder: A Hugging Face folder.

    Raises:
      UserError: If there is no config.json, it is no JSON, names another architecture, lacks
        a field or holds sizes that cannot go together.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise errors.UserError(f"{folder} is no Hugging Face folder: it holds no config.json")
    try:
        config = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise errors.UserError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise errors.UserError(f"{path} must hold a JSON object, got a {type(config).__name__}")
    if config.get("model_type") != MODEL_TYPE:
        raise errors.UserError(
            f"{path} has model_type {config.get('model_type')!r}; only {MODEL_TYPE!r} is known"
        )
    try:
        size = parse(config)
    except KeyError as error:
        raise errors.UserError(f"{path} lacks the field {error}") from error
    size.validate()
    return size


def parse(config: Mapping[str, Any]) -> sizes.ModelSize:
    """The sizes of a config.json in any of the three layouts.

    Args:
      config: The parsed file.

    Raises:
      KeyError: If a field without a safe fallback is missing.
    """
    text = {**config, **(config.get("text_config") or {})}
    tied = _is_tied(config)
    return sizes.ModelSize(
        text=_parse_text(text, tied=tied),
        vision=_parse_vision(config.get("vision_config") or {}),
        special=_parse_special(config),
    )


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


def _parse_text(text: Mapping[str, Any], *, tied: bool) -> sizes.TextSize:
    rope = text.get("rope_parameters") or {}
    scaling = text.get("rope_scaling") or rope
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind not in ("mrope", "default") or "mrope_section" not in scaling:
        raise errors.UserError(
            f"rope_scaling {dict(scaling)} is not multimodal rope: type mrope or default with "
            "mrope_section is needed"
        )
    if text.get("use_sliding_window"):
        raise errors.UserError("use_sliding_window true is not supported; the models have false")
    width, heads = _count(text, "hidden_size"), _count(text, "num_attention_heads")
    return sizes.TextSize(
        num_layers=_count(text, "num_hidden_layers"),
        embed_dim=width,
        num_heads=heads,
        num_kv_heads=_count(text, "num_key_value_heads"),
        head_dim=text.get("head_dim") or width // heads,
        mlp_dim=_count(text, "intermediate_size"),
        vocab_size=_count(text, "vocab_size"),
        tie_embeddings=tied,
        rope_theta=float(rope.get("rope_theta") or text["rope_theta"]),
        mrope_section=tuple(scaling["mrope_section"]),
        rms_norm_eps=float(text.get("rms_norm_eps", 1e-6)),
        max_positions=text.get("max_position_embeddings", 128_000),
    )


def _parse_vision(vision: Mapping[str, Any]) -> sizes.VisionSize:
    return sizes.VisionSize(
        num_layers=_count(vision, "depth", 32),
        embed_dim=_count(vision, "hidden_size"),
        num_heads=_count(vision, "num_heads", 16),
        mlp_dim=_count(vision, "intermediate_size", 3420),
        full_attention_layers=tuple(vision.get("fullatt_block_indexes", (7, 15, 23, 31))),
        geometry=geometry.VisionGeometry(
            patch_size=vision.get("patch_size", vision.get("spatial_patch_size", 14)),
            temporal_patch_size=vision.get("temporal_patch_size", 2),
            merge_size=vision.get("spatial_merge_size", 2),
            window_size=vision.get("window_size", 112),
            tokens_per_second=float(vision.get("tokens_per_second", 2)),
        ),
    )


def _count(fields: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """A whole number above 0; a missing one is `default`, or a KeyError where there is none."""
    value = fields[key] if default is None else fields.get(key, default)
    if not isinstance(value, int) or value < 1:
        raise errors.UserError(f"config.json: {key} must be a whole number above 0, got {value!r}")
    return value


def _parse_special(config: Mapping[str, Any]) -> tokens.SpecialIds:
    names = {
        "vision_start": "vision_start_token_id",
        "vision_end": "vision_end_token_id",
        "vision_pad": "vision_token_id",
        "video_pad": "video_token_id",
    }
    image_pad = config["image_token_id"]
    ids = {name: image_pad + distance for name, distance in _FROM_IMAGE_PAD.items()}
    for name, key in names.items():
        ids[name] = config.get(key) or ids[name]
    return tokens.SpecialIds(**ids)


def _is_tied(config: Mapping[str, Any]) -> bool:
    """4.57 drops the top flag when it is true and keeps the nested one."""
    nested = config.get("text_config") or {}
    flags = (config.get("tie_word_embeddings"), nested.get("tie_word_embeddings"))
    return any(bool(flag) for flag in flags)


def _dump_vision(vision: sizes.VisionSize, text_dim: int) -> dict[str, Any]:
    patch = vision.geometry
    return {
        "model_type": MODEL_TYPE,
        "depth": vision.num_layers,
        "fullatt_block_indexes": list(vision.full_attention_layers),
        "hidden_act": "silu",
        "hidden_size": vision.embed_dim,
        "in_channels": 3,
        "in_chans": 3,
        "intermediate_size": vision.mlp_dim,
        "num_heads": vision.num_heads,
        "out_hidden_size": text_dim,
        "patch_size": patch.patch_size,
        "spatial_merge_size": patch.merge_size,
        "spatial_patch_size": patch.patch_size,
        "temporal_patch_size": patch.temporal_patch_size,
        "tokens_per_second": int(patch.tokens_per_second),
        "window_size": patch.window_size,
    }
