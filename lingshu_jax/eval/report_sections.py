# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The sections of report.html that stand beside the verdicts: which there are, in what order.

A section's module has NAME, TITLE and TEMPLATE, a fragment of a page that sees `section`, the
content of its file, and `summary`. Modules are imported by name when a section is shown: most of
them run evaluations, which write reports.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lingshu_jax.common import errors


class Entry(NamedTuple):
    """A section that there may be.

    Attributes:
      module: That makes and shows it.
      asked_by: What on the command line asks for it.
    """

    module: str
    asked_by: str


_TRUST = "lingshu_jax.eval.trust"
SECTIONS = {
    "reports": Entry("lingshu_jax.eval.report_metrics.section", "--weights_dir"),
    "judge": Entry("lingshu_jax.eval.judge.section", "python -m lingshu_jax.judge"),
    "image_baselines": Entry(f"{_TRUST}.image_baselines", "--image_baselines"),
    "option_shuffles": Entry(f"{_TRUST}.option_shuffles", "--option_shuffles"),
    "prompt_variants": Entry(f"{_TRUST}.prompt_variants", "--prompt_variants"),
    "calibration": Entry(f"{_TRUST}.calibration", "--calibration"),
    "overconfidence": Entry(f"{_TRUST}.overconfidence", "--overconfidence"),
    "hallucination": Entry(f"{_TRUST}.hallucination", "--hallucination"),
    "contamination": Entry(f"{_TRUST}.contamination", "--contamination"),
}


class Part(NamedTuple):
    """A section as the page takes it.

    Attributes:
      name: Its anchor.
      title: Its heading.
      template: Its body, a Jinja fragment.
      content: Of its file, without its remarks.
      remarks: Which the page shows itself, in one way for all sections.
    """

    name: str
    title: str
    template: str
    content: Mapping[str, Any]
    remarks: Sequence[str]


def parts(found: Mapping[str, Mapping[str, Any]]) -> list[Part]:
    """The sections of an evaluation in the order of `SECTIONS`.

    Args:
      found: Their contents by name, as `sections.read` gives them.

    Raises:
      UserError: If one is unknown.
    """
    if unknown := [name for name in found if name not in SECTIONS]:
        raise errors.UserError(
            f"sections/{unknown[0]}.json is no section of a report; known: {', '.join(SECTIONS)}"
        )
    shown = []
    for name, entry in SECTIONS.items():
        if name in found:
            module: Any = importlib.import_module(entry.module)
            content, remarks = {**found[name], "remarks": []}, found[name].get("remarks", ())
            shown.append(Part(name, module.TITLE, module.TEMPLATE, content, remarks))
    return shown


def absent(found: Sequence[str] | Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """The sections that an evaluation has not, each with what asks for it.

    Args:
      found: Names of those that it has.
      summary: The content of summary.json; "reports" is for questions without verdicts.
    """
    has_reports = any(s["unscored"] for s in summary["benchmarks"].values())
    return [
        f"{name.replace('_', ' ')} ({entry.asked_by})"
        for name, entry in SECTIONS.items()
        if name not in found and (has_reports or name != "reports")
    ]
