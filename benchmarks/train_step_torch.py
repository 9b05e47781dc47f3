# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""torch's side of `train_step.py`: transformers' model, torch's clipping and fused AdamW.

    PYTHONPATH=. python -m benchmarks.train_step_torch --work=DIR --attention=bucketed

`bucketed`: examples sorted by length, as many together as the padded batch may have tokens, SDPA;
the padding stands on the right, so that no mask is needed beside the causal one and SDPA takes its
fastest kernel. `packed`: our rows with flex attention inside documents (a dense mask with SDPA as
`packed_sdpa`, which the check takes on a CPU). Both accumulate gradients over micro-batches and
divide by the targets of the step. Needs torch, transformers and numpy, nothing of this package.
"""

import argparse
import contextlib
import json
import resource
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import transformers
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl

from benchmarks import train_step_sides

IGNORED = -100  # as a label
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
ATTENTION = {"bucketed": "sdpa", "packed": "flex_attention", "packed_sdpa": "sdpa"}

Inputs = dict[str, torch.Tensor]


class Trainer:
    """Model, optimizer and micro-batches of one row of the table."""

    def __init__(self, work: train_step_sides.Work, flags: argparse.Namespace) -> None:
        """Makes weights and micro-batches.

        Args:
          work: What is computed.
          flags: `attention`, one of `ATTENTION`.
        """
        settings = self.settings = work.settings
        self.form = flags.attention
        self.device = torch.device("cuda" if settings["device"] == "gpu" else "cpu")
        if settings["threads"]:
            torch.set_num_threads(settings["threads"])
        torch.backends.cuda.matmul.allow_tf32 = True
        self.model = self._model(work)
        self.optimizer = torch.optim.AdamW(self._groups(), fused=True)
        rows = split_rows if self.form.startswith("packed") else bucket_rows
        pad = self.model.config.get_text_config().pad_token_id
        self.micro_batches = [
            list(rows(arrays, settings["tokens_per_row"], pad)) for arrays in work.steps()
        ]

    def _model(self, work: train_step_sides.Work) -> Any:
        settings = work.settings
        implementation = {"text_config": ATTENTION[self.form], "vision_config": "sdpa"}
        values = json.loads((work.folder / train_step_sides.CONFIG).read_text())
        config = transformers.Qwen2_5_VLConfig(**values)
        kind = transformers.Qwen2_5_VLForConditionalGeneration
        # transformers has the code of flex attention for this model, but does not declare it.
        modeling_qwen2_5_vl.Qwen2_5_VLPreTrainedModel._supports_flex_attn = True
        dtype = getattr(torch, settings["param_dtype"])
        if work.has_weights:
            model = kind.from_pretrained(
                work.folder, dtype=dtype, attn_implementation=implementation
            ).to(self.device)
        else:
            with self.device:
                model = kind._from_config(config, dtype=dtype, attn_implementation=implementation)
        frozen = getattr(torch, settings["frozen_dtype"])
        for name, parameter in model.named_parameters():
            if settings["rates"][part_of(name)] is None:
                parameter.requires_grad_(False)
                parameter.data = parameter.data.to(frozen)
        model.config.use_cache = False
        if settings["remat"] == "full":
            model.gradient_checkpointing_enable({"use_reentrant": False})
        return model.train()

    def _groups(self) -> list[dict[str, Any]]:
        """A group a part, matrices and vectors apart: the latter are not decayed."""
        groups: dict[tuple[str, bool], list[Any]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                groups.setdefault((part_of(name), parameter.ndim > 1), []).append(parameter)
        decay, rates = self.settings["weight_decay"], self.settings["rates"]
        return [
            {"params": leaves, "lr": rates[part], "weight_decay": decay if is_matrix else 0.0}
            for (part, is_matrix), leaves in groups.items()
        ]

    def step(self, index: int) -> float:
        """Forward and backward of every micro-batch, clipping, AdamW."""
        batches = self.micro_batches[index]
        targets = sum(int((inputs["labels"] != IGNORED).sum()) for inputs in batches)
        total = torch.zeros((), device=self.device)
        for inputs in batches:
            placed = {name: x.to(self.device, non_blocking=True) for name, x in inputs.items()}
            with self._autocast():
                loss = self.model(**placed, num_items_in_batch=targets, use_cache=False).loss
            loss.backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings["clip_norm"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(total)  # waits

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        compute = self.settings["compute_dtype"]
        if compute == self.settings["param_dtype"] == self.settings["frozen_dtype"]:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, getattr(torch, compute))

    def memory_bytes(self) -> float:
        """Peak of the device, on a CPU of the process."""
        if self.device.type == "cuda":
            return float(torch.cuda.max_memory_reserved())
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)

    def describe(self) -> dict[str, Any]:
        """Versions, the device, and how much of the micro-batches is padding."""
        batches = [inputs for step in self.micro_batches for inputs in step]
        places = sum(inputs["labels"].numel() for inputs in batches)
        is_gpu = self.device.type == "cuda"
        return {
            "device": torch.cuda.get_device_name() if is_gpu else "cpu",
            "micro_batches": len(batches) / len(self.micro_batches),
            "places": places,
            "versions": {
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            },
        }


def part_of(name: str) -> str:
    """vision, merger or text, by a parameter's name in transformers."""
    if "visual.merger." in name:
        return "merger"
    return "vision" if "visual." in name else "text"


def split_rows(arrays: dict[str, np.ndarray], most_tokens: int, pad: int) -> Iterator[Inputs]:
    """Each packed row as a micro-batch.

    transformers finds the documents in the first of four rows of positions, where each begins at 0.

    Args:
      arrays: A step of `train_step_sides.Work`.
      most_tokens: Of a row; it has as many.
      pad: Not used: the padding is there already, a document of its own.
    """
    for row in range(len(arrays["tokens"])):
        segments, positions = arrays["segment_ids"][row], arrays["positions"][row]
        starts = np.flatnonzero(np.diff(segments, prepend=-1))
        begun = np.repeat(starts, np.diff(np.append(starts, len(segments))))
        inside = np.arange(len(segments)) - begun
        yield {
            "input_ids": _row(arrays["tokens"][row]),
            "position_ids": torch.from_numpy(np.stack([inside, *positions])[:, None]).long(),
            "labels": _row(_labels(arrays["tokens"][row], arrays["loss_weights"][row])),
            **_pixels(arrays, [(row, int(segment)) for segment in segments[starts]]),
        }


def bucket_rows(arrays: dict[str, np.ndarray], most_tokens: int, pad: int) -> Iterator[Inputs]:
    """Examples of like length together, padded on the right.

    Args:
      arrays: A step of `train_step_sides.Work`.
      most_tokens: Of a micro-batch, padding included.
      pad: Id of the padding.
    """
    examples = []
    for row, segments in enumerate(arrays["segment_ids"]):
        for segment in range(1, int(segments.max()) + 1):
            examples.append((row, segment, np.flatnonzero(segments == segment)))
    examples.sort(key=lambda example: len(example[2]))
    bucket: list[tuple[int, int, np.ndarray]] = []
    for example in examples:
        if (len(bucket) + 1) * len(example[2]) > most_tokens:
            yield _padded(arrays, bucket, pad)
            bucket = []
        bucket.append(example)
    yield _padded(arrays, bucket, pad)


def _padded(
    arrays: dict[str, np.ndarray], bucket: list[tuple[int, int, np.ndarray]], pad: int
) -> Inputs:
    shape = len(bucket), max(len(places) for _, _, places in bucket)
    tokens, labels = np.full(shape, pad), np.full(shape, IGNORED)
    positions = np.zeros((3, *shape), np.int64)
    for number, (row, _, places) in enumerate(bucket):
        stop = len(places)
        tokens[number, :stop] = arrays["tokens"][row, places]
        weights = arrays["loss_weights"][row, places]
        labels[number, :stop] = _labels(tokens[number, :stop], weights)
        positions[:, number, :stop] = arrays["positions"][row][:, places]
    return {
        "input_ids": torch.from_numpy(tokens),
        "position_ids": torch.from_numpy(positions),
        "labels": torch.from_numpy(labels),
        **_pixels(arrays, [(row, segment) for row, segment, _ in bucket]),
    }


def _labels(tokens: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.where(weights > 0, tokens, IGNORED).astype(np.int64)


def _row(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.int64))[None]


def _pixels(arrays: dict[str, np.ndarray], owners: list[tuple[int, int]]) -> Inputs:
    """Normalised patches and grids of some examples, in their order; nothing without images."""
    found: dict[tuple[int, int], list[tuple[np.ndarray, list[int]]]] = {}
    starts = dict.fromkeys(range(len(arrays["patches"])), 0)
    for row, segment, height, width in arrays["grids"].tolist():
        stop = starts[row] + height * width
        image = arrays["patches"][row, starts[row] : stop], [1, height, width]
        found.setdefault((row, segment), []).append(image)
        starts[row] = stop
    chosen = [image for owner in owners for image in found.get(owner, [])]
    if not chosen:
        return {}
    patches = np.concatenate([patches for patches, _ in chosen])
    mean, std = (
        np.repeat(np.array(values, np.float32), patches.shape[1] // 3)
        for values in (PIXEL_MEAN, PIXEL_STD)
    )
    return {
        "pixel_values": torch.from_numpy((patches.astype(np.float32) / 255 - mean) / std),
        "image_grid_thw": torch.tensor([grid for _, grid in chosen]),
    }


if __name__ == "__main__":
    train_step_sides.serve(Trainer)
