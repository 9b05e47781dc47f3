# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a stage would do, said without doing it: `--dry_run` of train and recipe.

Parameters are shapes, programs are not compiled, weights are neither read nor fetched. The data
are read whole, since what is dropped and how many steps there are follows from all of them; what
that writes lies in a folder that is gone in the end.
"""

import dataclasses
import itertools
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lingshu_jax import dry_run_memory, inspect_page
from lingshu_jax.aot import plans
from lingshu_jax.common import errors, hub, sharding
from lingshu_jax.data import (
    batch_plans,
    manifests,
    messages,
    packing,
    pipeline,
    sources,
    store,
    tokenizer_files,
)
from lingshu_jax.models import axes, sizes
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import stream, tasks
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import initial, inputs, loop, optim, run_folder
from lingshu_jax.stages import state as train_state

TRAINED = (
    "\N{MATHEMATICAL LEFT WHITE SQUARE BRACKET}",
    "\N{MATHEMATICAL RIGHT WHITE SQUARE BRACKET}",
)
_COLUMNS = (
    *("pattern", "parameters", "peak rate", "decay", "schedule", "warm-up", "final share"),
    "state",
)
_HEAD, _TAIL = 1600, 500  # characters of a shown row
_REASONS = 5
# Of the widest kernels, one that is split along every axis that splits parameters.
_EXAMPLE = "text/layers/mlp/up/kernel"


class Start(NamedTuple):
    """Where a stage would begin.

    Attributes:
      initial: Sizes and tokenizer; the folder may hold no weights.
      note: What is not as in the run; empty where all is.
    """

    initial: initial.Initial
    note: str = ""


def print_stage(config: stage_config.StageConfig, workdir: pathlib.Path | None) -> None:
    """Prints what a stage would do.

    Args:
      config: Validated.
      workdir: The run's folder, which is asked whether it holds another run; None asks none.

    Raises:
      UserError: If the config or an input cannot be used, as the run would say it.
    """
    if workdir is not None and run_folder.open_run(config, workdir) is not None:
        print(f"{workdir} holds this run, and it is finished: the command would do nothing\n")
    with tempfile.TemporaryDirectory(prefix="dry_run-") as folder:
        for line in describe(config, pathlib.Path(folder)):
            print(line, flush=True)


def describe(
    config: stage_config.StageConfig, folder: pathlib.Path, *, start: Start | None = None
) -> Iterator[str]:
    """What a stage would do, line by line.

    Args:
      config: Validated.
      folder: Stands for the run's; demo rows, tokenizer and encoded rows are made there.
      start: Where it begins; default as `model.init_from` says.

    Raises:
      UserError: If an input cannot be used.
    """
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, cache=""))
    machine = dry_run_memory.find_machine(config.mesh)
    found: list[Start] = [start] if start else []

    def find(config: stage_config.StageConfig, mixture: inputs.Mixture, _: Any) -> initial.Initial:
        if not found:
            found.append(find_start(config, mixture, folder))
        return found[0].initial

    yield f"dry run of stage {config.stage}: nothing is trained, nothing is kept"
    multiples = loop.find_multiples(config, machine.mesh)
    if isinstance(config, rl_config.RLStageConfig):
        reading = _read_prompts(config, folder, find)
    else:
        config, reading = _read_rows(config, folder, find, multiples=multiples)
    size = found[0].initial.size
    layout = train_state.lay_out(size, config)
    if found[0].note:
        yield f"note: {found[0].note}"
    yield from _section("parameters", _describe_parameters(config, layout))
    yield from _section("mesh", _describe_mesh(config, layout, machine))
    counted = dry_run_memory.estimate(config, size, layout, machine.mesh)
    yield from _section("memory of a device, estimated", _describe_memory(counted, machine))
    yield from _section("data", reading)


def find_start(
    config: stage_config.StageConfig, mixture: inputs.Mixture, folder: pathlib.Path
) -> Start:
    """Sizes and tokenizer of a stage's first weights, without them.

    Args:
      config: The stage.
      mixture: Its texts train the tokenizer of a random checkpoint.
      folder: Where a tokenizer may be made.

    Raises:
      UserError: If there is no such folder, or what it would be of is not known.
    """
    name, assets = config.model.init_from, folder / inputs.BASE
    if name == stage_config.RANDOM:
        texts = inputs.corpus(config, mixture, folder)
        return random_start(config, assets, texts)
    here = hub.find(name, "--config.model.init_from")
    if here is not None:
        return Start(initial.find(here))
    by_hub = {stage_config.hub_folder(size) for size in sizes.PUBLISHED}
    if not config.model.size and name not in by_hub:
        raise errors.UserError(
            f"--config.model.init_from={name} is no folder on this machine, and a dry run fetches "
            "nothing; give its size with --config.model.size"
        )
    size = plans.size_of(config.model)
    tokenizer_files.write_tokenizer(assets, (), tokenizer_files.MIN_VOCAB)
    return Start(
        initial.Initial(size=size, assets=assets, folder=assets, is_checkpoint=False),
        f"{name} is not on this machine and is not fetched; its tokenizer is stood in for by one "
        "token a byte, so that there are several times the tokens, rows and steps of the run",
    )


def random_start(
    config: stage_config.StageConfig, assets: pathlib.Path, texts: Iterable[str]
) -> Start:
    """Sizes and tokenizer of a random checkpoint.

    Args:
      config: Has its size and the sizes of images.
      assets: Gets the tokenizer.
      texts: Train it.

    Raises:
      UserError: If there is no such size.
    """
    limits = {"min_pixels": config.data.min_pixels, "max_pixels": config.data.max_pixels}
    size = initial.write_random_assets(assets, config.model.size, texts, **limits)
    return Start(initial.Initial(size=size, assets=assets, folder=assets, is_checkpoint=False))


def _read_rows(
    config: stage_config.StageConfig,
    folder: pathlib.Path,
    find: tasks.FindInitial,
    *,
    multiples: batch_plans.Multiples,
) -> tuple[stage_config.StageConfig, list[str]]:
    """The complete config of stages 1 to 3 and what their data are."""
    mixture = inputs.read_mixture(config.data, folder, epochs=config.epochs)
    inputs.require_rows(config.data, mixture)
    start = find(config, mixture, folder)
    encoded = inputs.encode(config.data, mixture, start.assets, workdir=folder)
    data = inputs.complete(config.data, mixture, encoded, workdir=folder, multiples=multiples)
    config = dataclasses.replace(config, data=data)
    epoch = pipeline.Pipeline(
        encoded,
        layout=data.layout,
        amounts=mixture.amounts,
        epochs=config.epochs or 1,
        seed=data.seed,
    )
    dropped = [*mixture.dropped, *encoded.dropped]
    encoder = messages.Encoder(start.assets, min_pixels=data.min_pixels, max_pixels=data.max_pixels)
    lines = [
        *_describe_sources(dropped, mixture.manifest, rewritten=len(encoded.rewritten)),
        *_describe_packing(config, epoch, encoded),
        *_describe_length(config, epoch, encoded, mixture.amounts),
        *_describe_row(config, epoch, encoded, encoder),
    ]
    return config, lines


def _read_prompts(
    config: rl_config.RLStageConfig, folder: pathlib.Path, find: tasks.FindInitial
) -> list[str]:
    """What the data of stage 4 are."""
    task = tasks.read(config, folder, find_initial=find)
    rl, prompts = config.rl, task.prompts
    steps = rl.total_steps(steps=config.steps, epochs=config.epochs, num_prompts=len(prompts))
    batches = steps // rl.updates_per_rollout
    asked = batches * rl.prompts_per_rollout
    first = stream.Stream(prompts, seed=config.data.seed, position=0).take(1)[0]
    tokens = [prompt.encoded.num_tokens for prompt in prompts]
    return [
        *_describe_sources(task.dropped, task.manifest, task.held_out_manifest),
        "",
        f"{len(prompts):,} prompts, {len(task.held_out):,} held out; "
        f"{np.mean(tokens):,.0f} tokens each, {max(tokens):,} at most",
        "",
        f"{steps:,} updates in {batches:,} rollout batches of {rl.prompts_per_rollout:,} prompts x "
        f"{rl.rollouts_per_prompt} answers: {asked / len(prompts):.2f} epochs, "
        f"{asked * rl.rollouts_per_prompt:,} answers of at most {rl.max_new_tokens:,} tokens",
        "",
        f"first prompt, {first.id}; an answer is judged against {first.question.gold!r}",
        _show(first.encoded, task.encoder),
    ]


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield from ("", title)
    yield from (f"  {line}" if line else "" for text in lines for line in text.split("\n"))


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()


def _describe_parameters(
    config: stage_config.StageConfig, layout: train_state.Layout
) -> Iterator[str]:
    """The head of params.txt."""
    described = optim.describe(layout.shapes, layout.groups, config.step_settings)
    settings, _, groups = described.partition("# parameter:")[0].partition("# group: ")
    yield from _table([_COLUMNS, *(row.split("\t") for row in groups.splitlines()[1:])])
    yield ""
    yield from _table([row.split("\t") for row in settings.splitlines()[1:]])


def _describe_mesh(
    config: stage_config.StageConfig, layout: train_state.Layout, machine: dry_run_memory.Machine
) -> Iterator[str]:
    mesh = machine.mesh
    axes_text = ", ".join(f"{name} {size}" for name, size in mesh.shape.items())
    here = "" if machine.is_here else "; another machine than this one"
    yield f"{axes_text}: {mesh.size} device{'s' * (mesh.size > 1)} ({machine.device}{here})"
    leaf = optim.flatten(layout.shapes)[_EXAMPLE]
    place = optim.flatten(sharding.param_shardings(layout.shapes, axes.PARAM_AXES, mesh))[_EXAMPLE]
    yield "parameters are split over fsdp and tensor, rows of a batch over data and fsdp,"
    yield "tokens and patches of a row over context"
    yield f"{_EXAMPLE} {leaf.shape}: {place.shard_shape(leaf.shape)} on each device"
    parts = sharding.batch_parts(mesh)
    rows, passes = config.data.rows_per_batch, config.accumulation_steps
    yield f"{rows} rows a batch, {rows // passes} a pass, over {parts} parts of the mesh"
    if rows // passes % parts:
        yield (
            f"TOO MANY PASSES: the {rows // passes} rows of one do not divide over {parts} parts, "
            f"so that each holds them all; config.accumulation_steps={max(1, rows // parts)} would"
        )


def _describe_memory(counted: dict[str, int], machine: dry_run_memory.Machine) -> Iterator[str]:
    total = sum(counted.values())
    yield from _table([(name, _size(count)) for name, count in (*counted.items(), ("sum", total))])
    if not machine.memory:
        return
    has = f"a device has {_size(machine.memory)}"
    yield f"{has}; what a step computes in is not counted, python -m lingshu_jax.aot knows it"
    if total > machine.memory:
        yield (
            f"TOO MUCH: {has}. Less take: more devices along config.mesh.fsdp, "
            "config.model.frozen_dtype=bfloat16, config.lora.modules, a smaller size; of the batch "
            "config.accumulation_steps, config.data.rows_per_batch and tokens_per_row"
        )


def _size(count: float) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"


def _describe_sources(
    dropped: Sequence[sources.Dropped], *read: manifests.Manifest | None, rewritten: int = 0
) -> Iterator[str]:
    """Counts by source, of the mixture and of what is held out."""
    found = [manifest for manifest in read if manifest is not None]
    rows = [("source", "rows", "dropped", "read an epoch")]
    for entry in itertools.chain(*(manifest.sources for manifest in found)):
        count = sum(row.source == entry["name"] for row in dropped)
        rows.append((entry["name"], f"{entry['rows']:,}", f"{count:,}", f"{entry['examples']:,}"))
    yield from _table(rows)
    if absent := [name for manifest in found for name in manifest.absent]:
        yield f"absent: {', '.join(absent)}"
    if rewritten:
        yield f"{rewritten:,} rows are shortened to fit"
    yield from (f"dropped: {row.text}" for row in dropped[:_REASONS])
    if len(dropped) > _REASONS:
        yield f"and {len(dropped) - _REASONS:,} more"


def _describe_packing(
    config: stage_config.StageConfig, batches: pipeline.Pipeline, encoded: store.Store
) -> Iterator[str]:
    data, fill = config.data, batches.fill
    yield ""
    yield (
        f"packed into rows of {data.tokens_per_row:,} tokens and {data.patches_per_row:,} patches, "
        f"filled to {fill.tokens:.1%} and {fill.patches:.1%}"
    )
    lengths = encoded.lengths.tokens
    yield f"sequences of {lengths.mean():,.0f} tokens, {lengths.max():,} at most"


def _describe_length(
    config: stage_config.StageConfig,
    batches: pipeline.Pipeline,
    encoded: store.Store,
    amounts: pipeline.Amounts,
) -> Iterator[str]:
    """Steps, epochs and tokens, each from the others."""
    members = pipeline.first_epoch(encoded, amounts, config.data.seed)
    tokens, passes = int(encoded.lengths.tokens[members].sum()), config.epochs or 1
    each = (batches.num_batches or 0) / passes
    steps = config.steps or batches.num_batches or 0
    yield (
        f"{steps:,} steps of {config.data.rows_per_batch:,} rows: {steps / each:.2f} epochs of "
        f"{len(members):,} sequences and {tokens:,} tokens, {int(steps / each * tokens):,} in all"
    )
    saves = -(-steps // config.save_every_steps)
    yield f"checkpoints written: {saves:,}, of which the newest {config.keep_checkpoints} stay"


def _describe_row(
    config: stage_config.StageConfig,
    batches: pipeline.Pipeline,
    encoded: store.Store,
    encoder: messages.Encoder,
) -> Iterator[str]:
    members = [encoded[number] for number in batches.first_row()]
    arrays = packing.assemble(
        members,
        batches.layout.budget,
        geometry=encoded.geometry,
        pad_id=encoded.pad_id,
        normalization=batches.layout.normalization,
    )
    yield ""
    yield "first batch"
    shapes = [
        (name, str((config.data.rows_per_batch, *array.shape)), str(array.dtype))
        for name, array in arrays.items()
    ]
    yield from _table(shapes)
    trained = int((arrays["loss_weights"] > 0).sum())
    used = int((arrays["segment_ids"] > 0).sum())
    yield (
        f"its first row: {len(members)} sequences, {used:,} tokens, of which {trained:,} are "
        f"trained; the first of them, {members[0].id}, trained between {' and '.join(TRAINED)}"
    )
    yield _show(members[0], encoder)


def _show(encoded: messages.Encoded, encoder: messages.Encoder) -> str:
    """A row as text; what is trained stands between brackets."""
    text = ""
    for turn in inspect_page.turns(encoded, encoder):
        for run in turn.runs:
            words = "".join(
                f"<{piece.text}>" if piece.kind == "media" else piece.text for piece in run.pieces
            )
            text += words.join(TRAINED) if run.is_trained else words
    if len(text) > _HEAD + _TAIL:
        left = len(text) - _HEAD - _TAIL
        text = f"{text[:_HEAD]}\n[{left:,} characters left out]\n{text[-_TAIL:]}"
    return text.rstrip("\n")
