# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import base64
import hashlib
import html
import io
import re

import jinja2
import pytest
from PIL import Image

from lingshu_jax.common import pages

PAGE = (
    '{% extends "base.html" %}{% block title %}t{% endblock %}{% block body %}{{ x }}{% endblock %}'
)


def render(**values):
    return pages.environment({"page": PAGE}).get_template("page").render(**values)


def test_everything_is_escaped_and_nothing_is_fetched():
    page = render(x="<script>alert(1)</script>")
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "default-src 'none'" in page and "://" not in page


def test_a_page_runs_no_script_unless_it_names_one():
    assert "script-src" not in render(x="")
    script = "document.title = 'a < b';"
    page = (
        '{% extends "base.html" %}{% block policy %}{{ policy }}{% endblock %}'
        "{% block scripts %}<script>{{ script|safe }}</script>{% endblock %}"
    )
    made = pages.environment({"page": page}).get_template("page")
    shown = made.render(script=script, policy=pages.script_policy(script))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = html.unescape(re.search(r'Policy"\s+content="([^"]*)"', shown)[1])
    assert policy.endswith(f"; script-src 'sha256-{digest}'")
    assert policy.startswith("default-src 'none'; ") and f"<script>{script}</script>" in shown
    assert pages.script_policy(script + " ") not in policy


def test_an_unknown_name_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="x"):
        render()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "–"), ("a", "a"), (0.0, "0"), (3, "3"), (1234567, "1,234,567"), (True, "True")),
        *((7.0634732, "7.063"), (345.17, "345.2"), (12345.6, "12,346"), (3.0458e-7, "3.046e-07")),
        *((-0.04518, "-0.04518"), (float("nan"), "nan"), (2.0, "2"), (1e6, "1,000,000")),
        (float("inf"), "inf"),
    ],
    ids=str,
)
def test_numbers_have_as_many_digits_as_one_reads(value, text):
    assert pages.number(value) == text


def test_shares_are_percent():
    assert [pages.percent(0.437), pages.percent(None)] == ["43.7%", "–"]
    assert pages.interval((0.1, 0.25)) == "[10.0, 25.0]"


def test_a_thumbnail_is_small_and_leaves_the_picture():
    picture = Image.new("RGB", (900, 300), (9, 90, 200))
    head, _, content = pages.thumbnail(picture).partition(",")
    assert head == "data:image/jpeg;base64" and picture.size == (900, 300)
    shown = Image.open(io.BytesIO(base64.b64decode(content)))
    assert max(shown.size) == pages.THUMBNAIL


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_a_small_picture_holds_nothing_but_pixels(form):
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, "JPEG", comment=b"Doe^Jane", icc_profile=b"Doe^Jane")
    picture = Image.open(file)
    assert b"Doe^Jane" in file.getvalue() and "comment" in picture.info
    content = pages.small(picture, form, side=8, quality=60)
    assert b"Doe^Jane" not in content
    shown = Image.open(io.BytesIO(content))
    assert (shown.format, shown.size) == (form, (8, 8))
