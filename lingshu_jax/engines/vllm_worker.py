# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The receiving side of live weights; runs inside vLLM's processes.

vLLM is told `EXTENSION` and so imports this module in each of its workers, which makes `BACKEND`
known to its own protocol of weight updates (start, updates, finish). `vllm_weights.py` sends.
With the load format `LATER` a model starts without a checkpoint.
No JAX here: a server's environment need not have it.

Source: vllm/distributed/weight_transfer/base.py, vllm/model_executor/model_loader/reload/.
"""

import dataclasses
import logging
from typing import Any

import torch
from torch import nn
from vllm.config import ModelConfig
from vllm.distributed import weight_transfer
from vllm.model_executor import model_loader
from vllm.model_executor.model_loader import base_loader, reload

from lingshu_jax.engines import vllm_names


@dataclasses.dataclass
class Start:
    """Nothing is agreed on beforehand."""


@dataclasses.dataclass
class Bucket:
    """Some whole tensors, one after the other in memory that the sender shares.

    Attributes:
      path: Names the memory; any process of the sender's user on this machine can map it.
      num_bytes: Its size.
      tensors: Of each its hub `name`, `dtype`, `shape` and `offset` in bytes.
    """

    path: str
    num_bytes: int
    tensors: list[dict[str, Any]]


class BucketReceiver(weight_transfer.WeightTransferEngine):
    """Loads buckets of tensors in the layout of checkpoints; complete or an error."""

    init_info_cls = Start
    update_info_cls = Bucket

    def init_transfer_engine(self, init_info: Start) -> None:
        """There is nothing to connect to."""

    def start_weight_update(self) -> None:
        """Puts every layer back into the state in which it takes a checkpoint's tensors."""
        # Before that: a tensor that two layers share has one name, as in a checkpoint.
        self._missing = {name for name, _ in self.model.named_parameters()}
        reload.initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: Bucket) -> None:
        """Loads one bucket.

        Args:
          update_info: Where it lies; the sender writes the next one there after this call.
        """
        memory = torch.from_file(
            update_info.path, shared=True, size=update_info.num_bytes, dtype=torch.uint8
        )
        self._missing -= self.model.load_weights(
            (tensor["name"], self._copy(memory, tensor)) for tensor in update_info.tensors
        )

    def finish_weight_update(self) -> None:
        """Makes the layers ready to compute.

        Raises:
          RuntimeError: If a parameter of the model did not come; lists them.
        """
        if self._missing:
            raise RuntimeError(f"weights that did not come: {sorted(self._missing)}")
        reload.finalize_layerwise_reload(self.model, self.model_config)
        self._prepare_shared_weights()

    def shutdown(self) -> None:
        """Holds nothing."""

    def _copy(self, memory: torch.Tensor, tensor: dict[str, Any]) -> torch.Tensor:
        """One tensor of a bucket; vLLM keeps it until its layer is complete."""
        dtype, shape = getattr(torch, tensor["dtype"]), torch.Size(tensor["shape"])
        start = tensor["offset"]
        values = memory[start : start + shape.numel() * dtype.itemsize]
        return values.view(dtype).view(shape).to(self.device, copy=True)

    def _prepare_shared_weights(self) -> None:
        """Again for layers whose weight is another's, as a tied head's.

        No tensor comes for them, so vLLM leaves what they computed from it as it was: on a CPU
        the packed copy that a head multiplies with.
        """
        seen: set[int] = set()
        for module in self.model.modules():
            weight = module._parameters.get("weight")
            if weight is not None and id(weight) in seen:
                module.quant_method.process_weights_after_loading(module)
            seen.add(id(weight))


@model_loader.register_model_loader(vllm_names.LATER)
class LaterLoader(base_loader.BaseModelLoader):
    """Reads nothing; vLLM's own "dummy" overwrites what a model computes for itself as well."""

    def download_model(self, model_config: ModelConfig) -> None:
        """There is nothing to fetch."""

    def load_weights(self, model: nn.Module, model_config: ModelConfig) -> None:
        """Zeros, so that trying the largest batch meets no wild numbers.

        Args:
          model: Made, its weights not set.
          model_config: Not read.
        """
        for parameter in model.parameters():
            parameter.data.zero_()


class Extension:
    """What vLLM adds to its workers: nothing but the import of this module."""


# It warns at every update of layers that have no weights; what is missing is an error here.
logging.getLogger("vllm.model_executor.model_loader.reload.layerwise").setLevel(logging.ERROR)
weight_transfer.WeightTransferEngineFactory.register_engine(vllm_names.BACKEND, BucketReceiver)
