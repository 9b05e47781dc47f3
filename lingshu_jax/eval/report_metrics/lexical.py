# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""ROUGE-L and BLEU of reports, in the variants that published numbers use; each in [0, 1].

A text without tokens scores 0, whatever the original does there.
"""

import collections
import math
import sys
from collections.abc import Mapping, Sequence

from lingshu_jax.eval import compat_rouge
from lingshu_jax.eval.report_metrics import tokens

Tokens = Sequence[str]
Cut = Mapping[str, Sequence[Tokens]]
ORDERS = (1, 2, 3, 4)  # of n-grams
COCO_BETA = 1.2  # how much recall counts in ROUGE-L of captions
# Where no n-gram agrees: NLTK without smoothing takes the least positive number, its method 1 this
# share of a match.
NO_SMOOTHING, METHOD_1 = 0.0, 0.1
_TINY, _SMALL = 1e-15, 1e-9  # pycocoevalcap's guards against a division by 0


def lcs(first: Tokens, second: Tokens) -> int:
    """The length of the longest common subsequence.

    Args:
      first: Tokens.
      second: Tokens.

    Source: Hyyro, "Bit-parallel LCS-length computation revisited", AWOCA 2004.
    """
    places: dict[str, int] = collections.defaultdict(int)
    for place, token in enumerate(first):
        places[token] |= 1 << place
    whole = (1 << len(first)) - 1
    row = whole
    for token in second:
        common = row & places.get(token, 0)
        row = ((row + common) | (row - common)) & whole
    return len(first) - row.bit_count()


def rouge_l(said: Tokens, truth: Tokens) -> float:
    """F1 of the longest common subsequence, as rouge-score 0.1.2.

    Args:
      said: Tokens of a report.
      truth: Tokens of its reference.
    """
    if not said or not truth:
        return 0.0
    common = lcs(said, truth)
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(truth)
    return 2 * precision * recall / (precision + recall)


def rouge_l_coco(said: Tokens, truths: Sequence[Tokens]) -> float:
    """The same with more weight on recall, as pycocoevalcap rouge/rouge.py@ad63453.

    Args:
      said: Tokens of a report.
      truths: Tokens of each of its references; precision and recall are the best of any.
    """
    if not said or not any(truths):
        return 0.0
    common = [(lcs(said, truth), len(truth)) for truth in truths if truth]
    precision = max(length for length, _ in common) / len(said)
    recall = max(length / size for length, size in common)
    if not precision:
        return 0.0
    weight = COCO_BETA**2
    return (1 + weight) * precision * recall / (recall + weight * precision)


def rouge_l_rouge101(text: str, truth: str) -> float:
    """F1 over sentences as the package rouge 1.0.1, both texts in lower case as in MedEvalKit.

    Args:
      text: A report.
      truth: Its reference.
    """
    found = compat_rouge.scores(text.lower(), truth.lower())
    return found[2] if found else 0.0


def sentence_bleu(said: Tokens, truth: Tokens, *, smoothing: float) -> list[float]:
    """BLEU-1 to -4 of one report, as NLTK's sentence_bleu with equal weights.

    Args:
      said: Its tokens.
      truth: Tokens of its reference.
      smoothing: What stands for 0 matches, NO_SMOOTHING or METHOD_1. Without smoothing BLEU-2 is
        about 1e-154 where no pair of words agrees.
    """
    matches = [_matches(said, [truth], order) for order in ORDERS]
    if not matches[0]:
        return [0.0] * len(ORDERS)
    logs = []
    for order, matched in zip(ORDERS, matches, strict=True):
        total = max(1, len(said) - order + 1)
        logs.append(math.log((matched or smoothing) / total or sys.float_info.min))
    penalty = math.exp(1 - len(truth) / len(said)) if len(said) <= len(truth) else 1.0
    return [penalty * math.exp(math.fsum(logs[:order]) / order) for order in ORDERS]


def corpus_bleu(said: Sequence[Tokens], truths: Sequence[Sequence[Tokens]]) -> list[float]:
    """BLEU-1 to -4 over all reports, closest reference length, as pycocoevalcap bleu@ad63453.

    Args:
      said: Tokens of each report.
      truths: Tokens of the references of each.

    Returns:
      0 where there is no report or no word agrees; the original has about 1e-16 there.
    """
    length = sum(map(len, said))
    target = sum(_closest(len(one), golds) for one, golds in zip(said, truths, strict=True))
    bleus, product = [], 1.0
    for order in ORDERS:
        pairs = zip(said, truths, strict=True)
        matched = sum(_matches(one, golds, order) for one, golds in pairs)
        if order == 1 and not matched:
            return [0.0] * len(ORDERS)
        total = sum(max(0, len(one) - order + 1) for one in said)
        product *= (matched + _TINY) / (total + _SMALL)
        bleus.append(product ** (1 / order))
    ratio = (length + _TINY) / (target + _SMALL)
    return [bleu * math.exp(min(0.0, 1 - 1 / ratio)) for bleu in bleus]


def cut(texts: Sequence[str]) -> Cut:
    """The tokens of texts under every rule.

    Args:
      texts: Some texts.
    """
    return {name: [rule(text) for text in texts] for name, rule in tokens.TOKENIZERS.items()}


def of_reports(texts: Sequence[str], truths: Sequence[str]) -> dict[str, list[float]]:
    """The metrics of each report that do not depend on the others, by metric.

    Args:
      texts: The reports.
      truths: A reference of each.
    """
    said, gold = cut(texts), cut(truths)
    rexrank = list(zip(said["rexrank"], gold["rexrank"], strict=True))
    plain = [sentence_bleu(*pair, smoothing=NO_SMOOTHING) for pair in rexrank]
    return {
        "rougeL_rouge101": [rouge_l_rouge101(*pair) for pair in zip(texts, truths, strict=True)],
        "rougeL_rougescore": list(map(rouge_l, said["rouge_score"], gold["rouge_score"])),
        "rougeL_coco": [
            rouge_l_coco(s, [g]) for s, g in zip(said["ptb"], gold["ptb"], strict=True)
        ],
        "rougeL_own": list(map(rouge_l, said["own"], gold["own"])),
        **{f"bleu{n}_medevalkit": [bleu[n - 1] for bleu in plain] for n in ORDERS},
        "bleu2_rexrank": [sentence_bleu(*pair, smoothing=METHOD_1)[1] for pair in rexrank],
    }


def of_corpus(texts: Sequence[str], truths: Sequence[str]) -> dict[str, float]:
    """The metrics that all reports have together.

    Args:
      texts: The reports.
      truths: A reference of each.
    """
    found = {}
    for name, rule in (("coco", tokens.ptb), ("own", tokens.TOKENIZERS["own"])):
        bleus = corpus_bleu([rule(text) for text in texts], [[rule(truth)] for truth in truths])
        found |= {f"bleu{order}_{name}": bleu for order, bleu in zip(ORDERS, bleus, strict=True)}
    return found


def ngrams(words: Tokens, order: int) -> Mapping[tuple[str, ...], int]:
    """How often each run of words occurs.

    Args:
      words: Tokens of a text.
      order: Length of a run.
    """
    return collections.Counter(zip(*(words[start:] for start in range(order)), strict=False))


def _matches(said: Tokens, truths: Sequence[Tokens], order: int) -> int:
    """How many runs of words are in a reference, each as often as there at most."""
    counts = ngrams(said, order)
    golds = [ngrams(truth, order) for truth in truths]
    return sum(min(n, max(gold.get(run, 0) for gold in golds)) for run, n in counts.items())


def _closest(length: int, truths: Sequence[Tokens]) -> int:
    """The length of the reference that is closest, of two the shorter."""
    return min((len(truth) for truth in truths), key=lambda size: (abs(size - length), size))
