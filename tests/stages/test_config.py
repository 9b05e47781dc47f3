# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Every config of every size builds, validates and equals its golden text.

A golden that changes on purpose: `python -m tests.stages.test_config` writes them again.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from configs import stage4_rl
from lingshu_jax.common import errors
from lingshu_jax.data import sources
from lingshu_jax.stages import config as stage_config

REPO = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = REPO / "tests" / "golden"
VARIANTS = ("tiny", "3b", "7b", "32b", "72b")
STAGES = tuple(path.stem for path in sorted((REPO / "configs").glob("stage*.py")))
SIZED = ("recipe", *STAGES)  # these exist in every size
CASES = [
    ("vqa_rad", "tiny"),
    *(("ablation", variant) for variant in ("tiny", "7b")),
    *(("real_run", variant) for variant in ("small", "base")),
    ("rl_run", "small"),
    *((name, variant) for name in SIZED for variant in VARIANTS),
    *(("stage4_rl", f"7b,{loss}") for loss in stage4_rl.VARIANTS if loss != "grpo"),
    *(("stage4_rl", f"7b,{data}") for data in stage4_rl.DATA),
]
# Tested with what they are for: tests/data_tools/, tests/test_api.py.
OTHERS = ("curation", "finetune", "synthesis")
EACH_SIZED = pytest.mark.parametrize("name", SIZED)
EACH_CASE = pytest.mark.parametrize(("name", "variant"), CASES)


def load(name: str, variant: str) -> Any:
    return importlib.import_module(f"configs.{name}").get_config(variant)


def flat(value: Any, key: str = "") -> Iterator[str]:
    """`key: value` lines; nested dataclasses joined with dots, lists of them numbered."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from flat(getattr(value, field.name), f"{key}.{field.name}".lstrip("."))
    elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
        for i, part in enumerate(value):
            yield from flat(part, f"{key}.{i}")
    else:
        yield f"{key}: {value!r}\n"


def golden_text(config: Any) -> str:
    return "".join(sorted(flat(config)))


def golden_path(name: str, variant: str) -> pathlib.Path:
    return GOLDEN / f"config_{name}_{variant.replace(',', '_')}.txt"


def test_all_four_stages_are_there() -> None:
    assert tuple(load(name, "tiny").stage for name in STAGES) == stage_config.STAGES


def test_every_file_is_tested() -> None:
    files = {path.stem for path in (REPO / "configs").glob("*.py")}
    assert files == {name for name, _ in CASES} | {"mixtures", *OTHERS}
    goldens = {path for path in GOLDEN.glob("config_*.txt")}
    assert goldens == {golden_path(name, variant) for name, variant in CASES}


@EACH_CASE
def test_builds_validates_and_equals_its_golden(name: str, variant: str) -> None:
    config = load(name, variant)
    config.validate()
    assert golden_text(config) == golden_path(name, variant).read_text()


@EACH_SIZED
def test_another_value_would_differ(name: str) -> None:
    config = load(name, "7b")
    part = config.instruct if name == "recipe" else config
    part.optim.warmup_steps += 1
    assert golden_text(config) != golden_path(name, "7b").read_text()


@EACH_SIZED
def test_the_default_is_7b(name: str) -> None:
    module = importlib.import_module(f"configs.{name}")
    assert golden_text(module.get_config()) == golden_text(load(name, "7b"))


def test_an_unknown_variant_is_an_error() -> None:
    with pytest.raises(errors.UserError, match="'7b'; known: tiny"):
        load("vqa_rad", "7b")


@EACH_SIZED
def test_an_unknown_size_lists_the_known(name: str) -> None:
    with pytest.raises(errors.UserError, match=r"'tiny', '3b', '7b', '32b', '72b'.*got '8b'"):
        load(name, "8b")


@EACH_SIZED
def test_the_docstring_shows_the_command(name: str) -> None:
    text = importlib.import_module(f"configs.{name}").__doc__ or ""
    command = "recipe" if name == "recipe" else "train"
    assert f"python -m lingshu_jax.{command} --config=configs/{name}.py:7b --workdir=DIR" in text
    assert "`:tiny`" in text and "minute" in text


@pytest.mark.parametrize("variant", VARIANTS)
def test_stages_train_what_the_paper_says(variant: str) -> None:
    """Learning rates of vision, merger and text; None is frozen (arXiv 2506.07044, Table 5)."""
    peaks = {name: dict(load(name, variant).optim.trainable) for name in STAGES}
    assert all(list(p) == ["vision/.*", "merger/.*", "text/.*"] for p in peaks.values())
    assert peaks["stage1_shallow_align"]["text/.*"] is None
    others = [p for name, p in peaks.items() if name != "stage1_shallow_align"]
    assert all(rate for p in others for rate in p.values())
    if variant != "tiny":
        assert list(peaks["stage1_shallow_align"].values()) == [2e-6, 1e-5, None]
        assert list(peaks["stage2_deep_align"].values()) == [2e-6, 1e-5, 1e-5]
        assert list(peaks["stage3_instruct"].values()) == [2e-6, 1e-5, 1e-5]
        assert set(peaks["stage4_rl"].values()) == {1e-6}


@pytest.mark.parametrize("name", STAGES[:2])
def test_alignment_counts_its_batch_in_sequences(name: str) -> None:
    """The paper's stages 1 and 2 do not pack: 64 sequences weigh the same."""
    data = load(name, "7b").data
    assert (data.sequences_per_batch, data.normalization) == (64, "sequence")
    assert (data.rows_per_batch, data.patches_per_row) == (0, 0), "computed from the mixture"


def test_every_source_is_of_a_group() -> None:
    for name in STAGES:
        assert all(source.group for source in load(name, "7b").data.sources)
    config = load("stage3_instruct", "7b")
    config.data.without = ("synthetic", "reasoning")
    config.validate()


@pytest.mark.parametrize("name", STAGES)
def test_tiny_is_long_enough_to_be_interrupted(name: str) -> None:
    config = load(name, "tiny")
    assert config.steps >= 60
    assert config.save_every_steps <= config.steps // 2


def with_field(path: str, value: Any) -> stage_config.StageConfig:
    config = load("stage3_instruct", "tiny")
    *parents, name = path.split(".")
    part = config
    for parent in parents:
        part = getattr(part, parent)
    assert hasattr(part, name)
    setattr(part, name, value)
    return config


TWICE = (sources.Source(name="a", path="x"), sources.Source(name="a", path="y"))
COUNTED_IN_EPOCHS = (sources.Source(name="a", path="x", epochs=2.0),)
UNKNOWN_FORMAT = (sources.Source(name="a", path="x", format="csv"),)


@pytest.mark.parametrize(
    ("path", "value", "allowed"),
    [
        ("stage", "sft", "one of ('shallow_align', 'deep_align', 'instruct', 'rl')"),
        ("steps", 0, "one of them positive"),
        ("epochs", 2, "one of them positive"),
        ("accumulation_steps", 3, "a divisor of data.rows_per_batch 4"),
        ("accumulation_steps", 0, "a divisor"),
        ("save_every_steps", 0, ">= 1"),
        ("keep_checkpoints", 0, ">= 1"),
        ("log_every_steps", 0, ">= 1"),
        ("model.init_from", "", "a folder or 'random'"),
        ("model.size", "8b", "known: tiny"),
        ("model.param_dtype", "float16", "one of ('float32', 'bfloat16')"),
        ("model.frozen_dtype", "float16", "one of ('', 'float32', 'bfloat16')"),
        ("model.compute_dtype", "fp32", "one of ('float32', 'bfloat16')"),
        ("model.remat", "some", "one of ('none', 'full', 'save_some', "),
        ("data.sources", (), "at least one source"),
        ("data.sources", TWICE, "of distinct names"),
        ("data.sources", UNKNOWN_FORMAT, "known: array_record, easyr1"),
        ("data.tokens_per_row", 1, ">= 2"),
        ("data.patches_per_row", 100, "a multiple of 64"),
        ("data.patches_per_row", -64, "a multiple of 64, or 0"),
        ("data.rows_per_batch", 0, ">= 1 without sequences_per_batch"),
        ("data.sequences_per_row", -1, ">= 0"),
        ("data.sequences_per_batch", -1, ">= 0"),
        ("data.too_long", "cut", "one of ('drop', 'shrink_images', 'cut_turns')"),
        ("data.fraction", 0.0, "in (0, 1]"),
        ("data.fraction", 1.5, "in (0, 1]"),
        ("data.without", ("captions",), "the sources are of no group"),
        ("data.sources", COUNTED_IN_EPOCHS, "without epochs where steps are counted"),
        ("data.normalization", "row", "one of ('token', 'sequence')"),
        ("data.min_pixels", 10**9, "positive and in order"),
        ("data.min_pixels", 0, "positive and in order"),
        ("optim.trainable", (), "at least one entry"),
        ("optim.trainable", ((".*", -1e-3),), "> 0 or None"),
        ("optim.trainable", (("(", 1e-3),), "a regular expression"),
        ("optim.trainable", ((".*",),), "of (regex, peak) or (regex, peak, options)"),
        ("optim.trainable", ((".*", 1.0, 0.1),), "a dict of ('weight_decay', 'schedule'"),
        ("optim.trainable", ((".*", 1.0, {"decay": 0.1}),), "the known are ('weight_decay',"),
        ("optim.trainable", ((".*", 1.0, {"weight_decay": -0.5}),), "['.*'].weight_decay must be"),
        ("optim.trainable", ((".*", 1.0, {"schedule": "step"}),), "one of ('constant', 'linear'"),
        ("optim.schedule", "step", "one of ('constant', 'linear', 'cosine', 'wsd')"),
        ("optim.z_loss", -1e-4, ">= 0"),
        ("optim.warmup_steps", -1, ">= 0"),
        ("optim.weight_decay", -0.1, ">= 0"),
        ("optim.clip_norm", 0.0, "> 0"),
        ("optim.b2", 1.0, "in [0, 1)"),
        ("optim.final_fraction", 1.5, "in [0, 1]"),
        ("optim.eps", 0.0, "> 0"),
        ("lora.modules", "(", "a regular expression"),
        ("lora.rank", 0, ">= 1"),
        ("lora.alpha", 0.0, "> 0"),
        ("lora.learning_rate", -1.0, "> 0"),
        ("lora.options", (("final_fraction", 2.0),), "in [0, 1]"),
        ("lora.options", ("schedule", "wsd"), "of pairs (name, value)"),
        ("guard.spike_factor", 0.5, "> 1, or 0"),
        ("guard.spike_window", 0, ">= 1"),
        ("guard.max_skipped", 0, ">= 1"),
        ("guard.max_rollbacks", -1, ">= 0"),
        ("guard.hang_seconds", -1.0, ">= 0"),
        ("validation.every_steps", -1, ">= 0"),
        ("validation.every_steps", 5, "0 where validation.sources and validation.benchmarks"),
        ("validation.sources", UNKNOWN_FORMAT, "known: array_record, easyr1"),
        ("validation.rows", 0, ">= 1"),
        ("validation.samples", 0, ">= 1"),
        ("validation.max_new_tokens", 0, ">= 1"),
        ("validation.shown", -1, ">= 0"),
        ("profile_steps", "10", "'FIRST:END', or ''"),
        ("profile_steps", "15:10", "'FIRST:END', or ''"),
        ("mesh.fsdp", 0, ">= 1, or -1"),
        ("mesh.context", -2, ">= 1, or -1"),
        ("mesh.preset", "v5e-17", "v5e-16"),
    ],
)
def test_bad_field_is_one_clear_line(path: str, value: Any, allowed: str) -> None:
    with pytest.raises(errors.UserError) as raised:
        with_field(path, value).validate()
    message = str(raised.value)
    assert allowed in message and "\n" not in message
    assert value == UNKNOWN_FORMAT or path.rpartition(".")[2].split("_")[0] in message
    if not isinstance(value, tuple):
        assert repr(value) in message or str(value) in message


def test_the_resolved_config_is_json() -> None:
    plain = stage_config.to_dict(load("stage1_shallow_align", "tiny"))
    assert plain["optim"]["trainable"][2] == ("text/.*", None)
    assert plain["data"]["sources"][0]["name"] == "captions"
    sizes = {"data": 1, "fsdp": -1, "tensor": 1, "context": 1}
    assert plain["mesh"] == {**sizes, "preset": ""}


if __name__ == "__main__":
    for case in CASES:
        golden_path(*case).write_text(golden_text(load(*case)))
