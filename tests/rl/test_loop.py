# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The whole of stage 4 at a very small size: files, evaluation, resume, learning."""

import dataclasses
import json

import numpy as np
import pytest

from lingshu_jax.common import errors, metrics
from lingshu_jax.data import sources
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import loop, pending, rewards, rollout, stream, weights
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import optim_config
from lingshu_jax.stages import trainer as trainer_lib
from tests import small
from tests.rl import bare

STEPS = 4


def make_config(model, folder, **changes):
    data = stage_config.DataConfig(
        sources=(sources.Source(name="train", path="train.jsonl"),),
        root=str(folder),
        tokens_per_row=128,
        patches_per_row=128,
        rows_per_batch=8,
        normalization="token",
        **small.PIXELS,
    )
    exam = rl_config.EvalConfig(
        sources=(sources.Source(name="test", path="test.jsonl"),),
        every_steps=2,
        prompts=2,
        samples_per_prompt=4,
        greedy=False,
        shuffled_probe=False,
    )
    rl = rl_config.RLConfig(
        prompts_per_rollout=4,
        prompts_per_update=2,
        rollouts_per_prompt=4,
        max_prompt_tokens=100,
        max_new_tokens=12,
        instruction="",
        generation_rows=16,
        eval=exam,
    )
    optim = optim_config.OptimConfig(trainable=((".*", 3e-3),), warmup_steps=0, final_fraction=1.0)
    model_config = stage_config.ModelConfig(
        init_from=str(model), compute_dtype="float32", remat="none"
    )
    config = rl_config.RLStageConfig(
        stage="rl",
        model=model_config,
        data=data,
        optim=optim,
        rl=rl,
        steps=STEPS,
        save_every_steps=2,
    )
    config = dataclasses.replace(config, **changes)
    config.validate()
    return config


def small_ids(completion, question, *, finish_reason):
    """Pays for plain letters, which a random model writes now and then."""
    del question, finish_reason
    share = sum(c.isascii() and c.isalpha() for c in completion) / max(len(completion), 1)
    return rewards.Reward(share, {"format": 0.0, "accuracy": share}, "ok", None)


class Power:
    """Fails when it is asked for the n-th time: a machine that dies."""

    def __init__(self, uses):
        self.left = uses

    def __call__(self, completion, question, *, finish_reason):
        self.left -= 1
        if self.left < 0:
            raise InterruptedError
        return small_ids(completion, question, finish_reason=finish_reason)


@pytest.fixture(scope="module")
def finished(model_folder, question_folder, tmp_path_factory):
    """A run from beginning to end: its config, folder and summary."""
    workdir = tmp_path_factory.mktemp("run")
    config = make_config(model_folder, question_folder)
    summary = loop.run(config, workdir, reward_fn=small_ids)
    return config, workdir, summary


def note_samples(monkeypatch, *, most=1000):
    """What goes to disk as it is sampled, as (prompt, weights); the machine dies after so many."""
    kept, put = [], pending.Pending.put

    def note(finished, request, sampled):
        if len(kept) == most:
            raise InterruptedError
        put(finished, request, sampled)
        kept.append((request.id, sampled.at))

    monkeypatch.setattr(pending.Pending, "put", note)
    return kept


def read_metrics(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def timeless(row):
    measured = ("seconds", "goodput", "memory_bytes", "tokens_per_second", "mfu")
    return {k: v for k, v in row.items() if not any(word in k for word in measured)}


def test_files_of_a_run(finished):
    _, workdir, summary = finished
    assert [row["step"] for row in read_metrics(workdir)] == [1, 2, 3, 4]
    assert {p.name for p in (workdir / "rollouts").iterdir()} == {"000001.jsonl", "000003.jsonl"}
    assert len(list(rollout.read_records(workdir / "rollouts"))) == 2 * 4 * 4
    assert (workdir / "dropped.jsonl").read_text() == ""
    data = json.loads((workdir / "data.json").read_text())
    assert [entry["name"] for entry in data["sources"]] == ["train"]
    assert [entry["name"] for entry in data["held_out"]["sources"]] == ["test"]
    meta = json.loads((workdir / "checkpoints" / "4" / "meta" / "metadata").read_text())
    assert meta["mixture_sha256"] == data["sha256"]
    assert json.loads((workdir / "finished.json").read_text()) == summary
    assert summary["steps"] == STEPS and summary["prompts"] == 5 and summary["held_out"] == 2
    assert summary["last_quarter"]["eval/accuracy"] is not None


def test_first_update_of_a_rollout_is_on_policy(finished):
    rows = read_metrics(finished[1])
    assert [row["staleness"] for row in rows] == [0.0, 1.0, 0.0, 1.0]
    assert [row["ratio/max_deviation"] == 0.0 for row in rows] == [True, False, True, False]


def test_sampler_and_learner_agree(finished):
    rows = read_metrics(finished[1])
    assert max(row["logprob_gap/max"] for row in rows) < 1e-3
    assert all(row["importance/truncated"] == 0.0 for row in rows)


def test_reference_is_what_the_stage_began_with(finished):
    rows = read_metrics(finished[1])
    assert abs(rows[0]["kl"]) < 1e-6
    assert rows[-1]["kl"] > 1e-6


def test_evaluation_stands_beside_its_blind_value(finished):
    rows = read_metrics(finished[1])
    examined = [row for row in rows if "eval/step" in row]
    assert [row["eval/step"] for row in examined] == [0.0, 2.0, 4.0]
    assert all({"eval/accuracy", "blind/accuracy", "blind/share"} <= set(row) for row in examined)


def test_a_finished_run_is_left_alone(finished):
    config, workdir, summary = finished
    before = {p: p.stat().st_mtime_ns for p in workdir.rglob("*.jsonl")}
    assert loop.run(config, workdir, reward_fn=Power(0)) == summary
    assert before == {p: p.stat().st_mtime_ns for p in workdir.rglob("*.jsonl")}


def test_interrupted_run_continues_with_the_same_numbers(finished, tmp_path, monkeypatch):
    """It dies amid the second rollout batch, of which two prompts of four are answered."""
    config, workdir, _ = finished
    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        before = note_samples(patch, most=4 + 2)
        loop.run(config, tmp_path, reward_fn=small_ids)
    assert len(read_metrics(tmp_path)) == 2
    assert (tmp_path / "pending" / "000003.jsonl").read_text().count("\n") == 2
    after = note_samples(monkeypatch)
    loop.run(config, tmp_path, reward_fn=small_ids)
    asked = [row["id"] for row in rollout.read_records(workdir / "rollouts") if not row["sample"]]
    assert sorted(before + after) == sorted((i, 2 * (n > 3)) for n, i in enumerate(asked))
    for row, want in zip(read_metrics(tmp_path), read_metrics(workdir), strict=True):
        assert timeless(row) == timeless(want)
    for path in (workdir / "rollouts").iterdir():
        assert (tmp_path / "rollouts" / path.name).read_text() == path.read_text()
    assert not (tmp_path / "pending").exists()


def test_a_batch_sampled_ahead_is_trained_on_by_the_next_process(
    finished, model_folder, question_folder, tmp_path, monkeypatch
):
    """What fails in its thread ends the run; the batch was whole, and is used again."""
    config = without_exam(model_folder, question_folder)
    config.rl.rollouts_ahead = 1
    samples = note_samples(monkeypatch)
    with pytest.raises(InterruptedError):
        loop.run(config, tmp_path, reward_fn=Power(4 * 4 + 5))
    assert [at for _, at in samples] == [0] * 8 and len(read_metrics(tmp_path)) == 2
    loop.run(config, tmp_path, reward_fn=small_ids)
    assert len(samples) == 8, "nothing was sampled twice"
    rows = read_metrics(tmp_path)
    assert [row["staleness"] for row in rows] == [0.0, 1.0, 2.0, 3.0]
    assert [row["ratio/max_deviation"] == 0.0 for row in rows] == [True, False, True, False]
    # How old the sampler is shows in the importance weights.
    assert rows[0]["logprob_gap/max"] < 1e-3 < rows[2]["logprob_gap/max"]
    same = [list(rollout.read_records(folder / "rollouts")) for folder in (finished[1], tmp_path)]
    assert [row["id"] for row in same[0]] == [row["id"] for row in same[1]]


def test_a_monitor_ends_the_run_with_a_checkpoint(model_folder, question_folder, tmp_path, capsys):
    """All completions of this model are cut: with the filter nothing is learned, and all finite."""
    config = without_exam(model_folder, question_folder)
    config.rl.overlong_filter, config.rl.overlong_buffer = True, 4
    config.rl.kl_in = "reward"
    config.rl.monitors.patience, config.rl.monitors.max_duplicates = 2, None
    config.rl.monitors.min_entropy, config.rl.monitors.stop_on = None, ("repetition",)
    config.rl.monitors.max_repetition = -1.0  # below what any completion has
    with pytest.raises(SystemExit) as end:
        loop.run(config, tmp_path, reward_fn=small_ids)
    assert end.value.code == 0 and (tmp_path / "checkpoints" / "2").is_dir()
    said = capsys.readouterr().out
    assert "stopped by alarm repetition (monitor/repetition 0 is above -1" in said
    assert "at step 2, step 2 is saved; the same command goes on" in said
    rows = read_metrics(tmp_path)
    assert [row["alarm/repetition"] for row in rows] == [0.0, 1.0]
    assert all(row["grad_norm"] == 0.0 and row["loss"] == 0.0 for row in rows)
    assert all(row["overlong/filtered"] == 2 * 4 for row in rows)
    assert rows[0]["reward/overlong"] == -1.0 and abs(rows[0]["reward/kl"]) < 1e-5


def note_beats(monkeypatch):
    """The phases that a run tells its watchdog of, in their order."""
    beats, begin = [], trainer_lib.Trainer.begin

    def note(trainer, phase):
        beats.append(phase)
        begin(trainer, phase)

    monkeypatch.setattr(trainer_lib.Trainer, "begin", note)
    return beats


def without_exam(model, folder, **changes):
    config = make_config(model, folder, **changes)
    config.rl.eval = dataclasses.replace(config.rl.eval, sources=(), every_steps=4)
    return config


def test_each_answered_request_is_a_phase_and_no_second_is_lost(
    model_folder, question_folder, tmp_path, monkeypatch
):
    """With a row for every third step, the last and those that were examined."""
    config = make_config(model_folder, question_folder, log_every_steps=3)
    config.rl.generation_rows = 8  # two prompts, and one for each of the 8 devices is more
    beats = note_beats(monkeypatch)
    loop.run(config, tmp_path, reward_fn=small_ids)
    # Two held-out prompts, seeing and blind; four prompts of a rollout; two updates.
    exam, sampling = ["eval"] * (1 + 4), ["rollout"] * (1 + 4)
    one = [*sampling, *exam, *["logprobs"] * 2, "step", "step"]
    assert beats == [*one, "save", *one, *exam, "save"]
    rows = read_metrics(tmp_path)
    assert [row["step"] for row in rows] == [1, 3, 4]
    booked = [(name, value) for row in rows for name, value in row.items() if "seconds/" in name]
    seconds = [value for _, value in booked]
    parts = ("prefill", "decode", "reward", "logprobs", "update", "sync", "rollout")
    others = ("start", "save", "eval")
    assert {name for name, _ in booked} == {f"seconds/{part}" for part in (*parts, *others)}
    assert all(value >= 0 for value in seconds)
    assert sum(seconds) == pytest.approx(rows[-1]["run_seconds"], rel=1e-6)
    assert all(row["rollout/tokens_per_second"] > 0 for row in rows)


def test_a_rollback_amid_a_rollout_samples_the_rest_anew(
    model_folder, question_folder, tmp_path, monkeypatch
):
    """Four updates a rollout; the sixth step is bad: it goes back to 4, steps 7 and 8 are new.

    What was meanwhile sampled ahead for the steps from 9 on is void as well.
    """
    config = without_exam(model_folder, question_folder, steps=12, save_every_steps=4)
    config.rl.prompts_per_update, config.rl.rollouts_ahead = 1, 1
    config.log_every_steps = 7
    config.guard.max_skipped = 1
    config.validate()
    weigh, calls = weights.completion_weights, []

    def spoil(groups, **options):
        calls.append(1)
        counted = weigh(groups, **options)
        return counted._replace(
            values=counted.values * np.float32(np.inf if len(calls) == 6 else 1)
        )

    monkeypatch.setattr(weights, "completion_weights", spoil)
    summary = loop.run(config, tmp_path, reward_fn=small_ids)
    assert (summary["skipped"], summary["rollbacks"], len(calls)) == (1, 1, 14)
    events = metrics.read_rows(tmp_path, "events.jsonl")
    assert [(row["step"], row["event"], row.get("to_step")) for row in events] == [
        (6, "skipped", None),
        (6, "rollback", 4),
    ]
    records = list(rollout.read_records(tmp_path / "rollouts"))
    asked = {
        first: [r["id"] for r in records if (r["step"], r["sample"]) == (first, 0)]
        for first in (1, 5, 7, 9)
    }
    assert [len(ids) for ids in asked.values()] == [4, 4, 2, 4] and asked[7] == asked[5][2:]
    order = stream.Stream(bare.prompts(5), seed=config.data.seed, position=0).take(12)
    assert asked[1] + asked[5] + asked[9] == [f"train{prompt.id}" for prompt in order]
    rows = {row["step"]: row for row in read_metrics(tmp_path)}
    assert rows.keys() == {7, 12}, "every seventh and the last"
    # Steps 9 to 12 learn from what the weights of step 6, restored, have sampled.
    assert [row["staleness"] for row in rows.values()] == [0.0, 11.0 - 6.0]
    assert rows[7]["ratio/max_deviation"] == 0.0 and rows[7]["logprob_gap/max"] < 1e-3
    assert (tmp_path / "checkpoints" / "12").is_dir()


def test_another_config_in_the_same_folder_is_refused(finished, model_folder, question_folder):
    changed = make_config(model_folder, question_folder, seed=1)
    with pytest.raises(errors.UserError, match="holds a run with seed = 42"):
        loop.run(changed, finished[1])


def test_no_usable_prompt_is_named(model_folder, question_folder, tmp_path):
    config = make_config(model_folder, question_folder)
    config.rl.max_prompt_tokens = 3
    with pytest.raises(errors.UserError, match="no prompt to train on, 5 dropped; the first"):
        loop.run(config, tmp_path)
