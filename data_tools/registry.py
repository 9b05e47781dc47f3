# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The registry of sources: every set that the paper names (arXiv 2506.07044), and a few more.

An entry says whose a set is, on what terms it may be had, and how its files are laid out; what
could not be checked at the publisher's is said in `unchecked`. Nothing here fetches anything.
"""

from data_tools import (
    registry_captions,
    registry_entry,
    registry_general,
    registry_instructions,
    registry_others,
    registry_photographs,
    registry_radiology,
    registry_text,
)
from lingshu_jax.common import errors

ENTRIES: dict[str, registry_entry.Entry] = {
    entry.key: entry
    for module in (
        registry_captions,
        registry_instructions,
        registry_text,
        registry_radiology,
        registry_photographs,
        registry_general,
        registry_others,
    )
    for entry in module.ENTRIES
}
# What configs/mixtures.py puts behind a set's name: rows chosen for reinforcement learning, and
# answers that a model has written anew.
_ENDINGS = ("_rl", "_rewritten")
SYNTHETIC = "synthetic_"  # sets of the paper that were never published


def get(key: str) -> registry_entry.Entry:
    """The entry of a source.

    Args:
      key: Its key.

    Raises:
      UserError: If there is none; the known keys are listed.
    """
    if key not in ENTRIES:
        raise errors.UserError(
            f"unknown publisher {key!r}; known: {', '.join(sorted(ENTRIES))}; a set of your own has"
            " none"
        )
    return ENTRIES[key]


def of_mixture(name: str) -> registry_entry.Entry | None:
    """The entry of a set of configs/mixtures.py; None for what was never published.

    Args:
      name: As there.

    Raises:
      UserError: If a published set has no entry.
    """
    if name.startswith(SYNTHETIC):
        return None
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return get(name)
