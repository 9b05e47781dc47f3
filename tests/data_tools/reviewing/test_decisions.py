# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import contextlib
import os
import resource
import stat

import pytest

from data_tools.reviewing import decisions
from lingshu_jax.common import errors


@contextlib.contextmanager
def opened(folder):
    with contextlib.closing(decisions.Store(folder)) as store:
        yield store


def given(item="i", verdict="approve", **more):
    return {"item": item, "verdict": verdict, **more}


def number(place):
    return f"{place:032x}"


def test_what_was_decided_is_there_again(tmp_path):
    with opened(tmp_path) as store:
        ann, bob = store.enter(" Ann  Lee"), store.enter("Bob")
        store.add(ann, number(1), given())
        store.add(ann, number(2), given("j", "reject"))
        store.add(bob, number(3), given())
    assert sorted(p.name for p in tmp_path.glob("*.jsonl")) == ["ann_lee.jsonl", "bob.jsonl"]
    with opened(tmp_path) as store:
        assert store.enter("ANN LEE") == ann
        histories = store.histories()
    assert histories[ann].name == "Ann Lee"
    assert {k: g["verdict"] for k, g in histories[ann].decided.items()} == {
        "i": "approve",
        "j": "reject",
    }


def test_a_decision_that_is_sent_twice_counts_once(tmp_path):
    with opened(tmp_path) as store:
        ann = store.enter("Ann")
        for _ in range(2):
            store.add(ann, number(1), given())
    with opened(tmp_path) as store:
        store.add(store.enter("Ann"), number(1), given(verdict="reject"))
        assert store.histories()[ann].decided["i"]["verdict"] == "approve"
    assert len((tmp_path / "ann.jsonl").read_text().splitlines()) == 1


def test_undo_is_a_decision_of_its_own_and_leaves_the_one_before(tmp_path):
    with opened(tmp_path) as store:
        ann = store.enter("Ann")
        store.add(ann, number(1), given())
        store.add(ann, number(2), given(verdict="reject"))
        store.add(ann, number(3), given(verdict="undo", undoes=number(2)))
        first = store.histories()[ann]
        store.add(ann, number(4), given(verdict="undo", undoes=number(1)))
        second = store.histories()[ann]
        store.add(ann, number(5), given(verdict="edit"))
        third = store.histories()[ann]
    assert first.decided["i"]["number"] == number(1) and first.undone == 1
    assert second.decided == {} and second.seen == {"i"} and second.undone == 2
    assert third.decided["i"]["is_blind"] is False
    assert len((tmp_path / "ann.jsonl").read_text().splitlines()) == 5


def test_a_skip_is_kept_and_decides_nothing(tmp_path):
    with opened(tmp_path) as store:
        ann = store.enter("Ann")
        store.add(ann, number(1), given(verdict="skip"))
        history = store.histories()[ann]
        store.add(ann, number(2), given())
        later = store.histories()[ann]
    assert set(history.standing) == {"i"} and history.decided == {}
    assert later.decided["i"]["is_blind"] is True


def test_a_torn_line_loses_nothing_else(tmp_path):
    with opened(tmp_path) as store:
        ann = store.enter("Ann")
        store.add(ann, number(1), given())
    with (tmp_path / "ann.jsonl").open("a") as file:
        file.write('{"row": "2", "answ')
    with opened(tmp_path) as store:
        assert set(store.histories()[ann].decided) == {"i"}
        store.add(ann, number(3), given("k"))
    assert set(decisions.replay(decisions.read_all(tmp_path)[ann]).decided) == {"i", "k"}


def test_what_the_disk_refuses_is_told_and_may_be_sent_again(tmp_path):
    with opened(tmp_path) as store:
        ann = store.enter("Ann")
        store.add(ann, number(1), given())
        size = (tmp_path / "ann.jsonl").stat().st_size
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
        try:
            with pytest.raises(decisions.SaveError, match="cannot be saved: File too large"):
                store.add(ann, number(2), given("j", note="x" * 20_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert set(store.histories()[ann].decided) == {"i"}
        store.add(ann, number(2), given("j"))
        store.add(ann, number(3), given("k"))
    lines = decisions.read_all(tmp_path)[ann]
    assert {entry["item"] for entry in lines.values()} == {"i", "j", "k"}


def test_two_processes_never_share_a_folder(tmp_path):
    with opened(tmp_path), pytest.raises(errors.UserError, match="another process"):
        decisions.Store(tmp_path)
    with opened(tmp_path):
        pass


def test_the_secret_lasts_and_only_its_owner_reads_it(tmp_path):
    with opened(tmp_path) as store:
        secret = store.private["secret"]
        decisions.keep_private(tmp_path, {**store.private, "port": 5})
    with opened(tmp_path) as store:
        assert store.private == {"secret": secret, "port": 5}
    assert stat.S_IMODE((tmp_path / decisions.PRIVATE).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", "  ", "../x", ".hidden", "a\nb\x00", "\u4e00" * 40])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(errors.UserError, match="a name or initials"):
        decisions.key_of(name)


@pytest.mark.parametrize(
    "name", ["Dr. M\u00fcller", "a/../b", "\u674e\u533b\u751f", "x" * 100, "A%B"]
)
def test_any_name_is_a_file_in_the_folder(tmp_path, name):
    with opened(tmp_path) as store:
        store.add(store.enter(name), number(1), given())
    [file] = tmp_path.glob("*.jsonl")
    assert os.path.dirname(file) == str(tmp_path)
    with opened(tmp_path) as store:
        assert store.histories()[decisions.key_of(name)].name == name
