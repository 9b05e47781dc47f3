# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The card says what the runs left behind, nothing private, and its code works."""

import getpass
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable

import huggingface_hub
import pytest

from lingshu_jax import model_card, model_card_text
from lingshu_jax.common import errors, hub
from lingshu_jax.data import tokenizer_files
from lingshu_jax.eval import runner
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import initial, optim_config
from tests import card_runs, report_folders, small

HEADINGS = ("Model", "Training", "Data", "Scores", "Limits", "How it was made", "Use", "Citation")
FENCED = r"^```(\w*)\n(.*?)^```$"


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder whose path nobody should read in public."""
    folder = tmp_path_factory.mktemp("secret-machine") / "home" / "alice"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def base(private: pathlib.Path) -> pathlib.Path:
    return card_runs.write_base(private / "mine")


@pytest.fixture(scope="module")
def chain(
    private: pathlib.Path, base: pathlib.Path, small_rows: pathlib.Path
) -> list[pathlib.Path]:
    return card_runs.write_chain(private / "runs", small_rows, base)


@pytest.fixture
def exported(chain: list[pathlib.Path], base: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return card_runs.export(chain[-1], base, tmp_path / "my-model")


@pytest.fixture
def questions(tmp_path: pathlib.Path) -> pathlib.Path:
    return report_folders.write_data(tmp_path / "questions")


def evaluate(
    folder: pathlib.Path, questions: pathlib.Path, *, model: pathlib.Path, blind: bool = False
) -> pathlib.Path:
    """A complete evaluation of a folder's weights, in which every answer is yes."""
    settings = runner.Settings(
        model=str(model),
        engine="jax",
        weights=hub.digest_weights(model),
        benchmarks="small",
        data_dir=str(questions),
        max_new_tokens=8,
        blind=blind,
    )
    runner.evaluate(settings, folder, lambda: report_folders.Scripted("yes"))
    return folder


def section(text: str, heading: str) -> str:
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_front_matter_is_what_the_hub_reads(
    exported: pathlib.Path, chain: list[pathlib.Path]
) -> None:
    text = model_card.write(exported, chain[-1])
    assert text == (exported / "README.md").read_text()
    assert huggingface_hub.metadata_load(exported / "README.md") == {
        "language": "en",
        "library_name": "transformers",
        "license": "other",
        "license_link": "https://example.org/license",
        "license_name": "research-only",
        "pipeline_tag": "image-text-to-text",
        "tags": ["medical", "qwen2_5_vl", "lingshu_jax"],
    }
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == HEADINGS
    assert "\n# my-model\n" in text and "not a medical device" in text
    assert [kind for kind, _ in re.findall(FENCED, text, re.DOTALL | re.MULTILINE)] == [
        *("", "python", "python", "json", "", "bibtex")
    ]
    (papers,) = code_blocks(text, "bibtex")
    assert re.findall(r"arXiv:(\S+)\}", papers) == ["2506.07044", "2502.13923"]
    assert papers.count("{") == papers.count("}") and "{%" not in text


def test_each_stage_is_told_in_its_place(exported: pathlib.Path, chain: list[pathlib.Path]) -> None:
    text = section(model_card.write(exported, chain[-1]), "Training")
    titles = ["### 1. `shallow_align`", "### 2. `instruct`", "### 3. `rl`"]
    assert re.findall(r"^### .*$", text, re.MULTILINE) == titles
    first, second, third = text.split("\n### ")[1:]
    assert "- length: 40 optimizer steps\n" in first
    assert "- peak learning rates: `vision/.*` 0.001, `merger/.*` 0.001\n" in first
    assert "- frozen: `text/.*`\n" in first and "- frozen: nothing\n" in second
    assert "- rows of a step: 4 of 256 tokens, packed\n" in first
    assert "weight decay 0.1, gradient norm at most 1, 10 warm-up steps, then a cosine" in first
    assert "mean over sequences of their means, 7.062 at first, 1.5 at last" in first
    assert "mean over trained tokens, 7.062 at first" in second
    assert "- method: GRPO, 8 answers to each of 12 prompts at temperature 1" in third
    assert "- reward: 0.5 x format + 1 x accuracy\n" in third
    assert "- KL to the start of the stage: coefficient 0.001\n" in third
    assert "- accuracy on held-out questions: 37.5% in the first quarter" in third
    assert "cross-entropy" not in third


def test_the_data_is_named_with_its_digests(
    exported: pathlib.Path, chain: list[pathlib.Path]
) -> None:
    text = section(model_card.write(exported, chain[-1]), "Data")
    for number, workdir in enumerate(chain, start=1):
        data = json.loads((workdir / "data.json").read_text())
        stage = json.loads((workdir / "config.json").read_text())["stage"]
        assert f"\n{number}. `{stage}`, mixture `{data['sha256']}`\n" in text
        sha256 = data["sources"][0]["sha256"]
        assert f"| `cases` | 12 | 1 | 12 | 3 | `{sha256}` |\n" in text
    assert text.count("| `exam` (held out) | 12 | 0 | 12 | 3 |") == 1


def test_without_an_evaluation_nothing_was_measured(
    exported: pathlib.Path, chain: list[pathlib.Path]
) -> None:
    text = model_card.write(exported, chain[-1])
    assert section(text, "Scores").strip() == "No scores were measured."
    assert "Nothing was measured on these weights" in section(text, "Limits")


def test_scores_stand_beside_what_guessing_gives(
    exported: pathlib.Path,
    base: pathlib.Path,
    chain: list[pathlib.Path],
    questions: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """A folder of evaluations: the model first, then blind, then others by their name."""
    folder, other = tmp_path / "evaluation", tmp_path / "models" / "other"
    shutil.copytree(base, other)
    (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    evaluate(folder / "a", questions, model=other)
    evaluate(folder / "b", questions, model=exported, blind=True)
    evaluate(folder / "c", questions, model=exported)
    text = model_card.write(exported, chain[-1], evaluation=folder)
    rows = re.findall(r"^\| `small` .*$", section(text, "Scores"), re.MULTILINE)
    models = [row.split(" | ")[1] for row in rows]
    assert models == [
        "this model",
        "this model, images greyed out",
        "other weights, `models/other`",
    ]
    interval = "50.0% [15.0, 85.0]"
    assert rows[0].endswith(f" | 4 | {interval} | {interval} | 50.0% | none |")
    assert "of at most 8 tokens, asked for in the form `direct`" in text
    limits = section(text, "Limits")
    assert "measured on `small` only" in limits and "Nothing was measured" not in limits
    assert huggingface_hub.metadata_load(exported / "README.md")


def test_scores_of_other_weights_are_not_the_models(
    exported: pathlib.Path,
    chain: list[pathlib.Path],
    questions: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """The twin: the same evaluation, after the weights have changed."""
    evaluation = evaluate(tmp_path / "evaluation", questions, model=exported)
    assert "| this model |" in model_card.write(exported, chain[-1], evaluation=evaluation)
    weights = exported / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    text = model_card.write(exported, chain[-1], evaluation=evaluation)
    assert "| this model |" not in text and "| other weights, " in text
    assert "Nothing was measured on these weights" in text


def test_an_evaluation_has_to_be_complete(
    exported: pathlib.Path, chain: list[pathlib.Path], tmp_path: pathlib.Path
) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(errors.UserError, match="holds no complete evaluation"):
            model_card.write(exported, chain[-1], evaluation=path)


def private_words(private: pathlib.Path) -> list[str]:
    words = ["alice", "secret-machine", str(private.parent), "/tmp", "/home", socket.gethostname()]
    return [*words, *({getpass.getuser()} - {"root"}), str(pathlib.Path.home())]


def test_nothing_private_is_told(
    private: pathlib.Path,
    exported: pathlib.Path,
    chain: list[pathlib.Path],
    questions: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    evaluation = evaluate(tmp_path / "evaluation", questions, model=exported)
    for source in (chain[-1], chain[-1] / "checkpoints"):
        text = model_card.write(exported, source, evaluation=evaluation)
        told = [word for word in private_words(private) if word in text]
        assert not told, told
        assert not re.search(r"(^|[\s`\"'=(])/\w", text), "an absolute path"
    assert "| base | `mine` |" in text
    kept = (chain[0] / "config.json").read_text()
    assert "alice" in kept, "the runs themselves do know their folders"


def write_alone(
    tmp_path: pathlib.Path,
    small_rows: pathlib.Path,
    base: pathlib.Path,
    **changes: object,
) -> tuple[pathlib.Path, pathlib.Path]:
    """A run of stage 1 and its export."""
    workdir = card_runs.write_run(tmp_path / "stage1", small_rows, base, **changes)
    return card_runs.export(workdir, base, tmp_path / "exported"), workdir


def test_random_weights_are_called_so(
    tmp_path: pathlib.Path, small_rows: pathlib.Path, base: pathlib.Path
) -> None:
    exported, workdir = write_alone(tmp_path, small_rows, base)
    path = workdir / "config.json"
    config = json.loads(path.read_text())
    config["model"]["init_from"] = "random"
    path.write_text(json.dumps(config))
    text = model_card.write(exported, workdir)
    assert "| base | random weights |" in text and "licence of the base" not in text
    assert "Its weights began at random" in text and "a test of software" in text
    assert "base_model" not in text


def test_a_base_of_the_hub_is_linked(tmp_path: pathlib.Path, small_rows: pathlib.Path) -> None:
    name = "Qwen2.5-VL-3B-Instruct"
    base = card_runs.write_base(tmp_path / name, "---\nlicense: apache-2.0\n---\n")
    exported, workdir = write_alone(tmp_path, small_rows, base)
    text = model_card.write(exported, workdir, name="mine-3b")
    data = huggingface_hub.metadata_load(exported / "README.md") or {}
    assert (data["base_model"], data["license"]) == (f"Qwen/{name}", "apache-2.0")
    assert f"| base | `Qwen/{name}` |" in text and "\n# mine-3b\n" in text


@pytest.mark.parametrize("train_base", [False, True])
def test_adapters(
    train_base: bool, tmp_path: pathlib.Path, small_rows: pathlib.Path, base: pathlib.Path
) -> None:
    lora = optim_config.LoraConfig(modules="text/.*(q|v)", rank=8, train_base=train_base)
    exported, workdir = write_alone(tmp_path, small_rows, base, lora=lora)
    text = section(model_card.write(exported, workdir), "Training")
    assert "- adapters: LoRA of rank 8, alpha 32, on `text/.*(q\\|v)`, merged" in text
    rates, frozen = "adapters 0.0001", "everything else"
    if train_base:
        rates, frozen = f"{rates}, `vision/.*` 0.001, `merger/.*` 0.001", "`text/.*`"
    assert f"- peak learning rates: {rates}\n- frozen: {frozen}\n" in text


def test_what_a_group_has_of_its_own(
    tmp_path: pathlib.Path, small_rows: pathlib.Path, base: pathlib.Path
) -> None:
    options = {"weight_decay": 0.0, "schedule": "constant"}
    optimizer = optim_config.OptimConfig(
        trainable=((r"vision/.*", 1e-3, options), (".*", None)),
        schedule="wsd",
        warmup_steps=2,
        final_fraction=0.1,
        z_loss=1e-4,
    )
    exported, workdir = write_alone(tmp_path, small_rows, base, optim=optimizer)
    text = section(model_card.write(exported, workdir), "Training")
    assert "rates: `vision/.*` 0.001 (weight decay 0.0, schedule constant)\n- frozen: `.*`" in text
    assert "gradient norm at most 1, z-loss 0.0001, 2 warm-up steps, then constant, at" in text


@pytest.mark.parametrize(
    ("frozen", "told"), [("bfloat16", ", frozen ones bfloat16"), ("float32", ""), (None, "")]
)
def test_the_precision_of_what_is_frozen(
    frozen: str | None,
    told: str,
    tmp_path: pathlib.Path,
    small_rows: pathlib.Path,
    base: pathlib.Path,
) -> None:
    """A run of an earlier version names none."""
    exported, workdir = write_alone(tmp_path, small_rows, base)
    path = workdir / "config.json"
    config = json.loads(path.read_text())
    assert config["model"].pop("frozen_dtype") == ""
    config["model"] |= {} if frozen is None else {"frozen_dtype": frozen}
    path.write_text(json.dumps(config))
    text = model_card.write(exported, workdir)
    assert f"- precision: parameters float32{told}, products float32\n" in text


def test_an_unfinished_run_is_called_so(
    tmp_path: pathlib.Path, small_rows: pathlib.Path, base: pathlib.Path
) -> None:
    exported, workdir = write_alone(tmp_path, small_rows, base)
    assert "before its end" not in model_card.write(exported, workdir)
    (workdir / "finished.json").unlink()
    (workdir / "checkpoints" / "40").rmdir()
    (workdir / "data.json").unlink()
    text = model_card.write(exported, workdir)
    assert "`shallow_align` was taken at step 20, before its end." in text
    assert "the run left no `data.json`, so its data is not known" in text
    assert "mean over sequences of their means\n" in text


def test_a_lost_beginning_is_called_so(
    tmp_path: pathlib.Path, small_rows: pathlib.Path, base: pathlib.Path
) -> None:
    moved = shutil.copytree(base, tmp_path / "models" / "lost")
    exported, workdir = write_alone(tmp_path, small_rows, moved)
    assert "What came before" not in model_card.write(exported, workdir)
    shutil.rmtree(moved)
    assert "What came before `models/lost` is not known" in model_card.write(exported, workdir)


def test_earlier_versions_are_named(
    tmp_path: pathlib.Path, small_rows: pathlib.Path, base: pathlib.Path
) -> None:
    exported, workdir = write_alone(tmp_path, small_rows, base)
    assert "; shallow_align with" not in model_card.write(exported, workdir)
    path = workdir / "data.json"
    data = json.loads(path.read_text())
    data["made_with"] = {"lingshu_jax": "0.0.1", "jax": "0.9.0"}
    path.write_text(json.dumps(data))
    assert "; shallow_align with 0.0.1 and jax 0.9.0" in model_card.write(exported, workdir)


def test_a_model_that_was_only_converted(base: pathlib.Path, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "converted"
    shutil.copytree(base, source / "assets")
    exported = pathlib.Path(shutil.copytree(base, tmp_path / "exported"))
    text = model_card.write(exported, source)
    assert "None: the weights are those of the base." in section(text, "Training")
    assert "\n## Data\n" not in text and "lingshu_jax.convert" in text
    for words in ("the recipe of Lingshu", "CONFIG", "licences of its training data"):
        assert words not in text


def test_names_cannot_break_a_table(
    tmp_path: pathlib.Path, small_rows: pathlib.Path, base: pathlib.Path
) -> None:
    exported, workdir = write_alone(tmp_path, small_rows, base)
    path = workdir / "data.json"
    data = json.loads(path.read_text())
    data["sources"][0]["name"] = "a|b`\n<b>|"
    path.write_text(json.dumps(data))
    text = section(model_card.write(exported, workdir), "Data")
    assert "| `a\\|b' <b>\\|` | 12 |" in text
    assert model_card_text.code("`x` y") == "`'x' y`"


def code_blocks(text: str, language: str) -> list[str]:
    blocks = re.findall(FENCED, text, re.DOTALL | re.MULTILINE)
    return [code for kind, code in blocks if kind == language]


def test_the_command_of_the_card_answers(
    small_folder: pathlib.Path,
    small_rows: pathlib.Path,
    chain: list[pathlib.Path],
    tmp_path: pathlib.Path,
) -> None:
    """As it stands there, but for the folders that its relative names are taken from."""
    model = pathlib.Path(shutil.copytree(small_folder, tmp_path / "my-model"))
    use = section(model_card.write(model, chain[-1]), "Use")
    (prompt,) = code_blocks(use, "json")
    (tmp_path / "prompts.jsonl").write_text(prompt)
    shutil.copy(small_rows / "0.png", tmp_path / "picture.png")
    (command,) = code_blocks(use, "")
    python, option, module, *flags = shlex.split(command)
    assert (python, option) == ("python", "-m")
    pairs = [flag.split("=") for flag in flags]
    given = [f"{k}={v if v.isdigit() else tmp_path / v}" for k, v in pairs]
    small.finish(small.start(module.removeprefix("lingshu_jax."), *given))
    (answer,) = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert len(json.loads(answer)["tokens"]) > 0


# A CPU and a minute: no compilation, and little memory for keys and values.
SMALL_VLLM = """
import functools, vllm
vllm.LLM = functools.partial(
    vllm.LLM, enforce_eager=True, max_model_len=512, kv_cache_memory_bytes=64 * 2**20
)
"""


@pytest.mark.vllm
@pytest.mark.parametrize(("place", "before"), [(0, ""), (1, SMALL_VLLM)], ids=["hf", "vllm"])
def test_the_code_of_the_card_runs(
    place: int,
    before: str,
    side_python: Callable[[str], pathlib.Path],
    small_rows: pathlib.Path,
    chain: list[pathlib.Path],
    tmp_path: pathlib.Path,
) -> None:
    """With transformers and with vLLM, on random weights and files that `complete` wrote."""
    python = side_python("vllm")
    corpus = ["What does this image show?"]
    model = initial.make_random_folder(
        tmp_path / "my-model", stage_config.TINY, corpus, seed=0, **small.PIXELS
    )
    for path in model.iterdir():
        if path.name not in ("config.json", "tokenizer.json", "model.safetensors"):
            path.unlink()
    tokenizer_files.complete(model)
    use = section(model_card.write(model, chain[-1]), "Use")
    shutil.copy(small_rows / "0.png", tmp_path / "picture.png")
    code = before + code_blocks(use, "python")[place]
    environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1"}
    environment.pop("XLA_FLAGS", None)
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, timeout=600
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert done.stdout, "it prints an answer, which may be empty"
