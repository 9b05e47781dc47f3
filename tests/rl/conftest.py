# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of reinforcement learning share."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete Hugging Face folder of the small random model of `tests/small.py`."""
    from tests import small  # after the jaxtyping hook is installed

    return small.write_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def question_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train.jsonl` and `test.jsonl`: verifiable questions about small pictures."""
    folder = tmp_path_factory.mktemp("questions")
    rng = np.random.default_rng(3)
    for split, count in (("train", 5), ("test", 3)):
        lines = []
        for i in range(count):
            pixels = rng.integers(0, 256, (56, 56 + 28 * (i % 2), 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{split}{i}.png")
            content = [
                {"type": "image", "image": f"{split}{i}.png"},
                {"type": "text", "text": f"q{i}?"},
            ]
            row = {"id": f"{split}{i}", "messages": [{"role": "user", "content": content}]}
            lines.append(json.dumps({**row, "answer": "yes", "answer_type": "yes_no"}) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return folder
