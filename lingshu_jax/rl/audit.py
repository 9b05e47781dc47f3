# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Tries to cheat a reward: `python -m lingshu_jax.rl.audit [--reward=path.py:name] [--cases=FILE]`.

Adversarial completions must not earn more than they may: 0 where the form is broken, the format
term where the answer is wrong, hedged, refused or one of several. Legitimate ones, in as many
shapes, must earn all. Without flags the default reward meets the cases beside this file, once with
the paper's weights and once with `format_needs_answer`, where form alone may earn nothing.

`--reward` audits a function of your own (`rl/reward_function.py`), `--cases` takes a JSONL file
(`rl/audit_files.py`). Exit code 0: all cases hold; 1: some do not; 2: bad input.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from lingshu_jax.common import cli
from lingshu_jax.rl import audit_files, reward_function, rewards

PAPER = rewards.FormatAccuracy()
GATED = rewards.FormatAccuracy(format_needs_answer=True)
_SHOWN = 100  # characters of a completion that fails
_TOLERANCE = 1e-6


class Failure(NamedTuple):
    """A case that does not hold."""

    case: audit_files.Case
    earned: float
    allowed: float


def audit(
    reward_fn: rewards.RewardFn, cases: Sequence[audit_files.Case], *, gated: bool = False
) -> list[Failure]:
    """The cases that earn too much or too little.

    Args:
      reward_fn: Judges.
      cases: Any number.
      gated: Whether the format term is paid only as far as the answer is right; the limits of the
        cases, which are those without, are translated.
    """
    earned = rewards.earn(reward_fn, [case.asked for case in cases])
    failures = []
    for case, reward in zip(cases, earned, strict=True):
        allowed = _gated(case.limit) if gated else case.limit
        excess = reward.total - allowed
        if (excess if case.kind == "adversarial" else -excess) > _TOLERANCE:
            failures.append(Failure(case, reward.total, allowed))
    return failures


def _gated(limit: float) -> float:
    """What 0.5 format + accuracy becomes if both grow with the accuracy."""
    accuracy = max(0.0, limit - PAPER.format_weight) / PAPER.accuracy_weight
    return (PAPER.format_weight + PAPER.accuracy_weight) * accuracy


def table(name: str, cases: Sequence[audit_files.Case], failures: Sequence[Failure]) -> list[str]:
    """Both error rates, a line each.

    Args:
      name: Of the reward.
      cases: All of them.
      failures: Those that do not hold.
    """
    lines = []
    for kind, said in (("adversarial", "earned too much"), ("legitimate", "earned too little")):
        total = sum(case.kind == kind for case in cases)
        wrong = sum(failure.case.kind == kind for failure in failures)
        rate = f"{wrong / total:.1%}" if total else "none asked"
        lines.append(f"{name:<22} {kind:<12} {total:>5} cases {wrong:>5} {said:<17} {rate:>10}")
    return lines


def _describe(name: str, failure: Failure) -> str:
    case = failure.case
    bound = "at most" if case.kind == "adversarial" else "at least"
    text = " ".join(case.asked.completion.split())
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
    return (
        f"{case.id}: {name} paid {failure.earned:g}, {bound} {failure.allowed:g} is allowed:"
        f" {shown!r}"
    )


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("reward", None, "A function of yours, path.py:name; default: ours.")
    flags.DEFINE_string("cases", None, "A JSONL file of cases; default: ours.")


def main(argv: list[str]) -> None:
    """Audits, prints what fails and the table."""
    del argv
    given = cli.flag("cases")
    paths = [pathlib.Path(given)] if given else sorted(audit_files.FOLDER.glob("*.jsonl"))
    cases = audit_files.read(paths)
    own = cli.flag("reward")
    if own:
        audited = {own: (reward_function.load(own, field="--reward", default=PAPER), False)}
    else:
        audited = {"default": (PAPER, False), "format_needs_answer": (GATED, True)}
    lines = []
    failed = False
    for name, (reward_fn, gated) in audited.items():
        failures = audit(reward_fn, cases, gated=gated)
        failed |= bool(failures)
        for failure in failures:
            print(_describe(name, failure))
        lines += table(name, cases, failures)
    print("\n".join(lines))
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main, define_flags)
