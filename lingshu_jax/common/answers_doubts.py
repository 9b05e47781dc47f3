# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Words by which an answer takes itself back: doubts, dismissals, bounds, several at once.

All patterns search lower-case text and match whole words. They are data of `answers_commit`; a
change of one changes what rewards pay, so VERSION is raised with it and `rl/audit.py` is run.
"""

import re
from collections.abc import Iterable

VERSION = 1


def _any_of(english: Iterable[str], chinese: Iterable[str] = (), *more: str) -> str:
    whole = rf"(?<![a-z])(?:{'|'.join(english)})(?![a-z])"
    return "|".join([whole, *chinese, *more])


# Who says one of these does not commit to anything.
HEDGE = re.compile(
    _any_of(
        (
            *("maybe", "perhaps", "possib(?:ly|le|ility)", "probabl[ye]", "presumably"),
            *("conceivably", "might", "could", "may (?:be|also|well|represent|have|indicate)"),
            *("guess(?:ing|ed|es)?", "un(?:sure|certain|clear|known|decided|determined)"),
            *("uncertainty", "indeterminate", "inconclusive", "equivocal", "ambiguous"),
            r"(?:not|isn't|hardly) (?:\w+ ){0,2}"
            "(?:sure|certain|clear|confident|positive|convinced)",
            r"(?:do(?:es)?(?: not|n't)|can not|cannot|can't|could not|couldn't|no one can)"
            r" (?:\w+ )?(?:know|tell|say|decide|exclude"
            "|be (?:sure|certain|known|excluded|determined|ruled))",
            r"(?:hard|difficult|impossible|too early) to (?:\w+ )?"
            "(?:say|tell|determine|decide|know|judge)",
            r"(?:i|we) (?:cannot|can't|can not|could not|couldn't) (?:\w+ )?"
            "(?:count|measure|read|judge|rate|estimate|guess)",
            "cannot be (?:counted|measured|estimated|judged|read)",
            *("no idea", "no clue", "who knows", "either (?:way|one|answer)", "depend(?:s|ing)?"),
            *("otherwise", "unless", "if not", "or else", "alternative(?:ly)?"),
            *("coin", "toss-up", "fifty-fifty", "sometimes", "at times"),
            "not (?:really|quite|exactly|necessarily|entirely)",
            *("sort of", "kind of", "in a way", "more or less"),
            *("take your pick", "whichever", "whatever", "any of"),
            "(?:if|as) you (?:want|like|wish|prefer|insist)",
            *("all (?:of )?the above", "none of the above", "etc", "and others"),
            *(
                "insufficient",
                "not enough",
                "i (?:refuse|decline)",
                "w(?:on't|ill not) answer",
                "n/a",
            ),
            *("wait", "actually", "on second thought", "scratch that", "correction"),
            *("changed my mind", "let me (?:think|reconsider|rethink)"),
        ),
        (
            *("(?<!最)(?<!最有)(?<!不)可能", "也许", "或许", "大概", "说不定", "说不准", "不好说"),
            *("不确定", "不清楚", "不知道", "不一定", "不敢肯定", "难以", "猜", "要么"),
            *("取决于", "看情况", "拒绝"),
        ),
        r"50\s*/\s*50",
    )
)
# In a choice these name several options at once; beside yes and no they are mere words.
HEDGE_CHOICE = re.compile(
    _any_of(
        (
            *("either", "neither", "both", "every(?:thing)?", "none", "something", "and/or"),
            *("any (?:one|option|answer)", "(?:some|one) of"),
            "all (?:of|four|three|five|options|answers|choices|are|except|but)",
        ),
        ("都", "任选", "以上", "皆"),
    )
)
COMMENT = re.compile(r"<!--|-->|/\*|\*/|\[//\]")

# Who says one of these before an option does not choose it ...
DISMISSED_BEFORE = re.compile(
    _any_of(
        (
            *("not", "no", "(?:is|are|was|does|do|did)n't", "never", "neither", "nor"),
            *("rather than", "instead of", "but not", "other than", "apart from", "besides"),
            *("except(?: for)?", "(?:any|every)thing but", "all but", "without", "absence of"),
            *("unlikely", "less likely", "unlike", "lower than", "against", "versus", "vs"),
            *("exclud(?:ed?|es|ing)", "rul(?:e|es|ed|ing) out", "eliminat(?:e|es|ed|ing)"),
            *("reject(?:s|ed|ing)?", "discard(?:s|ed|ing)?", "dismiss(?:es|ed|ing)?"),
            *("lack(?:s|ing)?", "distinguish(?:es|ed)? (?:it |this )?from", "differs? from"),
            *("can(?:not|'t) be", "wrong", "incorrect", "opposite of", "contrary to"),
        ),
        ("不是", "并非", "排除", "没有", "而非", "不选", "不考虑", "除了", "错误"),
    )
)
# ... and of a list of options, whose end `_LIST` reaches, after it.
_LIST = (
    r"(?:[ ,、/&*_()\[\]\"':\x01-]|\b(?:and|or|nor|options?|choices?|letters?|answers?|[a-j])\b"
    "|[和与或])*"
)
_LINKS = (
    r"(?:(?:which|that|it|is|are|was|were|be|being|seems?|appears?|would|can|could|has|have|been"
    r"|do|does|did)\b(?:n't)?\s*|n't\s*"
    r"|(?:clearly|definitely|certainly|both|all|each|therefore|thus|also)\s+)"
)
DISMISSED_AFTER = re.compile(
    # "X, not Y" dismisses Y alone, "X is not" dismisses X.
    f"^{_LIST}(?:{_LINKS}+(?:not|never|n't)"
    f"|{_LINKS}*(?:wrong|incorrect|false|excluded|ruled out|eliminated|unlikely|impossible"
    r"|out\b|less likely|rejected|inconsistent|incompatible|absent|lacks?|fails?"
    "|contradict|(?:typically|usually) shows?|cannot|can't|被?排除|错|不)"
    "|(?:is|are|was|were|does|do)n't|would (?:not|be))"
)
TURN = re.compile(
    _any_of(
        (
            *("(?<!thing )(?<!all )but(?! not)", "however", "whereas", "while"),
            *("so", "hence", "therefore"),
        ),
        ("而是",),
    )
)

# A number that one of these stands beside is an end of something.
BOUND = re.compile(
    _any_of(
        (
            *("at (?:least|most)", "up to", "minimum|maximum|min|max", "exceed(?:s|ing)?"),
            "(?:more|less|fewer|greater|larger|smaller|bigger|higher|lower) than",
            r"(?:over|under|above|below)(?=\s+\d)",
            "or (?:more|less|fewer|greater|so|above|below)",
            *("and (?:above|over|up)", "plus or minus", "anywhere", "between"),
            *("ranges?", "ranging", "several", "multiple"),
        ),
        ("以上", "以下", "至少", "至多", "不超过", "超过", "大于", "小于", "左右"),
        *(r"[<>≤≥±]\s*=?\s*\.?\d", r"\d\s*\+(?!\s*\d)", r"\+/-"),
    )
)
NOT_NUMBER = re.compile(
    r"(?<![a-z])(?:not|never|isn't|except|excluding|neither|nor)(?:\s+\w+){0,2}\s*$|不是|并非"
)
# Between numbers; a slash may also stand before a further number, or in a unit.
OR_NUMBER = re.compile(
    r"(?<![a-z])(?:or|alternatively|versus|vs)(?![a-z])|或|还是|\||/(?!\s*(?:\d|[a-z]+\d?\b))"
)
# 7 % is not 7, where nobody asks for a share.
SHARE = re.compile(r"%|percent|portion|share|fraction|rate|ratio|probab|\.\d|百分|比例|率")

# What may not follow a yes, and a no.
_HAN_START, _HAN_END = r"(?:^|[,;/、|!。\s])", r"(?=$|[,;/、|!。\s])"
AFTER_YES = re.compile(
    r"(?<![a-z])(?:no|nope|nah)"
    r"(?=\s*(?:[.,;:!?)\]}/|\\\"'*_~<-]|$|(?:and|or|but|yes|maybe|also|for|in|on|at|if|when)(?![a-z])))"
    f"|{_HAN_START}(?:不是|否|没有|不对|不存在|不正确|无|不|错误){_HAN_END}"
)
AFTER_NO = re.compile(
    f"(?<![a-z])(?:yes|yeah|yep|yup)(?![a-z])|{_HAN_START}(?:是的?|有的?|存在|对|正确){_HAN_END}"
)
WRONG = re.compile(r"(?<![a-z])(?<!not )(?<!n't )(?:false|incorrect|wrong|untrue)(?![a-z])")
