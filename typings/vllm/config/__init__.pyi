# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""vLLM is optional and absent where types are checked; everything of it is Any."""

from typing import Any

def __getattr__(name: str) -> Any: ...
