# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors of curation beside open_clip's own, from one folder laid out as BiomedCLIP's."""

import importlib
import io
import json
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

from data_tools import embedding_models, embeddings, modality_classifier, modality_names, rows
from lingshu_jax.common import errors

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
SIZES = ((224, 224), (300, 200), (97, 512), (640, 641), (64, 65))
CLOSE = 2e-6  # of vectors of length 1; batches differ


@pytest.fixture(scope="module")
def open_clip():
    return pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def weights(open_clip, tmp_path_factory):
    module = importlib.import_module("tests.oracle.clip_weights")
    return module.write(tmp_path_factory.mktemp("clip") / "folder")


def config(folder):
    return embedding_models.Config(weights=str(folder), python=sys.executable, batch_size=2)


def pictures():
    rng = np.random.default_rng(0)
    for width, height in SIZES:
        pixels = rng.integers(0, 256, (7, 7, 3), np.uint8)
        yield Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def test_vectors_are_those_of_open_clip(open_clip, weights, tmp_path):
    torch = importlib.import_module("torch")
    layout = importlib.import_module("tests.oracle.clip_weights")
    name = layout.local(weights, tmp_path / "copy")
    model, _, prepare = open_clip.create_model_and_transforms(name)
    model.eval()
    given = list(pictures())
    with torch.inference_mode():
        stacked = torch.stack([prepare(picture) for picture in given])
        wanted = model.encode_image(stacked, normalize=True).numpy()
        tokens = open_clip.get_tokenizer(name)(list(layout.TEXTS))
        wanted_texts = model.encode_text(tokens, normalize=True).numpy()
    with embedding_models.opened(config(weights)) as ours:
        assert ours.scale == pytest.approx(float(model.logit_scale.exp()))
        found = np.concatenate([ours.images(given[:2]), ours.images(given[2:])])
        texts = ours.texts(layout.TEXTS)
    np.testing.assert_allclose(found, wanted, atol=CLOSE)
    np.testing.assert_allclose(texts, wanted_texts, atol=CLOSE)
    # The twin: were they of other pictures, it would be seen.
    assert np.abs(found - wanted[::-1])[[0, 1, 3, 4]].max(1).min() > 100 * CLOSE
    mean, std = (torch.tensor(model.visual.preprocess_cfg[key]) for key in ("mean", "std"))
    pixels = (stacked * std[:, None, None] + mean[:, None, None]) * 255
    for picture, row in zip(given, pixels, strict=True):
        fitted = np.asarray(embedding_models.fit(picture, 224, "bicubic"))
        np.testing.assert_allclose(fitted, row.permute(1, 2, 0).numpy(), atol=1e-3)


def test_a_safetensors_file_gives_the_same(open_clip, weights, tmp_path):
    layout = importlib.import_module("tests.oracle.clip_weights")
    other = layout.write(tmp_path / "folder", safetensors=True)
    assert not list(other.glob("*.bin"))
    found = []
    for folder in (weights, other):
        with embedding_models.opened(config(folder)) as model:
            found.append(model.images(list(pictures())[:2]))
    np.testing.assert_array_equal(*found)


def test_media_are_embedded_and_classified(weights):
    media = []
    for picture in pictures():
        file = io.BytesIO()
        picture.save(file, "PNG")
        media.append(rows.Medium(kind="image", data=file.getvalue()))
    settings = modality_classifier.Settings(0.0, 1, 10, 1.0)
    with embedding_models.opened(config(weights)) as model:
        vectors = embeddings.embed([*media, media[0]], model, 2)
        classifier = modality_classifier.make({"train": [], "fit": [], "test": []}, model, settings)
    assert list(vectors) == media and {v.dtype for v in vectors.values()} == {np.dtype("float16")}
    said = classifier.classify({str(n): vectors[medium] for n, medium in enumerate(media)})
    assert {guess.by for guess in said.values()} == {"zero_shot"}
    assert {guess.modality for guess in said.values()} <= set(modality_names.MODALITIES)


def planted():
    torch, file = importlib.import_module("torch"), io.BytesIO()
    torch.save(Planted(), file)
    return file.getvalue()


def broken(weights, place, name, data):
    place.mkdir()
    for file in weights.iterdir():
        if file.name != name:
            (place / file.name).symlink_to(file)
    if data is not None:
        (place / name).write_bytes(data)
    return place


class Planted:
    """Would write a file, were its pickle loaded."""

    def __reduce__(self):
        return pathlib.Path.write_text, (pathlib.Path("planted"), "done")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("open_clip_pytorch_model.bin", planted),
        ("open_clip_config.json", lambda: b"{"),
        ("tokenizer.json", lambda: b"{"),
        # Then the tower is BERT base, which these tensors are not.
        ("config.json", lambda: None),
    ],
    ids=["pickle", "config", "tokenizer", "tower"],
)
def test_a_broken_folder_is_told_in_a_line(weights, tmp_path, monkeypatch, name, data):
    monkeypatch.chdir(tmp_path)
    folder = broken(weights, tmp_path / "broken", name, data())
    with (
        pytest.raises(errors.UserError, match="config.embeddings.weights: .") as raised,
        embedding_models.opened(config(folder)),
    ):
        pass
    assert "\n" not in str(raised.value) and not (tmp_path / "planted").exists()


def test_the_published_config_names_the_hub(weights):
    found = json.loads((weights / "open_clip_config.json").read_text())
    assert found["model_cfg"]["text_cfg"]["hf_model_name"].startswith("microsoft/")
