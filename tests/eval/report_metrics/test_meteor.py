# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import os
import sys

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval.report_metrics import meteor

# A program that answers as METEOR does: the shares of words that a report and its first reference
# share, and the mean of them.
PROGRAM = """#!{python}
import sys
for line in sys.stdin:
    kind, *fields = [field.strip() for field in line.rstrip("\\n").split("|||")]
    if kind == "SCORE":
        if "die" in fields[-1]:
            sys.exit(1)
        truth, said = set(fields[0].split()), set(fields[-1].split())
        print(len(truth & said), len(truth), flush=True)
    elif kind == "EVAL":
        shares = [int(a) / int(b) for a, b in (field.split() for field in fields)]
        for share in [*shares, sum(shares) / len(shares)]:
            print(share, flush=True)
"""


@pytest.fixture
def jar(tmp_path, monkeypatch):
    package = tmp_path / "packages" / "pycocoevalcap"
    (package / "meteor").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "meteor" / "meteor-1.5.jar").touch()
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "java").write_text(PROGRAM.format(python=sys.executable))
    (programs / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.syspath_prepend(str(package.parent))
    return package / "meteor" / "meteor-1.5.jar"


def test_each_report_and_all_have_a_score(jar):
    said = [["clear", "lungs"], [], ["an", "effusion", "|||", "x"]]
    truths = [[["clear", "lungs"]], [["normal"]], [["effusion", "large"], ["x"]]]
    assert meteor.find_jar() == jar
    assert meteor.scores(said, truths, jar) == ([1.0, 0.0, 0.5], 0.5)


def test_a_program_that_ends_is_an_error(jar):
    with pytest.raises(errors.UserError, match="METEOR's program ended"):
        meteor.scores([["a"], ["die"]], [[["a"]], [["a"]]], jar)


def test_without_java_or_the_package_there_is_none(jar, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert meteor.find_jar() is None
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "programs")]))
    assert meteor.find_jar() == jar
    jar.unlink()
    assert meteor.find_jar() is None
