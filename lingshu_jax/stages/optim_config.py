# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What is trained, and how: the optimizer's and the adapters' part of a stage's config."""

import dataclasses
import re
from typing import Any, NamedTuple

from lingshu_jax.common import errors

SCHEDULES = ("constant", "linear", "cosine", "wsd")
OPTIONS = ("weight_decay", "schedule", "warmup_steps", "final_fraction")

# (regex over the whole path, peak learning rate or None where frozen[, options of this entry])
Entry = tuple[str, float | None] | tuple[str, float | None, dict[str, Any]]


class Rule(NamedTuple):
    """An entry of `trainable` with nothing left open.

    Attributes:
      pattern: Regex over the whole parameter path.
      peak: Peak learning rate; None where frozen.
      weight_decay: Of its kernels, embeddings and adapters.
      schedule: One of `SCHEDULES`.
      warmup_steps: Linear from 0 to the peak.
      final_fraction: One step after the last update the rate would be this share of the peak.
    """

    pattern: str
    peak: float | None
    weight_decay: float
    schedule: str
    warmup_steps: int
    final_fraction: float


@dataclasses.dataclass(kw_only=True)
class OptimConfig:
    """AdamW with a peak learning rate, a weight decay and a schedule a group of parameters.

    Attributes:
      trainable: Ordered (regex over the whole path, peak learning rate) or (regex, peak,
        options); first match wins; a peak of None is frozen: no optimizer state, no weight
        gradient. Options are a dict with any of `weight_decay`, `schedule`, `warmup_steps` and
        `final_fraction`, which hold for this entry instead of the fields of that name.
      schedule: After the warm-up: "constant" stays at the peak; "linear" and "cosine" fall to
        the end from there; "wsd" stays and falls linearly over the last tenth of the run.
      warmup_steps: Linear from 0 to the peak.
      final_fraction: The share of the peak that the schedule falls to; the last update stands one
        step before it. Not read where constant.
      weight_decay: Decoupled, on trained kernels, embeddings and adapters; not on biases and
        norms.
      clip_norm: Gradients are scaled to at most this global norm.
      b1: Decay of the first moment.
      b2: Decay of the second moment.
      eps: Added to the root of the second moment.
      z_loss: Weight of mean (log Z)^2 beside the cross entropy; 0 costs nothing.
    """

    trainable: tuple[Entry, ...]
    schedule: str = "cosine"
    warmup_steps: int
    final_fraction: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    z_loss: float = 0.0

    def rules(self, entries: tuple[Entry, ...]) -> tuple[Rule, ...]:
        """Entries with nothing left open.

        Args:
          entries: As in `trainable`.
        """
        defaults = {name: getattr(self, name) for name in OPTIONS}
        return tuple(
            Rule(pattern, peak, **{**defaults, **(options[0] if options else {})})
            for pattern, peak, *options in entries
        )

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        require = errors.require
        require(bool(self.trainable), "optim.trainable", self.trainable, "at least one entry")
        for name in ("clip_norm", "eps"):
            require(getattr(self, name) > 0, f"optim.{name}", getattr(self, name), "> 0")
        for name in ("b1", "b2"):
            value = getattr(self, name)
            require(0 <= value < 1, f"optim.{name}", value, "in [0, 1)")
        require(self.z_loss >= 0, "optim.z_loss", self.z_loss, ">= 0")
        _check_options({name: getattr(self, name) for name in OPTIONS}, "optim.")
        for entry in self.trainable:
            _check_entry(entry)


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
      options: Of A and B, those that an entry of `optim.trainable` may have, as pairs of name
        and value, which a flag can set: `(("schedule", "constant"), ("weight_decay", 0.0))`.
      train_base: Trains `optim.trainable` beside them.
    """

    modules: str = ""
    rank: int = 16
    alpha: float = 32.0
    learning_rate: float = 1e-4
    options: tuple[tuple[str, Any], ...] = ()
    train_base: bool = False

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        modules = self.modules
        errors.require(_is_regex(modules), "lora.modules", modules, "a regular expression")
        errors.require(self.rank >= 1, "lora.rank", self.rank, ">= 1")
        for name in ("alpha", "learning_rate"):
            errors.require(getattr(self, name) > 0, f"lora.{name}", getattr(self, name), "> 0")
        is_pairs = all(isinstance(pair, tuple) and len(pair) == 2 for pair in self.options)
        errors.require(is_pairs, "lora.options", self.options, "of pairs (name, value)")
        _check_options(dict(self.options), "lora.options.")


def _check_entry(entry: Any) -> None:
    errors.require(
        isinstance(entry, tuple | list) and len(entry) in (2, 3),
        "optim.trainable",
        entry,
        "of (regex, peak) or (regex, peak, options)",
    )
    pattern, peak, *options = entry
    name = f"optim.trainable[{pattern!r}]"
    errors.require(_is_regex(pattern), "optim.trainable", pattern, "a regular expression")
    errors.require(peak is None or peak > 0, name, peak, "> 0 or None")
    for chosen in options:
        errors.require(isinstance(chosen, dict), f"{name} options", chosen, f"a dict of {OPTIONS}")
        _check_options(chosen, f"{name}.")


def _check_options(options: dict[str, Any], prefix: str) -> None:
    for name, value in options.items():
        errors.require(
            name in OPTIONS, f"{prefix}{name}", value, f"absent: the known are {OPTIONS}"
        )
        if name == "schedule":
            errors.require_word(prefix + name, value, SCHEDULES)
        elif name == "final_fraction":
            errors.require(0 <= value <= 1, prefix + name, value, "in [0, 1]")
        else:
            errors.require(value >= 0, prefix + name, value, ">= 0")


def _is_regex(pattern: Any) -> bool:
    try:
        re.compile(pattern)
    except (re.error, TypeError):
        return False
    return True
