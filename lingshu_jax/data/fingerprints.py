# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Short keys of pictures and texts: what is equal in them is in both of two data sets.

A key is 16 hexadecimal digits, 64 bits. Two pictures are the same where their perceptual hashes
have no bit that differs, the rule of arXiv 2506.07044, section 2.1.4; two questions where their
normalised words are the same; longer texts are alike where they share runs of 13 words.

Hashes differ between libraries and their versions, and keys of texts with the rules below, so
both have a version, which is kept beside them: keys of two versions are never compared.
"""

import functools
import hashlib
import importlib.metadata
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lingshu_jax.common import errors
from lingshu_jax.data import images, sources

HASH_SIDE = 8  # rows and columns of bits
N = 13  # words of a run
TEXT_VERSION = f"words 1: NFKC, lower case, letters and digits; runs of {N}; SHA-256, 64 bits"
_LIBRARY = "ImageHash"
_CACHED = 65_536  # files whose hashes are remembered

# Scripts without blanks between words: each character counts as one.
_CHARACTER = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_CHARACTER}]|[^\W_{_CHARACTER}]+")
_IMAGE_MARK = re.compile(r"</?(?:image|video)(?:[_ ]?\d+)?>[ \t]*:?", re.IGNORECASE)
_LABEL = re.compile(
    r"^[ \t]*(?:(?:question|options|choices)[ \t]*:|(?:问题|选项)[ \t]*[:：])",
    re.IGNORECASE | re.MULTILINE,
)
# A line at the end that says how to answer, not what is asked.
_INSTRUCTION = re.compile(
    r"(?:please\s+)?(?:answer|output|respond|reply|choose|select|think|give|provide)\b|请",
    re.IGNORECASE,
)
_OPTION = re.compile(r"\s*\(?([A-Z])\s*[.):、．：]\s*\S")


class Fingerprint(NamedTuple):
    """What is known of a row of training data by its keys.

    Attributes:
      id: Of the row in its source.
      source: Name of the source.
      images: Of its pictures, frames of videos included.
      texts: Of its questions, each with and without its options.
      ngrams: Of the runs of words in its questions and answers.
    """

    id: str
    source: str
    images: tuple[str, ...]
    texts: tuple[str, ...]
    ngrams: tuple[str, ...]


def image_version() -> str:
    """Library, version and settings of `image_hash`.

    Raises:
      UserError: If the library is not installed.
    """
    try:
        version = importlib.metadata.version(_LIBRARY)
    except importlib.metadata.PackageNotFoundError as error:
        raise _no_library() from error
    return f"{_LIBRARY} {version} phash, {HASH_SIDE} x {HASH_SIDE} bits, of upright 8-bit RGB"


def image_hash(picture: images.Picture) -> str:
    """The perceptual hash of a picture.

    Of 150 images of VQA-RAD, 143 keep theirs as JPEG of quality 75, 145 at half the size, all
    without colours, 2 after a cut of 2 % at two sides: what is equal was copied, and a copy may
    be missed. Pictures of one colour all have one hash.

    Args:
      picture: A path, the bytes of a file, or a picture.

    Returns:
      A key.

    Raises:
      UserError: If it does not decode, or the library is not installed.
    """
    try:
        import imagehash  # lingshu-jax[curate]
    except ImportError as error:
        raise _no_library() from error
    return str(imagehash.phash(images.open_image(picture), hash_size=HASH_SIDE))


def media_hashes(visual: images.Visual, *, is_video: bool) -> tuple[str, ...]:
    """The hashes of an image, or of all frames of a video.

    Args:
      visual: As a row names it.
      is_video: Whether there may be several frames.

    Raises:
      UserError: As in `image_hash`.
    """
    if isinstance(visual, str):
        return _hashes_of_file(visual, is_video)
    if is_video:
        return tuple(map(image_hash, images.open_frames(visual)))
    assert not isinstance(visual, tuple), "an image is one picture"
    return (image_hash(visual),)


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case; of scripts without blanks each character.

    Args:
      text: Any. What has the same meaning in Unicode (NFKC) has the same words.
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def normalise(text: str) -> str:
    """The words of a text with single blanks: no punctuation, no layout, no case.

    Args:
      text: Any.

    >>> normalise("  Is there a FRACTURE？")
    'is there a fracture'
    """
    return " ".join(words(text))


def text_key(text: str) -> str:
    """The key of a normalised text.

    Args:
      text: Any.
    """
    return hashlib.sha256(normalise(text).encode()).hexdigest()[:16]


def ngrams(text: str, n: int = N) -> tuple[str, ...]:
    """The keys of all runs of n words, each once, in the text's order.

    Args:
      text: One with fewer words has none: `text_key` is for short texts.
      n: Words of a run, >= 1.
    """
    found = words(text)
    runs = (" ".join(found[start : start + n]) for start in range(len(found) - n + 1))
    return tuple(dict.fromkeys(hashlib.sha256(run.encode()).hexdigest()[:16] for run in runs))


def question_forms(text: str) -> list[str]:
    """What a prompt asks, normalised: with its options, then without them if it lists some.

    Image marks, labels as "Question:" and lines at the end that say how to answer are left out.
    Options are lines that begin with A, B and so on.

    Args:
      text: Of a user's turn, or a question of a benchmark.

    Returns:
      One form or two; none where there are no words.
    """
    lines = [line for line in _without_marks(text).splitlines() if line.strip()]
    while len(lines) > 1 and _INSTRUCTION.match(lines[-1].strip()):
        lines.pop()
    forms = [normalise("\n".join(lines)), normalise("\n".join(lines[: _first_option(lines)]))]
    return [form for form in dict.fromkeys(forms) if form]


def of_example(example: sources.Example) -> Fingerprint:
    """The keys of a row of training data.

    Args:
      example: The row; what its system message says does not count.

    Raises:
      UserError: If a picture does not decode.
    """
    pictures: dict[str, None] = {}
    texts: dict[str, None] = {}
    runs: dict[str, None] = {}
    for message in example.messages:
        if message["role"] == "system":
            continue
        said = "\n".join(part["text"] for part in message["content"] if part["type"] == "text")
        runs |= dict.fromkeys(ngrams(_without_marks(said)))
        if message["role"] == "user":
            texts |= dict.fromkeys(map(text_key, question_forms(said)))
        for part in message["content"]:
            if part["type"] != "text":
                value = part[part["type"]]
                visual = tuple(value) if isinstance(value, list) else value
                pictures |= dict.fromkeys(media_hashes(visual, is_video=part["type"] == "video"))
    return Fingerprint(example.id, example.source, tuple(pictures), tuple(texts), tuple(runs))


def of_examples(
    examples: Sequence[sources.Example],
) -> Iterator[Fingerprint | sources.Dropped]:
    """The same for several; one whose picture does not decode is refused.

    Args:
      examples: The rows.
    """
    for example in examples:
        try:
            yield of_example(example)
        except errors.UserError as error:
            yield sources.Dropped(
                id=example.id, source=example.source, line=example.line, reason=str(error)
            )


@functools.lru_cache(maxsize=_CACHED)
def _hashes_of_file(path: str, is_video: bool) -> tuple[str, ...]:
    """Many rows may ask about one file."""
    if is_video:
        return tuple(map(image_hash, images.open_frames(path)))
    return (image_hash(path),)


def _without_marks(text: str) -> str:
    return _LABEL.sub(" ", _IMAGE_MARK.sub(" ", text))


def _first_option(lines: Sequence[str]) -> int:
    """Where the options begin, A and B one after the other; the end where there are none."""
    letters = [match[1] if (match := _OPTION.match(line)) else "" for line in lines]
    for place in range(1, len(letters) - 1):
        if letters[place : place + 2] == ["A", "B"]:
            return place
    return len(lines)


def _no_library() -> errors.UserError:
    return errors.UserError(
        f"comparing pictures needs {_LIBRARY}; pip install 'lingshu-jax[curate]'"
    )
