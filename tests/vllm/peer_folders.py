# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Small random models of other architectures, in Transformers' own layout.

Run by the python of `.venv-vllm`, which has neither JAX nor our packages:

    python peer_folders.py llava FOLDER TEXT_FILE

Weights and configs are Transformers' own; the tokenizer is trained on the text file.
"""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

import tokenizers
import torch
import transformers
from safetensors import torch as safetensors_torch

WORDS = 400
SIDE, PATCH = 56, 14  # of pictures as the vision tower sees them
IMAGE_TOKENS = 4  # of the 16 patches, where the model joins them
SPREAD = 0.2  # of random weights: answers have no near-ties
BOS, EOS, PAD = "<s>", "</s>", "<pad>"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    given = parser.parse_args()
    torch.manual_seed(0)
    KINDS[given.kind](given.folder, given.text.read_text())


def write_llava(folder: pathlib.Path, text: str) -> None:
    """CLIP and Llama, as of llava-hf and the conversions of LLaVA-Med."""
    tokenizer = _tokenizer(text, {"image_token": "<image>"})
    vision = transformers.CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=64,
    )
    config = transformers.LlavaConfig(
        vision_config=vision,
        text_config=transformers.LlamaConfig(**_text_sizes(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    sizes = {"shortest_edge": SIDE}
    crop = {"height": SIDE, "width": SIDE}
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessor(size=sizes, crop_size=crop),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=TEMPLATE.replace("IMAGE", "<image>\n"),
    )
    # The names that llava-hf has published; Transformers 5 writes others.
    names = {
        "model.language_model.": "language_model.model.",
        "lm_head.": "language_model.lm_head.",
        "model.vision_tower.": "vision_tower.vision_model.",
        "model.multi_modal_projector.": "multi_modal_projector.",
    }
    _save(folder, transformers.LlavaForConditionalGeneration(config), processor, names)


def write_internvl(folder: pathlib.Path, text: str) -> None:
    """InternViT and Qwen2, as of the -hf repositories of OpenGVLab."""
    added = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = _tokenizer(text, added)
    vision = transformers.InternVLVisionConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=[SIDE, SIDE],
        patch_size=[PATCH, PATCH],
    )
    config = transformers.InternVLConfig(
        vision_config=vision,
        text_config=transformers.Qwen2Config(**_text_sizes(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=IMAGE_TOKENS,
        tie_word_embeddings=False,
    )
    processor = transformers.InternVLProcessor(
        image_processor=transformers.GotOcr2ImageProcessor(
            size={"height": SIDE, "width": SIDE}, crop_to_patches=True, min_patches=1, max_patches=2
        ),
        tokenizer=tokenizer,
        video_processor=transformers.InternVLVideoProcessor(size={"height": SIDE, "width": SIDE}),
        image_seq_length=IMAGE_TOKENS,
        chat_template=TEMPLATE.replace("IMAGE", "<IMG_CONTEXT>\n"),
    )
    _save(folder, transformers.InternVLForConditionalGeneration(config), processor, {})


def write_gemma3(folder: pathlib.Path, text: str) -> None:
    """SigLIP and Gemma 3, as of MedGemma."""
    added = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    # vLLM looks for runs of newlines, which Gemma's vocabulary has as tokens.
    lines = {f"lines{count}_token": "\n" * count for count in (1, 2, 3, 4)}
    tokenizer = _tokenizer(text, {**added, **lines})
    vision = transformers.SiglipVisionConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        vision_use_head=False,
    )
    first, last, image = tokenizer.convert_tokens_to_ids([*added.values()])
    config = transformers.Gemma3Config(
        vision_config=vision,
        text_config=transformers.Gemma3TextConfig(**_text_sizes(tokenizer), sliding_window=64),
        mm_tokens_per_image=IMAGE_TOKENS,
        boi_token_index=first,
        eoi_token_index=last,
        image_token_index=image,
    )
    processor = transformers.Gemma3Processor(
        image_processor=transformers.Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE}),
        tokenizer=tokenizer,
        image_seq_length=IMAGE_TOKENS,
        chat_template=TEMPLATE.replace("IMAGE", "<start_of_image>"),
    )
    # The names that Google has published.
    names = {
        "model.language_model.": "language_model.model.",
        "lm_head.": "language_model.lm_head.",
        "model.vision_tower.": "vision_tower.vision_model.",
        "model.multi_modal_projector.": "multi_modal_projector.",
    }
    model = transformers.Gemma3ForConditionalGeneration(config)
    # Scaled up by the model and tied to the output: larger, every answer repeats its last token.
    model.get_input_embeddings().weight.data *= 0.05
    # Zero as it is made: no picture would be seen.
    model.model.multi_modal_projector.mm_input_projection_weight.data.normal_(0, SPREAD)
    _save(folder, model, processor, names)


def _tokenizer(text: str, added: dict[str, str]) -> Any:
    """A byte-level tokenizer with the text's own merges, and tokens with names of their own."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=WORDS,
        special_tokens=[PAD, BOS, EOS, *added.values()],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([text], trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        extra_special_tokens=added,
        model_max_length=1024,
    )


def _text_sizes(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 1024,
        "initializer_range": SPREAD,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _save(folder: pathlib.Path, model: Any, processor: Any, names: dict[str, str]) -> None:
    """Config, tokenizer, processor, and the weights with other beginnings of their names."""
    folder.mkdir(parents=True)
    model.config.architectures = [type(model).__name__]
    model.config.dtype = "float32"
    model.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    ends = [model.config.text_config.eos_token_id]
    transformers.GenerationConfig(eos_token_id=ends).save_pretrained(folder)
    tensors: dict[str, Any] = {}
    tied = model.config.text_config.tie_word_embeddings
    for name, tensor in model.float().state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        old = next((start for start in names if name.startswith(start)), "")
        new = names.get(old, "") + name.removeprefix(old)
        tensors[new.replace("vision_model.vision_model.", "vision_model.")] = tensor.contiguous()
    safetensors_torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})


KINDS: dict[str, Callable[[pathlib.Path, str], None]] = {
    "llava": write_llava,
    "internvl": write_internvl,
    "gemma3": write_gemma3,
}

if __name__ == "__main__":
    main()
