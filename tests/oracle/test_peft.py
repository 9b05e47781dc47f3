# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Adapters beside peft: its PeftModel on transformers' model, and ours with the same adapters.

float32; logits relative to the largest value.
"""

import importlib
import json
import pathlib
import types
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy

from lingshu_jax.models import hf, layers, lora, peft
from tests.models import goldens
from tests.oracle import checkpoints, sides

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

TOLERANCE, MARGIN = 1e-4, 100
RANK, ALPHA = 3, 7.0  # a scale that no power of two is
PARTS = {
    "all": ".*",
    "text": "text/layers/attention/(q|v)|text/layers/mlp/gate",
    "vision": "vision/.*",
    "merger": "merger/.*",
}


@pytest.fixture(scope="session")
def peft_side() -> types.ModuleType:
    """The library."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("peft")


class Base:
    """A random checkpoint on both sides, and one row of several images."""

    def __init__(self, oracle_side: types.ModuleType, seed: int, folder: pathlib.Path):
        self.side, self.model = oracle_side, checkpoints.random_model(seed)
        self.golden = checkpoints.to_golden(self.build(), folder)
        self.case = checkpoints.random_cases(self.model)["several"]
        self.row = [sides.to_encoded("several", self.case, self.golden)]
        self.batch = goldens.make_batch(self.golden, [self.row], checkpoints.BUDGET)

    def build(self) -> Any:
        """The oracle afresh: peft changes the model that it is given."""
        return checkpoints.build(self.side, self.model)

    def ours(self, params: layers.Params) -> np.ndarray:
        size = self.golden.size
        outputs = goldens.forward(params, self.batch, size=size, like=size)
        return goldens.split(outputs, self.row)["several"]["logits"]

    def theirs(self, model: Any) -> np.ndarray:
        inputs = self.side.model_inputs(self.case, self.side.torch.float32)
        with self.side.torch.no_grad():
            return model.eval()(**inputs).logits[0].numpy()

    def adapted(self, pattern: str, rank: int = RANK) -> layers.Params:
        """Adapters as large as to count beside weights of standard deviation 0.15."""
        rng = np.random.default_rng(self.model.seed)
        new = lora.init(
            self.golden.params, pattern, rank=rank, alpha=ALPHA, key=jax.random.key(rank)
        )

        def draw(path: Any, leaf: Any) -> np.ndarray:
            is_b = path[-1].key == "lora_b"
            return 0.1 * rng.standard_normal(leaf.shape) if is_b else np.asarray(leaf)

        new = jax.tree_util.tree_map_with_path(lambda p, x: draw(p, x).astype(np.float32), new)
        return lora.join(self.golden.params, new)


# Seeds of a tied and an untied checkpoint with several layers.
@pytest.fixture(scope="module", params=[1, 26], ids=["tied", "untied"])
def base(
    request: pytest.FixtureRequest,
    oracle_side: types.ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
) -> Base:
    return Base(oracle_side, request.param, tmp_path_factory.mktemp("base"))


def load(peft_side: types.ModuleType, base: Base, folder: pathlib.Path) -> Any:
    """PeftModel on a fresh base; nothing of the adapter is missing or left over."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = peft_side.PeftModel.from_pretrained(base.build(), folder)
    bad = [str(w.message) for w in caught if "adapter keys" in str(w.message)]
    assert not bad, bad
    return model


def adapted_modules(model: Any) -> set[str]:
    names = {name for name, module in model.named_modules() if hasattr(module, "lora_A")}
    return {name.removeprefix("base_model.model.") for name in names}


def expected_modules(params: layers.Params) -> set[str]:
    """By the weight table: names in memory of the modules that have an adapter of ours."""
    rows = {row.path: row.hf.removesuffix(".weight") for row in hf.WEIGHTS}
    names = set()
    for module, adapter in lora.find(params).items():
        hub = rows[f"{module}/kernel"]
        count = adapter.scale.shape[0] if adapter.scale.shape else 1
        names |= {hub.format(i) for i in range(count)}
    return {
        f"model.{n}" if n.startswith("visual") else n.replace("model.", "model.language_model.", 1)
        for n in names
    }


@pytest.mark.parametrize("part", PARTS)
def test_peft_computes_what_we_do(
    peft_side: types.ModuleType, base: Base, part: str, tmp_path: pathlib.Path
) -> None:
    params = base.adapted(PARTS[part])
    peft.write(tmp_path / "adapter", params, base="base")
    model = load(peft_side, base, tmp_path / "adapter")
    assert adapted_modules(model) == expected_modules(params)
    ours, theirs = base.ours(params), base.theirs(model)
    gaps = [goldens.gap(ours, theirs), goldens.gap(base.ours(lora.merge(params)), theirs)]
    print(f"\n{base.model.name} {part}: adapters {gaps[0]:.2g}, merged {gaps[1]:.2g}")
    assert max(gaps) < TOLERANCE
    assert goldens.gap(base.ours(base.golden.params), theirs) > MARGIN * TOLERANCE


def test_another_scale_is_noticed(
    peft_side: types.ModuleType, base: Base, tmp_path: pathlib.Path
) -> None:
    """The twin: one tenth more of the adapters."""
    params = base.adapted(PARTS["all"])
    peft.write(tmp_path / "adapter", params, base="base")
    path = tmp_path / "adapter" / peft.CONFIG
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "lora_alpha": 1.1 * config["lora_alpha"]}))
    theirs = base.theirs(load(peft_side, base, tmp_path / "adapter"))
    assert goldens.gap(base.ours(params), theirs) > MARGIN * TOLERANCE


def test_ranks_that_differ(peft_side: types.ModuleType, base: Base, tmp_path: pathlib.Path) -> None:
    """rank_pattern and alpha_pattern name single layers."""
    params = base.adapted("text/layers/mlp/.*")
    params = lora.join(params, lora.split(base.adapted("text/layers/attention/k", rank=5))[1])
    params["text"]["layers"]["mlp"]["up"]["lora_scale"][-1] = 0.3
    peft.write(tmp_path / "adapter", params, base="base")
    theirs = base.theirs(load(peft_side, base, tmp_path / "adapter"))
    assert goldens.gap(base.ours(params), theirs) < TOLERANCE


def test_merged_weights_are_those_that_peft_merges(
    peft_side: types.ModuleType, base: Base, tmp_path: pathlib.Path
) -> None:
    params = base.adapted(PARTS["all"])
    peft.write(tmp_path / "adapter", params, base="base")
    merged = load(peft_side, base, tmp_path / "adapter").merge_and_unload()
    theirs = {hf.hub_name(n): p.detach().numpy() for n, p in merged.named_parameters()}
    ours = dict(hf.hub_tensors(lora.merge(params), base.golden.size))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        np.testing.assert_allclose(tensor, theirs[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_trained_merger_beside_adapters(
    peft_side: types.ModuleType, base: Base, tmp_path: pathlib.Path
) -> None:
    params = base.adapted(PARTS["text"])
    rng = np.random.default_rng(0)
    params["merger"] = jax.tree.map(
        lambda x: x + 0.05 * rng.standard_normal(x.shape).astype(np.float32), params["merger"]
    )
    trained = ["merger/up/kernel", "merger/norm/scale"]
    peft.write(tmp_path / "adapter", params, base="base", trained=trained)
    theirs = base.theirs(load(peft_side, base, tmp_path / "adapter"))
    assert goldens.gap(base.ours(params), theirs) < TOLERANCE
    base_merger = {**params, "merger": base.golden.params["merger"]}
    assert goldens.gap(base.ours(base_merger), theirs) > MARGIN * TOLERANCE


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "o_proj", "qkv", "mlp.0"], "use_rslora": True},
        {"target_modules": "all-linear", "alpha_pattern": {"gate_proj": 3}},
        {
            "target_modules": r".*language_model.*\.(k_proj|up_proj)",
            "modules_to_save": ["merger"],
            "rank_pattern": {"k_proj": 2},
        },
    ],
    ids=["list_rslora", "all_linear", "merger_saved"],
)
def test_adapters_made_by_peft(
    peft_side: types.ModuleType, base: Base, settings: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    """Trained elsewhere, read onto our base; written again, the same tensors."""
    if settings["target_modules"] == "all-linear":
        settings = {**settings, "exclude_modules": ["lm_head"]}
    config = peft_side.LoraConfig(
        r=4, lora_alpha=6, init_lora_weights=False, task_type="CAUSAL_LM", **settings
    )
    base.side.torch.manual_seed(base.model.seed)
    model = peft_side.get_peft_model(base.build(), config)
    perturb(model, "modules_to_save", base.side.torch)
    model.save_pretrained(tmp_path / "theirs")
    params = lora.join(base.golden.params, peft.read(tmp_path / "theirs", base.golden.size))
    ours, theirs = base.ours(params), base.theirs(model)
    assert goldens.gap(ours, theirs) < TOLERANCE
    assert goldens.gap(base.ours(base.golden.params), theirs) > MARGIN * TOLERANCE
    saved = ["merger/up/kernel"] if "modules_to_save" in settings else []
    peft.write(tmp_path / "again", params, base="base", trained=saved)
    assert_same_tensors([tmp_path / name / peft.WEIGHTS for name in ("theirs", "again")])


def perturb(model: Any, part: str, torch: Any) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if part in name:
                parameter.add_(0.05 * torch.randn_like(parameter))


def assert_same_tensors(paths: Sequence[pathlib.Path]) -> None:
    theirs, ours = (safetensors.numpy.load_file(path) for path in paths)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].tobytes() == tensor.tobytes(), name
