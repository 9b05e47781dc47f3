# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The neural report metrics on small random weights in the published layouts.

Each value is computed a second time here, one text at a time and without batches, from the outputs
of torch and transformers. The original packages cannot be installed beside these versions. Run by
hand on such weights and about 100 texts, radeval 2.2.1 (its imports mended, its splitter of
sentences replaced by ours) gave the same 4,017 entities and 16,690 relations (RadGraph), labels and
entities (CheXbert, RaTE-NER), BERTScore within 2e-6 and SembScore within 3e-7; RaTEScore within
1e-7, but for pairs in which a phrase stands under two types, where a tie may fall either way.
"""

import importlib
import itertools
import json
import math
import shutil
import subprocess
import sys
import tarfile
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lingshu_jax.eval.report_metrics import neural

pytestmark = pytest.mark.oracle

LONG = " ".join(["small right effusion, 2.5 cm (stable);"] * 60)
PAIRS = [
    ("Heart size is normal. No effusion.", "Heart size is normal. No effusion."),
    ("Mild edema, heart size normal!", "No pleural effusion or pneumothorax. Stable cardiomegaly."),
    ("Right lower lobe consolidation (2.5 cm).", "No acute process."),
    (LONG, "Small right effusion."),
    ("", "No acute process."),
]
FULL = PAIRS[:4]
Worker = Callable[[str], Any]


@pytest.fixture(scope="module")
def worker(transformers: types.ModuleType) -> Worker:
    """Imports a module of the worker, with torch."""
    # Of small matrices a second thread computes none faster.
    importlib.import_module("torch").set_num_threads(1)
    return lambda name: importlib.import_module(f"lingshu_jax.eval.report_metrics.worker.{name}")


@pytest.fixture(scope="module")
def maker(transformers: types.ModuleType) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("tests.oracle.metric_weights")


@pytest.fixture(scope="module")
def weights(maker: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return maker.write(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """For the processes too that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def result(weights: Path) -> neural.NeuralResult:
    """Of the whole way: a process of its own, every metric."""
    return neural.compute(PAIRS, weights_dir=weights, python=sys.executable)


@pytest.fixture
def copied(weights: Path, tmp_path: Path) -> Path:
    """A folder of weights to break."""
    return Path(shutil.copytree(weights, tmp_path / "weights"))


def absent_in(worker: Worker, folder: Path, group: str) -> str:
    request = {"weights_dir": str(folder), "groups": [group], "pairs": PAIRS[:1], "single": []}
    answer = worker("main").compute(request)
    assert answer["values"] == {}
    return answer["absent"][group]


def bertscore_by_hand(folder: Path, pair: tuple[str, str], layer: int) -> float:
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    words = transformers.AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
    model = transformers.AutoModel.from_pretrained(folder)
    sides = []
    for text in pair:
        ids = words(text, truncation=True, max_length=512, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = model(ids, output_hidden_states=True).hidden_states[layer][0]
        sides.append(states / states.norm(dim=1, keepdim=True))
    cosines = sides[0] @ sides[1].T
    precision, recall = cosines[1:-1].amax(1).mean(), cosines[:, 1:-1].amax(0).mean()
    f1 = float(2 * precision * recall / (precision + recall))
    return (f1 - 0.8473319) / (1 - 0.8473319)


def test_everything_is_there(result: neural.NeuralResult, weights: Path) -> None:
    assert result.absent == {} and set(result.values) == set(neural.NAMES)
    assert result.values["bertscore"][-1] == result.values["ratescore"][-1] == 0.0
    assert result.versions["torch"].startswith("2.")
    assert {Path(name).parts[0] for name in result.weights} == {p.name for p in weights.iterdir()}
    assert "bert-base-uncased/config.json" in result.weights
    assert result.counts["texts cut by CheXbert"] == 1
    assert result.counts["texts cut by BERTScore"] == 1


def test_equal_reports_score_1(result: neural.NeuralResult) -> None:
    for name in set(neural.NAMES) - {"chexbert"}:
        assert result.values[name][0] == pytest.approx(1.0, abs=1e-5), name
    summary = neural.summarise(
        {name: values[:1] for name, values in result.values.items()}, bleu2=[1.0]
    )
    assert summary["radcliq_v1"]["raw"] == pytest.approx(-1.4406902828, abs=1e-4)


def test_bertscore(result: neural.NeuralResult, weights: Path) -> None:
    folder = weights / "distilroberta-base"
    for pair, value in zip(FULL, result.values["bertscore"], strict=False):
        assert value == pytest.approx(bertscore_by_hand(folder, pair, 5), abs=1e-4)


def test_bertscore_notices_another_layer(result: neural.NeuralResult, weights: Path) -> None:
    other = bertscore_by_hand(weights / "distilroberta-base", PAIRS[1], 4)
    assert result.values["bertscore"][1] != pytest.approx(other, abs=1e-2)


def chexbert_by_hand(weights: Path, text: str) -> tuple[Any, list[int]]:
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    folder = weights / "bert-base-uncased"
    words = transformers.AutoTokenizer.from_pretrained(folder)
    stored = torch.load(weights / "chexbert.pth", weights_only=True)["model_state_dict"]
    model = transformers.BertModel(transformers.AutoConfig.from_pretrained(folder)).eval()
    model.load_state_dict({name: stored[f"module.bert.{name}"] for name in model.state_dict()})
    with torch.no_grad():
        # Cut as the original cuts: 511 ids, then the mark of the end.
        ids = words(text)["input_ids"]
        ids = ids if len(ids) <= 512 else [*ids[:511], words.sep_token_id]
        embedding = model(torch.tensor([ids])).last_hidden_state[0, 0]
    present = []
    for i in range(14):
        name = f"module.linear_heads.{i}"
        scores = stored[f"{name}.weight"] @ embedding + stored[f"{name}.bias"]
        present.append(int(scores.argmax()) in (1, 3))
    return embedding, [int(each) for each in present]


def test_chexbert_and_sembscore(result: neural.NeuralResult, weights: Path) -> None:
    torch = importlib.import_module("torch")
    for i, pair in enumerate(FULL):
        sides = [chexbert_by_hand(weights, text) for text in pair]
        assert result.values["chexbert"][i] == [labels for _, labels in sides]
        cosine = torch.nn.functional.cosine_similarity(sides[0][0], sides[1][0], dim=0)
        assert result.values["sembscore"][i] == pytest.approx(float(cosine), abs=1e-5)
    # Random heads: neither all nothing nor all the same.
    assert len({tuple(side) for pair in result.values["chexbert"] for side in pair}) > 3
    # The hypothesis is empty: all of the reference is missed.
    assert result.values["chexbert"][4] == [[0] * 14, chexbert_by_hand(weights, PAIRS[4][1])[1]]


def annotate_by_hand(weights: Path, maker: Any, text: str) -> dict[tuple[int, int], Any]:
    """Label and relations of each span, from the tensors of the archive, span by span."""
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    with tarfile.open(weights / "radgraph.tar.gz") as archive:
        stream = archive.extractfile("./weights.th")
        assert stream is not None
        stored = torch.load(stream, weights_only=True)
    folder = weights / maker.PUBMEDBERT
    words = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertModel(transformers.AutoConfig.from_pretrained(folder)).eval()
    stem = "_embedder.token_embedder_bert._matched_embedder.transformer_model"
    model.load_state_dict({name: stored[f"{stem}.{name}"] for name in model.state_dict()})

    def head(hidden: str, last: str, inputs: Any) -> Any:
        for name in (f"{hidden}_linear_layers.0", f"{hidden}_linear_layers.1"):
            inputs = (stored[f"{name}.weight"] @ inputs + stored[f"{name}.bias"]).relu()
        return stored[f"{last}.weight"] @ inputs + stored[f"{last}.bias"]

    tokens = text.split()  # the test's text has blanks around its marks
    pieces = [words.tokenize(token) for token in tokens]
    ids = words.convert_tokens_to_ids(["[CLS]", *itertools.chain(*pieces), "[SEP]"])
    with torch.no_grad():
        states = model(torch.tensor([ids])).last_hidden_state[0]
    ends = list(itertools.accumulate(map(len, pieces), initial=1))
    vectors = [states[a:b].mean(0) for a, b in itertools.pairwise(ends)]
    widths = stored["_endpoint_span_extractor._span_width_embedding.weight"]
    count = len(tokens)
    spans = {
        (i, j): torch.cat([vectors[i], vectors[j], widths[j - i]])
        for i, j in itertools.product(range(count), repeat=2)
        if 0 <= j - i < len(widths)
    }
    ner, relation = "radgraph__ner_labels", "radgraph__relation_labels"
    pruner = f"_relation._mention_pruners.{relation}._scorer"
    found, ranks = {}, {}
    for span, vector in spans.items():
        at = f"_ner._ner_scorers.{ner}"
        scores = [0.0, *head(f"{at}.0._module.", f"{at}.1._module", vector).tolist()]
        found[span] = [maker.NER_LABELS[scores.index(max(scores))], []]
        ranks[span] = head(f"{pruner}.0._module.", f"{pruner}.1._module", vector).item()
    kept = sorted(sorted(ranks, key=lambda span: -ranks[span])[: math.ceil(count * 0.5)])
    for one, two in itertools.product(kept, repeat=2):
        pair = torch.cat([spans[one], spans[two], spans[one] * spans[two]])
        hidden = f"_relation._relation_feedforwards.{relation}."
        scores = head(hidden, f"_relation._relation_scorers.{relation}", pair)
        scores = scores + ranks[one] + ranks[two]
        if scores.max() > 0 and found[two][0]:
            found[one][1].append((maker.RELATION_LABELS[int(scores.argmax())], two))
    return {span: entry for span, entry in found.items() if entry[0]}


@pytest.mark.parametrize(
    "text", ["Mild edema , heart size normal", "No pleural effusion or pneumothorax . Stable ."]
)
def test_radgraph(worker: Worker, maker: Any, weights: Path, text: str) -> None:
    (ours,) = worker("radgraph").Graph(weights).annotate([text])
    spans = {number: (each["start_ix"], each["end_ix"]) for number, each in ours.items()}
    found = {
        spans[number]: [each["label"], [(kind, spans[to]) for kind, to in each["relations"]]]
        for number, each in ours.items()
    }
    by_hand = annotate_by_hand(weights, maker, text)
    assert found == by_hand
    assert len(found) > 3 and any(relations for _, relations in found.values())
    words = text.split()
    assert all(
        each["tokens"] == " ".join(words[each["start_ix"] : each["end_ix"] + 1])
        for each in ours.values()
    )


def test_radgraph_splits_words_at_marks(worker: Worker) -> None:
    split = worker("radgraph").split
    assert split("No edema, 2.5cm/3cm (stable); x-ray.") == (
        "No edema , 2 . 5cm / 3cm ( stable ) ; x-ray .".split()
    )


def test_radgraph_reads_a_long_report_in_parts(worker: Worker, weights: Path) -> None:
    graph = worker("radgraph").Graph(weights)
    words = LONG.split()
    assert len(words) > 300  # and more than 1,000 pieces
    (whole,) = graph.annotate([LONG])
    # The first part ends after 510 pieces; what stands before is as if nothing followed.
    pieces = [len(graph._words(w, add_special_tokens=False)["input_ids"]) for w in words]
    assert sum(pieces) > 2 * 510
    assert max(each["end_ix"] for each in whole.values()) > 300


def test_radgraph_does_not_unpack(worker: Worker, maker: Any, copied: Path) -> None:
    archive = copied / "radgraph.tar.gz"
    with tarfile.open(archive) as content:
        members = {m.name: content.extractfile(m).read() for m in content}
    before = sorted(path for path in copied.parent.rglob("*"))
    maker.write_archive(archive, {"../outside.txt": b"x", "../config.json": b"{", **members})
    assert worker("radgraph").Graph(copied).folder == maker.PUBMEDBERT
    assert sorted(path for path in copied.parent.rglob("*")) == before
    del members["./weights.th"]
    maker.write_archive(archive, members)
    assert "radgraph.tar.gz: 'weights.th'" in absent_in(worker, copied, "radgraph")
    archive.write_bytes(archive.read_bytes()[:200])
    assert "radgraph.tar.gz" in absent_in(worker, copied, "radgraph")


def test_radgraph_needs_its_encoder_s_folder(worker: Worker, maker: Any, copied: Path) -> None:
    shutil.rmtree(copied / maker.PUBMEDBERT)
    reason = absent_in(worker, copied, "radgraph")
    assert f"{maker.PUBMEDBERT}/config.json is missing" in reason
    assert "https://huggingface.co/microsoft" in reason


def test_ratescore(result: neural.NeuralResult, worker: Worker, weights: Path) -> None:
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    rate, folder = worker("rate_entities"), weights / "BioLORD-2023-C"
    words = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()

    def vector(phrase: str) -> Any:
        with torch.no_grad():
            inputs = words(phrase, truncation=True, max_length=30, return_tensors="pt")
            return model(**inputs).last_hidden_state[0, 0]

    def side(own: Any, other: Any) -> float:
        matches = []
        for phrase, kind in own:
            cosine = torch.nn.functional.cosine_similarity
            values = [float(cosine(vector(phrase), vector(o), dim=0)) for o, _ in other]
            best = max(range(len(other)), key=lambda i: values[i])
            matches.append((values[best], kind, other[best][1]))
        return rate.side(matches)

    for i in (1, 2):
        own, other = worker("ratescore").find(PAIRS[i], weights)
        assert own and other
        expected = rate.f1(side(own, other), side(other, own))
        # A phrase that the other side has under two types may take either.
        assert result.values["ratescore"][i] == pytest.approx(expected, abs=0.02)


def test_ratescore_entities(worker: Worker, weights: Path) -> None:
    torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
    folder = weights / "RaTE-NER-Deberta"
    words = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()
    rate = worker("rate_entities")
    expected = []
    for sentence in rate.sentences(PAIRS[1][1]):
        inputs = words(sentence, return_tensors="pt")
        with torch.no_grad():
            classes = model(**inputs).logits[0].argmax(1).tolist()
        pieces = words.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
        for start, end, kind in rate.spans([model.config.id2label[each] for each in classes]):
            phrase = words.convert_tokens_to_string(pieces[start : end + 1])
            expected.append((phrase, kind))
    (found,) = worker("ratescore").find([PAIRS[1][1]], weights)
    assert found == expected and len({kind for _, kind in found}) > 1


def test_ratescore_without_entities_is_counted(worker: Worker, copied: Path) -> None:
    safetensors = importlib.import_module("safetensors.torch")
    file = copied / "RaTE-NER-Deberta" / "model.safetensors"
    tensors = safetensors.load_file(file)
    tensors["classifier.bias"][0] += 1000  # "O" for every token
    safetensors.save_file(tensors, file, metadata={"format": "pt"})
    values, counts = worker("ratescore").score(PAIRS[:2], copied)
    assert values == {"ratescore": [0.5, 0.5]}
    assert list(counts.values()) == [2]


def test_a_lacking_tensor_is_not_made_up(worker: Worker, copied: Path) -> None:
    safetensors = importlib.import_module("safetensors.torch")
    file = copied / "distilroberta-base" / "model.safetensors"
    tensors = safetensors.load_file(file)
    del tensors["roberta.encoder.layer.2.output.dense.weight"]
    safetensors.save_file(tensors, file, metadata={"format": "pt"})
    assert "lacks 1 tensors" in absent_in(worker, copied, "bertscore")
    torch = importlib.import_module("torch")
    content = torch.load(copied / "chexbert.pth", weights_only=True)
    del content["model_state_dict"]["module.linear_heads.13.bias"]
    torch.save(content, copied / "chexbert.pth")
    assert "lacks 1 tensors, as linear_heads.13.bias" in absent_in(worker, copied, "chexbert")


def test_nothing_in_a_checkpoint_is_executed(worker: Worker, copied: Path) -> None:
    torch = importlib.import_module("torch")
    mark = copied / "executed"

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (mark,)

    torch.save({"model_state_dict": Trap()}, copied / "chexbert.pth")
    assert "chexbert.pth: Weights only load failed" in absent_in(worker, copied, "chexbert")
    assert not mark.exists()


def test_a_broken_metric_leaves_the_others(copied: Path) -> None:
    (copied / "chexbert.pth").write_bytes(b"no checkpoint")
    (copied / "radgraph.tar.gz").unlink()
    (copied / "RaTE-NER-Deberta" / "tokenizer.json").unlink()
    found = neural.compute(PAIRS[:1], weights_dir=copied, python=sys.executable)
    assert set(found.values) == {"bertscore"}
    assert str(copied / "chexbert.pth") in found.absent["sembscore"]
    assert "radgraph.tar.gz is missing" in found.absent["radgraph_f1"]
    assert str(copied / "RaTE-NER-Deberta") in found.absent["ratescore"]
    assert all("\n" not in reason for reason in found.absent.values())


def test_worker_runs_without_our_environment(weights: Path, tmp_path: Path, repo: Path) -> None:
    """No JAX is imported, and two runs agree."""
    request = tmp_path / "request.json"
    value = {"weights_dir": str(weights), "pairs": PAIRS[:2], "single": [], "groups": ["chexbert"]}
    request.write_text(json.dumps(value))
    program = (
        "import sys; from lingshu_jax.eval.report_metrics.worker import main;"
        "main.main(sys.argv[1:]); print(sorted({'jax', 'absl', 'flax'} & set(sys.modules)))"
    )
    answers = []
    for name in ("one.json", "two.json"):
        command = [sys.executable, "-c", program, str(request), str(tmp_path / name)]
        done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
        answers.append((tmp_path / name).read_text())
    assert answers[0] == answers[1]
