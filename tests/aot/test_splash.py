# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The splash kernel compiles for a TPU slice on this host, sharded as a step uses it."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import topologies
from jax.sharding import NamedSharding

from lingshu_jax.common import sharding
from lingshu_jax.models import attention


@pytest.mark.aot
def test_text_attention_compiles_for_v5e(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and backward of 7B at 8,192 tokens, rows over fsdp and heads over tensor."""
    pytest.importorskip("libtpu")
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    devices = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x4").devices
    mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2}, devices)

    def array(shape: tuple[int, ...], dtype: jnp.dtype) -> jax.ShapeDtypeStruct:
        axes = ("batch", None, "heads", None)[: len(shape)]
        placed = NamedSharding(mesh, sharding.activation_spec(shape, axes, mesh))
        return jax.ShapeDtypeStruct(shape, dtype, sharding=placed)

    def loss(q: jax.Array, k: jax.Array, v: jax.Array, ids: jax.Array) -> jax.Array:
        attend = functools.partial(attention.attend, causal=True, backend="splash")
        return jnp.sum(attend(q, k, v, q_segments=ids, kv_segments=ids).astype(jnp.float32))

    heads = [array((4, 8192, count, 128), jnp.dtype(jnp.bfloat16)) for count in (28, 4, 4)]
    with jax.set_mesh(mesh):
        step = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
        compiled = step.lower(*heads, array((4, 8192), jnp.dtype(jnp.int32))).compile()
    # Rows without branches take one pass, forked ones two, forward and backward.
    assert compiled.as_text().count('custom_call_target="tpu_custom_call"') == 6
    assert compiled.memory_analysis().temp_size_in_bytes < 512 << 20
