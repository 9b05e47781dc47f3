# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""GRPO on VQA-RAD beside supervised fine-tuning for the same time, from one model.

    PYTHONPATH=. python -m benchmarks.rl_run --run=DIR --workdir=DIR

`--run` is a finished folder of `real_run.py`, whose stage 3 is where it begins. In the work folder:
`form/` that model after one pass over rows in the form that is asked for, `rl/` and `tuning/` what
became of it on either way, `report.html`, `results.json` and `results.md`. All three are asked the
official test split in the same words and judged by the reward; again with every image greyed out
and with the images of other questions. What is finished is not done again. `--steps=N` is a trial.
"""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from absl import flags

from configs import rl_run as rl_run_config
from lingshu_jax import export, report, train
from lingshu_jax.common import cli, metrics, pages, runtime
from lingshu_jax.data import formats, packing
from lingshu_jax.engines import jax_engine
from lingshu_jax.eval import stats
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import questions, rewards, rollout, tasks
from lingshu_jax.stages import run_folder

ROWS, START = "data", "stage3_instruct"  # of the real run
MODELS = ("form", "rl", "tuning")
SIGHTS = ("seeing", "blind", "shuffled")
# Parts of a step that train or sample; examinations and saves are no part of either way.
TRAINING = ("sync", "prefill", "decode", "reward", "rollout", "logprobs", "update", "step", "data")
CLOSED, OPEN = "yes_no", "open"
THOUGHT = {CLOSED: "This is a yes or no question.", OPEN: "This is an open question."}

Row = dict[str, Any]


def run(
    config: rl_run_config.RLRunConfig, real: pathlib.Path, workdir: pathlib.Path, *, steps: int = 0
) -> Row:
    """Trains what is not finished yet, examines all three models and writes the tables.

    Args:
      config: With folders not filled in.
      real: Folder of the real run.
      workdir: The run's folder.
      steps: Of every stage, for a trial; 0 takes what the config says.

    Returns:
      The content of `results.json`.
    """
    real, workdir = real.absolute(), workdir.absolute()
    folders = {name: workdir / name for name in MODELS}
    workdir.mkdir(parents=True, exist_ok=True)
    config = _bind(config, real, workdir, steps)
    # The same questions, while the model that stage 4 begins with is not there yet.
    asking = dataclasses.replace(config.rl, model=config.form.model)
    formats.write_jsonl(workdir / f"{rl_run_config.FORM}.jsonl", form_rows(asking, workdir))
    train.run_stage(config.form, folders["form"])
    train.run_stage(config.rl, folders["rl"])
    train.run_stage(as_long(config.tuning, folders), folders["tuning"])
    answered = {name: examine(config.rl, folder) for name, folder in folders.items()}
    results = {
        "trial_steps": steps,
        "seconds": {name: training_seconds(folder) for name, folder in folders.items()},
        "steps": {name: metrics.read_rows(folder)[-1]["step"] for name, folder in folders.items()},
        "scores": {name: scores(sights) for name, sights in answered.items()},
        "gains": {
            name: gain(answered[name]["seeing"], answered["form"]["seeing"]) for name in MODELS[1:]
        },
        "reward": _reward_terms(folders["rl"]),
    }
    run_folder.write_json(workdir / "results.json", results)
    (workdir / "results.md").write_text(to_markdown(results), encoding="utf-8")
    report.write_recipe_page(
        workdir / report.REPORT,
        title="GRPO on VQA-RAD",
        stages=folders,
        evaluations={},
        facts={f"minutes, {k}": round(v / 60, 1) for k, v in results["seconds"].items()},
        notes=notes(results),
    )
    return results


def form_rows(config: rl_config.RLStageConfig, workdir: pathlib.Path) -> Iterator[Row]:
    """The training questions as stage 4 asks them, answered in the form that it pays.

    Args:
      config: Of stage 4.
      workdir: Of the run.
    """
    for prompt in tasks.read(config, workdir).prompts:
        thought = THOUGHT[prompt.question.answer_type]
        said = f"<think>{thought}</think><answer>{prompt.question.gold}</answer>"
        yield {
            "id": prompt.id,
            "messages": [*prompt.messages, {"role": "assistant", "content": said}],
        }


def examine(config: rl_config.RLStageConfig, trained: pathlib.Path) -> dict[str, list[Row]]:
    """Asks a trained model the test split, greedily.

    Args:
      config: Of stage 4, which has the test split, the reward and the lengths.
      trained: The workdir of a stage; gets the folder `export` and the file `answers.json`.

    Returns:
      Rows of `id`, `answer_type`, `accuracy` and `format` in the order of the questions, for each
      of `SIGHTS`; those without other images are no part of `shuffled`.
    """
    saved = trained / "answers.json"
    if saved.is_file():
        return json.loads(saved.read_text())
    exported = trained / "export"
    if not (exported / "config.json").is_file():
        export.export(trained, exported)
    task = tasks.read(config, trained)
    engine = jax_engine.JaxEngine.from_folder(exported, rows=config.rl.generation_rows)
    sampler = rollout.Sampler(
        max_new_tokens=config.rl.max_new_tokens,
        temperature=0.0,
        samples=1,
        seed=config.seed,
        reward_fn=rewards.make(config.rl.reward),
    )
    other = questions.with_other_images(
        task.held_out,
        task.encoder,
        seed=config.data.seed,
        max_prompt_tokens=config.rl.max_prompt_tokens,
        budget=packing.Budget(config.data.tokens_per_row, config.data.patches_per_row),
    )
    asked = {
        "seeing": task.held_out,
        "blind": [questions.without_images(prompt) for prompt in task.held_out],
        "shuffled": [prompt for prompt in other if prompt is not None],
    }
    answered = {
        sight: [_row(group) for group in rollout.collect(prompts, engine, sampler, step=0)]
        for sight, prompts in asked.items()
    }
    run_folder.write_json(saved, answered)
    return answered


def training_seconds(workdir: pathlib.Path) -> float:
    """What a stage's steps took, without compilation: each counts as the middle one.

    Args:
      workdir: Of the stage.
    """
    rows = metrics.read_rows(workdir)
    parts = [sum(row.get(f"seconds/{name}") or 0.0 for name in TRAINING) for row in rows]
    return statistics.median(parts) * rows[-1]["step"]


def notes(results: Mapping[str, Any]) -> tuple[str, ...]:
    """What the numbers are of, in sentences.

    Args:
      results: The content of `results.json`.
    """
    trial = results["trial_steps"]
    return (
        *((f"A trial of {trial} steps a stage: its numbers say nothing.",) if trial else ()),
        "One seed and a small model: whether the line works is shown, not what GRPO is worth.",
        "All test images of VQA-RAD occur in its training split, so a score is memory before "
        "reading.",
        "Blind: every image grey. Shuffled: the images of another question. What is right there "
        "was not read from the image.",
        "Both ways train on the same questions; supervised fine-tuning is given the time that "
        "sampling and updates of GRPO took, step times taken in the middle.",
    )


def to_markdown(results: Mapping[str, Any]) -> str:
    """The tables with their notes.

    Args:
      results: The content of `results.json`.
    """
    named = {"form": "before", "rl": "GRPO", "tuning": "fine-tuning, the same time"}
    heads = ["VQA-RAD test", "updates", "training, s", *results["scores"]["rl"]]
    rows = [
        [
            named[name],
            results["steps"][name],
            round(results["seconds"][name]),
            *(pages.percent(value) for value in scores.values()),
        ]
        for name, scores in results["scores"].items()
    ]
    gains = [
        f"* {named[name]}: {100 * gain['mean']:+.1f} points over before, paired 95 % interval "
        f"[{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
        for name, gain in results["gains"].items()
    ]
    terms = [
        [name, *(pages.percent(value) for value in values)]
        for name, values in results["reward"].items()
    ]
    lines = ["# GRPO on VQA-RAD", "", *(f"* {note}" for note in notes(results)), ""]
    lines += [*_table(heads, rows), "", *gains, ""]
    lines += _table(["training reward", "first tenth", "last tenth"], terms)
    return "\n".join(lines) + "\n"


def _bind(
    config: rl_run_config.RLRunConfig, real: pathlib.Path, workdir: pathlib.Path, steps: int
) -> rl_run_config.RLRunConfig:
    """The config with its folders; where steps are given, short stages."""

    def bound(stage: Any, start: pathlib.Path, root: pathlib.Path) -> Any:
        model = dataclasses.replace(stage.model, init_from=str(start))
        data = dataclasses.replace(stage.data, root=str(root))
        stage = dataclasses.replace(stage, model=model, data=data)
        return dataclasses.replace(stage, epochs=0, steps=steps) if steps else stage

    rl = bound(config.rl, workdir / "form", real / ROWS)
    if steps:
        every = dataclasses.replace(rl.rl.eval, every_steps=steps, prompts=8)
        rl = dataclasses.replace(
            rl, rl=dataclasses.replace(rl.rl, eval=every), save_every_steps=steps
        )
    return dataclasses.replace(
        config,
        form=bound(config.form, real / START, workdir),
        tuning=bound(config.tuning, workdir / "form", workdir),
        rl=rl,
    )


def as_long(tuning: Any, folders: Mapping[str, pathlib.Path]) -> Any:
    """The fine-tuning with as many steps as fit into the time of GRPO.

    Args:
      tuning: Its stage.
      folders: Workdirs by model; what was begun keeps its steps.
    """
    one = training_seconds(folders["form"]) / metrics.read_rows(folders["form"])[-1]["step"]
    written = folders["tuning"] / "config.json"
    if written.is_file():  # begun before: its steps stay
        steps = json.loads(written.read_text())["steps"]
    else:
        steps = max(1, round(training_seconds(folders["rl"]) / one))
    return dataclasses.replace(tuning, epochs=0, steps=steps)


def _row(group: rollout.Group) -> Row:
    (reward,) = group.rewards
    asked = group.prompt
    return {"id": asked.id, "answer_type": asked.question.answer_type, **reward.terms}


def _mean(rows: list[Row], term: str, answer_type: str = "") -> float | None:
    chosen = [row[term] for row in rows if answer_type in ("", row["answer_type"])]
    return statistics.fmean(chosen) if chosen else None


def scores(sights: Mapping[str, list[Row]]) -> dict[str, float | None]:
    """Shares of right answers, and of those in the form.

    Args:
      sights: What `examine` gives.
    """
    seeing, blind, shuffled = (sights[name] for name in SIGHTS)
    return {
        "accuracy": _mean(seeing, "accuracy"),
        "closed": _mean(seeing, "accuracy", CLOSED),
        "open": _mean(seeing, "accuracy", OPEN),
        "format": _mean(seeing, "format"),
        "blind": _mean(blind, "accuracy"),
        "shuffled": _mean(shuffled, "accuracy"),
    }


def gain(rows: list[Row], base: list[Row]) -> dict[str, float]:
    """Of the accuracy, question by question, with its 95 % interval.

    Args:
      rows: Of `examine`.
      base: Those of the model it is compared with.
    """
    changes = np.array(
        [row["accuracy"] - other["accuracy"] for row, other in zip(rows, base, strict=True)]
    )
    found = stats.interval([changes])
    return {"mean": float(changes.mean()), "low": found.low, "high": found.high}


def _reward_terms(workdir: pathlib.Path) -> dict[str, list[float]]:
    rows = metrics.read_rows(workdir)
    part = max(1, len(rows) // 10)
    names = ("reward/accuracy", "reward/format", "groups/zero_variance", "length/truncated")
    return {
        name: [statistics.fmean(row[name] for row in some) for some in (rows[:part], rows[-part:])]
        for name in names
    }


def _table(heads: list[str], rows: list[list[Any]]) -> list[str]:
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return [pages.markdown_row(cells) for cells in (heads, rule, *rows)]


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("run", None, "Folder of benchmarks/real_run.py.")
    flags.DEFINE_string("workdir", None, "Folder of the run; continued if it exists.")
    flags.DEFINE_integer("steps", 0, "A trial of so many steps a stage.", lower_bound=0)


def main(argv: list[str]) -> None:
    """Runs and prints the tables."""
    del argv
    real, workdir = pathlib.Path(cli.required("run")), pathlib.Path(cli.required("workdir"))
    runtime.start()
    results = run(rl_run_config.get_config(), real, workdir, steps=cli.flag("steps"))
    print(to_markdown(results))
    print(f"report: {workdir / report.REPORT}")


if __name__ == "__main__":
    cli.run(main, define_flags)
