# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Special tokens and chat markup of Qwen2.5-VL, which data, models and engines all need."""

import dataclasses
from collections.abc import Callable

from lingshu_jax.common import errors

# Hidden when text is decoded, and never made from the text of a message.
CONTROL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Added after the vocabulary as well, but ordinary text: "special" is false for them.
TEXT_TOKENS = (
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
# All added tokens, in the order of their ids: 151643 ... 151664 in the released tokenizer.
SPECIAL_TOKENS = CONTROL_TOKENS + TEXT_TOKENS

DEFAULT_SYSTEM = "You are a helpful assistant."

# What `messages.Encoder` does with ids, as text, for tools that take a Jinja template.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if loop.first and message['role'] != 'system' -%}"
    "{{- '<|im_start|>system\\n" + DEFAULT_SYSTEM + "<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- if message['content'] is string -%}"
    "{{- message['content'] -}}"
    "{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' or 'image' in part or 'image_url' in part -%}"
    "{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}"
    "{%- elif part['type'] == 'video' or 'video' in part -%}"
    "{{- '<|vision_start|><|video_pad|><|vision_end|>' -}}"
    "{%- elif 'text' in part -%}"
    "{{- part['text'] -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}"
    "{{- '<|im_start|>assistant\\n' -}}"
    "{%- endif -%}"
)


@dataclasses.dataclass(frozen=True)
class SpecialIds:
    """Ids of the special tokens that the code itself writes or bans."""

    pad: int
    im_start: int
    im_end: int
    vision_start: int
    vision_end: int
    vision_pad: int
    image_pad: int
    video_pad: int

    @classmethod
    def from_vocab(cls, lookup: Callable[[str], int | None]) -> "SpecialIds":
        """Looks every id up by the token's text.

        Args:
          lookup: Id of a token, or None where the vocabulary lacks it.

        Returns:
          The ids.

        Raises:
          UserError: If tokens are missing; all of them are listed.
        """
        names = {field.name: f"<|{field.name}|>" for field in dataclasses.fields(cls)}
        names["pad"] = "<|endoftext|>"
        found = {field: lookup(token) for field, token in names.items()}
        ids = {field: token_id for field, token_id in found.items() if token_id is not None}
        missing = [names[field] for field in found if field not in ids]
        if missing:
            raise errors.UserError(f"the tokenizer lacks the special tokens {', '.join(missing)}")
        return cls(**ids)
