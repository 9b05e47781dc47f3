# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A folder that went through convert and export, in vLLM and in the transformers beside it.

This side has neither; both run in `.venv-vllm`, with their own templates and image processors, and
answer the requests that our engine answers. `test_engines.py` has our engines around vLLM.
"""

import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from lingshu_jax.models import hf
from tests.vllm import answers, folders, processes, server

pytestmark = pytest.mark.vllm

# Each checkpoint with the way in which the server is started over it.
ENTRIES = {"untied": "module", "tied": "command", "irregular": "module"}
AT_ONCE = 4


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One checkpoint in the short form."""
    names = list(folders.CHECKPOINTS)[: 1 if metafunc.config.getoption("--reduced") else None]
    metafunc.parametrize("exported", names, indirect=True, scope="module")


class Exported(NamedTuple):
    """A checkpoint and everybody's answers.

    Attributes:
      name: In `folders.CHECKPOINTS`.
      folder: Holds `exported/`.
      rows: The requests.
      ours: Of our engine.
      theirs: By library.
    """

    name: str
    folder: pathlib.Path
    rows: list[dict[str, Any]]
    ours: list[answers.Answer]
    theirs: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def exported(
    request: pytest.FixtureRequest,
    side_python: Callable[[str], pathlib.Path],
    reduced: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:
    python = side_python("vllm")
    folder = tmp_path_factory.mktemp(request.param)
    rows = folders.requests(folder, extra=0 if reduced else 12)
    (folder / "requests.json").write_text(json.dumps(rows))
    made = folders.make(folder, request.param)
    with (
        processes.asking(python, "vllm", folder) as vllm,
        processes.asking(python, "transformers", folder) as transformers,
    ):
        ours = answers.ask(made, rows)
        theirs = {"vllm": vllm(), "transformers": transformers()}
    return Exported(request.param, folder, rows, ours, theirs)


@pytest.mark.parametrize("library", ["vllm", "transformers"])
def test_offline_answers_are_ours(exported: Exported, library: str) -> None:
    answers.check_prompts(exported.ours, exported.theirs[library])
    answers.check_equal(exported.ours, exported.theirs[library])


def test_every_picture_matters(exported: Exported) -> None:
    """The twin: two conversations that differ in their picture alone, turned round."""
    names = [row["id"] for row in exported.rows]
    one, other = names.index("one"), names.index("other")
    ours = list(exported.ours)
    ours[one], ours[other] = ours[other], ours[one]
    assert ours[one].prompt_tokens == ours[other].prompt_tokens
    with pytest.raises(AssertionError, match="one"):
        answers.check_equal(ours, exported.theirs["vllm"])


def test_a_changed_tensor_is_noticed(exported: Exported, tmp_path: pathlib.Path) -> None:
    """The twin: the folder with one vision tensor a hundredth larger."""
    changed = tmp_path / "changed"
    shutil.copytree(exported.folder / "exported", changed)
    params = hf.load_params(changed, hf.read_config(changed))
    patch_embed = params["vision"]["patch_embed"]
    patch_embed["kernel"] = np.float32(1.01) * patch_embed["kernel"]
    folders.replace_weights(changed, params)
    ours = answers.ask(changed, exported.rows)
    assert ours[0].tokens == exported.ours[0].tokens, "text alone is as before"
    with pytest.raises(AssertionError, match="one"):
        answers.check_equal(ours, exported.theirs["vllm"])


def test_the_server_answers_as_we_do(
    exported: Exported, side_python: Callable[[str], pathlib.Path], reduced: bool
) -> None:
    if reduced:
        pytest.skip("test_engines.py starts a server as well; one is enough in the short form")
    entry = ENTRIES[exported.name]
    with server.running(side_python("vllm"), exported.folder, entry=entry) as port:
        for at_once in (1, AT_ONCE):
            theirs = server.ask(port, exported.rows, at_once=at_once)
            answers.check_prompts(exported.ours, theirs)
            answers.check_equal(exported.ours, theirs)
    assert not server.is_healthy(port)
