# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a training stage is: a value, not code.

Files in `configs/` return a `StageConfig`; flags override single fields
(`--config.optim.warmup_steps=50`); `validate()` runs after that.
"""

import dataclasses
import re
from typing import Any, cast

from lingshu_jax.common import errors
from lingshu_jax.data import packing, sources
from lingshu_jax.models import layers, sizes

STAGES = ("shallow_align", "deep_align", "instruct", "rl")
NORMALIZATIONS = ("token", "sequence")
DTYPES = ("float32", "bfloat16")
RANDOM = "random"
TINY = "tiny"
DEMO = "demo"


def _require(condition: bool, field: str, value: Any, allowed: str) -> None:
    if not condition:
        raise errors.UserError(f"config.{field} must be {allowed}, got {value!r}")


def _is_regex(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


@dataclasses.dataclass(kw_only=True)
class ModelConfig:
    """Which weights a stage starts from and how it computes.

    Attributes:
      init_from: A Hugging Face folder, a checkpoint folder or the workdir of an earlier
        stage; "random" makes a random checkpoint of `size` in the workdir.
      size: Name in `models/sizes.py`; read only where `init_from` is "random".
      param_dtype: Of the trained parameters and the optimizer's moments.
      compute_dtype: Of activations and matrix products.
      remat: Rematerialisation policy of the blocks.
    """

    init_from: str
    size: str = ""
    param_dtype: str = "float32"
    compute_dtype: str = "bfloat16"
    remat: str = "full"

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        _require(bool(self.init_from), "model.init_from", self.init_from, "a folder or 'random'")
        if self.init_from == RANDOM:
            sizes.get(self.size)
        for name in ("param_dtype", "compute_dtype"):
            value = getattr(self, name)
            _require(value in DTYPES, f"model.{name}", value, f"one of {DTYPES}")
        known = tuple(layers.REMAT_POLICIES)
        _require(self.remat in known, "model.remat", self.remat, f"one of {known}")


@dataclasses.dataclass(kw_only=True)
class DataConfig:
    """What a stage reads and how rows are packed.

    Attributes:
      sources: The mixture.
      root: Folder that relative paths start from; "demo" makes the demo's rows from images
        inside installed libraries, in the workdir.
      tokens_per_row: T.
      patches_per_row: P, a multiple of 64.
      rows_per_batch: B, over all devices and accumulation steps.
      sequences_per_row: At most so many sequences share a row; 0 is as many as fit.
      normalization: "token", the mean over trained tokens of the batch, or "sequence", the
        mean of per-sequence means.
      min_pixels: An image is enlarged to at least this area.
      max_pixels: An image is shrunk to at most this area.
      seed: Of the shuffles.
      verify_images: Decode every image once before training, so that a damaged one is
        dropped and counted instead of stopping the run.
    """

    sources: tuple[sources.Source, ...]
    root: str = ""
    tokens_per_row: int
    patches_per_row: int
    rows_per_batch: int
    sequences_per_row: int = 0
    normalization: str
    min_pixels: int
    max_pixels: int
    seed: int = 42
    verify_images: bool = False

    @property
    def checked_normalization(self) -> packing.Normalization:
        """`normalization` after `validate`, by the type that packing wants."""
        return cast(packing.Normalization, self.normalization)

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        _require(bool(self.sources), "data.sources", self.sources, "at least one source")
        names = [source.name for source in self.sources]
        _require(len(set(names)) == len(names), "data.sources", names, "of distinct names")
        for source in self.sources:
            source.validate()
        _require(self.tokens_per_row >= 2, "data.tokens_per_row", self.tokens_per_row, ">= 2")
        patches = self.patches_per_row
        _require(
            patches > 0 and patches % 64 == 0, "data.patches_per_row", patches, "a multiple of 64"
        )
        _require(self.rows_per_batch >= 1, "data.rows_per_batch", self.rows_per_batch, ">= 1")
        per_row = self.sequences_per_row
        _require(per_row >= 0, "data.sequences_per_row", per_row, ">= 0")
        known = NORMALIZATIONS
        _require(
            self.normalization in known,
            "data.normalization",
            self.normalization,
            f"one of {known}",
        )
        _require(
            0 < self.min_pixels <= self.max_pixels,
            "data.min_pixels and max_pixels",
            (self.min_pixels, self.max_pixels),
            "positive and in order",
        )


@dataclasses.dataclass(kw_only=True)
class OptimConfig:
    """AdamW with one peak learning rate a group of parameters.

    Attributes:
      trainable: Ordered (regex over the whole path, peak learning rate); first match wins;
        None is frozen: no optimizer state, no weight gradient.
      warmup_steps: Linear from 0 to the peak.
      final_fraction: The cosine ends at this share of the peak.
      weight_decay: Decoupled, on trained kernels and embeddings; not on biases and norms.
      clip_norm: Gradients are scaled to at most this global norm.
      b1: Decay of the first moment.
      b2: Decay of the second moment.
      eps: Added to the root of the second moment.
    """

    trainable: tuple[tuple[str, float | None], ...]
    warmup_steps: int
    final_fraction: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        _require(bool(self.trainable), "optim.trainable", self.trainable, "at least one pair")
        _require(self.warmup_steps >= 0, "optim.warmup_steps", self.warmup_steps, ">= 0")
        _require(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, ">= 0")
        for name in ("clip_norm", "eps"):
            _require(getattr(self, name) > 0, f"optim.{name}", getattr(self, name), "> 0")
        for name in ("b1", "b2"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"optim.{name}", value, "in [0, 1)")
        fraction = self.final_fraction
        _require(0 <= fraction <= 1, "optim.final_fraction", fraction, "in [0, 1]")
        for pattern, rate in self.trainable:
            _require(_is_regex(pattern), "optim.trainable", pattern, "a regular expression")
            _require(rate is None or rate > 0, f"optim.trainable[{pattern!r}]", rate, "> 0 or None")


@dataclasses.dataclass(kw_only=True)
class MeshConfig:
    """Devices along each mesh axis; one may be -1, all that are left."""

    data: int = 1
    fsdp: int = -1
    tensor: int = 1

    def sizes(self) -> dict[str, int]:
        """By axis name."""
        return dataclasses.asdict(self)

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        for name, size in self.sizes().items():
            _require(size >= 1 or size == -1, f"mesh.{name}", size, ">= 1, or -1 for the rest")


@dataclasses.dataclass(kw_only=True)
class StageConfig:
    """One training stage.

    Attributes:
      stage: One of `STAGES`.
      model: Where the weights come from.
      data: What is read.
      optim: What is trained, and how.
      mesh: How devices are laid out.
      epochs: Passes over the mixture; 0 where `steps` says how long.
      steps: Optimizer steps; 0 where `epochs` says how long.
      accumulation_steps: Micro-batches of one optimizer step; divides rows_per_batch.
      save_every_steps: Steps between checkpoints; one more stands at the end.
      keep_checkpoints: How many of the newest stay.
      log_every_steps: Steps between metric rows.
      seed: Of everything random but the data order.
    """

    stage: str
    model: ModelConfig
    data: DataConfig
    optim: OptimConfig
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    epochs: int = 0
    steps: int = 0
    accumulation_steps: int = 1
    save_every_steps: int
    keep_checkpoints: int = 2
    log_every_steps: int = 1
    seed: int = 42

    def validate(self) -> None:
        """Raises UserError naming the first field that is out of range."""
        _require(self.stage in STAGES, "stage", self.stage, f"one of {STAGES}")
        for part in (self.model, self.data, self.optim, self.mesh):
            part.validate()
        _require(
            (self.steps > 0) != (self.epochs > 0),
            "steps and epochs",
            (self.steps, self.epochs),
            "one of them positive, the other 0",
        )
        for name in ("save_every_steps", "keep_checkpoints", "log_every_steps"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        accumulation, rows = self.accumulation_steps, self.data.rows_per_batch
        _require(
            accumulation >= 1 and rows % accumulation == 0,
            "accumulation_steps",
            accumulation,
            f"a divisor of data.rows_per_batch {rows}",
        )


def hub_folder(size: str) -> str:
    """Where the user keeps the base weights of a size, by the hub's name.

    Args:
      size: One of 3b, 7b, 32b, 72b.

    Raises:
      UserError: If the size is unknown.
    """
    known = tuple(name for name in sizes.SIZES if name != TINY)
    _require(size in known, "<variant>", size, f"one of {(TINY, *known)}")
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
