# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What is compiled: a stage on a topology, with everything filled in that a run computes itself.

A config leaves open what its data decide. Here a row has two patches a token where
`data.patches_per_row` is 0, a batch one row for each part of the mesh where `data.rows_per_batch`
is 0, and passes are accumulated until one has `rows_per_device` rows on a device, whatever
`accumulation_steps` says: how a batch is cut does not change the step.
"""

import dataclasses
from typing import NamedTuple

from lingshu_jax.aot import traffic
from lingshu_jax.common import errors, sharding, topologies
from lingshu_jax.models import flops, sizes
from lingshu_jax.rl import config as rl_config
from lingshu_jax.stages import config as stage_config

PATCHES_PER_TOKEN = 2
SEQUENCES_PER_ROW = 8
MAX_PARTS = 64  # rows of the recipe's batch
PROMPT_TOKENS = 1024  # of a question of stage 4 with its image
_WINDOW = 64  # patches


class Plan(NamedTuple):
    """A stage on a topology.

    Attributes:
      config: Complete: rows, patches, accumulation; `mesh` is not read.
      size: The model's sizes.
      topology: What it is compiled for.
      mesh: Devices along each mesh axis.
      sequences_per_row: How rows are assumed to be filled.
    """

    config: stage_config.StageConfig
    size: sizes.ModelSize
    topology: topologies.Topology
    mesh: dict[str, int]
    sequences_per_row: int

    @property
    def parts(self) -> int:
        """Over how many devices the rows of a batch are split."""
        return self.mesh["data"] * self.mesh["fsdp"]

    @property
    def rows_per_device(self) -> int:
        """Of one pass."""
        return self.config.data.rows_per_batch // self.parts // self.config.accumulation_steps

    @property
    def is_rl(self) -> bool:
        """Whether it is stage 4."""
        return isinstance(self.config, rl_config.RLStageConfig)


def make(
    config: stage_config.StageConfig,
    topology: topologies.Topology,
    *,
    rows_per_device: int = 1,
    sequences_per_row: int = SEQUENCES_PER_ROW,
    generates: bool = False,
) -> Plan:
    """Fills in what the config leaves open.

    Args:
      config: The stage.
      topology: What to compile for.
      rows_per_device: Rows of a pass on a device; a pass of stage 4 and a prefill are as many.
      sequences_per_row: How full rows are assumed to be filled.
      generates: Whether weights are laid out for generation.

    Raises:
      UserError: If size, mesh or batch do not go together.
    """
    config.validate()
    size = size_of(config.model)
    mesh = mesh_sizes(config.mesh, topology, size if generates else None)
    parts = mesh["data"] * mesh["fsdp"]
    data = dataclasses.replace(
        config.data,
        patches_per_row=config.data.patches_per_row
        or PATCHES_PER_TOKEN * config.data.tokens_per_row,
        rows_per_batch=config.data.rows_per_batch or rows_per_device * parts,
    )
    passes = 1
    if generates or isinstance(config, rl_config.RLStageConfig):
        data = dataclasses.replace(data, rows_per_batch=rows_per_device * parts)
    else:
        share = rows_per_device * parts
        errors.require(
            data.rows_per_batch % share == 0,
            "data.rows_per_batch",
            data.rows_per_batch,
            f"a multiple of {share}: {rows_per_device} rows on each of {parts} parts of the mesh",
        )
        passes = data.rows_per_batch // share
    if generates and isinstance(config, rl_config.RLStageConfig):
        data = dataclasses.replace(data, tokens_per_row=config.rl.max_prompt_tokens)
    data.check_context(mesh["context"])
    config = dataclasses.replace(config, data=data, accumulation_steps=passes)
    return Plan(config, size, topology, mesh, sequences_per_row)


def size_of(model: stage_config.ModelConfig) -> sizes.ModelSize:
    """The sizes of a stage without its weights: by the hub's name, or `model.size`.

    Args:
      model: Of the stage.

    Raises:
      UserError: If neither says it.
    """
    by_folder = {stage_config.hub_folder(name): name for name in sizes.PUBLISHED}
    name = model.size or by_folder.get(model.init_from, "")
    if not name:
        raise errors.UserError(
            f"no weights are read here, and model.init_from {model.init_from!r} is no size by "
            f"name; give --config.model.size, one of {', '.join(sizes.SIZES)}"
        )
    return sizes.get(name)


def mesh_sizes(
    config: stage_config.MeshConfig,
    topology: topologies.Topology,
    generated: sizes.ModelSize | None = None,
) -> dict[str, int]:
    """Devices along each mesh axis.

    Args:
      config: A preset or sizes; where it says neither, the topology's preset, else at most 64
        parts of a batch, and the rest `tensor` 2 and `context`.
      topology: The devices.
      generated: The model that generates, whose weights are split over `tensor` alone.

    Raises:
      UserError: If the preset is another topology's, or the sizes do not fit the devices.
    """
    if config.preset:
        preset = topologies.PRESETS[config.preset]
        wanted = (topology.chip.name, topology.shape, topology.slices)
        found = (preset.topology.chip.name, preset.topology.shape, preset.topology.slices)
        errors.require(
            wanted == found, "mesh.preset", config.preset, f"one of topology {topology.name}"
        )
    asked = config.sizes()
    if config == stage_config.MeshConfig():
        asked = _for_generation(topology, generated) if generated else _for_training(topology)
    shape = sharding.mesh_shape(asked, topology.devices)
    return dict(zip(sharding.MESH_AXES, shape, strict=True))


def _for_training(topology: topologies.Topology) -> dict[str, int]:
    machine = (topology.chip, topology.shape, topology.slices)
    for preset in topologies.PRESETS.values():
        other = preset.topology
        if (other.chip, other.shape, other.slices) == machine:
            return dict(preset.mesh)
    beyond = -(-topology.devices // MAX_PARTS)
    tensor = 2 if beyond > 1 else 1
    context = -(-beyond // tensor)
    return {"data": topology.slices, "fsdp": -1, "tensor": tensor, "context": context}


def _for_generation(topology: topologies.Topology, size: sizes.ModelSize) -> dict[str, int]:
    """`tensor` as small as leaves half of the memory to the cache."""
    parts = traffic.stacks(size, (), with_vision=True)
    weights = traffic.BYTES * sum(one.weights for one in parts)
    tensor = 1
    while (
        weights / tensor > topology.chip.hbm_bytes / 2
        and size.text.num_kv_heads % (2 * tensor) == 0
        and topology.devices % (2 * tensor) == 0
    ):
        tensor *= 2
    return {"data": topology.slices, "fsdp": -1, "tensor": tensor}


class Passes(NamedTuple):
    """Work of one optimizer step.

    Attributes:
      number: Passes of `rows` rows.
      rows: Of a pass.
      sequences: Of the whole step.
      work: Useful, of one pass.
    """

    number: int
    rows: int
    sequences: int
    work: flops.Work


def passes_of(plan: Plan) -> Passes:
    """How many passes a step has, and what they hold if rows are full.

    Stages 1 to 3: `sequences_per_row` sequences of one length, each with one image of its share of
    the patches, half of the text trained. Stage 4: a prompt of 1,024 tokens with half of them
    visual, and completions of one length in the rest of its row; a group takes as many rows as
    its samples need.

    Args:
      plan: The stage.
    """
    config, data, each = plan.config, plan.config.data, plan.sequences_per_row
    if isinstance(config, rl_config.RLStageConfig):
        rows_of_group = -(-config.rl.rollouts_per_prompt // each)
        sequences = config.rl.prompts_per_update * config.rl.rollouts_per_prompt
        count = -(-config.rl.prompts_per_update * rows_of_group // data.rows_per_batch)
        return Passes(count, data.rows_per_batch, sequences, _forked(data, each))
    rows = data.rows_per_batch
    # Its passes are inside the program.
    return Passes(1, rows, rows * each, _packed(plan, each))


def prompts_of(plan: Plan) -> Passes:
    """What a prefill holds: a whole prompt in every row, its last token asked for.

    Args:
      plan: A stage that generates.
    """
    rows = plan.config.data.rows_per_batch
    return Passes(1, rows, rows, _packed(plan, 1)._replace(targets=rows))


def _packed(plan: Plan, each: int) -> flops.Work:
    data, rows = plan.config.data, plan.config.data.rows_per_batch
    tokens, patches = rows * data.tokens_per_row, rows * data.patches_per_row
    cell = plan.size.vision.geometry.cell_patches
    return flops.Work(
        tokens=tokens,
        token_pairs=tokens * data.tokens_per_row / each,
        patches=patches,
        frame_pairs=patches * data.patches_per_row / each,
        window_pairs=patches * _WINDOW,
        targets=max(0.0, tokens - patches / cell) / 2,
    )


def _forked(data: stage_config.DataConfig, branches: int) -> flops.Work:
    prompt = min(PROMPT_TOKENS, data.tokens_per_row // 2)
    answers = data.tokens_per_row - prompt
    patches = min(PATCHES_PER_TOKEN * prompt, data.patches_per_row)
    rows = data.rows_per_batch
    return flops.Work(
        tokens=rows * data.tokens_per_row,
        token_pairs=rows * (prompt**2 + answers**2 / branches),
        patches=rows * patches,
        frame_pairs=rows * patches**2,
        window_pairs=rows * patches * _WINDOW,
        targets=rows * answers,
    )
