# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from benchmarks import burned_in as benchmark
from data_tools import burned_in


def anatomy(height=180, width=280, seed=0):
    """Smooth shapes of all sizes with noise, as an X-ray has them."""
    rng = np.random.default_rng(seed)
    made = np.zeros((height, width))
    for side in (4, 8, 16, 40):
        coarse = Image.fromarray(rng.normal(size=(side, side)).astype(np.float32))
        made += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / side**0.3
    made = 110 + 45 * made / made.std() + rng.normal(scale=3, size=made.shape)
    return made.clip(0, 255).astype(np.uint8)


def written(image, text, at, *, size=16, shade=255):
    """The picture with a text, and the text's pixels."""
    font = ImageFont.load_default(size)
    picture, ink = Image.fromarray(image), Image.new("L", image.shape[::-1])
    ImageDraw.Draw(picture).text(at, text, shade, font, stroke_width=1, stroke_fill=255 - shade)
    ImageDraw.Draw(ink).text(at, text, 255, font)
    return np.asarray(picture), np.asarray(ink) > 127


def share_covered(ink, boxes):
    covered = np.zeros(ink.shape, bool)
    for left, top, right, bottom in boxes:
        covered[top:bottom, left:right] = True
    return covered[ink].mean()


@pytest.mark.parametrize("size", [12, 16, 24, 40])
@pytest.mark.parametrize("shade", [0, 255])
def test_text_is_found_and_covered(size, shade):
    image, ink = written(anatomy(), "DOE 04711", (12, 100), size=size, shade=shade)
    boxes = burned_in.find(image)
    assert share_covered(ink, boxes) > 0.97
    masked = burned_in.mask(image, boxes)
    assert burned_in.find(masked) == []
    untouched = masked == image
    assert untouched[:80].all(), "what lies far from the text stays"


def test_a_text_covered_too_early_would_be_noticed():
    image, ink = written(anatomy(), "DOE^JANE 04711", (12, 100))
    moved = [
        burned_in.Box(b.left, b.top + 20, b.right, b.bottom + 20) for b in burned_in.find(image)
    ]
    assert share_covered(ink, moved) < 0.8
    assert burned_in.find(burned_in.mask(image, [])) != []


def test_anatomy_and_single_letters_are_no_text():
    assert [burned_in.find(anatomy(seed=seed)) for seed in range(4)] == [[]] * 4
    assert burned_in.find(written(anatomy(), "L", (20, 20), size=24)[0]) == []
    for flat in (0, 90, 255):
        assert burned_in.find(np.full((64, 64), flat, np.uint8)) == []
    assert burned_in.find(np.zeros((3, 5), np.uint8)) == []


def test_two_lines_are_two_boxes_and_one_line_is_one():
    image, _ = written(np.zeros((200, 300), np.uint8), "Smith, John A.", (10, 20))
    image, _ = written(image, "12/03/2019 14:05", (10, 120))
    first, second = burned_in.find(image)
    assert first.top < 20 < 36 < first.bottom < second.top < 120 < second.bottom
    assert first.left < 12 and first.right > 100


def test_boxes_become_one_only_where_that_covers_little_else():
    line = burned_in.Box(0, 0, 100, 10)
    inner, longer = burned_in.Box(10, 2, 40, 8), burned_in.Box(60, 0, 140, 10)
    below = burned_in.Box(0, 9, 30, 20)
    assert burned_in.union([line, inner, longer, below]) == [(0, 0, 140, 10), below]
    assert burned_in.union([]) == []


def test_a_mask_has_the_grey_of_what_is_around_it():
    image = np.full((40, 60), 90, np.uint8)
    image[10:20, 5:50] = 255
    masked = burned_in.mask(image, [burned_in.Box(5, 10, 50, 20)])
    assert (masked == 90).all() and (image[15, 20], image[0, 0]) == (255, 90)
    whole = burned_in.mask(image, [burned_in.Box(0, 0, 60, 40)])
    assert (whole == 0).all()


def test_nine_of_ten_texts_on_real_x_rays_are_found(shared_dir):
    folder = shared_dir / "data" / "hannover_covid_cxr" / "png"
    rng, hits, flags = np.random.default_rng(0), [], []
    for name, grey in benchmark.pictures([folder], 3):
        flags.append((name, len(burned_in.find(grey))))
        for size in (12, 20):
            planted = benchmark.plant(grey, rng, size)
            assert planted is not None
            assert not benchmark.is_found(planted, []), "without boxes nothing is found"
            hits.append(benchmark.is_found(planted, burned_in.find(planted.image)))
    assert np.mean(hits) >= 0.9
    assert sum(count for _, count in flags) <= 2


@pytest.mark.parametrize("shape", [(50, 70), (5, 200), (9, 9), (2, 3)])
def test_the_lowest_and_highest_around_a_pixel_are_those_of_scipy(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for size in (3, 9):
        for pick, wanted in (
            (np.minimum, ndimage.minimum_filter(image, size)),
            (np.maximum, ndimage.maximum_filter(image, size)),
        ):
            np.testing.assert_array_equal(burned_in._extreme(pick, image, size), wanted)
    mask = image > 99
    core = burned_in._extreme(np.minimum, mask, 3)
    np.testing.assert_array_equal(core, ndimage.minimum_filter(mask.astype(np.uint8), 3) > 0)
    assert core.dtype == np.bool_ and (shape == (2, 3) or (core != mask).any())


def test_the_boxes_of_parts_are_those_of_scipy():
    seen = np.random.default_rng(1).random((40, 60)) > 0.7
    labels = np.empty(seen.shape, np.int32)
    ndimage.label(seen, output=labels)
    wanted = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)]
    inside = np.flatnonzero(seen)
    found = burned_in._boxes(labels.ravel()[inside], inside, len(wanted), 60)
    np.testing.assert_array_equal(found, wanted)
    nothing = np.zeros(0, np.int64)
    assert burned_in._boxes(nothing, nothing, 0, 60).shape == (0, 4)
