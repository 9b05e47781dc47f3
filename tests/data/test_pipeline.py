# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.data import messages, packing, pipeline, sources

BUDGET = packing.Budget(tokens=400, patches=64 * 4)
SIZES = [(28, 28), (84, 56), (112, 112), (60, 150), (140, 28)]


@pytest.fixture(scope="module")
def encoder(byte_folder: Path) -> messages.Encoder:
    return messages.Encoder(byte_folder, min_pixels=784, max_pixels=784 * 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    for i, (width, height) in enumerate(SIZES):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def make_example(number: int, image: str | None) -> sources.Example:
    content: list[dict[str, Any]] = [{"type": "text", "text": f"question {number}?"}]
    if image is not None:
        content.insert(0, {"type": "image", "image": image})
    return sources.Example(
        id=f"row{number}",
        source="text" if image is None else "images",
        messages=(
            {"role": "user", "content": content},
            {"role": "assistant", "content": "a" * (number % 7 + 1)},
        ),
    )


@pytest.fixture(scope="module")
def examples(folder: Path) -> list[sources.Example]:
    return [
        make_example(i, None if i % 3 == 0 else str(folder / f"{i % len(SIZES)}.png"))
        for i in range(50)
    ]


def make(
    examples: list[sources.Example], encoder: messages.Encoder, **options: Any
) -> pipeline.Pipeline:
    defaults = {"budget": BUDGET, "rows_per_batch": 4, "epochs": 2, "seed": 5}
    return pipeline.Pipeline(examples, encoder, **{**defaults, **options})


def questions(batch: pipeline.Batch, encoder: messages.Encoder) -> list[int]:
    """Numbers of the examples in a batch, in its order."""
    found = []
    for tokens, segments in zip(batch["tokens"], batch["segment_ids"], strict=True):
        for segment in range(1, segments.max() + 1):
            text = encoder.decode(tokens[segments == segment])
            found.append(int(text.split("question ")[1].split("?")[0]))
    return found


def assert_same(left: pipeline.Batch, right: pipeline.Batch) -> None:
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_every_example_is_read_once_an_epoch(
    examples: list[sources.Example], encoder: messages.Encoder
) -> None:
    reader = make(examples, encoder)
    batches = [batch for batch, _ in reader.batches()]
    assert len(batches) == reader.num_batches
    read = list(itertools.chain(*(questions(batch, encoder) for batch in batches)))
    assert sorted(read[:50]) == sorted(read[50:]) == list(range(50))
    assert read[:50] != read[50:]
    assert reader.source_names == ("text", "images")


def test_only_the_last_batch_is_completed_with_empty_rows(
    examples: list[sources.Example], encoder: messages.Encoder
) -> None:
    reader = make(examples, encoder, rows_per_batch=3)
    batches = [batch for batch, _ in reader.batches()]
    empty = [int((batch["segment_ids"].max(axis=1) == 0).sum()) for batch in batches]
    rows = 2 * reader._count_rows(0) if reader._count_rows(0) == reader._count_rows(1) else None
    assert rows is not None and rows % 3, "the case needs an incomplete last batch"
    assert empty == [0] * (len(batches) - 1) + [-rows % 3]


def test_the_seed_decides_the_order(
    examples: list[sources.Example], encoder: messages.Encoder
) -> None:
    first, again, other = (
        next(make(examples, encoder, seed=seed).batches())[0] for seed in (5, 5, 6)
    )
    assert_same(first, again)
    assert questions(first, encoder) != questions(other, encoder)


@pytest.mark.parametrize("after", [1, 2, 4], ids=["early", "before_the_epochs_seam", "late"])
def test_a_restored_state_goes_on_with_identical_batches(
    after: int, examples: list[sources.Example], encoder: messages.Encoder
) -> None:
    whole = list(make(examples, encoder).batches())
    assert len(whole) > after + 1
    saved = json.loads(json.dumps(whole[after - 1][1]))
    rest = list(make(examples, encoder).batches(saved))
    assert len(rest) == len(whole) - after
    for (left, left_state), (right, right_state) in zip(whole[after:], rest, strict=True):
        assert_same(left, right)
        assert left_state == right_state


def test_a_finished_state_gives_nothing(
    examples: list[sources.Example], encoder: messages.Encoder
) -> None:
    reader = make(examples, encoder)
    *_, (_, state) = reader.batches()
    assert state["epoch"] == 2 and list(reader.batches(state)) == []


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_the_global_batch(
    count: int, examples: list[sources.Example], encoder: messages.Encoder
) -> None:
    alone = list(make(examples, encoder).batches())
    shares = [
        list(make(examples, encoder, process_index=i, process_count=count).batches())
        for i in range(count)
    ]
    for (whole, state), *parts in zip(alone, *shares, strict=True):
        together = {name: np.concatenate([part[name] for part, _ in parts]) for name in whole}
        assert_same(whole, together)
        assert all(part_state == state for _, part_state in parts)


def test_the_number_of_processes_may_change_on_resume(
    examples: list[sources.Example], encoder: messages.Encoder
) -> None:
    alone = list(make(examples, encoder).batches())
    half = make(examples, encoder, process_index=1, process_count=2)
    batch, _ = next(half.batches(alone[2][1]))
    assert_same(batch, {name: array[2:] for name, array in alone[3][0].items()})


def test_each_process_decodes_only_its_own_rows(
    examples: list[sources.Example], encoder: messages.Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembled = []
    assemble = packing.assemble

    def count(members: list[messages.Encoded], *args: Any, **options: Any) -> pipeline.Batch:
        assembled.append(len(members))
        return assemble(members, *args, **options)

    monkeypatch.setattr(packing, "assemble", count)
    reader = make(examples, encoder, process_index=1, process_count=4)
    assert len(list(reader.batches())) == len(assembled) == reader.num_batches


def test_without_end_epochs_follow_each_other(
    examples: list[sources.Example], encoder: messages.Encoder
) -> None:
    reader = make(examples, encoder, epochs=None, rows_per_batch=8)
    assert reader.num_batches is None
    taken = [next_ for next_ in itertools.islice(reader.batches(), 12)]
    read = list(itertools.chain(*(questions(batch, encoder) for batch, _ in taken)))
    assert sorted(read[100:150]) == list(range(50))
    resumed, _ = next(reader.batches(taken[10][1]))
    assert_same(resumed, taken[11][0])


def test_a_state_of_other_data_is_refused(
    examples: list[sources.Example], encoder: messages.Encoder
) -> None:
    _, state = next(make(examples, encoder).batches())
    with pytest.raises(errors.UserError, match="data, seed or budget have changed"):
        make(examples[1:], encoder).batches(state)


def test_fill_is_what_the_batches_hold(
    examples: list[sources.Example], encoder: messages.Encoder
) -> None:
    reader = make(examples, encoder, epochs=1, rows_per_batch=1)
    batches = [batch for batch, _ in reader.batches()]
    tokens = np.mean([batch["segment_ids"] > 0 for batch in batches])
    patches = np.mean([batch["patch_frame_ids"] > 0 for batch in batches])
    assert reader.fill == pytest.approx((tokens, patches))
    assert reader.fill.tokens > 0.8


def test_bad_examples_are_dropped_with_their_reason(
    folder: Path, examples: list[sources.Example], encoder: messages.Encoder
) -> None:
    question = {"role": "user", "content": "a"}
    answer = {"role": "assistant", "content": "b"}
    bad = {
        "missing": [{"role": "user", "content": [{"type": "image", "image": "/no.png"}]}, answer],
        "empty": [question, {"role": "assistant", "content": ""}],
        "untrained": [question],
        "long": [{"role": "user", "content": "a" * 500}, answer],
    }
    rows = [
        sources.Example(id=name, source="bad", line=7, messages=tuple(rows))
        for name, rows in bad.items()
    ]
    reader = make([*examples[:5], *rows], encoder)
    assert reader.num_examples == 5
    assert [(row.id, row.source, row.line) for row in reader.dropped] == [
        (name, "bad", 7) for name in bad
    ]
    reasons = [row.reason for row in reader.dropped]
    for reason, expected in zip(
        reasons,
        ["image not found: /no.png", "is empty", "no assistant message", "do not fit into a row"],
        strict=True,
    ):
        assert expected in reason


def truncated(folder: Path, tmp_path: Path) -> sources.Example:
    content = (folder / "2.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    return make_example(77, str(tmp_path / "cut.png"))


def test_a_truncated_image_stops_the_reader_by_name(
    folder: Path, tmp_path: Path, encoder: messages.Encoder
) -> None:
    reader = make([truncated(folder, tmp_path)], encoder, rows_per_batch=1)
    assert not reader.dropped
    with pytest.raises(errors.UserError, match=r"row 'row77': .*cut\.png: image does not decode"):
        list(reader.batches())


def test_a_truncated_image_is_dropped_when_verified(
    folder: Path, tmp_path: Path, examples: list[sources.Example], encoder: messages.Encoder
) -> None:
    rows = [truncated(folder, tmp_path), *examples[:3]]
    reader = make(rows, encoder, verify_images=True)
    assert [row.id for row in reader.dropped] == ["row77"]
    assert "does not decode" in reader.dropped[0].reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"rows_per_batch": 3, "process_count": 2}, "multiple of the 2", id="rows"),
        pytest.param({"rows_per_batch": 0}, "positive multiple .* got 0", id="no_rows"),
        pytest.param({"epochs": 0}, "epochs must be positive or None, got 0", id="epochs"),
        pytest.param({"budget": packing.Budget(8, 60)}, "multiple of 64, got 60", id="budget"),
        pytest.param({"budget": packing.Budget(8, 64)}, "no example to read, 50 dropped", id="all"),
    ],
)
def test_options_are_checked(
    options: dict[str, Any],
    message: str,
    examples: list[sources.Example],
    encoder: messages.Encoder,
) -> None:
    with pytest.raises(errors.UserError, match=message):
        make(examples, encoder, **options)
