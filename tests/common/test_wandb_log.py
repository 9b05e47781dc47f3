# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Weights & Biases without Weights & Biases: a stand-in of its calls, made to its documentation.

What the real package does with them is not tested here; nothing is sent anywhere.
"""

import json
import pathlib
import sys
import textwrap

import pytest

from lingshu_jax.common import errors, metrics, wandb_log
from tests import small

STAND_IN = """
import json, os, pathlib

class Error(Exception):
    pass

class Settings(dict):
    pass

class Run:
    def __init__(self, path):
        self.file = path.open("a")

    def log(self, scalars, step):
        self.file.write(json.dumps({"step": step, **scalars}) + "\\n")

    def finish(self):
        self.file.close()

def init(**options):
    if "WANDB_API_KEY" not in os.environ:
        raise Error("no key\\nconfigured")
    folder = pathlib.Path(options["dir"]) / "wandb"
    folder.mkdir(exist_ok=True)
    with (folder / "inits.jsonl").open("a") as file:
        file.write(json.dumps(options) + "\\n")
    return Run(folder / f"{options['id']}.jsonl")
"""
KEY = "0123456789abcdef"


@pytest.fixture
def stand_in(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder with a package `wandb`, on the path."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "wandb.py").write_text(textwrap.dedent(STAND_IN))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    yield folder
    sys.modules.pop("wandb", None)


def write(workdir: pathlib.Path, steps: range, project: str = "lingshu") -> None:
    others = wandb_log.open_run(project, workdir, {"seed": 3})
    writer = metrics.MetricsWriter(workdir, after_step=steps[0] - 1, others=others)
    for step in steps:
        writer.write(step, {"loss": 1 / step, "mfu": None})
    writer.close()


def test_a_continued_run_is_one_run_there(stand_in: pathlib.Path, tmp_path: pathlib.Path) -> None:
    workdir = tmp_path / "run"
    workdir.mkdir()
    write(workdir, range(1, 4))
    write(workdir, range(3, 6))
    first, second = map(json.loads, (workdir / "wandb/inits.jsonl").read_text().splitlines())
    assert first == second and first["resume"] == "allow" and first["config"] == {"seed": 3}
    assert (
        first["project"] == "lingshu"
        and first["id"] == json.loads((workdir / "wandb.json").read_text())["id"]
    )
    rows = (workdir / "wandb" / f"{first['id']}.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2, 3, 3, 4, 5]
    assert all(set(json.loads(row)) == {"step", "loss"} for row in rows)
    other = tmp_path / "other"
    other.mkdir()
    write(other, range(1, 2))
    assert json.loads((other / "wandb.json").read_text())["id"] != first["id"]


def test_the_key_is_in_no_file(stand_in: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "run").mkdir()
    write(tmp_path / "run", range(1, 3))
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_without_a_project_the_package_is_not_touched(
    stand_in: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    write(tmp_path, range(1, 3), project="")
    assert "wandb" not in sys.modules and not (tmp_path / "wandb.json").exists()


def test_a_refusal_is_one_line(
    stand_in: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(errors.UserError, match="config.wandb=lingshu: no key"):
        write(tmp_path, range(1, 2))


@pytest.mark.skipif("wandb" in sys.modules, reason="the package is installed")
def test_the_absent_package_is_named_before_any_work(tmp_path: pathlib.Path) -> None:
    wandb_log.require("")
    line = small.fail(
        small.start(
            "train",
            "--config=configs/stage3_instruct.py:tiny",
            f"--workdir={tmp_path / 'run'}",
            "--config.wandb=lingshu",
        )
    )
    assert "config.wandb=lingshu" in line and "lingshu-jax[wandb]" in line
    assert not list(tmp_path.iterdir())
