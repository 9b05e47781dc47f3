# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A curation of a few hundred rows with all kinds of faults, as a command and as a folder of files.

It is its own config: `--config=tests/kill/curating.py:FOLDER`.
"""

import json
import os
import pathlib
import subprocess
import sys

from PIL import Image

from data_tools import config, mixture
from tests.data_tools import small_curation

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROWS, PICTURES = 240, 140
WORDS = "opacity nodule effusion fracture lesion mass cyst scar shadow line".split()
BROKEN, BLANK, LOST = (7, 61), 11, 13  # of the pictures


def write_data(folder: pathlib.Path) -> pathlib.Path:
    """The rows of the small curation, and many more: broken, blank, lost, torn and twice there."""
    small_curation.write_data(folder)
    for number in range(PICTURES):
        path = folder / "images" / f"many{number}.png"
        small_curation.pixels(1000 + number).save(path)
        if number in BROKEN:
            path.write_bytes(path.read_bytes()[:100])
    Image.new("RGB", (80, 80)).save(folder / "images" / f"many{BLANK}.png")
    (folder / "images" / f"many{LOST}.png").unlink()
    lines = [json.dumps(row) for row in _many()]
    lines[50] = lines[50][:20]
    (folder / "many.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "secret").write_bytes(b"0123456789abcdef")
    return folder


def _many():
    for number in range(ROWS):
        said = " ".join(WORDS[(number // base) % 10] for base in (1, 10, 3, 7))
        answer = f"{small_curation.CAPTION} {number} beside a {said}."
        picture = small_curation.image(f"many{number % PICTURES}.png")
        yield {
            "id": f"m{number}",
            "messages": small_curation.turns("Describe it.", answer, picture),
        }


def get_config(arg: str) -> config.CurationConfig:
    """The curation of a folder of `write_data`, in small partitions by two processes."""
    made = small_curation.make_config(pathlib.Path(arg), workers=2)
    made.deidentify.salt = f"{arg}/secret"  # one for all runs that are compared
    made.sources.append(
        config.CuratedSource(name="many", path="many.jsonl", kind="captions", group="captions")
    )
    shares = {source.name: 1.0 for source in made.sources}
    made.mixture.mixtures.append(mixture.Mixture(name="everything", shares=shares))
    return made


def start(
    data: pathlib.Path,
    output: pathlib.Path,
    *flags: str,
    python: pathlib.Path = pathlib.Path(sys.executable),
) -> subprocess.Popen[str]:
    """Starts the command as the leader of a group of processes; its errors go to OUTPUT.log."""
    with output.with_suffix(".log").open("w") as log:
        return subprocess.Popen(
            [str(python), "-m", "data_tools.curate", f"--config={__file__}:{data}"]
            + [f"--output={output}", *flags],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "."},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )


def finish(process: subprocess.Popen[str], output: pathlib.Path, seconds: float = 600) -> str:
    """Waits for a command that must succeed; what it printed."""
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, output.with_suffix(".log").read_text()
    return said


def files(output: pathlib.Path) -> dict[str, bytes]:
    """The content of every file that a curation has written."""
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file()
    }


def differing(one: dict[str, bytes], two: dict[str, bytes]) -> list[str]:
    """The files that are not in both, or not the same."""
    return sorted(name for name in {*one, *two} if one.get(name) != two.get(name))
