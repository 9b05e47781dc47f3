# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The pages and tables of an evaluation: report.html, leaderboard.json, .csv and .md."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from lingshu_jax.common import pages
from lingshu_jax.eval import (
    benchmark,
    compat,
    compat_reasons,
    folder,
    leaderboard,
    metrics,
    report_page,
    report_published,
    report_sections,
    report_viewer,
    sections,
)

MOST_CARDS = 48  # answers that stand in the page where its script does not run
LEAST_CARDS = 4  # of each benchmark
MOST_OF_A_STATUS = 4  # of each way of failing, shown first of all
_BAR = (4.0, 124.0)  # where bars begin and how long 100 % is, as drawn in report_parts

Row = Mapping[str, Any]
Samples = Mapping[str, Sequence[benchmark.Sample]]


def write(
    output_dir: pathlib.Path,
    summary: Mapping[str, Any],
    *,
    rows: Mapping[str, Sequence[Row]],
    samples: Samples,
    published: Mapping[str, Mapping[str, float]],
) -> None:
    """Writes the report and the leader-board files of an evaluation, with all its sections.

    Args:
      output_dir: Its folder.
      summary: The content of summary.json.
      rows: Scored rows by benchmark.
      samples: Their samples, for the images; what cannot be read any more is not shown.
      published: Accuracy in percent by model, for each benchmark that has some.

    Raises:
      UserError: If the folder holds a section that is unknown.
    """
    found = sections.read(output_dir)
    page = render(summary, rows=rows, samples=samples, published=published, found=found)
    folder.write_text(output_dir / "report.html", page)
    table = leaderboard.make(summary, found)
    folder.write_text(output_dir / "leaderboard.json", json.dumps(table, indent=1) + "\n")
    folder.write_text(output_dir / "leaderboard.csv", leaderboard.to_csv(table))
    folder.write_text(output_dir / "leaderboard.md", leaderboard.to_markdown(table, published))


def render(
    summary: Mapping[str, Any],
    *,
    rows: Mapping[str, Sequence[Row]],
    samples: Samples,
    published: Mapping[str, Mapping[str, float]],
    found: Mapping[str, Mapping[str, Any]],
) -> str:
    """The HTML page; whatever a model or a data set says is escaped.

    Args:
      summary: The content of summary.json.
      rows: As in `write`.
      samples: As in `write`.
      published: As in `write`.
      found: Contents of sections by name.

    Raises:
      UserError: If a section is unknown.
    """
    parts = report_sections.parts(found)
    fragments = {f"sections/{part.name}": part.template for part in parts}
    environment = pages.environment({**report_page.TEMPLATES, **fragments})
    environment.globals |= {"x_of": x_of, "ends_of": ends_of}
    settings = summary["settings"]
    rows = {name: rows[name] for name in summary["benchmarks"]}
    most = max(MOST_CARDS // len(rows), LEAST_CARDS)
    first = {
        name: choose([row["strict"]["status"] for row in found_rows], most)
        for name, found_rows in rows.items()
    }
    pictures = report_viewer.collect(rows, samples, first=first)
    script = report_viewer.script()
    return environment.get_template("page.html").render(
        model=summary["model"],
        summary=summary,
        settings={name: value for name, value in settings.items() if value},
        limit=settings.get("limit"),
        blind=settings.get("blind"),
        remarks=summary.get("remarks", ()),
        usage=summary.get("usage"),
        benchmarks=summary["benchmarks"],
        totals={name: summary[name] for name in leaderboard.TOTALS if summary["scored"] > 1},
        failures=leaderboard.FAILURES,
        baselines=leaderboard.BASELINES,
        modes=metrics.MODES,
        open_metrics=compat.OPEN_METRICS,
        reasons=compat_reasons.REASONS,
        published=report_published.table(
            summary, published, report_published.judged(summary, rows, found.get("judge", {}))
        ),
        sections=parts,
        absent=report_sections.absent(found, summary),
        total=sum(map(len, rows.values())),
        cards=make_cards(rows, first, pictures),
        pictures=pictures,
        packed=report_viewer.pack(rows, samples, pictures),
        script=script,
        policy=pages.script_policy(script),
    )


def make_cards(
    rows: Mapping[str, Sequence[Row]],
    chosen: Mapping[str, Sequence[int]],
    pictures: report_viewer.Pictures,
) -> list[dict[str, Any]]:
    """Answers that stand in the page itself, with their images as data.

    Args:
      rows: Scored rows by benchmark.
      chosen: Places of rows by benchmark.
      pictures: Those of the page.
    """
    return [
        {
            "benchmark": name,
            "row": rows[name][place],
            "pictures": pictures.addresses(name, place),
        }
        for name, places in chosen.items()
        for place in places
    ]


def choose(statuses: Sequence[str], most: int = MOST_CARDS) -> list[int]:
    """Which rows stand in the page itself: some of each failure, then evenly; ascending places.

    Args:
      statuses: The strict status of every row.
      most: So many, or as many as there are ways of failing, if these are more.
    """
    shown = set()
    of_a_status = MOST_OF_A_STATUS if most >= MOST_CARDS else 1
    for failure in metrics.FAILURES:
        places = [i for i, status in enumerate(statuses) if status == failure]
        shown.update(places[:of_a_status])
    room = min(most - len(shown), len(statuses))
    shown.update(i * len(statuses) // room for i in range(room))
    return sorted(shown)


def x_of(share: float | None) -> float:
    """Where a share stands on a bar, in the units of its drawing; an unknown one at 0."""
    start, length = _BAR
    return round(start + length * (share or 0.0), 1)


def ends_of(intervals: Sequence[Sequence[float | None]]) -> tuple[float, float] | None:
    """The outer ends of several intervals; None where none is known.

    Args:
      intervals: Each with two ends, which may be None.
    """
    known = [end for interval in intervals for end in interval if end is not None]
    return (min(known), max(known)) if known else None
