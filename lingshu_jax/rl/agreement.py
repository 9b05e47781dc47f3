# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Values that the main process makes and all processes have.

What one process reads from its disk, or is told by a reward function of a user, decides which
programs run next: all of them must see the same.
"""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from lingshu_jax.common import runtime


def from_main(make: Callable[[], Any]) -> Any:
    """What the main process makes; the others wait for it.

    Args:
      make: Returns JSON values; where there are several processes, tuples arrive as lists.
    """
    if jax.process_count() == 1:
        return make()
    text = json.dumps(make()).encode() if runtime.is_main_host() else b""
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    sent = np.zeros(length, np.uint8)
    if runtime.is_main_host():
        sent[:] = np.frombuffer(text, np.uint8)
    received = np.asarray(multihost_utils.broadcast_one_to_all(sent), np.uint8)
    return json.loads(received.tobytes())
