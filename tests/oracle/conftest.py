# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that run beside torch and transformers; both are imported here only.

Collecting these tests needs neither, so `make test` can deselect them by their marker.
"""

import importlib
import types
import warnings

import pytest

CHECKPOINTS, REDUCED_CHECKPOINTS = 8, 3


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `seed` runs once for each random checkpoint."""
    if "seed" in metafunc.fixturenames:
        is_reduced = metafunc.config.getoption("--reduced")
        metafunc.parametrize("seed", range(REDUCED_CHECKPOINTS if is_reduced else CHECKPOINTS))


@pytest.fixture(scope="session")
def oracle_side() -> types.ModuleType:
    """The script that builds and runs tiny models in transformers, imported with torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of third parties, while they are imported
        module = importlib.import_module("tests.make_golden.qwen2_5_vl")
    module.torch.set_num_threads(2)
    return module


@pytest.fixture(scope="session")
def transformers() -> types.ModuleType:
    """The library, silent but for errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("transformers")
    module.logging.set_verbosity_error()
    module.logging.disable_progress_bar()
    return module
