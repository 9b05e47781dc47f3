# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Judges that have a script, and finished evaluations that they judge."""

import json
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lingshu_jax.engines import protocol
from lingshu_jax.eval import benchmark, reopening, runner
from tests.eval import evaluations, scripted

BLOCK = re.compile(r"^\[\w+ ([A-Z ]+) begins\]\n(.*?)\n\[\w+ \1 ends\]$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r'\{"item": "(\w+)"')


class Judge:
    """Replies with what `says` gives for a prompt; keeps what it was asked.

    Attributes:
      prompts: All of them.
      requests: The same as requests.
    """

    def __init__(
        self,
        says: Callable[[str], str | protocol.Failure],
        *,
        dies_after: int | None = None,
    ):
        self.prompts: list[str] = []
        self.requests: list[protocol.Request] = []
        self._says, self._dies_after = says, dies_after

    def __call__(self) -> "Judge":
        """As `make_engine`."""
        return self

    def used(self) -> protocol.Used:
        return protocol.Used(tokens_in=10 * len(self.prompts), tokens_out=len(self.prompts))

    def generate(
        self, requests: Sequence[protocol.Request], *, on_result: Any = None
    ) -> list[list[protocol.Completion]]:
        for place in reversed(range(len(requests))):
            if len(self.prompts) == self._dies_after:
                raise scripted.Killed
            (message,) = requests[place].messages
            (part,) = message["content"]
            self.requests.append(requests[place])
            self.prompts.append(part["text"])
            said = self._says(part["text"])
            if isinstance(said, protocol.Failure):
                on_result(place, said)
                continue
            given = protocol.Completion(text=said, tokens=(), logprobs=(), finish_reason="stop")
            on_result(place, [given])
        return [[] for _ in requests]


def blocks(prompt: str) -> dict[str, str]:
    """The data of a prompt of ours, without bars."""
    return {
        name: "\n".join(line.removeprefix("| ").removeprefix("|") for line in text.split("\n"))
        for name, text in BLOCK.findall(prompt)
    }


def reply(prompt: str, verdict: str, **fields: Any) -> str:
    """A reply in the form asked for."""
    (code,) = set(CODE.findall(prompt.rpartition(" ends]")[2]))
    return json.dumps({"item": code, "reason": "so", "verdict": verdict, **fields})


def fair(prompt: str) -> str:
    """Correct where the answer is the standard answer, or names the same option."""
    found = blocks(prompt)
    said, gold = found["ANSWER"].strip().lower(), found["STANDARD ANSWER"].strip().lower()
    options = found.get("OPTIONS", "").lower().split("\n")
    same = (
        {gold}
        | {o[3:] for o in options if o[:1] == gold}
        | {o[:1] for o in options if o[3:] == gold}
    )
    return reply(prompt, "correct" if said in same else "incorrect")


def always(verdict: str) -> Callable[[str], str]:
    """The same verdict on everything."""
    return lambda prompt: reply(prompt, verdict)


def medevalkit(verdict: str) -> Callable[[str], str]:
    """The same in MedEvalKit's form."""
    return lambda prompt: f"<think>so</think>\n<judge>{verdict}</judge>"


def open_question(row_id: str, gold: str, **changes: Any) -> benchmark.Sample:
    """A question of VQA-RAD's kind."""
    values: dict[str, Any] = {"question": f"What is in {row_id}?", "answer_type": "open"}
    return benchmark.Sample(id=row_id, gold=gold, rule="vqa", **(values | changes))


OPEN = [
    open_question("o0", "left lung"),
    open_question("o1", "heart"),
    open_question("o2", "liver"),
]
SAID = {"o0": "The Left Lung.", "o1": "the kidney", "o2": "", "q0": "yes", "q1": "no", "q2": "huh?"}
SAMPLES = [*OPEN, *evaluations.yes_no(3)]


def evaluation(
    out: pathlib.Path, samples: Sequence[benchmark.Sample] = SAMPLES, said: Iterable[str] = ()
) -> pathlib.Path:
    """A finished evaluation of a file of answers, which can be taken up again."""
    answers = list(said) or [SAID[sample.id] for sample in samples]
    rows = evaluations.score(samples, answers)
    path = out.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    runner.score_predictions(
        runner.Settings(model="org/answerer", benchmarks=runner.UNNAMED, predictions=str(path)), out
    )
    assert reopening.reopen(out)[1]["predictions"].samples
    return out
