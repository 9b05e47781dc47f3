# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""config.json in every layout that is around, and what a bad one is answered with.

The layouts are written down here a second time, from published files and from what transformers
4.49, 4.57 and 5 save, so that they do not lean on `hf_config.dump`.
"""

import copy
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from lingshu_jax.common import errors
from lingshu_jax.models import hf, hf_config, qwen2_5_vl, sizes
from tests import small

Config = dict[str, Any]
Layout = Callable[[str], Config]
# hidden, layers, heads, kv heads, mlp, vocabulary, tied, mlp of the tower.
PUBLISHED = {
    "3b": (2048, 36, 16, 2, 11008, 151_936, True, 3420),
    "7b": (3584, 28, 28, 4, 18944, 152_064, False, 3420),
    "32b": (5120, 64, 40, 8, 27648, 152_064, False, 3456),
    "72b": (8192, 80, 64, 8, 29568, 152_064, False, 3456),
}
EACH_SIZE = pytest.mark.parametrize("name", PUBLISHED)


def text_fields(name: str) -> Config:
    hidden, layers, heads, kv_heads, mlp, vocab, _, _ = PUBLISHED[name]
    return {
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "max_position_embeddings": 128_000,
        "max_window_layers": layers,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": 1e-06,
        "sliding_window": 32768,
        "use_sliding_window": False,
        "vocab_size": vocab,
    }


def top_fields() -> Config:
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "vision_start_token_id": 151652,
        "vision_end_token_id": 151653,
        "vision_token_id": 151654,
        "image_token_id": 151655,
        "video_token_id": 151656,
    }


def tower_fields(name: str) -> Config:
    return {
        "depth": 32,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "hidden_act": "silu",
        "hidden_size": 1280,
        "in_chans": 3,
        "intermediate_size": PUBLISHED[name][7],
        "num_heads": 16,
        "out_hidden_size": PUBLISHED[name][0],
        "patch_size": 14,
        "spatial_merge_size": 2,
        "spatial_patch_size": 14,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "window_size": 112,
    }


def hub(name: str) -> Config:
    """As published."""
    rope = {"type": "mrope", "mrope_section": [16, 24, 24]}
    return {
        **top_fields(),
        **text_fields(name),
        "rope_theta": 1000000.0,
        "rope_scaling": rope,
        "tie_word_embeddings": PUBLISHED[name][6],
        "vision_config": tower_fields(name),
    }


def saved_by_4_49(name: str) -> Config:
    """The tower keeps a few keys; the 7B file drops one more."""
    kept = {"hidden_size": 1280, "in_chans": 3, "spatial_patch_size": 14, "tokens_per_second": 2}
    if name != "7b":
        kept["out_hidden_size"] = PUBLISHED[name][0]
    if PUBLISHED[name][7] != 3420:
        kept["intermediate_size"] = PUBLISHED[name][7]
    rope = {"type": "default", "rope_type": "default", "mrope_section": [16, 24, 24]}
    return {**hub(name), "rope_scaling": rope, "vision_config": kept | {"model_type": "qwen2_5_vl"}}


def saved_by_4_57(name: str) -> Config:
    """Flat and nested; a true tie flag only nested, and ids that are null in the nested part."""
    config = hub(name)
    config["rope_scaling"] = saved_by_4_49(name)["rope_scaling"]
    nested = {
        **text_fields(name),
        "model_type": "qwen2_5_vl_text",
        "rope_theta": 1000000.0,
        "rope_scaling": config["rope_scaling"],
        "sliding_window": None,
        "image_token_id": None,
        "video_token_id": None,
        "tie_word_embeddings": config["tie_word_embeddings"],
    }
    if config["tie_word_embeddings"]:
        del config["tie_word_embeddings"]
    tower = {**tower_fields(name), "in_channels": 3}
    return {**config, "text_config": nested, "vision_config": tower}


def saved_by_5(name: str) -> Config:
    """Text fields nested only, rope under another name; the tower has one too."""
    tie = PUBLISHED[name][6]
    rope = {
        "mrope_section": [16, 24, 24],
        "rope_theta": 1000000.0,
        "rope_type": "default",
        "type": "mrope",
    }
    nested = {**text_fields(name), "rope_parameters": rope, "tie_word_embeddings": tie}
    tower_rope = {"rope_type": "axial", "rope_theta": 10000.0}
    tower = {**tower_fields(name), "in_channels": 3, "rope_parameters": tower_rope}
    return {
        **top_fields(),
        "text_config": {**nested, "model_type": "qwen2_5_vl_text"},
        "tie_word_embeddings": tie,
        "vision_config": tower,
    }


LAYOUTS: tuple[Layout, ...] = (hub, saved_by_4_49, saved_by_4_57, saved_by_5)
EACH_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)


@EACH_SIZE
@EACH_LAYOUT
def test_published_sizes_are_read(layout: Layout, name: str) -> None:
    assert hf_config.parse(json.loads(json.dumps(layout(name)))) == sizes.get(name)


@EACH_SIZE
def test_what_is_written_reads_the_same(name: str) -> None:
    size = sizes.get(name)
    assert hf_config.parse(hf_config.dump(size, dtype="bfloat16")) == size


@EACH_SIZE
def test_the_written_file_is_the_published_one(name: str) -> None:
    """Every field of the hub's file is written with the hub's value."""
    written = hf_config.dump(sizes.get(name), dtype="bfloat16")
    expected = hub(name)
    window = {"sliding_window"}  # unused: the flag beside it is false
    assert {key for key in expected if written[key] != expected[key]} <= window | {"vision_config"}
    tower = expected["vision_config"]
    assert {key: written["vision_config"][key] for key in tower} == tower


def test_a_real_file(shared_dir: pathlib.Path) -> None:
    """Saved by transformers 4.53: flat and nested, the tie flag on top."""
    text = (shared_dir / "data/tokenizer_qwen2/qwen2_5_vl/config_7b.json").read_text()
    assert hf_config.parse(json.loads(text)) == sizes.get("7b")
    assert hf_config.parse(json.loads(text.replace("3420", "3456"))) != sizes.get("7b")


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a parsed file, inner objects and lists included."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, inner in items:
        yield from leaves(inner, (*path, key))


def at(config: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for key in path:
        config = config[key]
    return config


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def replaced(config: Config, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Config:
    """A copy with one value changed."""
    config = copy.deepcopy(config)
    at(config, path[:-1])[path[-1]] = change(at(config, path))
    return config


# Told by other fields, or not used by anyone.
UNREAD = {"max_window_layers", "sliding_window", "spatial_patch_size"}


@EACH_LAYOUT
def test_every_number_that_matters_is_read(layout: Layout) -> None:
    """The twin: a number of the file that is changed gives another size or an error."""
    config = layout("7b")
    nested = {key for key, value in config.get("text_config", {}).items() if value is not None}
    ignored = set()
    for path in leaves(config):
        is_flat_copy = path[0] in nested
        is_axial = path[:2] == ("vision_config", "rope_parameters")
        if is_flat_copy or is_axial or not is_number(at(config, path)):
            continue
        try:
            size = hf_config.parse(replaced(config, path, lambda x: x * 2))
        except errors.UserError:
            continue
        if size == sizes.get("7b"):
            ignored.add(path[-1])
    assert ignored <= UNREAD


@pytest.mark.parametrize("head", ["absent", "equal", "other"])
@pytest.mark.parametrize("nested", [True, False, None])
@pytest.mark.parametrize("top", [True, False, None])
def test_the_head_is_tied_by_flag_and_tensors(
    top: bool | None, nested: bool | None, head: str, tmp_path: pathlib.Path
) -> None:
    """A flag in either place ties, none at all is transformers' default, a distinct head unties."""
    config = hf_config.dump(small.SIZE, dtype="float32")
    config["tie_word_embeddings"] = top
    config["text_config"] = {"tie_word_embeddings": nested}
    (tmp_path / "config.json").write_text(json.dumps(config))
    embedding = np.arange(8, dtype=np.float32).reshape(4, 2)
    tensors = {"model.language_model.embed_tokens.weight": embedding}
    if head != "absent":
        tensors["lm_head.weight"] = embedding + float(head == "other") * 1e-6
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    is_flagged = top or nested or (top is None and nested is None)
    expected = bool(is_flagged and head != "other")
    assert hf.read_config(tmp_path).text.tie_embeddings == expected


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("visual.merger.ln_q.weight", "visual.merger.ln_q.weight"),
        ("model.visual.merger.ln_q.weight", "visual.merger.ln_q.weight"),
        ("model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
        ("model.language_model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
        ("model.language_model.norm.weight", "model.norm.weight"),
        ("lm_head.weight", "lm_head.weight"),
        ("language_model.model.norm.weight", "language_model.model.norm.weight"),
    ],
)
def test_both_namings(stored: str, name: str) -> None:
    assert hf.hub_name(stored) == name and hf.hub_name(name) == name


def change(**fields: Any) -> Callable[[Config], None]:
    return lambda config: config.update(fields)


def drop(key: str) -> Callable[[Config], None]:
    return lambda config: config.pop(key)


def change_tower(**fields: Any) -> Callable[[Config], None]:
    return lambda config: config["vision_config"].update(fields)


def yarn(config: Config) -> None:
    config["rope_scaling"] |= {"type": "yarn", "factor": 4.0}


AWQ = {"quant_method": "awq", "bits": 4}
BAD: dict[str, tuple[Callable[[Config], Any], str]] = {
    "another_model": (change(model_type="qwen3_vl"), "model_type 'qwen3_vl' is not known; allowed"),
    "no_model": (drop("model_type"), "model_type None is not known; allowed: 'qwen2_5_vl'"),
    "model_is_a_list": (change(model_type=["a"]), r"model_type \['a'\] is not known"),
    "another_head": (
        change(architectures=["Qwen2_5_VLForSequenceClassification"]),
        "architectures .*SequenceClassification.* is not known; allowed",
    ),
    "awq": (change(quantization_config=AWQ), "quantization_config .method 'awq'.: quantised"),
    "gptq": (change(quantization_config={"quant_method": "gptq"}), "method 'gptq'"),
    "fp8": (change(quantization_config={"quant_method": "fp8"}), "method 'fp8'"),
    "compressed": (
        change(compression_config={"format": "pack"}),
        "compression_config .method None",
    ),
    "no_layers": (drop("num_hidden_layers"), "lacks the field 'num_hidden_layers'"),
    "null_layers": (change(num_hidden_layers=None), "lacks the field 'num_hidden_layers'"),
    "no_image_token": (drop("image_token_id"), "lacks the field 'image_token_id'"),
    "no_vocabulary": (drop("vocab_size"), "lacks the field 'vocab_size'"),
    "no_rope_base": (drop("rope_theta"), "lacks the field 'rope_theta'"),
    "no_tower": (drop("vision_config"), "lacks the field 'vision_config.hidden_size'"),
    "tower_is_a_list": (change(vision_config=[1]), r"vision_config must be an object, got \[1\]"),
    "text_is_a_word": (change(text_config="a"), "text_config must be an object, got 'a'"),
    "a_word": (change(hidden_size="64"), "hidden_size must be a whole number above 0, got '64'"),
    "a_fraction": (change(num_attention_heads=28.5), "num_attention_heads must be a whole .* 28.5"),
    "negative": (change(intermediate_size=-4), "intermediate_size must be a whole number above 0"),
    "true": (change(num_hidden_layers=True), "num_hidden_layers must be a whole .*, got True"),
    "huge": (change(num_hidden_layers=10**30), "num_hidden_layers must be a whole number above 0"),
    "heads": (change(num_key_value_heads=3), "num_attention_heads 28 is not a multiple of .* 3"),
    "width": (change(hidden_size=3585), "hidden_size 3585 is not a multiple of num_attention_he"),
    "head_dim": (change(head_dim=64), r"mrope_section \(16, 24, 24\) must sum to half of head_dim"),
    "eps": (change(rms_norm_eps=0), "rms_norm_eps must be a number above 0, got 0"),
    "eps_not_finite": (change(rms_norm_eps=float("nan")), "rms_norm_eps must be a number .* nan"),
    "rope_base": (change(rope_theta=-1.0), "rope_theta must be a number above 0, got -1.0"),
    "no_rope": (drop("rope_scaling"), "is not multimodal rope"),
    "yarn": (yarn, "rope_scaling .*yarn.* is not multimodal rope"),
    "no_section": (change(rope_scaling={"type": "mrope"}), "is not multimodal rope"),
    "short_section": (
        change(rope_scaling={"type": "mrope", "mrope_section": [32, 32]}),
        "mrope_section must be three whole numbers",
    ),
    "section_of_words": (
        change(rope_scaling={"type": "mrope", "mrope_section": ["a", 1, 2]}),
        "rope_scaling.mrope_section must be a list of whole numbers",
    ),
    "negative_section": (
        change(rope_scaling={"type": "mrope", "mrope_section": [-16, 40, 40]}),
        "mrope_section must be a list of whole numbers that are not negative",
    ),
    "activation": (change(hidden_act="gelu"), "hidden_act must be 'silu', got 'gelu'"),
    "sliding": (change(use_sliding_window=True), "use_sliding_window true is not supported"),
    "tie": (change(tie_word_embeddings="yes"), "tie_word_embeddings must be true or false"),
    "image_token": (change(image_token_id=4), "special token ids .*'pad': -8.* are outside"),
    "video_token": (change(video_token_id=999_999), "'video_pad': 999999.* are outside"),
    "tower_heads": (change_tower(num_heads=7), "vision width 1280 must be a multiple of 4 times"),
    "tower_activation": (
        change_tower(hidden_act="relu"),
        "vision_config.hidden_act must be 'silu'",
    ),
    "tower_depth": (change_tower(depth=8), r"indexes \[15, 23, 31\] are outside 0..7"),
    "tower_blocks": (change_tower(fullatt_block_indexes=7), "indexes must be a list of whole num"),
    "colours": (change_tower(in_chans=4), "vision_config.in_chans must be 3, got 4"),
    "width_between": (change_tower(out_hidden_size=2048), "out_hidden_size must be 3584, got 2048"),
    "window": (change_tower(window_size=224), "a vision window of 224 pixels must hold 64 patches"),
    "odd_window": (change_tower(window_size=100), "a vision window of 100 pixels must hold 64"),
    "clock": (change_tower(tokens_per_second=0), "tokens_per_second must be a number above 0, got"),
}


def write(folder: pathlib.Path, config: Config) -> pathlib.Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def refusal(folder: pathlib.Path) -> str:
    """The one line that a folder is refused with."""
    with pytest.raises(errors.UserError) as raised:
        hf_config.read(folder)
    line = str(raised.value)
    assert "\n" not in line and len(line) < 400 and str(folder) in line, line
    return line


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_answered_with_one_line(case: str, tmp_path: pathlib.Path) -> None:
    damage, message = BAD[case]
    config = hub("7b")
    assert hf_config.read(write(tmp_path, config)) == sizes.get("7b")
    damage(config)
    line = refusal(write(tmp_path, config))
    with pytest.raises(errors.UserError, match=message):
        raise errors.UserError(line)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"3",
        b'"qwen2_5_vl"',
        b"[" * 100_000,
        b'{"hidden_size": 1' + b"0" * 5000 + b"}",
        b'{"model_type": "qwen2_5_vl"} {}',
    ],
    ids=["empty", "binary", "null", "number", "word", "nested", "digits", "two"],
)
def test_what_is_no_object_is_refused(content: bytes, tmp_path: pathlib.Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    refusal(tmp_path)


def test_a_cut_file_is_refused_wherever_it_ends(tmp_path: pathlib.Path) -> None:
    text = json.dumps(hub("7b")).encode()
    for end in range(0, len(text), 41):
        (tmp_path / "config.json").write_bytes(text[:end])
        refusal(tmp_path)


NONSENSE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, 3, -1, 7, 64, 151_655, 2**31, 10**30),
    *(0.0, 1.5, -2.5, 1e-6, 1e300, float("nan"), float("inf"), "", "a", "28", "\n", "é"),
    *([], [1], [1, 2, 3], [[]], ["a"], [None], {}, {"a": 1}, {"rope_theta": -1}),
)
MUTATIONS = 240


def mutated(config: Config, rng: np.random.Generator) -> Config:
    """One or two values replaced by nonsense, by another number, by each other, or left out."""
    for _ in range(rng.integers(1, 3)):
        paths = list(leaves(config))
        path, other = (paths[i] for i in rng.integers(len(paths), size=2))
        kind = rng.integers(4)
        if kind == 0:
            nonsense = NONSENSE[rng.integers(len(NONSENSE))]
            config = replaced(config, path, lambda _, value=nonsense: copy.deepcopy(value))
        elif kind == 1:
            factor = (2, 3, -1, 0.5)[rng.integers(4)]
            config = replaced(config, path, lambda x, f=factor: x * f if is_number(x) else [x])
        elif kind == 2 and path[: len(other)] != other:
            value = copy.deepcopy(at(config, other))
            config = replaced(config, path, lambda _, value=value: value)
        else:
            config = replaced(config, path[:1], lambda _: None)
    return config


def mutants() -> Iterator[Config]:
    """The same ones every time, of every layout."""
    rng = np.random.default_rng(11)
    for number in range(MUTATIONS):
        yield mutated(LAYOUTS[number % len(LAYOUTS)]("7b"), rng)


def outcome(folder: pathlib.Path) -> sizes.ModelSize | None:
    """The size, which must survive being written; None where the file was refused properly."""
    try:
        size = hf_config.read(folder)
    except errors.UserError:
        refusal(folder)
        return None
    size.validate()
    assert hf_config.parse(json.loads(json.dumps(hf_config.dump(size, dtype="float32")))) == size
    return size


def test_any_file_gives_sizes_or_one_line(tmp_path: pathlib.Path) -> None:
    found = [outcome(write(tmp_path, config)) for config in mutants()]
    refused = sum(size is None for size in found)
    changed = sum(size not in (None, sizes.get("7b")) for size in found)
    assert refused > MUTATIONS / 3 and changed > MUTATIONS / 20, (refused, changed)


@pytest.mark.parametrize("check", ["count", "number", "indexes", "part"])
def test_without_a_check_the_mutants_get_through(
    check: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: each kind of check is needed."""

    def unchecked(fields: Any, key: str, default: Any = None) -> Any:
        value = fields.values.get(key, default)
        return hf_config._Fields(value or {}) if check == "part" else value

    monkeypatch.setattr(hf_config._Fields, check, unchecked)
    with pytest.raises((TypeError, ValueError, AttributeError, OverflowError, AssertionError)):
        for config in mutants():
            outcome(write(tmp_path, config))


def test_sizes_that_are_read_can_be_built(tmp_path: pathlib.Path) -> None:
    """Mutants of the small model that are let through have parameters."""
    rng = np.random.default_rng(5)
    base = hf_config.dump(small.SIZE, dtype="float32")
    built: set[sizes.ModelSize] = set()
    while len(built) < 3:
        size = outcome(write(tmp_path, mutated(base, rng)))
        if size is not None and size.text.num_layers < 100:
            built.add(size)
    for size in built:
        shapes = jax.tree.leaves(qwen2_5_vl.abstract_params(size, jnp.dtype(jnp.float32)))
        assert all(min(leaf.shape) > 0 for leaf in shapes)


def test_runs_and_checkpoints_are_called_so(tmp_path: pathlib.Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text('{"stage": "instruct"}')
    (tmp_path / "checkpoint" / "assets").mkdir(parents=True)
    for name in ("run", "checkpoint"):
        with pytest.raises(errors.UserError, match=f"{name} is no .*lingshu_jax.export`"):
            hf_config.read(tmp_path / name)
