# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Twenty steps of `stage3_instruct.py:tiny` on fixed rows, against stored losses.

The model is that of `tests/small.py`; everything else is the config's own. A curve that changes
on purpose: `python -m tests.stages.test_loss_curve` writes it again; the change log says why.
"""

import pathlib
import tempfile

import numpy as np
import pytest

from lingshu_jax.common import metrics
from tests import small

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "loss_curve_stage3_tiny.txt"
STEPS = 20
# Measured between jax 0.10 and 0.11, and with and without LLVM's optimisations: below 2e-6.
TOLERANCE, MARGIN = 1e-4, 10
CONFIG = """
from configs import stage3_instruct
from lingshu_jax.data import sources


def get_config(arg="tiny"):
    config = stage3_instruct.get_config(arg)
    config.model.init_from = {init_from!r}
    config.data.sources = (sources.Source(name="rows", path="rows.jsonl"),)
    config.data.root = {root!r}
    config.data.tokens_per_row, config.data.patches_per_row = 128, 128
    config.data.rows_per_batch = 2
    config.steps = config.save_every_steps = {steps}
    return config
"""


def run(folder: pathlib.Path, *flags: str) -> np.ndarray:
    """Losses of a run in a new folder."""
    workdir = pathlib.Path(tempfile.mkdtemp(dir=folder))
    command = [f"--config={folder / 'curve.py'}", f"--workdir={workdir}", *flags]
    small.finish(small.start("train", *command))
    return np.array([row["loss"] for row in metrics.read_rows(workdir)])


def write_config(folder: pathlib.Path, hf: pathlib.Path, rows: pathlib.Path) -> None:
    text = CONFIG.format(init_from=str(hf), root=str(rows), steps=STEPS)
    (folder / "curve.py").write_text(text)


def gap(losses: np.ndarray) -> float:
    golden = np.loadtxt(GOLDEN)
    assert losses.shape == golden.shape == (STEPS,)
    return float(np.abs(losses / golden - 1).max())


@pytest.fixture
def folder(
    small_folder: pathlib.Path, small_rows: pathlib.Path, tmp_path: pathlib.Path
) -> pathlib.Path:
    write_config(tmp_path, small_folder, small_rows)
    return tmp_path


def test_losses_equal_the_stored_curve(folder: pathlib.Path) -> None:
    losses = run(folder)
    assert gap(losses) < TOLERANCE
    assert losses[-1] < 0.8 * losses[0]


def test_one_step_less_of_warm_up_fails(folder: pathlib.Path) -> None:
    assert gap(run(folder, "--config.optim.warmup_steps=9")) > MARGIN * TOLERANCE


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        base = pathlib.Path(scratch)
        hf_folder, row_folder = small.write_folder(base / "hf"), small.write_rows(base / "rows")
        write_config(base, hf_folder, row_folder)
        GOLDEN.write_text("".join(f"{loss!r}\n" for loss in run(base).tolist()))
