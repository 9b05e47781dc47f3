# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
import gzip
import io
import json
import os
import random
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from data_tools import picture_files
from data_tools.synthesis import render_photograph, render_text
from lingshu_jax.common import errors
from lingshu_jax.data import images

QUESTION = (
    "A solution at 25 °C holds 2.0 mol/L of a weak acid with pKₐ = 4.76.\n"
    "Which statement about ΔG° and the Na⁺ gradient is right, if α ≤ 0.05 and β → ∞?"
)
OPTIONS = ("It rises by 10⁻³ μmol.", "It falls.", "It stays as it is.", "None of these.")
LONG = " ".join(f"Sentence {i} of a long question says little." for i in range(400))


def _page(seed, look: render_text.Look = "print", *, question=QUESTION, options=OPTIONS):
    return render_text.plan(question, options, seed=seed, look=look)


def _pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("L")).astype(int)


def _reaches_border(page):
    """Whether ink lies at the very border of the page, where a margin should be."""
    shown = np.asarray(render_text.print_page(dataclasses.replace(page, is_framed=False)))
    is_ink = np.any(shown != np.array(page.paper), axis=-1)
    edge = page.size
    return bool(
        is_ink[:edge].any()
        or is_ink[-edge:].any()
        or is_ink[:, :edge].any()
        or is_ink[:, -edge:].any()
    )


def _words(page):
    return " ".join(line.text for line in page.lines if not line.is_bold).split()


@pytest.mark.parametrize("look", render_text.LOOKS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(look):
    first, again, other = (render_text.draw(_page(seed, look)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_another_process_with_another_order_of_sets_gives_the_same_bytes():
    code = (
        "import hashlib; from data_tools.synthesis import render_text as r;"
        f"asked = {(QUESTION, OPTIONS)!r};"
        "pages = [r.plan(*asked, seed=s, look=k) for s in (3, 4) for k in r.LOOKS];"
        "print(hashlib.sha256(b''.join(map(r.draw, pages))).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashes in ("1", "2")
    }
    assert len(digests) == 1


def test_pages_differ_in_family_size_paper_and_marks():
    pages = [_page(seed, question="What is a cell?") for seed in range(60)]
    assert {page.family for page in pages} >= {"sans", "serif"}
    plain = [_page(seed, question="What is it?", options=()) for seed in range(20)]
    assert {page.family for page in plain} == {"sans", "serif", "mono"}
    assert len({page.size for page in pages}) > 3
    assert len({page.paper for page in pages}) > 3
    assert {word for page in pages for word in _words(page)} >= {"A.", "A)", "(A)"}


def test_every_word_is_printed_in_its_order():
    for seed in range(30):
        page = _page(seed)
        said = [word for word in _words(page) if not re.fullmatch(r"\(?[A-D][.)]", word)]
        assert said == " ".join([QUESTION, *OPTIONS]).split()
    page = _page(0)
    fewer = dataclasses.replace(page, lines=page.lines[:-1])
    assert _words(fewer) == _words(page)[: len(_words(fewer))] != _words(page)


def test_the_whole_text_lies_inside_the_page():
    pages = [_page(seed) for seed in range(25)]
    pages += [_page(seed, question="B" * 400, options=()) for seed in range(5)]
    assert not any(map(_reaches_border, pages))
    narrower = dataclasses.replace(pages[0], width=pages[0].width // 2)
    assert _reaches_border(narrower)


def test_small_letters_have_their_least_height_as_printed():
    for seed in range(30):
        for look in render_text.LOOKS:
            page = _page(seed, look)
            line = render_text._Line("xxxx", 40, 40)
            alone = dataclasses.replace(page, lines=(line,), width=400, height=120, is_framed=False)
            shown = np.asarray(render_text.print_page(alone)).astype(int)
            rows = np.abs(shown - np.array(page.paper)).sum(-1).max(1) > 200
            assert rows.sum() >= render_text.SMALLEST_X_HEIGHT
            assert page.x_height >= render_text.SMALLEST_X_HEIGHT


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("肺炎", "U+708E U+80BA"),
        ("שלום", "U+05DC"),
        ("क्या", "U+0915"),
        ("a\u0329 mark", "U+0329"),
        ("\ue000 private", "U+E000"),
        ("🫀 heart", "U+1FAC0"),
        ("a\x07 bell", "U+0007"),
    ],
)
def test_what_the_fonts_cannot_show_is_refused_by_name(text, named):
    with pytest.raises(render_text.Refused) as refused:
        _page(0, question=f"What is {text}?")
    assert refused.value.reason == render_text.NO_GLYPH
    assert named in refused.value.detail
    assert _page(0, question="What is this?")


def test_a_family_that_lacks_a_character_is_not_drawn():
    families = {_page(seed, question="It is 40 ℃.").family for seed in range(40)}
    assert families == {"sans", "serif"}
    assert {_page(seed, question="It is 40 C.", options=()).family for seed in range(40)} > families


@pytest.mark.parametrize("gone", ["\ufeffA cell.", "A\u200b cell.", "A\u00a0cell.", "A   cell."])
def test_what_nobody_sees_is_no_reason_to_refuse(gone):
    assert _words(_page(0, question=gone, options=())) == ["A", "cell."]


def test_accents_are_composed_before_they_are_printed():
    assert _words(_page(0, question="Ménière", options=())) == ["Ménière"]


def test_an_empty_question_or_option_is_refused():
    for question, options in ((" \n", OPTIONS), (QUESTION, ("a", " "))):
        with pytest.raises(render_text.Refused, match=render_text.NO_TEXT):
            _page(0, question=question, options=options)


@pytest.mark.parametrize("look", render_text.LOOKS)
def test_a_picture_is_small_enough_to_be_seen_as_it_is_or_refused(look):
    areas = []
    for seed in range(5):
        page = _page(seed, look, question=LONG[:1000])
        picture = Image.open(io.BytesIO(render_text.draw(page)))
        areas.append(picture.width * picture.height)
    assert render_text.MOST_PIXELS / 2 < max(areas) <= render_text.MOST_PIXELS
    with pytest.raises(render_text.Refused, match=render_text.TOO_LONG):
        _page(0, look, question=LONG)


@pytest.mark.parametrize(("look", "format"), [("print", "PNG"), ("photograph", "JPEG")])
def test_a_file_holds_pixels_alone(look, format):
    data = render_text.draw(_page(5, look))
    assert Image.open(io.BytesIO(data)).format == format
    assert picture_files.clean(data) == data
    assert images.open_image(data).size == Image.open(io.BytesIO(data)).size


def test_a_comment_in_a_file_would_be_found():
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", "somebody")
    file = io.BytesIO()
    render_text.print_page(_page(5)).save(file, "PNG", pnginfo=notes)
    assert picture_files.clean(file.getvalue()) != file.getvalue()


def _back(numbers, x, y):
    a, b, c, d, e, f, g, h = numbers
    return (a * x + b * y + c) / (g * x + h * y + 1), (d * x + e * y + f) / (g * x + h * y + 1)


def test_corners_in_the_photograph_lead_back_to_the_corners_of_the_page():
    placed = render_photograph.place(600, 400, random.Random(0))
    numbers = render_photograph.coefficients(placed.corners, 600, 400)
    ends = [_back(numbers, *corner) for corner in placed.corners]
    np.testing.assert_allclose(ends, [(0, 0), (600, 0), (600, 400), (0, 400)], atol=1e-6)
    moved = [(x + 5, y) for x, y in placed.corners]
    assert not np.allclose([_back(numbers, *corner) for corner in moved], ends, atol=1)
    for x, y in placed.corners:
        assert 0 < x < placed.width and 0 < y < placed.height


def test_no_part_of_a_photographed_page_is_much_smaller():
    for seed in range(60):
        rng = random.Random(seed)
        width, height = rng.randint(300, 1100), rng.randint(150, 1200)
        placed = render_photograph.place(width, height, rng)
        numbers = render_photograph.coefficients(placed.corners, width, height)
        for x, y in placed.corners:
            right, left = _back(numbers, x + 0.5, y), _back(numbers, x - 0.5, y)
            below, above = _back(numbers, x, y + 0.5), _back(numbers, x, y - 0.5)
            steps = np.subtract([right, below], [left, above])
            assert 1 / np.linalg.norm(steps, 2) >= render_photograph.LEAST_SCALE


def test_a_photograph_keeps_dark_letters_on_a_bright_page():
    for seed in range(4):
        page = _page(seed, "photograph", options=())
        shown = _pixels(render_text.draw(page))
        placed = render_photograph.place(page.width, page.height, random.Random(page.seed))
        assert shown.shape == (placed.height, placed.width)
        blank = _pixels(render_text.draw(dataclasses.replace(page, lines=())))
        darker = blank - shown
        assert np.count_nonzero(darker > 80) > 0.5 * np.count_nonzero(darker > 40) > 500
        pale = dataclasses.replace(page, ink=page.paper)
        assert np.count_nonzero(blank - _pixels(render_text.draw(pale)) > 40) == 0


def test_real_questions_are_printed(shared_dir):
    folder = shared_dir / "data" / "text_mcq" / "medxpertqa_repo"
    printed, drawn = 0, []
    lines = []
    for name in ("medqa", "mmlu_medical"):
        with gzip.open(folder / f"{name}_input.jsonl.gz", "rt", encoding="utf-8") as file:
            lines += [json.loads(line)["question"] for line in file][::60]
    for seed, said in enumerate(lines):
        question, _, rest = said.partition("\nAnswer Choices: ")
        options = [part.strip() for part in re.split(r"\s*\([A-Z]\)\s", f" {rest}")[1:]]
        try:
            page = render_text.plan(question, options, seed=seed, look=render_text.LOOKS[seed % 2])
        except render_text.Refused as refused:
            assert refused.reason == render_text.TOO_LONG
            continue
        printed += 1
        if len(drawn) < 4:
            drawn.append(_pixels(render_text.draw(page)))
    assert printed >= 0.95 * len(lines)
    assert all(np.ptp(picture) > 100 for picture in drawn)


def test_a_broken_picture_is_no_page():
    with pytest.raises(errors.UserError):
        images.open_image(render_text.draw(_page(5))[:100])
