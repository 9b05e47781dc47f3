# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Scores published answers to MIRAGE by MIRAGE's own rules, with the strict verdicts beside them.

    python -m lingshu_jax.eval.mirage --pred=medqa__cot__gpt-4-32k.jsonl --gold=benchmark.json

MIRAGE (Xiong et al., arXiv 2402.13178) asks five question sets for JSON with a field
`answer_choice`; its rules are in Teddy-XiongGZ/MIRAGE src/utils.py and src/evaluate.py@224ebe9. An
answer that fits none of them is A, and a question without an answer gets the one to the question
before it.

Predictions: JSONL of `{"id": "test_0000", "prediction": ["..."]}`, or the publisher's folder of
test_0000.json. Golds: benchmark.json, or a file or folder of rawdata: MedQA's JSONL, PubMedQA's
test_set.json, MMLU's folder of CSV. Files may be gzipped.
"""

import collections
import csv
import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from lingshu_jax.common import answers, cli, errors

_FIELD = '"answer_choice": "'
# Tried one after the other; each finds its first letter.
_RULES = tuple(
    map(
        re.compile,
        (
            *(r"^\s*([ABCD])$", r"^\s*([ABCD]) or", r"^\s*([ABCD]) and", r"^\s*([ABCD])/"),
            *(r"^\s*([ABCD]),", r"[Oo]ption ([ABCD])", r":\s*([ABCD])", r"^\s*([ABCD])\."),
            *(r'^\s*([ABCD])"', r"^\s*([ABCD]):"),
        ),
    )
)
_SPLIT = re.compile(r"^(?:test|dev)_")
_UNREADABLE = (ValueError, KeyError, TypeError, OSError, EOFError)
_PUBMEDQA = {"yes": "A", "no": "B", "maybe": "C"}


class Gold(NamedTuple):
    """The letter of the right option, and all options' texts."""

    letter: str
    options: tuple[str, ...]


class Result(NamedTuple):
    """How many of `n` answers MIRAGE and strict count, and by which status they differ."""

    n: int
    correct: int
    strict_correct: int
    differ: dict[str, int]


def read_letter(response: str) -> str:
    """The letter that MIRAGE reads out of an answer; A where it finds none."""
    text = response.split(_FIELD)[-1].strip()
    for rule in _RULES:
        if (match := rule.search(text)) is not None:
            return match[1]
    return "A"


def score(predictions: Sequence[tuple[str, str]], golds: Mapping[str, Gold]) -> Result:
    """Counts right answers.

    Args:
      predictions: Id and answer, in order of the ids; an empty one was not given.
      golds: By id.

    Raises:
      UserError: If an id has no gold.
    """
    differ: collections.Counter[str] = collections.Counter()
    correct = strict_correct = 0
    last = ""
    for name, response in predictions:
        if name not in golds:
            raise errors.UserError(f"--gold has no {name!r}; it has {sorted(golds)[:3]}, ...")
        gold = golds[name]
        last = response or last
        is_right = read_letter(last) == gold.letter
        strict = answers.judge(
            response, gold=gold.letter, answer_type="choice", options=gold.options
        )
        correct += is_right
        strict_correct += strict.correct
        if is_right != strict.correct:
            differ[strict.status] += 1
    return Result(len(predictions), correct, strict_correct, dict(differ))


def read_predictions(path: Path) -> list[tuple[str, str]]:
    """Id and first answer of each question, in order of the ids.

    Args:
      path: JSONL, or a folder of one JSON list a question.

    Raises:
      UserError: If there are none, or a row has another form.
    """
    found = []
    for name, given in _predictions(path):
        if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
            raise errors.UserError(
                f"--pred {path} {name}: needs a list of texts, got {given!r:.80}"
            )
        found.append((_SPLIT.sub("", name), given[0] if given else ""))
    if not found:
        raise errors.UserError(f"--pred {path} holds no predictions")
    return sorted(found)


def read_golds(path: Path) -> dict[str, Gold]:
    """The golds by id.

    Args:
      path: See the module.

    Raises:
      UserError: If it has none of these forms.
    """
    try:
        if path.is_dir():
            return dict(_mmlu(path))
        text = _text(path)
        if path.name.removesuffix(".gz").endswith(".jsonl"):
            rows = enumerate(map(json.loads, text.splitlines()))
            return {f"{n:04d}": _gold(r["answer_idx"], r["options"]) for n, r in rows}
        found = {}
        for name, row in json.loads(text).items():
            if "final_decision" in row:
                found[name] = Gold(_PUBMEDQA[row["final_decision"]], tuple(_PUBMEDQA))
            else:
                found |= {key: _gold(r["answer"], r["options"]) for key, r in row.items()}
        return found
    except (*_UNREADABLE, AttributeError, IndexError) as error:
        raise errors.UserError(f"--gold {path} holds no golds of MIRAGE: {error!r}") from error


def _predictions(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        if path.is_dir():
            for file in sorted(path.glob("*.json")):
                yield file.stem, json.loads(_text(file))
            return
        for line in _text(path).splitlines():
            row = json.loads(line)
            yield row["id"], row["prediction"]
    except _UNREADABLE as error:
        raise errors.UserError(f"--pred {path} holds no predictions: {error!r}") from error


def _text(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()


def _gold(letter: str, options: Mapping[str, str]) -> Gold:
    return Gold(letter, tuple(options[name] for name in sorted(options)))


def _mmlu(folder: Path) -> Iterator[tuple[str, Gold]]:
    for path in sorted(folder.glob("*_test.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            for number, (_, *options, letter) in enumerate(csv.reader(file)):
                subject = path.stem.removesuffix("_test")
                yield f"{subject}-{number:03d}", Gold(letter, tuple(options))


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("pred", None, "Predictions: JSONL, or the publisher's folder.")
    flags.DEFINE_string("gold", None, "benchmark.json, or a file or folder of MIRAGE's rawdata.")


def main(argv: list[str]) -> None:
    """Prints both accuracies, and for how many answers they differ, by strict status."""
    del argv
    predictions = read_predictions(Path(cli.required("pred")))
    result = score(predictions, read_golds(Path(cli.required("gold"))))
    print(f"MIRAGE {100 * result.correct / result.n:.2f} ({result.correct} of {result.n})")
    print(f"strict {100 * result.strict_correct / result.n:.2f} ({result.strict_correct})")
    statuses = ", ".join(f"{name} {count}" for name, count in sorted(result.differ.items()))
    print(f"they differ on {sum(result.differ.values())}" + (f": {statuses}" if statuses else ""))


if __name__ == "__main__":
    cli.run(main, define_flags)
