# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Runs strict extraction over a file of test vectors.

    python -m lingshu_jax.eval.check_vectors --file=vectors.json

The file is `{"cases": [{"id", "kind", "response", "expect": {"status"[, "value"]}[, "options"]
[, "question"][, "finish_reason"]}]}`. The exit code is 1 if a case fails.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from lingshu_jax.common import answers, answers_text, cli, errors

KINDS: dict[str, answers.AnswerType] = {
    "mcq": "choice",
    "multi": "choices",
    "yesno": "yes_no",
    "numeric": "number",
    "open": "open",
}


def read(path: Path) -> list[dict[str, Any]]:
    """The cases of a vectors file.

    Args:
      path: A JSON file.

    Raises:
      UserError: If the file is missing or malformed.
    """
    if not path.is_file():
        raise errors.UserError(f"--file: no such file: {path}")
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
    except (ValueError, KeyError, TypeError) as error:
        raise errors.UserError(f'{path} is not a vectors file {{"cases": [...]}}') from error
    for number, case in enumerate(cases):
        if not isinstance(case, dict) or not {"kind", "response", "expect"} <= set(case):
            raise errors.UserError(f"{path} case {number} needs kind, response and expect")
        if case["kind"] not in KINDS or "status" not in case["expect"]:
            raise errors.UserError(
                f"{path} case {case.get('id', number)}: kind must be one of {list(KINDS)} and"
                f" expect needs a status, got {case['kind']!r} and {case['expect']!r}"
            )
    return cases


def run_case(case: Mapping[str, Any]) -> answers_text.Extraction:
    """Extracts as the case asks.

    Args:
      case: One case of `read`.
    """
    return answers.extract(
        case["response"],
        answer_type=KINDS[case["kind"]],
        options=case.get("options", ()),
        question=case.get("question", ""),
        finish_reason=case.get("finish_reason", "stop"),
    )


def is_expected(found: answers_text.Extraction, expect: Mapping[str, Any]) -> bool:
    """True if the status agrees, and the value where one is expected.

    Args:
      found: What `run_case` gave.
      expect: The case's expectation.
    """
    return found.status == expect["status"] and found.value == expect.get("value", found.value)


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("file", None, "Vectors file, JSON.")


def main(argv: list[str]) -> None:
    """Prints each failed case and the two counts."""
    del argv
    cases = read(Path(cli.required("file")))
    failed = 0
    for number, case in enumerate(cases):
        found = run_case(case)
        if not is_expected(found, case["expect"]):
            failed += 1
            print(
                f"{case.get('id', number)}: {case['response']!r} expected {case['expect']},"
                f" got {found._asdict()}"
            )
    print(f"{len(cases) - failed} passed, {failed} failed")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main, define_flags)
