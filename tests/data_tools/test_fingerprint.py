# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json
import subprocess
import sys

import pytest
from PIL import Image

from data_tools import fingerprint
from lingshu_jax.common import errors
from lingshu_jax.data import fingerprint_files, fingerprints, sources


@pytest.fixture
def rows(tmp_path):
    """Four good rows about two pictures; one row without its picture, one with a broken one."""
    folder = tmp_path / "data"
    folder.mkdir()
    Image.linear_gradient("L").save(folder / "a.png")
    Image.radial_gradient("L").save(folder / "b.png")
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:100])
    lines = []
    for number, image in enumerate(["a", "b", "a", "missing", "broken", "b"]):
        content = [
            {"type": "image", "image": f"{image}.png"},
            {"type": "text", "text": f"Question {number}?"},
        ]
        answer = {"role": "assistant", "content": "yes"}
        turns = [{"role": "user", "content": content}, answer]
        lines.append(json.dumps({"id": f"row{number}", "messages": turns}))
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "rows.jsonl"


def read_all(path):
    return [*fingerprint_files.read(path)]


@pytest.mark.parametrize("workers", [0, 2])
def test_good_rows_are_written_in_order_and_the_others_named(tmp_path, rows, workers):
    out = tmp_path / "f.parquet"
    source = sources.Source(name="mine", path=str(rows))
    note, dropped = fingerprint.write(out, [source], tmp_path, workers=workers)
    assert (note["rows"], note["rows_with_images"], note["dropped"]) == (4, 4, 2)
    assert note["sources"] == {"mine": {"rows": 4, "dropped": 2}}
    (batch,) = read_all(out)
    assert batch.sources == ["mine"]
    texts = [fingerprints.text_key(f"Question {number}?") for number in (0, 1, 2, 5)]
    assert list(batch.texts.values) == list(fingerprint_files.as_numbers(texts))
    pictures = list(batch.images.values)
    assert pictures[0] == pictures[2] != pictures[1] == pictures[3]
    assert [row.id for row in dropped] == ["row3", "row4"]
    lines = (tmp_path / "f.dropped.jsonl").read_text().splitlines()
    listed = [json.loads(line) for line in lines]
    assert [row["line"] for row in listed] == [4, 5]
    assert "does not decode" in listed[1]["reason"]


def test_several_sources_keep_their_names(tmp_path, rows):
    given = [sources.Source(name=name, path=str(rows)) for name in ("one", "two")]
    note, _ = fingerprint.write(tmp_path / "f.parquet", given, tmp_path, workers=0)
    assert [entry["rows"] for entry in note["sources"].values()] == [4, 4]
    (batch,) = read_all(tmp_path / "f.parquet")
    assert [batch.sources[place] for place in batch.source_of] == ["one"] * 4 + ["two"] * 4


def test_many_rows_pass_through_few_chunks_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "CHUNK_ROWS", 3)
    turns = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "it"}]
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(
            json.dumps({"messages": [{**turns[0], "content": f"What {number}?"}, turns[1]]}) + "\n"
            for number in range(40)
        )
    )
    source = sources.Source(name="s", path=str(path))
    fingerprint.write(tmp_path / "f.parquet", [source], tmp_path, workers=2)
    (batch,) = read_all(tmp_path / "f.parquet")
    wanted = [fingerprints.text_key(f"What {number}?") for number in range(40)]
    assert list(batch.texts.values) == list(fingerprint_files.as_numbers(wanted))


def test_a_missing_file_leaves_nothing_behind(tmp_path):
    source = sources.Source(name="s", path="nowhere.jsonl")
    with pytest.raises(errors.UserError, match="no such file"):
        fingerprint.write(tmp_path / "f.parquet", [source], tmp_path, workers=0)
    assert list(tmp_path.iterdir()) == []


def run(repo, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "data_tools.fingerprint", *arguments],
        cwd=repo,
        capture_output=True,
        text=True,
    )


def test_the_command_tells_what_it_wrote_and_left_out(tmp_path, rows, repo):
    out = tmp_path / "f.parquet"
    done = run(repo, f"--path={rows}", f"--output={out}", "--workers=1")
    assert done.returncode == 0, done.stderr
    assert "left out: rows, line 4, id 'row3'" in done.stdout
    assert f"4 rows (4 with 4 pictures), 2 left out: {out}" in done.stdout
    assert fingerprint_files.read_note(out)["sources"] == {"rows": {"rows": 4, "dropped": 2}}


def test_a_config_gives_all_its_sources(tmp_path, rows, repo):
    config = tmp_path / "config.py"
    config.write_text(
        "from configs import stage3_instruct\n"
        "from lingshu_jax.data import sources\n\n\n"
        "def get_config():\n"
        '    config = stage3_instruct.get_config("tiny")\n'
        f"    config.data.root = {str(rows.parent)!r}\n"
        "    config.data.sources = tuple(\n"
        '        sources.Source(name=name, path="rows.jsonl") for name in ("one", "two")\n'
        "    )\n"
        "    config.data.without = ()\n"
        "    return config\n"
    )
    out = tmp_path / "f.parquet"
    done = run(repo, f"--config={config}", f"--output={out}", "--workers=0")
    assert done.returncode == 0, done.stderr
    assert list(fingerprint_files.read_note(out)["sources"]) == ["one", "two"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "give one of --config=FILE.py and --path=FILE"),
        (["--path=rows.jsonl", "--format=word"], "unknown format 'word'"),
        (["--path=rows.jsonl", "--output=f.json"], "must end with .parquet"),
    ],
)
def test_wrong_flags_are_one_line(tmp_path, repo, arguments, said):
    done = run(repo, f"--output={tmp_path / 'f.parquet'}", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
