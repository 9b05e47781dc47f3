# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What vLLM is told of a folder, and which folders it is never started over."""

import json
import pathlib
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from lingshu_jax.common import errors
from lingshu_jax.engines import vllm_folders
from lingshu_jax.models import hf_config


def write(folder: pathlib.Path, config: Any, **tensors: np.ndarray) -> pathlib.Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    return folder


def test_our_own_architecture_is_known(small_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert vllm_folders.OWN_TYPE == hf_config.MODEL_TYPE
    assert vllm_folders.read_kind(small_folder).is_ours
    other = write(tmp_path / "a", {"architectures": ["A"], "model_type": "a"})
    assert vllm_folders.read_kind(other) == ("A", "a", False)
    assert not vllm_folders.read_kind(other).is_ours
    vllm_folders.check(other)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (
            {"architectures": ["InternVLChatModel"], "auto_map": {"AutoConfig": "c.C"}},
            "InternVLChatModel, which needs code of its repository, and none is run; take the "
            "repositories with -hf, as OpenGVLab/InternVL3-8B-hf",
        ),
        ({"architectures": ["LlavaMistralForCausalLM"]}, "llava-med-v1.5-mistral-7b-hf"),
        ({"architectures": ["LlavaQwen2ForCausalLM"]}, "HuatuoGPT-Vision-7B-Qwen2.5VL"),
        ({"model_type": "x", "auto_map": {"AutoConfig": "c.C"}}, "is x, .* class that Transf"),
        ([], "must hold an object"),
    ],
)
def test_no_code_of_a_repository_is_run(tmp_path: pathlib.Path, config: Any, line: str) -> None:
    with pytest.raises(errors.UserError, match=line):
        vllm_folders.check(write(tmp_path / "a", config))


def test_a_folder_without_a_config_is_none(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.UserError, match=r"has no config.json"):
        vllm_folders.read_kind(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(errors.UserError, match=r"config.json is not JSON"):
        vllm_folders.read_kind(tmp_path)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(np.float32, "float32"), (ml_dtypes.bfloat16, "bfloat16"), (np.int32, "auto")],
)
def test_the_stored_dtype_is_that_of_most_weights(
    tmp_path: pathlib.Path, dtype: Any, name: str
) -> None:
    tensors = {"a": np.zeros(2, dtype), "b": np.zeros(2, dtype), "c": np.zeros(9, np.float16)}
    folder = write(tmp_path / "a", {}, **tensors)
    assert vllm_folders.stored_dtype(folder) == name
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(errors.UserError, match=r"model.safetensors is damaged"):
        vllm_folders.stored_dtype(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(errors.UserError, match=r"holds no model.safetensors"):
        vllm_folders.stored_dtype(folder)
