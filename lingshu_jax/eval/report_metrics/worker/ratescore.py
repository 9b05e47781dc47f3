# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""RaTEScore: entities of two reports, matched by the nearest synonym on the other side.

Source: Zhao et al., arXiv:2406.16845; PyPI RaTEScore 0.6.0 RaTEScore/score.py.
"""

import pathlib
from collections.abc import Sequence

import torch
import transformers

from lingshu_jax.eval.report_metrics.worker import layout, models, rate_entities

NER, SYNONYMS = "RaTE-NER-Deberta", "BioLORD-2023-C"
_SYNONYM_TOKENS = 30

Entity = tuple[str, str]  # its words and its type


def score(
    pairs: Sequence[tuple[str, str]], weights_dir: pathlib.Path
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """RaTEScore of pairs.

    Args:
      pairs: (hypothesis, reference), none empty.
      weights_dir: The folder of weights.

    Returns:
      The values, and how many pairs have the value of a side without entities.

    Raises:
      WeightsError: If a model cannot be loaded, or knows other types of entities.
    """
    folder = layout.find(weights_dir, SYNONYMS)
    known = list(dict.fromkeys(text for pair in pairs for text in pair))
    entities = dict(zip(known, find(known, weights_dir), strict=True))
    phrases = sorted({phrase for found in entities.values() for phrase, _ in found})
    at = {phrase: i for i, phrase in enumerate(phrases)}
    vectors = _embed(phrases, folder)
    values, nothing = [], 0
    for hypothesis, reference in pairs:
        own, other = entities[hypothesis], entities[reference]
        if not own or not other:
            nothing += 1
            values.append(rate_entities.NOTHING_TO_COMPARE)
            continue
        cosines = vectors[[at[p] for p, _ in own]] @ vectors[[at[p] for p, _ in other]].T
        precision = rate_entities.side(_best(cosines, own, other))
        recall = rate_entities.side(_best(cosines.T, other, own))
        values.append(rate_entities.f1(precision, recall))
    return {"ratescore": values}, {"pairs without entities on one side (RaTEScore .5)": nothing}


def find(texts: Sequence[str], weights_dir: pathlib.Path) -> list[list[Entity]]:
    """Entities of reports.

    Args:
      texts: None empty.
      weights_dir: The folder of weights.

    Raises:
      WeightsError: If the model cannot be loaded, or knows other types of entities.
    """
    folder = layout.find(weights_dir, NER)
    words = models.tokenizer(folder)
    tagger = models.model(transformers.AutoModelForTokenClassification, folder)
    names = tagger.config.id2label
    foreign = {name[2:] for name in names.values()} - {"", *rate_entities.TYPES}
    if foreign:
        raise layout.WeightsError(f"{folder} has entities of the type {min(foreign)!r}")
    sentences = [
        (i, each) for i, text in enumerate(texts) for each in rate_entities.sentences(text)
    ]
    found: list[list[Entity]] = [[] for _ in sentences]
    for batch in models.batches([each for _, each in sentences], "RaTEScore"):
        inputs = models.encode(words, [sentences[k][1] for k in batch])
        with torch.no_grad():
            classes = tagger(**inputs).logits.argmax(2).tolist()
        sizes = inputs["attention_mask"].sum(1).tolist()
        for k, row, ids, size in zip(batch, classes, inputs["input_ids"], sizes, strict=True):
            pieces = words.convert_ids_to_tokens(ids[:size].tolist())
            labels = [names[each] for each in row[:size]]
            found[k] = [
                (words.convert_tokens_to_string(pieces[start : end + 1]), kind)
                for start, end, kind in rate_entities.spans(labels)
            ]
    result: list[list[Entity]] = [[] for _ in texts]
    for (i, _), entities in zip(sentences, found, strict=True):
        result[i] += entities
    return result


@torch.no_grad()
def _embed(phrases: Sequence[str], folder: pathlib.Path) -> torch.Tensor:
    """Unit vectors [N D] on the host."""
    words = models.tokenizer(folder)
    encoder = models.model(transformers.AutoModel, folder)
    vectors = torch.zeros(len(phrases), encoder.config.hidden_size)
    for batch in models.batches(phrases, "RaTEScore synonyms"):
        inputs = models.encode(words, [phrases[i] for i in batch], max_length=_SYNONYM_TOKENS)
        vectors[batch] = encoder(**inputs).last_hidden_state[:, 0].cpu()
    return torch.nn.functional.normalize(vectors, dim=1)


def _best(
    cosines: torch.Tensor, own: Sequence[Entity], other: Sequence[Entity]
) -> list[tuple[float, str, str]]:
    # One phrase may stand on the other side under two types: `topk` chooses as the original does.
    values, indices = (column[:, 0].tolist() for column in cosines.topk(1))
    matches = zip(values, indices, own, strict=True)
    return [(value, kind, other[i][1]) for value, i, (_, kind) in matches]
