# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The stored arrays of tests/golden as our objects: sizes, parameters, packed rows.

`tests/make_golden/qwen2_5_vl.py` wrote them with transformers; reading them needs neither torch
nor transformers.
"""

import dataclasses
import functools
import hashlib
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from PIL import Image

from lingshu_jax.common import geometry, structs
from lingshu_jax.data import images, messages, packing
from lingshu_jax.models import generate, hf, qwen2_5_vl, sizes

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "golden"
NAMES = ("regular_untied", "irregular_tied")
# One budget for every row of these tests, so that a model is compiled once. The packed row of
# all three cases fills 130 of the tokens and all five window slots.
BUDGET = packing.Budget(tokens=144, patches=320)
PACKED = ("video", "text", "images")


# These programs run once: without LLVM's optimisations they compile almost three times faster.
compiled_quickly = functools.partial(
    functools.partial, jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)


class Golden(NamedTuple):
    """One stored checkpoint with its inputs and outputs.

    Attributes:
      size: What `hf.read_config` makes of its config.json.
      params: What `hf.load_params` makes of its tensors.
      hub: The tensors under their published names.
      arrays: Everything else by name, `<case>/<array>`.
    """

    size: sizes.ModelSize
    params: dict[str, Any]
    hub: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]


@functools.cache
def load(name: str) -> Golden:
    """Reads one file through the loader that users' folders go through."""
    with np.load(FOLDER / f"qwen2_5_vl_{name}.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    hub = {k.removeprefix("weights/"): v for k, v in arrays.items() if k.startswith("weights/")}
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_folder(pathlib.Path(scratch), hub, str(arrays["config/hub"]))
        size = hf.read_config(folder)
        params = hf.load_params(folder, size, jnp.dtype(jnp.float32))
    return Golden(size, params, hub, arrays)


def write_folder(folder: pathlib.Path, hub: dict[str, np.ndarray], config: str) -> pathlib.Path:
    """Writes tensors and config.json as a Hugging Face folder and returns it."""
    safetensors.numpy.save_file(hub, folder / "model.safetensors")
    (folder / "config.json").write_text(config)
    return folder


def encoded(golden: Golden, case: str) -> messages.Encoded:
    """A stored sequence as the data layer hands it over; positions are computed by us."""
    stored = {
        key.removeprefix(f"{case}/"): value
        for key, value in golden.arrays.items()
        if key.startswith(f"{case}/")
    }
    seconds = float(stored["seconds_per_grid"]) if case == "video" else None
    media = []
    for i, (start, grid) in enumerate(zip(stored["media_starts"], stored["grids"], strict=True)):
        frames = stored[f"frames_{i}"]
        media.append(to_media(int(start), geometry.Grid(*grid.tolist()), frames, seconds))
    shape = golden.size.vision.geometry
    return to_encoded(case, stored["tokens"], stored["loss_weights"], media=media, shape=shape)


def to_media(
    start: int, grid: geometry.Grid, frames: np.ndarray, seconds_per_grid: float | None = None
) -> images.Media:
    """Pixels [T, H, W, 3] as one image, or as a video where there is a time."""
    pictures = tuple(Image.fromarray(frame) for frame in frames)
    return images.Media(
        start=start,
        grid=grid,
        image=pictures[0] if seconds_per_grid is None else pictures,
        seconds_per_grid=seconds_per_grid,
    )


def to_encoded(
    name: str,
    tokens: np.ndarray,
    loss_weights: np.ndarray,
    *,
    media: Sequence[images.Media],
    shape: geometry.VisionGeometry,
) -> messages.Encoded:
    """A sequence with positions by our own rule."""
    spans = [medium.span for medium in media]
    return messages.Encoded(
        id=name,
        source_id=0,
        tokens=tokens.astype(np.int32),
        loss_weights=loss_weights,
        positions=geometry.mrope_positions(len(tokens), spans, shape),
        media=tuple(media),
    )


def make_batch(
    golden: Golden, rows: Sequence[Sequence[messages.Encoded]], budget: packing.Budget = BUDGET
) -> structs.Batch:
    """Packs each row's sequences; all rows have the same budget."""
    arrays = [
        packing.assemble(
            row,
            budget,
            geometry=golden.size.vision.geometry,
            pad_id=golden.size.special.pad,
        )
        for row in rows
    ]
    return structs.Batch.from_arrays({k: np.stack([a[k] for a in arrays]) for k in arrays[0]})


quick_generate = compiled_quickly(
    static_argnames=("model", "samples", "capacity", "stop_ids", "is_apart")
)(generate.generate)


@compiled_quickly(static_argnames="model")
def encode(
    params: dict[str, Any], pictures: structs.Images, *, model: qwen2_5_vl.Qwen2_5_VL
) -> Any:
    """Merged visual tokens."""
    return model.apply({"params": params}, pictures, method=model.encode_images)


@compiled_quickly(static_argnames="model")
def decode(
    params: dict[str, Any],
    batch: structs.Batch,
    visual: jax.Array,
    *,
    model: qwen2_5_vl.Qwen2_5_VL,
) -> Any:
    """Embeddings with the visual tokens among them, final hidden states and logits."""

    def run(module, batch, visual):
        embedded = module.embed(batch.tokens, batch.media_index, visual)
        hidden = module.text(embedded, batch.positions, batch.segment_ids)
        return {
            "text/embedded": embedded,
            "text/norm": hidden,
            "logits": module.logits(hidden),
        }

    return model.apply({"params": params}, batch, visual, method=run)


def forward(
    params: dict[str, Any], batch: structs.Batch, *, size: sizes.ModelSize, like: sizes.ModelSize
) -> dict[str, jax.Array]:
    """The whole model in two programs, so that a twin compiles only the half it breaks.

    Args:
      params: The parameters.
      batch: Packed rows.
      size: The sizes to run with.
      like: The unbroken sizes.

    Returns:
      Visual tokens and the outputs of `decode`, by the goldens' names.
    """
    tower = qwen2_5_vl.Qwen2_5_VL(size=dataclasses.replace(like, vision=size.vision))
    decoder = qwen2_5_vl.Qwen2_5_VL(size=dataclasses.replace(like, text=size.text))
    visual = encode(params, batch.images, model=tower)
    return {"vision/merged": visual, **decode(params, batch, visual, model=decoder)}


@compiled_quickly(static_argnames="model")
def loss_and_gradients(
    params: dict[str, Any], batch: structs.Batch, *, model: qwen2_5_vl.Qwen2_5_VL
) -> tuple[jax.Array, dict[str, Any]]:
    """Sum of weight times negative log-likelihood (t is predicted at t - 1), and its gradient."""

    def loss(params):
        hidden: Any = model.apply({"params": params}, batch)
        logits: Any = model.apply({"params": params}, hidden[:, :-1], method=model.logits)
        logprobs = jax.nn.log_softmax(logits, axis=-1)
        picked = jnp.take_along_axis(logprobs, batch.tokens[:, 1:, None], axis=-1)[..., 0]
        return -jnp.sum(picked * batch.loss_weights[:, 1:])

    return jax.value_and_grad(loss)(params)


def split(
    outputs: dict[str, jax.Array], row: Sequence[messages.Encoded]
) -> dict[str, dict[str, np.ndarray]]:
    """The first row's outputs by sequence, without padding."""
    parts, token, cell = {}, 0, 0
    for sequence in row:
        tokens, cells = sequence.num_tokens, sequence.num_patches // 4
        parts[sequence.id] = {
            name: np.asarray(value[0, cell : cell + cells])
            if name == "vision/merged"
            else np.asarray(value[0, token : token + tokens])
            for name, value in outputs.items()
        }
        token, cell = token + tokens, cell + cells
    return parts


def gap(ours: Any, theirs: Any) -> float:
    """Largest difference, relative to the largest value of `theirs`."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def script_hashes() -> dict[str, str]:
    """The hashes that PROVENANCE.json should name for the scripts beside it."""
    scripts = sorted((FOLDER.parent / "make_golden").glob("*.py"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in scripts}
