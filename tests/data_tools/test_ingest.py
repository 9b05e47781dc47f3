# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import json

import pytest
from PIL import Image

from data_tools import config, curate, decontaminate, deidentify, examples, ingest, rows, steps
from lingshu_jax.common import errors
from lingshu_jax.data import sources


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    Image.new("RGB", (80, 80)).save(folder / "x.png")
    lines = []
    for number in range(5):
        user = [{"type": "image", "image": "x.png"}, {"type": "text", "text": f"q{number}"}]
        turns = [
            {"role": "user", "content": user},
            {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
        ]
        lines.append(json.dumps({"id": f"r{number}", "messages": turns, "topic": number}))
    lines.insert(3, "{torn")
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "texts.jsonl").write_text(
        json.dumps(
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
        )
        + "\n"
    )
    return folder


def make_config(data, **changes):
    found = [
        config.CuratedSource(name="pictures", path="rows.jsonl", format="messages"),
        config.CuratedSource(name="texts", path="texts.jsonl", format="messages", kind="text"),
    ]
    values = {"sources": found, "root": str(data), "rows_per_partition": 4, "workers": 1}
    return config.CurationConfig(**(values | changes))


def read_in(settings, out, workers=1):
    settings.validate()
    cleaning = deidentify.Deidentify(settings.deidentify, b"0" * 16)
    return ingest.run(settings, steps.Run(output=out, workers=workers), cleaning).folder


def read_all(folder):
    found = folder / steps.ROWS
    return {name: rows.read(found / name) for name in rows.names(found)}


def test_rows_of_all_sources_become_partitions_and_refused_ones_are_named(data, tmp_path):
    folder = read_in(make_config(data), tmp_path / "out", workers=2)
    found = read_all(folder)
    assert {name: [row.id for row in part] for name, part in found.items()} == {
        "000-pictures-00000.parquet": ["pictures/r0", "pictures/r1", "pictures/r2"],
        "000-pictures-00001.parquet": ["pictures/r3", "pictures/r4"],
        "001-texts-00000.parquet": ["texts/texts:1"],
    }
    row = found["000-pictures-00000.parquet"][1]
    assert row.media == (rows.Medium(kind="image", path=str(data / "x.png")),)
    assert row.texts("user") == ["q1"] and row.meta["topic"] == 1
    (refused,) = steps.read_dropped(folder)
    assert (refused["line"], refused["reason"]) == (4, "refused")
    assert "JSON" in refused["detail"]


def test_messages_come_back_with_their_pictures(data):
    (source,) = make_config(data).sources[:1]
    example = next(e for e in sources.stream(source, str(data)) if isinstance(e, sources.Example))
    assert examples.to_messages(examples.from_example(example)) == example.messages


def test_a_second_run_reads_nothing_and_a_changed_file_is_read_anew(data, tmp_path):
    settings, out = make_config(data), tmp_path / "out"
    folder = read_in(settings, out)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    assert read_in(settings, out) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")} == times
    with (data / "texts.jsonl").open("a") as file:
        file.write("{}\n")
    again = read_in(settings, out)
    assert again != folder
    assert steps.read_counts(again)["texts"] == {"in": 2, "out": 1, "dropped": {"refused": 1}}


def test_what_a_kill_left_is_completed(data, tmp_path):
    settings, out = make_config(data), tmp_path / "out"
    folder = read_in(settings, out)
    before = read_all(folder)
    (folder / steps.ROWS / "000-pictures-00001.parquet").unlink()
    (folder / "sources" / "000-pictures.json").unlink()
    read_in(settings, out)
    assert read_all(folder) == before


def test_a_curation_counts_every_step(data, tmp_path):
    settings = make_config(data, decontaminate=decontaminate.Config(benchmarks=""))
    summary = curate.run(settings, tmp_path / "out")
    assert [(step["name"], step["in"], step["out"]) for step in summary["steps"]] == [
        ("ingest", 7, 6),
        ("deidentify", 6, 6),
        ("filters", 6, 1),
        ("modality", 1, 1),
        ("dedup_images", 1, 1),
        ("dedup_texts", 1, 1),
        ("decontaminate", 1, 1),
        ("mixture", 1, 1),
    ]
    assert summary["mixtures"] == {"all": {"rows": {"train": 1}, "absent": []}}
    assert summary["steps"][2]["by_source"]["pictures"]["dropped"] == {"blank": 5}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sources": []}, "config.sources is empty"),
        ({"rows_per_partition": 0}, "config.rows_per_partition must be >= 1, got 0"),
        ({"workers": -1}, "config.workers must be >= 0, got -1"),
    ],
)
def test_bad_settings_are_named(data, tmp_path, changes, said):
    with pytest.raises(errors.UserError, match=said):
        read_in(make_config(data, **changes), tmp_path / "out")


def test_bad_sources_are_named(data, tmp_path):
    settings = make_config(data)
    settings.sources[1].name = "pictures"
    with pytest.raises(errors.UserError, match="two sources are named pictures"):
        settings.validate()
    settings = make_config(data)
    settings.sources[0].kind = "films"
    with pytest.raises(errors.UserError, match="kind must be one of captions, .* got 'films'"):
        settings.validate()
    settings = make_config(data / "nowhere")
    with pytest.raises(errors.UserError, match="nowhere"):
        read_in(settings, tmp_path / "out")
