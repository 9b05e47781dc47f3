# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Generates answers to benchmarks and scores them, or scores an existing prediction file.

    python -m lingshu_jax.evaluate --model=DIR_OR_ID --engine=jax --benchmarks=vqa_rad \
        --data_dir=DIR --output_dir=DIR
    python -m lingshu_jax.evaluate --predictions=FILE --benchmarks=vqa_rad --output_dir=DIR

The same command again goes on where it was interrupted; on a finished folder it does nothing.
"""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from absl import flags

from lingshu_jax.common import cli, pages, paths
from lingshu_jax.engines import protocol, registry
from lingshu_jax.eval import metrics, runner


def run(
    settings: runner.Settings,
    output_dir: Path,
    *,
    options: registry.Options = registry.DEFAULTS,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Evaluates with the settings' engine, or scores their prediction file.

    Args:
      settings: What to evaluate, and how.
      output_dir: Missing, empty, or begun with the same settings.
      options: Of the engine.
      overwrite: Deletes an earlier evaluation in `output_dir`.

    Returns:
      The content of summary.json.

    Raises:
      UserError: If an input cannot be used.
    """
    if settings.predictions:
        return runner.score_predictions(settings, output_dir, overwrite=overwrite)
    choice = registry.choose(settings.engine, settings.model, options=options)
    settings = dataclasses.replace(settings, **choice.settings())
    with contextlib.ExitStack() as stack:

        def make() -> protocol.Engine:
            return stack.enter_context(contextlib.closing(choice.make()))

        return runner.evaluate(settings, output_dir, make, overwrite=overwrite)


def define_flags() -> None:
    """Defines the command's flags."""
    registry.define_flags()
    flags.adopt_module_key_flags(registry)  # --help shows them
    flags.DEFINE_alias("batch_size", "rows")
    flags.DEFINE_string("benchmarks", None, "Comma list of names, or rows:FILE.jsonl.")
    flags.DEFINE_string("data_dir", None, "Folder of the benchmarks' data.")
    flags.DEFINE_string("output_dir", None, "Where everything is written.")
    flags.DEFINE_string("predictions", None, "Score this file; nothing is generated.")
    flags.DEFINE_integer("limit", None, "Only the first rows of each benchmark.")
    flags.DEFINE_integer("max_new_tokens", 1024, "Longest answer, in tokens.")
    flags.DEFINE_string("prompt", "direct", "direct, or think for the think/answer form.")
    flags.DEFINE_boolean("overwrite", False, "Delete an earlier evaluation first.")
    flags.DEFINE_boolean("blind", False, "Replace every image by a grey one.")


def main(argv: list[str]) -> None:
    """Evaluates as the flags say and prints one line a benchmark."""
    del argv
    address = cli.required("output_dir")
    if cli.flag("predictions"):
        model = cli.flag("model") or Path(cli.flag("predictions")).stem
        benchmarks = cli.flag("benchmarks") or runner.UNNAMED
    else:
        model, benchmarks = cli.required("model"), cli.required("benchmarks")
    settings = runner.Settings(
        model=model,
        engine="" if cli.flag("predictions") else cli.flag("engine"),
        benchmarks=benchmarks,
        data_dir=cli.flag("data_dir") or "",
        limit=cli.flag("limit"),
        max_new_tokens=cli.flag("max_new_tokens"),
        prompt=cli.flag("prompt"),
        blind=cli.flag("blind"),
        predictions=cli.flag("predictions") or "",
    )
    with paths.opened(address) as output_dir:
        summary = run(
            settings,
            output_dir,
            options=registry.options_from_flags(),
            overwrite=cli.flag("overwrite"),
        )
    print_summary(summary)
    print(f"report: {address}/report.html")


def print_summary(summary: dict[str, Any]) -> None:
    """Prints a line a benchmark: rows, both accuracies, the constant's, failures."""
    for name, numbers in summary["benchmarks"].items():
        failures = [f"{numbers[f]} {f}" for f in metrics.FAILURES if numbers[f]]
        print(
            f"{name}: {numbers['n']} rows, compat {pages.percent(numbers['compat_accuracy'])},"
            f" strict {pages.percent(numbers['strict_accuracy'])},"
            f" constant {pages.percent(numbers['constant_accuracy'])}"
            + (f"; {', '.join(failures)}" if failures else "")
        )


if __name__ == "__main__":
    cli.run(main, define_flags)
