# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The canonical conversation, the formats `messages` and `array_record`, and image tags in text.

    {"id": "7", "messages": [
        {"role": "user", "content": [{"type": "image", "image": "a.png"},
                                     {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": "A lung."}]}

All formats become this. Text is text: `<image>` means an image only in formats that say so, and
they go through `with_tags` first.
"""

import collections
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lingshu_jax.data import formats, formats_media

ROLES = ("system", "user", "assistant")
MESSAGE_KEYS = {"role", "content", "loss", "weight"}
# Keys of a part beside its type; the pixel limits overrule the encoder's for this one image.
PART_KEYS = {
    "text": {"text"},
    "image": {"image", "min_pixels", "max_pixels"},
    "image_url": {"image_url", "min_pixels", "max_pixels"},
    "video": {"video", "fps", "min_pixels", "max_pixels"},
}
KINDS = ("image", "video")
TAG = re.compile(r"(<image>|<video>)")
TAG_AND_NEWLINES = re.compile(r"\n?(<image>|<video>)\n?")
MEDIA_COLUMNS = ("image", "images", "video", "videos")


def read_messages(
    path: Path, options: formats.Options
) -> Iterator[formats.Record | formats.Refusal]:
    """Rows `{"id", "messages": [...], anything else}`.

    Args:
      path: File or folder.
      options: `media_newline` and `dataset` have no meaning here.
    """
    files = formats.row_files(path, options.split)
    return formats.read_files(files, _parser(path, options), options.columns)


def read_array_record(
    path: Path, options: formats.Options
) -> Iterator[formats.Record | formats.Refusal]:
    """The same rows, each the JSON of one record of an ArrayRecord file of any name.

    Args:
      path: File or folder.
      options: As in `read_messages`.
    """
    parse = _parser(path, options)
    for file in formats.row_files(path, options.split):
        for line, value in formats.read_array_record(file):
            row_id = f"{file.stem}:{line}"
            yield formats.make_record(
                value, parse, line=line, row_id=row_id, columns=options.columns
            )


def media_files(path: Path, options: formats.Options) -> formats_media.MediaFiles:
    """The media of a source; without an image root, paths start from its folder.

    Args:
      path: File or folder of the source.
      options: As its reader is given them.
    """
    root = options.image_root or (path if path.is_dir() else path.parent)
    return formats_media.MediaFiles(root, allow_outside=options.allow_outside)


def canonical(
    raw: Any, files: formats_media.MediaFiles, *, media_roles: Sequence[str] = ("user",)
) -> formats.Messages:
    """Checks a conversation and brings it to the one form that the encoder reads.

        [{"role": "user", "content": "Hi"}]
        -> ({"role": "user", "content": [{"type": "text", "text": "Hi"}]},)

    Args:
      raw: The `messages` value of a row: content a string or a list of parts. A null counts as
        absent. OpenAI's `weight` of 0 or 1 is the same as `loss` false or true.
      files: Where media lie.
      media_roles: Whose messages may hold media.

    Returns:
      The messages; a system message only first, then user and assistant in turn, starting
      with the user. Each part has a `type` and a path, a picture or its text.

    Raises:
      RowError: If a rule is broken; the text says which.
    """
    if not isinstance(raw, list) or not raw:
        raise formats.RowError("messages must be a list with at least one message")
    messages = tuple(_message(m, files, media_roles) for m in raw)
    turns = messages[1:] if messages[0]["role"] == "system" else messages
    for i, message in enumerate(turns):
        expected = ROLES[1 + i % 2]
        if message["role"] != expected:
            raise formats.RowError(
                f"turn {i + 1} is from {message['role']!r}, expected {expected!r}"
            )
    if not turns:
        raise formats.RowError("there is no user message")
    return messages


def turns(
    raw: Any, speakers: Mapping[str, str], *, role_key: str = "from", content_key: str = "value"
) -> list[dict[str, Any]]:
    """Turns of text with other names for their keys and speakers, as messages.

        [{"from": "human", "value": "Hi"}] -> [{"role": "user", "content": "Hi"}]

    Args:
      raw: The conversation of a row.
      speakers: Role of each speaker.
      role_key: Key of the speaker.
      content_key: Key of the text; other keys of a turn have no meaning.

    Raises:
      RowError: If it is no list of such turns.
    """
    if not isinstance(raw, list) or not raw:
        raise formats.RowError("the conversation must be a list with at least one turn")
    made = []
    for turn in raw:
        if not isinstance(turn, dict):
            raise formats.RowError(f"a turn must be an object, got {type(turn).__name__}")
        speaker, text = turn.get(role_key), turn.get(content_key)
        if not isinstance(speaker, str) or speaker not in speakers:
            raise formats.RowError(
                f"unknown role {str(speaker)[:40]!r}; allowed: {', '.join(speakers)}"
            )
        if not isinstance(text, str):
            raise formats.RowError(f"{content_key} must be a string, got {type(text).__name__}")
        made.append({"role": speakers[speaker], "content": text})
    return made


def pairs(raw: Any) -> list[dict[str, Any]]:
    """Earlier turns as `[[question, answer], ...]`, as messages; None is none.

    Args:
      raw: The `history` value of a row.

    Raises:
      RowError: If it is anything else.
    """
    if raw is None:
        return []
    if not isinstance(raw, list) or not all(isinstance(p, list) and len(p) == 2 for p in raw):
        raise formats.RowError("history must be a list of [question, answer]")
    return [
        {"role": role, "content": text}
        for pair in raw
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]


def with_tags(
    messages: Sequence[Mapping[str, Any]],
    media: Mapping[str, Sequence[Any]],
    *,
    newline: formats.MediaNewline,
    roles: Sequence[str] = ROLES,
) -> list[dict[str, Any]]:
    r"""Puts images and videos in the place of their tags, in order.

        [{"role": "user", "content": "<image>\nWhat?"}] with one image
        -> [{"role": "user", "content": [{"type": "image", "image": I},
                                         {"type": "text", "text": "\nWhat?"}]}]

    Args:
      messages: Content a string or a list of parts; a media part without a value takes the next
        one as a tag does.
      media: Values by kind, as in the row; a dict with a key of that kind brings its own limits.
      newline: What happens around a tag in a user message: "keep" leaves the text as it is,
        "swallow_one" takes one newline on either side away, and "strip" all blanks and newlines
        at the ends of every piece of text, tag or not.
      roles: In whose messages a tag means an image; elsewhere it is text.

    Returns:
      Messages whose contents are lists of parts, for `canonical`.

    Raises:
      RowError: If there are more tags than media, or fewer, or nothing but media.
    """
    made = [
        {**message, "content": _pieces(message, newline)}
        if message.get("role") in roles
        else dict(message)
        for message in messages
    ]
    contents = [m["content"] for m in made if isinstance(m.get("content"), list)]
    parts = [part for content in contents for part in content]
    waiting = collections.Counter(part["type"] for part in parts if _is_waiting(part))
    for kind in KINDS:
        if waiting[kind] != len(media.get(kind, ())):
            raise formats.RowError(
                f"{waiting[kind]} <{kind}> in the text, but {len(media.get(kind, ()))} {kind}s"
            )
    if waiting.total() and not any(_says(message) for message in made):
        raise formats.RowError("the row has no text, only media")
    left = {kind: iter(media.get(kind, ())) for kind in KINDS}
    for part in parts:
        if _is_waiting(part):
            value = next(left[part["type"]])
            own = isinstance(value, dict) and part["type"] in value
            part.update(value if own else {part["type"]: value})
    return made


def _parser(path: Path, options: formats.Options) -> formats.Parse:
    files = media_files(path, options)

    def parse(row: formats.Row) -> tuple[formats.Messages, dict[str, Any]]:
        if "messages" not in row and "conversations" in row:
            raise formats.RowError("the row has 'conversations', no messages: that is format llava")
        beside = [name for name in MEDIA_COLUMNS if row.get(name)]
        if beside:
            raise formats.RowError(
                f"the row has {beside[0]!r} beside its messages: that is format swift"
            )
        messages = canonical(row.get("messages"), files, media_roles=("user", "assistant"))
        return messages, formats.without(row, "messages")

    return parse


def _message(
    raw: Any, files: formats_media.MediaFiles, media_roles: Sequence[str]
) -> dict[str, Any]:
    message = _without_nulls(raw) if isinstance(raw, dict) else raw
    if not isinstance(message, dict) or not {"role", "content"} <= set(message) <= MESSAGE_KEYS:
        keys = sorted(map(str, message)) if isinstance(message, dict) else type(raw).__name__
        raise formats.RowError(f"a message has role, content and perhaps loss; got {keys}")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise formats.RowError(f"unknown role {str(role)[:40]!r}; allowed: {', '.join(ROLES)}")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise formats.RowError(
            f"{role} content must be a string or a list, got {type(content).__name__}"
        )
    parts = [single for raw in content for single in formats_media.single(_part(raw, files))]
    media = [part["type"] for part in parts if part["type"] != "text"]
    if media and role not in media_roles:
        raise formats.RowError(
            f"the {role} message holds {media[0]}; only {', '.join(media_roles)} messages may"
        )
    if (not media or role == "assistant") and not _text(parts).strip():
        raise formats.RowError(f"the {role} message is empty")
    return {"role": role, "content": parts, **_loss(message)}


def _loss(message: Mapping[str, Any]) -> dict[str, bool]:
    """The flag of a message that says whether it is trained, where it has one."""
    if "loss" not in message and "weight" not in message:
        return {}
    flag = message["loss"] if "loss" in message else message["weight"]
    is_flag = isinstance(flag, bool) if "loss" in message else flag in (0, 1)
    if message["role"] != "assistant" or not is_flag:
        raise formats.RowError(
            f"loss must be true or false, in an assistant message; got {str(flag)[:40]!r}"
        )
    return {"loss": bool(flag)}


def _part(raw: Any, files: formats_media.MediaFiles) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise formats.RowError(f"a content part must be an object, got {type(raw).__name__}")
    part = _without_nulls(raw)
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in PART_KEYS:
        raise formats.RowError(
            f"unknown content part {str(kind)[:40]!r}; allowed: {', '.join(PART_KEYS)}"
        )
    allowed = PART_KEYS[kind]
    if kind not in part or not set(part) - {"type"} <= allowed:
        raise formats.RowError(f"a {kind} part has keys {sorted(part)}; allowed: {sorted(allowed)}")
    value = part[kind]
    if kind == "text":
        if not isinstance(value, str):
            raise formats.RowError(f"text must be a string, got {type(value).__name__}")
        return {"type": "text", "text": value}
    limits = {key: _positive(key, part[key]) for key in sorted(allowed & set(part) - {kind})}
    if kind == "video":
        return {"type": "video", "video": files.video(value), **limits}
    return {"type": "image", "image": files.picture(value), **limits}


def _positive(key: str, value: Any) -> int | float:
    """A number of a media part: pixels are whole, frames a second need not be."""
    allowed = int | float if key == "fps" else int
    if isinstance(value, bool) or not isinstance(value, allowed) or not 0 < value < 1e9:
        raise formats.RowError(f"{key} must be a positive number, got {str(value)[:40]!r}")
    return value


def _without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if item is not None}


def _text(parts: Sequence[Mapping[str, Any]]) -> str:
    return "".join(part["text"] for part in parts if part["type"] == "text")


def _says(message: Mapping[str, Any]) -> bool:
    """Whether a message of user or assistant has any text."""
    content = message.get("content")
    texts = [content]
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
    return message.get("role") != "system" and any(
        isinstance(text, str) and text.strip() for text in texts
    )


def _is_waiting(part: Any) -> bool:
    """Whether a part is an image or video whose value comes from the row's list."""
    return isinstance(part, dict) and part.get("type") in KINDS and part.get(part["type"]) is None


def _pieces(message: Mapping[str, Any], newline: formats.MediaNewline) -> Any:
    """Content with its tags as parts; what is no text or part is left for `canonical`."""
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        return content
    rule = newline if message.get("role") == "user" else "keep"
    return [piece for part in content for piece in _split(part, rule)]


def _split(part: Any, newline: formats.MediaNewline) -> list[Any]:
    if not isinstance(part, dict) or not isinstance(part.get("text"), str):
        return [dict(part) if isinstance(part, dict) else part]
    pattern = TAG_AND_NEWLINES if newline == "swallow_one" else TAG
    found: list[Any] = []
    for place, piece in enumerate(pattern.split(part["text"])):
        if place % 2:
            found.append({"type": piece.strip("<>")})
        elif text := piece.strip() if newline == "strip" else piece:
            found.append({"type": "text", "text": text})
    return found
