# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a Hugging Face folder holds, as far as vLLM has to be told: architecture, dtype, own code.

Our engine in vLLM's process makes the prompts of Qwen2.5-VL. Every other architecture is served:
prompts then come from the folder's own chat template and processor.
"""

import collections
import json
import pathlib
from typing import Any, NamedTuple

import safetensors

from lingshu_jax.common import errors

OWN_TYPE = "qwen2_5_vl"
_FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# Layouts that only their publisher's code reads, and where the same model is in Transformers' own.
_NATIVE = {
    "InternVLChatModel": "the repositories with -hf, as OpenGVLab/InternVL3-8B-hf",
    "LlavaMistralForCausalLM": (
        "a conversion to LlavaForConditionalGeneration, as chaoyinshe/llava-med-v1.5-mistral-7b-hf"
    ),
    "LlavaQwen2ForCausalLM": (
        "a later release, as FreedomIntelligence/HuatuoGPT-Vision-7B-Qwen2.5VL"
    ),
    "LlavaLlamaForCausalLM": "a conversion to LlavaForConditionalGeneration, as llava-hf has them",
}


class Kind(NamedTuple):
    """What config.json says.

    Attributes:
      architecture: The first of its `architectures`, "" where it names none.
      model_type: "" where it names none.
      has_code: Whether its classes are files of the repository.
    """

    architecture: str = ""
    model_type: str = ""
    has_code: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether our own prompts and weights fit it."""
        return self.model_type == OWN_TYPE


def read_kind(folder: pathlib.Path) -> Kind:
    """What a folder's config.json says.

    Args:
      folder: A Hugging Face folder.

    Raises:
      UserError: If there is no config.json, or it is none.
    """
    path = folder / "config.json"
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise errors.UserError(f"{folder} has no config.json") from error
    except ValueError as error:
        raise errors.UserError(f"{path} is not JSON") from error
    if not isinstance(found, dict):
        raise errors.UserError(f"{path} must hold an object")
    names = found.get("architectures")
    first = names[0] if isinstance(names, list) and names else ""
    return Kind(
        architecture=str(first),
        model_type=str(found.get("model_type") or ""),
        has_code="AutoConfig" in (found.get("auto_map") or {}),
    )


def check(folder: pathlib.Path) -> None:
    """Finds out before vLLM is started that it would have to run a repository's code.

    Args:
      folder: A Hugging Face folder.

    Raises:
      UserError: If so; names the layout to take instead, where one is known. And as `read_kind`.
    """
    kind = read_kind(folder)
    native = _NATIVE.get(kind.architecture, "")
    if not (kind.has_code or native):
        return
    instead = native or "a conversion to a class that Transformers has"
    name = kind.architecture or kind.model_type
    raise errors.UserError(
        f"{folder} is {name}, which needs code of its repository, and none is run; take {instead}"
    )


def stored_dtype(folder: pathlib.Path) -> str:
    """The dtype of most weights of the first file, as vLLM names it; "auto" of quantised ones.

    vLLM's own choice for float32 is a smaller one.

    Args:
      folder: A Hugging Face folder.

    Raises:
      UserError: If it holds no safetensors, or the first file is damaged.
    """
    path = min(folder.glob("*.safetensors"), default=None)
    if path is None:
        raise errors.UserError(f"{folder} holds no model.safetensors")
    counts: collections.Counter[str] = collections.Counter()
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            counts.update(file.get_slice(name).get_dtype() for name in names)
    except safetensors.SafetensorError as error:
        raise errors.UserError(f"{path} is damaged: {error}") from error
    ((kind, _),) = counts.most_common(1) or [("", 0)]
    return _FLOATS.get(kind, "auto")
