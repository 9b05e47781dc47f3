# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Stages 1 to 3 from random weights on small public data; `benchmarks/real_run.py` runs it.

    PYTHONPATH=. python benchmarks/real_run.py --data=DIR --size=small --workdir=DIR

It checks the whole line on real data and measures what each part of the data is worth to such a
model. A model of this size that has read a few thousand rows is no medical model.

`:small` has 4,469,696 parameters and a vocabulary of 8,192 learned tokens: about 40 minutes on 2
CPU cores with its ablation. `:base` has 74,296,128, tied to the real vocabulary of 151,936, and is
meant for ten minutes on one GPU.

Chosen here, not in the paper: the rates, which suit random weights and not published ones; passes
over the data; every sequence weighs the same in stage 3 too, because the answers of VQA-RAD have
three tokens and would drown among the hundred of MedQuAD's.
"""

import dataclasses

from lingshu_jax import ablation, recipe
from lingshu_jax.common import errors
from lingshu_jax.data import sources
from lingshu_jax.stages import config, optim_config

SIZES = ("small", "base")
CAPTIONS = ("captions", "vqa_rad_captions")
TEXTS = ("medquad", "mts_dialog", "medqa")
BENCHMARKS = "vqa_rad,medqa_held_out"

VARIANTS = (
    ablation.Variant(name="full"),
    ablation.Variant(name="no_captions_in_stage_3", without=("captions",)),
    ablation.Variant(name="no_stages_1_and_2", skip_stages=("shallow_align", "deep_align")),
    ablation.Variant(name="no_medical_text", without=("medical_text",)),
    ablation.Variant(name="no_medical_multimodal", without=("medical_multimodal",)),
    ablation.Variant(name="fraction_25", fraction=0.25),
    ablation.Variant(name="fraction_50", fraction=0.5),
)


@dataclasses.dataclass(kw_only=True)
class RealRunConfig:
    """A run and its ablation; folders are filled in where it is run.

    Attributes:
      size: Name in `models/sizes.py`.
      chain: Stages 1 to 3 and the questions asked of the last.
      ablation: The same stages 1 and 2 with a shorter stage 3, again and again; None for none.
    """

    size: str
    chain: recipe.ChainConfig
    ablation: ablation.AblationConfig | None

    def validate(self) -> None:
        """Raises UserError naming the first field that is out of range."""
        self.chain.validate()
        if self.ablation is not None:
            self.ablation.validate()


def get_config(arg: str = "small") -> RealRunConfig:
    """The run for `small` or `base`."""
    if arg not in SIZES:
        raise errors.UserError(f"unknown variant {arg!r}; known: {', '.join(SIZES)}")
    chain = _small() if arg == "small" else _base()
    return RealRunConfig(size=arg, chain=chain, ablation=_ablate(chain) if arg == "small" else None)


def _small() -> recipe.ChainConfig:
    """For 2 CPU cores: a part of the text rows, short rows, images of 16 tokens."""
    data = config.DataConfig(
        sources=alignment(),
        root="data",
        tokens_per_row=256,
        patches_per_row=0,  # computed from the mixture
        rows_per_batch=4,
        normalization="sequence",
        min_pixels=56 * 56,
        max_pixels=112 * 112,
    )
    optim = optim_config.OptimConfig(
        trainable=(("vision/.*", 1e-3), ("merger/.*", 1e-3), ("text/.*", 2e-3)),
        warmup_steps=20,
        weight_decay=0.1,
        b2=0.98,
    )
    instruct = dataclasses.replace(
        data, sources=mixture(told=0.25, limits={"medquad": 200, "mts_dialog": 100, "medqa": 150})
    )
    model = config.ModelConfig(init_from="base", compute_dtype="float32", remat="none")
    return recipe.ChainConfig(
        hf="base",
        root="data",
        shallow_align=_stage("shallow_align", model, data, optim=_frozen(optim), epochs=1),
        deep_align=_stage("deep_align", model, data, optim=optim, epochs=2),
        instruct=_stage("instruct", model, instruct, optim=optim, epochs=4),
        evaluation=recipe.EvaluationConfig(benchmarks=BENCHMARKS, max_new_tokens=24, batch_size=64),
    )


def _base() -> recipe.ChainConfig:
    """For one GPU: all rows, images of 64 tokens, more passes."""
    data = config.DataConfig(
        sources=alignment(),
        root="data",
        tokens_per_row=1024,
        patches_per_row=0,  # computed from the mixture
        rows_per_batch=16,
        normalization="sequence",
        min_pixels=56 * 56,
        max_pixels=224 * 224,
    )
    optim = optim_config.OptimConfig(
        trainable=(("vision/.*", 5e-4), ("merger/.*", 5e-4), ("text/.*", 1e-3)),
        warmup_steps=50,
        weight_decay=0.1,
        b2=0.98,
    )
    instruct = dataclasses.replace(data, sources=mixture(told=1.0, limits={}))
    model = config.ModelConfig(init_from="base", remat="none")
    return recipe.ChainConfig(
        hf="base",
        root="data",
        shallow_align=_stage("shallow_align", model, data, optim=_frozen(optim), epochs=4),
        deep_align=_stage("deep_align", model, data, optim=optim, epochs=10),
        instruct=_stage("instruct", model, instruct, optim=optim, epochs=8),
        evaluation=recipe.EvaluationConfig(
            benchmarks=BENCHMARKS, max_new_tokens=24, batch_size=128
        ),
    )


def alignment() -> tuple[sources.Source, ...]:
    """What stages 1 and 2 read."""
    return tuple(_source(name, "captions") for name in CAPTIONS)


def mixture(told: float, limits: dict[str, int]) -> tuple[sources.Source, ...]:
    """What stage 3 reads.

    Args:
      told: Copies of each text of VQA-RAD's questions and answers in an epoch.
      limits: At most so many rows of a source of text, by its name.
    """
    vqa_rad = sources.Source(
        name="vqa_rad",
        path="vqa_rad",
        format="vqa_rad",
        allow_outside=True,
        group="medical_multimodal",
    )
    captions, told_captions = alignment()
    texts = (_source(name, "medical_text") for name in TEXTS)
    return (
        captions,
        dataclasses.replace(told_captions, weight=told),
        vqa_rad,
        _source("bccd_counts", "medical_multimodal"),
        *(dataclasses.replace(text, limit=limits.get(text.name, 0)) for text in texts),
    )


def held_out() -> tuple[sources.Source, ...]:
    """Rows whose loss is measured while a stage trains; none of them is trained on."""
    vqa_rad = sources.Source(
        name="held_out_vqa_rad",
        path="held_out/vqa_rad",
        format="vqa_rad",
        image_root="vqa_rad/images",
        allow_outside=True,
    )
    paths = ("held_out/medquad", "held_out/mts_dialog", "medqa_held_out")
    texts = (
        sources.Source(name=f"held_out_{name}", path=f"{path}.jsonl")
        for name, path in zip(TEXTS, paths, strict=True)
    )
    return (vqa_rad, *texts)


def _source(name: str, group: str) -> sources.Source:
    """A file of rows; its pictures lie in the folder of public data."""
    return sources.Source(name=name, path=f"{name}.jsonl", allow_outside=True, group=group)


def _stage(
    stage: str,
    model: config.ModelConfig,
    data: config.DataConfig,
    *,
    optim: optim_config.OptimConfig,
    epochs: int,
) -> config.StageConfig:
    return config.StageConfig(
        stage=stage,
        model=model,
        data=data,
        optim=optim,
        epochs=epochs,
        save_every_steps=200,
        validation=config.ValidationConfig(sources=held_out(), every_steps=200, rows=160),
    )


def _frozen(optim: optim_config.OptimConfig) -> optim_config.OptimConfig:
    """The same with a text model that does not learn, as in stage 1."""
    return dataclasses.replace(optim, trainable=(*optim.trainable[:2], ("text/.*", None)))


def _ablate(chain: recipe.ChainConfig) -> ablation.AblationConfig:
    """One pass of stage 3 for each variant; VQA-RAD alone is asked."""
    return ablation.AblationConfig(
        hf=chain.hf,
        root=chain.root,
        shallow_align=chain.shallow_align,
        deep_align=chain.deep_align,
        instruct=dataclasses.replace(
            chain.instruct, epochs=1, validation=config.ValidationConfig()
        ),
        evaluation=dataclasses.replace(chain.evaluation, benchmarks="vqa_rad", blind=False),
        variants=VARIANTS,
    )
