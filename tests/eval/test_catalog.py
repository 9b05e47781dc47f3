# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The table of benchmarks, and its copy in docs/evaluation.md.

A card that changes on purpose: `python -m tests.eval.test_catalog` writes the copy again.
"""

import pathlib
import re

import pytest

from lingshu_jax.common import pages
from lingshu_jax.eval import catalog

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"
BEGIN, END = "<!-- benchmarks: begin -->\n", "<!-- benchmarks: end -->\n"
HEADS = ("name", "benchmark", "group", "rows", "hub", "commit")
LISTED = [item for item in catalog.members("all")]
EACH = pytest.mark.parametrize("item", LISTED, ids=lambda item: item.card.name)


def table() -> str:
    """A line for each benchmark."""
    rows = [
        [
            f"`{card.name}`",
            card.title,
            card.family + (", paper" if card.in_paper else ""),
            f"{card.num_rows:,}",
            card.repository or "local folder",
            card.revision[:7] or ("as fetched" if card.repository else ""),
        ]
        for card in (item.card for item in LISTED)
    ]
    heads = [pages.markdown_row(HEADS), pages.markdown_row(["---"] * len(HEADS))]
    return "\n".join([*heads, *map(pages.markdown_row, rows)]) + "\n"


def test_the_documented_table_is_the_one_in_use():
    text = DOCS.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0] == table()


def test_the_groups_hold_what_the_paper_reports():
    names = {group: [i.card.name for i in catalog.members(group)] for group in catalog.GROUPS}
    assert len(names["all"]) == len(set(names["all"])) == 26
    assert names["reports"] == ["mimic_cxr", "iu_xray", "chexpert_plus"]
    assert set(names["paper"]) < set(names["all"])
    assert {"slake", "medxpertqa_text", "iu_xray", "supergpqa"} <= set(names["paper"])
    assert not {"medframeqa", "healthbench", "cmb"} & set(names["paper"])
    parts = [names[group] for group in ("multimodal", "text", "reports")]
    assert sorted([*sum(parts, []), "healthbench"]) == sorted(names["all"])
    assert catalog.members("medmcqa") == []


def test_a_group_and_a_name_may_stand_together_once():
    chosen = catalog.choose("reports,vqa_rad", None)
    assert [item.card.name for item in chosen] == [
        *("mimic_cxr", "iu_xray", "chexpert_plus", "vqa_rad"),
    ]


def test_the_rows_of_the_paper_add_up():
    # Table 25 of arXiv 2506.07044 counts MMMU with its development and validation splits,
    # MedXpertQA with 50 and MMLU with 26 questions more than the test splits hold, Medbullets once
    # in each form.
    count = {item.card.name: item.card.num_rows for item in catalog.members("paper")}
    here = sum(count.values())
    assert count["mmmu_medical_val"] + count["mmmu_medical_test"] + 25 == 1927
    assert count["medxpertqa_mm"] + count["medxpertqa_text"] + 50 == 4500
    assert count["mmlu_medical"] + 26 == 1897
    assert here + 25 + 50 + 26 == 152_066


@EACH
def test_a_card_says_what_a_user_needs(item):
    card = item.card
    assert re.fullmatch(r"[a-z0-9_]+", card.name)
    assert card.num_rows > 0
    assert card.files
    assert card.schema
    assert card.repository or card.origin
    assert re.fullmatch(r"([0-9a-f]{40})?", card.revision)
    assert sum(card.golds.values()) <= card.num_rows


if __name__ == "__main__":
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    DOCS.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")
