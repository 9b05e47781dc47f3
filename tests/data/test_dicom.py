# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""DICOM pixels beside pixels made by hand; what identifies a person stays behind."""

import dataclasses
import gzip
import io
import logging
import traceback
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import encaps, pixels, uid

from lingshu_jax.common import errors
from lingshu_jax.data import dicom, volumes
from tests.data import dicom_files

BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"
SAMPLE_SYNTAXES = 9  # of the folder dicom_samples


def gray(volume: volumes.Volume) -> np.ndarray:
    assert (volume.frames == volume.frames[..., :1]).all()
    return volume.frames[..., 0]


def window_by_hand(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2, case by case."""
    low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
    between = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    return np.rint(np.where(values <= low, 0, np.where(values > high, 255, between)))


def palette_by_hand(stored: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    channels = []
    for name in ("Red", "Green", "Blue"):
        count, first, bits = dataset[f"{name}PaletteColorLookupTableDescriptor"].value
        table = np.frombuffer(dataset[f"{name}PaletteColorLookupTableData"].value, "<u2")
        assert len(table) == count and bits == 16
        channels.append(table[np.clip(stored.astype(int) - first, 0, count - 1)] >> 8)
    return np.stack(channels, axis=-1)


def by_hand(dataset: pydicom.Dataset, stored: np.ndarray) -> np.ndarray:
    """Frames of a file of one window, without tables, from its stored values."""
    is_color = dataset.SamplesPerPixel == 3
    stored = stored.reshape(-1, dataset.Rows, dataset.Columns, *([3] if is_color else []))
    if is_color:
        return stored >> (dataset.BitsStored - 8)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return palette_by_hand(stored, dataset)
    values = stored * float(dataset.get("RescaleSlope", 1))
    values = values + float(dataset.get("RescaleIntercept", 0))
    if "WindowCenter" in dataset:
        center, width = dataset.WindowCenter, dataset.WindowWidth
        if isinstance(center, pydicom.multival.MultiValue):
            center, width = center[0], width[0]
        seen = window_by_hand(values, float(center), float(width))
    elif dataset.BitsStored == 1:
        seen = values * 255
    elif dataset.BitsStored == 8:
        seen = values
    else:
        real = values[stored != dataset.get("PixelPaddingValue", 2**30)]
        low, high = np.percentile(real, (0.5, 99.5))
        seen = np.rint((np.clip(values, low, high) - low) / (high - low) * 255)
    seen = 255 - seen if dataset.PhotometricInterpretation == "MONOCHROME1" else seen
    return np.repeat(seen[..., None], 3, axis=-1)


def with_whole_scan(path: Path) -> pydicom.Dataset:
    """The one file of a 12-bit scan that claims to hold a single coefficient, corrected."""
    raw = path.read_bytes()
    place = raw.index(b"\xff\xda\x00\x08\x01") + 7
    assert raw[place : place + 3] == b"\0\0\0"
    return pydicom.dcmread(io.BytesIO(raw[:place] + b"\0\x3f\0" + raw[place + 3 :]))


def test_every_sample_equals_a_decode_by_hand(shared_dir: Path) -> None:
    files = sorted((shared_dir / "data/dicom_samples").rglob("*.dcm"))
    syntaxes = set()
    for path in files:
        dataset = pydicom.dcmread(path)
        if path.name == "JPEG-lossy.dcm":
            dataset = with_whole_scan(path)
        syntax = dataset.file_meta.TransferSyntaxUID
        # Pillow decodes some of them too; it is a decoder that ours does not try first.
        available = pixels.get_decoder(syntax).available_plugins
        wide = dataset.BitsStored > 8 and syntax == uid.JPEGExtended12Bit
        plugin = "pillow" if "pillow" in available and not wide else ""
        expected = by_hand(dataset, pixels.pixel_array(dataset, decoding_plugin=plugin))
        ours = dicom.read(path).frames
        # Two decoders of a lossy colour stream may differ in the last bits.
        lossy = dataset.get("PhotometricInterpretation", "").startswith("YBR_FULL")
        difference = np.abs(ours.astype(int) - expected)
        assert ours.shape == expected.shape and difference.max() <= (3 if lossy else 0), path.name
        assert dicom.read_shape(path)[:3] == ours.shape[:3]
        syntaxes.add(syntax)
    assert len(files) == 34 and len(syntaxes) == SAMPLE_SYNTAXES


def test_without_rescale_a_sample_would_differ(shared_dir: Path) -> None:
    path = shared_dir / "data/dicom_samples/pydicom_data/MR2_J2KI.dcm"
    dataset = pydicom.dcmread(path)
    stored = dataset.pixel_array
    assert (by_hand(dataset, stored) == dicom.read(path).frames).all()
    del dataset.RescaleSlope
    assert (by_hand(dataset, stored) != dicom.read(path).frames).any()


def test_window_after_rescale(tmp_path: Path) -> None:
    # Hounsfield 0, 39, 40, 80: window 40 +- 40 of DICOM's formula, c - 0.5 and w - 1.
    stored = np.array([[1024, 1063, 1064, 1104]], np.int16)
    fields: dict[str, Any] = {"WindowCenter": [40, 600], "WindowWidth": [80, 2000]}
    path = dicom_files.write(
        tmp_path / "a.dcm", stored, RescaleSlope=1, RescaleIntercept=-1024, **fields
    )
    expected = [round(255 * ((v - 39.5) / 79 + 0.5)) for v in (0, 39, 40)] + [255]
    assert gray(dicom.read(path)).tolist() == [[expected]]
    twin = dicom_files.write(tmp_path / "b.dcm", stored, **fields)  # no rescale: all above
    assert (gray(dicom.read(twin)) == 255).all()


def test_monochrome1_is_turned_round(tmp_path: Path) -> None:
    stored = np.array([[0, 100, 255]], np.uint8)
    one = dicom_files.write(tmp_path / "a.dcm", stored, PhotometricInterpretation="MONOCHROME1")
    two = dicom_files.write(tmp_path / "b.dcm", stored)
    assert gray(dicom.read(two)).tolist() == [[[0, 100, 255]]]
    assert gray(dicom.read(one)).tolist() == [[[255, 155, 0]]]


@pytest.mark.parametrize(
    ("fields", "stored", "expected"),
    [
        pytest.param({}, [-128, 0, 127], [0, 128, 255], id="signed"),
        pytest.param({"BitsStored": 4, "HighBit": 3}, [0, 5, 15], [0, 85, 255], id="4_bits"),
        pytest.param(
            {"RescaleSlope": 1, "RescaleIntercept": 0}, [0, 5, 200], [0, 5, 200], id="identity"
        ),
    ],
)
def test_values_of_few_bits_keep_their_range(
    fields: dict[str, Any], stored: list[int], expected: list[int], tmp_path: Path
) -> None:
    values = np.array([stored], np.int8 if min(stored) < 0 else np.uint8)
    path = dicom_files.write(tmp_path / "a.dcm", values, **fields)
    assert gray(dicom.read(path)).tolist() == [[expected]]


@pytest.mark.parametrize("limit", [None, -1990], ids=["one_value", "range"])
def test_without_a_window_wide_values_are_stretched_and_padding_is_ignored(
    limit: int | None, tmp_path: Path
) -> None:
    stored = np.full((20, 20), -2000, np.int16)
    stored[0] = -2000 if limit is None else limit
    stored[5:15, 5:15] = np.arange(100).reshape(10, 10) * 10
    padding: dict[str, Any] = {"PixelPaddingValue": -2000}
    if limit is not None:
        padding["PixelPaddingRangeLimit"] = limit
    got = gray(dicom.read(dicom_files.write(tmp_path / "a.dcm", stored, **padding)))[0]
    assert got[0, 0] == 0 and got[14, 14] == 255 and 120 <= got[9, 14] <= 130
    twin = dicom_files.write(tmp_path / "b.dcm", stored)
    assert gray(dicom.read(twin))[0, 9, 14] > 200


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("vr", ["US", "OW"])
def test_voi_table_follows_the_rescale(bits: int, vr: str, tmp_path: Path) -> None:
    # A table of 1000 entries from value -100 on; its largest entry is white.
    table = np.minimum(np.arange(1000) // 4, 200).astype(np.uint16)
    voi = dicom_files.item()
    voi[0].add_new("LUTDescriptor", "SS", [1000, -100, bits])
    data = table.tolist() if vr == "US" else table.tobytes()
    voi[0].add_new("LUTData", vr, data)
    stored = np.array([[0, 1000, 1100, 1500, 4000]], np.uint16)
    path = dicom_files.write(
        tmp_path / "a.dcm",
        stored,
        RescaleSlope=1,
        RescaleIntercept=-1000,
        VOILUTSequence=voi,
        WindowCenter=0,  # the table goes first
        WindowWidth=1,
    )
    places = np.clip(stored.astype(int) - 1000 + 100, 0, 999)
    expected = np.rint(table[places] / 200 * 255).astype(int)
    assert gray(dicom.read(path))[0].tolist() == expected.tolist()
    assert expected.tolist() == [[0, 32, 64, 191, 255]]


def test_modality_table_instead_of_a_slope(tmp_path: Path) -> None:
    table = dicom_files.item(LUTDescriptor=[4, 10, 16], ModalityLUTType="US")
    table[0].add_new("LUTData", "US", [0, 100, 50, 200])
    stored = np.array([[9, 10, 11, 12, 13, 99]], np.uint16)
    path = dicom_files.write(
        tmp_path / "a.dcm", stored, ModalityLUTSequence=table, WindowCenter=100.5, WindowWidth=201
    )
    assert gray(dicom.read(path))[0, 0].tolist() == [0, 0, 128, 64, 255, 255]


def test_every_frame_has_its_own_groups(tmp_path: Path) -> None:
    groups = pydicom.Sequence()
    for slope, center in ((1, 50), (2, 100)):
        frame = pydicom.Dataset()
        frame.PixelValueTransformationSequence = dicom_files.item(
            RescaleSlope=slope, RescaleIntercept=0
        )
        frame.FrameVOILUTSequence = dicom_files.item(
            WindowCenter=center + 0.5, WindowWidth=2 * center + 1
        )
        groups.append(frame)
    stored = np.array([[[0, 25, 100]], [[0, 25, 100]]], np.uint16)
    path = dicom_files.write(tmp_path / "a.dcm", stored, PerFrameFunctionalGroupsSequence=groups)
    assert gray(dicom.read(path)).tolist() == [[[0, 64, 255]], [[0, 64, 255]]]
    groups[1].PixelValueTransformationSequence[0].RescaleSlope = 1
    twin = dicom_files.write(tmp_path / "b.dcm", stored, PerFrameFunctionalGroupsSequence=groups)
    assert gray(dicom.read(twin)).tolist() == [[[0, 64, 255]], [[0, 32, 128]]]


@pytest.mark.parametrize("big", [False, True], ids=["little_endian", "big_endian"])
def test_palette_in_both_byte_orders(big: bool, tmp_path: Path) -> None:
    tables = {"Red": [0, 0xFF00, 0], "Green": [0, 0, 0x8000], "Blue": [0xFFFF, 0, 0x0100]}
    fields: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, table in tables.items():
        fields[f"{name}PaletteColorLookupTableDescriptor"] = [3, 0, 16]
        order = ">u2" if big else "<u2"
        fields[f"{name}PaletteColorLookupTableData"] = np.array(table, order).tobytes()
    stored = np.array([[0, 1, 2, 9]], np.uint8)
    syntax = uid.ExplicitVRBigEndian if big else uid.ExplicitVRLittleEndian
    path = dicom_files.write(tmp_path / "a.dcm", stored, syntax=syntax, **fields)
    expected = [[0, 0, 255], [255, 0, 0], [0, 128, 1], [0, 128, 1]]
    assert dicom.read(path).frames[0, 0].tolist() == expected


def test_frames_and_header(tmp_path: Path) -> None:
    stored = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    path = dicom_files.write(
        tmp_path / "a.dcm",
        stored,
        BodyPartExamined="WHOLE BODY",
        ImageOrientationPatient=[1, 0, 0, 0, 0.1, -1],
        SliceThickness="2.5",
        PixelSpacing=[0.5, 0.25],
        FrameTime="40",
    )
    volume = dicom.read(path)
    assert (gray(volume) == stored).all()
    assert volume.header == volumes.Header(
        modality="CT",
        body_part="WHOLEBODY",
        plane="coronal",
        slice_thickness_mm=2.5,
        spacing_mm=(0.5, 0.25),
        fps=25.0,
    )
    assert dicom.read_shape(path) == (3, 4, 5, 25.0)
    assert dicom.read_shape(path.read_bytes()) == (3, 4, 5, 25.0)


@pytest.mark.parametrize(
    ("fields", "fps"),
    [
        ({}, None),
        ({"CineRate": 12, "FrameTime": "40"}, 12.0),
        ({"CineRate": 0, "FrameTime": "40"}, 25.0),
        ({"FrameTime": "0"}, None),
        ({"FrameTimeVector": ["0", "100", "50"]}, 1000 / 75),
        ({"RecommendedDisplayFrameRate": 8}, 8.0),
    ],
    ids=str,
)
def test_frame_rate(fields: dict[str, Any], fps: float | None, tmp_path: Path) -> None:
    path = dicom_files.write(tmp_path / "a.dcm", np.zeros((3, 4, 4), np.uint8), **fields)
    assert dicom.read_shape(path).fps == fps == dicom.read(path).header.fps


def test_nothing_personal_leaves_the_reader(tmp_path: Path) -> None:
    stored = np.zeros((4, 4), np.uint8)
    # A name in a technical field is no known word and stays behind as well.
    path = dicom_files.write(
        tmp_path / "a.dcm", stored, BodyPartExamined="JANE DOE", Modality="JANE"
    )
    volume = dicom.read(path)
    kept = repr(dataclasses.asdict(volume.header))
    assert not any(secret in kept for secret in (*dicom_files.SECRETS, "JANE"))
    # PatientName, -ID, -BirthDate, institution, physician, two private elements, two UIDs.
    assert volume.dropped_tags == 9
    raw = path.read_bytes()
    assert all(secret.encode() in raw for secret in dicom_files.SECRETS)


def test_header_values_reach_no_log_no_warning_and_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "JANE"
    path = dicom_files.write(tmp_path / "a.dcm", np.zeros((4, 4), np.uint8), SeriesNumber="4711")
    # A value that breaks the rules of its element, which pydicom quotes in a warning and a log.
    spoiled = path.read_bytes().replace(b"IS\x04\x004711", b"IS\x04\x00JANE")
    with caplog.at_level(logging.DEBUG):
        dataset = pydicom.dcmread(io.BytesIO(spoiled))
        with pytest.warns(UserWarning, match=secret):
            assert secret in str(dataset.SeriesNumber)
        assert dicom.read(spoiled).frames.shape == (1, 4, 4, 3)
        for broken in (spoiled[:-8], spoiled[:400], spoiled.replace(b"\x04\0", b"\x09\0")):
            with pytest.raises(errors.UserError) as caught:
                dicom.read(broken)
            assert secret not in "".join(traceback.format_exception(caught.value))
        logging.getLogger("pydicom.pixels.decoders.base").error(secret)  # as its decoders do
    out, err = capfd.readouterr()
    assert secret not in caplog.text + out + err


def test_an_unreadable_element_is_left_behind_and_counted(tmp_path: Path) -> None:
    path = dicom_files.write(tmp_path / "a.dcm", np.zeros((4, 4), np.uint8), PatientWeight="70.5")
    before = dicom.read(path)
    spoiled = path.read_bytes().replace(b"70.5", b"abcd")
    assert dicom.read(spoiled).dropped_tags == before.dropped_tags


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"PixelData": None}, "holds no pixel data"),
        ({"PixelData": b"\0" * 4}, r"does not decode \(ValueError; Explicit VR Little Endian\)"),
        ({"Rows": 65535, "Columns": 65535}, "declares 1 x 65535 x 65535 x 1 pixel values"),
        ({"Rows": None}, "holds no picture: its header has no Rows and Columns"),
        ({"NumberOfFrames": "4711"}, "pixel values|does not decode"),
        ({"NumberOfFrames": 0, "Rows": 0}, "declares 1 x 0 x 4 x 1 pixel values"),
        ({"NumberOfFrames": 2**30}, "pixel values; allowed: 1 to"),
        ({"SamplesPerPixel": 4}, "has 4 samples a pixel; allowed: 1 and 3"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_pixels_are_one_line_without_header_values(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    path = dicom_files.write(tmp_path / "a.dcm", np.zeros((4, 4), np.uint16), **fields)
    with pytest.raises(errors.UserError, match=reason) as caught:
        dicom.read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not any(secret in str(caught.value) for secret in dicom_files.SECRETS)


def test_a_file_that_is_not_dicom_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("hello")
    for read in (dicom.read, dicom.read_shape):
        with pytest.raises(errors.UserError, match="a.dcm is not a DICOM file"):
            read(tmp_path / "a.dcm")
        with pytest.raises(errors.UserError, match="image not found: .*b.dcm"):
            read(tmp_path / "b.dcm")


@pytest.mark.parametrize(
    ("syntax", "reason"),
    [
        (uid.MPEG4HP41, "MPEG-4 AVC/H.264 High Profile.*: pydicom has no decoder for it"),
        (uid.UID("1.2.3.4711"), "unknown transfer syntax: pydicom has no decoder for it"),
    ],
    ids=["video", "private"],
)
def test_an_unknown_syntax_is_named(tmp_path: Path, syntax: uid.UID, reason: str) -> None:
    path = dicom_files.write(tmp_path / "a.dcm", np.zeros((4, 4), np.uint8))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encaps.encapsulate([b"\0" * 16])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    with pytest.raises(errors.UserError, match=reason) as caught:
        dicom.read(path)
    assert "4711" not in str(caught.value)


def test_a_missing_decoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = pixels.get_decoder(uid.JPEG2000Lossless)
    monkeypatch.setattr(decoder, "_available", {})
    monkeypatch.setattr(decoder, "_unavailable", {"pylibjpeg": ("pylibjpeg>=2.0",)})
    expected = r"JPEG 2000 .*requires pylibjpeg>=2\.0; pip install 'lingshu-jax\[data\]'"
    with pytest.raises(errors.UserError, match=expected):
        dicom.read(BUNDLED / "MR_small_jp2klossless.dcm")


@pytest.mark.parametrize(
    ("name", "marker", "width"),
    [
        ("MR_small_jp2klossless.dcm", b"\xff\x4f\xff\x51", 4),
        ("SC_rgb_jpeg_gdcm.dcm", b"\xff\xc3", 2),
    ],
)
def test_compressed_bombs_are_refused(name: str, marker: bytes, width: int) -> None:
    raw = (BUNDLED / name).read_bytes()
    dicom.read(raw)
    start = raw.index(marker) + (8 if width == 4 else 5)
    sides = (60_000).to_bytes(width, "big") * 2
    with pytest.raises(errors.UserError, match="frame has 60000 x 60000 pixels, the header says"):
        dicom.read(raw[:start] + sides + raw[start + len(sides) :])


def test_what_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, deflated = (
        (BUNDLED / "MR_small.dcm").read_bytes(),
        (BUNDLED / "image_dfl.dcm").read_bytes(),
    )
    packed = gzip.compress(plain)
    assert (dicom.read(packed).frames == dicom.read(plain).frames).all()
    assert dicom.read(deflated).frames.std() > 10
    monkeypatch.setattr(dicom, "MAX_BYTES", 5000)
    for bomb in (packed, deflated):
        with pytest.raises(errors.UserError, match="unpacks to more than 5000 bytes"):
            dicom.read(bomb)
        with pytest.raises(errors.UserError, match="unpacks to more than 5000 bytes"):
            dicom.read_shape(bomb)


@pytest.mark.parametrize("cut", [200, 1200, 9000])
def test_truncated_files_are_one_line(cut: int) -> None:
    raw = (BUNDLED / "MR_small.dcm").read_bytes()
    for data in (raw[:cut], gzip.compress(raw)[: cut // 2], zlib.compress(raw)[:cut]):
        with pytest.raises(errors.UserError) as caught:
            dicom.read(data)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "modality"),
    [
        ("CT_small.dcm", (1, 128, 128, 3), "CT"),
        ("MR_small_RLE.dcm", (1, 64, 64, 3), "MR"),
        ("MR_small_jpeg_ls_lossless.dcm", (1, 64, 64, 3), "MR"),
        ("JPEG2000.dcm", (1, 1024, 256, 3), "NM"),
        ("examples_palette.dcm", (1, 350, 800, 3), "US"),
        ("examples_ybr_color.dcm", (30, 240, 320, 3), "US"),
        ("SC_rgb_rle_16bit_2frame.dcm", (2, 100, 100, 3), "OT"),
        ("zipMR.gz", (1, 64, 64, 3), "MR"),
    ],
)
def test_real_files_of_many_kinds(name: str, shape: tuple[int, ...], modality: str) -> None:
    volume = dicom.read(BUNDLED / name)
    assert (volume.frames.shape, volume.header.modality) == (shape, modality)
    assert volume.frames.std() > 10 and volume.dropped_tags > 0
    assert dicom.read_shape(BUNDLED / name)[:3] == shape[:3]


def test_codings_of_one_picture_agree() -> None:
    plain = dicom.read(BUNDLED / "MR_small.dcm").frames
    for name in ("MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_jp2klossless.dcm"):
        assert (dicom.read(BUNDLED / name).frames == plain).all()


def test_sixteen_bit_colour_equals_eight_bit() -> None:
    wide = dicom.read(BUNDLED / "SC_rgb_rle_16bit.dcm").frames
    assert (wide == dicom.read(BUNDLED / "SC_rgb_rle.dcm").frames).all()
