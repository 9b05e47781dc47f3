# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json
import subprocess
import sys

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import check_vectors

CASES = [
    {"id": "1", "kind": "yesno", "response": "Yes", "expect": {"status": "ok", "value": "yes"}},
    {"id": "2", "kind": "numeric", "response": "2 or 3", "expect": {"status": "ambiguous"}},
    {"id": "3", "kind": "mcq", "response": "b", "expect": {"status": "ok"}, "options": ["x", "y"]},
]


def test_all_shared_vectors(shared_dir):
    cases = check_vectors.read(shared_dir / "reference" / "extraction_vectors.json")
    failed = [
        case["id"]
        for case in cases
        if not check_vectors.is_expected(check_vectors.run_case(case), case["expect"])
    ]
    assert len(cases) >= 72
    assert not failed


def test_fields_may_be_null():
    case = {**CASES[0], "response": None, "options": None, "question": None, "id": None}
    assert check_vectors.run_case(case) == ("empty", None)


@pytest.mark.parametrize(
    ("change", "returncode", "last_line"),
    [
        ({}, 0, "3 passed, 0 failed"),
        ({"expect": {"status": "ok", "value": "no"}}, 1, "2 passed, 1 failed"),
        ({"expect": {"status": "refusal"}}, 1, "2 passed, 1 failed"),
    ],
    ids=["good", "wrong-value", "wrong-status"],
)
def test_the_command(tmp_path, repo, change, returncode, last_line):
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps({"cases": [CASES[0] | change, *CASES[1:]]}))
    command = [sys.executable, "-m", "lingshu_jax.eval.check_vectors", f"--file={path}"]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (returncode, last_line)


@pytest.mark.parametrize(
    "text",
    [
        *("x", "[]", '{"cases": [{}]}', '{"cases": {"a": 1}}'),
        '{"cases": [{"kind": "essay", "response": "", "expect": {"status": "ok"}}]}',
        '{"cases": [{"kind": "open", "response": "", "expect": {}}]}',
        '{"cases": [{"kind": "open", "response": "", "expect": {"status": "fine"}}]}',
        '{"cases": [{"kind": "open", "response": 3, "expect": {"status": "ok"}}]}',
        '{"cases": [{"kind": "mcq", "response": "A", "expect": {"status": "ok"}}]}',
        '{"cases": [{"kind": "mcq", "response": "A", "expect": {"status": "ok"}, "options": [1]}]}',
    ],
)
def test_a_malformed_file_is_one_clear_error(tmp_path, text):
    path = tmp_path / "vectors.json"
    path.write_text(text)
    with pytest.raises(errors.UserError, match="vectors.json"):
        check_vectors.read(path)
