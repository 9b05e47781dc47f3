# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which attention backend a run takes, and the check that a kernel must pass before it is taken.

The kernels use private functions of JAX or of the GPU's libraries, so each is compared with the
portable backend on the very device that will train, values and gradients, before "auto" takes it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from lingshu_jax.common import errors
from lingshu_jax.models import attention, attention_masks, attention_xla

AUTO, PORTABLE = "auto", "xla"
NAMES = (AUTO, *attention.BACKENDS)
# The kernels of each platform, the best first.
LADDER: Mapping[str, tuple[str, ...]] = {"tpu": ("splash",), "gpu": ("tokamax", "cudnn")}
# Versions of JAX on which the tests found a kernel equal to the portable backend. It decides where
# there is no device to run the check on, as when programs are only compiled. splash: emulated on a
# CPU (tests/models/test_attention_splash.py) and compiled for TPU; the others cannot be emulated.
PASSED: Mapping[str, tuple[str, ...]] = {
    "splash": ("0.10.2", "0.11.2"),
    "tokamax": (),
    "cudnn": (),
}
# Of the largest value: in bfloat16 the portable backend itself is off by 1e-2, a wrong mask by 1.
TOLERANCE = 3e-2
# What a kernel raises that the device, the driver or the version cannot run.
FAILURES = (RuntimeError, ValueError, TypeError, AttributeError, AssertionError, ImportError)


@dataclasses.dataclass(frozen=True)
class Case:
    """One comparison: a packed row as the model makes it.

    Attributes:
      name: For messages.
      parts: Segment ids and their shares of the row, in order.
      causal: Text, or else a vision layer.
      heads: Query heads and key/value heads.
      width: Of a head.
    """

    name: str
    parts: tuple[tuple[int, float], ...]
    causal: bool
    heads: tuple[int, int]
    width: int


_BRANCHES = tuple(1 + b * attention_masks.BRANCH for b in (1, 2))
CASES = (
    Case("packed", ((1, 0.3), (2, 0.1), (3, 0.45), (0, 0.15)), True, (6, 2), 128),
    Case("images", ((1, 0.4), (2, 0.45), (0, 0.15)), False, (2, 2), 80),
    Case("frames", ((2, 0.2), (1, 0.35), (2, 0.3), (0, 0.15)), False, (2, 2), 80),
    Case(
        "forked",
        ((1, 0.3), (_BRANCHES[0], 0.25), (_BRANCHES[1], 0.2), (2, 0.25)),
        True,
        (4, 2),
        128,
    ),
)
LENGTH = 1536  # tokens of a row: several blocks of every kernel


def choose(requested: str, platform: str, device_kind: str = "", *, dtype: str = "bfloat16") -> str:
    """The backend that a program is compiled with.

    Args:
      requested: "auto", or a backend by name, which is taken with a warning where its test has
        not passed on this version.
      platform: "cpu", "gpu" or "tpu": where the program will run.
      device_kind: Of that device, for messages.
      dtype: That the model computes in.

    Returns:
      One of `attention.BACKENDS`. "auto" is the first of the platform's kernels that passes the
      check on the device that is here, or, where there is none of the platform, whose tests have
      passed on this version; else the portable backend. Each verdict is logged.

    Raises:
      UserError: If the name is unknown or belongs to another platform.
    """
    errors.require(requested in NAMES, "model.attention", requested, f"one of {NAMES}")
    kernels = LADDER.get(platform, ())
    if requested not in (AUTO, PORTABLE, *kernels):
        raise errors.UserError(
            f"attention backend {requested!r} does not run on {platform}; there it is "
            f"{' or '.join((AUTO, PORTABLE, *kernels))}"
        )
    where = f"{device_kind or platform}, jax {jax.__version__}"
    if requested != AUTO:
        if requested != PORTABLE and jax.__version__ not in PASSED[requested]:
            logging.warning("attention: %s as asked, not shown right on %s", requested, where)
        return requested
    if platform == "gpu" and dtype == "float32":
        logging.info("attention: %s, because no kernel of a GPU computes in float32", PORTABLE)
        return PORTABLE
    is_here = jax.default_backend() == platform
    for kernel in kernels:
        has_passed, shown = _check_everywhere(kernel) if is_here else _look_up(kernel)
        verdict = "is taken" if has_passed else "is not taken"
        logging.info("attention: %s %s on %s: %s", kernel, verdict, where, shown)
        if has_passed:
            return kernel
    return PORTABLE


def _look_up(kernel: str) -> tuple[bool, str]:
    has_passed = jax.__version__ in PASSED[kernel]
    return has_passed, f"its tests {'passed' if has_passed else 'have not passed'} on this version"


def _check_everywhere(kernel: str) -> tuple[bool, str]:
    """Whether the kernel passes in every process, and what was found in this one."""
    try:
        gaps = {case.name: gap(attention.KERNELS[kernel], case, LENGTH) for case in CASES}
    except FAILURES as failure:
        has_passed, shown = False, f"{type(failure).__name__}: {failure}".splitlines()[0]
    else:
        has_passed = max(gaps.values()) < TOLERANCE
        shown = ", ".join(f"{name} off by {value:.1e}" for name, value in gaps.items())
    if jax.process_count() > 1:
        has_passed = bool(multihost_utils.process_allgather(np.array(has_passed)).all())
    return has_passed, shown


def gap(kernel: Callable[..., Any], case: Case, length: int) -> float:
    """The largest difference from the portable backend in float32.

    Args:
      kernel: As in `attention.KERNELS`.
      case: What is compared.
      length: Tokens of a row.

    Returns:
      Over output and gradients, relative to the largest value of each; infinity if one is not
      finite.
    """
    rng = np.random.default_rng(0)
    ids = np.stack([_make_ids(parts, length) for parts in (case.parts, case.parts[:2])])
    segments = jnp.asarray(ids)
    q, k, v, d_out = (
        jnp.asarray(rng.standard_normal((2, length, heads, case.width)), jnp.bfloat16)
        for heads in (case.heads[0], case.heads[1], case.heads[1], case.heads[0])
    )

    def run(attend, *arrays):
        def forward(q, k, v):
            return attend(q, k, v, (segments, segments), causal=case.causal)

        def both(q, k, v, d_out):
            out, pull = jax.vjp(forward, q, k, v)
            return [out, *pull(d_out)]

        return jax.jit(both)(*arrays)

    found = run(kernel, q, k, v, d_out)
    with jax.default_matmul_precision("highest"):
        exact = [x.astype(jnp.float32) for x in (q, k, v, d_out)]
        wanted = run(attention_xla.attend, *exact)
    is_real = ids[:, :, None, None] > 0
    gaps = []
    for one, other in zip(found, wanted, strict=True):
        difference = np.where(is_real, np.asarray(one, np.float32) - np.asarray(other), 0)
        gaps.append(np.abs(difference).max() / np.abs(np.where(is_real, other, 0)).max())
    return float(np.max(gaps)) if np.isfinite(gaps).all() else float("inf")


def _make_ids(parts: tuple[tuple[int, float], ...], length: int) -> np.ndarray:
    """Segment ids of a row; the last part goes to its end."""
    ends = np.cumsum([share for _, share in parts]) * length
    ends[-1] = length
    index = np.searchsorted(ends, np.arange(length), side="right")
    return np.array([segment for segment, _ in parts], np.int32)[index]
