# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a model believes of a closed question: the probability of every answer that it may give.

    question        asked for                     options
    single choice   the letters that are shown    one for each letter
    yes or no       Yes, yes, No, no; 是, 否       yes, no

Everything else has no closed set of answers and is left out, counted. Options are compared as
strict scoring does: letters whose options have one text are one option, whose probability is their
sum. Axes: N questions.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from lingshu_jax.common import answers, answers_choice, errors
from lingshu_jax.engines import protocol
from lingshu_jax.eval import asking, benchmark
from lingshu_jax.eval.trust import desk as desk_lib

PROBE = "confidence"
PROMPT = "direct"  # behind any other the first token is not the answer
FORMS = {
    "en": {"yes": ("Yes", "yes"), "no": ("No", "no")},
    "zh": {"yes": ("是",), "no": ("否",)},
}
NO_SET = "no closed set of answers"
NO_LETTERS = "the prompt shows no letters"
ALIKE = "all options have one text"
UNSCORED = "the engine gave no log-probabilities"
_HAN = re.compile("[\u4e00-\u9fff]")

Change = Callable[[benchmark.Sample], benchmark.Sample]


@dataclasses.dataclass(frozen=True)
class Closed:
    """A question and the answers that are looked at.

    Attributes:
      sample: The question.
      continuations: What the model might begin its answer with; none begins with another.
      options: Which option each of them names.
      labels: Of the options: the first letter that names each, or "yes" and "no".
      gold: Which option is right.
    """

    sample: benchmark.Sample
    continuations: tuple[str, ...]
    options: tuple[int, ...]
    labels: tuple[str, ...]
    gold: int


@dataclasses.dataclass(frozen=True)
class Belief:
    """What a model believes of one question.

    Attributes:
      closed: The question.
      probabilities: Of each option; they sum to 1.
      gold_nats: Minus the log-probability of the right option.
      mass: What the continuations have together before that, in [0, 1]: the rest goes to answers
        that begin with something else.
    """

    closed: Closed
    probabilities: tuple[float, ...]
    gold_nats: float
    mass: float

    @property
    def chosen(self) -> int:
        """The likeliest option, the first of equals."""
        return max(range(len(self.probabilities)), key=lambda i: (self.probabilities[i], -i))

    @property
    def label(self) -> str:
        """Of the likeliest option."""
        return self.closed.labels[self.chosen]

    @property
    def brier(self) -> float:
        """Squared distance from the truth, summed over the options, in [0, 2].

        Source: Brier, Monthly Weather Review 78:1, 1950.
        """
        truth = [float(i == self.closed.gold) for i in range(len(self.probabilities))]
        return math.fsum((p - t) ** 2 for p, t in zip(self.probabilities, truth, strict=True))

    @property
    def entropy(self) -> float:
        """Over that of equal probabilities, in [0, 1]: 0 is certain, 1 knows nothing."""
        total = -math.fsum(p * math.log(p) for p in self.probabilities if p > 0)
        return min(1.0, max(0.0, total / math.log(len(self.probabilities))))


@dataclasses.dataclass(frozen=True, eq=False)
class Beliefs:
    """Those of many questions.

    Attributes:
      each: One by one.
      confidence: Probability of the chosen option.
      correct: Whether it is right.
      brier: See `Belief.brier`.
      nats: See `Belief.gold_nats`.
      entropy: See `Belief.entropy`.
      mass: See `Belief.mass`.
      groups: What several questions share; "" if nothing.
    """

    each: tuple[Belief, ...]
    confidence: Float[np.ndarray, " N"]
    correct: Bool[np.ndarray, " N"]
    brier: Float[np.ndarray, " N"]
    nats: Float[np.ndarray, " N"]
    entropy: Float[np.ndarray, " N"]
    mass: Float[np.ndarray, " N"]
    groups: tuple[str, ...]

    @classmethod
    def of(cls, each: Sequence[Belief]) -> "Beliefs":
        """As columns.

        Args:
          each: May be none.
        """
        return cls(
            each=tuple(each),
            confidence=np.array([one.probabilities[one.chosen] for one in each], np.float64),
            correct=np.array([one.chosen == one.closed.gold for one in each], bool),
            brier=np.array([one.brier for one in each], np.float64),
            nats=np.array([one.gold_nats for one in each], np.float64),
            entropy=np.array([one.entropy for one in each], np.float64),
            mass=np.array([one.mass for one in each], np.float64),
            groups=tuple(one.closed.sample.group for one in each),
        )


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a probe found about one benchmark.

    Attributes:
      beliefs: By id, in the order of the benchmark.
      left_out: How many questions have none, by reason.
      example: A question that the engine did not score, and why; "" if it scored all.
    """

    beliefs: Mapping[str, Belief]
    left_out: Mapping[str, int]
    example: str = ""


def check(desk: desk_lib.Desk, flag: str) -> None:
    """Raises UserError where the engine of an evaluation is known to give no log-probabilities.

    Args:
      desk: The evaluation.
      flag: What needs them, for the message.
    """
    settings = desk.settings
    if settings.engine == "openai" and settings.dialect != "vllm":
        raise errors.UserError(
            f"--{flag} needs log-probabilities of given answers: --engine=jax, --engine=vllm and "
            "--engine=openai with --dialect=vllm give them, --engine=openai with "
            f"--dialect={settings.dialect or 'openai'} does not"
        )


def closed(sample: benchmark.Sample) -> Closed | str:
    """The answers to look at, or why there are none.

    Args:
      sample: The question.
    """
    if sample.scoring == "verdict" and sample.answer_type == "choice":
        return _letters(sample)
    if sample.scoring == "verdict" and sample.answer_type == "yes_no":
        return _polarities(sample)
    return NO_SET


def believe(question: Closed, logprobs: Sequence[float]) -> Belief | None:
    """From log-probabilities to probabilities: a softmax over the options.

    Args:
      question: The question.
      logprobs: Of each continuation, all its tokens together, nats.

    Returns:
      None if one of them is no number.
    """
    if not all(map(math.isfinite, logprobs)):
        return None
    by_option: list[list[float]] = [[] for _ in question.labels]
    for option, value in zip(question.options, logprobs, strict=True):
        by_option[option].append(value)
    totals = [_log_sum(values) for values in by_option]
    together = _log_sum(totals)
    return Belief(
        closed=question,
        probabilities=tuple(math.exp(total - together) for total in totals),
        gold_nats=max(0.0, together - totals[question.gold]),
        mass=min(1.0, math.exp(together)),
    )


def measure(
    desk: desk_lib.Desk,
    name: str,
    *,
    probe: str = PROBE,
    change: Change | None = None,
    among: Callable[[benchmark.Sample], str] | None = None,
) -> Measured | None:
    """What the model believes of the closed questions of a benchmark.

    Args:
      desk: The evaluation.
      name: Of the benchmark.
      probe: Where the scores are kept.
      change: What becomes of a question before it is asked; its answers stay.
      among: Why a question is left out; "" for those that are asked. None asks all.

    Returns:
      None while scores of other parts are missing.

    Raises:
      UserError: As of `Desk.score`.
    """
    left_out: collections.Counter[str] = collections.Counter()
    asked: dict[str, Closed] = {}
    for sample in desk.samples(name):
        found = closed(sample)
        why = found if isinstance(found, str) else among(sample) if among else ""
        if why or isinstance(found, str):
            left_out[why] += 1
        else:
            asked[sample.id] = found

    def make(sample: benchmark.Sample) -> protocol.ScoreRequest:
        changed = change(sample) if change else sample
        settings = desk.settings
        how = {"blind": settings.blind, "sampling": settings.sampling}
        messages = asking.request(changed, prompt=PROMPT, **how).messages
        wanted = asked[sample.id].continuations
        return protocol.ScoreRequest(messages=messages, continuations=wanted, id=sample.id)

    if not asked:
        return Measured({}, dict(left_out))
    scores = desk.score(name, probe, [one.sample for one in asked.values()], make)
    if scores is None:
        return None
    beliefs = {key: believe(asked[key], values) for key, values in scores.items()}
    known = {key: belief for key, belief in beliefs.items() if belief is not None}
    if missing := len(asked) - len(known):
        left_out[UNSCORED] += missing
    reasons = desk.reasons.get((name, probe), {})
    return Measured(known, dict(left_out), next((f"{k!r}: {v}" for k, v in reasons.items()), ""))


def remarks(desk: desk_lib.Desk) -> list[str]:
    """What a reader of probabilities has to know of an evaluation.

    Args:
      desk: The evaluation.
    """
    found = []
    if desk.settings.prompt != PROMPT:
        found.append(
            f"The evaluation asked with --prompt={desk.settings.prompt}. Probabilities are those "
            "of the direct prompt: behind another one the first token is not the answer."
        )
    return found


def unscored_remark(name: str, measured: Measured) -> list[str]:
    """A sentence if the engine did not score every question.

    Args:
      name: Of the benchmark.
      measured: What was found there.
    """
    count = measured.left_out.get(UNSCORED, 0)
    if not count:
        return []
    example = f", such as {measured.example}" if measured.example else ""
    return [f"{name}: {count} questions have no log-probabilities{example}."]


def same_option(belief: Belief, value: str | float | None) -> bool:
    """Whether an answer that strict scoring read names the chosen option.

    Args:
      belief: Of the question.
      value: A letter, or "yes" or "no".
    """
    sample = belief.closed.sample
    if sample.answer_type == "choice" and isinstance(value, str):
        return answers_choice.same_option(belief.label, value, sample.options)
    return value == belief.label


def _letters(sample: benchmark.Sample) -> Closed | str:
    shown, options = sample.choices, sample.options
    if len(shown) != len(options) or answers_choice.without_letters(shown) == list(shown):
        return NO_LETTERS
    letters = [next(sign for sign in text if sign.isalpha()) for text in shown]
    labels: list[str] = []
    places = []
    for letter in (letter.upper() for letter in letters):
        twin = next((k for k in labels if answers_choice.same_option(letter, k, options)), None)
        if twin is None:
            labels.append(letter)
        places.append(labels.index(twin or letter))
    gold = answers_choice.gold_letter(sample.gold, options)
    assert gold is not None, "a sample's gold fits its options"
    if len(labels) < 2:
        return ALIKE
    return Closed(sample, tuple(letters), tuple(places), tuple(labels), places[ord(gold) - 65])


def _polarities(sample: benchmark.Sample) -> Closed:
    forms = FORMS["zh" if _HAN.search(sample.question) else "en"]
    labels = tuple(forms)
    gold = answers.extract(sample.gold, answer_type="yes_no", question=sample.question)
    return Closed(
        sample=sample,
        continuations=tuple(form for label in labels for form in forms[label]),
        options=tuple(place for place, label in enumerate(labels) for _ in forms[label]),
        labels=labels,
        gold=labels.index(str(gold.value)),
    )


def _log_sum(values: Sequence[float]) -> float:
    most = max(values)
    return most + math.log(math.fsum(math.exp(value - most) for value in values))
