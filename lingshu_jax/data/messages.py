# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Conversations to tokens, loss weights, positions and media, and tokens back to text.

The chat markup and the visual tokens are written as ids by this module, so text that merely
spells a control token stays text. A message is `<|im_start|>`, the role, a newline, the content,
`<|im_end|>`, a newline; an image is `<|vision_start|>`, its visual tokens, `<|vision_end|>`. The
role's line and the text after it are tokenised together, as transformers does with its template,
except in the assistant's turn, where training has to see the prompt that generation will see.
What of it is trained says `targets.py`; it changes loss weights only, never tokens.

Axes: N tokens of one conversation.
"""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from jaxtyping import Float32, Int32
from PIL import Image

from lingshu_jax.common import errors, tokens
from lingshu_jax.common import geometry as geometry_lib
from lingshu_jax.data import images, processor, targets, tokenizer

ROLES = ("system", "user", "assistant")
DEFAULT_FPS = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """One conversation, ready to be packed; pixels are still files.

    Attributes:
      id: Name of the row it came from.
      source_id: Index of its source in the mixture.
      tokens: Token ids.
      loss_weights: 1 on tokens to be learned as targets, 0 elsewhere; the first is 0.
      positions: M-RoPE positions (time, row, column).
      media: Its images and videos, in order.
      extras: Further values per token, for reinforcement learning.
    """

    id: str
    source_id: int
    tokens: Int32[np.ndarray, " N"]
    loss_weights: Float32[np.ndarray, " N"]
    positions: Int32[np.ndarray, "3 N"]
    media: tuple[images.Media, ...] = ()
    extras: Mapping[str, Float32[np.ndarray, " N"]] = dataclasses.field(default_factory=dict)

    @property
    def num_tokens(self) -> int:
        """Tokens, visual ones included."""
        return len(self.tokens)

    @property
    def num_patches(self) -> int:
        """Patches of all its media."""
        return sum(media.grid.t * media.grid.h * media.grid.w for media in self.media)

    @property
    def next_position(self) -> int:
        """Position of the token that would follow, on all three axes."""
        return int(self.positions.max(initial=-1)) + 1


def extend(
    encoded: Encoded,
    completion_tokens: Sequence[int] | np.ndarray,
    *,
    loss_weights: Float32[np.ndarray, " M"],
    extras: Mapping[str, Float32[np.ndarray, " M"]] | None = None,
) -> Encoded:
    """Appends sampled tokens to a prompt, ids as they are.

    Args:
      encoded: The prompt.
      completion_tokens: M ids, the stop token included.
      loss_weights: Weight of each of them as a target.
      extras: Further values for each of them; 0 where one of the two has none.

    Returns:
      Prompt and completion; positions go on by one a token.
    """
    added = np.asarray(completion_tokens, np.int32)
    assert len(added) == len(loss_weights), "one loss weight a completion token"
    positions = np.arange(encoded.next_position, encoded.next_position + len(added), dtype=np.int32)
    before, after = (np.zeros(n, np.float32) for n in (encoded.num_tokens, len(added)))
    extras = extras or {}
    return dataclasses.replace(
        encoded,
        tokens=np.concatenate([encoded.tokens, added]),
        loss_weights=np.concatenate([encoded.loss_weights, loss_weights]),
        positions=np.concatenate([encoded.positions, np.stack([positions] * 3)], axis=1),
        extras={
            name: np.concatenate([encoded.extras.get(name, before), extras.get(name, after)])
            for name in sorted({*encoded.extras, *extras})
        },
    )


class Encoder:
    """Encodes conversations with the tokenizer and the geometry of a Hugging Face folder.

    Attributes:
      geometry: Patch, cell and window sizes, from the folder's config.
      special: Ids of the special tokens.
      eos_ids: Ids that end a generation, from the folder's generation config.
      vocab_size: Ids the tokenizer knows; the embedding table may be larger.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        min_pixels: int,
        max_pixels: int,
        max_tokens: int | None = None,
        blank_images: bool = False,
    ) -> None:
        """Loads the tokenizer.

        Args:
          folder: Hugging Face folder with tokenizer.json, or vocab.json and merges.txt.
          min_pixels: Images are resized to at least this area; a frame of a video too.
          max_pixels: And to at most this area.
          max_tokens: Longer conversations are refused; None allows any length.
          blank_images: Greys out every image, sizes and tokens unchanged.

        Raises:
          UserError: If the folder has no tokenizer or the limits make no sense.
        """
        if not 0 < min_pixels <= max_pixels:
            raise errors.UserError(
                f"0 < min_pixels <= max_pixels must hold, got {min_pixels} and {max_pixels}"
            )
        folder = Path(folder)
        self.min_pixels, self.max_pixels = min_pixels, max_pixels
        self.max_tokens, self.blank_images = max_tokens, blank_images
        self._tokenizer = tokenizer.load(folder)
        self.special = tokens.SpecialIds.from_vocab(self._tokenizer.token_to_id)
        self.vocab_size: int = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self.geometry = _read_geometry(folder)
        self.eos_ids = _read_eos_ids(folder) or (self.special.im_end, self.special.pad)

    @classmethod
    def from_folder(cls, folder: Path, *, blank_images: bool = False) -> "Encoder":
        """With the image sizes that the folder itself names.

        Args:
          folder: As above, with a preprocessor's file or without.
          blank_images: As above.

        Raises:
          UserError: As above.
        """
        limits = processor.read_pixel_limits(folder)
        return cls(
            folder,
            min_pixels=limits.smallest,
            max_pixels=limits.largest,
            blank_images=blank_images,
        )

    def encode(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        train: bool = True,
        train_on: targets.TrainOn = "all",
        generation_prompt: bool = False,
        id: str = "",
        source_id: int = 0,
    ) -> Encoded:
        """Encodes a conversation; image sizes are read from file headers.

        Args:
          messages: Canonical messages: role and content, a string or a list of parts. A default
            system message is put before them where the first is not one. `"loss": False` in an
            assistant's message leaves it untrained.
          train: False gives every token the weight 0.
          train_on: Which tokens have the weight 1 otherwise, see `targets.py`.
          generation_prompt: Ends with the open assistant's turn.
          id: Name of the row, for error messages.
          source_id: Index of the source in the mixture.

        Returns:
          The encoded conversation.

        Raises:
          UserError: If a message is malformed, an image unreadable, or the whole too long.
            One in which nothing is trained is refused by `targets.require`, not here.
        """
        draft = _Draft()
        whole = list(_with_system(messages))
        contents = [runs(message) for message in whole]
        chosen = targets.find(whole, train_on) if train else [None] * len(whole)
        for message, content, target in zip(whole, contents, chosen, strict=True):
            self._add_message(draft, message["role"], content, target=target)
        if generation_prompt:
            draft.add([self.special.im_start, *self.text_ids("assistant\n")])
        if self.max_tokens is not None and len(draft.tokens) > self.max_tokens:
            raise errors.UserError(
                f"conversation has {len(draft.tokens)} tokens, max_tokens is {self.max_tokens}"
            )
        spans = [media.span for media in draft.media]
        return Encoded(
            id=id,
            source_id=source_id,
            tokens=np.asarray(draft.tokens, np.int32),
            loss_weights=np.asarray(draft.loss_weights, np.float32),
            positions=geometry_lib.mrope_positions(len(draft.tokens), spans, self.geometry),
            media=tuple(draft.media),
        )

    def fingerprint(self) -> str:
        """Digest of everything that the encoding depends on: tokenizer, sizes and options."""
        known = {name: repr(value) for name, value in vars(self).items() if name != "_tokenizer"}
        whole = json.dumps(known, sort_keys=True) + self._tokenizer.to_str()
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()

    def decode(self, token_ids: Sequence[int] | np.ndarray, skip_special: bool = True) -> str:
        """Text of tokens; control tokens are left out unless `skip_special` is False."""
        return self._tokenizer.decode([int(i) for i in token_ids], skip_special_tokens=skip_special)

    def text_ids(self, text: str) -> list[int]:
        """Ids of plain text; control tokens spelled in it stay text."""
        return self._tokenize(text).ids

    def _tokenize(self, text: str) -> tokenizers.Encoding:
        """Ids of a text, and the place of each in it."""
        try:
            return self._tokenizer.encode(text, add_special_tokens=False)
        except TypeError as error:
            raise errors.UserError(f"text is not valid Unicode: {text[:40]!r}") from error

    def _add_message(
        self,
        draft: "_Draft",
        role: str,
        runs: list[str | Mapping[str, Any]],
        *,
        target: targets.Target | None,
    ) -> None:
        """Appends one message to the draft."""
        if target and not any(isinstance(run, str) and run.strip() for run in runs):
            raise errors.UserError("an assistant message to be trained is empty")
        header, first = f"{role}\n", runs[0]
        if role != "assistant" and isinstance(first, str):
            header, runs = header + first, runs[1:]
        draft.add([self.special.im_start, *self.text_ids(header)])
        place = 0
        for run in runs:
            if isinstance(run, str):
                draft.add(*self._weighted(run, target, place))
                place += len(run)
            else:
                self._add_media(draft, run)
        is_whole = target is not None and target.is_whole
        draft.add([self.special.im_end, *self.text_ids("\n")], float(is_whole))

    def _weighted(
        self, text: str, target: targets.Target | None, place: int
    ) -> tuple[list[int], float | list[float]]:
        """Ids of a text that starts at a place of its message, and their loss weights."""
        found = self._tokenize(text)
        if target is None or target.is_whole:
            return found.ids, float(target is not None)
        return found.ids, target.weights(found.offsets, offset=place)

    def _add_media(self, draft: "_Draft", part: Mapping[str, Any]) -> None:
        """Appends an image or video with as many pads as it has visual tokens."""
        is_video = part["type"] == "video"
        image = part[part["type"]]
        image = tuple(image) if isinstance(image, list) else image
        shape = images.read_shape(image, is_video=is_video)
        grid = geometry_lib.image_grid(
            shape.height,
            shape.width,
            min_pixels=part.get("min_pixels", self.min_pixels),
            max_pixels=part.get("max_pixels", self.max_pixels),
            geometry=self.geometry,
        )._replace(t=-(-shape.num_frames // self.geometry.temporal_patch_size))
        fps = part.get("fps", shape.fps or DEFAULT_FPS)
        seconds = self.geometry.temporal_patch_size / fps
        draft.add([self.special.vision_start])
        draft.media.append(
            images.Media(
                start=len(draft.tokens),
                grid=grid,
                image=image,
                seconds_per_grid=seconds if is_video else None,
                blank=self.blank_images,
            )
        )
        pad = self.special.video_pad if is_video else self.special.image_pad
        draft.add([pad] * self.geometry.num_tokens(grid))
        draft.add([self.special.vision_end])


class _Draft:
    """Tokens of a conversation while it is being written."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.loss_weights: list[float] = []
        self.media: list[images.Media] = []

    def add(self, ids: list[int], weights: float | list[float] = 0.0) -> None:
        """Appends tokens, of one weight or each of its own."""
        self.tokens += ids
        self.loss_weights += weights if isinstance(weights, list) else [weights] * len(ids)


def _with_system(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The messages, checked for their roles, behind a system message."""
    if not messages:
        raise errors.UserError("a conversation needs at least one message, got none")
    for place, message in enumerate(messages):
        role = message.get("role")
        if role not in ROLES:
            raise errors.UserError(f"message role must be one of {', '.join(ROLES)}, got {role!r}")
        if place == 0 and role != "system":
            yield {"role": "system", "content": tokens.DEFAULT_SYSTEM}
        yield message


def runs(message: Mapping[str, Any]) -> list[str | Mapping[str, Any]]:
    """Content of a message as strings and media parts; neighbouring texts are joined.

    Args:
      message: Canonical.

    Returns:
      At least a first text, perhaps empty; then parts and texts in turn.

    Raises:
      UserError: If a part is none that this project knows.
    """
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, Sequence):
        raise errors.UserError(f"message content must be a string or a list, got {content!r:.80}")
    runs: list[str | Mapping[str, Any]] = [""]
    for part in content:
        _check_part(part)
        last = runs[-1]
        if part["type"] != "text":
            runs.append(part)
        elif isinstance(last, str):
            runs[-1] = last + part["text"]
        else:
            runs.append(part["text"])
    return runs


def _check_part(part: Any) -> None:
    """Refuses anything but a text, image or video part with a value of the right type."""
    file = (str, bytes)
    allowed = {"text": str, "image": (*file, Image.Image), "video": (*file, list, tuple)}
    kind = part.get("type") if isinstance(part, Mapping) else part
    if not isinstance(kind, str) or kind not in allowed:
        raise errors.UserError(f"a content part must be text, image or video, got {kind!r:.80}")
    value = part.get(kind)
    frames = value if isinstance(value, list | tuple) else [value]
    if not isinstance(value, allowed[kind]) or not all(
        isinstance(frame, allowed["image"]) for frame in frames
    ):
        raise errors.UserError(
            f"a part of type {kind!r} needs a field {kind!r} that holds a"
            f" {'string' if kind == 'text' else 'path or picture'}, got {value!r:.80}"
        )
    fps = part.get("fps", DEFAULT_FPS)
    if not isinstance(fps, (int, float)) or not 0 < fps < math.inf:
        raise errors.UserError(f"fps of a video must be a positive number, got {fps!r:.80}")


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON file with an object, or nothing where it is absent."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise errors.UserError(f"{path} is not valid JSON: {error}") from error
    _check(isinstance(found, dict), str(path), found, "an object")
    return found


def _read_eos_ids(folder: Path) -> tuple[int, ...]:
    """Ids that end a generation; none where the folder names none."""
    path = folder / "generation_config.json"
    eos = _read_json(path).get("eos_token_id")
    listed = [] if eos is None else eos if isinstance(eos, list) else [eos]
    for token in listed:
        _check(type(token) is int, f"{path}: eos_token_id", eos, "a token id or a list of them")
    return tuple(listed)


def _read_geometry(folder: Path) -> geometry_lib.VisionGeometry:
    """Geometry from config.json; keys that older files lack take the released model's values."""
    place = f"{folder / 'config.json'}: vision_config"
    vision = _read_json(folder / "config.json").get("vision_config", {})
    _check(isinstance(vision, dict), place, vision, "an object")
    names = {field.name: field.name for field in dataclasses.fields(geometry_lib.VisionGeometry)}
    names["merge_size"] = "spatial_merge_size"
    if "patch_size" not in vision:
        names["patch_size"] = "spatial_patch_size"
    found = {ours: vision[theirs] for ours, theirs in names.items() if theirs in vision}
    for ours, value in found.items():
        kinds = (int, float) if ours == "tokens_per_second" else (int,)
        is_positive = type(value) in kinds and 0 < value < math.inf
        _check(is_positive, f"{place}: {names[ours]}", value, "a positive number")
        found[ours] = float(value) if float in kinds else value
    made = geometry_lib.VisionGeometry(**found)
    _check(made.window_cells > 0, f"{place}: window_size", made.window_size, f">= {made.factor}")
    preprocessor = _read_json(folder / "preprocessor_config.json")
    for name in ("patch_size", "temporal_patch_size", "merge_size"):
        if preprocessor.get(name, getattr(made, name)) != getattr(made, name):
            raise errors.UserError(
                f"{folder}: preprocessor_config.json has {name} {preprocessor[name]},"
                f" config.json has {getattr(made, name)}"
            )
    return made


def _check(condition: bool, name: str, value: Any, allowed: str) -> None:
    if not condition:
        raise errors.UserError(f"{name} must be {allowed}, got {json.dumps(value)[:80]}")
