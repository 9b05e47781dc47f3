# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json

import pytest
from PIL import Image

from data_tools import config, curate, decontaminate, mixture
from data_tools.reviewing import app, decisions, export, items
from lingshu_jax.common import errors
from lingshu_jax.data import formats, sources
from tests.data import dicom_files
from tests.data_tools.reviewing import small_review

NAMES = ("Planted Name", "Second Planted")
CHECKS = {"steps": [True, True, True], "consistent": True, "leaks": False}


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def given(verdict, texts=()):
    return {"verdict": verdict, **({"texts": texts} if texts else {})}


ONE, OTHER = [[1, 0, "One."]], [[1, 0, "Other."]]


@pytest.mark.parametrize(
    ("said", "verdict", "reason", "share"),
    [
        ([], "", export.UNDECIDED, None),
        ([given("approve")], "approve", "", 1.0),
        ([given("reject")], "reject", "reject", 1.0),
        ([given("approve"), given("reject")], "", export.TIE, 0.5),
        ([given("approve"), given("approve"), given("reject")], "approve", "", 2 / 3),
        ([given("approve"), given("reject"), given("reject")], "reject", "reject", 2 / 3),
        ([given("edit", ONE)], "edit", "", 1.0),
        ([given("approve"), given("edit", ONE)], "edit", "", 0.5),
        ([given("approve"), given("approve"), given("edit", ONE)], "approve", "", 2 / 3),
        ([given("edit", ONE), given("edit", OTHER)], "", export.DIFFERENT_EDITS, 0.5),
        ([given("edit", ONE), given("edit", OTHER), given("edit", ONE)], "edit", "", 2 / 3),
        ([given("edit", ONE), given("reject"), given("approve")], "edit", "", 1 / 3),
    ],
)
def test_the_majority_rules_and_ties_stay_out(said, verdict, reason, share):
    for ordered in (said, said[::-1]):
        ruling = export.rule(ordered)
        assert (ruling.verdict, ruling.reason) == (verdict, reason)
        assert ruling.agreement == (None if share is None else pytest.approx(share))
        assert ruling.reviewers == len(said)
    if verdict == "edit":
        assert ruling.texts == ONE


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        (["first"], "first"),
        (["second", "second", "first"], "second"),
        (["first", "second"], ""),
        (["first", "both"], ""),
        (["first", "neither", "both"], ""),
        (["both", "both"], ""),
        ([], ""),
    ],
)
def test_a_preference_needs_more_than_half(votes, expected):
    assert export.prefer([given(vote) for vote in votes]) == expected


class Reviewed:
    """A folder that two people have reviewed."""

    def __init__(self, folder):
        self.folder = small_review.write_data(folder)
        self.data = items.read(folder)
        self.decisions = folder / "decisions"
        self.store = decisions.Store(self.decisions)
        self.review = app.Review(self.data, self.store, 0)
        self.number = 0

    def say(self, name, item, verdict, **more):
        self.number += 1
        sent = {"item": item.key, "number": f"{self.number:032x}", "verdict": verdict, **more}
        self.review.decide(name, sent)

    def prefer(self, name, pair, answer):
        """Says that the side with this answer is better, on whichever side it is shown."""
        self.say(name, pair, "ab"[self.review.show(name, pair.key)["sides"].index(answer)])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviewed")
    reviewed = Reviewed(folder / "data")
    data, (ann, bob) = reviewed.data, NAMES
    pair = small_review.find_pair(data, 0)
    for name in NAMES:
        reviewed.prefer(name, pair, "Caption 1 says that the lung is clear.")
        for number in (0, 1, 6, 7, 10):
            reviewed.say(name, small_review.find(data, number), "approve")
    reviewed.prefer(ann, small_review.find_pair(data, 2), "Caption 2 says that the lung is clear.")
    note = {"reasons": ["wrong finding"], "note": "asked Dr Planted Note"}
    reviewed.say(ann, small_review.find(data, 2), "reject", **note)
    reviewed.say(ann, small_review.find(data, 3), "approve")
    reviewed.say(bob, small_review.find(data, 3), "reject", **note)
    reviewed.say(bob, small_review.find(data, 4), "edit", texts=[[1, 0, "A liver."]])
    reviewed.say(ann, small_review.find(data, 8), "approve", **CHECKS)
    reviewed.say(bob, small_review.find(data, 9), "approve", **{**CHECKS, "leaks": True})
    output = folder / "out"
    # While the page is open: it has the folder, and an export only reads.
    summary = export.run(data, reviewed.decisions, output)
    reviewed.store.close()
    return output, summary


def test_what_was_approved_is_there_and_the_rest_is_counted(exported):
    output, summary = exported
    rows = {row["id"][-2:].strip("-"): row for row in read(output / export.REVIEWED)}
    assert sorted(rows) == ["0", "1", "10", "4", "6", "7", "8"]
    assert summary["reviewed"] == {"approve": 6, "edit": 1}
    assert summary["left_out"] == {export.TIE: 1, export.UNDECIDED: 1, "reject": 2}
    assert summary["rows"] == 11
    assert rows["4"]["messages"][1]["content"] == [{"type": "text", "text": "A liver."}]
    assert rows["4"]["answer"] == "A liver."
    assert rows["4"]["review"] == {"decision": "edit", "reviewers": 1, "agreement": 1.0}
    assert rows["0"]["review"] == {"decision": "approve", "reviewers": 2, "agreement": 1.0}
    assert rows["8"]["answer"] == "a nodule"
    assert rows["7"]["provenance"]["parents"] == [f"{small_review.SECRETS[3]}/3"]
    assert json.loads((output / export.SUMMARY).read_text()) == summary


def test_no_name_note_or_header_leaves_the_folder(exported):
    output, summary = exported
    assert [entry["reviewer"] for entry in summary["reviewers"]] == [1, 2]
    planted = (*NAMES, "Planted Note", "PLANTED COMMENT", *dicom_files.SECRETS)
    files = [path for path in output.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        content = path.read_bytes().lower()
        assert not [text for text in planted if text.lower().encode() in content], path
    names = {path.suffix for path in (output / export.PICTURES).iterdir()}
    assert names == {".png"}


def test_preferences_are_in_the_layouts_of_trl_and_llama_factory(exported):
    output, summary = exported
    assert summary["preferences"] == {"comparison": 1, "edit": 1}
    assert summary["pairs_left_out"] == {export.IS_REJECTED: 1}
    first, second = sorted(read(output / export.PREFERENCES), key=lambda pair: pair["source"])
    text = {"type": "text", "text": "Describe it."}
    assert first["prompt"] == [{"role": "user", "content": [{"type": "image"}, text]}]
    assert first["chosen"] == [
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "Caption 1 says that the lung is clear."}],
        }
    ]
    assert "Caption 0" in first["rejected"][0]["content"][0]["text"]
    [picture] = first["images"]
    with Image.open(output / picture) as opened:
        assert opened.size == (160, 120)
    assert second["chosen"][0]["content"][0]["text"] == "A liver."
    assert second["rejected"][0]["content"][0]["text"] == "A spleen."

    told = json.loads((output / export.FACTORY_INFO).read_text())["reviewed_preferences"]
    assert told["ranking"] is True
    [factory] = [x for x in read(output / told["file_name"]) if "Describe" in str(x)]
    columns, tags = told["columns"], told["tags"]
    [message] = factory[columns["messages"]]
    assert message == {tags["role_tag"]: tags["user_tag"], "content": "<image>Describe it."}
    assert factory[columns["chosen"]][tags["role_tag"]] == tags["assistant_tag"]
    assert factory[columns["images"]] == [picture]


def test_an_export_never_overwrites_and_leaves_no_half(exported, tmp_path):
    output, _ = exported
    folder = output.parent / "data"
    data = items.read(folder)
    with pytest.raises(errors.UserError, match="is there already"):
        export.run(data, folder / "decisions", output)
    with pytest.raises(errors.UserError, match="nobody has reviewed"):
        export.run(data, tmp_path / "none", tmp_path / "new")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OSError):
        export.run(data, folder / "decisions", blocked / "new")
    assert [*tmp_path.iterdir()] == [blocked]


def test_a_lost_picture_leaves_its_rows_out_and_is_counted(tmp_path):
    reviewed = Reviewed(tmp_path / "data")
    for number in (4, 7):
        reviewed.say("Ann", small_review.find(reviewed.data, number), "approve")
    reviewed.store.close()
    (tmp_path / "data/rows/pictures/p2.png").unlink()
    summary = export.run(reviewed.data, reviewed.decisions, tmp_path / "out")
    assert summary["reviewed"] == {"approve": 1}
    assert summary["left_out"] == {export.LOST_PICTURE: 1, export.UNDECIDED: 9}


def test_decisions_about_other_data_are_counted_and_change_nothing(tmp_path):
    reviewed = Reviewed(tmp_path / "data")
    reviewed.say("Ann", small_review.find(reviewed.data, 7), "approve")
    reviewed.say("Ann", small_review.find(reviewed.data, 4), "approve")
    reviewed.store.close()
    file = tmp_path / "data/rows/others.jsonl"
    file.write_text(file.read_text().replace("A liver.", "A kidney."), encoding="utf-8")
    summary = export.run(items.read(tmp_path / "data"), reviewed.decisions, tmp_path / "out")
    assert summary["reviewed"] == {"approve": 1}
    assert summary["reviewers"] == [
        {
            "reviewer": 1,
            "decided": 1,
            "skipped": 0,
            "undone": 0,
            "not_blind": 0,
            "of_other_data": 1,
        }
    ]


def test_reviewed_rows_are_a_source_of_a_curation_and_keep_their_parents(exported, tmp_path):
    output, _ = exported
    exam = {"id": "e", "messages": small_review.turns("Any?", "")[:1]}
    formats.write_jsonl(tmp_path / "exam.jsonl", [{**exam, "answer": "x", "answer_type": "open"}])
    made = config.CuratedSource(
        name="reviewed", path=str(output / export.REVIEWED), group="synthetic"
    )
    curation = config.CurationConfig(
        sources=[made],
        workers=1,
        decontaminate=decontaminate.Config(
            benchmarks=f"rows:{tmp_path}/exam.jsonl", data_dir=str(tmp_path)
        ),
        mixture=mixture.Config(validation=0.0),
    )
    summary = curate.run(curation, tmp_path / "curation")
    assert summary["steps"][0]["in"] == 7
    kept = sum(summary["mixtures"]["all"]["rows"].values())
    dropped = sum(step["in"] - step["out"] for step in summary["steps"])
    assert kept >= 5 and kept + dropped == 7
    shards = sources.Source(name="all", path=str(tmp_path / "curation/mixtures/all"), format="tfds")
    reading = sources.read(shards)
    assert len(reading.examples) == kept and not reading.dropped
    for example in reading.examples:
        [parent] = example.meta["provenance"]["parents"]
        assert parent.startswith(small_review.SECRETS[3])
        assert example.meta["provenance"]["model"].startswith(small_review.SECRETS[0])
    card = (tmp_path / "curation/card.html").read_text(encoding="utf-8")
    assert "A liver." in card and "A spleen." not in card
