# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The other side of `decode.py`: transformers' `generate`, greedy, with SDPA and its own cache.

    PYTHONPATH=. python -m benchmarks.decode_torch --work=DIR

Step 0 ends after the first new token, step 1 after all; no token ends an answer before. Needs
torch, transformers and numpy, nothing of this package.
"""

import argparse
import json
import resource
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks import train_step_sides, train_step_torch


class Generator:
    """Model and prompts of one row of the table."""

    def __init__(self, work: train_step_sides.Work, flags: argparse.Namespace) -> None:
        """Makes or reads the weights.

        Args:
          work: What is computed.
          flags: Not used.
        """
        self.settings = work.settings
        self.device = torch.device("cuda" if self.settings["device"] == "gpu" else "cpu")
        if self.settings["threads"]:
            torch.set_num_threads(self.settings["threads"])
        self.model = self._model(work)
        self.inputs = self._inputs(work)
        self.tokens: list[list[int]] = []

    def _model(self, work: train_step_sides.Work) -> Any:
        kind = transformers.Qwen2_5_VLForConditionalGeneration
        options = {
            "dtype": getattr(torch, self.settings["dtype"]),
            "attn_implementation": "sdpa",
        }
        if work.has_weights:
            return kind.from_pretrained(work.folder, **options).to(self.device).eval()
        values = json.loads((work.folder / train_step_sides.CONFIG).read_text())
        with self.device:
            return kind._from_config(transformers.Qwen2_5_VLConfig(**values), **options).eval()

    def _inputs(self, work: train_step_sides.Work) -> dict[str, torch.Tensor]:
        with np.load(work.folder / train_step_sides.STEPS.format(0)) as stored:
            ids, patches, grids = (stored[name] for name in ("prompt_ids", "pictures", "grids"))
        mean, std = (
            np.repeat(np.array(values, np.float32), patches.shape[1] // 3)
            for values in (train_step_torch.PIXEL_MEAN, train_step_torch.PIXEL_STD)
        )
        is_picture = ids == self.model.config.image_token_id
        dtype = getattr(torch, self.settings["dtype"])
        inputs = {
            "input_ids": torch.from_numpy(ids.astype(np.int64)),
            "attention_mask": torch.ones(ids.shape, dtype=torch.int64),
            "mm_token_type_ids": torch.from_numpy(is_picture.astype(np.int32)),
            "pixel_values": torch.from_numpy((patches.astype(np.float32) / 255 - mean) / std),
            "image_grid_thw": torch.from_numpy(grids),
        }
        inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
        return {name: x.to(self.device) for name, x in inputs.items()}

    def step(self, index: int) -> float:
        """Prefill with one new token, or with all of them; the tokens wait on the host."""
        count = self.settings["new_tokens"] if index else 1
        self.model.generation_config = transformers.GenerationConfig(
            do_sample=False, max_new_tokens=count, eos_token_id=None, pad_token_id=0
        )
        with torch.inference_mode():
            out = self.model.generate(**self.inputs)
        self.tokens = out[:, self.inputs["input_ids"].shape[1] :].cpu().tolist()
        return float(sum(map(len, self.tokens)))

    def memory_bytes(self) -> float:
        """Peak of the device, on a CPU of the process."""
        if self.device.type == "cuda":
            return float(torch.cuda.max_memory_reserved())
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)

    def describe(self) -> dict[str, Any]:
        """Versions, the device and all new tokens."""
        is_gpu = self.device.type == "cuda"
        return {
            "tokens": self.tokens,
            "device": torch.cuda.get_device_name() if is_gpu else "cpu",
            "versions": {
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            },
        }


if __name__ == "__main__":
    train_step_sides.serve(Generator)
