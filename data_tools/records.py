# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A row as a record of a shard: a `tf.train.Example`, which TFDS reads, and format `tfds` of ours.

    id         <source>/<16 digits>, from `shard_id`
    source     name of its source
    modality   of its pictures, "" where it is not known
    messages   JSON, with the places of pictures and clips, as {"type": "image"}
    images     the files of its pictures, in the order of the messages
    video      those of the frames of its clip
    meta_json  what can be checked, and where a made row is from: `KEPT`, as JSON

What else the publisher says of a row stays behind, file names and names of patients with it.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from data_tools import filter_texts, picture_files, splits
from data_tools import rows as rows_lib
from lingshu_jax.common import errors

VERSION = 1
# Of the publisher's columns, and what doctors said of a made row.
KEPT = ("answer", "answer_type", "options", "aliases", "kind", "review")
PROVENANCE = "provenance"  # of a made row: from what, and how
PARENTS = "parents"
_PIXELS_CACHED = 64  # pictures whose files are kept for the rows that follow


def features() -> Any:
    """The columns, as TFDS names them.

    Raises:
      UserError: If it is not installed.
    """
    tfds = load_tfds()
    text, image = tfds.features.Text, tfds.features.Image
    return tfds.features.FeaturesDict(
        {
            **{name: text() for name in ("id", "source", "modality", "messages", "meta_json")},
            "images": tfds.features.Sequence(image()),
            "video": tfds.features.Sequence(image()),
        }
    )


def load_tfds() -> Any:
    """TensorFlow Datasets, without TensorFlow.

    Raises:
      UserError: If it is not installed.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise errors.UserError(
            "writing shards needs tensorflow-datasets: pip install 'lingshu-jax[data]'"
        ) from error
    return tfds


def encoder(train_on: Mapping[str, str], region: str) -> Callable[[rows_lib.Row], bytes]:
    """What turns rows into records; equal rows give equal bytes.

    Args:
      train_on: Of the sources, by name: "all" answers or the "last" one.
      region: As in `filter_texts.personal`.
    """
    from tensorflow_datasets.core import example_serializer

    columns = features()
    serializer = example_serializer.ExampleSerializer(columns.get_serialized_info())
    embed = functools.lru_cache(maxsize=_PIXELS_CACHED)(picture_files.embed)

    def encode(row: rows_lib.Row) -> bytes:
        try:
            found = [embed(medium) for medium in row.media]
        except errors.UserError as error:
            raise errors.UserError(f"row {row.id}: {error}") from error
        images = [
            one.files[0]
            for one, medium in zip(found, row.media, strict=True)
            if medium.kind == "image"
        ]
        clips = [
            one.files
            for one, medium in zip(found, row.media, strict=True)
            if medium.kind != "image"
        ]
        values = {
            "id": shard_id(row.id),
            "source": row.source,
            "modality": str(row.facts.get("modality") or ""),
            "messages": rows_lib.dump(_messages(row, found, train_on[row.source])),
            "images": images,
            "video": [*clips[0]] if clips else [],
            "meta_json": rows_lib.dump(kept_meta(row, region)),
        }
        # The serializer's own bytes would have the columns in any order.
        example = serializer.get_tf_example(columns.encode_example(values))
        return example.SerializeToString(deterministic=True)

    return encode


def shard_id(row_id: str) -> str:
    """The name of a row in shards: ids of publishers may name a patient or a file.

    Args:
      row_id: Of the row in the curation.
    """
    source, _, own = row_id.partition("/")
    return f"{source}/{splits.number(own):016x}"


def kept_meta(row: rows_lib.Row, region: str) -> dict[str, Any]:
    """What shards keep of a row's other columns; identifiers are masked as in its texts.

    Args:
      row: Any.
      region: As in `filter_texts.personal`.
    """
    found = {name: row.meta[name] for name in KEPT if row.meta.get(name) not in (None, [], "")}
    provenance = row.meta.get(PROVENANCE)
    if isinstance(provenance, dict):
        named = {k: v for k, v in provenance.items() if k != PARENTS}
        found[PROVENANCE] = {**named, PARENTS: [shard_id(one) for one in splits.parents(row)]}
    return _masked(found, region) if "masked" in row.facts else found


def _masked(value: Any, region: str) -> Any:
    if isinstance(value, str):
        return filter_texts.mask(value, filter_texts.personal(value, region=region))
    if isinstance(value, list):
        return [_masked(item, region) for item in value]
    if isinstance(value, dict):
        return {key: _masked(item, region) for key, item in value.items()}
    return value


def _messages(
    row: rows_lib.Row, found: list[picture_files.Embedded], train_on: str
) -> list[dict[str, Any]]:
    """The messages with empty places for media, and the flags of answers that are not trained."""
    answers = [i for i, message in enumerate(row.messages) if message["role"] == "assistant"]
    made = []
    for place, message in enumerate(row.messages):
        content = [_part(part, found) for part in message["content"]]
        untrained = train_on == "last" and place in answers[:-1]
        made.append({**message, "content": content, **({"loss": False} if untrained else {})})
    return made


def _part(part: dict[str, Any], found: list[picture_files.Embedded]) -> dict[str, Any]:
    kind = part["type"]
    if kind == "text":
        return part
    fps = found[part[kind]].fps
    own = {key: value for key, value in part.items() if key != kind}
    return {**({"fps": fps} if kind == "video" and fps else {}), **own}
