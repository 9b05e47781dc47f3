# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Every published size as shapes only: counts, a golden text of parameters, the two tables.

A changed golden is a breaking change: freezing patterns, sharding tables, checkpoints and the
weight map all speak these names. `python -m tests.models.test_sizes` writes them again.
"""

import dataclasses
import functools
import math
import pathlib
import re
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from lingshu_jax.common import errors, sharding
from lingshu_jax.models import axes, hf, lora, qwen2_5_vl, sizes
from tests import small

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
EACH_SIZE = pytest.mark.parametrize("name", sizes.SIZES)
# total, language model, tower, merger: counted independently of us (issue, reference)
COUNTS = {
    "3b": (3_754_622_976, 3_085_938_688, 631_975_680, 36_708_608),
    "7b": (8_292_166_656, 7_615_616_512, 631_975_680, 44_574_464),
    "32b": (33_452_718_336, 32_763_876_352, 636_401_664, 52_440_320),
    "72b": (73_410_777_344, 72_706_203_648, 636_401_664, 68_172_032),
}


@functools.cache
def leaves(name: str, dtype: str = "bfloat16") -> dict[str, Any]:
    abstract = qwen2_5_vl.abstract_params(sizes.get(name), jnp.dtype(dtype))
    flat = jax.tree_util.tree_leaves_with_path(abstract)
    return {sharding.path_name(path): leaf for path, leaf in flat}


def golden_text(params: dict[str, Any]) -> str:
    lines = (f"{name}\t{tuple(leaf.shape)}\t{leaf.dtype}\n" for name, leaf in params.items())
    return "".join(sorted(lines))


def part_counts(params: dict[str, Any]) -> tuple[int, ...]:
    def count(prefix: str) -> int:
        return sum(math.prod(x.shape) for name, x in params.items() if name.startswith(prefix))

    return count(""), count("text/"), count("vision/"), count("merger/")


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name: str) -> None:
    assert part_counts(leaves(name)) == COUNTS[name]


def test_a_wider_tower_is_counted() -> None:
    size = sizes.get("7b")
    wider = dataclasses.replace(size.vision, mlp_dim=3456)
    size = dataclasses.replace(size, vision=wider)
    flat = jax.tree.leaves(qwen2_5_vl.abstract_params(size, jnp.dtype(jnp.bfloat16)))
    assert sum(math.prod(leaf.shape) for leaf in flat) - COUNTS["7b"][0] == 636401664 - 631975680


@EACH_SIZE
def test_parameters_equal_their_golden_text(name: str) -> None:
    golden = (GOLDEN / f"params_{name}.txt").read_text()
    assert golden_text(leaves(name)) == golden


def test_another_name_shape_or_dtype_would_differ() -> None:
    golden = (GOLDEN / "params_3b.txt").read_text()
    params = dict(leaves("3b"))
    params["text/layers/norm3/scale"] = params.pop("text/layers/norm1/scale")
    for other in (params, leaves("3b", "float32"), leaves("7b")):
        assert golden_text(other) != golden


def rows_met(name: str, patterns: Iterable[str]) -> list[str]:
    return [pattern for pattern in patterns if re.fullmatch(pattern, name)]


@EACH_SIZE
def test_each_parameter_meets_one_row_of_both_tables(name: str) -> None:
    axis_rows = [pattern for pattern, _ in axes.PARAM_AXES]
    weight_rows = [row.path for row in hf.WEIGHTS]
    for parameter, leaf in leaves(name).items():
        assert len(rows_met(parameter, axis_rows)) == 1, parameter
        assert weight_rows.count(parameter) == 1, parameter
        assert len(sharding.logical_axes(parameter, axes.PARAM_AXES)) == leaf.ndim, parameter


def test_each_row_is_met_by_a_parameter(key: jax.Array) -> None:
    untied = leaves("7b")
    adapted = lora.add(small.random_params(), ".*", rank=1, alpha=1.0, key=key)
    paths, _ = zip(*jax.tree_util.tree_leaves_with_path(adapted), strict=True)
    names = {*untied, *map(sharding.path_name, paths)}
    for pattern, _ in axes.PARAM_AXES:
        assert any(re.fullmatch(pattern, name) for name in names), pattern
    assert {row.path for row in hf.WEIGHTS} == set(untied)
    assert set(untied) - set(leaves("3b")) == {"text/head"}  # 3B alone is tied


@EACH_SIZE
def test_sizes_are_valid(name: str) -> None:
    size = sizes.get(name)
    size.validate()
    vocabulary = size.text.vocab_size
    assert all(0 < id_ < vocabulary for id_ in dataclasses.astuple(size.special))


def test_unknown_size_lists_the_known() -> None:
    with pytest.raises(errors.UserError, match="'8b'; known: tiny, small, base, 3b, 7b, 32b, 72b"):
        sizes.get("8b")


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("text", "num_heads", 3, "num_attention_heads 3 is not a multiple"),
        ("text", "mrope_section", (3, 4, 4), r"mrope_section \(3, 4, 4\) must sum to half"),
        ("vision", "embed_dim", 36, "vision width 36 must be a multiple of 4 times"),
        ("vision", "full_attention_layers", (1, 4), r"\[4\] are outside 0..3"),
    ],
)
def test_sizes_that_cannot_go_together(part: str, field: str, value: Any, message: str) -> None:
    changed = dataclasses.replace(getattr(small.SIZE, part), **{field: value})
    with pytest.raises(errors.UserError, match=message):
        dataclasses.replace(small.SIZE, **{part: changed}).validate()


if __name__ == "__main__":
    for size_name in sizes.SIZES:
        (GOLDEN / f"params_{size_name}.txt").write_text(golden_text(leaves(size_name)))
