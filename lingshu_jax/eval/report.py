# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The pages and tables of an evaluation: report.html, leaderboard.json, .csv and .md."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from lingshu_jax.common import pages
from lingshu_jax.data import images
from lingshu_jax.eval import (
    benchmark,
    compat,
    compat_reasons,
    folder,
    leaderboard,
    metrics,
    report_page,
)

MOST_CARDS = 48  # answers shown of one benchmark
MOST_OF_A_STATUS = 4  # of each way of failing, shown first of all


def write(
    output_dir: pathlib.Path,
    summary: Mapping[str, Any],
    *,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    samples: Mapping[str, Sequence[benchmark.Sample]],
    published: Mapping[str, Mapping[str, float]],
) -> None:
    """Writes the report and the leader-board files of an evaluation.

    Args:
      output_dir: Its folder.
      summary: The content of summary.json.
      rows: Scored rows by benchmark.
      samples: Their samples, for the images.
      published: Accuracy in percent by model, for each benchmark that has some.
    """
    cards = {
        name: make_cards(rows[name], {sample.id: sample for sample in samples[name]})
        for name in summary["benchmarks"]
    }
    page = render(summary, cards=cards, published=published)
    folder.write_text(output_dir / "report.html", page)
    table = leaderboard.make(summary)
    folder.write_text(output_dir / "leaderboard.json", json.dumps(table, indent=1) + "\n")
    folder.write_text(output_dir / "leaderboard.csv", leaderboard.to_csv(table))
    folder.write_text(output_dir / "leaderboard.md", leaderboard.to_markdown(table, published))


def render(
    summary: Mapping[str, Any],
    *,
    cards: Mapping[str, Sequence[Mapping[str, Any]]],
    published: Mapping[str, Mapping[str, float]],
) -> str:
    """The HTML page; whatever a model or a data set says is escaped.

    Args:
      summary: The content of summary.json.
      cards: Results of `make_cards` by benchmark.
      published: As in `write`.
    """
    template = pages.environment(report_page.TEMPLATES).get_template("page.html")
    settings = summary["settings"]
    return template.render(
        model=summary["model"],
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
        cards=cards,
        published=beside_published(summary, published),
    )


def beside_published(
    summary: Mapping[str, Any], published: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Our accuracies and the published ones, in percent.

    Args:
      summary: The content of summary.json.
      published: As in `write`.

    Returns:
      `benchmarks` that have published numbers, and by model in `rows` a number for each of them,
      None where there is none, ours first; empty if nothing is published.
    """
    names = [name for name in summary["benchmarks"] if published.get(name)]
    rows = {
        f"{summary['model']}, {mode}": [
            None if accuracy is None else round(100 * accuracy, 1)
            for accuracy in (summary["benchmarks"][name][f"{mode}_accuracy"] for name in names)
        ]
        for mode in metrics.MODES
    }
    for model in dict.fromkeys(model for name in names for model in published[name]):
        rows[model] = [published[name].get(model) for name in names]
    return {"benchmarks": names, "rows": rows} if names else {}


def make_cards(
    rows: Sequence[Mapping[str, Any]], samples: Mapping[str, benchmark.Sample]
) -> list[dict[str, Any]]:
    """Answers to show, with their images as data: some of each failure, then evenly spaced.

    Args:
      rows: Scored rows.
      samples: By id.
    """
    return [
        {"row": rows[i], "pictures": thumbnails(samples[rows[i]["id"]])}
        for i in choose([row["strict"]["status"] for row in rows])
    ]


def choose(statuses: Sequence[str]) -> list[int]:
    """Which rows to show: at most MOST_CARDS places, ascending.

    Args:
      statuses: The strict status of every row.
    """
    shown = set()
    for failure in metrics.FAILURES:
        places = [i for i, status in enumerate(statuses) if status == failure]
        shown.update(places[:MOST_OF_A_STATUS])
    room = min(MOST_CARDS - len(shown), len(statuses))
    shown.update(i * len(statuses) // room for i in range(room))
    return sorted(shown)


def thumbnails(sample: benchmark.Sample) -> list[str]:
    """The images of a prompt as small pictures in the form of data addresses.

    Args:
      sample: The question.

    Raises:
      UserError: If one does not decode.
    """
    return [pages.thumbnail(picture) for picture in _pictures(sample)]


def _pictures(sample: benchmark.Sample) -> list[Image.Image]:
    """The images of a prompt; a video is shown by its first frame."""
    pictures = []
    for part in sample.media:
        value = part[part["type"]]
        if part["type"] == "video":
            visual = tuple(value) if isinstance(value, list) else value
            pictures.append(next(images.open_frames(visual)))
        else:
            pictures.append(images.open_image(value))
    return pictures
