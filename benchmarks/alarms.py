# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Small trainings of stage 4 that go wrong on purpose, and the alarms that rise in them.

    PYTHONPATH=. python -m benchmarks.alarms --workdir=DIR [--trials=brief,stale]

Each is `configs/stage4_rl.py:tiny` with a reward, or a setting, that breaks it; the bounds and the
patience of the alarms are the defaults. One that has raised the alarm it is made for ends with a
checkpoint (`rl.monitors.stop_on`). `honest` is the twin: nothing is broken and nothing may rise.
`DIR/alarms.json` and `DIR/alarms.md` say at which step each alarm rose first. Exit code 1: an alarm
did not rise, or rose in the honest training. What is finished is not done again.
"""

import contextlib
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags

from configs import stage4_rl
from lingshu_jax.common import cli, errors, metrics, pages, runtime
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import loop, rewards

HONEST, COLLAPSED = "honest", "one_letter"
STEPS, HONEST_STEPS = 160, 60
PREFIX = "alarm/"


class Trial(NamedTuple):
    """A training.

    Attributes:
      wrong: What is, for the table.
      alarm: That it is made to raise; "" for none.
      reward: Instead of the config's.
      change: Of the config.
      start: The trial whose last weights it begins with; "" is random ones.
    """

    wrong: str
    alarm: str
    reward: rewards.RewardFn | None = None
    change: Callable[[rl_config.RLStageConfig], None] | None = None
    start: str = ""


def form_alone(
    completion: str, question: rewards.Question, *, finish_reason: str
) -> rewards.Reward:
    """Form that a random model learns, plain letters, and an answer that is never right."""
    del question, finish_reason
    return _earned(form=_share(completion, str.isalpha), accuracy=0.0)


def brief(completion: str, question: rewards.Question, *, finish_reason: str) -> rewards.Reward:
    """Pays for ending soon."""
    del completion, question
    return _earned(form=0.0, accuracy=float(finish_reason == "stop"))


def one_letter(
    completion: str, question: rewards.Question, *, finish_reason: str
) -> rewards.Reward:
    """Pays for the letter e, so that every answer becomes the same."""
    del question, finish_reason
    return _earned(form=0.0, accuracy=_share(completion, "e".__eq__))


def variety(completion: str, question: rewards.Question, *, finish_reason: str) -> rewards.Reward:
    """Pays for characters that did not stand before: noise."""
    del question, finish_reason
    return _earned(form=0.0, accuracy=len(set(completion)) / 64)


def letters(completion: str, question: rewards.Question, *, finish_reason: str) -> rewards.Reward:
    """Pays for plain letters as if they were the form and right."""
    del question, finish_reason
    share = _share(completion, str.isalpha)
    return _earned(form=share, accuracy=share)


def _share(text: str, counts: Callable[[str], bool]) -> float:
    return sum(c.isascii() and counts(c) for c in text) / max(len(text), 1)


def _earned(*, form: float, accuracy: float) -> rewards.Reward:
    return rewards.Reward(form + accuracy, {"format": form, "accuracy": accuracy}, "ok", None)


def _learn_fast(config: rl_config.RLStageConfig) -> None:
    """Six times the rate, and it stays."""
    config.optim.trainable, config.optim.final_fraction = ((".*", 3e-3),), 1.0


def _learn_slowly(config: rl_config.RLStageConfig) -> None:
    """So that the steps of the baseline are over before anything moves."""
    config.optim.trainable, config.optim.final_fraction = ((".*", 2e-4),), 1.0


def _sample_ahead(config: rl_config.RLStageConfig) -> None:
    """The sampler is an update behind, and the updates are large."""
    config.rl.rollouts_ahead = 1
    _learn_fast(config)


TRIALS: Mapping[str, Trial] = {
    HONEST: Trial("nothing", "", letters),
    "form_alone": Trial(
        "reward pays form, no answer is right", "format_without_accuracy", form_alone
    ),
    "brief": Trial("reward pays for ending", "length_drift", brief),
    COLLAPSED: Trial(
        "reward pays for one letter", "entropy_collapse", one_letter, change=_learn_fast
    ),
    "loops": Trial("from there on", "repetition", one_letter, _learn_fast, COLLAPSED),
    "same": Trial("from there on", "duplicates", one_letter, _learn_fast, COLLAPSED),
    "noise": Trial(
        "from there on reward pays for noise",
        "entropy_explosion",
        variety,
        _learn_slowly,
        COLLAPSED,
    ),
    "stale": Trial("sampler one update behind at a high rate", "ratio_gap", letters, _sample_ahead),
}


def run(name: str, workdir: pathlib.Path) -> dict[str, Any]:
    """Trains, until the alarm rises.

    Args:
      name: Of a trial.
      workdir: Of all trials.

    Returns:
      `steps`, and `raised`: the first step of each alarm that rose.
    """
    trial = TRIALS[name]
    config = stage4_rl.get_config("tiny")
    config.rl.eval.sources = ()
    config.steps, config.save_every_steps = (STEPS if trial.alarm else HONEST_STEPS), 40
    config.rl.monitors.stop_on = (trial.alarm,) if trial.alarm else ()
    if trial.start:
        config.model.init_from = str(workdir / trial.start)
    if trial.change is not None:
        trial.change(config)
    config.validate()
    with contextlib.suppress(SystemExit):  # the alarm ended it
        if not first_steps(metrics.read_rows(workdir / name)).get(trial.alarm):
            loop.run(config, workdir / name, reward_fn=trial.reward)
    rows = metrics.read_rows(workdir / name)
    return {"steps": rows[-1]["step"], "raised": first_steps(rows)}


def first_steps(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The first step of each alarm that is up in a row.

    Args:
      rows: Of `metrics.jsonl`, in order.
    """
    first: dict[str, int] = {}
    for row in rows:
        for name in (name for name, value in row.items() if name.startswith(PREFIX) and value):
            first.setdefault(name.removeprefix(PREFIX), row["step"])
    return first


def faults(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Trials in which the alarm did not rise, or any did where none may.

    Args:
      results: Of `run`, by trial.
    """
    return [
        name
        for name, found in results.items()
        if (TRIALS[name].alarm not in found["raised"] if TRIALS[name].alarm else found["raised"])
    ]


def to_markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The table.

    Args:
      results: Of `run`, by trial.
    """
    heads = ["training", "what is wrong", "alarm", "rose at step", "others, at step", "steps"]
    lines = [pages.markdown_row(heads), pages.markdown_row(["---"] * 3 + ["---:", "---", "---:"])]
    for name, found in results.items():
        trial, raised = TRIALS[name], dict(found["raised"])
        own = raised.pop(trial.alarm, "never" if trial.alarm else "")
        others = ", ".join(f"{alarm} {step}" for alarm, step in raised.items())
        cells = [name, trial.wrong, trial.alarm or "none", own, others, found["steps"]]
        lines.append(pages.markdown_row(cells))
    return "\n".join([*lines, ""])


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("workdir", None, "Folder of the trainings.")
    flags.DEFINE_list("trials", list(TRIALS), "Which, in this order.")


def main(argv: list[str]) -> None:
    """Trains all and writes the table."""
    del argv
    workdir = pathlib.Path(cli.required("workdir")).absolute()
    names: list[str] = cli.flag("trials")
    unknown = [name for name in names if name not in TRIALS]
    if unknown:
        raise errors.UserError(f"--trials={unknown[0]}: allowed are {', '.join(TRIALS)}")
    runtime.start()
    results = {name: run(name, workdir) for name in names}
    (workdir / "alarms.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (workdir / "alarms.md").write_text(to_markdown(results), encoding="utf-8")
    print(to_markdown(results))
    sys.exit(1 if faults(results) else 0)


if __name__ == "__main__":
    cli.run(main, define_flags)
