# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Long captions: what is asked in which stage, and what becomes of the replies."""

import dataclasses
import io
import json

import pytest
from PIL import Image

from data_tools import modality_names
from data_tools import rows as rows_lib
from data_tools.synthesis import (
    asks,
    caption_prompts,
    desk,
    label_presets,
    labelled,
    long_captions,
    seeds,
)
from lingshu_jax.common import errors
from tests.data_tools.synthesis import stand_in

CAPTION = " ".join(["The smear shows pale cells that lie apart from each other."] * 5)
FACTS = long_captions.Facts(overall="o", region="r", relations="x", description="THE FACTS")
PREFERENCE = long_captions.Preference(description="THE PREFERENCE")


def make_seed(tmp_path, **fields):
    path = tmp_path / "a.png"
    Image.new("RGB", (80, 60), (90, 90, 90)).save(path)
    known = {
        "id": "set/1",
        "source": "set",
        "media": (rows_lib.Medium(kind="image", path=str(path)),),
        "labels": {"finding": "glioma", "age": "77"},
        "modality": "MRI",
    }
    return seeds.Seed(**{**known, **fields})


def make(**fields):
    return long_captions.LongCaptions(long_captions.Config(**fields))


def drive(recipe, seed, *captions, draw=0):
    """The questions, and what became of the seed, when these captions are summed up."""
    writing, questions, left = recipe.write(seed, draw), [], list(captions)
    ask = next(writing)
    try:
        while True:
            questions.append(ask)
            ask = writing.send(_reply(ask, left))
    except StopIteration as end:
        return questions, end.value


def _reply(ask, left):
    known = {long_captions.Facts: FACTS, long_captions.Preference: PREFERENCE}
    return known.get(ask.reply) or long_captions.Summary(caption=left.pop(0))


def test_a_boxed_picture_is_asked_about_and_the_raw_one_is_kept(tmp_path):
    seed = make_seed(tmp_path, boxes=(seeds.Box("tumour", 10, 10, 40, 40),))
    (facts, preference, summary), written = drive(make(), seed, CAPTION)
    with Image.open(io.BytesIO(facts.media[0].data)) as shown:
        assert shown.convert("RGB").getpixel((20, 9)) != (90, 90, 90)
    assert "glioma" in facts.text and "1: tumour" in facts.text and "77" not in facts.text
    assert facts.prompt is caption_prompts.BOXED
    assert preference.media == seed.media and "glioma" not in preference.text
    assert summary.media == ()
    assert "THE FACTS" in summary.text and "THE PREFERENCE" in summary.text
    (draft,) = written.drafts
    assert draft.media == seed.media and draft.kind == "caption"
    user, assistant = draft.messages
    assert user["content"][0] == asks.picture(0)
    assert user["content"][1]["text"] in caption_prompts.REQUESTS
    assert assistant["content"] == [asks.text(CAPTION)]
    assert draft.checks["regions"] == 1 and draft.checks["removed"] == ["age"]
    assert draft.checks["coarse_caption"] == "This is an MR slice. Finding: glioma."
    said = json.dumps([draft.messages, draft.checks])
    assert "THE FACTS" not in said and "THE PREFERENCE" not in said


def test_without_regions_the_raw_picture_is_asked_about(tmp_path):
    seed = make_seed(tmp_path)
    (facts, _, _), _ = drive(make(), seed, CAPTION)
    assert facts.prompt is caption_prompts.RAW and facts.media == seed.media
    assert "numbered rectangles" not in facts.text


def test_knowledge_is_attached_and_its_origin_is_kept(tmp_path):
    row = {"term": "Glioma", "text": "Comes from glia.", "source": "b 1", "licence": "CC0-1.0"}
    path = tmp_path / "passages.jsonl"
    path.write_text(json.dumps(row) + "\n")
    recipe = make(knowledge=str(path))
    (facts, preference, _), written = drive(recipe, make_seed(tmp_path), CAPTION)
    assert "- Glioma: Comes from glia." in facts.text and "glia" not in preference.text
    assert written.drafts[0].checks["knowledge"] == [
        {"term": "Glioma", "source": "b 1", "licence": "CC0-1.0"}
    ]
    (bare, _, _), _ = drive(make(), make_seed(tmp_path), CAPTION)
    assert "Background:" not in bare.text
    assert recipe.settings()["knowledge"] != make().settings()["knowledge"]


@pytest.mark.parametrize(
    "said",
    [
        "The red box shows a mass.",
        "As stated in the caption, it is a glioma.",
        "The region of interest is bright.",
    ],
)
def test_a_caption_that_mentions_what_was_given_loses_the_seed(tmp_path, said):
    _, written = drive(make(), make_seed(tmp_path), f"{CAPTION} {said}")
    assert not written.drafts
    assert [loss.reason for loss in written.losses] == [long_captions.MENTIONS]
    assert written.losses[0].detail


def test_ungrounded_statements_are_flagged_or_thrown_out(tmp_path):
    said = f"{CAPTION} There is a large pleural effusion on the left."
    seed = make_seed(tmp_path)
    _, written = drive(make(), seed, said)
    (flag,) = written.drafts[0].checks["ungrounded"]
    assert "effusion" in flag["sentence"] and flag["words"]
    _, strict = drive(make(drop_ungrounded=True), seed, said)
    assert not strict.drafts and strict.losses[0].reason == long_captions.UNGROUNDED
    _, kept = drive(make(drop_ungrounded=True), seed, f"{CAPTION} A glioma is seen.")
    assert kept.drafts and kept.drafts[0].checks["ungrounded"] == []


def test_short_captions_are_thrown_out(tmp_path):
    _, written = drive(make(), make_seed(tmp_path), "A glioma.")
    assert written.losses == (asks.Loss(long_captions.SHORT, "2 words"),)


def test_two_captions_share_their_request(tmp_path):
    other = CAPTION.replace("pale", "dark")
    questions, written = drive(make(pairs=1), make_seed(tmp_path), CAPTION, other)
    assert len(questions) == 6
    first, second = (draft.messages for draft in written.drafts)
    assert first[0] == second[0] and first[1] != second[1]
    _, same = drive(make(pairs=1), make_seed(tmp_path), CAPTION, CAPTION)
    assert len(same.drafts) == 1 and same.losses == (asks.Loss(long_captions.SAME),)
    _, bad = drive(make(pairs=1), make_seed(tmp_path), "Short.", other)
    assert [draft.messages[1] for draft in bad.drafts] == [second[1]] and len(bad.losses) == 1


def test_requests_differ_between_seeds(tmp_path):
    asked = {
        drive(make(), make_seed(tmp_path), CAPTION, draw=draw)[1]
        .drafts[0]
        .messages[0]["content"][1]["text"]
        for draw in range(40)
    }
    assert len(asked) > 5


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"media": ()}, long_captions.NO_PICTURE),
        ({"labels": {"age": "77"}}, long_captions.UNKNOWN),
        ({"labels": {}}, long_captions.UNKNOWN),
    ],
)
def test_seeds_that_nothing_can_be_said_about_ask_nothing(tmp_path, fields, reason):
    with pytest.raises(asks.Lost) as lost:
        next(make().write(make_seed(tmp_path, **fields), 0))
    assert lost.value.loss.reason == reason


def test_every_modality_has_a_list_of_its_own():
    asked = {caption_prompts.preference(name) for name in modality_names.MODALITIES}
    assert len(asked) == len(modality_names.MODALITIES)
    assert caption_prompts.preference("") not in asked
    knee = caption_prompts.preference("X-ray", is_knee=True)
    assert knee not in asked and "osteophytes" in knee
    assert caption_prompts.preference("CT", is_knee=True) == caption_prompts.preference("CT")


def test_a_knee_is_known_by_its_labels(tmp_path):
    seed = make_seed(tmp_path, modality="X-ray", labels={"body_part": "knee"})
    (_, preference, _), _ = drive(make(), seed, CAPTION)
    assert "osteophytes" in preference.text


@pytest.mark.parametrize(("modality", "is_by_organ"), [("CT", True), ("dermoscopy", False)])
def test_radiology_is_told_organ_by_organ(tmp_path, modality, is_by_organ):
    (_, _, summary), _ = drive(make(), make_seed(tmp_path, modality=modality), CAPTION)
    assert ("from organ to organ" in summary.text) == is_by_organ


def test_prompts_fill_every_place_and_say_their_fields():
    for prompt, reply in (
        (caption_prompts.BOXED, long_captions.Facts),
        (caption_prompts.RAW, long_captions.Facts),
        (caption_prompts.PREFERENCE, long_captions.Preference),
        (caption_prompts.SUMMARY, long_captions.Summary),
    ):
        assert all(name in prompt.text for name in reply.model_fields)
        assert "JSON" in prompt.text


@pytest.mark.parametrize(
    ("field", "value"),
    [("passages", -1), ("boxes", -1), ("least_words", 0), ("pairs", 2), ("max_new_tokens", 1)],
)
def test_fields_are_checked(field, value):
    with pytest.raises(errors.UserError, match=f"config.long_captions.{field} must be"):
        long_captions.Config(**{field: value}).validate()


def test_a_missing_file_of_knowledge_is_told(tmp_path):
    found = long_captions.Config(knowledge=str(tmp_path / "none"))
    with pytest.raises(errors.UserError, match="config.long_captions.knowledge: no such file"):
        found.validate()
    long_captions.Config().validate()


def test_settings_say_how_and_not_about_what():
    assert make(sources=("a",), most=3).settings() == make().settings()
    assert make(boxes=3).settings() != make().settings()


def test_the_desk_writes_captions_of_blood_cells(tmp_path, shared_dir):
    found = label_presets.get("bccd", path=str(shared_dir / "data" / "bccd"))
    chosen = [seed for seed in labelled.stream(found) if isinstance(seed, seeds.Seed)][:2]

    def answer(request):
        text = request.messages[0]["content"][-1]["text"]
        if "field caption" in text:
            return json.dumps({"caption": CAPTION})
        if "fields overall" in text:
            return FACTS.model_dump_json()
        return PREFERENCE.model_dump_json()

    engine = stand_in.Engine(answer)
    counts = desk.write(
        make(), chosen, tmp_path, author=desk.Author(model="m"), make_engine=lambda: engine
    )
    assert (counts.seeds, counts.rows, counts.asked) == (2, 2, 6)
    rows = list(desk.read_rows(tmp_path / "rows" / "long_captions.jsonl"))
    for row, seed in zip(rows, chosen, strict=True):
        assert row["provenance"]["parents"] == [seed.id]
        assert set(row["provenance"]["prompts"]) == {
            "long_captions.boxed",
            "long_captions.preference",
            "long_captions.summary",
        }
        kept = tmp_path / "rows" / row["messages"][0]["content"][0]["image"]
        with Image.open(kept) as ours, Image.open(seed.media[0].path) as theirs:
            assert ours.tobytes() == theirs.tobytes(), "the row has the raw picture"
    assert dataclasses.asdict(counts)["dropped"] == {}
