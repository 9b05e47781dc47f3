# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""The format `llava`: LLaVA's json, also as JSON lines.

    {"id": "7", "image": "a.png", "conversations": [
        {"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A lung."}]}

`image` and `video` are a path or a list of paths. Only human turns are searched for tags. A row
may be a list of such rows, as Qwen's packing tool writes them: each is read by itself.

Sources: QwenLM/Qwen3-VL@9658872, qwen-vl-finetune/qwenvl/data/data_processor.py;
2U1/Qwen-VL-Series-Finetune@93fef86, src/dataset/data_utils.py.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingshu_jax.data import formats, formats_media, formats_messages

SPEAKERS = {
    "human": "user",
    "gpt": "assistant",
    "system": "system",
    "user": "user",
    "assistant": "assistant",
}


def read_llava(path: Path, options: formats.Options) -> Iterator[formats.Record | formats.Refusal]:
    """Every row of a file or folder.

    Args:
      path: File or folder.
      options: See `formats.Options`.
    """
    files = formats_messages.media_files(path, options)

    def parse(row: formats.Row) -> tuple[formats.Messages, dict[str, Any]]:
        said = formats_messages.turns(row.get("conversations"), SPEAKERS)
        media = {kind: formats_media.as_list(row.get(kind)) for kind in formats_messages.KINDS}
        tagged = formats_messages.with_tags(
            said, media, newline=options.media_newline, roles=("user",)
        )
        meta = formats.without(row, "conversations", "image", "video")
        return formats_messages.canonical(tagged, files), meta

    for file in formats.row_files(path, options.split):
        for line, value in formats.read_values(file):
            place = f"{file.stem}:{line}"
            rows = value if isinstance(value, list) and value else [value]
            for number, row in enumerate(rows, start=1):
                row_id = place if rows is not value else f"{place}.{number}"
                yield formats.make_record(
                    row, parse, line=line, row_id=row_id, columns=options.columns
                )
