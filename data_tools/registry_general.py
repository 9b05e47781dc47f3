# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Sources of the general domain that the paper names (its section 2.1.3)."""

from data_tools import registry_entry

_LLAVA = (
    "Liu et al., Improved Baselines with Visual Instruction Tuning, CVPR 2024, arXiv 2310.03744"
)
_HUB = "https://huggingface.co/datasets/"
_MIX = "the LLaVA-1.5 instructions, llava_v1_5_mix665k.json,"
ENTRIES = (
    registry_entry.Entry(
        key="llava_1_5_captions",
        title="LLaVA-1.5 captions",
        about="558,128 pictures of LAION, CC and SBU with captions",
        paper="LLaVA-1.5 captions",
        table="general",
        repository="liuhaotian/LLaVA-Pretrain",
        address=f"{_HUB}liuhaotian/LLaVA-Pretrain",
        licence="other (the hub's tag): that of each picture's origin",
        citation=_LLAVA,
        files=("blip_laion_cc_sbu_558k.json", "images.zip"),
        format="llava_1_5_captions",
        kind="captions",
        group="general_multimodal",
        schema="the hub's tree liuhaotian/LLaVA-Pretrain@70f9d1e; LLaVA's json",
    ),
    registry_entry.Entry(
        key="pixmo",
        title="PixMo-Cap",
        about="pictures of the web with long captions of what people said of them",
        paper="PixMo",
        table="general",
        repository="allenai/pixmo-cap",
        address=f"{_HUB}allenai/pixmo-cap",
        licence="ODC-BY-1.0",
        terms="open; pictures are named by their web addresses and belong to others",
        citation=(
            "Deitke et al., Molmo and PixMo: Open Weights and Open Data for State-of-the-Art"
            " Vision-Language Models, 2024, arXiv 2409.17146"
        ),
        files=("data/train-*.parquet",),
        format="pixmo",
        kind="captions",
        group="general_multimodal",
        schema="the hub's tree allenai/pixmo-cap (image_url, caption, transcripts)",
        unchecked="which subset of PixMo the paper took, and how fetched pictures are named",
    ),
    registry_entry.Entry(
        key="llava_1_5_text",
        title="LLaVA-1.5 instructions, text",
        about=f"{_MIX} without pictures",
        paper="LLaVA-1.5 text subset",
        table="general",
        repository="liuhaotian/LLaVA-Instruct-150K",
        address=f"{_HUB}liuhaotian/LLaVA-Instruct-150K",
        licence="CC-BY-4.0",
        citation=_LLAVA,
        files=("llava_v1_5_mix665k.json",),
        format="llava_1_5_text",
        kind="text",
        group="general_text",
        schema="the hub's tree liuhaotian/LLaVA-Instruct-150K@9d451dc; LLaVA's json",
    ),
    registry_entry.Entry(
        key="llava_1_5_multimodal",
        title="LLaVA-1.5 instructions, with pictures",
        about=f"{_MIX} with pictures of COCO, GQA, OCR-VQA, TextVQA, Visual Genome",
        paper="LLaVA-1.5 multimodal subset",
        table="general",
        repository="liuhaotian/LLaVA-Instruct-150K",
        address=f"{_HUB}liuhaotian/LLaVA-Instruct-150K",
        licence="CC-BY-4.0",
        terms="open; pictures come from their own publishers",
        citation=_LLAVA,
        files=("llava_v1_5_mix665k.json",),
        format="llava_1_5_multimodal",
        kind="instructions",
        group="general_multimodal",
        schema="the hub's tree liuhaotian/LLaVA-Instruct-150K@9d451dc; LLaVA's json",
    ),
    registry_entry.Entry(
        key="openhermes_2_5",
        title="OpenHermes 2.5",
        about="1,001,551 instructions by language models",
        paper="OpenHermes-2.5",
        table="general",
        repository="teknium/OpenHermes-2.5",
        address=f"{_HUB}teknium/OpenHermes-2.5",
        licence=registry_entry.NOT_STATED,
        citation=(
            "Teknium, OpenHermes 2.5: An Open Dataset of Synthetic Data for Generalist LLM"
            " Assistants, Hugging Face, 2023"
        ),
        files=("openhermes2_5.json",),
        format="llava",
        kind="text",
        group="general_text",
        schema="the hub's tree teknium/OpenHermes-2.5@58cdb37 (conversations of from and value)",
    ),
    registry_entry.Entry(
        key="allava",
        title="ALLaVA-4V",
        about="1.4 million captions and instructions by GPT-4V about pictures of the web",
        paper="ALLaVA",
        table="general",
        repository="FreedomIntelligence/ALLaVA-4V",
        address=f"{_HUB}FreedomIntelligence/ALLaVA-4V",
        licence="Apache-2.0",
        citation=(
            "Chen et al., ALLaVA: Harnessing GPT4V-Synthesized Data for Lite Vision-Language"
            " Models, 2024, arXiv 2402.11684"
        ),
        files=("allava_laion/*.json", "allava_vflan/*.json", "allava_text/*.json"),
        format="allava",
        kind="instructions",
        group="general_multimodal",
        schema="FreedomIntelligence/ALLaVA@028446d README.md",
        unchecked="licence: the data card was not at hand",
    ),
)
