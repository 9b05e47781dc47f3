# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Folders that go through convert and export, loaded by transformers and by us."""

import dataclasses
import pathlib
import types
from typing import Any

import numpy as np
import pytest
import safetensors
from PIL import Image

from lingshu_jax import convert, export
from lingshu_jax.data import tokenizer_files
from lingshu_jax.engines import jax_engine, protocol
from lingshu_jax.stages import initial
from tests.make_golden import tiny_models
from tests.models import goldens
from tests.oracle import checkpoints, processors

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

NEW_TOKENS, NEAR_TIE = 32, 1e-3
WORDS = 256  # the byte-level tokenizer without merges; the special tokens follow
LIMITS = {"min_pixels": 784, "max_pixels": 24 * 784}


class Exported:
    """A random checkpoint as transformers saved it, and as it came back from us."""

    def __init__(self, oracle_side: types.ModuleType, folder: pathlib.Path, seed: int):
        drawn = checkpoints.random_model(seed)
        self.model = dataclasses.replace(drawn, num_text_tokens=WORDS, vocab_size=WORDS + 25)
        self.oracle = oracle_side.build(self.model)
        self.source, self.target = folder / "source", folder / "target"
        self.oracle.save_pretrained(self.source)
        tokenizer_files.write_tokenizer(self.source, ["abc"], WORDS, **LIMITS)
        convert.convert(self.source, folder / "checkpoint")
        export.export(folder / "checkpoint", self.target)


# Seeds whose widths divide by eight: convert spreads them over the eight devices of the tests.
@pytest.fixture(scope="module", params=[26, 1], ids=["untied", "tied"])
def exported(
    request: pytest.FixtureRequest,
    oracle_side: types.ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:
    return Exported(oracle_side, tmp_path_factory.mktemp("export"), request.param)


def load_in_transformers(transformers: types.ModuleType, folder: pathlib.Path) -> Any:
    """The model, after nothing was missing, left over or of another shape."""
    model, found = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager", dtype="auto"
    )
    wrong = {kind: names for kind, names in found.items() if names}
    assert not wrong, wrong
    return model.eval()


def read_tensors(folder: pathlib.Path) -> dict[str, np.ndarray]:
    with safetensors.safe_open(folder / "model.safetensors", framework="np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def conversations() -> dict[str, list[dict[str, Any]]]:
    """Text alone, one image, two images of other shapes; no side a multiple of 28."""
    rng = np.random.default_rng(5)
    sizes = ((61, 150), (203, 90), (45, 47))
    pictures = [Image.fromarray(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in sizes]
    parts = [{"type": "image", "image": picture} for picture in pictures]
    text = [{"type": "text", "text": t} for t in ("Is there an effusion?", "Compare ", " with ")]
    contents = {
        "text": [text[0]],
        "one": [parts[0], text[0]],
        "two": [text[1], parts[1], text[2], parts[2]],
    }
    return {name: [{"role": "user", "content": c}] for name, c in contents.items()}


def test_tensors_are_identical(exported: Exported) -> None:
    before, after = read_tensors(exported.source), read_tensors(exported.target)
    assert before.keys() == after.keys()
    assert ("lm_head.weight" in after) != exported.model.tie
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype, name
        assert after[name].tobytes() == tensor.tobytes(), name


def test_transformers_computes_the_same(
    exported: Exported, transformers: types.ModuleType, oracle_side: types.ModuleType
) -> None:
    loaded = load_in_transformers(transformers, exported.target)
    case = tiny_models.make_cases(exported.model)["images"]
    inputs = oracle_side.model_inputs(case, oracle_side.torch.float32)
    with oracle_side.torch.no_grad():
        assert oracle_side.torch.equal(loaded(**inputs).logits, exported.oracle(**inputs).logits)


def test_greedy_answers_of_the_engine(
    exported: Exported, transformers: types.ModuleType, oracle_side: types.ModuleType
) -> None:
    """From messages and pictures to tokens, each side with its own processor."""
    loaded = load_in_transformers(transformers, exported.target)
    processor = processors.load(transformers, exported.target)
    engine = jax_engine.JaxEngine.from_folder(exported.target)
    sampling = protocol.SamplingParams(max_new_tokens=NEW_TOKENS)
    requests = [
        protocol.Request(messages=messages, sampling=sampling, id=name)
        for name, messages in conversations().items()
    ]
    for request, (ours,) in zip(requests, engine.generate(requests), strict=True):
        inputs = processors.prepare(processor, request.messages, generation_prompt=True)
        encoded = engine.encoder.encode(request.messages, train=False, generation_prompt=True)
        assert encoded.tokens.tolist() == inputs["input_ids"][0].tolist()
        theirs = loaded.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            return_dict_in_generate=True,
            output_logits=True,
        )
        tokens = theirs.sequences[0, encoded.num_tokens :].tolist()
        logits = np.stack([step[0].numpy() for step in theirs.logits])
        best = np.sort(logits, axis=-1)
        near = np.flatnonzero(best[:, -1] - best[:, -2] < NEAR_TIE)
        until = int(near[0]) if len(near) else len(tokens)
        print(f"\n{exported.model.name} {request.id}: {until} of {len(tokens)} compared")
        assert until > 0
        assert list(ours.tokens)[:until] == tokens[:until], request.id
        if until == len(tokens):
            is_stop = tokens[-1] in engine.encoder.eos_ids
            assert (ours.finish_reason == "stop") == is_stop
            chosen = oracle_side.torch.from_numpy(logits).log_softmax(-1).numpy()
            theirs_logprobs = chosen[np.arange(until), tokens]
            assert np.abs(np.array(ours.logprobs) - theirs_logprobs).max() < 1e-4


def test_bfloat16_export(
    exported: Exported, transformers: types.ModuleType, tmp_path: pathlib.Path
) -> None:
    export.export(exported.source.parent / "checkpoint", tmp_path / "half", dtype="bfloat16")
    loaded = load_in_transformers(transformers, tmp_path / "half")
    bfloat16 = loaded.lm_head.weight.dtype
    assert str(bfloat16) == "torch.bfloat16"
    theirs = dict(exported.oracle.named_parameters())
    for name, parameter in loaded.named_parameters():
        assert (parameter == theirs[name].to(bfloat16)).all(), name


def test_a_broken_export_is_noticed(
    exported: Exported, transformers: types.ModuleType, tmp_path: pathlib.Path
) -> None:
    """The twin: one tensor under another name."""
    tensors = read_tensors(exported.target)
    tensors["model.norm.scale"] = tensors.pop("model.norm.weight")
    goldens.write_folder(tmp_path, tensors, (exported.target / "config.json").read_text())
    with pytest.raises(AssertionError, match="model.norm.scale"):
        load_in_transformers(transformers, tmp_path)


def test_random_folder_is_complete(
    transformers: types.ModuleType, oracle_side: types.ModuleType, tmp_path: pathlib.Path
) -> None:
    """The small checkpoint that the demo and the `:tiny` configs begin with."""
    corpus = ["Is there a fracture of the left femur? yes or no"] * 3
    folder = initial.make_random_folder(tmp_path / "tiny", "tiny", corpus, seed=1, **LIMITS)
    loaded = load_in_transformers(transformers, folder)
    processor = processors.load(transformers, folder)
    engine = jax_engine.JaxEngine.from_folder(folder)
    messages = conversations()["two"]
    inputs = processors.prepare(processor, messages, generation_prompt=True)
    encoded = engine.encoder.encode(messages, train=False, generation_prompt=True)
    assert encoded.tokens.tolist() == inputs["input_ids"][0].tolist()
    sampling = protocol.SamplingParams(max_new_tokens=1)
    ((answer,),) = engine.generate([protocol.Request(messages=messages, sampling=sampling)])
    with oracle_side.torch.no_grad():
        logprobs = loaded(**inputs).logits[0, -1].log_softmax(-1)
    assert abs(float(logprobs[answer.tokens[0]]) - answer.logprobs[0]) < 1e-4
    assert float(logprobs.max()) - answer.logprobs[0] < 1e-4, "the likeliest token"
