# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Judges the answers of a finished evaluation with a language model.

    python -m lingshu_jax.judge --evaluation=DIR --model=NAME --engine=openai

Any engine can be the judge. The same command again goes on where it was interrupted. Verdicts stand
beside those of the rules: under the judge's name in samples.jsonl, and in the report.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from absl import flags

from lingshu_jax.common import cli, pages, paths
from lingshu_jax.engines import registry
from lingshu_jax.eval.judge import items, judges, prompts, verdicts
from lingshu_jax.eval.judge import run as judging


def run(
    judge: judges.Judge,
    evaluation: str,
    *,
    extent: judging.Extent = judging.ALL,
    options: registry.Options = registry.DEFAULTS,
) -> dict[str, Any]:
    """Judges a finished evaluation.

    Args:
      judge: Who is asked; `engine` and `model` choose the engine.
      evaluation: Its folder, or the address of one.
      extent: About how much.
      options: Of the engine.

    Returns:
      The content of the section `judge`.

    Raises:
      UserError: If an input cannot be used, or something got no reply.
    """
    choice = registry.choose(judge.engine, judge.model, options=options)
    judge.validate()
    choice.check(judge.sampling)
    judge = judges.with_settings(judge, choice.settings())
    with paths.opened(evaluation) as output_dir, contextlib.ExitStack() as stack:
        return judging.run(
            judge,
            output_dir,
            lambda: stack.enter_context(contextlib.closing(choice.make())),
            extent=extent,
        )


def define_flags() -> None:
    """Defines the command's flags."""
    registry.define_flags()
    flags.adopt_module_key_flags(registry)  # --help shows them
    flags.DEFINE_string("evaluation", None, "Folder of a finished evaluation.")
    flags.DEFINE_string("name", "", "Of the judge; default: from model and style.")
    flags.DEFINE_string("style", "strict", f"Of the prompt: {', '.join(prompts.STYLES)}.")
    flags.DEFINE_string("items", "open", f"Which answers: {', '.join(items.ITEMS)}.")
    flags.DEFINE_list("benchmarks", [], "Names; default: all of the evaluation.")
    flags.DEFINE_float("share", 1.0, "Of the answers, drawn at random.")
    flags.DEFINE_integer("calibrate", 0, "Questions a benchmark whose truth is known; 0: none.")
    flags.DEFINE_integer("seed", 0, "Of requests and draws.")
    flags.DEFINE_integer("max_new_tokens", 4096, "Longest reply, in tokens.")
    flags.DEFINE_boolean("score_failed", False, "What gets no reply counts as a failure.")


def main(argv: list[str]) -> None:
    """Judges as the flags say and prints some lines a benchmark."""
    del argv
    evaluation = cli.required("evaluation")
    judge = judges.Judge(
        name=cli.flag("name"),
        style=cli.flag("style"),
        model=cli.required("model"),
        engine=cli.flag("engine"),
        seed=cli.flag("seed"),
        max_new_tokens=cli.flag("max_new_tokens"),
    )
    extent = judging.Extent(
        benchmarks=tuple(cli.flag("benchmarks")),
        items=cli.flag("items"),
        share=cli.flag("share"),
        calibrate=cli.flag("calibrate"),
        score_failed=cli.flag("score_failed"),
    )
    content = run(judge, evaluation, extent=extent, options=registry.options_from_flags())
    for line in lines(content, judge.title):
        print(line)
    print(f"report: {evaluation}/report.html")


def lines(content: Mapping[str, Any], judge: str) -> list[str]:
    """What is printed of a judge: a line a benchmark, then one on its calibration.

    Args:
      content: Of the section `judge`.
      judge: Its name.
    """
    said = []
    for name, numbers in content["benchmarks"].items():
        found = numbers["judges"].get(judge)
        if found is None:
            continue
        if "rubric" in found:
            said += [
                f"{name}, {part}: score {pages.percent(n['score'])}, {n['scored']} of {n['n']}"
                f" answers, {n['failed']} of {n['criteria']} criteria failed"
                for part, n in found["rubric"].items()
            ]
            continue
        counts = ", ".join(f"{found[outcome]} {outcome}" for outcome in verdicts.OUTCOMES)
        accuracies = "".join(
            f"; {mode} {pages.percent(numbers[f'{mode}_accuracy'])}, with the judge"
            f" {pages.percent(found[f'{mode}_judged_accuracy'])}"
            for mode in ("compat", "strict")
            if found[f"{mode}_judged_accuracy"] is not None
        )
        said.append(f"{name}: {found['judged']} judged: {counts}{accuracies}")
    known = content["calibration"].get(judge, {}).get("known", {})
    said += [
        f"calibration, {kind.replace('_', ' ')}: {pages.percent(k['share'])} of {k['n']} correct,"
        f" target {'met' if k['met'] else 'missed'}"
        for kind, k in known.items()
    ]
    return said


if __name__ == "__main__":
    cli.run(main, define_flags)
