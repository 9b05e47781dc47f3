# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Loading a tokenizer from a Hugging Face folder, without importing transformers."""

import json
from pathlib import Path

import tokenizers

from lingshu_jax.common import errors, tokens

# How Qwen2 cuts text before the byte-pair merges: contractions, words with the blank before
# them, single digits, punctuation, line ends, other blanks.
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def load(folder: Path) -> tokenizers.Tokenizer:
    """Loads a byte-level BPE tokenizer that never makes control tokens from text.

    Args:
      folder: Holds tokenizer.json, or Qwen2's own vocab.json and merges.txt.

    Returns:
      The tokenizer, equal to transformers' with `split_special_tokens`, without importing it.

    Raises:
      UserError: If the folder holds neither.
    """
    whole, vocab, merges = (
        folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt")
    )
    if whole.exists():
        tokenizer = tokenizers.Tokenizer.from_str(whole.read_text(encoding="utf-8"))
    elif vocab.exists() and merges.exists():
        tokenizer = _qwen2_tokenizer(
            json.loads(vocab.read_text(encoding="utf-8")), merges.read_text(encoding="utf-8")
        )
    else:
        raise errors.UserError(
            f"no tokenizer in {folder}: needs tokenizer.json, or vocab.json and merges.txt"
        )
    tokenizer.encode_special_tokens = True
    return tokenizer


def _qwen2_tokenizer(vocab: dict[str, int], merges: str) -> tokenizers.Tokenizer:
    """Qwen2's tokenizer from its two text files; the added tokens follow the vocabulary."""
    lines = [line for line in merges.split("\n") if line and not line.startswith("#version")]
    pairs = [(left, right) for left, _, right in (line.partition(" ") for line in lines)]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=pairs))
    tokenizer.normalizer = tokenizers.normalizers.NFC()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(QWEN2_SPLIT), behavior="isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    added = [tokenizers.AddedToken(token, normalized=False) for token in tokens.SPECIAL_TOKENS]
    tokenizer.add_special_tokens(added[: len(tokens.CONTROL_TOKENS)])
    tokenizer.add_tokens(added[len(tokens.CONTROL_TOKENS) :])
    return tokenizer
