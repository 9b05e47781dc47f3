# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

import pytest

from data_tools import rows, steps
from lingshu_jax.common import errors


@dataclasses.dataclass(frozen=True)
class Odd:
    """Leaves out rows of even numbers; counts all rows first, and how often it did that."""

    name: str = "odd"
    loses: bool = False

    def settings(self):
        return {"loses": self.loses}

    def plan(self, source, folder, run):
        del run
        total = sum(len(rows.read(source / name)) for name in rows.names(source))
        steps.write_json(folder / "total.json", total)

    def apply(self, given, folder, part):
        assert part.startswith("part-")
        total = json.loads((folder / "total.json").read_text())
        kept = [row.knowing(total=total) for row in given if row.line % 2]
        dropped = [rows.Dropped.of(row, "even", f"line {row.line}") for row in given]
        return steps.Outcome(kept, [] if self.loses else [d for d in dropped if d.line % 2 == 0])


def row(number, source="s"):
    content = [{"type": "text", "text": f"text {number}"}]
    return rows.Row(
        id=f"{source}/{number}",
        source=source,
        line=number,
        messages=({"role": "user", "content": content},),
        media=(rows.Medium(kind="image", path="/x.png"), rows.Medium(kind="image", data=b"\0\1")),
        meta={"ü": [1, None]},
    )


@pytest.fixture
def begun(tmp_path):
    state = steps.next_state("first", {}, steps.State(tmp_path, "", 0), tmp_path)
    for part in range(3):
        made = [row(number) for number in range(part * 4 + 1, part * 4 + 5)]
        steps.commit(
            state.folder, f"part-{part:05d}.parquet", steps.Outcome(made, []), given=len(made)
        )
    return state, steps.Run(output=tmp_path, workers=1)


def lines(folder):
    found = folder / steps.ROWS
    return [row.line for name in rows.names(found) for row in rows.read(found / name)]


def test_a_row_comes_back_from_a_partition_as_it_was(tmp_path):
    given = [row(1), dataclasses.replace(row(2), messages=(), media=(), meta={})]
    rows.write(tmp_path / "a.parquet", given)
    assert rows.read(tmp_path / "a.parquet") == given
    first = (tmp_path / "a.parquet").read_bytes()
    rows.write(tmp_path / "b.parquet", given)
    assert (tmp_path / "b.parquet").read_bytes() == first
    rows.write(tmp_path / "c.parquet", [])
    assert rows.read(tmp_path / "c.parquet") == []


def test_a_step_keeps_drops_and_counts(begun):
    state, run = begun
    after = steps.run_step(Odd(), state, run)
    assert lines(after.folder) == [1, 3, 5, 7, 9, 11]
    part = after.folder / steps.ROWS / "part-00000.parquet"
    assert rows.read(part)[0].facts == {"total": 12}
    assert steps.read_counts(after.folder) == {"s": {"in": 12, "out": 6, "dropped": {"even": 6}}}
    dropped = list(steps.read_dropped(after.folder))
    assert dropped[0] == {
        **{"id": "s/2", "source": "s", "line": 2},
        **{"reason": "even", "detail": "line 2", "text": "text 2"},
    }


def test_finished_partitions_are_left_alone_and_missing_ones_are_made_again(begun):
    state, run = begun
    after = steps.run_step(Odd(), state, run)
    parts = sorted((after.folder / steps.ROWS).iterdir())
    kept, lost = parts[0], parts[1]
    content, time = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    assert steps.run_step(Odd(), state, run) == after
    assert lost.read_bytes() == content and kept.stat().st_mtime_ns == time


def test_other_settings_make_another_folder(begun):
    state, run = begun
    first = steps.run_step(Odd(), state, run)
    with pytest.raises(errors.UserError, match=r"of 4 rows 2 are kept and 0 dropped"):
        steps.run_step(Odd(loses=True), state, run)
    assert lines(first.folder) == [1, 3, 5, 7, 9, 11], "the other folder is as it was"


def test_a_step_without_rows_is_finished(tmp_path):
    state = steps.next_state("first", {}, steps.State(tmp_path, "", 0), tmp_path)
    after = steps.run_step(Odd(), state, steps.Run(output=tmp_path, workers=1))
    assert lines(after.folder) == [] and steps.read_counts(after.folder) == {}
