# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Adapters as a PEFT folder, written and read: adapter_config.json, adapter_model.safetensors.

The names inside are those of the modules of transformers' Qwen2_5_VLForConditionalGeneration as
they stand in memory, `model.language_model.layers.0.self_attn.q_proj`, whatever the names in the
files of the base model are.

Source: peft 0.21.2, tuners/lora/config.py, tuners/lora/layer.py and utils/save_and_load.py.
"""

import collections
import json
import math
import pathlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from lingshu_jax.common import errors, paths
from lingshu_jax.models import axes, hf, layers, lora, safetensors_files, sizes

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_MERGER = "model.visual.merger"  # the one module that may be saved whole beside adapters

# Hub name of every module that may have an adapter, `{}` for the layer.
_MODULES: Mapping[str, str] = {
    row.path.removesuffix("/kernel"): row.hf.removesuffix(".weight")
    for row in hf.WEIGHTS
    if row.path.endswith("/kernel") and row.path.startswith(axes.ADAPTED)
}

# Settings under which an adapter is another function than W + scale A B, or W another one.
_OTHER_METHODS = (
    *("use_dora", "use_qalora", "use_bdlora", "alora_invocation_tokens", "arrow_config"),
    *("kasa_config", "monteclora_config", "layer_replication", "target_parameters"),
    "trainable_token_indices",
)
_PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "eva")


class _One(NamedTuple):
    """The adapter of one layer in PEFT's layout: a [r, in], b [out, r], alpha."""

    a: np.ndarray
    b: np.ndarray
    alpha: float


def write(
    folder: pathlib.Path, params: layers.Params, *, base: str | None, trained: Collection[str] = ()
) -> None:
    """Writes the adapters of some parameters as a folder that `peft.PeftModel` loads.

    Args:
      folder: Where to; appears whole or not at all.
      params: With adapters, and with the merger where it was trained as well; arrays, or leaves
        that read themselves.
      base: Hub id of the model that the adapters were trained on, for the config; None where it
        is at no hub.
      trained: Paths of all parameters that the run trained; beside adapters these may be the
        merger's, which is then saved whole (`modules_to_save`).

    Raises:
      UserError: If there are no adapters, the folder exists, or something else was trained.
    """
    if folder.exists():
        raise errors.UserError(f"{folder} exists already; choose a new folder")
    adapters = lora.find(params)
    if not adapters:
        raise errors.UserError("the parameters hold no LoRA adapters, so there is nothing to write")
    saved = _saved_leaves(params, trained)
    ones = {n: one for m, adapter in adapters.items() for n, one in _to_peft(m, adapter)}
    tensors = {f"{_PREFIX}{name}": leaf for name, leaf in saved.items()}
    for name, one in ones.items():
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = one.a
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = one.b
    config = {
        **_config(list(adapters), ones, base),
        "modules_to_save": [_MERGER] if saved else None,
    }
    # `save_file` would leave a file that only its owner can read.
    content = safetensors.numpy.save(tensors, metadata={"format": "pt"})
    with paths.whole_folder(folder) as partial:
        (partial / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (partial / WEIGHTS).write_bytes(content)


def read(folder: pathlib.Path, size: sizes.ModelSize) -> layers.Params:
    """The adapters of a PEFT folder, and the merger where it was saved beside them.

    Args:
      folder: As PEFT or `write` left it.
      size: Of the base model.

    Returns:
      A tree of host arrays to `lora.join` with the base model's parameters.

    Raises:
      UserError: If the folder is none or damaged, was made by another method than plain LoRA,
        or does not fit the model; says how.
    """
    config = _read_config(folder)
    tensors = _read_tensors(folder)
    shapes = hf.leaf_shapes(size)
    params: layers.Params = {}
    for module, hub in _MODULES.items():
        kernel = shapes[f"{module}/kernel"]
        names = [hub.format(i) for i in range(kernel[0] if "{}" in hub else 1)]
        ones = [one for name in names if (one := _take(tensors, _in_memory(name), config))]
        if len(ones) not in (0, len(names)):
            raise errors.UserError(
                f"{folder} adapts {len(ones)} of the {len(names)} layers of {module}; all or none "
                "can be read"
            )
        if ones:
            for path, leaf in lora.name_leaves(module, _to_ours(module, ones, kernel)).items():
                hf.insert(params, path, leaf)
    for path, name in _MERGER_LEAVES.items():
        if name in tensors:
            leaf = tensors.pop(name).T
            _check_shape(name, leaf.shape, shapes[path])
            hf.insert(params, path, np.ascontiguousarray(leaf))
    if tensors or not lora.find(params):
        held = safetensors_files.shorten(sorted(tensors)) if tensors else "none"
        raise errors.UserError(
            f"{folder} must hold LoRA adapters of the blocks and the merger of Qwen2.5-VL and "
            f"nothing else; left over: {held}"
        )
    return params


def _in_memory(name: str) -> str:
    """The name in a loaded model of what the hub's files name so.

    >>> _in_memory("visual.merger.mlp.0"), _in_memory("model.norm")
    ('model.visual.merger.mlp.0', 'model.language_model.norm')
    """
    if name.startswith("visual."):
        return f"model.{name}"
    return re.sub(r"^model\.", "model.language_model.", name)


_MERGER_LEAVES: Mapping[str, str] = {
    row.path: _in_memory(row.hf) for row in hf.WEIGHTS if row.path.startswith("merger/")
}


def _saved_leaves(params: layers.Params, trained: Collection[str]) -> dict[str, np.ndarray]:
    """What was trained beside adapters, in the file's layout."""
    full = [path for path in trained if not lora.is_adapter(path)]
    others = [path for path in full if path not in _MERGER_LEAVES]
    if others:
        raise errors.UserError(
            f"beside adapters the run trained {safetensors_files.shorten(others)}, which a PEFT "
            "folder cannot hold; export the merged model instead"
        )
    if not full:
        return {}
    if any(module.startswith("merger/") for module in lora.find(params)):
        raise errors.UserError(
            "the run trained the merger and adapters inside it, which a PEFT folder cannot hold; "
            "export the merged model instead"
        )
    return {
        name: np.ascontiguousarray(np.asarray(hf.lookup(params, path)[()]).T)
        for path, name in _MERGER_LEAVES.items()
    }


def _to_peft(module: str, adapter: lora.Adapter) -> Iterator[tuple[str, _One]]:
    """(name, adapter) of each layer."""
    hub = _MODULES[module]
    for layer in range(adapter.scale.shape[0]) if "{}" in hub else ((),):
        a, b, scale = (np.asarray(part[layer]) for part in adapter)
        rank = a.shape[-1]
        one = _One(
            a=np.ascontiguousarray(a.reshape(-1, rank).T),
            b=np.ascontiguousarray(b.reshape(rank, -1).T),
            alpha=_shortest(float(scale) * rank),
        )
        yield _in_memory(hub.format(layer)), one


def _shortest(value: float) -> float:
    """Without the rounding of a float32 scale: 16.0 and not 15.99999964."""
    return float(f"{value:.6g}")


def _to_ours(module: str, ones: Sequence[_One], kernel: tuple[int, ...]) -> lora.Adapter:
    """The adapters of all layers, joined."""
    stack, inputs = axes.split_kernel(module, kernel)
    outputs = kernel[len(stack) + len(inputs) :]
    rank = ones[0].a.shape[0]
    for one in ones:
        _check_shape(f"lora_A of {module}", one.a.shape, (rank, math.prod(inputs)))
        _check_shape(f"lora_B of {module}", one.b.shape, (math.prod(outputs), rank))
    return lora.Adapter(
        a=np.stack([one.a.T for one in ones]).reshape(*stack, *inputs, rank),
        b=np.stack([one.b.T for one in ones]).reshape(*stack, rank, *outputs),
        scale=np.array([one.alpha / rank for one in ones], np.float32).reshape(stack),
    )


def _check_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise errors.UserError(f"{name} has shape {list(shape)}, not {list(expected)}")


def _config(modules: Collection[str], ones: Mapping[str, _One], base: str | None) -> dict[str, Any]:
    """adapter_config.json; the rank and alpha of most layers, and the others by name."""
    ranks = {name: one.a.shape[0] for name, one in ones.items()}
    alphas = {name: one.alpha for name, one in ones.items()}
    rank, alpha = (collections.Counter(x.values()).most_common(1)[0][0] for x in (ranks, alphas))
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "use_rslora": False,
        # Names such as gate_proj are in text and vision alike: only whole names hit one of them.
        "target_modules": "|".join(_pattern(_in_memory(_MODULES[module])) for module in modules),
        "rank_pattern": {re.escape(n): value for n, value in ranks.items() if value != rank},
        "alpha_pattern": {re.escape(n): value for n, value in alphas.items() if value != alpha},
    }


def _pattern(name: str) -> str:
    return r"\d+".join(re.escape(part) for part in name.split("{}"))


def _read_config(folder: pathlib.Path) -> dict[str, Any]:
    """adapter_config.json, if all it asks for is W + scale A B."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.UserError(
            f"{path} must be JSON with lora_alpha, as PEFT writes it: {error!r}"
        ) from error
    other = {name: config[name] for name in _OTHER_METHODS if config.get(name)}
    if config.get("peft_type") != "LORA":
        other["peft_type"] = config.get("peft_type")
    if config.get("init_lora_weights", True) not in _PLAIN_STARTS:
        other["init_lora_weights"] = config["init_lora_weights"]
    if other:
        raise errors.UserError(f"{path}: only plain LoRA can be read, not {other}")
    return config


def _read_tensors(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Every tensor by its name in a loaded model, whichever naming the file has."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise errors.UserError(f"{folder} holds no {WEIGHTS} (pickled .bin files are not read)")
    try:
        tensors = safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise errors.UserError(f"{path} is damaged or no safetensors file: {error}") from error
    return {_in_memory(hf.hub_name(n.removeprefix(_PREFIX))): leaf for n, leaf in tensors.items()}


def _take(tensors: dict[str, np.ndarray], name: str, config: Mapping[str, Any]) -> _One | None:
    """Takes the two matrices of a module out of the tensors; None where it has none."""
    parts = (f"{name}.lora_A.weight", f"{name}.lora_B.weight")
    if not all(part in tensors for part in parts):
        return None
    a, b = (tensors.pop(part).astype(np.float32) for part in parts)
    if a.ndim != 2 or b.ndim != 2:
        raise errors.UserError(f"the LoRA tensors of {name} must be matrices")
    alpha = float(config["lora_alpha"])
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            alpha = float(value)
            break
    # rsLoRA divides by the root of the rank; a scale of alpha / rank says the same.
    return _One(a, b, alpha * math.sqrt(a.shape[0]) if config.get("use_rslora") else alpha)
