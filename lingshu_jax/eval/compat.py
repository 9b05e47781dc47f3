# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""MedEvalKit's verdicts, bit for bit, so that published tables stay comparable.

What counts as right here is what alibaba-damo-academy/MedEvalKit@9b12e3b counts (utils/utils.py
and the scoring of each data set), odd as some of it is: an empty multiple-choice answer is the
first option, "normal" says "no". Its bookkeeping faults are repaired: precision, recall and F1
carry their own names, and an empty or "." side gives ROUGE 0 instead of an exception. The
`strict` score of `common/answers.py` stands beside it.
"""

import functools
import math
import operator
import random
import string
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from lingshu_jax.common import errors
from lingshu_jax.eval import compat_mmmu, compat_rouge, compat_similar

SEED = 42  # MedEvalKit's, of the letters that MMMU draws for answers it cannot read

NO_BOX = "None"  # what the box parser says where there is none
_BLEU, _ROUGE = ("bleu1", "bleu2", "bleu3", "bleu4"), ("rouge1", "rouge2", "rougel")
_BLEU_WEIGHTS = [(1 / n,) * n for n in (1, 2, 3, 4)]
OPEN_METRICS = (*_BLEU, *_ROUGE, "precision", "recall", "f1")
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


# What decided a verdict.
By = Literal[
    "similar",  # a guess: the most similar option
    "first",  # a guess: nothing is similar to any, so the first one
    "random",  # a guess: a letter drawn by chance
    "letter",  # of an option
    "text",  # of an option
    "substring",  # yes or no, inside other words perhaps
    "neither",  # yes nor no
    "equal",  # to the gold
    "unstripped",  # equal but for blanks around it
    "unequal",
    "contained",  # the gold in what was said
    "nothing",  # there is no verdict
]
GUESSES: tuple[By, ...] = ("similar", "first", "random")


class Item(NamedTuple):
    """What a rule sees of a sample.

    Attributes:
      gold: The gold answer as the data set has it.
      choices: Option strings as the prompt showed them; empty without options.
      is_open: SLAKE's own answer type; other rules look at the gold.
      generator: Draws MMMU's guesses, one after the other over the rows of a benchmark; None is a
        new one, seeded with SEED.
    """

    gold: str
    choices: tuple[str, ...] = ()
    is_open: bool = False
    generator: random.Random | None = None


class Verdict(NamedTuple):
    """What MedEvalKit counts.

    Attributes:
      correct: None where scores are no verdicts: of reports and of rubrics.
      kind: choice, close, open; short (MMMU's open questions); single_choice and multiple_choice
        (Rad-ReStruct's names); report, rubric.
      by: What decided.
      fields: What a row holds besides: OPEN_METRICS of open answers, `no_rouge` where ROUGE is not
        defined; what MMMU's parser read, and `guessed` where it drew a letter.
    """

    correct: bool | None
    kind: str
    by: By
    fields: Mapping[str, Any]

    def as_row(self) -> dict[str, Any]:
        """The `compat` field of a row of samples.jsonl."""
        return {"correct": self.correct, "kind": self.kind, **self.fields}


def judge_vqa(response: str, item: Item) -> Verdict:
    """VQA-RAD, PathVQA: yes or no by substring, anything else by exact match."""
    prepared = _inside(response).lower().strip()
    gold = item.gold.lower().strip()
    if gold in ("yes", "no"):
        return _judgement(gold, prepared, "close")
    return _open(gold, prepared)


def judge_slake(response: str, item: Item) -> Verdict:
    """SLAKE: nothing is lower-cased first, so closed golds ("Yes") meet exact equality."""
    prepared = _inside(response)
    if item.is_open:
        return _open(item.gold, prepared)
    if item.gold in ("yes", "no"):
        return _judgement(item.gold, prepared, "close")
    text = parse_response(prepared).replace("\n", "").replace(".", "")
    return Verdict(text == item.gold.lower(), "close", _equality(text, item.gold.lower()), {})


def judge_choice(response: str, item: Item) -> Verdict:
    """The multiple-choice sets that take what stands between answer tags first."""
    return _choice(item, between_tags(response, "answer"), "choice")


def judge_choice_untagged(response: str, item: Item) -> Verdict:
    """PMC-VQA and MedFrameQA: the multiple-choice rule on the raw response."""
    return _choice(item, response, "choice")


def judge_mmmu(response: str, item: Item) -> Verdict:
    """MMMU's own evaluation; a question without choices is an open one.

    Differs: open answers are parsed on the validation split too, where MedEvalKit compares single
    characters of them.
    """
    text = between_tags(response, "answer") if "<answer>" in response else response
    boxed = box(text)
    text = text if boxed == NO_BOX else boxed
    if not item.choices:
        said = compat_mmmu.read_open(text)
        parsed = [str(x) if isinstance(x, float) and not math.isfinite(x) else x for x in said]
        correct = compat_mmmu.is_right_open(item.gold, said)
        return Verdict(correct, "short", "contained" if correct else "unequal", {"parsed": parsed})
    if "<answer>" in text:
        text = between_tags(text, "answer")
    elif "\\boxed" in text:
        text = box(text)
    letters = string.ascii_uppercase[: len(item.choices)]
    letter = compat_mmmu.read_letter(text, _without_brackets(item.choices))
    if letter is not None:
        return Verdict(letter == item.gold, "choice", "letter", {"parsed": letter})
    drawn = (item.generator or random.Random(SEED)).choice(letters)
    fields = {"parsed": drawn, "guessed": True}
    return Verdict(drawn == item.gold, "choice", "random", fields)


def judge_radrestruct(response: str, item: Item) -> Verdict:
    """Rad-ReStruct: yes or no by substring; else the choice rule, with the first of the golds.

    What shows no choices is judged as yes or no, even where its gold is another word. The golds of
    a multiple choice are an option's text, or letters in the publisher's order.
    """
    prepared = _inside(response).lower().strip()
    gold = item.gold.lower().strip()
    if not item.choices or gold in ("yes", "no"):
        return _judgement(gold, prepared, "single_choice")
    if gold not in [choice.lower() for choice in item.choices]:
        gold = gold[:1]
    return _choice(item._replace(gold=gold), prepared, "multiple_choice")


def judge_report(response: str, item: Item) -> Verdict:
    """Reports have metrics of their own, and no verdict."""
    del response, item
    return Verdict(None, "report", "nothing", {})


def judge_rubric(response: str, item: Item) -> Verdict:
    """Answers that a judge measures by a list of criteria have no verdict of ours."""
    del response, item
    return Verdict(None, "rubric", "nothing", {})


RULES: dict[str, Callable[[str, Item], Verdict]] = {
    "vqa": judge_vqa,
    "slake": judge_slake,
    "choice": judge_choice,
    "choice_untagged": judge_choice_untagged,
    "mmmu": judge_mmmu,
    "radrestruct": judge_radrestruct,
    "report": judge_report,
    "rubric": judge_rubric,
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
    contents, place = [], 0
    start_tag, end_tag = f"<{tag}>", f"</{tag}>"
    while (start := text.find(start_tag, place)) >= 0:
        start += len(start_tag)
        if (end := text.find(end_tag, start)) < 0:
            break
        contents.append(text[start:end])
        place = end + len(end_tag)
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


def require_text_metrics() -> None:
    """Raises a UserError naming the extra if BLEU is not installed."""
    _bleu_module()


def open_metrics(gold: str, response: str) -> dict[str, float]:
    """BLEU-1..4, ROUGE-1, -2, -L and set precision, recall, F1 of one open answer.

    Args:
      gold: The truth, lower-case.
      response: The parsed answer.

    Returns:
      OPEN_METRICS by name. Differs: F1, P, R are not rotated, empty sides give 0.
    """
    fields = _open_fields(gold, response)
    return {name: fields[name] for name in OPEN_METRICS}


def mean_metrics(verdicts: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean of each of OPEN_METRICS over `compat` fields of open rows.

    Args:
      verdicts: At least one row made by `Verdict.as_row`.
    """
    # Added one by one: from Python 3.12 on sum() rounds less, and the last digits differ.
    return {
        name: functools.reduce(operator.add, (verdict[name] for verdict in verdicts))
        / len(verdicts)
        for name in OPEN_METRICS
    }


def _open(gold: str, prepared: str) -> Verdict:
    text = parse_response(prepared)
    gold = gold.lower()
    return Verdict(text == gold, "open", _equality(text, gold), _open_fields(gold, text))


def _open_fields(gold: str, response: str) -> dict[str, Any]:
    """OPEN_METRICS, and `no_rouge` where ROUGE is not defined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk warns of every missing n-gram
        found = _bleu_module().sentence_bleu(
            [_bleu_tokens(gold)], _bleu_tokens(response), weights=_BLEU_WEIGHTS
        )
    metrics = dict(zip(_BLEU, map(float, found), strict=True))
    return metrics | _rouge(gold, response) | _token_scores(gold, response)


def _judgement(gold: str, response: str, kind: str) -> Verdict:
    """Yes or no: exactly one of the two occurs, as a substring, and contains the gold."""
    text = parse_response(response).replace("\n", "").replace(".", "")
    is_yes, is_no = "yes" in text, "no" in text
    by: By = "substring" if is_yes or is_no else "neither"
    if text.strip() == gold.lower():
        by = "equal"
    return Verdict(is_yes != is_no and gold.lower() in text, kind, by, {})


def _choice(item: Item, response: str, kind: str) -> Verdict:
    """Multiple choice: letter, option text, and at last the most similar option."""
    letters = string.ascii_lowercase[: len(item.choices)]
    text = parse_response(_letter_block(response.lower(), letters)).strip().lower()
    text = text.replace("\n", "")
    short = text.split(".")[0].split(":")[-1]
    gold = item.gold.strip().lower()
    lowered = [choice.lower() for choice in item.choices]
    if short == gold:
        return Verdict(True, kind, "letter" if len(gold) == 1 else "text", {})
    if len(short) == 1 and short in letters:
        return Verdict(lowered[letters.index(short)] == gold, kind, "letter", {})
    gold_choice = lowered[letters.index(gold)] if len(gold) == 1 and gold in letters else None
    if short in lowered:
        return Verdict(short == gold_choice, kind, "text", {})
    best = compat_similar.most_similar(lowered, text)
    by: By = "similar" if best.ratio else "first"
    correct = gold in (letters[best.place], lowered[best.place])
    return Verdict(correct, kind, by, {})


def _equality(text: str, gold: str) -> By:
    if text == gold:
        return "equal"
    return "unstripped" if text.strip() == gold.strip() else "unequal"


def _without_brackets(choices: Sequence[str]) -> list[str]:
    """Option texts, where the choices have the form "(A) text"."""
    return [
        choice.removeprefix(f"({letter}) ")
        for letter, choice in zip(string.ascii_uppercase, choices, strict=False)
    ]


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


def _bleu_tokens(text: str) -> list[str]:
    return text.lower().replace(".", " .").split(" ")


def _rouge(gold: str, response: str) -> dict[str, Any]:
    found = compat_rouge.scores(response.lower(), gold.lower())
    if found is None:
        return dict.fromkeys(_ROUGE, 0.0) | {"no_rouge": True}
    return dict(zip(_ROUGE, found, strict=True))


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
