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
    if not isinstance(cases, list):
        raise errors.UserError(f'{path} is not a vectors file {{"cases": [...]}}')
    for number, case in enumerate(cases):
        if not isinstance(case, dict) or not {"kind", "response", "expect"} <= set(case):
            raise errors.UserError(f"{path} case {number} needs kind, response and expect")
        if fault := _fault(case):
            raise errors.UserError(f"{path} case {case.get('id', number)}: {fault}")
    return cases


def _fault(case: Mapping[str, Any]) -> str:
    """What makes a case one that cannot be run; "" if nothing does."""
    kind, expect, options = case["kind"], case["expect"], case.get("options") or []
    if kind not in KINDS:
        return f"kind must be one of {list(KINDS)}, got {kind!r}"
    if not isinstance(expect, dict) or expect.get("status") not in answers_text.STATUSES:
        return f"expect needs a status, one of {answers_text.STATUSES}, got {expect!r}"
    if not isinstance(case["response"], str | None):
        return f"response must be a text or null, got {case['response']!r}"
    if not isinstance(options, list) or not all(isinstance(text, str) for text in options):
        return f"options must be a list of texts, got {options!r}"
    if KINDS[kind] in ("choice", "choices") and not 2 <= len(options) <= 26:
        return f"{kind} needs 2 to 26 options, got {len(options)}"
    return ""


def run_case(case: Mapping[str, Any]) -> answers_text.Extraction:
    """Extracts as the case asks.

    Args:
      case: One case of `read`.
    """
    return answers.extract(
        case["response"],
        answer_type=KINDS[case["kind"]],
        options=case.get("options") or (),
        question=case.get("question") or "",
        finish_reason=case.get("finish_reason") or "stop",
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
