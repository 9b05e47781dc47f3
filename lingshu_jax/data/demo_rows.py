# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's training and test rows, made from real images: captions and checkable questions.

    captions.jsonl    "Describe the image." -> a caption from header and pixels (stages 1, 2)
    instruct.jsonl    questions with answers, half of them in think/answer form (stage 3)
    vqa_train.jsonl   questions with golds and no answer turn (stage 4)
    vqa_test.jsonl    the same about pictures that nothing above has seen
    images/           the views as PNG
    demo_rows.json    counts, what was skipped and why, baselines

Rows of `vqa_*.jsonl` ask the bare question; who wants the think/answer form appends
`prompts.ANSWER_FORMAT`, as half of the instruction rows do.
"""

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import datadict

from lingshu_jax.common import errors, paths, prompts, tokens
from lingshu_jax.data import demo_images, demo_questions, formats

FILES = ("captions", "instruct", "vqa_train", "vqa_test")
MANIFEST = "demo_rows.json"
VERSION = 2  # of the rows; a folder of another version is made again
TRAIN_VIEWS, TEST_VIEWS = 2100, 150
RL_SHARE = 0.2  # of the training views; the others go to instruct.jsonl
MOST_INSTRUCT, MOST_RL, MOST_TEST = 600, 120, 30  # questions of one kind
MOST_WIDER = 90  # its answer needs no pixels
PAIRS = 60  # two-image rows of each of three kinds

CAPTION_PROMPTS = (
    "Describe the image.",
    "What does this image show?",
    "Write a short caption.",
    "Summarise this image.",
)

# Text-only rows: (question, answer).
KNOWLEDGE = (
    ("What does MR stand for?", "magnetic resonance"),
    ("What does CT stand for?", "computed tomography"),
    ("Which modality uses sound waves?", "ultrasound"),
    ("Which modality uses a strong magnet?", "MR"),
    ("Which modality turns an X-ray tube round the patient?", "CT"),
    ("Which modality measures a tracer in the body?", "nuclear medicine"),
    ("Which plane divides left from right?", "sagittal"),
    ("Which plane divides front from back?", "coronal"),
    ("Which plane divides head from feet?", "axial"),
    ("Does ultrasound use X-rays?", "no"),
    ("Does CT use X-rays?", "yes"),
    ("Does MR use X-rays?", "no"),
    ("Is bone bright on CT?", "yes"),
    ("Is air bright on CT?", "no"),
)


@dataclasses.dataclass(kw_only=True, frozen=True)
class Baseline:
    """What one answer for all questions of a kind scores.

    Attributes:
      rows: Questions of the kind in vqa_test.jsonl.
      answer: The most frequent gold.
      accuracy: Its share, 0 to 1.
    """

    rows: int
    answer: str
    accuracy: float


@dataclasses.dataclass(kw_only=True, frozen=True)
class DemoRows:
    """Where the rows are and what they were made of.

    Attributes:
      folder: Holds the four files; paths in them are relative to it.
      seed: Of every random choice.
      images: Views by split.
      counts: Rows by file name without suffix.
      kinds: Questions of vqa_train by kind.
      modalities: Words that occur as golds.
      dropped_tags: Header elements that may identify a person and were left behind.
      skipped: (file, reason) of files that gave no picture.
      baselines: By kind of question, on vqa_test.
    """

    folder: Path
    seed: int
    images: dict[str, int]
    counts: dict[str, int]
    kinds: dict[str, int]
    modalities: list[str]
    dropped_tags: int
    skipped: list[tuple[str, str]]
    baselines: dict[str, Baseline]

    def path(self, name: str) -> Path:
        """The file of a name in FILES."""
        if name not in FILES:
            raise errors.UserError(f"unknown demo file {name!r}; known: {', '.join(FILES)}")
        return self.folder / f"{name}.jsonl"

    def corpus(self) -> Iterator[str]:
        """Texts to train a tokenizer on: the training files, then DICOM's own vocabulary.

        The dictionary's names ("Slice Thickness") bring medical words that the rows lack.
        """
        for name in FILES[:3]:
            for _, row in formats.read_rows(self.path(name)):
                assert isinstance(row, dict), f"{name} was written by make"
                yield f"system\n{tokens.DEFAULT_SYSTEM}"
                for message in row["messages"]:
                    texts = (part["text"] for part in message["content"] if "text" in part)
                    yield from (f"{message['role']}\n{text}" for text in texts)
        yield from (entry[2] for entry in datadict.DicomDictionary.values())

    @property
    def blind_accuracy(self) -> float:
        """Accuracy on vqa_test of the best constant answer to each kind of question."""
        rows = sum(baseline.rows for baseline in self.baselines.values())
        return sum(b.rows * b.accuracy for b in self.baselines.values()) / rows


def make(folder: Path, images: Path | None = None, *, seed: int = 0) -> DemoRows:
    """Makes the rows, unless the folder holds them already.

    Args:
      folder: Appears complete or not at all; an old one made from something else is replaced.
      images: A folder of DICOM, NIfTI, PNG or JPEG files; None takes those that pydicom and
        nibabel bring along.
      seed: The same seed and images give the same rows.

    Raises:
      UserError: If `images` is missing or gives too few pictures, or if `folder` is somebody
        else's.
    """
    source = None if images is None else str(images.absolute())
    origin = {"images": source, "seed": seed, "version": VERSION}
    if (folder / MANIFEST).is_file():
        if json.loads((folder / MANIFEST).read_text())["origin"] == origin:
            return load(folder)
        shutil.rmtree(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise errors.UserError(f"{folder} exists and holds no demo rows; give another folder")
    with paths.whole_folder(folder) as partial:
        (partial / "images").mkdir()
        manifest = _write(partial, images, seed)
        text = json.dumps({"origin": origin, **manifest}, indent=1, default=dataclasses.asdict)
        (partial / MANIFEST).write_text(text)
    return load(folder)


def load(folder: Path) -> DemoRows:
    """Reads what `make` has written.

    Raises:
      UserError: If the folder holds no complete rows.
    """
    if not (folder / MANIFEST).is_file():
        raise errors.UserError(f"{folder} holds no demo rows: {MANIFEST} is missing")
    values = json.loads((folder / MANIFEST).read_text())
    seed = values.pop("origin")["seed"]
    baselines = {kind: Baseline(**value) for kind, value in values.pop("baselines").items()}
    skipped = [(name, reason) for name, reason in values.pop("skipped")]
    return DemoRows(folder=folder, seed=seed, baselines=baselines, skipped=skipped, **values)


def _write(folder: Path, images: Path | None, seed: int) -> dict[str, Any]:
    """Writes everything but the manifest, whose content is returned."""
    rng = np.random.default_rng(seed)
    found = demo_images.collect(images)
    train_series, test_series = demo_images.split(found.series, rng)
    train = demo_images.make_views(train_series, count=TRAIN_VIEWS, prefix="train", rng=rng)
    test = demo_images.make_views(test_series, count=TEST_VIEWS, prefix="test", rng=rng)
    for view in train + test:
        Image.fromarray(view.pixels).save(folder / "images" / f"{view.name}.png")
    modalities = sorted(_modalities(train) & _modalities(test))
    asker = demo_questions.Asker(modalities, rng)
    is_rl = rng.random(len(train)) < RL_SHARE
    for_rl = [view for view, chosen in zip(train, is_rl, strict=True) if chosen]
    for_instruct = [view for view, chosen in zip(train, is_rl, strict=True) if not chosen]
    seeing = demo_questions.SEEING_KINDS
    rl = _questions(for_rl, asker, seeing, most=MOST_RL, rng=rng)
    held_out = _questions(test, asker, seeing, most=MOST_TEST, rng=rng)
    if not rl or not held_out:
        sizes = [sum(map(len, part)) for part in (train_series, test_series)]
        raise errors.UserError(
            f"{images or 'the installed libraries'}: too few different pictures, "
            f"{sizes[0]} to train on and {sizes[1]} to hold out"
        )
    taught = _questions(for_instruct, asker, seeing, most=MOST_INSTRUCT, rng=rng)
    taught += _questions(for_instruct, asker, ("wider",), most=MOST_WIDER, rng=rng)
    instruct = [_answered_row(*pair, rng=rng) for pair in taught]
    instruct += [*_pair_rows(for_instruct, rng), *_knowledge_rows()]
    rows = {
        "captions": [_caption_row(view, asker) for view in train],
        "instruct": [instruct[i] for i in rng.permutation(len(instruct))],
        "vqa_train": [_asked_row(*pair) for pair in rl],
        "vqa_test": [_asked_row(*pair) for pair in held_out],
    }
    return {
        "images": {"train": len(train), "test": len(test)},
        "counts": {name: _save(folder, name, rows[name]) for name in FILES},
        "kinds": dict(Counter(question.kind for _, question in rl)),
        "modalities": modalities,
        "dropped_tags": found.dropped_tags,
        "skipped": found.skipped,
        "baselines": _baselines(question for _, question in held_out),
    }


def _modalities(views: list[demo_images.View]) -> set[str]:
    return {v.picture.modality for v in views if v.picture.modality is not None}


def _save(folder: Path, name: str, rows: list[dict[str, Any]]) -> int:
    numbered = ({"id": f"{name}-{i:05}", **row} for i, row in enumerate(rows))
    return formats.write_jsonl(folder / f"{name}.jsonl", numbered)


def _questions(
    views: list[demo_images.View],
    asker: demo_questions.Asker,
    kinds: tuple[str, ...],
    *,
    most: int,
    rng: np.random.Generator,
) -> list[tuple[demo_images.View, demo_questions.Question]]:
    asked = [(v, q) for v in views for q in asker.ask(demo_questions.Facts.of(v), kinds)]
    return demo_questions.balance(asked, most=most, rng=rng)


def _baselines(questions: Iterable[demo_questions.Question]) -> dict[str, Baseline]:
    golds: dict[str, Counter[str]] = {}
    for question in questions:
        golds.setdefault(question.kind, Counter())[question.answer] += 1
    baselines = {}
    for kind, counter in sorted(golds.items()):
        answer, count = counter.most_common(1)[0]
        accuracy = count / counter.total()
        baselines[kind] = Baseline(rows=counter.total(), answer=answer, accuracy=accuracy)
    return baselines


def _turns(
    views: Iterable[demo_images.View], text: str, answer: str | None
) -> list[dict[str, Any]]:
    parts = [{"type": "image", "image": f"images/{view.name}.png"} for view in views]
    turns = [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]
    if answer is not None:
        turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    return turns


def _gold(question: demo_questions.Question) -> dict[str, Any]:
    return {
        "answer": question.answer,
        "answer_type": question.answer_type,
        "options": list(question.options),
        "kind": question.kind,
    }


def _asked_row(view: demo_images.View, question: demo_questions.Question) -> dict[str, Any]:
    messages = _turns([view], question.text, None)
    origin = {"image_id": view.name, "unit": view.picture.unit}
    return {"messages": messages, **_gold(question), **origin}


def _answered_row(
    view: demo_images.View, question: demo_questions.Question, *, rng: np.random.Generator
) -> dict[str, Any]:
    text, answer = _in_some_form(question, rng)
    origin = {"image_id": view.name, "unit": view.picture.unit}
    return {"messages": _turns([view], text, answer), **_gold(question), **origin}


def _in_some_form(question: demo_questions.Question, rng: np.random.Generator) -> tuple[str, str]:
    """Every second time the think/answer form, asked for by its instruction; else plain."""
    if rng.random() < 0.5:
        return question.text, question.answer
    answer = f"<think>{question.thought}</think> <answer>{question.answer}</answer>"
    return prompts.ask(question.text, prompts.ANSWER_FORMAT), answer


def _pair_rows(views: list[demo_images.View], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Questions about two images, and how many there are."""
    for _ in range(PAIRS if len(views) > 1 else 0):
        first, second = (views[i] for i in rng.choice(len(views), 2, replace=False))
        for question in _pair_questions(first, second):
            text, answer = _in_some_form(question, rng)
            origin = {"image_id": f"{first.name}+{second.name}"}
            yield {"messages": _turns([first, second], text, answer), **_gold(question), **origin}


def _pair_questions(
    first: demo_images.View, second: demo_images.View
) -> Iterator[demo_questions.Question]:
    count = demo_questions.Question(
        "count", "How many images are there?", "2", "number", (), "I see two."
    )
    yield count
    if first.picture.modality and second.picture.modality:
        same = first.picture.modality == second.picture.modality
        thought = f"I see {first.picture.modality} and {second.picture.modality}."
        text, answer = "Are both images of one modality?", "yes" if same else "no"
        yield demo_questions.Question("same_modality", text, answer, "yes_no", (), thought)
    difference = float(first.pixels.mean() - second.pixels.mean()) / 255
    if abs(difference) >= demo_questions.HALF_MARGIN:
        answer = "first" if difference > 0 else "second"
        text, thought = "Which image is brighter?", f"The {answer} one has more light."
        yield demo_questions.Question("brighter_image", text, answer, "open", (), thought)


def _knowledge_rows() -> Iterator[dict[str, Any]]:
    for question, answer in KNOWLEDGE:
        kind = "yes_no" if answer in ("yes", "no") else "open"
        gold = {"answer": answer, "answer_type": kind, "options": [], "kind": "knowledge"}
        yield {"messages": _turns([], question, answer), **gold}


def _caption_row(view: demo_images.View, asker: demo_questions.Asker) -> dict[str, Any]:
    messages = _turns([view], asker.pick(*CAPTION_PROMPTS), caption(view, asker))
    return {
        "messages": messages,
        "kind": "caption",
        "image_id": view.name,
        "unit": view.picture.unit,
    }


def caption(view: demo_images.View, asker: demo_questions.Asker) -> str:
    """A short description: what the header says, then what the pixels show.

        An axial MR image, 2.2 mm thick. It is mostly dark. The left half is brighter.

    What a reader could not see in the picture, such as the number of a frame, is left out.

    Args:
      view: What is described; facts of the pixels are those of the view.
      asker: Draws the wording.
    """
    facts, header = demo_questions.Facts.of(view), view.picture.header
    what = " ".join(word for word in (facts.plane, facts.modality) if word) or "medical"
    subject = f"{demo_questions.an(what)} image"
    details = [asker.pick(subject, f"this is {subject}")]
    if header.body_part:
        details.append(f"body part {header.body_part.lower().replace('wholebody', 'whole body')}")
    elif header.slice_thickness_mm:
        details.append(f"{header.slice_thickness_mm:.1f} mm thick")
    if view.picture.length > 1 and header.fps:
        details.append("from a clip")
    sentence = ", ".join(details)
    return " ".join([f"{sentence[0].upper()}{sentence[1:]}.", *_pixel_facts(facts)])


def _pixel_facts(facts: demo_questions.Facts) -> list[str]:
    brightness = demo_questions.brightness(facts.gray)
    half = demo_questions.brighter_half(facts.gray)
    return [
        *([f"It is mostly {brightness}."] if brightness else []),
        *([f"The {half} half is brighter."] if half else []),
    ]
