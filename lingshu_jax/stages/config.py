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
from lingshu_jax.data import batch_plans, mixtures, packing, sources, too_long
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
      without: Groups of sources that are left out.
      fraction: Of the rows of every source that are read; a smaller one is part of a larger.
      tokens_per_row: T.
      patches_per_row: P, a multiple of 64; 0 computes it from the mixture.
      rows_per_batch: B, over all devices and accumulation steps; 0 computes it from the mixture,
        where the batch is counted in sequences.
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
      cache: Folder of encoded rows, which other runs may share; "" is in the workdir.
    """

    sources: tuple[sources.Source, ...]
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
        _require(bool(self.sources), "data.sources", self.sources, "at least one source")
        names = [source.name for source in self.sources]
        _require(len(set(names)) == len(names), "data.sources", names, "of distinct names")
        for source in self.sources:
            source.validate()
        mixtures.without(self.sources, self.without)
        _require(0 < self.fraction <= 1, "data.fraction", self.fraction, "in (0, 1]")
        _require(self.tokens_per_row >= 2, "data.tokens_per_row", self.tokens_per_row, ">= 2")
        patches = self.patches_per_row
        _require(
            patches >= 0 and patches % 64 == 0,
            "data.patches_per_row",
            patches,
            "a multiple of 64, or 0 to have it computed",
        )
        for name in ("sequences_per_batch", "sequences_per_row"):
            _require(getattr(self, name) >= 0, f"data.{name}", getattr(self, name), ">= 0")
        fewest = 0 if self.sequences_per_batch else 1
        rows = self.rows_per_batch
        _require(
            rows >= fewest,
            "data.rows_per_batch",
            rows,
            f">= {fewest}" + " without sequences_per_batch" * fewest,
        )
        policies = too_long.POLICIES
        _require(self.too_long in policies, "data.too_long", self.too_long, f"one of {policies}")
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
class LoraConfig:
    """Low-rank adapters beside the kernels of some modules; off unless `modules` names some.

    With adapters the stage trains them and nothing else, whatever `optim.trainable` says, unless
    `train_base` is set. They are merged into the weights wherever a later stage starts.

    Attributes:
      modules: Regex over whole module paths, as `text/layers/attention/(q|v)` or `.*`; all
        dense modules of the text, merger and vision blocks may have one.
      rank: Of the product A B.
      alpha: The product counts alpha / rank.
      learning_rate: Peak rate of A and B.
      train_base: Trains `optim.trainable` beside them.
    """

    modules: str = ""
    rank: int = 16
    alpha: float = 32.0
    learning_rate: float = 1e-4
    train_base: bool = False

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        _require(_is_regex(self.modules), "lora.modules", self.modules, "a regular expression")
        _require(self.rank >= 1, "lora.rank", self.rank, ">= 1")
        for name in ("alpha", "learning_rate"):
            _require(getattr(self, name) > 0, f"lora.{name}", getattr(self, name), "> 0")


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
      lora: Adapters that are trained instead, or as well.
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
    lora: LoraConfig = dataclasses.field(default_factory=LoraConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    epochs: int = 0
    steps: int = 0
    accumulation_steps: int = 1
    save_every_steps: int
    keep_checkpoints: int = 2
    log_every_steps: int = 1
    seed: int = 42

    @property
    def trainable(self) -> tuple[tuple[str, float | None], ...]:
        """The groups of the run: `optim.trainable`, behind those of the adapters if there are."""
        lora = self.lora
        if not lora.modules:
            return self.optim.trainable
        adapters = ((".*/lora_scale", None), (".*/lora_[ab]", lora.learning_rate))
        return (*adapters, *(self.optim.trainable if lora.train_base else ((".*", None),)))

    def validate(self) -> None:
        """Raises UserError naming the first field that is out of range."""
        _require(self.stage in STAGES, "stage", self.stage, f"one of {STAGES}")
        for part in (self.model, self.data, self.optim, self.lora, self.mesh):
            part.validate()
        _require(
            (self.steps > 0) != (self.epochs > 0),
            "steps and epochs",
            (self.steps, self.epochs),
            "one of them positive, the other 0",
        )
        for name in ("save_every_steps", "keep_checkpoints", "log_every_steps"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), ">= 1")
        if not self.epochs:
            counted = [source.name for source in self.data.sources if source.epochs]
            _require(not counted, "data.sources", counted, "without epochs where steps are counted")
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
