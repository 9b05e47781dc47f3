# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import collections
import json

import pytest

from data_tools.reviewing import items
from lingshu_jax.common import errors
from tests.data_tools.reviewing import small_review


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_review.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def data(folder):
    return items.read(folder)


def test_each_row_is_asked_about_and_captions_of_one_picture_are_compared(data):
    tasks = collections.Counter(item.task for item in data.items.values())
    assert tasks == {items.COMPARE: 2, items.APPROVE: 9, items.VERIFY: 2}
    pairs = [item for item in data.items.values() if item.task == items.COMPARE]
    assert {frozenset(row.id[-1] for row in item.rows) for item in pairs} == {
        frozenset("01"),
        frozenset("23"),
    }
    assert all(item.rows[0].pictures == item.rows[1].pictures for item in pairs)


def test_what_is_shown_says_nothing_of_its_origin(data):
    for item in data.items.values():
        told = json.dumps([items.shown(item, swapped=flag) for flag in (False, True)])
        assert not [secret for secret in small_review.SECRETS if secret in told]
        assert ".png" not in told and "rows/" not in told
    row = small_review.find(data, 3).rows[0]
    assert small_review.SECRETS[0] in json.dumps(items.provenance(row))


def test_a_pair_is_shown_from_either_side(data):
    pair = small_review.find_pair(data, 0)
    first, second = (row.answer for row in pair.rows)
    assert items.shown(pair, swapped=False)["sides"] == [first, second]
    assert items.shown(pair, swapped=True)["sides"] == [second, first]
    sides = {items.is_swapped(pair, b"s", f"reviewer {n}") for n in range(30)}
    assert sides == {False, True}


def test_each_reviewer_has_an_order_of_their_own_that_lasts(data):
    def keys(secret, name):
        return [item.key for item in items.order(data, secret, name)]

    mine = keys(b"secret", "a")
    assert mine == keys(b"secret", "a") and sorted(mine) == sorted(data.items)
    assert mine != keys(b"secret", "b") and mine != keys(b"another", "a")
    tasks = [data.items[key].task for key in mine]
    assert tasks == sorted(tasks, key=items.TASKS.index)


def test_a_changed_row_is_another_item(folder, data, tmp_path):
    copy = small_review.write_data(tmp_path / "copy")
    assert set(items.read(copy).items) == set(data.items)
    file = copy / "rows" / "others.jsonl"
    file.write_text(file.read_text().replace("A liver.", "A kidney."), encoding="utf-8")
    changed = items.read(copy)
    assert len(set(changed.items) ^ set(data.items)) == 2


@pytest.mark.parametrize(
    ("text", "steps", "answer"),
    [
        ("<think>One.\n\n Two. \nThree.</think>\n Four.", ("One.", "Two.", "Three."), "Four."),
        ("<think>One. Two? Three</think>Four.", ("One.", "Two?", "Three"), "Four."),
        ("One of 1.5 mm.\nTwo.", ("One of 1.5 mm.", "Two."), ""),
        (
            "<think>\u4e00\u3002\u4e8c\u3002</think>\u4e09",
            ("\u4e00\u3002", "\u4e8c\u3002"),
            "\u4e09",
        ),
    ],
)
def test_a_trace_falls_into_steps(text, steps, answer):
    assert items.trace(text) == (steps, answer)


def test_rows_that_cannot_be_shown_are_counted(tmp_path):
    small_review.write_data(tmp_path / "data")
    (tmp_path / "outside.png").write_bytes((tmp_path / "data/rows/pictures/p0.png").read_bytes())
    repeated = next(small_review.rows())
    bad = [
        repeated,
        {"id": "gone", "messages": small_review.turns("A?", "B.", "gone.png")},
        {"id": "out", "messages": small_review.turns("A?", "B.", "../../../outside.png")},
        {"id": "open", "messages": small_review.turns("A?", "B.")[:1]},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in bad)
    (tmp_path / "data/rows/z.jsonl").write_text(lines + "{\n", encoding="utf-8")
    data = items.read(tmp_path / "data")
    assert data.refused == {
        items.REPEATED: 1,
        items.OUTSIDE: 1,
        "no such file": 1,
        "no answer": 1,
        "broken JSON": 1,
    }
    assert len(data.by_row) == 11


def test_a_single_file_and_a_folder_of_files_are_read(folder, tmp_path):
    alone = items.read(folder / "rows" / "long.jsonl")
    assert len(alone.by_row) == 4
    assert len(items.read(folder / "rows").by_row) == 11
    rows = tmp_path / "rows.jsonl"
    rows.write_text((folder / "rows" / "long.jsonl").read_text(), encoding="utf-8")
    with pytest.raises(errors.UserError, match="no row that can be reviewed: no such file"):
        items.read(rows)
    assert len(items.read(rows, folder / "rows").by_row) == 4


@pytest.mark.parametrize(
    ("name", "said"), [("none", "no such file or folder"), ("", "holds no .jsonl file")]
)
def test_a_place_without_rows_is_refused(tmp_path, name, said):
    with pytest.raises(errors.UserError, match=said):
        items.read(tmp_path / name)
