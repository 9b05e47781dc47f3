# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Files of rows through an engine without a model: order, failures, what a second start asks."""

import dataclasses
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from PIL import Image

from lingshu_jax.common import errors, paths
from lingshu_jax.data import sources
from lingshu_jax.engines import batch_file, journal, protocol
from tests import s3_server
from tests.engines import stand_in

TEXTS = ("one", "two", "three", "four", "five", "six")
SETTINGS = {"engine": "stand_in", "model": "m", "weights": "ab", "temperature": 0.0}


def prompt(text: str, *images: str, **keys: Any) -> dict[str, Any]:
    parts = [{"type": "image", "image": image} for image in images]
    content = [*parts, {"type": "text", "text": text}]
    return {"id": f"id-{text}", "messages": [{"role": "user", "content": content}], **keys}


def write(path: pathlib.Path, rows: Sequence[dict[str, Any] | str]) -> pathlib.Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(line + "\n" for line in lines))
    return path


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def make_request(example: sources.Example, place: int) -> protocol.Request:
    if "refuse" in example.meta:
        raise errors.UserError(example.meta["refuse"])
    sampling = protocol.SamplingParams(max_new_tokens=4, seed=place)
    return protocol.Request(messages=example.messages, sampling=sampling, id=example.id)


TASK = batch_file.Task[protocol.Request, protocol.Completion](
    name="test",
    request=make_request,
    ask=lambda engine, requests, take: engine.generate(requests, on_result=take),
    describe=lambda given: {"text": given[0].text},
)


@dataclasses.dataclass
class Files:
    """The input and the output of a command, which is started again and again."""

    folder: pathlib.Path

    @property
    def source(self) -> pathlib.Path:
        return self.folder / "rows.jsonl"

    @property
    def target(self) -> pathlib.Path:
        return self.folder / "out" / "answers.jsonl"

    @property
    def part(self) -> pathlib.Path:
        return self.folder / "out" / "answers.jsonl.part"

    def write(self, *rows: dict[str, Any] | str) -> None:
        write(self.source, rows)

    def run(
        self, *, overwrite: bool = False, dies_after: int | None = None, **changes: Any
    ) -> tuple[list[str], batch_file.Counts | None]:
        """The ids that were asked, in the order of the answers, and the counts; None if it died."""
        engine = stand_in.StandIn(dies_after=dies_after)
        counts = None
        try:
            counts = batch_file.run(
                TASK,
                self.source,
                self.target,
                settings={**SETTINGS, **changes},
                make_engine=lambda: engine,
                overwrite=overwrite,
            )
        except errors.UserError as error:
            if "dead" not in str(error):
                raise
        assert engine.closed == bool(engine.requests)
        return engine.asked, counts

    def names(self) -> list[str]:
        return sorted(path.name for path in self.target.parent.iterdir())


@pytest.fixture
def files(tmp_path: pathlib.Path) -> Files:
    made = Files(tmp_path)
    made.write(*map(prompt, TEXTS))
    return made


def ids(*texts: str) -> list[str]:
    return [f"id-{text}" for text in texts]


def test_answers_stand_in_the_order_of_the_rows(files: Files) -> None:
    asked, counts = files.run()
    assert asked != ids(*TEXTS) and sorted(asked) == sorted(ids(*TEXTS))
    assert counts == (6, 0)
    assert read(files.target) == [{"id": f"id-{text}", "text": text[::-1]} for text in TEXTS]
    assert files.names() == ["answers.jsonl", "answers.jsonl.settings.json"]


def test_a_finished_file_is_left_alone(files: Files) -> None:
    files.run()
    before = files.target.stat().st_mtime_ns
    assert files.run() == ([], (6, 0))
    assert files.target.stat().st_mtime_ns == before


@pytest.mark.parametrize("dies_after", [0, 1, 4])
def test_what_is_answered_is_not_asked_again(files: Files, dies_after: int) -> None:
    first, counts = files.run(dies_after=dies_after)
    assert len(first) == dies_after and counts is None
    assert not files.target.exists() and files.part.exists() == (dies_after > 0)
    second, counts = files.run()
    assert sorted(first + second) == sorted(ids(*TEXTS)) and counts == (6, 0)
    assert [row["id"] for row in read(files.target)] == ids(*TEXTS)
    assert not files.part.exists()


def test_an_engine_that_dies_is_one_line_that_says_what_is_kept(files: Files) -> None:
    engine = stand_in.StandIn(dies_after=2)
    with pytest.raises(errors.UserError, match="the stand-in is dead; 2 answers are kept"):
        batch_file.run(
            TASK, files.source, files.target, settings=SETTINGS, make_engine=lambda: engine
        )
    assert engine.closed == 1


def test_a_failed_row_stops_no_other_and_is_asked_again(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = prompt("three", refuse="too dear")
    missing = prompt("gone", "gone.png")
    files.write(prompt("one"), prompt("fail"), "{broken", missing, refused, prompt("two"))
    asked, counts = files.run()
    assert sorted(asked) == sorted(ids("one", "fail", "two")) and counts == (2, 4)
    rows = read(files.target)
    reasons = [row.pop("error", None) for row in rows]
    assert rows[0] == {"id": "id-one", "text": "eno"}
    assert [row["id"] for row in rows[1:5]] == ["id-fail", "rows:3", "id-gone", "id-three"]
    assert reasons[0] is None and reasons[5] is None
    assert reasons[1] == "the stand-in fails"
    assert reasons[2].startswith("line 3: broken JSON")
    assert reasons[3].startswith("line 4: no such file: gone.png")
    assert reasons[4] == "too dear"
    shown = capsys.readouterr().err
    for row, reason in zip(rows[1:5], reasons[1:5], strict=True):
        assert f"row {row['id']!r}: {reason}\n" in shown
    # Mended: only what failed is asked, and the file is whole.
    files.write(*map(prompt, ("one", "ok", "new", "also", "three", "two")))
    asked, counts = files.run()
    assert sorted(asked) == sorted(ids("ok", "new", "also", "three")) and counts == (6, 0)
    assert files.names() == ["answers.jsonl", "answers.jsonl.settings.json"]
    assert [row["text"] for row in read(files.target)][:2] == ["eno", "ko"]


@pytest.mark.parametrize("tear", ['{"row": "x', '{"row": "x", "answer": {}}', "\0\0"])
def test_a_torn_last_line_is_counted_and_asked_again(
    files: Files, tear: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = files.run(dies_after=3)
    whole = files.part.read_bytes()
    files.part.write_bytes(whole[:-5])
    with files.part.open("a") as file:
        file.write("\n" + tear)
    capsys.readouterr()
    second, counts = files.run(dies_after=1)
    assert "torn lines of the journal: 2;" in capsys.readouterr().err
    third, counts = files.run()
    assert sorted(first[:2] + second + third) == sorted(ids(*TEXTS)) and counts == (6, 0)
    assert [row["text"] for row in read(files.target)] == [text[::-1] for text in TEXTS]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.5}, "with --temperature=0.0, now it is --temperature=0.5"),
        ({"model": "n", "weights": "cd"}, "with --model=m, now it is --model=n"),
        ({"weights": "cd"}, "with the weights ab, now it is the weights cd"),
        ({"top_k": 3}, "with --top_k=None, now it is --top_k=3"),
    ],
)
@pytest.mark.parametrize("dies_after", [2, None], ids=["begun", "finished"])
def test_other_settings_are_named(
    files: Files, changes: dict[str, Any], message: str, dies_after: int | None
) -> None:
    first, _ = files.run(dies_after=dies_after)
    before = [path.read_bytes() for path in files.target.parent.iterdir()]
    with pytest.raises(errors.UserError, match=message):
        files.run(**changes)
    assert [path.read_bytes() for path in files.target.parent.iterdir()] == before
    asked, counts = files.run(overwrite=True, **changes)
    assert sorted(asked) == sorted(ids(*TEXTS)) and counts == (6, 0)


def test_overwriting_keeps_the_old_file_until_the_new_one_is_whole(files: Files) -> None:
    files.run()
    old = files.target.read_bytes()
    files.run(overwrite=True, dies_after=2, temperature=0.5)
    assert files.target.read_bytes() == old
    asked, counts = files.run(temperature=0.5)
    assert len(asked) == 4 and counts == (6, 0)


def test_rows_are_known_by_their_content_not_by_their_place(files: Files) -> None:
    first, _ = files.run(dies_after=4)
    left = [text for text in TEXTS if f"id-{text}" not in first]
    kept = [text for text in TEXTS if f"id-{text}" in first]
    rows = [prompt("new"), *map(prompt, reversed(kept[1:])), prompt(kept[0], image=None, x=1)]
    files.write(*rows, prompt(left[0]) | {"id": "renamed"})
    second, _ = files.run()
    assert sorted(second) == sorted([*ids("new", kept[0]), "renamed"])
    assert [row["text"] for row in read(files.target)] == [
        stand_in.text_of(protocol_request(row))[::-1] for row in read(files.source)
    ]


def protocol_request(row: dict[str, Any]) -> protocol.Request:
    sampling = protocol.SamplingParams(max_new_tokens=1)
    return protocol.Request(messages=row["messages"], sampling=sampling)


def test_equal_rows_have_an_answer_each(files: Files) -> None:
    files.write(*[prompt("one")] * 3)
    first, _ = files.run(dies_after=1)
    second, _ = files.run()
    assert len(first) == 1 and len(second) == 2
    assert len(read(files.target)) == 3


def test_a_changed_picture_is_asked_again(files: Files) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (56, 56), (9, 9, 9)).save(files.folder / f"{name}.png")
    files.write(prompt("one", "a.png"), prompt("two", "b.png"), prompt("fail"))
    files.run()
    Image.new("RGB", (56, 56), (8, 8, 8)).save(files.folder / "b.png")
    os.utime(files.folder / "b.png", ns=(0, 1))
    asked, _ = files.run()
    assert sorted(asked) == sorted(ids("two", "fail"))


def test_other_rows_than_a_finished_file_has_are_named(files: Files) -> None:
    files.run()
    files.write(prompt("one"))
    with pytest.raises(errors.UserError, match="answers other rows than the --input has now"):
        files.run()


def test_files_of_something_else_are_left_alone(files: Files) -> None:
    files.target.parent.mkdir()
    files.target.write_text("my thesis\n")
    with pytest.raises(errors.UserError, match="no answers.jsonl.settings.json that says"):
        files.run()
    assert files.target.read_text() == "my thesis\n"
    asked, counts = files.run(overwrite=True)
    assert counts == (6, 0)


def test_an_engine_that_is_not_made_leaves_nothing(files: Files) -> None:
    def fail() -> protocol.Engine:
        raise errors.UserError("no vLLM")

    def start(overwrite: bool) -> None:
        with pytest.raises(errors.UserError, match="no vLLM"):
            batch_file.run(
                TASK,
                files.source,
                files.target,
                settings={**SETTINGS, "model": "n"},
                make_engine=fail,
                overwrite=overwrite,
            )

    start(overwrite=False)
    assert files.names() == []
    files.run()
    before = [path.read_bytes() for path in files.target.parent.iterdir()]
    start(overwrite=True)
    assert [path.read_bytes() for path in files.target.parent.iterdir()] == before
    assert files.run() == ([], (6, 0)), "the finished file is what it was"


def test_a_file_of_failed_rows_alone_is_gone_on_with(files: Files) -> None:
    files.write(prompt("fail"), "{broken")
    assert files.run()[1] == (0, 2)
    with pytest.raises(errors.UserError, match="--model=m, now it is --model=n"):
        files.run(model="n")
    files.write(prompt("fine"))
    asked, counts = files.run()
    assert asked == ids("fine") and counts == (1, 0)


def test_damaged_settings_are_named(files: Files) -> None:
    files.run()
    path = files.target.parent / "answers.jsonl.settings.json"
    for text in ("{", "3"):
        path.write_text(text)
        with pytest.raises(errors.UserError, match=r"settings.json is damaged"):
            files.run()


def test_many_failed_rows_are_not_all_shown(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write(*[prompt(f"fail {i}") for i in range(batch_file.SHOWN + 3)])
    files.run()
    shown = capsys.readouterr().err
    assert shown.count("the stand-in fails") == batch_file.SHOWN
    assert "and 3 more failed rows, which the output names" in shown


def test_an_output_that_cannot_be_one_is_named(files: Files) -> None:
    files.target.mkdir(parents=True)
    with pytest.raises(errors.UserError, match=r"--output=.*answers.jsonl is a folder"):
        files.run()
    with pytest.raises(errors.UserError, match="is the --input"):
        batch_file.run(
            TASK,
            files.source,
            files.source,
            settings=SETTINGS,
            make_engine=stand_in.StandIn,
            overwrite=True,
        )
    assert len(read(files.source)) == len(TEXTS)


def test_two_processes_do_not_answer_the_same_file(files: Files) -> None:
    files.run(dies_after=2)
    held = journal.Journal(files.part, begin=lambda: None)
    for overwrite in (False, True):
        with pytest.raises(errors.UserError, match="another process is writing it"):
            files.run(overwrite=overwrite)
    held.close()
    asked, _ = files.run()
    assert len(asked) == 4


@pytest.mark.parametrize("dies_after", [None, 2], ids=["finished", "begun"])
def test_what_another_process_did_meanwhile_is_not_done_again(
    files: Files, monkeypatch: pytest.MonkeyPatch, dies_after: int | None
) -> None:
    """It has the file between our opening it and our lock, and removes it if it finishes."""
    lock, others = fcntl.flock, list[str]()

    def wait(file: Any, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        others.extend(files.run(dies_after=dies_after)[0])
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", wait)
    asked, counts = files.run()
    assert counts == (6, 0) and len(others) == (dies_after or 6)
    assert sorted(others + asked) == sorted(ids(*TEXTS))
    assert files.names() == ["answers.jsonl", "answers.jsonl.settings.json"]


def test_a_journal_that_is_gone_is_no_fault(tmp_path: pathlib.Path) -> None:
    held = journal.Journal(tmp_path / "part", begin=lambda: None)
    (tmp_path / "part").unlink()
    held.close()


def test_a_journal_that_is_not_ours_stays_as_it_is(files: Files) -> None:
    files.target.parent.mkdir()
    files.part.write_text("my thesis, unfinished")
    with pytest.raises(errors.UserError, match="no answers.jsonl.settings.json that says"):
        files.run()
    assert files.part.read_text() == "my thesis, unfinished"


def test_an_empty_file_has_no_answers(files: Files) -> None:
    files.write()
    assert files.run() == ([], (0, 0))
    assert files.target.read_text() == ""


def test_windows_lose_no_row(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_file, "WINDOW", 2)
    asked, counts = files.run()
    assert counts == (6, 0) and {*asked[:2]} == {*ids("one", "two")}
    assert [row["id"] for row in read(files.target)] == ids(*TEXTS)


def test_half_a_surrogate_pair_survives(files: Files) -> None:
    files.write(prompt("\ud800x"))
    files.run()
    assert read(files.target)[0]["text"] == "x\ud800"


@pytest.fixture
def bucket(tmp_path: pathlib.Path) -> Iterator[str]:
    yield from s3_server.run(tmp_path / "cache")


def test_in_a_store_the_journal_stays_on_this_machine(
    files: Files, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, engine = f"{bucket}/run/answers.jsonl", stand_in.StandIn(dies_after=2)

    def run() -> batch_file.Counts:
        with paths.opened(address) as target, paths.opened(address + batch_file.SETTINGS):
            return batch_file.run(
                TASK, files.source, target, settings=SETTINGS, make_engine=lambda: engine
            )

    with pytest.raises(errors.UserError, match="2 answers are kept"):
        run()
    names = [entry.rpartition("/")[2] for entry in s3_server.store().find(f"{bucket}/run")]
    assert names == ["answers.jsonl.settings.json"]
    engine = stand_in.StandIn()
    assert run() == (6, 0) and len(engine.asked) == 4
    assert json.loads(s3_server.store().cat(address).splitlines()[5])["text"] == "xis"
    monkeypatch.setenv("XDG_CACHE_HOME", str(files.folder / "other"))
    engine = stand_in.StandIn()
    assert run() == (6, 0) and engine.asked == [], "another machine sees that it is finished"
