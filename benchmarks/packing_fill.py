# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How full packed rows are, and how fast they are planned, on real rows, as Markdown tables.

    PYTHONPATH=. python benchmarks/packing_fill.py --data=DIR [--tokens_per_row=8192]

DIR holds `vqa_rad` as published, `medquad/medquad_sample.jsonl.gz`, `mts_dialog/*TrainingSet.csv`
and `tokenizer_qwen2` with vocab.json and merges.txt. The patch budget is computed from VQA-RAD
with MedQuAD and then also used for mixtures that it was not fitted to. Every fill is over a whole
epoch, the last rows included; the padding of slots is the share of places without a patch in the
window slots that hold one. Speeds are by the processor time of one thread; an image counts as
many tokens as it has in the text model, and only its header is read.
"""

import argparse
import csv
import fractions
import gzip
import json
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import slot_padding
from lingshu_jax.data import (
    batch_plans,
    formats,
    messages,
    mixtures,
    packing,
    pipeline,
    sources,
    store,
)

MIN_PIXELS, MAX_PIXELS = 200_704, 1_003_520  # as in the stages' configs
TOKENS_ASKED, PATCHES_ASKED, SPEED_ASKED = 0.98, 0.90, 100_000
SLOT_IMAGES, SLOT_PATCHES = 20_000, 16_384
SEED = 0


class Case(NamedTuple):
    """A mixture.

    Attributes:
      name: In the table.
      parts: Its sources, each a name and the share of its rows.
      max_pixels: Largest image area.
    """

    name: str
    parts: tuple[tuple[str, float], ...]
    max_pixels: int = MAX_PIXELS


FITTED = Case("VQA-RAD + MedQuAD", (("vqa_rad", 1.0), ("medquad", 1.0)))
OTHERS = (
    Case("two thirds of VQA-RAD + MTS-Dialog", (("vqa_rad", 0.67), ("mts_dialog", 1.0))),
    Case("a quarter of VQA-RAD + MedQuAD", (("vqa_rad", 0.25), ("medquad", 1.0))),
    Case("VQA-RAD + MedQuAD, images halved", FITTED.parts, MAX_PIXELS // 2),
)


class Encoded(NamedTuple):
    """An encoded mixture, and the processor seconds it took."""

    rows: store.Store
    amounts: pipeline.Amounts
    seconds: float


def write_sources(data: Path, folder: Path) -> None:
    """Makes `messages` files of the text sources, and one folder with the tokenizer.

    Args:
      data: The data folder.
      folder: Where to.
    """
    with gzip.open(data / "medquad" / "medquad_sample.jsonl.gz", "rt") as file:
        pairs = [(row["question"], row["answer"]) for row in map(json.loads, file)]
    _write_pairs(folder / "medquad.jsonl", pairs)
    [path] = data.glob("mts_dialog/*TrainingSet.csv")
    with path.open(newline="") as file:
        notes = [
            (f"Summarise this conversation.\n{row['dialogue']}", row["section_text"])
            for row in csv.DictReader(file)
        ]
    _write_pairs(folder / "mts_dialog.jsonl", notes)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(data / "tokenizer_qwen2" / name, folder)


def _write_pairs(path: Path, pairs: list[tuple[str, str]]) -> None:
    rows = (
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in pairs
    )
    formats.write_jsonl(path, rows)


def encode(case: Case, data: Path, folder: Path, *, tokens_per_row: int) -> Encoded:
    """Encodes a mixture.

    Args:
      case: Which.
      data: The data folder.
      folder: From `write_sources`.
      tokens_per_row: Longer rows are dropped.
    """
    encoder = messages.Encoder(folder, min_pixels=MIN_PIXELS, max_pixels=case.max_pixels)
    shares = []
    for name, fraction in case.parts:
        source = sources.Source(name=name, path=str(folder / f"{name}.jsonl"))
        if name == "vqa_rad":
            source = sources.Source(name=name, path=str(data / name), format=name)
        good = mixtures.survey(source, folder).good
        places = mixtures.choose(source, good, fraction=fraction, seed=SEED)
        shares.append(mixtures.Share(source, places))
    examples = list(mixtures.Examples(shares, folder))
    names = [name for name, _ in case.parts]
    start = time.process_time()
    rows = store.build(
        examples,
        encoder,
        names=names,
        folder=folder / "encoded",
        mixture=case.name,
        options=store.Options(budget=packing.token_budget(tokens_per_row, encoder.geometry)),
    )
    seconds = time.process_time() - start
    return Encoded(rows, pipeline.Amounts(names, [fractions.Fraction(1)] * len(names)), seconds)


def complete(found: Encoded, **shape: int) -> batch_plans.Layout:
    """The layout with its computed numbers.

    Args:
      found: The mixture that they are computed from.
      shape: Fields of the layout.
    """
    given = {"patches_per_row": 0, "rows_per_batch": 0, **shape}
    order = pipeline.first_epoch(found.rows, found.amounts, SEED)
    return batch_plans.complete(
        batch_plans.Layout(**given), found.rows.lengths, order, geometry=found.rows.geometry
    )


class Planned(NamedTuple):
    """One epoch, planned.

    Attributes:
      fill: Over the epoch.
      rows: Of the epoch.
      tokens: Of the epoch.
      seconds: Of planning it, processor time.
      padding: Of its window slots.
    """

    fill: pipeline.Fill
    rows: int
    tokens: int
    seconds: float
    padding: slot_padding.Padding


def plan(found: Encoded, layout: batch_plans.Layout) -> Planned:
    """Plans the first epoch of a mixture.

    Args:
      found: The mixture.
      layout: Complete.
    """
    reader = pipeline.Pipeline(
        found.rows, layout=layout, amounts=found.amounts, epochs=1, seed=SEED
    )
    start = time.process_time()
    batches = reader.num_batches or 0
    seconds = time.process_time() - start
    tokens = int(found.rows.lengths.tokens.sum())
    rows = round(tokens / (reader.fill.tokens * layout.tokens_per_row))
    assert rows <= batches * layout.rows_per_batch
    return Planned(reader.fill, rows, tokens, seconds, _padding(found, layout))


def _padding(found: Encoded, layout: batch_plans.Layout) -> slot_padding.Padding:
    order = pipeline.first_epoch(found.rows, found.amounts, SEED)
    lengths, geometry = found.rows.lengths[order], found.rows.geometry
    if layout.sequences_per_batch:
        rows = batch_plans.plan_batches(lengths, layout, geometry=geometry).rows
    else:
        rows = packing.plan(lengths, layout.budget, geometry=geometry).rows
    return slot_padding.of_rows(lengths, rows, layout.patches_per_row)


def fill_rows(data: Path, folder: Path, tokens_per_row: int) -> Iterator[tuple[Any, ...]]:
    """Lines of the first table: the mixture, its budget, rows, fills, whether it is enough.

    Args:
      data: The data folder.
      folder: From `write_sources`.
      tokens_per_row: T.
    """
    fitted = encode(FITTED, data, folder, tokens_per_row=tokens_per_row)
    layout = complete(fitted, tokens_per_row=tokens_per_row, rows_per_batch=1)
    first = plan(fitted, layout)
    enough = first.fill.tokens >= TOKENS_ASKED and first.fill.patches >= PATCHES_ASKED
    yield FITTED.name, "own", layout.patches_per_row, first, "yes" if enough else "NO"
    for case in OTHERS:
        found = encode(case, data, folder, tokens_per_row=tokens_per_row)
        yield case.name, "the first's", layout.patches_per_row, plan(found, layout), ""
        own = complete(found, tokens_per_row=tokens_per_row, rows_per_batch=1)
        yield case.name, "own", own.patches_per_row, plan(found, own), ""
    by_sequences = complete(fitted, tokens_per_row=tokens_per_row, sequences_per_batch=64)
    planned = plan(fitted, by_sequences)
    what = f"64 sequences in {by_sequences.rows_per_batch} rows"
    yield f"{FITTED.name}, {what}", "own", by_sequences.patches_per_row, planned, ""


def speed_rows(
    data: Path, folder: Path, tokens_per_row: int
) -> Iterator[tuple[str, Planned, float]]:
    """Lines of the second table: the mixture, its plan, processor seconds of encoding it.

    Args:
      data: The data folder.
      folder: From `write_sources`.
      tokens_per_row: T.
    """
    for name in ("medquad", "mts_dialog", "vqa_rad"):
        case = Case(f"{name} alone", ((name, 1.0),))
        found = encode(case, data, folder, tokens_per_row=tokens_per_row)
        layout = complete(found, tokens_per_row=tokens_per_row, rows_per_batch=1)
        yield name, plan(found, layout), found.seconds


def slot_rows(data: Path) -> Iterator[tuple[str, slot_padding.Padding]]:
    """Lines of the table of images alone: whose sizes, and what they leave empty.

    Args:
      data: The data folder.
    """
    drawn = slot_padding.drawn_grids(SLOT_IMAGES, SEED)
    yield f"{SLOT_IMAGES:,} drawn sizes", slot_padding.measure(drawn, SLOT_PATCHES)
    folder, limits = data / "vqa_rad" / "images", (MIN_PIXELS, MAX_PIXELS)
    found = slot_padding.file_grids(folder, min_pixels=limits[0], max_pixels=limits[1])
    yield f"{len(found)} images of VQA-RAD", slot_padding.measure(found, SLOT_PATCHES)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tokens_per_row", type=int, default=8192)
    flags = parser.parse_args()
    print(f"{flags.tokens_per_row:,} tokens a row; Python {platform.python_version()}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sources(flags.data, folder)
        print(
            "| mixture | budget | patches a row | rows | tokens | patches | slot padding "
            "| 98 % and 90 % |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for what, budget, patches, planned, enough in fill_rows(
            flags.data, folder, flags.tokens_per_row
        ):
            fill = f"{planned.fill.tokens:.1%} | {planned.fill.patches:.1%}"
            fill += f" | {planned.padding.of_slots:.2%}"
            print(f"| {what} | {budget} | {patches:,} | {planned.rows:,} | {fill} | {enough} |")
        print(f"\n| images alone, {SLOT_PATCHES:,} patches a row | rows | slots ", end="")
        print("| slot padding | least possible | empty places of all rows |")
        print("|---|---|---|---|---|---|")
        for what, found in slot_rows(flags.data):
            shares = f"{found.of_slots:.2%} | {found.bound:.2%} | {found.of_rows:.2%}"
            print(f"| {what} | {found.rows:,} | {found.slots:,} | {shares} |")
        print(f"\nasked: slot padding below {slot_padding.ASKED:.0%}")
        print("\n| source | tokens | encode and store, s | plan, s | tokens a second and core |")
        print("|---|---|---|---|---|")
        for what, planned, seconds in speed_rows(flags.data, folder, flags.tokens_per_row):
            speed = planned.tokens / (seconds + planned.seconds)
            times = f"{seconds:.2f} | {planned.seconds:.2f}"
            print(f"| {what} | {planned.tokens:,} | {times} | {speed:,.0f} |")
        print(f"\nasked: {SPEED_ASKED:,} tokens a second and core")


if __name__ == "__main__":
    main()
