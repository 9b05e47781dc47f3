# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Data sources of the paper's stages (arXiv 2506.07044, Tables 1, 2 and 5).

The paper names the sets but not how many rows of each it took. A source here is a JSONL file
of `messages` rows under the data root, named after its set, and of the group that an ablation
leaves it out by (`--config.data.without=synthetic`).
"""

from lingshu_jax.data import sources

SHALLOW_ALIGN = ("pmc_oa", "roco")
_MEDICAL_CAPTIONS = (
    "rocov2",
    "llava_med_alignment",
    "quilt_llava_pretrain",
    "pubmedvision_alignment",
    "mimic_cxr_findings",
    "fairvlmed",
    "medicat",
    "medpix_2",
)
DEEP_ALIGN = (*_MEDICAL_CAPTIONS, "synthetic_long_captions", "llava_1_5_captions", "pixmo")
INSTRUCT = (
    "path_vqa",
    "pmc_vqa",
    "slake",
    "quilt_llava_instruct",
    "vqa_med_2019",
    "mimic_ext_mimic_cxr_vqa",
    "pubmedvision_instruct",
    "llava_med_en",
    "llava_med_zh",
    "vqa_rad",
    "chexpert_plus",
    "mimic_cxr",
    "rocov2",
    "pubmedvision_alignment",  # this, rocov2 and the next: captions against local view bias
    "mimic_cxr_findings",
    "iu_xray",
    "synthetic_vqa",
    "synthetic_ocr",
    "synthetic_reasoning",
    "llava_1_5_multimodal",
    "allava",
    "medquad",
    "medical_o1_verifiable_problem",
    "medical_o1_reasoning_sft",
    "apollo_corpus",
    "medical_r1_distill",
    "alpacare",
    "healthcaremagic_rewritten",
    "icliniq_rewritten",
    "pmc_llama",
    "huatuogpt2_gpt4",
    "medreason",
    "medthoughts_8k",
    "medqa",
    "synthetic_text_reasoning",
    "llava_1_5_text",
    "openhermes_2_5",
)
RL = (
    "mimic_ext_mimic_cxr_vqa_rl",
    "pmc_vqa_rl",
    "kvasir_vqa_rl",
    "path_vqa_rl",
    "slake_rl",
    "vqa_med_2019_rl",
    "vqa_rad_rl",
    "synthetic_vqa_rl",
)


# What is not listed is of medical_multimodal.
GROUPS = {
    "captions": (*SHALLOW_ALIGN, *_MEDICAL_CAPTIONS),
    "general_multimodal": ("llava_1_5_captions", "pixmo", "llava_1_5_multimodal", "allava"),
    "general_text": ("llava_1_5_text", "openhermes_2_5"),
    "medical_text": (
        "medquad",
        "medical_o1_verifiable_problem",
        "apollo_corpus",
        "alpacare",
        "healthcaremagic_rewritten",
        "icliniq_rewritten",
        "pmc_llama",
        "huatuogpt2_gpt4",
        "medqa",
    ),
    "reasoning": (  # text alone: what an ablation of the paper calls medical CoT text
        "synthetic_text_reasoning",
        "medical_o1_reasoning_sft",
        "medical_r1_distill",
        "medreason",
        "medthoughts_8k",
    ),
    "synthetic": (
        "synthetic_long_captions",
        "synthetic_vqa",
        "synthetic_ocr",
        "synthetic_reasoning",
        "synthetic_vqa_rl",
    ),
}
GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}


def files(names: tuple[str, ...]) -> tuple[sources.Source, ...]:
    """One source a name, its rows in `<name>.jsonl` under the data root."""
    return tuple(
        sources.Source(
            name=name, path=f"{name}.jsonl", group=GROUP_OF.get(name, "medical_multimodal")
        )
        for name in names
    )
