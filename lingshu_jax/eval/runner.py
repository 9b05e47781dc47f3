# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Generates, scores and writes an evaluation; goes on where it was interrupted.

Everything that can be wrong with the input is found before the first file is written: golds,
ids, and every image is decoded once.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tqdm

from lingshu_jax.common import errors, paths
from lingshu_jax.engines import protocol
from lingshu_jax.eval import (
    asking,
    benchmark,
    catalog,
    compat,
    folder,
    metrics,
    predictions,
    report,
)

UNNAMED = "predictions"  # benchmark of a prediction file that was given none
WINDOW = 512  # requests made at a time: blind ones hold their grey pictures


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
      data_dir: Folder of the data.
      limit: Only the first rows of each benchmark; None takes all.
      max_new_tokens: Longest answer.
      prompt: "direct", or "think" to ask for the think/answer form.
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
    prompt: str = "direct"
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
        protocol.SamplingParams(max_new_tokens=self.max_new_tokens).validate()

    def recorded(self) -> dict[str, Any]:
        """As a folder records them: with addresses where they name mirrors of a store."""
        return json.loads(paths.with_addresses(json.dumps(dataclasses.asdict(self))))


def evaluate(
    settings: Settings,
    output_dir: Path,
    make_engine: Callable[[], protocol.Generator],
    *,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Generates and scores all benchmarks; on a finished folder it does nothing.

    Args:
      settings: What to evaluate, and how.
      output_dir: Missing, empty, or begun with the same settings.
      make_engine: Called only if an answer is missing.
      overwrite: Deletes an earlier evaluation once all input has been checked.

    Returns:
      The content of summary.json.

    Raises:
      UserError: If settings, data or folder are not usable, or if questions got no answer; the
        answers of the others are kept.
    """
    settings.validate()
    if overwrite:
        folder.check_replaceable(output_dir)
    elif _is_finished(output_dir, settings):
        return folder.read_summary(output_dir)
    data_dir = paths.local(settings.data_dir) if settings.data_dir else None
    chosen = catalog.choose(settings.benchmarks, data_dir)
    samples = {item.card.name: catalog.load(item, data_dir)[: settings.limit] for item in chosen}
    digests = {name: asking.digest(found) for name, found in samples.items()}
    made_with = {**settings.recorded(), "data": digests}
    if overwrite:
        asking.check_media([sample for found in samples.values() for sample in found])
        folder.clear(output_dir)
    folder.check(output_dir, made_with)
    run = _Run(settings, output_dir, made_with=made_with, make_engine=make_engine)
    if any(sample.rule in compat.TEXT_RULES for found in samples.values() for sample in found):
        compat.require_text_metrics()
    pending = {name: run.pending(name, found) for name, found in samples.items()}
    asking.check_media([sample for found in pending.values() for sample in found])
    for name, found in samples.items():
        run.generate(name, pending[name], total=len(found))
        run.score(name, found)
    return _finish(settings, output_dir, chosen, samples)


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
    known = None
    if settings.benchmarks != UNNAMED:
        (known,) = catalog.choose(settings.benchmarks, None)
    answered = predictions.read(path, known.rule if known else None)[: settings.limit]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    settings = dataclasses.replace(settings, predictions=f"{path} {digest}")
    if overwrite:
        folder.clear(output_dir)
    elif _is_finished(output_dir, settings):
        return folder.read_summary(output_dir)
    rows = [benchmark.score(item.sample, item.answer) for item in answered]
    folder.begin(output_dir, settings.recorded())
    (output_dir / settings.benchmarks).mkdir(exist_ok=True)
    folder.commit_benchmark(output_dir / settings.benchmarks, rows, metrics.summarise(rows))
    samples = {settings.benchmarks: [item.sample for item in answered]}
    return _finish(settings, output_dir, [known] if known else [], samples)


class _Run:
    """Generation into one folder; the engine is made when the first answer is needed."""

    def __init__(
        self,
        settings: Settings,
        output_dir: Path,
        *,
        made_with: Mapping[str, Any],
        make_engine: Callable[[], protocol.Generator],
    ):
        self._settings, self._output_dir = settings, output_dir
        self._made_with, self._make_engine = made_with, make_engine
        self._engine: protocol.Generator | None = None

    def pending(self, name: str, samples: Sequence[benchmark.Sample]) -> list[benchmark.Sample]:
        """The samples of a benchmark that have no answer on disk."""
        if folder.is_complete(self._output_dir / name):
            return []
        done = folder.read_generations(self._output_dir / name)
        return [sample for sample in samples if sample.id not in done]

    def generate(self, name: str, pending: list[benchmark.Sample], *, total: int) -> None:
        """Answers what is pending; each answer is on disk as soon as it is there."""
        if not pending:
            return
        if self._engine is None:
            self._engine = self._make_engine()
        # Neighbours of like size share a compiled shape and little padding.
        pending = sorted(pending, key=asking.size)
        reasons: list[str] = []
        with tqdm.tqdm(desc=name, total=total, initial=total - len(pending), unit="row") as bar:
            for start in range(0, len(pending), WINDOW):
                reasons += self._ask(name, pending[start : start + WINDOW], bar.update)
        if reasons:
            raise errors.UserError(
                f"{len(reasons)} of {len(pending)} questions of {name} got no answer, the same "
                f"command asks them again; the first: {reasons[0]}"
            )

    def _ask(
        self, name: str, samples: Sequence[benchmark.Sample], advance: Callable[[], object]
    ) -> list[str]:
        """Keeps the answers; returns why there are none to some."""
        assert self._engine is not None
        reasons = []

        def take(place: int, result: list[protocol.Completion] | protocol.Failure) -> None:
            advance()
            if isinstance(result, protocol.Failure):
                name_of = f"request {samples[place].id!r}: "
                reasons.append(name_of + result.reason.removeprefix(name_of))
                return
            answers = [benchmark.Answer(c.text, c.finish_reason, len(c.tokens)) for c in result]
            folder.begin(self._output_dir, self._made_with)
            folder.append_generations(self._output_dir / name, [samples[place].id], answers)

        self._engine.generate([self._request(sample) for sample in samples], on_result=take)
        return reasons

    def score(self, name: str, samples: Sequence[benchmark.Sample]) -> None:
        """Scores all answers of a benchmark and commits it."""
        path = self._output_dir / name
        if folder.is_complete(path):
            return
        given = folder.read_generations(path)
        rows = [benchmark.score(sample, given[sample.id]) for sample in samples]
        folder.commit_benchmark(path, rows, metrics.summarise(rows))

    def _request(self, sample: benchmark.Sample) -> protocol.Request:
        return asking.request(
            sample,
            prompt=self._settings.prompt,
            blind=self._settings.blind,
            sampling=protocol.SamplingParams(max_new_tokens=self._settings.max_new_tokens),
        )


def _is_finished(output_dir: Path, settings: Settings) -> bool:
    """True if nothing is left to do; other settings than the folder's are an error."""
    folder.check(output_dir, settings.recorded())
    return folder.is_complete(output_dir)


def _finish(
    settings: Settings,
    output_dir: Path,
    chosen: Sequence[benchmark.Benchmark],
    samples: Mapping[str, Sequence[benchmark.Sample]],
) -> dict[str, Any]:
    """Writes the files that cover all benchmarks, then the marker."""
    summaries = {name: folder.read_summary(output_dir / name) for name in samples}
    summary = {
        "model": "/".join(Path(settings.model).parts[-2:]),
        "settings": settings.recorded(),
        "benchmarks": summaries,
        **metrics.totals(summaries),
    }
    published = {item.card.name: item.card.published for item in chosen}
    rows = {name: folder.read_samples(output_dir / name) for name in samples}
    report.write(output_dir, summary, rows=rows, samples=samples, published=published)
    folder.write_text(output_dir / "summary.json", folder.dump(summary))
    folder.write_text(output_dir / folder.COMMIT, f"{len(samples)} benchmarks\n")
    return summary
