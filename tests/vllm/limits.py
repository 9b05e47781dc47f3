# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What vLLM is given in these tests, in process and as a server."""

MAX_IMAGES, MAX_TOKENS = 2, 1024
OPTIONS = {
    "enforce_eager": True,
    "kv_cache_memory_bytes": 64 * 2**20,  # vLLM's default is most of the machine's memory
}
