# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Damaged checkpoints, full disks and folders that cannot be written: one line, nothing lost."""

import gc
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lingshu_jax.common import checkpoints, errors, reading, sharding
from lingshu_jax.stages import state as train_state

# Where one read or write fails, orbax leaves the others to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine .* was never awaited"
)

MESH = sharding.make_mesh({}, jax.devices()[:1])


@pytest.fixture(autouse=True)
def collect() -> Iterator[None]:
    """What orbax leaves is collected here, not in whichever test comes next."""
    yield
    gc.collect()


def make_state(step: int, size: int = 500) -> train_state.TrainState:
    rng = np.random.default_rng(step)

    def draw() -> jax.Array:
        values = rng.standard_normal((2, size)).astype(np.float32)
        return jax.device_put(values, sharding.replicated(MESH))

    return train_state.TrainState(
        step=jnp.int32(step),
        trained={"text/a/kernel": draw(), "text/b/kernel": draw()},
        frozen={"vision/c/kernel": draw()},
        opt_state=({"text/a/kernel": draw(), "text/b/kernel": draw()},),
    )


def same(one: train_state.TrainState, two: train_state.TrainState) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Steps 1 and 2."""
    place = tmp_path_factory.mktemp("saved") / "c"
    folder = checkpoints.Checkpoints(place)
    for step in (1, 2):
        train_state.save(folder, make_state(step), {"data": step}, step=step)
    folder.close()
    return place


@pytest.fixture
def place(saved: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(saved, tmp_path / "c"))


def largest(folder: pathlib.Path) -> pathlib.Path:
    return max(folder.glob("ocdbt.process_0/d/*"), key=lambda path: path.stat().st_size)


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: pathlib.Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


def remove(path: pathlib.Path) -> None:
    path.unlink()


def empty(path: pathlib.Path) -> None:
    path.write_bytes(b"")


FILES: dict[str, Callable[[pathlib.Path], pathlib.Path]] = {
    "values of params": lambda step: largest(step / "params"),
    "values of opt_state": lambda step: largest(step / "opt_state"),
    "index of params": lambda step: step / "params" / "manifest.ocdbt",
    "metadata of params": lambda step: step / "params" / "_METADATA",
    "metadata of opt_state": lambda step: step / "opt_state" / "_METADATA",
    "meta": lambda step: step / "meta" / "metadata",
}


@pytest.mark.parametrize("damage", [cut, garble, remove, empty])
@pytest.mark.parametrize("file", FILES)
def test_the_last_good_checkpoint_is_used(
    place: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
    file: str,
    damage: Callable[[pathlib.Path], None],
) -> None:
    damage(FILES[file](place / "2"))
    folder = checkpoints.Checkpoints(place)
    restored, meta = train_state.restore(folder, make_state(0), MESH)
    assert same(restored, make_state(1)) and meta == {"data": 1}
    (told,) = caplog.messages
    assert re.search(r"checkpoint \S*/c/2\S* cannot be read: ", told)
    assert "\n" not in told and len(told) < 600
    # It is out of the way: the step is saved again, and read.
    assert folder.steps() == [1] and (place / "2.unreadable").is_dir()
    train_state.save(folder, make_state(2), {"data": 2}, step=2)
    folder.wait()
    again, meta = train_state.restore(folder, make_state(0), MESH)
    folder.close()
    assert same(again, make_state(2)) and meta == {"data": 2} and caplog.messages == [told]


def test_whole_items_may_be_missing(place: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(place / "2" / "opt_state")
    folder = checkpoints.Checkpoints(place)
    restored, _ = train_state.restore(folder, make_state(0), MESH)
    folder.close()
    assert same(restored, make_state(1)) and len(caplog.messages) == 1


def test_an_undamaged_one_is_read_without_a_word(
    place: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The twin: without damage, step 2 is what is read."""
    folder = checkpoints.Checkpoints(place)
    restored, meta = train_state.restore(folder, make_state(0), MESH)
    folder.close()
    assert same(restored, make_state(2)) and meta == {"data": 2} and caplog.messages == []


def test_none_that_is_good_is_an_error_and_nothing_is_moved(
    place: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not a run from the beginning in silence, neither now nor the next time."""
    for step in ("1", "2"):
        cut(largest(place / step / "params"))
    for _ in range(2):
        folder = checkpoints.Checkpoints(place)
        with pytest.raises(reading.Unreadable, match=r"no checkpoint that can be read.*\[2, 1\]"):
            train_state.restore(folder, make_state(0), MESH)
        assert folder.steps() == [1, 2]
        folder.close()


def test_other_parameters_are_no_damage(
    place: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = checkpoints.Checkpoints(place)
    with pytest.raises(errors.UserError, match="holds other arrays"):
        train_state.restore(folder, make_state(0, size=501), MESH)
    assert folder.steps() == [1, 2] and caplog.messages == []
    folder.close()


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def begin(disk: pathlib.Path) -> checkpoints.Checkpoints:
    folder = checkpoints.Checkpoints(disk / "c")
    train_state.save(folder, make_state(1, size=20_000), {}, step=1)
    folder.wait()
    return folder


def open_again(folder: pathlib.Path) -> checkpoints.Checkpoints:
    """As the next process does; in this one the threads of the failed save may still write."""
    until = time.monotonic() + 20
    while True:
        again = checkpoints.Checkpoints(folder, clear_partial=True)
        if len(list(folder.iterdir())) == 1 or time.monotonic() > until:
            return again
        again.close()
        time.sleep(0.5)


def test_a_full_disk_is_one_line_and_the_last_good_one_stays(
    small_disk: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = begin(small_disk)
    with pytest.raises(errors.UserError, match="No space left on device; step 1 is complete") as e:
        train_state.save(folder, make_state(2, size=100_000), {}, step=2)
        folder.wait()
    folder.close()
    assert "\n" not in str(e.value) and len(str(e.value)) < 300
    assert capfd.readouterr() == ("", ""), "no trace of a background thread"
    again = open_again(small_disk / "c")
    assert {path.name for path in (small_disk / "c").iterdir()} == {"1"}, "the space is free again"
    restored, _ = train_state.restore(again, make_state(0, size=20_000), MESH)
    assert same(restored, make_state(1, size=20_000))
    train_state.save(again, make_state(2, size=20_000), {}, step=2)
    again.close()


def test_a_read_only_folder_is_one_line(
    small_disk: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = begin(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(errors.UserError, match="Read-only file system.*; step 1 is complete"):
        train_state.save(folder, make_state(2, size=20_000), {}, step=2)
        folder.wait()
    folder.close()
    assert capfd.readouterr() == ("", "")


FAIL = """
import atexit, errno, os
from lingshu_jax.common import cli, errors

def write(argv):
    atexit.register(lambda: 1 / 0)
    try:
        {first}
    finally:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/run/metrics.jsonl")

cli.run(write, lambda: None)
"""


@pytest.mark.parametrize(
    ("first", "line"),
    [
        (
            "pass",
            "No space left on device: /run/metrics.jsonl; free some space and give the same "
            "command",
        ),
        ("raise errors.UserError('no room for step 4')", "no room for step 4"),
    ],
)
def test_any_other_file_on_a_full_disk_ends_the_command_with_one_line(
    first: str, line: str
) -> None:
    """What closes afterwards, and fails as well, is not heard."""
    ended = subprocess.run(
        [sys.executable, "-c", FAIL.format(first=first)],
        cwd=pathlib.Path(__file__).resolve().parents[2],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"error: {line}\n")
