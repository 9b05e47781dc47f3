# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""What each part of the data is worth: the paper's nine variants and four fractions.

    python -m lingshu_jax.ablation --config=configs/ablation.py:7b --workdir=DIR \
        --config.root=DATA --config.evaluation.data_dir=BENCHMARKS

Paper (arXiv 2506.07044, Table 10 and Figure 10): the 7B model without one part of the data after
another; the numbers of rows left out and all scores below are printed there. A fraction is of
every source of stage 3; the figure prints no numbers. Stage 4 has no part in either.

Epochs are kept, so a variant that reads less takes fewer steps, as in the paper. Twelve runs of
stage 3 are twelve times its cost and, for 7B, twelve times its checkpoints (100 GB each with the
optimizer's moments) and exports (33 GB).

`:tiny` has two parts, questions and captions of the demo, so most variants are not applicable
there and are said to be; its others take about six minutes on 2 CPU cores. It shows that the
whole line works, not what the data is worth. The other sizes have not been run here.
"""

from configs import recipe as recipe_config
from lingshu_jax import ablation
from lingshu_jax.data import sources
from lingshu_jax.stages import config

# Table 10, in percent; the last column is the mean over these seven.
BENCHMARKS = (
    "mmmu_medical",
    "vqa_rad",
    "slake",
    "path_vqa",
    "pmc_vqa",
    "omni_med_vqa",
    "medxpertqa",
)


def _printed(*scores: float) -> dict[str, float]:
    return dict(zip((*BENCHMARKS, "mean"), scores, strict=True))


VARIANTS = (
    ablation.Variant(
        name="full", published=_printed(54.0, 67.9, 83.1, 61.9, 56.3, 82.9, 26.7, 61.8)
    ),
    ablation.Variant(  # 2.7M rows; the synthetic ones are among them
        name="no_medical_multimodal",
        without=("medical_multimodal", "synthetic"),
        published=_printed(54.1, 66.5, 69.0, 45.2, 56.2, 78.0, 25.6, 56.4),
    ),
    ablation.Variant(  # 1.2M
        name="no_general_multimodal",
        without=("general_multimodal",),
        published=_printed(51.4, 66.7, 83.6, 62.1, 54.5, 81.3, 26.0, 60.8),
    ),
    ablation.Variant(  # 1.0M
        name="no_general_text",
        without=("general_text",),
        published=_printed(53.3, 65.2, 83.6, 61.4, 55.5, 81.3, 25.9, 60.9),
    ),
    ablation.Variant(  # 173K; the reasoning ones are among them
        name="no_medical_text",
        without=("medical_text", "reasoning"),
        published=_printed(50.9, 66.7, 82.4, 60.2, 54.8, 82.0, 24.0, 60.1),
    ),
    ablation.Variant(  # 2.0M
        name="no_captions_in_stage_3",
        without=("captions",),
        published=_printed(52.9, 66.3, 82.7, 61.7, 54.1, 81.4, 26.8, 60.8),
    ),
    ablation.Variant(  # 4.8M medical captions; both stages are left out
        name="no_stages_1_and_2",
        skip_stages=("shallow_align", "deep_align"),
        published=_printed(53.8, 67.4, 83.3, 60.6, 54.9, 81.5, 26.7, 61.2),
    ),
    ablation.Variant(  # 1.1M
        name="no_synthetic_multimodal",
        without=("synthetic",),
        published=_printed(52.1, 67.4, 81.6, 60.1, 56.5, 71.6, 26.1, 59.3),
    ),
    ablation.Variant(  # 162K
        name="no_medical_reasoning_text",
        without=("reasoning",),
        published=_printed(52.6, 66.3, 83.6, 61.1, 53.6, 81.6, 25.3, 60.6),
    ),
    # The fourth fraction is the full variant.
    ablation.Variant(name="fraction_25", fraction=0.25),
    ablation.Variant(name="fraction_50", fraction=0.5),
    ablation.Variant(name="fraction_75", fraction=0.75),
)


def get_config(arg: str = "7b") -> ablation.AblationConfig:
    """The ablation for `tiny`, `3b`, `7b`, `32b` or `72b`."""
    chosen = recipe_config.get_config(arg)
    made = ablation.AblationConfig(
        hf=chosen.hf,
        root=chosen.root,
        shallow_align=chosen.shallow_align,
        deep_align=chosen.deep_align,
        instruct=chosen.instruct,
        evaluation=chosen.evaluation,
        variants=VARIANTS,
    )
    return _shorten(made) if arg == config.TINY else made


def _shorten(tiny: ablation.AblationConfig) -> ablation.AblationConfig:
    """Steps that end in minutes, and captions as a second part of stage 3."""
    tiny.instruct.data.sources = (
        sources.Source(name="instruct", path="instruct.jsonl", group="medical_multimodal"),
        sources.Source(name="captions", path="captions.jsonl", limit=300, group="captions"),
    )
    for stage in (tiny.shallow_align, tiny.deep_align):
        stage.steps, stage.save_every_steps = 60, 30
    tiny.instruct.steps, tiny.instruct.save_every_steps = 120, 60
    tiny.evaluation.prompt = "direct"
    tiny.evaluation.max_new_tokens = 16
    return tiny
