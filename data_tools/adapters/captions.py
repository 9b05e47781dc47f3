# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Adapters of captions: PMC-OA, ROCO, ROCOv2, MedICaT, FairVLMed, MedPix 2.0, PixMo."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_tools.adapters import reading
from lingshu_jax.data import formats

PLACEHOLDER = "Replace this - DESCRIPTION OF THE IMAGE OR FINDINGS."  # of MedPix, never replaced
_OTHER_SPLITS = ("Validation", "Testing", "Test")  # of FairVLMed, whose notes are in one table
_Meaning = tuple[formats.Messages, dict[str, Any]]


def _pmc_oa(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        name, said = reading.text(row, "image"), reading.text(row, "caption")
        meta = formats.without(row, "image", "caption")
        return reading.caption(place, name, said, [name]), {**meta, "image_id": name}

    return parse


def _roco_rows(file: Path) -> Iterator[reading.Pair]:
    """Of captions.txt joined with dlinks.txt beside it, or of the table of a copy."""
    if Path(file.name).suffix == ".csv":
        for place, value in reading.table(file):
            folder = f"{file.parent.name}/radiology/images"
            yield place, _under(value, folder) if isinstance(value, dict) else value
        return
    names = _roco_names(file.parent)
    with reading.opened(file) as lines:
        for place, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            key, _, said = line.strip().partition("\t")
            if key not in names:
                yield place, formats.RowError("dlinks.txt has no picture of it")
                continue
            folder = "/".join(file.parent.parts[-2:])
            row = {"id": key, "caption": said, "name": names[key]}
            yield place, _under(row, f"{folder}/images")


def _under(row: formats.Row, folder: str) -> formats.Row:
    return {**row, "folder": folder}


def _roco_names(folder: Path) -> dict[str, str]:
    """The file of each picture, `<PMC id>_<name>`, as the publisher's script writes it."""
    [links] = sorted(folder.glob("dlinks*.txt"))[:1] or [folder / "dlinks.txt"]
    found = {}
    with reading.opened(links) as lines:
        for line in lines:
            cells = line.rstrip("\r\n").split("\t")
            if len(cells) >= 2 and len(words := cells[1].split()) >= 3:
                archive = words[2].rpartition("/")[2].removesuffix(".tar.gz")
                found[cells[0].strip()] = f"{archive}_{cells[-1].strip()}"
    return found


def _roco(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        name, said = reading.text(row, "name"), reading.text(row, "caption")
        # The folder is looked for from the set's own and from those above it.
        folder = row["folder"].split("/")
        names = ["/".join([*folder[start:], name]) for start in range(len(folder))]
        shown = reading.picture(place, [f"data/{names[0]}", *names], "its picture is not there")
        return reading.caption(place, name, said, [shown]), {"image_id": name}

    return parse


def _rocov2(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        is_table = "ID" in row
        name = reading.text(row, "ID" if is_table else "image_id")
        said = reading.text(row, "Caption" if is_table else "caption")
        names = [f"{folder}{name}.jpg" for folder in ("", "train/", "train_images/train/")]
        shown = (
            reading.picture(place, names, "its picture is not there")
            if is_table
            else row.get("image")
        )
        meta = {"image_id": name, **({"cui": row["cui"]} if row.get("cui") else {})}
        return reading.caption(place, name, said, [shown]), meta

    return parse


def _medicat(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        name = f"{reading.text(row, 'pdf_hash')}_{reading.text(row, 'fig_uri')}"
        said = reading.optional(row, "s2_caption") or reading.text(row, "s2orc_caption")
        open_access = row.get("oa_info")
        found = open_access.get("oa") if isinstance(open_access, dict) else None
        meta = {
            "image_id": name,
            "radiology": row.get("radiology"),
            "licence": found.get("license") if isinstance(found, dict) else None,
        }
        return reading.caption(place, name, said, [name]), meta

    return parse


def _medpix_2(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        name, about = reading.text(row, "image"), row.get("Description")
        if not isinstance(about, dict):
            raise formats.RowError("Description must be an object")
        said = reading.text(about, "Caption")
        if said == PLACEHOLDER:
            raise formats.RowError("the caption was never written")
        shown = reading.picture(place, [f"{name}.png", name], "its picture is not there")
        meta = {
            "image_id": name,
            "case": row.get("U_id"),
            "kind": about.get("Modality"),
            "plane": about.get("Plane"),
            "location": row.get("Location"),
        }
        return reading.caption(place, name, said, [shown]), meta

    return parse


def _fairvlmed_rows(file: Path) -> Iterator[reading.Pair]:
    """The notes of the training split: first column the file, third the summary."""
    for place, value in reading.table(file):
        if not isinstance(value, dict):
            yield place, value
            continue
        cells = list(value.values())
        name = cells[0].strip()
        row = {"id": reading.hashed("fairvlmed", name), "file": name}
        if len(cells) < 3:
            yield place, formats.RowError("a note has three columns")
        elif not any((file.parent / split / name).is_file() for split in _OTHER_SPLITS):
            yield place, {**row, "note": cells[2]}


def _fairvlmed(place: reading.Place) -> formats.Parse:
    """Nothing of a patient goes on but the picture and the summary, masked."""

    def parse(row: formats.Row) -> _Meaning:
        said = reading.masked(reading.text(row, "note"))
        shown = _slo(place.folder / "Training" / reading.text(row, "file"))
        return reading.caption(place, row["id"], said, [shown]), {"patient": row["id"]}

    return parse


def _slo(file: Path) -> bytes:
    """The picture in an archive of arrays, as PNG; nothing pickled is loaded."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            grey = np.asarray(arrays["slo_fundus"], dtype=np.float64)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise formats.RowError("its archive holds no slo_fundus that can be read") from error
    if grey.ndim != 2 or not np.isfinite(grey).all() or not grey.size:
        raise formats.RowError(f"slo_fundus must be a grey picture, got shape {grey.shape}")
    packed = io.BytesIO()
    Image.fromarray(grey.clip(0, 255).round().astype(np.uint8)).save(packed, "PNG")
    return packed.getvalue()


def _pixmo(place: reading.Place) -> formats.Parse:
    """Pictures lie under the SHA-256 of their web address; none is fetched here."""

    def parse(row: formats.Row) -> _Meaning:
        address, said = reading.text(row, "image_url"), reading.text(row, "caption")
        name = hashlib.sha256(address.encode()).hexdigest()
        names = [f"{name}{ending}" for ending in ("", ".jpg", ".png", ".jpeg", ".webp")]
        shown = reading.picture(place, names, "its picture has not been fetched")
        return reading.caption(place, name, said, [shown]), {"image_id": name}

    return parse


ADAPTERS = {
    "pmc_oa": reading.Adapter(
        files=(("pmc_oa.jsonl",), ("train.jsonl",), ("pmc_oa_beta.jsonl",)),
        parse=_pmc_oa,
        rows=reading.values,
        pictures=(
            "images/caption_T060_filtered_top4_sep_v0_subfigures",
            "caption_T060_filtered_top4_sep_v0_subfigures",
            "images",
        ),
    ),
    "roco": reading.Adapter(
        files=(
            ("data/train/radiology/captions*.txt",),
            ("train/radiology/captions*.txt",),
            ("train/radiologytraindata.csv",),
            ("captions*.txt",),
        ),
        parse=_roco,
        rows=_roco_rows,
    ),
    "rocov2": reading.Adapter(
        files=(("train_captions.csv",), ("data/train-*.parquet",), ("train-*.parquet",)),
        parse=_rocov2,
        rows=reading.values,
    ),
    "medicat": reading.Adapter(
        files=(("release.jsonl",), ("*.jsonl",)),
        parse=_medicat,
        rows=reading.values,
        pictures=("figures", "release/figures"),
    ),
    "medpix_2": reading.Adapter(
        files=(
            ("splitted_dataset/descriptions_train*.jsonl",),
            ("MedPix-2-0/splitted_dataset/descriptions_train*.jsonl",),
            ("Descriptions.json",),
            ("Description.json",),
        ),
        parse=_medpix_2,
        rows=reading.values,
        pictures=("images", "MedPix-2-0/images"),
    ),
    "fairvlmed": reading.Adapter(
        files=(("gpt-4_summarized_notes.csv",),), parse=_fairvlmed, rows=_fairvlmed_rows
    ),
    "pixmo": reading.Adapter(
        files=(("data/train-*.parquet",), ("train-*.parquet",)),
        parse=_pixmo,
        rows=reading.values,
        pictures=("pixmo_images", "images"),
    ),
}
