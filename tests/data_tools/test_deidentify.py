# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import hashlib
import io
import json
import logging
import struct

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from pyarrow import parquet

from data_tools import dedup_images, dedup_texts, deidentify, examples, filters, scans, steps
from data_tools import rows as rows_lib
from data_tools.adapters import dicom_folder
from lingshu_jax.common import errors
from lingshu_jax.data import formats, images, sources
from tests.data import dicom_files

SALT = bytes(range(32))
# What must not be in any output: as written into files below, and parts of it.
PLANTED = (
    *("ZEBEDEE", "QUIRIN", "MRN0815", "19570413", "131959.25", "Elm Street", "Mercy General"),
    *("555-0199", "quirin@example.org", "ACC778899", "hidden vendor note", "overlay of quirin"),
    *("1.2.826.0.1.3680043.99", "063Y", "nurse Hathaway", "71.2345", "PENTHOUSE"),
)
NAME = "ZEBEDEE^QUIRIN"


def noise(height=96, width=128, seed=0):
    grey = np.random.default_rng(seed).integers(40, 120, (height // 8, width // 8), np.uint8)
    smooth = Image.fromarray(grey).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth).copy()


def burn(values, text, at=(4, 4), size=14):
    """The picture with a text, and the text's pixels."""
    picture, ink = Image.fromarray(values), Image.new("L", values.shape[::-1])
    font = ImageFont.load_default(size)
    ImageDraw.Draw(picture).text(at, text, 255, font)
    ImageDraw.Draw(ink).text(at, text, 255, font)
    return np.asarray(picture), np.asarray(ink) > 127


def person(dataset):
    """Writes planted values into every text-like kind of element."""
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = NAME, *PLANTED[2:4]
    dataset.PatientBirthTime, dataset.AcquisitionDateTime = "131959.25", "19570413131959.25"
    dataset.PatientAge, dataset.PatientWeight = "063Y", "71.2345"  # AS, DS
    dataset.PatientAddress, dataset.InstitutionName = "1 Elm Street", "Mercy General"  # LO
    dataset.InstitutionAddress, dataset.PatientComments = "2 Elm Street", "of QUIRIN"  # ST, LT
    dataset.PatientTelephoneNumbers, dataset.AccessionNumber = "555-0199", "ACC778899"  # SH
    dataset.OperatorsName, dataset.StationName = "nurse Hathaway", "PENTHOUSE"
    dataset.RetrieveAETitle, dataset.BodyPartExamined = "QUIRIN", "QUIRIN"  # AE, CS
    dataset.TextValue, dataset.LongCodeValue = "QUIRIN", "QUIRIN"  # UT, UC
    dataset.RetrieveURL = "https://pacs/QUIRIN"  # UR
    dataset.StudyInstanceUID = f"{PLANTED[12]}.1"
    dataset.SeriesInstanceUID = f"{PLANTED[12]}.2"
    dataset.SeriesDescription = dataset.StudyDescription = NAME
    inner = dicom_files.item(PatientName=NAME, PatientID="MRN0815", TextValue="quirin@example.org")
    dataset.RequestAttributesSequence = inner
    block = dataset.private_block(0x0013, "QUIRIN", create=True)
    block.add_new(0x01, "UN", b"hidden vendor note")
    block.add_new(0x02, "OB", b"quirin@example.org")
    dataset.add_new(0x60000022, "LO", "overlay of quirin")
    dataset.add_new(0x60000010, "US", dataset.Rows)
    dataset.add_new(0x60000011, "US", dataset.Columns)
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    ink = burn(np.zeros((dataset.Rows, dataset.Columns), np.uint8), "QUIRIN")[1]
    dataset.add_new(0x60003000, "OW", np.packbits(ink, bitorder="little").tobytes())


def scan(path, values, *, is_named=True, **fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    dicom_files.write(path, values, **{"Modality": "CR", **fields})
    if is_named:
        dataset = pydicom.dcmread(path)
        person(dataset)
        for keyword, value in fields.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    return path


def row(*media, answer="The lungs are clear.", number=0):
    parts = [{"type": medium.kind, medium.kind: i} for i, medium in enumerate(media)]
    messages = (
        {"role": "user", "content": [*parts, {"type": "text", "text": "What is seen?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    )
    return rows_lib.Row(id=f"s/{number}", source="s", messages=messages, media=tuple(media))


def medium(path, fragment="", kind="image"):
    return rows_lib.Medium(kind=kind, path=f"{path}{fragment}")


def step(**changes):
    return deidentify.Deidentify(deidentify.Config(**changes), SALT)


def pixels(one):
    return np.asarray(images.open_image(one.data).convert("L"))


def read_folder(folder, **options):
    adapter = dicom_folder.ADAPTERS["dicom_folder"]
    good, bad = [], []
    for number, record in enumerate(adapter.read(folder, formats.Options(**options))):
        if isinstance(record, formats.Refusal):
            bad.append(record)
            continue
        example = sources.Example(
            id=record.row_id, source="s", line=number, messages=record.messages, meta=record.meta
        )
        good.append(examples.from_example(example))
    return good, bad


def everything(folder):
    """All that stands in the files of a folder: names, bytes, and the strings of tables."""
    for path in sorted(folder.rglob("*")):
        yield str(path.relative_to(folder)).encode()
        if path.is_file():
            yield path.read_bytes()
        if path.suffix == ".parquet":
            for found in parquet.read_table(path).to_pylist():
                yield json.dumps(found, default=lambda value: value.decode("latin-1")).encode()
                yield from (one["data"] for one in found.get("media") or ())


def leaks(folder):
    text = b"\n".join(everything(folder)).lower()
    return [word for word in PLANTED if word.lower().encode() in text]


def curate(folder, output, *, is_converted=True):
    """Ingest with de-identification before anything is written, filters, deduplication."""
    given, refused = read_folder(folder)
    made = step().convert(given) if is_converted else steps.Outcome(given, [])
    dropped = [
        *made.dropped,
        *(
            rows_lib.Dropped(id=one.row_id, source="s", line=0, reason="refused", detail=one.reason)
            for one in refused
        ),
    ]
    state = steps.next_state("ingest", {}, steps.State(output, "", 0), output)
    outcome = steps.Outcome(made.kept, dropped)
    steps.commit(state.folder, "000-s-00000.parquet", outcome, given=len(given) + len(refused))
    if not is_converted:
        return []
    run = steps.Run(output=output, workers=1)
    kinds = {"s": "captions"}
    for one in (
        step(),
        filters.Filters(filters.Config(languages=()), kinds),
        dedup_images.DedupImages(dedup_images.Config(), kinds),
        dedup_texts.DedupTexts(dedup_texts.Config(), kinds),
    ):
        state = steps.run_step(one, state, run)
    return [
        found
        for name in rows_lib.names(state.folder / steps.ROWS)
        for found in rows_lib.read(state.folder / steps.ROWS / name)
    ]


@pytest.fixture
def planted(tmp_path):
    """A folder whose names, tags, overlays and pixels name a patient; one file is broken."""
    folder = tmp_path / "ZEBEDEE_QUIRIN"
    values, ink = burn(noise(), "QUIRIN 1957")
    scan(folder / "MRN0815" / "QUIRIN.dcm", values)
    scan(folder / "MRN0815" / "second.dcm", noise(seed=3), SeriesInstanceUID="1.2.3", Modality="MR")
    broken = (folder / "MRN0815" / "QUIRIN.dcm").read_bytes()[:-4000]
    (folder / "broken_QUIRIN.dcm").write_bytes(broken)
    (folder / "notes of ZEBEDEE.txt").write_text(NAME)
    return folder, ink


def test_nothing_that_names_a_patient_is_in_any_output(tmp_path, planted, caplog, capfd):
    folder, ink = planted
    output = tmp_path / "output"
    with caplog.at_level(logging.DEBUG):
        left = curate(folder, output)
    assert len(left) == 2
    assert leaks(output) == []
    said = (caplog.text + "".join(capfd.readouterr())).replace(str(tmp_path), "")
    assert not [word for word in PLANTED if word.lower() in said.lower()]
    [xray] = [found for found in left if found.facts["modality"] == "X-ray"]
    assert np.ptp(pixels(xray.media[0])[ink].astype(int)) < 100, "the text is covered"
    assert xray.facts["burned_in"] == ["detector"] and xray.facts["scans"][0]["body_part"] is None
    reasons = {
        found["reason"]
        for path in output.rglob("dropped/*.parquet")
        for found in parquet.read_table(path).to_pylist()
    }
    assert reasons == {"refused", deidentify.BROKEN}


def test_without_conversion_the_search_finds_the_names(tmp_path, planted):
    output = tmp_path / "output"
    curate(planted[0], output, is_converted=False)
    assert {"ZEBEDEE", "QUIRIN", "MRN0815"} <= set(leaks(output))


def test_the_search_finds_every_planted_value_in_the_files(tmp_path, planted):
    found = leaks(planted[0])
    assert sorted(found) == sorted(PLANTED), "else their absence says nothing"


def test_without_masks_the_text_stays_readable(tmp_path, planted):
    folder, ink = planted
    given = row(medium(folder / "MRN0815" / "QUIRIN.dcm"))
    [masked] = step().convert([given]).kept
    [flagged] = step(dicom="flag").convert([given]).kept
    assert pixels(flagged.media[0])[ink].min() > 100 > pixels(masked.media[0])[ink].mean() + 1
    assert flagged.facts["burned_in"] == masked.facts["burned_in"] == ["detector"]
    [dropped] = step(dicom="drop").convert([given]).dropped
    assert (dropped.reason, dropped.detail) == ("burned-in text", "by detector")
    [unseen] = step(dicom="off").convert([given]).kept
    assert unseen.facts["burned_in"] == ["none"]


def test_pictures_of_scans_are_png_without_any_other_chunk(tmp_path):
    path = scan(tmp_path / "a.dcm", noise())
    [found] = step().convert([row(medium(path))]).kept
    data, place, kinds = found.media[0].data, 8, []
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        kinds.append(kind)
        place += 12 + length
    assert kinds[0] == b"IHDR" and set(kinds) == {b"IHDR", b"IDAT", b"IEND"}
    assert found.media[0].path == ""


def test_series_and_cases_are_told_apart_by_keyed_hashes(tmp_path):
    media = [
        medium(scan(tmp_path / "a.dcm", noise(seed=1), InstanceNumber="1")),
        medium(scan(tmp_path / "b.dcm", noise(seed=2), InstanceNumber="2")),
        medium(scan(tmp_path / "c.dcm", noise(seed=3), SeriesInstanceUID="1.2.9")),
        medium(scan(tmp_path / "d.dcm", noise(seed=4), PatientID="other", SeriesInstanceUID="1.7")),
    ]
    one, two, three, four = (found.facts for found in step().convert(list(map(row, media))).kept)
    assert one["series"] == two["series"] != three["series"]
    assert one["case"] == three["case"] != four["case"]
    assert [facts["scans"][0]["slice"] for facts in (one, two)] == [1, 2]
    other = deidentify.Deidentify(deidentify.Config(), b"another secret of the hashes")
    again = other.convert([row(media[0])]).kept[0].facts
    assert again["case"] != one["case"] and other.settings() != step().settings()
    for digest in (hashlib.sha256, hashlib.md5, hashlib.blake2b):
        assert digest(b"MRN0815").hexdigest()[:12] not in json.dumps([one, two])


def test_columns_that_name_a_patient_become_keyed_hashes():
    known = {"patient": "0815", "subject_id": 10000032, "patient_id": "", "finding": "none"}
    given = [
        dataclasses.replace(row(number=number), meta={**known, "patient": patient})
        for number, patient in enumerate(("0815", "0815", "4711"))
    ]
    one, two, other = (found.meta for found in step().convert(given).kept)
    assert one == two and one["patient"] != other["patient"]
    assert one["patient_id"] == "" and one["finding"] == "none"
    assert one["patient"] == scans.hashed(SALT, "patient", "0815") != one["subject_id"]
    # The twin: with another secret it is another hash, so nobody can try all numbers.
    again = deidentify.Deidentify(deidentify.Config(), b"another secret of the hashes")
    assert again.convert(given[:1]).kept[0].meta["patient"] != one["patient"]
    assert not {"0815", "4711", "10000032"} & set(map(str, [*one.values(), *other.values()]))


def test_the_secret_is_made_once_and_shown_nowhere(tmp_path):
    made = scans.salt(tmp_path / "output")
    assert len(made) == 32 and scans.salt(tmp_path / "output") == made
    assert scans.salt(tmp_path / "other") != made
    file = tmp_path / "output" / scans.SALT_FILE
    assert scans.salt(tmp_path / "third", str(file)) == made
    one = deidentify.Deidentify(deidentify.Config(salt=str(file)), made)
    assert made.hex() not in json.dumps(one.settings()) and str(made) not in repr(one)
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(errors.UserError, match="shorter than 16 bytes"):
        scans.salt(tmp_path, str(tmp_path / "short"))


def regions(*corners):
    names = ("MinX0", "MinY0", "MaxX1", "MaxY1")
    items = []
    for values in corners:
        item = pydicom.Dataset()
        for name, value in zip(names, values, strict=True):
            setattr(item, f"RegionLocation{name}", value)
        items.append(item)
    return pydicom.Sequence(items)


def test_what_lies_outside_the_regions_of_an_ultrasound_is_blackened(tmp_path):
    values = np.maximum(noise(), 40)
    path = scan(
        tmp_path / "a.dcm",
        values,
        Modality="US",
        SequenceOfUltrasoundRegions=regions((0, 30, 59, 95), (80, 40, 127, 79)),
    )
    [found] = step().convert([row(medium(path))]).kept
    seen = pixels(found.media[0])
    inside = np.zeros(seen.shape, bool)
    inside[30:96, :60] = inside[40:80, 80:128] = True
    assert (seen[~inside] == 0).all() and (seen[inside] > 0).all()
    assert found.facts["burned_in"] == ["regions"] and found.facts["modality"] == "ultrasound"
    [flagged] = step(dicom="flag").convert([row(medium(path))]).kept
    assert (pixels(flagged.media[0]) > 0).all() and flagged.facts["burned_in"] == ["regions"]


def test_files_that_say_of_themselves_what_they_show(tmp_path):
    plain = scan(tmp_path / "a.dcm", noise(), BurnedInAnnotation="YES")
    texted = scan(tmp_path / "b.dcm", burn(noise(), "DOE 1234")[0], BurnedInAnnotation="YES")
    face = scan(tmp_path / "c.dcm", noise(), RecognizableVisualFeatures="YES")
    given = [row(medium(path)) for path in (plain, texted, face)]
    made = step().convert(given)
    assert [found.facts["burned_in"] for found in made.kept] == [["tag"]]
    assert [(one.reason, one.detail) for one in made.dropped] == [
        (deidentify.UNFOUND, "by its tag"),
        (deidentify.FACE, "by its tag"),
    ]
    assert len(step(dicom="flag", drop_recognizable=False).convert(given).kept) == 3


def test_clips_and_volumes_keep_their_frames(tmp_path):
    frames = np.stack([noise(seed=seed) for seed in range(5)])
    clip = scan(tmp_path / "clip.dcm", frames, Modality="US", NumberOfFrames=5, FrameTime="40")
    volume = np.random.default_rng(0).normal(size=(40, 50, 6))
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "QUIRIN.nii.gz")
    made = step().convert(
        [
            row(medium(clip, kind="video")),
            row(medium(clip, "#frame=2")),
            row(medium(tmp_path / "QUIRIN.nii.gz", "#frame=3")),
            row(medium(tmp_path / "QUIRIN.nii.gz")),
        ]
    )
    video, still, slice_ = made.kept
    assert len(list(images.open_frames(video.media[0].data))) == 5
    assert np.array_equal(pixels(still.media[0]), frames[2])
    assert still.facts["scans"][0]["slice"] == 3
    assert slice_.facts["scans"][0]["plane"] == "axial" and "modality" not in slice_.facts
    assert [one.reason for one in made.dropped] == [deidentify.BROKEN]
    assert "QUIRIN" not in made.dropped[0].detail


def test_other_pictures_are_flagged_masked_or_dropped_and_lose_what_is_beside_their_pixels(
    tmp_path,
):
    values, ink = burn(noise(), "QUIRIN 1957")
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", NAME)
    Image.fromarray(values).save(tmp_path / "a.png", pnginfo=notes)
    exif = Image.Exif()
    exif[0x010E] = NAME
    file = io.BytesIO()
    Image.fromarray(noise()).save(file, "JPEG", exif=exif, comment=NAME)
    embedded = [
        rows_lib.Medium(kind="image", data=data)
        for data in ((tmp_path / "a.png").read_bytes(), file.getvalue())
    ]
    assert all(b"ZEBEDEE" in one.data for one in embedded)
    named = medium(tmp_path / "a.png")
    given = [row(*embedded), row(named)]
    assert step().convert(given).kept == given, "before the step they pass as they are"
    flagged = step().apply(given, None, "part").kept
    assert not any(b"ZEBEDEE" in one.data for one in flagged[0].media)
    assert [found.facts["burned_in"] for found in flagged] == [["detector", "none"], ["detector"]]
    assert flagged[1].media == (named,)
    assert step().apply(flagged, None, "part").kept == flagged, "and none is done twice"
    masked = step(pictures="mask").apply(given, None, "part").kept
    assert np.ptp(pixels(masked[1].media[0])[ink].astype(int)) < 100 < values[ink].min()
    assert np.array_equal(pixels(masked[0].media[1]), pixels(embedded[1])), "untouched"
    dropped = step(pictures="drop").apply(given, None, "part").dropped
    assert [one.reason for one in dropped] == ["burned-in text"] * 2
    off = step(pictures="off").apply(given, None, "part").kept
    assert [found.facts["burned_in"] for found in off] == [["none", "none"], ["none"]]


def test_a_folder_gives_slices_of_each_series_with_captions_of_known_words(tmp_path):
    folder = tmp_path / "folder"
    for number in range(6):
        scan(
            folder / f"{6 - number}.dcm",
            noise(seed=number),
            Modality="CT",
            BodyPartExamined="CHEST",
            InstanceNumber=str(number + 1),
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )
    scan(folder / "x.dcm", noise(), SeriesInstanceUID="1.5", ViewPosition="PA", Modality="DX")
    scan(folder / "y.dcm", noise(), SeriesInstanceUID="1.6", Modality="OT")
    (folder / ".hidden").write_text("")
    (folder / "README.txt").write_text("none")
    good, bad = read_folder(folder, dataset="slices=2")
    assert [found.texts("assistant")[0] for found in good] == [
        "This is a CT image of the chest in the axial plane. It is number 2 of the 6 pictures of "
        "its series.",
        "This is a CT image of the chest in the axial plane. It is number 5 of the 6 pictures of "
        "its series.",
        "This is an X-ray image, taken from back to front. It is number 1 of the 1 pictures of "
        "its series.",
    ]
    assert [found.media[0].path.rpartition("/")[2] for found in good[:2]] == [
        "5.dcm#frame=0",
        "2.dcm#frame=0",
    ]
    assert sorted(one.reason for one in bad) == [
        "the file is neither DICOM nor NIfTI",
        "the header does not say what it shows",
    ]
    assert len({found.id for found in good}) == 3
    with pytest.raises(errors.UserError, match="slices=8, got 'many'"):
        read_folder(folder, dataset="many")


def test_the_sample_files_are_curated(shared_dir):
    good, bad = read_folder(shared_dir / "data" / "dicom_samples", dataset="slices=2")
    made = step(dicom="off").convert(good)
    assert len(made.kept) >= 15 and not made.dropped
    assert {found.facts.get("modality") for found in made.kept} >= {"CT", "MRI", "ultrasound"}
    assert all(found.media[0].data and not found.media[0].path for found in made.kept)
    assert "the file is neither DICOM nor NIfTI" in {one.reason for one in bad}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dicom": "hide"}, "deidentify.dicom must be one of mask, drop, flag, off, got hide"),
        ({"pictures": ""}, "deidentify.pictures must be one of"),
        ({"salt": "/none"}, "deidentify.salt: no file /none"),
    ],
)
def test_bad_settings_are_named(changes, said):
    with pytest.raises(errors.UserError, match=said):
        deidentify.Config(**changes).validate()
    deidentify.Config().validate()
    assert dataclasses.asdict(deidentify.Config())["dicom"] == "mask"
