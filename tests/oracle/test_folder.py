# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Folders that go through convert and export, loaded by two releases of transformers and by us."""

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys
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
from tests.oracle import checkpoints, processors, sides
from tests.oracle import figures as figures_lib

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

WORDS = 256  # the byte-level tokenizer without merges; the special tokens follow
LIMITS = {"min_pixels": 784, "max_pixels": 24 * 784}


@dataclasses.dataclass(frozen=True)
class Answer:
    """A conversation as transformers of this environment takes and continues it."""

    messages: list[dict[str, Any]]
    prompt: list[int]
    greedy: sides.Greedy


class Exported:
    """A random checkpoint as transformers saved it, and as it came back from us."""

    def __init__(
        self,
        oracle_side: types.ModuleType,
        transformers: types.ModuleType,
        *,
        folder: pathlib.Path,
        seed: int,
    ):
        drawn = checkpoints.random_model(seed)
        self.transformers = transformers
        self.model = dataclasses.replace(drawn, num_text_tokens=WORDS, vocab_size=WORDS + 25)
        self.oracle = checkpoints.build(oracle_side, self.model)
        self.source, self.target = folder / "source", folder / "target"
        self.checkpoint = folder / "checkpoint"
        self.oracle.save_pretrained(self.source)
        tokenizer_files.write_tokenizer(self.source, ["abc"], WORDS, **LIMITS)
        convert.convert(self.source, self.checkpoint)
        export.export(self.checkpoint, self.target)

    @functools.cached_property
    def answers(self) -> dict[str, Answer]:
        """transformers with its own processor, from messages and pictures to tokens."""
        loaded = load_in_transformers(self.transformers, self.target)
        processor = processors.load(self.transformers, self.target)
        found = {}
        for name, messages in conversations(self.source.parent).items():
            inputs = processors.prepare(processor, messages, generation_prompt=True)
            out = loaded.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=sides.NEW_TOKENS,
                return_dict_in_generate=True,
                output_logits=True,
            )
            prompt = inputs["input_ids"][0].tolist()
            tokens = out.sequences[0, len(prompt) :].numpy()
            logits = np.stack([step[0].numpy() for step in out.logits])
            found[name] = Answer(messages, prompt, sides.to_greedy(tokens, logits))
        return found


# The first ends one of its answers with a stop token.
@pytest.fixture(scope="module", params=[6, 9], ids=["untied", "tied"])
def exported(
    request: pytest.FixtureRequest,
    oracle_side: types.ModuleType,
    transformers: types.ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:
    folder = tmp_path_factory.mktemp("export")
    return Exported(oracle_side, transformers, folder=folder, seed=request.param)


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


def conversations(folder: pathlib.Path) -> dict[str, list[dict[str, Any]]]:
    """Text alone, one image, two images of other shapes; no side a multiple of 28."""
    rng, parts = np.random.default_rng(5), []
    for i, size in enumerate(((61, 150), (203, 90), (45, 47))):
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
        parts.append({"type": "image", "image": str(path)})
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


def test_greedy_answers_of_the_engine(exported: Exported, figures: figures_lib.Figures) -> None:
    """From messages and pictures to tokens, each side with its own processor."""
    engine = jax_engine.JaxEngine.from_folder(exported.target)
    sampling = protocol.SamplingParams(max_new_tokens=sides.NEW_TOKENS)
    requests = [
        protocol.Request(messages=answer.messages, sampling=sampling, id=name)
        for name, answer in exported.answers.items()
    ]
    for request, (ours,) in zip(requests, engine.generate(requests), strict=True):
        answer = exported.answers[request.id]
        theirs = answer.greedy
        encoded = engine.encoder.encode(request.messages, train=False, generation_prompt=True)
        assert encoded.tokens.tolist() == answer.prompt
        count = min(len(ours.tokens), len(theirs.tokens))
        greedy = sides.Greedy(list(ours.tokens), np.array(ours.logprobs), np.zeros(0))
        assert theirs.until > 0
        where = f"{exported.model.name} {request.id}"
        if theirs.until == len(theirs.tokens):
            assert count == len(ours.tokens), where
            is_stop = theirs.tokens[-1] in engine.encoder.eos_ids
            assert (ours.finish_reason == "stop") == is_stop
        sides.assert_same_greedy(figures, greedy, theirs, where)


def test_greedy_answers_served_by_slots(exported: Exported, figures: figures_lib.Figures) -> None:
    """More requests than slots, of mixed lengths, for one and two answers."""
    engine = jax_engine.JaxEngine.from_folder(exported.target, rows=4)
    requests = [
        protocol.Request(
            messages=answer.messages,
            sampling=protocol.SamplingParams(max_new_tokens=count, n=1 + (i + j) % 2),
            id=name,
        )
        for i, count in enumerate((sides.NEW_TOKENS, 3, 17, 1, 40))
        for j, (name, answer) in enumerate(exported.answers.items())
    ]
    for request, several in zip(requests, engine.generate(requests), strict=True):
        assert len(several) == request.sampling.n
        theirs = exported.answers[request.id].greedy
        until = min(theirs.until, request.sampling.max_new_tokens)
        cut = sides.Greedy(theirs.tokens[:until], theirs.logprobs[:until], theirs.leads[:until])
        for ours in several:
            greedy = sides.Greedy(
                list(ours.tokens[:until]), np.array(ours.logprobs[:until]), np.zeros(0)
            )
            sides.assert_same_greedy(figures, greedy, cut, f"{exported.model.name} {request.id}")
    other = exported.answers["one"].greedy.tokens[:8]
    assert exported.answers["text"].greedy.tokens[:8] != other, "mixed up answers would show"


@pytest.fixture(scope="session")
def old_release() -> pathlib.Path:
    """transformers 4.57 and what it needs to be older, in a folder of this environment."""
    folder = pathlib.Path(sys.prefix) / "transformers-4.57"
    if not folder.is_dir():
        pytest.skip(f"needs transformers 4.57 in {folder}; `make oracle` installs it")
    return folder


def run_old_release(
    release: pathlib.Path, folder: pathlib.Path, prompts: list[Any], scratch: pathlib.Path
) -> list[dict[str, list[int]]]:
    """Prompts and answers, in tokens, of the older release in a process of its own."""
    asked, answered = scratch / "prompts.json", scratch / "answers.json"
    asked.write_text(json.dumps(prompts))
    script = pathlib.Path(__file__).with_name("old_transformers.py")
    arguments = (folder, asked, sides.NEW_TOKENS, answered)
    subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(release), "OMP_NUM_THREADS": "1"},
        check=True,
    )
    report = json.loads(answered.read_text())
    assert report["release"].startswith("4.57."), report["release"]
    return report["rows"]


def test_greedy_answers_of_the_older_release(
    exported: Exported, old_release: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Equal to those of the newer one, which are equal to ours; so are the prompts."""
    answers = exported.answers
    turned = [dict(message) for message in answers["two"].messages]
    turned[0]["content"] = turned[0]["content"][::-1]
    prompts = [*(answer.messages for answer in answers.values()), turned]
    *rows, twin = run_old_release(old_release, exported.target, prompts, tmp_path)
    for row, answer in zip(rows, answers.values(), strict=True):
        assert row["prompt"] == answer.prompt
        until = answer.greedy.until
        assert row["answer"][:until] == answer.greedy.tokens[:until]
    assert twin["prompt"] != answers["two"].prompt
    assert twin["answer"] != answers["two"].greedy.tokens


def test_bfloat16_export(
    exported: Exported, transformers: types.ModuleType, tmp_path: pathlib.Path
) -> None:
    export.export(exported.checkpoint, tmp_path / "half", dtype="bfloat16")
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
    messages = conversations(tmp_path)["two"]
    inputs = processors.prepare(processor, messages, generation_prompt=True)
    encoded = engine.encoder.encode(messages, train=False, generation_prompt=True)
    assert encoded.tokens.tolist() == inputs["input_ids"][0].tolist()
    sampling = protocol.SamplingParams(max_new_tokens=1)
    ((answer,),) = engine.generate([protocol.Request(messages=messages, sampling=sampling)])
    with oracle_side.torch.no_grad():
        logprobs = loaded(**inputs).logits[0, -1].log_softmax(-1)
    assert abs(float(logprobs[answer.tokens[0]]) - answer.logprobs[0]) < 1e-4
    assert float(logprobs.max()) - answer.logprobs[0] < 1e-4, "the likeliest token"
