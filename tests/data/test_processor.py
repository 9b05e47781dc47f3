# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Image sizes of a folder, in the layouts that transformers has written over time."""

import json
import pathlib

import pytest

from lingshu_jax.common import errors
from lingshu_jax.data import processor

OLD = {"min_pixels": 784, "max_pixels": 1568}
NEW = {"size": {"shortest_edge": 3136, "longest_edge": 6272}}
PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, processor.HUB_LIMITS),
        ({PREPROCESSOR: OLD}, (784, 1568)),
        ({PREPROCESSOR: NEW}, (3136, 6272)),
        ({PROCESSOR: {"image_processor": NEW}}, (3136, 6272)),
        ({PROCESSOR: {"image_processor": NEW}, PREPROCESSOR: OLD}, (3136, 6272)),
        ({PROCESSOR: {"processor_class": "Qwen2_5_VLProcessor"}, PREPROCESSOR: OLD}, (784, 1568)),
        ({PREPROCESSOR: {"min_pixels": 784}}, (784, processor.HUB_LIMITS.largest)),
    ],
)
def test_layouts(files: dict, expected: tuple[int, int], tmp_path: pathlib.Path) -> None:
    for name, value in files.items():
        (tmp_path / name).write_text(json.dumps(value))
    assert processor.read_pixel_limits(tmp_path) == expected


@pytest.mark.parametrize("name", [PREPROCESSOR, PROCESSOR])
def test_a_broken_file_is_named(name: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / name).write_text("{")
    with pytest.raises(errors.UserError, match=f"{name} is not JSON"):
        processor.read_pixel_limits(tmp_path)
