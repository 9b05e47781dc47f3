# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_tools import decontaminate, embedding_models, rows, steps
from lingshu_jax.common import errors
from lingshu_jax.data import fingerprints

STAND_IN = embedding_models.Config(weights="random")


def picture(path, seed, *, marked=False):
    grey = np.random.default_rng(seed).integers(0, 255, (6, 6), np.uint8)
    image = Image.fromarray(grey).resize((128, 128), Image.Resampling.BICUBIC)
    if marked:
        ImageDraw.Draw(image).rectangle((90, 6, 122, 26), fill=255)
    image.save(path)
    return path


@pytest.fixture
def data(tmp_path):
    """A benchmark of a question about a picture, and one about a picture that is broken."""
    folder = tmp_path / "data"
    folder.mkdir()
    picture(folder / "0.png", 0)
    (folder / "1.png").write_bytes(b"no picture")
    lines = [
        {
            "id": f"q{number}",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "image": f"{number}.png"},
                        {"type": "text", "text": "Is there a fracture?"},
                    ],
                }
            ],
            "answer": "yes",
            "answer_type": "yes_no",
        }
        for number in range(2)
    ]
    (folder / "exam.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def row(path, source="train"):
    made = rows.Row(
        id=f"{source}/{path.stem}",
        source=source,
        messages=({"role": "user", "content": [{"type": "text", "text": "What is it?"}]},),
        media=(rows.Medium(kind="image", path=str(path)),),
    )
    return made.knowing(image_hashes=[[fingerprints.image_hash(str(path))]])


def run(tmp_path, data, given, **config):
    settings = decontaminate.Config(
        benchmarks=f"rows:{data}/exam.jsonl", data_dir=str(data), **config
    )
    settings.validate(["train", "shared"])
    state = steps.next_state("first", {}, steps.State(tmp_path, "", 0), tmp_path)
    steps.commit(state.folder, "a.parquet", steps.Outcome(given, []), given=len(given))
    step = decontaminate.Decontaminate(settings, STAND_IN)
    after = steps.run_step(step, state, steps.Run(output=tmp_path, workers=1))
    kept = [row.id for row in rows.read(after.folder / steps.ROWS / "a.parquet")]
    return kept, decontaminate.summarise(after.folder)


@pytest.fixture
def given(tmp_path):
    return [
        row(picture(tmp_path / "marked.png", 0, marked=True)),
        row(picture(tmp_path / "marked.png", 0, marked=True), "shared"),
        row(picture(tmp_path / "copied.png", 0)),
        row(picture(tmp_path / "other.png", 5)),
    ]


def test_suspects_are_told_and_stay(tmp_path, data, given):
    kept, found = run(tmp_path, data, given, similar=0.8)
    assert kept == ["train/marked", "shared/marked", "train/other"]
    suspects = found["suspects"]
    assert suspects["by_source"] == {"shared": 1, "train": 1}
    assert [(entry["row"], entry["of"]) for entry in suspects["examples"]] == [
        ("shared/marked", "exam/q0"),
        ("train/marked", "exam/q0"),
    ]
    assert all(0.8 <= entry["cosine"] < 1 for entry in suspects["examples"])


def test_suspects_go_where_it_is_asked_but_those_of_a_shared_split(tmp_path, data, given):
    kept, found = run(tmp_path, data, given, similar=0.8, drop_similar=True, pairs_only=("shared",))
    assert kept == ["shared/marked", "train/other"]
    assert found["by_benchmark"]["exam"]["like a benchmark picture"] == {"train": 1}
    assert found["suspects"]["by_source"] == {"shared": 1}


def test_a_higher_threshold_has_no_suspects_and_none_is_looked_for_without(tmp_path, data, given):
    for number, similar in enumerate((0.9999, 0.0)):
        kept, found = run(tmp_path / str(number), data, given, similar=similar)
        assert len(kept) == 3 and found["suspects"] == {"by_source": {}, "examples": []}


def test_it_needs_something_that_embeds(tmp_path, data, given):
    settings = decontaminate.Config(similar=0.8, data_dir=str(data))
    with pytest.raises(errors.UserError, match=r"similar needs config.embeddings.weights"):
        decontaminate.Decontaminate(settings).plan(
            tmp_path, tmp_path, steps.Run(output=tmp_path, workers=1)
        )
    with pytest.raises(errors.UserError, match="similar must be 0 to 1, got 2"):
        decontaminate.Config(benchmarks="", similar=2.0).validate([])
