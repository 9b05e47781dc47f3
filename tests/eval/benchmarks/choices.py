# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What holds for every benchmark of multiple choice, asked of its samples."""

from collections.abc import Sequence

from lingshu_jax.eval import benchmark


def prompt(sample: benchmark.Sample) -> str:
    """The text of a prompt that has no image."""
    (message,) = sample.messages
    (part,) = message["content"]
    return part["text"]


def verdicts(sample: benchmark.Sample, response: str) -> tuple[bool, bool]:
    """Whether a response is right in MedEvalKit's score and in the strict one."""
    row = benchmark.score(sample, benchmark.Answer(response, "stop"))
    return row["compat"]["correct"], row["strict"]["correct"]


def expect_only_the_gold_is_right(samples: Sequence[benchmark.Sample]) -> None:
    """Both scores take the gold as letter and as the option shows it, and nothing else."""
    for sample in samples:
        for number, choice in enumerate(sample.choices):
            letter = chr(ord("A") + number)
            right = letter == sample.gold
            for response in (letter, f"{letter}.", f"<answer>{letter}</answer>", choice):
                found = verdicts(sample, response)
                assert found == (right, right), (sample.id, response, found)
