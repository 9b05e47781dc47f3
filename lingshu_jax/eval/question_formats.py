# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts as MedEvalKit asks them (utils/question_formats.py@9b12e3b), word for word.

A change of any of them changes scores, so they have a version, which goes into the manifest.
"""

from collections.abc import Sequence
from typing import Any, Literal

from lingshu_jax.common import prompts

VERSION = "medevalkit-9b12e3b"

Form = Literal["choice", "judgement", "closed", "open"]
Language = Literal["en", "zh"]

TAILS: dict[tuple[Form, Language], str] = {
    ("choice", "en"): prompts.CHOICE,
    ("choice", "zh"): "请直接使用给定选项中的选项字母来回答该问题。",
    ("judgement", "en"): prompts.YES_NO,
    ("judgement", "zh"): "请输出'是'或'否'(不要有任何其它输出)。",
    ("closed", "en"): prompts.CLOSED,
    ("closed", "zh"): "请用一个单词或者短语回答该问题。",
    ("open", "en"): prompts.OPEN,
    ("open", "zh"): "请简要回答该问题。",
}
# In their place where the answer is asked for in a box (MedEvalKit's --reasoning).
BOXED_TAILS: dict[tuple[Form, Language], str] = {
    ("choice", "en"): (
        "Answer with the option's letter from the given choices and put the letter in one "
        '"\\boxed{}".'
    ),
    ("choice", "zh"): '请直接使用给定选项中的选项字母来回答该问题,并将答案包裹在"\\boxed{}"里',
    ("judgement", "en"): 'Please output "yes" or "no" and put the answer in one "\\boxed{}".',
    ("judgement", "zh"): "请输出'是'或'否'，并将答案放在一个'\\boxed{}'中。",
    ("closed", "en"): (
        'Answer the question using a single word or phrase and put the answer in one "\\boxed{}".'
    ),
    ("closed", "zh"): "请用一个单词或者短语回答该问题，并将答案放在一个'\\boxed{}'中。",
    ("open", "en"): ('Please answer the question concisely and put the answer in one "\\boxed{}".'),
    ("open", "zh"): "请简要回答该问题，并将答案放在一个'\\boxed{}'中。",
}
REPORT = (
    "You are a helpful assistant. Please generate a report for the given images, including both"
    " findings and impressions. Return the report in the following format: Findings: {}"
    " Impression: {}."
)


def ask(question: str, form: Form, language: Language = "en") -> str:
    """A question and its tail.

    Args:
      question: As the data set has it.
      form: Which tail.
      language: Of the tail.
    """
    return prompts.ask(question, TAILS[form, language])


def ask_choice(question: str, choices: Sequence[str], language: Language = "en") -> str:
    """A question, its options and the tail.

    Args:
      question: As the data set has it.
      choices: Option strings as they are shown, letters and all.
      language: Of the words around them.
    """
    listed = "\n".join(choices)
    if language == "zh":
        body = f"\n问题： {question}\n选项： \n{listed}"
    else:
        body = f"\nQuestion: {question}\nOptions: \n{listed}"
    return ask(body, "choice", language)


def lettered(options: Sequence[str], *, blank: bool) -> tuple[str, ...]:
    """`A. text` or `A.text` for each option; which of the two differs by data set.

    Args:
      options: Option texts without letters, at most 26.
      blank: Whether a blank follows the point.
    """
    return tuple(f"{chr(ord('A') + i)}.{' ' * blank}{text}" for i, text in enumerate(options))


def boxed(text: str) -> str:
    """A prompt with the tail that asks for a box in place of its own; others stay as they are.

    Args:
      text: What `ask`, `ask_choice` or a benchmark of its own made.
    """
    for key, tail in TAILS.items():
        if text.endswith(tail):
            return text.removesuffix(tail) + BOXED_TAILS[key]
    return text


def turn(
    text: str, images: Sequence[str | bytes] = (), *, numbered: bool | None = None
) -> tuple[dict[str, Any], ...]:
    """One user turn: images, each behind its number where there are several, and the text.

    Args:
      text: The prompt.
      images: Paths or encoded pictures, in order.
      numbered: True numbers a single image too, as MedEvalKit does for the data sets whose rows
        hold a list; None numbers where there are several.
    """
    content: list[dict[str, Any]] = []
    for number, image in enumerate(images, 1):
        if numbered or (numbered is None and len(images) > 1):
            content.append({"type": "text", "text": f"<image_{number}>: "})
        content.append({"type": "image", "image": image})
    return ({"role": "user", "content": [*content, {"type": "text", "text": text}]},)
