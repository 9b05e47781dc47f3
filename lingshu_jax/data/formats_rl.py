# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The formats `verl` and `easyr1`: questions whose answers can be verified.

    verl    {"data_source": "rad", "prompt": [{"role": "user", "content": "<image>Is it?"}],
             "images": [{"bytes": B, "path": null}], "ability": "vqa",
             "reward_model": {"style": "rule", "ground_truth": "yes"}, "extra_info": {...}}
    easyr1  {"problem": "<image>Is it?", "answer": "yes", "images": ["a.png"]}

The gold answer goes to `answer` and `answer_type` of the meta, where rewards look for it, and
stands as the assistant's turn, which prompts of reinforcement learning and evaluation cut off.
A verl row with `messages` instead of `prompt` is one of its fine-tuning files.

Sources: verl-project/verl@b178a3c, verl/utils/dataset/{rl_dataset,multiturn_sft_dataset}.py;
hiyouga/EasyR1@b44b311, verl/utils/dataset.py.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lingshu_jax.data import formats, formats_media, formats_messages

MEDIA = {"image": "images", "video": "videos"}
VERL_COLUMNS = ("prompt", "messages", "images", "videos", "reward_model")
EASYR1_COLUMNS = ("problem", "answer", "images", "videos")
GOLD_COLUMNS = ("answer_type", "options")
# A number alone; "3 masses" or "2 \\sqrt{3}" is open text to the judge.
NUMBER = re.compile(r"[-+]?(\d[\d,]*(\.\d+)?|\.\d+)\s*%?")
# Options at the beginnings of lines: "A. left", "(B) right".
OPTION = re.compile(r"^\s*\(?([A-Z])[.):]\s*(\S.*?)\s*$", re.MULTILINE)


def read_verl(path: Path, options: formats.Options) -> Iterator[formats.Record | formats.Refusal]:
    """Every row of a Parquet or JSON file, or of a folder of them.

    Args:
      path: File or folder.
      options: See `formats.Options`.
    """
    files = formats_messages.media_files(path, options)

    def parse(row: formats.Row) -> tuple[formats.Messages, dict[str, Any]]:
        if row.get("tools") is not None:
            raise formats.RowError("rows with tools are not read")
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

    The row's own `answer_type` and `options` come first. Without them, yes and no are "yes_no", a
    number alone is "number", a letter of the options that the question lists is "choice", and
    everything else is "open".

    Args:
      answer: The gold answer.
      row: Its row.
      question: As asked.

    Raises:
      RowError: If there is no answer, or a value is of the wrong type.
    """
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        raise formats.RowError(f"the answer must be text or a number, got {answer!r:.40}")
    gold = str(answer).strip()
    if not gold:
        raise formats.RowError("the answer is empty")
    answer_type, options = row.get("answer_type"), row.get("options")
    if not isinstance(answer_type, str | None):
        raise formats.RowError(f"answer_type must be a string, got {answer_type!r:.40}")
    if options is not None and (
        not isinstance(options, list) or not all(isinstance(text, str) for text in options)
    ):
        raise formats.RowError(f"options must be a list of strings, got {options!r:.40}")
    listed = options or []
    if not listed and len(gold) == 1 and gold.isupper():
        listed = _listed(question)
        listed = listed if ord(gold) - ord("A") < len(listed) else []
    return {
        "answer": gold,
        "answer_type": answer_type or _type_of(gold, listed),
        **({"options": listed} if listed else {}),
    }


def _type_of(gold: str, options: list[str]) -> str:
    if options:
        return "choice"
    if gold.lower().rstrip(".") in ("yes", "no"):
        return "yes_no"
    return "number" if NUMBER.fullmatch(gold) else "open"


def _listed(question: str) -> list[str]:
    """Options that stand in the question's lines, A first and none left out; else nothing."""
    found = OPTION.findall(question)
    letters = "".join(letter for letter, _ in found)
    is_complete = len(found) >= 2 and letters == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(found)]
    return [text for _, text in found] if is_complete else []


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
    return {kind: formats_media.as_list(row.get(column)) for kind, column in MEDIA.items()}
