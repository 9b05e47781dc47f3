# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""One question on its way from any format into the training file.

What leaves a row: its conversation up to the question, its pictures, and of its meta the keys of
`KEPT` alone. Names of patients, studies or files that a publisher put beside a question stay
behind, the names of pictures too: a picture is called after its content. A picture of a DICOM or
NIfTI file is written as PNG, without the header.

What a row's text loses: instructions that ask for another form of answer than stage 4 does
(`INSTRUCTIONS`), and, by `prepare_choices`, options.
"""

import contextlib
import dataclasses
import hashlib
import io
import os
import pathlib
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image, UnidentifiedImageError

from lingshu_jax.common import answers_polarity, errors, paths
from lingshu_jax.data import images, sources, volume_files
from lingshu_jax.rl import prepare_balance, prepare_choices, questions

# Of a row's meta; "source", "modality", "rewritten", "pass_rate" and "pass_samples" come to it.
KEPT = ("answer", "answer_type", "options", "aliases", "kind")
UNKNOWN = "unknown"  # modality
REWRITTEN = "rewritten to an open question"

# Forms that the rows of other projects ask for: verl's geo3k, openr1mm, tinyllava_video_r1, gsm8k
# and math_dataset, EasyR1's format_prompt/{math,r1v}.jinja, MedEvalKit's reasoning tails.
INSTRUCTIONS = re.compile(
    r"""[ \t]*(?:
        You\ FIRST\ think\ about\ the\ reasoning\ process\b.{0,250}?
            (?:MUST\ BE\ put\ in\ \\boxed\{\}|enclosed\ within\ <answer>\ </answer>\ tags)\.?
        |A\ conversation\ between\ User\ and\ Assistant\..{0,500}?answer\ here\ ?</answer>\.?
        |Let's\ think\ step\ by\ step\ and\ output\ the\ (?:letter\ of\ the\ )?final\ answer\b
            .{0,20}?(?:after\ "\#\#\#\#"|within\ \\boxed\{\})\.?
        |Please\ reason\ step\ by\ step,\ and\ put\ your\ final\ answer\ within\ \\boxed\{\}\.?
        |\ and\ put\ the\ (?:letter|answer)\ in\ one\ "\\boxed\{\}"(?=\.)
    )[ \t]*""",
    re.VERBOSE | re.DOTALL,
)
# DICOM's codes and spellings of one modality; what is not here stands for itself.
MODALITIES = {
    "mr": "mri",
    "magnetic resonance imaging": "mri",
    "computed tomography": "ct",
    "cr": "x-ray",
    "dx": "x-ray",
    "xr": "x-ray",
    "xray": "x-ray",
    "x ray": "x-ray",
    "x-ray radiography": "x-ray",
    "us": "ultrasound",
    "ultrasonography": "ultrasound",
    "pt": "pet",
    "mg": "mammography",
    "op": "fundus",
    "fundus photography": "fundus",
    "opt": "oct",
    "optical coherence tomography": "oct",
    "sm": "microscopy",
    "microscopy images": "microscopy",
    "dermatoscopy": "dermoscopy",
    "pathology": "histopathology",
}
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")  # a UID may end with a dot and a number


class Made(NamedTuple):
    """A question as it goes on.

    Attributes:
      example: With `KEPT`, `source` and `modality` as its meta.
      form: Its answer type as it was read.
      choice: `REWRITTEN`, or why a multiple-choice item stayed one, or "".
      instructions: How many instructions were taken out of its text.
    """

    example: sources.Example
    form: str
    choice: str
    instructions: int

    @property
    def cell(self) -> prepare_balance.Cell:
        """What it is balanced over; a choice among yes, no and maybe is a yes/no question here."""
        meta = self.example.meta
        form, polarity = meta["answer_type"], ""
        if form == prepare_balance.YES_NO:
            polarity = str(answers_polarity.extract(meta["answer"]).value)
        elif form == "choice" and prepare_choices.has_polarity(meta["options"]):
            form, polarity = prepare_balance.YES_NO, "a choice with yes or no"
        return prepare_balance.Cell(meta["modality"], form, polarity)


def make(
    example: sources.Example, *, open_choices: bool, modality_keys: Sequence[str] = ("modality",)
) -> Made:
    """What becomes of a row.

    Args:
      example: Of any format.
      open_choices: Rewrites multiple choice where it can.
      modality_keys: Of its meta, or of verl's `extra_info` in it; the first that is there counts.

    Raises:
      UserError: If its answers cannot be verified, or if a picture does not read.
    """
    turns, instructions = _without_instructions(_until_question(example))
    meta = {key: example.meta[key] for key in KEPT if example.meta.get(key) is not None}
    extra = example.meta.get("extra_info")
    known = {**(extra if isinstance(extra, dict) else {}), **example.meta}
    meta |= {"source": example.source, "modality": modality_of(known, modality_keys)}
    cleaned = dataclasses.replace(example, messages=tuple(turns), meta=meta)
    if not questions.as_asked(cleaned, "").question.text.strip():
        raise errors.UserError("nothing is asked: the last user turn has no text")
    for kind, picture in _media(turns):
        images.read_shape(picture, is_video=kind == "video")
    rewritten, choice = _open(cleaned) if open_choices else (cleaned, "")
    questions.as_asked(rewritten, "")
    return Made(rewritten, meta["answer_type"], choice, instructions)


def modality_of(meta: Mapping[str, Any], keys: Sequence[str]) -> str:
    """The modality that a row states: a text, or a classifier's `{"label": ..., ...}`.

    Args:
      meta: Of the row.
      keys: Where it may stand.

    Returns:
      In lower case and one spelling; `UNKNOWN` where no key says one.
    """
    for key in keys:
        value = meta.get(key)
        label = value.get("label") if isinstance(value, dict) else value
        if isinstance(label, str) and label.strip():
            name = " ".join(label.replace("_", " ").lower().split())
            return MODALITIES.get(name, name)
    return UNKNOWN


def as_row(example: sources.Example, names: Mapping[Any, str]) -> dict[str, Any]:
    """The row of the training file, in format `messages`; the gold stands as its last turn.

    Args:
      example: From `make`.
      names: Of its pictures, by `key_of`.
    """
    turns = [
        {"role": turn["role"], "content": [_named(part, names) for part in turn["content"]]}
        for turn in example.messages
    ]
    turns.append({"role": "assistant", "content": example.meta["answer"]})
    return {"id": example.id, "messages": turns, **example.meta}


class Pictures:
    """The folder of a training file's pictures, each under the hash of its content.

    Attributes:
      names: Paths relative to the training file's folder, by `key_of`.
    """

    def __init__(self, folder: pathlib.Path):
        """Takes the place.

        Args:
          folder: Inside that of the training file.
        """
        self.names: dict[Any, str] = {}
        self._folder = folder

    def add(self, example: sources.Example) -> None:
        """Brings the pictures of an example; what is there already is left alone.

        Args:
          example: Whose pictures read.

        Raises:
          UserError: If one cannot be written as a picture.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for _, value in _media(example.messages):
            for picture in value if isinstance(value, tuple) else [value]:
                key = key_of(picture)
                if key not in self.names:
                    self.names[key] = f"{self._folder.name}/{self._place(picture)}"

    def _place(self, picture: images.Picture) -> str:
        """Writes a picture under its name."""
        if isinstance(picture, Image.Image) or volume_files.find(picture) is not None:
            buffer = io.BytesIO()
            images.open_image(picture).save(buffer, "PNG")
            picture = buffer.getvalue()
        if isinstance(picture, bytes):
            name = hashlib.sha256(picture).hexdigest()[:32] + _suffix_of(picture)
            if not (self._folder / name).exists():
                with paths.whole_file(self._folder / name) as partial:
                    partial.write_bytes(picture)
            return name
        with open(picture, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        suffix = _SUFFIX.search(picture)
        name = digest + (suffix[0].lower() if suffix else "")
        if not (self._folder / name).exists():
            with paths.whole_file(self._folder / name) as partial:
                _link_or_copy(picture, pathlib.Path(partial))
        return name


def key_of(picture: images.Picture) -> Any:
    """By which a picture is known while it is in memory."""
    return picture if isinstance(picture, str | bytes) else id(picture)


def _until_question(example: sources.Example) -> list[dict[str, Any]]:
    turns = list(example.messages)
    if turns and turns[-1]["role"] == "assistant":
        turns.pop()
    return turns


def _without_instructions(turns: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    made, count = [], 0
    for turn in turns:
        parts = []
        for part in turn["content"]:
            if part["type"] == "text" and turn["role"] != "assistant":
                text, number = INSTRUCTIONS.subn("", part["text"])
                part = {**part, "text": text.rstrip() if number else text}
                count += number
            parts.append(part)
        # A system message that said nothing else goes.
        if turn["role"] == "user" or any(p["type"] != "text" or p["text"] for p in parts):
            made.append({**turn, "content": parts})
    return made, count


def _open(example: sources.Example) -> tuple[sources.Example, str]:
    """The example as an open question where it can be one, and what was done."""
    meta = example.meta
    if meta["answer_type"] == "choices":
        return example, "several of its options are right"
    if meta["answer_type"] != "choice":
        return example, ""
    *before, last = example.messages
    texts = [place for place, part in enumerate(last["content"]) if part["type"] == "text"]
    if not texts:
        return example, prepare_choices.NO_QUESTION
    parts = list(last["content"])
    made = prepare_choices.rewrite(
        parts[texts[-1]]["text"], gold=str(meta["answer"]), options=meta["options"]
    )
    if isinstance(made, prepare_choices.Choice):
        return example, made.reason
    parts[texts[-1]] = {"type": "text", "text": made.text}
    kept = {key: value for key, value in meta.items() if key != "options"}
    kept |= {"answer": made.gold, "answer_type": made.answer_type, "rewritten": True}
    messages = (*before, {**last, "content": parts})
    return dataclasses.replace(example, messages=messages, meta=kept), REWRITTEN


def _media(turns: Sequence[Mapping[str, Any]]) -> list[tuple[str, images.Visual]]:
    """Kind and content of each picture and video; a list of frames is a tuple of them."""
    found = []
    for turn in turns:
        for part in turn["content"]:
            if part["type"] != "text":
                value = part[part["type"]]
                found.append((part["type"], tuple(value) if isinstance(value, list) else value))
    for kind, value in found:
        if kind == "video" and isinstance(value, str) and os.path.isdir(value):
            raise errors.UserError("a video that is a folder: name its frames as a list")
        if kind == "video" and isinstance(value, str) and volume_files.find(value) is not None:
            raise errors.UserError("a video that is a DICOM or NIfTI file: choose frames of it")
    return found


def _named(part: Mapping[str, Any], names: Mapping[Any, str]) -> dict[str, Any]:
    """A part of a message with the new name of its picture."""
    if part["type"] == "text":
        return dict(part)
    value = part[part["type"]]
    if isinstance(value, list):
        return {**part, part["type"]: [names[key_of(frame)] for frame in value]}
    return {**part, part["type"]: names[key_of(value)]}


def _suffix_of(data: bytes) -> str:
    with contextlib.suppress(UnidentifiedImageError), Image.open(io.BytesIO(data)) as image:
        return f".{str(image.format).lower()}"
    return ""


def _link_or_copy(source: str, target: pathlib.Path) -> None:
    """A second name of the same file where the file system has them; else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
