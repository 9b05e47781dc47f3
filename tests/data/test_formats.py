# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Files of rows: what stands in them, in order, with every damaged row named."""

import importlib
import json

import pyarrow
import pytest
from pyarrow import parquet

from lingshu_jax.common import errors
from lingshu_jax.data import formats

GOOD = {"id": "a", "text": "Hi"}


def write_array_record(path, records):
    library = importlib.import_module("array_record.python.array_record_module")
    writer = library.ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()


def write_parquet(path, rows, **options):
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, **options)


def read(path):
    """Lines, and the rows or the reasons why there is none."""
    pairs = list(formats.read_rows(path))
    rows = [str(row) if isinstance(row, formats.RowError) else row for _, row in pairs]
    return [line for line, _ in pairs], rows


def test_bad_lines_are_named_where_they_stand(tmp_path):
    path = tmp_path / "rows.jsonl"
    good = json.dumps(GOOD).encode()
    deep = b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    lines = [b"\xef\xbb\xbf" + good, b"", b"{", b'{"id": "\xff"}', b"[1]", deep, good + b"\r"]
    path.write_bytes(b"\n".join(lines))
    places, rows = read(path)
    assert places == [1, 3, 4, 5, 6, 7]
    assert [row == GOOD for row in rows] == [True, *[False] * 4, True]
    assert "broken JSON" in rows[1] and "got list" in rows[3]


def test_json_list_reads_like_lines(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([GOOD, 3], indent=1))
    assert read(path) == ([1, 2], [GOOD, "a row must be an object, got int"])
    path.write_text('[{"id": "a"}, {"id"')
    with pytest.raises(errors.UserError, match="must hold a JSON list of rows: broken JSON"):
        read(path)


def test_json_lines_may_be_called_json(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(f"\n {json.dumps(GOOD)}\n{{\n")
    places, rows = read(path)
    assert places == [2, 3] and rows[0] == GOOD and "broken JSON" in rows[1]


def test_parquet_gives_rows_of_all_groups(tmp_path):
    path = tmp_path / "rows.parquet"
    rows = [
        {"id": str(i), "images": [{"bytes": b"\0\xff", "path": None}], "n": {"x": i}}
        for i in range(150)
    ]
    write_parquet(path, rows, row_group_size=100)
    assert read(path) == (list(range(1, 151)), rows)


def test_a_damaged_row_group_refuses_its_own_rows(tmp_path):
    path = tmp_path / "rows.parquet"
    rows = [{"text": f"{i} {'x' * 500}"} for i in range(30)]
    write_parquet(path, rows, row_group_size=10, compression="snappy")
    metadata = parquet.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = metadata.data_page_offset
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(bytes(data))
    places, found = read(path)
    assert places == list(range(1, 31))
    assert found[:10] == rows[:10] and found[20:] == rows[20:]
    assert all("row group 1 is damaged" in row for row in found[10:20])


def test_text_that_is_no_utf8_refuses_one_parquet_row(tmp_path):
    path = tmp_path / "rows.parquet"
    raw = pyarrow.array([b"good", b"\xff\xfe", b"also"]).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"text": raw}), path)
    _, rows = read(path)
    assert rows[0] == {"text": "good"} and rows[2] == {"text": "also"}
    assert "does not read" in rows[1]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.array_record"])
@pytest.mark.parametrize("content", [b"", b"no such format", b"PAR1"])
def test_a_file_that_is_something_else_is_an_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.UserError, match=r"is no (Parquet|ArrayRecord) file"):
        read(tmp_path / name)


def test_array_record_holds_json(tmp_path):
    path = tmp_path / "rows.array_record-00000-of-00001"
    write_array_record(path, [json.dumps(GOOD).encode(), b"\x0a\x05proto", b"3"])
    places, rows = read(path)
    assert places == [1, 2, 3]
    assert rows[0] == GOOD and "broken JSON" in rows[1] and "got int" in rows[2]


def test_a_damaged_record_is_refused_alone(tmp_path):
    path = tmp_path / "rows.array_record"
    write_array_record(path, [json.dumps({"id": str(i), "t": "x" * 9}).encode() for i in range(9)])
    data = bytearray(path.read_bytes())
    data[70] ^= 0xFF
    path.write_bytes(bytes(data))
    places, rows = read(path)
    assert places == list(range(1, 10))
    assert "damaged record" in rows[0] and [row["id"] for row in rows[1:]] == list("12345678")


def test_a_folder_gives_the_files_of_a_split(tmp_path):
    (tmp_path / "data").mkdir()
    names = ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test.parquet"]
    for name in [*names, "validation.jsonl", "dataset_infos.json", "README.md", "training.json"]:
        (tmp_path / "data" / name).touch()
    files = formats.row_files(tmp_path, "train")
    assert [file.name for file in files] == names[:2]
    assert [file.name for file in formats.row_files(tmp_path, "validation")] == ["validation.jsonl"]
    (tmp_path / "data" / "validation.jsonl").unlink()
    with pytest.raises(errors.UserError, match="no file of the split 'validation'; it has test, t"):
        formats.row_files(tmp_path, "validation")
    assert formats.row_files(tmp_path / "data" / "test.parquet", "train")[0].name == "test.parquet"


def test_a_folder_without_splits_gives_all_files(tmp_path):
    for name in ("b.jsonl", "a.json", "c.array_record-00000-of-00002", "image.png"):
        (tmp_path / name).touch()
    files = formats.row_files(tmp_path, "test")
    assert [file.suffix[:6] for file in files] == [".json", ".jsonl", ".array"]


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(errors.UserError, match="holds no .jsonl, .json, .parquet or"):
        formats.row_files(tmp_path, "train")
    with pytest.raises(errors.UserError, match="no such file"):
        formats.row_files(tmp_path / "rows.jsonl", "train")


def make(value, parse=lambda row: ((), row), **columns):
    return formats.make_record(value, parse, line=7, row_id="rows:7", columns=columns)


@pytest.mark.parametrize(
    ("row", "row_id"),
    [({"id": "x"}, "x"), ({"id": 0}, "0"), ({}, "rows:7"), ({"id": ""}, "rows:7")]
    + [({"id": value}, "rows:7") for value in (None, True, ["x"], 1.5)],
)
def test_a_row_keeps_its_own_id(row, row_id):
    assert make(row).row_id == row_id


def test_columns_take_our_names():
    record = make(
        {"q": "Is it?", "answer": "old", "gold": "yes", "n": 1}, problem="q", answer="gold"
    )
    assert record.meta == {"problem": "Is it?", "answer": "yes", "n": 1}
    assert make({"n": 1}, problem="q").meta == {"n": 1}


def test_a_reason_is_one_line():
    def refuse(row):
        raise formats.RowError("two\n lines")

    assert make({"id": "x"}, refuse) == formats.Refusal(7, "x", "two lines")
    assert make(3) == formats.Refusal(7, "rows:7", "a row must be an object, got int")


def test_values_nested_too_deeply_are_refused():
    value = []
    for _ in range(5000):
        value = [value]
    refused = make({"id": "x", "deep": value}, lambda row: ((), formats.without(row)))
    assert refused.reason == "values are nested too deeply"


def test_meta_is_json():
    row = {"id": "x", "messages": [], "t": (1, b"abc"), "d": {3: 1.5, "n": None}, "c": complex(1)}
    meta = formats.without(row, "messages")
    assert meta == {"t": [1, "3 bytes"], "d": {"3": 1.5, "n": None}, "c": "(1+0j)"}
    assert json.loads(json.dumps(meta)) == meta


def test_written_rows_read_back_and_nothing_half_written_stays(tmp_path):
    path = tmp_path / "new" / "rows.jsonl"
    rows = [{"id": "a", "text": "µ\n"}, {"id": "half \ud800 pair"}]
    assert formats.write_jsonl(path, rows) == 2
    assert [row for _, row in formats.read_rows(path)] == rows
    assert path.read_text().count("\n") == 2 and "µ" in path.read_text()

    def broken():
        yield {"id": "b"}
        raise errors.UserError("stop")

    with pytest.raises(errors.UserError):
        formats.write_jsonl(path, broken())
    assert [file.name for file in path.parent.iterdir()] == ["rows.jsonl"]
    assert [row for _, row in formats.read_rows(path)] == rows
