# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""run(): stage 4 from its config to its last checkpoint."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from lingshu_jax.common import metrics, runtime
from lingshu_jax.models import flops, lora
from lingshu_jax.rl import (
    advantages,
    experience,
    heldout,
    learner,
    live_engines,
    metric_names,
    monitors,
    pending,
    rewards,
    rollout,
    stream,
    supply,
    tasks,
    weights,
)
from lingshu_jax.rl import config as rl_config
from lingshu_jax.stages import inputs, measures, optim, profile, run_folder
from lingshu_jax.stages import trainer as trainer_lib

ROLLOUTS = "rollouts"
POSITION = "prompts_asked"  # of a checkpoint's meta: where the prompt stream goes on
# What the time of a step goes into; the rest of a rollout is on the host.
_SYNC, _ROLLOUT, _WAIT, _LOGPROBS, _UPDATE = "sync", "rollout", "wait", "logprobs", "update"
_USEFUL = ("prefill", "decode", "generate", "reward", _ROLLOUT, _WAIT, _LOGPROBS, _UPDATE)


def run(
    config: rl_config.RLStageConfig,
    workdir: pathlib.Path,
    *,
    reward_fn: rewards.RewardFn | None = None,
) -> dict[str, Any]:
    """Trains stage 4; continues from the newest checkpoint; a finished run is left alone.

    Which prompts a step samples, and with which draws, is a pure function of the seed, the step and
    the number of prompts asked before, which a checkpoint remembers. Rollouts that were finished
    after it are on disk (`pending`), and a continued run takes them from there.

    Args:
      config: Validated.
      workdir: The run's folder, as of the other stages, with `rollouts/`.
      reward_fn: Judges completions; default `rewards.make` of the config.

    Returns:
      What `finished.json` holds.

    Raises:
      UserError: If the folder holds another run, or an input cannot be used.
    """
    finished = run_folder.open_run(config, workdir)
    if finished is not None:
        return finished
    live_engines.check(config.rl, processes=jax.process_count())
    reward_fn = reward_fn or rewards.make(config.rl.reward)
    task = tasks.read(config, workdir)
    live = _Run(config, workdir, task, reward_fn)
    inputs.write_data(
        workdir, task.manifest, task.dropped, start=task.start, held_out=task.held_out_manifest
    )
    rows = live.train()
    summary = {**summarise(config, task, rows), **live.guard_counts()}
    run_folder.finish(workdir, summary)
    return summary


class _Planned(NamedTuple):
    """One update of a rollout batch.

    Attributes:
      passes: What it learns from.
      known: The log-probabilities that it takes as given.
      filtered: Completions that were left out.
    """

    passes: learner.Passes
    known: learner.Known
    filtered: int


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
        self._watch = metrics.Stopwatch(useful=_USEFUL)
        total_steps = config.rl.total_steps(
            steps=config.steps, epochs=config.epochs, num_prompts=len(task.prompts)
        )
        self._trainer = trainer_lib.Trainer(
            config, task.start, total_steps=total_steps, workdir=workdir
        )
        # Before restoring: the reference is what the stage began with, on a continued run too.
        reference = self._reference() if config.rl.kl_coef > 0 else None
        meta = self._trainer.restore()
        self._learner = learner.Learner(config, self._trainer, task.encoder, reference)
        sampler = rollout.Sampler(
            max_new_tokens=config.rl.max_new_tokens,
            temperature=config.rl.temperature,
            samples=config.rl.rollouts_per_prompt,
            seed=config.seed,
            reward_fn=reward_fn,
            overlong_buffer=config.rl.overlong_buffer,
        )
        self._supply = supply.Supply(
            config,
            self._trainer,
            live_engines.make(config, task, self._trainer.model, self._trainer.state.params()),
            sampler=sampler,
            stream=stream.Stream(
                task.prompts,
                seed=config.data.seed,
                # Runs of before it was saved had asked as many as they learned from.
                position=meta.get(POSITION, self._trainer.step * config.rl.prompts_per_update),
            ),
        )
        self._exam = heldout.make(config, task.held_out, task.encoder, sampler)
        self._monitors = monitors.Monitors(config.rl.monitors)
        self._profiler = profile.Profiler(config.profile_steps, workdir)

    def train(self) -> list[dict[str, Any]]:
        """The loop proper; returns all metric rows of the run."""
        trainer = self._trainer
        (self._workdir / ROLLOUTS).mkdir(exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(trainer.running())
            aliases = metric_names.find(self._config.rl.metric_aliases)
            writer = measures.open_writer(trainer, self._watch, aliases=aliases)
            rows = metrics.read_rows(self._workdir)
            self._monitors.restore(row for row in rows if row["step"] <= trainer.step)
            stack.callback(writer.close)
            stack.callback(self._profiler.close)
            stack.callback(self._supply.close)
            bar = stack.enter_context(trainer_lib.progress_bar(trainer))
            while trainer.step < trainer.total_steps:
                for row in self._one_rollout():
                    if self._is_logged(row):
                        writer.write(trainer.step, row)
                    bar.set_postfix(reward=f"{row['reward/total']:.3f}", refresh=False)
                    bar.update()
                trainer.begin("save")
                meta = {
                    inputs.MIXTURE: self._task.manifest.sha256,
                    POSITION: self._supply.position,
                }
                trainer.save_if_due(meta, reason=self._monitors.stop_reason)
                pending.clear(self._workdir, saved=trainer.saved_step)
                self._watch.lap("save")
        pending.clear(self._workdir, saved=trainer.step)
        run_folder.share(self._workdir)
        return metrics.read_rows(self._workdir)

    def guard_counts(self) -> dict[str, int]:
        """Steps skipped, and returns to a checkpoint."""
        return self._trainer.guard.counts()

    def _one_rollout(self) -> Iterator[dict[str, float | None]]:
        """Takes a rollout batch, then yields a metrics row after each optimizer step.

        After a rollback the updates that are left would learn from answers of discarded weights:
        the next call samples their prompts anew.
        """
        trainer, size = self._trainer, self._config.rl.prompts_per_update
        first = trainer.step
        batch, described = self._take()
        examined = self._examine() if first % self._config.rl.eval.every_steps == 0 else {}
        self._supply.begin_next()
        self._watch.lap(_SYNC)
        judged = self._judge(batch, described, first)
        planned = self._plan(batch, judged, described)
        for number, update in enumerate(planned):
            rates = trainer.learning_rates()
            trainer.begin("step")
            with self._profiler.step(trainer.step + 1):
                learned = self._learner.learn(update.passes, update.known)
            is_rolled_back = trainer.check_step(learned.scalars)
            if is_rolled_back:
                left = batch.groups[(number + 1) * size :]
                self._supply.give_back([group.prompt for group in left])
            seconds = self._watch.lap(_UPDATE)
            if trainer.step == trainer.total_steps:
                examined = self._examine()
            row = {**learned.scalars, **rates, **described, **examined}
            row["overlong/filtered"] = float(update.filtered)
            row["staleness"] = trainer.step - 1 - float(np.mean(batch.at))
            row["tokens"] = learned.work.tokens
            row |= self._monitors.observe(trainer.step, batch.groups, row)
            if self._is_logged(row):
                row |= measures.describe_cost(
                    learned.work, trainer, self._watch, step_seconds=seconds
                )
            yield row
            examined = {}
            if is_rolled_back:
                return

    def _take(self) -> tuple[experience.Experience, dict[str, float | None]]:
        """A rollout batch and its metrics."""
        taken = self._supply.take()
        batch, described = taken.batch, experience.describe(taken.batch)
        if taken.is_ahead:  # its time has passed beside that of the updates
            self._watch.lap(_WAIT)
            described |= {f"ahead_seconds/{name}": value for name, value in taken.seconds.items()}
        else:
            self._watch.split(taken.seconds, rest=_ROLLOUT)
        speed = batch.new_tokens / max(batch.generate_seconds, 1e-9)
        described["rollout/tokens_per_second"] = speed
        described["rollout/tokens_per_second_per_device"] = speed / jax.device_count()
        return batch, described

    def _judge(
        self, batch: experience.Experience, described: dict[str, float | None], first: int
    ) -> advantages.Advantages:
        """The advantages of a batch; adds metrics and writes the log."""
        settings, totals = self._config.rl, rollout.totals(batch.groups)
        if settings.kl_coef > 0 and settings.kl_in == "reward":
            self._trainer.begin(_LOGPROBS)
            penalty = self._learner.kl_penalty(batch.groups)
            totals = totals - np.float32(settings.kl_coef) * penalty
            described["reward/kl"] = float(penalty.mean())
            self._watch.lap(_LOGPROBS)
        judged = advantages.group_relative(
            totals, eps=settings.advantage_eps, scale_by_std=settings.scale_by_std
        )
        described["advantage/abs"] = float(np.abs(judged.values).mean())
        if runtime.is_main_host():
            folder = self._workdir / ROLLOUTS
            left_out = batch.left_out
            rollout.write_records(
                folder, batch.groups, judged.values, step=first + 1, left_out=left_out
            )
        self._watch.lap(_ROLLOUT)
        return judged

    def _plan(
        self,
        batch: experience.Experience,
        judged: advantages.Advantages,
        described: dict[str, float | None],
    ) -> list[_Planned]:
        """The updates on a batch, with all that is fixed before the first; adds metrics."""
        settings, trainer = self._config.rl, self._trainer
        planned, size = [], settings.prompts_per_update
        for start in range(0, len(batch.groups), size):
            groups = batch.groups[start : start + size]
            counted = weights.completion_weights(
                [group.completions for group in groups],
                aggregation=settings.aggregation,
                max_new_tokens=settings.max_new_tokens,
                overlong_filter=settings.overlong_filter,
            )
            rows = zip(groups, judged.values[start : start + size], counted.values, strict=True)
            passes = self._learner.plan([rollout.to_sequences(*row) for row in rows])
            # The first update is on policy; what the later ones call old is fixed before it.
            trainer.begin(_LOGPROBS)
            known = self._learner.known(passes, is_first=start == 0)
            planned.append(_Planned(passes, known, counted.filtered))
        jax.block_until_ready([one.known.extras for one in planned])
        seconds, peak = self._watch.lap(_LOGPROBS), flops.peak_flops()
        useful = sum(one.known.flops for one in planned)
        if useful and peak is not None:
            described["mfu/logprobs"] = useful / seconds / peak
        return planned

    def _is_logged(self, row: Mapping[str, Any]) -> bool:
        return self._trainer.is_logged or "eval/step" in row

    def _examine(self) -> Mapping[str, float | None]:
        if not self._task.held_out:
            return {}
        scores = self._exam.take(self._supply.engine_for("eval"), step=self._trainer.step)
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
    names = [f"{group}/{term}" for group in _TERM_GROUPS for term in _TERMS]
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


_TERM_GROUPS = ("reward", "eval", "blind", "shuffled")
_TERMS = ("format", "accuracy", "greedy_accuracy")


def _mean_present(rows: list[dict[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(values)) if values else None
