# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Ours beside transformers on the same folder; only where torch is installed.

`python -m lingshu_jax.convert --verify --hf=DIR_OR_ID` prints the table.

Axes: T prompt tokens, V vocabulary.
"""

import dataclasses
import gc
import importlib.metadata
import importlib.util
import itertools
import math
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tqdm
from jaxtyping import Float

import lingshu_jax
from lingshu_jax import verify_prompts, verify_sides
from lingshu_jax.common import errors
from lingshu_jax.models import hf, origin

FLOAT32, BFLOAT16 = "float32", "bfloat16"
NEW_TOKENS = 32
MAX_LOGITS = 1e-4  # float32 noise of a 7B is a tenth of it
NEAR_TIE = 1e-3  # two logits this close may change places


class Distance(NamedTuple):
    """How far two sets of logits are apart.

    Attributes:
      logits: Largest difference of a logit, relative to the largest logit of the second.
      logprobs: Largest difference of the log-probability of a prompt's token, nats.
    """

    logits: float
    logprobs: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One prompt in one dtype, ours beside theirs.

    Attributes:
      prompt: Its name.
      num_tokens: T on their side.
      other_token: Place of the first token id that differs; None if there is none. Else
        nothing further is compared.
      distance: Ours from theirs.
      same_choice: Share of places where both prefer the same next token.
      equal_tokens: Greedy tokens before the first that differs.
      greedy_tokens: Of the longer answer.
      margin: Of their two best logits where the answers part; None where they do not.
      ours_from_float32: Distance from their float32; None in float32.
      theirs_from_float32: The same for their own side.
    """

    prompt: str
    num_tokens: int
    other_token: int | None = None
    distance: Distance = Distance(math.nan, math.nan)
    same_choice: float = math.nan
    equal_tokens: int = 0
    greedy_tokens: int = 0
    margin: float | None = None
    ours_from_float32: Distance | None = None
    theirs_from_float32: Distance | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What was compared, and how it came out.

    Attributes:
      model: Its name in public, with the revision where it is known.
      parameters: How many, ours and theirs.
      devices: What each side ran on.
      versions: By package.
      rows: By dtype, one a prompt.
    """

    model: str
    parameters: tuple[int, int]
    devices: tuple[str, str]
    versions: dict[str, str]
    rows: dict[str, list[Row]]

    @property
    def faults(self) -> list[str]:
        """Why the two differ, a line each; empty where they agree. bfloat16 is only shown."""
        ours, theirs = self.parameters
        faults = [] if ours == theirs else [f"{ours:,} parameters, theirs {theirs:,}"]
        for dtype, rows in self.rows.items():
            faults += (f"{dtype}, {row.prompt}: {why}" for row in rows for why in _why(dtype, row))
        return faults

    @property
    def agrees(self) -> bool:
        """Whether there is no fault."""
        return not self.faults


def is_possible() -> bool:
    """Whether torch and transformers are installed."""
    return all(importlib.util.find_spec(name) for name in ("torch", "transformers"))


def run(
    folder: pathlib.Path,
    prompts: Sequence[verify_prompts.Prompt] | None = None,
    *,
    dtypes: Sequence[str] = (FLOAT32, BFLOAT16),
    new_tokens: int = NEW_TOKENS,
) -> Report:
    """Compares logits, log-probabilities and greedy tokens.

    Their weights are let go before ours are read: a model is in memory once.

    Args:
      folder: A Hugging Face folder.
      prompts: What to ask; None asks the bundled questions.
      dtypes: float32 and, if it is wanted, bfloat16.
      new_tokens: Greedy tokens of each answer, at most.

    Raises:
      UserError: If torch is not installed, or the folder cannot be used.
    """
    if not is_possible():
        raise errors.UserError(
            "comparing with transformers needs torch, which is not installed: "
            "`pip install lingshu_jax[oracle]`"
        )
    hf.open_leaves(folder, hf.read_config(folder))  # a damaged folder is refused before the work
    prompts = verify_prompts.bundled() if prompts is None else prompts
    theirs: dict[str, verify_sides.Side] = {}
    ours: dict[str, verify_sides.Side] = {}
    order = ((theirs, verify_sides.theirs), (ours, verify_sides.ours))
    work = [(sides, answer, dtype) for sides, answer in order for dtype in dtypes]
    for sides, answer, dtype in tqdm.tqdm(work, desc="verify", unit="model"):
        sides[dtype] = answer(folder, prompts, dtype, new_tokens=new_tokens)
        gc.collect()  # modules refer to one another and hold the weights
    reference, known = theirs[FLOAT32], origin.identify(folder)
    rows = {}
    for dtype in dtypes:
        outcomes = (ours[dtype].outcomes, theirs[dtype].outcomes, reference.outcomes)
        rows[dtype] = [
            compare(prompt.name, mine, other, None if dtype == FLOAT32 else exact)
            for prompt, mine, other, exact in zip(prompts, *outcomes, strict=True)
        ]
    return Report(
        model="@".join(filter(None, (known.name, known.revision))),
        parameters=(ours[FLOAT32].parameters, reference.parameters),
        devices=(ours[FLOAT32].device, reference.device),
        versions=_versions(),
        rows=rows,
    )


def compare(
    prompt: str,
    ours: verify_sides.Outcome,
    theirs: verify_sides.Outcome,
    reference: verify_sides.Outcome | None = None,
) -> Row:
    """One row of the table.

    Args:
      prompt: Its name.
      ours: Our side.
      theirs: Their side, in the same dtype.
      reference: Their side in float32, where that is another one.
    """
    place = _first_difference(ours.tokens.tolist(), theirs.tokens.tolist())
    row = Row(prompt=prompt, num_tokens=len(theirs.tokens), other_token=place)
    if place is not None:
        return row
    parted = _first_difference(ours.answer, theirs.answer)
    ids = theirs.tokens
    return dataclasses.replace(
        row,
        distance=measure(ours.logits, theirs.logits, ids),
        same_choice=float((ours.logits.argmax(-1) == theirs.logits.argmax(-1)).mean()),
        equal_tokens=len(theirs.answer) if parted is None else parted,
        greedy_tokens=max(len(ours.answer), len(theirs.answer)),
        margin=None if parted is None else _margin(theirs, parted),
        ours_from_float32=reference and measure(ours.logits, reference.logits, ids),
        theirs_from_float32=reference and measure(theirs.logits, reference.logits, ids),
    )


def measure(
    ours: Float[np.ndarray, "T V"], theirs: Float[np.ndarray, "T V"], tokens: np.ndarray
) -> Distance:
    """How far two sets of logits of one prompt are apart.

    Args:
      ours: float32.
      theirs: float32.
      tokens: The prompt [T].
    """
    logits = np.abs(ours - theirs).max() / np.abs(theirs).max()
    logprobs = np.abs(_logprobs(ours, tokens) - _logprobs(theirs, tokens)).max()
    return Distance(float(logits), float(logprobs))


def format_table(report: Report) -> str:
    """The report as Markdown: facts, a row a prompt and dtype, the verdict in the last line.

    Args:
      report: From `run`.
    """
    (ours, theirs), counts = report.devices, [f"{n:,}" for n in report.parameters]
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines = [
        f"### {report.model}: lingshu_jax beside transformers",
        "",
        f"- versions: {versions}",
        f"- parameters: {' and '.join(dict.fromkeys(counts))}",
        f"- devices: ours {ours}, theirs {theirs}",
        "- logits: largest difference, relative to the largest logit",
        "- log-prob: largest difference of a prompt token's, in nats",
        "- margin: of the two best logits of transformers where the greedy answers part",
        "",
        *_table(_HEAD, (_cells(d, row) for d, rows in report.rows.items() for row in rows)),
        "",
    ]
    if BFLOAT16 in report.rows:
        rows = report.rows[BFLOAT16]
        lines += ["Distance of bfloat16 from transformers in float32:", ""]
        lines += [*_table(_DISTANCE_HEAD, map(_distance_cells, rows)), ""]
    verdict = "**agrees**" if report.agrees else f"**differs**: {'; '.join(report.faults)}"
    return "\n".join([*lines, verdict])


_HEAD = ("dtype", "prompt", "tokens", "logits", "log-prob", "same choice", "greedy", "margin")
_DISTANCE_HEAD = ("prompt", "logits, ours", "logits, theirs", "log-prob, ours", "log-prob, theirs")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


def _cells(dtype: str, row: Row) -> list[str]:
    return [
        dtype,
        row.prompt,
        str(row.num_tokens),
        f"{row.distance.logits:.1e}",
        f"{row.distance.logprobs:.1e}",
        f"{row.same_choice:.1%}",
        f"{row.equal_tokens} of {row.greedy_tokens}",
        "" if row.margin is None else f"{row.margin:.1e}",
    ]


def _distance_cells(row: Row) -> list[str]:
    ours, theirs = row.ours_from_float32, row.theirs_from_float32
    if ours is None or theirs is None:
        return [row.prompt, *[""] * 4]
    values = (ours.logits, theirs.logits, ours.logprobs, theirs.logprobs)
    return [row.prompt, *(f"{value:.1e}" for value in values)]


def _why(dtype: str, row: Row) -> Iterator[str]:
    if row.other_token is not None:
        yield f"token {row.other_token} of the prompt is another one"
        return
    # Not a number is beyond every limit.
    if not row.distance.logits < (MAX_LOGITS if dtype == FLOAT32 else math.inf):
        yield f"logits are {row.distance.logits:.1e} apart"
    if dtype == FLOAT32 and row.margin is not None and not row.margin < NEAR_TIE:
        yield f"greedy token {row.equal_tokens} differs at a margin of {row.margin:.1e}"


def _first_difference(left: Sequence[int], right: Sequence[int]) -> int | None:
    """The first place where two sequences differ, which may be the end of the shorter one."""
    pairs = itertools.zip_longest(left, right)
    return next((i for i, (one, other) in enumerate(pairs) if one != other), None)


def _margin(theirs: verify_sides.Outcome, place: int) -> float:
    """At their own token of that place, else at the stop token behind which ours went on."""
    assert theirs.margins is not None
    return float(theirs.margins[min(place, len(theirs.margins) - 1)])


def _logprobs(logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """log p of each token under the place before it [T - 1]."""
    logits = logits[:-1] - logits[:-1].max(-1, keepdims=True)
    chosen = np.take_along_axis(logits, tokens[1:, None], axis=-1)[:, 0]
    return chosen - np.log(np.exp(logits).sum(-1))


def _versions() -> dict[str, str]:
    others = {name: importlib.metadata.version(name) for name in ("jax", "transformers", "torch")}
    return {"lingshu_jax": lingshu_jax.__version__, **others}
