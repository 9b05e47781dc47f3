# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import csv
import json
import math

import pytest

from lingshu_jax.eval.report_metrics import cider, lexical, tokens

CUTS = {"coco_ptb": tokens.ptb, "coco_whitespace_lower": tokens.ws}
LAST_DIGIT = 1e-14


@pytest.fixture(scope="module", params=["pairs28", "rotated20"])
def pairs(request, shared_dir):
    path = shared_dir / "evaldata" / "radeval" / "derived_lexical_oracle.json"
    return json.loads(path.read_text())[request.param]


@pytest.fixture(scope="module")
def captions(shared_dir):
    folder = shared_dir / "evaldata" / "coco_caption"
    lines = (folder / "aac_metrics_example_1.csv").read_text().splitlines()
    rows = list(csv.reader(lines))[1:]
    said = [tokens.ptb(row[0]) for row in rows]
    truths = [[tokens.ptb(text) for text in row[1:]] for row in rows]
    return said, truths, json.loads((folder / "expected.json").read_text())


def exactly(expected):
    return pytest.approx(expected, rel=LAST_DIGIT, abs=LAST_DIGIT)


def cut_both(pairs, cut):
    return [cut(text) for text in pairs["hyps"]], [[cut(text)] for text in pairs["refs"]]


@pytest.mark.parametrize("cut", list(CUTS))
def test_corpus_metrics_are_pycocoevalcaps(pairs, cut):
    said, truths = cut_both(pairs, CUTS[cut])
    assert lexical.corpus_bleu(said, truths) == exactly(pairs[cut]["bleu_corpus"])
    rouge = [lexical.rouge_l_coco(*pair) for pair in zip(said, truths, strict=True)]
    assert rouge == exactly(pairs[cut]["rougeL_beta1.2"])
    assert cider.scores(said, truths) == exactly(pairs[cut]["cider"])
    assert math.fsum(cider.scores(said, truths)) / len(said) == exactly(pairs[cut]["cider_mean"])


def test_other_tokens_give_other_scores(pairs):
    said, truths = cut_both(pairs, tokens.ws)
    assert cider.scores(said, truths) != pytest.approx(pairs["coco_ptb"]["cider"], rel=1e-3)


@pytest.mark.parametrize("cut", list(CUTS))
def test_bleu_of_one_report_is_pycocoevalcaps(pairs, cut):
    said, truths = cut_both(pairs, CUTS[cut])
    ours = [lexical.corpus_bleu([one], [gold]) for one, gold in zip(said, truths, strict=True)]
    for order, theirs in enumerate(pairs[cut]["bleu_sent"]):
        # Where nothing agrees the original's guards leave 1e-16 to 1e-13.
        assert [bleu[order] for bleu in ours] == pytest.approx(theirs, abs=1e-13)


def test_rouge_l_is_that_of_its_packages(pairs):
    both = list(zip(pairs["hyps"], pairs["refs"], strict=True))
    google = [lexical.rouge_l(*map(tokens.rouge_score, pair)) for pair in both]
    assert google == exactly([each["rougeL"] for each in pairs["rouge_score_0.1.2_nostem"]])
    rouge = [lexical.rouge_l_rouge101(*pair) for pair in both]
    assert rouge == exactly([each["rouge-l"] for each in pairs["rouge_1.0.1_f"]])


def test_sentence_bleu_is_nltks(pairs):
    ours = [
        lexical.sentence_bleu(tokens.rexrank(said), tokens.rexrank(truth), smoothing=0.0)
        for said, truth in zip(pairs["hyps"], pairs["refs"], strict=True)
    ]
    theirs = pairs["nltk_sentence_bleu_prep_reports"]
    for order in lexical.ORDERS:
        expected = [each[f"bleu{order}"] for each in theirs]
        # As a share of numbers down to 1e-231, too.
        found = [bleu[order - 1] for bleu in ours]
        assert found == pytest.approx(expected, rel=1e-12, abs=0.0)


def test_rexranks_bleu_is_smoothed(pairs):
    said, truth = ["no", "effusion"], ["effusion", "large"]
    plain = lexical.sentence_bleu(said, truth, smoothing=lexical.NO_SMOOTHING)
    smoothed = lexical.sentence_bleu(said, truth, smoothing=lexical.METHOD_1)
    assert plain[1] < 1e-150
    assert smoothed[1] == pytest.approx(math.sqrt(0.5 * 0.1))
    assert plain[0] == smoothed[0] == 0.5
    found = lexical.of_reports(pairs["hyps"], pairs["refs"])
    pairs_of_both = zip(found["bleu2_rexrank"], found["bleu2_medevalkit"], strict=True)
    assert all(ours >= theirs for ours, theirs in pairs_of_both)


def test_captions_with_five_references(captions):
    said, truths, expected = captions
    assert lexical.corpus_bleu(said, truths) == exactly(expected["bleu"])
    rouge = [lexical.rouge_l_coco(*pair) for pair in zip(said, truths, strict=True)]
    assert math.fsum(rouge) / len(rouge) == exactly(expected["rougeL"])
    assert rouge[:20] == exactly(expected["rougeL_per_item_first20"])
    found = cider.scores(said, truths)
    assert math.fsum(found) / len(found) == exactly(expected["cider"])
    assert found[:20] == exactly(expected["cider_per_item_first20"])


def test_one_reference_less_changes_captions(captions):
    said, truths, expected = captions
    fewer = [golds[:4] for golds in truths]
    assert lexical.corpus_bleu(said, fewer) != pytest.approx(expected["bleu"], rel=1e-3)
    assert cider.scores(said, fewer)[:20] != pytest.approx(
        expected["cider_per_item_first20"], rel=1e-3
    )


def test_the_published_cider_of_two_captions(captions):
    example = captions[2]["readme_example"]
    said = [tokens.ptb(text) for text in example["candidates"]]
    truths = [[tokens.ptb(text) for text in golds] for golds in example["mult_references"]]
    found = cider.scores(said, truths)
    published = example["expected_published_by_aac_metrics"]["cider_d_sents"]
    assert found == pytest.approx(published, abs=5e-5)
    assert cider.scores(said, truths, defended=False) != pytest.approx(published, abs=5e-5)


def test_the_published_scores_of_radeval(shared_dir):
    folder = shared_dir / "evaldata" / "radeval"
    given = json.loads((folder / "regression_cpu.json").read_text())
    expected = json.loads((folder / "expected_scores_cpu.json").read_text())
    said = [text.split() for text in given["hyps"]]
    truths = [[text.split()] for text in given["refs"]]
    detailed = expected["detailed"]
    names = ("bleu_1", "bleu_2", "bleu_3", "bleu")
    found = lexical.corpus_bleu(said, truths)
    assert found == pytest.approx([detailed[name] for name in names], abs=5e-5)
    alone = [lexical.corpus_bleu([one], [gold])[3] for one, gold in zip(said, truths, strict=True)]
    assert alone == pytest.approx(expected["per_sample"]["bleu"], abs=2e-16)
    rouge = [
        lexical.rouge_l(tokens.rouge_score(one), tokens.rouge_score(gold))
        for one, gold in zip(given["hyps"], given["refs"], strict=True)
    ]
    assert rouge == exactly(expected["per_sample"]["rougeL"])


def test_the_published_scores_of_rouge(shared_dir):
    folder = shared_dir / "evaldata" / "rouge_score"
    expected = json.loads((folder / "expected.json").read_text())["rougeL"]
    texts = [(folder / name).read_text().splitlines() for name in ("prediction.txt", "target.txt")]
    found = [lexical.rouge_l(*map(tokens.rouge_score, pair)) for pair in zip(*texts, strict=True)]
    assert found == pytest.approx([each["fmeasure"] for each in expected], abs=5e-6)


def slow_lcs(first, second):
    row = [0] * (len(second) + 1)
    for word in first:
        last = 0
        for place, other in enumerate(second):
            above = row[place + 1]
            row[place + 1] = last + 1 if word == other else max(above, row[place])
            last = above
    return row[-1]


def test_the_longest_common_subsequence(pairs):
    texts = [tokens.ptb(text) for text in pairs["hyps"] + pairs["refs"]]
    texts += [[], [word for text in texts for word in text]]
    for first in texts:
        assert [lexical.lcs(first, other) for other in texts] == [
            slow_lcs(first, other) for other in texts
        ]


@pytest.mark.parametrize("text", ["", " \n"])
def test_nothing_scores_nothing(text):
    truths = ["Clear lungs.", "Large effusion."]
    found = lexical.of_reports([text, "Clear lungs."], truths)
    assert {values[0] for values in found.values()} == {0.0}
    assert {values[0] for values in lexical.of_reports(["Clear lungs."], [text]).values()} == {0.0}
    said = [tokens.ptb(text), tokens.ptb("Clear lungs.")]
    assert cider.scores(said, [[tokens.ptb(truth)] for truth in truths])[0] == 0.0
    for said, truth in (([], ["a"]), (["a"], [])):
        assert lexical.corpus_bleu([said], [[truth]]) == [0.0] * 4
        assert lexical.rouge_l_coco(said, [truth]) == 0.0
    assert lexical.corpus_bleu([], []) == [0.0] * 4


@pytest.mark.parametrize("text", [".", "...", " ."])
def test_points_alone_are_words_for_bleu_only(text):
    found = lexical.of_reports([text], ["Clear lungs."])
    assert {name for name, values in found.items() if values[0]} == {
        *(f"bleu{order}_medevalkit" for order in lexical.ORDERS),
        "bleu2_rexrank",
    }


def test_a_perfect_report_scores_one():
    truth = "The heart is normal in size. The lungs are clear."
    found = lexical.of_reports([truth], [truth])
    assert {name: values[0] for name, values in found.items()} == pytest.approx(
        dict.fromkeys(found, 1.0), abs=1e-8
    )
    assert lexical.of_corpus([truth], [truth]) == pytest.approx(
        dict.fromkeys(lexical.of_corpus([truth], [truth]), 1.0), abs=1e-8
    )


def test_long_reports_are_scored():
    text = "no acute process is seen here and there " * 150
    found = lexical.of_reports([text, text + "."], [text, "No acute process."])
    assert found["rougeL_rouge101"][0] == pytest.approx(1.0)
    assert 0 < found["rougeL_rouge101"][1] < 1


def test_chinese_has_scores_of_our_own():
    said, truth = (
        "\u53cc\u80ba\u672a\u89c1\u5f02\u5e38\u3002",
        "\u53cc\u80ba\u6e05\u6670\u672a\u89c1\u5f02\u5e38",
    )
    found = {name: values[0] for name, values in lexical.of_reports([said], [truth]).items()}
    assert found["rougeL_own"] == pytest.approx(2 * 6 / (6 + 8))
    others = {name: value for name, value in found.items() if name != "rougeL_own"}
    assert max(others.values()) == 0.0
    together = lexical.of_corpus([said], [truth])
    assert together["bleu4_own"] > 0.3
    assert together["bleu4_coco"] == 0.0
