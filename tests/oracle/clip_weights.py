# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A folder laid out as BiomedCLIP's on the hub, with small random tensors.

Imported with torch and open_clip, so only where they are installed.
"""

import json
import pathlib

import open_clip
import tokenizers
import torch
import transformers
from safetensors import torch as safetensors_torch

# What the published config names; offline it cannot be looked up.
TOWER = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
TEXTS = ("a chest X-ray", "this is a photo of an MRI scan", "a figure that shows a CT scan")
_WORDS = 300
_MEAN, _STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def write(folder: pathlib.Path, *, safetensors: bool = False) -> pathlib.Path:
    """Writes the folder; the same tensors on each call.

    Args:
      folder: Made if it does not exist.
      safetensors: Whether the weights are such a file; torch's own otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(folder)
    transformers.BertConfig(
        vocab_size=_WORDS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        initializer_range=0.4,
    ).save_pretrained(folder)
    config = _config(str(folder))
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", pretrained_text=False)
    with torch.no_grad():  # as drawn, all pictures have nearly one vector
        for name, values in model.visual.named_parameters():
            if values.ndim > 1:
                values.mul_(3 if "blocks" in name else 1)
    tensors = {name: values.contiguous() for name, values in model.state_dict().items()}
    if safetensors:
        safetensors_torch.save_file(tensors, folder / "open_clip_model.safetensors")
    else:
        torch.save(tensors, folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps(_config(TOWER)))
    return folder


def local(folder: pathlib.Path, place: pathlib.Path) -> str:
    """The same for open_clip itself: a copy whose config names its own folder.

    Args:
      folder: From `write`.
      place: Of the copy.
    """
    place.mkdir()
    for file in folder.iterdir():
        if file.name != "open_clip_config.json":
            (place / file.name).symlink_to(file)
    (place / "open_clip_config.json").write_text(json.dumps(_config(str(place))))
    return f"local-dir:{place}"


def _config(tower: str) -> dict[str, object]:
    return {
        "model_cfg": {
            "embed_dim": 64,
            "vision_cfg": {
                "timm_model_name": "vit_tiny_patch16_224",
                "timm_model_pretrained": False,
                "timm_pool": "",
                "timm_proj": "linear",
                "image_size": 224,
            },
            "text_cfg": {
                "hf_model_name": tower,
                "hf_tokenizer_name": tower,
                "hf_proj_type": "mlp",
                "hf_pooler_type": "cls_last_hidden_state_pooler",
                "context_length": 256,
            },
        },
        "preprocess_cfg": {"mean": _MEAN, "std": _STD},
    }


def _write_tokenizer(folder: pathlib.Path) -> None:
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=_WORDS, special_tokens=special, show_progress=False
    )
    made.train_from_iterator(TEXTS, trainer)
    ends = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    made.save(str(folder / "tokenizer.json"))
    words = made.get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)) + "\n")
    names = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
    config = {f"{name}_token": token for name, token in names.items()}
    config |= {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
