# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lingshu_jax.common import errors
from lingshu_jax.data import messages, packing, pipeline, sources
from tests.data import stores

BUDGET = packing.Budget(tokens=400, patches=64 * 4)


@pytest.fixture(scope="module")
def encoder(byte_folder: Path) -> messages.Encoder:
    return messages.Encoder(byte_folder, min_pixels=784, max_pixels=784 * 16)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[sources.Example]:
    return stores.make_examples(tmp_path_factory.mktemp("images"), 50)


SEQUENCES = {"sequences_per_batch": 8, "rows_per_batch": 8}
Make = Callable[..., pipeline.Pipeline]


@pytest.fixture(scope="module")
def make(encoder: messages.Encoder, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a reader of examples; the same ones are encoded once."""
    folder = tmp_path_factory.mktemp("encoded")

    def make(examples: list[sources.Example], **options: Any) -> pipeline.Pipeline:
        budget, rows = options.pop("budget", BUDGET), options.pop("rows_per_batch", 4)
        shape = {k: options.pop(k) for k in ("sequences_per_batch",) if k in options}
        copies = options.pop("copies", 1)
        return pipeline.Pipeline(
            stores.build(examples, encoder, folder, budget=budget),
            layout=stores.layout(budget, rows, **shape),
            amounts=stores.amounts(stores.names_of(examples), copies),
            **{"epochs": 2, "seed": 5, **options},
        )

    return make


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
    examples: list[sources.Example], encoder: messages.Encoder, make: Make
) -> None:
    reader = make(examples)
    batches = [batch for batch, _ in reader.batches()]
    assert len(batches) == reader.num_batches
    read = list(itertools.chain(*(questions(batch, encoder) for batch in batches)))
    assert sorted(read[:50]) == sorted(read[50:]) == list(range(50))
    assert read[:50] != read[50:]


def test_only_the_last_batch_is_completed_with_empty_rows(
    examples: list[sources.Example], make: Make
) -> None:
    reader = make(examples, rows_per_batch=3)
    batches = [batch for batch, _ in reader.batches()]
    empty = [int((batch["segment_ids"].max(axis=1) == 0).sum()) for batch in batches]
    rows = 2 * reader._count_rows(0) if reader._count_rows(0) == reader._count_rows(1) else None
    assert rows is not None and rows % 3, "the case needs an incomplete last batch"
    assert empty == [0] * (len(batches) - 1) + [-rows % 3]


def test_the_seed_decides_the_order(
    examples: list[sources.Example], encoder: messages.Encoder, make: Make
) -> None:
    first, again, other = (next(make(examples, seed=seed).batches())[0] for seed in (5, 5, 6))
    assert_same(first, again)
    assert questions(first, encoder) != questions(other, encoder)


@pytest.mark.parametrize("after", [1, 2, 4], ids=["early", "before_the_epochs_seam", "late"])
def test_a_restored_state_goes_on_with_identical_batches(
    after: int, examples: list[sources.Example], make: Make
) -> None:
    whole = list(make(examples).batches())
    assert len(whole) > after + 1
    saved = json.loads(json.dumps(whole[after - 1][1]))
    rest = list(make(examples).batches(saved))
    assert len(rest) == len(whole) - after
    for (left, left_state), (right, right_state) in zip(whole[after:], rest, strict=True):
        assert_same(left, right)
        assert left_state == right_state


def test_a_finished_state_gives_nothing(examples: list[sources.Example], make: Make) -> None:
    reader = make(examples)
    *_, (_, state) = reader.batches()
    assert state["epoch"] == 2 and list(reader.batches(state)) == []


@pytest.mark.parametrize("layout", [{}, SEQUENCES], ids=["rows", "sequences"])
@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_the_global_batch(
    count: int, layout: dict[str, int], examples: list[sources.Example], make: Make
) -> None:
    alone = list(make(examples, **layout).batches())
    shares = [
        list(make(examples, process_index=i, process_count=count, **layout).batches())
        for i in range(count)
    ]
    for (whole, state), *parts in zip(alone, *shares, strict=True):
        together = {name: np.concatenate([part[name] for part, _ in parts]) for name in whole}
        assert_same(whole, together)
        assert all(part_state == state for _, part_state in parts)


def test_the_number_of_processes_may_change_on_resume(
    examples: list[sources.Example], make: Make
) -> None:
    alone = list(make(examples).batches())
    half = make(examples, process_index=1, process_count=2)
    batch, _ = next(half.batches(alone[2][1]))
    assert_same(batch, {name: array[2:] for name, array in alone[3][0].items()})


def test_each_process_decodes_only_its_own_rows(
    examples: list[sources.Example], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembled = []
    assemble = packing.assemble

    def count(members: list[messages.Encoded], *args: Any, **options: Any) -> pipeline.Batch:
        assembled.append(len(members))
        return assemble(members, *args, **options)

    monkeypatch.setattr(packing, "assemble", count)
    reader = make(examples, process_index=1, process_count=4)
    assert len(list(reader.batches())) == len(assembled) == reader.num_batches


def test_without_end_epochs_follow_each_other(
    examples: list[sources.Example], encoder: messages.Encoder, make: Make
) -> None:
    reader = make(examples, epochs=None, rows_per_batch=8)
    assert reader.num_batches is None
    taken = [next_ for next_ in itertools.islice(reader.batches(), 12)]
    read = list(itertools.chain(*(questions(batch, encoder) for batch, _ in taken)))
    assert sorted(read[100:150]) == list(range(50))
    resumed, _ = next(reader.batches(taken[10][1]))
    assert_same(resumed, taken[11][0])


def test_a_state_of_other_data_is_refused(examples: list[sources.Example], make: Make) -> None:
    _, state = next(make(examples).batches())
    with pytest.raises(errors.UserError, match="data, seed or budget have changed"):
        make(examples[1:]).batches(state)


def test_fill_is_what_the_batches_hold(examples: list[sources.Example], make: Make) -> None:
    reader = make(examples, epochs=1, rows_per_batch=1)
    batches = [batch for batch, _ in reader.batches()]
    tokens = np.mean([batch["segment_ids"] > 0 for batch in batches])
    patches = np.mean([batch["patch_frame_ids"] > 0 for batch in batches])
    assert reader.fill == pytest.approx((tokens, patches))
    assert reader.fill.tokens > 0.8


def test_a_truncated_image_stops_the_reader_by_name(tmp_path: Path, make: Make) -> None:
    reader = make([stores.truncated_example(tmp_path)], rows_per_batch=1)
    with pytest.raises(errors.UserError, match=r"row 'row77': .*cut\.png: image does not decode"):
        list(reader.batches())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"rows_per_batch": 3, "process_count": 2}, "multiple of the 2", id="rows"),
        pytest.param({"rows_per_batch": 0}, "positive multiple .* got 0", id="no_rows"),
        pytest.param({"epochs": 0}, "epochs must be positive or None, got 0", id="epochs"),
    ],
)
def test_options_are_checked(
    options: dict[str, Any], message: str, examples: list[sources.Example], make: Make
) -> None:
    with pytest.raises(errors.UserError, match=message):
        make(examples, **options)


# Batches that are counted in sequences


def test_a_batch_is_so_many_sequences_and_epochs_do_not_mix(
    examples: list[sources.Example], encoder: messages.Encoder, make: Make
) -> None:
    reader = make(examples, **SEQUENCES)
    batches = [questions(batch, encoder) for batch, _ in reader.batches()]
    assert [len(numbers) for numbers in batches] == 2 * ([8] * 6 + [2])
    assert len(batches) == reader.num_batches
    for epoch in (batches[:7], batches[7:]):
        assert sorted(itertools.chain(*epoch)) == list(range(50))
    assert batches[0] != batches[7]


def test_sequences_lie_packed(examples: list[sources.Example], make: Make) -> None:
    segments = [
        batch["segment_ids"].max(axis=1) for batch, _ in make(examples, **SEQUENCES).batches()
    ]
    assert max(row.max() for row in segments) > 1
    assert any((row == 0).any() for row in segments), "rows that are not needed are empty"


def test_every_state_of_sequences_can_be_restored(
    examples: list[sources.Example], make: Make
) -> None:
    whole = list(make(examples, **SEQUENCES).batches())
    for after, (_, state) in enumerate(whole[:-1]):
        again, next_state = next(make(examples, **SEQUENCES).batches(json.loads(json.dumps(state))))
        assert_same(again, whole[after + 1][0])
        assert next_state == whole[after + 1][1]


def test_too_few_rows_for_the_sequences_are_an_error(
    examples: list[sources.Example], make: Make
) -> None:
    reader = make(examples, sequences_per_batch=32, rows_per_batch=1)
    with pytest.raises(errors.UserError, match="data.rows_per_batch = 1 is too small"):
        next(reader.batches())


def test_an_epoch_may_read_half_of_each_source(
    examples: list[sources.Example], encoder: messages.Encoder, make: Make
) -> None:
    reader = make(examples, copies=0.5, **SEQUENCES)
    batches = [questions(batch, encoder) for batch, _ in reader.batches()]
    assert reader.num_examples == 24 and len(batches) == 3 + 4
    assert sorted(itertools.chain(*batches)) == list(range(50)), "two epochs read every row once"


def test_fill_counts_copies(examples: list[sources.Example], make: Make) -> None:
    reader = make(examples, epochs=1, copies=2)
    batches = [batch for batch, _ in reader.batches()]
    filled = sum(int((batch["segment_ids"] > 0).sum()) for batch in batches)
    rows = reader._count_rows(0)
    assert reader.fill.tokens == pytest.approx(filled / (rows * BUDGET.tokens))


@pytest.mark.parametrize("shape", [{}, SEQUENCES], ids=["rows", "sequences"])
def test_threads_do_not_change_the_order(
    shape: dict[str, int],
    examples: list[sources.Example],
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = list(make(examples, **shape).batches())
    monkeypatch.setattr(pipeline, "MAX_DECODE_THREADS", 1)
    for (left, _), (right, _) in zip(many, make(examples, **shape).batches(), strict=True):
        assert_same(left, right)
