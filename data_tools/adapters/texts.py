# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Adapters of texts: questions and answers, instructions, reasoning, dialogues.

HuatuoGPT2-SFT-GPT4-140K and OpenHermes 2.5 are read by the format `llava`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from data_tools.adapters import reading
from lingshu_jax.data import formats, formats_messages
from lingshu_jax.eval import question_formats

NO_INPUT = "<noinput>"  # of instructions without one, after Alpaca
DECISIONS = {"yes": "A", "no": "B", "maybe": "C"}
TESTED = "test_ground_truth.json"  # of PubMedQA
_Meaning = tuple[formats.Messages, dict[str, Any]]
_Parser = Callable[[reading.Place], formats.Parse]


def instructions(*, given: str = "input", output: str = "output") -> _Parser:
    """Rows of an instruction, perhaps an input, and an output.

    Args:
      given: Column of the input.
      output: Column of the output.
    """

    def make(place: reading.Place) -> formats.Parse:
        def parse(row: formats.Row) -> _Meaning:
            more = reading.optional(row, given)
            asked = [reading.optional(row, "instruction"), "" if more == NO_INPUT else more]
            said = "\n\n".join(part for part in asked if part)
            meta = formats.without(row, "instruction", given, output)
            return reading.turns(place, said, reading.text(row, output)), meta

        return parse

    return make


def questions(*, question: str, answer: str, reasoning: str = "") -> _Parser:
    """Rows of a question and an answer, perhaps with what leads to it.

    Args:
      question: Column of the question.
      answer: Column of the answer.
      reasoning: Column of the reasoning.
    """

    def make(place: reading.Place) -> formats.Parse:
        def parse(row: formats.Row) -> _Meaning:
            said = reading.text(row, answer)
            if reasoning:
                said = reading.reasoned(reading.text(row, reasoning), said)
            asked = reading.text(row, question)
            # Options that stand beside the question as one text (MedReason).
            if listed := reading.optional(row, "options"):
                asked = f"{asked}\n{listed}"
            meta = formats.without(row, question, answer, reasoning, "options")
            return reading.turns(place, asked, said), meta

        return parse

    return make


def _verifiable(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        answer = reading.text(row, "Ground-True Answer")
        question = reading.text(row, "Open-ended Verifiable Question")
        asked = question_formats.ask(question, "open")
        return reading.turns(place, asked, answer), {"answer": answer, "answer_type": "open"}

    return parse


def _options(row: formats.Row) -> tuple[str, list[str], str]:
    """Question with its options, the options, and the letter of the right one."""
    options = row.get("options")
    if not isinstance(options, Mapping):
        raise formats.RowError(f"options must be an object, got {type(options).__name__}")
    known = {key: value for key, value in options.items() if value is not None}
    letters = [chr(ord("A") + number) for number in range(len(known))]
    if list(known) != letters or not all(isinstance(value, str) for value in known.values()):
        raise formats.RowError("options must be texts under A, B, C and so on")
    letter = reading.text(row, "answer_idx")
    if letter not in known:
        raise formats.RowError(f"answer_idx must be one of {', '.join(known)}")
    listed = list(known.values())
    choices = question_formats.lettered(listed, blank=True)
    return question_formats.ask_choice(reading.text(row, "question"), choices), listed, letter


def _medqa(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        asked, listed, letter = _options(row)
        meta = {
            "answer": letter,
            "answer_type": "choice",
            "options": listed,
            "kind": row.get("meta_info"),
        }
        return reading.turns(place, asked, letter), meta

    return parse


def _medthoughts(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        asked, listed, letter = _options(row)
        asked = asked.rpartition("\n")[0].strip()  # the answer is no letter alone
        said = reading.reasoned(reading.text(row, "ds_think"), reading.text(row, "ds_answer"))
        meta = {"answer": letter, "answer_type": "choice", "options": listed}
        return reading.turns(place, asked, said), meta

    return parse


def _medquad_rows(file: Path) -> Iterator[reading.Pair]:
    """Pairs of a document in XML, or rows of JSON lines with the same names.

    The publisher's own ids occur again in other documents, so that they are no ids here.
    """
    if file.suffix != ".xml":
        for place, value in reading.values(file):
            if isinstance(value, dict):
                kept = {name: cell for name, cell in value.items() if name != "id"}
                value = {**kept, "qid": value.get("id")}
            yield place, value
        return
    try:
        root = reading.tree(file)
    except formats.RowError as error:
        yield 1, error
        return
    about = {"source": root.get("source"), "url": root.get("url")}
    for place, pair in enumerate(root.iter("QAPair"), start=1):
        question, answer = pair.find("Question"), pair.find("Answer")
        found = {} if question is None else dict(question.attrib)
        yield (
            place,
            {
                "id": f"{file.parent.name}/{file.stem}-{place}",
                "qid": found.get("qid"),
                **about,
                "qtype": found.get("qtype"),
                "question": "" if question is None else question.text or "",
                "answer": "" if answer is None else answer.text or "",
            },
        )


def _medquad(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        question = reading.text(row, "question").replace(" ?", "?")
        answer = " ".join(reading.text(row, "answer").split())
        meta = {name: row.get(name) for name in ("qid", "source", "url", "qtype")}
        return reading.turns(place, question, answer), meta

    return parse


def _apollo_rows(file: Path) -> Iterator[reading.Pair]:
    """Rows are lists of texts, a question first and answers in turn."""
    for place, value in reading.values(file):
        yield place, {"turns": value} if isinstance(value, list) else value


def _apollo(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        said = row.get("turns")
        if not isinstance(said, list) or len(said) % 2 or not said:
            raise formats.RowError("a row must be a list of questions and answers in turn")
        turns = [
            {"role": "assistant" if number % 2 else "user", "content": text}
            for number, text in enumerate(said)
        ]
        return formats_messages.canonical(turns, place.media), {}

    return parse


def _mts_dialog(place: reading.Place) -> formats.Parse:
    def parse(row: formats.Row) -> _Meaning:
        section, note = reading.text(row, "section_header"), reading.text(row, "section_text")
        asked = (
            "Write the section of the clinical note that follows from this conversation of a doctor"
            f" and a patient. Section: {section}\n\n{reading.text(row, 'dialogue')}"
        )
        return reading.turns(place, reading.masked(asked), reading.masked(note)), {"kind": section}

    return parse


def _mts_rows(file: Path) -> Iterator[reading.Pair]:
    for place, value in reading.table(file):
        if isinstance(value, dict) and "ID" in value:
            value = {**value, "id": value["ID"]}
        yield place, value


def _pubmedqa_rows(file: Path) -> Iterator[reading.Pair]:
    """Questions by PMID without those of the test split, which lies beside them."""
    with reading.opened(file) as opened, reading.opened(_beside(file)) as tested:
        try:
            rows, left_out = json.load(opened), json.load(tested)
        except ValueError as error:
            yield 1, formats.RowError(f"broken JSON: {error}")
            return
    if not isinstance(rows, dict) or not isinstance(left_out, dict):
        yield 1, formats.RowError("questions and golds must be objects by PMID")
        return
    for place, (key, row) in enumerate(rows.items(), start=1):
        if key not in left_out:
            yield place, {**row, "id": key} if isinstance(row, dict) else row


def _beside(file: Path) -> Path:
    packed = file.with_name(TESTED + reading.GZIP)
    return packed if packed.is_file() else file.with_name(TESTED)


def _pubmedqa(place: reading.Place) -> formats.Parse:
    """Asked as the evaluation asks."""
    choices = question_formats.lettered(tuple(DECISIONS), blank=False)

    def parse(row: formats.Row) -> _Meaning:
        contexts, decision = row.get("CONTEXTS"), reading.text(row, "final_decision")
        if not isinstance(contexts, list) or not all(isinstance(one, str) for one in contexts):
            raise formats.RowError("CONTEXTS must be a list of texts")
        if decision not in DECISIONS:
            raise formats.RowError(f"final_decision must be one of {', '.join(DECISIONS)}")
        question = question_formats.ask_choice(reading.text(row, "QUESTION"), choices)
        asked = "Context: " + "\n".join(contexts) + f"\n{question}"
        answer = DECISIONS[decision]
        meta = {"answer": answer, "answer_type": "choice", "options": list(DECISIONS)}
        return reading.turns(place, asked, answer), meta

    return parse


def _adapter(
    parse: _Parser,
    *files: tuple[str, ...],
    rows: Callable[[Path], Iterator[reading.Pair]] = reading.values,
) -> reading.Adapter:
    return reading.Adapter(files=files, parse=parse, rows=rows)


_PARQUET = ("data/train-*.parquet",)
ADAPTERS = {
    "medqa": _adapter(_medqa, ("questions/US/train.jsonl",), ("US/train.jsonl",), ("train.jsonl",)),
    "medquad": _adapter(
        _medquad, ("*_QA/*.xml",), ("*.xml",), ("medquad*.jsonl",), rows=_medquad_rows
    ),
    "apollo_corpus": _adapter(_apollo, ("train/sft/*.json",), ("*.json",), rows=_apollo_rows),
    "pmc_llama": _adapter(instructions(), ("release.json",)),
    "medthoughts_8k": _adapter(_medthoughts, ("MedThoughts-8K.jsonl",)),
    "medreason": _adapter(
        questions(question="question", answer="answer", reasoning="reasoning"),
        ("ours_quality_33000.jsonl",),
        ("*.jsonl",),
    ),
    "medical_o1_reasoning_sft": _adapter(
        questions(question="Question", answer="Response", reasoning="Complex_CoT"),
        ("medical_o1_sft.json", "medical_o1_sft_Chinese.json"),
    ),
    "medical_o1_verifiable_problem": _adapter(
        _verifiable, ("medical_o1_verifiable_problem.json",), ("*.json",)
    ),
    "medical_r1_distill": _adapter(
        questions(
            question="question",
            answer="response (content)",
            reasoning="reasoning (reasoning_content)",
        ),
        ("*.json",),
    ),
    "healthcaremagic": _adapter(instructions(), ("HealthCareMagic-100k.json",), _PARQUET),
    "icliniq": _adapter(
        questions(question="input", answer="answer_icliniq"), ("iCliniq.json",), _PARQUET
    ),
    "alpacare": _adapter(
        instructions(), ("data/MedInstruct-52k.json",), ("MedInstruct-52k.json",), _PARQUET
    ),
    "mts_dialog": _adapter(
        _mts_dialog,
        ("Main-Dataset/MTS-Dialog-TrainingSet.csv",),
        ("MTS-Dialog-TrainingSet.csv",),
        rows=_mts_rows,
    ),
    "pubmedqa": _adapter(
        _pubmedqa, ("data/ori_pqal.json",), ("ori_pqal.json",), rows=_pubmedqa_rows
    ),
}
