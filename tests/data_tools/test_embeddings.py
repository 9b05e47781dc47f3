# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import functools
import io
import sys

import numpy as np
import pytest
from PIL import Image

from data_tools import embedding_models, embeddings, rows, steps
from lingshu_jax.common import errors

STAND_IN = embedding_models.Config(weights="random", batch_size=2)


def picture(seed, size=(96, 80)):
    grey = np.random.default_rng(seed).integers(0, 255, (6, 6), np.uint8)
    return Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC).convert("RGB")


def medium(seed, *, kind="image"):
    file = io.BytesIO()
    frames = [picture(seed + number) for number in range(3 if kind == "video" else 1)]
    frames[0].save(file, "TIFF", save_all=True, append_images=frames[1:])
    return rows.Medium(kind=kind, data=file.getvalue())


def row(number, *media, **facts):
    return rows.Row(id=f"s/{number}", source="s", messages=(), media=media, facts=facts)


def write_parts(tmp_path, *parts, step="00_first-0"):
    source = tmp_path / "steps" / step / steps.ROWS
    for number, part in enumerate(parts):
        rows.write(source / f"part-{number:05d}.parquet", part)
    return source


def plan(tmp_path, source, step="01_modality-1", config=STAND_IN):
    folder = tmp_path / "steps" / step / steps.PLAN
    folder.mkdir(parents=True, exist_ok=True)
    embeddings.plan(source, folder, steps.Run(output=tmp_path, workers=1), config)
    return folder


def test_every_picture_has_a_vector_of_length_one(tmp_path):
    given = [row(0, medium(0), medium(1)), row(1), row(2, medium(0))]
    folder = plan(tmp_path, write_parts(tmp_path, given, [row(3, medium(5))]))
    found = embeddings.read(folder, "part-00000.parquet")
    assert list(zip(found.rows, found.media, strict=True)) == [("s/0", 0), ("s/0", 1), ("s/2", 0)]
    assert found.values.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(found.values.astype(float), axis=1), 1, atol=1e-3)
    np.testing.assert_array_equal(found.values[0], found.values[2])
    means = found.means()
    assert list(means) == ["s/0", "s/2"]
    total = found.values[:2].astype(np.float32).sum(0)
    np.testing.assert_allclose(means["s/0"], total / np.linalg.norm(total), rtol=1e-6)


def test_the_vector_of_a_picture_depends_on_no_other_and_not_on_the_batch():
    model = embedding_models.StandIn()
    pictures = [picture(seed) for seed in range(5)]
    together = model.images(pictures)
    alone = np.concatenate([model.images([one]) for one in pictures])
    np.testing.assert_array_equal(together, alone)
    texts = model.texts(["a CT scan", "an MRI scan", "a CT scan"])
    np.testing.assert_array_equal(texts[0], texts[2])
    assert abs(float(texts[0] @ texts[1])) < 0.5


def test_a_blank_picture_has_a_vector():
    (vector,) = embedding_models.StandIn().images([Image.new("RGB", (70, 70))])
    assert np.isfinite(vector).all()


def test_of_a_clip_it_is_the_middle_frame(tmp_path):
    clip = medium(10, kind="video")
    found = embeddings.embed([clip], embedding_models.StandIn(), 4)
    wanted = embedding_models.StandIn().images([picture(11)])[0].astype(np.float16)
    np.testing.assert_array_equal(found[clip], wanted)


def test_a_picture_that_does_not_decode_has_no_vector(tmp_path):
    broken = rows.Medium(kind="image", data=b"no picture")
    given = [row(0, broken, medium(1)), row(1, broken)]
    folder = plan(tmp_path, write_parts(tmp_path, given, [row(2, broken)]))
    found = embeddings.read(folder, "part-00000.parquet")
    assert (found.rows, found.media) == (["s/0"], [1])
    assert embeddings.read(folder, "part-00001.parquet").rows == []


def test_a_table_that_is_there_is_not_made_again_and_a_missing_one_is_the_same(tmp_path):
    source = write_parts(tmp_path, [row(0, medium(0))], [row(1, medium(1))])
    folder = plan(tmp_path, source)
    first, second = sorted((folder / embeddings.VECTORS).iterdir())
    kept, made = first.stat().st_mtime_ns, second.read_bytes()
    second.unlink()
    plan(tmp_path, source)
    assert first.stat().st_mtime_ns == kept and second.read_bytes() == made


def test_shares_of_several_processes_give_the_same_tables(tmp_path):
    parts = [[row(number, medium(number))] for number in range(3)]
    source = write_parts(tmp_path, *parts)
    one = plan(tmp_path, source)
    config = embedding_models.Config(weights="random", processes=2)
    two = plan(tmp_path, source, "02_other-2", config)
    for part in rows.names(source):
        ours, theirs = (folder / embeddings.VECTORS / part for folder in (one, two))
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_later_step_takes_the_vectors_of_an_earlier_one_of_the_same_model(tmp_path):
    gone = rows.Medium(kind="image", path=str(tmp_path / "gone.png"))
    picture(3).save(gone.path)
    fact = {embeddings.FACT: "01_modality-1"}
    folder = plan(tmp_path, write_parts(tmp_path, [row(0, gone, **fact)]))
    (tmp_path / "gone.png").unlink()
    source = write_parts(tmp_path, [row(0, gone, **fact)], step="01_modality-1")
    later = plan(tmp_path, source, "02_dedup-2")
    assert embeddings.read(later, "part-00000.parquet").rows == ["s/0"]
    steps.write_json(folder / embeddings.VERSION, {"version": "another model"})
    other = plan(tmp_path, source, "03_dedup-3")
    assert embeddings.read(other, "part-00000.parquet").rows == []


@pytest.mark.parametrize("size", [(224, 224), (448, 300), (100, 301), (97, 96), (3000, 20)])
def test_pictures_are_made_fit_from_their_middle(size):
    fitted = embedding_models.fit(picture(0, size), 224, "bicubic")
    assert fitted.size == (224, 224)
    if size == (224, 224):
        np.testing.assert_array_equal(np.asarray(fitted), np.asarray(picture(0, size)))


def write_weights(folder, *, config=True, weights=True):
    folder.mkdir()
    if config:
        (folder / "open_clip_config.json").write_text("{}")
    if weights:
        (folder / "open_clip_pytorch_model.bin").write_bytes(b"weights")
    return str(folder)


@pytest.mark.parametrize("missing", ["config", "weights"])
def test_a_folder_that_lacks_something_is_named(tmp_path, missing):
    folder = write_weights(tmp_path / "folder", **{missing: False})
    config = embedding_models.Config(weights=folder, python=sys.executable)
    with pytest.raises(errors.UserError, match=r"folder needs open_clip_config.json and one of"):
        config.validate()


def test_other_weights_are_another_version(tmp_path):
    one, two = (write_weights(tmp_path / name) for name in ("one", "two"))
    versions = functools.partial(embedding_models.Config, python=sys.executable)
    assert embedding_models.version(versions(weights=one)) == embedding_models.version(
        versions(weights=two)
    )
    three = write_weights(tmp_path / "three", weights=False)
    (tmp_path / "three" / "open_clip_pytorch_model.bin").write_bytes(b"other")
    assert embedding_models.version(versions(weights=three)) != embedding_models.version(
        versions(weights=one)
    )


def test_an_interpreter_without_the_libraries_is_told_in_a_line(tmp_path):
    config = embedding_models.Config(
        weights=write_weights(tmp_path / "folder"), python=sys.executable
    )
    with (
        pytest.raises(errors.UserError, match=r"embeddings.weights: No module named 'torch'"),
        embedding_models.opened(config) as model,
    ):
        model.texts(["never"])


def test_an_interpreter_that_is_none_is_named(tmp_path):
    config = embedding_models.Config(weights=write_weights(tmp_path / "folder"), python="nowhere")
    with pytest.raises(errors.UserError, match="no interpreter nowhere"):
        config.validate()


def test_settings_that_cannot_be_are_named():
    with pytest.raises(errors.UserError, match="batch_size must be >= 1, got 0"):
        embedding_models.Config(batch_size=0).validate()
    embedding_models.Config().validate()
    assert not embedding_models.Config().is_on and not STAND_IN.has_weights
