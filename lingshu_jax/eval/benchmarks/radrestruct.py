# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rad-ReStruct: the questions of a structured report on the chest radiographs of IU X-Ray.

Paper: Pellegrini et al., "Rad-ReStruct: A Novel VQA Benchmark and Method for Structured Radiology
Reporting", MICCAI 2023. Licence MIT. Test split: 360 reports with 374 frontal images. Every image
is asked the questions of its report, 18,186 in all, of which 86% are answered "no". As in
MedEvalKit, the answers to earlier questions are not shown, which the publisher's model sees.

Three kinds of question. `single_choice` is asked as yes or no, also where the options are other
words (609 of 17,350); those are not shown. `multi_choice` (830) shows its options as words without
letters and has up to five golds, of which MedEvalKit counts the first only; here the gold is their
letters, in the publisher's order. `fixed_choice` (6) has one option, which is the gold.

MedEvalKit's loader does not run (it hands out one record for all); asked is what it means. It takes
the reports as the disk lists them, here they come in order of their names.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from lingshu_jax.common import errors
from lingshu_jax.eval import benchmark, files
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval import question_formats as formats
from lingshu_jax.eval.benchmarks import letters, reports

Kind = Literal["single_choice", "multi_choice", "fixed_choice"]
MAPPING = "id_to_img_mapping_frontal_reports.json"
QUESTIONS = "test_qa_pairs/*.json"
IMAGES = ("imgs", "images")  # MedEvalKit's name, the publisher's
CARD = card_lib.Card(
    name="radrestruct",
    title="Rad-ReStruct",
    upstream="Radrestruct",
    family="multimodal",
    files=(MAPPING,),
    folders=("Rad-ReStruct/data/radrestruct", "data/radrestruct", "datas/Radrestruct"),
    origin=(
        "github.com/ChantalMP/Rad-ReStruct, data/radrestruct (commit b293158), and the images at"
        " https://openi.nlm.nih.gov/imgs/collections/NLMCXR_png.tgz, unpacked into its folder"
        " images"
    ),
    schema=(
        "ChantalMP/Rad-ReStruct@b293158 README.md, data/radrestruct,"
        " data_utils/data_radrestruct.py; MedEvalKit@9b12e3b utils/Radrestruct/Radrestruct.py and"
        " datas/Radrestruct (equal files)"
    ),
    num_rows=18186,
    golds={"no": 15720, "yes": 1021},
)


class _Question(NamedTuple):
    text: str
    answers: list[str]
    kind: Kind
    options: tuple[str, ...]
    path: str


@dataclasses.dataclass(frozen=True)
class RadRestruct:
    """The test split in the publisher's layout or MedEvalKit's."""

    card: card_lib.Card = CARD
    rule: str = "radrestruct"

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every question of every report, for each of its images.

        Raises:
          UserError: If a file, a question, an answer or an image is not as expected.
        """
        folder = files.find(CARD, data_dir)
        mapping = files.read_json(CARD, files.only(CARD, folder, MAPPING))
        pictures = files.Pictures(CARD, *(folder / name for name in IMAGES))
        found = files.matches(folder, QUESTIONS) or [files.only(CARD, folder, QUESTIONS)]
        samples = []
        for path in found:
            report = path.name.split(".")[0]
            questions = _questions(path)
            for view, name in enumerate(_views(mapping, report)):
                image = pictures.get(f"{name}.png")
                study = reports.hashed(CARD, report)
                samples += [
                    _sample(f"{study}-{view}-{number}", question, image, study)
                    for number, question in enumerate(questions)
                ]
        return samples


def _views(mapping: Any, report: str) -> list[str]:
    """The images of a report."""
    names = mapping.get(report) if isinstance(mapping, dict) else None
    if isinstance(names, list) and names:
        return names
    raise errors.UserError(f"radrestruct: {MAPPING} must list the images of report {report}")


def _questions(path: Path) -> list[_Question]:
    content = files.read_json(CARD, path)
    if not isinstance(content, list):
        raise errors.UserError(f"radrestruct: {path} must hold a list of questions")
    return [_question(f"{path} question {n}", item) for n, item in enumerate(content)]


def _question(where: str, item: Any) -> _Question:
    """Question, golds, earlier questions with their answers, and what kind it is."""
    match item:
        case [str(text), [str(), *_] as answers, _, {"options": [_, *_] as options} as about]:
            kind, path = about.get("answer_type"), str(about.get("path", ""))
        case _:
            raise errors.UserError(
                f"radrestruct: {where} needs [question, answers, history, {{answer_type, options,"
                f" path}}], found {str(item)[:80]}"
            )
    if kind not in get_args(Kind):
        raise errors.UserError(
            f"radrestruct: {where}: answer_type must be one of {', '.join(get_args(Kind))}, got"
            f" {kind!r}"
        )
    if not set(answers) <= set(options):
        raise errors.UserError(
            f"radrestruct: {where}: answers must be among {options}, got {answers}"
        )
    return _Question(text, list(map(str, answers)), kind, tuple(map(str, options)), path)


def _sample(row_id: str, asked: _Question, image: str | bytes, study: str) -> benchmark.Sample:
    if asked.kind == "single_choice":
        prompt, choices, gold = formats.ask(asked.text, "judgement"), (), asked.answers[0]
        is_polar = set(asked.options) == {"yes", "no"}
        answer_type = "yes_no" if is_polar else "choice"
        options = () if is_polar else asked.options
    else:
        prompt, choices = formats.ask_choice(asked.text, asked.options), asked.options
        options = asked.options if len(asked.options) > 1 else ()
        answer_type = "choices" if options else "open"
        found = [letters.LETTERS[options.index(answer)] for answer in asked.answers if options]
        gold = "".join(found) or asked.answers[0]
    area, _, _ = asked.path.partition("_")
    return benchmark.Sample(
        id=row_id,
        question=asked.text,
        gold=gold,
        answer_type=answer_type,
        rule="radrestruct",
        messages=formats.turn(prompt, [image]),
        options=options,
        choices=choices,
        group=study,
        strata={"answer_type": asked.kind, "area": area},
        fields={
            "answer_type": asked.kind,
            "question": asked.text,
            "choices": list(asked.options),
            "answer": asked.answers[0],
        },
    )
