# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import collections
import importlib
import io
import json
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image, PngImagePlugin

from configs import curation as curation_config
from data_tools import (
    curate,
    manifest,
    mixture,
    picture_files,
    records,
    registry,
    release,
    rows,
    shards,
    splits,
    steps,
)
from lingshu_jax.common import errors
from lingshu_jax.data import fingerprint_files, images, sources
from tests import small
from tests.data_tools import small_curation

SPLITS = (mixture.TRAIN, mixture.VALIDATION)


def read(out, name, split="train"):
    source = sources.Source(name=name, path=f"mixtures/{name}", format="tfds", split=split)
    found = sources.read(source, out)
    assert not found.dropped
    return found.examples


def every(out, name, had=SPLITS):
    return [example for split in had for example in read(out, name, split)]


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def of_source(examples):
    return collections.Counter(example.meta["source"] for example in examples)


def test_rows_come_back_with_pictures_clips_flags_and_answers(curation):
    out, _ = curation
    found = {example.id: example for example in every(out, "instruct")}
    clip = found[records.shard_id("questions/clip")].messages[0]["content"][0]
    assert len(clip["video"]) == 2 and clip["fps"] == 2.0
    np.testing.assert_array_equal(
        images.open_image(clip["video"][1]), small_curation.pixels(23).convert("RGB")
    )
    dicom = found[records.shard_id("questions/dicom")]
    assert [message.get("loss") for message in dicom.messages] == [None, False, None, None]
    assert images.open_image(dicom.messages[0]["content"][0]["image"]).size == (80, 80)
    asked = found[records.shard_id(f"questions/{small_curation.SECRET}/q7")]
    assert asked.messages[0]["content"][1]["text"] == "Is finding 7 seen?"
    assert asked.messages[1]["content"] == [{"type": "text", "text": "Yes."}]
    assert asked.meta == {
        **{"source": "questions", "modality": "", "answer": "yes", "answer_type": "yes_no"}
    }
    assert images.open_image(asked.messages[0]["content"][0]["image"]).size == (80, 72), "upright"


def test_tfds_and_grain_read_the_shards_too(curation):
    out, summary = curation
    folder = out / "mixtures" / "instruct"
    builder = tfds.builder_from_directory(str(folder))
    source = builder.as_data_source(split="train")
    ours = read(out, "instruct")
    assert [row["id"].decode() for row in source] == [example.id for example in ours]
    assert len(source) == summary["mixtures"]["instruct"]["rows"]["train"]
    [row] = [row for row in source if row["id"].decode() == records.shard_id("questions/dicom")]
    assert row["images"][0].shape == (80, 80, 3)
    grain = importlib.import_module("grain.python")
    files = sorted(map(str, folder.glob("instruct-train.array_record-*")))
    raw = grain.ArrayRecordDataSource(files)
    decoded = builder.info.features.deserialize_example_np(raw[0])
    assert len(raw) == len(ours) and decoded["id"].decode() == ours[0].id


def test_shares_caps_and_answers_decide_what_a_mixture_takes(curation):
    out, summary = curation
    found = {name: every(out, name) for name in ("shallow_align", "instruct")}
    assert of_source(found["shallow_align"]) == {"captions": 19}
    assert of_source(found["instruct"]) == {"captions": 10, "questions": 39, "texts": 4}
    rl = [e for s in summary["mixtures"]["rl"]["rows"] for e in read(out, "rl", s)]
    assert len(rl) == 36 and all(example.meta["answer"] == "yes" for example in rl)
    dropped = summary["steps"][-1]["by_source"]["texts"]["dropped"]
    assert dropped == {mixture.TAG: 1, mixture.NOT_DRAWN: 8}
    assert summary["mixtures"]["deep_align"] == {"rows": {}, "absent": ["pixmo"]}
    assert not (out / "mixtures" / "deep_align").exists()


def keyed(row):
    return splits.keys(row, mixture.Config().group_by)


def test_no_picture_patient_or_parent_is_on_both_sides(curation):
    [folder] = (curation[0] / "steps").glob("*_mixture-*")
    sides = collections.defaultdict(set)
    for name in rows.names(folder / "rows"):
        for row in rows.read(folder / "rows" / name):
            for key in keyed(row):
                sides[key].add(row.facts[mixture.SPLIT])
    assert {len(found) for found in sides.values()} == {1}
    assert set().union(*sides.values()) == set(SPLITS)
    assert sum(key.startswith("questions patient") for key in sides) == 6


def test_rows_alone_would_put_a_patient_on_both_sides():
    """The twin of the test above: without groups, the same rows are on both sides."""
    labels = np.repeat(np.arange(30), 4)
    draws = np.array([splits.number(f"{i}") for i in range(120)], np.uint64)
    assert both_sides(labels, splits.held_out(labels, draws, 0.3)) == 0
    assert both_sides(labels, splits.held_out(np.arange(120), draws, 0.3)) > 10


def both_sides(labels, held):
    return sum(len(set(held[labels == group])) > 1 for group in set(labels))


def test_groups_hold_what_hangs_together_and_the_share_is_kept():
    places = np.array([0, 1, 1, 2, 3, 4], np.int64)
    keys = np.array([7, 7, 8, 8, 9, 10], np.uint64)
    assert splits.groups(places, keys, 5).tolist() == [0, 0, 0, 1, 2]
    labels = np.concatenate([np.zeros(600, np.int64), np.arange(1, 1401)])
    draws = np.array([splits.number(f"{i}") for i in range(2000)], np.uint64)
    held = splits.held_out(labels, draws, 0.1)
    assert held.sum() == 200 and not held[:600].any(), "one group is larger than what is wanted"
    sizes = np.bincount(labels := np.sort(np.arange(20_000) % 4000 // 3 * 7 % 1000))
    held = splits.held_out(labels, np.arange(20_000, dtype=np.uint64)[::-1] * 97, 0.25)
    assert 0.23 < held.mean() <= 0.25 and sizes.max() > 1


def test_a_lost_shard_comes_back_and_the_others_are_left_alone(curation, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(curation[0], out)
    before = content(out / "mixtures")
    lost = sorted((out / "mixtures").glob("*/*train.array_record-*"))[1]
    kept = sorted((out / "mixtures").glob("*/*train.array_record-*"))[0]
    time = kept.stat().st_mtime_ns
    lost.unlink()
    [data] = curation[0].parent.glob("data_*")
    curate.run(small_curation.make_config(data), out)
    assert content(out / "mixtures") == before and kept.stat().st_mtime_ns == time
    assert (out / "card.html").read_bytes() == (curation[0] / "card.html").read_bytes()


def test_two_workers_and_other_partitions_give_the_same_shards(curation, tmp_path):
    [folder] = (curation[0] / "steps").glob("*_decontaminate-*")
    given = [r for n in rows.names(folder / "rows") for r in rows.read(folder / "rows" / n)]
    state = steps.next_state("first", {}, steps.State(tmp_path, "", 0), tmp_path)
    for number, some in enumerate((given[:50], given[50:])):
        outcome = steps.Outcome(some, [])
        steps.commit(state.folder, f"{number}.parquet", outcome, given=len(some))
    settings = small_curation.make_config(tmp_path)
    step = mixture.Mix(settings.mixture, tuple(settings.kinds), settings.seed)
    after = steps.run_step(step, state, steps.Run(output=tmp_path, workers=1))
    run = steps.Run(output=tmp_path, workers=2)
    writer = release.make_writer(settings)
    shards.write(writer, after, run)
    names = {"manifest.json", "fingerprints.parquet", "state.json"}
    for path, found in content(curation[0] / "mixtures").items():
        if path.name not in names:
            assert (tmp_path / "mixtures" / path).read_bytes() == found, path


def test_the_manifest_says_what_is_in_the_shards(curation):
    folder = curation[0] / "mixtures" / "instruct"
    found = json.loads((folder / manifest.FILE).read_text())
    assert {shard["file"] for shard in found["shards"]} == {p.name for p in folder.glob("*-of-*")}
    assert sum(shard["rows"] for shard in found["shards"]) == sum(found["rows"].values()) == 53
    totals = {n: sum(of.values()) for n, of in found["rows_by"]["group"].items()}
    assert totals == {"captions": 10, "medical_text": 4, "medical_multimodal": 39}
    assert [step["name"] for step in found["steps"]][-2:] == ["decontaminate", "mixture"]
    assert found["config"]["mixture"]["validation"] == 0.2 and "root" not in found["config"]
    shallow = json.loads((folder.parent / "shallow_align" / manifest.FILE).read_text())
    assert shallow["absent"] == ["roco"]


def test_fingerprints_are_those_of_the_training_rows(curation):
    folder = curation[0] / "mixtures" / "instruct"
    note = fingerprint_files.read_note(folder / manifest.PRINTS)
    assert note["rows"] == len(read(curation[0], "instruct"))
    [batch] = fingerprint_files.read(folder / manifest.PRINTS)
    [other] = (e for e in read(curation[0], "instruct") if e.id == records.shard_id("texts/made"))
    assert other.meta["provenance"]["parents"] == [records.shard_id("texts/t0")]
    assert set(batch.sources) == {"captions", "questions", "texts"}


def test_no_output_names_a_person_or_a_place_on_this_machine(curation):
    out = curation[0]
    given = content(out / "mixtures") | {"card": (out / "card.html").read_bytes()}
    planted = [secret.encode() for secret in (*small_curation.SECRETS, str(out.parent))]
    found = {(name, word) for name, text in given.items() for word in planted if word in text}
    assert not found
    [records_] = (out / "steps").glob("*_shards-*")
    inside = b"".join(content(records_ / "records").values())
    assert not [word for word in planted if word in inside]
    [data] = out.parent.glob("data_*")
    raw = b"".join(content(data).values())
    assert all(s.encode() in raw for s in small_curation.SECRETS), "they were there to be found"


def test_stages_train_on_their_mixtures(curation, tmp_path):
    running = {}
    for stage, name in (("stage1_shallow_align", "shallow_align"), ("stage3_instruct", "instruct")):
        flags = {
            "config": f"configs/{stage}.py:tiny",
            "workdir": tmp_path / name,
            "config.data.root": curation[0] / "mixtures",
            "config.data.sources[0].name": name,
            "config.data.sources[0].path": name,
            "config.data.sources[0].format": "tfds",
            "config.data.tokens_per_row": 512,
            "config.steps": 1,
        }
        running[name] = small.start("train", *(f"--{key}={flags[key]}" for key in flags))
    for name, process in running.items():
        small.finish(process)
        finished = json.loads((tmp_path / name / "finished.json").read_text())
        rows_ = curation[1]["mixtures"][name]["rows"]["train"]
        assert (finished["steps"], finished["examples"], finished["dropped"]) == (1, rows_, 0)


def picture(mode="RGB", form="PNG", **options):
    made = small_curation.pixels(3).convert(mode)
    file = io.BytesIO()
    made.save(file, form, **options)
    return file.getvalue()


def noted():
    note = PngImagePlugin.PngInfo()
    note.add_itxt("Name", small_curation.SECRET)
    return note


def turned(way):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = way, small_curation.SECRET
    return exif


@pytest.mark.parametrize(
    "data",
    [
        picture(pnginfo=noted()),
        picture("RGBA", pnginfo=noted()),
        picture("P", pnginfo=noted(), transparency=3),
        picture("L", pnginfo=noted()),
        picture(exif=turned(8)),
        picture(form="JPEG", comment=small_curation.SECRET, exif=turned(6)),
        picture(form="JPEG", progressive=True, exif=turned(1)),
        picture("CMYK", form="JPEG", exif=turned(3)),
        picture(form="WEBP", lossless=True, exif=turned(5)),
        picture(form="TIFF", description=small_curation.SECRET),
    ],
    ids=[
        "png",
        "clear",
        "palette",
        "grey",
        "turned",
        "jpeg",
        "progressive",
        "cmyk",
        "webp",
        "tiff",
    ],
)
def test_files_keep_their_pixels_and_lose_the_rest(data):
    cleaned = picture_files.clean(data)
    np.testing.assert_array_equal(images.open_image(cleaned), images.open_image(data))
    assert small_curation.SECRET.encode() not in cleaned
    assert cleaned[:4] in (
        b"\x89PNG",
        b"\xff\xd8\xff\xe0",
        b"\xff\xd8\xff\xe1",
        b"\xff\xd8\xff\xee",
    )
    assert picture_files.clean(cleaned) == cleaned


def test_a_broken_file_is_an_error():
    for data in (b"", b"\x89PNG\r\n\x1a\nnothing", picture(form="JPEG")[:300]):
        with pytest.raises(errors.UserError):
            picture_files.clean(data)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"validation": 0.7}, "validation must be 0 to 0.5, got 0.7"),
        ({"rows_per_shard": 0}, "rows_per_shard must be >= 1, got 0"),
        ({"mixtures": [mixture.Mixture(name="A-b")]}, "mixture 'A-b': a name has"),
        ({"mixtures": [mixture.Mixture(name="a", shares={"s": 2.0})]}, "share of 's' must be > 0"),
        ({"mixtures": [mixture.Mixture(name="a", caps={"s": 1})]}, "a cap must be .* got 's': 1"),
        (
            {"mixtures": [mixture.Mixture(name="a", shares={"x": 1.0})]},
            "takes any of the sources s",
        ),
        ({"mixtures": [mixture.Mixture(name="a"), mixture.Mixture(name="a")]}, "are named a"),
    ],
)
def test_bad_settings_are_named(changes, said):
    with pytest.raises(errors.UserError, match=said):
        mixture.Config(**changes).validate(["s"])


def test_answers_that_are_trained_for_their_reasoning_are_refused(tmp_path):
    settings = small_curation.make_config(tmp_path)
    settings.sources[0].train_on = "reasoning"
    with pytest.raises(errors.UserError, match="train_on must be all or last in a curation"):
        settings.validate()


def test_licences_come_from_the_registry():
    sources_ = [curation_config.source(name) for name in ("vqa_rad", "synthetic_vqa")]
    found = manifest.origins(sources_)
    entry = registry.get("vqa_rad")
    assert found["vqa_rad"].licence == entry.licence and found["vqa_rad"].citation == entry.citation
    assert found["synthetic_vqa"] == manifest.Origin(group="synthetic")
    sources_[0].publisher = "nobody"
    with pytest.raises(errors.UserError, match="unknown publisher 'nobody'"):
        manifest.origins(sources_)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("no such file: /data/jane/a.png", "no such file: a.png"),
        ("rows:/data/x/exam.jsonl,all", "rows:exam.jsonl,all"),
        ("../shared/x.png and 1/2", "x.png and 1/2"),
        ({"root": "/x", "deep": [{"path": "/y", "n": 3}]}, {"deep": [{"n": 3}]}),
    ],
)
def test_folders_are_taken_out_of_texts(given, kept):
    assert manifest.without_places(given) == kept


def test_shards_are_named_as_tfds_does():
    assert shards.shard_name("m", "train", 3, 12) == "m-train.array_record-00003-of-00012"
