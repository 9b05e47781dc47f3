# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a training run left in its folder, read for its page; half-finished runs too."""

import collections
import dataclasses
import itertools
import json
import math
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from lingshu_jax.common import errors, metrics, pages
from lingshu_jax.data import formats, images, sources, targets

SAMPLES = 6  # training rows shown
EXAMINED = 12  # questions shown that were asked while training
MOMENTS = 5  # steps shown at which they were asked
FRAMES = 4  # pictures shown of a row
LOOKED_AT = 1024  # rows of a source that the shown ones are taken from
DEMO = "demo"  # a data root: the rows lie in the workdir itself

Row = dict[str, Any]


class Group(NamedTuple):
    """An entry of `optim.trainable` and what it won; numbers are "-" where frozen."""

    pattern: str
    size: int
    rate: str
    weight_decay: str
    schedule: str
    warmup_steps: str
    final_fraction: str
    frozen: bool


class Sample(NamedTuple):
    """A training row: where it is from, its pictures as data, its turns."""

    source: str
    id: str
    pictures: list[str]
    turns: list[dict[str, Any]]


class Progress(NamedTuple):
    """A question that was asked while training: any of its records, pictures, answers by step."""

    row: Row
    pictures: list[str]
    answers: dict[int, Row]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A run's folder.

    Attributes:
      name: How it is called on the page.
      workdir: The folder.
      config: config.json.
      rows: metrics.jsonl.
      settings: First part of params.txt: what holds for every step, name and value.
      groups: Second part of params.txt.
      parameters: Last part of params.txt: path, shape, dtype, weight decay, frozen or trained.
      finished: finished.json, None while the run is not finished.
      dropped: dropped.jsonl.
      events: events.jsonl: skipped steps, returns to a checkpoint, stops.
    """

    name: str
    workdir: pathlib.Path
    config: Row
    rows: list[Row]
    settings: list[list[str]]
    groups: list[Group]
    parameters: list[list[str]]
    finished: Row | None
    dropped: list[Row]
    events: list[Row]

    @property
    def is_rl(self) -> bool:
        """Whether it is a run of stage 4."""
        return "rl" in self.config

    @property
    def steps(self) -> int:
        """Optimizer steps that metrics.jsonl knows of."""
        return self.rows[-1]["step"] if self.rows else 0

    def ends(self, metric: str) -> tuple[float | None, float | None]:
        """The first and the last value of a metric, None where there is none."""
        values = [row[metric] for row in self.rows if row.get(metric) is not None]
        return (values[0], values[-1]) if values else (None, None)

    def middle(self, metric: str) -> float | None:
        """The median of a metric."""
        values = [row[metric] for row in self.rows if row.get(metric) is not None]
        return statistics.median(values) if values else None

    def highest(self, metric: str) -> float | None:
        """The largest value of a metric."""
        return max((row[metric] for row in self.rows if row.get(metric) is not None), default=None)

    def quarter(self, which: str, metric: str) -> float | None:
        """Mean of a metric in the `first` or `last` quarter, of a finished run of stage 4."""
        return (self.finished or {}).get(f"{which}_quarter", {}).get(metric)


def read(workdir: pathlib.Path, name: str = "") -> Run:
    """Reads a run's folder.

    Args:
      workdir: The folder; only its config.json has to be there.
      name: On the page; default the stage's.

    Raises:
      UserError: If it is no folder of a run.
    """
    if not workdir.is_dir():
        raise errors.UserError(f"no folder {workdir}: the workdir of a training run is needed")
    config = _read_json(workdir / "config.json")
    if config is None or not {"stage", "data", "model"} <= set(config):
        raise errors.UserError(
            f"{workdir} is no training run: it has no config.json that names a stage"
        )
    settings, groups, parameters = _read_params(workdir / "params.txt")
    return Run(
        name=name or config["stage"],
        workdir=workdir,
        config=config,
        rows=[*map(_finite, metrics.read_rows(workdir))],
        settings=settings,
        groups=groups,
        parameters=parameters,
        finished=_read_json(workdir / "finished.json"),
        dropped=read_jsonl(workdir / "dropped.jsonl"),
        events=read_jsonl(workdir / "events.jsonl"),
    )


def drop_reasons(run: Run) -> list[tuple[str, int, Row]]:
    """Reason, how many rows it refused, and one of them; the most frequent first."""
    first: dict[str, Row] = {}
    for row in run.dropped:
        first.setdefault(row["reason"], row)
    counts = collections.Counter(row["reason"] for row in run.dropped)
    return [(reason, count, first[reason]) for reason, count in counts.most_common()]


def seconds_by_part(run: Run) -> list[tuple[str, float, float]]:
    """What the logged steps spent their time on: part, seconds, share; the longest first."""
    totals: collections.Counter[str] = collections.Counter()
    for row in run.rows:
        for metric, value in row.items():
            if metric.startswith("seconds/") and value is not None:
                totals[metric.removeprefix("seconds/")] += value
    return [(part, value, value / totals.total()) for part, value in totals.most_common()]


def samples(run: Run) -> list[Sample]:
    """Some rows that the run was trained on, from each source in turn.

    A source that is not here any more gives none: the page of a run can be made elsewhere.
    """
    data = run.config["data"]
    root = run.workdir / DEMO if data["root"] == DEMO else pathlib.Path(data["root"])
    room = max(1, SAMPLES // len(data["sources"]))
    found = []
    for fields in data["sources"]:
        source = sources.Source(**fields)
        try:
            records = itertools.islice(sources.records(source, root), LOOKED_AT)
            good = [row for row in records if isinstance(row, formats.Record)]
        except errors.UserError:
            continue
        chosen = [good[i * len(good) // room] for i in range(min(room, len(good)))]
        found += [_sample(source, record) for record in chosen]
    return found[:SAMPLES]


def progress(run: Run) -> list[Progress]:
    """Questions that were asked while training, with their answers at some of the steps."""
    files = {
        int(p.stem.rpartition("_")[2]): p for p in (run.workdir / "samples").glob("step_*.jsonl")
    }
    steps = sorted(files)
    if len(steps) > MOMENTS:
        steps = [steps[round(i * (len(steps) - 1) / (MOMENTS - 1))] for i in range(MOMENTS)]
    asked: dict[tuple[str, str], dict[int, Row]] = {}
    for step in steps:
        for row in read_jsonl(files[step]):
            asked.setdefault((row["benchmark"], row["id"]), {})[step] = row
    shown = []
    for answers in itertools.islice(asked.values(), EXAMINED):
        row = next(iter(answers.values()))
        shown.append(Progress(row, thumbnails(row["images"]), answers))
    return shown


def thumbnails(visuals: Sequence[images.Visual]) -> list[str]:
    """Pictures as data addresses; a video is shown by its first frame, a missing file not.

    Args:
      visuals: Paths or pictures.
    """
    shown = []
    for visual in visuals[:FRAMES]:
        try:
            shown.append(pages.thumbnail(next(images.open_frames(visual))))
        except errors.UserError:
            continue
    return shown


def read_jsonl(path: pathlib.Path) -> list[Row]:
    """The rows of a file; none where it is not there.

    Args:
      path: The file.

    Raises:
      UserError: If a line is no row.
    """
    return [*_rows(path)] if path.is_file() else []


def _sample(source: sources.Source, record: formats.Record) -> Sample:
    visuals: list[images.Visual] = []
    turns = []
    trained = targets.find(record.messages, cast(targets.TrainOn, source.train_on))
    for message, target in zip(record.messages, trained, strict=True):
        for part in message["content"]:
            if part["type"] != "text":
                value = part[part["type"]]
                visuals.append(tuple(value) if isinstance(value, list) else value)
        texts = [part["text"] for part in message["content"] if part["type"] == "text"]
        is_trained = target is not None
        turns.append({"role": message["role"], "text": "".join(texts), "is_trained": is_trained})
    return Sample(source.name, record.row_id, thumbnails(visuals), turns)


def _read_params(path: pathlib.Path) -> tuple[list[list[str]], list[Group], list[list[str]]]:
    """The parts of params.txt, as `optim.describe` writes them."""
    parts: dict[str, list[list[str]]] = {"step": [], "group": [], "parameter": []}
    part = ""
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        if line.startswith("# "):
            part = line.removeprefix("# ").split(":")[0]
        else:
            parts[part].append(line.split("\t"))
    groups = [
        Group(pattern, int(count.replace(",", "")), *how, frozen=state == "frozen")
        for pattern, count, *how, state in parts["group"]
    ]
    return parts["step"], groups, parts["parameter"]


def _finite(row: Mapping[str, Any]) -> Row:
    """The row with None for what is no number."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def _read_json(path: pathlib.Path) -> Row | None:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise errors.UserError(f"{path} is not JSON: {error}") from error


def _rows(path: pathlib.Path) -> Iterator[Row]:
    for line, row in formats.read_rows(path):
        if not isinstance(row, dict):
            raise errors.UserError(f"{path} line {line}: {row}")
        yield row
