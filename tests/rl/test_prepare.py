# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The command from end to end: any format in, a training file of stage 4 and its account out."""

import collections
import dataclasses
import hashlib
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from configs import stage4_rl
from lingshu_jax.common import errors, prompts
from lingshu_jax.data import messages, packing, sources
from lingshu_jax.engines import registry
from lingshu_jax.rl import difficulty, prepare, prepare_report, questions, rewards, tasks
from tests import small
from tests.data import test_formats
from tests.rl import trying

GEO3K = (
    "You FIRST think about the reasoning process as an internal monologue and then provide the "
    "final answer. The reasoning process MUST BE enclosed within <think> </think> tags. The final "
    "answer MUST BE put in \\boxed{}."
)


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (value, 90, 20)).save(buffer, "PNG")
    return buffer.getvalue()


def verl_row(number: int, question: str, gold: object, **extra: object) -> dict:
    """As verl's examples/data_preprocess/geo3k.py writes it."""
    return {
        "data_source": "rad",
        "prompt": [{"role": "user", "content": f"<image>{question} {GEO3K}"}],
        "images": [{"bytes": png(number), "path": None}],
        "ability": "vqa",
        "reward_model": {"style": "rule", "ground_truth": gold},
        "extra_info": {"split": "train", "index": number, "question": question, **extra},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`verl.parquet`, `easy.jsonl` and `own.jsonl`: 20, 6 and 4 rows, one of each refused."""
    made = tmp_path_factory.mktemp("input")
    polar = [verl_row(i, f"is it {i} ?", ("yes", "no")[i % 2], modality="CT") for i in range(9)]
    wide = [verl_row(9 + i, f"is it {i} ?", "left", modality="CT") for i in range(10)]
    bad = verl_row(19, "is it?", "left", modality="CT")
    bad["images"] = []
    test_formats.write_parquet(made / "verl.parquet", [*polar, *wide, bad])
    (made / "a.png").write_bytes(png(200))
    listed = "\nA. left\nB. right\nC. behind"
    easy = [
        {"problem": f"<image>\nWhich side, 2 ?{listed}", "answer": "A", "images": ["a.png"]},
        {"problem": f"<image>Which of these, 3 ?{listed}", "answer": "A", "images": ["a.png"]},
        {"problem": "<image>Which side, 1 ?", "answer": ["left", "on the left"]},
        {"problem": "<image>Which side, fail 1 ?", "answer": "left", "patient": "DOE^JOHN"},
        {"problem": "<image>How many, 0 ?", "answer": 3, "modality": "MR"},
        {"problem": "<image>How many?", "answer": ""},
    ]
    write(made / "easy.jsonl", [{"images": ["a.png"], **row} for row in easy])
    own = [
        {
            "id": f"own{i}",
            "messages": [{"role": "user", "content": f"Where is it, {i} ?"}],
            "answer": "left",
            "answer_type": "open",
            "modality": "MR",
        }
        for i in range(3)
    ]
    write(made / "own.jsonl", [*own, {**own[0], "id": "own3", "answer_type": "essay"}])
    return made


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def inputs(folder: Path) -> list[sources.Source]:
    named = (("verl", "verl.parquet"), ("easyr1", "easy.jsonl"), ("messages", "own.jsonl"))
    return [sources.Source(name=word, path=str(folder / name), format=word) for word, name in named]


def run(folder: Path, output: Path, *, trial=None, **changes) -> prepare_report.Report:
    settings = prepare.Settings(**{"yes_no_share": 0.2, **changes})
    return prepare.run(inputs(folder), output, settings=settings, trial=trial)


def test_every_row_is_in_one_of_the_two_files(folder, tmp_path):
    report = run(folder, tmp_path / "out")
    kept, dropped = read(tmp_path / "out/train.jsonl"), read(tmp_path / "out/dropped.jsonl")
    assert (report.rows, report.dropped) == (len(kept), len(dropped)) == (22, 8)
    reasons = collections.Counter(row["reason"].partition(": ")[0] for row in dropped)
    assert reasons == {
        "over the share of yes/no questions": 5,
        "1 <image> in the text, but 0 images": 1,
        "the answer is empty": 1,
        "unknown answer_type 'essay', known": 1,
    }
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert sum(sum(source["dropped"].values()) for source in manifest["sources"]) == 8
    assert [source["rows"] for source in manifest["sources"]] == [20, 6, 4]
    assert [source["examples"] for source in manifest["sources"]] == [14, 5, 3]
    assert manifest["steps"] == [
        {"step": "read", "rows": 30},
        {"step": "verifiable of verl", "rows": 19},
        {"step": "verifiable of easyr1", "rows": 5},
        {"step": "verifiable of messages", "rows": 3},
        {"step": "chosen", "rows": 22},
    ]
    assert manifest["before"]["ct"] == {"open": 10, "yes_no": 9}
    assert manifest["after"]["ct"] == {"open": 10, "yes_no": 4}
    assert manifest["choices"] == {
        "rewritten to an open question": 1,
        "it refers to its options": 1,
    }
    assert manifest["instructions_taken_out"] == 19
    digest = hashlib.sha256((tmp_path / "out/train.jsonl").read_bytes()).hexdigest()
    assert manifest["train"] == {"rows": 22, "sha256": digest}
    assert "DOE" not in (tmp_path / "out/train.jsonl").read_text()


def test_the_same_input_and_seed_give_the_same_bytes(folder, tmp_path):
    for name in ("one", "deeper/two"):
        run(folder, tmp_path / name, total_rows=9)
    run(folder, tmp_path / "three", total_rows=9, seed=1)
    run(folder, tmp_path / "one", total_rows=9)  # once more over what is there
    for file in ("train.jsonl", "dropped.jsonl", "manifest.json"):
        assert (tmp_path / "one" / file).read_bytes() == (
            tmp_path / "deeper/two" / file
        ).read_bytes()
    assert (tmp_path / "one/train.jsonl").read_bytes() != (
        tmp_path / "three/train.jsonl"
    ).read_bytes()


def test_the_total_is_level_over_modalities(folder, tmp_path):
    report = run(folder, tmp_path, total_rows=9, yes_no_share=0.0)
    assert report.manifest["after"] == {
        "ct": {"open": 3},
        "mri": {"number": 1, "open": 2},
        "unknown": {"choice": 1, "open": 2},
    }


def test_choices_may_stay_or_go(folder, tmp_path):
    kept = run(folder, tmp_path / "keep", choices="keep").manifest
    assert kept["choices"] == {} and kept["after"]["unknown"]["choice"] == 2
    gone = run(folder, tmp_path / "only", choices="open_only").manifest
    assert "choice" not in gone["after"]["unknown"]
    assert gone["sources"][1]["dropped"]["no open question"] == 1


def test_stage_4_reads_what_was_written(folder, model_folder, tmp_path):
    run(folder, tmp_path / "out")
    config = stage4_rl.get_config("tiny")
    config.model.init_from = str(model_folder)
    config.data.root = str(tmp_path / "out")
    config.data.sources = (sources.Source(name="rl", path="train.jsonl"),)
    config.rl.eval.sources, config.rl.max_prompt_tokens = (), 400  # of one byte each
    config.validate()
    task = tasks.read(config, tmp_path / "work")
    assert task.dropped == [] and len(task.prompts) == 22
    by_id = {prompt.id: prompt for prompt in task.prompts}
    asked = by_id["easyr1/easy:1"]
    assert asked.question == rewards.Question(
        text=f"Which side, 2 ?\n{prompts.OPEN}", gold="left", answer_type="open"
    )
    assert by_id["easyr1/easy:3"].question.aliases == ("on the left",)
    assert [len(prompt.encoded.media) for prompt in task.prompts].count(1) == 19
    texts = [prompt.messages[-1]["content"][-1]["text"] for prompt in task.prompts]
    assert all(text.count("<think>") == 1 and "boxed" not in text for text in texts)


@pytest.mark.parametrize("word", ["verl", "easyr1"])
def test_stage_4_takes_their_rows_unchanged(folder, model_folder, word):
    source = next(one for one in inputs(folder) if one.format == word)
    made = questions.make_prompts(
        sources.read(source).examples,
        messages.Encoder(model_folder, **small.PIXELS),
        instruction=prompts.ANSWER_FORMAT,
        max_prompt_tokens=2000,
        budget=packing.Budget(2048, 2048),
        verify_images=True,
    )
    assert made.dropped == []
    assert len(made.prompts) == {"verl": 19, "easyr1": 5}[word]
    assert all(len(prompt.encoded.media) == 1 for prompt in made.prompts)


@pytest.fixture
def trial(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> prepare.Trial:
    engine = trying.Knowing()
    monkeypatch.setattr(registry.Choice, "make", lambda _: engine)
    choice = registry.choose("jax", str(model_folder))
    sampling = difficulty.Sampling(choice=choice, instruction="", samples=4, max_new_tokens=8)
    return prepare.Trial(sampling, rewards.FormatAccuracy(), "")


def test_what_is_too_hard_or_too_easy_goes(folder, tmp_path, trial):
    report = run(folder, tmp_path, trial=trial, yes_no_share=0.0, min_pass=0.25, max_pass=0.75)
    rates = {row["id"]: row["pass_rate"] for row in read(tmp_path / "train.jsonl")}
    assert rates == {
        **{f"verl/verl:{10 + i}": i / 4 for i in (1, 2, 3)},
        "easyr1/easy:1": 0.5,
        "easyr1/easy:2": 0.75,
        "easyr1/easy:3": 0.25,
        "messages/own1": 0.25,
        "messages/own2": 0.5,
    }
    assert all(row["pass_samples"] == 4 for row in read(tmp_path / "train.jsonl"))
    found = report.manifest["difficulty"]
    assert found["right"] == {"0 of 4": 3, "1 of 4": 3, "2 of 4": 3, "3 of 4": 2, "4 of 4": 6}
    assert (found["failed"], report.failed, found["mean_format"]) == (1, 1, 1.0)
    dropped = [row["reason"].partition(": ")[0] for row in read(tmp_path / "dropped.jsonl")]
    assert dropped.count("could not be asked") == 1
    assert dropped.count("pass rate below the smallest") == 3
    assert dropped.count("pass rate above the largest") == 6
    assert report.rows + report.dropped == 30


def test_a_run_that_ended_early_goes_on(folder, tmp_path, trial):
    whole = run(folder, tmp_path / "whole", trial=trial)
    engine = trying.Knowing(dies_after=5)
    pytest.MonkeyPatch().setattr(registry.Choice, "make", lambda _: engine)
    with pytest.raises(errors.UserError, match="dead"):
        run(folder, tmp_path / "cut", trial=trial)
    assert not (tmp_path / "cut/train.jsonl").exists()
    second = trying.Knowing()
    pytest.MonkeyPatch().setattr(registry.Choice, "make", lambda _: second)
    assert run(folder, tmp_path / "cut", trial=trial) == whole
    assert set(engine.asked) & set(second.asked) <= {"easyr1/easy:4"}  # which fails
    for file in ("train.jsonl", "dropped.jsonl", "manifest.json"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_other_pass_rates_ask_nothing_again(folder, tmp_path, trial):
    run(folder, tmp_path, trial=trial)
    engine = trial.sampling.choice.make()
    engine.asked.clear()
    run(folder, tmp_path, trial=trial, min_pass=0.5)
    assert engine.asked == ["easyr1/easy:4"]  # it failed before


def test_nothing_left_is_an_error_with_its_account(folder, tmp_path):
    source = dataclasses.replace(inputs(folder)[0], columns={"prompt": "absent"})
    with pytest.raises(errors.UserError, match="no question is left"):
        prepare.run([source], tmp_path / "out")
    assert len(read(tmp_path / "out/dropped.jsonl")) == 20


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"yes_no_share": 1.5}, "--yes_no_share must be 0 to 1, got 1.5"),
        ({"total_rows": -1}, "--total_rows must be >= 0, got -1"),
        ({"choices": "all"}, "--choices=all: allowed are open, open_only, keep"),
        ({"min_pass": 0.6, "max_pass": 0.5}, "--min_pass=0.6 is above --max_pass"),
    ],
)
def test_settings_that_make_no_sense(change, reason):
    with pytest.raises(errors.UserError, match=reason):
        prepare.Settings(**change).validate()


def test_the_input_is_not_written_over(folder):
    with pytest.raises(errors.UserError, match="is the folder of the --input"):
        run(folder, folder)


def test_vqa_rad_as_it_is_published(shared_dir, tmp_path):
    source = sources.Source(name="rad", path=str(shared_dir / "data/vqa_rad"), format="vqa_rad")
    report = prepare.run([source], tmp_path, settings=prepare.Settings(total_rows=100))
    assert report.manifest["after"] == {"unknown": {"open": 95, "yes_no": 5}}
    assert report.manifest["steps"][0] == {"step": "read", "rows": 3064}
    golds = collections.Counter(row["answer"] for row in read(tmp_path / "train.jsonl"))
    assert {golds["yes"], golds["no"]} == {2, 3}


def test_the_command(folder, tmp_path):
    flags = [f"--input={folder / 'own.jsonl'}", f"--output={tmp_path / 'out'}"]
    said = small.finish(small.start("rl.prepare", *flags))
    assert "mri, open" in said and "3 questions in" in said
    refused = small.start("rl.prepare", *flags, "--min_pass=0.5")
    _, err = refused.communicate(timeout=300)
    assert refused.returncode == 2
    assert err == "error: --min_pass and --max_pass need --model, which tries the questions\n"


def test_the_command_with_a_model(folder, model_folder, tmp_path):
    flags = [
        f"--input={folder / 'own.jsonl'}",
        f"--output={tmp_path / 'out'}",
        f"--model={model_folder}",
        "--samples=2",
        "--max_new_tokens=4",
    ]
    said = small.finish(small.start("rl.prepare", *flags))
    assert "0 of 2" in said and "mean format" in said
    rows = read(tmp_path / "out/train.jsonl")
    assert [row["pass_rate"] for row in rows] == [0.0] * 3
