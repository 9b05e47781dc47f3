# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The whole system at a small size on real medical images; `make demo [IMAGES=DIR]` runs it.

It is the recipe of `configs/recipe.py:tiny`, then a summary and a report; nothing in it is a
special path. A user with real weights runs `lingshu_jax.recipe` with the same config file.
"""

import pathlib
import time
from typing import Any

from absl import flags

from lingshu_jax import recipe, report, verify, verify_prompts
from lingshu_jax.common import cli, runtime
from lingshu_jax.data import demo_rows, sources
from lingshu_jax.eval import metrics
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import run_folder

SUMMARY, REPORT = "summary.json", "report.html"
BENCHMARK = "demo_vqa"
COMPARED = 4  # held-out questions asked of transformers too

NOTES = (
    "A random model of 1.7 million parameters, trained for a few minutes: it shows that the "
    "system works from end to end, not what such a model can do.",
    "Captions and questions were made from technical header fields and pixels; header elements "
    "that may identify a person were left behind.",
    "For research. Not a medical device.",
)


def run(config: recipe.RecipeConfig, workdir: pathlib.Path) -> dict[str, Any]:
    """Runs the recipe and writes `summary.json` and `report.html`.

    Args:
      config: The recipe.
      workdir: The demo's folder; continued if it exists.

    Returns:
      The content of `summary.json`.

    Raises:
      UserError: If an input cannot be used.
    """
    workdir = workdir.absolute()
    started = time.perf_counter()
    done = recipe.run(config, workdir)
    rows = demo_rows.load(workdir / stage_config.DEMO)
    summary = {
        "seconds": round(time.perf_counter() - started, 1),
        "images": rows.images,
        "rows": rows.counts,
        "skipped_files": len(rows.skipped),
        "dropped_tags": rows.dropped_tags,
        **done,
        "export_agreement": _agreement(workdir),
    }
    run_folder.write_json(workdir / SUMMARY, summary)
    report.write_recipe_page(
        workdir / REPORT,
        title="lingshu_jax demo",
        stages={name: recipe.stage_folder(workdir, name) for name in recipe.STAGES},
        evaluations={when: workdir / recipe.EVALUATION / when for when in summary["evaluations"]},
        facts=_facts(summary),
        notes=NOTES,
    )
    return summary


def format_summary(summary: dict[str, Any]) -> str:
    """The printed table: what was learned, what was frozen, how full, how fast.

    Args:
      summary: From `run`.
    """
    lines = [_line("stage", "loss first", "loss last", "tokens/s", "fill tok/pat", "frozen")]
    for name, stage in summary["stages"].items():
        fill = stage["fill"]
        lines.append(
            _line(
                name,
                f"{stage['first_loss']:.3f}",
                f"{stage['last_loss']:.3f}",
                f"{stage['tokens_per_second']:,.0f}",
                f"{fill['tokens']:.0%} / {fill['patches']:.0%}",
                ", ".join(stage["frozen"]) or "nothing",
            )
        )
    lines += ["", _line("GRPO", "first quarter", "last quarter")]
    rl = summary["stages"]["rl"]
    for term, label in _TERMS.items():
        first, last = rl["first_quarter"].get(term), rl["last_quarter"].get(term)
        if first is not None and last is not None:
            lines.append(_line(label, f"{first:.3f}", f"{last:.3f}"))
    lines += ["", _line("evaluation", "strict", "compat", *metrics.FAILURES[:3])]
    for when, evaluation in summary["evaluations"].items():
        scores = evaluation["benchmarks"][BENCHMARK]
        shares = (scores["strict_accuracy"], scores["compat_accuracy"])
        failures = (str(scores[failure]) for failure in metrics.FAILURES[:3])
        lines.append(_line(when, *(f"{share:.1%}" for share in shares), *failures))
    constant = summary["evaluations"]["after"]["benchmarks"][BENCHMARK]["constant_accuracy"]
    lines.append(_line("constant answer", f"{constant:.1%}"))
    lines += ["", *(f"{name}: {value}" for name, value in _facts(summary).items())]
    return "\n".join(lines)


_TERMS = {
    "reward/format": "format reward, training",
    "reward/accuracy": "accuracy reward, training",
    "eval/accuracy": "accuracy, held out",
    "blind/accuracy": "accuracy, held out, blind",
}


def _line(first: str, *cells: str) -> str:
    return f"{first:<27}" + "".join(f"{cell:>15}" for cell in cells)


def _facts(summary: dict[str, Any]) -> dict[str, str]:
    images = summary["images"]
    return {
        "images": f"{images['train']} for training, {images['test']} held out",
        "identifying header elements left behind": str(summary["dropped_tags"]),
        "files without a picture": str(summary["skipped_files"]),
        "export beside transformers": summary["export_agreement"],
        "seconds": str(summary["seconds"]),
    }


def _agreement(workdir: pathlib.Path) -> str:
    if not verify.is_possible():
        return "not compared: torch is not installed here; `make oracle` compares"
    source = sources.Source(name="held_out", path="vqa_test.jsonl")
    examples = sources.read(source, workdir / stage_config.DEMO).examples[:COMPARED]
    prompts = [verify_prompts.Prompt(x.id, x.messages) for x in examples]
    found = verify.run(workdir / recipe.EXPORT, prompts, dtypes=(verify.FLOAT32,))
    rows = found.rows[verify.FLOAT32]
    tokens = sum(row.greedy_tokens for row in rows)
    return (
        f"{'agrees' if found.agrees else 'differs'} at {len(rows)} prompts: largest relative "
        f"difference of a logit {max(row.distance.logits for row in rows):.1e}, "
        f"{sum(row.equal_tokens for row in rows)} of {tokens} greedy tokens equal"
    )


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config("configs/recipe.py:tiny")
    flags.DEFINE_string("workdir", "runs/demo", "Folder of the demo; continued if it exists.")
    flags.DEFINE_string("images", "", "Folder of DICOM, NIfTI, PNG or JPEG files to use instead.")


def main(argv: list[str]) -> None:
    """Runs the demo, prints its summary and where the report is."""
    del argv
    config, workdir = cli.required("config"), pathlib.Path(cli.required("workdir"))
    config.images = cli.flag("images")
    runtime.start()
    print(format_summary(run(config, workdir)))
    print(f"report: {workdir / REPORT}")


if __name__ == "__main__":
    cli.run(main, define_flags)
