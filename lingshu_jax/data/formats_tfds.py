# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The format `tfds`: a prepared data set of TensorFlow Datasets, read without TensorFlow.

    columns={"question": "q", "answer": "label"}     where the data set has other names

The columns are `messages` (JSON text, or a sequence of role and content), or `question` and
`answer`; `image` or `images`, `video` (a sequence of images), `id`, `options`, `answer_type`.
Images stand where the text has tags, else in front of the question with nothing between. Labels
become their names. Images stay encoded, as they lie in the file. Beside `messages`, `meta_json` may
hold the row's other columns as a JSON object, as mixtures of curation have it.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lingshu_jax.common import errors
from lingshu_jax.data import formats, formats_media, formats_messages, formats_rl

FEATURES = "features.json"
META = "meta_json"
COLUMNS = ("id", "messages", "question", "answer", "image", "images", "video")
COLUMNS += formats_rl.GOLD_COLUMNS
Convert = Callable[[Any], Any]


def read_tfds(path: Path, options: formats.Options) -> Iterator[formats.Record | formats.Refusal]:
    """Every example of a split.

    Args:
      path: The prepared folder, `<name>/<version>` with features.json, or one above it.
      options: `split` may be any that TFDS knows, as "validation" or "train[:10%]".

    Raises:
      UserError: If there is no such folder or split, or it is not stored for random access.
    """
    folder = _folder(path)
    files = formats_messages.media_files(folder, options)

    def parse(row: formats.Row) -> tuple[formats.Messages, dict[str, Any]]:
        said = _conversation(row)
        tagged = formats_messages.with_tags(said, _media(row), newline=options.media_newline)
        if row.get("messages") is None:
            meta = formats_rl.gold_of(row.get("answer"), row, row["question"])
            tagged.append({"role": "assistant", "content": meta["answer"]})
        else:
            meta = _other_columns(row)
        left = formats.without(row, *COLUMNS, *([META] if row.get("messages") is not None else []))
        return formats_messages.canonical(tagged, files), {**left, **meta}

    for line, value in _values(folder, options.split):
        row_id = f"{folder.parent.name}/{options.split}:{line}"
        yield formats.make_record(value, parse, line=line, row_id=row_id, columns=options.columns)


def row_files(path: Path, options: formats.Options) -> list[Path]:
    """All files of the data set.

    Args:
      path: As in `read_tfds`.
      options: Any.
    """
    del options
    return sorted(file for file in _folder(path).iterdir() if file.is_file())


def _folder(path: Path) -> Path:
    found = sorted(path.rglob(FEATURES))
    if len(found) != 1:
        places = ", ".join(str(file.parent.relative_to(path)) for file in found)
        raise errors.UserError(
            f"{path} must hold one prepared TFDS data set; found {places or f'no {FEATURES}'}"
        )
    return found[0].parent


def _values(folder: Path, split: str) -> Iterator[tuple[int, Any]]:
    """The examples of a split as rows, with their places."""
    try:
        import tensorflow_datasets as tfds
        from google.protobuf import json_format, message
    except ImportError as error:
        raise errors.UserError(
            f"{folder}: reading TFDS needs it; pip install 'lingshu-jax[data]'"
        ) from error

    class Encoded(tfds.decode.SkipDecoding):
        """Leaves images encoded, also those of a sequence."""

        def decode_batch_example_np(self, serialized_example: Any) -> list[Any]:
            return list(serialized_example)

    broken = (json_format.Error, message.Error, IndexError, KeyError, NotImplementedError)
    broken += (OSError, RuntimeError, TypeError, ValueError)
    try:
        builder: Any = tfds.builder_from_directory(str(folder))
        features: dict[str, Any] = dict(builder.info.features)
        pictures = {
            name: Encoded()
            for name, feature in features.items()
            if isinstance(getattr(feature, "feature", feature), tfds.features.Image)
        }
        found = builder.as_data_source(split=split, decoders=pictures)
    except broken as error:
        raise errors.UserError(f"{folder}: {formats.one_line(error)}") from error
    converts = {
        name: _converter(feature, tfds)
        for name, feature in features.items()
        if name not in pictures
    }
    for place in range(len(found)):
        try:
            example = found[place]
            row: Any = {
                name: converts[name](value) if name in converts else value
                for name, value in example.items()
            }
        except broken as error:
            row = formats.RowError(f"damaged example: {error}")
        yield place + 1, row


def _converter(feature: Any, tfds: Any) -> Convert:
    """How a value becomes one that JSON knows."""
    return feature.int2str if isinstance(feature, tfds.features.ClassLabel) else _text


def _text(value: Any) -> Any:
    """Bytes as text, arrays as lists, and all of it inside lists and dicts."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, dict):
        return {key: _text(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return _text(value.tolist())
    return [_text(item) for item in value] if isinstance(value, list) else value


def _conversation(row: formats.Row) -> list[dict[str, Any]]:
    """The messages, or the question with a tag for each image that it does not place itself."""
    if row.get("messages") is not None:
        return _messages(row["messages"])
    question = row.get("question")
    if not isinstance(question, str):
        raise formats.RowError(f"question must be a string, got {type(question).__name__}")
    if not formats_messages.TAG.search(question):
        tags = [f"<{kind}>" * len(values) for kind, values in _media(row).items()]
        question = "".join([*tags, question])
    return [{"role": "user", "content": question}]


def _messages(raw: Any) -> list[dict[str, Any]]:
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError as error:
            raise formats.RowError(f"messages hold broken JSON: {error}") from error
    elif isinstance(raw, dict) and set(raw) == {"role", "content"}:  # how TFDS keeps sequences
        pairs = zip(raw["role"], raw["content"], strict=True)
        raw = [{"role": role, "content": content} for role, content in pairs]
    if not isinstance(raw, list) or not all(isinstance(message, dict) for message in raw):
        raise formats.RowError("messages must be a list of role and content")
    return raw


def _other_columns(row: formats.Row) -> dict[str, Any]:
    raw = row.get(META)
    if raw is None:
        return {}
    try:
        found = json.loads(raw)
    except (TypeError, ValueError) as error:
        raise formats.RowError(f"{META} holds broken JSON: {error}") from error
    if not isinstance(found, dict):
        raise formats.RowError(f"{META} must hold an object, got {type(found).__name__}")
    return found


def _media(row: formats.Row) -> dict[str, list[Any]]:
    images = [*formats_media.as_list(row.get("image")), *formats_media.as_list(row.get("images"))]
    frames = formats_media.as_list(row.get("video"))
    return {"image": images, "video": [frames] if frames else []}
