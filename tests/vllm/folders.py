# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Small random checkpoints that vLLM accepts, gone through convert and export, and requests.

vLLM's kernels exist for some head sizes only: 128 for text and 80 for vision, as in the released
models, leave no choice of the rotary sections and few of the widths.
"""

import dataclasses
import json
import pathlib
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from lingshu_jax import convert, export
from lingshu_jax.common import tokens
from lingshu_jax.data import tokenizer, tokenizer_files
from lingshu_jax.models import hf, hf_config, layers, safetensors_files, sizes
from tests import small

LICENSE = pathlib.Path(__file__).resolve().parents[2] / "LICENSE"  # a text that stays as it is
WORDS = 490  # 256 bytes and learned merges; 22 added tokens make 512
PIXELS = {"min_pixels": 4 * 784, "max_pixels": 40 * 784}
NEW_TOKENS = 64
LOGIT_SCALE = 4.0  # logits so far apart that near-ties are rare

_TEXT = sizes.TextSize(
    num_layers=2,
    embed_dim=256,
    num_heads=2,
    num_kv_heads=1,
    head_dim=128,
    mlp_dim=384,
    vocab_size=WORDS + len(tokens.SPECIAL_TOKENS),
    tie_embeddings=False,
    # So small that the frequencies of rows and columns turn within an image.
    rope_theta=1e3,
    max_positions=1024,
)
_VISION = sizes.VisionSize(
    num_layers=4, embed_dim=160, num_heads=2, mlp_dim=320, full_attention_layers=(1, 3)
)


class Checkpoint(NamedTuple):
    """What a random checkpoint is drawn from; the seeds give answers with few near-ties."""

    text: sizes.TextSize
    vision: sizes.VisionSize
    seed: int
    shard_bytes: int = safetensors_files.SHARD_BYTES


CHECKPOINTS = {
    "untied": Checkpoint(_TEXT, _VISION, seed=0),
    # As the smallest of the released models.
    "tied": Checkpoint(dataclasses.replace(_TEXT, tie_embeddings=True), _VISION, seed=1),
    # Every size is another, and the weights lie in several files, as those of released models.
    "irregular": Checkpoint(
        dataclasses.replace(
            _TEXT, num_layers=3, embed_dim=512, num_heads=4, num_kv_heads=2, rms_norm_eps=1e-5
        ),
        dataclasses.replace(
            _VISION, num_layers=5, embed_dim=240, num_heads=3, full_attention_layers=(0, 3)
        ),
        seed=2,
        shard_bytes=8 * 2**20,
    ),
}


def make(folder: pathlib.Path, name: str) -> pathlib.Path:
    """A random checkpoint as export writes it; what it came from lies beside it."""
    return write(folder, CHECKPOINTS[name])


def write(folder: pathlib.Path, checkpoint: Checkpoint) -> pathlib.Path:
    """`make` of one that has no name."""
    text, vision, seed, shard_bytes = checkpoint
    source, exported = folder / "source", folder / "exported"
    total = tokenizer_files.write_tokenizer(source, [LICENSE.read_text()], WORDS, **PIXELS)
    assert total == text.vocab_size
    special = tokens.SpecialIds.from_vocab(tokenizer.load(source).token_to_id)
    size = sizes.ModelSize(vision=vision, text=text, special=special)
    (source / "config.json").write_text(json.dumps(hf_config.dump(size, dtype="float32")))
    params = small.random_params(size, seed)
    params["text"]["norm"]["scale"] *= LOGIT_SCALE
    hf.write_weights(params, size, source)
    convert.convert(source, folder / "checkpoint")
    export.export(folder / "checkpoint", exported)
    if shard_bytes < safetensors_files.SHARD_BYTES:
        replace_weights(exported, hf.load_params(exported, size), shard_bytes=shard_bytes)
    return exported


def replace_weights(folder: pathlib.Path, params: layers.Params, **options: Any) -> None:
    """Writes other weights into an exported folder, as export itself writes them."""
    size = hf.read_config(folder)
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    hf.write_weights(params, size, folder, **options)


def requests(folder: pathlib.Path, *, extra: int) -> list[dict[str, Any]]:
    """Conversations with no, one and two pictures of six plain fields each.

    In the named ones no side is a multiple of 28, so every picture is resized. The others resize
    with torchvision, which rounds one value of two hundred to a neighbouring level, and that can
    turn a token; in plain fields with this seed it rounds all as we do. The extra ones are taken
    as they are.

    Args:
      folder: Where the pictures are written.
      extra: How many conversations follow the named ones.
    """
    rng = np.random.default_rng(6)

    def picture(height: int, width: int) -> dict[str, Any]:
        path = folder / f"{len(list(folder.glob('*.png')))}.png"
        fields = Image.fromarray(rng.integers(0, 256, (2, 3, 3), dtype=np.uint8))
        fields.resize((width, height), Image.Resampling.NEAREST).save(path)
        return {"type": "image", "image": str(path)}

    def say(role: str, *parts: Any) -> dict[str, Any]:
        content = [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]
        return {"role": role, "content": content}

    question = "Is there an effusion on the left? yes or no"
    chats = {
        "text": [say("user", "Was heißt „effusion“? 胸水")],
        "one": [say("user", picture(61, 150), question)],
        "other": [say("user", picture(61, 150), question)],
        "enlarged": [say("user", "Describe: ", picture(30, 47))],
        "two": [say("user", "Compare ", picture(203, 90), " with ", picture(90, 131), ".")],
        "turns": [
            say("system", "You read radiographs."),
            say("user", picture(330, 241), "Which side?"),
            say("assistant", "The left."),
            say("user", "Why?"),
        ],
    }
    for i in range(extra):
        pictures = [picture(*(28 * rng.integers(2, 7, 2)).tolist()) for _ in range(i % 3)]
        chats[f"extra{i}"] = [say("user", *pictures, f"{question} ({i})")]
    return [
        {"id": name, "messages": messages, "max_new_tokens": NEW_TOKENS}
        for name, messages in chats.items()
    ]
