# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Adapters of conversations in LLaVA's form and near it.

They differ from the format `llava` in that a row may name pictures for which its text has no tag:
they are then shown first, one line each, as the publishers' own training does.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_tools.adapters import reading
from lingshu_jax.data import formats, formats_llava, formats_media, formats_messages

# LLaVA-Med has a spelling of its own in some files.
_CONVERSATIONS = ("conversations", "conversatons")
_PICTURES = ("image", "images")
_TAG = "<image>"


def _rows_with(part: str) -> Any:
    """Gives what a row means; `part` is "all", "text" or "pictures", and others are refused."""

    def make(place: reading.Place) -> formats.Parse:
        def parse(row: formats.Row) -> tuple[formats.Messages, dict[str, Any]]:
            shown = [one for name in _PICTURES for one in formats_media.as_list(row.get(name))]
            if part == "text" and shown:
                raise formats.RowError("the row has a picture; this source is of text alone")
            if part == "pictures" and not shown:
                raise formats.RowError("the row has no picture; this source is of such rows")
            said = _with_tags(_turns(row), len(shown))
            tagged = formats_messages.with_tags(
                said, {"image": shown}, newline=place.options.media_newline, roles=("user",)
            )
            meta = formats.without(row, *_CONVERSATIONS, *_PICTURES, "messages")
            return formats_messages.canonical(tagged, place.media), meta

        return parse

    return make


def _turns(row: formats.Row) -> list[dict[str, Any]]:
    if "messages" in row:
        return formats_messages.turns(
            row["messages"], formats_llava.SPEAKERS, role_key="role", content_key="content"
        )
    said = next((row[name] for name in _CONVERSATIONS if name in row), None)
    return formats_messages.turns(said, formats_llava.SPEAKERS)


def _with_tags(said: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The turns with tags in front of the first question, if there is no tag at all."""
    asked = [turn for turn in said if turn["role"] == "user"]
    if count and asked and not any(_TAG in turn["content"] for turn in asked):
        asked[0]["content"] = f"{_TAG}\n" * count + asked[0]["content"]
    return said


def _rows(file: Path) -> Iterator[reading.Pair]:
    """Rows by their place alone: ids of LLaVA's sets are those of pictures and occur again."""
    for place, value in reading.values(file):
        if isinstance(value, dict):
            value = {name: cell for name, cell in value.items() if name != "id"}
        yield place, value


def _adapter(
    *files: tuple[str, ...], pictures: tuple[str, ...] = (), part: str = "all"
) -> reading.Adapter:
    return reading.Adapter(files=files, parse=_rows_with(part), rows=_rows, pictures=pictures)


_LLAVA_MED = ("images", "data/images")
_MIX = ("llava_v1_5_mix665k.json",)
ADAPTERS = {
    "llava_med_alignment": _adapter(
        ("llava_med_alignment_500k.json",),
        ("alignment/llava_med_alignment_500k.json",),
        ("data/alignment/llava_med_alignment_500k.json",),
        pictures=_LLAVA_MED,
    ),
    "llava_med_en": _adapter(
        ("llava_med_instruct_60k_inline_mention.json",),
        ("instruct/llava_med_instruct_60k_inline_mention.json",),
        ("data/instruct/llava_med_instruct_60k_inline_mention.json",),
        pictures=_LLAVA_MED,
    ),
    "llava_med_zh": _adapter(("data/train-*.parquet",), ("train-*.parquet",)),
    "pubmedvision_alignment": _adapter(("PubMedVision_Alignment_VQA.json",)),
    "pubmedvision_instruct": _adapter(("PubMedVision_InstructionTuning_VQA.json",)),
    "quilt_llava_pretrain": _adapter(("quilt_pretrain.json",), pictures=("quilt_1m",)),
    "quilt_llava_instruct": _adapter(
        ("quilt_instruct_107k.json",), pictures=("quilt_instruct", "quilt_1m")
    ),
    "llava_1_5_captions": _adapter(("blip_laion_cc_sbu_558k.json",), pictures=("images",)),
    "llava_1_5_text": _adapter(_MIX, part="text"),
    "llava_1_5_multimodal": _adapter(_MIX, pictures=("images",), part="pictures"),
    "allava": _adapter(("allava_laion/*.json", "allava_vflan/*.json", "allava_text/*.json")),
}
