# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The largest difference from transformers, module by module, from the stored arrays.

Each part is fed with transformers' own input to it, so that no difference is inherited.
`python -m tests.models.module_differences` prints the table of docs/parity.md.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from lingshu_jax.data import images
from lingshu_jax.models import hf, layers, qwen2_5_vl, rope, text, vision
from tests.make_golden import tiny_models
from tests.models import goldens

F32 = jnp.dtype(jnp.float32)
EXACT, ABSOLUTE, RELATIVE = "values that differ", "absolute", "relative"
# In the order of the table: how a difference is counted, and the most that is allowed.
MODULES: dict[str, tuple[str, float]] = {
    "positions": (EXACT, 0),
    "patch order": (EXACT, 0),
    "pixels, normalised": (ABSOLUTE, 1e-6),
    "patch embedding": (RELATIVE, 1e-5),
    "vision block, windows": (RELATIVE, 1e-5),
    "vision block, whole frames": (RELATIVE, 1e-5),
    "merger": (RELATIVE, 1e-5),
    "text block": (RELATIVE, 1e-5),
    "final norm": (RELATIVE, 1e-5),
    "head": (RELATIVE, 1e-5),
    "vision features, whole tower": (RELATIVE, 1e-4),
    "logits, whole model": (RELATIVE, 1e-4),
    "loss": (RELATIVE, 1e-5),
    "gradients": (RELATIVE, 3e-4),
}


class Gap(NamedTuple):
    """One comparison: the module, where in it, and the difference."""

    module: str
    place: str
    value: float


@functools.cache
def compiled(module: nn.Module) -> Callable[..., Any]:
    """A module's forward pass, compiled once for all comparisons."""
    return goldens.compiled_quickly()(module.apply)


def vision_gaps(golden: goldens.Golden, params: layers.Params) -> Iterator[Gap]:
    """Patch embedding, every block, merger, over the three images of the stored row."""
    size, arrays = golden.size.vision, golden.arrays
    row = goldens.encoded(golden, "images")
    pictures = goldens.make_batch(golden, [[row]]).images
    gather = np.asarray(pictures.window_gather[0])
    is_used = gather < gather.size

    def to_slots(natural: np.ndarray) -> jax.Array:
        padded = np.pad(natural, ((0, gather.size + 1 - len(natural)), (0, 0)))
        return jnp.asarray(padded[gather][None])

    def to_natural(slots: jax.Array) -> np.ndarray:
        out = np.zeros((is_used.sum(), slots.shape[-1]), np.float32)
        out[gather[is_used]] = np.asarray(slots).reshape(-1, slots.shape[-1])[is_used]
        return out

    patches = np.concatenate([images.load_patches(media, size.geometry) for media in row.media])
    pixels = vision.normalize(jnp.asarray(patches[None]), size.geometry)
    before = arrays["images/vision/patch_embed"]
    embedded = pixels[0] @ params["vision"]["patch_embed"]["kernel"]
    yield Gap("patch embedding", "", goldens.gap(embedded, before))

    places = jnp.take(jnp.asarray(pictures.patch_hw), gather, axis=1, mode="clip")
    angles = rope.vision_angles(places, head_dim=size.head_dim)
    frames = to_slots(np.asarray(pictures.patch_frame_ids[0])[:, None])[..., 0]
    windows = jnp.asarray(pictures.window_ids)[0]
    block = compiled(vision.Block(size, F32, F32))
    for i in range(size.num_layers):
        layer = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), params["vision"]["blocks"])
        x, turned, segments, kind = to_slots(before), angles, frames, "whole frames"
        if i not in size.full_attention_layers:
            x, turned = (y.reshape(-1, vision.SLOT, y.shape[-1]) for y in (x, turned))
            segments, kind = windows, "windows"
        out = to_natural(block({"params": layer}, x, turned, segments))
        before = arrays[f"images/vision/block_{i}"]
        yield Gap(f"vision block, {kind}", f"block {i}", goldens.gap(out, before))

    merger = compiled(vision.Merger(size, golden.size.text.embed_dim))
    inverse = jnp.asarray(pictures.merged_inverse)
    merged: Any = merger({"params": params["merger"]}, to_slots(before), inverse)
    theirs = arrays["images/vision/merged"]
    yield Gap("merger", "", goldens.gap(merged[0, : len(theirs)], theirs))


def text_gaps(golden: goldens.Golden, params: layers.Params) -> Iterator[Gap]:
    """Every decoder block, the final norm and the head, over the stored row of images."""
    size, arrays = golden.size.text, golden.arrays
    angles = rope.text_angles(
        jnp.asarray(arrays["images/positions"][None]),
        head_dim=size.head_dim,
        theta=size.rope_theta,
        mrope_section=size.mrope_section,
    )
    before = arrays["images/text/embedded"]
    segments = jnp.ones((1, len(before)), jnp.int32)
    block = compiled(text.Block(size, F32, F32))
    for i in range(size.num_layers):
        layer = jax.tree.map(lambda leaf, i=i: jnp.asarray(leaf[i]), params["text"]["layers"])
        out: Any = block({"params": layer}, jnp.asarray(before[None]), angles, segments)
        before = arrays[f"images/text/layer_{i}"]
        yield Gap("text block", f"layer {i}", goldens.gap(out[0][0], before))

    norm = layers.RMSNorm(size.rms_norm_eps)
    out = norm.apply({"params": params["text"]["norm"]}, jnp.asarray(before))
    after = arrays["images/text/norm"]
    yield Gap("final norm", "", goldens.gap(out, after))
    model, on_device = qwen2_5_vl.Qwen2_5_VL(size=golden.size), jax.tree.map(jnp.asarray, params)
    head: Any = model.apply({"params": on_device}, jnp.asarray(after), method=model.logits)
    yield Gap("head", "", goldens.gap(head, arrays["images/logits"]))


def input_gaps(golden: goldens.Golden, case: str) -> Iterator[Gap]:
    """Positions, and every 29th value of all patches."""
    ours = goldens.encoded(golden, case)
    differ = (ours.positions != golden.arrays[f"{case}/positions"]).sum()
    yield Gap("positions", case, float(differ))
    patches = [images.load_patches(m, golden.size.vision.geometry) for m in ours.media]
    joined = np.concatenate([np.zeros((0, 1176), np.uint8), *patches])
    sample = golden.arrays[f"{case}/patches_sample"]
    yield Gap("patch order", case, float((joined[:, ::29] != sample).sum()))


def output_gaps(golden: goldens.Golden, params: layers.Params, case: str) -> Iterator[Gap]:
    """The whole model, its loss and its gradients, over one case in a row of its own."""
    row, arrays = [goldens.encoded(golden, case)], golden.arrays
    batch = goldens.make_batch(golden, [row])
    outputs = goldens.forward(params, batch, size=golden.size, like=golden.size)
    ours = goldens.split(outputs, row)[case]
    yield Gap("logits, whole model", case, goldens.gap(ours["logits"], arrays[f"{case}/logits"]))
    if row[0].media:
        theirs = arrays[f"{case}/vision/merged"]
        yield Gap("vision features, whole tower", case, goldens.gap(ours["vision/merged"], theirs))
    model, weight = qwen2_5_vl.Qwen2_5_VL(size=golden.size), batch.loss_weights.sum()
    loss, gradients = goldens.loss_and_gradients(params, batch, model=model)
    yield Gap("loss", case, goldens.gap(float(loss) / weight, arrays[f"{case}/loss"]))
    gradients = jax.tree.map(lambda leaf: np.asarray(leaf) / weight, gradients)
    yield Gap("gradients", case, gradient_gap(golden, gradients, case))


def gradient_gap(golden: goldens.Golden, gradients: layers.Params, case: str) -> float:
    """Of the two numbers that are stored for the gradient of each tensor.

    They are its norm, and its inner product with the tensor; both are compared relative to norms.
    """
    table = []
    for name, gradient in sorted(hf.hub_tensors(gradients, golden.size)):
        gradient, weight = gradient.astype(np.float64), golden.hub[name].astype(np.float64)
        table.append([np.linalg.norm(gradient), np.sum(gradient * weight)])
    ours, theirs = np.array(table), golden.arrays[f"{case}/gradients"]
    weights = np.array([np.linalg.norm(golden.hub[name]) for name in sorted(golden.hub)])
    # A gradient that is zero but for rounding (a tower without images, a bias without effect)
    # is held against the largest one.
    scale = np.maximum(theirs[:, 0], 1e-4 * theirs[:, 0].max())
    return float((np.abs(ours - theirs) / np.stack([scale, scale * weights], axis=1)).max())


def pixel_gap() -> Gap:
    """Every pixel value of every channel as the device normalises it, beside float64."""
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 1176, axis=1)
    shape = goldens.load(goldens.NAMES[0]).size.vision.geometry
    ours = jax.jit(lambda x: vision.normalize(x, shape))(jnp.asarray(levels[None]))[0]
    gap = np.abs(np.asarray(ours, np.float64) - tiny_models.normalise(levels)).max()
    return Gap("pixels, normalised", "", float(gap))


def all_gaps(golden: goldens.Golden) -> list[Gap]:
    """Everything that one stored file can say."""
    gaps = [*vision_gaps(golden, golden.params), *text_gaps(golden, golden.params)]
    for case in goldens.PACKED:
        gaps += [*input_gaps(golden, case), *output_gaps(golden, golden.params, case)]
    return gaps


def main() -> None:
    """Prints the table."""
    jax.config.update("jax_default_matmul_precision", "highest")
    gaps = [gap for name in goldens.NAMES for gap in all_gaps(goldens.load(name))]
    gaps.append(pixel_gap())
    print("| module | comparisons | largest difference | allowed |\n|---|---|---|---|")
    for module, (kind, allowed) in MODULES.items():
        values = [gap.value for gap in gaps if gap.module == module]
        largest = f"{max(values):.0f}" if kind == EXACT else f"{max(values):.1e}"
        print(f"| {module} | {len(values)} | {largest} {kind} | {allowed:g} |")


if __name__ == "__main__":
    main()
