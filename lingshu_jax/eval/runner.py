# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Generates, scores and writes an evaluation; goes on where it was interrupted.

What is wrong with settings, rows or golds is found before the first file is written. A picture
that cannot be read is found when its question is asked, and costs that question alone.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from lingshu_jax.common import errors, paths
from lingshu_jax.engines import protocol, registry
from lingshu_jax.eval import (
    answering,
    asking,
    benchmark,
    catalog,
    compat,
    files,
    folder,
    manifest,
    overview,
    peers,
    predictions,
    question_formats,
    scoring,
)
from lingshu_jax.eval import card as card_lib

UNNAMED = "predictions"  # benchmark of a prediction file that was given none
WHOLE = answering.Part()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the answers; a folder is never continued with other ones.

    Attributes:
      model: Folder or name; tables show the last two parts.
      engine: Which generator.
      weights: Their digest, so that a new model under an old name is noticed; "" of a server's.
      dtype: What the engine computes in; "" is the folder's own.
      files: Digest of the folder's other files, as of its tokenizer; "" of a server's.
      base_url: Of the engine's server.
      dialect: Which fields of a request that one knows.
      benchmarks: Names, comma list.
      data_dir: Folder of the data; "" fetches them from the hub.
      limit: Only the first rows of each benchmark; None takes all.
      max_new_tokens: Longest answer.
      temperature: 0 is greedy.
      top_p: As of `protocol.SamplingParams`.
      top_k: The same.
      repetition_penalty: The same.
      seed: Of sampled answers; question i of a benchmark takes seed + i.
      prompt: One of `asking.PROMPTS`.
      peer: What a row of `peers.PEERS` changes, as `peers.describe` says it; "" is nothing.
      blind: Every image grey.
      predictions: File of answers to score instead of generating; its digest is appended.
    """

    model: str
    engine: str = ""
    weights: str = ""
    dtype: str = ""
    files: str = ""
    base_url: str = ""
    dialect: str = ""
    benchmarks: str
    data_dir: str = ""
    limit: int | None = None
    max_new_tokens: int = 1024
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int = 0
    prompt: str = "direct"
    peer: str = ""
    blind: bool = False
    predictions: str = ""

    def validate(self) -> None:
        """Raises UserError where a value is out of range."""
        if self.prompt not in asking.PROMPTS:
            raise errors.UserError(
                f"--prompt must be one of {', '.join(asking.PROMPTS)}, got {self.prompt!r}"
            )
        if self.limit is not None and self.limit < 1:
            raise errors.UserError(f"--limit must be >= 1, got {self.limit}")
        self.sampling.validate()

    @property
    def sampling(self) -> protocol.SamplingParams:
        """How answers are decoded."""
        return protocol.SamplingParams(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
        )

    @property
    def title(self) -> str:
        """The model as tables name it, without the machine's folders."""
        return "/".join(Path(self.model).parts[-2:])

    def head(self) -> dict[str, Any]:
        """What a summary begins with."""
        return {"model": self.title, "settings": self.recorded()}

    def recorded(self) -> dict[str, Any]:
        """As a folder records them: with addresses where they name mirrors of a store."""
        return json.loads(paths.with_addresses(json.dumps(dataclasses.asdict(self))))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loaded:
    """A benchmark and its questions, as many as are asked.

    Attributes:
      card: Of the benchmark.
      samples: The questions.
      item: The benchmark; None of a prediction file that none is named for.
    """

    card: card_lib.Card
    samples: Sequence[benchmark.Sample]
    item: benchmark.Benchmark | None = None


def evaluate(
    settings: Settings,
    output_dir: Path,
    make_engine: Callable[[], protocol.Generator],
    *,
    overwrite: bool = False,
    options: registry.Options = registry.DEFAULTS,
) -> dict[str, Any]:
    """Generates and scores all benchmarks; on a finished folder it does nothing.

    Args:
      settings: What to evaluate, and how.
      output_dir: Missing, empty, or begun with the same settings.
      make_engine: Called only if an answer is missing.
      overwrite: Deletes an earlier evaluation once all input has been checked.
      options: How the engine works, for the manifest.

    Returns:
      The content of summary.json.

    Raises:
      UserError: If settings, data or folder are not usable, or if questions got no answer; the
        answers of the others are kept.
    """
    summary = evaluate_part(
        settings, output_dir, make_engine, part=WHOLE, overwrite=overwrite, options=options
    )
    assert summary is not None, "no other part is at work"
    return summary


def evaluate_part(
    settings: Settings,
    output_dir: Path,
    make_engine: Callable[[], protocol.Generator],
    *,
    part: answering.Part,
    overwrite: bool = False,
    options: registry.Options = registry.DEFAULTS,
) -> dict[str, Any] | None:
    """As `evaluate`, but asks a part of the questions: what finds all answers there scores them.

    Args:
      settings: What to evaluate, and how; the same for all parts.
      output_dir: The same for all parts.
      make_engine: As in `evaluate`.
      part: Which questions.
      overwrite: As in `evaluate`; only where there is one part.
      options: As in `evaluate`.

    Returns:
      The content of summary.json; None while answers of other parts are missing.

    Raises:
      UserError: As in `evaluate`.
    """
    settings.validate()
    part.validate()
    if overwrite and part.count > 1:
        raise errors.UserError("--overwrite would delete the answers of the other shards")
    if overwrite:
        folder.check_replaceable(output_dir)
    elif _is_finished(output_dir, settings):
        return folder.read_summary(output_dir)
    data_dir = paths.local(settings.data_dir) if settings.data_dir else None
    loaded, remarks = load(settings, data_dir)
    peer = peers.reopened(settings.peer)
    remarks += peers.remarks(peer, settings.sampling)
    for remark in remarks:
        logging.warning("%s", remark)
    digests = {name: asking.digest(found.samples) for name, found in loaded.items()}
    made_with = {**settings.recorded(), "data": digests}
    if overwrite:
        folder.clear(output_dir)
    folder.check(output_dir, made_with)

    def begin() -> None:
        folder.begin(output_dir, made_with)
        manifest.note_session(output_dir, manifest.session(settings.engine, options, part.name))

    form = answering.Form(
        prompt=settings.prompt, blind=settings.blind, sampling=settings.sampling, peer=peer
    )
    answerer = answering.Answerer(make_engine, begin, form=form, part=part)
    without = {}
    for name, found in loaded.items():
        outcome = answerer.answer(name, found.samples, output_dir / name)
        if outcome.reasons and not part.score_failed:
            without[name] = outcome
        else:
            scoring.score(output_dir, name, found.samples)
    if without:
        raise errors.UserError(f"{_describe(without)}; the same command asks them again")
    return finish(settings, output_dir, loaded, data_dir=data_dir, remarks=remarks)


def score_predictions(
    settings: Settings, output_dir: Path, *, overwrite: bool = False
) -> dict[str, Any]:
    """Scores a file of answers; needs no model, engine or data.

    Args:
      settings: With `predictions`, and the name of the benchmark they answer.
      output_dir: As for `evaluate`.
      overwrite: As for `evaluate`.

    Returns:
      The content of summary.json.

    Raises:
      UserError: If the file or the folder is not usable.
    """
    settings.validate()
    path = paths.fetched(settings.predictions)
    answered, known = _read_predictions(settings, path)
    digest = _digest(path)
    settings = dataclasses.replace(settings, predictions=f"{path} {digest[:16]}")
    if overwrite:
        folder.clear(output_dir)
    elif _is_finished(output_dir, settings):
        return folder.read_summary(output_dir)
    samples = [item.sample for item in answered]
    rows = list(benchmark.score_all(samples, [item.answer for item in answered]))
    folder.begin(output_dir, settings.recorded())
    with folder.locked(output_dir):
        (output_dir / settings.benchmarks).mkdir(exist_ok=True)
        summary = overview.of_benchmark(rows, samples)
        folder.commit_benchmark(output_dir / settings.benchmarks, rows, summary)
        facts = {"predictions": {"name": path.name, "sha256": digest}}
        published = {known.card.name: known.card.published} if known else {}
        return scoring.commit(
            output_dir,
            {settings.benchmarks: samples},
            head=settings.head(),
            facts=facts,
            published=published,
            remarks=files.remarks(known.card, samples) if known and not settings.limit else [],
        )


def finish(
    settings: Settings,
    output_dir: Path,
    loaded: Mapping[str, Loaded],
    *,
    data_dir: Path | None,
    remarks: Sequence[str],
) -> dict[str, Any] | None:
    """Writes what covers all benchmarks, if these are complete.

    Args:
      settings: Of the evaluation.
      output_dir: Its folder.
      loaded: All benchmarks.
      data_dir: Of their data.
      remarks: On them.

    Returns:
      The content of summary.json; None where a benchmark is not complete.
    """
    if not all(folder.is_complete(output_dir / name) for name in loaded):
        return None
    facts = {
        "model": {"name": settings.title, "weights": settings.weights, "files": settings.files},
        "engine": settings.engine,
        "server": {"address": settings.base_url, "dialect": settings.dialect},
        "sampling": settings.sampling.settings(),
        "prompts": {
            "form": settings.prompt,
            "peer": settings.peer,
            "version": question_formats.VERSION,
            "sha256": {
                name: asking.digest_prompts(found.samples, settings.prompt)
                for name, found in loaded.items()
            },
        },
        "blind": settings.blind,
        "limit": settings.limit,
        "benchmarks": {
            name: manifest.describe_data(found.item, data_dir, found.samples)
            for name, found in loaded.items()
            if found.item
        },
    }
    with folder.locked(output_dir):
        if folder.is_complete(output_dir):
            return folder.read_summary(output_dir)
        return scoring.commit(
            output_dir,
            {name: found.samples for name, found in loaded.items()},
            head=settings.head(),
            facts=facts,
            published={name: found.card.published for name, found in loaded.items()},
            remarks=remarks,
        )


def load(settings: Settings, data_dir: Path | None) -> tuple[dict[str, Loaded], list[str]]:
    """The benchmarks of some settings, and sentences on what is not as published.

    Args:
      settings: Names, limit and prompt are read.
      data_dir: Of the data; None fetches them.

    Raises:
      UserError: If a benchmark is unknown or its data cannot be used.
    """
    loaded, remarks = {}, []
    for item in catalog.choose(settings.benchmarks, data_dir):
        name, samples = item.card.name, catalog.load(item, data_dir)
        remarks += files.remarks(item.card, samples)
        loaded[name] = Loaded(card=item.card, samples=samples[: settings.limit], item=item)
        without = asking.without_tail(samples) if settings.prompt == "boxed" else 0
        if without:
            remarks.append(
                f"{name} has {without} prompts without a tail that --prompt=boxed replaces; they "
                "are asked as they are"
            )
    asked = [sample for found in loaded.values() for sample in found.samples]
    if any(sample.rule in compat.TEXT_RULES for sample in asked):
        compat.require_text_metrics()
    return loaded, remarks


def load_questions(settings: Settings) -> dict[str, Loaded]:
    """The questions of a finished evaluation by benchmark.

    Args:
      settings: As `evaluate` or `score_predictions` was given them.

    Raises:
      UserError: If the data or the prediction file cannot be read any more.
    """
    if not settings.predictions:
        data_dir = paths.local(settings.data_dir) if settings.data_dir else None
        return load(settings, data_dir)[0]
    answered, known = _read_predictions(settings, paths.fetched(settings.predictions))
    name = settings.benchmarks
    card = known.card if known else card_lib.Card(name=name, title=name, family="multimodal")
    samples = [item.sample for item in answered]
    return {name: Loaded(card=card, samples=samples, item=known)}


def _read_predictions(
    settings: Settings, path: Path
) -> tuple[list[predictions.Answered], benchmark.Benchmark | None]:
    """The answers of a file, and the benchmark that they belong to."""
    known = None
    if settings.benchmarks != UNNAMED:
        (known,) = catalog.choose(settings.benchmarks, None)
    answered = predictions.read(path, known.rule if known else None)[: settings.limit]
    return answered, known


def _is_finished(output_dir: Path, settings: Settings) -> bool:
    """True if nothing is left to do; other settings than the folder's are an error."""
    folder.check(output_dir, settings.recorded())
    return folder.is_complete(output_dir)


def _describe(without: Mapping[str, answering.Outcome]) -> str:
    """Which benchmarks have how many questions without an answer, and why the first has none."""
    said = []
    for name, outcome in without.items():
        row_id, reason = next(iter(outcome.reasons.items()))
        said.append(
            f"{len(outcome.reasons)} of {outcome.asked} questions of {name} got no answer "
            f"(the first: {row_id!r}: {reason})"
        )
    return "; ".join(said)


def _digest(path: Path) -> str:
    """The SHA-256 of a prediction file, or of all that are read as one."""
    digests = [manifest.digest_file(file) for file in predictions.sources(path)]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )
