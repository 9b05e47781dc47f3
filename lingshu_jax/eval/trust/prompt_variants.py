# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How much an accuracy depends on the words that ask for the answer.

The sentence at the end of MedEvalKit's prompts is replaced by others that ask for the same;
everything else stays as it is.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, metrics, question_formats
from lingshu_jax.eval.trust import desk as desk_lib
from lingshu_jax.eval.trust import paired, prompt_variants_page, prompt_wordings

NAME, TITLE = "prompt_variants", "Asked in other words"
TEMPLATE = prompt_variants_page.TEMPLATE
MOST = prompt_wordings.MOST
ORIGINAL = "original"
NO_TAIL = "the prompt does not end in one of MedEvalKit's instructions"

Row = Mapping[str, Any]
Key = tuple[question_formats.Form, question_formats.Language]


def run(desk: desk_lib.Desk, *, count: int) -> dict[str, Any] | None:
    """Asks the questions again with other instructions at their end.

    Args:
      desk: The evaluation.
      count: How many other wordings, 1 to `MOST`.

    Returns:
      The content of the section, None while answers of other shards are missing. By benchmark what
      `_benchmark` gives.

    Raises:
      UserError: If `count` is out of range, and as of `Desk.ask`.
    """
    if not 1 <= count <= MOST:
        raise errors.UserError(f"--prompt_variants must be 1 to {MOST}, got {count}")
    is_boxed = desk.settings.prompt == "boxed"
    chosen = {name: paired.choose(desk, name, _why_not) for name in desk.names}
    given = {
        name: [
            desk.ask(name, f"{NAME}/{n + 1}", [reworded(s, n, boxed=is_boxed) for s in c.samples])
            for n in range(count)
        ]
        for name, c in chosen.items()
        if c.samples
    }
    benchmarks = {}
    for name, variants in given.items():
        whole = [rows for rows in variants if rows is not None]
        if len(whole) < count:
            return None
        benchmarks[name] = _benchmark(chosen[name], whole)
    used = {tail(s) for name in benchmarks for s in chosen[name].samples}
    left_out = {name: c.left_out for name, c in chosen.items()}
    return {
        "settings": {
            "version": prompt_wordings.VERSION,
            "count": count,
            "prompt": desk.settings.prompt,
            "wordings": _listed(sorted(filter(None, used)), count, boxed=is_boxed),
        },
        "remarks": paired.left_out_remarks(left_out),
        "benchmarks": benchmarks,
    }


def tail(sample: benchmark.Sample) -> Key | None:
    """Form and language of the instruction that a prompt ends in; None if it is not a known one.

    Args:
      sample: The question.
    """
    text = _last_text(sample)
    return next((k for k, known in question_formats.TAILS.items() if text.endswith(known)), None)


def reworded(sample: benchmark.Sample, number: int, *, boxed: bool) -> benchmark.Sample:
    """The question with another instruction.

    Args:
      sample: One whose prompt ends in a known one.
      number: Of the wording, from 0.
      boxed: Whether the evaluation asks for a box.
    """
    key = tail(sample)
    assert key is not None, "only questions with a known instruction are asked"
    *before, last = sample.messages
    content = list(last["content"])
    place = max(i for i, part in enumerate(content) if part["type"] == "text")
    body = content[place]["text"].removesuffix(question_formats.TAILS[key])
    content[place] = {**content[place], "text": body + _wording(key, number, boxed=boxed)}
    return dataclasses.replace(sample, messages=(*before, {**last, "content": content}))


def _wording(key: Key, number: int, *, boxed: bool) -> str:
    text = prompt_wordings.WORDINGS[key][number]
    if not boxed:
        return text
    blank = " " if key[1] == "en" else ""
    return text + blank + prompt_wordings.BOXED[key[1]]


def _why_not(sample: benchmark.Sample) -> str:
    return "" if tail(sample) else NO_TAIL


def _last_text(sample: benchmark.Sample) -> str:
    """The last text of the last message; "" without any."""
    content = sample.messages[-1]["content"] if sample.messages else []
    return next((part["text"] for part in reversed(content) if part["type"] == "text"), "")


def _listed(keys: Sequence[Key], count: int, *, boxed: bool) -> dict[str, list[str]]:
    """The sentences that were used, the original first, by form and language."""
    tails = question_formats.BOXED_TAILS if boxed else question_formats.TAILS
    return {
        " ".join(key): [tails[key], *(_wording(key, n, boxed=boxed) for n in range(count))]
        for key in keys
    }


def _benchmark(chosen: paired.Chosen, variants: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """How answers depend on the wording.

    Returns:
      `n` questions; `left_out`; the accuracies of each of `wordings`, `original` among them; for
      each mode their `spread`, and which are `best` and `worst` (the first of equal ones);
      `same_answer`, in how many questions the same was read in all wordings, `same_verdict`, in how
      many the strict verdict is the same, and `always_right`.
    """
    every = [chosen.rows, *variants]
    names = [ORIGINAL, *(str(number + 1) for number in range(len(variants)))]
    wordings = {name: paired.accuracies(rows) for name, rows in zip(names, every, strict=True)}
    groups = [row["group"] for row in chosen.rows]
    by_question = list(zip(*every, strict=True))
    readings = [{paired.reading(row) for row in rows} for rows in by_question]
    verdicts = [{row["strict"]["correct"] for row in rows} for rows in by_question]
    spreads = {}
    for mode in metrics.MODES:
        values = {name: wordings[name][mode] or 0.0 for name in names}
        spreads[mode] = {
            **paired.spread(list(values.values())),
            "best": max(names, key=values.__getitem__),
            "worst": min(names, key=values.__getitem__),
        }
    return {
        "n": len(chosen.rows),
        "left_out": chosen.left_out,
        "wordings": wordings,
        "spread": spreads,
        "same_answer": paired.share([len(r) == 1 and None not in r for r in readings], groups),
        "same_verdict": paired.share([len(v) == 1 for v in verdicts], groups),
        "always_right": paired.share([v == {True} for v in verdicts], groups),
    }
