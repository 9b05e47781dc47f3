# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows as a synthesis writes them, with all that a review has to cope with."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
from PIL import Image, PngImagePlugin

from data_tools.reviewing import items
from tests.data import dicom_files

EVIL = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 2</script>'
SECRETS = ("planted-model", "planted-recipe", "planted-id", "planted-parent", "PLANTED COMMENT")
TRACE = "<think>There is an opacity.\nIt is round.\nRound opacities are nodules.</think>A nodule."
REPOSITORY = pathlib.Path(__file__).parents[3]


def turns(question, answer, *pictures):
    parts = [{"type": "image", "image": f"pictures/{name}"} for name in pictures]
    return [
        {"role": "user", "content": [*parts, {"type": "text", "text": question}]},
        {"role": "assistant", "content": answer},
    ]


def row(number, kind, messages, **more):
    """A row of one of two models."""
    return {
        "id": f"{SECRETS[2]}-{number}",
        "kind": kind,
        "messages": messages,
        "provenance": {
            "recipe": f"{SECRETS[1]}-{number % 2}",
            "model": f"{SECRETS[0]}-{number % 2}",
            "prompts": {"long": "0a1b"},
            "seed": 7,
            "parents": [f"{SECRETS[3]}/{number // 2}"],
            "checks": {"grounded": True},
        },
        **more,
    }


def rows():
    """Two pairs of captions, three questions, a dialogue, two traces, a clip and a DICOM file."""
    for number in range(4):
        picture = f"p{number // 2}.png"
        caption = f"Caption {number} says that the lung is clear."
        yield row(number, "caption", turns("Describe it.", caption, picture))
    yield row(4, "vqa", turns("Which organ?", "A spleen.", "p2.png"), answer="A spleen.")
    yield row(5, "vqa", turns(EVIL, EVIL, "p2.png", "p3.png"))
    yield row(6, "vqa", turns("Is there blood?", "No.", "ct.dcm"))
    more = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Sure."}]
    yield row(7, "dialogue", [*turns("What is it?", "A liver."), *more])
    for number in (8, 9):
        question = f"What is seen in {number}?"
        yield row(number, "reasoning", turns(question, TRACE, "p3.png"), answer="a nodule")
    clip = turns("What moves?", "A valve.")
    clip[0]["content"].insert(0, {"type": "video", "video": "pictures/clip.dcm", "fps": 2.0})
    yield row(10, "vqa", clip)


def ct():
    """Hounsfield units of a disc in air, with a bright spot."""
    y, x = np.mgrid[:96, :128]
    values = np.where((y - 48) ** 2 + (x - 64) ** 2 < 40**2, 40, -1000).astype(np.int16)
    values[44:52, 60:68] = 700
    return values + np.arange(128, dtype=np.int16)[None] // 4


def write_data(folder):
    """The folder of a synthesis."""
    pictures = folder / "rows" / "pictures"
    pictures.mkdir(parents=True)
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", SECRETS[4])
    for number in range(4):
        coarse = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
        drawn = Image.fromarray(coarse).resize((160, 120), Image.Resampling.NEAREST)
        drawn.save(pictures / f"p{number}.png", pnginfo=note)
    window = {"WindowCenter": 40, "WindowWidth": 400, "RescaleSlope": 1, "RescaleIntercept": 0}
    dicom_files.write(pictures / "ct.dcm", ct(), **window)
    frames = np.stack([np.full((32, 48), 40 * n, np.uint8) for n in range(5)])
    dicom_files.write(pictures / "clip.dcm", frames, Modality="US")
    lines = [json.dumps(made) + "\n" for made in rows()]
    (folder / "rows" / "long.jsonl").write_text("".join(lines[:4]), encoding="utf-8")
    (folder / "rows" / "others.jsonl").write_text("".join(lines[4:]), encoding="utf-8")
    return folder


def alone(data, row_id):
    """The item in which a row is alone."""
    return next(
        item
        for item in data.items.values()
        if item.task != items.COMPARE and item.rows[0].id == row_id
    )


def find(data, number):
    """The same of a row of `rows`."""
    return alone(data, f"{SECRETS[2]}-{number}")


def find_pair(data, number):
    """The pair that a row is in."""
    wanted = f"{SECRETS[2]}-{number}"
    pairs = [item for item in data.items.values() if item.task == items.COMPARE]
    return next(item for item in pairs if wanted in [row.id for row in item.rows])


@contextlib.contextmanager
def serving(data, *more):
    """The command on a folder: its process and the address that it prints."""
    command = [sys.executable, "-m", "data_tools.review", f"--data={data}", *more]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if found := re.fullmatch(r"review: (http://\S+)\n", line):
                    break
            else:
                raise AssertionError("".join(lines) + process.stderr.read())
            yield process, found[1]
        finally:
            process.kill()
