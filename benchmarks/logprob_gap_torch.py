# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""transformers' side of `logprob_gap.py`: `generate`, with the raw logits of every token.

    PYTHONPATH=. TORCH_PYTHON -m benchmarks.logprob_gap_torch --work=DIR

One conversation at a time, SDPA. Needs torch and transformers, nothing of this package.
"""

import pathlib
from typing import Any

import torch
import transformers

from benchmarks import engines_vllm, logprob_gap_sides


class Engine:
    """A folder's model and processor."""

    def __init__(self, folder: pathlib.Path, dtype: str) -> None:
        """Loads it.

        Args:
          folder: A Hugging Face folder.
          dtype: To compute in.
        """
        self.processor = transformers.AutoProcessor.from_pretrained(folder)
        kind = transformers.Qwen2_5_VLForConditionalGeneration
        self.model = kind.from_pretrained(
            folder, dtype=getattr(torch, dtype), attn_implementation="sdpa"
        ).eval()
        self.ends = self.model.generation_config.eos_token_id

    def answer(self, row: dict[str, Any], *, samples: int) -> list[dict[str, Any]]:
        """Answers to one row.

        Args:
          row: Of `requests.json`.
          samples: Answers at temperature 1; 0 is one greedy answer.
        """
        inputs = self.processor.apply_chat_template(
            engines_vllm.with_pictures(row["messages"], "image"),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        config = self.model.config
        # As the other engines: media tokens are not drawn, and nothing else is changed.
        sampling = {
            "do_sample": True,
            "temperature": 1.0,
            "top_k": 0,
            "top_p": 1.0,
            "num_return_sequences": samples,
            "suppress_tokens": [config.image_token_id, config.video_token_id],
        }
        self.model.generation_config = transformers.GenerationConfig(
            **(sampling if samples else {"do_sample": False}),
            max_new_tokens=row["max_new_tokens"],
            eos_token_id=self.ends,
            pad_token_id=self.ends[0],
            return_dict_in_generate=True,
            output_logits=True,
        )
        with torch.inference_mode():
            out = self.model.generate(**inputs)
        logprobs = torch.stack(out.logits, dim=1).float().log_softmax(dim=-1)
        tokens = out.sequences[:, inputs["input_ids"].shape[1] :]
        chosen = logprobs.gather(2, tokens[..., None])[..., 0]
        return [self._cut(*one) for one in zip(tokens.tolist(), chosen.tolist(), strict=True)]

    def _cut(self, tokens: list[int], logprobs: list[float]) -> dict[str, Any]:
        """Without the padding behind the end."""
        ends = [place for place, token in enumerate(tokens) if token in self.ends]
        length = ends[0] + 1 if ends else len(tokens)
        return {"tokens": tokens[:length], "logprobs": logprobs[:length]}


def answer(folder: pathlib.Path, dtype: str, rows: list[Any], samples: int) -> dict[str, Any]:
    """As `logprob_gap_sides.serve` asks."""
    engine = Engine(folder, dtype)
    torch.manual_seed(0)
    return {
        "sampled": [engine.answer(row, samples=samples) for row in rows],
        "greedy": [engine.answer(row, samples=0) for row in rows],
    }


if __name__ == "__main__":
    logprob_gap_sides.serve("transformers", answer)
