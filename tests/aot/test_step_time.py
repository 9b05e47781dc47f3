# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The step time: hand-computed cases, what makes it longer, and the stages."""

import pytest

from lingshu_jax.aot import hlo, step_time, traffic
from lingshu_jax.common import errors, topologies
from lingshu_jax.models import flops, layers, sizes

SIZE = sizes.get("7b")
BATCH = step_time.Batch(rows=64, tokens=8192, block=2048)
WORK = flops.Work(64 * 8192, 64 * 8192**2, 0, 0, 0, 64 * 8192)
MULTIMODAL = BATCH._replace(patches=16_384)
ALL = {one.weight for one in flops.products(SIZE, WORK)} - {""} | {"text/embed/embedding"}
TEXT_ONLY = {path for path in ALL if path.startswith("text/")}
PERFECT = step_time.Constants(product=1.0, attention=1.0, elementwise=0.0, exposed=0.0)


def predict(
    topology: str = "v5e:8x8",
    mesh: dict[str, int] | None = None,
    *,
    size: sizes.ModelSize = SIZE,
    work: flops.Work = WORK,
    batch: step_time.Batch = BATCH,
    trained: set[str] = TEXT_ONLY,
    remat: str = "full",
    collectives: list[hlo.Collective] | None = None,
) -> step_time.Prediction:
    return step_time.predict(
        size=size,
        work=work,
        batch=batch,
        trained=trained,
        remat=remat,
        topology=topologies.parse(topology),
        mesh=mesh or {"fsdp": 64},
        collectives=collectives,
    )


def job(remat: str, trained: set[str] = TEXT_ONLY, topology: str = "v5e:8x8") -> step_time.Job:
    recomputed = step_time.RECOMPUTED[remat]
    return step_time.Job(
        SIZE, WORK, BATCH, trained, recomputed, topologies.parse(topology), {"fsdp": 64}
    )


def test_every_policy_of_the_blocks_is_known() -> None:
    assert set(step_time.RECOMPUTED) == set(layers.REMAT_POLICIES)


def test_products_by_hand() -> None:
    weights = {one.name: one.weights for one in traffic.stacks(SIZE, TEXT_ONLY, with_vision=False)}
    tokens = 64 * 8192
    down = SIZE.text.num_layers * SIZE.text.embed_dim * SIZE.text.mlp_dim
    blocks, head = weights["text/layers"], weights["text/head"]
    # Forward and two backward products; the loss makes its logits again, "full" all but down.
    without = 2 * tokens * (3 * blocks + 4 * head)
    again = 2 * tokens * (blocks - down)
    peak = 64 * 197e12
    kept = step_time.step_parts(job("none"), PERFECT)
    full = step_time.step_parts(job("full"), PERFECT)
    assert kept["products"] == pytest.approx(without / peak)
    assert full["products"] == pytest.approx((without + again) / peak)


@pytest.mark.parametrize(
    ("remat", "passes"), [("none", 3.5), ("dots", 4.5), ("full", 4.5), ("offload", 3.5)]
)
def test_attention_by_hand(remat: str, passes: float) -> None:
    text = SIZE.text
    pairs = 64 * 8192 * (8192 + 2048)
    forward = 2 * text.num_layers * pairs * text.num_heads * text.head_dim
    parts = step_time.step_parts(job(remat), PERFECT)
    assert parts["attention"] == pytest.approx(passes * forward / (64 * 197e12))


def test_a_head_fills_half_of_a_matrix_unit_of_256() -> None:
    of_128 = step_time.step_parts(job("full"), PERFECT)["attention"] * 197e12
    of_256 = step_time.step_parts(job("full", topology="v6e:8x8"), PERFECT)["attention"] * 918e12
    assert of_256 == pytest.approx(2 * of_128)


def test_optimizer_by_hand() -> None:
    trained = sum(one.trained for one in traffic.stacks(SIZE, TEXT_ONLY, with_vision=False))
    parts = step_time.step_parts(job("full"), PERFECT)
    assert parts["optimizer"] == pytest.approx(32 * trained / 64 / 819e9)


def test_collectives_are_shown_where_they_exceed_the_compute_and_by_their_share() -> None:
    compute = sum(v for k, v in step_time.step_parts(job("full"), PERFECT, []).items())
    second = 2 * 45e9  # bytes that fsdp sends in a second on 8 x 8

    def exposed(seconds: float, share: float, axes: tuple[str, ...] = ("fsdp",)) -> float:
        one = hlo.Collective("collective-permute", 1, seconds * second, 64, 1, axes)
        constants = PERFECT._replace(exposed=share)
        return step_time.step_parts(job("full"), constants, [one])["collectives"]

    assert exposed(compute / 2, 0.0) == 0
    assert exposed(compute / 2, 0.5) == pytest.approx(compute / 4)
    assert exposed(compute + 1, 0.0) == pytest.approx(1)
    assert exposed(3.0, 0.0, ("context",)) > 0  # activations are waited for


def test_parts_sum_to_the_seconds_and_mfu_is_useful_work() -> None:
    found = predict()
    assert sum(found.parts.values()) == pytest.approx(found.seconds)
    useful = flops.train_flops(SIZE, WORK, TEXT_ONLY).total
    assert found.mfu == pytest.approx(useful / found.seconds / (64 * 197e12))
    assert 0.4 < found.mfu < 0.75


def test_padding_takes_time_and_adds_no_work() -> None:
    half = flops.Work(*(value / 2 for value in WORK))  # half as many sequences of the same length
    assert predict(work=half).seconds == predict().seconds
    assert predict(work=half).mfu == pytest.approx(predict().mfu / 2)


def test_what_is_recomputed_makes_it_longer() -> None:
    names = ("none", "save_attention", "save_some", "full")
    times = [predict(remat=remat).seconds for remat in names]
    assert times == sorted(times) and len(set(times)) == 4


def test_more_of_anything_takes_longer() -> None:
    base = predict().seconds
    assert predict(batch=BATCH._replace(rows=128)).seconds > 1.9 * base
    assert predict(batch=BATCH._replace(patches=4096), trained=ALL).seconds > base
    assert predict(batch=BATCH._replace(micro_batches=8)).seconds > base
    assert predict(batch=BATCH._replace(block=512)).seconds < base
    assert predict(size=sizes.get("32b")).seconds > 3 * base
    assert predict("v5e:8x8*2", {"data": 2, "fsdp": 64}).seconds < base
    assert predict("v5p:4x4x4").seconds < base


def test_short_sequences_cost_less_attention() -> None:
    short = WORK._replace(token_pairs=WORK.tokens * 1024)
    assert predict(work=short).parts["attention"] < predict().parts["attention"] / 1.4
    assert predict(work=short).parts["products"] == predict().parts["products"]


def test_stage_1_has_no_weight_gradients_of_text() -> None:
    stage_1 = {path for path in ALL if path.startswith(("vision/", "merger/"))}
    frozen = predict(batch=MULTIMODAL, trained=stage_1)
    whole = predict(batch=MULTIMODAL, trained=ALL)
    forward = predict(batch=MULTIMODAL, trained=set())
    assert forward.seconds < frozen.seconds < whole.seconds
    assert frozen.parts["optimizer"] < whole.parts["optimizer"] / 9
    assert forward.parts["optimizer"] == 0


def test_a_frozen_tower_runs_forward_alone() -> None:
    text = predict(batch=MULTIMODAL, trained=TEXT_ONLY)
    no_tower = predict(trained=TEXT_ONLY)
    tower = predict(batch=MULTIMODAL, trained=set()).seconds - predict(trained=set()).seconds
    extra = text.seconds - no_tower.seconds
    assert extra == pytest.approx(tower, rel=0.1)


def test_prefill_asks_the_head_once_a_row() -> None:
    every, last = (
        predict(trained=set(), batch=BATCH._replace(targets=n)).parts["products"] for n in (0, 1)
    )
    head = SIZE.text.vocab_size * SIZE.text.embed_dim
    share = head / sum(one.weights for one in traffic.stacks(SIZE, (), with_vision=False)[:-1])
    assert 1 - last / every == pytest.approx(share, rel=0.01)


def test_collectives_of_a_program_take_the_place_of_those_by_hand() -> None:
    by_hand = traffic.collectives(
        size=SIZE,
        batch=BATCH,
        trained=TEXT_ONLY,
        recomputed=step_time.RECOMPUTED["full"],
        mesh={"fsdp": 64},
    )
    assert predict(collectives=by_hand) == predict()
    assert predict(collectives=[]).parts["collectives"] == 0


def decode(sequences: int, tensor: int = 1, **options: object) -> step_time.Prediction:
    return step_time.predict_decode(
        size=SIZE,
        sequences=sequences,
        cached_tokens=4096,
        topology=topologies.parse("v5p:2x2x1"),
        mesh={"data": 4 // tensor, "tensor": tensor},
    )


def test_decoding_by_hand() -> None:
    weights = 7_070_000_000  # of the products, the input embedding left out
    cache = 56 * 1024 * 4096
    seconds = (2 * weights + cache) / 2765e9 / 0.85
    assert decode(4).seconds == pytest.approx(seconds, rel=0.01)


def test_decoding_over_tensor_reads_a_share_and_adds_activations() -> None:
    whole, split = decode(4), decode(4, tensor=4)
    assert split.parts["memory"] < whole.parts["memory"] / 3
    assert whole.parts["collectives"] == 0 < split.parts["collectives"]


def test_a_large_batch_decodes_at_the_speed_of_the_products() -> None:
    assert decode(100_000).mfu > 3 * decode(64).mfu


def test_an_unknown_policy_is_an_error() -> None:
    with pytest.raises(errors.UserError, match="unknown remat policy 'some'; known: none, full"):
        predict(remat="some")
