# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Passages of a file, found by exact terms."""

import gzip
import itertools
import json
import os

import pyarrow
import pytest
from pyarrow import parquet

from data_tools.synthesis import knowledge
from lingshu_jax.common import errors

ROWS = [
    {
        "term": "Glioma",
        "text": "A tumour of glial cells.",
        "source": "book 1",
        "licence": "CC0-1.0",
    },
    {"term": "glioma", "text": "It may enhance.", "source": "book 2", "licence": "CC0-1.0"},
    {"term": "Edema", "text": "Fluid in tissue.", "source": "book 3", "licence": "CC-BY-4.0"},
]


def write(folder, rows=ROWS):
    path = folder / "passages.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_terms_are_found_plainly_and_exactly(tmp_path):
    library = knowledge.load(write(tmp_path))
    assert [one.source for one in library.find(["GLIOMA"], 1)] == ["book 1"]
    assert library.find(["gliomatosis"], 5) == ()
    assert library.find(["low-grade glioma"], 5) == (), "a part of a word's phrase is no term"


def test_each_part_of_a_label_has_one_before_any_has_two(tmp_path):
    library = knowledge.load(write(tmp_path))
    found = library.find(["glioma, edema"], 3)
    assert [one.source for one in found] == ["book 1", "book 3", "book 2"]
    assert [one.source for one in library.find(["glioma (4) and edema"], 2)] == ["book 1", "book 3"]


def test_where_a_passage_is_from_is_kept(tmp_path):
    (found,) = knowledge.load(write(tmp_path)).find(["edema"], 1)
    assert found.origin == {"term": "Edema", "source": "book 3", "licence": "CC-BY-4.0"}


def test_parquet_holds_the_same(tmp_path):
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "p.parquet")
    ours, theirs = knowledge.load(str(tmp_path / "p.parquet")), knowledge.load(write(tmp_path))
    assert ours.passages == theirs.passages
    assert ours.digest != theirs.digest


def test_a_file_that_changed_is_read_again(tmp_path):
    path = write(tmp_path)
    before = knowledge.load(path)
    assert knowledge.load(path) is before
    write(tmp_path, ROWS[2:])
    os.utime(path, ns=(1, 1))
    after = knowledge.load(path)
    assert after.find(["glioma"], 1) == () and after.digest != before.digest


@pytest.mark.parametrize("column", ["term", "text", "source", "licence"])
def test_a_row_without_one_of_its_texts_is_named(tmp_path, column):
    row = {**ROWS[0], column: ""}
    with pytest.raises(errors.UserError, match=f"row 2: {column} must be a text"):
        knowledge.load(write(tmp_path, [ROWS[0], row]))


def test_a_missing_file_and_no_file(tmp_path):
    with pytest.raises(errors.UserError, match="no such file of passages"):
        knowledge.load(str(tmp_path / "none.jsonl"))
    assert knowledge.load("").find(["glioma"], 3) == ()


def test_long_passages_are_cut_at_the_end_of_a_sentence(tmp_path):
    text = " ".join(f"This is sentence number {i}." for i in range(100))
    (found,) = knowledge.load(write(tmp_path, [{**ROWS[0], "text": text}])).find(["glioma"], 1)
    said = knowledge.said([found])
    assert said.startswith("- Glioma: This is sentence number 0.")
    assert said.endswith(".") and len(said) <= knowledge.MOST_CHARACTERS + len("- Glioma: ")
    endless = "word " * 400
    (found,) = knowledge.load(write(tmp_path, [{**ROWS[0], "text": endless}])).find(["glioma"], 1)
    assert len(knowledge.said([found])) < 700


def test_a_real_set_of_answers_makes_a_library(tmp_path, shared_dir):
    path = shared_dir / "data" / "medquad" / "medquad_sample.jsonl.gz"
    with gzip.open(path, "rt") as file:
        found = [json.loads(line) for line in itertools.islice(file, 300)]
    rows = [
        {
            "term": row["focus"],
            "text": row["answer"],
            "source": f"MedQuAD {row['id']}",
            "licence": "CC-BY-4.0",
        }
        for row in found
    ]
    library = knowledge.load(write(tmp_path, rows))
    assert library.find([found[0]["focus"].upper()], 1)[0].source.startswith("MedQuAD")
