# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The table of docs/sharding.md: many compilations, each kept as soon as it is there.

    python -m lingshu_jax.aot.table --output=docs/sharding_table.json --jobs=2

Killed and started again it goes on; a row stays with the commit and the versions it was made at
until `--redo` names it. An update of stage 4 is two programs, the second a small optimizer step.
"""

import concurrent.futures
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from absl import flags, logging

from lingshu_jax.aot import runner
from lingshu_jax.common import cli, errors

DOCUMENT = "docs/sharding.md"
BEGIN, END = "<!-- aot table: begin -->", "<!-- aot table: end -->"
MAX_COMPILED = 30
_GIB = 2**30
_POD = ("v5e:8x8", "v6e:8x8", "v5p:4x4x4", "tpu7x:4x4x4")
_STAGES = {
    "stage 1": "stage1_shallow_align",
    "stage 3": "stage3_instruct",
    "GRPO": "stage4_rl",
}
# For each of those what is kept, as much as fits, and how devices are split where it is not the
# topology's preset. Two axes let gradients be scattered; one splits the state over all devices.
_TWO_AXES = ("mesh.data=2", "mesh.fsdp=32")
_TENSOR = ("mesh.fsdp=32", "mesh.tensor=2")
_PLANS: dict[tuple[str, str], Sequence[tuple[str, *tuple[str, ...]]]] = {
    ("7b", "stage 1"): (
        ("save_some", *_TWO_AXES),
        ("save_attention", *_TWO_AXES),
        ("save_products", *_TWO_AXES),
        ("save_products",),
    ),
    ("7b", "stage 3"): (
        ("save_some",),
        ("save_attention", *_TWO_AXES),
        ("save_products", *_TWO_AXES),
        ("save_products",),
    ),
    ("7b", "GRPO"): (
        ("save_attention",),
        ("save_products", *_TWO_AXES),
        ("save_products", *_TWO_AXES),
        ("save_products",),
    ),
    ("32b", "stage 1"): (("full",), ("save_some",), ("save_products",), ("save_products",)),
    # Of v5e, half of the recipe's rows: two passes would keep a second set of gradients.
    ("32b", "stage 3"): (
        ("full", *_TENSOR, "data.rows_per_batch=32"),
        ("save_some",),
        ("save_attention",),
        ("save_products",),
    ),
    ("32b", "GRPO"): (
        ("full", *_TENSOR),
        ("save_attention",),
        ("save_products",),
        ("save_products",),
    ),
}
_LORA = ("--config.lora.modules=text/.*", "--config.model.frozen_dtype=bfloat16")


class Row(NamedTuple):
    """One line of the table.

    Attributes:
      name: Unique.
      arguments: Of `python -m lingshu_jax.aot`.
    """

    name: str
    arguments: tuple[str, ...]


def all_rows() -> list[Row]:
    """The lines, in order."""
    return list(_rows())


def _rows() -> Iterator[Row]:
    for (size, label), several in _PLANS.items():
        for topology, (remat, *sizes) in zip(_POD, several, strict=True):
            yield _row(size, label, topology, remat, *sizes)
    yield _row("7b", "stage 3", "v5e:8x8*2", "save_some")
    yield _row("3b", "stage 3", "v5e:1x1", "full", is_lora=True)
    yield _row("7b", "stage 3", "v5e:2x4", "save_attention", is_lora=True)
    yield _row("3b", "stage 3", "v5e:2x4", "full")


def _row(
    size: str,
    label: str,
    topology: str,
    remat: str,
    *sizes: str,
    is_lora: bool = False,
) -> Row:
    name = " ".join([size.upper(), label, *(["LoRA"] * is_lora), topology])
    return Row(
        name,
        (
            f"--config=configs/{_STAGES[label]}.py:{size}",
            f"--topology={topology}",
            f"--config.model.remat={remat}",
            *(f"--config.{one}" for one in sizes),
            *(_LORA if is_lora else ()),
        ),
    )


def build(
    rows: Sequence[Row],
    output: pathlib.Path,
    *,
    jobs: int,
    redo: str = "",
    compile_one: Callable[[Sequence[str]], dict[str, Any]] = runner.run,
) -> dict[str, Any]:
    """Compiles the rows that are not there yet.

    Args:
      rows: All of the table.
      output: JSON file by row name; written after every row.
      jobs: Compilations at a time.
      redo: Rows whose names match this regex are compiled again; "" is none.
      compile_one: Compiles what some arguments say; returns its JSON values.

    Returns:
      What the file holds.

    Raises:
      UserError: If a row ends in an error; the others are finished first.
    """
    done: dict[str, Any] = json.loads(output.read_text()) if output.is_file() else {}
    waiting = [
        row
        for row in rows
        if done.get(row.name, {}).get("arguments") != list(row.arguments)
        or (redo and re.search(redo, row.name))
    ]
    logging.info("%d rows are there, %d to compile", len(rows) - len(waiting), len(waiting))
    failures = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(compile_one, row.arguments): row for row in waiting}
        for future in concurrent.futures.as_completed(running):
            row = running[future]
            try:
                result = future.result()
            except errors.UserError as error:
                failures.append(f"{row.name}: {error}")
                logging.error("%s", failures[-1])
                continue
            logging.info("%s: fits %s", row.name, result["fits"])
            done[row.name] = {"arguments": list(row.arguments), "result": result}
            _write(output, json.dumps(done, indent=1) + "\n")
    if failures:
        raise errors.UserError(f"{len(failures)} rows ended in an error; {failures[0]}")
    return done


def markdown(rows: Sequence[Row], done: dict[str, Any]) -> str:
    """The rows that are there as a table, and what holds for all of them.

    Args:
      rows: All of the table.
      done: From `build`.
    """
    names = [row.name for row in rows if row.name in done]
    lines = [
        "| model, step, topology | devices | batch: rows (recipe 64) | sequences (recipe 64) | "
        "remat | mesh | state and batch, GiB | temporaries, GiB | needed, GiB | of HBM | fits | "
        "step, s | MFU | commit |",
        "|---|" + "---:|" * 3 + "---|---|" + "---:|" * 4 + "---|" + "---:|" * 2 + "---|",
        *(_line(name, done[name]["result"]) for name in names),
    ]
    return "\n".join(lines)


def _line(name: str, row: dict[str, Any]) -> str:
    mesh = " ".join(f"{axis} {size}" for axis, size in row["mesh"].items() if size > 1) or "1"
    needed = row["hbm_bytes"]
    share = "" if needed is None else f"{needed / row['hbm_usable_bytes']:.0%}"
    seconds, mfu = row["step_seconds"], row["mfu"]
    cells = [
        name,
        f"{row['devices']}",
        f"{row['global_batch_rows']:,}",
        f"{row['global_batch_sequences']:,}",
        row["remat"],
        mesh,
        *(_gib(row[f"{kind}_bytes"]) for kind in ("argument", "temp", "hbm")),
        share,
        "yes" if row["fits"] else "**no**",
        "" if seconds is None else f"{seconds:.2f}",
        "" if mfu is None else f"{mfu:.1%}",
        row["versions"]["commit"],
    ]
    return f"| {' | '.join(cells)} |"


def _gib(value: float | None) -> str:
    return "" if value is None else f"{value / _GIB:.1f}"


def insert(document: pathlib.Path, table: str) -> None:
    """Puts the table between its marks.

    Args:
      document: A markdown file that holds both marks.
      table: From `markdown`.

    Raises:
      UserError: If a mark is missing.
    """
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise errors.UserError(f"{document} has no line {BEGIN} with a line {END} after it")
    _write(document, f"{before}{BEGIN}\n{table}\n{END}{after}")


def _write(path: pathlib.Path, text: str) -> None:
    """Whole or not at all: a process may be killed while it writes."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("output", "docs/sharding_table.json", "Results, kept row by row.")
    flags.DEFINE_string("document", DOCUMENT, "Where the table is put between its marks.")
    flags.DEFINE_string("redo", "", "Rows whose names match this regex are compiled again.")
    flags.DEFINE_integer("jobs", 1, "Compilations at a time, about 2.5 GB of memory each.")


def main(argv: list[str]) -> None:
    """Compiles what is missing and writes the table."""
    del argv
    if cli.flag("jobs") < 1:
        raise errors.UserError(f"--jobs must be >= 1, got {cli.flag('jobs')}")
    try:
        re.compile(cli.flag("redo"))
    except re.error as error:
        raise errors.UserError(f"--redo is no regex: {error}") from error
    logging.set_verbosity(logging.INFO)
    rows, document = all_rows(), pathlib.Path(cli.flag("document"))
    done = build(
        rows, pathlib.Path(cli.required("output")), jobs=cli.flag("jobs"), redo=cli.flag("redo")
    )
    insert(document, markdown(rows, done))


if __name__ == "__main__":
    cli.run(main, define_flags)
