# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The format `swift`: the rows of ms-swift, in any of the forms that it recognises by itself.

    {"messages": [{"role": "user", "content": "<image>What?"},
                  {"role": "assistant", "content": "A lung.", "loss": true}], "images": ["a.png"]}
    {"query": "<image>What?", "response": "A lung.", "history": [["Hi", "Hello"]], "image": "a.png"}
    {"instruction": "Translate.", "input": "lung", "output": "Lunge"}
    {"system": "Be brief.", "conversation": [{"human": "Hi", "assistant": "Hello"}]}

Refused, each with its reason: tools, audio, and `objects`, because the coordinates of boxes
depend on the size that an image is resized to. ms-swift puts images without a tag in front of
the first message; here tags and images must agree.

Source: modelscope/ms-swift@3602360, docs/source_en/Customization/Custom-dataset.md,
swift/dataset/preprocessor/core.py, swift/template/template_inputs.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lingshu_jax.data import formats, formats_media, formats_messages

CONVERSATION = ("messages", "conversation", "conversations")
SYSTEM = ("system", "system_prompt")
QUERY = ("query", "prompt", "input", "instruction", "question", "problem")
RESPONSE = ("response", "answer", "output", "targets", "target", "answer_key", "answers")
RESPONSE += ("solution", "text", "completion", "content")
MEDIA = {"image": ("images", "image"), "video": ("videos", "video")}
UNREAD = ("tools", "audios", "audio", "objects")
SPEAKERS = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
}
LIMITS = ("min_pixels", "max_pixels")  # of chat_template_kwargs


def read_swift(path: Path, options: formats.Options) -> Iterator[formats.Record | formats.Refusal]:
    """Every row of a file or folder.

    Args:
      path: File or folder.
      options: See `formats.Options`.
    """
    files = formats_messages.media_files(path, options)

    def parse(row: formats.Row) -> tuple[formats.Messages, dict[str, Any]]:
        row = {key.lower(): value for key, value in row.items()}
        for name in UNREAD:
            value = row.get(name)
            if any(value.values()) if isinstance(value, dict) else value:
                raise formats.RowError(f"rows with {name} are not read")
        said, used = _conversation(row)
        media = {kind: formats_media.as_list(_one(row, MEDIA[kind])) for kind in MEDIA}
        tagged = formats_messages.with_tags(said, media, newline=options.media_newline)
        _limit(tagged, row.get("chat_template_kwargs"))
        messages = formats_messages.canonical(tagged, files, media_roles=("user", "assistant"))
        return messages, formats.without(row, *used, *MEDIA["image"], *MEDIA["video"])

    return formats.read_files(
        formats.row_files(path, options.split), parse, columns=options.columns
    )


def _conversation(row: formats.Row) -> tuple[list[dict[str, Any]], Sequence[str]]:
    """The messages, and the keys that they came from."""
    if any(row.get(name) is not None for name in CONVERSATION):
        raw = _one(row, CONVERSATION)
        return _with_system(_said(raw), row), (*CONVERSATION, *SYSTEM)
    if row.get("instruction") is not None and "input" in row:
        query = _join(row["instruction"], row["input"])
        names = tuple(name for name in QUERY if name not in ("instruction", "input"))
        if any(row.get(name) is not None for name in names):
            raise formats.RowError("instruction and input stand beside another question")
    else:
        query = _one(row, QUERY)
    said = [*formats_messages.pairs(row.get("history")), *_pair(query, _one(row, RESPONSE))]
    return _with_system(said, row), (*SYSTEM, *QUERY, *RESPONSE, "history")


def _said(raw: Any) -> list[dict[str, Any]]:
    """Messages, or pairs of what user and assistant said, under the names of canonical ones."""
    if not isinstance(raw, list) or not raw:
        raise formats.RowError("messages must be a list with at least one message")
    made = []
    for message in raw:
        if not isinstance(message, dict):
            raise formats.RowError(f"a message must be an object, got {type(message).__name__}")
        if not {"role", "from", "content", "value"} & set(message):
            users = [name for name in ("user", "human") if name in message]
            others = [name for name in ("assistant", "gpt", "bot") if name in message]
            if len(users) != 1 or len(others) != 1:
                raise formats.RowError(f"a message has a role and content; got {sorted(message)}")
            made += _pair(message[users[0]], message[others[0]])
            continue
        made.append(_message(message))
    return made


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    if message.get("tool_calls"):
        raise formats.RowError("messages with tool_calls are not read")
    speaker = _one(message, ("role", "from"))
    if not isinstance(speaker, str) or speaker not in SPEAKERS:
        raise formats.RowError(
            f"unknown role {str(speaker)[:40]!r}; allowed: {', '.join(SPEAKERS)}"
        )
    role = SPEAKERS[speaker]
    made = {"role": role, "content": _one(message, ("content", "value"))}
    if role != "assistant":
        return made  # the flags below have no effect elsewhere
    scale = message.get("loss_scale")
    if scale not in (None, 0, 1):
        raise formats.RowError(f"loss_scale must be 0 or 1, got {str(scale)[:40]}")
    flag = message.get("loss")
    if flag is None and scale is not None:
        flag = bool(scale)
    return {**made, "loss": flag}


def _pair(query: Any, response: Any) -> list[dict[str, Any]]:
    """A question and its answer; one without an answer is a prompt."""
    said = [{"role": "user", "content": query}, {"role": "assistant", "content": response}]
    for message in said:
        if not isinstance(message["content"], str | None):
            kind = type(message["content"]).__name__
            raise formats.RowError(f"what the {message['role']} says must be a string, got {kind}")
    if query is None:
        raise formats.RowError("there is no question")
    return said if response is not None else said[:1]


def _join(instruction: Any, text: Any) -> Any:
    """An instruction and its input, as ms-swift joins them."""
    if not isinstance(instruction, str) or not isinstance(text, str | None):
        raise formats.RowError("instruction and input must be strings")
    return f"{instruction}\n{text}" if instruction and text else instruction or text


def _with_system(said: list[dict[str, Any]], row: formats.Row) -> list[dict[str, Any]]:
    """The row's own system text in front, unless the messages begin with one."""
    system = _one(row, SYSTEM)
    if system is None or said[0]["role"] == "system":
        return said
    return [{"role": "system", "content": system}, *said]


def _one(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value under the first name, else under the only other one that is there."""
    if row.get(names[0]) is not None:
        return row[names[0]]
    found = [name for name in names if row.get(name) is not None]
    if len(found) > 1:
        raise formats.RowError(f"{' and '.join(found)} could each be the {names[0]}")
    return row[found[0]] if found else None


def _limit(messages: Sequence[Mapping[str, Any]], raw: Any) -> None:
    """Gives every image and video the pixel limits of its row."""
    if raw is None:
        return
    if not isinstance(raw, dict):
        raise formats.RowError(f"chat_template_kwargs must be an object, got {raw!r:.40}")
    limits = {key: raw[key] for key in LIMITS if raw.get(key) is not None}
    for message in messages:
        for part in message["content"] if isinstance(message["content"], list) else ():
            if isinstance(part, dict) and part.get("type") in formats_messages.KINDS:
                part.update(limits)
