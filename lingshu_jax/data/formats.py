# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Files that people have, read row by row into canonical messages; JSONL writing.

A reader yields a `Record` or a `Refusal` for every row of its file: nothing is skipped in
silence and nothing is repaired. `sources.read` gives them their source's name.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lingshu_jax.common import errors, prompts

ROLES = ("system", "user", "assistant")
MESSAGE_KEYS = {"role", "content", "loss"}
# Keys of a part beside its type; the pixel limits overrule the encoder's for this one image.
PART_KEYS = {
    "text": {"text"},
    "image": {"image", "min_pixels", "max_pixels"},
    "image_url": {"image_url", "min_pixels", "max_pixels"},
    "video": {"video", "fps", "min_pixels", "max_pixels"},
}


class Record(NamedTuple):
    """One good row.

    Attributes:
      line: Line of the file (1 is the first), or the place in a JSON list.
      row_id: The row's own id, else `<file stem>:<line>`.
      messages: Canonical messages: every content a list of parts, media paths absolute.
      meta: All other keys of the row.
    """

    line: int
    row_id: str
    messages: tuple[dict[str, Any], ...]
    meta: dict[str, Any]


class Refusal(NamedTuple):
    """One row that cannot be used, and why; `line` and `row_id` as in `Record`."""

    line: int
    row_id: str
    reason: str


class RowError(ValueError):
    """A row breaks a rule; the text is the reason that dropped.jsonl shows."""


Reader = Callable[[Path, Path | None, str], Iterator[Record | Refusal]]


def canonical_messages(
    raw: Any, *, base: Path, image_root: Path | None = None
) -> tuple[dict[str, Any], ...]:
    """Checks a conversation and brings it to the one form that the encoder reads.

        [{"role": "user", "content": "Hi"}]
        -> ({"role": "user", "content": [{"type": "text", "text": "Hi"}]},)

    Args:
      raw: The `messages` value of a row: content a string or a list of parts.
      base: Folder that relative media paths start from when there is no image_root.
      image_root: Folder that must contain every media file, symbolic links followed.

    Returns:
      The messages; a system message only first, then user and assistant in turn, starting
      with the user. Each part has a `type` and an absolute path or its text.

    Raises:
      RowError: If a rule is broken; the text says which.
    """
    if not isinstance(raw, list) or not raw:
        raise RowError("messages must be a list with at least one message")
    messages = tuple(_message(m, base=base, image_root=image_root) for m in raw)
    turns = messages[1:] if messages[0]["role"] == "system" else messages
    for i, message in enumerate(turns):
        expected = ROLES[1 + i % 2]
        if message["role"] != expected:
            raise RowError(f"turn {i + 1} is from {message['role']!r}, expected {expected!r}")
    if not turns:
        raise RowError("there is no user message")
    return messages


def _message(raw: Any, *, base: Path, image_root: Path | None) -> dict[str, Any]:
    if not isinstance(raw, dict) or not {"role", "content"} <= set(raw) <= MESSAGE_KEYS:
        keys = sorted(map(str, raw)) if isinstance(raw, dict) else type(raw).__name__
        raise RowError(f"a message has role, content and perhaps loss; got {keys}")
    role, content = raw["role"], raw["content"]
    if role not in ROLES:
        raise RowError(f"unknown role {role!r}; allowed: {', '.join(ROLES)}")
    loss = {"loss": raw["loss"]} if "loss" in raw else {}
    if loss and (role != "assistant" or not isinstance(raw["loss"], bool)):
        raise RowError(f"loss must be true or false, in an assistant message; got {raw['loss']!r}")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise RowError(f"{role} content must be a string or a list, got {type(content).__name__}")
    parts = [_part(p, base=base, image_root=image_root) for p in content]
    media = [p["type"] for p in parts if p["type"] != "text"]
    if media and role != "user":
        raise RowError(f"the {role} message holds {media[0]}; only user messages may")
    if not media and not "".join(p["text"] for p in parts).strip():
        raise RowError(f"the {role} message is empty")
    return {"role": role, "content": parts, **loss}


def _part(raw: Any, *, base: Path, image_root: Path | None) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise RowError(f"a content part must be an object, got {type(raw).__name__}")
    kind = raw.get("type")
    if not isinstance(kind, str) or kind not in PART_KEYS:
        raise RowError(f"unknown content part {kind!r}; allowed: {', '.join(PART_KEYS)}")
    allowed = PART_KEYS[kind]
    if kind not in raw or not set(raw) - {"type"} <= allowed:
        raise RowError(f"a {kind} part has keys {sorted(raw)}; allowed: {sorted(allowed)}")
    value = raw[kind]
    if kind == "text":
        if not isinstance(value, str):
            raise RowError(f"text must be a string, got {type(value).__name__}")
        return {"type": "text", "text": value}
    if isinstance(value, dict):  # OpenAI's {"image_url": {"url": ...}}
        value = value.get("url")
    if kind == "video":
        media = {"type": "video", "video": _video(value, base=base, image_root=image_root)}
    else:
        media = {"type": "image", "image": media_path(value, base=base, image_root=image_root)}
    return media | {key: _positive(key, raw[key]) for key in sorted(allowed & set(raw) - {kind})}


def _video(value: Any, *, base: Path, image_root: Path | None) -> str | list[str]:
    if not isinstance(value, list):
        return media_path(value, base=base, image_root=image_root, may_be_folder=True)
    if not value:
        raise RowError("a video with no frames")
    return [media_path(frame, base=base, image_root=image_root) for frame in value]


def _positive(key: str, value: Any) -> int | float:
    """A number of a media part: pixels are whole, frames a second need not be."""
    allowed = int | float if key == "fps" else int
    if isinstance(value, bool) or not isinstance(value, allowed) or not 0 < value < 1e9:
        raise RowError(f"{key} must be a positive number, got {value!r:.80}")
    return value


def media_path(
    value: Any, *, base: Path, image_root: Path | None = None, may_be_folder: bool = False
) -> str:
    """The absolute path of a media file that exists, inside `image_root` if one is given.

    Args:
      value: As in the row: a path, or a `file://` address.
      base: As in `canonical_messages`.
      image_root: As in `canonical_messages`.
      may_be_folder: True for a video, which may be a folder of frames.

    Raises:
      RowError: If it is no local path, leaves the root, or is not a file.
    """
    if not isinstance(value, str) or not value or "\0" in value:
        raise RowError(f"a media path must be a non-empty string, got {str(value)[:80]!r}")
    text = value.removeprefix("file://")
    if text.startswith(("http://", "https://", "data:")):
        raise RowError(f"only local files are read, got {text[:60]!r}")
    root = base if image_root is None else image_root
    path = root / text
    try:
        resolved = path.resolve()
        is_found = resolved.is_file() or (may_be_folder and resolved.is_dir())
    except OSError as error:  # a name too long, a loop of links
        raise RowError(f"cannot open {text[:200]}: {error.strerror}") from error
    if image_root is not None and not resolved.is_relative_to(image_root.resolve()):
        raise RowError(f"{text} is outside the image root {image_root}")
    if not is_found:
        raise RowError(f"no such file: {text} (looked in {root})")
    return str(resolved)


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """The objects of a JSONL file, or of a `.json` file that holds a list, with their places.

    Args:
      path: The file; blank lines of JSONL are no rows.

    Yields:
      (line, object), or (line, the reason why that line is not an object).

    Raises:
      UserError: If the file is missing, or a `.json` file is not a list.
    """
    if not path.is_file():
        raise errors.UserError(f"no such file: {path}")
    if path.suffix == ".json":
        rows = _parse(path.read_bytes())
        if not isinstance(rows, list):
            why = rows if isinstance(rows, RowError) else type(rows).__name__
            raise errors.UserError(f"{path} must hold a JSON list of rows: {why}")
        pairs = ((i, row) for i, row in enumerate(rows, start=1))
    else:
        pairs = _lines(path)
    for line, row in pairs:
        if not isinstance(row, dict | RowError):
            row = RowError(f"a row must be an object, got {type(row).__name__}")
        yield line, row


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            if raw.strip():
                yield line, _parse(raw)


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:  # bad UTF-8 is a ValueError too
        return RowError(f"broken JSON: {error}")


def read_messages(path: Path, image_root: Path | None, split: str) -> Iterator[Record | Refusal]:
    """Rows `{"id", "messages": [...], anything else}`; the file is one split already.

    Args:
      path: A JSONL file, or a `.json` list.
      image_root: As in `canonical_messages`; None: relative to the file.
      split: Ignored: a `messages` file has no splits of its own.
    """
    del split
    for line, row in read_rows(path):
        row_id = _row_id(row, path, line)
        if isinstance(row, RowError):
            yield Refusal(line, row_id, str(row))
            continue
        try:
            messages = canonical_messages(
                row.get("messages"), base=path.parent, image_root=image_root
            )
        except RowError as error:
            yield Refusal(line, row_id, str(error))
            continue
        meta = {k: v for k, v in row.items() if k not in ("id", "messages")}
        yield Record(line, row_id, messages, meta)


def _row_id(row: dict[str, Any] | RowError, path: Path, line: int) -> str:
    own = None if isinstance(row, RowError) else row.get("id")
    return str(own) if isinstance(own, str | int) and own != "" else f"{path.stem}:{line}"


def read_vqa_rad(path: Path, image_root: Path | None, split: str) -> Iterator[Record | Refusal]:
    """VQA-RAD in its published layout: trainset.json, testset.json, images/.

    Args:
      path: The folder.
      image_root: Folder of the images; None: `images` in the folder.
      split: "train" or "test".

    Source: Lau et al. 2018, https://osf.io/89kps. The prompts are MedEvalKit's, so that
    training and evaluation use the same words; ten golds are numbers and become strings.
    """
    file = path / f"{split}set.json"
    images = path / "images" if image_root is None else image_root
    for line, row in read_rows(file):
        row_id = f"vqa_rad/{split}/{line}"
        if isinstance(row, RowError):
            yield Refusal(line, row_id, str(row))
            continue
        try:
            yield _vqa_rad_record(row, line=line, row_id=row_id, images=images)
        except RowError as error:
            yield Refusal(line, row_id, str(error))


def _vqa_rad_record(row: dict[str, Any], *, line: int, row_id: str, images: Path) -> Record:
    missing = {"question", "answer", "image_name"} - set(row)
    if missing:
        raise RowError(f"missing keys: {', '.join(sorted(missing))}")
    # In the words of the copy that MedEvalKit asks: lower case, no blank before "?".
    answer = str(row["answer"]).strip().lower()
    closed = answer in ("yes", "no")
    asked = re.sub(r"\s+\?", "?", str(row["question"]).strip().lower())
    question = prompts.ask(asked, prompts.YES_NO if closed else prompts.OPEN)
    image = {"type": "image", "image": row["image_name"]}
    turns = [
        {"role": "user", "content": [image, {"type": "text", "text": question}]},
        {"role": "assistant", "content": answer},
    ]
    meta = {
        "answer": answer,
        "answer_type": "yes_no" if closed else "open",
        "kind": str(row.get("question_type", "")).strip(),
        "image_id": str(row["image_name"]),
        "qid": row.get("qid"),
    }
    return Record(line, row_id, canonical_messages(turns, base=images, image_root=images), meta)


FORMATS: dict[str, Reader] = {
    "messages": read_messages,
    "vqa_rad": read_vqa_rad,
}


def reader(name: str) -> Reader:
    """The reader of a format word.

    Raises:
      UserError: If the word is unknown; the known ones are listed.
    """
    if name not in FORMATS:
        raise errors.UserError(f"unknown format {name!r}; known: {', '.join(sorted(FORMATS))}")
    return FORMATS[name]


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Writes rows, one object a line; the file appears complete or not at all.

    Args:
      path: The file; its folder is made.
      rows: JSON objects.

    Returns:
      The number of rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    count = 0
    try:
        with partial.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(_dump(row) + "\n")
                count += 1
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _dump(row: dict[str, Any]) -> str:
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: only the escaped form can be written
        text = json.dumps(row)
    return text
