# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Who the hosts are, as the environment says; joining them is in `tests/distributed/`."""

import os
import pathlib

import jax
import pytest

from lingshu_jax.common import errors, runtime

ADDRESS, COUNT, INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (ADDRESS, "10.0.0.1:1234"),
        ("TPU_WORKER_HOSTNAMES", "a,b"),
        ("SLURM_JOB_NUM_NODES", "2"),
        ("OMPI_COMM_WORLD_SIZE", "4"),
    ],
)
def test_a_command_for_one_host_says_so(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(errors.UserError, match=f"runs on one host, and {variable}={value} says"):
        runtime.start()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TPU_WORKER_HOSTNAMES", "localhost"), ("SLURM_JOB_NUM_NODES", "1"), (COUNT, "1")],
)
def test_one_host_is_no_matter(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if variable == COUNT:
        monkeypatch.setenv(ADDRESS, "10.0.0.1:1234")
    monkeypatch.setenv(variable, value)
    runtime.start()
    assert runtime.is_main_host()


@pytest.mark.parametrize(
    ("count", "index", "message"),
    [
        ("two", "0", "JAX_NUM_PROCESSES must be a whole number, got 'two'"),
        ("2", "-1", "JAX_PROCESS_ID must be a whole number, got '-1'"),
        ("2", "2", "must be smaller than JAX_NUM_PROCESSES, .* they are 2 and 2"),
        ("2", "", "or neither be set; they are None and 2"),
    ],
)
def test_variables_that_do_not_fit_together(
    count: str, index: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in ((ADDRESS, "127.0.0.1:1"), (COUNT, count), (INDEX, index)):
        monkeypatch.setenv(name, text)
    with pytest.raises(errors.UserError, match=message):
        runtime.start(several_hosts=True)


def test_a_block_alone_is_run_at_once(tmp_path: pathlib.Path) -> None:
    with runtime.main_first("block"):
        (tmp_path / "file").write_text("made")
    runtime.wait_for_all("made")
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize(
    "given", ["", "--xla_dump_to=x", "--xla_cpu_experimental_ynn_fusion_type=1"]
)
def test_the_flag_for_cpus_stands_once(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", given)
    runtime.start()
    runtime.start()
    flags = os.environ["XLA_FLAGS"].split()
    named = [flag for flag in flags if flag.startswith("--xla_cpu_experimental_ynn_fusion_type")]
    is_old = jax.__version_info__ < (0, 11)
    assert len(named) == (1 if is_old or "ynn" in given else 0)
    assert flags[: len(given.split())] == given.split()


def test_without_the_cache_nothing_is_read_or_kept(
    tmp_path: pathlib.Path,
) -> None:
    """Both ways round: JAX remembers whether it uses the cache from the first program on."""

    def compile_anew() -> int:
        jax.clear_caches()
        jax.jit(lambda x: x + 0.125).lower(jax.ShapeDtypeStruct((3,), "float32")).compile()
        return len(list(tmp_path.glob("*-cache")))

    before = jax.config.values["jax_compilation_cache_dir"]
    seconds = jax.config.values["jax_persistent_cache_min_compile_time_secs"]
    with runtime.without_compilation_cache():
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    try:
        with runtime.without_compilation_cache():
            assert compile_anew() == 0
        assert compile_anew() == 1
        for file in tmp_path.glob("*-cache"):
            file.write_bytes(b"not a program")
        with runtime.without_compilation_cache():
            assert compile_anew() == 1
    finally:
        with runtime.without_compilation_cache():
            jax.config.update("jax_compilation_cache_dir", before)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)
