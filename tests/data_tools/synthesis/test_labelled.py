# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Sets of labelled pictures as seeds, layout by layout."""

import collections
import csv
import json

import numpy as np
import pytest
from PIL import Image

from data_tools.synthesis import (
    label_layouts,
    label_presets,
    labelled,
    mask_files,
    metadata,
    seeds,
)
from lingshu_jax.common import errors
from lingshu_jax.data import formats, sources

SECRET = "PLANTED"
Box = seeds.Box


def source(folder, layout, **fields):
    return labelled.LabelledSource(name="set", layout=layout, path=str(folder), **fields)


def read(found, salt=b""):
    """Seeds, and the reasons of what is none."""
    every = list(labelled.stream(found, salt=salt))
    kept = [one for one in every if isinstance(one, seeds.Seed)]
    return kept, [one.reason for one in every if isinstance(one, sources.Dropped)]


def picture(path, size=(60, 40), colour=(90, 80, 70)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def mask(path, *squares, size=(60, 40), mode="L"):
    """Squares of (value, left, top, side)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Image.new(mode, size)
    for value, left, top, side in squares:
        made.paste(value, (left, top, left + side, top + side))
    made.save(path)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)


def test_jsonl_rows_are_seeds(tmp_path):
    picture(tmp_path / "a.png")
    mask(tmp_path / "m.png", (255, 10, 10, 8))
    row = {
        "id": SECRET,
        "image": "a.png",
        "labels": {"finding": "a nodule", "age": 70},
        "boxes": [{"label": "nodule", "box": [-3, 2, 20, 12.4]}],
        "masks": {"m.png": "cyst"},
    }
    write_lines(tmp_path / "rows.jsonl", [row])
    found = source(tmp_path / "rows.jsonl", "jsonl", modality="CT", dataset="mine")
    (seed,), reasons = read(found)
    assert not reasons
    assert seed.labels == {"finding": "a nodule", "age": "70", "structures": "cyst, nodule"}
    assert seed.boxes == (Box("nodule", 0, 2, 20, 12), Box("cyst", 10, 10, 18, 18))
    assert (seed.modality, seed.dataset, seed.source) == ("CT", "mine", "set")
    assert list(seed.masks.values()) == ["cyst"]
    assert SECRET not in seed.id and seed.id.startswith("set/")
    assert metadata.coarse(seed).text == (
        "This is a CT slice. Finding: a nodule. Structures: cyst, nodule."
    )


BAD_ROWS = {
    "no such picture": {"image": "gone.png", "labels": {"finding": "x"}},
    "outside": {"image": "../other.png", "labels": {"finding": "x"}},
    "no 'image'": {"labels": {"finding": "x"}},
    "nothing is known": {"image": "b.png"},
    "may name a person": {"image": "b.png", "labels": {"patient_name": SECRET}},
    "a box must be": {"image": "b.png", "boxes": [{"label": "a", "box": [1, 2, 3]}]},
    "without an inside": {"image": "b.png", "boxes": [{"label": "a", "box": [9, 9, 9, 20]}]},
    "outside of its picture": {"image": "b.png", "boxes": [{"label": "a", "box": [70, 1, 99, 9]}]},
    "another size": {"image": "b.png", "masks": {"small.png": "cyst"}},
    "labels must be": {"image": "b.png", "labels": ["x"]},
    "second row": {"image": "a.png", "labels": {"finding": "y"}},
}


def test_bad_rows_are_counted_and_others_go_on(tmp_path):
    picture(tmp_path / "set" / "a.png")
    picture(tmp_path / "set" / "b.png")
    picture(tmp_path / "other.png")
    mask(tmp_path / "set" / "small.png", (1, 1, 1, 9), size=(20, 20))
    good = {"image": "a.png", "labels": {"finding": "x"}}
    write_lines(tmp_path / "set" / "rows.jsonl", [good, *BAD_ROWS.values()])
    with (tmp_path / "set" / "rows.jsonl").open("a") as file:
        file.write("{broken\n")
    kept, reasons = read(source(tmp_path / "set", "jsonl"))
    assert [seed.labels["finding"] for seed in kept] == ["x"]
    assert len(reasons) == len(BAD_ROWS) + 1
    for part, reason in zip(BAD_ROWS, reasons, strict=False):
        assert part in reason
    assert "broken JSON" in reasons[-1]
    assert not any(SECRET in reason for reason in reasons)


def table_rows():
    return [
        {"file": "a", "dx": "mel", "age": "50", "patient": f"{SECRET}1", "edema": "1", "mass": "0"},
        {"file": "b", "dx": "nv", "age": "60", "patient": f"{SECRET}1", "edema": "", "mass": "-1"},
        {"file": "c", "dx": "??", "age": "60", "patient": f"{SECRET}2", "edema": "", "mass": "1"},
        {"file": "d", "dx": "", "age": "1", "patient": f"{SECRET}3", "edema": "1.0", "mass": "1"},
        {"file": "e", "dx": "nv", "age": "1", "patient": "", "edema": "", "mass": ""},
    ]


def table_source(folder, **fields):
    for name in "abcde":
        picture(folder / f"part_{name}" / f"{name}.png")
    write_table(folder / "labels.csv", table_rows())
    named = {
        "image_column": "file",
        "image_pattern": "nowhere/{file}.png|part_*/{file}.png",
        "label_columns": {"dx": "finding", "age": "age"},
        "words": {"finding": {"mel": "a melanoma", "nv": "a naevus"}},
        "present": {"edema": "edema", "mass": "a mass"},
        "group": "patient",
    }
    return source(folder, "csv", **{**named, **fields})


def test_csv_columns_get_our_names_and_words(tmp_path):
    kept, reasons = read(table_source(tmp_path))
    assert [seed.labels.get("finding") for seed in kept] == [
        "a melanoma, edema",
        "a naevus",
        "edema, a mass",
    ]
    assert reasons == ["unknown value '??' of finding", "no 'patient' that names a case"]
    assert all(seed.labels["age"] for seed in kept)
    assert "50" not in metadata.coarse(kept[0]).text


def test_cases_are_hashed_into_ids_with_the_secret(tmp_path):
    kept, _ = read(table_source(tmp_path))
    first, second, third = (seed.id.partition("/")[2].split("-") for seed in kept)
    assert first[0] == second[0] != third[0] and first[1] != second[1]
    assert SECRET not in " ".join(seed.id for seed in kept)
    assert kept[0].case == kept[1].case != kept[2].case
    salted, _ = read(table_source(tmp_path), salt=b"x" * 32)
    assert not {seed.id for seed in kept} & {seed.id for seed in salted}
    again, _ = read(table_source(tmp_path))
    assert [seed.id for seed in again] == [seed.id for seed in kept]


def test_several_values_of_a_cell_are_parted(tmp_path):
    picture(tmp_path / "a.png")
    write_table(tmp_path / "t.csv", [{"image": "a.png", "l": "Mass|Edema"}])
    words = {"finding": {"Mass": "mass", "Edema": ""}}
    fields = {"label_columns": {"l": "finding"}, "separator": "|"}
    (seed,), _ = read(source(tmp_path, "csv", **fields, words=words))
    assert seed.labels == {"finding": "mass"}
    (seed,), _ = read(source(tmp_path, "csv", **fields))
    assert seed.labels == {"finding": "Mass, Edema"}


def test_folders_are_classes(tmp_path):
    picture(tmp_path / "train" / "glioma" / "1.png")
    picture(tmp_path / "train" / "none" / "1.png")
    picture(tmp_path / "train" / ".hidden" / "1.png")
    (tmp_path / "train" / "none" / "readme.txt").write_text("x")
    kept, reasons = read(source(tmp_path, "folders"))
    assert [seed.labels for seed in kept] == [{"finding": "glioma"}, {"finding": "none"}]
    assert not reasons and len({seed.id for seed in kept}) == 2


def test_parts_of_names_are_columns(tmp_path):
    for name in (f"{SECRET}1_left", f"{SECRET}1_right", f"{SECRET}2_left"):
        picture(tmp_path / "eyes" / f"{name}.png")
    found = source(
        tmp_path,
        "folders",
        files=r"eyes/(?P<who>\w+)_(?P<eye>left|right)\.png",
        label_columns={"eye": "laterality"},
        labels={"organ": "eye"},
        group="who",
    )
    kept, _ = read(found)
    assert [seed.labels["laterality"] for seed in kept] == ["left", "right", "left"]
    cases = [seed.id.partition("/")[2].split("-")[0] for seed in kept]
    assert cases[0] == cases[1] != cases[2]


VOC = """<annotation><filename>{name}</filename>{boxes}</annotation>"""
VOC_BOX = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"
    "</bndbox></object>"
)
BOMB = """<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]>
<annotation><filename>a.png</filename><object><name>&y;</name></object></annotation>"""


def test_voc_boxes_count_from_one_and_include_their_last_pixel(tmp_path):
    picture(tmp_path / "JPEGImages" / "a.png")
    folder = tmp_path / "Annotations"
    folder.mkdir()
    boxes = VOC_BOX.format("RBC", 1, 1, 10, 12) + VOC_BOX.format("RBC", 55, 30, 60, 40)
    (folder / "a.xml").write_text(VOC.format(name="a.png", boxes=boxes))
    (folder / "bomb.xml").write_text(BOMB)
    (folder / "broken.xml").write_text("<annotation>")
    (folder / "other.xml").write_text(VOC.format(name="b.png", boxes=""))
    (folder / "what.xml").write_text(
        VOC.format(name="a.png", boxes=VOC_BOX.format("WBC", 1, 1, 9, 9))
    )
    kept, reasons = read(source(tmp_path, "voc", structures={"RBC": "red blood cell"}))
    (seed,) = kept
    assert seed.boxes == (
        Box("red blood cell", 0, 0, 10, 12),
        Box("red blood cell", 54, 29, 60, 40),
    )
    assert seed.labels == {"structures": "red blood cell (2)"}
    assert reasons == [
        "XML with a document type",
        "broken XML",
        "no such picture, or one outside of the folder",
        "a box of unknown name 'WBC'",
    ]


def test_entities_are_refused_before_they_are_read(tmp_path):
    (tmp_path / "a.xml").write_text(BOMB)
    with pytest.raises(formats.RowError, match="document type"):
        label_layouts.parse_xml(tmp_path / "a.xml")
    (tmp_path / "b.xml").write_text(BOMB.partition("\n")[2].replace("&y;", "fine"))
    assert label_layouts.parse_xml(tmp_path / "b.xml").findtext("object/name") == "fine"


def test_masks_beside_pictures_by_value_colour_and_file(tmp_path):
    picture(tmp_path / "a" / "x (1).png")
    mask(tmp_path / "a" / "x (1)_mask.png", (1, 5, 5, 6), (2, 30, 10, 8))
    found = source(
        tmp_path,
        "masks",
        files=r".*\(\d+\)\.png",
        mask_pattern="{dir}/{stem}_mask*.png",
        structures={"1": "kidney", "2": "tumour"},
    )
    (seed,), _ = read(found)
    assert seed.boxes == (Box("kidney", 5, 5, 11, 11), Box("tumour", 30, 10, 38, 18))
    assert seed.labels == {"structures": "kidney, tumour"}

    mask(tmp_path / "a" / "x (1)_mask.png", ((255, 0, 0), 5, 5, 6), mode="RGB")
    found.structures = {"#FF0000": "vessel", "#00ff00": "duct", "1": "nothing"}
    (seed,), _ = read(found)
    assert seed.boxes == (Box("vessel", 5, 5, 11, 11),)

    mask(tmp_path / "a" / "x (1)_mask_1.png", (255, 40, 20, 7))
    found.structures = {"any": "lesion"}
    (seed,), _ = read(found)
    assert seed.boxes == (Box("lesion", 5, 5, 11, 11), Box("lesion", 40, 20, 47, 27))

    mask(tmp_path / "a" / "x (1)_disc.png", (255, 2, 2, 9))
    found.structures = {"disc": "optic disc", "cup": "optic cup"}
    found.mask_pattern = "{dir}/{stem}_{structure}.png"
    (seed,), _ = read(found)
    assert seed.boxes == (Box("optic disc", 2, 2, 11, 11),)


def test_masks_of_16_bits_and_palettes_keep_their_values(tmp_path):
    deep = np.zeros((40, 60), np.uint16)
    deep[3:9, 4:12] = 700
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert mask_files.read_picture(str(tmp_path / "deep.png")).max() == 700
    indexed = Image.fromarray((deep > 0).astype(np.uint8) * 2).convert("P")
    indexed.putpalette([255, 255, 255, 1, 1, 1, 9, 9, 9])
    indexed.save(tmp_path / "indexed.png")
    values = mask_files.read_picture(str(tmp_path / "indexed.png"))
    assert set(np.unique(values)) == {0, 2}


def test_a_picture_without_mask_is_refused_where_masks_are_the_layout(tmp_path):
    picture(tmp_path / "a.png")
    found = source(
        tmp_path, "masks", mask_pattern="m/{stem}.png", structures={"any": "x"}, files=r"a\.png"
    )
    assert read(found) == ([], ["no mask"])
    mask(tmp_path / "m" / "a.png")  # empty: nothing is there to be said
    assert read(found) == ([], ["nothing is known of it"])
    found.labels = {"finding": "no mass"}
    (seed,), _ = read(found)
    assert seed.boxes == () and seed.labels == {"finding": "no mass"}


def test_a_missing_set_says_where_it_is_to_be_had(tmp_path):
    found = label_presets.get("brats2024", path=str(tmp_path / "none"))
    with pytest.raises(errors.UserError, match="no such file or folder.*synapse.org"):
        next(labelled.stream(found))
    (tmp_path / "empty").mkdir()
    found = label_presets.get("bccd", path=str(tmp_path / "empty"))
    with pytest.raises(errors.UserError, match="holds no file whose name matches"):
        next(labelled.stream(found))
    with pytest.raises(errors.UserError, match="holds no train.csv"):
        next(labelled.stream(label_presets.get("isic_2020", path=str(tmp_path / "empty"))))


BAD_FIELDS = [
    ({"layout": "zip"}, "layout must be one of jsonl"),
    ({"modality": "CAT"}, "modality must be one of"),
    ({"files": "("}, "no regular expression"),
    ({"layout": "csv", "files": "x"}, "files must be empty for a table"),
    ({"layout": "masks"}, "mask_pattern must be some pattern"),
    ({"layout": "masks", "mask_pattern": "m"}, "structures must be some"),
    (
        {"layout": "masks", "mask_pattern": "m", "structures": {"red": "x"}},
        "number above 0, a colour",
    ),
    ({"label_columns": {"dx": "finding"}}, "has no part 'dx'"),
    ({"label_columns": {"stem": "patient"}}, "may name a person"),
    ({"label_columns": {"stem": "findng"}}, "did you mean 'finding'"),
    ({"every": 0}, "every must be >= 1"),
    ({"present": {"a": "b"}}, "present must be empty"),
    ({"plane": "oblique"}, "plane must be one of"),
]


@pytest.mark.parametrize(("fields", "message"), BAD_FIELDS)
def test_fields_are_checked(tmp_path, fields, message):
    found = source(tmp_path, **{"layout": "folders", **fields})
    with pytest.raises(errors.UserError, match=message):
        found.validate()


@pytest.mark.parametrize("key", label_presets.PRESETS)
def test_presets_are_valid_and_of_the_registry(key):
    found = label_presets.get(key)
    found.validate()
    assert found.kind, "its modality is known"
    assert found.dataset == key


def test_an_unknown_preset_is_told():
    with pytest.raises(errors.UserError, match="did you mean 'busi'"):
        label_presets.get("busy")


def test_presets_read_their_layouts(tmp_path):
    """Of some sets, made small: names as the publishers have them."""
    picture(tmp_path / "busi" / "benign" / "benign (1).png")
    mask(tmp_path / "busi" / "benign" / "benign (1)_mask.png", (255, 5, 5, 9))
    mask(tmp_path / "busi" / "benign" / "benign (1)_mask_1.png", (255, 30, 5, 9))
    (seed,), reasons = read(label_presets.get("busi", path=str(tmp_path / "busi")))
    assert len(seed.boxes) == 2 and not reasons
    assert metadata.coarse(seed).text.startswith("This is an ultrasound picture of a breast.")

    name = "adenocarcinoma_left.lower.lobe_T2_N0_M0_Ib"
    picture(tmp_path / "ct" / "train" / name / "000000 (6).png")
    (seed,), _ = read(label_presets.get("chest_ctscan", path=str(tmp_path / "ct")))
    assert seed.labels == {"finding": "adenocarcinoma of the lung"}

    picture(tmp_path / "nih" / "images_001" / "images" / "00000001_000.png")
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,View Position,\n"
    line = "00000001_000.png,Cardiomegaly|Effusion,0,1,58,PA,\n"
    (tmp_path / "nih" / "Data_Entry_2017.csv").write_text(header + line)
    (seed,), _ = read(label_presets.get("nih_chest_xray", path=str(tmp_path / "nih")))
    assert metadata.coarse(seed).text == (
        "This is a frontal chest radiograph, posteroanterior. Findings: cardiomegaly, pleural"
        " effusion."
    )

    picture(tmp_path / "ebhi" / "Polyp" / "image" / "GT1.png")
    mask(tmp_path / "ebhi" / "Polyp" / "label" / "GT1.png", (255, 5, 5, 20))
    (seed,), _ = read(label_presets.get("ebhi_seg", path=str(tmp_path / "ebhi")))
    assert seed.labels["finding"] == "polyp" and len(seed.boxes) == 1


def test_real_boxes_of_blood_cells(shared_dir):
    found = label_presets.get("bccd", path=str(shared_dir / "data" / "bccd"))
    kept, reasons = read(found)
    assert len(kept) == 40 and not reasons
    labels = {box.label for seed in kept for box in seed.boxes}
    assert labels == {"red blood cell", "white blood cell", "platelet"}
    for seed in kept:
        with Image.open(seed.media[0].path) as opened:
            width, height = opened.size
        assert all(0 <= b.left < b.right <= width for b in seed.boxes)
        assert all(0 <= b.top < b.bottom <= height for b in seed.boxes)
    assert "blood smear" in metadata.coarse(kept[0]).text


def test_real_radiographs_of_a_table(shared_dir):
    folder = shared_dir / "data" / "hannover_covid_cxr"
    kept, reasons = read(label_presets.get("hannover_covid_cxr", path=str(folder)))
    assert len(kept) == 12
    assert collections.Counter(reasons) == {"no such picture, or one outside of the folder": 231}
    lines = (folder / "data.csv").read_text().splitlines()
    patients = {row["patient_id"] for row in csv.DictReader(lines)}
    said = json.dumps([[seed.id, dict(seed.labels)] for seed in kept])
    assert not any(patient in said for patient in patients)
