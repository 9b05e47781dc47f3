# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""PubMedQA: does an abstract answer the question of its title with yes, no or maybe?

Paper: Jin et al., "PubMedQA: A Dataset for Biomedical Research Question Answering", EMNLP 2019.
Licence MIT. The 500 test questions of PQA-L. The context is the abstract without its conclusion,
the options are always yes, no and maybe in this order: "A" is right for 55.2% of them.

Two layouts: the hub's, whose record lies in the column `data`, and the publisher's two files by
PMID, the texts of all 1,000 labelled questions beside the golds of the test questions.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import letters

HUB_FILE = "data/test-*.parquet"
FILE, GOLD_FILE = "ori_pqal.json", "test_ground_truth.json"
HUB_COLUMNS = ("id", "data")
RECORD = ("Question", "Context", "Options", "Correct Option")
COLUMNS = ("QUESTION", "CONTEXTS", "LONG_ANSWER")
DECISIONS = {"A": "yes", "B": "no", "C": "maybe"}
CARD = card_lib.Card(
    name="pubmedqa",
    title="PubMedQA",
    upstream="PubMedQA",
    family="text",
    in_paper=True,
    repository="openlifescienceai/pubmedqa",
    revision="50fc41dcd0bd6eb63c18d436d854c6f9e8f3c7e2",
    files=(HUB_FILE, GOLD_FILE),
    folders=("pubmedqa/data", "data"),
    origin="the publisher's files are in github.com/pubmedqa/pubmedqa, folder data",
    schema=(
        "MedEvalKit@9b12e3b utils/PubMedQA/PubMedQA.py; pubmedqa/pubmedqa@1cbae8e data;"
        " revision: eka-care/KARMA-OpenMedEvalKit@fe15101 karma/eval_datasets/pubmedmcqa_dataset.py"
    ),
    num_rows=500,
    golds={"A": 276, "B": 169, "C": 55},
    published={"Lingshu-7B": 76.6, "Lingshu-32B": 77.8, "Qwen2.5-VL-7B": 76.4},
)


class _Row(NamedTuple):
    row_id: str
    where: str
    record: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class PubMedQa:
    """The test split in the hub's layout or the publisher's."""

    card: card_lib.Card = CARD
    rule: str = "choice"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row; its id is the hub's, or the PMID.

        Raises:
          UserError: If a file, a column, the options or a gold is not as expected.
        """
        folder = files.find(CARD, data_dir)
        is_hub = bool(files.matches(folder, HUB_FILE))
        return [_sample(row) for row in (_hub_rows(folder) if is_hub else _rows(folder))]


def _hub_rows(folder: Path) -> Iterator[_Row]:
    path = files.only(CARD, folder, HUB_FILE)
    for row in files.read_rows(CARD, path, HUB_COLUMNS):
        where = f"{path} id {row['id']}"
        yield _Row(str(row["id"]), where, _checked(where, row["data"], RECORD))


def _rows(folder: Path) -> Iterator[_Row]:
    """The publisher's files, in the order of the golds, as the hub's records."""
    path, gold_path = files.only(CARD, folder, FILE), files.only(CARD, folder, GOLD_FILE)
    rows, golds = files.read_json(CARD, path), files.read_json(CARD, gold_path)
    by_decision = {decision: letter for letter, decision in DECISIONS.items()}
    for pmid, decision in _checked(str(gold_path), golds, ()).items():
        where = f"{path} {pmid}"
        row = _checked(where, _checked(str(path), rows, (pmid,))[pmid], COLUMNS)
        if decision not in by_decision:
            raise errors.UserError(
                f"pubmedqa: {gold_path} {pmid}: the gold must be one of {', '.join(by_decision)},"
                f" got {decision!r}"
            )
        yield _Row(
            pmid,
            where,
            {
                "Question": row["QUESTION"],
                "Context": row["CONTEXTS"],
                "Options": dict(DECISIONS),
                "Correct Option": by_decision[decision],
                "Correct Answer": decision,
                "Long Answer": row["LONG_ANSWER"],
            },
        )


def _checked(where: str, value: Any, columns: tuple[str, ...]) -> Mapping[str, Any]:
    """The value if it is a mapping with these columns, else a UserError."""
    if isinstance(value, Mapping) and set(columns) <= set(value):
        return value
    found = sorted(map(str, value))[:12] if isinstance(value, Mapping) else type(value).__name__
    raise errors.UserError(f"pubmedqa: {where} needs {sorted(columns)}, found {found}")


def _paragraphs(where: str, context: Any) -> list[str]:
    if isinstance(context, list) and all(isinstance(text, str) for text in context):
        return context
    raise errors.UserError(
        f"pubmedqa: {where}: the context must be a list of texts, got {str(context)[:80]!r}"
    )


def _sample(row: _Row) -> benchmark.Sample:
    record = row.record
    options = letters.texts(CARD, row.where, record["Options"])
    gold = letters.gold(CARD, row.where, record["Correct Option"], options)
    choices = formats.lettered(options, blank=False)
    context = "\n".join(_paragraphs(row.where, record["Context"]))
    prompt = f"Context: {context}\n{formats.ask_choice(record['Question'], choices)}"
    return benchmark.Sample(
        id=row.row_id,
        question=record["Question"],
        gold=gold,
        answer_type="choice",
        rule="choice",
        messages=formats.turn(prompt),
        options=options,
        choices=choices,
        fields={**files.kept(record), "choices": list(choices), "answer": gold},
    )
