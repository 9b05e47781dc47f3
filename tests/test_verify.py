# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The table that compares ours with transformers: its numbers, its verdict, its prompts."""

import dataclasses
import importlib.util
import math
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lingshu_jax import verify, verify_prompts, verify_sides
from lingshu_jax.common import errors
from lingshu_jax.data import messages
from tests import small

TOKENS, VOCABULARY = 7, 11
CLOSE = verify.Row(
    prompt="CT",
    num_tokens=341,
    distance=verify.Distance(3e-6, 2e-5),
    same_choice=1.0,
    equal_tokens=32,
    greedy_tokens=32,
)
ROUNDED = dataclasses.replace(
    CLOSE,
    distance=verify.Distance(4e-2, 0.2),
    same_choice=0.975,
    equal_tokens=5,
    margin=0.03125,
    ours_from_float32=verify.Distance(5e-2, 0.1),
    theirs_from_float32=verify.Distance(6e-2, 0.3),
)


def outcome(rng: np.random.Generator, **changes: Any) -> verify_sides.Outcome:
    made = verify_sides.Outcome(
        tokens=np.arange(TOKENS),
        logits=rng.normal(size=(TOKENS, VOCABULARY)).astype(np.float32),
        answer=[4, 5, 6],
        margins=np.array([0.5, 0.25, 0.125], np.float32),
    )
    return made._replace(**changes)


def report(float32: verify.Row = CLOSE, **changes: Any) -> verify.Report:
    fields: dict[str, Any] = {
        "model": "Qwen/Qwen2.5-VL-3B-Instruct",
        "parameters": (3_754_622_976, 3_754_622_976),
        "devices": ("TPU v5 lite", "cpu"),
        "versions": {"lingshu_jax": "0.1.0", "jax": "0.10.2", "torch": "2.13.0"},
        "rows": {"float32": [float32], "bfloat16": [ROUNDED]},
    }
    return verify.Report(**{**fields, **changes})


def test_the_table_is_markdown_to_paste() -> None:
    assert verify.format_table(report()).splitlines() == [
        "### Qwen/Qwen2.5-VL-3B-Instruct: lingshu_jax beside transformers",
        "",
        "- versions: lingshu_jax 0.1.0, jax 0.10.2, torch 2.13.0",
        "- parameters: 3,754,622,976",
        "- devices: ours TPU v5 lite, theirs cpu",
        "- logits: largest difference, relative to the largest logit",
        "- log-prob: largest difference of a prompt token's, in nats",
        "- margin: of the two best logits of transformers where the greedy answers part",
        "",
        "| dtype | prompt | tokens | logits | log-prob | same choice | greedy | margin |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| float32 | CT | 341 | 3.0e-06 | 2.0e-05 | 100.0% | 32 of 32 |  |",
        "| bfloat16 | CT | 341 | 4.0e-02 | 2.0e-01 | 97.5% | 5 of 32 | 3.1e-02 |",
        "",
        "Distance of bfloat16 from transformers in float32:",
        "",
        "| prompt | logits, ours | logits, theirs | log-prob, ours | log-prob, theirs |",
        "| --- | --- | --- | --- | --- |",
        "| CT | 5.0e-02 | 6.0e-02 | 1.0e-01 | 3.0e-01 |",
        "",
        "**agrees**",
    ]


def test_float32_alone_has_one_table() -> None:
    text = verify.format_table(report(rows={"float32": [CLOSE]}))
    assert "bfloat16" not in text and text.endswith("**agrees**")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"distance": verify.Distance(1.1e-4, 0)}, "float32, CT: logits are 1.1e-04 apart"),
        ({"distance": verify.Distance(math.nan, 0)}, "float32, CT: logits are nan apart"),
        (
            {"equal_tokens": 9, "margin": 1e-3},
            "float32, CT: greedy token 9 differs at a margin of 1.0e-03",
        ),
        ({"other_token": 14}, "float32, CT: token 14 of the prompt is another one"),
        ({"equal_tokens": 9, "margin": 9e-4}, None),
        ({"distance": verify.Distance(9e-5, 1)}, None),
    ],
    ids=["logits", "nan", "greedy", "tokens", "near_tie", "noise"],
)
def test_float32_decides(change: dict[str, Any], fault: str | None) -> None:
    found = report(dataclasses.replace(CLOSE, **change))
    verdict = verify.format_table(found).splitlines()[-1]
    assert found.agrees == (fault is None)
    assert verdict == ("**agrees**" if fault is None else f"**differs**: {fault}")


def test_other_faults() -> None:
    assert report(parameters=(12, 1234)).faults == ["12 parameters, theirs 1,234"]
    broken = dataclasses.replace(ROUNDED, distance=verify.Distance(math.nan, math.nan))
    found = report(rows={"float32": [CLOSE], "bfloat16": [broken]})
    assert found.faults == ["bfloat16, CT: logits are nan apart"]


def test_distances_by_hand(rng: np.random.Generator) -> None:
    theirs = outcome(rng)
    logits = theirs.logits.copy()
    logits[3, 2] += 0.5
    row = verify.compare("x", outcome(rng, logits=logits), theirs)
    assert row.distance.logits == pytest.approx(0.5 / np.abs(theirs.logits).max(), rel=1e-5)

    def logprobs(values: np.ndarray) -> list[float]:
        # Of the token after each place, by the definition.
        rows = values.astype(np.float64)
        return [rows[t, t + 1] - math.log(np.exp(rows[t]).sum()) for t in range(TOKENS - 1)]

    by_hand = np.abs(np.subtract(logprobs(logits), logprobs(theirs.logits))).max()
    assert row.distance.logprobs == pytest.approx(by_hand, abs=1e-6)
    moved = theirs.logits.copy()
    moved[0] = np.roll(moved[0], 1)
    assert verify.compare("x", outcome(rng, logits=moved), theirs).same_choice == 6 / 7


@pytest.mark.parametrize(
    ("ours", "theirs", "equal", "of", "margin"),
    [
        ([4, 5, 6], [4, 5, 6], 3, 3, None),
        ([4, 9, 6], [4, 5, 6], 1, 3, 0.25),
        ([4, 5], [4, 5, 6], 2, 3, 0.125),
        ([4, 5, 6, 7], [4, 5, 6], 3, 4, 0.125),
    ],
    ids=["equal", "other", "shorter", "longer"],
)
def test_where_the_answers_part(
    ours: list[int],
    theirs: list[int],
    equal: int,
    of: int,
    margin: float | None,
    rng: np.random.Generator,
) -> None:
    other = outcome(rng, answer=theirs)
    row = verify.compare("x", other._replace(answer=ours, margins=None), other)
    assert (row.equal_tokens, row.greedy_tokens, row.margin) == (equal, of, margin)


def test_other_prompt_ids_are_a_fault_of_their_own(rng: np.random.Generator) -> None:
    theirs = outcome(rng)
    for ids, place in (([0, 1, 9, 3, 4, 5, 6], 2), ([0, 1, 2], 3)):
        row = verify.compare("x", outcome(rng, tokens=np.array(ids)), theirs)
        assert row.other_token == place and math.isnan(row.distance.logits)


def test_bfloat16_is_measured_against_their_float32(rng: np.random.Generator) -> None:
    reference = outcome(rng)
    ours = reference._replace(logits=reference.logits + 0.5, margins=None)
    theirs = reference._replace(logits=reference.logits + 0.25)
    row = verify.compare("x", ours, theirs, reference)
    assert row.ours_from_float32 and row.theirs_from_float32
    largest = np.abs(reference.logits).max()
    assert row.ours_from_float32.logits == pytest.approx(0.5 / largest, rel=1e-5)
    assert row.theirs_from_float32.logits == pytest.approx(0.25 / largest, rel=1e-5)
    assert row.ours_from_float32.logprobs < 1e-6  # a constant changes no probability


def test_without_torch_one_line_says_what_to_install(
    small_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "torch" else find(name, *a)
    )
    with pytest.raises(errors.UserError) as raised:
        verify.run(small_folder)
    assert str(raised.value) == (
        "comparing with transformers needs torch, which is not installed: "
        "`pip install lingshu_jax[oracle]`"
    )


def pixels_of(prompt: verify_prompts.Prompt) -> list[np.ndarray]:
    (message,) = prompt.messages
    return [np.asarray(p["image"]) for p in message["content"] if p["type"] == "image"]


def test_bundled_prompts(small_folder: pathlib.Path) -> None:
    """Three pictures, text alone, two pictures; the same every time; all can be asked."""
    prompts, again = verify_prompts.bundled(), verify_prompts.bundled()
    assert [len(pixels_of(prompt)) for prompt in prompts] == [1, 1, 1, 0, 2]
    assert len({prompt.name for prompt in prompts}) == 5
    encoder = messages.Encoder(small_folder, **small.PIXELS)
    for prompt, same in zip(prompts, again, strict=True):
        assert prompt.name == same.name
        for pixels, other in zip(pixels_of(prompt), pixels_of(same), strict=True):
            assert pixels.std() > 10 and max(pixels.shape) <= verify_prompts.MAX_SIDE
            np.testing.assert_array_equal(pixels, other)
        encoded = encoder.encode(prompt.messages, train=False, generation_prompt=True)
        assert len(encoded.media) == len(pixels_of(prompt))


def test_pictures_are_drawn_where_none_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    names = ["drawn 1", "drawn 2", "drawn 3", "text alone", "drawn 2 and drawn 3"]
    prompts = verify_prompts.bundled()
    assert [prompt.name for prompt in prompts] == names
    sizes = {Image.fromarray(pixels_of(prompt)[0]).size for prompt in prompts[:3]}
    assert len(sizes) == 3
