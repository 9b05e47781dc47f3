# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The table of benchmarks, and how names on the command line become benchmarks."""

from pathlib import Path

from lingshu_jax.common import errors, paths
from lingshu_jax.eval import benchmark
from lingshu_jax.eval.benchmarks import rows, vqa_rad

BENCHMARKS: dict[str, benchmark.Benchmark] = {
    "demo_vqa": rows.Rows("demo_vqa", "vqa_test.jsonl"),
    "vqa_rad": vqa_rad.VqaRad(),
}
ROWS_PREFIX = "rows:"


def choose(names: str, data_dir: Path | None) -> list[benchmark.Benchmark]:
    """Finds benchmarks by name.

    Args:
      names: Comma list of table names, `rows:FILE`, or NAME where `data_dir`/NAME.jsonl exists.
      data_dir: Folder of the data, if given; from an object store it is fetched whole.

    Raises:
      UserError: If a name is unknown or given twice; the known ones are listed.
    """
    if data_dir is not None:
        paths.fetch_once(str(data_dir))
    chosen = [_find(name.strip(), data_dir) for name in names.split(",") if name.strip()]
    if not chosen:
        raise errors.UserError(f"--benchmarks is empty; known: {', '.join(BENCHMARKS)}")
    found = [item.name for item in chosen]
    if repeated := sorted({name for name in found if found.count(name) > 1}):
        raise errors.UserError(f"--benchmarks names {', '.join(repeated)} more than once")
    return chosen


def load(item: benchmark.Benchmark, data_dir: Path | None) -> list[benchmark.Sample]:
    """Loads a benchmark and checks what every one must hold.

    Raises:
      UserError: If there are no samples, an id occurs twice, or a gold fits no rule.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise errors.UserError(f"--data_dir {data_dir} is not a folder")
    samples = item.load(data_dir)
    if not samples:
        raise errors.UserError(f"{item.name}: no rows")
    seen = set()
    for sample in samples:
        if sample.id in seen:
            raise errors.UserError(f"{item.name}: id {sample.id!r} occurs more than once")
        seen.add(sample.id)
        sample.check()
    return samples


def _find(name: str, data_dir: Path | None) -> benchmark.Benchmark:
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    if name.startswith(ROWS_PREFIX):
        file = name.removeprefix(ROWS_PREFIX)
        return rows.Rows(Path(file).stem, file)
    is_plain = not {"/", "\\"} & set(name)
    if is_plain and data_dir is not None and (data_dir / f"{name}.jsonl").is_file():
        return rows.Rows(name, f"{name}.jsonl")
    raise errors.UserError(
        f"unknown benchmark {name!r}; known: {', '.join(BENCHMARKS)}, rows:FILE.jsonl"
        + (f", or the name of a .jsonl file in {data_dir}" if data_dir else "")
    )
