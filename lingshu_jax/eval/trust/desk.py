# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a probe works with: the questions and rows of an evaluation, and its engine asked once more.

Answers to the questions of a probe are kept in BENCHMARK/PROBE/ as those of a benchmark are, so a
killed probe goes on where it was and a finished one is not asked again.
"""

import contextlib
import dataclasses
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tqdm

from lingshu_jax.common import errors
from lingshu_jax.engines import journal, protocol
from lingshu_jax.eval import answering, asking, benchmark, folder, metrics, peers, runner

Row = Mapping[str, Any]
Change = Callable[[benchmark.Sample], benchmark.Sample]
Make = Callable[[benchmark.Sample], protocol.ScoreRequest]
SCORES = "scores"
SEED = 0  # of the questions that are drawn under a limit: data sets may be sorted by answer


class Desk:
    """A finished evaluation whose model can be asked again.

    Attributes:
      output_dir: Its folder.
      settings: What it was made with.
      limit: A probe takes only so many questions of a benchmark, drawn with `SEED`; None takes all.
      reasons: By benchmark and probe, why questions could not be scored, by id.
    """

    def __init__(
        self,
        output_dir: Path,
        settings: runner.Settings,
        loaded: Mapping[str, runner.Loaded],
        make_engine: Callable[[], protocol.Generator],
        *,
        part: answering.Part = runner.WHOLE,
        limit: int | None = None,
    ):
        """Asks nothing yet.

        Args:
          output_dir: Of the evaluation.
          settings: As it was made.
          loaded: Its benchmarks.
          make_engine: Called when the first question needs it, and once.
          part: Which questions this process asks.
          limit: As above.

        Raises:
          UserError: If the limit is out of range.
        """
        if limit is not None and limit < 1:
            raise errors.UserError(f"--probe_limit must be >= 1, got {limit}")
        self.output_dir, self.settings, self.limit = output_dir, settings, limit
        self.reasons: dict[tuple[str, str], dict[str, str]] = {}
        self._loaded, self._part = loaded, part
        self._make_engine = make_engine
        self._made: protocol.Generator | None = None

    @property
    def model(self) -> str:
        """As tables name it."""
        return self.settings.title

    @property
    def engine_name(self) -> str:
        """What answers; "" where a prediction file was scored."""
        return self.settings.engine

    @property
    def names(self) -> list[str]:
        """The benchmarks, in their order."""
        return list(self._loaded)

    def whole(self) -> "Desk":
        """The same without a limit, for what asks no model."""
        return Desk(
            self.output_dir, self.settings, self._loaded, self._make_engine, part=self._part
        )

    def samples(self, name: str) -> Sequence[benchmark.Sample]:
        """The questions of a benchmark, as many as probes take.

        Args:
          name: Of the benchmark.
        """
        samples = self._loaded[name].samples
        return [samples[place] for place in self._places(name)]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The scored rows of the same questions.

        Args:
          name: Of the benchmark.
        """
        rows = folder.read_samples(self.output_dir / name)
        return [rows[place] for place in self._places(name)]

    def ask(
        self,
        name: str,
        probe: str,
        samples: Sequence[benchmark.Sample],
        *,
        change: Change | None = None,
        prompt: str | None = None,
    ) -> list[dict[str, Any]] | None:
        """Asks variants of questions and scores the answers.

        Args:
          name: Of the benchmark, or of questions that belong to none.
          probe: Of the variant, as `option_shuffles/1`.
          samples: What is scored; ids are unique.
          change: Made when a question is asked, where its result takes memory.
          prompt: One of `asking.PROMPTS`; None is the evaluation's.

        Returns:
          Rows as of samples.jsonl; None while answers of other parts are missing.

        Raises:
          UserError: If questions got no answer, or the folder holds those of other questions.
        """
        path = self.output_dir / name / probe
        self._begin(path, samples, prompt=prompt or self.settings.prompt)
        if folder.is_complete(path):
            return folder.read_samples(path)
        form = answering.Form(
            prompt=prompt or self.settings.prompt,
            blind=self.settings.blind,
            sampling=self.settings.sampling,
            change=change,
            peer=peers.reopened(self.settings.peer),
        )
        answerer = answering.Answerer(self._engine, _nothing, form=form, part=self._part)
        outcome = answerer.answer(f"{name} {probe}", samples, path)
        if outcome.reasons and not self._part.score_failed:
            row_id, reason = next(iter(outcome.reasons.items()))
            raise errors.UserError(
                f"{len(outcome.reasons)} of {outcome.asked} questions of {name} {probe} got no "
                f"answer (the first: {row_id!r}: {reason}); the same command asks them again"
            )
        return _score(path, samples)

    def score(
        self, name: str, probe: str, samples: Sequence[benchmark.Sample], make: Make
    ) -> dict[str, list[float]] | None:
        """Log-probabilities of continuations; those of each question are kept as they come.

        Args:
          name: As in `ask`.
          probe: As in `ask`.
          samples: Whose continuations are scored.
          make: The request for a question, made when it is asked.

        Returns:
          By id the sum over the tokens of each continuation, nats; `reasons` has the questions that
          could not be scored. None while those of other parts are missing.

        Raises:
          UserError: If the engine cannot score, or the folder holds scores of other questions.
        """
        path = self.output_dir / name / probe
        self._begin(path, samples, prompt="")
        kept = _read_scores(path)
        ours = [sample for _, sample in self._part.of(samples) if sample.id not in kept]
        if ours:
            engine = self._engine()
            if not isinstance(engine, protocol.Engine):
                raise errors.UserError(
                    f"--engine={self.engine_name} gives no log-probabilities; jax and vllm do,"
                    " and openai with --dialect=vllm"
                )
            _ask_scores(engine, ours, make, _scores_file(path, self._part.name))
            kept = _read_scores(path)
        if any(sample.id not in kept for sample in samples):
            return None
        found = {sample.id: kept[sample.id] for sample in samples}
        self.reasons[name, probe] = {
            key: entry["reason"] for key, entry in found.items() if "reason" in entry
        }
        return {key: entry["logprobs"] for key, entry in found.items() if "logprobs" in entry}

    def _places(self, name: str) -> Sequence[int]:
        """Which questions of a benchmark are taken, in its order."""
        every = range(len(self._loaded[name].samples))
        if self.limit is None or self.limit >= len(every):
            return every
        return sorted(random.Random(SEED).sample(every, self.limit))

    def _begin(self, path: Path, samples: Sequence[benchmark.Sample], *, prompt: str) -> None:
        path.mkdir(parents=True, exist_ok=True)
        made_with = {"probe": path.name, "prompt": prompt, "data": asking.digest(samples)}
        try:
            folder.begin(path, made_with)
        except errors.UserError as error:
            raise errors.UserError(
                f"{path.relative_to(self.output_dir)} was made from other questions or prompts: "
                "delete it, or take another --output_dir"
            ) from error

    def _engine(self) -> protocol.Generator:
        self._made = self._made or self._make_engine()
        return self._made


def _score(path: Path, samples: Sequence[benchmark.Sample]) -> list[dict[str, Any]] | None:
    """Scores and commits the answers to a probe, if they are all there."""
    with folder.locked(path):
        if folder.is_complete(path):
            return folder.read_samples(path)
        given = folder.read_generations(path)
        if any(sample.id not in given.answers for sample in samples):
            return None
        answers = [given.answers[sample.id] for sample in samples]
        rows = list(benchmark.score_all(samples, answers))
        summary = {**metrics.summarise(rows), "usage": answering.total(given)}
        folder.commit_benchmark(path, rows, summary)
        return rows


def _ask_scores(
    engine: protocol.Engine,
    samples: Sequence[benchmark.Sample],
    make: Make,
    file: Path,
) -> None:
    """Keeps the log-probabilities of some questions, or why there are none."""
    kept = journal.Journal(file, begin=_nothing, is_synced=True)
    said = " ".join(file.parent.parts[-2:])
    with (
        contextlib.closing(kept),
        tqdm.tqdm(desc=said, total=len(samples), unit="row") as bar,
    ):
        kept.load()

        def keep(row_id: str, entry: dict[str, Any]) -> None:
            kept.append(row_id, entry)
            bar.update()

        for start in range(0, len(samples), answering.WINDOW):
            window = samples[start : start + answering.WINDOW]
            _ask_window(engine, window, make, keep)


def _ask_window(
    engine: protocol.Engine,
    samples: Sequence[benchmark.Sample],
    make: Make,
    keep: Callable[[str, dict[str, Any]], object],
) -> None:
    """Has the continuations of some questions scored."""
    requests, asked = [], []
    for sample in samples:
        try:
            requests.append(dataclasses.replace(make(sample), id=sample.id))
            asked.append(sample.id)
        except errors.UserError as error:
            keep(sample.id, {"reason": str(error)})

    def take(place: int, result: list[protocol.Score] | protocol.Failure) -> None:
        if isinstance(result, protocol.Failure):
            keep(asked[place], {"reason": result.reason})
        else:
            keep(asked[place], {"logprobs": [math.fsum(score.logprobs) for score in result]})

    engine.score(requests, on_result=take)


def _read_scores(path: Path) -> dict[str, dict[str, Any]]:
    return {
        key: kept
        for file in sorted(path.glob(f"{SCORES}*.jsonl"))
        for key, kept in journal.read_answers(file)
    }


def _scores_file(path: Path, part: str) -> Path:
    return path / (f"{SCORES}.{part}.jsonl" if part else f"{SCORES}.jsonl")


def _nothing() -> None:
    """There is nothing to begin: the evaluation has its folder."""
