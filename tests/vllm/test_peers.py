# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Models of other architectures in vLLM's server, evaluated by the same command as ours.

Their answers are those of Transformers, which applies the same template and image processor.
"""

import json
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import tokenizers
from PIL import Image

from lingshu_jax import evaluate
from lingshu_jax.engines import registry, vllm_server
from lingshu_jax.eval import folder, runner
from tests.vllm import folders, limits, processes

pytestmark = pytest.mark.vllm

SCRIPT = pathlib.Path(__file__).with_name("peer_folders.py")
KINDS = ("llava", "internvl", "gemma3")
NEW_TOKENS = 12
# What Transformers answers otherwise. Gemma's pictures are read in both directions, for which
# vLLM's attention on CPUs has no word: the likely reason.
OTHERWISE = {"gemma3": {"two"}}
COLORS = ((250, 40, 20), (10, 60, 240))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One architecture in the short form."""
    kinds = KINDS[: 1 if metafunc.config.getoption("--reduced") else None]
    metafunc.parametrize("peer", kinds, indirect=True, scope="module")


class Evaluated(NamedTuple):
    """A model and what came of it.

    Attributes:
      kind: Of `KINDS`.
      folder: Of the model.
      python: Of `.venv-vllm`.
      data: Folder of the questions.
      out: The evaluation's folder.
      summary: Of the evaluation.
    """

    kind: str
    folder: pathlib.Path
    python: pathlib.Path
    data: pathlib.Path
    out: pathlib.Path
    summary: dict[str, Any]

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """Of samples.jsonl, by id."""
        return {row["id"]: row for row in folder.read_samples(self.out / "small")}


def write_questions(data: pathlib.Path) -> None:
    """Questions of no, one and two pictures, one with a system message, one of too many."""
    data.mkdir()
    pictures = []
    for place, color in enumerate(COLORS):
        path = data / f"{place}.png"
        Image.new("RGB", (90, 70), color).save(path)
        pictures.append({"type": "image", "image": str(path)})
    one, other = pictures
    question = {"type": "text", "text": "Is there an effusion?"}
    told = {"role": "system", "content": [{"type": "text", "text": "You read radiographs."}]}
    asked = {
        "one": [user(one, question)],
        "other": [user(other, question)],
        "text": [user(question)],
        "two": [user(one, other, {"type": "text", "text": "Which is larger?"})],
        "told": [told, user(one, question)],
        "many": [user(one, other, one, question)],
    }
    lines = [
        {"id": name, "messages": messages, "answer": "yes", "answer_type": "yes_no"}
        for name, messages in asked.items()
    ]
    (data / "small.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def run(python: pathlib.Path, model: pathlib.Path, data: pathlib.Path, out: pathlib.Path) -> Any:
    """The command, without a shell; questions without an answer are counted."""
    return evaluate.run_part(
        runner.Settings(
            model=str(model),
            engine="vllm",
            benchmarks="small",
            data_dir=str(data),
            max_new_tokens=NEW_TOKENS,
        ),
        out,
        part=None,
        score_failed=True,
        options=registry.Options(
            vllm_python=str(python), max_images=limits.MAX_IMAGES, max_model_len=512
        ),
    )


def quick(python: pathlib.Path, place: pathlib.Path) -> pathlib.Path:
    """An interpreter for the command whose vLLM compiles nothing and takes little memory."""
    words = " ".join(vllm_server._flags(limits.OPTIONS))
    script = place / "python"
    script.write_text(f'#!/bin/sh\nexec {python} "$@" {words}\n')
    script.chmod(0o755)
    return script


@pytest.fixture(scope="module")
def peer(
    request: pytest.FixtureRequest,
    side_python: Callable[[str], pathlib.Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Evaluated:
    place = tmp_path_factory.mktemp(request.param)
    python, model, data = side_python("vllm"), place / "model", place / "data"
    command = [str(python), str(SCRIPT), request.param, str(model), str(folders.LICENSE)]
    subprocess.run(command, env=processes.environment(), capture_output=True, check=True)
    write_questions(data)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in processes.VARIABLES.items():
            patch.setenv(name, value)
        summary = run(quick(python, place), model, data, place / "out")
    return Evaluated(request.param, model, python, data, place / "out", summary)


def ask_transformers(peer: Evaluated) -> dict[str, str]:
    """The texts of Transformers' greedy answers, by id, where there are not too many pictures."""
    place = peer.folder.parent / "beside"
    place.mkdir(exist_ok=True)
    (place / "exported").symlink_to(peer.folder)
    lines = map(json.loads, (peer.data / "small.jsonl").read_text().splitlines())
    rows = [
        {"id": row["id"], "messages": row["messages"], "max_new_tokens": NEW_TOKENS}
        for row in lines
        if row["id"] != "many"
    ]
    (place / "requests.json").write_text(json.dumps(rows))
    with processes.asking(peer.python, "transformers", place) as answered:
        found = answered()
    known = tokenizers.Tokenizer.from_file(str(peer.folder / "tokenizer.json"))
    return {row["id"]: whole(known.decode(row["tokens"])) for row in found}


def whole(text: str) -> str:
    return text.rstrip("\ufffd")


def test_answers_are_those_of_transformers(peer: Evaluated) -> None:
    theirs, ours = ask_transformers(peer), peer.rows
    # Half a character at an end that was cut off is shown or not.
    unequal = {name for name in theirs if whole(ours[name]["response"]) != theirs[name]}
    assert unequal == OTHERWISE.get(peer.kind, set())
    assert {"one", "other", "text", "two", "told"} == set(theirs)


def test_pictures_and_system_messages_are_seen(peer: Evaluated) -> None:
    """The twin: what differs in one of them alone gets another answer."""
    said = {name: row["response"] for name, row in peer.rows.items()}
    assert len({said["one"], said["other"], said["told"], said["text"]}) == 4


def test_too_many_pictures_are_a_failure_that_is_counted(peer: Evaluated) -> None:
    assert peer.rows["many"]["finish_reason"] == "error"
    assert peer.summary["usage"]["failed"] == 1
    assert "1 without an answer" in " ".join(peer.summary["remarks"])


def test_the_engine_tells_what_it_took(peer: Evaluated) -> None:
    assert peer.summary["usage"]["prompt_tokens"] > 5 * 20
    assert peer.summary["settings"]["engine"] == "vllm" and peer.summary["settings"]["weights"]
