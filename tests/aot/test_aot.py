# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The command: real compilations for TPUs (the slow group), and what it refuses (fast)."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from lingshu_jax.aot import compiling, runner
from lingshu_jax.common import errors

ROOT = pathlib.Path(__file__).parents[2]
STAGE3 = "--config=configs/stage3_instruct.py:7b"
PROMISED = (
    "compiled fits topology devices global_batch_rows argument_bytes temp_bytes hbm_bytes flops "
    "step_seconds mfu"
).split()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lingshu_jax.aot", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )


def row_of(*arguments: str) -> dict[str, Any]:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = done.stdout.splitlines()  # one line and nothing else
    row = json.loads(line)
    assert not set(PROMISED) - set(row)
    return row


@pytest.mark.aot
def test_the_7b_step_fits_64_chips_of_v5e() -> None:
    row = row_of(STAGE3, "--topology=v5e:8x8")
    assert row["compiled"] and row["fits"]
    assert (row["devices"], row["global_batch_rows"]) == (64, 64)
    # Parameters and two moments in float32 over 64 devices, then a batch of one row.
    state = 12 * 8_292_166_656 / 64
    assert state < row["argument_bytes"] < 1.05 * state
    assert row["hbm_bytes"] < compiling.USABLE["v5e"]
    assert row["temp_bytes"] < 9e9  # a batch that is whole on every device takes 67 GiB
    # Weights and their gradients cross the links; of activations only the embedded tokens do.
    moved = row["collectives"]["train"]
    assert set(moved) <= {f"{kind} fsdp" for kind in _WEIGHTS} | {"all-to-all fsdp"}
    assert sum(moved.values()) < 100e9
    assert 0.2 < row["mfu"] < 0.8
    assert row["flops"] == pytest.approx(row["mfu"] * row["step_seconds"] * 64 * 197e12)


_WEIGHTS = ("all-gather", "all-reduce", "reduce-scatter", "collective-permute")


@pytest.mark.aot
def test_the_update_keeps_its_gradients_split(reduced: bool) -> None:
    if reduced:
        pytest.skip("one compilation is enough there")
    row = row_of("--config=configs/stage4_rl.py:7b", "--topology=v5e:8x8")
    assert row["compiled"] and row["fits"]
    # In float32, once each: moments, the sum of earlier passes; the reference in bfloat16.
    assert row["resident_bytes"] == pytest.approx(14 * 8_292_166_656 / 64, rel=0.01)
    assert row["output_bytes"] < 1.05 * 4 * 8_292_166_656 / 64


@pytest.mark.aot
def test_too_little_memory_is_a_result() -> None:
    row = row_of("--config=configs/stage3_instruct.py:32b", "--topology=v5e:2x4")
    assert not row["compiled"] and not row["fits"]
    assert row["hbm_bytes"] is None or row["hbm_bytes"] > compiling.USABLE["v5e"]
    assert row["step_seconds"] is row["mfu"] is None


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([STAGE3], "--topology is required"),
        ([STAGE3, "--topology=v9:2x2"], "with a chip of"),
        ([STAGE3, "--topology=h100:8"], "programs for GPUs are compiled on a GPU only"),
        ([STAGE3, "--topology=v5e:8x8", "--config.mesh.fsdp=48"], "does not fit 64 devices"),
        ([STAGE3, "--topology=v5e:8x8", "--program=update"], "train for the others"),
    ],
)
def test_what_cannot_be_is_one_line_and_no_json(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and message in last


def test_a_command_that_ends_in_an_error_says_its_last_line() -> None:
    with pytest.raises(errors.UserError, match="ended with code 2: error: .*got 'v9:2x2'"):
        runner.run([STAGE3, "--topology=v9:2x2"])


HBM = "RESOURCE_EXHAUSTED: E1000: Ran out of memory on HBM, the total memory required for HLO "
HBM += "temporaries (67.02G) exceeds available HBM (15.75G)."
LATE = "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.5G of 15.75G hbm."
VMEM = "RESOURCE_EXHAUSTED: Ran out of memory in memory space vmem. Used 130.0M of 128.0M vmem."


@pytest.mark.parametrize(
    "text, is_memory, needed",
    [
        (HBM, True, 67.02 * 2**30),
        (LATE, True, 20.5 * 2**30),
        ("RESOURCE_EXHAUSTED: hbm is full", True, None),
        (VMEM, False, None),
        ("INTERNAL: hbm", False, None),
    ],
)
def test_only_the_memory_of_the_device_is_a_result(
    text: str, is_memory: bool, needed: float | None
) -> None:
    assert compiling.is_out_of_memory(text) == is_memory
    found = compiling.needed_bytes(text)
    assert found == (needed and pytest.approx(needed))
