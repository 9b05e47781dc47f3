# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""An engine of this machine that makes no answer twice: the cache of `answer_cache.py` before it.

A question is all that decides its answer: what the model is (not what it is called), messages with
the content of every picture, sampling. Equal questions of one call are asked once. Processes that
ask the same question at the same moment each make the answer, and the last one is kept.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from PIL import Image

from lingshu_jax.data import volume_files
from lingshu_jax.engines import answer_cache, protocol

Asked = TypeVar("Asked", protocol.Request, protocol.ScoreRequest)
Answered = TypeVar("Answered", protocol.Completion, protocol.Score)
_OF_SAMPLING = ("temperature", "top_p", "top_k", "seed")  # mean nothing to a greedy answer


class Cached:
    """Another engine with a cache before it; it is made when an answer is not there."""

    def __init__(
        self,
        make: Callable[[], protocol.Engine],
        folder: pathlib.Path,
        made_with: Mapping[str, Any],
    ):
        """Makes the folder.

        Args:
          make: Makes the engine, at most once; it is closed with this one.
          folder: Of the answers; may be shared.
          made_with: All of the engine that decides an answer, in JSON values.

        Raises:
          UserError: If the folder is a file.
        """
        self._make, self._made_with = make, dict(made_with)
        self._made: protocol.Engine | None = None
        self._cache = answer_cache.AnswerCache(folder)
        self._found = 0

    def generate(
        self,
        requests: Sequence[protocol.Request],
        *,
        on_result: protocol.OnCompletions | None = None,
    ) -> list[list[protocol.Completion]]:
        """As of `protocol.Generator`."""

        def answer(asked: Sequence[protocol.Request], **how: Any) -> list[list[Any]]:
            return self._engine().generate(asked, **how)

        return self._serve(requests, on_result, answer=answer, read=_read_completion)

    def score(
        self,
        requests: Sequence[protocol.ScoreRequest],
        *,
        on_result: protocol.OnScores | None = None,
    ) -> list[list[protocol.Score]]:
        """As of `protocol.Engine`."""

        def answer(asked: Sequence[protocol.ScoreRequest], **how: Any) -> list[list[Any]]:
            return self._engine().score(asked, **how)

        return self._serve(requests, on_result, answer=answer, read=_read_score)

    def stream(self, request: protocol.Request) -> Iterator[protocol.Delta]:
        """As of `protocol.Engine`; the cache is not asked, and keeps nothing."""
        return self._engine().stream(request)

    def used(self) -> protocol.Used:
        """As of `protocol.Metered`."""
        engine = self._made
        used = engine.used() if isinstance(engine, protocol.Metered) else protocol.Used()
        return used._replace(cached=used.cached + self._found)

    def close(self) -> None:
        """Closes the engine, if it was needed."""
        if self._made is not None:
            self._made.close()

    def _engine(self) -> protocol.Engine:
        if self._made is None:
            self._made = self._make()
        return self._made

    def _serve(
        self,
        requests: Sequence[Asked],
        on_result: Callable[[int, list[Answered] | protocol.Failure], object] | None,
        *,
        answer: Callable[..., list[list[Answered]]],
        read: Callable[[Mapping[str, Any]], Answered],
    ) -> list[list[Answered]]:
        call: _Call[Answered] = _Call([request.id for request in requests], on_result)
        for place, request in enumerate(requests):
            key = self._key(request)
            kept = None if key in call.places else self._cache.get(key, 0)
            if kept is None:
                call.places.setdefault(key, []).append(place)
            else:
                self._found += 1
                call.put(place, [read(one) for one in kept["answers"]])
        asked = list(call.places)

        def take(number: int, result: list[Answered] | protocol.Failure) -> None:
            key = asked[number]
            if not isinstance(result, protocol.Failure):
                kept = {"answers": [dataclasses.asdict(one) for one in result]}
                self._cache.put(key, 0, kept)
                self._found += len(call.places[key]) - 1
            call.put_all(key, result)

        wanted = [requests[places[0]] for places in call.places.values()]
        if wanted and on_result is not None:
            answer(wanted, on_result=take)
        elif wanted:  # which raises where one fails
            for number, result in enumerate(answer(wanted)):
                take(number, result)
        return call.lists

    def _key(self, request: protocol.Request | protocol.ScoreRequest) -> str:
        if isinstance(request, protocol.Request):
            asked: Any = request.sampling.settings()
            if request.sampling.temperature == 0:
                asked = {name: v for name, v in asked.items() if name not in _OF_SAMPLING}
        else:
            asked = request.continuations
        messages = [
            [message["role"], [_describe(part) for part in _parts(message["content"])]]
            for message in request.messages
        ]
        return answer_cache.digest({"engine": self._made_with, "asked": asked, "of": messages})


class _Call(Generic[Answered]):
    """The requests of one call and what they get.

    Attributes:
      lists: The answers, by place.
      places: Of the requests that have none in the cache, by their keys.
    """

    def __init__(
        self,
        ids: Sequence[str],
        on_result: Callable[[int, list[Answered] | protocol.Failure], object] | None,
    ):
        self.lists: list[list[Answered]] = [[] for _ in ids]
        self.places: dict[str, list[int]] = {}
        self._ids, self._on_result = ids, on_result

    def put(self, place: int, result: list[Answered] | protocol.Failure) -> None:
        if not isinstance(result, protocol.Failure):
            self.lists[place] = result
        if self._on_result is not None:
            self._on_result(place, result)

    def put_all(self, key: str, result: list[Answered] | protocol.Failure) -> None:
        """To all requests that are equal but for their ids."""
        first, *others = self.places[key]
        self.put(first, result)
        for other in others:
            self.put(other, self._renamed(result, self._ids[first], self._ids[other]))

    def _renamed(
        self, result: list[Answered] | protocol.Failure, old: str, new: str
    ) -> list[Answered] | protocol.Failure:
        if not isinstance(result, protocol.Failure):
            return result
        named = f"request {old!r}: "
        return protocol.Failure(result.reason.replace(named, f"request {new!r}: ", 1))


def _parts(content: str | Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _describe(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a message with what its picture or video holds in the place of its name."""
    kind = part["type"]
    return dict(part) if kind == "text" else {**part, kind: _content(part[kind])}


def _content(visual: Any) -> Any:
    """Digests of a picture or of all frames; what is not there is known by its name."""
    if isinstance(visual, list | tuple):
        return [_content(frame) for frame in visual]
    if isinstance(visual, bytes):
        return hashlib.sha256(visual).hexdigest()
    if isinstance(visual, Image.Image):
        raw = f"{visual.mode} {visual.size} ".encode() + visual.tobytes()
        return hashlib.sha256(raw).hexdigest()
    path, fragment = volume_files.split_fragment(visual)
    if os.path.isdir(path):
        # Frames are put into order by their names.
        return [[name, _content(os.path.join(path, name))] for name in sorted(os.listdir(path))]
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() + fragment
    except OSError:
        return visual  # the engine says what is wrong with it


def _read_completion(kept: Mapping[str, Any]) -> protocol.Completion:
    return protocol.Completion(
        text=kept["text"],
        tokens=tuple(kept["tokens"]),
        logprobs=tuple(kept["logprobs"]),
        finish_reason=kept["finish_reason"],
    )


def _read_score(kept: Mapping[str, Any]) -> protocol.Score:
    return protocol.Score(tokens=tuple(kept["tokens"]), logprobs=tuple(kept["logprobs"]))
