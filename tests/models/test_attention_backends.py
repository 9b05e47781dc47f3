# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What "auto" takes, and that a kernel which is wrong in any way is not taken."""

import logging
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from lingshu_jax.common import errors
from lingshu_jax.models import attention, attention_backends, attention_masks, attention_xla

Kernel = Callable[..., Any]


def unpacked(q: Any, k: Any, v: Any, ids: Any, *, causal: bool) -> Any:
    """Takes a packed row for one document."""
    return attention_xla.attend(q, k, v, (ids[0] * 0, ids[1] * 0), causal=causal)


def ungrouped(q: Any, k: Any, v: Any, ids: Any, *, causal: bool) -> Any:
    """Gives the heads of one group to several key/value heads."""
    heads, kv_heads = q.shape[2], k.shape[2]
    mixed = jnp.arange(heads).reshape(kv_heads, -1).T.reshape(-1)
    return attention_xla.attend(q[:, :, mixed], k, v, ids, causal=causal)[:, :, mixed]


def blind_to_trunks(q: Any, k: Any, v: Any, ids: Any, *, causal: bool) -> Any:
    """Takes each branch for a document of its own."""
    parts = [ids[0] // attention_masks.BRANCH, ids[0] % attention_masks.BRANCH]
    own = parts[0] + 50 * parts[1]
    return attention_xla.attend(q, k, v, (own, own), causal=causal)


def without_gradients(q: Any, k: Any, v: Any, ids: Any, *, causal: bool) -> Any:
    """Right in its values alone."""
    return attention_xla.attend(q, k, jax.lax.stop_gradient(v), ids, causal=causal)


def not_finite(q: Any, k: Any, v: Any, ids: Any, *, causal: bool) -> Any:
    return attention_xla.attend(q, k, v, ids, causal=causal) * jnp.nan


def refusing(q: Any, k: Any, v: Any, ids: Any, *, causal: bool) -> Any:
    raise NotImplementedError("Packed layout requires a newer device.")


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Callable[[Kernel, str], str]:
    """`choose` where the devices that are here have this kernel; one case is quicker."""

    def run(kernel: Kernel, name: str) -> str:
        cases = [case for case in attention_backends.CASES if case.name == name]
        monkeypatch.setattr(attention_backends, "CASES", cases)
        monkeypatch.setitem(attention.KERNELS, "splash", kernel)
        monkeypatch.setitem(attention_backends.LADDER, "cpu", ("splash",))
        monkeypatch.setattr(attention_backends, "LENGTH", 200)
        return attention_backends.choose("auto", "cpu")

    return run


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="absl")
    return caplog


def test_a_kernel_that_is_right_is_taken(
    live: Callable[[Kernel, str], str], messages: pytest.LogCaptureFixture
) -> None:
    assert live(attention_xla.attend, "forked") == "splash"
    (line,) = messages.messages
    assert line.startswith("attention: splash is taken on cpu") and "forked off by" in line


@pytest.mark.parametrize(
    ("kernel", "name"),
    [
        (unpacked, "frames"),
        (ungrouped, "packed"),
        (blind_to_trunks, "forked"),
        (without_gradients, "frames"),
        (not_finite, "frames"),
        (refusing, "packed"),
    ],
)
def test_a_kernel_that_is_wrong_is_not_taken(
    live: Callable[[Kernel, str], str],
    messages: pytest.LogCaptureFixture,
    kernel: Kernel,
    name: str,
) -> None:
    assert live(kernel, name) == "xla"
    (line,) = messages.messages
    assert line.startswith("attention: splash is not taken on cpu")
    assert ("NotImplementedError: Packed layout" in line) == (kernel is refusing)


def test_without_a_device_the_table_decides(
    monkeypatch: pytest.MonkeyPatch, messages: pytest.LogCaptureFixture
) -> None:
    assert attention_backends.choose("auto", "tpu", "TPU v5 lite") == "splash"
    assert "its tests passed" in messages.messages[-1]
    monkeypatch.setitem(attention_backends.PASSED, "splash", ("0.1.0",))
    assert attention_backends.choose("auto", "tpu", "TPU v5 lite") == "xla"
    assert "its tests have not passed" in messages.messages[-1]
    assert attention_backends.choose("splash", "tpu", "TPU v5 lite") == "splash"
    assert messages.records[-1].levelno == logging.WARNING


def test_the_portable_backend_is_everywhere(messages: pytest.LogCaptureFixture) -> None:
    chosen = [attention_backends.choose("xla", platform) for platform in ("cpu", "gpu", "tpu")]
    assert [*chosen, attention_backends.choose("auto", "cpu")] == ["xla"] * 4
    assert attention_backends.choose("auto", "gpu", dtype="float32") == "xla"
    assert "float32" in messages.messages[-1]


@pytest.mark.parametrize(
    ("name", "platform", "message"),
    [
        ("flash", "cpu", "config.model.attention must be one of .*, got 'flash'"),
        (
            "splash",
            "gpu",
            "'splash' does not run on gpu; there it is auto or xla or tokamax or cudnn",
        ),
        ("cudnn", "cpu", "'cudnn' does not run on cpu; there it is auto or xla"),
    ],
)
def test_another_name_is_refused(name: str, platform: str, message: str) -> None:
    with pytest.raises(errors.UserError, match=message):
        attention_backends.choose(name, platform)
