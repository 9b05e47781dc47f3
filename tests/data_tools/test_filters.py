# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses

import langdetect
import numpy as np
import pytest
from PIL import Image

from data_tools import filter_images, filter_texts, filters, rows
from lingshu_jax.common import errors

LONG = "The chest radiograph of this adult shows clear lungs and a heart of normal size."
KINDS = {"captions": "captions", "chat": "instructions"}


def picture(path, size=(80, 90), *, noise=True):
    values = np.random.default_rng(0).integers(0, 255, (size[1], size[0]), np.uint8)
    Image.fromarray(values if noise else np.full_like(values, 7)).save(path)
    return rows.Medium(kind="image", path=str(path))


def row(answer, *, source="captions", media=(), number=0):
    parts = [{"type": medium.kind, medium.kind: i} for i, medium in enumerate(media)]
    return rows.Row(
        id=f"{source}/{number}",
        source=source,
        messages=(
            {"role": "user", "content": [*parts, {"type": "text", "text": "Describe [3] it."}]},
            {"role": "assistant", "content": [{"type": "text", "text": answer}]},
        ),
        media=tuple(media),
    )


def apply(*given, **changes):
    step = filters.Filters(filters.Config(**changes), KINDS)
    return step.apply(given, None, "part")


def reasons(outcome):
    return [(entry.reason, entry.detail) for entry in outcome.dropped]


def test_pictures_that_are_small_blank_or_broken_are_left_out(tmp_path):
    good = picture(tmp_path / "good.png")
    (tmp_path / "patient7.png").write_bytes(b"no picture")
    given = [
        row(LONG, media=[good]),
        row(LONG, media=[good, picture(tmp_path / "small.png", (63, 90))]),
        row(LONG, media=[picture(tmp_path / "blank.png", noise=False)]),
        row(LONG, media=[rows.Medium(kind="image", path=str(tmp_path / "patient7.png"))]),
        row(LONG, media=[rows.Medium(kind="image", path=str(tmp_path / "none.png"))]),
    ]
    outcome = apply(*given)
    assert [kept.facts["image_sizes"] for kept in outcome.kept] == [[(80, 90)]]
    assert [reason for reason, _ in reasons(outcome)] == ["small", "blank", "broken", "broken"]
    assert reasons(outcome)[0][1] == "63 x 90 pixels"
    assert "patient7" not in reasons(outcome)[2][1], "a file name may say whose it is"


def test_an_edge_of_64_pixels_and_an_embedded_picture_stay(tmp_path):
    picture(tmp_path / "edge.png", (64, 64))
    embedded = rows.Medium(kind="image", data=(tmp_path / "edge.png").read_bytes())
    assert len(apply(row(LONG, media=[embedded])).kept) == 1


def test_a_clip_of_equal_frames_is_left_out(tmp_path):
    one, two = (tmp_path / name for name in ("a.png", "b.png"))
    picture(one)
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (90, 80), np.uint8)).save(two)
    still = rows.Medium(kind="video", path=rows.dump([str(one)] * 12))
    moving = rows.Medium(kind="video", path=rows.dump([str(one), str(two)] * 6))
    outcome = apply(row(LONG, media=[still]), row(LONG, media=[moving]))
    assert reasons(outcome) == [("repeated frames", "1.00 of 12")]
    assert len(outcome.kept) == 1


@pytest.mark.parametrize(
    ("count", "reason"), [(9, "short caption"), (10, None), (1024, None), (1025, "long caption")]
)
def test_captions_have_10_to_1024_tokens(count, reason):
    outcome = apply(row("lung " * count), languages=())
    assert [found for found, _ in reasons(outcome)] == ([reason] if reason else [])
    assert len(apply(row("lung", source="chat")).kept) == 1, "an answer may be short"


@pytest.mark.parametrize(
    ("text", "clean", "kinds"),
    [
        (
            "Figure 2. Axial CT (A) shows a mass (arrow) in the liver [12, 13] (Roe et al., 2010).",
            "Axial CT shows a mass in the liver.",
            {"citation": 2, "figure call-out": 1, "panel": 1, "pointer": 1},
        ),
        (
            "Oedema (white arrowheads), see Fig. 3a-c.",
            "Oedema",
            {"figure call-out": 1, "pointer": 1},
        ),
        ("T1 (TR 500) of a 45-year-old man; vitamin B12.", None, {}),
        ("An arrow through the hand, in 2010 (age 4).", None, {}),
    ],
)
def test_call_outs_and_citations_leave_captions(text, clean, kinds):
    assert filter_texts.clean_caption(text) == (clean or text, kinds)


def test_sentences_with_hidden_words_leave_captions():
    outcome = apply(row(f"Comparison: XXXX. {LONG}"), row("XXXX is seen in the lungs."))
    assert outcome.kept[0].texts("assistant") == [LONG]
    assert outcome.kept[0].facts["removed"] == {"hidden words": 1}
    assert reasons(outcome) == [("short caption", "0 tokens")]


def test_only_answers_are_cleaned_and_only_those_of_captions():
    kept = apply(row(f"{LONG} [4]"), row(f"{LONG} [4]", source="chat")).kept
    assert [found.texts() for found in kept] == [
        ["Describe [3] it.", LONG],
        ["Describe [3] it.", f"{LONG} [4]"],
    ]


def test_languages_that_the_library_is_not_sure_of_stay():
    """English answers of notes: taken for Romanian and for Italian, with little certainty."""
    for said in (
        "Denies diabetes, cardiovascular disease, or pulmonary disease.",
        "Negative dysphagia, negative nausea, negative vomiting, negative hematemesis.",
        "short",
    ):
        assert filter_texts.language(said) in (None, "en")
    assert (
        langdetect.detect("Denies diabetes, cardiovascular disease, or pulmonary disease.") != "en"
    )
    assert filter_texts.language(f"Le poumon est clair. {'La plèvre est libre. ' * 3}") == "fr"
    assert filter_texts.language("Les poumons sont clairs.") is None  # too short to be judged


def test_other_languages_are_left_out_and_unclear_ones_stay():
    german = "Die Lunge zeigt im Röntgenbild keine Auffälligkeiten, das Herz ist nicht vergrößert."
    chinese = "胸部X光片显示双肺清晰，心脏大小正常，未见胸腔积液或气胸。" * 2
    outcome = apply(
        row(german, source="chat"), row(chinese, source="chat"), row("II", source="chat")
    )
    assert reasons(outcome) == [("language", "de")]
    assert [kept.facts["language"] for kept in outcome.kept] == ["zh", None]
    assert not apply(row(german, source="chat"), languages=()).dropped


PERSONAL = (
    "Patient: John Smith, MRN: A12345, call 415-555-2671, write a.b@c.org or see www.c.org, by "
    "Dr. Jane Roe on 12/03/2019 and 4 May 2020, 123-45-6789."
)
HIDDEN = ("Smith", "A12345", "2671", "a.b", "c.org", "Roe", "2019", "2020", "6789")


def test_identifiers_are_masked_and_counted():
    (kept,) = apply(row(f"{LONG} {PERSONAL}", source="chat")).kept
    said = kept.texts("assistant")[0]
    assert LONG in said and not any(word in said for word in HIDDEN)
    assert kept.facts["masked"] == {
        **{"date": 2, "e-mail": 1, "name": 2, "record number": 1},
        **{"social security number": 1, "telephone number": 1, "web address": 1},
    }
    assert filter_texts.personal("A T1 image of the L4/5 disc, 3.5 x 2.0 cm, ICD-10 J18.9") == []


def test_rows_with_identifiers_can_be_dropped_without_showing_them():
    outcome = apply(row(f"{LONG} {PERSONAL}", source="chat"), mask_personal=False)
    (entry,) = outcome.dropped
    assert entry.reason == "personal" and entry.text == ""
    assert "Smith" not in str(entry)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"min_side": 0}, "filters.min_side must be 1 to 10000, got 0"),
        ({"min_tokens": 2000}, "filters.min_tokens must be 0 to 1024, got 2000"),
        ({"max_repeated": 1.5}, "filters.max_repeated must be 0 to 1, got 1.5"),
        ({"tokenizer": "/none"}, "no folder /none"),
    ],
)
def test_bad_settings_are_named(changes, said):
    with pytest.raises(errors.UserError, match=said):
        filters.Config(**changes).validate()


def test_the_rules_of_the_paper_are_the_defaults():
    config = filters.Config()
    assert (config.min_side, config.min_tokens, config.max_tokens) == (64, 10, 1024)
    other = dataclasses.replace(config, min_side=65)
    assert filters.Filters(other, KINDS).settings() != filters.Filters(config, KINDS).settings()


def test_captions_are_counted_with_the_real_tokenizer(shared_dir):
    count = filter_texts.counter(str(shared_dir / "data" / "tokenizer_qwen2"))
    assert count("Pneumothorax is seen.") > 4 == filter_texts.counter("")("a b 右 c")


def test_the_spread_of_grey_values_ignores_a_few_pixels():
    grey = np.full((64, 64), 9, np.uint8)
    grey[0, :20] = 255
    assert filter_images.spread(grey) == 0
