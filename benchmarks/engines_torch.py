# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""transformers' side of `engines.py`: the folder's own processor, then `generate` on one batch.

    PYTHONPATH=. TORCH_PYTHON -m benchmarks.engines_torch --work=DIR

SDPA, greedy, prompts padded on the left. Needs torch and transformers, nothing of this package.
"""

import argparse
import json
import resource
from typing import Any

import torch
import transformers

from benchmarks import engines_vllm, train_step_sides


class Engine:
    """Model, processor and requests."""

    def __init__(self, work: train_step_sides.Work, flags: argparse.Namespace) -> None:
        """Loads the folder.

        Args:
          work: What is asked.
          flags: Not used.
        """
        torch.set_num_threads(work.settings["threads"])
        self.paths = json.loads((work.folder / "requests.json").read_text())
        self.processor = transformers.AutoProcessor.from_pretrained(work.folder)
        self.processor.tokenizer.padding_side = "left"
        kind = transformers.Qwen2_5_VLForConditionalGeneration
        self.model = kind.from_pretrained(
            work.folder, dtype=torch.float32, attn_implementation="sdpa"
        ).eval()
        self.model.generation_config = transformers.GenerationConfig(
            do_sample=False,
            max_new_tokens=work.settings["new_tokens"],
            eos_token_id=None,
            pad_token_id=0,
        )
        self.tokens: list[list[int]] = []

    def step(self, index: int) -> float:
        """Answers all requests; the new tokens there are."""
        del index
        inputs = self.processor.apply_chat_template(
            [engines_vllm.with_pictures(messages, "image") for messages in self.paths],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            padding=True,
        )
        with torch.inference_mode():
            out = self.model.generate(**inputs)
        self.tokens = out[:, inputs["input_ids"].shape[1] :].tolist()
        self.processor.batch_decode(self.tokens)
        return float(sum(map(len, self.tokens)))

    def memory_bytes(self) -> float:
        """Peak of the process."""
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)

    def describe(self) -> dict[str, Any]:
        """Versions and all new tokens."""
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        return {"tokens": self.tokens, "versions": versions}


if __name__ == "__main__":
    train_step_sides.serve(Engine)
