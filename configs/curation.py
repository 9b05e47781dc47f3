# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Curation of the mixtures of the paper's stages (arXiv 2506.07044, Table 5).

    python -m data_tools.curate --config=configs/curation.py:FOLDER --output=DIR
    python -m data_tools.curate --config=configs/curation.py:FOLDER,demo --output=DIR

FOLDER has each source under its name of `mixtures.py`: `<name>.jsonl` with rows of format
`messages`, or a folder `<name>` as its publisher lays it out (`data_tools/registry.py`). It may
also have small public sets that the paper does not name, and `scans` or `dicom_samples`, folders
of DICOM and NIfTI files, whose captions are made from their headers. `,demo` adds the scans that
the demo uses: the test files of pydicom and nibabel. What is not there is left out, and what is
missing of the paper's sources is named in each mixture's manifest.

Benchmarks are read from FOLDER too, and those that are not there are named in the card;
`--config.decontaminate.data_dir=` fetches them from the hub instead.

The paper does not say how much it takes of a source. Everything is taken here, but in stage 3 it
kept about 173K of a million medical text rows (Tables 5 and 10): set `shares` and `caps` of
`mixture.mixtures` once all sources are there. Stage 4 takes its questions from here as well, and
`configs/stage4_rl.py` says how they are balanced.
"""

import importlib.util
from collections.abc import Collection, Iterator
from pathlib import Path

from configs import mixtures as paper
from data_tools import config, decontaminate, dedup_images, mixture, registry
from lingshu_jax.common import errors

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
# Not of the paper, by keys of the registry: captions for stages 1 and 2, the others for stage 3.
MORE_CAPTIONS = (
    "hannover_covid_cxr",
    "covid_chestxray_open",
    "pocus_lung_us_ccby",
    "skimage_bundled",
)
MORE_INSTRUCT = ("bccd", "mts_dialog", "pubmedqa", "chexpert_labeler_sample")
SCANS = ("scans", "dicom_samples")
# What `data_tools.synthesize` wrote into FOLDER/synthetic, by recipe; what doctors left of it, in
# FOLDER/reviewed, takes its place: then rows that nobody looked at stay out.
MADE = {
    "long_captions": "synthetic_long_captions",
    "template_vqa": "synthetic_vqa",
    "self_instruct": "synthetic_vqa_self_instruct",
    "reasoning": "synthetic_reasoning",
    "ocr": "synthetic_ocr",
    "dialogues": "dialogues_rewritten",
}
REVIEWED = "reviewed"
MADE_INSTRUCT = ("synthetic_vqa_self_instruct", "dialogues_rewritten", REVIEWED)  # not the paper's
DEMO = ",demo"
# Where the demo's scans lie, below the folder of an installed package.
DEMO_SCANS = {"pydicom": "data/test_files", "nibabel": "tests/data"}


def get_config(arg: str = "data") -> config.CurationConfig:
    """The curation of the sources that a folder has.

    Args:
      arg: The folder, perhaps with `,demo` behind it.

    Raises:
      UserError: If there is no such folder.
    """
    folder = Path(arg.removesuffix(DEMO))
    if not folder.is_dir():
        raise errors.UserError(f"--config=configs/curation.py:FOLDER: no folder {folder}")
    sources = list(_found(folder))
    if arg.endswith(DEMO):
        sources += map(demo_scans, DEMO_SCANS)
    names = [source.name for source in sources]
    return config.CurationConfig(
        sources=sources,
        root=str(folder),
        dedup_images=dedup_images.Config(within=tuple(n for n in ONCE if n in names)),
        decontaminate=decontaminate.Config(
            data_dir=str(folder), pairs_only=tuple(n for n in SHARED if n in names)
        ),
        mixture=mixture.Config(mixtures=stage_mixtures(names)),
    )


def _found(folder: Path) -> Iterator[config.CuratedSource]:
    """The sources that are there, in the order of trust."""
    for name in dict.fromkeys((*NAMES, *RL)):
        if (folder / f"{name}.jsonl").is_file():
            yield source(name)
        elif (folder / name).is_dir():
            yield source(name, path=name, layout=config.PUBLISHER)
    for name in (*MORE_INSTRUCT, *MORE_CAPTIONS):
        if (folder / name).is_dir():
            yield config.CuratedSource(name=name, publisher=name, path=name)
    for name in SCANS:
        if (folder / name).is_dir():
            yield scans(name, name)
    yield from _made(folder)


def _made(folder: Path) -> Iterator[config.CuratedSource]:
    """Made rows: those that were reviewed, or else all."""
    if (folder / REVIEWED / f"{REVIEWED}.jsonl").is_file():
        yield _made_source(REVIEWED, f"{REVIEWED}/{REVIEWED}.jsonl")
        return
    for recipe, name in MADE.items():
        path = f"synthetic/rows/{recipe}.jsonl"
        if (folder / path).is_file():
            yield _made_source(name, path)


def _made_source(name: str, path: str) -> config.CuratedSource:
    kind = "captions" if name in CAPTIONS else "instructions"
    kind = "text" if name == MADE["dialogues"] else kind
    return config.CuratedSource(name=name, path=path, kind=kind, group="synthetic")


def source(name: str, *, path: str = "", layout: str = "messages") -> config.CuratedSource:
    """A source of the paper.

    Args:
      name: As in `mixtures.py`.
      path: Where it lies; "" is `<name>.jsonl`.
      layout: Format of its rows.
    """
    group = paper.GROUP_OF.get(name, "medical_multimodal")
    kind = "captions" if name in CAPTIONS else KINDS.get(group, "instructions")
    entry = registry.of_mixture(name)
    return config.CuratedSource(
        name=name,
        path=path or f"{name}.jsonl",
        format=layout,
        group=group,
        kind=kind,
        publisher=entry.key if entry else "",
    )


def scans(name: str, path: str) -> config.CuratedSource:
    """A folder of DICOM and NIfTI files.

    Args:
      name: Of the source.
      path: Of the folder.
    """
    return config.CuratedSource(
        name=name, path=path, format="dicom_folder", kind="captions", group="captions"
    )


def demo_scans(package: str) -> config.CuratedSource:
    """The scans that an installed package brings along for its tests.

    Args:
      package: Key of `DEMO_SCANS`.
    """
    found = importlib.util.find_spec(package)
    assert found is not None and found.origin is not None, "this package depends on both"
    return scans(f"{package}_test_files", str(Path(found.origin).parent / DEMO_SCANS[package]))


def stage_mixtures(found: Collection[str] = ()) -> list[mixture.Mixture]:
    """The mixtures of the four stages, every source whole.

    Args:
      found: Names of all sources; of those that the paper does not name, these take part.
    """
    instruct = [name for name in (*MORE_INSTRUCT, *MADE_INSTRUCT) if name in found]
    named = {*NAMES, *RL, *instruct}
    captions = [name for name in found if name not in named]
    shares = {
        "shallow_align": (*paper.SHALLOW_ALIGN, *captions),
        "deep_align": (*paper.DEEP_ALIGN, *captions),
        "instruct": (*paper.INSTRUCT, *instruct),
        "rl": RL,
    }
    return [
        mixture.Mixture(name=name, shares=dict.fromkeys(of, 1.0), needs_answer=name == "rl")
        for name, of in shares.items()
    ]
