# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""MedEvalKit's verdicts, bit for bit, so that published tables stay comparable.

What counts as right here is what alibaba-damo-academy/MedEvalKit@9b12e3b counts (utils/utils.py
and the scoring of each data set), odd as some of it is: an empty multiple-choice answer is the
first option, "normal" says "no". Its bookkeeping faults are repaired: precision, recall and F1
carry their own names, and an empty or "." side gives ROUGE 0 instead of an exception. The
`strict` score of `common/answers.py` stands beside it.
"""

import difflib
import re
import string
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import errors

NO_BOX = "None"  # what the box parser says where there is none
OPEN_METRICS = (
    *(f"bleu{n}" for n in (1, 2, 3, 4)),
    *("rouge1", "rouge2", "rougel"),
    *("precision", "recall", "f1"),
)
_MARKERS = (
    "**answer**:",
    "**answer**",
    "*answer*:",
    "**answer:**",
    "answer is",
    "answer:",
    "答案:",
    "final answer",
    "final answer is",
)


class Item(NamedTuple):
    """What a rule sees of a sample.

    Attributes:
      gold: The gold answer as the data set has it.
      choices: Option strings as the prompt showed them; empty without options.
      is_open: SLAKE's own answer type; other rules look at the gold.
    """

    gold: str
    choices: tuple[str, ...] = ()
    is_open: bool = False


class Verdict(NamedTuple):
    """`kind` is choice, close or open; `metrics` holds OPEN_METRICS for open items."""

    correct: bool
    kind: str
    metrics: dict[str, float]

    def as_row(self) -> dict[str, Any]:
        """The `compat` field of a row of samples.jsonl."""
        return {"correct": self.correct, "kind": self.kind, **self.metrics}


def judge_vqa(response: str, item: Item) -> Verdict:
    """VQA-RAD, PathVQA: yes or no by substring, anything else by exact match."""
    prepared = _inside(response).lower().strip()
    gold = item.gold.lower().strip()
    if gold in ("yes", "no"):
        return Verdict(is_right_judgement(gold, prepared), "close", {})
    return _open(gold, prepared)


def judge_slake(response: str, item: Item) -> Verdict:
    """SLAKE: nothing is lower-cased first, so closed golds ("Yes") meet exact equality."""
    prepared = _inside(response)
    if item.is_open:
        return _open(item.gold, prepared)
    if item.gold in ("yes", "no"):
        return Verdict(is_right_judgement(item.gold, prepared), "close", {})
    text = parse_response(prepared).replace("\n", "").replace(".", "")
    return Verdict(text == item.gold.lower(), "close", {})


def judge_choice(response: str, item: Item) -> Verdict:
    """The multiple-choice sets that take what stands between answer tags first."""
    correct = is_right_choice(item.choices, item.gold, between_tags(response, "answer"))
    return Verdict(correct, "choice", {})


def judge_choice_untagged(response: str, item: Item) -> Verdict:
    """PMC-VQA and MedFrameQA: the multiple-choice rule on the raw response."""
    return Verdict(is_right_choice(item.choices, item.gold, response), "choice", {})


RULES: dict[str, Callable[[str, Item], Verdict]] = {
    "vqa": judge_vqa,
    "slake": judge_slake,
    "choice": judge_choice,
    "choice_untagged": judge_choice_untagged,
}
TEXT_RULES = ("vqa", "slake")  # those that compare open text, with BLEU and ROUGE


def box(text: str) -> str:
    r"""The content of the last `\boxed{}`, or NO_BOX if it is missing or never closed."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return NO_BOX
    start += len("\\boxed{")
    depth = 1
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position].strip()
    return NO_BOX


def between_tags(text: str, tag: str) -> str:
    """The contents of all `<tag>` pairs, joined by a blank; the whole text if that is empty."""
    contents = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return " ".join(contents).strip() or text


def parse_response(response: str) -> str:
    """Lower-cases and keeps what follows a box, a tag or the known markers, unstripped."""
    text = response.lower()
    if "boxed" in text:
        text = box(text)
    elif "<answer>" in text:
        text = between_tags(text, "answer")
    for marker in _MARKERS:
        if marker in text:
            text = text.split(marker)[-1]
    return text


def is_right_judgement(gold: str, response: str) -> bool:
    """Yes or no: exactly one of the two occurs, as a substring, and contains the gold."""
    text = parse_response(response).replace("\n", "").replace(".", "")
    if ("yes" in text) == ("no" in text):
        return False
    return gold.lower() in text


def is_right_choice(choices: Sequence[str], gold: str, response: str) -> bool:
    """Multiple choice: letter, option text, and at last the most similar option."""
    letters = string.ascii_lowercase[: len(choices)]
    text = parse_response(_letter_block(response.lower(), letters)).strip().lower()
    text = text.replace("\n", "")
    short = text.split(".")[0].split(":")[-1]
    gold = gold.strip().lower()
    lowered = [choice.lower() for choice in choices]
    if short == gold:
        return True
    if len(short) == 1 and short in letters:
        return lowered[letters.index(short)] == gold
    gold_choice = lowered[letters.index(gold)] if len(gold) == 1 and gold in letters else None
    if short in lowered:
        return short == gold_choice
    best = _most_similar(lowered, text)
    return letters[best] == gold or lowered[best] == gold


def require_text_metrics() -> None:
    """Raises a UserError naming the extra if BLEU and ROUGE are not installed."""
    _bleu_module()
    _rouge_class()


def open_metrics(gold: str, response: str) -> dict[str, float]:
    """BLEU-1..4, ROUGE-1, -2, -L and set precision, recall, F1 of one open answer.

    Args:
      gold: The truth, lower-case.
      response: The parsed answer.

    Returns:
      OPEN_METRICS by name. Differs: F1, P, R are not rotated, empty sides give 0.
    """
    metrics = {}
    truth, said = _bleu_tokens(gold), _bleu_tokens(response)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk warns of every missing n-gram
        for n in (1, 2, 3, 4):
            metrics[f"bleu{n}"] = float(
                _bleu_module().sentence_bleu([truth], said, weights=(1 / n,) * n)
            )
    return metrics | _rouge(gold, response) | _token_scores(gold, response)


def mean_metrics(verdicts: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean of each of OPEN_METRICS over `compat` fields of open rows.

    Args:
      verdicts: At least one row made by `Verdict.as_row`.
    """
    return {
        name: sum(verdict[name] for verdict in verdicts) / len(verdicts) for name in OPEN_METRICS
    }


def _open(gold: str, prepared: str) -> Verdict:
    text = parse_response(prepared)
    gold = gold.lower()
    return Verdict(text == gold, "open", open_metrics(gold, text))


def _inside(response: str) -> str:
    """The box, or else what stands between answer tags, or else all of it."""
    boxed = box(response)
    if boxed != NO_BOX:
        return boxed
    return between_tags(response, "answer") if "<answer>" in response else response


def _letter_block(text: str, letters: str) -> str:
    """The first block if it is a letter, or the letter that begins the last block."""
    blocks = text.split("\n\n")
    if len(blocks[0]) == 1 and blocks[0] in letters:
        return blocks[0]
    last = blocks[-1].split(".")[0]
    return last if len(last) == 1 and last in letters else text


def _most_similar(choices: Sequence[str], text: str) -> int:
    """The first of the choices with the highest ratio; all zero gives the first choice."""
    best, best_ratio = 0, 0.0
    for index, choice in enumerate(choices):
        ratio = difflib.SequenceMatcher(None, choice, text).ratio()
        if ratio > best_ratio:
            best, best_ratio = index, ratio
    return best


def _bleu_tokens(text: str) -> list[str]:
    return text.lower().replace(".", " .").split(" ")


def _rouge(gold: str, response: str) -> dict[str, float]:
    names = {"rouge-1": "rouge1", "rouge-2": "rouge2", "rouge-l": "rougel"}
    try:
        scores = _rouge_class()().get_scores(response.lower(), gold.lower())[0]
    except ValueError:  # an empty or "."-only side
        return dict.fromkeys(names.values(), 0.0)
    return {ours: float(scores[theirs]["f"]) for theirs, ours in names.items()}


def _token_scores(gold: str, response: str) -> dict[str, float]:
    truth, said = set(gold.lower().split()), set(response.lower().split())
    shared = len(truth & said)
    precision = shared / len(said) if said else 0.0
    recall = shared / len(truth) if truth else 0.0
    total = precision + recall
    f1 = 2 * precision * recall / total if total else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def _bleu_module() -> types.ModuleType:
    try:
        from nltk.translate import bleu_score
    except ImportError as error:
        raise errors.UserError(
            "BLEU of open answers needs nltk: pip install lingshu-jax[eval]"
        ) from error
    return bleu_score


def _rouge_class() -> type:
    try:
        import rouge
    except ImportError as error:
        raise errors.UserError(
            "ROUGE of open answers needs rouge: pip install lingshu-jax[eval]"
        ) from error
    return rouge.Rouge
