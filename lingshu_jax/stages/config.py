# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a training stage is: a value, not code.

Files in `configs/` return a `StageConfig`; flags override single fields
(`--config.optim.warmup_steps=50`); `validate()` runs after that.
"""

import dataclasses
import re
from typing import Any, cast

import jax

from lingshu_jax.common import errors, sharding, topologies
from lingshu_jax.data import batch_plans, mixtures, packing, too_long
from lingshu_jax.data import sources as data_sources
from lingshu_jax.models import attention_backends, layers, sizes
from lingshu_jax.stages import optim_config

STAGES = ("shallow_align", "deep_align", "instruct", "rl")
NORMALIZATIONS = ("token", "sequence")
DTYPES = ("float32", "bfloat16")
RANDOM = "random"
TINY = "tiny"
DEMO = "demo"


@dataclasses.dataclass(kw_only=True)
class ModelConfig:
    """Which weights a stage starts from and how it computes.

    Attributes:
      init_from: A Hugging Face folder, a checkpoint folder or the workdir of an earlier
        stage; "random" makes a random checkpoint of `size` in the workdir.
      size: Of the random model, "tiny" or another name in `models/sizes.py`; read only where
        `init_from` is "random".
      param_dtype: Of the trained parameters and the optimizer's moments.
      frozen_dtype: What the stage does not train is read, held and saved in it; "" is
        `param_dtype`. Adapters are float32 in any case. "bfloat16" loses nothing where the first
        weights are bfloat16, as the published ones: they are saved bit by bit as they came. Of
        float32 weights, which an earlier stage trained, it keeps 8 of 24 significant bits.
      compute_dtype: Of activations and matrix products.
      remat: What the backward pass computes again to save memory: "none", "full", or between them
        "save_some", "save_attention", "save_products", "dots" and "offload" (docs/sharding.md).
      attention: Backend by name, or "auto": the platform's kernel once its check has passed.
    """

    init_from: str
    size: str = ""
    param_dtype: str = "float32"
    frozen_dtype: str = ""
    compute_dtype: str = "bfloat16"
    remat: str = "full"
    attention: str = "auto"

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        errors.require(
            bool(self.init_from), "model.init_from", self.init_from, "a folder or 'random'"
        )
        if self.init_from == RANDOM:
            sizes.get(self.size)
        for name in ("param_dtype", "compute_dtype"):
            errors.require_word(f"model.{name}", getattr(self, name), DTYPES)
        errors.require_word("model.frozen_dtype", self.frozen_dtype, ("", *DTYPES))
        errors.require_word("model.remat", self.remat, layers.REMAT_POLICIES)
        errors.require_word("model.attention", self.attention, attention_backends.NAMES)


@dataclasses.dataclass(kw_only=True)
class DataConfig:
    """What a stage reads and how rows are packed.

    Attributes:
      sources: The mixture.
      root: Folder that relative paths start from; "demo" makes the demo's rows from images
        inside installed libraries, in the workdir.
      without: Groups of sources that are left out, as ("synthetic",).
      fraction: Of the rows of every source that are read; a smaller one is part of a larger.
      tokens_per_row: Tokens of a packed row, T.
      patches_per_row: Image patches of a packed row, P, a multiple of 64; 0 computes it from the
        mixture.
      rows_per_batch: Packed rows of an optimizer step, B, over all devices and accumulation steps;
        0 computes it from the mixture, where the batch is counted in sequences.
      sequences_per_batch: A batch is so many sequences, in whichever rows; 0 counts it in rows.
      sequences_per_row: At most so many sequences share a row; 0 is as many as fit.
      too_long: What is done with a row that does not fit: "drop" it, "shrink_images" or
        "cut_turns", see `data/too_long.py`. Every one is counted and named.
      normalization: "token", the mean over trained tokens of the batch, or "sequence", the
        mean of per-sequence means.
      min_pixels: An image is enlarged to at least this area.
      max_pixels: An image is shrunk to at most this area.
      seed: Of the shuffles.
      verify_images: Decode every image once before training, so that a damaged one is
        dropped and counted instead of stopping the run.
      skip_absent: Leaves out a source whose file or folder is absent, named in the log and in
        data.json; otherwise an absent one is an error that names all of them.
      strict: The first refused row is an error; otherwise it is dropped, counted and named.
      cache: Folder of encoded rows, which other runs may share; "" is in the workdir.
    """

    sources: tuple[data_sources.Source, ...]
    root: str = ""
    without: tuple[str, ...] = ()
    fraction: float = 1.0
    tokens_per_row: int
    patches_per_row: int
    rows_per_batch: int
    sequences_per_batch: int = 0
    sequences_per_row: int = 0
    too_long: str = "drop"
    normalization: str
    min_pixels: int
    max_pixels: int
    seed: int = 42
    verify_images: bool = False
    skip_absent: bool = False
    strict: bool = False
    cache: str = ""

    @property
    def layout(self) -> batch_plans.Layout:
        """How sequences become batches; what is to be computed is 0."""
        return batch_plans.Layout(
            tokens_per_row=self.tokens_per_row,
            patches_per_row=self.patches_per_row,
            rows_per_batch=self.rows_per_batch,
            sequences_per_batch=self.sequences_per_batch,
            sequences_per_row=self.sequences_per_row,
            normalization=cast(packing.Normalization, self.normalization),
        )

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        errors.require(bool(self.sources), "data.sources", self.sources, "at least one source")
        names = [source.name for source in self.sources]
        errors.require(len(set(names)) == len(names), "data.sources", names, "of distinct names")
        for source in self.sources:
            source.validate()
        mixtures.without(self.sources, self.without)
        errors.require(0 < self.fraction <= 1, "data.fraction", self.fraction, "in (0, 1]")
        errors.require(self.tokens_per_row >= 2, "data.tokens_per_row", self.tokens_per_row, ">= 2")
        patches = self.patches_per_row
        errors.require(
            patches >= 0 and patches % 64 == 0,
            "data.patches_per_row",
            patches,
            "a multiple of 64, or 0 to have it computed",
        )
        for name in ("sequences_per_batch", "sequences_per_row"):
            errors.require(getattr(self, name) >= 0, f"data.{name}", getattr(self, name), ">= 0")
        fewest = 0 if self.sequences_per_batch else 1
        rows = self.rows_per_batch
        errors.require(
            rows >= fewest,
            "data.rows_per_batch",
            rows,
            f">= {fewest}" + " without sequences_per_batch" * fewest,
        )
        errors.require_word("data.too_long", self.too_long, too_long.POLICIES)
        errors.require_word("data.normalization", self.normalization, NORMALIZATIONS)
        errors.require(
            0 < self.min_pixels <= self.max_pixels,
            "data.min_pixels and max_pixels",
            (self.min_pixels, self.max_pixels),
            "positive and in order",
        )

    def check_context(self, size: int) -> None:
        """Raises UserError where tokens or patches of a row do not divide over mesh axis `context`.

        Args:
          size: Devices along it.
        """
        devices, slots = f"the {size} devices along mesh axis context", 64 * size
        tokens, patches = self.tokens_per_row, self.patches_per_row
        errors.require(
            tokens % size == 0, "data.tokens_per_row", tokens, f"a multiple of {devices}"
        )
        errors.require(
            patches % slots == 0,
            "data.patches_per_row",
            patches,
            f"a multiple of {slots}, whole window slots for {devices}",
        )


@dataclasses.dataclass(kw_only=True)
class MeshConfig:
    """Devices along each mesh axis; one may be -1, all that are left.

    Attributes:
      data: Replicas; several TPU slices stand along it.
      fsdp: Parameters split, gathered when used; rows split as over `data`.
      tensor: Heads, MLP and vocabulary split.
      context: Tokens and patches of a row split.
      preset: A machine of `common/topologies.py`, as "v5e-16", in place of the four; "" is none.
    """

    data: int = 1
    fsdp: int = -1
    tensor: int = 1
    context: int = 1
    preset: str = ""

    def sizes(self) -> dict[str, int]:
        """By axis name."""
        if self.preset:
            return dict(topologies.PRESETS[self.preset].mesh)
        return {name: getattr(self, name) for name in sharding.MESH_AXES}

    def make_mesh(self) -> jax.sharding.Mesh:
        """The mesh over all devices.

        Raises:
          UserError: If it does not fit them.
        """
        if self.preset:
            wanted, devices = topologies.PRESETS[self.preset].topology, jax.devices()
            slices = sharding.num_slices(devices)
            is_tpu = wanted.chip.platform == "tpu"
            errors.require(
                wanted.devices == len(devices) and slices == (wanted.slices if is_tpu else 1),
                "mesh.preset",
                self.preset,
                f"one for the {len(devices)} devices in {slices} slices that are here (it is for "
                f"{wanted.devices} in {wanted.slices})",
            )
        return sharding.make_mesh(self.sizes())

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        errors.require_word("mesh.preset", self.preset, ("", *topologies.PRESETS))
        for name in sharding.MESH_AXES:
            size, unset = getattr(self, name), getattr(type(self), name)
            errors.require(
                size >= 1 or size == -1, f"mesh.{name}", size, ">= 1, or -1 for the rest"
            )
            errors.require(
                not self.preset or size == unset,
                f"mesh.{name}",
                size,
                f"left at {unset} beside the preset {self.preset}",
            )


@dataclasses.dataclass(kw_only=True)
class GuardConfig:
    """When a step is not trusted, and what is done then.

    Attributes:
      spike_factor: A step whose loss exceeds so many times the median of the last good ones is
        skipped, as one of no finite loss or gradient always is; 0 switches this off. Stage 4
        does not read it: its loss may be near 0 or negative.
      spike_window: How many good losses the median is of.
      max_skipped: After so many skipped steps in a row, weights and optimizer of the last good
        checkpoint are taken again and the run goes on with the next data.
      max_rollbacks: After so many of those the run stops.
      hang_seconds: A host that takes longer over one phase ends and names who is behind; 0
        switches the watch off.
    """

    spike_factor: float = 3.0
    spike_window: int = 100
    max_skipped: int = 5
    max_rollbacks: int = 3
    hang_seconds: float = 1800.0

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        factor = self.spike_factor
        errors.require(factor == 0 or factor > 1, "guard.spike_factor", factor, "> 1, or 0 for off")
        for name in ("spike_window", "max_skipped"):
            errors.require(getattr(self, name) >= 1, f"guard.{name}", getattr(self, name), ">= 1")
        for name in ("max_rollbacks", "hang_seconds"):
            errors.require(getattr(self, name) >= 0, f"guard.{name}", getattr(self, name), ">= 0")


@dataclasses.dataclass(kw_only=True)
class ValidationConfig:
    """What a run of stages 1 to 3 is examined with while it trains; stage 4 has `rl.eval`.

    Attributes:
      sources: Rows whose loss is measured; none measures no loss.
      every_steps: Steps between two examinations, with one before the first step and one at
        the end; 0 makes none.
      rows: At most so many rows of all sources are read.
      benchmarks: Names of small benchmarks, separated by commas; "" asks none.
      data_dir: Folder of the benchmarks.
      samples: At most so many questions of each benchmark.
      max_new_tokens: Longer answers are cut.
      shown: So many answers are kept for the report.
    """

    sources: tuple[data_sources.Source, ...] = ()
    every_steps: int = 0
    rows: int = 256
    benchmarks: str = ""
    data_dir: str = ""
    samples: int = 64
    max_new_tokens: int = 32
    shown: int = 6

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        for source in self.sources:
            source.validate()
        for name in ("every_steps", "shown"):
            value = getattr(self, name)
            errors.require(value >= 0, f"validation.{name}", value, ">= 0")
        for name in ("rows", "samples", "max_new_tokens"):
            value = getattr(self, name)
            errors.require(value >= 1, f"validation.{name}", value, ">= 1")
        errors.require(
            not self.every_steps or bool(self.sources) or bool(self.benchmarks),
            "validation.every_steps",
            self.every_steps,
            "0 where validation.sources and validation.benchmarks are empty",
        )


@dataclasses.dataclass(kw_only=True)
class StageConfig:
    """One training stage.

    Attributes:
      stage: "shallow_align", "deep_align", "instruct" or "rl".
      model: Where the weights come from.
      data: What is read.
      optim: What is trained, and how.
      lora: Adapters that are trained instead, or as well.
      guard: When a step is skipped, a run rolled back, a host called hung.
      validation: What is measured on other rows while it trains.
      mesh: How devices are laid out.
      epochs: Passes over the mixture; 0 where `steps` says how long.
      steps: Optimizer steps; 0 where `epochs` says how long.
      accumulation_steps: Micro-batches of one optimizer step; divides rows_per_batch.
      save_every_steps: Steps between checkpoints; one more stands at the end.
      keep_checkpoints: How many of the newest stay.
      log_every_steps: Steps between metric rows.
      seed: Of everything random but the data order.
      profile_steps: "10:15" traces the steps 10 to 14 with `jax.profiler`; "" none.
      wandb: Project of Weights & Biases that metrics go to as well; "" sends nothing.
    """

    stage: str
    model: ModelConfig
    data: DataConfig
    optim: optim_config.OptimConfig
    lora: optim_config.LoraConfig = dataclasses.field(default_factory=optim_config.LoraConfig)
    guard: GuardConfig = dataclasses.field(default_factory=GuardConfig)
    validation: ValidationConfig = dataclasses.field(default_factory=ValidationConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    epochs: int = 0
    steps: int = 0
    accumulation_steps: int = 1
    save_every_steps: int
    keep_checkpoints: int = 2
    log_every_steps: int = 1
    seed: int = 42
    profile_steps: str = ""
    wandb: str = ""

    @property
    def rules(self) -> tuple[optim_config.Rule, ...]:
        """What is trained: `optim.trainable`, behind the adapters if there are."""
        lora, own = self.lora, self.optim.trainable
        if not lora.modules:
            return self.optim.rules(own)
        options, base = dict(lora.options), own if lora.train_base else ((".*", None),)
        adapters = ((".*/lora_scale", None), (".*/lora_[ab]", lora.learning_rate, options))
        return self.optim.rules((*adapters, *base))

    @property
    def step_settings(self) -> dict[str, Any]:
        """What holds for every step and every group of parameters, for `params.txt`."""
        optim, data, model = self.optim, self.data, self.model
        return {
            "optimizer": f"AdamW, b1 {optim.b1:g}, b2 {optim.b2:g}, eps {optim.eps:g}",
            "clip_norm": optim.clip_norm,
            "z_loss": optim.z_loss,
            "normalization": data.normalization,
            "rows_per_batch": data.rows_per_batch,
            "sequences_per_batch": data.sequences_per_batch or "as many as fit",
            "tokens_per_row": data.tokens_per_row,
            "accumulation_steps": self.accumulation_steps,
            "param_dtype": model.param_dtype,
            "frozen_dtype": model.frozen_dtype or model.param_dtype,
            "compute_dtype": model.compute_dtype,
        }

    def validate(self) -> None:
        """Raises UserError naming the first field that is out of range."""
        errors.require_word("stage", self.stage, STAGES)
        for part in (self.model, self.data, self.optim, self.lora, self.guard):
            part.validate()
        for part in (self.validation, self.mesh):
            part.validate()
        self.data.check_context(max(self.mesh.sizes().get("context", 1), 1))  # -1 is known later
        errors.require(
            (self.steps > 0) != (self.epochs > 0),
            "steps and epochs",
            (self.steps, self.epochs),
            "one of them positive, the other 0",
        )
        for name in ("save_every_steps", "keep_checkpoints", "log_every_steps"):
            errors.require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        if not self.epochs:
            counted = [source.name for source in self.data.sources if source.epochs]
            errors.require(
                not counted, "data.sources", counted, "without epochs where steps are counted"
            )
        accumulation, rows = self.accumulation_steps, self.data.rows_per_batch
        errors.require(
            accumulation >= 1 and rows % accumulation == 0,
            "accumulation_steps",
            accumulation,
            f"a divisor of data.rows_per_batch {rows}",
        )
        profiled = self.profile_steps
        errors.require(
            not profiled or _is_range(profiled), "profile_steps", profiled, "'FIRST:END', or ''"
        )


def _is_range(text: str) -> bool:
    match = re.fullmatch(r"(\d+):(\d+)", text)
    return bool(match) and int(match[1]) < int(match[2])


def hub_folder(size: str) -> str:
    """Where the user keeps the base weights of a size, by the hub's name.

    Args:
      size: One of 3b, 7b, 32b, 72b.

    Raises:
      UserError: If the size is unknown.
    """
    if size not in sizes.PUBLISHED:
        errors.require_word("<variant>", size, (TINY, *sizes.PUBLISHED))
    return f"Qwen/Qwen2.5-VL-{size.upper()}-Instruct"


def tiny_model() -> ModelConfig:
    """The random model of every `:tiny` variant: float32, nothing recomputed."""
    return ModelConfig(init_from=RANDOM, size=TINY, compute_dtype="float32", remat="none")


def to_dict(config: Any) -> dict[str, Any]:
    """The resolved config as JSON values, for `config.json` of a run.

    Args:
      config: A config dataclass.
    """
    return dataclasses.asdict(config)
