# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Curation of small public sets in their publishers' own layouts, and of scans of your own.

    python -m data_tools.curate --config=configs/curation_public.py:FOLDER --output=DIR

FOLDER holds a folder for each set, by the names below, and perhaps `dicom_samples`, a folder of
DICOM or NIfTI files, whose captions are made from their headers. What is not there is left out.
Benchmarks are read from the same folder; those that are not there are named in the report.

Six minutes on 2 CPU cores for 9,900 rows. Its mixtures are `captions`, for stages 1 and 2, and
`instruct`, for stage 3; `--config.data.sources` of a stage takes them with format `tfds`.
"""

from pathlib import Path

from data_tools import config, decontaminate, mixture

# In the order of trust; by the folder's name, which is the key of `data_tools/registry.py`.
CAPTIONS = ("hannover_covid_cxr", "covid_chestxray_open", "pocus_lung_us_ccby")
SCANS = "dicom_samples"
INSTRUCT = ("vqa_rad", "bccd", "medquad", "mts_dialog", "pubmedqa", "chexpert_labeler_sample")


def get_config(arg: str = "data") -> config.CurationConfig:
    """The curation of the sets that a folder has.

    Args:
      arg: The folder.
    """
    sources = [
        config.CuratedSource(name=name, publisher=name, path=name)
        for name in (*INSTRUCT, *CAPTIONS)
        if (Path(arg) / name).is_dir()
    ]
    if (Path(arg) / SCANS).is_dir():
        sources.append(
            config.CuratedSource(
                name="scans", path=SCANS, format="dicom_folder", kind="captions", group="captions"
            )
        )
    names = [source.name for source in sources]
    shared = tuple(name for name in ("vqa_rad",) if name in names)
    return config.CurationConfig(
        sources=sources,
        root=arg,
        rows_per_partition=500,
        decontaminate=decontaminate.Config(data_dir=arg, pairs_only=shared),
        mixture=mixture.Config(
            mixtures=[
                mixture.Mixture(name="captions", shares=dict.fromkeys((*CAPTIONS, "scans"), 1.0)),
                mixture.Mixture(name="instruct", shares=dict.fromkeys(INSTRUCT, 1.0)),
            ]
        ),
    )
