# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The comparison that users run on their own weights, on a random folder and a damaged one."""

import dataclasses
import gc
import pathlib
import shutil
import types
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from lingshu_jax import verify, verify_prompts, verify_sides
from lingshu_jax.common import errors
from lingshu_jax.data import tokenizer_files
from tests.oracle import checkpoints

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

SEED, WORDS = 4, 256  # the byte-level tokenizer without merges; the special tokens follow


@pytest.fixture(scope="module")
def folder(oracle_side: types.ModuleType, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    drawn = checkpoints.random_model(SEED)
    model = dataclasses.replace(drawn, num_text_tokens=WORDS, vocab_size=WORDS + 25)
    target = tmp_path_factory.mktemp("verify") / "hf"
    oracle_side.build(model).save_pretrained(target)
    limits = {"min_pixels": 784, "max_pixels": 24 * 784}
    tokenizer_files.write_tokenizer(target, ["abc"], WORDS, **limits)
    return target


@pytest.fixture
def perturbed(folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes transformers read a twin of the folder in which one tensor is a little different."""
    twin = tmp_path / "twin"
    shutil.copytree(folder, twin)
    theirs = verify_sides.theirs
    monkeypatch.setattr(verify_sides, "theirs", lambda _, *a, **k: theirs(twin, *a, **k))

    def change(part: str) -> None:
        path = twin / "model.safetensors"
        tensors = safetensors.numpy.load_file(path)
        (name,) = (name for name in tensors if name.endswith(part))
        tensors[name] = tensors[name] * np.float32(1.01)
        safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})

    return change


def test_a_random_folder_agrees(folder: pathlib.Path, reduced: bool) -> None:
    prompts = verify_prompts.bundled()
    found = verify.run(folder, prompts[1::3] if reduced else prompts)
    print("\n" + verify.format_table(found))
    assert found.agrees, found.faults
    assert found.model == f"{folder.parent.name}/hf"
    assert found.parameters[0] == found.parameters[1] > 0
    assert list(found.rows) == ["float32", "bfloat16"]
    assert {"jax", "transformers", "torch"} <= found.versions.keys()
    for row in found.rows["float32"]:
        assert 0 < row.distance.logits < verify.MAX_LOGITS / 2
        assert row.distance.logprobs < 1e-4
        assert row.same_choice > 0.99
        assert row.equal_tokens > 0
    for row in found.rows["bfloat16"]:
        assert row.ours_from_float32 and row.theirs_from_float32
        assert 1e-3 < row.theirs_from_float32.logits < 0.3
        # Both round alike: neither is several times as far away as the other.
        ratio = row.ours_from_float32.logits / row.theirs_from_float32.logits
        assert 1 / 3 < ratio < 3, row


@pytest.mark.parametrize(
    "part", ["layers.0.self_attn.k_proj.weight", "blocks.1.attn.qkv.weight", "merger.ln_q.weight"]
)
def test_one_other_tensor_differs(folder: pathlib.Path, perturbed: Any, part: str) -> None:
    """The twin: one tensor of theirs is one part in a hundred larger."""
    perturbed(part)
    prompts = [p for p in verify_prompts.bundled() if p.name != "text alone"][:1]
    found = verify.run(folder, prompts, dtypes=("float32",), new_tokens=4)
    assert not found.agrees
    assert found.rows["float32"][0].distance.logits > verify.MAX_LOGITS
    assert verify.format_table(found).splitlines()[-1].startswith("**differs**: float32, ")


def test_a_chat_template_of_their_own_is_noticed(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    template = (other / "chat_template.jinja").read_text()
    changed = template.replace("You are a helpful", "You are an unhelpful")
    (other / "chat_template.jinja").write_text(changed)
    prompts = verify_prompts.bundled()[:1]
    found = verify.run(other, prompts, dtypes=("float32",), new_tokens=4)
    assert [fault.split(": ")[1][:6] for fault in found.faults] == ["token "]


def test_a_model_of_the_cache_is_named_by_its_id(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    cached = tmp_path / "models--some-org--model" / "snapshots" / ("a" * 40)
    shutil.copytree(folder, cached)
    prompts = verify_prompts.bundled()[3:4]
    found = verify.run(cached, prompts, dtypes=("float32",), new_tokens=4)
    assert found.model == f"some-org/model@{'a' * 40}" and found.agrees


def test_one_model_is_in_memory_at_a_time(
    folder: pathlib.Path, oracle_side: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, alive = verify_sides.ours, []
    model_class = oracle_side.Qwen2_5_VLForConditionalGeneration
    before = sum(isinstance(thing, model_class) for thing in gc.get_objects())

    def counted(*args: Any, **options: Any) -> verify_sides.Side:
        alive.append(sum(isinstance(thing, model_class) for thing in gc.get_objects()) - before)
        return ours(*args, **options)

    monkeypatch.setattr(verify_sides, "ours", counted)
    prompts = verify_prompts.bundled()[3:4]
    verify.run(folder, prompts, dtypes=("float32",), new_tokens=2)
    assert alive == [0]


def test_what_transformers_does_not_load_is_one_line(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(errors.UserError):
        verify.run(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(errors.UserError, match="transformers does not load"):
        verify_sides.theirs(tmp_path, [], "float32", new_tokens=1)
