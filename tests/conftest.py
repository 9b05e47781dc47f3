# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What every test runs under: 8 CPU devices, quick compilation, full matmul precision.

Nothing of lingshu_jax is imported here: modules imported before the jaxtyping hook is installed
would run unchecked.
"""

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

# Before JAX is imported. A TPU or GPU group sets JAX_PLATFORMS itself; no test reaches for a hub.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Compiled programs stay between runs, and commands started by a test share them.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "lingshu_jax", "tests"
    ),
)
# Nearly every program runs a few times at most: without LLVM's optimisations and the newer emitters
# of fusions it compiles several times faster. What is in the environment already stands behind.
os.environ["XLA_FLAGS"] = " ".join(
    [
        *(
            "--xla_backend_optimization_level=0",
            "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
        )
        * (os.environ["JAX_PLATFORMS"] == "cpu"),
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
    ]
)

import jax
import numpy as np
import pytest

REPO = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reduced", action="store_true", help="the short form of the slow groups")


def pytest_configure(config: pytest.Config) -> None:
    # Where one of these is set pytest shows the whole difference of two unequal values, and takes
    # minutes for two tensors that a test expects to differ.
    for name in ("CI", "BUILD_NUMBER"):
        os.environ.pop(name, None)
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_default_matmul_precision", "highest")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture
def key() -> jax.Array:
    """The one seed of the tests, as a JAX key."""
    return jax.random.key(0)


@pytest.fixture
def rng() -> np.random.Generator:
    """The one seed of the tests, for numpy."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _described_devices(request: pytest.FixtureRequest) -> Iterator[None]:
    """Programs for devices that are not here stay out of the persistent cache."""
    if not request.node.get_closest_marker("aot"):
        yield
        return
    runtime = importlib.import_module("lingshu_jax.common.runtime")
    with runtime.without_compilation_cache():
        yield


@pytest.fixture
def strict_dtypes() -> Iterator[None]:
    """No implicit dtype promotion. For our pure functions: linen and optax do not pass under it."""
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the checkout."""
    return REPO


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The data that may lie beside the checkout; a test that needs it is skipped without it."""
    folder = REPO.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the data folder ../shared beside the checkout")
    return folder


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete Hugging Face folder of the model of `tests/small.py`."""
    small = importlib.import_module("tests.small")
    return small.write_folder(tmp_path_factory.mktemp("small") / "hf")


@pytest.fixture(scope="session")
def small_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows.jsonl, twelve conversations, and their pictures."""
    small = importlib.import_module("tests.small")
    return small.write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="session")
def reduced(request: pytest.FixtureRequest) -> bool:
    """True when a slow group runs in its short form."""
    return bool(request.config.getoption("--reduced"))


@pytest.fixture(scope="session")
def side_python() -> Callable[[str], Path]:
    """Finds the interpreter of a side environment (`make long` makes them from envs/*.txt)."""

    def find(name: str) -> Path:
        python = REPO / f".venv-{name}" / "bin" / "python"
        if not python.exists():
            pytest.skip(f"needs the environment .venv-{name}; `make long GROUP={name}` makes it")
        return python

    return find
