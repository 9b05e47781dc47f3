# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The same rows through our model and through transformers', and how far apart they come out.

Axes: N tokens of a row, M its visual tokens, V vocabulary.
"""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from PIL import Image

from lingshu_jax.common import geometry
from lingshu_jax.data import images, messages, packing
from lingshu_jax.models import qwen2_5_vl, sampling
from tests.make_golden import tiny_models
from tests.models import goldens
from tests.oracle import figures as figures_lib

TOLERANCE = 1e-4  # vision features and logits by the largest value, log-probabilities absolute
MATTERS = 100 * TOLERANCE
NEW_TOKENS, NEAR_TIE = 64, 1e-3

Cases = Mapping[str, tiny_models.Case]


class Output(NamedTuple):
    """What one side makes of one row.

    Attributes:
      logits: [N, V] float32.
      vision: [M, D] visual tokens in natural order.
    """

    logits: np.ndarray
    vision: np.ndarray


class Greedy(NamedTuple):
    """A greedy continuation; log-probabilities of its tokens, and the lead over the second."""

    tokens: list[int]
    logprobs: np.ndarray
    leads: np.ndarray

    @property
    def until(self) -> int:
        """How many tokens stand before the first near-tie."""
        near = np.flatnonzero(self.leads < NEAR_TIE)
        return int(near[0]) if len(near) else len(self.tokens)


def assert_close(figures: figures_lib.Figures, ours: Output, theirs: Output, where: str) -> None:
    """Both sides agree in features, logits and every token's log-probability."""
    gaps = {
        "logits": goldens.gap(ours.logits, theirs.logits),
        "logprobs": float(np.abs(logprobs(ours.logits) - logprobs(theirs.logits)).max()),
    }
    if len(theirs.vision):
        gaps["vision"] = goldens.gap(ours.vision, theirs.vision)
    figures.see(gaps)
    for kind, gap in gaps.items():
        assert gap < TOLERANCE, f"{where}: {kind} differ by {gap:.2g}"


def assert_same_greedy(
    figures: figures_lib.Figures, ours: Greedy, theirs: Greedy, where: str
) -> None:
    """Equal tokens, and their log-probabilities, before the oracle's first near-tie."""
    until = theirs.until
    figures.count_greedy(until, len(theirs.tokens))
    assert ours.tokens[:until] == theirs.tokens[:until], where
    gap = float(np.abs(ours.logprobs - theirs.logprobs)[:until].max(initial=0))
    figures.see({"logprobs": gap})
    assert gap < TOLERANCE, f"{where}: log-probabilities of the answer differ by {gap:.2g}"


def logprobs(logits: np.ndarray) -> np.ndarray:
    """log p of every token of the vocabulary, in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def to_encoded(name: str, case: tiny_models.Case, golden: goldens.Golden) -> messages.Encoded:
    """A row as the data layer hands it over; positions by our own rule."""
    shape = golden.size.vision.geometry
    media = [
        images.Media(
            start=int(start),
            grid=geometry.Grid(*grid),
            image=Image.fromarray(frames[0]),
        )
        for start, grid, frames in zip(
            case.media_starts, case.grids.tolist(), case.frames, strict=True
        )
    ]
    return goldens.to_encoded(name, case.tokens, case.loss_weights, media=media, shape=shape)


def at_given_positions(
    name: str, case: tiny_models.Case, golden: goldens.Golden
) -> messages.Encoded:
    """A row whose positions are the case's."""
    encoded = to_encoded(name, case, golden)
    return dataclasses.replace(encoded, positions=case.positions.astype(np.int32))


class Ours:
    """Rows in one batch, each a row of its own; forward and greedy continuation."""

    def __init__(
        self, golden: goldens.Golden, rows: list[messages.Encoded], budget: packing.Budget
    ):
        self.golden, self.rows = golden, rows
        self.batch = goldens.make_batch(golden, [[row] for row in rows], budget)

    def forward(self) -> dict[str, Output]:
        size = self.golden.size
        outputs = goldens.forward(self.golden.params, self.batch, size=size, like=size)
        found = {}
        for i, row in enumerate(self.rows):
            out = goldens.split({k: v[i : i + 1] for k, v in outputs.items()}, [row])[row.id]
            found[row.id] = Output(out["logits"], out["vision/merged"])
        return found

    def greedy(self) -> dict[str, Greedy]:
        """The leads are transformers' matter: here they are empty."""
        count = len(self.rows)
        out = goldens.quick_generate(
            self.golden.params,
            self.batch,
            jnp.array([row.next_position for row in self.rows], jnp.int32),
            sampling.make(count, max_new_tokens=NEW_TOKENS),
            model=qwen2_5_vl.Qwen2_5_VL(size=self.golden.size),
            samples=1,
            capacity=NEW_TOKENS,
            stop_ids=(-1,),
        )
        tokens, chosen = np.asarray(out.tokens), np.asarray(out.logprobs)
        return {
            row.id: Greedy(tokens[i].tolist(), chosen[i], np.zeros(0))
            for i, row in enumerate(self.rows)
        }


class Theirs:
    """transformers' model over rows that it pads itself, at its own positions."""

    def __init__(self, module: types.ModuleType, model: tiny_models.TinyModel, oracle: Any):
        self.module, self.model, self.oracle = module, model, oracle

    def padded(self, cases: Cases, side: str) -> dict[str, Any]:
        """Inputs of one batch; `side` is where the shorter rows are filled."""
        longest = max(len(case.tokens) for case in cases.values())
        rows, masks = [], []
        for case in cases.values():
            room = longest - len(case.tokens)
            width = (room, 0) if side == "left" else (0, room)
            pad = self.model.special(tiny_models.PAD)
            rows.append(np.pad(case.tokens, width, constant_values=pad))
            masks.append(np.pad(np.ones_like(case.tokens), width))
        torch, tokens = self.module.torch, np.stack(rows)
        pixels = self.module.model_inputs(_joined(cases), torch.float32)
        is_image = tokens == self.model.special(tiny_models.IMAGE_PAD)
        return {
            "input_ids": torch.from_numpy(tokens),
            "attention_mask": torch.from_numpy(np.stack(masks)),
            "mm_token_type_ids": torch.from_numpy(is_image.astype(np.int32)),
            **{k: pixels[k] for k in ("pixel_values", "image_grid_thw")},
        }

    def positions(self, inputs: Mapping[str, Any]) -> list[np.ndarray]:
        """Its own positions of each row, without padding."""
        names = ("input_ids", "mm_token_type_ids", "image_grid_thw", "attention_mask")
        found, _ = self.oracle.model.get_rope_index(**{name: inputs[name] for name in names})
        kept = inputs["attention_mask"].numpy() > 0
        return [found[:, i].numpy()[:, kept[i]] for i in range(len(kept))]

    def forward(self, cases: Cases, inputs: Mapping[str, Any]) -> dict[str, Output]:
        """Features and logits of each row, without padding."""
        with self.module.torch.no_grad():
            logits = self.oracle(**inputs).logits.numpy()
            merged = np.zeros((0, 0))
            if "pixel_values" in inputs:
                media = inputs["pixel_values"], inputs["image_grid_thw"]
                merged = self.oracle.model.visual(*media).pooler_output.numpy()
        kept, found, start = inputs["attention_mask"].numpy() > 0, {}, 0
        for i, (name, case) in enumerate(cases.items()):
            stop = start + int(case.grids.prod(axis=1).sum()) // tiny_models.MERGE**2
            found[name] = Output(logits[i][kept[i]], merged[start:stop])
            start = stop
        return found

    def forward_at(self, cases: Cases) -> dict[str, Output]:
        """Each row by itself, at the positions of its case."""
        torch, found = self.module.torch, {}
        for name, case in cases.items():
            inputs = self.module.model_inputs(case, torch.float32)
            found |= self.forward({name: case}, inputs)
        return found

    def greedy(self, cases: Cases) -> dict[str, Greedy]:
        """generate() over the left-padded batch."""
        out = self.oracle.generate(
            **self.padded(cases, "left"),
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            eos_token_id=None,
            pad_token_id=self.model.special(tiny_models.PAD),
            return_dict_in_generate=True,
            output_logits=True,
        )
        logits = np.stack([step.numpy() for step in out.logits], axis=1)
        tokens = out.sequences[:, -NEW_TOKENS:].numpy()
        return {name: to_greedy(tokens[i], logits[i]) for i, name in enumerate(cases)}


def to_greedy(tokens: np.ndarray, logits: np.ndarray) -> Greedy:
    """A continuation with the logits [N, V] that each of its tokens was chosen from."""
    best = np.sort(logits, axis=-1)
    chosen = np.take_along_axis(logprobs(logits), tokens[:, None], axis=-1)[:, 0]
    return Greedy(tokens.tolist(), chosen, best[:, -1] - best[:, -2])


def _joined(cases: Cases) -> tiny_models.Case:
    """One case with the images of all."""
    several = list(cases.values())
    frames = tuple(frame for case in several for frame in case.frames)
    return dataclasses.replace(several[0], frames=frames)
