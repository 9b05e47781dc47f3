# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Live weights on their way: what a receiver finds in the shared memory is an export's tensors."""

import dataclasses
import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from lingshu_jax.common import errors, sharding
from lingshu_jax.engines import vllm_weights
from lingshu_jax.models import axes, hf, lora
from tests import small

TIED = dataclasses.replace(
    small.SIZE, text=dataclasses.replace(small.SIZE.text, tie_embeddings=True)
)


class Reader:
    """Reads buckets as vLLM's workers do, through their path and a description in JSON."""

    def __init__(self, fails_at: str = ""):
        self.calls: list[str] = []
        self.tensors: dict[str, np.ndarray] = {}
        self.buckets: list[int] = []
        self._fails_at = fails_at

    def start_weight_update(self) -> None:
        self._note("start")

    def update_weights(self, update_info: dict[str, Any]) -> None:
        self._note("update")
        info = json.loads(json.dumps(update_info))
        memory = np.memmap(info["path"], np.uint8, "r", shape=(info["num_bytes"],))
        self.buckets.append(len(info["tensors"]))
        for tensor in info["tensors"]:
            dtype = np.dtype(getattr(ml_dtypes, tensor["dtype"], tensor["dtype"]))
            count = int(np.prod(tensor["shape"])) * dtype.itemsize
            values = memory[tensor["offset"] : tensor["offset"] + count].view(dtype)
            assert tensor["name"] not in self.tensors
            self.tensors[tensor["name"]] = np.array(values.reshape(tensor["shape"]))

    def finish_weight_update(self) -> None:
        self._note("finish")

    def close(self) -> None:
        self.calls.append("close")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call == self._fails_at:
            raise errors.UserError(f"{call} fails")


def send(params: Any, reader: Reader, **options: Any) -> vllm_weights.Sync:
    size = options.pop("size", small.SIZE)
    dtype = jnp.dtype(options.pop("dtype", "float32"))
    return vllm_weights.send(params, size, reader, dtype=dtype, **options)


def expect(reader: Reader, params: Any, size: Any = small.SIZE, dtype: Any = np.float32) -> None:
    wanted = dict(hf.hub_tensors(params, size))
    assert reader.tensors.keys() == wanted.keys()
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(reader.tensors[name], tensor.astype(dtype), err_msg=name)


@pytest.mark.parametrize("size", [small.SIZE, TIED], ids=["untied", "tied"])
@pytest.mark.parametrize("bucket_bytes", [1, 20_000, 2**28])
def test_all_tensors_arrive_whatever_the_buckets(size: Any, bucket_bytes: int) -> None:
    params, reader = small.random_params(size), Reader()
    sync = send(params, reader, size=size, bucket_bytes=bucket_bytes)
    expect(reader, params, size)
    assert reader.calls == ["start", *["update"] * len(reader.buckets), "finish"]
    assert sync.num_bytes == sum(t.nbytes for t in reader.tensors.values()) and sync.seconds > 0
    if bucket_bytes == 1:
        assert set(reader.buckets) == {1}
    if bucket_bytes == 2**28:
        assert len(reader.buckets) == 1


def test_tensors_of_a_layer_follow_each_other() -> None:
    reader = Reader()
    send(small.random_params(), reader)
    found = [re.match(r"(model\.layers|visual\.blocks)\.\d+", name) for name in reader.tensors]
    layers = [match[0] for match in found if match]
    changes = sum(one != other for one, other in zip(layers, layers[1:], strict=False))
    assert changes == len(set(layers)) - 1


def test_weights_come_in_the_engines_dtype() -> None:
    params, reader = small.random_params(), Reader()
    sync = send(params, reader, dtype="bfloat16")
    expect(reader, params, dtype=ml_dtypes.bfloat16)
    assert sync.num_bytes == sum(2 * tensor.size for tensor in reader.tensors.values())


def test_sharded_parameters_arrive_whole() -> None:
    params, reader = small.random_params(), Reader()
    mesh = sharding.make_mesh({"fsdp": 2, "tensor": 2}, jax.devices()[:4])
    places = sharding.param_shardings(params, axes.PARAM_AXES, mesh)
    sharded = jax.device_put(params, places)
    assert not all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(sharded))
    send(sharded, reader)
    expect(reader, params)


def test_adapters_are_merged_on_the_way(key: jax.Array) -> None:
    params = jax.tree.map(jnp.asarray, small.random_params())
    adapted = lora.add(params, "text/layers/attention/q", rank=2, alpha=4.0, key=key)
    attention = adapted["text"]["layers"]["attention"]["q"]
    attention["lora_b"] = jnp.ones_like(attention["lora_b"])
    reader, plain = Reader(), Reader()
    send(adapted, reader)
    send(params, plain)
    changed = {n for n, t in reader.tensors.items() if not np.array_equal(t, plain.tensors[n])}
    assert changed == {f"model.layers.{i}.self_attn.q_proj.weight" for i in range(2)}
    merged = jax.tree.map(np.asarray, lora.merge(adapted))
    for name, tensor in hf.hub_tensors(merged, small.SIZE):
        np.testing.assert_allclose(reader.tensors[name], tensor, rtol=1e-6, err_msg=name)


def test_parameters_of_another_model_are_refused_before_anything_is_sent() -> None:
    reader = Reader()
    params = small.random_params()
    params["text"]["norm"]["scale"] = params["text"]["norm"]["scale"][:-1]
    with pytest.raises(errors.UserError, match="of another shape are .*text/norm/scale"):
        send(params, reader)
    del params["text"]["norm"]
    with pytest.raises(errors.UserError, match="missing, .*text/norm/scale"):
        send(params, reader)
    assert reader.calls == []


@pytest.mark.parametrize("call", ["start", "update", "finish"])
def test_a_failure_on_the_way_ends_the_engine(call: str) -> None:
    reader = Reader(fails_at=call)
    with pytest.raises(errors.UserError, match=f"{call} fails"):
        send(small.random_params(), reader)
    assert reader.calls[-2:] == [call, "close"]
