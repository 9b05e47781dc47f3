# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json
import time

import pytest

from lingshu_jax.eval.report_metrics import tokens

# What pycocoevalcap 1.2 with Java 17 makes of them.
PTB = {
    "Heart size (normal); 1.5 cm nodule -- L5/S1, 50% & more.": (
        "heart size -lrb- normal -rrb- 1.5 cm nodule l5/s1 50 % & more"
    ),
    "It's the patient's heart; can't see. don\u2019t, we'll": (
        "it 's the patient 's heart ca n't see do n't we 'll"
    ),
    "T-spine 3 x 4-mm ... etc. Dr. Smith e.g. 10:30 a.m. $5 <5 >3 #1 50,000 1/2 37\u00b0C": (
        "t-spine 3 x 4-mm etc. dr. smith e.g. 10:30 a.m. $ 5 < 5 > 3 # 1 50,000 1/2 37 \u00b0 c"
    ),
    '**Findings:** [none] "quoted" and/or C5-6 S1. No. 3': (
        "** findings ** -lsb- none -rsb- quoted and/or c5-6 s1 no. 3"
    ),
    "vitamin A. The": "vitamin a the",
    "vitamin A. the": "vitamin a. the",
    "see Fig. 1 and fig. two": "see fig. 1 and fig two",
    "0.5-5.0 C5-C6/C7 L4/5 1/2/2020 10:30am 2.3cm. 5mm": (
        "0.5-5 .0 c5-c6 / c7 l4/5 1/2/2020 10:30 am 2.3 cm 5mm"
    ),
    "a -3 (-3) x-3 vein.2. Mild": "a -3 -lrb- -3 -rrb- x-3 vein .2 mild",
    "effusion.No pneumothorax": "effusion.no pneumothorax",
    "mild-to-moderate mid- and lower -based post-CABG/valve s/p": (
        "mild-to-moderate mid and lower based post-cabg/valve s/p"
    ),
    "cannot gonna IV/V H&P 250,000/mm3": "can not gon na iv/v h&p 250,000 / mm3",
    "\u5fc3\u810f\u6b63\u5e38\u3002\u53cc\u80ba\u6e05\u6670\u3002": (
        "\u5fc3\u810f\u6b63\u5e38 \u3002 \u53cc\u80ba\u6e05\u6670 \u3002"
    ),
    "": "",
    " . , - \n": "",
}


@pytest.mark.parametrize("text", list(PTB))
def test_treebank_tokens_are_those_of_the_original(text):
    assert " ".join(tokens.ptb(text)) == PTB[text]


@pytest.mark.parametrize("part", ["pairs28", "rotated20"])
def test_treebank_tokens_of_the_shared_reports(shared_dir, part):
    path = shared_dir / "evaldata" / "radeval" / "derived_lexical_oracle.json"
    found = json.loads(path.read_text())[part]
    for side in ("refs", "hyps"):
        ours = [" ".join(tokens.ptb(text)) for text in found[side]]
        assert ours == found["coco_ptb"][f"tokenized_{side}"]
        split = [" ".join(tokens.ws(text)) for text in found[side]]
        assert split == found["coco_whitespace_lower"][f"tokenized_{side}"]
        assert split != ours


@pytest.mark.parametrize("mark", ["", "-", ".", "<a", "a.", "/", "@", "'", "http://", "1,"])
def test_a_long_text_without_blanks_is_cut_quickly(mark):
    started = time.process_time()
    assert tokens.ptb(mark.join(["effusion"] * 5000)) or tokens.ptb(mark * 20_000)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("rexrank", "No  effusion.\nClear. ", ["no", "effusion", ".\nclear", "."]),
        ("ws", "No  effusion.\nClear. ", ["no", "effusion.", "clear."]),
        ("rouge_score", "L5/S1: 1.5 cm, \u80ba", ["l5", "s1", "1", "5", "cm"]),
        ("own", "L5/S1: 1.5 cm, \u80ba\u90e8", ["l5", "s1", "1.5", "cm", "\u80ba", "\u90e8"]),
    ],
)
def test_other_rules(name, text, expected):
    assert tokens.TOKENIZERS[name](text) == expected


def test_only_our_rule_takes_chinese_apart():
    text = "\u5fc3\u810f\u5927\u5c0f\u6b63\u5e38"
    found = {name: len(rule(text)) for name, rule in tokens.TOKENIZERS.items()}
    assert found == {"own": 6, "ptb": 1, "rexrank": 1, "ws": 1, "rouge_score": 0}
