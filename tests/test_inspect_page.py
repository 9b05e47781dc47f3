# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The page shows every token, which are trained, and nothing of a file but its pixels."""

import base64
import html.parser
import io
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from lingshu_jax import inspect_page, inspect_summary
from lingshu_jax.data import images, messages, sources, tokenizer_files, too_long
from tests.data import dicom_files

TRICKY = 'a < b & "c" <|im_start|>assistant é 肺'
PICTURE = {"type": "image", "image": Image.new("RGB", (60, 90))}


def turns(*texts):
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    tokenizer_files.write_tokenizer(folder, (), tokenizer_files.MIN_VOCAB)
    return messages.Encoder(folder, min_pixels=3136, max_pixels=50176)


def runs_of(encoder, conversation, **options):
    """(role, whether trained, text, kinds) of every run."""
    encoded = encoder.encode(conversation, **options)
    made = inspect_page.turns(encoded, encoder)
    return [
        (
            turn.role,
            run.is_trained,
            "".join(piece.text for piece in run.pieces),
            {piece.kind for piece in run.pieces},
        )
        for turn in made
        for run in turn.runs
    ]


def trained_text(encoder, conversation, **options):
    return [
        text for _, is_trained, text, _ in runs_of(encoder, conversation, **options) if is_trained
    ]


def row_of(encoder, conversation, roots=(), *, name="row", **meta):
    example = sources.Example(id=name, source="s", line=7, messages=(*conversation,), meta=meta)
    fitted = too_long.Fitted(encoder.encode(conversation))
    return inspect_summary.Row(example, fitted, roots)


def render(encoder, rows, **fields):
    summary = inspect_summary.Summary("t", "hf", {"s": inspect_summary.Counts()}, None, [])
    return inspect_page.render(summary._replace(**fields), rows, encoder)


class Page(html.parser.HTMLParser):
    """What stands in `mark`s, what a reader sees in `i`s, and the pictures."""

    def __init__(self, text):
        super().__init__()
        self.marked, self.tokens, self.pictures, self._open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag in ("mark", "i", "article"):
            self._open.append(tag)
            if tag == "mark" and "article" in self._open:  # not the legend's
                self.marked.append("")
        if tag == "img":
            self.pictures.append(dict(attrs))

    def handle_endtag(self, tag):
        if self._open and tag == self._open[-1]:
            self._open.pop()

    def handle_data(self, data):
        if self._open[-1:] == ["i"] and "article" in self._open:
            self.tokens.append(data)
            if "mark" in self._open:
                self.marked[-1] += data


def test_trained_tokens_are_the_answer_its_end_and_the_newline(encoder):
    assert trained_text(encoder, turns(TRICKY, "Yes, é.")) == ["Yes, é.<|im_end|>\u23ce\n"]


def test_twin_untrained_answer_shows_nothing_trained(encoder):
    conversation = turns(TRICKY, "Yes")
    conversation[1]["loss"] = False
    assert trained_text(encoder, conversation) == []


def test_reasoning_alone_is_a_run_of_its_own(encoder):
    conversation = turns("q", "a <think>b</think> c")
    assert trained_text(encoder, conversation, train_on="reasoning") == ["<think>b</think>"]


def test_turns_are_cut_at_tokens_not_at_words(encoder):
    conversation = turns("no\n<|im_end|>\n<|im_start|>assistant\nyes", "user\nsystem")
    made = inspect_page.turns(encoder.encode(conversation), encoder)
    assert [turn.role for turn in made] == ["system", "user", "assistant"]
    assert [turn.trained for turn in made] == [0, 0, len("user\nsystem") + 2]
    assert sum(turn.tokens for turn in made) == encoder.encode(conversation).num_tokens


def test_only_real_control_tokens_are_marked_as_such(encoder):
    encoded = encoder.encode(turns(TRICKY, "Yes"))
    pieces = [
        piece
        for turn in inspect_page.turns(encoded, encoder)
        for run in turn.runs
        for piece in run.pieces
    ]
    control = [piece.text for piece in pieces if piece.kind == "control"]
    assert control.count("<|im_start|>") == 3 and control.count("<|im_end|>") == 3
    ids = [int(i) for piece in pieces for i in piece.ids.split()]
    assert ids == encoded.tokens.tolist(), "every token is shown"


def test_visual_tokens_are_one_piece(encoder):
    text = "".join(text for _, _, text, _ in runs_of(encoder, turns([PICTURE], "Yes")))
    assert "<|vision_start|>6 x <|image_pad|><|vision_end|>" in text


def test_the_page_says_in_html_what_is_trained(encoder):
    page = render(encoder, [row_of(encoder, turns(TRICKY, f"Yes {TRICKY}"))])
    found = Page(page)
    assert found.marked == [f"Yes {TRICKY}<|im_end|>\u23ce\n"]
    assert TRICKY in "".join(found.tokens) and TRICKY not in page, "text is escaped"
    assert page.count("[trained: ") == page.count(" end of trained]") == 1, "for screen readers"
    assert re.search(r"mark \{[^}]*border-bottom: 2px solid", page), "told apart without colour"


def test_hidden_characters_are_shown(encoder):
    assert inspect_page.visible("a\u202eb\x07\t\u200b\n") == (
        "a[U+202E]b[U+0007]\u21e5\t[U+200B]\u23ce\n"
    )
    page = render(encoder, [row_of(encoder, turns("\u202eevil\0", "Yes"))])
    assert (
        "\u202e" not in page and "\0" not in page and "[U+202E]evil" in "".join(Page(page).tokens)
    )


def test_a_clip_is_shown_by_frames_from_all_of_it(encoder, tmp_path):
    values = np.arange(12, dtype=np.uint8)[:, None, None] * np.ones((1, 56, 56), np.uint8) * 20
    path = dicom_files.write(tmp_path / "clip.dcm", values)
    video = {"type": "video", "video": str(path)}
    page = render(encoder, [row_of(encoder, turns([video, PICTURE, PICTURE], "Yes"))])
    pictures = Page(page).pictures
    names = [picture["alt"] for picture in pictures]
    assert names[:6] == [f"video 1, frame {i} of 12" for i in (2, 4, 6, 8, 10, 12)]
    assert names[6:] == ["image 1", "image 2"]
    assert "56 x 56 pixels, 12 frames, 6 shown, 6 x 4 x 4 patches, 24 tokens" in page


def test_many_images_are_counted_not_shown(encoder):
    page = render(encoder, [row_of(encoder, turns([PICTURE] * 11, "Yes"))])
    assert len(Page(page).pictures) == inspect_page.MAX_MEDIA and "and 3 more" in page


@pytest.fixture
def planted(tmp_path) -> pathlib.Path:
    """A folder of files that say who the patient is."""
    folder = tmp_path / "Jane Doe's home" / "images"
    folder.mkdir(parents=True)
    dicom_files.write(folder / "ct.dcm", np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    clip = np.zeros((5, 64, 64), np.uint16)
    dicom_files.write(folder / "clip.dcm", clip)
    exif = Image.Exif()
    exif[0x010E] = dicom_files.SECRETS[0]
    Image.new("RGB", (64, 64)).save(
        folder / "a.jpg", comment=dicom_files.SECRETS[1].encode(), exif=exif
    )
    return folder


def test_nothing_that_a_header_says_and_no_folder_is_on_the_page(encoder, planted):
    content = [
        {"type": "image", "image": str(planted / "ct.dcm")},
        {"type": "video", "video": str(planted / "clip.dcm")},
        {"type": "image", "image": (planted / "ct.dcm").read_bytes()},
        {"type": "image", "image": str(planted / "a.jpg")},
        {"type": "text", "text": "What?"},
    ]
    roots = (str(planted.parent),)
    page = render(encoder, [row_of(encoder, turns(content, "Yes"), roots)])
    pictures = [picture["src"].partition(",")[2] for picture in Page(page).pictures]
    pixels = [base64.b64decode(picture) for picture in pictures]
    assert len(pixels) == 1 + 5 + 1 + 1
    for secret in dicom_files.SECRETS:
        everywhere = [page.encode(), *pixels]
        assert not any(secret.encode() in place for place in everywhere), secret
    assert str(planted.parent) not in page and "Jane" not in page
    assert "images/ct.dcm" in page and "images/a.jpg" in page
    for picture in pixels:
        assert set(Image.open(io.BytesIO(picture)).info) <= {"jfif", "jfif_version"} | {
            "jfif_unit",
            "jfif_density",
        }


def test_twin_the_secrets_are_in_the_files(planted):
    data = (planted / "ct.dcm").read_bytes() + (planted / "a.jpg").read_bytes()
    assert all(secret.encode() in data for secret in dicom_files.SECRETS)
    assert images.dropped_tags(str(planted / "ct.dcm")) > 0


def test_other_columns_are_shown_as_they_are(encoder):
    page = render(encoder, [row_of(encoder, turns("q", "a"), note="<b>x</b>" * 600)])
    assert "&lt;b&gt;x" in page and "<b>x</b>" not in page
    assert len(page) < len(render(encoder, [])) + 8 * inspect_page.MAX_META


def test_without_rows_the_page_says_so(encoder):
    assert "No row to show." in render(encoder, [])
