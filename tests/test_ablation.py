# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which runs an ablation makes, from what, and in which folders; the training is recorded only."""

import importlib
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from absl import flags
from ml_collections import config_flags

from configs import ablation as configs
from lingshu_jax import ablation, ablation_tables, recipe, train
from lingshu_jax.common import errors
from lingshu_jax.data import mixtures
from lingshu_jax.stages import config as stage_config
from tests import small

SIZES = ("tiny", "3b", "7b", "32b", "72b")
NO_ALIGNMENT = ablation.Variant(name="no_alignment", skip_stages=ablation.ALIGNMENT)
NO_CAPTIONS = ablation.Variant(name="no_captions", without=("captions",))
NO_TEXT = ablation.Variant(name="no_text", without=("medical_text", "reasoning"))
HALF = ablation.Variant(name="half", fraction=0.5)
FULL = ablation.Variant(name="full")


def make_config(*variants: ablation.Variant) -> ablation.AblationConfig:
    config = configs.get_config("tiny")
    config.hf, config.root = "base", "data"
    config.variants = (FULL, *variants)
    return config


def planned(config: ablation.AblationConfig) -> dict[str, ablation.Plan]:
    config.validate()
    data = config.instruct.data
    present = mixtures.without(data.sources, data.without)
    return {plan.variant.name: plan for plan in ablation.plan(config, present)}


@pytest.mark.parametrize("size", SIZES)
def test_every_size_has_nine_variants_and_four_fractions(size: str) -> None:
    config = configs.get_config(size)
    config.validate()
    whole = [v for v in config.variants if v.fraction == 1]
    assert len(whole) == 9
    assert sorted(v.fraction for v in config.variants if not v.without)[:4] == [0.25, 0.5, 0.75, 1]


def test_an_unknown_size_lists_the_known() -> None:
    with pytest.raises(errors.UserError, match=r"'tiny', '3b', '7b', '32b', '72b'.*got '8b'"):
        configs.get_config("8b")


def test_what_the_paper_removed_is_removed() -> None:
    """Rows of Table 10 by the sources that are gone; parts of a part go with it."""
    config = configs.get_config("7b")
    groups = {source.name: source.group for source in config.instruct.data.sources}
    plans = planned(config)
    assert not any(plan.reason or plan.same_as for plan in plans.values())
    gone = {
        name: {s for s, g in groups.items() if g in p.data.without} for name, p in plans.items()
    }
    assert gone["no_synthetic_multimodal"] < gone["no_medical_multimodal"]
    assert gone["no_medical_reasoning_text"] < gone["no_medical_text"]
    assert {"synthetic_vqa", "synthetic_ocr"} < gone["no_synthetic_multimodal"]
    assert gone["no_captions_in_stage_3"] == {
        "rocov2",
        "pubmedvision_alignment",
        "mimic_cxr_findings",
    }
    parts = ("medical_multimodal", "general_multimodal", "general_text", "medical_text")
    counted = [name for part in parts for name in gone[f"no_{part}"]]
    counted += gone["no_captions_in_stage_3"]
    assert sorted(counted) == sorted(groups), "five parts, of which each source is in one"


def test_the_printed_numbers_are_those_of_the_paper() -> None:
    """Their means, and two differences that the paper's text names (arXiv 2506.07044, 5.6)."""
    printed = {v.name: v.published for v in configs.VARIANTS if v.published}
    assert len(printed) == 9
    for scores in printed.values():
        seven = [scores[name] for name in configs.BENCHMARKS]
        assert sum(seven) / 7 == pytest.approx(scores["mean"], abs=0.0501)
    assert printed["full"]["mean"] - printed["no_stages_1_and_2"]["mean"] == pytest.approx(0.6)
    assert printed["no_medical_multimodal"]["path_vqa"] == 45.2


def test_a_variant_that_removes_nothing_is_not_applicable() -> None:
    plans = planned(make_config(NO_CAPTIONS, NO_TEXT, NO_ALIGNMENT, HALF))
    assert plans["no_text"].reason == "no source of the mixture is of medical_text or reasoning"
    assert plans["no_captions"].data.without == ("captions",)
    assert [name for name, plan in plans.items() if plan.reason] == ["no_text"]
    everything = ablation.Variant(name="none", without=("captions", "medical_multimodal"))
    assert "would be left" in planned(make_config(everything))["none"].reason


def test_what_the_stage_leaves_out_stays_out() -> None:
    config = make_config(NO_CAPTIONS, HALF)
    config.instruct.data.without, config.instruct.data.fraction = ("captions",), 0.5
    plans = planned(config)
    assert plans["no_captions"].reason
    assert plans["half"].data.without == ("captions",) and plans["half"].data.fraction == 0.25


def test_equal_runs_are_one() -> None:
    again = ablation.Variant(name="again", without=("captions", "synthetic"))
    plans = planned(make_config(NO_CAPTIONS, again, ablation.Variant(name="all", fraction=1.0)))
    assert plans["again"].same_as == "no_captions" and plans["all"].same_as == "full"
    assert plans["no_captions"].same_as == plans["full"].same_as == ""


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({"name": "No text"}, "must be of a-z, 0-9 and underscores, got 'No text'"),
        ({"name": "x", "without": ("text",)}, "'x': without must be some of .*'medical_text'"),
        ({"name": "x", "fraction": 0.0}, "'x': fraction must be in (0, 1], got 0.0"),
        ({"name": "x", "skip_stages": ("shallow_align",)}, "'x': skip_stages must be one of"),
        ({"name": "full", "fraction": 0.5}, "distinct names, got ['full', 'full']"),
    ],
)
def test_a_bad_variant_is_refused(variant: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.UserError) as caught:
        make_config(ablation.Variant(**variant)).validate()
    assert words.split(".*")[0] in str(caught.value) and words.split(".*")[-1] in str(caught.value)


@pytest.mark.parametrize("variants", [(), (HALF,), (NO_ALIGNMENT, FULL)])
def test_the_first_variant_is_the_full_one(variants: tuple[ablation.Variant, ...]) -> None:
    config = make_config()
    config.variants = variants
    with pytest.raises(errors.UserError, match="must begin with one that leaves nothing out"):
        config.validate()


class Recorder:
    """Stands for training, export and evaluation; a stage that is there is not trained again."""

    def __init__(self, workdir: pathlib.Path) -> None:
        self.workdir, self.dies_after = workdir, 10**6
        self.trained: dict[str, stage_config.StageConfig] = {}
        self.asked: list[tuple[str, bool]] = []
        self.results: list[ablation_tables.Result] = []

    def run_stage(self, config: stage_config.StageConfig, folder: pathlib.Path) -> dict[str, Any]:
        if not folder.exists():
            if len(self.trained) == self.dies_after:
                raise InterruptedError
            folder.mkdir(parents=True)
            name = folder.name if folder.parent == self.workdir else "/".join(folder.parts[-3:])
            self.trained[name] = config
        return {"steps": 3}

    def export_and_ask(
        self,
        asked: recipe.EvaluationConfig,
        trained: pathlib.Path,
        folder: pathlib.Path,
        *,
        root: pathlib.Path,
        blind: bool,
    ) -> dict[str, Any]:
        assert trained.is_dir() and root.name == "data" and asked.benchmarks
        self.asked.append((folder.name, blind))
        return {}

    def make(self, results: Sequence[ablation_tables.Result]) -> dict[str, Any]:
        self.results = list(results)
        return {"variants": [result.name for result in results]}

    def starts(self) -> dict[str, str]:
        """The folder that each stage began with."""
        return {
            name: pathlib.Path(config.model.init_from).name for name, config in self.trained.items()
        }


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Recorder:
    made = Recorder(tmp_path / "run")
    (tmp_path / "data").mkdir()
    for name in ("instruct", "captions"):
        (tmp_path / "data" / f"{name}.jsonl").touch()
    start = recipe.Start(tmp_path / "data", tmp_path / "base", tmp_path / "base_checkpoint")
    monkeypatch.setattr(recipe, "prepare", lambda config, workdir: start)
    monkeypatch.setattr(train, "run_stage", made.run_stage)
    monkeypatch.setattr(recipe, "export_and_ask", made.export_and_ask)
    monkeypatch.setattr(ablation_tables, "make", made.make)
    monkeypatch.setattr(ablation_tables, "write", lambda workdir, tables: None)
    return made


ALL = (NO_CAPTIONS, NO_TEXT, NO_ALIGNMENT, HALF)


def test_alignment_is_trained_once(recorder: Recorder) -> None:
    tables = ablation.run(make_config(*ALL), recorder.workdir)
    assert recorder.starts() == {
        "stage1_shallow_align": "base_checkpoint",
        "stage2_deep_align": "stage1_shallow_align",
        "variants/full/stage3_instruct": "stage2_deep_align",
        "variants/no_captions/stage3_instruct": "stage2_deep_align",
        "variants/no_alignment/stage3_instruct": "base_checkpoint",
        "variants/half/stage3_instruct": "stage2_deep_align",
    }
    half = recorder.trained["variants/half/stage3_instruct"]
    assert (half.data.fraction, half.data.without) == (0.5, ())
    assert half.data.root == str(recorder.workdir.parent / "data")
    asked = [("full", True), *((n, False) for n in ("no_captions", "no_alignment", "half"))]
    assert recorder.asked == asked
    assert tables["variants"] == ["full", "no_captions", "no_text", "no_alignment", "half"]
    found = {result.name: result for result in recorder.results}
    assert found["full"].blind == recorder.workdir / "variants/full/evaluation/blind"
    assert found["no_text"].evaluation is None and found["no_text"].reason
    assert [name for name, result in found.items() if result.is_scaling] == ["half"]


def test_a_variant_may_keep_stage_1(recorder: Recorder) -> None:
    config = make_config(ablation.Variant(name="no_stage_2", skip_stages=("deep_align",)))
    config.evaluation.blind = False
    ablation.run(config, recorder.workdir)
    assert recorder.starts()["variants/no_stage_2/stage3_instruct"] == "stage1_shallow_align"
    assert recorder.asked == [("full", False), ("no_stage_2", False)]


def test_an_absent_source_is_no_part(recorder: Recorder, tmp_path: pathlib.Path) -> None:
    """Absent is an error before anything is trained; where it is allowed, the part is not there."""
    (tmp_path / "data" / "captions.jsonl").unlink()
    with pytest.raises(errors.UserError, match="1 of 2 are absent: .*captions.jsonl"):
        ablation.run(make_config(NO_CAPTIONS), recorder.workdir)
    assert not recorder.trained
    config = make_config(NO_CAPTIONS)
    config.instruct.data.skip_absent = True
    ablation.run(config, tmp_path / "other")
    assert recorder.results[1].reason == "no source of the mixture is of captions"


def test_equal_variants_share_a_folder(recorder: Recorder) -> None:
    ablation.run(make_config(ablation.Variant(name="all")), recorder.workdir)
    assert list(recorder.trained) == [
        "stage1_shallow_align",
        "stage2_deep_align",
        "variants/full/stage3_instruct",
    ]
    assert recorder.results[1].evaluation == recorder.results[0].evaluation


@pytest.mark.parametrize("done", range(6))
def test_it_goes_on_where_it_was_interrupted(recorder: Recorder, done: int) -> None:
    recorder.dies_after = done
    with pytest.raises(InterruptedError):
        ablation.run(make_config(*ALL), recorder.workdir)
    assert len(recorder.trained) == done
    recorder.dies_after = 10**6
    ablation.run(make_config(*ALL), recorder.workdir)
    assert len(recorder.trained) == 6


def test_variants_may_be_added_and_other_fields_not_changed(recorder: Recorder) -> None:
    ablation.run(make_config(HALF), recorder.workdir)
    config = make_config(HALF, NO_CAPTIONS)
    config.instruct.save_every_steps = 7
    ablation.run(config, recorder.workdir)
    assert [result.name for result in recorder.results] == ["full", "half", "no_captions"]
    config.deep_align.steps += 1
    with pytest.raises(errors.UserError, match=r"holds a run with deep_align.steps = 60, not 61"):
        ablation.run(config, recorder.workdir)


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        ("medical_multimodal", ("medical_multimodal",)),
        ("('medical_multimodal',)", ("medical_multimodal",)),
        ("('synthetic', 'medical_multimodal')", ("synthetic", "medical_multimodal")),
        ("()", ()),
    ],
)
@pytest.mark.parametrize("stage", ["stage3_instruct", "stage4_rl"])
def test_the_flags_of_a_stage(
    monkeypatch: pytest.MonkeyPatch, stage: str, value: str, groups: tuple[str, ...]
) -> None:
    """`--config.data.without=WORD` and `--config.data.fraction=F`, as the command parses them."""
    args = ["train", f"--config.data.without={value}", "--config.data.fraction=0.25"]
    monkeypatch.setattr(sys, "argv", args)  # where the fields that need a flag are found
    values, config = flags.FlagValues(), importlib.import_module(f"configs.{stage}").get_config()
    config_flags.DEFINE_config_dataclass("config", config, flag_values=values)
    values(args)
    data = values["config"].value.data
    assert (data.without, data.fraction) == (groups, 0.25)


def test_a_bad_command_is_one_line(tmp_path: pathlib.Path) -> None:
    asked = ["--config=configs/ablation.py:7b", f"--workdir={tmp_path / 'run'}"]
    line = small.fail(small.start("ablation", *asked, "--config.instruct.data.without=text"))
    assert "config.instruct: data.without names 'text'; the sources are of captions, gen" in line
    assert not list(tmp_path.iterdir())
