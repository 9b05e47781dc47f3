# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The vLLM engine where vLLM is not installed; tests/vllm runs it for real."""

import pathlib
import sys

import jax.numpy as jnp
import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import vllm_engine
from lingshu_jax.models import hf
from tests import small


def test_without_vllm_the_line_says_how_to_install_it(
    small_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(errors.UserError, match=r"^vLLM is not installed: .*lingshu-jax\[vllm\]"):
        vllm_engine.VllmEngine.from_folder(small_folder)


def test_a_missing_folder_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.UserError, match="no folder .*absent"):
        vllm_engine.VllmEngine.from_folder(tmp_path / "absent")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_dtype_is_that_of_the_weights(tmp_path: pathlib.Path, dtype: str) -> None:
    folder = small.write_folder(tmp_path / "hf", dtype=dtype)
    assert vllm_engine.stored_dtype(folder, hf.read_config(folder)) == dtype
    assert jnp.dtype(dtype)


def test_nothing_comes_from_a_checkpoints_generation_config() -> None:
    arguments = vllm_engine.engine_arguments(dtype="float32", max_images=3)
    assert arguments["generation_config"] == "vllm"
    assert arguments["logprobs_mode"] == "raw_logprobs"
    assert arguments["limit_mm_per_prompt"] == {"image": 3, "video": 0}
