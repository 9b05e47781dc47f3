# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of the real run, and what they do and do not say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lingshu_jax import ablation_tables
from lingshu_jax.common import metrics, pages
from lingshu_jax.eval import folder
from lingshu_jax.stages import validation

VQA, CHOICE = "vqa_rad", "medqa_held_out"
AFTER, BLIND = "after", "blind"
MODES = ("strict", "compat")
KINDS = {"yes_no": "closed", "open": "open"}

Row = dict[str, Any]


def read(evaluation: Path, *, stages: Mapping[str, Path], rephrased: set[str]) -> Row:
    """What the folders of a run hold beside the summaries of its parts.

    Args:
      evaluation: Folder of the evaluations `after` and `blind`.
      stages: Folders of the stages by name.
      rephrased: Ids of VQA-RAD questions of which the training split holds another form.

    Returns:
      `held_out_loss`, by stage and source ("" is all) before the first step and after the last;
      `rephrased`, by evaluation and then `with` and `without` another form in the training split
      the questions `n` and the right answers under both rules; `chance`, what random letters
      score on MedQA.
    """
    choices = folder.read_samples(evaluation / AFTER / CHOICE)
    return {
        "held_out_loss": {name: _held_out_loss(workdir) for name, workdir in stages.items()},
        "rephrased": {
            name: _by_rephrasing(folder.read_samples(evaluation / name / VQA), rephrased)
            for name in (AFTER, BLIND)
        },
        "chance": sum(1 / len(row["options"]) for row in choices) / len(choices),
    }


def notes(results: Mapping[str, Any]) -> tuple[str, ...]:
    """What the numbers are of, in sentences.

    Args:
      results: The content of `results.json`.
    """
    shared, rows = results["vqa_rad"], results["rows"]
    trial = results["trial_steps"]
    return (
        *((f"A trial of {trial} steps a stage: its numbers say nothing.",) if trial else ()),
        f"A check that the whole line works on real data. A model of {results['parameters']:,} "
        "parameters, random at the start and trained on a few thousand rows, is no medical model; "
        "nothing it says may guide the care of a patient.",
        f"{shared['images_in_train']} of the {shared['test_images']} VQA-RAD test images occur in "
        f"the training split, and so does, for {shared['rephrased_in_train']} of the "
        f"{shared['test_questions']} test questions, another form of the question about the same "
        f"image, for {shared['rephrased_with_the_same_answer']} with the same answer. What is "
        "scored is memory before reading; the last two columns tell them apart.",
        "Greyed out: the same questions to the same model with every image grey. Only what it "
        "falls below the first row can come from the images.",
        "The constant answer is the most frequent one of each kind of question in the test set "
        "itself, which a model cannot know: a hard baseline.",
        f"The MedQA questions are {rows['medqa_held_out']} of the public test split; others of it "
        "were trained on, so no published number compares.",
        f"{rows['held_out/vqa_rad/trainset.json']} of VQA-RAD's training questions were held out "
        "for their loss. Their pictures, and often another form of them, were trained on.",
        "One seed: another would move every number by about the width of its interval.",
    )


def to_markdown(results: Mapping[str, Any]) -> str:
    """All tables with their notes.

    Args:
      results: The content of `results.json`.
    """
    lines = [f"# Real run, {results['size']}", ""]
    lines += [f"* {note}" for note in notes(results)]
    lines += ["", f"{results['machine']}; minutes of the last call: {_minutes(results)}.", ""]
    lines += ["## VQA-RAD, official test split", "", *_vqa_table(results), ""]
    lines += ["## MedQA, held-out part", "", *_choice_table(results), ""]
    lines += ["## Loss of held-out rows, before and after each stage", "", *_losses(results), ""]
    lines += ["## Stages", "", *_stages(results), ""]
    if results["ablation"] is not None:
        lines += [
            "# Ablation",
            "",
            "Each variant is one pass of stage 3 from the stages 1 and 2 of the run above; VQA-RAD "
            "test, strict. Those that read less also take fewer steps.",
            "",
            ablation_tables.to_markdown(results["ablation"]),
        ]
    return "\n".join(lines)


def _minutes(results: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in results["minutes_of_this_call"].items())


def _held_out_loss(workdir: Path) -> dict[str, list[float]]:
    measured = [row for row in metrics.read_rows(workdir) if validation.LOSS in row]
    keys = sorted(k for k in (measured[-1] if measured else ()) if k.startswith(validation.LOSS))
    return {
        key.removeprefix(validation.LOSS).lstrip("/"): [measured[0][key], measured[-1][key]]
        for key in keys
    }


def _by_rephrasing(rows: Sequence[Row], rephrased: set[str]) -> dict[str, Row]:
    parts: dict[str, list[Row]] = {"with": [], "without": []}
    for row in rows:
        parts["with" if row["id"] in rephrased else "without"].append(row)
    return {part: {"n": len(of), **_count_right(of)} for part, of in parts.items()}


def _share(right: int, of: int) -> str:
    return pages.percent(right / of if of else None)


def _count_right(rows: Sequence[Row]) -> dict[str, int]:
    return {mode: sum(row[mode]["correct"] for row in rows) for mode in MODES}


def _table(heads: Sequence[str], rows: Iterator[Sequence[Any]]) -> list[str]:
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return [pages.markdown_row(cells) for cells in (heads, rule, *rows)]


def _vqa_table(results: Mapping[str, Any]) -> list[str]:
    after = results["evaluations"][AFTER][VQA]
    kinds = [kind for kind in KINDS if kind in after["by_answer_type"]]
    parts = results["rephrased"][AFTER]
    heads = ["", f"all {after['n']}", "95 % interval", "MedEvalKit's rules"]
    heads += [f"{KINDS[kind]} {after['by_answer_type'][kind]['n']}" for kind in kinds]
    heads += [f"{part} a form in train, {parts[part]['n']}" for part in parts]

    def rows() -> Iterator[list[str]]:
        names = {AFTER: "trained model", BLIND: "the same, images greyed out"}
        for name, label in names.items():
            scores, split = results["evaluations"][name][VQA], results["rephrased"][name]
            yield [
                label,
                pages.percent(scores["strict_accuracy"]),
                pages.interval(scores["strict_interval"]),
                pages.percent(scores["compat_accuracy"]),
                *(pages.percent(scores["by_answer_type"][k]["strict_accuracy"]) for k in kinds),
                *(_share(part["strict"], part["n"]) for part in split.values()),
            ]
        constant = pages.percent(after["constant_accuracy"])
        answers = [after["constant"][kind] for kind in kinds]
        by_kind = (f"{_share(a['correct'], a['n'])} ({a['answer']})" for a in answers)
        yield ["constant answer", constant, "", constant, *by_kind, *[""] * len(parts)]

    return _table(heads, rows())


def _choice_table(results: Mapping[str, Any]) -> list[str]:
    scores = results["evaluations"][AFTER][CHOICE]

    def rows() -> Iterator[list[str]]:
        yield [
            "trained model",
            pages.percent(scores["strict_accuracy"]),
            pages.interval(scores["strict_interval"]),
            pages.percent(scores["compat_accuracy"]),
        ]
        yield ["constant answer", pages.percent(scores["constant_accuracy"]), "", ""]
        yield ["chance", pages.percent(results["chance"]), "", ""]

    return _table(["", f"all {scores['n']}", "95 % interval", "MedEvalKit's rules"], rows())


def _losses(results: Mapping[str, Any]) -> list[str]:
    found = results["held_out_loss"]
    names = sorted({source for losses in found.values() for source in losses})
    if not names:
        return ["Not measured."]

    def rows() -> Iterator[list[str]]:
        for stage, losses in found.items():
            pairs = (losses.get(name) for name in names)
            yield [stage, *(" → ".join(map(pages.number, pair)) if pair else "" for pair in pairs)]

    return _table(["stage", *(name or "all" for name in names)], rows())


STAGE: dict[str, Callable[[Any], str]] = {
    "examples": pages.number,
    "dropped": pages.number,
    "steps": pages.number,
    "first_loss": pages.number,
    "last_loss": pages.number,
    "tokens_per_second": pages.number,
}


def _stages(results: Mapping[str, Any]) -> list[str]:
    def rows() -> Iterator[list[str]]:
        for name, summary in results["stages"].items():
            frozen = ", ".join(summary["frozen"]) or "nothing"
            yield [name, *(form(summary[key]) for key, form in STAGE.items()), frozen]

    return _table(["stage", *(key.replace("_", " ") for key in STAGE), "frozen"], rows())
