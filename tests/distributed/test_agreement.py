# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Two processes have the values that the first one made."""

import pathlib

from lingshu_jax.rl import agreement
from tests.distributed import processes


def test_all_have_what_the_main_process_made(tmp_path: pathlib.Path) -> None:
    with processes.joined(2, "tests.distributed.agreeing", [], folder=tmp_path) as group:
        group.finish()
        said = "told {'from': 0, 'text': 'é', 'floats': [0.30000000000000004, -5e-324]} []"
        assert [said in group.output(index) for index in range(2)] == [True, True]


def test_one_process_asks_nobody() -> None:
    value = object()
    assert agreement.from_main(lambda: value) is value
