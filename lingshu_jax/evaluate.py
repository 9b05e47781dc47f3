# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Generates answers to benchmarks and scores them, or scores an existing prediction file.

    python -m lingshu_jax.evaluate --model=HF_DIR --engine=jax --benchmarks=vqa_rad \
        --data_dir=DIR --output_dir=DIR
    python -m lingshu_jax.evaluate --predictions=FILE --benchmarks=vqa_rad --output_dir=DIR

The same command again goes on where it was interrupted; on a finished folder it does nothing.
"""

import dataclasses
from pathlib import Path
from typing import Any

from absl import flags

from lingshu_jax.common import cli, errors
from lingshu_jax.engines import protocol
from lingshu_jax.eval import metrics, report, runner

ENGINES = ("jax",)  # of these there is one now

_MODEL = flags.DEFINE_string("model", None, "Hugging Face folder.")
_ENGINE = flags.DEFINE_string("engine", "jax", "Text generator: jax.")
_BENCHMARKS = flags.DEFINE_string("benchmarks", None, "Comma list of names, or rows:FILE.jsonl.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the benchmarks' data.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where everything is written.")
_PREDICTIONS = flags.DEFINE_string("predictions", None, "Score this file; nothing is generated.")
_LIMIT = flags.DEFINE_integer("limit", None, "Only the first rows of each benchmark.")
_MAX_NEW_TOKENS = flags.DEFINE_integer("max_new_tokens", 1024, "Longest answer, in tokens.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Rows generated at a time.")
_PROMPT = flags.DEFINE_string("prompt", "direct", "direct, or think for the think/answer form.")
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Delete an earlier evaluation first.")
_BLIND = flags.DEFINE_boolean("blind", False, "Replace every image by a grey one.")


def run(
    settings: runner.Settings, output_dir: Path, *, batch_size: int = 32, overwrite: bool = False
) -> dict[str, Any]:
    """Evaluates with the settings' engine, or scores their prediction file.

    Args:
      settings: What to evaluate, and how.
      output_dir: Missing, empty, or begun with the same settings.
      batch_size: Rows generated at a time.
      overwrite: Deletes an earlier evaluation in `output_dir`.

    Returns:
      The content of summary.json.

    Raises:
      UserError: If an input cannot be used.
    """
    if settings.predictions:
        return runner.score_predictions(settings, output_dir, overwrite=overwrite)
    if settings.engine not in ENGINES:
        raise errors.UserError(
            f"--engine={settings.engine} is not available; available: {', '.join(ENGINES)}"
        )
    settings = dataclasses.replace(settings, weights=runner.digest_weights(Path(settings.model)))
    return runner.evaluate(
        settings,
        output_dir,
        lambda: _jax_engine(Path(settings.model), batch_size),
        batch_size=batch_size,
        overwrite=overwrite,
    )


def main(argv: list[str]) -> None:
    """Evaluates as the flags say and prints one line a benchmark."""
    del argv
    output_dir = Path(cli.required(_OUTPUT_DIR))
    if _PREDICTIONS.value:
        model = _MODEL.value or Path(_PREDICTIONS.value).stem
        benchmarks = _BENCHMARKS.value or runner.UNNAMED
    else:
        model, benchmarks = cli.required(_MODEL), cli.required(_BENCHMARKS)
    settings = runner.Settings(
        model=model,
        engine="" if _PREDICTIONS.value else _ENGINE.value,
        benchmarks=benchmarks,
        data_dir=_DATA_DIR.value or "",
        limit=_LIMIT.value,
        max_new_tokens=_MAX_NEW_TOKENS.value,
        prompt=_PROMPT.value,
        blind=_BLIND.value,
        predictions=_PREDICTIONS.value or "",
    )
    summary = run(settings, output_dir, batch_size=_BATCH_SIZE.value, overwrite=_OVERWRITE.value)
    print_summary(summary)
    print(f"report: {output_dir / 'report.html'}")


def print_summary(summary: dict[str, Any]) -> None:
    """Prints a line a benchmark: rows, both accuracies, the constant's, failures."""
    for name, numbers in summary["benchmarks"].items():
        failures = [f"{numbers[f]} {f}" for f in metrics.FAILURES if numbers[f]]
        print(
            f"{name}: {numbers['n']} rows, compat {report.percent(numbers['compat_accuracy'])},"
            f" strict {report.percent(numbers['strict_accuracy'])},"
            f" constant {report.percent(numbers['constant_accuracy'])}"
            + (f"; {', '.join(failures)}" if failures else "")
        )


def _jax_engine(model: Path, rows: int) -> protocol.Engine:
    # Imported here, so that scoring a file does not wait for JAX.
    from lingshu_jax.common import runtime
    from lingshu_jax.engines import jax_engine

    runtime.start()
    return jax_engine.JaxEngine.from_folder(model, rows=rows)


if __name__ == "__main__":
    cli.run(main)
