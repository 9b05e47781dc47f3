# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import gzip
import json

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import predictions

KIT_ROWS = [
    {"question": "q", "answer": "yes", "response": "Yes", "correct": True},
    {"prompt": "q", "answer": "B", "choices": ["A. cat", "B. dog"], "response": "B"},
    {"question": "q", "answer": "Lung", "answer_type": "OPEN", "lang": "en", "response": None},
    {"question": "q", "answer": "是", "answer_type": "CLOSED", "lang": "zh", "response": "是"},
]


@pytest.mark.parametrize("form", ["list", "lines", "gzip", "odd-name"])
def test_kit_rows_in_any_file(tmp_path, form):
    text = json.dumps(KIT_ROWS, indent=1)
    if form == "lines":
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in KIT_ROWS)
    path = tmp_path / {"odd-name": "preds.txt", "lines": "rows.json"}.get(form, "results.json")
    raw = text.encode("utf-8-sig" if form == "odd-name" else "utf-8")
    path.write_bytes(gzip.compress(raw) if form == "gzip" else raw)
    samples = [item.sample for item in predictions.read(path)]
    assert [s.id for s in samples] == ["0", "1", "2", "3"]
    assert [s.answer_type for s in samples] == ["yes_no", "choice", "open", "yes_no"]
    assert [s.rule for s in samples] == ["vqa", "choice", "slake", "slake"]
    assert samples[1].options == ("cat", "dog")
    assert samples[1].choices == ("A. cat", "B. dog")
    assert samples[2].is_open


def test_own_rows_say_what_they_are(tmp_path):
    row = {
        "id": "x1",
        "question": "q",
        "gold": "2 cm",
        "response": "20 mm",
        "finish_reason": "length",
        "answer_type": "number",
        "options": [],
        "strict": {"correct": False},
    }
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (item,) = predictions.read(path, "vqa")
    assert (item.sample.id, item.sample.answer_type, item.sample.gold) == ("x1", "number", "2 cm")
    assert item.answer.finish_reason == "length"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ("[]", "no rows"),
        ("nonsense", "neither JSON nor JSONL"),
        ('["a"]', "row 0: must be an object"),
        ('[{"answer": "yes"}]', "row 0: needs response"),
        ('[{"response": "yes"}]', "row 0: needs gold or answer"),
        (
            '[{"answer": "E", "choices": ["A. x", "B. y"], "response": ""}]',
            "row 0: gold answer 'E'",
        ),
        (
            '[{"id": 1, "gold": "a", "response": ""}, {"id": 1, "gold": "a", "response": ""}]',
            "id '1'",
        ),
    ],
)
def test_an_unusable_file_is_one_clear_error(tmp_path, text, message):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(errors.UserError, match=message):
        predictions.read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(errors.UserError, match="no such file"):
        predictions.read(tmp_path / "none.json")
