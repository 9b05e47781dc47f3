# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A very small model, its Hugging Face folder and a handful of rows, for tests of every layer.

The sizes are asymmetric on purpose: every width differs, there are fewer key/value heads than
heads, the blocks are neither all windowed nor all full.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from lingshu_jax.common import geometry, structs, tokens
from lingshu_jax.data import messages, packing, tokenizer_files
from lingshu_jax.models import hf, hf_config, layers, qwen2_5_vl, sizes
from tests.models import goldens

# 256 byte tokens, then the special ones in their order; widths divide by a mesh of eight.
SIZE = sizes.ModelSize(
    vision=sizes.VisionSize(
        num_layers=4, embed_dim=32, num_heads=2, mlp_dim=80, full_attention_layers=(1, 3)
    ),
    text=sizes.TextSize(
        num_layers=2,
        embed_dim=64,
        num_heads=4,
        num_kv_heads=2,
        head_dim=24,
        mlp_dim=96,
        vocab_size=288,
        tie_embeddings=False,
        rope_theta=2e4,
        mrope_section=(3, 5, 4),
        max_positions=1024,
    ),
    special=tokens.SpecialIds(
        pad=256,
        im_start=257,
        im_end=258,
        vision_start=265,
        vision_end=266,
        vision_pad=267,
        image_pad=268,
        video_pad=269,
    ),
)
MODEL = qwen2_5_vl.Qwen2_5_VL(size=SIZE)
BUDGET = packing.Budget(tokens=96, patches=192)
PIXELS = {"min_pixels": 28 * 28, "max_pixels": 28 * 28 * 12}


def start(module: str, *args: str) -> subprocess.Popen[str]:
    """Starts `python -m lingshu_jax.<module>` in the root of the checkout, on one device."""
    # Without LLVM's optimisations a program compiles three times faster.
    flags = {"XLA_FLAGS": "--xla_backend_optimization_level=0", "PYTHONPATH": "."}
    return subprocess.Popen(
        [sys.executable, "-m", f"lingshu_jax.{module}", *args],
        cwd=pathlib.Path(__file__).resolve().parents[1],
        env={**os.environ, **flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Waits for a command that must succeed; what it printed."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def fail(process: subprocess.Popen[str]) -> str:
    """Waits for a command that must refuse its input; the one line on standard error."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 2, err
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1, err
    assert "Traceback" not in err and 'File "' not in err, err
    return err


def random_params(size: sizes.ModelSize = SIZE, seed: int = 0, std: float = 0.1) -> layers.Params:
    """Parameters wide enough that images and every bias matter; norm scales around one."""
    rng = np.random.default_rng(seed)

    def draw(path: Any, leaf: Any) -> np.ndarray:
        values = std * rng.standard_normal(leaf.shape)
        is_scale = path[-1].key == "scale"
        return (values + is_scale).astype(leaf.dtype)

    shapes = qwen2_5_vl.abstract_params(size, jnp.dtype(jnp.float32))
    return jax.tree_util.tree_map_with_path(draw, shapes)


def write_folder(
    folder: pathlib.Path, size: sizes.ModelSize = SIZE, *, dtype: str = "float32"
) -> pathlib.Path:
    """A complete Hugging Face folder of the small model."""
    folder.mkdir(parents=True, exist_ok=True)
    total = tokenizer_files.write_tokenizer(folder, ["ab"], 256, **PIXELS)
    assert total <= size.text.vocab_size
    hf.write_weights(random_params(size), size, folder, dtype=jnp.dtype(dtype))
    (folder / "config.json").write_text(json.dumps(hf_config.dump(size, dtype=dtype)))
    return folder


def write_rows(folder: pathlib.Path, count: int = 12) -> pathlib.Path:
    """`rows.jsonl` and a few PNG files: text, one-image and two-image conversations."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    shapes = ((56, 84), (84, 56), (56, 56))
    for i, shape in enumerate(shapes):
        pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    lines = []
    for i in range(count):
        pictures = [
            {"type": "image", "image": f"{(i + j) % len(shapes)}.png"} for j in range(i % 3)
        ]
        question = {"type": "text", "text": f"Which one is number {i}?"}
        turns = [
            {"role": "user", "content": [*pictures, question]},
            {"role": "assistant", "content": f"It is {'abcd'[i % 4] * (1 + i % 5)}."},
        ]
        lines.append(json.dumps({"id": f"row{i}", "messages": turns}) + "\n")
    (folder / "rows.jsonl").write_text("".join(lines))
    return folder


def sequence(
    rng: np.random.Generator,
    name: str = "x",
    *,
    pictures: Sequence[tuple[int, int]] = (),
    answer: int = 6,
    source: int = 0,
) -> messages.Encoded:
    """A few words, random pictures of the given (height, width) and a trained answer."""
    special, shape = SIZE.special, SIZE.vision.geometry
    ids, media = rng.integers(0, 256, 3).tolist(), []
    for height, width in pictures:
        grid = geometry.Grid(1, height // shape.patch_size, width // shape.patch_size)
        pixels = rng.integers(0, 256, (1, height, width, 3), dtype=np.uint8)
        media.append(goldens.to_media(len(ids) + 1, grid, pixels))
        inside = [special.image_pad] * shape.num_tokens(grid)
        ids += [special.vision_start, *inside, special.vision_end, int(rng.integers(256))]
    weights = np.array([0.0] * len(ids) + [1.0] * answer, np.float32)
    ids += rng.integers(0, 256, answer).tolist()
    encoded = goldens.to_encoded(name, np.array(ids), weights, media=media, shape=shape)
    return dataclasses.replace(encoded, source_id=source)


def make_batch(
    rows: Sequence[Sequence[messages.Encoded]],
    budget: packing.Budget = BUDGET,
    normalization: packing.Normalization = "token",
) -> structs.Batch:
    """Each row's sequences, packed."""
    options = {"geometry": SIZE.vision.geometry, "pad_id": SIZE.special.pad}
    arrays = [packing.assemble(row, budget, normalization=normalization, **options) for row in rows]
    return structs.Batch.from_arrays({k: np.stack([a[k] for a in arrays]) for k in arrays[0]})


def mixed_rows(rng: np.random.Generator, rows: int) -> list[list[messages.Encoded]]:
    """Rows of one to three sequences with no, one or two pictures; two sources."""
    shapes = ((56, 84), (112, 56), (56, 56))
    made = []
    for row in range(rows):
        pictures = [shapes[(row + j) % 3] for j in range(row % 3)]
        made.append(
            [
                sequence(rng, "a", pictures=pictures, answer=3 + row % 4, source=row % 2),
                *(sequence(rng, "b", answer=5 + row % 3, source=1) for _ in range(row % 2)),
                sequence(rng, "c", pictures=[shapes[row % 3]], answer=4),
            ]
        )
    return made
