# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The small folder's tokenizer is Qwen2's in everything but the merges."""

import filecmp
import json
import shutil

import pytest
import tokenizers
import transformers

from lingshu_jax.common import errors, tokens
from lingshu_jax.data import messages, tokenizer, tokenizer_files

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


def test_a_tokenizer_that_there_is_keeps_its_ids(folder, tmp_path):
    there = tokenizer.load(folder)
    assert tokenizer_files.write_tokenizer(tmp_path, there, 256) == there.get_vocab_size()
    assert tokenizer.load(tmp_path).get_vocab() == there.get_vocab()
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in folder.iterdir()}


def test_bad_sizes_are_refused_and_leave_nothing(tmp_path):
    with pytest.raises(errors.UserError, match="vocab_size must be >= 256, got 10"):
        tokenizer_files.write_tokenizer(tmp_path / "a", CORPUS, 10)
    with pytest.raises(errors.UserError, match="0 < min <= max, got 9, 3"):
        tokenizer_files.write_tokenizer(tmp_path / "a", CORPUS, 300, min_pixels=9, max_pixels=3)
    assert not (tmp_path / "a").exists()


WRITTEN = ("tokenizer_config.json", "generation_config.json", "preprocessor_config.json")
TEMPLATE = "chat_template.jinja"


@pytest.fixture
def bare(folder, tmp_path):
    """A folder with nothing but a tokenizer."""
    shutil.copy(folder / "tokenizer.json", tmp_path)
    return tmp_path


def test_a_whole_folder_lacks_nothing(folder, tmp_path):
    assert tokenizer_files.missing_files(folder) == []
    copied = shutil.copytree(folder, tmp_path / "copy")
    assert tokenizer_files.complete(copied) == []
    assert not filecmp.dircmp(folder, copied).diff_files


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_missing_is_written_again(name, folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copy")
    (copied / name).unlink()
    assert tokenizer_files.missing_files(copied) == [name]
    assert tokenizer_files.complete(copied) == [name]
    if name != "preprocessor_config.json":  # what sizes there were is not known any more
        assert (copied / name).read_bytes() == (folder / name).read_bytes()
    assert tokenizer_files.missing_files(copied) == []


def test_a_tokenizer_alone_becomes_a_folder(folder, bare):
    assert tokenizer_files.missing_files(bare) == [*WRITTEN, TEMPLATE]
    assert tokenizer_files.complete(bare) == [*WRITTEN, TEMPLATE]
    for name in (*WRITTEN[:2], TEMPLATE):
        assert (bare / name).read_bytes() == (folder / name).read_bytes(), name
    limits = json.loads((bare / "preprocessor_config.json").read_text())
    assert (limits["min_pixels"], limits["max_pixels"]) == (3136, 12845056)
    assert {path.name for path in bare.iterdir()} == {"tokenizer.json", *WRITTEN, TEMPLATE}
    theirs = transformers.AutoTokenizer.from_pretrained(bare)
    turns = [{"role": "user", "content": "Is this an MR image?"}]
    text = theirs.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    encoder = messages.Encoder(bare, min_pixels=3136, max_pixels=28224)
    ours = encoder.encode(turns, train=False, generation_prompt=True).tokens.tolist()
    assert theirs(text)["input_ids"] == ours


def test_vocabulary_and_merges_are_a_tokenizer(folder, tmp_path):
    for name in ("vocab.json", "merges.txt"):
        assert tokenizer_files.TOKENIZER in tokenizer_files.missing_files(tmp_path)
        shutil.copy(folder / name, tmp_path)
    assert tokenizer_files.missing_files(tmp_path) == [*WRITTEN, TEMPLATE]
    # In the folder itself the added tokens stand in vocab.json too; Qwen2's own has them not.
    words = json.loads((tmp_path / "vocab.json").read_text())
    kept = {word: i for word, i in words.items() if word not in tokens.SPECIAL_TOKENS}
    (tmp_path / "vocab.json").write_text(json.dumps(kept))
    tokenizer_files.complete(tmp_path)
    assert (tmp_path / WRITTEN[0]).read_bytes() == (folder / WRITTEN[0]).read_bytes()


@pytest.mark.parametrize("where", ["tokenizer_config.json", "chat_template.json"])
def test_a_template_may_stand_elsewhere(where, bare):
    (bare / where).write_text(json.dumps({"chat_template": "{{ messages }}"}))
    assert TEMPLATE not in tokenizer_files.missing_files(bare)
    tokenizer_files.complete(bare)
    assert not (bare / TEMPLATE).exists()
    assert json.loads((bare / where).read_text()) == {"chat_template": "{{ messages }}"}


def test_image_sizes_saved_by_transformers_5_are_kept(bare):
    nested = {"size": {"shortest_edge": 784, "longest_edge": 7840}}
    (bare / "processor_config.json").write_text(json.dumps({"image_processor": nested}))
    tokenizer_files.complete(bare)
    written = json.loads((bare / "preprocessor_config.json").read_text())
    assert (written["min_pixels"], written["max_pixels"]) == (784, 7840)


def test_without_a_tokenizer_nothing_is_written(tmp_path):
    named = r"lacks tokenizer.json \(or vocab.json and merges.txt\): copy it there"
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(errors.UserError, match=named):
            tokenizer_files.complete(folder)
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_of_another_kind_is_refused(tmp_path):
    other = tokenizers.Tokenizer(tokenizers.models.BPE())
    other.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(errors.UserError, match="lacks the special tokens"):
        tokenizer_files.complete(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_a_broken_tokenizer_config_is_named(bare):
    (bare / "tokenizer_config.json").write_text("{")
    with pytest.raises(errors.UserError, match="tokenizer_config.json is not JSON"):
        tokenizer_files.missing_files(bare)
