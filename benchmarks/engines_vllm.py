# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""vLLM's side of `engines.py`, on the CPU: `LLM.chat` in one process.

    PYTHONPATH=. VLLM_PYTHON -m benchmarks.engines_vllm --work=DIR --attention=eager

`--attention` is the form: `eager`, or `compiled` by torch's Inductor. What vLLM keeps from one call
to the next is off: prompts and images that it has seen would cost nothing the second time. Needs
vLLM, nothing of this package.
"""

import argparse
import json
import os
import resource
from typing import Any

from PIL import Image

from benchmarks import train_step_sides

CACHE_BYTES = 2**30  # of keys and values: more than all requests need together
MAX_TOKENS = 1024  # of a prompt and its answer


class Engine:
    """The engine and its requests."""

    def __init__(self, work: train_step_sides.Work, flags: argparse.Namespace) -> None:
        """Loads the folder.

        Args:
          work: What is asked.
          flags: `attention`, the form.
        """
        # In this process, whose time is measured; all of its threads wherever they may run.
        os.environ |= {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_NO_USAGE_STATS": "1",
            "OMP_NUM_THREADS": str(work.settings["threads"]),
        }
        import torch
        import vllm

        torch.set_num_threads(work.settings["threads"])
        self.versions = {"vllm": vllm.__version__, "torch": torch.__version__}
        self.paths = json.loads((work.folder / "requests.json").read_text())
        self.sampling = vllm.SamplingParams(
            temperature=0.0, max_tokens=work.settings["new_tokens"], ignore_eos=True
        )
        self.llm = vllm.LLM(
            str(work.folder),
            dtype="float32",
            max_model_len=MAX_TOKENS,
            max_num_seqs=work.settings["requests"],
            enforce_eager=flags.attention == "eager",
            kv_cache_memory_bytes=CACHE_BYTES,
            limit_mm_per_prompt={"image": 1, "video": 0},
            enable_prefix_caching=False,
            mm_processor_cache_gb=0,
        )
        self.tokens: list[list[int]] = []

    def step(self, index: int) -> float:
        """Answers all requests; the new tokens there are."""
        del index
        chats = [with_pictures(messages, "image_pil") for messages in self.paths]
        outputs = self.llm.chat(chats, self.sampling, use_tqdm=False)
        self.tokens = [list(output.outputs[0].token_ids) for output in outputs]
        return float(sum(map(len, self.tokens)))

    def memory_bytes(self) -> float:
        """Peak of the process."""
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)

    def describe(self) -> dict[str, Any]:
        """Versions and all new tokens."""
        return {"tokens": self.tokens, "versions": self.versions}


def with_pictures(messages: list[Any], kind: str) -> list[Any]:
    """The messages with pictures in the place of paths, in parts of the given type.

    Args:
      messages: In our form.
      kind: Of the parts.
    """

    def load(part: dict[str, Any]) -> dict[str, Any]:
        if part["type"] != "image":
            return part
        return {"type": kind, kind: Image.open(part["image"]).convert("RGB")}

    return [{**turn, "content": [load(part) for part in turn["content"]]} for turn in messages]


if __name__ == "__main__":
    train_step_sides.serve(Engine)
