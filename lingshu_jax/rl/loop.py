# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""run(): stage 4 from its config to its last checkpoint."""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from lingshu_jax.common import errors, metrics, runtime
from lingshu_jax.engines import jax_engine, protocol
from lingshu_jax.models import lora
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import heldout, learner, questions, rewards, rollout, tasks
from lingshu_jax.stages import inputs, measures, optim, profile, run_folder
from lingshu_jax.stages import trainer as trainer_lib

ROLLOUTS = "rollouts"


def run(
    config: rl_config.RLStageConfig,
    workdir: pathlib.Path,
    *,
    reward_fn: rewards.RewardFn | None = None,
) -> dict[str, Any]:
    """Trains stage 4; continues from the newest checkpoint; a finished run is left alone.

    Which prompts a step samples, and with which draws, is a pure function of the seed and the
    step, so the step is all that a checkpoint has to remember.

    Args:
      config: Validated.
      workdir: The run's folder, as of the other stages, with `rollouts/`.
      reward_fn: Judges completions; default `rewards.FormatAccuracy` as configured.

    Returns:
      What `finished.json` holds.

    Raises:
      UserError: If the folder holds another run, or an input cannot be used.
    """
    finished = run_folder.open_run(config, workdir)
    if finished is not None:
        return finished
    reward_fn = reward_fn or rewards.FormatAccuracy(**dataclasses.asdict(config.rl.reward))
    task = tasks.read(config, workdir)
    live = _Run(config, workdir, task, reward_fn)
    inputs.write_data(
        workdir, task.manifest, task.dropped, start=task.start, held_out=task.held_out_manifest
    )
    rows = live.train()
    summary = {**summarise(config, task, rows), **live.guard_counts()}
    run_folder.finish(workdir, summary)
    return summary


@dataclasses.dataclass(frozen=True)
class _Watched:
    """An engine that tells of every answered request."""

    engine: jax_engine.JaxEngine
    progress: Callable[[], None]

    def generate(
        self,
        requests: Sequence[protocol.Request],
        *,
        on_result: protocol.OnCompletions | None = None,
    ) -> list[list[protocol.Completion]]:
        def watch(place: int, result: list[protocol.Completion] | protocol.Failure) -> None:
            self.progress()
            if on_result is not None:
                on_result(place, result)
            elif isinstance(result, protocol.Failure):
                raise errors.UserError(result.reason)

        return self.engine.generate(requests, on_result=watch)


class _Run:
    """The live parts of a run: trainer, engine, learner, examination, files."""

    def __init__(
        self,
        config: rl_config.RLStageConfig,
        workdir: pathlib.Path,
        task: tasks.Task,
        reward_fn: rewards.RewardFn,
    ):
        self._config, self._task, self._workdir = config, task, workdir
        self._watch = metrics.Stopwatch(useful=("rollout", "step"))
        total_steps = config.rl.total_steps(
            steps=config.steps, epochs=config.epochs, num_prompts=len(task.prompts)
        )
        self._trainer = trainer_lib.Trainer(
            config, task.start, total_steps=total_steps, workdir=workdir
        )
        # Before restoring: the reference is what the stage began with, on a continued run too.
        reference = self._reference() if config.rl.kl_coef > 0 else None
        self._trainer.restore()
        self._learner = learner.Learner(config, self._trainer, task.encoder, reference)
        self._engine = jax_engine.JaxEngine(
            self._trainer.state.params(),
            self._trainer.model,
            task.encoder,
            rows=config.rl.generation_rows,
            max_images=sys.maxsize,  # prompts were chosen by their tokens and patches
        )
        self._sampler = rollout.Sampler(
            max_new_tokens=config.rl.max_new_tokens,
            temperature=config.rl.temperature,
            samples=config.rl.rollouts_per_prompt,
            seed=config.seed,
            reward_fn=reward_fn,
        )
        self._exam = heldout.Exam(
            prompts=task.held_out,
            sampler=dataclasses.replace(
                self._sampler, samples=config.rl.eval.samples_per_prompt, stream=heldout.STREAM
            ),
            greedy=config.rl.eval.greedy,
            blind_probe=config.rl.eval.blind_probe,
        )
        self._profiler = profile.Profiler(config.profile_steps, workdir)

    def train(self) -> list[dict[str, Any]]:
        """The loop proper; returns all metric rows of the run."""
        trainer = self._trainer
        (self._workdir / ROLLOUTS).mkdir(exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(trainer.running())
            writer = measures.open_writer(trainer, self._watch)
            stack.callback(writer.close)
            stack.callback(self._profiler.close)
            bar = stack.enter_context(trainer_lib.progress_bar(trainer))
            while trainer.step < trainer.total_steps:
                for row in self._one_rollout():
                    if self._is_logged(row):
                        writer.write(trainer.step, row)
                    bar.set_postfix(reward=f"{row['reward/total']:.3f}", refresh=False)
                    bar.update()
                trainer.begin("save")
                trainer.save_if_due({inputs.MIXTURE: self._task.manifest.sha256})
                self._watch.lap("save")
        run_folder.share(self._workdir)
        return metrics.read_rows(self._workdir)

    def guard_counts(self) -> dict[str, int]:
        """Steps skipped, and returns to a checkpoint."""
        return self._trainer.guard.counts()

    def _one_rollout(self) -> Iterator[dict[str, float | None]]:
        """Samples once, then yields a metrics row after each optimizer step.

        After a rollback the updates that are left would learn from answers of discarded weights:
        the next call samples their prompts anew.
        """
        trainer, settings = self._trainer, self._config.rl
        first = trainer.step
        examined = self._examine() if first % settings.eval.every_steps == 0 else {}
        engine = self._engine_for("rollout")
        groups = rollout.collect(self._next_prompts(), engine, self._sampler, step=first)
        seconds = self._watch.lap("rollout")
        judged = rollout.group_advantages(
            groups, eps=settings.advantage_eps, scale_by_std=settings.scale_by_std
        )
        if runtime.is_main_host():
            folder = self._workdir / ROLLOUTS
            rollout.write_records(folder, groups, judged.values, step=first + 1)
        described = {
            **rollout.statistics(groups),
            "advantage/abs": float(np.abs(judged.values).mean()),
            "groups/zero_variance": judged.zero_variance_groups / len(groups),
            "rollout/tokens_per_second": _count_tokens(groups) / seconds,
        }
        updates = self._plan(groups, judged.values)
        # The first update is on policy; what the later ones call old is fixed before it.
        old = [None, *map(self._old_logprobs, updates[1:])]
        self._watch.lap("old_logprobs")
        for passes, old_logprobs in zip(updates, old, strict=True):
            rates = trainer.learning_rates()
            trainer.begin("step")
            with self._profiler.step(trainer.step + 1):
                learned = self._learner.learn(passes, old_logprobs)
            is_rolled_back = trainer.check_step(learned.scalars)
            seconds = self._watch.lap("step")
            if trainer.step == trainer.total_steps:
                examined = self._examine()
            row = {**learned.scalars, **rates, **described, **examined}
            row |= {"staleness": float(trainer.step - 1 - first), "tokens": learned.work.tokens}
            if self._is_logged(row):
                row |= measures.describe_cost(
                    learned.work, trainer, self._watch, step_seconds=seconds
                )
            yield row
            examined = {}
            if is_rolled_back:
                return

    def _is_logged(self, row: Mapping[str, Any]) -> bool:
        return self._trainer.is_logged or "eval/step" in row

    def _engine_for(self, phase: str) -> protocol.Generator:
        """The engine with the weights as they are; each request that it answers is a phase."""
        self._trainer.begin(phase)
        self._engine.set_params(self._trainer.state.params())
        return _Watched(self._engine, functools.partial(self._trainer.begin, phase))

    def _old_logprobs(self, passes: learner.Passes) -> learner.OldLogprobs:
        """Of one update, computed when it returns: not at the cost of the first step."""
        self._trainer.begin("old_logprobs")
        return jax.block_until_ready(self._learner.old_logprobs(passes))

    def _plan(self, groups: list[rollout.Group], advantages: np.ndarray) -> list[learner.Passes]:
        """The passes of each update; a group is never split between two."""
        size, weighing = self._config.rl.prompts_per_update, self._config.data.layout.normalization
        updates = []
        for start in range(0, len(groups), size):
            pairs = zip(groups[start : start + size], advantages[start : start + size], strict=True)
            updates.append(
                self._learner.plan(
                    [rollout.to_sequences(g, row, normalization=weighing) for g, row in pairs]
                )
            )
        return updates

    def _next_prompts(self) -> list[questions.Prompt]:
        """The prompts of the updates from the current step to the end of its rollout batch."""
        prompts, settings, step = self._task.prompts, self._config.rl, self._trainer.step
        end = (step // settings.updates_per_rollout + 1) * settings.prompts_per_rollout
        places = questions.order(len(prompts), seed=self._config.data.seed)
        chosen = itertools.islice(places, step * settings.prompts_per_update, end)
        return [prompts[place] for place in chosen]

    def _examine(self) -> Mapping[str, float | None]:
        if not self._task.held_out:
            return {}
        scores = self._exam.take(self._engine_for("eval"), step=self._trainer.step)
        self._watch.lap("eval")
        logging.info("held out: %s", scores)
        return scores

    def _reference(self) -> optim.Leaves:
        """The first weights of what is trained, in the compute dtype.

        Adapters are left out: new ones add nothing. Where they alone are trained nothing is read.
        """
        groups = optim.trained_groups(self._trainer.groups)
        trained = [name for group in groups for name in group.names]
        names = {name for name in trained if not lora.is_adapter(name)}
        if not names:
            return {}
        leaves = optim.flatten(self._trainer.first_params())
        dtype = jnp.dtype(self._config.model.compute_dtype)
        cast = jax.jit(lambda tree: jax.tree.map(lambda x: x.astype(dtype), tree))
        return cast({name: leaf for name, leaf in leaves.items() if name in names})


def summarise(
    config: rl_config.RLStageConfig, task: tasks.Task, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """What a run came to: first and last quarter of every term side by side.

    Args:
      config: The stage.
      task: What was read.
      rows: All metric rows.
    """
    total = rows[-1]["step"]
    names = [f"{group}/{term}" for group in ("reward", "eval", "blind") for term in _TERMS]
    quarters = {
        "first_quarter": [row for row in rows if row["step"] <= max(1, total // 4)],
        "last_quarter": [row for row in rows if row["step"] > total - max(1, total // 4)],
    }
    return {
        "stage": config.stage,
        "steps": total,
        "first_loss": rows[0]["loss"],
        "last_loss": rows[-1]["loss"],
        "prompts": len(task.prompts),
        "held_out": len(task.held_out),
        "dropped": len(task.dropped),
        **{
            quarter: {name: _mean_present(part, name) for name in names}
            for quarter, part in quarters.items()
        },
        "fill": {name: rows[-1][f"fill/{name}"] for name in ("tokens", "patches")},
        "tokens_per_second": float(np.median([row["tokens_per_second"] for row in rows])),
        "trained": [rule.pattern for rule in config.rules if rule.peak is not None],
        "frozen": [rule.pattern for rule in config.rules if rule.peak is None],
    }


_TERMS = ("format", "accuracy", "greedy_accuracy")


def _count_tokens(groups: Sequence[rollout.Group]) -> int:
    return sum(len(completion.tokens) for group in groups for completion in group.completions)


def _mean_present(rows: list[dict[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(values)) if values else None
