# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The order of a recipe, what each part starts from, and how it goes on; training is recorded.

`tests/kill/test_recipe.py` runs and kills a whole one.
"""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from configs import recipe as configs
from lingshu_jax import convert, evaluate, export, model_card, recipe, train
from lingshu_jax.common import checkpoints, errors, paths
from lingshu_jax.data import sources
from lingshu_jax.engines import registry
from lingshu_jax.eval import runner
from lingshu_jax.stages import config as stage_config
from tests import s3_server, small


def make_config(**changes: Any) -> recipe.RecipeConfig:
    config = configs.get_config("tiny")
    config.hf, config.root = "base", "data"
    return dataclasses.replace(config, **changes)


class Recorder:
    """Stands for every part of a recipe; each leaves behind what the real one leaves."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.stages: dict[str, stage_config.StageConfig] = {}
        self.dies_before = ""

    def note(self, name: str) -> None:
        if name == self.dies_before:
            raise InterruptedError
        self.done.append(name)

    def convert(self, source: pathlib.Path, target: pathlib.Path) -> None:
        self.note("convert")
        (target / "0").mkdir(parents=True)

    def run_stage(self, config: stage_config.StageConfig, folder: pathlib.Path) -> dict[str, Any]:
        if not folder.exists():
            self.note(config.stage)
            folder.mkdir()
            self.stages[config.stage] = config
        return {"steps": config.steps}

    def export(self, source: pathlib.Path, target: pathlib.Path) -> None:
        self.note(f"export {source.name}")
        target.mkdir()
        (target / "config.json").touch()

    def evaluate(
        self, settings: runner.Settings, folder: pathlib.Path, *, options: registry.Options
    ) -> dict[str, Any]:
        if not folder.exists():
            self.note(f"{folder.name} {pathlib.Path(settings.model).name}")
            assert settings.blind == (folder.name == "blind") and settings.data_dir
            folder.mkdir(parents=True)
        return {"of": folder.name}

    def card(self, folder: pathlib.Path, source: pathlib.Path, *, evaluation: pathlib.Path) -> None:
        assert folder.is_dir() and evaluation.is_dir()
        self.note("card")


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Recorder:
    made = Recorder()
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(convert, "convert", made.convert)
    monkeypatch.setattr(train, "run_stage", made.run_stage)
    monkeypatch.setattr(export, "export", made.export)
    monkeypatch.setattr(evaluate, "run", made.evaluate)
    monkeypatch.setattr(model_card, "write", made.card)
    return made


ORDER = [
    *("convert", "before base", "shallow_align", "deep_align", "instruct", "rl"),
    *("export stage4_rl", "after export", "blind export", "card"),
]


def starts(recorder: Recorder) -> dict[str, str]:
    return {
        name: pathlib.Path(stage.model.init_from).name for name, stage in recorder.stages.items()
    }


def test_the_parts_in_their_order(recorder: Recorder, tmp_path: pathlib.Path) -> None:
    summary = recipe.run(make_config(), tmp_path / "run")
    assert recorder.done == ORDER
    assert starts(recorder) == {
        "shallow_align": "base_checkpoint",
        "deep_align": "stage1_shallow_align",
        "instruct": "stage2_deep_align",
        "rl": "stage3_instruct",
    }
    assert {stage.data.root for stage in recorder.stages.values()} == {"data"}
    assert list(summary["stages"]) == list(stage_config.STAGES)
    assert summary["evaluations"] == {name: {"of": name} for name in ("before", "after", "blind")}


def test_without_the_blind_evaluation(recorder: Recorder, tmp_path: pathlib.Path) -> None:
    config = make_config()
    config.evaluation.blind = False
    assert list(recipe.run(config, tmp_path / "run")["evaluations"]) == ["before", "after"]
    assert "blind export" not in recorder.done


@pytest.mark.parametrize("part", ORDER)
def test_it_goes_on_where_it_was_interrupted(
    recorder: Recorder, tmp_path: pathlib.Path, part: str
) -> None:
    recorder.dies_before = part
    with pytest.raises(InterruptedError):
        recipe.run(make_config(), tmp_path / "run")
    assert recorder.done == ORDER[: ORDER.index(part)]
    recorder.dies_before = ""
    summary = recipe.run(make_config(), tmp_path / "run")
    assert recorder.done == ORDER, "no part is done twice"
    assert recipe.run(make_config(), tmp_path / "run") == summary
    assert recorder.done == ORDER


def test_half_an_export_is_made_again(recorder: Recorder, tmp_path: pathlib.Path) -> None:
    """As another machine finds it, where sending was cut short: its config.json comes last."""
    exported = tmp_path / "run" / recipe.EXPORT
    exported.mkdir(parents=True)
    (exported / "model.safetensors").write_text("some of it")
    recipe.run(make_config(), tmp_path / "run")
    assert recorder.done == ORDER
    assert [path.name for path in exported.iterdir()] == ["config.json"]


@pytest.mark.parametrize("name", ["org/model@v1", "base"])
def test_the_base_is_asked_by_its_own_name(
    recorder: Recorder, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where the hub's cache lies on this machine is not part of an evaluation."""
    asked: list[str] = []
    monkeypatch.setattr(recipe.hub, "resolve", lambda *_: tmp_path / "base")
    monkeypatch.setattr(
        evaluate, "run", lambda settings, *_, **__: asked.append(settings.model) or {}
    )
    (tmp_path / "run" / recipe.EVALUATION).mkdir(parents=True)
    recipe.run(make_config(hf=name), tmp_path / "run")
    assert asked == [name, *[str(tmp_path / "run" / "export")] * 2]


@pytest.fixture
def bucket(tmp_path: pathlib.Path) -> Iterator[str]:
    yield from s3_server.run(tmp_path / "cache")


def test_in_a_store_the_base_is_converted_once(
    bucket: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(hf=str(small.write_folder(tmp_path / "hf")))
    for cache in ("cache", "cache", "another_machine"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        with paths.opened(f"{bucket}/recipe") as workdir:
            start = recipe.prepare(config, workdir)
            assert checkpoints.find(start.checkpoint) == start.checkpoint
            assert checkpoints.has_step(start.checkpoint)
        monkeypatch.setattr(convert, "convert", None)


def test_a_base_is_complete_in_the_store_as_soon_as_its_step_is(
    bucket: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right after the step: nobody sends the rest."""
    workdir = paths.local(f"{bucket}/killed")
    config = make_config(hf=str(small.write_folder(tmp_path / "hf")))
    recipe.prepare(config, workdir)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another_machine"))
    start = recipe.prepare(config, paths.fetched(f"{bucket}/killed"))
    assert checkpoints.find(start.checkpoint) == start.checkpoint


def test_some_of_the_stages(recorder: Recorder, tmp_path: pathlib.Path) -> None:
    recipe.run(make_config(stages=("deep_align", "instruct")), tmp_path / "run")
    assert starts(recorder) == {"deep_align": "base_checkpoint", "instruct": "stage2_deep_align"}
    assert recorder.done[-4:] == ["export stage3_instruct", "after export", "blind export", "card"]


@pytest.mark.parametrize("stages", [(), ("instruct", "deep_align"), ("sft",), ("rl", "rl")])
def test_stages_have_an_order(stages: tuple[str, ...]) -> None:
    with pytest.raises(errors.UserError, match="config.stages must be some of"):
        make_config(stages=stages).validate()


def test_layout_may_change_and_values_may_not(recorder: Recorder, tmp_path: pathlib.Path) -> None:
    recorder.dies_before = "instruct"
    with pytest.raises(InterruptedError):
        recipe.run(make_config(), tmp_path / "run")
    recorder.dies_before, config = "", make_config()
    config.instruct.save_every_steps = 7
    config.instruct.mesh.data, config.deep_align.keep_checkpoints = 2, 5
    config.evaluation.batch_size = 4
    recipe.run(config, tmp_path / "run")
    assert recorder.stages["instruct"].save_every_steps == 7
    for part, field, value in (
        (config.instruct, "steps", 281),
        (config.instruct.data, "seed", 1),
        (config.evaluation, "max_new_tokens", 9),
        (config, "hf", "other"),
        (config, "stages", ("instruct",)),
    ):
        before = getattr(part, field)
        setattr(part, field, value)
        with pytest.raises(errors.UserError, match=rf"holds a run with .*{field} = .*not "):
            recipe.run(config, tmp_path / "run")
        setattr(part, field, before)
    assert recipe.run(config, tmp_path / "run")["stages"]["instruct"] == {"steps": 280}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("rl.steps", 0, "config.rl.steps and epochs must be"),
        ("instruct.data.fraction", 2.0, "config.instruct.data.fraction must be in (0, 1]"),
        ("deep_align.data.without", ("captions",), "config.deep_align: data.without names"),
        ("deep_align.stage", "instruct", "config.deep_align.stage must be 'deep_align'"),
        ("hf", "random", "config.hf 'random' needs config.root 'demo'"),
    ],
)
def test_bad_values_name_their_stage(path: str, value: Any, words: str) -> None:
    config = make_config()
    *parents, name = path.split(".")
    part = config
    for parent in parents:
        part = getattr(part, parent)
    setattr(part, name, value)
    with pytest.raises(errors.UserError) as caught:
        config.validate()
    assert words in str(caught.value)


def test_flags_reach_every_part(tmp_path: pathlib.Path) -> None:
    """All of them pass but the last, which names its stage and what is allowed."""
    flags = {
        "config": "configs/recipe.py:7b",
        "workdir": tmp_path / "run",
        "config.hf": tmp_path / "nothing",
        "config.stages": "instruct",
        "config.evaluation.max_new_tokens": 5,
        "config.instruct.data.without": "medical_text",
        "config.rl.data.without": "medical_text",
    }
    line = small.fail(small.start("recipe", *(f"--{key}={value}" for key, value in flags.items())))
    assert line.startswith("error: config.rl: data.without names 'medical_text'"), line
    assert not list(tmp_path.iterdir())


def test_every_size_names_its_groups() -> None:
    """What an ablation of any stage leaves out is known by name in every full recipe."""
    config = configs.get_config("7b")
    for name in stage_config.STAGES:
        groups = {source.group for source in getattr(config, name).data.sources}
        assert groups <= set(sources.GROUPS) and groups
