# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""MIMIC-CXR: reports of chest radiographs of one hospital, from all views of a study.

Paper: Johnson et al., "MIMIC-CXR, a de-identified publicly available database of chest radiographs
with free-text reports", Scientific Data 6, 2019. Whoever reads the data needs a PhysioNet account
with credentials and its data use agreement. MedEvalKit's test.json was never released; the test
split of ReXrank (rajpurkarlab/ReXrank, data/mimic-cxr, 2,347 studies) can be written in its form.

The prompt differs from that of the other sets by a line break and eight blanks in front and behind.
"""

import dataclasses
from pathlib import Path

from lingshu_jax.eval import benchmark
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import reports

_MARGIN = "\n" + 8 * " "
PROMPT = _MARGIN + formats.REPORT + _MARGIN
CARD = card_lib.Card(
    name="mimic_cxr",
    title="MIMIC-CXR",
    upstream="MIMIC_CXR",
    family="reports",
    in_paper=True,
    files=(reports.FILE,),
    origin=(
        "https://physionet.org/content/mimic-cxr/2.1.0/ (images as JPG:"
        " https://physionet.org/content/mimic-cxr-jpg/2.1.0/), which asks for a credentialed"
        " PhysioNet account, its training and the PhysioNet Credentialed Health Data Use Agreement"
        f" 1.5.0; then {reports.LAYOUT}"
    ),
    schema=(
        "MedEvalKit@9b12e3b utils/MIMIC_CXR/MIMIC_CXR.py; the same form with data:"
        " datas/IU_XRAY/test.json; count: arXiv 2506.07044 table 25"
    ),
    num_rows=2195,
    published_reports={
        "Lingshu-7B": reports.published(30.8, 109.4, 52.1, 30.0, 69.2),
        "Lingshu-32B": reports.published(28.8, 96.4, 50.8, 30.1, 67.1),
        "Qwen2.5-VL-7B": reports.published(24.1, 63.7, 47.0, 18.4, 55.1),
    },
)


@dataclasses.dataclass(frozen=True)
class MimicCxr:
    """The test split in MedEvalKit's layout."""

    card: card_lib.Card = CARD
    rule: str = "report"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every study that has a report.

        Raises:
          UserError: If a file, a column, a section or an image is not as expected.
        """
        return reports.load(CARD, data_dir, prompt=PROMPT)
