# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What envs/ray.txt leaves to do: `tools/long.sh` runs this with the new environment's python.

The environment takes all but Ray from the one that runs the tests (VENV): both sides of a
comparison then have the same libraries, and nothing is installed twice.
"""

import os
import pathlib
import sysconfig

ours = pathlib.Path(sysconfig.get_path("purelib"))
theirs = pathlib.Path(os.environ.get("VENV") or ".venv").absolute()
# Both are made by the same interpreter, and so are of one shape.
packages = theirs / ours.relative_to(sysconfig.get_path("data"))
if not packages.is_dir():
    raise SystemExit(f"error: VENV={theirs} has no {packages}")
(ours / "beside.pth").write_text(f"{packages}\n", encoding="utf-8")
