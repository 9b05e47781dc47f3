# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from lingshu_jax.common import errors, pages
from lingshu_jax.data import fingerprint_files, fingerprints, sources
from lingshu_jax.eval import benchmark, folder, question_formats, runner
from lingshu_jax.eval import card as card_lib
from lingshu_jax.eval.benchmarks import vqa_rad
from lingshu_jax.eval.trust import contamination, differences, overlap
from lingshu_jax.eval.trust import desk as desk_lib
from tests.eval import scripted

LONG = "a man of fifty years comes with sudden chest pain that began two hours ago at rest"
OPTIONS = ("lung", "heart", "liver")


def picture(seed: int) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6), np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def sample(row_id, question, images=(), **fields):
    values = {"gold": "yes", "answer_type": "yes_no", "rule": "vqa", **fields}
    messages = question_formats.turn(question, [*map(picture, images)])
    return benchmark.Sample(id=row_id, question=question, messages=messages, **values)


def choice(row_id, question, options=OPTIONS):
    lettered = question_formats.lettered(options, blank=True)
    return sample(
        row_id,
        question,
        gold="A",
        answer_type="choice",
        rule="choice",
        options=options,
        choices=lettered,
    )


def training_row(asked, images=(), source="train"):
    content = [{"type": "image", "image": picture(seed)} for seed in images]
    content.append({"type": "text", "text": asked})
    turns = (
        {"role": "user", "content": content},
        {"role": "assistant", "content": [{"type": "text", "text": "yes"}]},
    )
    return sources.Example(id=f"PATIENT {asked}", source=source, messages=turns)


def make_desk(out, samples):
    """The desk of an evaluation of one benchmark in which every answer is yes."""
    answers = [benchmark.Answer("yes", "stop")] * len(samples)
    (out / "made").mkdir(parents=True, exist_ok=True)
    rows = list(benchmark.score_all(samples, answers))
    folder.commit_benchmark(out / "made", rows, {})
    card = card_lib.Card(name="made", title="Made", family="text")
    loaded = runner.Loaded(card=card, samples=samples)
    settings = scripted.make_settings("nowhere")
    return desk_lib.Desk(out, settings, {"made": loaded}, scripted.Scripted)


@pytest.fixture
def compare(tmp_path):
    def compare(samples, training, dropped=0):
        path = tmp_path / "train.parquet"
        names = {row.source for row in training}
        fingerprint_files.write(
            path,
            map(fingerprints.of_example, training),
            meta=lambda: {
                "dropped": dropped,
                "sources": {name: {"rows": 1, "dropped": 0} for name in names},
            },
        )
        return contamination.run(make_desk(tmp_path / "out", samples), manifest=path)

    return compare


def counts(section):
    numbers = section["benchmarks"]["made"]
    return {rule: found["n"] for rule, found in numbers["rules"].items() if found["n"]}


def contaminated(section):
    return section["benchmarks"]["made"]["contaminated"]


def test_a_question_counts_where_one_row_holds_its_picture_and_its_words(compare):
    found = compare(
        [sample("q", "Is there a fracture?", [1])],
        [training_row("is there a FRACTURE\nPlease output 'yes' or 'no'(no extra output).", [1])],
    )
    assert counts(found) == {"image": 1, "question": 1, "image_and_question": 1}
    assert contaminated(found) == 1


@pytest.mark.parametrize(
    "training, rules",
    [
        ([training_row("Is there a fracture?", [2])], {"question": 1}),
        ([training_row("Is there a mass?", [1])], {"image": 1}),
        (
            [training_row("Is there a fracture?", [2]), training_row("Is there a mass?", [1])],
            {"image": 1, "question": 1},
        ),
        ([training_row("Is there a mass?", [2])], {}),
    ],
    ids=["other picture", "other words", "both in two rows", "neither"],
)
def test_picture_and_words_of_different_rows_do_not_count(compare, training, rules):
    found = compare([sample("q", "Is there a fracture?", [1])], training)
    assert counts(found) == rules
    assert contaminated(found) == 0
    assert found["benchmarks"]["made"]["examples"] == []


def test_one_of_several_pictures_is_enough(compare):
    found = compare([sample("q", "Which?", [1, 2, 3])], [training_row("Which?", [5, 3])])
    assert contaminated(found) == 1


def test_pairs_are_not_mixed_between_questions(compare):
    asked = [sample("a", "One?", [1]), sample("b", "Two?", [2])]
    crossed = [training_row("One?", [2]), training_row("Two?", [1])]
    assert contaminated(compare(asked, crossed)) == 0
    straight = [training_row("One?", [1]), training_row("Two?", [2])]
    assert contaminated(compare(asked, straight)) == 2


def test_a_report_counts_where_its_picture_does(compare):
    asked = [sample("q", "Write.", [1], answer_type="report", rule="report", scoring="report")]
    found = compare(asked, [training_row("Describe this image.", [1])])
    assert contaminated(found) == 1
    assert found["benchmarks"]["made"]["accuracy"] is None


def test_options_decide_for_a_short_question_without_pictures(compare):
    asked = [choice("q", "Which organ?")]
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip("ABC", OPTIONS, strict=True))
    same = compare(asked, [training_row(f"Which organ?\n{listed}")])
    assert counts(same) == {"question": 1, "question_and_options": 1}
    assert contaminated(same) == 1
    other = compare(asked, [training_row(f"Which organ?\n{listed.replace('liver', 'brain')}")])
    assert counts(other) == {"question": 1}
    assert contaminated(other) == 0


def test_a_long_question_is_found_inside_another_text(compare):
    asked = [choice("q", f"{LONG}. What is it?")]
    inside = compare(asked, [training_row(f"Case: {LONG.upper()}; what is it? Explain.")])
    assert counts(inside) == {"ngrams": 1}
    assert contaminated(inside) == 1
    changed = compare(asked, [training_row(f"Case: {LONG.replace('pain', 'ache')}, what is it?")])
    assert contaminated(changed) == 0


@pytest.mark.parametrize(
    "kept, is_enough", [(10, True), (6, False)], ids=["8 of 10 runs", "4 of 10 runs"]
)
def test_seven_of_ten_runs_must_occur(compare, kept, is_enough):
    words = [f"w{number}" for number in range(22)]  # 10 runs of 13
    asked = [sample("q", " ".join(words))]
    found = compare(asked, [training_row(" ".join(words[: kept + 10]))])
    assert contaminated(found) == is_enough


def test_runs_may_be_spread_over_training_rows(compare):
    words = [f"w{number}" for number in range(26)]
    asked = [sample("q", " ".join(words))]
    halves = [training_row(" ".join(words[:19])), training_row(" ".join(words[7:]))]
    assert contaminated(compare(asked, halves)) == 1
    assert contaminated(compare(asked, halves[:1])) == 0


def test_sources_are_those_that_decide_and_no_row_of_them_is_named(compare):
    asked = [sample(f"q{number}", f"Question {number}?", [number]) for number in range(3)]
    training = [
        training_row("Question 0?", [0], "first"),
        training_row("Question 0?", [0], "second"),
        training_row("Question 1?", [9], "third"),
    ]
    found = compare(asked, training)
    assert found["benchmarks"]["made"]["sources"] == {"first": 1, "second": 1}
    (example,) = found["benchmarks"]["made"]["examples"]
    assert example == {
        "id": "q0",
        "question": "Question 0?",
        "rules": ["image", "question", "image_and_question"],
        "sources": ["first", "second"],
    }
    assert "PATIENT" not in json.dumps(found)


def test_at_most_twenty_examples_are_spread_over_the_benchmark(compare):
    asked = [sample(f"q{number}", f"Question {number} of them?") for number in range(50)]
    found = compare(asked, [training_row(f"Question {number} of them?") for number in range(50)])
    ids = [example["id"] for example in found["benchmarks"]["made"]["examples"]]
    assert len(set(ids)) == 20
    assert ids[0] == "q0"
    assert int(ids[-1][1:]) > 45


def test_accuracies_of_both_kinds_stand_beside_each_other(compare):
    asked = [
        dataclasses.replace(sample(f"q{n}", f"Question {n}?"), gold="yes" if n < 8 else "no")
        for n in range(16)
    ]
    found = compare(asked, [training_row(f"Question {n}?") for n in range(8)])
    numbers = found["benchmarks"]["made"]["accuracy"]
    assert (numbers["contaminated"], numbers["clean"]) == (8, 8)
    assert numbers["strict"]["contaminated"] == 1.0
    assert numbers["strict"]["clean"] == 0.0
    assert numbers["strict"]["difference"] == 1.0
    none = compare(asked, [training_row("Something else?")])
    assert none["benchmarks"]["made"]["accuracy"]["strict"]["interval"] is None


def test_what_was_not_compared_is_told(compare):
    broken = sample("q", "What?")
    image = {"type": "image", "image": b"no picture"}
    content = [image, *broken.messages[0]["content"]]
    broken = dataclasses.replace(broken, messages=({"role": "user", "content": content},))
    found = compare([broken], [training_row("What?", [1])], dropped=3)
    assert found["remarks"] == [
        "3 training rows could not be read and are not in the fingerprints",
        "made: 1 images or videos do not decode and were not compared",
    ]
    no_pictures = compare([sample("q", "What?", [1])], [training_row("What?")])
    assert "no question with a picture can count" in no_pictures["remarks"][0]


def test_batches_of_training_data_add_up(compare, monkeypatch):
    monkeypatch.setattr(fingerprint_files, "BATCH_ROWS", 2)
    asked = [sample(f"q{n}", f"Question {n}?", [n]) for n in range(5)]
    training = [training_row(f"Question {n}?", [n], f"s{n}") for n in range(5)]
    found = compare(asked, training)
    assert contaminated(found) == 5
    assert found["benchmarks"]["made"]["sources"] == {f"s{n}": 1 for n in range(5)}


def test_another_file_is_refused(tmp_path):
    (tmp_path / "f.parquet").write_bytes(b"")
    with pytest.raises(errors.UserError, match="no Parquet file"):
        contamination.run(make_desk(tmp_path, []), manifest=tmp_path / "f.parquet")


def test_the_page_shows_counts_and_escapes_questions(compare):
    asked = [sample("q0", "Is <b>it</b> bold?"), sample("q1", "Clean?")]
    section = compare(asked, [training_row("Is <b>it</b> bold?")])
    template = pages.environment({"it": contamination.TEMPLATE}).get_template("it")
    page = template.render(section=section, summary={})
    assert "&lt;b&gt;it&lt;/b&gt;" in page
    assert "<b>it" not in page
    assert "1 of 1 contaminated" in " ".join(page.split())
    empty = compare(asked, [training_row("Something else?")])
    assert "Accuracy on contaminated" not in template.render(section=empty, summary={})


def test_a_question_with_letters_in_its_text_has_both_forms():
    listed = choice("q", "Which organ?\nA. lung\nB. heart\nC. liver")
    plain = choice("q", "Which organ?")
    one, other = overlap.prints_of(listed, ()), overlap.prints_of(plain, ())
    assert one.question == other.question
    assert one.question_and_options == other.question_and_options


def test_what_vqa_rad_shares_with_its_training_split_is_what_its_file_names_say(
    tmp_path, shared_dir
):
    data = shared_dir / "data" / "vqa_rad"
    samples = vqa_rad.VqaRad().load(data)
    names = sorted({sample.group for sample in samples})[:40]
    samples = [sample for sample in samples if sample.group in names]
    source = sources.Source(name="train", path=str(data), format="vqa_rad")
    rows = [row for row in sources.read(source).examples if row.meta["image_id"] in names[5:]]
    path = tmp_path / "train.parquet"
    note = {"dropped": 0, "sources": {"train": {"rows": len(rows), "dropped": 0}}}
    fingerprint_files.write(path, fingerprints.of_examples(rows), meta=lambda: note)
    section = contamination.run(make_desk(tmp_path / "out", samples), manifest=path)

    asked = [(row.meta["image_id"], as_words(row)) for row in rows]
    questions = {text for _, text in asked}
    found = [(s.group, fingerprints.normalise(s.question)) for s in samples]
    assert counts(section) == {
        "image": sum(name in names[5:] for name, _ in found),
        "question": sum(text in questions for _, text in found),
        "image_and_question": sum(one in asked for one in found),
    }
    assert 0 < contaminated(section) < len(samples) / 2


def as_words(row):
    """The question of a training row, whose last line says how to answer."""
    text = row.messages[0]["content"][-1]["text"]
    return fingerprints.normalise(text.rpartition("\n")[0])


def test_a_difference_is_zero_for_equal_kinds_and_its_interval_covers_it():
    rng = np.random.default_rng(0)
    values, first = rng.integers(0, 2, 400), rng.integers(0, 2, 400).astype(bool)
    found = differences.compare(values, first, [""] * 400)
    assert found.first == pytest.approx(values[first].mean())
    assert found.second == pytest.approx(values[~first].mean())
    assert found.interval.low < found.difference < found.interval.high
    # Two means of independent values.
    wide = 1.96 * np.sqrt(0.25 / first.sum() + 0.25 / (~first).sum())
    assert found.interval.high - found.difference == pytest.approx(wide, rel=0.15)


def test_clusters_make_a_difference_less_sure():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.integers(0, 2, 40), 10)
    first = np.repeat(np.arange(40) % 2 == 0, 10)
    alone = differences.compare(values, first, [""] * 400).interval
    groups = [f"g{number // 10}" for number in range(400)]
    together = differences.compare(values, first, groups).interval
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_a_kind_that_is_missing_has_no_mean():
    found = differences.compare(np.ones(3), np.ones(3, bool), [""] * 3)
    assert (found.first, found.second, found.difference) == (1.0, None, None)
    assert tuple(found.interval) == (-1.0, 1.0)
