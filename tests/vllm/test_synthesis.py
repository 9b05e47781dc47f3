# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A synthesis through vLLM's server, which keeps random weights to the schema of each reply."""

import json
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from data_tools.synthesis import self_instruct_prompts
from lingshu_jax.engines import journal, vllm_server
from tests.kill import synthesizing
from tests.vllm import limits, processes, talking

pytestmark = pytest.mark.vllm

QUESTIONS = 4  # and two captioned pictures
# On CPUs vLLM 0.32.0 dies of a prompt with a seed that it reads in pieces: "CPU Generator does not
# use offset" (vllm/v1/worker/gpu_model_runner.py).
OPTIONS = {
    **limits.OPTIONS,
    "enable_chunked_prefill": False,
    "max_num_batched_tokens": talking.MAX_TOKENS,
}


class Written(NamedTuple):
    """What came of a synthesis, and of the same command when nobody was there to be asked.

    Attributes:
      output: Its folder.
      said: What the command printed.
      again: The same of the second run.
      files: Rows, pictures and what was dropped.
      files_again: The same after the second run.
    """

    output: pathlib.Path
    said: str
    again: str
    files: dict[str, bytes]
    files_again: dict[str, bytes]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Of a recipe."""
        return _rows(self.output / "rows" / f"{name}.jsonl")

    def dropped(self, name: str) -> list[dict[str, Any]]:
        """What gave no row."""
        return _rows(self.output / "dropped" / f"{name}.jsonl")


def _rows(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def written(
    side_python: Callable[[str], pathlib.Path], tmp_path_factory: pytest.TempPathFactory
) -> Written:
    python, folder = side_python("vllm"), tmp_path_factory.mktemp("synthesis")
    data, output = synthesizing.write_data(folder / "data", QUESTIONS), folder / "out"
    exported = talking.make(folder)

    def start(url: str) -> subprocess.Popen[str]:
        return synthesizing.start(data, output, url, "--dialect=vllm", model=exported.name)

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OPENAI_API_KEY", raising=False)
        for name, value in processes.VARIABLES.items():
            patch.setenv(name, value)
        with vllm_server.Server(
            exported,
            python=str(python),
            max_images=limits.MAX_IMAGES,
            max_model_len=talking.MAX_TOKENS,
            options=OPTIONS,
        ) as server:
            said = synthesizing.finish(start(server.base_url), output)
        files = synthesizing.files(output)
        again = synthesizing.finish(start(server.base_url), output)
        return Written(output, said, again, files, synthesizing.files(output))


def test_questions_about_the_pictures_come_out(written: Written) -> None:
    rows = written.rows("self_instruct")
    assert rows, written.dropped("self_instruct")
    for row in rows:
        assert row["kind"] == "vqa" and row["answer"]
        question, answer = row["messages"]
        pictures = [part["image"] for part in question["content"] if part["type"] == "image"]
        assert [f"rows/{picture}" in written.files for picture in pictures] == [True]
        assert answer["content"][0]["text"]


def test_rows_say_what_they_were_made_of(written: Written) -> None:
    for row in written.rows("self_instruct"):
        found = row["provenance"]
        assert (found["recipe"], found["model"], found["seed"]) == ("self_instruct", "exported", 0)
        digests = {self_instruct_prompts.ITEMS.name: self_instruct_prompts.ITEMS.digest}
        assert found["prompts"] == digests
        assert found["parents"] in (["captions/c0"], ["captions/c1"])
        assert found["checks"]["fits"] is True


def test_every_reply_that_was_not_cut_follows_its_schema(written: Written) -> None:
    answers = journal.read_answers(written.output / "replies" / "self_instruct.jsonl")
    replies = [reply for _, answer in answers for reply in answer["replies"]]
    whole = [json.loads(reply) for reply in replies if reply.endswith("}")]
    assert whole and all(set(reply) == {"fits", "why", "items"} for reply in whole)
    assert "0 seeds" not in written.said


def test_every_seed_is_a_row_or_is_counted(written: Written) -> None:
    for name, count in (("self_instruct", QUESTIONS // 2), ("reasoning", QUESTIONS)):
        parents = {row["provenance"]["parents"][0] for row in written.rows(name)}
        assert len(parents | {entry["id"] for entry in written.dropped(name)}) == count


def test_the_same_command_again_asks_nobody(written: Written) -> None:
    """The server has gone meanwhile."""
    assert written.again == written.said and written.files_again == written.files
