# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A small curation with all that a mixture has to cope with, and what must be in no output."""

import json
import pathlib

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from data_tools import config, curate, decontaminate, mixture
from tests.data import dicom_files

SECRET = "PLANTED"  # in names of files, headers, ids and columns
MAIL = "jane.planted@example.org"  # in a text
SECRETS = (SECRET, MAIL, *dicom_files.SECRETS)
CAPTION = "There is a round opacity in the upper lobe of the lung that is number"


def pixels(number, size=(72, 80)):
    """Coarse noise: pictures that a hash tells apart."""
    coarse = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST)


def write_data(folder):
    """Rows of three sources with their pictures, and a benchmark."""
    pictures = folder / "images"
    pictures.mkdir(parents=True)
    for number in range(24):
        note = PngImagePlugin.PngInfo()
        note.add_text("Comment", f"{SECRET} {number}")
        pixels(number).save(pictures / f"{SECRET}_{number}.png", pnginfo=note)
    for number in range(12):
        turned = Image.Exif()
        turned[ExifTags.Base.Orientation] = 6
        turned[ExifTags.Base.ImageDescription] = SECRET
        path = pictures / f"q{number}.jpg"
        pixels(100 + number).save(path, exif=turned, comment=SECRET.encode(), quality=90)
    values = (np.arange(80 * 80, dtype=np.uint16).reshape(80, 80) * 7919) % 4096
    dicom_files.write(pictures / f"{SECRET}.dcm", values)
    for name, rows in (
        ("captions", captions()),
        ("questions", questions()),
        ("texts", texts()),
        ("exam", exam()),
    ):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines)
    return folder


def turns(question, answer, *media):
    return [
        {"role": "user", "content": [*media, {"type": "text", "text": question}]},
        {"role": "assistant", "content": answer},
    ]


def image(name):
    return {"type": "image", "image": f"images/{name}"}


def captions():
    yield from (
        {
            "id": f"{SECRET}-{number}",
            "messages": turns("Describe it.", f"{CAPTION} {number}.", image(f"{SECRET}_{n}.png")),
        }
        for number, n in enumerate([*range(20), 3])  # the last one is a duplicate
    )
    yield {"id": "short", "messages": turns("Describe it.", "A lung.", image(f"{SECRET}_21.png"))}
    yield {"id": "lost", "messages": turns("Describe it.", CAPTION, image(f"{SECRET}.png"))}


def questions():
    for number in range(36):
        yield {
            "id": f"{SECRET}/q{number}",
            "messages": turns(f"Is finding {number} seen?", "Yes.", image(f"q{number % 12}.jpg")),
            "answer": "yes",
            "answer_type": "yes_no",
            "patient": f"{SECRET}-{number % 12 // 2}",  # of two pictures each
            "file": f"/data/{SECRET}.png",
        }
    clip = {"type": "video", "video": [f"images/{SECRET}_{n}.png" for n in (22, 23)], "fps": 2.0}
    yield {"id": "clip", "messages": turns("What moves?", "A valve.", clip)}
    asked = turns("Which organ?", "A spleen.", image(f"{SECRET}.dcm"))
    more = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Sure."}]
    yield {"id": "dicom", "messages": [*asked, *more]}
    yield {"id": "shared", "messages": turns("Is it?", "Yes.", image(f"{SECRET}_0.png"))}


def texts():
    for number in range(10):
        words = " ".join(np.random.default_rng(number).permutation(CAPTION.split()))
        yield {"id": f"t{number}", "messages": turns(f"Explain {words} {number}.", f"{words} so.")}
    yield {"id": "mail", "messages": turns(f"Who is {MAIL}?", "A patient of ours.")}
    yield {"id": "tag", "messages": turns("What does <image> mean?", "A tag of some formats.")}
    made = {"parents": ["texts/t0"], "model": "teacher", "prompt": "rewrite"}
    row = turns("Ask again, in other words.", "An entirely different answer than before.")
    yield {"id": "made", "messages": row, "provenance": made}


def exam():
    yield {
        "id": "e0",
        "messages": turns("Anything?", "", image(f"{SECRET}_5.png"))[:1],
        "answer": "x",
        "answer_type": "open",
    }


def make_config(folder, **changes):
    kinds = {"captions": "captions", "questions": "instructions", "texts": "text"}
    groups = {"captions": "captions", "texts": "medical_text"}
    found = [
        config.CuratedSource(
            name=name,
            path=f"{name}.jsonl",
            kind=kind,
            group=groups.get(name, "medical_multimodal"),
            train_on="last" if name == "questions" else "all",
        )
        for name, kind in kinds.items()
    ]
    mixed = [
        mixture.Mixture(name="shallow_align", shares={"captions": 1.0, "roco": 1.0}),
        mixture.Mixture(
            name="instruct",
            shares={"captions": 0.5, "questions": 1.0, "texts": 1.0},
            caps={"texts": 4},
        ),
        mixture.Mixture(name="rl", shares={"questions": 1.0}, needs_answer=True),
        mixture.Mixture(name="deep_align", shares={"pixmo": 1.0}),
    ]
    values = {
        "sources": found,
        "root": str(folder),
        "rows_per_partition": 16,
        "workers": 1,
        "decontaminate": decontaminate.Config(
            benchmarks=f"rows:{folder}/exam.jsonl", data_dir=str(folder)
        ),
        "mixture": mixture.Config(mixtures=mixed, validation=0.2, rows_per_shard=12),
    }
    return config.CurationConfig(**(values | changes))


def curated(folder: pathlib.Path):
    """The folder of a finished curation, and its summary."""
    write_data(folder / f"data_{SECRET}")
    summary = curate.run(make_config(folder / f"data_{SECRET}"), folder / "out")
    return folder / "out", summary
