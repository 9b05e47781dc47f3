# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import pytest
from PIL import Image

from configs import finetune as finetune_config
from lingshu_jax import api, finetuning
from lingshu_jax.common import errors
from lingshu_jax.engines import protocol, registry

OPTIONS = registry.Options(rows=2)


@pytest.fixture(scope="module")
def model(small_folder):
    with api.load(small_folder, options=OPTIONS) as made:
        yield made


def answered_by_the_engine(folder, messages, **sampling):
    engine = registry.make("jax", str(folder), options=OPTIONS)
    asked = protocol.SamplingParams(**{"max_new_tokens": 8, **sampling})
    ((found,),) = engine.generate([protocol.Request(messages=messages, sampling=asked)])
    engine.close()
    return found.text


def message(*pictures):
    images = [{"type": "image", "image": one} for one in pictures]
    return {"role": "user", "content": [*images, {"type": "text", "text": "What?"}]}


def test_an_answer_is_that_of_the_engine(model, small_folder, small_rows):
    picture = small_rows / "0.png"
    expected = answered_by_the_engine(small_folder, [message(str(picture))])
    assert model.answer("What?", picture, max_new_tokens=8) == expected
    assert model.answer("What?", str(picture), max_new_tokens=8) == expected
    assert model.answer("What?", picture.read_bytes(), max_new_tokens=8) == expected
    with Image.open(picture) as opened:
        assert model.answer("What?", [opened], max_new_tokens=8) == expected
    assert model.answer("What?", max_new_tokens=8) != expected


def test_a_stream_is_the_answer_in_pieces(model, small_rows):
    pictures = [small_rows / "0.png", small_rows / "1.png"]
    pieces = list(model.stream("What?", pictures, max_new_tokens=8))
    assert len(pieces) > 1
    assert "".join(pieces) == model.answer("What?", pictures, max_new_tokens=8)


def test_a_seed_draws_one_answer_again(model):
    drawn = [
        model.answer("What?", max_new_tokens=8, temperature=1.0, seed=seed) for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_picture_that_is_not_there_is_named(model):
    with pytest.raises(errors.UserError, match=r"nowhere\.png"):
        model.answer("What?", "nowhere.png")


def test_no_such_model_is_one_line(tmp_path):
    with pytest.raises(errors.UserError, match="nothing"):
        api.load(tmp_path / "nothing")


def test_ten_lines_train_and_export(small_folder, small_rows, tmp_path):
    run = api.finetune(
        small_folder,
        small_rows / "rows.jsonl",
        workdir=tmp_path / "run",
        epochs=0,
        steps=1,
        rows_per_batch=8,
        tokens_per_row=640,
    )
    assert run.summary["steps"] == 1
    trained = (tmp_path / "run" / "params.txt").read_text()
    assert "lora" in trained and "frozen" in trained
    folder = run.export(tmp_path / "out")
    with api.load(folder, options=OPTIONS) as made:
        assert isinstance(made.answer("What?", max_new_tokens=4), str)
    with pytest.raises(errors.UserError, match="exists already"):
        run.export(tmp_path / "out")


def test_the_config_file_takes_size_format_and_path(tmp_path):
    config = finetune_config.get_config("3b,llava,rows.json,images")
    config.validate()
    (source,) = config.data.sources
    assert (source.format, source.path, source.image_root) == ("llava", "rows.json", "images")
    assert config.model.init_from == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert config.lora.modules == finetuning.LORA and config.model.frozen_dtype == "bfloat16"
    tiny = finetune_config.get_config("tiny,messages,rows.jsonl")
    tiny.validate()
    assert tiny.model.init_from == "random"


@pytest.mark.parametrize("arg", ["", "3b", "3b,llava", "3b,llava,a,b,c"])
def test_another_form_is_told(arg):
    with pytest.raises(errors.UserError, match="SIZE,FORMAT,PATH"):
        finetune_config.get_config(arg)


def test_an_unknown_size_is_told():
    with pytest.raises(errors.UserError, match="'8b'"):
        finetune_config.get_config("8b,llava,rows.json")


def test_full_training_keeps_nothing_in_bfloat16():
    config = finetuning.stage("x", (), lora="")
    assert config.model.frozen_dtype == "" and not config.lora.modules


def test_public_names_are_few_and_documented():
    own = [
        name
        for name, value in vars(api).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == api.__name__
    ]
    assert sorted(own) == ["Model", "Run", "finetune", "load", "run"]
    assert all(getattr(api, name).__doc__ for name in own)
