# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What stage 4 reads when a part of its data is left out: the same rules as in every stage."""

import dataclasses
import json
from pathlib import Path

import pytest

from configs import stage4_rl
from lingshu_jax.common import errors
from lingshu_jax.data import sources
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import prepare, tasks
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import optim_config
from tests import small


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of questions, 16 and 8, and one of 3 that are held out."""
    folder = tmp_path_factory.mktemp("questions")
    for name, count in (("real", 16), ("made", 8), ("test", 3)):
        rows = [
            {
                "id": f"{name}{i}",
                "messages": [{"role": "user", "content": f"q{i}?"}],
                "answer": "yes",
                "answer_type": "yes_no",
            }
            for i in range(count)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def config(model_folder: Path, root: Path) -> rl_config.RLStageConfig:
    groups = {"real": "medical_multimodal", "made": "synthetic"}
    read = tuple(sources.Source(name=n, path=f"{n}.jsonl", group=g) for n, g in groups.items())
    test = sources.Source(name="test", path="test.jsonl", group="medical_multimodal")
    return rl_config.RLStageConfig(
        stage="rl",
        model=stage_config.ModelConfig(init_from=str(model_folder)),
        data=stage_config.DataConfig(
            sources=read,
            root=str(root),
            tokens_per_row=128,
            patches_per_row=128,
            rows_per_batch=8,
            normalization="token",
            **small.PIXELS,
        ),
        optim=optim_config.OptimConfig(trainable=((".*", 1e-3),), warmup_steps=0),
        rl=rl_config.RLConfig(
            prompts_per_rollout=4,
            prompts_per_update=2,
            max_prompt_tokens=100,
            max_new_tokens=12,
            instruction="",
            generation_rows=16,
            eval=rl_config.EvalConfig(sources=(test,), every_steps=2),
        ),
        steps=4,
        save_every_steps=2,
    )


def read(config: rl_config.RLStageConfig, workdir: Path, **changes: object) -> tuple[set, set]:
    """The ids of the questions that are trained on, and of those that are held out."""
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, **changes))
    config.validate()
    task = tasks.read(config, workdir)
    assert not task.dropped
    return {prompt.id for prompt in task.prompts}, {prompt.id for prompt in task.held_out}


def test_a_smaller_fraction_is_part_of_a_larger(
    config: rl_config.RLStageConfig, tmp_path: Path
) -> None:
    quarter, half, whole = (
        read(config, tmp_path, fraction=fraction)[0] for fraction in (0.25, 0.5, 1.0)
    )
    assert quarter < half < whole
    for share, ids in ((0.25, quarter), (0.5, half), (1.0, whole)):
        counts = [sum(id.startswith(name) for id in ids) for name in ("real", "made")]
        assert counts == [16 * share, 8 * share]


def test_another_seed_chooses_other_rows(config: rl_config.RLStageConfig, tmp_path: Path) -> None:
    chosen = [read(config, tmp_path, fraction=0.5, seed=seed)[0] for seed in (42, 43)]
    assert len(chosen[0]) == len(chosen[1]) == 12 and chosen[0] != chosen[1]


def test_a_group_is_left_out(config: rl_config.RLStageConfig, tmp_path: Path) -> None:
    assert {id[:4] for id in read(config, tmp_path, without=("synthetic",))[0]} == {"real"}
    with pytest.raises(errors.UserError, match="names 'captions'; the sources are of medical_mul"):
        read(config, tmp_path, without=("captions",))


def test_held_out_questions_stay_whole(config: rl_config.RLStageConfig, tmp_path: Path) -> None:
    held_out = {"test0", "test1", "test2"}
    assert read(config, tmp_path, fraction=0.1)[1] == held_out
    assert read(config, tmp_path, without=("medical_multimodal",))[1] == held_out


def test_the_prepared_variant_reads_what_prepare_writes(
    question_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    """The documented pair of commands, from questions to prompts of stage 4, with pictures."""
    everything = prepare.Settings(yes_no_share=1.0)
    for name, folder in (("train", "rl"), ("test", "rl_held_out")):
        source = sources.Source(name="rad", path=str(question_folder / f"{name}.jsonl"))
        prepare.run([source], tmp_path / "data" / folder, settings=everything)
    for variant, held_out in (("prepared", 0), ("prepared_held_out", 3)):
        config = stage4_rl.get_config(f"7b,{variant}")
        config.data.root, config.model.init_from = str(tmp_path / "data"), str(model_folder)
        config.data.min_pixels, config.data.max_pixels = small.PIXELS.values()
        config.validate()
        task = tasks.read(config, tmp_path / "run")
        assert (len(task.prompts), len(task.held_out)) == (5, held_out) and not task.dropped
        assert all(len(prompt.encoded.media) == 1 for prompt in task.prompts)
