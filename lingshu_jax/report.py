# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""One HTML page from a run: curves, parameter groups, samples, rollouts.

    python -m lingshu_jax.report --workdir=DIR

DIR is the workdir of a training stage, finished or not, or of a whole recipe; the page is
DIR/report.html and needs no other file and no network.
"""

import collections
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags

from lingshu_jax import report_charts, report_evals, report_page, report_rl, report_run
from lingshu_jax.common import cli, errors, pages, paths
from lingshu_jax.eval import folder, metrics

REPORT = "report.html"
TERMS = {
    "reward/format": "format reward, training questions",
    "reward/accuracy": "accuracy reward, training questions",
    "eval/format": "format, held out",
    "eval/accuracy": "accuracy, held out",
    "blind/accuracy": "accuracy, held out, blind",
    "shuffled/accuracy": "accuracy, held out, shuffled",
    "eval/greedy_accuracy": "greedy accuracy, held out",
    "blind/greedy_accuracy": "greedy accuracy, held out, blind",
    "shuffled/greedy_accuracy": "greedy accuracy, held out, shuffled",
}


class Term(NamedTuple):
    """A mean over the first and over the last quarter of a run of stage 4."""

    name: str
    first: float
    last: float

    @property
    def change(self) -> float:
        """Last less first."""
        return self.last - self.first


class Tile(NamedTuple):
    """A number that is shown large, and what it has to be seen beside."""

    name: str
    value: str
    beside: str


class View(NamedTuple):
    """Everything that the page shows of a run.

    Attributes:
      run: As read.
      charts: Its curves.
      numbers: Names and values of its head.
      terms: First against last quarter; empty for stages 1 to 3.
      fill: Packing fill of `tokens` and `patches`, None where no step was taken.
      speed: Median of tokens a second.
      total: Parameters of all groups.
      reasons: Why rows were dropped.
      seconds: Where the time went.
      samples: Rows that were trained on; empty for stage 4.
      progress: Questions that were asked while training; empty for stage 4.
      alarms: What the monitors of stage 4 listened for; empty where there are none.
      rollouts: Questions of stage 4 by step.
      config: As text.
    """

    run: report_run.Run
    charts: list[report_charts.Chart]
    numbers: list[tuple[str, str]]
    terms: list[Term]
    fill: Mapping[str, float | None]
    speed: float | None
    total: int
    reasons: list[tuple[str, int, report_run.Row]]
    seconds: list[tuple[str, float, float]]
    samples: list[report_run.Sample]
    progress: list[report_run.Progress]
    alarms: list[report_rl.Alarm]
    rollouts: dict[int, list[report_rl.Question]]
    config: str


def write_run_page(workdir: pathlib.Path, path: pathlib.Path | None = None) -> pathlib.Path:
    """Writes the page of a training run.

    Args:
      workdir: The run's folder, of a finished run or not.
      path: Where to; default `report.html` in the folder.

    Returns:
      Where it is.

    Raises:
      UserError: If the folder is no run's.
    """
    view = make_view(report_run.read(workdir))
    path = path or workdir / REPORT
    _write(path, _render("run.html", view=view))
    return path


def write_recipe_page(
    path: pathlib.Path,
    *,
    title: str,
    stages: Mapping[str, pathlib.Path],
    evaluations: Mapping[str, pathlib.Path],
    facts: Mapping[str, str | float],
    notes: Sequence[str],
) -> None:
    """Writes the page of several stages and of evaluations of what they made.

    Args:
      path: Where to.
      title: Of the page.
      stages: Name -> workdir, in the order of training.
      evaluations: `before`, `after`, `blind` (of after) or other names -> folder written by
        `lingshu_jax.evaluate`, in order; may be empty.
      facts: Circumstances to state: seed, hardware, where the images are from.
      notes: Sentences on what this page does not show. That it is for research and no medical
        device stands on every page.

    Raises:
      UserError: If a folder is not what it should be.
    """
    views = [make_view(report_run.read(workdir, name)) for name, workdir in stages.items()]
    read = [report_evals.read(name, place) for name, place in evaluations.items()]
    benchmarks = report_evals.compare(read) if read else []
    page = _render(
        "recipe.html",
        title=title,
        views=views,
        benchmarks=benchmarks,
        tiles=[*_accuracy_tiles(benchmarks), *_stage_tiles(views)],
        statuses=metrics.FAILURES,
        facts=facts,
        notes=notes,
    )
    _write(path, page)


def make_view(run: report_run.Run) -> View:
    """Draws and counts what the page shows of a run.

    Args:
      run: As read.
    """
    specs = report_charts.REINFORCEMENT if run.is_rl else report_charts.SUPERVISED
    finished = run.finished or {}
    fill = {name: run.ends(f"fill/{name}")[1] for name in ("tokens", "patches")}
    return View(
        run=run,
        charts=report_charts.draw_all(run.rows, specs),
        numbers=[*_numbers(run)],
        terms=[*_terms(run)],
        fill=finished.get("fill", fill),
        speed=finished.get("tokens_per_second", run.middle("tokens_per_second")),
        total=sum(group.size for group in run.groups),
        reasons=report_run.drop_reasons(run),
        seconds=report_run.seconds_by_part(run),
        samples=[] if run.is_rl else report_run.samples(run),
        progress=report_run.progress(run),
        alarms=report_rl.alarms(run),
        rollouts=report_rl.rollouts(run),
        config=json.dumps(run.config, indent=2, ensure_ascii=False),
    )


def find_recipe(workdir: pathlib.Path) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
    """The stages and the complete evaluations of a recipe's folder, by name and in order.

    Args:
      workdir: May be something else: then there are none.
    """
    stages = {
        found.name.partition("_")[2]: found
        for found in sorted(workdir.glob("stage[0-9]_*"))
        if (found / "config.json").is_file()
    }
    moments = (report_evals.BEFORE, report_evals.AFTER, report_evals.BLIND)
    places = {moment: workdir / "evaluation" / moment for moment in moments}
    return stages, {name: place for name, place in places.items() if folder.is_complete(place)}


def _numbers(run: report_run.Run) -> Iterator[tuple[str, str]]:
    """The head of a run: names and values."""
    finished, data = run.finished or {}, run.config["data"]
    yield "state", f"{'finished' if finished else 'not finished'}, {run.steps:,} steps"
    yield "started from", run.config["model"]["init_from"]
    yield "data", ", ".join(source["name"] for source in data["sources"])
    for name in ("examples", "prompts", "held_out"):
        if name in finished:
            yield name.replace("_", " "), f"{finished[name]:,}"
    rows, tokens, patches = (f"{data[n]:,}" for n in _BATCH)
    yield "batch", f"{rows} rows of {tokens} tokens and {patches} patches"
    yield from _losses(run)
    alarms = report_rl.alarms(run)
    if alarms:
        raised = [f"{alarm.name} from step {alarm.first}" for alarm in alarms if alarm.times]
        yield "alarms", ", ".join(raised) or "none was raised"
    if run.events:
        counts = collections.Counter(row["event"].replace("_", " ") for row in run.events)
        yield "events", ", ".join(f"{count} × {kind}" for kind, count in counts.items())
    trained, total = (sum(g.size for g in run.groups if ok(g)) for ok in (_is_trained, bool))
    if total:
        yield "trained parameters", f"{trained:,} of {total:,} ({pages.percent(trained / total)})"
    fill = [run.middle(f"fill/{name}") for name in ("tokens", "patches")]
    if fill[0] is not None:
        shown = [pages.percent(share) for share in fill]
        yield "packing fill, median", f"{shown[0]} of tokens, {shown[1]} of patches"
    for name, metric, form, choose in _MEASURED:
        value = choose(run, metric)
        if value is not None:
            yield name, form(value)


def _losses(run: report_run.Run) -> Iterator[tuple[str, str]]:
    names = {"loss": "policy loss" if run.is_rl else "loss", "validation/loss": "validation loss"}
    for metric, name in names.items():
        first, last = run.ends(metric)
        if first is not None:
            yield f"{name}, first and last", f"{pages.number(first)} → {pages.number(last)}"


def _last(run: report_run.Run, metric: str) -> float | None:
    return run.ends(metric)[1]


def _is_trained(group: report_run.Group) -> bool:
    return not group.frozen


def _gibibytes(value: float) -> str:
    return f"{value / 2**30:.2f} GiB"


_BATCH = ("rows_per_batch", "tokens_per_row", "patches_per_row")
_MEASURED = (
    ("tokens a second, median", "tokens_per_second", pages.number, report_run.Run.middle),
    (
        "tokens sampled a second, median",
        "rollout/tokens_per_second",
        pages.number,
        report_run.Run.middle,
    ),
    ("model FLOPs utilisation, median", "mfu", pages.percent, report_run.Run.middle),
    ("goodput of the whole run", "goodput", pages.percent, _last),
    ("peak memory", "memory_bytes", _gibibytes, report_run.Run.highest),
)


def _terms(run: report_run.Run) -> Iterator[Term]:
    for metric, name in TERMS.items():
        first, last = run.quarter("first", metric), run.quarter("last", metric)
        if first is not None and last is not None:
            yield Term(name, first, last)


def _accuracy_tiles(benchmarks: Sequence[report_evals.Benchmark]) -> Iterator[Tile]:
    for item in benchmarks[:2]:
        first, last = (item.numbers[end] for end in item.ends)
        beside = [f"constant answers {pages.percent(last['constant_accuracy'])}"]
        if item.ends[0] != item.ends[1]:
            beside.insert(0, f"{item.ends[0]} {pages.percent(first['strict_accuracy'])}")
        if report_evals.BLIND in item.numbers:
            blind = item.numbers[report_evals.BLIND]["strict_accuracy"]
            beside.append(f"blind {pages.percent(blind)}")
        name = f"accuracy on {item.name}, {item.ends[1]}"
        yield Tile(name, pages.percent(last["strict_accuracy"]), " · ".join(beside))


def _stage_tiles(views: Sequence[View]) -> Iterator[Tile]:
    for view in views:
        terms = {term.name: term for term in view.terms}
        held, blind = (terms.get(TERMS[name]) for name in ("eval/accuracy", "blind/accuracy"))
        if held is not None:
            beside = f"first quarter {pages.percent(held.first)}"
            beside += f" · blind {pages.percent(blind.last)}" if blind is not None else ""
            name = f"held-out accuracy, {view.run.name}, last quarter"
            yield Tile(name, pages.percent(held.last), beside)
    supervised = [view for view in views if not view.run.is_rl and view.run.rows]
    if supervised:
        run = supervised[-1].run
        first, last = map(pages.number, run.ends("loss"))
        yield Tile(f"loss at the end of {run.name}", last, f"at its first step {first}")
        speed = pages.number(supervised[-1].speed)
        fill = pages.percent(supervised[-1].fill["tokens"])
        yield Tile(f"tokens a second, {run.name}", speed, f"{fill} of a row filled")


def _render(name: str, **values: Any) -> str:
    templates = pages.environment(report_page.TEMPLATES)
    return templates.get_template(name).render(**values)


def _write(path: pathlib.Path, page: str) -> None:
    try:
        folder.write_text(path, page)
    except OSError as error:
        raise errors.UserError(f"cannot write {path}: {error.strerror}") from error


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("workdir", None, "Folder of a training run or of a recipe.")


def main(argv: list[str]) -> None:
    """Writes the page of the run or recipe."""
    del argv
    address = cli.required("workdir")
    with paths.opened(address) as workdir:
        if not workdir.is_dir():
            raise errors.UserError(f"--workdir {address} is no folder")
        stages, evaluations = find_recipe(workdir)
        path = workdir / REPORT
        if stages:
            name = workdir.resolve().name
            write_recipe_page(
                path, title=name, stages=stages, evaluations=evaluations, facts={}, notes=()
            )
        else:
            write_run_page(workdir, path)
    print(f"report: {paths.remote(path) or path}")


if __name__ == "__main__":
    cli.run(main, define_flags)
