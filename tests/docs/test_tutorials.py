# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of the tutorials, run one after the other as a reader would, at the size `tiny`."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pydicom.data
import pytest
from PIL import Image

from tests import small
from tests.docs import commands

pytestmark = pytest.mark.docs

TUTORIALS = commands.REPO / "docs" / "tutorials"
# A few steps are enough to see that a command runs; weights and clouds are not at hand.
SHORT = {
    "configs/finetune.py:3b,": "configs/finetune.py:tiny,",
    "--workdir=runs/scans": "--workdir=runs/scans --config.steps=2",
    "--workdir=runs/llava": "--workdir=runs/llava --config.steps=2",
    "report --workdir=runs/scans --config.steps=2": "report --workdir=runs/scans",
    "report --workdir=runs/llava --config.steps=2": "report --workdir=runs/llava",
    ":7b,prepared": ":tiny,prepared",
    "Qwen/Qwen2.5-VL-7B-Instruct": "my-model",
}
# What a page has beside that, and what of it is not run, with the reason.
CHAT = {"lingshu_jax.chat": "serves until it is stopped: tests/browser/test_chat.py"}
VLLM = {"--engine=vllm": "vLLM: tests/vllm/", "vllm serve": "vLLM: tests/vllm/"}
SERVICE = {"OPENAI_API_KEY=": "a service: tests/engines/test_openai_services.py"}


QUESTIONS = (
    ("Is there an effusion in picture", "yes", "CLOSED"),
    ("Which organ is in picture", "the lung", "OPEN"),
    ("What is seen in picture", "a rib", "OPEN"),
)


def write_scans(folder):
    (folder / "dicom").mkdir()
    for name in ("CT_small.dcm", "MR_small.dcm", "examples_ybr_color.dcm"):
        shutil.copy(pydicom.data.get_testdata_file(name, download=False), folder / "dicom")


def write_llava(folder):
    (folder / "images").mkdir()
    rows = []
    for number in range(16):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        turns = [("human", "<image>\nWhat is the modality?"), ("gpt", "A chest X-ray.")]
        rows.append(
            {
                "id": str(number),
                "image": f"{number}.png",
                "conversations": [{"from": who, "value": said} for who, said in turns],
            }
        )
    (folder / "rows.json").write_text(json.dumps(rows))


def write_questions(folder):
    """VQA-RAD as published, and a model that answers without knowing anything."""
    data = folder / "DATA" / "vqa_rad"
    (data / "images").mkdir(parents=True)
    rows = []
    for number in range(24):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 80), dtype=np.uint8)
        Image.fromarray(pixels).save(data / "images" / f"{number}.jpg")
        rows.append(
            {
                "qid": number,
                "image_name": f"{number}.jpg",
                "question": f"{QUESTIONS[number % 3][0]} {number}?",
                "answer": QUESTIONS[number % 3][1],
                "answer_type": QUESTIONS[number % 3][2],
                "question_type": "PRES",
                "image_organ": "CHEST",
                "phrase_type": "freeform",
            }
        )
    for split in ("trainset", "testset"):
        (data / f"{split}.json").write_text(json.dumps(rows))
    small.write_folder(folder / "my-model")


def write_answers(folder):
    gold = json.loads((folder / "DATA" / "vqa_rad" / "testset.json").read_text())
    answered = [{**row, "response": row["answer"]} for row in gold]
    (folder / "results.json").write_text(json.dumps(answered))


def write_blocks(page, folder, **files):
    """Files that the page shows, by the language of their block."""
    found = dict(re.findall(r"^```(json|python)\n(.*?)^```", page.read_text(), re.M | re.S))
    for language, name in files.items():
        (folder / name).write_text(found[language])


@pytest.fixture
def folder(tmp_path):
    """A checkout as a reader has it."""
    for name in ("configs", "lingshu_jax", "data_tools"):
        (tmp_path / name).symlink_to(commands.REPO / name)
    return tmp_path


def follow(page, folder, skipped, swaps=()):
    """Runs the commands of a page in their order.

    Returns:
      How many were run, and the lines that were not.
    """
    text = page.read_text(encoding="utf-8")
    left, count = [], 0
    for block in commands.blocks(text):
        for line in block:
            if any(mark in line for mark in skipped):
                left.append(line)
                continue
            command = line
            for old, new in (*SHORT.items(), *swaps):
                command = command.replace(old, new)
            done = run(command, folder)
            allowed = (0, 1) if "rl.audit" in line else (0,)  # 1: the reward can be fooled
            assert done.returncode in allowed, f"{command}\n{done.stdout}\n{done.stderr}"
            count += 1
    return count, left


def run(command, folder):
    text = re.sub(r"^python ", f"{sys.executable} ", command)
    # One device, and quick compilation, as of the tests that start commands.
    flags = {"XLA_FLAGS": "--xla_backend_optimization_level=0", "PYTHONPATH": str(folder)}
    env = {**os.environ, **flags}
    return subprocess.run(
        text, shell=True, cwd=folder, env=env, capture_output=True, text=True, timeout=900
    )


def test_dicom(folder):
    write_scans(folder)
    swaps = [("/path/to/dicom", str(folder / "dicom"))]
    count, left = follow(TUTORIALS / "dicom.md", folder, CHAT, swaps)
    assert count == 8 and len(left) == 1
    assert (folder / "my-model" / "config.json").is_file()
    header = pydicom.dcmread(folder / "dicom" / "CT_small.dcm")
    assert str(header.PatientName) not in (folder / "curated" / "card.html").read_text()


def test_llava(folder):
    write_llava(folder)
    count, left = follow(TUTORIALS / "llava.md", folder, {})
    assert count == 6 and not left
    assert (folder / "my-adapter" / "adapter_config.json").is_file()


def test_reward(folder):
    page = TUTORIALS / "reward.md"
    write_questions(folder)
    write_blocks(page, folder, python="my_reward.py")
    shorter = "--config.model.init_from=runs/stage3"
    steps = "--config.steps=1 --config.data.root=data"
    count, left = follow(page, folder, {}, [(shorter, steps)])
    assert count == 4 and not left
    (row,) = (folder / "runs" / "rl" / "metrics.jsonl").read_text().splitlines()
    assert {"reward/right", "reward/short"} <= set(json.loads(row))


def test_evaluate(folder):
    write_questions(folder)
    write_answers(folder)
    few = ("--model=my-model", "--model=my-model --max_new_tokens=4")
    count, left = follow(TUTORIALS / "evaluate.md", folder, {**VLLM, **SERVICE}, [few])
    assert count == 4 and len(left) == 2
    assert (folder / "evals" / "compared" / "compare.html").is_file()


def test_checkpoints(folder):
    write_questions(folder)
    skipped = {**VLLM, "--adapter": "in llava.md", "--verify": "torch: tests/test_verify.py"}
    swaps = [("ckpt/qwen --hf=my-model", "ckpt/qwen --hf=my-model-again")]
    count, left = follow(TUTORIALS / "checkpoints.md", folder, skipped, swaps)
    assert count == 2 and len(left) == 3
    assert (folder / "my-model-again" / "config.json").is_file()


def test_benchmark(folder):
    page = TUTORIALS / "benchmark.md"
    write_questions(folder)
    write_blocks(page, folder, json="mine.jsonl")
    (folder / "train.jsonl").write_text((folder / "mine.jsonl").read_text())
    Image.new("L", (64, 64)).save(folder / "a.png")
    few = ("--model=my-model", "--model=my-model --max_new_tokens=4")
    count, left = follow(page, folder, {}, [few])
    assert count == 3 and not left
    (found,) = (folder / "evals" / "own").rglob("contamination.json")
    assert "mine" in found.read_text()


def test_pod(folder):
    """What a slice would run, planned here: the presets, the stages and what they start from."""
    write_questions(folder)
    skipped = {
        "gcloud ": "a cloud",
        ".aot ": "tests/aot/",
        ".export ": "in checkpoints.md",
    }
    swaps = [
        ("gs://BUCKET/data", "DATA/rows"),
        ("gs://BUCKET/", "runs/"),
        (" --config.mesh.preset=v5e-64", " --dry_run"),
        (":7b", ":tiny"),
        (":tiny,prepared", ":tiny"),
        (" --config.accumulation_steps=1", ""),
        *((f" --config.model.init_from=runs/stage{i}", "") for i in (1, 2, 3)),
        (" --config.data.root=DATA/rows", ""),
    ]
    count, left = follow(TUTORIALS / "pod.md", folder, skipped, swaps)
    assert count == 4 and len(left) == 7


def test_every_tutorial_is_here():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    pages = {page.stem for page in TUTORIALS.glob("*.md")}
    # The paper's row needs weights, a service and vLLM; its flags are checked as all are. The
    # notebook has a test of its own.
    assert pages - tested == {"paper_row", "notebook"}
