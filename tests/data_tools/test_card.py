# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import base64
import dataclasses
import html.parser
import io
import re

import numpy as np
import pytest
from PIL import Image

from data_tools import card, card_charts, card_samples, manifest, rows, steps
from tests.data_tools import small_curation


class Page(html.parser.HTMLParser):
    """The words of a page, its rows of tables, and its pictures."""

    def __init__(self, text):
        super().__init__()
        self.words, self.table, self.pictures, self.outside = [], [], [], []
        self.is_row = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "tr":
            self.table.append([])
            self.is_row = True
        if tag == "img":
            self.pictures.append(given["src"])
        self.outside += [v for k, v in attrs if k in ("src", "href") and not v.startswith("data:")]

    def handle_endtag(self, tag):
        self.is_row = self.is_row and tag != "tr"

    def handle_data(self, data):
        if said := " ".join(data.split()):
            self.words.append(said)
            if self.is_row:
                self.table[-1].append(said)


@pytest.fixture(scope="module")
def page(curation):
    return Page((curation[0] / "card.html").read_text())


def test_every_step_has_its_counts_and_its_reasons(page):
    assert ["captions", "duplicate picture", "1"] in page.table
    assert ["captions", "short caption", "1"] in page.table
    assert ["texts", "image tag in text", "1"] in page.table
    assert ["filters", "74", "1", "73"] in page.table


def test_duplicates_and_benchmarks_are_told(page):
    assert ["captions", "captions", "1"] in page.table
    assert ["exam", "benchmark picture", "captions", "1"] in page.table
    assert "of exam" in page.words and "names a file" not in page.words


def test_pictures_are_thumbnails_without_anything_beside_them(page):
    assert not page.outside, "the page needs no other file"
    kinds = {re.match(r"data:([\w/+]+)", address)[1] for address in page.pictures}
    assert kinds == {"image/jpeg", "image/svg+xml"}
    shown = [a for a in page.pictures if a.startswith("data:image/jpeg")]
    assert len(shown) > 8
    for address in shown:
        data = base64.b64decode(address.partition(",")[2])
        with Image.open(io.BytesIO(data)) as opened:
            assert not opened.getexif() and "comment" not in opened.info


def test_no_svg_or_picture_has_what_was_planted(page):
    for address in page.pictures:
        data = base64.b64decode(address.partition(",")[2])
        assert not [word for word in small_curation.SECRETS if word.encode() in data]


def test_a_made_row_stands_with_its_parent(curation):
    [step] = (curation[0] / "steps").glob("*_mixture-*")
    row = rows.Row(id="s/1", source="s", messages=small_curation_messages("Made of another."))
    parent = rows.Row(id="s/0", source="s", messages=small_curation_messages("The first."))
    told = {"parents": ["s/0", "s/lost"], "model": "teacher", "file": "x/a.png"}
    made = dataclasses.replace(row, meta={"provenance": told})
    shown = card_samples._made_row(made, {"s/0": parent}, "US")
    first, lost = shown.parents
    assert first.text == (("user", "The first."),)
    assert (lost.source, lost.facts, lost.text) == ("s", "no row of this curation", ())
    assert shown.facts == "a file" and step.is_dir()


def small_curation_messages(text):
    return ({"role": "user", "content": [{"type": "text", "text": text}]},)


def leave_out(folder, *dropped):
    rows_ = steps.Outcome([], list(dropped))
    steps.commit(folder, "a.parquet", rows_, given=len(dropped))
    return card_samples.dropped(folder, None, "US")


def gone(number, reason="refused", detail="", text=""):
    return rows.Dropped(
        id=f"s/{number}", source="s", line=number, reason=reason, detail=detail, text=text
    )


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("no such file: /data/jane/DOE JOHN.png", "no such file"),
        ("images/DOE JOHN.png is outside the image root", "names a file"),
        ("width 40", "width 40"),
        ("of pictures/DOE-JOHN", "of pictures"),
        ("seen on 2019-03-04", "seen on [removed]"),
    ],
)
def test_details_name_no_file_and_no_row(tmp_path, detail, shown):
    [row] = leave_out(tmp_path, gone(1, detail=detail)).shown
    assert "DOE" not in row.detail and "2019" not in row.detail
    assert row.detail == shown or shown.startswith("seen on")


def test_texts_of_rows_left_out_are_masked(tmp_path):
    [row] = leave_out(tmp_path, gone(1, text="Call jane@example.org now")).shown
    assert "jane@" not in row.text[0][1] and row.text[0][1].startswith("Call ")


def test_some_rows_of_each_reason_are_shown_whatever_their_order(tmp_path):
    many = [gone(n, f"reason {n % 2}") for n in range(40)]
    one = leave_out(tmp_path / "one", *many)
    other = leave_out(tmp_path / "two", *many[::-1])
    assert one == other
    assert [row.reason for row in one.shown] == ["reason 0"] * 3 + ["reason 1"] * 3


def test_what_equals_what_is_counted(tmp_path):
    given = [gone(n, "duplicate picture", "of t/9") for n in range(3)]
    found = leave_out(tmp_path, *given, gone(7, "duplicate picture", "of s/8"))
    assert found.equals == {("s", "s"): 1, ("s", "t"): 3}


def test_charts_are_the_same_for_the_same_numbers():
    counts = {f"name {n} $x_": n for n in range(30)}
    assert card_charts.bars(counts) == card_charts.bars(dict(reversed(counts.items())))
    assert card_charts.bars(counts) != card_charts.bars({**counts, "name 3 $x_": 99})
    drawn = card_charts.histogram([1, 2, 4], np.array([3, 1]), label="characters", of="rows")
    assert drawn.startswith("data:image/svg+xml")
    assert b"mathdefault" not in base64.b64decode(drawn.partition(",")[2])


def test_figures_count_each_row_once(curation):
    [folder] = (curation[0] / "steps").glob("*_shards-*")
    origins = {name: manifest.Origin() for name in ("captions", "questions", "texts")}
    seen = card.look(folder, origins)
    assert seen.rows["source"] == {"captions": 19, "questions": 39, "texts": 4}
    assert seen.sides.sum() == 19 + 38 + 1 and seen.lengths.sum() == 62
    titles = [figure.title for figure in card.figures(seen)]
    assert titles[-2:] == ["sizes of pictures", "lengths of texts"]


def test_why_a_benchmark_was_not_looked_at_is_short_and_names_no_folder():
    said = "slake: neither /jane/data nor its subfolder slake holds test.json; `hf` fetches it"
    assert card._reason("slake", said) == "neither data nor its subfolder slake holds test.json"
    assert card._reason("other", "broken") == "broken"
