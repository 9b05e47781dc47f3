# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""transformers' Qwen2.5-VL processor for images, without torchvision, and its inputs."""

import pathlib
import types
from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.data import images


def load(transformers: types.ModuleType, folder: pathlib.Path) -> Any:
    """The processor of a folder: its tokenizer, its chat template, Pillow's resizer.

    AutoProcessor asks for a video processor, which needs torchvision; its registry wheels are
    built for CUDA and do not load beside a CPU torch.
    """

    class ImageOnly(transformers.Qwen2_5_VLProcessor):
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in super().get_attributes() if name != "video_processor"]

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> type:
            return type(argument)

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return ImageOnly(
        image_processor=transformers.Qwen2VLImageProcessorPil.from_pretrained(folder),
        tokenizer=tokenizer,
        video_processor=None,
        chat_template=tokenizer.chat_template,
    )


def prepare(
    processor: Any, messages: Sequence[Mapping[str, Any]], *, generation_prompt: bool
) -> dict[str, Any]:
    """Token ids and pixels of one conversation, as torch tensors."""
    parts = [p for m in messages if not isinstance(m["content"], str) for p in m["content"]]
    pictures = [images.open_image(p["image"]) for p in parts if p["type"] == "image"]
    text = processor.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=generation_prompt
    )
    return dict(processor(text=[text], images=pictures or None, return_tensors="pt"))
