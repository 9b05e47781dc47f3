# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A curation on a Ray cluster of this machine ends with the files of one without it."""

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.kill import curating

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return curating.write_data(tmp_path_factory.mktemp("curate") / "data")


@pytest.fixture(scope="module")
def expected(data: pathlib.Path) -> dict[str, bytes]:
    output = data.parent / "local"
    curating.finish(curating.start(data, output), output)
    return curating.files(output)


def test_a_cluster_gives_the_same_files(
    data: pathlib.Path,
    expected: dict[str, bytes],
    tmp_path: pathlib.Path,
    side_python: Callable[[str], pathlib.Path],
) -> None:
    output = tmp_path / "out"
    process = curating.start(data, output, "--runner=ray", python=side_python("ray"))
    said = curating.finish(process, output)
    assert f"ingest: {curating.ROWS + 75} rows in" in said
    assert "Started a local Ray instance" in output.with_suffix(".log").read_text()
    found = curating.files(output)
    assert curating.differing(found, expected) == []
    records = [name for name in found if re.search(r"everything-train\.array_record", name)]
    assert len(records) > 5 and all(found[name] for name in records)


def test_nothing_is_sent_home(side_python: Callable[[str], pathlib.Path]) -> None:
    """Ray and Daft have been told not to, before they are imported, and in every process."""
    code = """
import os, ray
from data_tools import engine
engine.start("ray")
from ray._common.usage import usage_lib
told = ray.remote(lambda: {name: os.environ[name] for name in engine.QUIET})
print(usage_lib.usage_stats_enabled(), ray.get(told.remote()) == engine.QUIET)
"""
    done = _run(side_python("ray"), code)
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_a_missing_library_and_a_missing_cluster_are_named(
    data: pathlib.Path, tmp_path: pathlib.Path, side_python: Callable[[str], pathlib.Path]
) -> None:
    for python, flags, said in (
        (pathlib.Path(sys.executable), [], "ray is missing: pip install 'lingshu-jax[ray]'"),
        (side_python("ray"), ["--ray_address=127.0.0.1:9"], "no cluster answers there"),
    ):
        output = tmp_path / "out"
        process = curating.start(data, output, "--runner=ray", *flags, python=python)
        process.communicate(timeout=300)
        log = output.with_suffix(".log").read_text()
        assert process.returncode == 2 and said in log.splitlines()[-1], log
        assert not output.exists()


def _run(python: pathlib.Path, code: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": "."}
    return subprocess.run(
        [str(python), "-c", code], cwd=curating.ROOT, env=env, capture_output=True, text=True
    )
