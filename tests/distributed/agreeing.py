# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Prints what the process of this index is told by the main one; for `test_agreement.py`."""

import jax

from lingshu_jax.common import runtime
from lingshu_jax.rl import agreement


def make() -> dict[str, object]:
    """Each process would say something else; floats must come through to the last bit."""
    return {"from": jax.process_index(), "text": "é", "floats": [0.1 + 0.2, -5e-324]}


if __name__ == "__main__":
    runtime.start(several_hosts=True)
    print("told", agreement.from_main(make), agreement.from_main(lambda: []))
