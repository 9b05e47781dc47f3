# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import os
import pathlib

import pytest

from data_tools import engine


@pytest.fixture(scope="session", autouse=True)
def local_engine():
    """Work in processes of this machine, which find the classes of the tests."""
    root = str(pathlib.Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    engine.start("local")
