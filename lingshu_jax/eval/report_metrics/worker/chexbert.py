# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""CheXbert: 14 findings of a report as labels, and its embedding, whose cosine is SembScore.

A finding is present where CheXbert says positive or uncertain.

Source: Smit et al., arXiv:2004.09167; stanfordmlgroup/CheXbert src/models/bert_labeler.py;
PyPI f1chexbert 0.0.2; rajpurkarlab/CXR-Report-Metric@9c9ecad CXRMetric/run_eval.py.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import torch
import transformers

from lingshu_jax.eval.report_metrics.worker import layout, models

CHECKPOINT, FOLDER = "chexbert.pth", "bert-base-uncased"
_CLASSES = 4  # blank, positive, negative, uncertain
_FINDING_CLASSES = (1, 3)
_PREFIX = "module."  # of names in a checkpoint of several devices


class Labeler(torch.nn.Module):
    """An encoder and a head for each finding, under the names of the checkpoint."""

    def __init__(self, config: Any):
        super().__init__()
        self.bert = transformers.BertModel(config)
        sizes = [_CLASSES] * (len(layout.FINDINGS) - 1) + [2]
        self.linear_heads = torch.nn.ModuleList(
            torch.nn.Linear(config.hidden_size, size) for size in sizes
        )

    def forward(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The embedding [B D] and the class of each finding [B 14].

        Args:
          batch: Of a tokenizer.
        """
        # The labels are read off the same embedding; the types of its tokens are all 0.
        ids, mask = batch["input_ids"], batch["attention_mask"]
        embedding = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        classes = [head(embedding).argmax(1) for head in self.linear_heads]
        return embedding, torch.stack(classes, 1)


def load(weights_dir: pathlib.Path) -> tuple[Any, Labeler]:
    """The tokenizer and the labeler.

    Args:
      weights_dir: The folder of weights.

    Raises:
      WeightsError: If they cannot be read.
    """
    checkpoint = layout.find(weights_dir, CHECKPOINT)
    folder = layout.find(weights_dir, FOLDER)
    words, labeler = models.tokenizer(folder), Labeler(models.config(folder))
    with models.loading(checkpoint):
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        tensors = content["model_state_dict"]
        tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    models.fill(labeler, tensors, checkpoint)
    return words, labeler


def score(
    pairs: Sequence[tuple[str, str]],
    single: Sequence[str],
    weights_dir: pathlib.Path,
) -> tuple[dict[str, list[Any]], dict[str, int]]:
    """Labels of both reports of each pair, and SembScore.

    Args:
      pairs: (hypothesis, reference), none empty.
      single: Reports whose other side is empty: labels alone.
      weights_dir: The folder of weights.

    Returns:
      `chexbert`: of each pair the two lists of 14 labels; `sembscore`; `single`: the labels of
      those. And how many texts were longer than the model reads.

    Raises:
      WeightsError: If the model cannot be loaded.
    """
    words, labeler = load(weights_dir)
    texts = [" ".join(text.split()) for text in (*(t for pair in pairs for t in pair), *single)]
    known = list(dict.fromkeys(texts))  # normal reports repeat
    embeddings, labels = label(words, labeler, known)
    at = {text: i for i, text in enumerate(known)}
    rows = [at[text] for text in texts]
    hypotheses, references = rows[: 2 * len(pairs) : 2], rows[1 : 2 * len(pairs) : 2]
    cosines = torch.nn.functional.cosine_similarity(
        embeddings[hypotheses].double(), embeddings[references].double()
    )
    values = {
        "chexbert": [[labels[h], labels[r]] for h, r in zip(hypotheses, references, strict=True)],
        "sembscore": cosines.tolist(),
        "single": [labels[i] for i in rows[2 * len(pairs) :]],
    }
    return values, {"texts cut by CheXbert": models.count_cut(words, known)}


@torch.no_grad()
def label(
    words: Any, labeler: Labeler, texts: Sequence[str]
) -> tuple[torch.Tensor, list[list[int]]]:
    """Embeddings [N D] on the host, and labels: 1 where a finding is present.

    Args:
      words: The tokenizer.
      labeler: The model.
      texts: None empty.
    """
    embeddings = torch.zeros(len(texts), labeler.bert.config.hidden_size)
    labels: list[list[int]] = [[] for _ in texts]
    for batch in models.batches(texts, "CheXbert"):
        embedding, classes = labeler(models.encode(words, [texts[i] for i in batch]))
        embeddings[batch] = embedding.cpu()
        for i, row in zip(batch, classes.tolist(), strict=True):
            labels[i] = [int(each in _FINDING_CLASSES) for each in row]
    return embeddings, labels
