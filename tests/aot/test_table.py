# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The table: its rows, how it goes on, and what it writes."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from lingshu_jax.aot import table
from lingshu_jax.common import errors

ROWS = [table.Row(name, (f"--topology={name}",)) for name in ("a", "b", "c")]


def result(**changes: Any) -> dict[str, Any]:
    row = {
        "fits": True,
        "devices": 64,
        "global_batch_rows": 64,
        "global_batch_sequences": 512,
        "remat": "full",
        "mesh": {"data": 1, "fsdp": 64, "tensor": 1, "context": 1},
        "argument_bytes": 2**30,
        "temp_bytes": 3 * 2**30,
        "hbm_bytes": 4 * 2**30,
        "hbm_usable_bytes": 16 * 2**30,
        "step_seconds": 12.345,
        "mfu": 0.512,
        "versions": {"commit": "abc"},
    }
    return row | changes


class Compiler:
    """Answers, and fails or is killed at one topology."""

    def __init__(self, at: str = "", error: type[BaseException] = errors.UserError):
        self.at, self.error, self.asked = at, error, list[str]()

    def __call__(self, arguments: Sequence[str]) -> dict[str, Any]:
        name = arguments[0].partition("=")[2]
        self.asked.append(name)
        if name == self.at:
            raise self.error("compiler died")
        return result()


def test_the_rows_are_those_of_the_issue() -> None:
    names = [row.name for row in table.all_rows()]
    assert len(names) == len(set(names)) == 28  # at most 30 compilations
    for size in ("7B", "32B"):
        for label in ("stage 1", "stage 3", "GRPO"):
            for topology in ("v5e:8x8", "v6e:8x8", "v5p:4x4x4", "tpu7x:4x4x4"):
                assert f"{size} {label} {topology}" in names
    assert names[24:] == [
        "7B stage 3 v5e:8x8*2",
        "3B stage 3 LoRA v5e:1x1",
        "7B stage 3 LoRA v5e:2x4",
        "3B stage 3 v5e:2x4",
    ]


@pytest.mark.parametrize("error", [errors.UserError, KeyboardInterrupt])
def test_it_goes_on_after_the_last_finished_row(
    tmp_path: pathlib.Path, error: type[BaseException]
) -> None:
    output = tmp_path / "table.json"
    with pytest.raises(error):
        table.build(ROWS, output, jobs=1, compile_one=Compiler("b", error))
    kept = json.loads(output.read_text())
    assert "a" in kept and "b" not in kept
    again = Compiler()
    done = table.build(ROWS, output, jobs=1, compile_one=again)
    assert "a" not in again.asked and "b" in again.asked
    assert set(done) == {"a", "b", "c"} == set(json.loads(output.read_text()))


def test_a_row_with_other_arguments_and_one_that_is_named_are_made_again(
    tmp_path: pathlib.Path,
) -> None:
    output = tmp_path / "table.json"
    table.build(ROWS, output, jobs=2, compile_one=Compiler())
    changed = [ROWS[0]._replace(arguments=("--topology=a2",)), *ROWS[1:]]
    again = Compiler()
    table.build(changed, output, jobs=1, redo="^c$", compile_one=again)
    assert again.asked == ["a2", "c"]


def test_the_table_names_batch_memory_and_speed() -> None:
    done = {
        "a": {"result": result()},
        "c": {
            "result": result(
                fits=False, hbm_bytes=None, temp_bytes=None, step_seconds=None, mfu=None
            )
        },
    }
    lines = table.markdown(ROWS, done).splitlines()
    assert len(lines) == 4
    assert lines[2] == (
        "| a | 64 | 64 | 512 | full | fsdp 64 | 1.0 | 3.0 | 4.0 | 25% | yes | 12.35 | 51.2% | abc |"
    )
    assert "| **no** |" in lines[3]
    assert len({line.count("|") for line in lines}) == 1


def test_it_is_put_between_its_marks(tmp_path: pathlib.Path) -> None:
    document = tmp_path / "sharding.md"
    document.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.insert(document, "| new |")
    assert document.read_text() == f"before\n{table.BEGIN}\n| new |\n{table.END}\nafter\n"
    document.write_text("no marks\n")
    with pytest.raises(errors.UserError, match="has no line <!-- aot table: begin -->"):
        table.insert(document, "| new |")
