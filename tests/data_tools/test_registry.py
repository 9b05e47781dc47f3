# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import re

import pytest

from configs import mixtures
from data_tools import config, registry, registry_entry
from data_tools.adapters import table
from lingshu_jax.common import errors
from lingshu_jax.data import readers, sources

# Names in the paper (arXiv 2506.07044v4), by the table or section that has them.
PAPER = {
    "captions": """LLaVA-Med Alignment|PubMedVision|Quilt-LLaVA-Pretrain|PMC-OA|ROCO|ROCOv2
        |MIMIC-CXR|MedICaT|FairVLMed|MedPix-2.0""",
    "instructions": """PathVQA|PMC-VQA|SLAKE|Quilt-LLaVA Instruct|VQA-Med-2019|PubMedVision
        |LLaVA-Med|LLaVA-Med-zh|VQA-RAD|MIMIC-Ext-MIMIC-CXR-VQA|CheXpert Plus|MIMIC-CXR|IU-Xray""",
    "text": """MedQA|MedQuAD|ApolloCorpus|PMC-LLaMA|MedThoughts-8K|MedReason
        |medical-o1-reasoning-SFT|medical-o1-verifiable-problem|Medical-R1-Distill-Data
        |HealthCareMagic-100k|icliniq-10k|HuatuoGPT-II-GPT4-SFT-140K|AlpaCare-MedInstruct-52k""",
    "labelled images": """COVID19-Radiography|NIH-Chest-X-Ray|CheXpert|Mendeley Digital Knee X-ray
        |KIPA22|DeepLesion|chest-ctscan|Brain-Tumor-MRI|BraTS2024|LLD-MMRI|MAMA-MIA|AbdomenUS
        |Breast Ultrasound Images|Annotated Ultrasound Liver|RadImageNet (US subset)|HAM10000
        |ISIC-2020|Fitzpatrick17k|PAD-UFES-20|BRSET|PAPILA
        |2015 & 2019 Diabetic Retinopathy Detection|CPD|Breast-Cancer|PanNuke|EBHI-Seg
        |Blood Cell Image|BioMediTech RPE|mhsma-dataset""",
    "general": """LLaVA-1.5 captions|PixMo|LLaVA-1.5 text subset|OpenHermes-2.5
        |LLaVA-1.5 multimodal subset|ALLaVA""",
    "stages": "Kvasir-VQA",
}
ENTRIES = sorted(registry.ENTRIES.values(), key=lambda entry: entry.key)


def complaints(entry):
    """What is missing of an entry."""
    found = []
    for field in ("key", "title", "about", "address", "licence", "terms", "citation", "schema"):
        if not getattr(entry, field).strip():
            found.append(f"{field} is empty")
    if entry.access != "open" and not (entry.apply and entry.terms != registry_entry.OPEN):
        found.append("does not say how access is got")
    if not entry.files:
        found.append("names no file")
    if entry.format not in ("", *table.ADAPTERS, *readers.FORMATS):
        found.append(f"unknown format {entry.format}")
    if not entry.format and entry.table != "labelled images":
        found.append("cannot be read")
    if entry.group not in sources.GROUPS or entry.kind not in config.KINDS:
        found.append("unknown group or kind")
    if not re.search(r"\b(19|20)\d\d\b", entry.citation):
        found.append("the citation has no year")
    if entry.licence == registry_entry.NOT_STATED and entry.table == "labelled images":
        found += [] if "licence" in entry.unchecked else ["says nothing of its licence"]
    return found


@pytest.mark.parametrize("part", PAPER)
def test_every_source_that_the_paper_names_has_an_entry(part):
    named = {" ".join(name.split()) for name in PAPER[part].split("|")}
    found = {entry.paper for entry in ENTRIES if entry.table == part}
    assert found == named


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_every_entry_is_complete(entry):
    assert complaints(entry) == []
    assert "\n" not in entry.citation


def test_an_incomplete_entry_is_noticed():
    whole = registry.get("mimic_cxr")
    assert complaints(dataclasses.replace(whole, licence="")) == ["licence is empty"]
    assert complaints(dataclasses.replace(whole, apply="")) == ["does not say how access is got"]
    assert complaints(dataclasses.replace(whole, format="")) == ["cannot be read"]
    assert complaints(dataclasses.replace(whole, citation="Somebody")) == [
        "the citation has no year"
    ]


def test_sets_of_the_mixtures_have_entries_of_their_group():
    names = {*mixtures.SHALLOW_ALIGN, *mixtures.DEEP_ALIGN, *mixtures.INSTRUCT, *mixtures.RL}
    found = {name: registry.of_mixture(name) for name in names}
    assert {name for name, entry in found.items() if entry is None} == {
        name for name in names if name.startswith(registry.SYNTHETIC)
    }
    for name, entry in found.items():
        if entry is not None and not name.endswith("_rl"):
            assert entry.group == mixtures.GROUP_OF.get(name, "medical_multimodal"), name
    with pytest.raises(errors.UserError, match="unknown publisher 'padchest'; known: abdomen_us"):
        registry.of_mixture("padchest_rl")


def test_every_adapter_has_an_entry():
    # A folder of scans is the user's own.
    assert set(table.ADAPTERS) <= {"dicom_folder", *(entry.format for entry in ENTRIES)}
    assert not set(table.ADAPTERS) & set(readers.FORMATS)


def test_credentialed_sets_are_never_fetched():
    for key in ("mimic_cxr", "mimic_cxr_findings", "mimic_ext_mimic_cxr_vqa", "brset"):
        entry = registry.get(key)
        assert (entry.access, entry.repository) == ("credentialed", "")
        with pytest.raises(
            errors.UserError, match=r"fetch is for open sets; .* apply at https://phys"
        ):
            entry.fetchable("x")
    with pytest.raises(errors.UserError, match="Stanford AIMI"):
        registry.get("chexpert_plus").fetchable("x")
    with pytest.raises(
        errors.UserError, match="VQA-RAD is not on the hub; get it from https://osf"
    ):
        registry.get("vqa_rad").fetchable("x")
    registry.get("path_vqa").fetchable("x")


def test_a_source_takes_what_its_publisher_says():
    source = config.CuratedSource(name="roco", publisher="roco", path="ROCO")
    source.validate()
    assert (source.format, source.kind, source.group) == ("roco", "captions", "captions")
    own = config.CuratedSource(name="mine", path="mine.jsonl")
    assert (own.format, own.kind, own.group) == ("messages", "instructions", "")
    other = config.CuratedSource(name="r", publisher="roco", path="x", format="llava", kind="text")
    assert (other.format, other.kind, other.group) == ("llava", "text", "captions")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"publisher": "padchest"}, "unknown publisher 'padchest'"),
        ({"publisher": "chexpert"}, "CheXpert has labels and no texts"),
        ({"split": "test"}, "unknown split 'test' of roco; allowed: train"),
        ({"columns": {"id": "x"}}, "unknown column 'id' of roco; allowed: none"),
        ({"train_on": "never"}, "unknown train_on 'never' of roco"),
        ({"weight": -1.0}, "weight must be > 0"),
        ({"path": ""}, "needs a name and a path"),
        ({"publisher": "", "fetch": True}, "fetch needs a publisher"),
    ],
)
def test_bad_sources_are_named(changes, said):
    values = {"name": "s", "path": "ROCO", "publisher": "roco"} | changes
    with pytest.raises(errors.UserError, match=said):
        config.CuratedSource(**values).validate()
