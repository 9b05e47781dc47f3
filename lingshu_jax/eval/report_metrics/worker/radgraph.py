# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""RadGraph: entities and relations of a report, by the published model "radgraph".

Every span of words up to a width is represented by its two ends and its width. One head labels
spans as entities; of the spans that a second head ranks highest a third labels the pairs as
relations. The archive is AllenNLP's; it is read as it is, and neither unpacked nor executed.

Source: Jain et al., arXiv:2106.14463; Wadden et al., arXiv:1909.03546 (the model); PyPI radgraph
0.1.18 radgraph/radgraph.py and dygie/models/{ner,relation,entity_beam_pruner}.py.
"""

import io
import math
import pathlib
import re
import tarfile
from collections.abc import Sequence
from typing import Any

import torch
import transformers

from lingshu_jax.eval.report_metrics.worker import graph_f1, layout, models

ARCHIVE = "radgraph.tar.gz"
DATASET = "radgraph"  # of several that an archive may know
_NER, _RELATIONS = f"{DATASET}__ner_labels", f"{DATASET}__relation_labels"
_ENCODER = "_embedder.token_embedder_bert._matched_embedder.transformer_model."
_WIDTHS = "_endpoint_span_extractor._span_width_embedding.weight"
# Heads: the stem of their hidden layers, and their last layer.
_HEADS = {
    "entity": (f"_ner._ner_scorers.{_NER}.0._module.", f"_ner._ner_scorers.{_NER}.1._module"),
    "mention": (
        f"_relation._mention_pruners.{_RELATIONS}._scorer.0._module.",
        f"_relation._mention_pruners.{_RELATIONS}._scorer.1._module",
    ),
    "relation": (
        f"_relation._relation_feedforwards.{_RELATIONS}.",
        f"_relation._relation_scorers.{_RELATIONS}",
    ),
}
_MEMBERS = re.compile(r"config\.json|weights\.th|vocabulary/[^/]+\.txt")
_BATCH = 16
_PAIRS = 4096  # of spans at a time: a long report has many

Layers = list[tuple[torch.Tensor, torch.Tensor]]


def score(
    pairs: Sequence[tuple[str, str]], weights_dir: pathlib.Path
) -> tuple[dict[str, list[float]], list[str]]:
    """RadGraph F1 of pairs in its four definitions.

    Args:
      pairs: (hypothesis, reference), none empty.
      weights_dir: The folder of weights.

    Returns:
      The values, and the items of the folder that were read.

    Raises:
      WeightsError: If the model cannot be loaded.
    """
    graph = Graph(weights_dir)
    known = list(dict.fromkeys(text for pair in pairs for text in pair))
    annotations = dict(zip(known, graph.annotate(known), strict=True))
    values: dict[str, list[float]] = {name: [] for name in layout.VALUES["radgraph"]}
    for hypothesis, reference in pairs:
        scores = graph_f1.scores(annotations[hypothesis], annotations[reference])
        for name, value in scores.items():
            values[name].append(value)
    return values, [ARCHIVE, graph.folder]


def split(text: str) -> list[str]:
    """The words of a report as the model was trained on them.

    Args:
      text: The report; eight marks stand alone, others stay with their word.
    """
    return re.sub(r"([/,:.!?()])", r" \1 ", text).split()


class Graph:
    """The model of an archive.

    Attributes:
      folder: Of its encoder's configuration and tokenizer, below the folder of weights.
    """

    def __init__(self, weights_dir: pathlib.Path):
        """Reads the archive.

        Args:
          weights_dir: The folder of weights.

        Raises:
          WeightsError: If a file is missing or not as expected.
        """
        archive = layout.find(weights_dir, ARCHIVE)
        config, labels, tensors = read(archive)
        with models.loading(archive):
            reader, model = config["dataset_reader"], config["model"]
            indexer = reader["token_indexers"]["bert"]
            self.folder = str(indexer["model_name"]).rsplit("/", 1)[-1]
            self._max_length = int(indexer["max_length"] or models.MAX_TOKENS)
            self._max_width = int(reader["max_span_width"])
            self._spans_per_word = float(model["modules"]["relation"]["spans_per_word"])
            has_coreference = model["modules"].get("coref", {}).get("coref_prop", 0) > 0
            depth = int(model["feedforward_params"]["num_layers"])
            self._entities, self._relations = labels[_NER], labels[_RELATIONS]
            self._widths = tensors[_WIDTHS].to(models.device())
            self._heads = {
                name: _layers(tensors, *stems, depth=depth) for name, stems in _HEADS.items()
            }
        if has_coreference or self._entities[:1] != [""] or self.folder in ("", ".", ".."):
            raise layout.WeightsError(f"{archive} is not the model named radgraph")
        folder = layout.find(weights_dir, self.folder)
        self._words = models.tokenizer(folder)
        self._encoder = transformers.AutoModel.from_config(models.config(folder))
        encoder = {k.removeprefix(_ENCODER): t for k, t in tensors.items() if _ENCODER in k}
        models.fill(self._encoder, encoder, archive)

    @torch.no_grad()
    def annotate(self, texts: Sequence[str]) -> list[dict[str, dict[str, Any]]]:
        """Entities of reports by number from "1", as `graph_f1` takes them.

        Args:
          texts: Reports, none empty.
        """
        result: list[dict[str, dict[str, Any]]] = [{} for _ in texts]
        for batch in models.batches(texts, "RadGraph", _BATCH):
            reports = [split(texts[i]) for i in batch]
            for i, words, states in zip(batch, reports, self._embed(reports), strict=True):
                result[i] = self._annotate(words, states)
        return result

    def _embed(self, reports: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """A vector for each word [W D]: the mean of its pieces, 0 for a word that has none."""
        mark = self._words
        room = self._max_length - 2
        pieces = [
            [mark(word, add_special_tokens=False)["input_ids"] for word in words]
            for words in reports
        ]
        flat = [[piece for word in words for piece in word] for words in pieces]
        # A long report is read in parts that do not see each other.
        parts = [(i, part) for i, ids in enumerate(flat) for part in _parts(ids, room)]
        inputs = [torch.tensor([mark.cls_token_id, *part, mark.sep_token_id]) for _, part in parts]
        padded = torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True).to(models.device())
        sizes = torch.tensor([len(ids) for ids in inputs], device=padded.device)
        mask = torch.arange(padded.shape[1], device=padded.device) < sizes[:, None]
        states = self._encoder(input_ids=padded, attention_mask=mask.long()).last_hidden_state
        rows: list[list[torch.Tensor]] = [[] for _ in reports]
        for (i, part), row in zip(parts, states, strict=True):
            rows[i].append(row[1 : 1 + len(part)])
        return [
            _word_means(torch.cat(own), [len(word) for word in words])
            for own, words in zip(rows, pieces, strict=True)
        ]

    def _annotate(self, words: Sequence[str], states: torch.Tensor) -> dict[str, dict[str, Any]]:
        count = len(words)
        spans = [
            (start, end)
            for start in range(count)
            for end in range(start, min(start + self._max_width, count))
        ]
        starts, ends = torch.tensor(spans, device=states.device).T
        vectors = torch.cat([states[starts], states[ends], self._widths[ends - starts]], 1)
        # A score of 0 stands for "none", for entities as for relations.
        labels = _with_none(_apply(self._heads["entity"], vectors)).argmax(1).tolist()
        entities = [(span, label) for span, label in zip(spans, labels, strict=True) if label]
        numbers = {span: str(n) for n, (span, _) in enumerate(entities, 1)}
        result = {
            numbers[span]: {
                "tokens": " ".join(words[span[0] : span[1] + 1]),
                "label": self._entities[label],
                "start_ix": span[0],
                "end_ix": span[1],
                "relations": [],
            }
            for span, label in entities
        }
        for source, target, label in self._related(spans, vectors, count):
            if source in numbers and target in numbers:
                relation = [self._relations[label], numbers[target]]
                result[numbers[source]]["relations"].append(relation)
        return result

    def _related(
        self, spans: Sequence[tuple[int, int]], vectors: torch.Tensor, count: int
    ) -> list[tuple[tuple[int, int], tuple[int, int], int]]:
        """Pairs of spans that have a relation, with its index."""
        mentions = _apply(self._heads["mention"], vectors)[:, 0]
        kept = min(max(math.ceil(count * self._spans_per_word), 1), len(spans))
        chosen = mentions.topk(kept).indices.sort().values
        vectors, mentions = vectors[chosen], mentions[chosen]
        found = []
        for rows in torch.arange(kept, device=vectors.device).split(max(1, _PAIRS // kept)):
            left = vectors[rows, None].expand(-1, kept, -1)
            right = vectors[None].expand(len(rows), -1, -1)
            scores = _apply(self._heads["relation"], torch.cat([left, right, left * right], 2))
            scores = scores + (mentions[rows, None] + mentions)[:, :, None]
            best = _with_none(scores).argmax(2)
            for i, j in best.nonzero().tolist():
                source, target = chosen[rows[i]].item(), chosen[j].item()
                found.append((spans[source], spans[target], int(best[i, j]) - 1))
        return found


def read(
    archive: pathlib.Path,
) -> tuple[dict[str, Any], dict[str, list[str]], dict[str, torch.Tensor]]:
    """Configuration, labels by namespace and tensors of AllenNLP's archive.

    Args:
      archive: A .tar.gz file; of its members only the three known kinds are read.

    Raises:
      WeightsError: If it is none, or one of them is missing.
    """
    files = {}
    try:
        with tarfile.open(archive, "r:gz") as content:
            for member in content:
                # A leading "./" is gone from a path's text.
                name = str(pathlib.PurePosixPath(member.name))
                stream = content.extractfile(member) if _MEMBERS.fullmatch(name) else None
                if stream is not None:
                    files[name] = stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise layout.WeightsError(f"cannot read {archive}: {error}") from error
    with models.loading(archive):
        config = models.read_json(files["config.json"], archive)
        weights = io.BytesIO(files.pop("weights.th"))
        tensors = torch.load(weights, map_location="cpu", weights_only=True)
        labels = {
            pathlib.PurePosixPath(name).stem: data.decode().removesuffix("\n").split("\n")
            for name, data in files.items()
            if name.endswith(".txt")
        }
    return config, labels, tensors


def _layers(tensors: dict[str, torch.Tensor], stem: str, last: str, *, depth: int) -> Layers:
    names = [*(f"{stem}_linear_layers.{i}" for i in range(depth)), last]
    return [
        tuple(tensors[f"{name}.{part}"].to(models.device()) for part in ("weight", "bias"))
        for name in names
    ]


def _apply(layers: Layers, inputs: torch.Tensor) -> torch.Tensor:
    for weight, bias in layers[:-1]:
        inputs = torch.relu(torch.nn.functional.linear(inputs, weight, bias))
    return torch.nn.functional.linear(inputs, *layers[-1])


def _with_none(scores: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(scores, (1, 0))


def _parts(ids: list[int], size: int) -> list[list[int]]:
    return [ids[start : start + size] for start in range(0, max(len(ids), 1), size)]


def _word_means(states: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    counts = torch.tensor(sizes, device=states.device)
    owner = torch.arange(len(sizes), device=states.device).repeat_interleave(counts)
    sums = states.new_zeros(len(sizes), states.shape[1]).index_add(0, owner, states)
    return sums / counts.clamp_min(1)[:, None]
