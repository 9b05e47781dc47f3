# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Lets orbax write arrays to `s3://` as it writes them to `gs://`.

One function of orbax says where the arrays of a folder lie. In orbax 0.12 it knows local paths and
`gs://` only, though tensorstore below it has a driver for S3 (google/orbax pull request 2739, still
open). An orbax that has lost the function refuses such a path: no array ends in a wrong place.
"""

from collections.abc import Callable
from typing import Any

from lingshu_jax.common import paths


def extended(build_spec: Callable[..., Any]) -> Callable[..., Any]:
    """The function with `s3://` added.

    Args:
      build_spec: Takes a folder first and returns a key-value spec of tensorstore.
    """

    def build(directory: str, *args: Any, **kwargs: Any) -> Any:
        if not directory.startswith("s3://"):
            return build_spec(directory, *args, **kwargs)
        # Names and layout of the files are those of gs://; only the driver differs.
        as_gs = f"gs://{directory.removeprefix('s3://')}"
        return _with_s3(build_spec(as_gs, *args, **kwargs))

    return build


def _with_s3(spec: Any) -> Any:
    if isinstance(spec, list):
        return [_with_s3(part) for part in spec]
    if not isinstance(spec, dict):
        return spec
    spec = {name: _with_s3(value) for name, value in spec.items()}
    if str(spec.get("driver")).startswith("gcs"):
        spec |= {"driver": "s3", **paths.s3_settings()}
    return spec
