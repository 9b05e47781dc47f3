# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Small benchmarks while a stage trains: our own engine answers with the weights as they are.

Accuracies stand in the metrics row of their step as `validation/<benchmark>/strict_accuracy`,
`compat_accuracy` and `constant_accuracy`, what the most frequent gold answers would score. The
first answers are written to `samples/step_<N>.jsonl`, where the report finds them.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from lingshu_jax.common import paths, runtime
from lingshu_jax.data import formats, messages
from lingshu_jax.engines import jax_engine, protocol
from lingshu_jax.eval import asking, benchmark, catalog, compat, metrics
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import inputs, validation

SAMPLES = "samples"  # folder of a run
ROWS = 32  # answers decoded at a time
ACCURACIES = ("strict_accuracy", "compat_accuracy", "constant_accuracy")


class Examination:
    """The first questions of some benchmarks; a `validation.Examine`."""

    def __init__(self, config: stage_config.StageConfig, workdir: pathlib.Path):
        """Loads the questions and decodes every image once.

        Args:
          config: The stage; `validation.benchmarks` names them.
          workdir: The run's folder.

        Raises:
          UserError: If a benchmark is unknown or its data cannot be used.
        """
        wanted, self._data = config.validation, config.data
        if wanted.data_dir:
            root = paths.local(wanted.data_dir)
        else:
            root = inputs.data_root(config.data, workdir)
        self._samples = {
            item.card.name: catalog.load(item, root)[: wanted.samples]
            for item in catalog.choose(wanted.benchmarks, root)
        }
        every = [sample for samples in self._samples.values() for sample in samples]
        if any(sample.rule in compat.TEXT_RULES for sample in every):
            compat.require_text_metrics()
        asking.check_media(every)
        self._sampling = protocol.SamplingParams(max_new_tokens=wanted.max_new_tokens)
        self._shown = wanted.shown
        self._encoder: messages.Encoder | None = None

    def __call__(self, live: validation.Live) -> dict[str, float]:
        """Asks everything, greedily.

        Args:
          live: Whose weights answer; adapters count as they do in training.
        """
        if self._encoder is None:
            self._encoder = messages.Encoder(
                live.assets, min_pixels=self._data.min_pixels, max_pixels=self._data.max_pixels
            )
        engine = jax_engine.JaxEngine(
            live.params, live.model, self._encoder, rows=ROWS, max_images=sys.maxsize
        )
        scalars, shown = {}, []
        for name, samples in self._samples.items():
            live.progress()
            rows = self._ask(engine, samples)
            summary = metrics.summarise(rows)
            scalars |= {f"validation/{name}/{key}": summary[key] for key in ACCURACIES}
            pairs = zip(samples[: self._shown], rows, strict=False)
            shown += [_describe(name, sample, row) for sample, row in pairs]
        if runtime.is_main_host():
            formats.write_jsonl(live.workdir / SAMPLES / f"step_{live.step}.jsonl", shown)
        return scalars

    def _ask(
        self, engine: protocol.Generator, samples: Sequence[benchmark.Sample]
    ) -> list[dict[str, Any]]:
        requests = [
            asking.request(sample, prompt="direct", blind=False, sampling=self._sampling)
            for sample in samples
        ]
        answers = [
            benchmark.Answer(completion.text, completion.finish_reason, len(completion.tokens))
            for (completion,) in engine.generate(requests)
        ]
        return list(benchmark.score_all(samples, answers))


def _describe(name: str, sample: benchmark.Sample, row: dict[str, Any]) -> dict[str, Any]:
    """A row of samples/*.jsonl; pictures that are no files are left out."""
    visuals = [part[part["type"]] for part in sample.media]
    return {
        "benchmark": name,
        "id": sample.id,
        "question": sample.question,
        "images": [v for v in visuals if isinstance(v, str)],
        "gold": sample.gold,
        "response": row["response"],
        "finish_reason": row["finish_reason"],
        "correct": row["strict"]["correct"],
        "status": row["strict"]["status"],
    }
