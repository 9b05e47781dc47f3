# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import io

import numpy as np
import pytest
from PIL import Image

from data_tools.reviewing import items, windows
from lingshu_jax.common import errors
from lingshu_jax.data import dicom
from tests.data import dicom_files
from tests.data_tools.reviewing import small_review

SMALL = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return items.read(small_review.write_data(tmp_path_factory.mktemp("data")))


def shown(picture, window, place=0):
    """The gray levels that the page makes of what it is sent (DICOM PS3.3, C.11.2.1.2)."""
    told, found = windows.describe(picture), windows.frame(picture, place)
    numbers = np.frombuffer(found.content, "<u2").reshape(-1, found.width)
    values = found.low + numbers * found.step
    _, center, width = told["windows"][window]
    low, span = center - 0.5 - (width - 1) / 2, width - 1
    if told["is_exact"]:
        low, span = center - width / 2, width
    levels = np.clip((values - low) / span, 0, 1) * 255
    return np.rint(255 - levels if told["is_inverted"] else levels)


def test_the_first_window_shows_what_training_sees(data):
    [picture] = small_review.find(data, 6).rows[0].pictures
    told = windows.describe(picture)
    assert told["windows"][0] == ["of the file", 40.0, 400.0]
    assert [name for name, *_ in told["windows"]][-2:] == ["bone", "brain"]
    expected = dicom.read(picture).frames[0, :, :, 0]
    assert np.abs(shown(picture, 0) - expected).max() <= 1
    lung = [name for name, *_ in told["windows"]].index("lung")
    assert np.abs(shown(picture, lung) - expected).max() > 50


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000, {}),
        (np.arange(64, dtype=np.uint16).reshape(8, 8), {"RescaleSlope": 0.013}),
        (SMALL, {"PhotometricInterpretation": "MONOCHROME1"}),
        (SMALL, {"Modality": "MR"}),
    ],
)
def test_files_without_a_window_look_as_in_training(tmp_path, values, fields):
    fields = {"RescaleIntercept": 0, "RescaleSlope": 1} | fields
    path = dicom_files.write(tmp_path / "x.dcm", values, **fields)
    expected = dicom.read(path).frames[0, :, :, 0].astype(int)
    assert np.abs(shown(str(path), 0) - expected).max() <= 1


def test_frames_of_a_clip_come_one_by_one(data):
    [picture] = small_review.find(data, 10).rows[0].pictures
    assert windows.describe(picture)["frames"] == 5
    means = [shown(picture, 0, place).mean() for place in range(5)]
    assert means == [0, 40, 80, 120, 160]
    assert windows.frame(picture, 5) is None


def test_an_ordinary_picture_is_its_pixels_alone(data):
    [picture, _] = small_review.find(data, 5).rows[0].pictures
    assert windows.describe(picture)["windows"] == []
    found = windows.frame(picture, 0)
    assert found.width is None and b"PLANTED" not in found.content
    sent, stored = Image.open(io.BytesIO(found.content)), Image.open(picture)
    assert np.array_equal(np.asarray(sent), np.asarray(stored.convert("RGB")))
    assert windows.frame(picture, 1) is None


def test_no_header_of_a_file_is_sent(data):
    [picture] = small_review.find(data, 6).rows[0].pictures
    told = repr(windows.describe(picture)) + repr(windows.frame(picture, 0))
    assert not [secret for secret in dicom_files.SECRETS if secret in told]


def test_a_broken_file_is_the_users_error(tmp_path):
    path = dicom_files.write(tmp_path / "x.dcm", np.zeros((8, 8), np.uint8), PixelData=b"\0" * 3)
    with pytest.raises(errors.UserError, match="does not decode"):
        windows.describe(str(path))
