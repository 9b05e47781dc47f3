# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Sentences that are appended to a question; training and evaluation share them.

A model is scored under the words it was trained with, so there is one place for them.
"""

# RL prompts, and the instruction rows that teach their form.
ANSWER_FORMAT = (
    "Think first inside <think> </think>, then give the final answer inside <answer> </answer>."
)

# English tails of MedEvalKit (utils/question_formats.py@9b12e3b), word for word.
CHOICE = "Answer with the option's letter from the given choices directly."
YES_NO = "Please output 'yes' or 'no'(no extra output)."
CLOSED = "Answer the question using a single word or phrase."
OPEN = "Please answer the question concisely."


def ask(question: str, tail: str) -> str:
    """A question followed by its instruction, on a line of its own."""
    return f"{question}\n{tail}"


def ask_choice(question: str, options: list[str]) -> str:
    """A question, and below it a line for each option: `A. left`, `B. right`.

    Args:
      question: The question without options.
      options: Option texts without letters, at most 26.
    """
    lettered = [f"{chr(ord('A') + i)}. {option}" for i, option in enumerate(options)]
    return "\n".join([question, *lettered])
