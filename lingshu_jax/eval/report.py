# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The pages and tables of an evaluation: report.html, leaderboard.json, .csv and .md."""

import csv
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from lingshu_jax.common import pages
from lingshu_jax.data import images
from lingshu_jax.eval import benchmark, compat, folder, metrics, report_page

MOST_CARDS = 48  # answers shown of one benchmark
MOST_OF_A_STATUS = 4  # of each way of failing, shown first of all

COLUMNS = (
    "model",
    "benchmark",
    "n",
    "compat_accuracy",
    "compat_low",
    "compat_high",
    "strict_accuracy",
    "strict_low",
    "strict_high",
    "constant_accuracy",
    "disagreements",
    *metrics.FAILURES,
)


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
    table = leaderboard(summary)
    folder.write_text(output_dir / "leaderboard.json", json.dumps(table, indent=1) + "\n")
    folder.write_text(output_dir / "leaderboard.csv", to_csv(table))
    folder.write_text(output_dir / "leaderboard.md", to_markdown(table, published))


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
        benchmarks=summary["benchmarks"],
        macro=summary["macro"],
        micro=summary["micro"],
        statuses=metrics.FAILURES,
        open_metrics=compat.OPEN_METRICS,
        cards=cards,
        published={name: published.get(name, {}) for name in summary["benchmarks"]},
    )


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


def leaderboard(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a benchmark, with the columns COLUMNS.

    Args:
      summary: The content of summary.json.
    """
    table = []
    for name, numbers in summary["benchmarks"].items():
        bounds = {
            f"{mode}_{end}": value
            for mode in ("compat", "strict")
            for end, value in zip(("low", "high"), numbers[f"{mode}_interval"], strict=True)
        }
        row = {"model": summary["model"], "benchmark": name, **numbers, **bounds}
        table.append({column: row[column] for column in COLUMNS})
    return table


def to_csv(table: Sequence[Mapping[str, Any]]) -> str:
    """The leader board as CSV with a header.

    Args:
      table: Result of `leaderboard`.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def to_markdown(
    table: Sequence[Mapping[str, Any]], published: Mapping[str, Mapping[str, float]]
) -> str:
    """The leader board as a Markdown table; published numbers stand below ours.

    Args:
      table: Result of `leaderboard`.
      published: As in `write`.
    """
    heads = ("model", "benchmark", "n", "compat", "strict", "constant", *metrics.FAILURES)
    lines = [
        pages.markdown_row(heads),
        pages.markdown_row(["---"] * 2 + ["---:"] * (len(heads) - 2)),
    ]
    for row in table:
        shares = [
            f"{pages.percent(row[f'{mode}_accuracy'])} "
            f"{pages.interval((row[f'{mode}_low'], row[f'{mode}_high']))}"
            for mode in ("compat", "strict")
        ]
        failures = [row[failure] for failure in metrics.FAILURES]
        constant = pages.percent(row["constant_accuracy"])
        lines.append(
            pages.markdown_row(
                [row["model"], row["benchmark"], row["n"], *shares, constant, *failures]
            )
        )
        for model, accuracy in published.get(row["benchmark"], {}).items():
            numbers = ["", f"{accuracy:.1f} %", *[""] * (len(metrics.FAILURES) + 2)]
            lines.append(pages.markdown_row([f"{model} (published)", row["benchmark"], *numbers]))
    return "\n".join(lines) + "\n"


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
