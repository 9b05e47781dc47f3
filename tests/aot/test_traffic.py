# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Collectives counted by hand: weights of every part, gradients, activations."""

import pytest

from lingshu_jax.aot import hlo, step_time, traffic
from lingshu_jax.models import flops, sizes

SIZE = sizes.get("7b")
TEXT = SIZE.text
BATCH = traffic.Batch(rows=64, tokens=8192, patches=4096)
WORK = flops.Work(64 * 8192, 64 * 8192**2, 0, 0, 0, 64 * 8192)
ALL = {one.weight for one in flops.products(SIZE, WORK)} - {""} | {"text/embed/embedding"}
STAGE_1 = {path for path in ALL if path.startswith(("vision/", "merger/"))}


def count(
    mesh: dict[str, int], trained: set[str], batch: traffic.Batch = BATCH, slices: int = 1
) -> dict[str, float]:
    found = traffic.collectives(
        size=SIZE,
        batch=batch,
        trained=trained,
        recomputed=step_time.RECOMPUTED["full"],
        mesh=mesh,
        slices=slices,
    )
    return hlo.summary(found)


def gathered(trained: set[str], *, with_vision: bool = True) -> int:
    """Numbers in the weights that are gathered: all but the embedding."""
    parts = traffic.stacks(SIZE, trained, with_vision=with_vision)
    return sum(one.weights for one in parts if one.name != "text/embed")


def test_weights_of_the_parts() -> None:
    parts = {one.name: one for one in traffic.stacks(SIZE, ALL, with_vision=True)}
    table = TEXT.vocab_size * TEXT.embed_dim
    block = TEXT.embed_dim * (2 * 3584 + 2 * 512 + 3 * TEXT.mlp_dim)
    assert parts["text/layers"].weights == TEXT.num_layers * block
    assert parts["text/head"].weights == parts["text/embed"].weights == table
    assert parts["merger/up"].weights == 5120 * 5120
    assert parts["vision/blocks"].weights == 32 * 1280 * (4 * 1280 + 3 * 3420)
    total = sum(one.weights for one in parts.values())
    assert total == pytest.approx(8.29e9, rel=0.001)  # of the published 8.292 billion
    assert total == sum(one.trained for one in parts.values())


def test_a_tied_table_is_counted_once() -> None:
    parts = [one.name for one in traffic.stacks(sizes.get("3b"), (), with_vision=False)]
    assert parts == ["text/layers", "text/head"]


def test_fsdp_gathers_twice_and_scatters_once() -> None:
    total = 2 * gathered(ALL)
    assert count({"fsdp": 64}, ALL) == pytest.approx(
        {
            "all-gather fsdp": 2 * total * 63 / 64,
            "reduce-scatter fsdp": total * 63 / 64,
            "all-to-all fsdp": 2 * 2 * 8192 * TEXT.embed_dim * 63 / 64,
        }
    )


def test_micro_batches_repeat_what_weights_need() -> None:
    whole, cut = (count({"fsdp": 64}, ALL, BATCH._replace(micro_batches=n)) for n in (1, 4))
    assert cut.pop("all-to-all fsdp") == whole.pop("all-to-all fsdp")
    assert cut == pytest.approx({name: 4 * size for name, size in whole.items()})


def test_frozen_text_is_gathered_for_its_backward_pass_and_has_no_gradient() -> None:
    parts = {one.name: one for one in traffic.stacks(SIZE, STAGE_1, with_vision=True)}
    trained = sum(one.trained for one in parts.values())
    assert parts["text/layers"].is_behind and not parts["text/embed"].is_behind
    totals = count({"fsdp": 64}, STAGE_1)
    assert totals["reduce-scatter fsdp"] == pytest.approx(2 * trained * 63 / 64)
    del parts["text/embed"]
    twice = sum(one.weights * (1 + one.is_behind) for one in parts.values())
    assert totals["all-gather fsdp"] == pytest.approx(2 * twice * 63 / 64)


def test_a_forward_pass_gathers_once() -> None:
    text = BATCH._replace(patches=0)
    total = 2 * gathered(set(), with_vision=False)
    assert count({"fsdp": 8}, set(), text)["all-gather fsdp"] == pytest.approx(total * 7 / 8)


def test_replicas_add_their_shards_within_and_between_slices() -> None:
    shard = 2 * gathered(ALL) / 16
    totals = count({"data": 4, "fsdp": 16}, ALL, slices=2)
    assert totals["all-reduce data"] == pytest.approx(shard)
    assert totals["all-reduce network"] == pytest.approx(shard / 2)


def test_tensor_adds_activations_twice_a_block_and_pass() -> None:
    text = BATCH._replace(patches=0)
    local = 2 * 64 * 8192 / 16 * TEXT.embed_dim
    passes = 3  # forward, backward, and the forward pass again
    wire = 2 * passes * TEXT.num_layers * 2 * local * 3 / 4
    totals = count({"fsdp": 16, "tensor": 4}, ALL, text)
    assert totals["all-reduce tensor"] == pytest.approx(wire)
    forward = count({"fsdp": 16, "tensor": 4}, set(), text)
    assert forward["all-reduce tensor"] == pytest.approx(wire / 3)


def test_context_exchanges_tokens_for_heads() -> None:
    text = BATCH._replace(patches=0)
    local = 2 * 64 * 8192 / 64 * (2 * 3584 + 2 * 512)
    totals = count({"fsdp": 32, "context": 2}, set(), text)
    assert totals["all-to-all context"] == pytest.approx(TEXT.num_layers * local / 2)
    # Of the tower only the blocks of full attention do.
    with_tower = count({"fsdp": 32, "context": 2}, set())["all-to-all context"]
    patches = 2 * BATCH.rows * BATCH.patches / 64 * 4 * 1280
    assert with_tower - totals["all-to-all context"] == pytest.approx(4 * patches / 2)


def test_what_is_executed_is_whole_rows_and_blocks() -> None:
    batch = traffic.Batch(rows=2, tokens=8192, patches=128, block=2048)
    one_sequence = flops.Work(2 * 8000, 2 * 8000**2, 2 * 100, 2 * 100**2, 0, 9)
    work = batch.executed(one_sequence)
    assert work.token_pairs == 2 * 8192 * (8192 + 2048)  # 10 of 16 blocks, twice the causal half
    assert (work.frame_pairs, work.window_pairs) == (2 * 128 * 128, 2 * 128 * 64)
    assert (work.tokens, work.patches, work.targets) == (2 * 8192, 2 * 128, 2 * 8192)
    assert batch._replace(targets=1).executed(one_sequence).targets == 2


def test_blocks_that_share_no_sequence_are_skipped() -> None:
    batch = traffic.Batch(rows=1, tokens=8192, patches=16_384, block=1024)
    eight = flops.Work(8192, 8 * 1024**2, 16_384, 8 * 2048**2, 0, 8192)
    work = batch.executed(eight)
    # Eight blocks on the diagonal and eight below it, of 36.
    assert work.token_pairs == 2 * 16 * 1024**2
    # Each image of two blocks lies in three: 16 on the diagonal, 8 x (9 - 3) beside it.
    assert work.frame_pairs == (16 + 8 * 6) * 1024**2
