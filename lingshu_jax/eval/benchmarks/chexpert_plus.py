# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""CheXpert Plus: reports of chest radiographs of one hospital, from one image.

Paper: Chambon et al., "CheXpert Plus: Augmenting a Large Chest X-ray Dataset with Text Radiology
Reports, Patient Demographics and Additional Image Formats", arXiv 2405.19538. Whoever reads the
data accepts Stanford's agreement. MedEvalKit's test.json was not released; its authors say that it
is the official validation set (ReXrank has 200 studies of that, data/chexpert_plus). `image` is one
file name, not a list.
"""

import dataclasses
from pathlib import Path

from lingshu_jax.eval import benchmark
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import reports

CARD = card_lib.Card(
    name="chexpert_plus",
    title="CheXpert Plus",
    upstream="CheXpert_Plus",
    family="reports",
    in_paper=True,
    files=(reports.FILE,),
    origin=(
        "https://aimi.stanford.edu/datasets/chexpert-plus, which asks for an account and Stanford's"
        f" research use agreement; then {reports.LAYOUT} (here `image` is one name)"
    ),
    schema=(
        "MedEvalKit@9b12e3b utils/CheXpert_Plus/CheXpert_Plus.py; count: arXiv 2506.07044 table 25"
    ),
    num_rows=234,
    published_reports={
        "Lingshu-7B": reports.published(26.5, 79.0, 45.4, 26.8, 47.3),
        "Lingshu-32B": reports.published(25.3, 75.9, 43.4, 24.2, 47.1),
        "Qwen2.5-VL-7B": reports.published(22.2, 62.0, 41.0, 17.2, 43.1),
    },
)


@dataclasses.dataclass(frozen=True)
class CheXpertPlus:
    """The validation set in MedEvalKit's layout."""

    card: card_lib.Card = CARD
    rule: str = "report"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every study that has a report.

        Raises:
          UserError: If a file, a column, a section or an image is not as expected.
        """
        return reports.load(CARD, data_dir, prompt=formats.REPORT, single=True)
