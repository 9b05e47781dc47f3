# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Fill of packed rows of real data, in a process without the checks of shapes, which are slow."""

import os
import pathlib
import subprocess
import sys

from benchmarks import packing_fill
from lingshu_jax.common import geometry

SCRIPT = """
import pathlib, sys
from benchmarks import packing_fill

data, folder = map(pathlib.Path, sys.argv[1:])
packing_fill.write_sources(data, folder)
_, _, patches, planned, _ = next(packing_fill.fill_rows(data, folder, 8192))
print(patches, *planned.fill)
"""


def test_rows_of_real_data_are_full(
    repo: pathlib.Path, shared_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """VQA-RAD with MedQuAD at 8,192 tokens, the patches of a row computed, last rows included."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(shared_dir / "data"), str(tmp_path)],
        cwd=repo,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    patches_per_row, tokens, patches = map(float, done.stdout.split())
    assert patches_per_row % geometry.QWEN2_5_VL.slot_patches == 0
    assert packing_fill.TOKENS_ASKED <= tokens <= 1
    assert packing_fill.PATCHES_ASKED <= patches <= 1
