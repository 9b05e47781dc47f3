# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Layers of the 7B and 32B widths in bfloat16, ours and transformers', beside float32.

bfloat16 keeps eight significant bits: a rounded value is off by 2^-8 at most, by about 2^-9 in
the root mean square. A block rounds about ten times in a row (norm, scale, projection, rotation,
probabilities, attended values, projection, residual; then the MLP), each time independently of
the times before. Behind the merger lie two blocks and five roundings, behind the logits one block
and five more: sqrt(25) 2^-9 = 1.0 % and sqrt(40) 2^-9 = 1.2 % of the values are expected whatever
the order of the sums. The limit is 2^-5, 3.1 %, and ours may be off by no more than one and a
half times as much as transformers', because both round at the same places.
"""

import dataclasses
import gc
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.data import packing
from lingshu_jax.models import hf, layers, qwen2_5_vl
from tests.make_golden import tiny_models
from tests.models import goldens
from tests.oracle import checkpoints, sides
from tests.oracle import figures as figures_lib

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

LIMIT, NO_WORSE = 2**-5, 1.5
# What transformers draws: at these widths 0.1 would leave the softmax nothing to weigh.
WEIGHT_STD = 0.02
BUDGET = packing.Budget(tokens=128, patches=512)

WIDE_7B = tiny_models.TinyModel(
    name="7b",
    seed=7,
    weight_std=WEIGHT_STD,
    tie=False,
    num_text_tokens=200,
    vocab_size=224,
    hidden_size=3584,
    num_hidden_layers=1,
    num_attention_heads=28,
    num_key_value_heads=4,
    intermediate_size=18944,
    rope_theta=1e6,
    mrope_section=(16, 24, 24),
    rms_norm_eps=1e-6,
    vision_hidden_size=1280,
    vision_depth=2,  # one windowed, one full
    vision_heads=16,
    vision_intermediate_size=3420,
    fullatt_block_indexes=(1,),
)
WIDE_32B = dataclasses.replace(
    WIDE_7B,
    name="32b",
    hidden_size=5120,
    num_attention_heads=40,
    num_key_value_heads=8,
    intermediate_size=27648,
    vision_intermediate_size=3456,
)


MODELS = {model.name: model for model in (WIDE_7B, WIDE_32B)}


def run_theirs(
    module: types.ModuleType,
    model: tiny_models.TinyModel,
    case: tiny_models.Case,
    folder: pathlib.Path,
) -> tuple[sides.Output, sides.Output]:
    """In bfloat16, then the same weights in float32; the folder keeps them in bfloat16."""
    torch, outputs = module.torch, []
    torch.manual_seed(model.seed)
    config = module.Qwen2_5_VLConfig(**model.hub_config())
    config._attn_implementation = "eager"
    oracle = module.Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    with torch.no_grad():
        for parameter in oracle.parameters():
            if parameter.ndim == 1:  # zeros and ones so far
                parameter.add_(torch.randn_like(parameter), alpha=WEIGHT_STD)
        oracle.eval().save_pretrained(folder)
        for dtype in (torch.bfloat16, torch.float32):
            seen, output = module.capture(oracle.to(dtype), module.model_inputs(case, dtype))
            seen = {"vision/merged": seen["vision/merged"].float()}
            vision = module.natural_order(seen, case)["vision/merged"]
            outputs.append(sides.Output(output.logits[0].float().numpy(), vision))
    return outputs[0], outputs[1]


class Ours:
    """Weights and activations in bfloat16."""

    def __init__(self, folder: pathlib.Path, case: tiny_models.Case):
        size = hf.read_config(folder)
        bfloat16 = jnp.dtype(jnp.bfloat16)
        self.model = qwen2_5_vl.Qwen2_5_VL(size=size, dtype=bfloat16, param_dtype=bfloat16)
        self.params = jax.device_put(hf.load_params(folder, size))
        golden = goldens.Golden(size, self.params, {}, {})
        self.row = sides.to_encoded("row", case, golden)
        self.batch = goldens.make_batch(golden, [[self.row]], BUDGET)

    def vision(self, params: layers.Params) -> jax.Array:
        return goldens.encode(params, self.batch.images, model=self.model)

    def split(self, outputs: dict[str, jax.Array]) -> dict[str, np.ndarray]:
        found = goldens.split(outputs, [self.row])["row"]
        return {name: value.astype(np.float32) for name, value in found.items()}

    def forward(self) -> sides.Output:
        visual = self.vision(self.params)
        outputs = goldens.decode(self.params, self.batch, visual, model=self.model)
        found = self.split({"vision/merged": visual, "logits": outputs["logits"]})
        return sides.Output(found["logits"], found["vision/merged"])

    def vision_of_coarse_weights(self) -> np.ndarray:
        """The twin: a tower whose weights have lost five more bits."""
        coarse = jax.tree.map(
            lambda leaf: leaf.astype(jnp.float8_e5m2).astype(leaf.dtype), self.params["vision"]
        )
        visual = self.vision({**self.params, "vision": coarse})
        return self.split({"vision/merged": visual})["vision/merged"]


def error(found: np.ndarray, exact: np.ndarray) -> float:
    """Root mean square, relative to that of the exact values."""
    difference = np.square(found.astype(np.float64) - exact).mean()
    return float(np.sqrt(difference / np.square(exact.astype(np.float64)).mean()))


def test_one_layer_in_bfloat16(
    wide_model: str,
    oracle_side: types.ModuleType,
    tmp_path: pathlib.Path,
    figures: figures_lib.Figures,
) -> None:
    model = MODELS[wide_model]
    rng = np.random.default_rng(model.seed)
    images = [checkpoints.picture(rng, 6, 9), checkpoints.picture(rng, 3, 2)]
    case = tiny_models.make_case(model, rng, images, (5, 3, 20))
    theirs, exact = run_theirs(oracle_side, model, case, tmp_path)
    gc.collect()  # two gigabytes of transformers' weights, before ours are read
    side = Ours(tmp_path, case)
    ours = side.forward()
    for kind in sides.Output._fields:
        errors = [error(getattr(found, kind), getattr(exact, kind)) for found in (ours, theirs)]
        names = (f"bfloat16 {model.name} {kind}, rms", f"bfloat16 {model.name} {kind}, rms, theirs")
        figures.see(dict(zip(names, errors, strict=True)))
        assert errors[0] < LIMIT, kind
        assert errors[0] < NO_WORSE * errors[1], f"{kind}: {errors}"
    broken = error(side.vision_of_coarse_weights(), exact.vision)
    assert broken > NO_WORSE * error(theirs.vision, exact.vision)
