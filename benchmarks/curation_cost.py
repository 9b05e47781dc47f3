# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How fast each part of curation is on real pictures, and what millions of samples take.

    PYTHONPATH=. python benchmarks/curation_cost.py --images=DIR [--count=200] [--cores=32]

Times are the processor time of this process, so that threads are counted and neighbours are not;
of grouping the wall clock and the peak memory of a process of its own. The cost model
(`curation_cost_model.py`) then says what `--samples` take on 1, 8 and 64 nodes.
"""

import argparse
import functools
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import curation_cost_model as model
from data_tools import (
    card,
    card_samples,
    config,
    curate,
    decontaminate,
    dedup_texts,
    deidentify,
    engine,
    filter_images,
    filters,
    groups,
    ingest,
    manifest,
    mixture,
    release,
    shards,
    splits,
    steps,
)
from data_tools import rows as rows_lib
from lingshu_jax.common import cli, errors
from lingshu_jax.data import fingerprints, images

WORDS = 150  # of a made text, about as many as an answer of MedQuAD has
VOCABULARY = 5000
QUESTIONS = 20_000  # of the benchmarks that rows are looked up in
SIZES = (10_000, 100_000, 1_000_000)
SUFFIXES = (".png", ".jpg", ".jpeg")
COPIES = 100  # of what is known of the rows, to see what a row costs the card


def find_pictures(folder: Path, count: int) -> list[Path]:
    """As many picture files of a folder and its subfolders, spread over their names.

    Args:
      folder: Where they are.
      count: How many at most.

    Raises:
      UserError: If there is none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise errors.UserError(f"no pictures in {folder}")
    return [files[i * len(files) // count] for i in range(count)] if count < len(files) else files


def write_rows(folder: Path, pictures: Sequence[Path], rng: np.random.Generator) -> None:
    """A caption of each picture in captions.jsonl, and as many texts in texts.jsonl."""
    vocabulary = [f"word{number}" for number in range(VOCABULARY)]

    def said(count: int) -> str:
        return " ".join(rng.choice(vocabulary, count))

    def turns(question: str | list[dict[str, str]], answer: str) -> list[dict[str, Any]]:
        return [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]

    captions, texts = [], []
    for path in pictures:
        image = {"type": "image", "image": str(path.absolute())}
        asked = [image, {"type": "text", "text": "Describe the picture."}]
        captions.append({"messages": turns(asked, said(40))})
        texts.append({"messages": turns(said(20), said(WORDS - 20))})
    for name, rows in (("captions", captions), ("texts", texts)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def make_config(folder: Path) -> config.CurationConfig:
    """A curation of what `write_rows` wrote, in this process."""
    kinds = {"captions": "captions", "texts": "text"}
    made = [
        config.CuratedSource(
            name=name, path=f"{name}.jsonl", kind=kind, format="messages", allow_outside=True
        )
        for name, kind in kinds.items()
    ]
    return config.CurationConfig(
        sources=made,
        root=str(folder),
        workers=1,
        filters=filters.Config(languages=()),
        decontaminate=decontaminate.Config(benchmarks=""),
        mixture=mixture.Config(validation=0.01),
    )


def rate(work: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """Items a second of one core; the first one warms up.

    Args:
      work: Done with each.
      items: Of the work.
    """
    work(items[0])
    start = time.process_time()
    for item in items:
        work(item)
    return len(items) / max(time.process_time() - start, 1e-9)


def taken(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of a call, and what it returned."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def measure(folder: Path, pictures: Sequence[Path], rng: np.random.Generator) -> model.Speeds:
    """All speeds but those of grouping.

    Args:
      folder: An empty one.
      pictures: Files.
      rng: Of the made texts.
    """
    write_rows(folder, pictures, rng)
    made = make_config(folder)
    run = steps.Run(output=folder / "out", workers=1)
    cleaning, *others = curate.make_steps(made, folder)
    assert isinstance(cleaning, deidentify.Deidentify)
    ingest.run(made, steps.Run(output=folder / "warm", workers=1), cleaning)
    seconds, first = taken(lambda: ingest.run(made, run, cleaning))
    state, states = first, [first]
    rows = _rows(first)
    read = len(rows) / seconds
    for step in (cleaning, *others):
        state = steps.run_step(step, state, run)
        states.append(state)
    kept = _rows(state)
    with_pictures = [row for row in kept if row.media]
    texts = [row for row in kept if not row.media]
    if not (with_pictures and texts):
        raise errors.UserError("nothing is left of the pictures: too few, or all of them broken")
    found = {
        "read": read,
        **_stepping(cleaning, [row for row in rows if row.media], others[1], states),
        **_looking(rows, [medium for row in rows for medium in row.media], pictures),
        **_texts(kept, texts, made.dedup_texts, rng),
        **_writing(made, states, run, folder),
    }
    sizes = [path.stat().st_size for path in pictures]
    shapes = [images.read_shape(str(path), is_video=False) for path in pictures]
    pixels = [shape.height * shape.width for shape in shapes]
    return model.Speeds(
        **found,
        bytes_per_picture=float(np.mean(sizes)),
        pixels_per_picture=float(np.mean(pixels)),
    )


def _stepping(
    cleaning: deidentify.Deidentify,
    with_pictures: Sequence[rows_lib.Row],
    naming: steps.Step,
    states: Sequence[steps.State],
) -> dict[str, float]:
    """Steps that are one function of a row each."""
    assert naming.name == "modality"
    rows, plan = _rows(states[2]), states[3].folder / steps.PLAN
    again = [*rows] * -(-2000 // len(rows))
    naming.apply(rows, plan, "warm.parquet")
    seconds, _ = taken(lambda: naming.apply(again, plan, "again.parquet"))
    part = Path()
    return {
        "burned_in": rate(lambda row: cleaning.apply([row], part, ""), with_pictures),
        "modality": len(again) / seconds,
    }


def _looking(
    rows: Sequence[rows_lib.Row], media: Sequence[rows_lib.Medium], pictures: Sequence[Path]
) -> dict[str, float]:
    settings = filters.Config()
    names = ("min_side", "min_spread", "max_repeated")
    limits = {name: getattr(settings, name) for name in names}
    judge = filters.Filters(filters.Config(languages=()), {"captions": "captions", "texts": "text"})
    texts = [row for row in rows if not row.media]
    decoded = [images.open_image(str(path)) for path in pictures[:50]]
    part = Path()
    return {
        "look": rate(lambda medium: filter_images.look(medium, **limits), media),
        "filter_text": rate(lambda row: judge.apply([row], part, ""), texts),
        "hash_decoded": rate(fingerprints.image_hash, decoded),
        "hash": rate(lambda path: fingerprints.image_hash(str(path)), pictures),
    }


def _texts(
    kept: Sequence[rows_lib.Row],
    texts: Sequence[rows_lib.Row],
    settings: dedup_texts.Config,
    rng: np.random.Generator,
) -> dict[str, float]:
    def sign(row: rows_lib.Row) -> None:
        signature = dedup_texts.sign("\n".join(row.texts()), settings)
        assert signature is not None
        list(dedup_texts.bands(signature, settings))

    tables = [{f"{key:016x}": "b/q" for key in _keys(rng, QUESTIONS)} for _ in range(4)]
    index = decontaminate.Index(*tables, looked_at={}, missing={})
    return {
        "sign": rate(sign, texts),
        "look_up": rate(lambda row: decontaminate.find(row, index), kept),
    }


def _writing(
    made: config.CurationConfig, states: Sequence[steps.State], run: steps.Run, folder: Path
) -> dict[str, float]:
    """Partitions, records and shards, and what one process does in the end."""
    rows = _rows(states[-1])
    partition = [*rows] * -(-made.rows_per_partition // len(rows))
    rows_lib.write(folder / "again.parquet", rows)  # warms up
    seconds, _ = taken(lambda: rows_lib.write(folder / "again.parquet", partition))
    more, _ = taken(lambda: rows_lib.read(folder / "again.parquet"))
    rates = {"partition": len(partition) / (seconds + more)}
    writer = release.make_writer(made)
    # Each alone: records of pictures cost more than those of texts.
    pictures = [row for row in rows if row.media]
    texts = [row for row in rows if not row.media]
    chosen = {"warm": rows[:2], "shard_picture": pictures, "shard_text": texts}
    for name, some in chosen.items():
        alone = steps.State(folder / name, name, 9)
        rows_lib.write(alone.folder / steps.ROWS / "part-00000.parquet", some)
        ours = steps.Run(output=folder / f"{name}_out", workers=1)
        seconds, _ = taken(functools.partial(shards.write, writer, alone, ours))
        rates[name] = len(some) / seconds
    del rates["warm"]
    state, mixtures = shards.write(writer, states[-1], run)
    choice = mixture.read_choice(states[-1].folder / steps.PLAN)
    origins = manifest.origins(made.sources)
    about = {"steps": [], "config": {}}
    (one,) = mixtures.values()
    assert one is not None
    seconds, _ = taken(
        lambda: manifest.write(one, state.folder, origins, choice=choice, about=about)
    )
    card_rate = _card(made, states[-1], state.folder, folder / "card")
    return rates | {"manifest": len(rows) / seconds, "card": card_rate}


def _card(made: config.CurationConfig, mixed: steps.State, records: Path, folder: Path) -> float:
    """Rows a second that the card counts: of many copies, less what it costs to show some rows."""
    origins, region = manifest.origins(made.sources), made.filters.region

    def read(rows: Path, known: Path) -> None:
        card.look(known, origins)
        card_samples.kept(rows, known, region)

    few = _rows_of_index(records)
    for place, of in ((steps.ROWS, mixed.folder), (shards.INDEX, records)):
        (folder / place).mkdir(parents=True)
        for name in rows_lib.names(of / place):
            for number in range(COPIES):
                os.link(of / place / name, folder / place / f"{number:05d}-{name}")
    read(mixed.folder / steps.ROWS, records)
    shown, _ = taken(lambda: read(mixed.folder / steps.ROWS, records))
    seconds, _ = taken(lambda: read(folder / steps.ROWS, folder))
    return (COPIES - 1) * few / max(seconds - shown, 1e-9)


def _rows_of_index(folder: Path) -> int:
    return sum(table.num_rows for table in shards.read_index(folder, ["order"]))


def group(folder: Path, count: int) -> model.Grouping:
    """Groups made picture hashes of which a tenth is there twice, in a process of its own.

    Args:
      folder: For the tables of keys.
      count: Of the hashes.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        pool.apply(_write_hashes, (folder / str(count), count))
    with context.Pool(1) as pool:  # another one, for its memory
        return pool.apply(_group, (folder / str(count), count))


def _hashes(count: int) -> np.ndarray:
    keys = _keys(np.random.default_rng(count), count)
    keys[: count // 10] = keys[count // 10 : 2 * (count // 10)]
    return keys


def _write_hashes(folder: Path, count: int) -> None:
    keys, each = _hashes(count), config.CurationConfig().rows_per_partition
    for number in range(0, count, each):
        made = [
            groups.Key(f"{key:016x}", 0, f"s/{number + place}")
            for place, key in enumerate(keys[number : number + each])
        ]
        groups.write_keys(folder, f"{number:08d}{rows_lib.SUFFIX}", made)


def _group(folder: Path, count: int) -> model.Grouping:
    engine.start("local")
    run, keys = steps.Run(output=folder, workers=1), _hashes(count)
    before, start = _peak(), time.perf_counter()
    groups.plan(folder, rows_lib.names(folder / groups.KEYS), _nothing, run)
    seconds, peak = time.perf_counter() - start, _peak()
    dropped = steps.read_json(folder / groups.DONE)["dropped"]
    if dropped != count // 10:
        raise errors.UserError(f"{dropped} of {count} hashes were found twice, not {count // 10}")
    start = time.process_time()
    labels = splits.groups(np.arange(count, dtype=np.int64), keys, count)
    splits.held_out(labels, keys, 0.01)
    planning = time.process_time() - start
    return model.Grouping(count, seconds, peak, peak - before, planning)


def start_seconds(workers: int) -> float:
    """Seconds until that many processes have started and done nothing."""
    start = time.perf_counter()
    engine.map_names(_nothing, [str(number) for number in range(workers)], workers=workers)
    return time.perf_counter() - start


def _nothing(name: str) -> None:
    del name


def _keys(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 2**64 - 1, count, np.uint64)


def _rows(state: steps.State) -> list[rows_lib.Row]:
    folder = state.folder / steps.ROWS
    return [row for name in rows_lib.names(folder) for row in rows_lib.read(folder / name)]


def _peak() -> int:
    """The most memory that this process has had, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speeds of curation, and what samples take.")
    parser.add_argument("--images", help="folder of pictures, subfolders included")
    parser.add_argument("--count", type=int, default=200, help="pictures, and texts")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="hashes that are grouped")
    parser.add_argument("--samples", type=float, default=5e6, help="of the cost model")
    parser.add_argument("--cores", type=int, default=32, help="of a node of the cost model")
    parser.add_argument("--largest", type=float, default=0.25, help="share of the largest source")
    options = parser.parse_args(argv)
    if not options.images:
        parser.error("--images=DIR is required")
    return options


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints the tables."""
    options = _parse(argv)
    engine.start("local")
    pictures = find_pictures(Path(options.images), options.count)
    load = os.getloadavg()[0]
    print(
        f"{len(pictures)} pictures and as many texts; {platform.machine()}, "
        f"{os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}\n"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speeds = measure(folder, pictures, np.random.default_rng(0))
        _print(model.speed_table(speeds))
        grouped = [group(folder, size) for size in SIZES if size <= options.most]
        _print(model.grouping_table(grouped))
    started = start_seconds(2)
    plan = model.Plan(
        samples=options.samples, cores=options.cores, largest=options.largest, start=started
    )
    _print(model.cost_table(speeds, grouped[-1], plan))


if __name__ == "__main__":
    try:
        main()
    except errors.UserError as error:
        cli.fail(str(error))
