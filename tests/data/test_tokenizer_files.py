# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The small folder's tokenizer is Qwen2's in everything but the merges."""

import json

import pytest
import tokenizers
import transformers

from lingshu_jax.common import errors, tokens
from lingshu_jax.data import messages, tokenizer_files

CORPUS = ["The left half is brighter.", "Is this an MR image?", "slice thickness 5 mm"] * 20
TRICKY = [
    "It's 1234 mm,  two\n\n blanks\t",
    "e\u0301 = \u00e9, 肺部, 😀",
    "<think>a</think> <answer>B</answer>",
    "",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("hf")
    size = tokenizer_files.write_tokenizer(path, CORPUS, 300, min_pixels=3136, max_pixels=28224)
    assert size == 322
    return path


def test_added_tokens_follow_the_vocabulary_in_the_real_order(folder):
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert [tokenizer.id_to_token(i) for i in range(300, 322)] == list(tokens.SPECIAL_TOKENS)
    added = json.loads((folder / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    special = [value["content"] for value in added.values() if value["special"]]
    assert special == list(tokens.CONTROL_TOKENS) and len(added) == 22


def test_same_pipeline_as_the_real_tokenizer(folder, shared_dir):
    real = transformers.Qwen2Tokenizer(
        *(str(shared_dir / "data" / "tokenizer_qwen2" / n) for n in ("vocab.json", "merges.txt"))
    )
    theirs = json.loads(real.backend_tokenizer.to_str())
    ours = json.loads((folder / "tokenizer.json").read_text())
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        assert ours[part] == theirs[part]


@pytest.mark.parametrize("text", TRICKY)
def test_transformers_encodes_and_decodes_alike(folder, text):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = ours.encode(text).ids
    assert theirs(text)["input_ids"] == ids
    assert theirs.decode(ids) == text.replace("e\u0301", "\u00e9") == ours.decode(ids)


def test_digits_stand_alone_and_no_blank_is_put_in_front(folder):
    ours = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert ours.encode("1234").tokens == list("1234")
    assert not ours.encode("The").tokens[0].startswith("\u0120")


def test_our_encoder_and_the_template_agree(folder):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    encoder = messages.Encoder(folder, min_pixels=3136, max_pixels=28224)
    turns = [{"role": "user", "content": "Is this an MR image?"}]
    ours = encoder.encode(turns, train=False, generation_prompt=True).tokens.tolist()
    text = theirs.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert theirs(text)["input_ids"] == ours
    assert encoder.eos_ids == (302, 300) and encoder.vocab_size == 322


def test_template_stands_in_both_places(folder):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert config["chat_template"] == tokens.CHAT_TEMPLATE
    assert (folder / "chat_template.jinja").read_text() == tokens.CHAT_TEMPLATE


def test_processor_and_generation_files(folder):
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    assert (processor["min_pixels"], processor["max_pixels"]) == (3136, 28224)
    generation = transformers.GenerationConfig.from_pretrained(folder)
    assert (generation.eos_token_id, generation.pad_token_id) == ([302, 300], 300)
    assert not generation.do_sample and generation.repetition_penalty == 1.0


def test_a_small_corpus_gives_a_smaller_vocabulary(tmp_path):
    assert tokenizer_files.write_tokenizer(tmp_path, (), 1000) == 256 + 22


def test_training_is_repeatable_and_other_files_stay(folder, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    tokenizer_files.write_tokenizer(tmp_path, CORPUS, 300)
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {path.name for path in folder.iterdir()} | {"config.json"}


def test_bad_sizes_are_refused_and_leave_nothing(tmp_path):
    with pytest.raises(errors.UserError, match="vocab_size must be >= 256, got 10"):
        tokenizer_files.write_tokenizer(tmp_path / "a", CORPUS, 10)
    with pytest.raises(errors.UserError, match="0 < min <= max, got 9, 3"):
        tokenizer_files.write_tokenizer(tmp_path / "a", CORPUS, 300, min_pixels=9, max_pixels=3)
    assert not (tmp_path / "a").exists()
