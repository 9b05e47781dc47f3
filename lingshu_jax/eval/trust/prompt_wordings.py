# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Other wordings of the sentence that says how to answer, for each form and language.

They ask for the same in the same place: a letter, yes or no, a word or phrase, a short answer. A
change of any of them changes results, so they have a version.
"""

from lingshu_jax.eval import question_formats as formats

VERSION = "1"

WORDINGS: dict[tuple[formats.Form, formats.Language], tuple[str, ...]] = {
    ("choice", "en"): (
        "Reply with the letter of the correct option only.",
        "Which option is right? Give its letter and nothing else.",
        "Select one option and state just its letter.",
        "Your answer must be a single letter that names one of the options above.",
        "Pick the best option; write its letter without any explanation.",
    ),
    ("choice", "zh"): (
        "请只回复正确选项的字母。",
        "哪个选项正确？只写出它的字母，不要写其他内容。",
        "请选出一个选项，仅给出对应的字母。",
        "你的回答必须是上面某个选项的一个字母。",
        "请挑选最合适的选项，写下其字母，无需解释。",
    ),
    ("judgement", "en"): (
        "Reply with yes or no only.",
        "Is the answer yes or no? Write that one word and nothing else.",
        "State just 'yes' or 'no', without an explanation.",
        "Your answer must be one word, either yes or no.",
        "Decide: yes or no. Add nothing to it.",
    ),
    ("judgement", "zh"): (
        "请只回复“是”或“否”。",
        "答案是“是”还是“否”？只写这一个字。",
        "仅回答“是”或“否”，无需解释。",
        "你的回答必须是一个字：是或否。",
        "请判断：是或否。不要添加其他内容。",
    ),
    ("closed", "en"): (
        "Reply with one word or a short phrase.",
        "Give the answer as a single word or phrase and nothing else.",
        "State just the word or phrase that answers the question.",
        "Your answer must be no longer than a phrase.",
        "Name the answer in one word, or in a phrase if one word is too little.",
    ),
    ("closed", "zh"): (
        "请只回复一个词或一个短语。",
        "答案请写成一个词或短语，不要写其他内容。",
        "仅写出能回答该问题的词或短语。",
        "你的回答不得超过一个短语。",
        "请用一个词作答，一个词不够时可用一个短语。",
    ),
    ("open", "en"): (
        "Keep your answer short.",
        "Reply briefly and to the point.",
        "Give a short answer to this question.",
        "Your answer should be as brief as it can be.",
        "State the answer in few words.",
    ),
    ("open", "zh"): (
        "请简短作答。",
        "请直接、简洁地回复。",
        "请给出该问题的简短答案。",
        "你的回答应尽可能简洁。",
        "请用很少的文字说明答案。",
    ),
}
MOST = min(map(len, WORDINGS.values()))
# Where the evaluation asks for a box, behind each of them.
BOXED: dict[formats.Language, str] = {
    "en": 'Write the answer in one "\\boxed{}".',
    "zh": '请把答案写在一个"\\boxed{}"里。',
}
