# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of curation share: the engine, on this machine."""

import os
import pathlib

import pytest

from data_tools import engine
from tests.data_tools import small_curation


@pytest.fixture(scope="session", autouse=True)
def local_engine():
    """Work in processes of this machine, which find the classes of the tests."""
    root = str(pathlib.Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    engine.start("local")


@pytest.fixture(scope="session")
def curation(local_engine, tmp_path_factory):
    """The folder of a small finished curation, and its summary; nobody changes it."""
    return small_curation.curated(tmp_path_factory.mktemp("curation"))
