# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The stage's config: what the paper states, and what is refused."""

import pytest

from configs import stage4_rl
from lingshu_jax.common import errors

SIZES = ("tiny", "3b", "7b", "32b", "72b")


@pytest.mark.parametrize("size", SIZES)
def test_every_size_validates(size):
    stage4_rl.get_config(size).validate()


def test_the_paper_s_values():
    config = stage4_rl.get_config("7b")
    rl = config.rl
    assert (rl.prompts_per_rollout, rl.prompts_per_update, rl.updates_per_rollout) == (512, 128, 4)
    assert (rl.rollouts_per_prompt, rl.temperature, rl.kl_coef) == (16, 1.0, 1e-3)
    assert rl.max_prompt_tokens + rl.max_new_tokens == config.data.tokens_per_row == 4096
    assert {rate for _, rate in config.optim.trainable} == {1e-6}
    assert (rl.reward.format_weight, rl.reward.accuracy_weight) == (0.5, 1.0)
    assert config.epochs == 1


def test_steps_of_an_epoch():
    rl = stage4_rl.get_config("7b").rl
    # 100K questions: 195 whole rollout batches of 512, 4 updates each.
    assert rl.total_steps(steps=0, epochs=1, num_prompts=100_000) == 780
    assert rl.total_steps(steps=0, epochs=1, num_prompts=10) == 4
    assert rl.total_steps(steps=12, epochs=0, num_prompts=10) == 12


def set_field(config, path, value):
    *parents, name = path.split(".")
    for parent in parents:
        config = getattr(config, parent)
    assert hasattr(config, name)
    setattr(config, name, value)


BAD = {
    # name: (field, value, words of the message)
    "split_group": ("rl.prompts_per_update", 100, "divisor of prompts_per_rollout 512, got 100"),
    "group_of_one": ("rl.rollouts_per_prompt", 1, "rl.rollouts_per_prompt must be >= 2"),
    "greedy_rollouts": ("rl.temperature", 0.0, "rl.temperature must be > 0"),
    "clip_low": ("rl.clip_low", 1.5, "rl.clip_low must be in (0, 1) under objective"),
    "negative_kl": ("rl.kl_coef", -1.0, "rl.kl_coef must be >= 0"),
    "cap_below_one": ("rl.importance_cap", 0.5, "rl.importance_cap must be >= 1, or 0"),
    "objective": ("rl.objective", "ppo", "rl.objective must be one of ('clip', 'cispo')"),
    "ratio": ("rl.ratio", "word", "one of ('token', 'sequence', 'sequence_token'), got 'word'"),
    "aggregation": ("rl.aggregation", "row", "one of ('token', 'sequence', 'constant')"),
    "importance": ("rl.importance_level", "row", "one of ('token', 'sequence'), got 'row'"),
    "kl_estimator": ("rl.kl_estimator", "k4", "one of ('k1', 'k2', 'k3'), got 'k4'"),
    "kl_in": ("rl.kl_in", "prompt", "rl.kl_in must be one of ('loss', 'reward')"),
    "no_room": ("rl.overlong_buffer", 2048, "must be < rl.max_new_tokens 2048, got 2048"),
    "stage_3_means": ("data.normalization", "sequence", "'token': see rl.aggregation"),
    "too_long": ("rl.max_new_tokens", 4096, "data.tokens_per_row must be >= "),
    "save_inside_a_rollout": ("save_every_steps", 7, "multiple of the 4 updates a rollout, got 7"),
    "other_stage": ("stage", "instruct", "stage must be 'rl', got 'instruct'"),
    "accumulation": ("accumulation_steps", 2, "accumulation_steps must be 1"),
    "lonely_rows": ("data.sequences_per_row", 1, "data.sequences_per_row must be 0"),
    "z_loss": ("optim.z_loss", 1e-4, "optim.z_loss must be 0: it belongs to the cross entropy"),
    "reward_weight": ("rl.reward.format_weight", -0.5, "rl.reward.format_weight must be >= 0"),
    "engine": ("rl.engine", "sglang", "rl.engine must be one of ('jax', 'vllm'), got 'sglang'"),
    "vllm_beside_jax": ("rl.vllm.tensor", 2, "rl.vllm.tensor must be left at 0 beside rl.engine"),
    "vllm_tensor": ("rl.vllm.tensor", -1, "rl.vllm.tensor must be >= 0"),
    "vllm_share": ("rl.vllm.gpu_memory_utilization", 1.5, "must be in [0, 1], got 1.5"),
    "eval_samples": ("rl.eval.samples_per_prompt", 0, "rl.eval.samples_per_prompt must be >= 1"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_a_bad_value_is_named(case):
    path, value, message = case
    config = stage4_rl.get_config("7b")
    set_field(config, path, value)
    with pytest.raises(errors.UserError) as raised:
        config.validate()
    assert message in str(raised.value)


def test_cispo_may_have_no_floor():
    config = stage4_rl.get_config("7b,cispo")
    assert config.rl.clip_low == 1.0
    config.validate()
    config.rl.clip_low = -0.1
    with pytest.raises(errors.UserError, match="rl.clip_low must be >= 0, got -0.1"):
        config.validate()


def test_what_examines_stages_1_to_3_is_refused():
    config = stage4_rl.get_config("7b")
    config.validation.benchmarks, config.validation.every_steps = "vqa_rad", 20
    with pytest.raises(errors.UserError, match="validation.every_steps must be 0: stage 4 has rl."):
        config.validate()


BAD_WITH_VLLM = {
    "cold": ("rl.temperature", 0.001, "rl.temperature must be from 0.01 to 2.0 with vLLM"),
    "group": ("rl.generation_rows", 8, "must be >= rl.rollouts_per_prompt 16 with vLLM"),
    "asleep": ("rl.vllm.can_sleep", True, "must be False beside rl.rollouts_ahead 1"),
}


@pytest.mark.parametrize("case", BAD_WITH_VLLM.values(), ids=BAD_WITH_VLLM.keys())
def test_what_vllm_cannot_do_is_named(case):
    path, value, message = case
    config = stage4_rl.get_config("7b")
    config.rl.engine, config.rl.rollouts_ahead = "vllm", 1
    config.validate()
    set_field(config, path, value)
    with pytest.raises(errors.UserError) as raised:
        config.validate()
    assert message in str(raised.value)


def test_a_loss_and_data_stand_behind_the_size_in_any_order():
    one, other = (
        stage4_rl.get_config(f"7b,{words}") for words in ("dapo,prepared", "prepared,dapo")
    )
    assert one == other and one.rl.clip_high == 0.28
    assert [source.path for source in one.data.sources] == ["rl/train.jsonl"]
    plain = stage4_rl.get_config("7b,dapo")
    assert one.rl.prompts_per_rollout == plain.rl.prompts_per_rollout == 512
    assert one != plain


@pytest.mark.parametrize("words", ["ppo", "dapo,gspo", "prepared,prepared_held_out", "dapo,"])
def test_words_that_mean_nothing_are_named(words):
    with pytest.raises(errors.UserError, match="<variant> must be one of .*'"):
        stage4_rl.get_config(f"7b,{words}")
