# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Our model against arrays that transformers computed; every comparison with a twin that fails.

Tolerances are float32, relative to the largest value: 1e-5 for a layer, 1e-4 for a tower or the
whole model. A twin must miss its tolerance by a factor of ten or more.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from lingshu_jax.common import geometry, structs
from lingshu_jax.models import hf, hf_config, sizes
from tests.models import goldens, module_differences

TOWER, MARGIN = 1e-4, 10
EACH_MODEL = pytest.mark.parametrize("name", goldens.NAMES)
EACH_CASE = pytest.mark.parametrize("case", goldens.PACKED)


class Setup(NamedTuple):
    """What a forward pass is made of; a twin breaks one part."""

    size: sizes.ModelSize
    params: dict[str, Any]
    batch: structs.Batch


def packed_setup(golden: goldens.Golden) -> Setup:
    row = [goldens.encoded(golden, case) for case in goldens.PACKED]
    return Setup(golden.size, golden.params, goldens.make_batch(golden, [row]))


def run(golden: goldens.Golden, setup: Setup) -> dict[str, dict[str, np.ndarray]]:
    """Outputs of the packed row by case."""
    outputs = goldens.forward(setup.params, setup.batch, size=setup.size, like=golden.size)
    return goldens.split(outputs, [goldens.encoded(golden, case) for case in goldens.PACKED])


def test_goldens_were_made_by_the_scripts_beside_them() -> None:
    provenance = json.loads((goldens.FOLDER / "PROVENANCE.json").read_text())
    assert provenance["scripts_sha256"] == goldens.script_hashes(), "run `make goldens`"
    assert hf.WEIGHTS, "the table under test"


@EACH_MODEL
def test_config_layouts_give_the_same_sizes(name: str) -> None:
    arrays = goldens.load(name).arrays
    hub, v5 = (json.loads(str(arrays[f"config/{kind}"])) for kind in ("hub", "v5"))
    assert "rope_theta" in hub and "rope_theta" not in v5
    assert hf_config.parse(hub) == hf_config.parse(v5)


@EACH_MODEL
def test_weights_go_there_and_back(name: str) -> None:
    golden = goldens.load(name)
    back = dict(hf.hub_tensors(golden.params, golden.size))
    assert back.keys() == golden.hub.keys()
    for key, tensor in golden.hub.items():
        assert back[key].dtype == tensor.dtype and np.array_equal(back[key], tensor), key
    turned = with_leaves(packed_setup(golden), swap_kv_heads).params
    changed = {k for k, v in hf.hub_tensors(turned, golden.size) if (v != golden.hub[k]).any()}
    assert changed and all(re.search(r"self_attn\.[kv]_proj", key) for key in changed)


def assert_all_small(gaps: Iterable[module_differences.Gap]) -> None:
    for gap in gaps:
        allowed = module_differences.MODULES[gap.module][1]
        assert gap.value <= allowed, gap


def test_every_measured_module_is_documented(repo: pathlib.Path) -> None:
    table = (repo / "docs/parity.md").read_text()
    for module, (kind, allowed) in module_differences.MODULES.items():
        line = rf"(?m)^\| {re.escape(module)} \| \d+ \| \S+ {kind} \| {allowed:g} \|$"
        assert re.search(line, table), module


@EACH_MODEL
@EACH_CASE
def test_inputs(name: str, case: str) -> None:
    """Positions and patch order, exactly."""
    assert_all_small(module_differences.input_gaps(goldens.load(name), case))


@EACH_MODEL
@pytest.mark.parametrize("case", ["images", "video"])
def test_other_inputs_are_noticed(name: str, case: str) -> None:
    golden = goldens.load(name)
    changed = {
        f"{case}/media_starts": golden.arrays[f"{case}/media_starts"] - 1,
        f"{case}/frames_0": golden.arrays[f"{case}/frames_0"][:, :, ::-1],
    }
    broken = golden._replace(arrays={**golden.arrays, **changed})
    assert all(gap.value > 0 for gap in module_differences.input_gaps(broken, case))


@EACH_MODEL
def test_vision_layers(name: str) -> None:
    """Each part alone, fed with the oracle's input to it."""
    golden = goldens.load(name)
    gaps = list(module_differences.vision_gaps(golden, golden.params))
    assert len(gaps) == golden.size.vision.num_layers + 2
    assert_all_small(gaps)


@EACH_MODEL
def test_text_layers(name: str) -> None:
    """Each decoder block, the norm and the head alone, fed with the oracle's input to it."""
    golden = goldens.load(name)
    gaps = list(module_differences.text_gaps(golden, golden.params))
    assert len(gaps) == golden.size.text.num_layers + 2
    assert_all_small(gaps)


@EACH_MODEL
@pytest.mark.parametrize("part", ["vision_gaps", "text_gaps"])
def test_other_weights_are_noticed_in_every_layer(name: str, part: str) -> None:
    golden = goldens.load(name)
    larger = jax.tree.map(lambda leaf: 1.01 * leaf, golden.params)
    for gap in getattr(module_differences, part)(golden, larger):
        assert gap.value > MARGIN * module_differences.MODULES[gap.module][1], gap


def test_pixels_as_the_device_normalises_them() -> None:
    assert_all_small([module_differences.pixel_gap()])


def test_another_standard_deviation_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "PIXEL_STD", (0.2686, *geometry.PIXEL_STD[1:]))
    assert module_differences.pixel_gap().value > MARGIN * 1e-6


@EACH_MODEL
@EACH_CASE
def test_whole_model_in_a_packed_row(name: str, case: str) -> None:
    golden = goldens.load(name)
    ours = run(golden, packed_setup(golden))[case]
    for output in ("vision/merged", "text/embedded", "text/norm", "logits"):
        if f"{case}/{output}" in golden.arrays:
            assert goldens.gap(ours[output], golden.arrays[f"{case}/{output}"]) < TOWER, output


@EACH_MODEL
@EACH_CASE
def test_whole_model_in_a_row_of_its_own(name: str, case: str) -> None:
    golden = goldens.load(name)
    row = [goldens.encoded(golden, case)]
    batch = goldens.make_batch(golden, [row])
    outputs = goldens.forward(golden.params, batch, size=golden.size, like=golden.size)
    ours = goldens.split(outputs, row)[case]["logits"]
    assert goldens.gap(ours, golden.arrays[f"{case}/logits"]) < TOWER


def with_text(setup: Setup, **changes: Any) -> Setup:
    changed = dataclasses.replace(setup.size.text, **changes)
    return setup._replace(size=dataclasses.replace(setup.size, text=changed))


def with_vision(setup: Setup, **changes: Any) -> Setup:
    changed = dataclasses.replace(setup.size.vision, **changes)
    return setup._replace(size=dataclasses.replace(setup.size, vision=changed))


def with_images(setup: Setup, **changes: Any) -> Setup:
    changed = dataclasses.replace(setup.batch.images, **changes)
    return setup._replace(batch=dataclasses.replace(setup.batch, images=changed))


def with_batch(setup: Setup, **changes: Any) -> Setup:
    return setup._replace(batch=dataclasses.replace(setup.batch, **changes))


def with_leaves(setup: Setup, change: Callable[[str, np.ndarray], np.ndarray]) -> Setup:
    """Applies `change(path, leaf)` to every parameter."""

    def visit(path, leaf):
        return change("/".join(key.key for key in path), leaf)

    return setup._replace(params=jax.tree_util.tree_map_with_path(visit, setup.params))


def swap_kv_heads(path: str, leaf: np.ndarray) -> np.ndarray:
    if "text/layers/attention/k/" in path or "text/layers/attention/v/" in path:
        return leaf[..., ::-1, :]
    return leaf


def swap_vision_q_and_k(path: str, leaf: np.ndarray) -> np.ndarray:
    if not path.startswith("vision/blocks/attention/qkv"):
        return leaf
    return np.take(leaf, [1, 0, 2], axis=leaf.ndim - 3)


def shift_full_attention(setup: Setup) -> Setup:
    vision_size = setup.size.vision
    shifted = {(i + 1) % vision_size.num_layers for i in vision_size.full_attention_layers}
    return with_vision(setup, full_attention_layers=tuple(sorted(shifted)))


def swap_mlp_halves(setup: Setup) -> Setup:
    layers = setup.params["text"]["layers"]
    mlp = {**layers["mlp"], "gate": layers["mlp"]["up"], "up": layers["mlp"]["gate"]}
    text_params = {**setup.params["text"], "layers": {**layers, "mlp": mlp}}
    return setup._replace(params={**setup.params, "text": text_params})


def reverse_merged_order(setup: Setup) -> Setup:
    """The inverse of the window permutation, read from behind."""
    inverse = setup.batch.images.merged_inverse
    used = int((setup.batch.images.window_gather < inverse.shape[1] * 4).sum()) // 4
    reversed_order = np.concatenate([inverse[:, :used][:, ::-1], inverse[:, used:]], axis=1)
    return with_images(setup, merged_inverse=reversed_order)


def move_patch_over_window_edge(setup: Setup) -> Setup:
    """The first cell of the row's first two-window slot changes its window."""
    ids = np.array(setup.batch.images.window_ids)
    slot = int(np.argmax(ids[0].max(axis=1) > 1))
    ids[0, slot, :4] = ids[0, slot].max()
    return with_images(setup, window_ids=ids)


# name: (what is broken, the output that must notice).
TWINS: dict[str, tuple[Callable[[Setup], Setup], str]] = {
    "rope_theta_doubled": (
        lambda s: with_text(s, rope_theta=2 * s.size.text.rope_theta),
        "images/logits",
    ),
    "mrope_section_turned": (
        lambda s: with_text(
            s, mrope_section=s.size.text.mrope_section[1:] + s.size.text.mrope_section[:1]
        ),
        "images/logits",
    ),
    "text_eps_doubled": (
        lambda s: with_text(s, rms_norm_eps=2 * s.size.text.rms_norm_eps),
        "text/logits",
    ),
    "vision_eps_1e-4": (lambda s: with_vision(s, rms_norm_eps=1e-4), "images/vision/merged"),
    "full_attention_shifted": (shift_full_attention, "images/vision/merged"),
    "kv_heads_swapped": (lambda s: with_leaves(s, swap_kv_heads), "text/logits"),
    "vision_q_and_k_swapped": (
        lambda s: with_leaves(s, swap_vision_q_and_k),
        "images/vision/merged",
    ),
    "gate_and_up_swapped": (swap_mlp_halves, "text/logits"),
    "windows_of_a_slot_joined": (
        lambda s: with_images(s, window_ids=np.minimum(s.batch.images.window_ids, 1)),
        "images/vision/merged",
    ),
    "patch_over_window_edge": (move_patch_over_window_edge, "images/vision/merged"),
    "frames_joined": (
        lambda s: with_images(s, patch_frame_ids=np.minimum(s.batch.images.patch_frame_ids, 1)),
        "video/vision/merged",
    ),
    "window_order_reversed": (reverse_merged_order, "images/vision/merged"),
    "patch_rows_and_columns_swapped": (
        lambda s: with_images(s, patch_hw=s.batch.images.patch_hw[..., ::-1]),
        "images/vision/merged",
    ),
    "positions_swapped": (
        lambda s: with_batch(s, positions=s.batch.positions[:, [0, 2, 1]]),
        "images/logits",
    ),
    "segments_joined": (
        lambda s: with_batch(s, segment_ids=np.minimum(s.batch.segment_ids, 1)),
        "text/logits",
    ),
    "segments_shifted": (
        lambda s: with_batch(s, segment_ids=np.roll(s.batch.segment_ids, 1, axis=1)),
        "text/logits",
    ),
    "media_shifted": (
        lambda s: with_batch(s, media_index=np.roll(s.batch.media_index, 1, axis=1)),
        "images/logits",
    ),
}


@EACH_MODEL
@pytest.mark.parametrize("twin", TWINS)
def test_twin_fails(name: str, twin: str) -> None:
    golden = goldens.load(name)
    break_it, output = TWINS[twin]
    case, _, key = output.partition("/")
    ours = run(golden, break_it(packed_setup(golden)))[case][key]
    assert goldens.gap(ours, golden.arrays[output]) > MARGIN * TOWER
