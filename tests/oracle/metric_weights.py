# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A folder of weights for the report metrics: the published layouts, small random tensors.

    python tests/oracle/metric_weights.py FOLDER

Imported with torch, so only where that is installed.
"""

import io
import json
import pathlib
import sys
import tarfile
from typing import Any

import tokenizers
import torch
import transformers

TEXTS = (
    "Heart size is normal. No pleural effusion or pneumothorax.",
    "Mild pulmonary edema with small bilateral effusions. Stable cardiomegaly!",
    "Right lower lobe consolidation, 2.5 cm, suggests pneumonia (see prior CT).",
    "1. Lines and tubes are in place. 2. No acute process.",
)
FINDING_HEADS = (4,) * 13 + (2,)
NER_LABELS = ("", "ANAT-DP", "OBS-DP", "OBS-U", "OBS-DA")
RELATION_LABELS = ("modify", "located_at", "suggestive_of")
TYPES = ("ABNORMALITY", "NON-ABNORMALITY", "DISEASE", "NON-DISEASE", "ANATOMY")
PUBMEDBERT = "BiomedNLP-PubMedBERT-base-uncased-abstract-fulltext"
SIZES = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    # Far from 0, so that random models tell texts apart.
    "initializer_range": 0.4,
}
_SPREAD = 1.5  # of the heads' weights
_FEATURES, _MAX_WIDTH, _HIDDEN = 6, 4, 8


def write(folder: pathlib.Path, *, encoder_name: str = f"microsoft/{PUBMEDBERT}") -> pathlib.Path:
    """Writes every item of the layout; the same tensors on each call.

    Args:
      folder: Made if it does not exist.
      encoder_name: What RadGraph's archive calls its encoder.
    """
    torch.manual_seed(0)
    transformers.logging.disable_progress_bar()
    write_roberta(folder / "distilroberta-base")
    bert = write_bert(folder / "bert-base-uncased")
    write_chexbert(folder / "chexbert.pth", bert)
    bert = write_bert(folder / PUBMEDBERT)
    write_radgraph(folder / "radgraph.tar.gz", bert, encoder_name)
    write_deberta(folder / "RaTE-NER-Deberta")
    write_mpnet(folder / "BioLORD-2023-C")
    return folder


def write_roberta(folder: pathlib.Path) -> None:
    """As published: with the head of its pretraining and without a pooler."""
    folder.mkdir(parents=True)
    words = tokenizers.ByteLevelBPETokenizer()
    marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words.train_from_iterator(TEXTS, vocab_size=330, special_tokens=marks, show_progress=False)
    words.save_model(str(folder))
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "RobertaTokenizer", "model_max_length": 512},
    )
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    config = transformers.RobertaConfig(
        vocab_size=words.get_vocab_size(),
        num_hidden_layers=6,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        **SIZES,
    )
    transformers.RobertaForMaskedLM(config).save_pretrained(folder)


def write_bert(folder: pathlib.Path) -> Any:
    """Configuration and tokenizer, no weights; returns the configuration."""
    folder.mkdir(parents=True)
    vocabulary = write_wordpieces(folder, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    write_json(folder / "tokenizer_config.json", {"do_lower_case": True, "model_max_length": 512})
    config = transformers.BertConfig(vocab_size=vocabulary, num_hidden_layers=2, **SIZES)
    config.save_pretrained(folder)
    return config


def write_chexbert(file: pathlib.Path, config: Any) -> None:
    """As trained on several devices, by an old release that stored the positions too."""
    tensors = {f"bert.{name}": t for name, t in transformers.BertModel(config).state_dict().items()}
    tensors["bert.embeddings.position_ids"] = torch.arange(512)[None]
    for i, classes in enumerate(FINDING_HEADS):
        tensors |= linear(f"linear_heads.{i}", config.hidden_size, classes)
    tensors = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save({"epoch": 3, "model_state_dict": tensors, "optimizer_state_dict": {}}, file)


def write_radgraph(file: pathlib.Path, config: Any, encoder_name: str) -> None:
    """AllenNLP's archive, with the heads that nothing here uses."""
    bert = transformers.BertModel(config).state_dict()
    prefix = "_embedder.token_embedder_bert._matched_embedder.transformer_model"
    tensors = {f"{prefix}.{name}": tensor for name, tensor in bert.items()}
    name = "_endpoint_span_extractor._span_width_embedding.weight"
    tensors[name] = torch.randn(_MAX_WIDTH, _FEATURES)
    span = 2 * config.hidden_size + _FEATURES
    ner, relations = "radgraph__ner_labels", "radgraph__relation_labels"
    heads = (
        (f"_ner._ner_scorers.{ner}.0._module", f"_ner._ner_scorers.{ner}.1._module", span, 4),
        (
            f"_relation._mention_pruners.{relations}._scorer.0._module",
            f"_relation._mention_pruners.{relations}._scorer.1._module",
            span,
            1,
        ),
        (
            f"_relation._relation_feedforwards.{relations}",
            f"_relation._relation_scorers.{relations}",
            3 * span,
            3,
        ),
        ("_coref._antecedent_feedforward._module", "_coref._antecedent_scorer._module", 9, 1),
    )
    for stem, last, inputs, outputs in heads:
        tensors |= linear(f"{stem}._linear_layers.0", inputs, _HIDDEN)
        tensors |= linear(f"{stem}._linear_layers.1", _HIDDEN, _HIDDEN)
        tensors |= linear(last, _HIDDEN, outputs)
    weights = io.BytesIO()
    torch.save(tensors, weights)
    write_archive(
        file,
        {
            "./config.json": json.dumps(radgraph_config(encoder_name)).encode(),
            "./vocabulary/non_padded_namespaces.txt": b"*tags\n*labels\n",
            f"./vocabulary/{ner}.txt": "\n".join([*NER_LABELS, ""]).encode(),
            f"./vocabulary/{relations}.txt": "\n".join([*RELATION_LABELS, ""]).encode(),
            "./weights.th": weights.getvalue(),
        },
    )


def radgraph_config(encoder_name: str) -> dict[str, Any]:
    """Of the archive; only some of it is read."""
    indexer = {"type": "pretrained_transformer_mismatched", "model_name": encoder_name}
    indexer["max_length"] = 512
    events = {"trigger_spans_per_word": 0.3, "argument_spans_per_word": 0.8}
    events["loss_weights"] = {"trigger": 0.2, "arguments": 1.0}
    return {
        "dataset_reader": {
            "type": "dygie",
            "max_span_width": _MAX_WIDTH,
            "token_indexers": {"bert": indexer},
        },
        "model": {
            "type": "dygie",
            "embedder": {"token_embedders": {"bert": indexer}},
            "initializer": {},
            "module_initializer": {},
            "feature_size": _FEATURES,
            "max_span_width": _MAX_WIDTH,
            "target_task": "relation",
            "feedforward_params": {"num_layers": 2, "hidden_dims": _HIDDEN, "dropout": 0.4},
            "loss_weights": {"ner": 0.2, "relation": 1.0, "coref": 0.0, "events": 0.0},
            "modules": {
                "coref": {"spans_per_word": 0.3, "max_antecedents": 100, "coref_prop": 0},
                "ner": {},
                "relation": {"spans_per_word": 0.5},
                "events": events,
            },
        },
    }


def write_archive(file: pathlib.Path, members: dict[str, bytes]) -> None:
    """A .tar.gz of some files."""
    with tarfile.open(file, "w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_deberta(folder: pathlib.Path) -> None:
    """A tagger with the labels of RaTE-NER."""
    folder.mkdir(parents=True)
    marks = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    words = tokenizers.Tokenizer(tokenizers.models.Unigram())
    words.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    words.decoder = tokenizers.decoders.Metaspace()
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=120, special_tokens=marks, unk_token="[UNK]", show_progress=False
    )
    words.train_from_iterator(TEXTS, trainer)
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    words.save(str(folder / "tokenizer.json"))
    names = {f"{key}_token": f"[{key.upper()}]" for key in ("pad", "cls", "sep", "unk", "mask")}
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "DebertaV2Tokenizer", "model_max_length": 512, **names},
    )
    labels = ["O", *(f"{mark}-{kind}" for kind in TYPES for mark in "BI")]
    config = transformers.DebertaV2Config(
        vocab_size=words.get_vocab_size(),
        num_hidden_layers=2,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        relative_attention=True,
        position_buckets=16,
        pos_att_type=["p2c", "c2p"],
        **SIZES,
    )
    tagger = transformers.DebertaV2ForTokenClassification(config).eval()
    # Every label as often as another, for a random head prefers a few.
    loaded = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        scores = [tagger(**loaded(text, return_tensors="pt")).logits[0] for text in TEXTS]
        scores = torch.cat(scores)
        tagger.classifier.weight /= scores.std(0)[:, None]
        tagger.classifier.bias.copy_(-scores.mean(0) / scores.std(0))
    tagger.save_pretrained(folder)


def write_mpnet(folder: pathlib.Path) -> None:
    """An encoder of phrases."""
    folder.mkdir(parents=True)
    size = write_wordpieces(folder, ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"])
    marks = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>"}
    names = {f"{key}_token": mark for key, mark in {**marks, "mask": "<mask>"}.items()}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "MPNetTokenizer", **names})
    config = transformers.MPNetConfig(
        vocab_size=size, num_hidden_layers=2, max_position_embeddings=514, pad_token_id=1, **SIZES
    )
    transformers.MPNetModel(config).save_pretrained(folder)


def write_wordpieces(folder: pathlib.Path, marks: list[str]) -> int:
    """vocab.txt of single letters, digits, marks and some words; returns how many."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = [*marks, *letters, *".,:!?()-/", *(f"##{letter}" for letter in letters)]
    pieces += ["heart", "size", "no", "effusion", "##al", "##ing", "normal", "edema"]
    (folder / "vocab.txt").write_text("\n".join([*pieces, ""]))
    return len(pieces)


def linear(name: str, inputs: int, outputs: int) -> dict[str, torch.Tensor]:
    """Tensors of a layer."""
    weight = torch.randn(outputs, inputs) * (_SPREAD / inputs**0.5)
    return {f"{name}.weight": weight, f"{name}.bias": torch.randn(outputs) * 0.5}


def write_json(file: pathlib.Path, value: Any) -> None:
    """A small JSON file."""
    file.write_text(json.dumps(value, indent=2))


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
