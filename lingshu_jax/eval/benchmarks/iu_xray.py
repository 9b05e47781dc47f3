# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""IU X-Ray (Open-i): reports of chest radiographs, from all views of a study.

Paper: Demner-Fushman et al., "Preparing a collection of radiology examinations for distribution and
retrieval", JAMIA 23, 2016. MedEvalKit's test.json holds 296 studies with 607 images, most of two
views; words that could identify somebody read XXXX. MedEvalKit's loader does not run (a misspelt
name, an archive under another name); asked is what it means.
"""

import dataclasses
from pathlib import Path

from lingshu_jax.eval import benchmark
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import reports

CARD = card_lib.Card(
    name="iu_xray",
    title="IU X-Ray",
    upstream="IU_XRAY",
    family="reports",
    in_paper=True,
    files=(reports.FILE,),
    folders=("datas/IU_XRAY",),
    origin=(
        "test.json at github.com/alibaba-damo-academy/MedEvalKit, datas/IU_XRAY (commit 9b12e3b),"
        " and the images at https://openi.nlm.nih.gov/imgs/collections/NLMCXR_png.tgz; then"
        f" {reports.LAYOUT}"
    ),
    schema="MedEvalKit@9b12e3b utils/IU_XRAY/IU_XRAY.py and datas/IU_XRAY/test.json",
    num_rows=296,
    published_reports={
        "Lingshu-7B": reports.published(41.2, 180.7, 57.6, 48.4, 108.1),
        "Lingshu-32B": reports.published(42.8, 189.2, 63.5, 54.6, 130.4),
        "Qwen2.5-VL-7B": reports.published(26.5, 78.1, 48.4, 36.3, 66.1),
    },
)


@dataclasses.dataclass(frozen=True)
class IuXray:
    """The test split in MedEvalKit's layout."""

    card: card_lib.Card = CARD
    rule: str = "report"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every study that has a report.

        Raises:
          UserError: If a file, a column, a section or an image is not as expected.
        """
        return reports.load(CARD, data_dir, prompt=formats.REPORT)
