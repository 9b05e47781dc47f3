# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The neural report metrics without their models: what is asked, what is absent, what is summed up.

The child's answer is written by a small program in its place; the models themselves run in
tests/oracle/test_report_metrics.py.
"""

import ast
import json
import sys
from pathlib import Path

import pytest

from lingshu_jax.common import errors
from lingshu_jax.eval.report_metrics import neural, radcliq
from lingshu_jax.eval.report_metrics.worker import graph_f1, layout, rate_entities

POSITIVE, NEGATIVE = [1] * 14, [0] * 14
# Answers with the number of the pair, from 1, and keeps the request.
CHILD = """#!{python}
import json, pathlib, sys
request = json.loads(pathlib.Path(sys.argv[-2]).read_text())
pathlib.Path({kept!r}).write_text(json.dumps(request))
numbers = [float(i) for i, _ in enumerate(request["pairs"], 1)]
names = [n for g in request["groups"] for n in {values!r}[g]]
values = {{name: numbers for name in names}}
if "chexbert" in values:
    values["chexbert"] = [[[1] * 14, [1] * 14] for _ in numbers]
answer = {{"values": values, "single": [[1] * 14 for _ in request["single"]], "absent": {absent!r}}}
pathlib.Path(sys.argv[-1]).write_text(json.dumps(answer))
"""


def weights_folder(folder: Path, *paths: str) -> Path:
    """Empty files where the named items, or all of them, are expected."""
    for item in layout.ITEMS:
        if not paths or item.path in paths:
            place = folder / item.path
            file = place / "config.json" if item.is_folder else place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return folder


def child(folder: Path, *, absent: dict[str, str] | None = None) -> str:
    program = folder / "child"
    text = CHILD.format(
        python=sys.executable,
        kept=str(folder / "request.json"),
        values=layout.VALUES,
        absent=absent or {},
    )
    program.write_text(text)
    program.chmod(0o755)
    return str(program)


def labels(*names: str) -> list[int]:
    return [int(name in names) for name in neural.FINDINGS]


def test_without_weights_everything_is_absent_and_says_where_to_get_it(tmp_path: Path) -> None:
    result = neural.compute([("a", "b")], weights_dir=tmp_path)
    assert result.values == {} and set(result.absent) == set(neural.NAMES)
    reason = result.absent["sembscore"]
    assert str(tmp_path / "chexbert.pth") in reason and "StanfordAIMI/RRG_scorers" in reason


def test_no_folder_of_weights(tmp_path: Path) -> None:
    with pytest.raises(errors.UserError, match="no folder .*nowhere"):
        neural.compute([("a", "b")], weights_dir=tmp_path / "nowhere")


def test_one_metric_is_absent_and_the_others_are_asked_for(tmp_path: Path) -> None:
    weights = weights_folder(tmp_path / "weights", "distilroberta-base", "RaTE-NER-Deberta")
    result = neural.compute([("a", "b")], weights_dir=weights, python=child(tmp_path))
    assert result.values == {"bertscore": [1.0]}
    assert "BioLORD-2023-C" in result.absent["ratescore"]
    assert set(result.absent) == set(neural.NAMES) - {"bertscore"}


def test_what_the_child_cannot_use_is_absent(tmp_path: Path) -> None:
    weights = weights_folder(tmp_path / "weights", "distilroberta-base")
    python = child(tmp_path, absent={"radgraph": "cannot use radgraph.tar.gz: cut short"})
    result = neural.compute([("a", "b")], weights_dir=weights, python=python)
    assert result.absent["radgraph_partial"] == "cannot use radgraph.tar.gz: cut short"


def test_empty_reports_reach_no_model_and_score_0(tmp_path: Path) -> None:
    pairs = [("", "edema"), ("edema", "edema"), (" \n", "clear"), ("mass", ""), ("", "")]
    weights = weights_folder(tmp_path / "weights")
    result = neural.compute(pairs, weights_dir=weights, python=child(tmp_path))
    request = json.loads((tmp_path / "request.json").read_text())
    assert request["pairs"] == [["edema", "edema"]]
    # Their other side counts in CheXbert's F1: as missed, or as made up.
    assert request["single"] == ["edema", "clear", "mass"]
    for name in set(neural.NAMES) - {"chexbert"}:
        assert result.values[name] == [0.0, 1.0, 0.0, 0.0, 0.0]
    assert result.values["chexbert"] == [
        [NEGATIVE, POSITIVE],
        [POSITIVE, POSITIVE],
        [NEGATIVE, POSITIVE],
        [POSITIVE, NEGATIVE],
        [NEGATIVE, NEGATIVE],
    ]


def test_an_empty_report_has_the_radcliq_of_zeros(tmp_path: Path) -> None:
    weights = weights_folder(tmp_path / "weights")
    result = neural.compute([("", "edema")], weights_dir=weights, python=child(tmp_path))
    summary = neural.summarise(result.values, [0.0])
    assert summary["radcliq_v1"]["raw"] == pytest.approx(radcliq.score("v1", radcliq.EMPTY))
    assert summary["ratescore"] == 0.0


def test_interpreter_without_torch_is_told_in_one_line(tmp_path: Path) -> None:
    weights = weights_folder(tmp_path, "distilroberta-base")
    with pytest.raises(errors.UserError, match="code 1: ModuleNotFoundError: No module named"):
        neural.compute([("a", "b")], weights_dir=weights, python=sys.executable)


def test_default_interpreter_says_how_to_make_one(tmp_path: Path) -> None:
    weights = weights_folder(tmp_path, "distilroberta-base")
    with pytest.raises(errors.UserError, match="envs/metrics.txt"):
        neural.compute([("a", "b")], weights_dir=weights)
    with pytest.raises(errors.UserError, match="no interpreter .*nowhere.*envs/metrics.txt"):
        neural.compute([("a", "b")], weights_dir=weights, python=str(tmp_path / "nowhere"))


def test_summary_of_few_metrics_has_no_radcliq() -> None:
    summary = neural.summarise({"bertscore": [0.25, 0.75]}, [0.0, 0.0])
    assert summary == {"bertscore": 0.5}
    assert neural.summarise({"bertscore": []}, []) == {}


def test_summary_is_linear_in_radcliq() -> None:
    values = {"radgraph_f1": [0.0, 1.0], "bertscore": [0.2, 0.6], "sembscore": [0.1, 0.5]}
    summary = neural.summarise(values, [0.1, 0.3])
    means = radcliq.Features(0.5, 0.4, 0.3, 0.2)
    for version in ("v0", "v1"):
        raw = summary[f"radcliq_{version}"]["raw"]
        assert raw == pytest.approx(radcliq.score(version, means))
        assert summary[f"radcliq_{version}"]["inverse"] == pytest.approx(1 / raw)


def test_finding_scores_by_hand() -> None:
    pairs = [
        [labels("Edema", "Fracture"), labels("Edema", "Cardiomegaly")],
        [labels("Edema"), labels()],
        [labels("No Finding"), labels("No Finding")],
    ]
    found = neural.finding_scores(pairs)
    edema = found["findings"]["Edema"]
    assert edema == {
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "support": 1,
        "predicted": 2,
    }
    assert found["findings"]["Cardiomegaly"]["f1"] == 0.0
    # 2 shared; 4 predicted, 3 wanted. In the top five 1 shared; 2 predicted, 2 wanted.
    assert found["micro_14"] == pytest.approx(4 / 7)
    assert found["micro_5"] == pytest.approx(2 / 4)
    assert found["macro_14"] == pytest.approx((2 / 3 + 1) / 14)
    assert found["macro_5"] == pytest.approx((2 / 3) / 5)
    assert found["exact_5"] == pytest.approx(1 / 3)


def test_finding_scores_take_a_missed_finding_as_missed() -> None:
    missed = neural.finding_scores([[labels(), labels("Edema")]])
    assert missed["findings"]["Edema"]["support"] == 1 and missed["micro_14"] == 0.0
    assert neural.finding_scores([[labels("Edema"), labels("Edema")]])["micro_14"] == 1.0


def annotation(shared_dir: Path) -> dict[str, dict[str, object]]:
    """The published annotation of one report, in the form of `graph_f1`."""
    file = shared_dir / "evaldata" / "radgraph" / "radgraph_vectors.json"
    entities = json.loads(file.read_text())["annotation_case"]["entities"]
    return {
        number: {"tokens": tokens, "label": label, "relations": relations}
        for number, (tokens, label, _, _, relations) in entities.items()
    }


def entity(tokens: str, label: str, *relations: tuple[str, str]) -> dict[str, object]:
    return {"tokens": tokens, "label": label, "relations": [list(each) for each in relations]}


def test_graph_f1_of_a_published_pair(shared_dir: Path) -> None:
    """The reference's annotation is not published; this one has its published scores."""
    hypothesis = annotation(shared_dir)
    reference = {
        "1": entity("acute", "OBS-DA"),
        "2": entity("pulmonary", "ANAT-DP"),
        "3": entity("process", "OBS-DA"),
        "4": entity("moderately", "OBS-DP", ("modify", "5")),
        "5": entity("large", "OBS-DP", ("modify", "6"), ("modify", "8")),
        "6": entity("size", "OBS-DP", ("modify", "8")),
        "7": entity("hiatal", "ANAT-DP"),
        "8": entity("hernia", "OBS-DP"),
    }
    file = shared_dir / "evaldata" / "radgraph" / "radgraph_vectors.json"
    published = json.loads(file.read_text())["f1_case"]
    found = graph_f1.scores(hypothesis, reference)
    for level in ("simple", "partial", "complete"):
        assert found[f"radgraph_{level}"] == pytest.approx(published[level][4])
    # Combined: four of 6 and 8 entities are shared; of 1 and 4 relations none.
    assert found["radgraph_f1"] == pytest.approx((8 / 14 + 0) / 2)


def test_graph_f1_of_itself_and_of_nothing(shared_dir: Path) -> None:
    known = annotation(shared_dir)
    assert set(graph_f1.scores(known, known).values()) == {1.0}
    assert set(graph_f1.scores(known, {}).values()) == {0.0}
    assert set(graph_f1.scores({}, {}).values()) == {0.0}


def test_graph_f1_without_relations_has_half_of_the_combined() -> None:
    plain = {"1": entity("Edema", "OBS-DP")}
    assert graph_f1.scores(plain, plain)["radgraph_f1"] == 0.5


def test_graph_f1_ignores_the_case_only_with_a_relation() -> None:
    def report(word: str, *relations: tuple[str, str]) -> dict[str, dict[str, object]]:
        return {"1": entity(word, "OBS-DP", *relations), "2": entity("lung", "ANAT-DP")}

    alone = graph_f1.scores(report("Mass"), report("mass"))
    assert alone["radgraph_simple"] == alone["radgraph_complete"] == 0.5
    related = graph_f1.scores(
        report("Mass", ("located_at", "2")), report("mass", ("located_at", "2"))
    )
    assert related["radgraph_complete"] == 1.0 and related["radgraph_partial"] == 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Clear. No effusion", ["Clear.", "No effusion"]),
        ("the lungs are clear . no effusion .", ["the lungs are clear .", "no effusion ."]),
        ("1. Edema. 2. A 2.5 cm\nmass.", ["1. Edema.", "2. A 2.5 cm mass."]),
        ("FINDINGS\n\nClear", ["FINDINGS", "Clear"]),
        ("ok", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert rate_entities.sentences(text) == expected


@pytest.mark.parametrize(
    ("middle", "expected"),
    [
        ("B-X I-X O", [(1, 2, "X")]),
        ("B-X B-Y O", [(1, 1, "X"), (2, 2, "Y")]),
        ("I-X O B-Y", [(3, 3, "Y")]),  # opens with I-: none
        ("B-X I-Y O", [(1, 2, "X")]),  # the first one's type
    ],
)
def test_spans(middle: str, expected: list[tuple[int, int, str]]) -> None:
    assert rate_entities.spans(["O", *middle.split(), "O"]) == expected


def test_spans_that_the_end_leaves_open() -> None:
    assert rate_entities.spans(["O", "B-X", "I-X", "I-X"]) == [(1, 2, "X")]
    assert rate_entities.spans(["O", "B-X", "B-Y", "I-Y"]) == [(1, 1, "X")]


def test_rate_side_weighs_types_and_negation() -> None:
    same = [(0.8, "DISEASE", "DISEASE"), (0.2, "ANATOMY", "ANATOMY")]
    first, second = 0.8460555030578727, 0.2856134859160784
    mean = (0.8 * first + 0.2 * second) / (first + second)
    assert rate_entities.side(same) == pytest.approx(mean)
    negated = rate_entities.side([(1.0, "DISEASE", "NON-ABNORMALITY")])
    assert negated == pytest.approx(0.8716553966489615)
    assert rate_entities.side([(1.0, "ANATOMY", "NON-DISEASE")]) == 1.0
    assert rate_entities.side([]) == 0.0


def test_digests_name_what_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "bert-base-uncased"
    folder.mkdir()
    for name in ("config.json", "vocab.txt", "model.safetensors", "README.md"):
        (folder / name).write_text(name)
    found = layout.digests(tmp_path, ["bert-base-uncased"])
    # Its tensors come from CheXbert's checkpoint.
    assert set(found) == {"bert-base-uncased/config.json", "bert-base-uncased/vocab.txt"}
    (folder / "vocab.txt").write_text("changed")
    again = layout.digests(tmp_path, ["bert-base-uncased"])
    assert [name for name in found if found[name] != again[name]] == ["bert-base-uncased/vocab.txt"]


def test_digests_of_one_form_of_the_weights(tmp_path: Path) -> None:
    folder = tmp_path / "distilroberta-base"
    folder.mkdir()
    for name in ("model.safetensors", "pytorch_model.bin", "rust_model.ot"):
        (folder / name).write_text(name)
    (name,) = layout.digests(tmp_path, ["distilroberta-base"])
    assert name == "distilroberta-base/model.safetensors"


def test_worker_imports_nothing_else_of_the_package(repo: Path) -> None:
    """Its environment has torch, transformers and what they bring."""
    folder = repo / "lingshu_jax" / "eval" / "report_metrics" / "worker"
    home = "lingshu_jax.eval.report_metrics.worker"
    allowed = {*sys.stdlib_module_names, "torch", "transformers", "safetensors", "tqdm"}
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, file
            if isinstance(node, ast.ImportFrom):
                module = node.module or ""
                assert module == home or module.split(".")[0] in allowed, file
