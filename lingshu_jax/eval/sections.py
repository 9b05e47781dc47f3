# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation holds besides verdicts: OUTPUT_DIR/sections/NAME.json, parts of the report.

A file is written whole and in the end, so that one that is there is complete.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lingshu_jax.eval import folder

FOLDER = "sections"


def write(output_dir: Path, name: str, content: Mapping[str, Any]) -> None:
    """Writes a section, over an older one of this name.

    Args:
      output_dir: Of the evaluation.
      name: Of the section.
      content: In JSON values; `remarks` are sentences, `benchmarks` has numbers by benchmark.
    """
    (output_dir / FOLDER).mkdir(exist_ok=True)
    folder.write_text(output_dir / FOLDER / f"{name}.json", folder.dump(content))


def read(output_dir: Path) -> dict[str, dict[str, Any]]:
    """All sections that an evaluation has, by name.

    Args:
      output_dir: Of the evaluation.
    """
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((output_dir / FOLDER).glob("*.json"))
    }
