# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What `configs/curation.py` makes of a folder."""

import importlib
import pathlib

import pytest

from configs import curation as curation_config
from configs import mixtures as paper
from data_tools import source_rows
from lingshu_jax.common import errors


def found(settings):
    return {source.name: (source.format, source.kind) for source in settings.sources}


def shares(settings):
    return {one.name: set(one.shares) for one in settings.mixture.mixtures}


def test_rows_of_ours_and_publishers_folders_stand_side_by_side(tmp_path):
    (tmp_path / "roco.jsonl").touch()
    (tmp_path / "medquad").mkdir()  # a publisher's layout
    (tmp_path / "vqa_rad").mkdir()
    (tmp_path / "vqa_rad.jsonl").touch()  # rows that somebody has made of it come first
    (tmp_path / "unknown").mkdir()
    settings = curation_config.get_config(str(tmp_path))
    settings.validate()
    assert found(settings) == {
        "vqa_rad": ("messages", "instructions"),
        "medquad": ("medquad", "text"),
        "roco": ("messages", "captions"),
    }
    assert settings.decontaminate.pairs_only == ("vqa_rad",)
    assert settings.decontaminate.data_dir == str(tmp_path)
    assert [one.name for one in settings.mixture.mixtures] == [
        "shallow_align",
        "deep_align",
        "instruct",
        "rl",
    ]
    assert shares(settings)["instruct"] == set(paper.INSTRUCT)


def test_sets_that_the_paper_does_not_name_take_part_where_they_are(tmp_path):
    for name in ("bccd", "pocus_lung_us_ccby", "dicom_samples", "roco"):
        (tmp_path / name).mkdir()
    settings = curation_config.get_config(str(tmp_path))
    settings.validate()
    assert found(settings) == {
        "roco": ("roco", "captions"),
        "bccd": ("bccd", "instructions"),
        "pocus_lung_us_ccby": ("pocus_lung_us_ccby", "captions"),
        "dicom_samples": ("dicom_folder", "captions"),
    }
    more = {"pocus_lung_us_ccby", "dicom_samples"}
    assert shares(settings) == {
        "shallow_align": {*paper.SHALLOW_ALIGN, *more},
        "deep_align": {*paper.DEEP_ALIGN, *more},
        "instruct": {*paper.INSTRUCT, "bccd"},
        "rl": set(curation_config.RL),
    }


def test_the_scans_of_the_demo_are_asked_for(tmp_path):
    (tmp_path / "roco.jsonl").touch()
    assert len(found(curation_config.get_config(str(tmp_path)))) == 1
    settings = curation_config.get_config(f"{tmp_path}{curation_config.DEMO}")
    settings.validate()
    assert settings.root == str(tmp_path) and len(settings.sources) == 3
    names = {"pydicom_test_files", "nibabel_test_files"}
    assert names <= shares(settings)["shallow_align"] & shares(settings)["deep_align"]
    for source in settings.sources[1:]:
        [package] = [one for one in curation_config.DEMO_SCANS if source.name.startswith(one)]
        home = pathlib.Path(str(importlib.import_module(package).__file__)).parent
        files = source_rows.row_files(source, settings.root)
        assert len(files) > 10 and all(home in file.parents for file in files)


def test_every_source_of_the_paper_can_be_a_folder_of_its_publisher(tmp_path):
    names = [*curation_config.NAMES, *curation_config.RL]
    for name in names:
        (tmp_path / name).mkdir(exist_ok=True)
    settings = curation_config.get_config(str(tmp_path))
    settings.validate()
    assert {source.name for source in settings.sources} == set(names)
    assert {s.name for s in settings.sources if s.format == "messages"} == {
        name for name in names if name.startswith("synthetic_")
    }


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(errors.UserError, match="no folder .*nowhere"):
        curation_config.get_config(str(tmp_path / "nowhere"))
    with pytest.raises(errors.UserError, match=r"config\.sources is empty"):
        curation_config.get_config(str(tmp_path)).validate()
