# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Counts, and names of files and reasons that say nothing about the machine."""

import pathlib

import pytest

from lingshu_jax import inspect_summary
from lingshu_jax.common import errors
from lingshu_jax.data import batch_plans, messages, sources, tokenizer_files, too_long


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    tokenizer_files.write_tokenizer(folder, (), tokenizer_files.MIN_VOCAB)
    return messages.Encoder(folder, min_pixels=3136, max_pixels=50176)


def example(name, source, answer="Yes"):
    turns = ({"role": "user", "content": "q"}, {"role": "assistant", "content": answer})
    return sources.Example(id=name, source=source, line=1, messages=turns)


def tally_of(encoder, tmp_path, *names, rows=5):
    every = [sources.Source(name=name, path=f"{name}.jsonl") for name in names]
    return inspect_summary.Tally(every, tmp_path, rows=rows, geometry=encoder.geometry)


def accept(tally, encoder, row, change=""):
    tally.accept(row, too_long.Fitted(encoder.encode(row.messages), change))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (
            "/mnt/jane doe/x/a b.png: image does not decode (5 bytes)",
            "FILE: image does not decode (N bytes)",
        ),
        ("no such file: b.png (looked in /mnt/jane doe/x)", "no such file: FILE (looked in FILE)"),
        (
            "../up/c.jpg is outside the image root /mnt/jane doe/x",
            "FILE is outside the image root FILE",
        ),
        ("/etc/passwd is outside", "FILE is outside"),
        ("unknown role 'jane doe'; allowed: user", "unknown role '…'; allowed: user"),
        ("3 <image> in the text, but 12 images", "N <image> in the text, but N images"),
        ("none of PNG, JPEG2000, NIfTI", "none of PNG, JPEG2000, NIfTI"),
        ("no text between <think> and </think>", "no text between <think> and </think>"),
        ("min 0.5 of 1e5", "min N of Ne5"),
        ("got \ud800", "got ?"),
    ],
)
def test_the_kind_of_a_reason(reason, kind):
    hidden = ["/mnt/jane doe/x", "/mnt/jane doe/x/a b.png"]
    assert inspect_summary.kind_of(reason, hidden) == kind


def test_two_rows_with_one_reason_are_one_kind(encoder, tmp_path):
    tally = tally_of(encoder, tmp_path, "s")
    for name in ("a", "b", "c"):
        refused = inspect_summary.refused(
            example(name, "s"), errors.UserError(f"/x/{name}.png: is\n broken")
        )
        tally.refuse(refused, [f"/x/{name}.png"])
    tally.refuse(sources.Dropped(id="d", source="s", line=4, reason="other"))
    summary = tally.summary(title="t", tokenizer="hf", layout=None)
    assert [(r.kind, r.rows, r.first.id) for r in summary.reasons] == [
        ("FILE: is broken", 3, "a"),
        ("other", 1, "d"),
    ]
    assert [row.id for row in tally.dropped] == list("abcd")
    assert summary.total.refused == summary.total.read == 4


def test_counts_add_up_over_sources(encoder, tmp_path):
    tally = tally_of(encoder, tmp_path, "s", "t")
    for name, source in (("a", "s"), ("b", "t"), ("c", "t")):
        accept(tally, encoder, example(name, source), change="cut: x" if name == "c" else "")
    tally.refuse(sources.Dropped(id="d", source="t", line=2, reason="no"))
    summary = tally.summary(title="t", tokenizer="hf", layout=None)
    each = encoder.encode(example("a", "s").messages).num_tokens
    assert summary.by_source["s"] == inspect_summary.Counts(
        read=1, accepted=1, tokens=each, trained=len("Yes") + 2
    )
    assert summary.total == inspect_summary.Counts(
        read=4, accepted=3, refused=1, rewritten=1, tokens=3 * each, trained=15
    )
    table = dict(summary.table())
    assert table["rows read"] == "4" and table["rows shortened to fit"] == "1"
    assert "fill, every row packed once" not in table


def test_fill_is_that_of_the_layout(encoder, tmp_path):
    tally = tally_of(encoder, tmp_path, "s")
    for i in range(4):
        accept(tally, encoder, example(str(i), "s"))
    each = encoder.encode(example("a", "s").messages).num_tokens
    layout = batch_plans.Layout(tokens_per_row=2 * each + 9, patches_per_row=64, rows_per_batch=1)
    fill = tally.summary(title="t", tokenizer="hf", layout=layout).fill
    assert fill.rows == 2 and fill.tokens == 4 * each / (2 * (2 * each + 9)) and fill.patches == 0


def test_a_page_takes_rows_of_all_sources_in_turn():
    rows = [["a0", "a1", "a2", "a3"], [], ["c0"], ["d0", "d1", "d2"]]
    assert inspect_summary.in_turn(rows, 0) == []
    assert inspect_summary.in_turn(rows, 2) == ["a0", "c0"]
    assert inspect_summary.in_turn(rows, 5) == ["a0", "a1", "c0", "d0", "d1"]
    assert inspect_summary.in_turn(rows, 99) == ["a0", "a1", "a2", "a3", "c0", "d0", "d1", "d2"]


def test_a_file_is_named_inside_its_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    source = sources.Source(name="s", path="rows.jsonl", image_root="link")
    roots = inspect_summary.roots_of(source, tmp_path)
    inside = tmp_path / "real" / "sub" / "a.nii#frame=3"
    assert inspect_summary.label(str(inside), roots) == "sub/a.nii#frame=3"
    assert inspect_summary.label(str(tmp_path / "b.png"), roots) == "b.png"
    assert inspect_summary.label("/mnt/jane/c.png", roots) == "c.png"
    assert inspect_summary.label(b"123", roots) == "image file of 3 bytes in memory"
    assert all(pathlib.Path(root).is_absolute() for root in roots)
