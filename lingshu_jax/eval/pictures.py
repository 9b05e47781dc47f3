# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Other pictures in the place of a question's own, of the same size, made when it is asked.

grey            mid-grey, as a blind evaluation shows
noise           grey values drawn at random, other ones for each picture
photograph      a portrait photograph, cropped
shuffled        the pictures of another question of the same benchmark
other_modality  a picture of another modality: of another question, or else a sample file

Medical pictures of another size keep their shape and get black borders. Of a video each frame is
replaced.
"""

import collections
import dataclasses
import functools
import importlib.resources
import importlib.util
import io
import itertools
import random
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from lingshu_jax.data import images
from lingshu_jax.eval import benchmark

Kind = Literal["grey", "noise", "photograph", "shuffled", "other_modality"]
KINDS: tuple[Kind, ...] = ("grey", "noise", "photograph", "shuffled", "other_modality")

Part = Mapping[str, Any]  # of a message: an image or a video

_LEVELS = 16  # grey values of noise: half the bytes that 256 take
_QUALITY = 95  # of JPEG
# The words of data sets for one modality; what comes first counts.
_FAMILIES = (
    ("OCT", r"\boct\b|optical coherence"),
    ("nuclear medicine", r"\bpet\b|\bnm\b|\bspect\b|positron|nuclear|scintigra"),
    ("CT", r"\bct\b|\bcbct\b|computed tomogra"),
    ("MR", r"\bmri?\b|magnetic|mag-netic"),
    ("mammography", r"mammo"),
    ("X-ray", r"x[- ]?ray|radiogra|\b[cd]r\b"),
    ("ultrasound", r"ultraso|\bus\b|sonogra|echocardio"),
    ("microscopy", r"microscop|histo|patholog|cytolog"),
    ("fundus photography", r"fundus"),
    ("dermoscopy", r"derm"),
    ("endoscopy", r"endoscop|colonoscop|laparoscop|gastroscop"),
)
# Sample files of pydicom. The first is of a modality that few questions are about.
_SHIPPED = (("nuclear medicine", "JPEG-lossy.dcm"), ("CT", "CT_small.dcm"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of the pictures of some questions.

    Attributes:
      apply: A question with other pictures; a UserError if a picture cannot be read. Only for
        questions that are covered.
      covers: Whether a question has pictures and all of them can be replaced.
      remarks: Sentences, as on questions that are not covered; they name no benchmark.
    """

    apply: Callable[[benchmark.Sample], benchmark.Sample]
    covers: Callable[[benchmark.Sample], bool]
    remarks: list[str]


def change(
    kind: Kind,
    samples: Sequence[benchmark.Sample],
    *,
    others: Mapping[str, Sequence[benchmark.Sample]] | None = None,
    seed: int = 0,
) -> Change:
    """Prepares one kind of replacement; no picture is read before `apply`.

    Args:
      kind: One of `KINDS`.
      samples: The questions of a benchmark; `shuffled` takes pictures from them.
      others: Questions by benchmark from which `other_modality` takes pictures besides.
      seed: Of what is drawn.
    """
    if kind == "shuffled":
        return _shuffled(samples, seed)
    if kind == "other_modality":
        pool = [*samples, *itertools.chain.from_iterable((others or {}).values())]
        return _other_modality(samples, pool, seed)
    makers: dict[str, Callable[[benchmark.Sample, int, Part], Any]] = {
        "grey": lambda sample, place, part: greyed(part)[part["type"]],
        "noise": lambda sample, place, part: _noise(part, [seed, place, *sample.id.encode()]),
        "photograph": lambda sample, place, part: _repeated(part, _photograph),
    }
    make = makers[kind]
    return Change(
        apply=lambda sample: _replaced(sample, functools.partial(make, sample)),
        covers=lambda sample: bool(sample.media),
        remarks=_missing(samples, bool),
    )


def without(sample: benchmark.Sample) -> benchmark.Sample:
    """The question as text alone: without pictures, and without the numbers before them.

    Args:
      sample: The question.
    """
    messages = []
    for message in sample.messages:
        content = list(message["content"])
        following = [*content[1:], {"type": "text"}]
        kept = [
            part
            for part, behind in zip(content, following, strict=True)
            if not is_visual(part) and not (is_visual(behind) and _is_number(part))
        ]
        messages.append({**message, "content": kept})
    return dataclasses.replace(sample, messages=tuple(messages))


def shown(part: Part) -> Image.Image:
    """The picture of a part of a message; a video is shown by its first frame.

    Args:
      part: An image or a video.

    Raises:
      UserError: If it does not decode.
    """
    source = visual(part)
    if part["type"] == "video":
        return next(images.open_frames(source))
    assert not isinstance(source, tuple), "an image is one picture"
    return images.open_image(source)


def is_visual(part: Part) -> bool:
    """Whether a part of a message is an image or a video."""
    return part["type"] in ("image", "video")


def key(part: Part) -> Hashable:
    """Equal for equal media.

    Args:
      part: An image or a video.
    """
    value = part[part["type"]]
    return part["type"], tuple(value) if isinstance(value, list) else value


def visual(part: Part) -> images.Visual:
    """What an image or a video is read from.

    Args:
      part: The image or video.
    """
    value = part[part["type"]]
    return tuple(value) if isinstance(value, list) else value


def shape(part: Part) -> images.Shape:
    """Its frames and size, from its header.

    Args:
      part: An image or a video.

    Raises:
      UserError: If it cannot be read.
    """
    return images.read_shape(visual(part), is_video=part["type"] == "video")


def greyed(part: Part) -> Part:
    """A part of a message, grey if it is an image or a video.

    Args:
      part: Any part.

    Raises:
      UserError: If its size cannot be read.
    """
    return {**part, part["type"]: _repeated(part, _grey)} if is_visual(part) else part


def modality(name: str) -> str:
    """One name for what data sets call differently: "CT" for "CT(Computed Tomography)".

    Args:
      name: As a data set has it; an unknown one stays, in lower case.
    """
    lowered = name.strip().lower()
    return next((family for family, words in _FAMILIES if re.search(words, lowered)), lowered)


def _is_number(part: Part) -> bool:
    """Whether it is the text that numbers the picture behind it."""
    return part["type"] == "text" and re.fullmatch(r"<image_\d+>:\s*", part["text"]) is not None


def _replaced(sample: benchmark.Sample, make: Callable[[int, Part], Any]) -> benchmark.Sample:
    """With what `make` gives for the first picture, the second and so on."""
    places = itertools.count()
    messages = tuple(
        {
            **message,
            "content": [
                {**part, part["type"]: make(next(places), part)} if is_visual(part) else part
                for part in message["content"]
            ],
        }
        for message in sample.messages
    )
    return dataclasses.replace(sample, messages=messages)


def _missing(
    samples: Iterable[benchmark.Sample], is_covered: Callable[[Any], bool], why: str = ""
) -> list[str]:
    """Sentences on questions that are left out; `is_covered` sees the pictures of each."""
    counts = collections.Counter(
        "no picture" if not sample.media else "" if is_covered(sample.media) else why
        for sample in samples
    )
    return [
        f"{_questions(count)} {'has' if count == 1 else 'have'} {reason} and {_are(count)} left out"
        for reason, count in sorted(counts.items())
        if reason
    ]


def _questions(count: int) -> str:
    return f"{count} question{'s' * (count != 1)}"


def _repeated(part: Part, make: Callable[[int, int], bytes]) -> Any:
    """One picture by width and height, or as many of it as a video has frames."""
    size = shape(part)
    picture = make(size.width, size.height)
    return [picture] * size.num_frames if part["type"] == "video" else picture


@functools.lru_cache(maxsize=1024)
def _grey(width: int, height: int) -> bytes:
    """A grey picture as a file: a few kilobytes, where its pixels may be many megabytes."""
    file = io.BytesIO()
    Image.new("L", (width, height), images.BLANK).save(file, "PNG")
    return file.getvalue()


def _noise(part: Part, seed: Sequence[int]) -> Any:
    size = shape(part)
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(size.num_frames):
        levels = rng.integers(0, _LEVELS, (size.height, size.width), np.uint8)
        file = io.BytesIO()
        Image.fromarray(levels * np.uint8(255 // (_LEVELS - 1))).save(file, "PNG")
        frames.append(file.getvalue())
    return frames if part["type"] == "video" else frames[0]


@functools.lru_cache(maxsize=256)
def _photograph(width: int, height: int) -> bytes:
    """The portrait of Grace Hopper that comes with matplotlib, public domain."""
    from matplotlib import cbook  # takes a moment, and few need it

    picture = images.open_image(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    return _encoded(ImageOps.fit(picture, (width, height)))


def _encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue()


def _fitted(donor: Part, part: Part) -> Any:
    """The donor's picture or frames in size and number of the part's; as they are if they fit."""
    given, wanted = shape(donor), shape(part)
    if given[:3] == wanted[:3] and donor["type"] == part["type"]:
        return donor[donor["type"]]
    if donor["type"] == "image":
        frame = _padded(images.open_image(donor["image"]), wanted)
        return [frame] * wanted.num_frames if part["type"] == "video" else frame
    frames = list(images.open_frames(visual(donor)))
    places = [i * len(frames) // wanted.num_frames for i in range(wanted.num_frames)]
    return [_padded(frames[place], wanted) for place in places]


def _padded(picture: Image.Image, size: images.Shape) -> bytes:
    """Whole and undistorted, on black."""
    return _encoded(ImageOps.pad(picture, (size.width, size.height)))


def _shuffled(samples: Sequence[benchmark.Sample], seed: int) -> Change:
    donors, near = _deranged(samples, seed)

    def is_covered(media: Sequence[Part]) -> bool:
        return _keys(media) in donors

    def apply(sample: benchmark.Sample) -> benchmark.Sample:
        given = donors[_keys(sample.media)]
        return _replaced(sample, lambda place, part: _fitted(given[place], part))

    remarks = _missing(samples, is_covered, "pictures of which there are no other ones")
    if near:
        remarks.append(
            f"{near} sets of pictures are replaced by others of the same patient or group: there"
            " are too few of other groups"
        )
    return Change(
        apply=apply,
        covers=lambda sample: bool(sample.media) and is_covered(sample.media),
        remarks=remarks,
    )


def _deranged(
    samples: Sequence[benchmark.Sample], seed: int
) -> tuple[dict[Hashable, Sequence[Part]], int]:
    """For the pictures of each question others, as many and of the same kinds.

    Each set of pictures is given away once. In a list where those of one group stand together, a
    step as long as the largest group leads to another group, if none holds more than half of all.

    Returns:
      By `_keys`; and how many sets are replaced by one of their own group.
    """
    kinds: dict[Hashable, dict[str, dict[Hashable, Sequence[Part]]]] = {}
    known: set[Hashable] = set()
    for number, sample in enumerate(samples):
        keys = _keys(sample.media)
        if keys and keys not in known:
            known.add(keys)
            groups = kinds.setdefault(tuple(part["type"] for part in sample.media), {})
            label = f"group {sample.group}" if sample.group else f"question {number}"
            groups.setdefault(label, {})[keys] = sample.media
    donors: dict[Hashable, Sequence[Part]] = {}
    near = 0
    rng = random.Random(seed)
    for groups in kinds.values():
        labels = rng.sample(list(groups), len(groups))
        ordered = [
            (label, keys)
            for label in labels
            for keys in rng.sample([*groups[label]], len(groups[label]))
        ]
        step = max(map(len, groups.values()))
        step = step if step < len(ordered) else 1
        if len(ordered) == 1:
            continue
        for (label, keys), (other, given) in zip(
            ordered, [*ordered[step:], *ordered[:step]], strict=True
        ):
            donors[keys] = groups[other][given]
            near += label == other
    return donors, near


class _Foreign:
    """Pictures of other modalities: of other questions, or else sample files."""

    def __init__(self, pool: Iterable[benchmark.Sample], seed: int):
        found: dict[str, dict[Hashable, Part]] = {}
        for sample in pool:
            pictures = {key(part): part for part in sample.media if part["type"] == "image"}
            if pictures and (family := _family(sample)):
                found.setdefault(family, {}).update(pictures)
        # A picture under two modalities may be the question's own.
        count = collections.Counter(itertools.chain.from_iterable(found.values()))
        self._by_family = {
            family: kept
            for family, parts in sorted(found.items())
            if (kept := [part for name, part in parts.items() if count[name] == 1])
        }
        self._shipped, self._seed = _shipped(), seed

    def families(self, sample: benchmark.Sample) -> list[str]:
        """The other modalities of which there are pictures, if the question's own is known."""
        family = _family(sample)
        return [name for name in self._by_family if name != family] if family else []

    def sample_file(self, sample: benchmark.Sample) -> str:
        """The modality of the sample file to take instead; "" if there is none."""
        return next((name for name in self._shipped if name != _family(sample)), "")

    def apply(self, sample: benchmark.Sample) -> benchmark.Sample:
        names = self.families(sample)

        def make(place: int, part: Part) -> Any:
            if not names:
                return _fitted(self._shipped[self.sample_file(sample)], part)
            rng = random.Random(f"{self._seed} {sample.id} {place}")
            return _fitted(rng.choice(self._by_family[rng.choice(names)]), part)

        return _replaced(sample, make)

    def covers(self, sample: benchmark.Sample) -> bool:
        return bool(sample.media) and bool(self.families(sample) or self.sample_file(sample))


def _other_modality(
    samples: Sequence[benchmark.Sample], pool: Iterable[benchmark.Sample], seed: int
) -> Change:
    foreign = _Foreign(pool, seed)
    shown = [sample for sample in samples if sample.media]
    counts = collections.Counter(
        "" if foreign.families(sample) else foreign.sample_file(sample) or "none"
        for sample in shown
    )
    remarks = _missing(samples, bool)
    for name, count in sorted(counts.items()):
        if name == "none":
            remarks.append(
                f"{_questions(count)} {_are(count)} left out: the sample files come with"
                " lingshu_jax[data]"
            )
        elif name:
            remarks.append(
                f"{_questions(count)} {_take(count)} a sample file of pydicom ({name}): the"
                " modality asked about is not told, or no question is about another one"
            )
        else:
            remarks.append(
                f"{_questions(count)} {_take(count)} pictures of other questions, whose modality"
                " is another one by the words of the data sets"
            )
    return Change(apply=foreign.apply, covers=foreign.covers, remarks=remarks)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _take(count: int) -> str:
    return "gets" if count == 1 else "get"


def _family(sample: benchmark.Sample) -> str:
    """What modality its pictures are of; "" where that is not told."""
    return modality(sample.strata.get("modality", ""))


def _shipped() -> dict[str, Part]:
    """Sample files by modality; none without pydicom."""
    if importlib.util.find_spec("pydicom") is None:
        return {}
    folder = importlib.resources.files("pydicom") / "data" / "test_files"
    return {name: {"type": "image", "image": str(folder / file)} for name, file in _SHIPPED}


def _keys(media: Iterable[Part]) -> tuple[Hashable, ...]:
    return tuple(map(key, media))
