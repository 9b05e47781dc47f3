# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""BERTScore as RadCliQ takes it: distilroberta-base, layer 5, F, rescaled, no idf weights.

Each word piece of one text takes its best cosine in the other; precision is the mean over the
hypothesis, recall over the reference. The marks at both ends can be chosen but have no weight.

Source: Zhang et al., arXiv:1904.09675; Tiiiger/bert_score 0.3.13 bert_score/utils.py;
rajpurkarlab/CXR-Report-Metric@9c9ecad CXRMetric/run_eval.py.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import transformers

from lingshu_jax.eval.report_metrics.worker import layout, models

FOLDER = "distilroberta-base"
LAYER = 5
# F of unrelated sentences at that layer: rescale_baseline/en/distilroberta-base.tsv.
BASELINE = 0.8473319


def score(
    pairs: Sequence[tuple[str, str]], weights_dir: pathlib.Path
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """BERTScore of pairs.

    Args:
      pairs: (hypothesis, reference), none empty.
      weights_dir: The folder of weights.

    Returns:
      The values, and how many texts were longer than the model reads.

    Raises:
      WeightsError: If the model cannot be loaded.
    """
    folder = layout.find(weights_dir, FOLDER)
    words = models.tokenizer(folder)
    encoder = models.model(transformers.AutoModel, folder)
    if encoder.config.num_hidden_layers < LAYER:
        raise layout.WeightsError(f"{folder} has no layer {LAYER}")
    hypotheses, references = ([_spaced(pair[side]) for pair in pairs] for side in (0, 1))
    values = [0.0] * len(pairs)
    both = [f"{h} {r}" for h, r in zip(hypotheses, references, strict=True)]
    for batch in models.batches(both, "BERTScore"):
        sides = [
            _embed(words, encoder, [texts[i] for i in batch]) for texts in (hypotheses, references)
        ]
        scores = (_f1(*sides) - BASELINE) / (1 - BASELINE)
        for i, value in zip(batch, scores.tolist(), strict=True):
            values[i] = value
    cut = models.count_cut(words, [*hypotheses, *references])
    return {"bertscore": values}, {"texts cut by BERTScore": cut}


def _spaced(text: str) -> str:
    """One blank between words and before the first: its pieces are those of any other word."""
    return " ".join(["", *text.split()])


class _Side(NamedTuple):
    """One text of each pair: unit vectors [B T D], which are tokens [B T], their weights [B T]."""

    vectors: torch.Tensor
    mask: torch.Tensor
    weights: torch.Tensor


@torch.no_grad()
def _embed(words: Any, encoder: Any, texts: list[str]) -> _Side:
    batch = models.encode(words, texts)
    states = encoder(**batch, output_hidden_states=True).hidden_states[LAYER]
    ids, mask = batch["input_ids"], batch["attention_mask"].bool()
    ends = (ids == words.cls_token_id) | (ids == words.sep_token_id)
    return _Side(torch.nn.functional.normalize(states, dim=-1), mask, (mask & ~ends).float())


def _f1(hypothesis: _Side, reference: _Side) -> torch.Tensor:
    cosines = hypothesis.vectors @ reference.vectors.transpose(1, 2)
    # As in the original: a pair with padding has the cosine 0.
    cosines = cosines * (hypothesis.mask.unsqueeze(2) & reference.mask.unsqueeze(1))
    precision = _mean(cosines.amax(2), hypothesis.weights)
    recall = _mean(cosines.amax(1), reference.weights)
    total = precision + recall
    return torch.where(total == 0, torch.zeros_like(total), 2 * precision * recall / total)


def _mean(best: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    # A text without word pieces, as one of control characters, has no weight and scores 0.
    return (best * weights).sum(1) / weights.sum(1).clamp_min(1)
