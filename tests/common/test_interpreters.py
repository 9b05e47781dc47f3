# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import sys

import pytest

from lingshu_jax.common import errors, interpreters


def find(python: str, *needs: str) -> str:
    return interpreters.find(python, needs=needs, what="pictures", how="make one")


def test_this_one_is_taken_if_it_has_what_is_needed() -> None:
    assert find("", "numpy", "json") == sys.executable


def test_what_this_one_lacks_is_named() -> None:
    with pytest.raises(errors.UserError, match=r"^pictures need no_such, which .* make one$"):
        find("", "numpy", "no_such")


def test_another_one_is_not_asked_what_it_has() -> None:
    assert find(sys.executable, "no_such") == sys.executable
    with pytest.raises(errors.UserError, match="no interpreter /no/python; to make one: make one"):
        find("/no/python")
