# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What our side and vLLM's processes call each other; imports nothing."""

BACKEND = "lingshu_buckets"  # of vLLM's weight updates
EXTENSION = "lingshu_jax.engines.vllm_worker.Extension"  # a name that vLLM's workers import
LATER = "lingshu_later"  # the load format of a model whose weights come before its first request
