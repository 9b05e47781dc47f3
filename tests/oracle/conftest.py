# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that run beside torch and transformers; both are imported here only.

Collecting these tests needs neither, so `make test` can deselect them by their marker.
"""

import importlib
import types
import warnings
from collections.abc import Sequence
from typing import Any

import pytest

from tests.oracle import figures as figures_lib

# What a test runs over, by the name of its argument, and how many of them in the short form.
CHOICES: dict[str, tuple[Sequence[Any], int]] = {
    "checkpoint_seed": (range(40), 6),
    "large_seed": (range(100, 106), 1),
    "video_seed": (range(200, 204), 1),
    "wide_model": (("7b", "32b"), 1),
    "training_setting": (("untied", "tied_accumulated", "text_frozen"), 1),
}
FIGURES = pytest.StashKey[figures_lib.Figures]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test runs once for each of the choices it takes: seeds of random checkpoints, sizes."""
    for name in CHOICES.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(name, _chosen(metafunc.config, name), scope="module")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The figures for docs/parity.md."""
    figures = config.stash.get(FIGURES, None)
    if figures is not None and figures.lines():
        terminalreporter.section("largest differences from the oracle")
        for line in figures.lines():
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist sends its figures home."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None and FIGURES in session.config.stash:
        output["figures"] = session.config.stash[FIGURES].to_dict()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Joins what a worker sent to the figures of the run."""
    if sent := getattr(node, "workeroutput", {}).get("figures"):
        node.config.stash.setdefault(FIGURES, figures_lib.Figures()).join(sent)


def _chosen(config: pytest.Config, name: str) -> Sequence[Any]:
    choices, short = CHOICES[name]
    return choices[:short] if config.getoption("--reduced") else choices


@pytest.fixture(scope="session")
def checkpoint_seeds(request: pytest.FixtureRequest) -> Sequence[int]:
    """All of this run."""
    return _chosen(request.config, "checkpoint_seed")


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> figures_lib.Figures:
    """Collects the differences; the largest are printed at the end of the run."""
    return request.config.stash.setdefault(FIGURES, figures_lib.Figures())


@pytest.fixture(scope="session")
def oracle_side() -> types.ModuleType:
    """The script that builds and runs tiny models in transformers, imported with torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of third parties, while they are imported
        module = importlib.import_module("tests.make_golden.qwen2_5_vl")
    module.torch.set_num_threads(1)  # of small matrices a second thread computes none faster
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
