# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of weights that the neural report metrics read: what lies where, and from where.

Nothing is downloaded: a file that is missing is named with its source, and its metric is absent.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable

# CheXbert's observations, in the order of its heads; the last has two classes, the others four.
FINDINGS = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
    "No Finding",
)
# What each group of metrics, which share models, gives for each pair of reports.
VALUES = {
    "bertscore": ("bertscore",),
    "chexbert": ("chexbert", "sembscore"),
    "radgraph": ("radgraph_f1", "radgraph_simple", "radgraph_partial", "radgraph_complete"),
    "ratescore": ("ratescore",),
}
_TOKENIZER = "the tokenizer's files"
_READ = ("*.json", "*.txt", "*.model")  # of a folder, beside its weights


class WeightsError(Exception):
    """A file of the weights is missing or cannot be used; one line."""


@dataclasses.dataclass(frozen=True)
class Item:
    """A file or folder below the folder of weights.

    Attributes:
      path: Below the folder.
      group: The key of `VALUES` that needs it.
      source: Where it is published.
      licence: As its publisher states it.
      holds: What is read of it, in words.
      has_weights: False for a folder of which the configuration and the tokenizer are enough.
    """

    path: str
    group: str
    source: str
    licence: str
    holds: str
    has_weights: bool = True

    @property
    def is_folder(self) -> bool:
        """Whether it is a model's folder; otherwise one file."""
        return not self.path.endswith((".pth", ".gz"))


_PUBMEDBERT = "BiomedNLP-PubMedBERT-base-uncased-abstract-fulltext"
ITEMS = (
    Item(
        "distilroberta-base",
        "bertscore",
        "https://huggingface.co/distilbert/distilroberta-base",
        "Apache-2.0",
        f"config.json, model.safetensors, {_TOKENIZER}",
    ),
    Item(
        "chexbert.pth",
        "chexbert",
        "https://huggingface.co/StanfordAIMI/RRG_scorers",
        "not stated",
        "CheXbert's checkpoint",
    ),
    Item(
        "bert-base-uncased",
        "chexbert",
        "https://huggingface.co/google-bert/bert-base-uncased",
        "Apache-2.0",
        f"config.json, {_TOKENIZER}",
        has_weights=False,
    ),
    Item(
        "radgraph.tar.gz",
        "radgraph",
        "https://huggingface.co/StanfordAIMI/RRG_scorers",
        "not stated; the original is under PhysioNet's terms",
        "the archive as published, not unpacked",
    ),
    Item(
        # The name stands in the archive; this is the published one's.
        _PUBMEDBERT,
        "radgraph",
        f"https://huggingface.co/microsoft/{_PUBMEDBERT}",
        "MIT",
        f"config.json, {_TOKENIZER}",
        has_weights=False,
    ),
    Item(
        "RaTE-NER-Deberta",
        "ratescore",
        "https://huggingface.co/Angelakeke/RaTE-NER-Deberta",
        "MIT",
        f"config.json, model.safetensors, {_TOKENIZER}",
    ),
    Item(
        "BioLORD-2023-C",
        "ratescore",
        "https://huggingface.co/FremyCompany/BioLORD-2023-C",
        "MIT, with the terms of UMLS and SNOMED CT",
        f"config.json, model.safetensors, {_TOKENIZER}",
    ),
)


def item(path: str) -> Item:
    """The entry of a path; a folder that an archive names by another name than usual has one too.

    Args:
      path: Below the folder of weights.
    """
    for known in ITEMS:
        if known.path == path:
            return known
    source = f"https://huggingface.co (the folder named {path})"
    holds = f"config.json, {_TOKENIZER}"
    return Item(path, "radgraph", source, "see there", holds, has_weights=False)


def find(weights_dir: pathlib.Path, path: str) -> pathlib.Path:
    """Where an item lies.

    Args:
      weights_dir: The folder of weights.
      path: Below it.

    Raises:
      WeightsError: If it is not there.
    """
    place, wanted = weights_dir / path, item(path)
    needed = place / "config.json" if wanted.is_folder else place
    if not needed.is_file():
        raise WeightsError(f"{needed} is missing: {wanted.holds}, from {wanted.source}")
    return place


def missing(weights_dir: pathlib.Path, group: str) -> str | None:
    """Why a group of metrics cannot be computed, as far as names of files tell; None if it can.

    Args:
      weights_dir: The folder of weights.
      group: A key of `VALUES`.
    """
    # The archive names its encoder's folder, so that one is looked for when it is open.
    paths = [each.path for each in ITEMS if each.group == group and each.path != _PUBMEDBERT]
    try:
        for path in paths:
            find(weights_dir, path)
    except WeightsError as error:
        return str(error)
    return None


def digests(weights_dir: pathlib.Path, paths: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the files of some items, by their path below the folder.

    Args:
      weights_dir: The folder of weights.
      paths: Of the items below it. Of a folder, the files directly in it that a loader may read.
    """
    result = {}
    for path in paths:
        place, wanted = weights_dir / path, item(path)
        for file in sorted(_read_files(place, wanted)) if wanted.is_folder else [place]:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            result[file.relative_to(weights_dir).as_posix()] = digest
    return result


def _read_files(folder: pathlib.Path, wanted: Item) -> set[pathlib.Path]:
    patterns: list[str] = [*_READ]
    if wanted.has_weights:  # of several forms of them one is read
        is_safe = any(folder.glob("model*.safetensors"))
        patterns.append("model*.safetensors" if is_safe else "pytorch_model*.bin")
    return {file for pattern in patterns for file in folder.glob(pattern)}
