# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which engine stage 4 samples with."""

import dataclasses

from lingshu_jax.common import errors

JAX, VLLM = "jax", "vllm"
ENGINES = (JAX, VLLM)


@dataclasses.dataclass(kw_only=True)
class VllmConfig:
    """How vLLM works.

    The stage says the rest: `rl.generation_rows` answers at a time, `model.compute_dtype`, the
    longest prompt and answer, the sizes of images.

    Attributes:
      python: Interpreter of an environment that has vLLM, where a server is started, asked and
        ended; "" takes vLLM into this process.
      tensor: Devices that share the weights; 0 is vLLM's own number, one.
      gpu_memory_utilization: Share of a device's memory; 0 is vLLM's own, nearly all.
      kv_cache_bytes: Memory of the keys and values in the place of that share; 0 has vLLM decide.
      enforce_eager: Compiles nothing, to start sooner.
      can_sleep: Lets its memory go while the trainer works on the same device. Not on CPUs.
    """

    python: str = ""
    tensor: int = 0
    gpu_memory_utilization: float = 0.0
    kv_cache_bytes: int = 0
    enforce_eager: bool = False
    can_sleep: bool = False

    def validate(self, engine: str) -> None:
        """Raises UserError where a field is out of range.

        Args:
          engine: The one that is used.
        """
        for name in ("tensor", "kv_cache_bytes"):
            errors.require(getattr(self, name) >= 0, f"rl.vllm.{name}", getattr(self, name), ">= 0")
        share = self.gpu_memory_utilization
        errors.require(0 <= share <= 1, "rl.vllm.gpu_memory_utilization", share, "in [0, 1]")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            errors.require(
                engine == VLLM or value == field.default,
                f"rl.vllm.{field.name}",
                value,
                f"left at {field.default!r} beside rl.engine = {engine!r}",
            )
