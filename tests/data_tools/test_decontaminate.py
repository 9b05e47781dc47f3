# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from data_tools import decontaminate, examples, rows, steps
from lingshu_jax.common import errors
from lingshu_jax.data import fingerprints, sources

LONG = (
    "A man of fifty years comes with fever and cough for three days and his chest radiograph shows "
    "an opacity of the right lower lobe"
)


@pytest.fixture
def data(tmp_path):
    """A benchmark of two questions about pictures and two of text alone."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(3):
        grey = np.random.default_rng(number).integers(0, 255, (6, 6), np.uint8)
        Image.fromarray(grey).resize((90, 90)).save(folder / f"{number}.png")
    lines = []
    for row_id, picture, text in (
        ("q0", "0.png", "Is there a fracture?"),
        ("q1", "1.png", "Which side is it?"),
        ("q2", "", "What is aspirin?"),
        ("q3", "", LONG + ", what is the diagnosis?"),
    ):
        content = [{"type": "text", "text": text}]
        content = [{"type": "image", "image": picture}, *content] if picture else content
        messages = [{"role": "user", "content": content}]
        lines.append(
            json.dumps({"id": row_id, "messages": messages, "answer": "x", "answer_type": "open"})
        )
    (folder / "exam.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def row(data, question, *pictures, source="train", answer="yes"):
    media = tuple(rows.Medium(kind="image", path=str(data / name)) for name in pictures)
    parts = [{"type": "image", "image": place} for place in range(len(media))]
    made = rows.Row(
        id=f"{source}/{question[:9]}",
        source=source,
        messages=(
            {"role": "user", "content": [*parts, {"type": "text", "text": question}]},
            {"role": "assistant", "content": [{"type": "text", "text": answer}]},
        ),
        media=media,
    )
    hashes = [[fingerprints.image_hash(examples.value(medium))] for medium in media]
    return made.knowing(image_hashes=hashes)


def index(data):
    item = f"rows:{data}/exam.jsonl"
    config = decontaminate.Config(benchmarks=item, data_dir=str(data))
    return decontaminate.make_index(config)


def rules(data, given):
    return [hit.rule for hit in decontaminate.find(given, index(data))]


def test_a_row_is_found_by_picture_question_and_runs_of_words(data):
    assert rules(data, row(data, "IS there a fracture", "0.png")) == [
        "benchmark question",
        "benchmark picture",
    ]
    assert rules(data, row(data, "Which side is it?", "0.png")) == ["benchmark picture"]
    assert rules(data, row(data, "what is Aspirin")) == ["benchmark text"]
    assert rules(data, row(data, "Now: " + LONG)) == ["benchmark run of words"]
    assert rules(data, row(data, "Tell me.", answer=LONG)) == ["benchmark run of words"]


def test_what_is_only_alike_is_not_found(data):
    assert rules(data, row(data, "Is there a fracture?", "2.png")) == []
    assert rules(data, row(data, "Is there a fracture?")) == [], "it is asked of a picture"
    assert rules(data, row(data, "What is aspirin good for?")) == []
    assert rules(data, row(data, " ".join(LONG.split()[:12]))) == []


def test_pictures_that_a_split_shares_stay_with_another_question(data, tmp_path):
    given = [
        row(data, "Is there a fracture?", "0.png", source="shared"),
        row(data, "Where is it?", "0.png", source="shared"),
        row(data, "Where is it?", "0.png"),
        row(data, "Where is it?", "2.png"),
    ]
    item = f"rows:{data}/exam.jsonl"
    config = decontaminate.Config(benchmarks=item, data_dir=str(data), pairs_only=("shared",))
    state = steps.next_state("first", {}, steps.State(tmp_path, "", 0), tmp_path)
    steps.commit(state.folder, "a.parquet", steps.Outcome(given, []), given=4)
    step = decontaminate.Decontaminate(config)
    after = steps.run_step(step, state, steps.Run(output=tmp_path, workers=1))
    kept = rows.read(after.folder / steps.ROWS / "a.parquet")
    assert [(k.source, k.facts.get("benchmark_picture")) for k in kept] == [
        ("shared", True),
        ("train", None),
    ]
    found = decontaminate.summarise(after.folder)
    assert found["looked_at"] == {"exam": 4} and found["shared_pictures"] == {"shared": 2}
    assert found["by_benchmark"] == {
        "exam": {"benchmark picture": {"train": 1}, "benchmark question": {"shared": 1}}
    }
    assert found["examples"]["benchmark picture"][0]["detail"] == "of exam/q0"


def test_benchmarks_without_data_are_named_or_an_error(data):
    config = decontaminate.Config(benchmarks="medqa_usmle", data_dir=str(data))
    found = decontaminate.make_index(config)
    assert not found.looked_at and "medqa_usmle" in found.missing
    with pytest.raises(errors.UserError, match="medqa_usmle"):
        decontaminate.make_index(dataclasses.replace(config, require_all=True))
    with pytest.raises(errors.UserError, match="unknown benchmark 'nothing'"):
        decontaminate.Config(benchmarks="nothing").validate([])
    with pytest.raises(errors.UserError, match="pairs_only names 'nobody'"):
        decontaminate.Config(pairs_only=("nobody",)).validate(["train"])


def test_the_training_split_of_vqa_rad_shares_pictures_and_some_questions(shared_dir):
    folder = shared_dir / "data"
    found = decontaminate.make_index(
        decontaminate.Config(benchmarks="vqa_rad", data_dir=str(folder))
    )
    source = sources.Source(name="vqa_rad", path="vqa_rad", format="vqa_rad")
    given = [examples.from_example(e) for e in sources.stream(source, folder)]
    hits = [
        {hit.rule for hit in decontaminate.find(one.knowing(image_hashes=_hashes(one)), found)}
        for one in given
    ]
    assert len(given) == 3064
    assert sum("benchmark picture" in one for one in hits) == 1912
    assert sum("benchmark question" in one for one in hits) == 24


def _hashes(given):
    return [list(fingerprints.media_hashes(m.path, is_video=False)) for m in given.media]
