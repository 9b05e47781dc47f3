# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Curation of the mixtures of the paper's stages (arXiv 2506.07044, Table 5).

    python -m data_tools.curate --config=configs/curation.py:FOLDER --output=DIR

FOLDER has the rows of each source in `<name>.jsonl`, the names being those of `mixtures.py`, format
`messages`. Sources that are not there are left out, and named in each mixture's manifest.

The paper does not say how much it takes of a source. Everything is taken here, but in stage 3 it
kept about 173K of a million medical text rows (Tables 5 and 10): set `shares` and `caps` of
`mixture.mixtures` once all sources are there. Stage 4 takes its questions from here as well, and
`configs/stage4_rl.py` says how they are balanced.
"""

from pathlib import Path

from configs import mixtures as paper
from data_tools import config, decontaminate, dedup_images, mixture, registry

# The order of trust: of equal texts that of the first source stays.
NAMES = tuple(dict.fromkeys((*paper.INSTRUCT, *paper.DEEP_ALIGN, *paper.SHALLOW_ALIGN)))
# 2.1.4: of instructions, pictures occur once in these alone.
ONCE = ("pubmedvision_instruct", "llava_med_en", "llava_med_zh")
# Its training and test split share pictures: only picture and question together count.
SHARED = ("vqa_rad",)
RL = tuple(name.removesuffix("_rl") for name in paper.RL)
KINDS = {
    "captions": "captions",
    "general_text": "text",
    "medical_text": "text",
    "reasoning": "text",
}
# Captions, although their group is another one.
CAPTIONS = ("synthetic_long_captions", "llava_1_5_captions", "pixmo")


def get_config(arg: str = "data") -> config.CurationConfig:
    """The curation of the sources that a folder has.

    Args:
      arg: The folder.
    """
    names = [name for name in (*NAMES, *RL) if (Path(arg) / f"{name}.jsonl").is_file()]
    found = [*dict.fromkeys(names)]
    return config.CurationConfig(
        sources=[source(name) for name in found],
        root=arg,
        dedup_images=dedup_images.Config(within=tuple(n for n in ONCE if n in found)),
        decontaminate=decontaminate.Config(pairs_only=tuple(n for n in SHARED if n in found)),
        mixture=mixture.Config(mixtures=stage_mixtures()),
    )


def source(name: str) -> config.CuratedSource:
    """A source of the paper.

    Args:
      name: As in `mixtures.py`.
    """
    group = paper.GROUP_OF.get(name, "medical_multimodal")
    kind = "captions" if name in CAPTIONS else KINDS.get(group, "instructions")
    entry = registry.of_mixture(name)
    return config.CuratedSource(
        name=name,
        path=f"{name}.jsonl",
        format="messages",
        group=group,
        kind=kind,
        publisher=entry.key if entry else "",
    )


def stage_mixtures() -> list[mixture.Mixture]:
    """The mixtures of the four stages, every source whole."""
    return [
        mixture.Mixture(name="shallow_align", shares=dict.fromkeys(paper.SHALLOW_ALIGN, 1.0)),
        mixture.Mixture(name="deep_align", shares=dict.fromkeys(paper.DEEP_ALIGN, 1.0)),
        mixture.Mixture(name="instruct", shares=dict.fromkeys(paper.INSTRUCT, 1.0)),
        mixture.Mixture(name="rl", shares=dict.fromkeys(RL, 1.0), needs_answer=True),
    ]
