# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Tokenizers and models from local folders, whole or an error; nothing is fetched or executed."""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import safetensors
import torch
import tqdm
import transformers

from lingshu_jax.eval.report_metrics.worker import layout

MAX_TOKENS = 512  # of every encoder here, special tokens included
BATCH = 32
# Heads that a checkpoint may lack, for nothing here uses them.
_UNUSED = ("pooler.",)
_TOKENIZERS = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"))
# What torch raises for a file that holds more than tensors.
_NOT_TENSORS = torch.serialization.pickle.UnpicklingError
_FAULTS = (OSError, ValueError, KeyError, RuntimeError, safetensors.SafetensorError, _NOT_TENSORS)


@contextlib.contextmanager
def loading(place: pathlib.Path) -> Iterator[None]:
    """Turns what goes wrong while a file is read into one line that names it."""
    try:
        yield
    except _FAULTS as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise layout.WeightsError(f"cannot use {place}: {lines[0]:.300}") from error


def device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def tokenizer(folder: pathlib.Path) -> Any:
    """A tokenizer.

    Args:
      folder: A Hugging Face folder.

    Raises:
      WeightsError: If it cannot be read.
    """
    with loading(folder):
        words = transformers.AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    # Without its files transformers makes one that knows nothing but its marks.
    has_files = any(all((folder / name).is_file() for name in names) for names in _TOKENIZERS)
    if not has_files or len(words) <= len(words.all_special_ids):
        wanted = ", or ".join(" and ".join(names) for names in _TOKENIZERS)
        raise layout.WeightsError(f"{folder} has no tokenizer: {wanted}")
    return words


def config(folder: pathlib.Path) -> Any:
    """A model's configuration; raises `WeightsError` if it cannot be read.

    Args:
      folder: A Hugging Face folder.
    """
    with loading(folder):
        return transformers.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )


def model(kind: Any, folder: pathlib.Path) -> Any:
    """A model with all its weights, in float32, ready to be asked.

    Args:
      kind: A class of transformers, as `transformers.AutoModel`.
      folder: A Hugging Face folder.

    Raises:
      WeightsError: If it cannot be read, or tensors are missing: transformers would make them up.
    """
    with loading(folder):
        loaded, found = kind.from_pretrained(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    gaps = sorted(key for key in found["missing_keys"] if not key.startswith(_UNUSED))
    if gaps:
        raise layout.WeightsError(f"{folder} lacks {len(gaps)} tensors, as {gaps[0]}")
    return loaded.eval().to(device())


def fill(module: torch.nn.Module, tensors: dict[str, torch.Tensor], place: pathlib.Path) -> None:
    """Puts the tensors of a checkpoint into a model, all or an error.

    Args:
      module: The model; afterwards ready to be asked.
      tensors: By name; those that the model does not have are left.
      place: Of the checkpoint, for the error.

    Raises:
      WeightsError: If one is missing or has another shape.
    """
    wanted = module.state_dict()
    gaps = sorted(wanted.keys() - tensors.keys())
    if gaps:
        raise layout.WeightsError(f"{place} lacks {len(gaps)} tensors, as {gaps[0]}")
    with loading(place):
        module.load_state_dict({name: tensors[name] for name in wanted})
    module.eval().to(device())


def encode(words: Any, texts: Sequence[str], *, max_length: int = MAX_TOKENS) -> Any:
    """Token ids and mask of a batch, padded to its longest, on the device.

    Args:
      words: The tokenizer.
      texts: Some texts.
      max_length: Tokens of each at most, special ones included.
    """
    batch = words(
        list(texts), padding=True, truncation=True, max_length=max_length, return_tensors="pt"
    )
    return batch.to(device())


def count_cut(words: Any, texts: Sequence[str], *, max_length: int = MAX_TOKENS) -> int:
    """How many texts have more tokens than a model reads.

    Args:
      words: The tokenizer.
      texts: All texts.
      max_length: Tokens that the model reads, special ones included.
    """
    # The tokenizer would warn of each length above its own limit, which is what is counted.
    lengths = words(list(texts), truncation=False, verbose=False)["input_ids"]
    return sum(len(ids) > max_length for ids in lengths)


def batches(texts: Sequence[str], title: str, size: int = BATCH) -> Iterator[list[int]]:
    """Indices of texts of like length, so that little is padded; shows how far it is.

    Args:
      texts: All texts.
      title: Of the bar on standard error.
      size: Of a batch.
    """
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    with tqdm.tqdm(total=len(order), desc=title, unit="text") as bar:
        for start in range(0, len(order), size):
            yield order[start : start + size]
            bar.update(len(order[start : start + size]))


def read_json(data: bytes, place: pathlib.Path) -> Any:
    """A JSON value; raises `WeightsError` if it is none.

    Args:
      data: The file.
      place: Its name, for the error.
    """
    with loading(place):
        return json.loads(data)
