# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What embeds pictures: BiomedCLIP from a local folder, or a stand-in without weights.

The paper labels modalities with a classifier over BiomedCLIP (arXiv 2506.07044, 2.3). The model is
run by open_clip in an interpreter that has it, this one or another. The stand-in is a random
projection of a small grey picture: with it everything can be tried, and nothing is known of
modalities, so no accuracy is reported.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from absl import logging
from jaxtyping import Float, Float32
from PIL import Image

from data_tools import embedding_worker
from lingshu_jax.common import errors, interpreters, paths
from lingshu_jax.data import images

STAND_IN = "random"
PUBLISHED = "https://huggingface.co/microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
_NEEDS = ("torch", "open_clip")
_HOW = (
    "pip install 'lingshu-jax[biomedclip]', or python -m venv .venv-biomedclip; "
    ".venv-biomedclip/bin/pip install torch open_clip_torch "
    "transformers; then config.embeddings.python = '.venv-biomedclip/bin/python'"
)
_SIDE, _DIM = 32, 128  # of the stand-in's pictures and vectors
_STAND_IN_VERSION = f"stand-in: projection of {_SIDE} x {_SIDE} grey pixels to {_DIM}, seed 0"


@dataclasses.dataclass(kw_only=True)
class Config:
    """What embeds pictures.

    Attributes:
      weights: Folder of BiomedCLIP as the hub has it: open_clip_config.json, the weights, and the
        tokenizer's files. "random" is the stand-in; "" embeds nothing.
      python: Interpreter that has torch and open_clip; "" is this one.
      batch_size: Pictures at a time.
      processes: Interpreters with the model at a time, some 2 GiB each.
    """

    weights: str = ""
    python: str = ""
    batch_size: int = 32
    processes: int = 1

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        for name in ("batch_size", "processes"):
            if getattr(self, name) < 1:
                raise errors.UserError(
                    f"config.embeddings.{name} must be >= 1, got {getattr(self, name)}"
                )
        if self.has_weights:
            find_python(self.python)
            version(self)

    @property
    def is_on(self) -> bool:
        """Whether anything is embedded."""
        return bool(self.weights)

    @property
    def has_weights(self) -> bool:
        """Whether vectors mean something."""
        return self.weights not in ("", STAND_IN)


class Model(Protocol):
    """Gives vectors of length 1."""

    @property
    def scale(self) -> float:
        """By which cosines of pictures and texts are multiplied before a softmax."""
        ...

    def images(self, pictures: Sequence[Image.Image]) -> Float32[np.ndarray, "N D"]:
        """Of RGB pictures of any size, at least one."""
        ...

    def texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "N D"]:
        """Of texts, at least one."""
        ...


def version(config: Config) -> str:
    """Which vectors these are: those of one version may be compared.

    Args:
      config: Which model.

    Raises:
      UserError: If its folder or a file of it is missing.
    """
    if not config.has_weights:
        return _STAND_IN_VERSION if config.weights else ""
    return _version_of_folder(paths.local(config.weights))


@contextlib.contextmanager
def opened(config: Config) -> Iterator[Model]:
    """Lends a model.

    Args:
      config: Which.

    Raises:
      UserError: If it cannot be loaded, or ends while it works.
    """
    if not config.has_weights:
        yield StandIn()
        return
    threads = max(1, (os.cpu_count() or 1) // config.processes)
    command = [find_python(config.python), "-P", embedding_worker.__file__]
    command += [str(paths.local(config.weights)), str(threads)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        yield _Remote(process.stdin, process.stdout)


def find_python(python: str = "") -> str:
    """The interpreter that has torch and open_clip.

    Args:
      python: A path or a name; "" is this one.

    Raises:
      UserError: If it is none, or this one is meant and lacks them; says how to make one.
    """
    return interpreters.find(python, needs=_NEEDS, what="embeddings", how=_HOW)


def fit(picture: Image.Image, side: int, interpolation: str) -> Image.Image:
    """The middle of a picture whose shorter side is made so long, as open_clip prepares it.

    Args:
      picture: RGB.
      side: In pixels.
      interpolation: Pillow's name of it, in lower case.
    """
    short = min(picture.size)
    width, height = (side if edge == short else int(side * edge / short) for edge in picture.size)
    if interpolation == "bicubic":
        resized = images.resize(picture, height, width)
    else:
        resized = picture.resize((width, height), Image.Resampling[interpolation.upper()])
    left, top = round((width - side) / 2), round((height - side) / 2)
    return resized.crop((left, top, left + side, top + side))


class StandIn:
    """A random projection of small grey pictures: pictures that look alike have like vectors."""

    scale = 1.0

    def images(self, pictures: Sequence[Image.Image]) -> Float32[np.ndarray, "N D"]:
        """As of `Model`."""
        small = [
            picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
            for picture in pictures
        ]
        pixels = np.stack([np.asarray(picture, np.float64).ravel() for picture in small])
        # With a constant, so that a blank picture has a vector too.
        pixels = np.concatenate([pixels - pixels.mean(1, keepdims=True), np.ones_like(pixels)], 1)
        # Summed in one order whatever the batch is: a picture has one vector.
        return _unit(np.stack([row @ _projection() for row in pixels]))

    def texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "N D"]:
        """As of `Model`; of equal texts they are equal, and that is all."""
        draws = [np.random.default_rng(list(text.encode())).normal(size=_DIM) for text in texts]
        return _unit(np.stack(draws))


class _Remote:
    """The model of another process."""

    def __init__(self, questions: IO[bytes], answers: IO[bytes]):
        self._questions, self._answers = questions, answers
        self._about = self._read()
        self.scale = float(self._about["scale"])
        logging.info("embeddings by %s", self._about["versions"])

    def images(self, pictures: Sequence[Image.Image]) -> Float32[np.ndarray, "N D"]:
        """As of `Model`."""
        side, how = self._about["size"], self._about["interpolation"]
        pixels = np.stack([np.asarray(fit(picture, side, how)) for picture in pictures])
        return self._ask({"images": list(pixels.shape[:3])}, pixels.tobytes())

    def texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "N D"]:
        """As of `Model`."""
        return self._ask({"texts": list(texts)})

    def _ask(self, message: dict[str, Any], data: bytes = b"") -> Float32[np.ndarray, "N D"]:
        try:
            embedding_worker.send(self._questions, message, data)
        except BrokenPipeError as error:
            with contextlib.suppress(BrokenPipeError):
                self._questions.close()  # what it still holds goes nowhere
            raise _ended() from error
        shape = self._read()["shape"]
        values = self._answers.read(4 * shape[0] * shape[1])
        return np.frombuffer(values, np.float32).reshape(shape)

    def _read(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise _ended()
        message = json.loads(line)
        if "error" in message:
            raise errors.UserError(f"the model of config.embeddings.weights: {message['error']}")
        return message


def _ended() -> errors.UserError:
    return errors.UserError("the interpreter that embeds has ended; it said why above")


@functools.cache
def _version_of_folder(folder: Path) -> str:
    """The weights' own digest, and that of their config."""
    weights = next(
        (folder / name for name in embedding_worker.WEIGHTS if (folder / name).is_file()), None
    )
    config = folder / embedding_worker.CONFIG
    if weights is None or not config.is_file():
        raise errors.UserError(
            f"config.embeddings.weights: {folder} needs {embedding_worker.CONFIG} and one of "
            f"{', '.join(embedding_worker.WEIGHTS)}, with the tokenizer's files, as {PUBLISHED}"
        )
    digests = []
    for file in (config, weights):
        with file.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest()[:16])
    return f"open_clip {digests[0]} {digests[1]}"


@functools.cache
def _projection() -> Float[np.ndarray, "P D"]:
    return np.random.default_rng(0).normal(size=(2 * _SIDE * _SIDE, _DIM))


def _unit(vectors: Float[np.ndarray, "N D"]) -> Float32[np.ndarray, "N D"]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
