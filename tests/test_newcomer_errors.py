# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The mistakes that somebody makes in the first hour: one line each, with what is wrong and how to
mend it, and exit code 2.
"""

import json
import pathlib
import shutil
from collections.abc import Sequence

import pytest

from configs import stage3_instruct
from lingshu_jax.stages import config as stage_config
from tests import forked_commands

TRAIN, GENERATE, EVALUATE = "lingshu_jax.train", "lingshu_jax.generate", "lingshu_jax.evaluate"
EXPORT = "lingshu_jax.export"
CONFIG = "--config=configs/stage3_instruct.py:tiny"
FULL_DISK = """
import errno, os
def mkdir(path, *args, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
os.mkdir = mkdir
"""
NO_PYDICOM = "import sys; sys.modules.pop('lingshu_jax.data.dicom', None)"
RIGHT = "no mistake"
ENV = {"XLA_FLAGS": "", "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": ""}


def call(module: str, *args: str, **options: object) -> forked_commands.Call:
    return forked_commands.Call(module, args)._replace(**options)


def train(*args: str, **options: object) -> forked_commands.Call:
    """A training that would run, but for its last arguments; {hf}, {rows}, ... are folders."""
    given = ["--config.data.sources[0].path={rows}/rows.jsonl", "--config.data.root="]
    given.append("--config.model.init_from={hf}")
    return call(TRAIN, CONFIG, "--workdir={new}", *given, *args, **options)


def data(name: str, kind: str = "messages", **options: object) -> forked_commands.Call:
    path = f"--config.data.sources[0].path={{bad}}/{name}"
    return train(path, f"--config.data.sources[0].format={kind}", **options)


def start_from(name: str) -> forked_commands.Call:
    return train(f"--config.model.init_from={{bad}}/{name}")


def generate(model: str, engine: str, **options: object) -> forked_commands.Call:
    flags = ["--input={rows}/rows.jsonl", "--output={new}.jsonl", "--max_new_tokens=4"]
    return call(GENERATE, f"--model={model}", f"--engine={engine}", *flags, **options)


# Name: the command, and what its line must say: the value that is wrong, and what would be right.
MISTAKES: dict[str, tuple[forked_commands.Call, Sequence[str]]] = {
    "no_workdir": (call(TRAIN, CONFIG), ["--workdir is required"]),
    "no_config": (call(TRAIN, "--workdir={new}"), ["--config is required, as --config=configs/"]),
    "config_file_misspelt": (
        call(TRAIN, "--config=configs/stage3_instruc.py:tiny", "--workdir={new}"),
        ["configs/stage3_instruc.py", "did you mean 'configs/stage3_instruct.py'?"],
    ),
    "variant_misspelt": (
        call(TRAIN, "--config=configs/stage1_shallow_align.py:tny", "--workdir={new}"),
        ["'tny'", "'7b'", "did you mean 'tiny'?"],
    ),
    "flag_misspelt": (train("--wrkdir=x"), ["--wrkdir", "did you mean '--workdir'?"]),
    "field_misspelt": (
        train("--config.optim.warmup_step=5"),
        ["OptimConfig has no field 'warmup_step'", "did you mean 'warmup_steps'?"],
    ),
    "field_of_another_part": (
        train("--config.warmup_steps=5"),
        ["no field 'warmup_steps'", "did you mean '--config.optim.warmup_steps'?"],
    ),
    "field_before_the_config": (
        call(TRAIN, "--config.optim.warmup_steps=5", CONFIG),
        ["--config.optim.warmup_steps=5", "--config=FILE.py must stand before it"],
    ),
    "wrong_type": (
        train("--config.optim.warmup_steps=many"),
        ["--config.optim.warmup_steps", "of type int, as 10", "'many'"],
    ),
    "word_misspelt": (
        train("--config.optim.schedule=cosin"),
        ["config.optim.schedule", "'cosin'", "did you mean 'cosine'?"],
    ),
    "started_elsewhere": (
        call(
            TRAIN,
            f"--config={forked_commands.REPO}/configs/stage3_instruct.py:tiny",
            "--workdir={new}",
            folder="{bad}",
        ),
        ["No module named 'configs'", "start the command in the folder that holds configs/"],
    ),
    "no_such_weights": (
        train("--config.model.init_from={bad}/nothing"),
        ["init_from", "nothing is no folder", "org/name"],
    ),
    "folder_of_something_else": (
        train("--config.model.init_from={rows}"),
        ["neither a Hugging Face folder, which holds config.json"],
    ),
    "hub_id_not_here": (
        train("--config.model.init_from=Qwen/Qwen2.5-VL-3B-Instruct"),
        ["not complete in the hub's cache", "hf download Qwen/Qwen2.5-VL-3B-Instruct"],
    ),
    "no_tokenizer": (
        start_from("no_tokenizer"),
        ["no_tokenizer: needs tokenizer.json, or vocab.json and merges.txt"],
    ),
    "another_model": (start_from("llama"), ["model_type 'llama'", "allowed: 'qwen2_5_vl'"]),
    "no_weights": (
        start_from("no_weights"),
        ["no_weights holds no model.safetensors", ".bin files are not read"],
    ),
    "weights_cut_short": (start_from("cut"), ["cut/model.safetensors is damaged"]),
    "checkpoint_incomplete": (
        call(EXPORT, "--checkpoint={bad}/checkpoint", "--hf={new}"),
        ["checkpoint/7", "cannot be read", "missing or damaged"],
    ),
    "another_run_in_the_workdir": (
        call(TRAIN, CONFIG, "--workdir={bad}/other_run"),
        ["other_run holds a run with steps = 7, not 280", "choose another folder"],
    ),
    "workdir_is_a_file": (
        train("--workdir={bad}/text.jsonl"),
        ["--workdir", "text.jsonl is not a writable folder"],
    ),
    "no_permission": (train("--workdir=/sys/run"), ["/sys"]),
    "disk_full": (train(before=FULL_DISK), ["No space left on device", "free some space"]),
    "mesh": (
        train("--config.mesh.fsdp=3"),
        ["fsdp=3", "does not fit 1 devices", "must multiply to that number"],
    ),
    "no_gpu_jax": (
        train(before="import jax; jax.config.update('jax_platforms', 'cuda')"),
        ["JAX_PLATFORMS=cuda", "pip install 'lingshu-jax[gpu]'"],
    ),
    "too_little_memory": (
        train("--dry_run", f"--config.data.tokens_per_row={2**40}"),
        ["4.00 TiB", "config.mesh.fsdp", "config.accumulation_steps", "tokens_per_row"],
    ),
    "no_data": (data("absent.jsonl"), ["absent.jsonl", "--config.data.root is the folder"]),
    "empty_file": (data("empty.jsonl"), ["empty.jsonl: 0 refused, none there", "data_formats.md"]),
    "no_json": (data("text.jsonl"), ["text.jsonl: 2 refused", "line 1", "broken JSON"]),
    "format_misspelt": (
        data("llava.json", "lava"),
        ["unknown format 'lava'", "messages", "did you mean 'llava'?"],
    ),
    "another_format": (data("llava.json"), ["llava.json: 1 refused", "that is format llava"]),
    "image_absent": (data("no_image.jsonl"), ["no such file: nowhere.png (looked in"]),
    "image_unreadable": (data("bad_image.jsonl"), ["bad.png: image does not decode", "PNG"]),
    "image_tags": (data("llava.json", "llava"), ["2 <image> in the text, but 1 images"]),
    "no_pydicom": (
        data("dicom.jsonl", absent=["pydicom"], before=NO_PYDICOM),
        ["reading dicom files needs pydicom: pip install 'lingshu-jax[data]'"],
    ),
    "rows_too_long": (
        train("--config.data.tokens_per_row=16"),
        ["12 dropped", "a row of 16 tokens", "it has 89", "a longer data.tokens_per_row"],
    ),
    "no_wandb": (
        train("--config.wandb=mine", absent=["wandb"]),
        ["config.wandb=mine", "pip install 'lingshu-jax[wandb]'"],
    ),
    "no_vllm": (
        generate("{hf}", "vllm", absent=["vllm"]),
        ["vLLM is not installed: pip install 'lingshu-jax[vllm]'"],
    ),
    "no_openai": (
        generate("gpt", "openai", absent=["openai"], env={"OPENAI_API_KEY": "x"}),
        ["openai is missing: pip install 'lingshu-jax[api]'"],
    ),
    "no_key": (generate("gpt", "openai"), ["OPENAI_API_KEY is not set"]),
    "engine_misspelt": (generate("{hf}", "vlm"), ["--engine=vlm", "did you mean 'vllm'?"]),
    "benchmark_misspelt": (
        call(
            EVALUATE,
            *("--model={hf}", "--engine=jax", "--benchmarks=vqa_rd", "--output_dir={new}"),
        ),
        ["unknown benchmark 'vqa_rd'", "did you mean 'vqa_rad'?"],
    ),
    "benchmark_not_here": (
        call(
            EVALUATE,
            *("--model={hf}", "--engine=jax", "--benchmarks=vqa_rad", "--output_dir={new}"),
            "--data_dir={bad}",
        ),
        ["vqa_rad: neither", "hf download --repo-type dataset"],
    ),
}


def write_bad_folders(bad: pathlib.Path, hf: pathlib.Path, rows: pathlib.Path) -> None:
    """Everything that the commands stumble over."""
    for name in ("no_tokenizer", "llama", "no_weights", "cut"):
        shutil.copytree(hf, bad / name)
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (bad / "no_tokenizer" / name).unlink()
    config = json.loads((hf / "config.json").read_text())
    (bad / "llama" / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    (bad / "no_weights" / "model.safetensors").unlink()
    weights = (hf / "model.safetensors").read_bytes()
    (bad / "cut" / "model.safetensors").write_bytes(weights[:-1000])
    shutil.copytree(hf, bad / "checkpoint" / "assets")
    (bad / "checkpoint" / "7").mkdir()
    (bad / "other_run").mkdir()
    other = {**stage_config.to_dict(stage3_instruct.get_config("tiny")), "steps": 7}
    (bad / "other_run" / "config.json").write_text(json.dumps(other))
    (bad / "empty.jsonl").write_text("")
    (bad / "text.jsonl").write_text("What is this?\nA scan.\n")
    (bad / "bad.png").write_bytes(b"not a picture")
    (bad / "scan.dcm").write_bytes(bytes(128) + b"DICM")
    for name, image in (
        ("no_image", "nowhere.png"),
        ("bad_image", "bad.png"),
        ("dicom", "scan.dcm"),
    ):
        parts = [{"type": "image", "image": image}, {"type": "text", "text": "What is this?"}]
        turns = [{"role": "user", "content": parts}, {"role": "assistant", "content": "A scan."}]
        (bad / f"{name}.jsonl").write_text(json.dumps({"id": name, "messages": turns}) + "\n")
    turns = [{"from": "human", "value": "<image><image> Which?"}, {"from": "gpt", "value": "This."}]
    row = {"id": "1", "image": str(rows / "0.png"), "conversations": turns}
    (bad / "llava.json").write_text(json.dumps([row]))


@pytest.fixture(scope="module")
def done(
    small_folder: pathlib.Path, small_rows: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, forked_commands.Done]:
    """How each command ended."""
    named = {RIGHT: train("--dry_run"), **{name: one for name, (one, _) in MISTAKES.items()}}
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "bad").mkdir()
    write_bad_folders(folder / "bad", small_folder, small_rows)
    calls = []
    for name, one in named.items():
        places = {
            "hf": small_folder,
            "rows": small_rows,
            "bad": folder / "bad",
            "new": folder / "new" / name,
        }
        args = [arg.format(**places) for arg in one.args]
        calls.append(one._replace(args=args, folder=one.folder.format(**places)))
    (folder / "new").mkdir()
    env = {**ENV, "HF_HOME": str(folder / "hub")}
    found = dict(zip(named, forked_commands.run(calls, env), strict=True))
    left = sorted(path.name for path in (folder / "new").iterdir())
    assert not left, "a refused command left something behind"
    return found


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_helpful_line(done: dict[str, forked_commands.Done], name: str) -> None:
    found, words = done[name], MISTAKES[name][1]
    *before, line = found.err.strip().split("\n")
    assert found.code == 2, found.err
    assert line.startswith("error: "), found.err
    assert "Traceback" not in found.err and 'File "' not in found.err, found.err
    # What stands before it is a bar or a note of the log.
    assert all(text.startswith(("generate:", "I1", "I0")) for text in before), found.err
    assert all(word in line for word in words), line


def test_there_are_twenty() -> None:
    assert len(MISTAKES) >= 20


def test_the_same_commands_without_a_mistake_end_well(
    done: dict[str, forked_commands.Done],
) -> None:
    """The twin: each line is of its mistake."""
    found = done[RIGHT]
    assert found.code == 0, found.err
    assert "dry run of stage instruct" in found.out
