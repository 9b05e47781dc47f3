# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/qwen2_5_vl_*.npz from transformers: weights, inputs, intermediates, outputs.

    python -m tests.make_golden.qwen2_5_vl            # rewrites the files, prints what changed
    python -m tests.make_golden.qwen2_5_vl --check    # prints what would change, writes nothing

Needs torch and transformers (not 5.3 to 5.5, whose positions are wrong). float32, CPU, eager
attention, one thread. Vision arrays are stored in natural patch order, not in transformers' window
order. Names inside a file: `weights/<hub name>`, `config/v5`, `config/hub`, and for each case
`images/...`, `text/...`, `video/...`.
"""

import argparse
import hashlib
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
import transformers
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl
from transformers.vision_utils import get_vision_window_index

from tests.make_golden import tiny_models

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
GREEDY_TOKENS = 32
MIN_MARGIN = 1e-2  # between the two best logits of every greedy step; float32 noise is 1e-5
PATCH_SAMPLE = 29  # every 29th value of a patch is stored: the images are, and determine the rest


def build(model: tiny_models.TinyModel) -> Qwen2_5_VLForConditionalGeneration:
    """The model in transformers, from the hub's config layout, with our seeded weights."""
    config = Qwen2_5_VLConfig(**model.hub_config())
    config._attn_implementation = "eager"
    oracle = Qwen2_5_VLForConditionalGeneration(config).float().eval()
    parameters = dict(oracle.named_parameters())
    weights = tiny_models.random_weights(model, {k: tuple(v.shape) for k, v in parameters.items()})
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(weights[name]))
    return oracle


def saved(oracle: Qwen2_5_VLForConditionalGeneration) -> tuple[dict[str, np.ndarray], str]:
    """Tensors and config.json as save_pretrained writes them."""
    with tempfile.TemporaryDirectory() as folder:
        oracle.save_pretrained(folder)
        tensors = safetensors.numpy.load_file(Path(folder) / "model.safetensors")
        return tensors, (Path(folder) / "config.json").read_text()


def model_inputs(case: tiny_models.Case, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Keyword arguments of the oracle's forward for one case."""
    inputs = {
        "input_ids": torch.from_numpy(case.tokens)[None],
        "attention_mask": torch.ones((1, len(case.tokens)), dtype=torch.long),
        "position_ids": torch.from_numpy(case.positions)[:, None],
    }
    if case.frames:
        pixels = torch.from_numpy(tiny_models.normalise(case.patches)).to(torch.float32).to(dtype)
        names = ("pixel_values_videos", "video_grid_thw")
        names = names if case.is_video else ("pixel_values", "image_grid_thw")
        inputs |= {names[0]: pixels, names[1]: torch.from_numpy(case.grids)}
    return inputs


def capture(oracle, inputs: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], Any]:
    """Runs the oracle; returns what each named part gave, in the oracle's own order."""
    seen, hooks = {}, []

    def keep(module: torch.nn.Module, name: str) -> None:
        def hook(_, __, output):
            seen[name] = (output[0] if isinstance(output, tuple) else output).detach()

        hooks.append(module.register_forward_hook(hook))

    visual, text = oracle.model.visual, oracle.model.language_model
    keep(visual.patch_embed, "vision/patch_embed")
    keep(visual.merger, "vision/merged")
    keep(text.norm, "text/norm")
    for i, block in enumerate(visual.blocks):
        keep(block, f"vision/block_{i}")
    for i, layer in enumerate(text.layers):
        keep(layer, f"text/layer_{i}")
    embedded = text.layers[0].register_forward_pre_hook(
        lambda _, args, kwargs: seen.update({"text/embedded": args[0].detach()}), with_kwargs=True
    )
    output = oracle(**inputs)
    for hook in [*hooks, embedded]:
        hook.remove()
    return seen, output


def natural_order(seen: dict[str, torch.Tensor], case: tiny_models.Case) -> dict[str, np.ndarray]:
    """Undoes the oracle's window permutation of the vision arrays; drops the batch axis."""
    out, inverse = {}, torch.zeros(0, dtype=torch.long)
    if case.frames:
        window_index, _ = get_vision_window_index(
            torch.from_numpy(case.grids), spatial_merge_size=2, window_size=112, patch_size=14
        )
        inverse = torch.argsort(window_index)
    for name, value in seen.items():
        if name.startswith("vision/block"):
            value = value.reshape(len(inverse), 4, -1)[inverse].reshape(value.shape)
        elif name == "vision/merged":
            value = value[inverse]
        elif name.startswith("text/"):
            value = value[0]
        out[name] = value.numpy()
    return out


def nll(logits: torch.Tensor, case: tiny_models.Case) -> torch.Tensor:
    """Weighted mean negative log-likelihood; token t is predicted by the model at t - 1."""
    logprobs = torch.log_softmax(logits[0, :-1], dim=-1)
    targets, weights = torch.from_numpy(case.tokens[1:]), torch.from_numpy(case.loss_weights[1:])
    picked = logprobs.gather(1, targets[:, None])[:, 0]
    return -(picked * weights).sum() / weights.sum()


def gradients(oracle, case: tiny_models.Case) -> dict[str, np.ndarray]:
    """Loss, and for the gradient of each tensor (by sorted hub name) its norm and <g, weight>."""
    oracle.zero_grad()
    loss = nll(oracle(**model_inputs(case, torch.float32)).logits, case)
    loss.backward()
    rows = {}
    for name, parameter in oracle.named_parameters():
        short = name.replace("model.language_model", "model").replace("model.visual", "visual")
        grad, weight = parameter.grad, parameter.detach().double()
        grad = torch.zeros_like(weight) if grad is None else grad.double()
        rows[short] = [grad.norm().item(), (grad * weight).sum().item()]
    table = np.array([rows[name] for name in sorted(rows)])
    return {"loss": np.array(loss.item(), np.float32), "gradients": table}


def greedy(oracle, case: tiny_models.Case) -> dict[str, np.ndarray]:
    """Plain argmax with the oracle's cache; positions go on from the largest one plus 1."""
    inputs, tokens, margins = model_inputs(case, torch.float32), [], []
    with torch.no_grad():
        output = oracle(**inputs, use_cache=True)
        for step in range(GREEDY_TOKENS):
            best = output.logits[0, -1].topk(2)
            tokens.append(int(best.indices[0]))
            margins.append(float(best.values[0] - best.values[1]))
            position = torch.full((3, 1, 1), int(case.positions.max()) + 1 + step)
            output = oracle(
                input_ids=torch.tensor([[tokens[-1]]]),
                position_ids=position,
                cache=output.cache,
                use_cache=True,
            )
    return {"greedy": np.array(tokens, np.int32), "greedy_margin": np.array(margins, np.float32)}


def check_case(oracle, model: tiny_models.TinyModel, name: str, case: tiny_models.Case) -> None:
    """Our second definitions against transformers' own functions, before anything is stored."""
    if case.is_video or not case.frames:
        return  # transformers' video positions are not Qwen's: given to it, not taken from it
    pad = model.special(tiny_models.IMAGE_PAD)
    inputs = model_inputs(case, torch.float32)
    kinds = (inputs["input_ids"] == pad).int()
    grids = inputs["image_grid_thw"]
    positions, _ = oracle.model.get_rope_index(
        inputs["input_ids"], image_grid_thw=grids, mm_token_type_ids=kinds
    )
    if not np.array_equal(positions[:, 0].numpy(), case.positions):
        raise ValueError(f"{model.name}/{name}: positions differ from transformers'")
    generated = oracle.generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        pixel_values=inputs["pixel_values"],
        image_grid_thw=grids,
        mm_token_type_ids=kinds,
        do_sample=False,
        max_new_tokens=GREEDY_TOKENS,
        eos_token_id=None,
    )[0, len(case.tokens) :].numpy()
    if not np.array_equal(generated, greedy(oracle, case)["greedy"]):
        raise ValueError(f"{model.name}/{name}: our greedy loop differs from generate()")
    processor = transformers.Qwen2VLImageProcessorPil(do_resize=False)
    images = [frames[0] for frames in case.frames]
    processed = processor(images=images, return_tensors="np", input_data_format="channels_last")
    gap = np.abs(processed["pixel_values"] - tiny_models.normalise(case.patches)).max()
    if gap > 1e-6 or not np.array_equal(processed["image_grid_thw"], case.grids):
        raise ValueError(f"{model.name}/{name}: pixel values differ by {gap}")


def noise(oracle, case: tiny_models.Case) -> dict[str, float]:
    """Largest float32 error of the oracle itself against float64, by the largest value."""
    with torch.no_grad():
        low, low_output = capture(oracle, model_inputs(case, torch.float32))
        oracle.double()
        high, high_output = capture(oracle, model_inputs(case, torch.float64))
        oracle.float()
    pairs = {"logits": (low_output.logits, high_output.logits)}
    pairs |= {"vision/merged": (low["vision/merged"], high["vision/merged"])} if case.frames else {}
    return {
        name: float((ours.double() - exact).abs().max() / exact.abs().max())
        for name, (ours, exact) in pairs.items()
    }


def arrays_of(oracle, model: tiny_models.TinyModel) -> tuple[dict[str, np.ndarray], dict]:
    """Everything that is stored for one model, and its figures for PROVENANCE.json."""
    tensors, config = saved(oracle)
    arrays = {f"weights/{name}": value for name, value in tensors.items()}
    arrays["config/v5"] = np.array(config)
    arrays["config/hub"] = np.array(json.dumps(model.hub_config(), indent=2))
    figures = {}
    for name, case in tiny_models.make_cases(model).items():
        check_case(oracle, model, name, case)
        with torch.no_grad():
            seen, output = capture(oracle, model_inputs(case, torch.float32))
        out: dict[str, np.ndarray] = natural_order(seen, case)
        if name != "images":  # the intermediates of one case are enough
            out = {key: value for key, value in out.items() if key == "vision/merged"}
        out |= {"logits": output.logits[0].numpy(), **greedy(oracle, case)}
        out |= gradients(oracle, case)
        out |= {"tokens": case.tokens.astype(np.int32), "loss_weights": case.loss_weights}
        out |= {"positions": case.positions.astype(np.int32), "grids": case.grids.astype(np.int32)}
        out |= {"media_starts": case.media_starts.astype(np.int32)}
        out |= {"patches_sample": case.patches[:, ::PATCH_SAMPLE]}
        out |= {"seconds_per_grid": np.array(case.seconds_per_grid, np.float32)}
        out |= {f"frames_{i}": frames for i, frames in enumerate(case.frames)}
        arrays |= {f"{name}/{key}": value for key, value in out.items()}
        figures[name] = {
            "smallest_greedy_margin": float(out["greedy_margin"].min()),
            "distinct_greedy_tokens": len(set(out["greedy"].tolist())),
            "float32_noise": noise(oracle, case),
        }
        media = {model.special(tiny_models.IMAGE_PAD), model.special(tiny_models.VIDEO_PAD)}
        if out["greedy_margin"].min() < MIN_MARGIN or media & set(out["greedy"].tolist()):
            raise ValueError(f"{model.name}/{name}: near tie or media token; choose another seed")
    return arrays, figures


def difference(path: Path, arrays: dict[str, np.ndarray]) -> list[str]:
    """One line for each array that is new, gone or changed in a stored file."""
    if not path.exists():
        return [f"{path.name}: new file"]
    with np.load(path) as stored:
        old = {name: stored[name] for name in stored.files}
    lines = [f"{path.name}: {name} is new" for name in sorted(arrays.keys() - old.keys())]
    lines += [f"{path.name}: {name} is gone" for name in sorted(old.keys() - arrays.keys())]
    for name in sorted(arrays.keys() & old.keys()):
        new, before = np.asarray(arrays[name]), old[name]
        if new.shape != before.shape or new.dtype.kind == "U":
            if not np.array_equal(new, before):
                lines.append(f"{path.name}: {name} differs")
        elif (gap := np.abs(new.astype(np.float64) - before).max(initial=0)) > 0:
            lines.append(f"{path.name}: {name} differs by up to {gap:.3g}")
    return lines


def provenance(figures: dict[str, dict]) -> dict:
    """Where the arrays come from: versions, the file that defines the model, seeds, hashes."""
    source = Path(modeling_qwen2_5_vl.__file__)
    scripts = [Path(__file__), Path(tiny_models.__file__)]
    digest = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in scripts}
    return {
        "command": "python -m tests.make_golden.qwen2_5_vl",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
        },
        "source": f"transformers/models/qwen2_5_vl/{source.name}@v{transformers.__version__}",
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "scripts_sha256": digest,
        "numerics": "float32, CPU, eager attention, one thread",
        "video": "positions are Qwen's own rule, given to transformers as position_ids",
        "seeds": {model.name: model.seed for model in tiny_models.MODELS},
        "figures": figures,
    }


def main() -> None:
    """Makes every file; `--check` only compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    lines, figures = [], {}
    for model in tiny_models.MODELS:
        arrays, figures[model.name] = arrays_of(build(model), model)
        path = GOLDEN / f"qwen2_5_vl_{model.name}.npz"
        lines += difference(path, arrays)
        if not check:
            GOLDEN.mkdir(exist_ok=True)
            np.savez_compressed(path, allow_pickle=False, **arrays)
            print(f"{path.name}: {path.stat().st_size:,} bytes")
    if not check:
        text = json.dumps(provenance(figures), indent=2) + "\n"
        (GOLDEN / "PROVENANCE.json").write_text(text)
    print(json.dumps(figures, indent=2))
    print("\n".join(lines) or "no difference from the stored files")


if __name__ == "__main__":
    main()
