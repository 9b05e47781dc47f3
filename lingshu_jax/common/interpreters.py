# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Other Python interpreters, for work whose packages this environment need not have."""

import importlib.util
import shutil
import sys
from collections.abc import Sequence

from lingshu_jax.common import errors


def find(python: str, *, needs: Sequence[str], what: str, how: str) -> str:
    """The interpreter that some work is done with.

    Args:
      python: A path or a name; "" is this one.
      needs: Packages that this one has to have; another one is not asked.
      what: What needs them, for the error, as "embeddings".
      how: How to make such an environment, for the error.

    Raises:
      UserError: If there is no such interpreter, or this one is meant and lacks a package.
    """
    if python:
        if shutil.which(python) is None:
            raise errors.UserError(f"no interpreter {python}; to make one: {how}")
        return python
    lacking = [name for name in needs if importlib.util.find_spec(name) is None]
    if lacking:
        raise errors.UserError(
            f"{what} need {' and '.join(lacking)}, which this environment has not; to make "
            f"another: {how}"
        )
    return sys.executable
