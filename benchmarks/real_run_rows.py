# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of the real run, made from a folder of public data; pictures are named, never copied.

    captions.jsonl          what the publishers say of each picture
    vqa_rad_captions.jsonl  VQA-RAD's training questions and answers about a picture in one text
    vqa_rad/                VQA-RAD as published; its training split less what is held out
    bccd_counts.jsonl       how many cells of a kind a blood smear shows
    medquad.jsonl, mts_dialog.jsonl, medqa.jsonl
    held_out/               rows like these that nothing above holds, for their loss
    medqa_held_out.jsonl    questions with golds, a benchmark and for its loss
    rows.json               how many of each, and what VQA-RAD's two splits share

The 1,273 MedQA questions are the public test split: a seeded part is trained on and the rest held
out, so what a model scores on that rest compares with no published number.
"""

import collections
import csv
import gzip
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from lingshu_jax.common import errors, paths, prompts
from lingshu_jax.data import formats

MANIFEST = "rows.json"
HELD_OUT = "held_out"
VERSION = 1  # of the rows; a folder of another version is refused
SEED = 0
HELD_OUT_ROWS = {"vqa_rad": 150, "medquad": 100, "medqa": 300}
ANSWER_CHARS = 800  # longest MedQuAD answer; a longer one ends with its last whole sentence
CAPTIONS_PER_IMAGE, PAIRS_PER_CAPTION = 3, 6  # of VQA-RAD's questions told as a text

DESCRIBE = "Describe the image."
ASK_AND_ANSWER = "Ask and answer questions about the image."
SUMMARISE = "Summarise this conversation between a doctor and a patient for the record."
BCCD_CELLS = {"RBC": "red blood cell", "WBC": "white blood cell", "Platelets": "platelet"}
SKIMAGE_CAPTIONS = {
    "retina.jpg": "A colour fundus photograph of a human retina.",
    "ihc.png": "Colonic glands under the microscope, stained by immunohistochemistry.",
    "cell.png": "A single cell in saline under the microscope, as a phase image.",
}

Row = dict[str, Any]


def prepare(data: Path, folder: Path, *, questions: int = 0) -> Row:
    """Makes the rows, unless the folder holds them already.

    Args:
      data: Folder of public data: vqa_rad, medquad, mts_dialog, text_mcq, hannover_covid_cxr,
        bccd, pocus_lung_us_ccby, covid_chestxray_open, skimage_bundled.
      folder: Appears complete or not at all.
      questions: Only the first ones of both benchmarks, for a trial; 0 takes all.

    Returns:
      The content of `rows.json`.

    Raises:
      UserError: If a file is missing, or the folder was made from something else.
    """
    data = data.absolute()
    origin = {"data": str(data), "questions": questions, "version": VERSION}
    manifest = folder / MANIFEST
    if manifest.is_file():
        found = json.loads(manifest.read_text(encoding="utf-8"))
        if found["origin"] != origin:
            raise errors.UserError(f"{folder} holds rows of {found['origin']}, not {origin}")
        return found
    with paths.whole_folder(folder) as partial:
        (partial / HELD_OUT).mkdir()
        try:
            counts = {
                **_write_images(data, partial, questions or None),
                **_write_texts(data, partial, questions or None),
            }
            shared = overlap(data / "vqa_rad")
        except (OSError, KeyError, ValueError) as error:
            raise errors.UserError(f"--data={data} is not laid out as expected: {error}") from error
        found = {"origin": origin, "rows": counts, "vqa_rad": shared}
        (partial / MANIFEST).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def overlap(folder: Path) -> Row:
    """What VQA-RAD's published splits share.

    A rephrasing is a question about the same picture that the authors list as another form of the
    test question.

    Args:
      folder: VQA-RAD as published.

    Returns:
      Test questions and images; how many of the images, of the very questions, and of their
      rephrasings (with any answer, with the same) the training split holds; `rephrased`: ids of
      the questions with a rephrasing.
    """
    train, test, public = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("trainset.json", "testset.json", "VQA_RAD_Dataset_Public.json")
    )
    trained: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
    for row in train:
        trained[_asked(row, row["question"])].add(_plain(row["answer"]))
    forms = _rephrasings(public)
    exact, same, rephrased = 0, 0, []
    for row in test:
        asked = _asked(row, row["question"])
        answers = set().union(*(trained.get(form, set()) for form in forms[asked] - {asked}))
        exact += asked in trained
        same += _plain(row["answer"]) in answers
        rephrased += [str(row["qid"])] if answers else []
    images = {row["image_name"] for row in test}
    return {
        "test_questions": len(test),
        "test_images": len(images),
        "images_in_train": len(images & {row["image_name"] for row in train}),
        "questions_in_train": exact,
        "rephrased_in_train": len(rephrased),
        "rephrased_with_the_same_answer": same,
        "rephrased": rephrased,
    }


def texts(folder: Path) -> Iterator[str]:
    """Every training text, to learn a tokenizer from.

    Args:
      folder: From `prepare`.
    """
    for path in sorted(folder.glob("*.jsonl")):
        if path.stem.endswith(HELD_OUT):
            continue
        for _, row in formats.read_rows(path):
            assert isinstance(row, dict), f"{path} was written by prepare"
            for message in row["messages"]:
                said = (part["text"] for part in message["content"] if "text" in part)
                yield from (f"{message['role']}\n{text}" for text in said)
    yield from (prompts.YES_NO, prompts.OPEN, prompts.CHOICE)


def _write_images(data: Path, folder: Path, questions: int | None) -> dict[str, int]:
    """Rows with pictures."""
    train, test = (
        json.loads((data / "vqa_rad" / name).read_text(encoding="utf-8"))
        for name in ("trainset.json", "testset.json")
    )
    held, kept = _split(train, HELD_OUT_ROWS["vqa_rad"])
    counts = {}
    for name, rows in (
        ("vqa_rad/trainset.json", kept),
        ("vqa_rad/testset.json", test[:questions]),
        (f"{HELD_OUT}/vqa_rad/trainset.json", held),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(rows), encoding="utf-8")
        counts[name] = len(rows)
    (folder / "vqa_rad" / "images").symlink_to(data / "vqa_rad" / "images")
    captions = [
        *_hannover(data / "hannover_covid_cxr"),
        *_ultrasound(data / "pocus_lung_us_ccby"),
        *_covid(data / "covid_chestxray_open"),
        *_skimage(data / "skimage_bundled"),
    ]
    smears = [*_smears(data / "bccd")]
    captions += [_shown(path, DESCRIBE, _smear_caption(cells)) for path, cells in smears]
    counted = [row for path, cells in smears for row in _count_rows(path, cells)]
    return {
        **counts,
        "captions": _save(folder, "captions", captions),
        "vqa_rad_captions": _save(folder, "vqa_rad_captions", _told(data / "vqa_rad", kept)),
        "bccd_counts": _save(folder, "bccd_counts", counted),
    }


def _write_texts(data: Path, folder: Path, limit: int | None) -> dict[str, int]:
    """Rows without pictures."""
    with gzip.open(data / "medquad" / "medquad_sample.jsonl.gz", "rt", encoding="utf-8") as file:
        pairs = [_said(r["question"], shorten(r["answer"])) for r in map(json.loads, file)]
    held_pairs, pairs = _split(pairs, HELD_OUT_ROWS["medquad"])
    choices = [*_choices(data / "text_mcq" / "medxpertqa_repo" / "medqa_input.jsonl.gz")]
    held_choices, choices = _split(choices, HELD_OUT_ROWS["medqa"])
    rows = {
        "medquad": pairs,
        "mts_dialog": _notes(data / "mts_dialog", "TrainingSet"),
        "medqa": choices,
        "medqa_held_out": held_choices[:limit],
        f"{HELD_OUT}/medquad": held_pairs,
        f"{HELD_OUT}/mts_dialog": _notes(data / "mts_dialog", "ValidationSet"),
    }
    return {name: _save(folder, name, found) for name, found in rows.items()}


def shorten(text: str, most: int = ANSWER_CHARS) -> str:
    """The whole sentences among the first characters of a text.

    Args:
      text: Any.
      most: Characters.
    """
    if len(text) <= most:
        return text
    head = text[:most]
    return head[: head.rfind(". ") + 1] or head.rpartition(" ")[0] or head


def _split(rows: Sequence[Any], held_out: int) -> tuple[list[Any], list[Any]]:
    """So many rows by chance, at most a third of them, and the others; both in their order."""
    chosen = set(
        np.random.default_rng(SEED).permutation(len(rows))[: min(held_out, len(rows) // 3)]
    )
    parts: tuple[list[Any], list[Any]] = ([], [])
    for i, row in enumerate(rows):
        parts[i not in chosen].append(row)
    return parts


def _save(folder: Path, name: str, rows: Iterable[Row]) -> int:
    numbered = ({"id": f"{name}/{i}", **row} for i, row in enumerate(rows))
    return formats.write_jsonl(folder / f"{name}.jsonl", numbered)


def _said(question: str, answer: str) -> Row:
    return {"messages": _turns([{"type": "text", "text": question}], answer)}


def _shown(image: Path, question: str, answer: str) -> Row:
    parts = [{"type": "image", "image": str(image)}, {"type": "text", "text": question}]
    return {"messages": _turns(parts, answer), "image_id": image.name}


def _turns(parts: list[Row], answer: str) -> list[Row]:
    return [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    ]


def _hannover(folder: Path) -> Iterator[Row]:
    """A caption from the clinical table for each X-ray that is there."""
    with (folder / "data.csv").open(newline="", encoding="utf-8") as file:
        table = {row["image_id"]: row for row in csv.DictReader(file)}
    for path in sorted((folder / "png").glob("*.png")):
        row = table[path.stem]
        sex = {"m": "man", "f": "woman"}.get(row["sex"].lower(), "patient")
        age = f" aged {row['age']}" if row["age"] else ""
        care = " and intensive care" if row["icu_admission_offset"] else ""
        text = f"A chest X-ray ({row['modality']}, {row['projection']} projection) of a {sex}{age}"
        yield _shown(path, DESCRIBE, f"{text} with COVID-19{care}.")


def _ultrasound(folder: Path) -> Iterator[Row]:
    for _, row in formats.read_rows(folder / "captions.jsonl"):
        assert isinstance(row, dict), "a caption is an object"
        said = row["MD2"] or row["Comments first medical doctor (MD1)"]
        text = f"A lung ultrasound image, {row['Probe']} probe. {row['Label']}. {said}."
        yield _shown(folder / row["image"], DESCRIBE, text)


def _covid(folder: Path) -> Iterator[Row]:
    for _, row in formats.read_rows(folder / "captions.jsonl"):
        assert isinstance(row, dict), "a caption is an object"
        text = f"A chest {row['modality']}, {row['view']} view. {row['finding']}. {row['caption']}"
        yield _shown(folder / row["image"], DESCRIBE, text)


def _skimage(folder: Path) -> Iterator[Row]:
    for name, text in SKIMAGE_CAPTIONS.items():
        yield _shown(folder / name, DESCRIBE, text)


def _smears(folder: Path) -> Iterator[tuple[Path, dict[str, int]]]:
    """Each blood smear with its boxes counted by kind of cell."""
    for path in sorted((folder / "annotations").glob("*.xml")):
        tree = ElementTree.parse(path)
        counter = collections.Counter(name.text for name in tree.iterfind("object/name"))
        image = folder / "images" / f"{path.stem}.jpg"
        yield image, {name: counter[kind] for kind, name in BCCD_CELLS.items()}


def _smear_caption(cells: dict[str, int]) -> str:
    parts = [f"{count} {name}{'s' * (count != 1)}" for name, count in cells.items()]
    return f"A stained blood smear with {', '.join(parts[:-1])} and {parts[-1]}."


def _count_rows(image: Path, cells: dict[str, int]) -> Iterator[Row]:
    for name, count in cells.items():
        question = prompts.ask(f"how many {name}s are there?", prompts.OPEN)
        yield _shown(image, question, str(count))


def _told(folder: Path, train: Iterable[Row]) -> Iterator[Row]:
    """For each picture a few texts of questions with their answers, in the words of the format."""
    by_image: dict[str, list[str]] = collections.defaultdict(list)
    for row in train:
        question = re.sub(r"\s+\?", "?", _plain(row["question"]))
        by_image[row["image_name"]].append(f"{question} {_plain(row['answer'])}.")
    rng = np.random.default_rng(SEED)
    for image, pairs in sorted(by_image.items()):
        for _ in range(CAPTIONS_PER_IMAGE):
            chosen = rng.permutation(len(pairs))[:PAIRS_PER_CAPTION]
            text = " ".join(pairs[i] for i in chosen)
            yield _shown(folder / "images" / image, ASK_AND_ANSWER, text)


def _notes(folder: Path, split: str) -> Iterator[Row]:
    [path] = folder.glob(f"*{split}.csv")
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            dialogue = row["dialogue"].replace("\r\n", "\n")
            yield _said(f"{SUMMARISE}\n{dialogue}", row["section_text"])


def _choices(path: Path) -> Iterator[Row]:
    """MedQA's questions as rows that are a benchmark's as well."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            question, _, listed = row["question"].partition("\nAnswer Choices: ")
            options = [text.strip() for text in re.split(r"\([A-Z]\) ", listed)[1:]]
            [gold] = row["label"]
            asked = prompts.ask(prompts.ask_choice(question, options), prompts.CHOICE)
            gold_and_options = {"answer": gold, "answer_type": "choice", "options": options}
            yield {**_said(asked, gold), **gold_and_options}


def _rephrasings(public: Iterable[Row]) -> dict[tuple[str, str], set[tuple[str, str]]]:
    """All forms of each question that the authors list: its own, its rephrasing, its frame."""
    linked: dict[str, set[tuple[str, str]]] = collections.defaultdict(set)
    asked: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
    for row in public:
        for name in ("question", "question_rephrase", "question_frame"):
            linked[row["qid_linked_id"]].add(_asked(row, row.get(name, "")))
        asked[_asked(row, row["question"])].add(row["qid_linked_id"])
    forms = {key: set().union(*(linked[link] for link in links)) for key, links in asked.items()}
    return collections.defaultdict(set, forms)


def _asked(row: Row, question: Any) -> tuple[str, str]:
    return row["image_name"], _plain(question)


def _plain(value: Any) -> str:
    return str(value).strip().lower()
