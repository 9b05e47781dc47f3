# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A random checkpoint that fills a schema with short texts.

Random weights write hundreds of tokens before they happen to end a text. Here one column of the
embeddings is the same for all tokens and passes all layers, so that logits have a part of our own:
marks of JSON are likely, letters less so, anything else hardly.
"""

import dataclasses
import math
import pathlib

import numpy as np

from lingshu_jax.data import tokenizer
from lingshu_jax.models import hf
from tests.vllm import folders

MAX_TOKENS = 4096
_COLUMN, _CONSTANT = 0, 50.0  # far above the random columns
_RANDOM = 0.05  # of what those add to the logits elsewhere
# How likely tokens are beside each other: many texts have letters, some items, and an end.
_WEIGHTS = {'"': 60.0, ",": 60.0, "{": 60.0, "t": 30.0, "]": 20.0, ":": 20.0, "}": 20.0, "[": 20.0}
_OTHERS = 1e-6


def make(folder: pathlib.Path) -> pathlib.Path:
    """The checkpoint as export writes it.

    Args:
      folder: Gets it, with what it came from beside it.
    """
    drawn = folders.CHECKPOINTS["untied"]
    text = dataclasses.replace(drawn.text, max_positions=MAX_TOKENS)
    exported = folders.write(folder, drawn._replace(text=text))
    size = hf.read_config(exported)
    params = hf.load_params(exported, size)
    words = params["text"]
    embedding, scale = np.array(words["embed"]["embedding"]), np.array(words["norm"]["scale"])
    scale *= _RANDOM
    embedding[:, _COLUMN], scale[_COLUMN] = _CONSTANT, 1.0
    words["embed"]["embedding"], words["norm"]["scale"] = embedding, scale
    for block, name in (("attention", "out"), ("mlp", "down")):
        kernel = np.array(words["layers"][block][name]["kernel"])
        kernel[..., _COLUMN] = 0.0
        words["layers"][block][name]["kernel"] = kernel
    head = np.array(words["head"])
    # After the norm the column is about the root of the width.
    head[_COLUMN] = _logits(exported, text.vocab_size) / math.sqrt(text.embed_dim)
    words["head"] = head
    folders.replace_weights(exported, params)
    return exported


def _logits(folder: pathlib.Path, count: int) -> np.ndarray:
    found = np.full(count, math.log(_OTHERS))
    for word, token in tokenizer.load(folder).get_vocab(with_added_tokens=False).items():
        weight = _WEIGHTS.get(word, 1.0 if word.isascii() and word.isalpha() else _OTHERS)
        found[token] = math.log(weight)
    return found
