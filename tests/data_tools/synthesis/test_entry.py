# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The whole command: seeds of several sources, rows, what it would cost, what is refused."""

import dataclasses
import json

import pytest
from PIL import Image

from configs import synthesis as synthesis_config
from data_tools import config as curation
from data_tools import synthesize
from data_tools.synthesis import config as config_lib
from data_tools.synthesis import desk, label_files, labelled, seeds
from lingshu_jax.common import errors
from lingshu_jax.engines import ledger, openai_options, registry
from tests.data_tools.synthesis import stand_in


def write_sources(folder):
    """Questions with options, and two classes of pictures."""
    rows = [
        {
            "id": str(number),
            "messages": [
                {"role": "user", "content": f"Which organ is number {number}?"},
                {"role": "assistant", "content": "Liver"},
            ],
            "options": ["Liver", "Lung"],
            "answer": "Liver",
        }
        for number in range(6)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number, name in enumerate(("melanoma", "naevus") * 2):
        path = folder / "skin" / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 70), (9 * number, 90, 80)).save(path)


def make_config(folder, **sections):
    made = config_lib.SynthesisConfig(
        sources=[curation.CuratedSource(name="questions", path="questions.jsonl", kind="text")],
        labelled=[
            labelled.LabelledSource(
                name="skin", path="skin", layout=label_files.FOLDERS, modality="dermoscopy"
            )
        ],
        root=str(folder),
    )
    for name, values in sections.items():
        setattr(made, name, dataclasses.replace(getattr(made, name), **values))
    return made


@dataclasses.dataclass(frozen=True)
class Choice:
    """Stands for a chosen engine."""

    engine: stand_in.Engine
    model: str = "m"

    def settings(self):
        return {"model": self.model, "weights": "w"}

    def make(self):
        self.engine.close = lambda: None
        return self.engine


def reason(request):
    schema = json.loads(request.sampling.json_schema)["properties"]
    if "reasoning" in schema:
        said = (
            "The organ lies on the right below the diaphragm, makes bile, stores sugar and is the "
            "largest gland of the body. A lung would lie above the diaphragm and hold air, which "
            "does not fit what is asked here. Both options were weighed, and the first fits best."
        )
        return json.dumps({"reasoning": said, "answer": "A"})
    reply = {name: spec.get("enum", [""])[0] for name, spec in schema.items()}
    return json.dumps({**reply, **({"told": "no"} if "told" in schema else {})})


@pytest.fixture
def folder(tmp_path):
    write_sources(tmp_path)
    return tmp_path


def run(config, output, answer=reason):
    engine = stand_in.Engine(answer)
    return synthesize.run(config, output, Choice(engine)), engine


def test_recipes_write_their_files_and_a_summary(folder):
    config = make_config(
        folder, reasoning={"sources": ("questions",)}, template_vqa={"sources": ("skin",)}
    )
    summary, engine = run(config, folder / "out")
    counts = summary["recipes"]
    assert set(counts) == {"reasoning", "template_vqa"} and len(engine.asked) >= 6
    assert counts["template_vqa"]["asked"] == 0 and counts["template_vqa"]["rows"] >= 4
    assert counts["reasoning"]["rows"] == 6, counts
    assert json.loads((folder / "out" / "summary.json").read_text()) == summary
    rows = list(desk.read_rows(folder / "out" / "rows" / "template_vqa.jsonl"))
    assert all(row["provenance"]["model"] == "" for row in rows)  # nobody was asked
    assert {row["provenance"]["parents"][0].split("/")[0] for row in rows} == {"skin"}


def test_the_same_command_asks_nothing_again(folder):
    config = make_config(folder, reasoning={"sources": ("questions",)})
    first, _ = run(config, folder / "out")
    again, engine = run(config, folder / "out")
    assert first == again and not engine.asked


def test_a_smaller_choice_is_part_of_a_larger_one(folder):
    def parents(most):
        config = make_config(folder, reasoning={"sources": ("questions",), "most": most})
        found = synthesize.chosen(config, "reasoning", b"")
        return [seed.id for seed in found if isinstance(seed, seeds.Seed)]

    assert len(parents(2)) == 2 and len(parents(4)) == 4
    assert set(parents(2)) < set(parents(4)) < set(parents(0))
    assert parents(6) == parents(7) == parents(0)


def test_ids_of_labelled_pictures_differ_between_secrets(folder):
    config = make_config(folder, template_vqa={"sources": ("skin",)})
    one, two = (
        {seed.id for seed in synthesize.chosen(config, "template_vqa", salt)}
        for salt in (b"a" * 32, b"b" * 32)
    )
    assert not one & two


def test_a_plan_counts_and_prices_what_would_be_asked(folder):
    config = make_config(
        folder, reasoning={"sources": ("questions",)}, template_vqa={"sources": ("skin",)}
    )
    terms = ledger.Terms(price_in=1.0, price_out=2.0)
    options = registry.Options(server=openai_options.Options(terms=terms))
    found = synthesize.plan(config, options)
    assert found["reasoning"].seeds == 6 and found["reasoning"].calls == 12
    assert found["template_vqa"].calls == 0 and found["template_vqa"].lost == 0
    lines = list(synthesize.describe_plan(found, options))
    assert "6 seeds, about 12 calls" in lines[1] and "cost about" in lines[1]
    assert lines[-1].startswith("all: about")
    assert "no prices" in list(synthesize.describe_plan(found, registry.DEFAULTS))[-1]


def test_a_plan_of_a_share_says_so(folder):
    config = make_config(folder, reasoning={"sources": ("questions",), "most": 3})
    found = synthesize.plan(config, registry.DEFAULTS)
    assert found["reasoning"].seeds == 3 and found["reasoning"].calls == 6


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({}, "no recipe has sources; name some of questions, skin"),
        ({"ocr": {"sources": ("question",)}}, "config.ocr.sources names 'question'; known: quest"),
        ({"ocr": {"sources": ("questions",), "most": -1}}, "config.ocr.most must be >= 0, got -1"),
    ],
)
def test_what_means_nothing_is_refused(folder, sections, said):
    with pytest.raises(errors.UserError, match=said):
        make_config(folder, **sections).validate()


def test_two_sources_of_one_name_are_refused(folder):
    config = make_config(folder, ocr={"sources": ("questions",)})
    config.labelled[0].name = "questions"
    with pytest.raises(errors.UserError, match="two sources are named questions"):
        config.validate()


def test_the_config_file_takes_what_a_folder_has(folder):
    (folder / "medqa").mkdir()
    with pytest.raises(errors.UserError, match="no folder"):
        synthesis_config.get_config(str(folder / "nowhere"))
    for name in ("isic_2020", "healthcaremagic"):
        (folder / name).mkdir()
    found = synthesis_config.get_config(str(folder))
    assert found.long_captions.sources == found.template_vqa.sources == ("isic_2020",)
    assert found.dialogues.sources == ("healthcaremagic",) and found.ocr.sources == ("medqa",)
    assert "medqa" in found.reasoning.sources
    assert "healthcaremagic" not in found.reasoning.sources


def test_the_shared_data_can_be_planned(shared_dir):
    config = synthesis_config.get_config(str(shared_dir / "data"))
    config.validate()
    for name in ("long_captions", "template_vqa", "self_instruct", "reasoning"):
        assert config.section(name).sources, name
    config.reasoning.sources = ()
    found = synthesize.plan(config, registry.DEFAULTS)
    assert found["long_captions"].calls == pytest.approx(3 * found["long_captions"].seeds)


def test_a_line_says_what_became_of_the_seeds():
    counts = dataclasses.asdict(desk.Counts(seeds=3, rows=2, asked=5, again=1))
    counts["dropped"] = {"wrong": 1}
    assert synthesize.describe("ocr", counts) == (
        "ocr: 3 seeds, 5 replies (1 unreadable), 2 rows; dropped: 1 wrong"
    )
