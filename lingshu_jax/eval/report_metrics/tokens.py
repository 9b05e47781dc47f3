# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the metrics of reports count: the tokens of a text, by the name of the rule.

`own` takes words, and each Chinese character by itself. The others are what published numbers were
made with, and know no Chinese: `rouge_score` leaves it out, `ptb`, `rexrank` and `ws` take what
stands between two marks or blanks as one token.
"""

import re
from collections.abc import Callable

from lingshu_jax.common import answers_open

# Tokens of the Penn Treebank rules that pycocoevalcap leaves out. Brackets are not among them: it
# lists `-LRB-`, but the tokens that it compares have been lower-cased.
_DROPPED = frozenset("'' ' `` ` . ? ! , : - -- ... ; \"".split())
_MARKS = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019", "'"),
        **dict.fromkeys("\u201c\u201d", '"'),
        **dict.fromkeys("\u2013\u2014", "--"),
        "\u2026": "...",
        "(": " -lrb- ",
        ")": " -rrb- ",
        "[": " -lsb- ",
        "]": " -rsb- ",
        "{": " -lcb- ",
        "}": " -rcb- ",
        "\u00bc": " 1/4",
        "\u00bd": " 1/2",
        "\u00be": " 3/4",
        **{mark: f" {mark} " for mark in "\u00b2\u00b3\u00b9\u2070\u2074\u2075\u2076"},
    }
)
# Words that keep a point behind them.
_ABBREVIATIONS = (
    "adm al ala apr assn aug ave bldg blvd bros calif capt cf cmdr co col colo conn corp cpl ct dec"
    " dept det dr esq est etc ext feb fla fri ft ga gen gov hon inc ind insp jan jr jul jun kan ky"
    " lt ltd maj mar md messrs mich minn mlle mme mo mon mont mr mrs ms mt neb nev nov oct okla"
    " penn ph pres prof pvt rd rep rev sen sep sept sgt sq sr st supt tel tenn thu thurs tue tues"
    " univ va vs vt wed wis wyo"
).replace(" ", "|")
_NAMES = "Del|Ill|La|Mass|Miss|Ore|Pa|Tex|Wash"  # only with a capital
_NUMBERED = "art|ca|figs?|nos?|op|pp"  # only before a number
# What begins a new sentence, so that a letter before it is no initial.
_STARTERS = (
    "A About According Additionally After An As At But Earlier He Her Here However If In It Last"
    " Many More Now Once One Other She Since So Some Such That The Their Then There These They"
    " This We What When While Yet You"
).replace(" ", "|")
_LETTER, _BEGIN = r"[^\W\d_]", r"(?:(?<=\s)|\A)"
_PTB = re.compile(
    "|".join(
        (
            r"-[lr][rsc]b-",
            r"(?:https?://|www\.)[^\s\"<>]+",
            r"</?[A-Za-z][^<>]*>",
            r"[A-Za-z0-9][\w.+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
            # L5/S1, and/or, right/left-sided
            r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}"
            r"(?![A-Za-z0-9])",
            # right-sided, 4.7-21; bounded, for where there is no hyphen it is tried at every word
            r"[^\W_](?:[^\W_]|[.,](?=[^\W_])){0,64}(?:-[^\W_]++)++",
            r"(?i:can)(?=(?i:not)\b)|(?<=\b[Cc]an)not\b",
            r"(?i:gon|wan)(?=na\b)|(?i:got)(?=ta\b)|(?i:gim|lem)(?=me\b)",
            rf"{_LETTER}+(?=[nN]'[tT]\b)|[nN]'[tT]\b",
            r"'(?i:s|m|d|re|ve|ll)\b",
            rf"(?:{_LETTER}\.)+{_LETTER}\b\.?",
            rf"\b(?:(?i:{_ABBREVIATIONS})|{_NAMES})\.",
            rf"\b(?i:{_NUMBERED})\.(?=\s*\d)",
            rf"(?<![.\w]){_LETTER}\.(?!\s*(?:{_STARTERS})(?:\s|\Z))(?=\s|\Z|['\"<])",
            rf"[dDoOlL]'{_LETTER}+",
            rf"{_BEGIN}[-+]?\d*(?:[.,:]\d+)+|\d*(?:[.,:]\d+)+|{_BEGIN}[-+]\d+",
            r"[^\W_]+(?:&[^\W_]+)+",
            r"\w+(?:\.(?=[A-Za-z])\w+)*(?:\.(?=[,;:]))?",
            r"-{2,}|\.{3,}|\*+|=+",
            r"\S",
        )
    )
)
_ASCII_WORDS = re.compile(r"[a-z0-9]+")


def ptb(text: str) -> list[str]:
    """Words as Stanford's Penn Treebank tokenizer has them, lower case, most punctuation left out.

    This is the form that pycocoevalcap compares (tokenizer/ptbtokenizer.py@ad63453, CoreNLP 3.4.1).
    On the 296 reports of MedEvalKit's IU X-Ray and on 2,784 captions it gives the same tokens; on
    1,673 long clinical texts 5 of 282,956 differ, and the last letter of 46 texts, where the
    original looks at the first word of the next text and so depends on the order of the reports.

    Args:
      text: A report.
    """
    found = (match.group().lower() for match in _PTB.finditer(text.translate(_MARKS)))
    return [token for token in found if token not in _DROPPED]


def rexrank(text: str) -> list[str]:
    """Lower case, points apart, split at blanks, as ReXrank and MedEvalKit do before BLEU.

    Source: prep_reports of rajpurkarlab/CXR-Report-Metric@9c9ecad CXRMetric/run_eval.py.

    Args:
      text: A report; a line break is part of a token.
    """
    return [token for token in text.lower().replace(".", " .").split(" ") if token]


def ws(text: str) -> list[str]:
    """Lower case, split at white space.

    Args:
      text: A report.
    """
    return text.lower().split()


def rouge_score(text: str) -> list[str]:
    """Runs of a to z and digits, as google-research's rouge-score 0.1.2 without a stemmer.

    Args:
      text: A report; one in Chinese has no tokens.
    """
    return _ASCII_WORDS.findall(text.lower())


TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
    "own": answers_open.tokens,
    "ptb": ptb,
    "rexrank": rexrank,
    "ws": ws,
    "rouge_score": rouge_score,
}
