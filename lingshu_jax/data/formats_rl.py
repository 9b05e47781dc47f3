# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The formats `verl` and `easyr1`: questions whose answers can be verified.

    verl    {"data_source": "rad", "prompt": [{"role": "user", "content": "<image>Is it?"}],
             "images": [{"bytes": B, "path": null}], "ability": "vqa",
             "reward_model": {"style": "rule", "ground_truth": "yes"}, "extra_info": {...}}
    easyr1  {"problem": "<image>Is it?", "answer": "yes", "images": ["a.png"]}

The gold answer goes to `answer` and `answer_type` of the meta, where rewards look for it, and
stands as the assistant's turn, which prompts of reinforcement learning and evaluation cut off.
A verl row with `messages` instead of `prompt` is one of its fine-tuning files. A gold may stand
as `<answer>B</answer>`, in a list, or as `{"target": ["B"]}`; these are golds of verl's own data
sets. Of an open answer the list goes on with its `aliases`, which are right as well.

Sources: verl-project/verl@1dda039, verl/utils/dataset/{rl_dataset,multiturn_sft_dataset}.py and
examples/data_preprocess/{geo3k,openr1mm,tinyllava_video_r1,preprocess_search_r1_dataset}.py;
hiyouga/EasyR1@b44b311, verl/utils/dataset.py.
"""

import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lingshu_jax.common import answers
from lingshu_jax.data import formats, formats_media, formats_messages

MEDIA = {"image": "images", "video": "videos"}
VERL_COLUMNS = ("prompt", "messages", "images", "videos", "reward_model")
EASYR1_COLUMNS = ("problem", "answer", "images", "videos")
GOLD_COLUMNS = ("answer_type", "options")
# Options at the beginnings of lines: "A. left", "(B) right".
OPTION = re.compile(r"^\s*\(?([A-Z])[.):]\s*(\S.*?)\s*$", re.MULTILINE)
# Options in a line: "(A) left (B) right", up to its end.
INLINE = re.compile(
    r"(?<!\S)\(([A-Z])\)[ \t]+([^\n]+?)[ \t,;]*(?=(?<!\S)\([A-Z]\)[ \t]|$)", re.MULTILINE
)
# The letter of an option as a gold: "B", "(B)", "B.", "B. right".
LETTER = re.compile(r"\(?([A-Z])[.):]*(?:(?<=[.):])\s*(?P<text>\S.*))?")
ANSWER = re.compile(r"<answer>(.*)</answer>", re.DOTALL)
PIXELS = ("min_pixels", "max_pixels")


def read_verl(path: Path, options: formats.Options) -> Iterator[formats.Record | formats.Refusal]:
    """Every row of a Parquet or JSON file, or of a folder of them.

    Args:
      path: File or folder.
      options: See `formats.Options`.
    """
    files = formats_messages.media_files(path, options)

    def parse(row: formats.Row) -> tuple[formats.Messages, dict[str, Any]]:
        for column in ("tools", "audios"):
            if row.get(column):
                raise formats.RowError(f"rows with {column} are not read")
        is_prompt = row.get("prompt") is not None
        said = _messages(row.get("prompt" if is_prompt else "messages"))
        tagged = formats_messages.with_tags(said, _media(row), newline=options.media_newline)
        gold: dict[str, Any] = {}
        if is_prompt:
            gold = _gold_of_last(said, _ground_truth(row), {**_extra(row), **row})
            tagged.append({"role": "assistant", "content": gold["answer"]})
        meta = formats.without(row, "prompt", "messages", "images", "videos", *GOLD_COLUMNS)
        return formats_messages.canonical(tagged, files), {**meta, **gold}

    return formats.read_files(
        formats.row_files(path, options.split), parse, columns=options.columns
    )


def read_easyr1(path: Path, options: formats.Options) -> Iterator[formats.Record | formats.Refusal]:
    """Every row of a Parquet or JSON file, or of a folder of them.

    Args:
      path: File or folder.
      options: See `formats.Options`; `columns` are EasyR1's `prompt_key` and the like.
    """
    files = formats_messages.media_files(path, options)

    def parse(row: formats.Row) -> tuple[formats.Messages, dict[str, Any]]:
        problem = row.get("problem")
        if not isinstance(problem, str):
            raise formats.RowError(f"problem must be a string, got {type(problem).__name__}")
        asked = [{"role": "user", "content": problem}]
        tagged = formats_messages.with_tags(asked, _media(row), newline=options.media_newline)
        gold = gold_of(row.get("answer"), row, problem)
        tagged.append({"role": "assistant", "content": gold["answer"]})
        meta = formats.without(row, *EASYR1_COLUMNS, *GOLD_COLUMNS)
        return formats_messages.canonical(tagged, files), {**meta, **gold}

    return formats.read_files(
        formats.row_files(path, options.split), parse, columns=options.columns
    )


def gold_of(answer: Any, row: Mapping[str, Any], question: str) -> dict[str, Any]:
    """What rewards read: the gold answer, its type, and its options where it has any.

    The row's own `answer_type` and `options` come first. Without them, the letter or the text of an
    option that the question lists is "choice", and `answers.infer_type` says the rest. Several
    numbers or boxes are one open answer with its aliases.

    Args:
      answer: The gold answer, see the top of this file.
      row: Its row.
      question: As asked.

    Raises:
      RowError: If there is no answer, or a value is of the wrong type.
    """
    gold, *aliases = [_text_of(value) for value in _values_of(answer)]
    answer_type, options = row.get("answer_type"), row.get("options")
    if not isinstance(answer_type, str | None):
        raise formats.RowError(f"answer_type must be a string, got {answer_type!r:.40}")
    if options is not None and (
        not isinstance(options, list) or not all(isinstance(text, str) for text in options)
    ):
        raise formats.RowError(f"options must be a list of strings, got {options!r:.40}")
    listed = options or []
    if not listed and answer_type in (None, "choice"):
        gold, listed = _chosen(gold, _listed(question))
    answer_type = answer_type or _type_of(gold, listed, has_aliases=bool(aliases))
    if aliases and answer_type != "open":
        raise formats.RowError(f"{1 + len(aliases)} golds, but one is allowed of {answer_type!r}")
    return {
        "answer": gold,
        "answer_type": answer_type,
        **({"options": listed} if listed else {}),
        **({"aliases": aliases} if aliases else {}),
    }


def _values_of(answer: Any) -> list[Any]:
    """The golds of a row; the first is the one that stands as its answer."""
    value = answer.get("target") if isinstance(answer, dict) and len(answer) == 1 else answer
    values = value if isinstance(value, list) else [value]
    if not values:
        raise formats.RowError("the answer is empty")
    return values


def _text_of(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise formats.RowError(f"the answer must be text or a number, got {value!r:.40}")
    text = str(value).strip()
    inside = ANSWER.fullmatch(text)
    gold = inside[1].strip() if inside else text
    if not gold:
        raise formats.RowError("the answer is empty")
    return gold


def _type_of(gold: str, options: list[str], *, has_aliases: bool) -> str:
    """As the judge types it."""
    kind = answers.infer_type(gold, options)
    return "open" if has_aliases and kind in ("number", "box") else kind


def _chosen(gold: str, listed: list[str]) -> tuple[str, list[str]]:
    """The letter or the text of the option that a gold is, and the options; else no options."""
    found = LETTER.fullmatch(gold)
    place = string.ascii_uppercase.index(found[1]) if found else len(listed)
    if found and place < len(listed) and found["text"] in (None, listed[place]):
        return found[1], listed
    return gold, listed if gold in listed else []


def _listed(question: str) -> list[str]:
    """Options that stand in the question, A first and none left out; else nothing."""
    for pattern in (OPTION, INLINE):
        found = pattern.findall(question)
        letters = "".join(letter for letter, _ in found)
        start = max(letters.rfind("A"), 0)  # "vitamin (A)" may stand before them
        if len(letters) - start >= 2 and string.ascii_uppercase.startswith(letters[start:]):
            return [text for _, text in found[start:]]
    return []


def _gold_of_last(
    said: list[dict[str, Any]], answer: Any, row: Mapping[str, Any]
) -> dict[str, Any]:
    """The gold of a prompt's last message."""
    if said[-1]["role"] != "user":
        raise formats.RowError("the prompt must end with a user message")
    asked = said[-1]["content"]
    return gold_of(answer, row, asked if isinstance(asked, str) else "")


def _messages(raw: Any) -> list[dict[str, Any]]:
    """Messages whose other keys, nulls of a Parquet column, have no meaning."""
    if not isinstance(raw, list) or not raw:
        raise formats.RowError("prompt must be a list with at least one message")
    for message in raw:
        if not isinstance(message, dict) or not {"role", "content"} <= set(message):
            raise formats.RowError("a message of the prompt must have role and content")
        if message.get("tool_calls"):
            raise formats.RowError("messages with tool_calls are not read")
    return [{"role": message["role"], "content": message["content"]} for message in raw]


def _ground_truth(row: Mapping[str, Any]) -> Any:
    reward = row.get("reward_model")
    if not isinstance(reward, dict):
        raise formats.RowError(f"reward_model must be an object, got {type(reward).__name__}")
    return reward.get("ground_truth")


def _extra(row: Mapping[str, Any]) -> dict[str, Any]:
    extra = row.get("extra_info")
    return extra if isinstance(extra, dict) else {}


def _media(row: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {
        kind: [_with_limits(value, kind) for value in formats_media.as_list(row.get(column))]
        for kind, column in MEDIA.items()
    }


def _with_limits(value: Any, kind: str) -> Any:
    """An image of bytes or a path that brings its own pixel limits, as `with_tags` reads it."""
    limits = [name for name in PIXELS if isinstance(value, dict) and value.get(name) is not None]
    if not limits or value.get(kind) is not None:
        return value
    content = {name: item for name, item in value.items() if name not in PIXELS}
    return {kind: content, **{name: value[name] for name in limits}}
