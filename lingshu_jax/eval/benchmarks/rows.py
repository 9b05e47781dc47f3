# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Any file of conversations with gold answers, as a benchmark.

A row is what training reads, `{"id", "messages": [...], "answer", "answer_type", "options"}`; a
last assistant turn is left out of the prompt. The prompt is asked as it stands in the file. An
answer of the type "report" is measured by the metrics of reports, and has no verdict.
"""

import dataclasses
from pathlib import Path
from typing import Any

from lingshu_jax.common import answers, errors
from lingshu_jax.data import formats, formats_messages
from lingshu_jax.eval import benchmark
from lingshu_jax.eval import card as card_lib


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of one JSONL file, in its order.

    Attributes:
      name: Its name in tables.
      file: Absolute, or relative to the data folder.
      rule: None, for each row has its own answer type.
    """

    name: str
    file: str
    rule: str | None = None

    @property
    def card(self) -> card_lib.Card:
        """Its name, and no facts that could be checked."""
        return card_lib.Card(name=self.name, title=self.name, family="multimodal")

    def load(self, data_dir: Path | None) -> list[benchmark.Sample]:
        """Reads every row; an unusable one is an error, a test set does not shrink in silence.

        Raises:
          UserError: If the file is missing or a row is malformed.
        """
        path = (data_dir or Path()) / self.file
        samples = []
        for row in formats_messages.read_messages(path, formats.Options()):
            if isinstance(row, formats.Refusal):
                raise errors.UserError(f"{self.name}: {path} line {row.line}: {row.reason}")
            samples.append(self._sample(path, row))
        return samples

    def _sample(self, path: Path, row: formats.Record) -> benchmark.Sample:
        where = f"{self.name}: {path} line {row.line}"
        gold, options = row.meta.get("answer"), row.meta.get("options") or []
        answer_type = row.meta.get("answer_type")
        if not isinstance(gold, str | int | float) or isinstance(gold, bool):
            raise errors.UserError(f"{where}: answer must be a string or number, got {gold!r:.80}")
        if answer_type not in answers.ANSWER_TYPES:
            raise errors.UserError(
                f"{where}: answer_type must be one of {answers.ANSWER_TYPES}, got {answer_type!r}"
            )
        if not isinstance(options, list) or not all(isinstance(o, str) for o in options):
            raise errors.UserError(
                f"{where}: options must be a list of strings, got {options!r:.80}"
            )
        if answer_type == "report":  # which has no verdict, so that nobody else looks at it
            answers.check_gold(str(gold), answer_type=answer_type)
        is_choice, is_report = answer_type in ("choice", "choices"), answer_type == "report"
        lettered = tuple(f"{chr(ord('A') + i)}. {text}" for i, text in enumerate(options))
        return benchmark.Sample(
            id=row.row_id,
            question=_last_text(row.messages),
            gold=str(gold),
            answer_type=answer_type,
            rule="choice" if is_choice else "report" if is_report else "vqa",
            messages=_prompt(row.messages),
            options=tuple(options),
            choices=lettered if is_choice else (),
            group=str(row.meta.get("image_id", "")),
            scoring="report" if is_report else "verdict",
        )


def _prompt(messages: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """The messages without a last assistant turn."""
    return messages[:-1] if messages[-1]["role"] == "assistant" else messages


def _last_text(messages: tuple[dict[str, Any], ...]) -> str:
    """The text of the last user message."""
    last = [message for message in messages if message["role"] == "user"][-1]
    return "\n".join(part["text"] for part in last["content"] if part["type"] == "text").strip()
