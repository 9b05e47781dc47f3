# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Names of metrics elsewhere."""

import pytest

from lingshu_jax.common import errors
from lingshu_jax.rl import metric_names


@pytest.mark.parametrize("project", metric_names.ALIASES)
def test_a_name_there_has_one_meaning(project):
    theirs = [name for _, name in metric_names.ALIASES[project]]
    assert len(theirs) == len(set(theirs))


def test_names_by_ours():
    names = metric_names.find("verl")
    assert names["reward/total"] == ("critic/score/mean", "critic/rewards/mean")
    assert names["entropy"] == ("actor/entropy",)
    assert metric_names.find("trl")["length/mean"] == ("completions/mean_length",)
    assert metric_names.find("") == {}


def test_an_unknown_project_is_named():
    with pytest.raises(errors.UserError, match="metric_aliases .*'keras'"):
        metric_names.find("keras")


@pytest.mark.parametrize("project", metric_names.ALIASES)
def test_the_guide_has_every_name(repo, project):
    guide = (repo / "docs" / "rl.md").read_text()
    names = [name for pair in metric_names.ALIASES[project] for name in pair]
    named = [name for name in names if not name.startswith(("seconds/", "timing_s/", "lr/"))]
    short = ("clip_fraction/low", "clip_fraction/high", "clip_fraction/dual")
    assert [name for name in named if f"`{name}`" not in guide and name not in short] == []
