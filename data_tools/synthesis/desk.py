# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Many seeds written about at a time, each reply kept as it comes, so that nothing is paid twice.

    DIR/rows/<recipe>.jsonl      rows in format `messages`, in the order of the seeds
    DIR/rows/pictures/           their pictures, named by their content
    DIR/dropped/<recipe>.jsonl   what gave no row, and why
    DIR/replies/<recipe>.jsonl   every reply (`engines/journal.py`)

A run reads the seeds from the first one, replays the replies it has, and asks what is missing:
after a kill it ends with the rows of one that nobody disturbed.
"""

import collections
import contextlib
import dataclasses
import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pydantic
import tqdm

from data_tools import rows as rows_lib
from data_tools import splits
from data_tools.synthesis import asks
from data_tools.synthesis import pictures as pictures_lib
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import errors, paths
from lingshu_jax.data import sources
from lingshu_jax.engines import conversing, journal, protocol

WINDOW = 1024  # seeds at a time: what waits for the last reply of a round is small beside it
RETRIES = 2  # of a reply that is not what was asked for
AGAIN = 0.7  # temperature of what is asked for again where it is greedy
SHOWN = 20  # seeds without a reply that are told
UNREADABLE, NO_REPLY, REFUSED, CLIP = "unreadable reply", "no reply", "refused row", "a clip"
BROKEN = "broken picture"
_SEED_BITS = 31  # of a request


@dataclasses.dataclass(frozen=True, kw_only=True)
class Author:
    """Who writes, and how.

    Attributes:
      model: As users name it.
      settings: All that decides its replies, in JSON values.
      temperature: Of every question; 0 is greedy.
      seed: Of every draw.
      is_guided: Whether the schema of a reply is sent along, for the server to keep to.
    """

    model: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    temperature: float = 0.7
    seed: int = 0
    is_guided: bool = True

    def sampling(self, ask: asks.Ask, draw: int, tries: int = 0) -> protocol.SamplingParams:
        """How a question is answered.

        Args:
          ask: The question.
          draw: Its own number.
          tries: Replies to it that could not be read; a greedy one would come again.
        """
        return protocol.SamplingParams(
            max_new_tokens=ask.max_new_tokens,
            temperature=self.temperature or (AGAIN if tries else 0.0),
            seed=draw % 2**_SEED_BITS,
            json_schema=asks.schema(ask.reply) if self.is_guided else "",
        )


@dataclasses.dataclass
class Counts:
    """What a recipe did.

    Attributes:
      seeds: Read.
      rows: Written.
      asked: Replies in all, those of earlier runs too.
      again: Replies among them that could not be read.
      dropped: What gave no row, by reason.
      failed: Seeds without a reply, for which the same command asks again.
    """

    seeds: int = 0
    rows: int = 0
    asked: int = 0
    again: int = 0
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    failed: int = 0


def write(
    recipe: asks.Recipe,
    seeds: Iterable[seeds_lib.Seed | sources.Dropped],
    folder: Path,
    *,
    author: Author,
    make_engine: Callable[[], protocol.Generator],
    window: int = WINDOW,
) -> Counts:
    """Writes about all seeds.

    Args:
      recipe: How.
      seeds: About what; refused rows are counted.
      folder: Of the run.
      author: Who.
      make_engine: Called when the first reply is missing.
      window: Seeds at a time.

    Returns:
      What was done. Where `failed` is not 0 the engine gave up on some seeds.

    Raises:
      UserError: If the engine can give no more replies, or another process writes the same files.
    """
    replies = folder / "replies" / f"{recipe.name}.jsonl"
    with contextlib.ExitStack() as stack:
        kept = journal.Journal(replies, begin=_nothing, is_synced=True)
        stack.enter_context(contextlib.closing(kept))
        kept.load()
        pictures = pictures_lib.Pictures(folder / "rows" / "pictures")
        desk = _Desk(recipe, author, kept=kept, pictures=pictures, make_engine=make_engine)
        files = _Files(stack, folder, recipe, author=author, pictures=pictures)
        bar = stack.enter_context(tqdm.tqdm(desc=recipe.name, unit="seed"))
        stream = iter(seeds)
        while chunk := list(itertools.islice(stream, window)):
            jobs = [one if isinstance(one, sources.Dropped) else desk.job(one) for one in chunk]
            desk.work([job for job in jobs if isinstance(job, _Job)], bar)
            for job in jobs:
                files.put(job)
        counts = files.counts
    counts.asked, counts.again = desk.asked, desk.again
    return counts


class _Job:
    """The writing about one seed.

    Attributes:
      seed: About what.
      name: Id of the seed, with a number behind it where several seeds have it.
      draw: Its number.
      ask: What is asked now; None when it has ended.
      media: Files of the pictures of the question.
      number: Of the question, from 0.
      tries: Replies to it that could not be read.
      written: What came of it.
      prompts: Digests of what was asked, by name.
      failure: Why there is no reply; "" if there is no such.
    """

    def __init__(
        self,
        recipe: asks.Recipe,
        seed: seeds_lib.Seed,
        *,
        name: str,
        draw: int,
        pictures: pictures_lib.Pictures,
    ):
        self.seed, self.name, self.draw = seed, name, draw
        self.ask: asks.Ask | None = None
        self.media: list[Path] = []
        self.number, self.tries = -1, 0
        self.written = asks.Written()
        self.prompts: dict[str, str] = {}
        self.failure = ""
        self._writing, self._pictures = recipe.write(seed, draw), pictures

    def go_on(self, reply: asks.Reply | None) -> None:
        """Up to the next question.

        Args:
          reply: To the last one; None begins.
        """
        self.number, self.tries, self.ask = self.number + 1, 0, None
        try:
            ask = self._writing.send(reply)
            self.media = [self._pictures.put(medium) for medium in ask.media]
        except StopIteration as end:
            self.written = end.value
        except asks.Lost as lost:
            self.written = asks.Written(losses=(lost.loss,))
        except errors.UserError as error:  # a picture that does not decode
            self.end(BROKEN, str(error))
        else:
            self.ask = ask
            self.prompts[ask.prompt.name] = ask.prompt.digest

    def end(self, reason: str, detail: str) -> None:
        """Gives up.

        Args:
          reason: As of `asks.Loss`.
          detail: Likewise.
        """
        self._writing.close()
        self.ask, self.written = None, asks.Written(losses=(asks.Loss(reason, detail),))

    @property
    def is_open(self) -> bool:
        """Whether something is to be asked."""
        return self.ask is not None and not self.failure

    @property
    def question(self) -> asks.Ask:
        """What is asked of an open job."""
        assert self.ask is not None
        return self.ask

    @property
    def key(self) -> str:
        """Of its line of replies."""
        return f"{self.name} {self.number}"


class _Desk:
    """Asks the questions of many jobs.

    Attributes:
      asked: Replies so far, kept ones too.
      again: Those of them that could not be read.
    """

    def __init__(
        self,
        recipe: asks.Recipe,
        author: Author,
        *,
        kept: journal.Journal,
        pictures: pictures_lib.Pictures,
        make_engine: Callable[[], protocol.Generator],
    ):
        self.asked = self.again = 0
        self._recipe, self._author, self._kept = recipe, author, kept
        self._pictures, self._make_engine = pictures, make_engine
        self._engine: protocol.Generator | None = None
        self._seen: collections.Counter[str] = collections.Counter()
        self._shown = 0

    def job(self, seed: seeds_lib.Seed) -> _Job:
        """The writing about a seed, up to its first question."""
        self._seen[seed.id] += 1
        count = self._seen[seed.id]
        name = seed.id if count == 1 else f"{seed.id}~{count}"
        draw = splits.number(f"{self._author.seed} {self._recipe.name} {name}") >> 1
        job = _Job(self._recipe, seed, name=name, draw=draw, pictures=self._pictures)
        if any(medium.kind != "image" for medium in seed.media):
            job.end(CLIP, "only pictures are written about")
        else:
            job.go_on(None)
        return job

    def work(self, jobs: Sequence[_Job], bar: "tqdm.tqdm[Any]") -> None:
        """Brings jobs to their end."""
        for job in jobs:
            self._replay(job)
        pending = [job for job in jobs if job.is_open]
        bar.update(len(jobs) - len(pending))
        if pending:
            self._ask(pending, bar)

    def _replay(self, job: _Job) -> None:
        """Goes on with the replies that are kept."""
        while job.is_open and not job.tries and job.key in self._kept:
            entry = self._kept.read(job.key)
            if entry["asked"] != self._digest(job):
                return
            self._take(job, entry["replies"])

    def _take(self, job: _Job, replies: Sequence[str]) -> None:
        """What the replies to the question of a job mean; the last one counts."""
        ask, fresh = job.question, len(replies) - job.tries
        self.asked += fresh
        try:
            reply = ask.reply.model_validate_json(_unfenced(replies[-1]))
        except pydantic.ValidationError as error:
            self.again += fresh
            job.tries = len(replies)
            if job.tries > RETRIES:
                job.end(UNREADABLE, f"{ask.prompt.name}: {_first(error)}")
        else:
            self.again += fresh - 1
            job.go_on(reply)

    def _ask(self, jobs: Sequence[_Job], bar: "tqdm.tqdm[Any]") -> None:
        """Asks until every job has ended; each goes on as soon as it has its reply."""
        self._engine = self._engine or self._make_engine()

        def take(
            place: int, result: list[protocol.Completion] | protocol.Failure
        ) -> protocol.Request | None:
            job = jobs[place]
            if isinstance(result, protocol.Failure):
                self._fail(job, result.reason)
            else:
                before = self._kept.read(job.key)["replies"] if job.tries else []
                replies = [*before, result[0].text]
                self._kept.append(job.key, {"asked": self._digest(job), "replies": replies})
                self._take(job, replies)
                self._replay(job)
            if job.is_open:
                return self._request(job)
            bar.update()
            return None

        requests = [self._request(job) for job in jobs]
        conversing.converse(self._engine, requests, on_result=take)

    def _request(self, job: _Job) -> protocol.Request:
        content = [{"type": "image", "image": str(path)} for path in job.media]
        content.append({"type": "text", "text": job.question.text})
        draw = splits.number(f"{job.draw} {job.number} {job.tries}")
        return protocol.Request(
            messages=[{"role": "user", "content": content}],
            sampling=self._author.sampling(job.question, draw, job.tries),
            id=job.key,
        )

    def _digest(self, job: _Job) -> str:
        """Of all that decides the reply."""
        sampling = dataclasses.asdict(self._author.sampling(job.question, job.draw))
        names = [path.name for path in job.media]  # by content
        said = rows_lib.dump([job.question.text, names, sampling, dict(self._author.settings)])
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def _fail(self, job: _Job, reason: str) -> None:
        job.failure = reason.removeprefix(f"request {job.key!r}: ")
        self._shown += 1
        if self._shown <= SHOWN:
            line = f"{job.seed.id!r} got no reply: {job.failure}"
            tqdm.tqdm.write(line, file=sys.stderr)


class _Files:
    """The rows of a recipe, and what gave none, as they are written; whole in the end."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        folder: Path,
        recipe: asks.Recipe,
        *,
        author: Author,
        pictures: pictures_lib.Pictures,
    ):
        self.counts = Counts()
        self._recipe, self._author, self._pictures = recipe, author, pictures
        self._rows = _open(stack, folder / "rows" / f"{recipe.name}.jsonl")
        self._dropped = _open(stack, folder / "dropped" / f"{recipe.name}.jsonl")

    def put(self, job: _Job | sources.Dropped) -> None:
        """Writes what became of a seed."""
        self.counts.seeds += 1
        if isinstance(job, sources.Dropped):
            self._drop(f"{job.source}/{job.id}", REFUSED, job.reason)
            return
        if job.failure:
            self.counts.failed += 1
            self._drop(job.seed.id, NO_REPLY, job.failure)
            return
        for loss in job.written.losses:
            self._drop(job.seed.id, loss.reason, loss.detail)
        for place, draft in enumerate(job.written.drafts):
            try:
                row = self._row(job, draft, place)
            except errors.UserError as error:
                self._drop(job.seed.id, BROKEN, str(error))
                continue
            self._rows.write(rows_lib.dump(row) + "\n")
            self.counts.rows += 1

    def _drop(self, seed: str, reason: str, detail: str) -> None:
        self.counts.dropped[reason] = self.counts.dropped.get(reason, 0) + 1
        self._dropped.write(rows_lib.dump({"id": seed, "reason": reason, "detail": detail}) + "\n")

    def _row(self, job: _Job, draft: asks.Draft, place: int) -> dict[str, Any]:
        files = [self._pictures.address(medium) for medium in draft.media]
        messages = [
            {**message, "content": [_located(part, files) for part in message["content"]]}
            for message in draft.messages
        ]
        # Ids of publishers may name a patient; parents keep them, for splits and the data card.
        own = f"{splits.number(f'{self._recipe.name} {job.name}'):016x}-{place}"
        return {
            "id": own,
            "messages": messages,
            "kind": draft.kind,
            **({"modality": job.seed.modality} if job.seed.modality else {}),
            **({"case": job.seed.case} if job.seed.case else {}),
            **draft.meta,
            "provenance": {
                "recipe": self._recipe.name,
                "version": self._recipe.version,
                "model": self._author.model if job.prompts else "",
                "weights": self._author.settings.get("weights", "") if job.prompts else "",
                "temperature": self._author.temperature,
                "seed": self._author.seed,
                "prompts": dict(sorted(job.prompts.items())),
                "parents": [job.seed.id],
                "checks": dict(draft.checks),
            },
        }


def _open(stack: contextlib.ExitStack, path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = stack.enter_context(paths.whole_file(path))
    return stack.enter_context(partial.open("w", encoding="utf-8"))


def _located(part: Mapping[str, Any], files: Sequence[str]) -> dict[str, Any]:
    return {**part, "image": files[part["image"]]} if part["type"] == "image" else dict(part)


def _unfenced(text: str) -> str:
    """The JSON of a reply that a model has put into a code block, or among words."""
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def _first(error: pydantic.ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, found["loc"]))
    return f"{where}: {found['msg']}" if where else found["msg"]


def _nothing() -> None:
    """A journal of replies needs no beginning."""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of rows.

    Args:
      path: Of `rows/` of a run.
    """
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
