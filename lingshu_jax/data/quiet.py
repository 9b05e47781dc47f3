# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps the warnings of file readers to themselves.

They warn of every oddity of a file, some quoting header values, and rows are decoded in threads,
where `warnings.catch_warnings` would let one thread restore the filters of another.
"""

import re
import warnings


def ignore_warnings_of(*packages: str) -> None:
    """Ignores, for the rest of the process, what some packages warn of.

    Args:
      packages: Top-level names, as `PIL`. Warnings of every other package stay as they are.
    """
    pattern = rf"({'|'.join(packages)})(\.|$)"
    # Added once only: the list is scanned at every warning. Where the filters were reset, as
    # pytest does before each test, the next file adds it again.
    if ("ignore", None, Warning, re.compile(pattern), 0) not in warnings.filters:
        warnings.filterwarnings("ignore", module=pattern)
