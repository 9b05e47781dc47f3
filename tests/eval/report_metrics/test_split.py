# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest

from lingshu_jax.eval.report_metrics import split

SECTIONS = {
    "Findings: Lungs clear. Impression: Normal.": ("Lungs clear.", "Normal."),
    "Findings: lungs clear Impression: normal": ("lungs clear", "normal"),
    "findings: lungs clear. impression: normal": ("lungs clear.", "normal"),
    "FINDINGS:\nClear.\n\nIMPRESSION:\n1. Normal.\n2. Old.": ("Clear.", "1. Normal.\n2. Old."),
    "**Findings:** Clear.\n**Impression:** Normal": ("Clear.", "Normal"),
    "**Findings**:\nClear\n\n**Impression**:\nNormal": ("Clear", "Normal"),
    "## Findings\nClear\n## Impression\nNormal": ("Clear", "Normal"),
    "Findings\nClear\nImpression\nNormal": ("Clear", "Normal"),
    "1. Findings: Clear\n2. Impression: Normal": ("Clear", "Normal"),
    "Impression: Normal Findings: Clear": ("Clear", "Normal"),
    "Imaging findings: Clear.\nClinical impression: Normal": ("Clear.", "Normal"),
    "Findings: a. Impression: b. Findings: c. Impression: d.": ("c.", "d."),
    "Comparison: None. Findings: a Impression: b Recommendation: c": ("a", "b"),
    "检查所见：双肺清晰。诊断意见：未见异常。": ("双肺清晰。", "未见异常。"),
    "【影像所见】双肺清晰\n【印象】正常": ("双肺清晰", "正常"),
    "影像学表现：\n双肺清晰 印象: 正常": ("双肺清晰", "正常"),
    "所见\n双肺清晰\n结论\n正常\n建议\n复查": ("双肺清晰", "正常"),
    "Findings: Impression: .": ("", "."),
}
WHOLE = (
    "The lungs are clear.",
    "The findings are: nothing. My last impression was another",
    "No findings of note\nin the lungs",
    "双肺清晰，诊断待定",
)


@pytest.mark.parametrize("text", list(SECTIONS))
def test_headings_split_a_report(text):
    found = split.sections(text)
    assert (found.findings, found.impression, found.missing) == (*SECTIONS[text], ())


@pytest.mark.parametrize("text", WHOLE)
def test_a_report_without_headings_is_findings(text):
    assert split.sections(f" {text}\n") == (text, "", ("findings", "impression"))


def test_a_missing_section_is_told():
    text = "Lungs clear.\nImpression: normal"
    assert split.sections(text) == (text, "normal", ("findings",))
    assert split.sections("Findings: clear") == ("clear", "", ("impression",))
    assert split.sections("FINDINGS AND IMPRESSION: clear") == ("clear", "", ("impression",))


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (" Findings: a.\n", " Findings: a.\n"),
        ("<think>Impression: x</think>Findings: a.", "Findings: a."),
        ("<think>x</think>\n<answer>Findings: a.</answer>", "Findings: a."),
        ("<think>Findings: a.", ""),
        (" \n", ""),
        ("SpO2 <90 %", "SpO2 <90 %"),
    ],
)
def test_reasoning_is_no_report(response, text):
    assert split.visible(response) == text


PRIORS = (
    "Compared to the prior study, the effusion is larger.",
    "Unchanged from previous exam.",
    "No interval change.",
    "Comparison with the radiograph of 2011-02-03",
    "Stable since the prior radiograph.",
    "New since yesterday, worsened since the last film",
    "较前吸收",
    "与前片比较无变化",
    "对比旧片，渗出增多",
)
NO_PRIORS = (
    "Clear lungs.",
    "No prior studies available for comparison. Clear lungs.",
    "Prior median sternotomy. Stable cardiomegaly.",
    "Comparison: None.",
    "New nodule in the left lung.",
    "双肺清晰，无前片可供比较",
)


@pytest.mark.parametrize("text", PRIORS)
def test_a_report_that_speaks_of_priors(text):
    assert split.speaks_of_priors(text)


@pytest.mark.parametrize("text", NO_PRIORS)
def test_a_report_that_does_not(text):
    assert not split.speaks_of_priors(text)


CLEAR = "Findings: Clear lungs. Impression: Normal chest."


def flags(text, *, truth=CLEAR, prompt="Write a report.", finish_reason="stop"):
    return split.flags(text, truth=truth, prompt=prompt, finish_reason=finish_reason)


def test_what_is_odd_about_reports():
    assert flags(CLEAR) == []
    assert flags(" ") == ["empty"]
    assert flags("Findings: Clear", finish_reason="length") == ["truncated", "no_impression"]
    assert flags("Findings: 双肺清晰 Impression: 正常") == ["language"]
    assert flags("Findings: 双肺清晰 Impression: 正常", truth="双肺清晰") == []
    assert flags(CLEAR, truth="双肺清晰") == ["language"]
    assert flags("The lungs are clear") == ["no_findings", "no_impression"]
    assert set(split.FLAGS) >= set(flags("no effusion " * 30))
    assert "repetition" in flags("no effusion " * 30)


def test_priors_are_odd_only_where_none_was_shown():
    text = CLEAR + " Unchanged from the prior study."
    assert flags(text) == ["priors"]
    assert flags(text, prompt="The first image is the prior radiograph.") == []
    assert flags(text, prompt="第一张为前片") == []


@pytest.mark.parametrize(
    ("words", "is_loop"),
    [
        ("a " * 16, True),
        ("a " * 15, False),
        ("one two three four " * 4, True),
        ("one two three four " * 3, False),
        (" ".join(map(str, range(40))) * 4, False),
        ((" ".join(map(str, range(40))) + " ") * 4, True),
        ((" ".join(map(str, range(41))) + " ") * 4, False),
        (" ".join(map(str, range(100))), False),
        ("x y z " + "no effusion " * 8 + "x y z", True),
        ("no effusion no mass no fracture no edema no nodule no opacity no lesion no", False),
    ],
)
def test_loops(words, is_loop):
    assert split.is_loop(words.split()) is is_loop
