# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Lingshu, the medical multimodal foundation model, in JAX."""

__version__ = "0.1.0"
