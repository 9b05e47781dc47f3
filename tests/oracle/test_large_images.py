# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Images of 1,204 x 308 pixels and upright, beside transformers: many windows, large angles.

Sides of 86 patches: rotary angles held in bfloat16 would be off by a tenth of a radian here.
"""

import pathlib
import types

import numpy as np
import pytest

from lingshu_jax.data import packing
from tests.make_golden import tiny_models
from tests.models import goldens
from tests.oracle import checkpoints, sides
from tests.oracle import figures as figures_lib

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

SHORT, LONG = 11, 43  # cells
# 33 windows lie in an image; those at its edges share slots.
BUDGET = packing.Budget(tokens=512, patches=36 * 64)


def large_cases(model: tiny_models.TinyModel) -> dict[str, tiny_models.Case]:
    rng = np.random.default_rng(model.seed)
    wide, tall = ((SHORT, LONG), (LONG, SHORT))
    cases = {
        name: tiny_models.make_case(model, rng, [checkpoints.picture(rng, *shape)], (4, 9))
        for name, shape in (("wide", wide), ("tall", tall))
    }
    changed = checkpoints.other_pixels(cases["wide"])["patch_over_edge"]
    return cases | {"wide_patch_over_edge": changed}


def test_large_images(
    large_seed: int,
    oracle_side: types.ModuleType,
    tmp_path: pathlib.Path,
    figures: figures_lib.Figures,
) -> None:
    model = checkpoints.random_model(large_seed)
    oracle, cases = checkpoints.build(oracle_side, model), large_cases(model)
    golden = checkpoints.to_golden(oracle, tmp_path)
    rows = [sides.to_encoded(name, case, golden) for name, case in cases.items()]
    ours = sides.Ours(golden, rows, BUDGET).forward()
    theirs = sides.Theirs(oracle_side, model, oracle)
    outputs = theirs.forward(cases, theirs.padded(cases, "left"))
    for name, output in outputs.items():
        sides.assert_close(figures, ours[name], output, f"{model.name} {name}")
    moved = goldens.gap(ours["wide"].logits[-9:], outputs["wide_patch_over_edge"].logits[-9:])
    assert moved > sides.MATTERS, f"one patch of {SHORT * LONG * 4} moves the logits by {moved:.2g}"
