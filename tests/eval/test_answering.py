# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of an evaluation: who asks what, who scores, what is counted."""

import itertools
import json
import pathlib
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from PIL import Image

from lingshu_jax.common import errors
from lingshu_jax.engines import journal, protocol
from lingshu_jax.eval import answering, folder, runner, scoring
from tests.eval import scripted
from tests.eval.scripted import RESPONSES, Killed, Scripted


@pytest.fixture
def settings(tmp_path: pathlib.Path) -> runner.Settings:
    return scripted.make_settings(scripted.write_data(tmp_path / "data"))


def run(
    settings: runner.Settings,
    out: pathlib.Path,
    engine: Any,
    part: tuple[int, int] = (0, 1),
    **options: Any,
) -> dict[str, Any] | None:
    chosen = answering.Part(index=part[0], count=part[1])
    return runner.evaluate_part(settings, out, lambda: engine, part=chosen, **options)


def responses(out: pathlib.Path) -> dict[str, str]:
    return {row["id"]: row["response"] for row in folder.read_samples(out / "small")}


def test_the_part_that_ends_last_scores(tmp_path: pathlib.Path, settings: runner.Settings) -> None:
    out, engines = tmp_path / "out", [Scripted(), Scripted()]
    assert run(settings, out, engines[0], (0, 2)) is None
    assert not (out / "summary.json").exists() and not folder.is_complete(out / "small")
    summary = run(settings, out, engines[1], (1, 2))
    assert summary is not None and folder.is_complete(out)
    assert [sorted(engine.asked) for engine in engines] == [["r0", "r2", "r4"], ["r1", "r3", "r5"]]
    assert responses(out) == RESPONSES
    whole = runner.evaluate(settings, tmp_path / "whole", Scripted)
    ours, theirs = (
        [{**row, "usage": None} for row in s["benchmarks"].values()] for s in (summary, whole)
    )
    assert ours == theirs
    names = {path.name for path in (out / "small").iterdir()}
    assert names == {"COMMIT", "samples.jsonl", "summary.json"}
    assert not list(out.rglob("*.partial"))


def test_another_number_of_parts_asks_nothing_again(
    tmp_path: pathlib.Path, settings: runner.Settings
) -> None:
    out, asked = tmp_path / "out", list[str]()
    for part, dies_after in (((1, 2), 2), ((0, 3), None), ((4, 5), 0)):
        engine = Scripted(dies_after=dies_after)
        try:
            assert run(settings, out, engine, part) is None
        except Killed:
            pass
        asked += engine.asked
    assert 0 < len(asked) < len(RESPONSES)
    engine = Scripted()
    assert run(settings, out, engine) is not None
    assert sorted(asked + engine.asked) == sorted(RESPONSES)
    assert responses(out) == RESPONSES


def test_a_later_command_scores_what_killed_parts_left(
    tmp_path: pathlib.Path, settings: runner.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "score", die)
        for index in range(2):
            with pytest.raises(Killed):
                run(settings, out, Scripted(), (index, 2))
    assert {path.name for path in (out / "small").iterdir()} == {
        f"generations.{index}-of-2.jsonl" for index in range(2)
    }

    def no_engine() -> protocol.Generator:
        raise AssertionError("every question has an answer")

    assert runner.evaluate(settings, out, no_engine)["benchmarks"]["small"]["n"] == len(RESPONSES)


class Together(Scripted):
    """Ends when all others have answered as well."""

    def __init__(self, barrier: threading.Barrier):
        super().__init__()
        self._barrier = barrier

    def generate(self, requests: Sequence[protocol.Request], *, on_result: Any) -> Any:
        found = super().generate(requests, on_result=on_result)
        self._barrier.wait(20)
        return found


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    found: list[Any] = [None] * len(calls)

    def call(place: int) -> None:
        found[place] = calls[place]()

    threads = [threading.Thread(target=call, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.mark.parametrize("trial", range(4))
def test_parts_that_end_together_score_once(
    tmp_path: pathlib.Path,
    settings: runner.Settings,
    monkeypatch: pytest.MonkeyPatch,
    trial: int,
) -> None:
    out, count, commits = tmp_path / "out", 3, list[pathlib.Path]()
    commit = folder.commit_benchmark

    def counting(path: pathlib.Path, *args: Any) -> None:
        commits.append(path)
        commit(path, *args)

    monkeypatch.setattr(folder, "commit_benchmark", counting)
    barrier = threading.Barrier(count)
    engines = [Together(barrier) for _ in range(count)]
    summaries = at_once(
        [
            lambda index=index: run(settings, out, engines[index], (index, count))
            for index in range(count)
        ]
    )
    finished = [summary for summary in summaries if summary is not None]
    assert finished and all(summary == finished[0] for summary in finished)
    assert commits == [out / "small"]
    assert responses(out) == RESPONSES
    assert sorted(itertools.chain(*(e.asked for e in engines))) == sorted(RESPONSES)
    assert not list(out.rglob("*.partial"))


def test_two_begin_at_once_with_different_settings(
    tmp_path: pathlib.Path, settings: runner.Settings
) -> None:
    """Neither has seen the folder of the other: the second one to write finds out."""
    out = tmp_path / "out"
    other = scripted.make_settings(settings.data_dir, seed=9)

    class Meanwhile(Scripted):
        def generate(self, requests: Sequence[protocol.Request], *, on_result: Any) -> Any:
            with pytest.raises(Killed):
                run(other, out, Scripted(dies_after=1))
            return super().generate(requests, on_result=on_result)

    with pytest.raises(errors.UserError, match="was made with seed = 9, now it is 0"):
        run(settings, out, Meanwhile())


def test_a_part_has_one_process(tmp_path: pathlib.Path, settings: runner.Settings) -> None:
    out = tmp_path / "out"
    with pytest.raises(Killed):
        run(settings, out, Scripted(dies_after=1), (0, 2))
    path = folder.generations_file(out / "small", "0-of-2")
    held = journal.Journal(path, begin=lambda: None)
    with pytest.raises(errors.UserError, match="another process is writing it"):
        run(settings, out, Scripted(), (0, 2))
    assert run(settings, out, Scripted(), (1, 2)) is None
    held.close()
    assert run(settings, out, Scripted(), (0, 2)) is not None


def test_a_line_that_another_process_is_writing_is_left_alone(
    tmp_path: pathlib.Path, settings: runner.Settings
) -> None:
    out = tmp_path / "out"
    with pytest.raises(Killed):
        run(settings, out, Scripted(dies_after=1), (0, 2))
    path = folder.generations_file(out / "small", "0-of-2")
    with path.open("ab") as file:
        file.write(b'{"row": "r0", "answer": {"resp')
    before = path.read_bytes()
    assert run(settings, out, Scripted(), (1, 2)) is None
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        ((2, 2), {}, "--shard must be 0 to 1, one less than --num_shards, got 2"),
        ((-1, 2), {}, "--shard must be 0 to 1"),
        ((0, 0), {}, "--num_shards must be >= 1, got 0"),
        ((0, 2), {"overwrite": True}, "--overwrite would delete the answers of the other shards"),
    ],
)
def test_parts_that_cannot_be(
    tmp_path: pathlib.Path,
    settings: runner.Settings,
    part: tuple[int, int],
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(errors.UserError, match=message):
        run(settings, tmp_path / "out", Scripted(), part, **options)
    assert not (tmp_path / "out").exists()


class Metered(Scripted):
    """Counts as a server does: the second answer comes from its cache."""

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._used = protocol.Used(tokens_in=1000)  # of an earlier benchmark

    def used(self) -> protocol.Used:
        return self._used

    def _answer(self, request: protocol.Request) -> Any:
        more = (1, 0, 0, 0.0) if len(self.requests) == 2 else (0, 100, 7, 0.25)
        self._used = protocol.Used(*map(sum, zip(self._used, more, strict=True)))
        return super()._answer(request)


def test_usage_is_counted_over_all_processes(
    tmp_path: pathlib.Path, settings: runner.Settings
) -> None:
    out = tmp_path / "out"
    with pytest.raises(Killed):
        run(settings, out, Metered(dies_after=3))
    summary = run(settings, out, Metered())
    assert summary is not None
    usage = summary["benchmarks"]["small"]["usage"]
    # Two answers of six are cached: one of each process.
    counted = {"answers": 6, "cached": 2, "failed": 0, "prompt_tokens": 400, "new_tokens": 28}
    assert {name: usage[name] for name in counted} == counted
    assert usage["cost"] == 1.0 and usage["seconds"] > 0
    assert usage["answers_per_second"] == pytest.approx(4 / usage["seconds"], rel=0.05)
    assert summary["usage"] == pytest.approx(usage)


def test_an_engine_that_does_not_count(tmp_path: pathlib.Path, settings: runner.Settings) -> None:
    summary = run(settings, tmp_path / "out", Scripted())
    assert summary is not None
    usage = summary["usage"]
    assert usage["new_tokens"] == 2 * len(RESPONSES)
    assert usage["prompt_tokens"] is usage["cost"] is None


def test_usages_are_added_where_they_are_known() -> None:
    one = {"answers": 4, "cached": 1, "failed": 1, "prompt_tokens": None, "new_tokens": 8}
    one |= {"seconds": 2.0, "answers_per_second": 1.0, "cost": None}
    other = {**one, "prompt_tokens": 5, "answers": 10}
    both = answering.add([one, other])
    assert both == {
        **{"answers": 14, "cached": 2, "failed": 2, "prompt_tokens": 5, "new_tokens": 16},
        **{"seconds": 4.0, "answers_per_second": 2.5, "cost": None},
    }


# The peak of memory in kB before and after answering questions about large pictures, one time with
# grey ones in their place, and at last with an engine that keeps what it decodes.
PEAKS = """
import pathlib, sys
from lingshu_jax.data import images
from lingshu_jax.eval import runner
from tests.eval import scripted

class Decoding(scripted.Scripted):
    keeps, kept = False, []

    def _answer(self, request):
        picture = images.open_image(request.messages[0]["content"][0]["image"])
        if self.keeps:
            self.kept.append(picture)
        return [scripted.protocol.Completion(
            text="yes", tokens=(), logprobs=(), finish_reason="stop")]

def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))

data, out, count = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
scripted.Image.new("RGB", (2000, 2000)).convert("L").tobytes()
peaks = [peak()]
for how in ("read", "blind", "keep"):
    Decoding.keeps = how == "keep"
    settings = scripted.make_settings(data, benchmarks="large", blind=how == "blind")
    summary = runner.evaluate(settings, out / how, Decoding)
    assert summary["benchmarks"]["large"]["n"] == count
    peaks.append(peak())
print(*peaks)
"""
MEGABYTES = 6  # of a decoded picture


def write_large(data: pathlib.Path, count: int) -> None:
    """Questions about pictures that are small as files."""
    data.mkdir()
    lines = []
    for number in range(count):
        size = (2000 + number, MEGABYTES * 1_000_000 // 3 // (2000 + number))
        Image.new("RGB", size, (number, 0, 0)).save(data / f"{number}.png", compress_level=1)
        content = [
            {"type": "image", "image": f"{number}.png"},
            {"type": "text", "text": f"Is it {number}?"},
        ]
        row = {"id": f"{number}", "messages": [{"role": "user", "content": content}]}
        lines.append(json.dumps({**row, "answer": "yes", "answer_type": "yes_no"}) + "\n")
    (data / "large.jsonl").write_text("".join(lines))


def test_pictures_are_decoded_one_by_one(tmp_path: pathlib.Path, repo: pathlib.Path) -> None:
    """Many take as much memory as few, also as grey ones; the twin keeps what it decodes.

    The report decodes some at a time.
    """
    count = 60
    write_large(tmp_path / "data", count)
    done = subprocess.run(
        [sys.executable, "-c", PEAKS, tmp_path / "data", tmp_path, str(count)],
        cwd=repo,
        env={"PYTHONPATH": ".", "PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, read, blind, keep = (int(word) / 1000 for word in done.stdout.split())
    all_of_them = count * MEGABYTES
    assert blind - before < all_of_them / 2, (before, read, blind, keep)
    assert keep - before > all_of_them * 0.9, (before, read, blind, keep)
    print(f"\n{count} pictures of {MEGABYTES} MB: peaks {before}, {read}, {blind}, {keep} MB")
