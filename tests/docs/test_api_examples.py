# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The Python of docs/api.md, run as it stands; only models and lengths are small ones."""

import json
import pathlib
import re
import shutil

import pydicom.data
import pytest

from lingshu_jax import api
from tests.docs import commands

PAGE = commands.REPO / "docs" / "api.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
# The hub's weights are not at hand; a few tokens and one step show that the calls are right.
SMALL = {
    '"lingshu-medical-mllm/Lingshu-7B"': '"tiny"',
    '"Qwen/Qwen2.5-VL-3B-Instruct"': '"tiny"',
    'workdir="runs/mine")': 'workdir="runs/mine", epochs=0, steps=1, tokens_per_row=640)',
    'attention/.*")': 'attention/.*", epochs=0, steps=1, tokens_per_row=640)',
    '"chest.dcm")': '"chest.dcm", max_new_tokens=8)',
    '"images/1.png")': '"images/1.png", max_new_tokens=8)',
    "SamplingParams(max_new_tokens=64": "SamplingParams(max_new_tokens=8",
}


def blocks(text):
    return _BLOCK.findall(text)


def run(block):
    for old, new in SMALL.items():
        block = block.replace(old, new)
    names = {}
    exec(compile(block, PAGE.name, "exec"), names)
    return names


@pytest.fixture
def _folder(tmp_path, monkeypatch, small_folder, small_rows):
    """What the page takes for granted: models, a scan, a LLaVA json and its pictures."""
    (tmp_path / "tiny").symlink_to(small_folder)
    scan = pydicom.data.get_testdata_file("CT_small.dcm", download=False)
    shutil.copy(scan, tmp_path / "chest.dcm")
    (tmp_path / "images").mkdir()
    rows = []
    for picture in small_rows.glob("*.png"):
        shutil.copy(picture, tmp_path / "images")
        turns = [("human", "<image>\nWhat is it?"), ("gpt", "A lung.")]
        said = [{"from": who, "value": text} for who, text in turns]
        image = f"images/{picture.name}"
        rows.append({"id": picture.stem, "image": image, "conversations": said})
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    monkeypatch.chdir(tmp_path)


@pytest.mark.docs
def test_every_example_runs(_folder, capsys):
    answer, tuned, turns, config = blocks(PAGE.read_text(encoding="utf-8"))
    assert run(answer)["answer"] == capsys.readouterr().out.removesuffix("\n") != ""
    assert run(tuned)["run"].summary["steps"] == 1
    assert pathlib.Path("my-model", "config.json").is_file()
    capsys.readouterr()
    run(turns)
    assert capsys.readouterr().out.strip()
    assert run(config)["config"].lora.rank == 8
    assert "lora" in capsys.readouterr().out


def test_an_example_that_is_wrong_would_be_found():
    answer = blocks(PAGE.read_text(encoding="utf-8"))[0]
    with pytest.raises(AttributeError, match="lode"):
        run(answer.replace("api.load", "api.lode"))


def test_the_examples_are_as_short_as_the_page_says():
    first, second = blocks(PAGE.read_text(encoding="utf-8"))[:2]
    counts = [len([line for line in block.splitlines() if line]) for block in (first, second)]
    assert counts[0] <= 5 and counts[1] <= 10


def test_every_replacement_is_needed():
    page = "".join(blocks(PAGE.read_text(encoding="utf-8")))
    assert [old for old in SMALL if old not in page] == []


def test_every_public_name_is_described():
    described = re.findall(r"auto(?:class|function):: (\w+)$", PAGE.read_text(), re.MULTILINE)
    own = [
        name
        for name, value in vars(api).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == api.__name__
    ]
    assert sorted(described) == sorted(own) != []
