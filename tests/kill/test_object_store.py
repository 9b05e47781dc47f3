# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A run whose data, weights and folder lie in S3: killed, continued elsewhere, exported."""

import json
import pathlib
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lingshu_jax import export, train
from lingshu_jax.common import errors, metrics, paths
from lingshu_jax.models import hf
from tests import s3_server, small
from tests.stages import small_stage

pytestmark = pytest.mark.kill

STEPS, SAVE_EVERY = 12, 4


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from s3_server.run(tmp_path_factory.mktemp("cache"))


def command(place: pathlib.Path | str, workdir: pathlib.Path | str) -> tuple[str, ...]:
    return (
        "train",
        f"--config=tests/stages/small_stage.py:{place}/hf,{place}/rows",
        f"--workdir={workdir}",
        f"--config.steps={STEPS}",
        f"--config.save_every_steps={SAVE_EVERY}",
        "--config.data.rows_per_batch=2",
    )


def curve(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in ("step", "loss", "grad_norm", "lr/all")) for row in rows]


def stored_rows(run: str) -> list[dict[str, Any]]:
    text = s3_server.store().cat(f"{run}/metrics.jsonl").decode()
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_in_a_store_goes_on_on_another_machine(
    bucket: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, run = s3_server.store(), f"{bucket}/run"
    small.write_folder(tmp_path / "hf")
    small.write_rows(tmp_path / "rows")
    for name in ("hf", "rows"):
        files.put(f"{tmp_path / name}/", f"{bucket}/{name}/", recursive=True)
    small.finish(small.start(*command(tmp_path, tmp_path / "run")))
    expected = curve(metrics.read_rows(tmp_path / "run"))

    process = small.start(*command(bucket, run))
    marker = f"{run}/checkpoints/{SAVE_EVERY}/commit_success.txt"
    while process.poll() is None and not files.exists(marker):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
    assert not files.exists(f"{run}/finished.json")
    found = curve(stored_rows(run))
    assert SAVE_EVERY <= len(found) <= STEPS and found == expected[: len(found)]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another_machine"))
    small.finish(small.start(*command(bucket, run)))
    assert curve(stored_rows(run)) == expected and len(expected) == STEPS
    names = {path.removeprefix("bucket/run/").split("/")[0] for path in files.find(run)}
    side = {"config.json", "data.json", "dropped.jsonl", "params.txt", "finished.json"}
    assert side | {"metrics.jsonl", "tensorboard", "checkpoints"} <= names
    assert not {"encoded", "base"} & names
    text = b"".join(files.cat(f"{run}/{name}") for name in side)
    assert s3_server.SECRET.encode() not in text

    out = small.finish(small.start(*command(bucket, run)))
    assert f"steps              {STEPS}" in out, "a finished run is left alone"
    small.finish(small.start("export", f"--checkpoint={run}", f"--hf={tmp_path / 'out'}"))
    export.export(tmp_path / "run", tmp_path / "same")
    assert hf.read_config(tmp_path / "out") == hf.read_config(tmp_path / "same")
    [ours], [theirs] = ((tmp_path / n).glob("*.safetensors") for n in ("out", "same"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_store_out_of_reach_for_a_moment_ends_no_run(
    bucket: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At both saves of a run; what was not sent is sent later."""
    hf_folder, rows = small.write_folder(tmp_path / "hf"), small.write_rows(tmp_path / "rows")
    config = small_stage.get_config(f"{hf_folder},{rows}")
    config.steps, config.save_every_steps = 2, 1
    push, refused = paths.push, []

    def refuse(folder: pathlib.Path) -> None:
        if (folder / "metrics.jsonl").is_file() and len(refused) < 2:
            refused.append(folder)
            raise errors.UserError(f"{folder}: out of reach")
        push(folder)

    monkeypatch.setattr(paths, "push", refuse)
    with paths.opened(f"{bucket}/shaky") as workdir:
        assert train.run_stage(config, workdir)["steps"] == 2
    assert len(refused) == 2 and len(stored_rows(f"{bucket}/shaky")) == 2
    # Killed before what was refused is sent again, the steps are there without the side files.
    files, run = s3_server.store(), f"{bucket}/shaky"
    files.rm([f"{run}/checkpoints/assets", f"{run}/finished.json"], recursive=True)
    with paths.opened(run) as workdir:
        train.run_stage(config, workdir)
    assert files.exists(f"{run}/checkpoints/assets/config.json")


def test_a_checkpoint_made_in_a_store(bucket: str, tmp_path: pathlib.Path) -> None:
    """Converted there, exported from there: the same weights come back."""
    folder = small.write_folder(tmp_path / "hf")
    convert = ("convert", f"--hf={folder}", f"--checkpoint={bucket}/converted")
    small.finish(small.start(*convert))
    assert "is in use" in small.fail(small.start(*convert))
    back = ("export", f"--checkpoint={bucket}/converted", f"--hf={bucket}/exported")
    small.finish(small.start(*back))
    s3_server.store().get(f"{bucket}/exported/", f"{tmp_path / 'back'}/", recursive=True)
    [ours], [theirs] = (path.glob("*.safetensors") for path in (tmp_path / "back", folder))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_missing_bucket_ends_in_one_line(bucket: str, tmp_path: pathlib.Path) -> None:
    line = small.fail(small.start(*command(tmp_path, "s3://no-such-bucket/x")))
    assert "s3://no-such-bucket/x" in line and "no such bucket" in line
    assert s3_server.SECRET not in line
