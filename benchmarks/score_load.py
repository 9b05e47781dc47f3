# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How long both verdicts take on as many answers as the paper's benchmarks have, on one core.

    PYTHONPATH=. python benchmarks/score_load.py [--share=0.1]

Questions and answers are made up: as many of each benchmark as the paper counts (152,066 in all),
60 % of the answers short, 30 % of about 300 characters and 10 % of about 2,300; 20 % of all name no
option in a form that MedEvalKit reads, so that it compares them with every option. Timed is what an
evaluation does with answers it has: `benchmark.score_all` and `metrics.summarise`. Reports get a
status and no metrics; there is no bootstrap. Times are the processor time of this process.
"""

import argparse
import platform
import random
import resource
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import answers, pages
from lingshu_jax.eval import benchmark, compat, metrics

SEED = 0
SHORT, MIDDLE, LONG = 60, 300, 2300  # characters, about
LENGTHS, SHARES = (SHORT, MIDDLE, LONG), (0.6, 0.3, 0.1)
SIMILAR = 0.2  # of all answers
MOST_SECONDS, MOST_BYTES = 60.0, 2 << 30  # as asked
LETTERS = "ABCDEFGHIJ"

WORDS = tuple(
    "the a of in with and for this that patient image shows lung left right upper lower lobe chest"
    " radiograph scan axial contrast enhanced mass nodule opacity effusion pneumonia edema cardiac"
    " silhouette enlarged normal acute chronic inflammatory process tissue cells stain section"
    " kidney liver spleen pancreas brain frontal temporal artery vein pulmonary embolism fracture"
    " bone joint fluid density signal intensity lesion tumor carcinoma benign malignant infection"
    " bacterial viral antibiotic therapy dose mg daily treatment diagnosis most likely consistent"
    " findings suggest because history pain fever cough elevated serum level glucose sodium blood"
    " pressure heart rate examination biopsy reveals syndrome deficiency receptor enzyme mutation"
    " gene inherited disorder first line management next step appropriate".split()
)


class Part(NamedTuple):
    """One benchmark of the load.

    Attributes:
      name: In tables.
      n: Questions, as the paper counts them.
      rule: Of `compat.RULES`.
      num_options: 0 of open questions.
      yes_no: Share of the questions without options that are answered yes or no.
    """

    name: str
    n: int
    rule: str
    num_options: int = 0
    yes_no: float = 0.0


PARTS = (
    Part("VQA-RAD", 451, "vqa", yes_no=0.56),
    Part("SLAKE", 2094, "slake", yes_no=0.4),
    Part("PathVQA", 6719, "vqa", yes_no=0.5),
    Part("PMC-VQA", 33430, "choice_untagged", 4),
    Part("OmniMedVQA", 88996, "choice", 4),
    Part("MMMU-Medical", 1927, "mmmu", 4),
    Part("MedXpertQA", 4500, "choice", 10),
    Part("MMLU-medical", 1897, "choice", 4),
    Part("PubMedQA", 500, "choice", 3),
    Part("MedMCQA", 4183, "choice", 4),
    Part("MedQA-USMLE", 1273, "choice", 4),
    Part("Medbullets", 616, "choice", 5),
    Part("SuperGPQA", 2755, "choice", 10),
    Part("MIMIC-CXR", 2195, "report"),
    Part("CheXpert Plus", 234, "report"),
    Part("IU X-Ray", 296, "report"),
)
_ELIGIBLE = sum(part.n for part in PARTS if part.rule in ("choice", "choice_untagged"))
_SIMILAR_HERE = SIMILAR * sum(part.n for part in PARTS) / _ELIGIBLE


class Item(NamedTuple):
    """A question and the answer to it."""

    sample: benchmark.Sample
    answer: benchmark.Answer


class Total(NamedTuple):
    """What a part of the load, or all of it, took.

    Attributes:
      name: Of the part.
      n: Answers.
      characters: On average.
      similar: Answers that MedEvalKit compared with every option.
      seconds: Of one core.
    """

    name: str
    n: int
    characters: float
    similar: int
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """The line of the table."""
        per_answer = 1e6 * self.seconds / self.n
        shares = (f"{self.characters:.0f}", f"{100 * self.similar / self.n:.1f} %")
        return self.name, f"{self.n:,}", *shares, f"{self.seconds:.1f}", f"{per_answer:.0f}"


def make(part: Part, share: float) -> Iterator[Item]:
    """The questions and answers of a part, always the same ones.

    Args:
      part: Which.
      share: Of its questions, in (0, 1].
    """
    rng = random.Random(f"{SEED} {part.name}")
    for number in range(max(1, round(part.n * share))):
        size = rng.choices(LENGTHS, SHARES)[0]
        if part.rule == "report":
            sample = _sample(part, number, gold=_text(rng, MIDDLE))
            answer = f"Findings: {_text(rng, size)} Impression: {_text(rng, SHORT)}"
        elif part.num_options:
            sample = _choice(part, number, rng)
            answer = _choice_answer(rng, sample, size)
        else:
            is_yes_no = rng.random() < part.yes_no
            gold = rng.choice(("yes", "no")) if is_yes_no else _phrase(rng)
            sample = _sample(part, number, gold=gold, answer_type="yes_no" if is_yes_no else "open")
            answer = _open_answer(rng, sample, size)
        yield Item(sample, benchmark.Answer(answer, "stop", len(answer) // 4))


def run(part: Part, share: float) -> Total:
    """Scores a part.

    Args:
      part: Which.
      share: Of its questions.
    """
    items = list(make(part, share))
    start = time.process_time()
    rows = list(benchmark.score_all((i.sample for i in items), (i.answer for i in items)))
    metrics.summarise(rows)
    seconds = time.process_time() - start
    characters = sum(len(item.answer.response) for item in items) / len(items)
    return Total(part.name, len(items), characters, sum(map(is_similar, items)), seconds)


def is_similar(item: Item) -> bool:
    """Whether MedEvalKit compares an answer with every option."""
    sample = item.sample
    verdict = compat.RULES[sample.rule](
        item.answer.response, compat.Item(sample.gold, sample.choices, sample.is_open)
    )
    return verdict.by in ("similar", "first")


def _sample(
    part: Part, number: int, *, gold: str, answer_type: answers.AnswerType = "report", **more: Any
) -> benchmark.Sample:
    return benchmark.Sample(
        id=f"{part.name} {number}",
        question="What does the image show?",
        gold=gold,
        answer_type=answer_type,
        rule=part.rule,
        is_open=part.rule == "slake" and answer_type == "open",
        scoring="report" if part.rule == "report" else "verdict",
        group=str(number // 3),
        strata={"kind": str(number % 5)},
        **more,
    )


def _choice(part: Part, number: int, rng: random.Random) -> benchmark.Sample:
    options = tuple(dict.fromkeys(_phrase(rng) for _ in range(3 * part.num_options)))
    options = options[: part.num_options]
    form = "({}) {}" if part.rule == "mmmu" else "{}. {}"
    pairs = zip(LETTERS, options, strict=False)
    return _sample(
        part,
        number,
        gold=rng.choice(LETTERS[: len(options)]),
        answer_type="choice",
        options=options,
        choices=tuple(form.format(letter, text) for letter, text in pairs),
    )


def _choice_answer(rng: random.Random, sample: benchmark.Sample, size: int) -> str:
    place = rng.randrange(len(sample.options))
    letter, text = LETTERS[place], sample.options[place]
    is_similar = rng.random() < _SIMILAR_HERE
    if size == SHORT:
        forms = (
            "({0})",
            "**{0}**",
            "Option {0}",
            "I think it is {1}",
            "The option is {0}: see {1}",
        )
        if not is_similar:
            forms = ("{0}", "{0}.", "{0}. {1}", "Answer: {0}", "\\boxed{{{0}}}")
        return rng.choice(forms).format(letter, text)
    forms = ("{2} So I choose ({0}) {1}", "{2} This fits option **{0}**", "{2} It must be {1}")
    if not is_similar:
        forms = ("{2} The answer is {0}.", "{2}\n\n{0}. {1}", "{2} \\boxed{{{0}}}", "{0}\n\n{2}")
    return rng.choice(forms).format(letter, text, _text(rng, size))


def _open_answer(rng: random.Random, sample: benchmark.Sample, size: int) -> str:
    said = sample.gold if rng.random() < 0.5 else _phrase(rng)
    return said if size == SHORT else f"{_text(rng, size)} The answer is {said}"


def _phrase(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(1, 6)))


def _text(rng: random.Random, size: int) -> str:
    """Sentences of about `size` characters."""
    words = rng.choices(WORDS, k=max(3, size // 7))
    for place in range(12, len(words), 13):
        words[place] += "."
    return " ".join(words).capitalize() + "."


def table(totals: Sequence[Total], peak: int) -> str:
    """All lines, and whether the whole is as fast and as small as asked.

    Args:
      totals: Of every part.
      peak: Bytes that the process held at most.
    """
    n = sum(total.n for total in totals)
    whole = Total(
        "all",
        n,
        sum(total.characters * total.n for total in totals) / n,
        sum(total.similar for total in totals),
        sum(total.seconds for total in totals),
    )
    heads = ("benchmark", "answers", "characters", "compared", "seconds", "µs an answer")
    lines = [pages.markdown_row(heads), pages.markdown_row(["---", *["---:"] * 5])]
    lines += [pages.markdown_row(total.cells()) for total in [*totals, whole]]
    asked = f"asked: {MOST_SECONDS:.0f} s and {MOST_BYTES >> 20:,} MiB"
    return "\n".join([*lines, "", f"peak memory {peak >> 20:,} MiB; {asked}"])


def main() -> None:
    """Prints the table, and the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the questions, in (0, 1]")
    share = parser.parse_args().share
    totals = [run(part, share) for part in PARTS]
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(table(totals, peak))
    print(f"Python {platform.python_version()}, {platform.machine()}")


if __name__ == "__main__":
    main()
