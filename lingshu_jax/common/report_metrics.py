# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""ROUGE-L and BLEU of one report against another, each in [0, 1].

The libraries are those of the extra `eval`. Texts are compared as the tokens of
`answers_open.tokens`, so that Chinese has some.
"""

from collections.abc import Callable
from typing import Any

from lingshu_jax.common import answers_open, errors

MAX_TOKENS = 400  # of a text; `rouge` recurses once a token and Python bears about 1000


def rouge_l(text: str, gold: str) -> float:
    """F1 of the longest common subsequence.

    Repeated words count as often as they stand there. Of a text of more than MAX_TOKENS tokens
    the rest matches nothing.

    Args:
      text: What was written.
      gold: The truth.

    Raises:
      UserError: If the library is not installed.
    """
    try:
        import rouge
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    said, truth = answers_open.tokens(text), answers_open.tokens(gold)[:MAX_TOKENS]
    if not said or not truth:
        return 0.0
    scorer = rouge.Rouge(metrics=["rouge-l"], exclusive=False)
    scores: Any = scorer.get_scores(" ".join(said[:MAX_TOKENS]), " ".join(truth))
    return float(scores[0]["rouge-l"]["f"]) * min(1.0, MAX_TOKENS / len(said))


def bleu(text: str, gold: str) -> float:
    """BLEU-4 of a sentence; an n-gram count of 0 enters as 0.1 (NLTK's method1).

    Args:
      text: What was written.
      gold: The truth.

    Raises:
      UserError: If the library is not installed.
    """
    bleu_score = _bleu_score()
    said, truth = answers_open.tokens(text), answers_open.tokens(gold)
    if not said or not truth:
        return 0.0
    smooth = bleu_score.SmoothingFunction().method1
    return float(bleu_score.sentence_bleu([truth], said, smoothing_function=smooth))


METRICS: dict[str, Callable[[str, str], float]] = {
    "rouge_l": rouge_l,
    "bleu": bleu,
    "token_f1": answers_open.token_f1,
}


def _bleu_score() -> Any:
    try:
        from nltk.translate import bleu_score
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return bleu_score


def _missing(error: ModuleNotFoundError) -> errors.UserError:
    return errors.UserError(f"{error.name} is missing: pip install 'lingshu-jax[eval]'")
