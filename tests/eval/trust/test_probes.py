# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval import answering, reopening, runner, sections
from lingshu_jax.eval.trust import desk as desk_lib
from lingshu_jax.eval.trust import probes as probes_lib
from tests.eval import scripted

ASKED = probes_lib.Probes(image_baselines=True)


@pytest.fixture
def evaluated(tmp_path):
    settings = scripted.make_settings(scripted.write_data(tmp_path / "data"))
    runner.evaluate(settings, tmp_path / "out", scripted.Scripted)
    return settings, tmp_path / "out"


def run(evaluated, probes, engine=None, **options):
    settings, out = evaluated
    desk = desk_lib.Desk(
        out,
        settings,
        runner.load_questions(settings),
        lambda: engine or scripted.Scripted(),
        limit=probes.probe_limit,
        **options,
    )
    return probes_lib.run(probes, desk)


def test_nothing_is_done_that_was_not_asked_for(evaluated):
    _, out = evaluated
    assert probes_lib.are_done(probes_lib.NONE, out)
    assert run(evaluated, probes_lib.NONE) == [] and sections.read(out) == {}


def test_a_section_is_written_once_and_shown(evaluated):
    settings, out = evaluated
    assert probes_lib.missing(ASKED, out) == ["image_baselines"]
    assert run(evaluated, ASKED) == ["image_baselines"]
    assert probes_lib.are_done(ASKED, out)
    silent = scripted.Scripted(dies_after=0)
    assert run(evaluated, ASKED, silent) == []
    reopening.rewrite(out, runner.load_questions(settings))
    page = (out / "report.html").read_text()
    assert 'id="image_baselines"' in page and "--calibration" in page


def test_other_settings_make_the_section_again(evaluated):
    _, out = evaluated
    run(evaluated, ASKED)
    before = sections.read(out)["image_baselines"]
    limited = dataclasses.replace(ASKED, probe_limit=2)
    assert not probes_lib.are_done(limited, out)
    with pytest.raises(errors.UserError, match="was made from other questions"):
        run(evaluated, limited)
    assert sections.read(out)["image_baselines"] == before


def test_a_part_leaves_the_section_to_the_last(evaluated):
    parts = [answering.Part(index=index, count=2) for index in range(2)]
    assert run(evaluated, ASKED, part=parts[0]) == []
    assert run(evaluated, ASKED, part=parts[1]) == ["image_baselines"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"option_shuffles": -1}, "--option_shuffles must be >= 0, got -1"),
        ({"prompt_variants": 6}, "--prompt_variants must be 0 to 5, got 6"),
        ({"probe_limit": 0}, "--probe_limit must be >= 1, got 0"),
        ({"hallucination": "/none.csv"}, "--hallucination: there is no file /none.csv"),
        ({"contamination": "/none"}, "--contamination: there is no file /none"),
    ],
)
def test_bad_values_are_named(changes, said):
    with pytest.raises(errors.UserError, match=said):
        probes_lib.Probes(**changes).validate(has_engine=True)


def test_predictions_cannot_be_asked_again():
    probes_lib.NONE.validate(has_engine=False)
    with pytest.raises(errors.UserError, match="--image_baselines asks the model"):
        ASKED.validate(has_engine=False)


def test_a_finished_evaluation_is_taken_up_again_unless_its_data_changed(evaluated):
    settings, out = evaluated
    found, loaded = reopening.reopen(out)
    assert found == settings and list(loaded) == ["small"]
    path = out.parent / "data" / "small.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["id"] = "other"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    with pytest.raises(errors.UserError, match="small holds other questions now"):
        reopening.reopen(out)
    with pytest.raises(errors.UserError, match="is no finished evaluation"):
        reopening.reopen(out.parent)
