# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The cost of curation by hand, and the benchmark at a size of seconds."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import curation_cost
from benchmarks import curation_cost_model as model
from lingshu_jax.common import errors
from tests.data_tools import small_curation

# One row a second everywhere, but where a test says something else.
ONES = {field.name: 1.0 for field in dataclasses.fields(model.Speeds)}
PLAN = model.Plan(samples=6268.0, cores=10, largest=0.25, start=2.0)
GROUPING = model.Grouping(keys=1000, seconds=1.0, peak=0, more=0, planning=0.1)


def speeds(**changes: float) -> model.Speeds:
    return model.Speeds(**(ONES | changes))


def test_the_paper_s_shares() -> None:
    assert model.rows_of(6268.0) == pytest.approx((5410.0, 858.0))
    assert sum(model.rows_of(5e6)) == pytest.approx(5e6)


def test_what_is_spread_by_hand() -> None:
    found = model.core_seconds(speeds(look=2, sign=0.5, partition=3.5, shard_text=4), 6268.0)
    assert found == pytest.approx(
        {
            "looking for burned-in text": 5410,
            "decoding and looking": 2705,
            "filters of texts": 6268,
            "decoding and hashing": 5410,
            "modality, without a model": 6268,
            "MinHash": 1716,
            "looking up benchmarks": 6268,
            "partitions": 12536,
            "records and shards": 5410 + 214.5,
        }
    )


def test_what_one_process_does_by_hand() -> None:
    found = model.serial_seconds(speeds(manifest=2), GROUPING, PLAN)
    assert found == pytest.approx(
        {
            "grouping": (5410 + 9 * 858) / 1000,
            "planning the mixture": 0.6268,
            "manifests": 3134,
            "data card": 6268,
            "starting processes": 26,
        }
    )


def test_nodes_divide_only_what_is_spread() -> None:
    one, eight, many = (model.cost(speeds(), GROUPING, PLAN, nodes) for nodes in model.NODES)
    assert one.spread == pytest.approx(8 * eight.spread) and one.serial == eight.serial
    # The largest source is read by one process, however many there are.
    assert one.reading == eight.reading == many.reading == 0.25 * 6268
    assert one.seconds > eight.seconds > many.seconds > one.serial + one.reading
    alone = dataclasses.replace(PLAN, cores=1)
    assert model.cost(speeds(), GROUPING, alone, 1).reading == 6268


def test_the_table_says_what_it_assumes() -> None:
    text = "\n".join(model.cost_table(speeds(), GROUPING, PLAN))
    hours = model.cost(speeds(), GROUPING, PLAN, 8).seconds / 3600
    assert f"| 8 | {hours:.2f} |" in text and "grouping, one process" in text
    assert "largest source has 25% of the rows" in text and "no embeddings" in text


def test_groupings_are_linear_in_the_table() -> None:
    lines = model.grouping_table([GROUPING, dataclasses.replace(GROUPING, keys=2000, peak=2**20)])
    assert "| 1,000 | 1.00 | 1000.00 | 0 |" in lines[2]
    assert "| 2,000 | 1.00 | 500.00 | 1 |" in lines[3]


def test_the_speeds_of_a_few_pictures(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(4):
        small_curation.pixels(number).save(pictures / f"{number}.png")
    (pictures / "notes.txt").write_text("no picture")
    found = curation_cost.find_pictures(pictures, 3)
    assert len(found) == 3
    (tmp_path / "work").mkdir()
    measured = curation_cost.measure(tmp_path / "work", found, np.random.default_rng(0))
    assert all(value > 0 for value in dataclasses.astuple(measured))
    assert measured.hash_decoded > measured.hash / 2
    table = model.speed_table(measured)
    assert all(re.fullmatch(r"\| .+ \| \w+ \| [\d,]+ \|", line) for line in table[2:-1])


def test_made_hashes_are_grouped(tmp_path: Path) -> None:
    found = curation_cost.group(tmp_path, 100)
    assert found.keys == 100 and found.seconds > 0 and found.peak > found.more >= 0


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.UserError, match="no pictures in"):
        curation_cost.find_pictures(tmp_path, 3)
    with pytest.raises(SystemExit):
        curation_cost.main([])
