# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The metrics of reports by name: what each variant is, and which one the paper's numbers are."""

from collections.abc import Mapping
from typing import NamedTuple

from lingshu_jax.eval.report_metrics import lexical


class Column(NamedTuple):
    """A metric.

    Attributes:
      name: In files; the variant is part of it.
      title: In tables.
      about: How it is counted, and whose numbers it is comparable with.
      is_share: Whether tables show it times 100.
    """

    name: str
    title: str
    about: str
    is_share: bool = True


def _bleu(kind: str, title: str, about: str) -> tuple[Column, ...]:
    return tuple(Column(f"bleu{n}_{kind}", f"BLEU-{n}, {title}", about) for n in lexical.ORDERS)


COLUMNS = (
    Column(
        "rougeL_rouge101",
        "ROUGE-L, rouge 1.0.1",
        "the paper's and MedEvalKit's: lower case, sentences end at points, a word counts once",
    ),
    Column("rougeL_rougescore", "ROUGE-L, rouge-score", "Google's F1 of words of a-z and 0-9"),
    Column("rougeL_coco", "ROUGE-L, COCO", "pycocoevalcap's, recall counts more (beta 1.2)"),
    Column("rougeL_own", "ROUGE-L, own", "F1 of words, and of single Chinese characters"),
    *_bleu("coco", "COCO", "pycocoevalcap's, over all reports together"),
    Column("bleu4_own", "BLEU-4, own", "the same of words, and of single Chinese characters"),
    *_bleu("medevalkit", "MedEvalKit", "NLTK's of each report without smoothing, the mean"),
    Column("bleu2_rexrank", "BLEU-2, ReXrank", "fast-bleu's of each report, the mean; in RadCliQ"),
    Column(
        "cider_medevalkit",
        "CIDEr, MedEvalKit",
        "the paper's: plain CIDEr, words weighed by how common they are in captions of COCO",
    ),
    Column("cider_ptb", "CIDEr-D, COCO", "pycocoevalcap's, weighed by the references evaluated"),
    Column("cider_ws", "CIDEr-D, blanks", "the same of what stands between blanks"),
    Column("cider_own", "CIDEr-D, own", "the same of words, and of single Chinese characters"),
    Column("meteor", "METEOR 1.5", "pycocoevalcap's of each report, the mean"),
    Column("meteor_coco", "METEOR 1.5, COCO", "the same over all reports together"),
    Column("bertscore", "BERTScore", "distilroberta-base, layer 5, rescaled; in RadCliQ"),
    Column("sembscore", "SembScore", "the paper's: cosine of CheXbert's embeddings; in RadCliQ"),
    Column("radgraph_f1", "RadGraph F1", "mean of entities and relations; in RadCliQ"),
    Column("radgraph_simple", "RadGraph, simple", "entities alone"),
    Column("radgraph_partial", "RadGraph, partial", "entities, and whether they have a relation"),
    Column("radgraph_complete", "RadGraph, complete", "entities with their relations"),
    Column("ratescore", "RaTEScore", "the paper's; an empty report has 0 here, .5 in the original"),
    Column("radcliq_v1", "RadCliQ-v1", "lower is better; a perfect match has -1.44", False),
    Column("radcliq_v1_inverse", "1/RadCliQ-v1", "the paper's; none where the mean is not above 0"),
    Column("radcliq_v0", "RadCliQ-v0", "lower is better; a perfect match has -0.24", False),
    Column("radcliq_v0_inverse", "1/RadCliQ-v0", "none where the mean is not above 0"),
)
NAMES = tuple(column.name for column in COLUMNS)

ALL, NON_EMPTY = "all", "non_empty"
# What the paper's numbers are, of whole reports: ours and over which. MedEvalKit leaves empty
# reports out of CIDEr and RaTEScore, and counts them as 0 in ROUGE-L.
PAPER: Mapping[str, tuple[str, str]] = {
    "ROUGE-L": ("rougeL_rouge101", ALL),
    "CIDEr": ("cider_medevalkit", NON_EMPTY),
    "RaTEScore": ("ratescore", NON_EMPTY),
    "SembScore": ("sembscore", ALL),
    "1/RadCliQ-v1": ("radcliq_v1_inverse", ALL),
}
