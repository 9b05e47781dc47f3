# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Predicted time of a step on a topology; nothing of it is measured.

    seconds = products / (peak * PRODUCT) + attention / (peak * ATTENTION * fill)
            + ELEMENTWISE * activation bytes / HBM bandwidth + optimizer bytes / HBM bandwidth
            + collectives that compute does not hide

Products and attention are what is executed: padding, what the rematerialisation policy computes
again, whole blocks of the attention kernel, and the five products of its backward pass. `fill` is
the part of the matrix unit that a head fills. Collectives of weights run beside the compute and
show what exceeds it and the share EXPOSED of the rest; those of activations wait and are waited
for. The constants are fitted on published text runs, see `published.py`.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from lingshu_jax.aot import hlo, links, traffic
from lingshu_jax.common import errors, topologies
from lingshu_jax.models import flops, sizes

Batch = traffic.Batch

# Products of a block by the last part of their kernel's path; the attention kernel is "attention".
# down's own product is never needed again: what comes after a block is the next one's input.
KERNEL, HEAD = "attention", "head"
_INPUTS = ("attention/q", "attention/k", "attention/v", "attention/qkv")
_MLP = ("mlp/gate", "mlp/up")
# Policy of `layers.REMAT_POLICIES` -> what the backward pass computes again. The loss always
# makes its logits again.
RECOMPUTED: dict[str, tuple[str, ...]] = {
    "none": (HEAD,),
    "full": (*_INPUTS, KERNEL, "attention/out", *_MLP, HEAD),
    "save_some": (*_INPUTS, *_MLP, HEAD),
    "save_attention": (*_MLP, HEAD),
    "save_products": (HEAD,),
    "dots": (KERNEL, HEAD),
    "offload": (*_MLP, HEAD),
}

_MATRIX_UNIT = {"v6e": 256, "tpu7x": 256}  # width of the matrix unit; 128 on the other TPUs
_LANES = 128
_BACKWARD = 2.5  # of attention: five products where the forward pass has two
_OPTIMIZER = 32  # bytes a trained number: w, m, v and gradient read and written in float32
_ACTIVATION = 2  # bytes
_LOGIT = 4
_STREAM = 0.85  # of HBM bandwidth in decoding: jax-llm-examples, Llama 3.1 70B int8 on v5e-16


class Constants(NamedTuple):
    """What is fitted.

    Attributes:
      product: Share of the peak that products with weights reach.
      attention: The same of the attention kernel, where a head fills the matrix unit.
      elementwise: Share of the unfused elementwise traffic that products do not hide.
      exposed: Share of the collectives of weights that compute does not hide.
    """

    product: float
    attention: float
    elementwise: float
    exposed: float


CONSTANTS = Constants(product=0.843, attention=0.434, elementwise=0.5, exposed=0.504)


class Prediction(NamedTuple):
    """Of one step.

    Attributes:
      seconds: Of the step.
      mfu: Useful operations over those seconds and the peak of all devices.
      parts: Seconds by part; they sum to `seconds`.
    """

    seconds: float
    mfu: float
    parts: dict[str, float]


def predict(
    *,
    size: sizes.ModelSize,
    work: flops.Work,
    batch: Batch,
    trained: Collection[str],
    remat: str,
    topology: topologies.Topology,
    mesh: Mapping[str, int],
    collectives: Sequence[hlo.Collective] | None = None,
) -> Prediction:
    """A pass over a batch: a train step, or a forward pass where nothing is trained.

    Args:
      size: The model's sizes.
      work: Useful work of the global batch.
      batch: Its padded shape.
      trained: Paths of the trained parameters; () is a forward pass, as the reference's or prefill.
      remat: Name of the rematerialisation policy.
      topology: Chips and links.
      mesh: Devices along each mesh axis, outermost first.
      collectives: Of the compiled program; None counts them by hand.

    Raises:
      UserError: If the policy is unknown.
    """
    if remat not in RECOMPUTED:
        raise errors.UserError(f"unknown remat policy {remat!r}; known: {', '.join(RECOMPUTED)}")
    job = Job(size, work, batch, trained, RECOMPUTED[remat], topology, mesh)
    parts = step_parts(job, CONSTANTS, collectives)
    useful = flops.train_flops(size, work, trained).total
    return _prediction(parts, useful, topology)


class Job(NamedTuple):
    """What is computed where; see `predict`. `recomputed` is a value of `RECOMPUTED`."""

    size: sizes.ModelSize
    work: flops.Work
    batch: Batch
    trained: Collection[str]
    recomputed: Collection[str]
    topology: topologies.Topology
    mesh: Mapping[str, int]


def step_parts(
    job: Job, constants: Constants, found: Sequence[hlo.Collective] | None = None
) -> dict[str, float]:
    """Seconds of a step by part.

    Args:
      job: What is computed.
      constants: The fitted ones, or others.
      found: Collectives of the compiled program; None counts them by hand.
    """
    chip, devices = job.topology.chip, job.topology.devices
    parts = {"products": 0.0, "attention": 0.0}
    for one in flops.products(job.size, job.batch.executed(job.work), job.trained):
        executed = one.forward * _passes(one, job.recomputed) / devices / chip.peak_flops
        if one.weight:
            parts["products"] += executed / constants.product
        else:
            parts["attention"] += executed / constants.attention / _fill(job.size, one.part, chip)
    local = elementwise_bytes(job) / devices
    parts["elementwise"] = constants.elementwise * local / chip.hbm_bandwidth
    split = job.mesh.get("fsdp", 1) * job.mesh.get("tensor", 1)
    moved = _OPTIMIZER * sum(one.trained for one in _stacks(job)) / split
    parts["optimizer"] = moved / chip.hbm_bandwidth
    if found is None:
        found = traffic.collectives(
            size=job.size,
            batch=job.batch,
            trained=job.trained,
            recomputed=job.recomputed,
            mesh=job.mesh,
            slices=job.topology.slices,
        )
    parts["collectives"] = _exposed(job, found, sum(parts.values()), constants.exposed)
    return parts


def predict_decode(
    *,
    size: sizes.ModelSize,
    sequences: int,
    cached_tokens: int,
    topology: topologies.Topology,
    mesh: Mapping[str, int],
    collectives: Sequence[hlo.Collective] | None = None,
) -> Prediction:
    """One more token of every sequence: weights and cache are read once.

    Args:
      size: The model's sizes.
      sequences: Of the global batch.
      cached_tokens: Of each sequence, on average.
      topology: Chips and links.
      mesh: Devices along each mesh axis; weights are split over `tensor` alone.
      collectives: Of the compiled program; None counts them by hand.
    """
    text, chip = size.text, topology.chip
    work = flops.Work(
        tokens=sequences,
        token_pairs=2 * sequences * cached_tokens,  # no causal half: one query, all its keys
        patches=0,
        frame_pairs=0,
        window_pairs=0,
        targets=sequences,
    )
    tensor = mesh.get("tensor", 1)
    weights = sum(
        one.weights
        for one in traffic.stacks(size, (), with_vision=False)
        if one.name != "text/embed"
    )
    per_token = 2 * text.num_layers * text.num_kv_heads * text.head_dim
    share = math.ceil(sequences * tensor / topology.devices)
    read = traffic.BYTES * (weights + per_token * cached_tokens * share) / tensor
    useful = flops.train_flops(size, work, ()).total
    computed = useful / topology.devices / chip.peak_flops / CONSTANTS.product
    parts = {"memory": max(read / chip.hbm_bandwidth / _STREAM, computed)}
    if collectives is None:
        local = traffic.BYTES * text.embed_dim * share
        wire = hlo.wire_bytes("all-reduce", local, tensor)
        count = 2 * text.num_layers
        collectives = [hlo.Collective("all-reduce", local, wire, tensor, count, ("tensor",))]
    speeds = links.bandwidths(topology, mesh)
    parts["collectives"] = sum(
        links.seconds(one, speeds, topology) for one in collectives if one.wire_bytes
    )
    return _prediction(parts, useful, topology)


def elementwise_bytes(job: Job) -> float:
    """Bytes that norms, residuals, rotations, activations and logits move if nothing is fused.

    Args:
      job: What is computed.
    """
    size, work = job.size, job.batch.executed(job.work)
    text, vision = size.text, size.vision
    heads, kv_heads = text.num_heads * text.head_dim, text.num_kv_heads * text.head_dim
    # Two norms and two residuals read and write the width, rotations the heads; silu(gate) * up.
    of_text = 10 * text.embed_dim + 2 * (heads + kv_heads) + 3 * text.mlp_dim
    of_vision = 14 * vision.embed_dim + 3 * vision.mlp_dim
    passes = {one.name: _traffic_passes(one, job.recomputed) for one in _stacks(job)}
    blocks = work.tokens * text.num_layers * of_text * passes["text/layers"]
    blocks += work.patches * vision.num_layers * of_vision * passes.get("vision/blocks", 0)
    logits = 2 * work.targets * text.vocab_size * passes["text/head"]
    return _ACTIVATION * blocks + _LOGIT * logits


def _stacks(job: Job) -> list[traffic.Stack]:
    return traffic.stacks(job.size, job.trained, with_vision=job.batch.patches > 0)


def _traffic_passes(part: traffic.Stack, recomputed: Collection[str]) -> int:
    """Forward; in the backward pass what is made again, what is read and the gradients."""
    if not part.is_behind:
        return 1
    return 3 + bool(set(recomputed) - {HEAD} if part.name != "text/head" else HEAD in recomputed)


def _passes(product: flops.Product, recomputed: Collection[str]) -> float:
    """How often as many operations as in the forward pass are executed."""
    if product.weight == "":
        again = product.is_behind * (_BACKWARD + (KERNEL in recomputed))
        return 1 + again
    name = HEAD if product.part == "text/head" else _short(product)
    return product.passes + (product.is_behind and name in recomputed)


def _short(product: flops.Product) -> str:
    return product.weight.removeprefix(f"{product.part}/").removesuffix("/kernel")


def _fill(size: sizes.ModelSize, part: str, chip: topologies.Chip) -> float:
    """Share of the matrix unit that one head is wide."""
    width = (size.text if part.startswith("text/") else size.vision).head_dim
    unit = _MATRIX_UNIT.get(chip.name, _LANES)
    return width / (unit * math.ceil(width / unit))


def _exposed(job: Job, found: Sequence[hlo.Collective], compute: float, share: float) -> float:
    """Seconds of the collectives that nothing hides."""
    speeds = links.bandwidths(job.topology, job.mesh)
    waiting = {"tensor", "context"}
    hidden, shown = 0.0, 0.0
    for one in found:
        seconds = links.seconds(one, speeds, job.topology)
        if one.axes and waiting.issuperset(one.axes):
            shown += seconds
        else:
            hidden += seconds
    return shown + share * hidden + max(0.0, (1 - share) * hidden - compute)


def _prediction(
    parts: dict[str, float], useful: float, topology: topologies.Topology
) -> Prediction:
    seconds = sum(parts.values())
    mfu = useful / seconds / (topology.chip.peak_flops * topology.devices)
    return Prediction(seconds, mfu, parts)
