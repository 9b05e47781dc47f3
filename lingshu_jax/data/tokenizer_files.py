# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Tokenizer and processor files of a Qwen2.5-VL folder: which are missing, and how they read.

`write_tokenizer` trains the tokenizer of a small folder on the spot. It is Qwen2's in every
respect but the learned merges: NFC, the same split regex, byte-level BPE without a leading blank,
and the 22 added tokens in their order, after the vocabulary. The folder loads with transformers'
AutoTokenizer and AutoProcessor, with vLLM and with our `messages.Encoder`; `config.json` and the
weights come from `models/hf.py`. `complete` writes what a folder of any size lacks, all but the
tokenizer itself.
"""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from lingshu_jax.common import errors, geometry, tokens
from lingshu_jax.data import processor, tokenizer

MIN_VOCAB = 256  # one token for each byte
END_OF_TEXT, IM_END = "<|endoftext|>", "<|im_end|>"

TOKENIZER = "tokenizer.json (or vocab.json and merges.txt)"
TOKENIZER_CONFIG, GENERATION = "tokenizer_config.json", "generation_config.json"
PREPROCESSOR, TEMPLATE = "preprocessor_config.json", "chat_template.jinja"


def write_tokenizer(
    folder: Path,
    corpus: Iterable[str] | tokenizers.Tokenizer,
    vocab_size: int,
    *,
    min_pixels: int = 3136,
    max_pixels: int = 12845056,
) -> int:
    """Trains a tokenizer, or takes one, and writes a folder's text files but config.json.

    Args:
      folder: Made if missing; other files in it stay.
      corpus: Texts to learn merges from, or a tokenizer from `tokenizer.load`.
      vocab_size: Wished size of the vocabulary without the added tokens, at least 256; a
        small corpus gives fewer. A tokenizer that there is has its own.
      min_pixels: Smallest image area of the processor, in pixels.
      max_pixels: Largest image area.

    Returns:
      The number of token ids, the added ones included.

    Raises:
      UserError: If vocab_size is below 256, or the pixel limits are out of order.
    """
    if vocab_size < MIN_VOCAB:
        raise errors.UserError(f"vocab_size must be >= {MIN_VOCAB}, got {vocab_size}")
    if not 0 < min_pixels <= max_pixels:
        raise errors.UserError(
            f"pixel limits must be 0 < min <= max, got {min_pixels}, {max_pixels}"
        )
    is_trained = isinstance(corpus, tokenizers.Tokenizer)
    trained = corpus if is_trained else train(corpus, vocab_size)
    vocabulary = trained.get_vocab()
    ids = {text: vocabulary[text] for text in tokens.SPECIAL_TOKENS}
    files = {
        TOKENIZER_CONFIG: _tokenizer_config(ids),
        "special_tokens_map.json": _special_tokens_map(),
        GENERATION: _generation_config(ids),
        PREPROCESSOR: _preprocessor_config(min_pixels, max_pixels),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as name:
        partial = Path(name)
        trained.save(str(partial / "tokenizer.json"))
        trained.model.save(name)  # vocab.json and merges.txt
        (partial / TEMPLATE).write_text(tokens.CHAT_TEMPLATE, encoding="utf-8")
        for file, value in files.items():
            _write_json(partial / file, value)
        for path in sorted(partial.iterdir()):
            path.replace(folder / path.name)
    return trained.get_vocab_size(with_added_tokens=True)


def missing_files(folder: Path) -> list[str]:
    """The text files that a folder needs beside config.json and lacks.

    transformers, vLLM and our own engine read them. A chat template may stand in a file of its
    own or in tokenizer_config.json. transformers takes the video processor's settings from
    preprocessor_config.json where video_preprocessor_config.json is absent.

    Args:
      folder: A Hugging Face folder, or the assets of a checkpoint.

    Raises:
      UserError: If tokenizer_config.json is not JSON.
    """
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    has_tokenizer = "tokenizer.json" in present or {"vocab.json", "merges.txt"} <= present
    missing = [] if has_tokenizer else [TOKENIZER]
    missing += [f for f in (TOKENIZER_CONFIG, GENERATION, PREPROCESSOR) if f not in present]
    has_template = {TEMPLATE, "chat_template.json"} & present
    if not has_template and not _read_tokenizer_config(folder).get("chat_template"):
        missing.append(TEMPLATE)
    return missing


def require_tokenizer(folder: Path) -> None:
    """Raises a UserError where a folder has no tokenizer, the one file nobody can write for it.

    Args:
      folder: A Hugging Face folder, or the assets of a checkpoint.
    """
    if TOKENIZER in missing_files(folder):
        raise errors.UserError(
            f"{folder} lacks {TOKENIZER}: copy it there from the folder of the base model"
        )


def complete(folder: Path) -> list[str]:
    """Writes what a folder lacks: sampling, processor and tokenizer settings, chat template.

    Nothing that is there is changed. Sampling is greedy, image sizes are the ones that we take
    for the folder ourselves, the template is what `messages.Encoder` does.

    Args:
      folder: A Hugging Face folder with its tokenizer.

    Returns:
      The names of the files written.

    Raises:
      UserError: If there is no tokenizer, or it lacks the special tokens.
    """
    require_tokenizer(folder)
    missing = missing_files(folder)
    lookup = tokenizer.load(folder).token_to_id
    tokens.SpecialIds.from_vocab(lookup)  # raises where one is missing that all of this needs
    found = {text: lookup(text) for text in tokens.SPECIAL_TOKENS}
    ids = {text: token_id for text, token_id in found.items() if token_id is not None}
    limits = processor.read_pixel_limits(folder)
    settings = {
        TOKENIZER_CONFIG: _tokenizer_config(ids),
        GENERATION: _generation_config(ids),
        PREPROCESSOR: _preprocessor_config(limits.smallest, limits.largest),
    }
    for name in missing:
        if name == TEMPLATE:
            (folder / name).write_text(tokens.CHAT_TEMPLATE, encoding="utf-8")
        else:
            _write_json(folder / name, settings[name])
    return missing


def train(corpus: Iterable[str], vocab_size: int) -> tokenizers.Tokenizer:
    """Qwen2's tokenizer with merges learned from a corpus.

    Args:
      corpus: Texts.
      vocab_size: As in `write_tokenizer`.

    Returns:
      The tokenizer, the added tokens included.
    """
    trained = tokenizers.Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFC()
    byte_level = {"add_prefix_space": False, "use_regex": False}
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(tokenizer.QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(**byte_level),
        ]
    )
    trained.decoder = decoders.ByteLevel()
    trained.post_processor = processors.ByteLevel(trim_offsets=False, **byte_level)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(corpus, trainer)
    for text in tokens.SPECIAL_TOKENS:
        special = text in tokens.CONTROL_TOKENS
        trained.add_tokens([tokenizers.AddedToken(text, normalized=False, special=special)])
    return trained


def _read_tokenizer_config(folder: Path) -> dict[str, Any]:
    path = folder / TOKENIZER_CONFIG
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise errors.UserError(f"{path} is not JSON: {error}") from error


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _added_token(text: str, **more: Any) -> dict[str, Any]:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {"content": text, **flags, **more}


def _tokenizer_config(ids: dict[str, int]) -> dict[str, Any]:
    added = {
        str(token_id): _added_token(text, special=text in tokens.CONTROL_TOKENS)
        for text, token_id in ids.items()
    }
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": list(tokens.CONTROL_TOKENS[1:]),
        "bos_token": None,
        "chat_template": tokens.CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": IM_END,
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": END_OF_TEXT,
        "processor_class": "Qwen2_5_VLProcessor",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def _special_tokens_map() -> dict[str, Any]:
    return {
        "additional_special_tokens": list(tokens.CONTROL_TOKENS[1:]),
        "eos_token": _added_token(IM_END),
        "pad_token": _added_token(END_OF_TEXT),
    }


def _generation_config(ids: dict[str, int]) -> dict[str, Any]:
    """Neutral sampling fields: engines that inherit them are not bent by a hidden penalty."""
    return {
        "bos_token_id": ids[END_OF_TEXT],
        "do_sample": False,
        "eos_token_id": [ids[IM_END], ids[END_OF_TEXT]],
        "pad_token_id": ids[END_OF_TEXT],
        "repetition_penalty": 1.0,
        "temperature": 1.0,
        "top_p": 1.0,
    }


def _preprocessor_config(min_pixels: int, max_pixels: int) -> dict[str, Any]:
    """The hub's layout; patch sizes are those of every released Qwen2.5-VL."""
    return {
        "min_pixels": min_pixels,
        "max_pixels": max_pixels,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": list(geometry.PIXEL_MEAN),
        "image_std": list(geometry.PIXEL_STD),
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
    }
