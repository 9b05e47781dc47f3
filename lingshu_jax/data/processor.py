# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a Hugging Face folder says about image sizes."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from lingshu_jax.common import errors


class PixelLimits(NamedTuple):
    """Smallest and largest image area, in pixels."""

    smallest: int
    largest: int


HUB_LIMITS = PixelLimits(3136, 12_845_056)


def read_pixel_limits(folder: Path) -> PixelLimits:
    """The limits of preprocessor_config.json; the hub's where no file states them.

    transformers 5 saves all of a processor in processor_config.json, and reads that first.

    Args:
      folder: A Hugging Face folder.

    Raises:
      UserError: If a file is not JSON.
    """
    config = _read_json(folder / "processor_config.json").get("image_processor")
    config = config or _read_json(folder / "preprocessor_config.json")
    # transformers 5 stores areas under names that say edge
    size = config.get("size") or {}
    smallest = config.get("min_pixels") or size.get("shortest_edge") or HUB_LIMITS.smallest
    largest = config.get("max_pixels") or size.get("longest_edge") or HUB_LIMITS.largest
    return PixelLimits(int(smallest), int(largest))


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise errors.UserError(f"{path} is not JSON: {error}") from error
