# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A row of MedEvalKit's results.json, or of our samples.jsonl, as a sample without its prompt.

What a row of which set holds was read in alibaba-damo-academy/MedEvalKit@9b12e3b,
utils/<SET>/<SET>.py; MMMU's are in utils/MMMU/eval_val.py. Which rule scores a row follows from
its fields:

    rubrics                                                    rubric (HealthBench)
    findings, impression                                       report (three sets)
    answer_type single_choice, multi_choice or fixed_choice    radrestruct
    question_type multiple-choice or open, but no choices      mmmu
    choices that begin with "A:", or a video_id                choice_untagged (PMC-VQA, MedFrameQA)
    choices                                                    choice (all other sets with options)
    answer_type OPEN or CLOSED, with lang                      slake
    nothing of these                                           vqa (VQA-RAD, PathVQA)
"""

import re
import string
from collections.abc import Callable, Mapping
from typing import Any

from lingshu_jax.common import answers, answers_choice, answers_polarity, answers_text, errors
from lingshu_jax.eval import benchmark, compat

Row = Mapping[str, Any]
# What a run adds to a publisher's row.
OUTCOME = ("response", "correct", "metrics", "parsed_pred", "judge")
# Columns by which tables are broken down, and our names of them.
STRATA = {
    **{name: name for name in ("question_type", "medical_task", "body_system")},
    **{name: name for name in ("field", "difficulty", "answer_type", "dataset_type")},
    "modality_type": "modality",
    "lang": "language",
}
MMMU_TYPES = ("multiple-choice", "open")
OPENNESS = ("OPEN", "CLOSED")
RADRESTRUCT_TYPES = ("single_choice", "multi_choice", "fixed_choice")
_MMMU_ID = re.compile(r"(?:dev|validation|test)_(\w+)_\d+")
_MOST_OPTIONS = 26
# Rules that rows of ours tell by what their verdict was.
_BY_KIND = {
    "close": "vqa",
    "open": "vqa",
    "choice": "choice",
    "short": "mmmu",
    "single_choice": "radrestruct",
    "multiple_choice": "radrestruct",
    "report": "report",
    "rubric": "rubric",
}


def rule_of(row: Row) -> str:
    """The key of `compat.RULES` that a row's fields call for.

    Args:
      row: Of MedEvalKit or ours.
    """
    own = _own_rule(row)
    if own:
        return own
    kind = row.get("answer_type")
    if "rubrics" in row:
        return "rubric"
    if "findings" in row or "impression" in row:
        return "report"
    if kind in RADRESTRUCT_TYPES:
        return "radrestruct"
    if "choices" not in row and row.get("question_type") in MMMU_TYPES:
        return "mmmu"
    choices = _choices(row)
    if choices and _own_type(row) in (None, "choice", "choices"):
        is_pmc = all(re.match(r"\s*[A-Z]\s*:", choice) for choice in choices)
        return "choice_untagged" if is_pmc or "video_id" in row else "choice"
    return "slake" if kind in OPENNESS and "lang" in row else "vqa"


def sample(row: Row, row_id: str, rule: str) -> benchmark.Sample:
    """A sample that can be scored.

    Args:
      row: Of MedEvalKit or ours.
      row_id: Its id.
      rule: A key of `compat.RULES`.

    Raises:
      UserError: If the row lacks what the rule needs, or has it in another form.
    """
    scoring: benchmark.Scoring = "verdict"
    if rule in ("report", "rubric"):
        scoring = rule
    is_own = "gold" in row
    made = benchmark.Sample(
        id=row_id,
        rule=rule,
        scoring=scoring,
        group=text(row, "group") or "",
        strata=_strata(row),
        fields={} if is_own else {k: v for k, v in row.items() if k not in OUTCOME},
        **_FORMS[rule](row),
    )
    made.check()
    return made


def text(row: Row, *names: str) -> str | None:
    """The first of some fields that is there, as text that can be written again.

    Args:
      row: Of MedEvalKit or ours.
      *names: Fields; a null counts as missing.

    Raises:
      UserError: If it is neither text nor a number.
    """
    for name in names:
        value = row.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise errors.UserError(f"{name} must be text, got {value!r:.60}")
        return str(value).encode("utf-8", "replace").decode("utf-8")
    return None


def subject(mmmu_id: str) -> str:
    """MMMU's subject in one of its ids, as in `validation_Clinical_Medicine_7`; "" if none."""
    match = _MMMU_ID.fullmatch(mmmu_id)
    return match[1] if match else ""


def _own_rule(row: Row) -> str:
    """What a row of samples.jsonl says of its rule; "" if nothing."""
    if row.get("rule") in compat.RULES:
        return row["rule"]
    verdict = row.get("compat")
    kind = verdict.get("kind") if isinstance(verdict, dict) else row.get("scoring")
    return _BY_KIND.get(kind, "") if isinstance(kind, str) else ""


def _text_form(row: Row) -> dict[str, Any]:
    """VQA-RAD, PathVQA: question, answer."""
    if row.get("choices") and "gold" not in row:
        raise errors.UserError("has choices, which this benchmark does not score")
    gold = _gold(row)
    return {"question": _question(row), "gold": gold, "answer_type": _text_type(row, gold)}


def _slake_form(row: Row) -> dict[str, Any]:
    """SLAKE: answer_type says whether a question is open."""
    kind = row.get("answer_type")
    verdict = row.get("compat")
    if isinstance(verdict, dict) and kind not in OPENNESS:
        kind = {"open": "OPEN", "close": "CLOSED"}.get(str(verdict.get("kind")))
    if kind not in OPENNESS:
        raise errors.UserError(f"answer_type must be one of {', '.join(OPENNESS)}, got {kind!r}")
    form, is_open = _text_form(row), kind == "OPEN"
    if _own_type(row) is None:
        form["answer_type"] = _slake_type(form["gold"], is_open=is_open)
    return {**form, "is_open": is_open}


def _slake_type(gold: str, *, is_open: bool) -> answers.AnswerType:
    """Yes and no only where the question is closed, as its loader has it."""
    said = answers_polarity.extract(answers_text.normalise(gold))
    if not is_open and said.status == "ok":
        return "yes_no"
    return "number" if answers.infer_type(gold) == "number" else "open"


def _choice_form(row: Row) -> dict[str, Any]:
    """The sets with options: choices as the prompt showed them, answer a letter or a text."""
    gold, choices = _gold(row), _choices(row)
    if not 2 <= len(choices) <= _MOST_OPTIONS:
        raise errors.UserError(f"choices must be 2 to {_MOST_OPTIONS} texts, got {len(choices)}")
    options = tuple(answers_choice.without_letters(choices))
    kind = _own_type(row) or answers.infer_type(gold, options)
    if kind == "choice" and len(gold.strip()) > 1 and "gold" not in row:
        # OmniMedVQA has golds that are the text of no option.
        kind = "choice" if answers_choice.gold_letter(gold, options) else "open"
    return {
        "question": _question(row),
        "gold": gold,
        "answer_type": kind,
        "options": options,
        "choices": choices,
    }


def _mmmu_form(row: Row) -> dict[str, Any]:
    """MMMU: all_choices holds letters, index2ans the texts; without them a question is open."""
    gold = _gold(row)
    letters = row.get("all_choices") or []
    if "gold" in row:
        options = tuple(map(str, row.get("options") or ()))
    elif row.get("question_type") not in MMMU_TYPES:
        known, got = ", ".join(MMMU_TYPES), row.get("question_type")
        raise errors.UserError(f"question_type must be one of {known}, got {got!r:.60}")
    elif row["question_type"] == "open":
        options = ()
    else:
        texts = row.get("index2ans")
        wanted = list(string.ascii_uppercase[: len(letters)])
        if letters != wanted or not letters or not isinstance(texts, dict) or [*texts] != wanted:
            raise errors.UserError(
                "a multiple-choice question needs all_choices [A, B, ...] and index2ans with the"
                f" same letters, got {letters!r:.60} and {texts!r:.60}"
            )
        options = tuple(str(texts[letter]) for letter in wanted)
    kind = answers.infer_type(gold)
    lettered = zip(string.ascii_uppercase, options, strict=False)
    return {
        "question": _question(row),
        "gold": gold,
        "answer_type": "choice" if options else kind if kind in ("yes_no", "number") else "open",
        "options": options,
        "choices": tuple(f"({letter}) {option}" for letter, option in lettered),
    }


def _radrestruct_form(row: Row) -> dict[str, Any]:
    """Rad-ReStruct: asked as yes or no whatever the options are, or options without letters."""
    is_own, strata = "gold" in row, row.get("strata")
    said = strata.get("answer_type") if is_own and isinstance(strata, dict) else None
    kind = said or row.get("answer_type")
    if kind not in RADRESTRUCT_TYPES:
        known = ", ".join(RADRESTRUCT_TYPES)
        raise errors.UserError(f"answer_type must be one of {known}, got {kind!r:.60}")
    gold, options = _gold(row), _choices(row)
    form: dict[str, Any] = {"question": _question(row), "gold": gold}
    if kind == "single_choice":
        if set(options) <= {"yes", "no"}:
            return {**form, "answer_type": "yes_no"}
        return {**form, "answer_type": "choice", "options": options}
    if len(options) > 1:
        return _choice_form(row)
    if not options and not is_own:
        raise errors.UserError(f"needs choices, texts, found {sorted(row)}")
    return {**form, "answer_type": "open", "choices": options or (gold,)}


def _report_form(row: Row) -> dict[str, Any]:
    """The sets of reports: the gold is made of two sections, as MedEvalKit makes it."""
    gold = text(row, "gold")
    if gold is None:
        sections = [text(row, name) for name in ("findings", "impression")]
        if None in sections:
            raise errors.UserError(f"needs findings and impression, found {sorted(row)}")
        gold = "Findings: {} Impression: {}.".format(*sections)
    return {"question": _question(row), "gold": gold, "answer_type": "report"}


def _rubric_form(row: Row) -> dict[str, Any]:
    """HealthBench: a conversation and what a good answer holds."""
    if "gold" not in row and not isinstance(row.get("rubrics"), list):
        raise errors.UserError(f"needs rubrics, a list, found {sorted(row)}")
    turns = row.get("prompt")
    if isinstance(turns, list):
        asked = [t for t in turns if isinstance(t, dict) and t.get("role") == "user"]
        question = text(asked[-1], "content") if asked else None
    else:
        question = text(row, "question", "prompt")
    return {"question": question or "", "gold": text(row, "gold") or "", "answer_type": "report"}


_FORMS: dict[str, Callable[[Row], dict[str, Any]]] = {
    "vqa": _text_form,
    "slake": _slake_form,
    "choice": _choice_form,
    "choice_untagged": _choice_form,
    "mmmu": _mmmu_form,
    "radrestruct": _radrestruct_form,
    "report": _report_form,
    "rubric": _rubric_form,
}


def _question(row: Row) -> str:
    return text(row, "question", "Question", "prompt") or ""


def _gold(row: Row) -> str:
    gold = text(row, "gold", "answer")
    if gold is None:
        raise errors.UserError(f"needs gold or answer, found {sorted(row)}")
    return gold


def _choices(row: Row) -> tuple[str, ...]:
    """Choices as the prompt showed them; options alone get letters, where letters are usual."""
    shown, options = row.get("choices"), row.get("options")
    listed = shown or (options if isinstance(options, list) else ())
    if not listed:
        return ()
    if not isinstance(listed, list) or not all(isinstance(c, str | int | float) for c in listed):
        raise errors.UserError(f"choices must be a list of texts, got {listed!r:.60}")
    found = tuple(map(str, listed))
    if shown or _own_rule(row) == "radrestruct":
        return found
    return tuple(f"{letter}. {t}" for letter, t in zip(string.ascii_uppercase, found, strict=False))


def _own_type(row: Row) -> answers.AnswerType | None:
    """What a row of ours says that it is."""
    kind = row.get("answer_type")
    return next((known for known in answers.ANSWER_TYPES if kind == known), None)


def _text_type(row: Row, gold: str) -> answers.AnswerType:
    own = _own_type(row)
    if own:
        return own
    kind = answers.infer_type(gold)
    return kind if kind in ("yes_no", "number") else "open"


def _strata(row: Row) -> dict[str, str]:
    found = row.get("strata")
    if "gold" in row and isinstance(found, dict):
        return {str(name): str(value) for name, value in found.items()}
    strata = {ours: str(row[name]) for name, ours in STRATA.items() if _is_word(row.get(name))}
    topic = subject(str(row.get("id", "")))
    return strata | {"subject": topic} if topic else strata


def _is_word(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""
