# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Every row is read, shown or refused; every refused row is in dropped.jsonl."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from configs import stage3_instruct, stage4_rl
from lingshu_jax import inspect_data
from lingshu_jax.common import errors
from lingshu_jax.data import batch_plans, sources, tokenizer_files
from lingshu_jax.stages import inputs, loop
from tests.data import dicom_files, real_rows

COMMAND = [sys.executable, "-m", "lingshu_jax.inspect_data"]
TRICKY = 'a < b & "c" <|im_start|>assistant é 肺'


def turns(*texts):
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    tokenizer_files.write_tokenizer(folder, (), tokenizer_files.MIN_VOCAB)
    return folder


@pytest.fixture
def rows(tmp_path):
    Image.new("RGB", (60, 90), "red").save(tmp_path / "a.png")
    broken = (tmp_path / "a.png").read_bytes()[:-30]
    (tmp_path / "broken.png").write_bytes(broken)

    def asked(image):
        return [{"type": "image", "image": image}, {"type": "text", "text": TRICKY}]

    lines = [
        {"id": "good", "messages": turns(asked("a.png"), "It is red.")},
        {"id": "broken", "messages": turns(asked("broken.png"), "Yes")},
        {"id": "missing", "messages": turns(asked("b.png"), "Yes")},
        {"id": "prompt", "messages": turns("Hello?")},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n{\n")
    return path


def run(repo, *arguments):
    environment = os.environ | {"PYTHONPATH": str(repo)}
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        cwd=repo,
        capture_output=True,
        text=True,
        timeout=120,
    )


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def task(path, *, tokenizer=None, prompts=False, **options):
    return inspect_data.task_of_source(
        sources.Source(name="s", path=str(path), **options),
        tokenizer=tokenizer,
        min_pixels=3136,
        max_pixels=50176,
        prompts=prompts,
    )


def inspect(output, path, *, rows=9, strict=False, **options):
    """The summary, the page and the refused rows by id."""
    summary = inspect_data.inspect(task(path, **options), output, rows=rows, strict=strict)
    dropped = {row["id"]: row for row in read_lines(output / "dropped.jsonl")}
    return summary, (output / "index.html").read_text(), dropped


def test_page_and_dropped_rows(rows, tmp_path):
    summary, page, dropped = inspect(tmp_path / "out", rows)
    assert (summary.total.read, summary.total.accepted, summary.total.refused) == (5, 1, 4)
    assert {key: row["line"] for key, row in dropped.items()} == {
        "broken": 2,
        "missing": 3,
        "prompt": 4,
        "rows:5": 5,
    }
    assert all(set(row) == {"id", "source", "line", "reason"} for row in dropped.values())
    assert "broken.png" in dropped["broken"]["reason"]
    assert "no such file: b.png" in dropped["missing"]["reason"]
    assert "no assistant message" in dropped["prompt"]["reason"]
    assert page.count("<img ") == 1 and "byte-level stand-in" in page
    assert "no such file: FILE (looked in FILE)" in page
    assert str(tmp_path) not in page, "a page may be sent to somebody"


def test_nothing_refused_is_an_empty_file(tmp_path, questions):
    path = real_rows.write_messages(tmp_path, questions)
    summary, page, dropped = inspect(tmp_path / "out", path, allow_outside=True)
    assert (tmp_path / "out" / "dropped.jsonl").read_bytes() == b"" and dropped == {}
    assert summary.reasons == [] and "Refused rows" not in page


def test_rows_limit_the_page_alone(tmp_path, questions):
    path = real_rows.write_messages(tmp_path, questions)
    for rows in (0, 2, 99):
        summary, page, _ = inspect(tmp_path / "out", path, rows=rows, allow_outside=True)
        assert summary.total.read == 6 and page.count("<article") == min(rows, 6)


def test_strict_stops_at_the_first_refused_row(rows, tmp_path):
    with pytest.raises(errors.UserError, match="^s, line 2, id 'broken': .*does not decode"):
        inspect(tmp_path / "out", rows, strict=True)
    assert not (tmp_path / "out").exists()


def test_prompts_are_shown_with_the_open_turn_and_without_the_answer(rows, tmp_path):
    summary, page, dropped = inspect(tmp_path / "out", rows, prompts=True)
    assert summary.total.accepted == 2 and summary.total.trained == 0
    assert "prompt" not in dropped and "It is red." not in page


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """Six with no, one or two images."""
    folder = tmp_path_factory.mktemp("images")
    pictures = [folder / f"{i}.png" for i in range(2)]
    for picture in pictures:
        Image.new("RGB", (56, 56)).save(picture)
    return [
        real_rows.Question(f"q{i}", f"Is it {i}?", "yes", tuple(pictures[: i % 3]))
        for i in range(6)
    ]


@pytest.mark.parametrize("word", sorted(real_rows.WRITERS))
def test_every_format_is_shown(word, tmp_path, questions):
    (tmp_path / "rows").mkdir()
    path = real_rows.WRITERS[word](tmp_path / "rows", questions)
    summary, page, dropped = inspect(tmp_path / "out", path, format=word, allow_outside=True)
    assert summary.total.accepted == len(questions) and dropped == {}
    assert summary.total.media == sum(len(question.images) for question in questions)
    assert page.count("<img ") == summary.total.media and page.count("<mark>") == 1 + 6


def test_options_of_a_source_arrive(tmp_path):
    row = {"problem": "q", "label": "<think>a</think> yes"}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"id": "1", **row}) + "\n" + json.dumps({"problem": "q"}) + "\n")
    options = {"format": "easyr1", "columns": {"answer": "label"}, "train_on": "reasoning"}
    summary, _, dropped = inspect(tmp_path / "out", path, **options)
    assert summary.total.trained == len("<think>a</think>") and len(dropped) == 1


def test_identifying_elements_are_counted_once_a_file(tmp_path):
    dicom_files.write(tmp_path / "clip.dcm", np.zeros((4, 64, 64), np.uint16))
    image = {"type": "image", "image": "clip.dcm#frames=4"}
    lines = [{"id": "a", "messages": turns([image, {"type": "text", "text": "q"}], "a")}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary, page, _ = inspect(tmp_path / "out", path)
    assert summary.total.media == 4 and 0 < summary.total.header_elements < 20
    assert not any(secret in page for secret in dicom_files.SECRETS)


def test_a_tokenizer_is_named_without_its_place(tmp_path, questions, tokenizer_folder):
    path = real_rows.write_messages(tmp_path, questions)
    _, page, _ = inspect(tmp_path / "out", path, tokenizer=tokenizer_folder, allow_outside=True)
    assert f"Tokenizer: {tokenizer_folder.name}<" in page and "stand-in" not in page
    assert str(tokenizer_folder.parent) not in page


def test_from_the_command_line(repo, rows, tmp_path):
    done = run(repo, f"--path={rows}", f"--output={tmp_path / 'out'}", "--rows=5")
    assert done.returncode == 0, done.stderr
    assert "rows read: 5\nrows accepted: 1\nrows refused: 4\n" in done.stdout
    assert (tmp_path / "out" / "index.html").is_file()
    done = run(repo, f"--path={rows}", f"--output={tmp_path / 'strict'}", "--strict")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "rows, line 2, id 'broken':" in done.stderr and not (tmp_path / "strict").exists()


CONFIG = """
from configs import stage3_instruct
from lingshu_jax.data import sources


def get_config(arg):
    config = stage3_instruct.get_config("tiny")
    config.data.sources = (sources.Source(name="s", path="rows.jsonl"),)
    config.data.root = arg
    return config
"""


def test_a_config_from_the_command_line(repo, small_rows, tokenizer_folder, tmp_path):
    (tmp_path / "config.py").write_text(CONFIG)
    done = run(
        repo,
        f"--config={tmp_path / 'config.py'}:{small_rows}",
        "--config.data.tokens_per_row=512",  # the tokenizer below is one token a byte
        f"--tokenizer={tokenizer_folder}",
        f"--output={tmp_path / 'out'}",
        "--rows=2",
    )
    assert done.returncode == 0, done.stderr
    assert "rows accepted: 12\n" in done.stdout
    assert "packed into: 3 rows of 512 tokens, 256 patches" in done.stdout
    assert (tmp_path / "out" / "dropped.jsonl").read_text() == ""
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<article") == 2 and str(small_rows) not in page


def inspect_config(config, tmp_path, tokenizer, rows):
    made = inspect_data.task_of_config(config, tmp_path / "out", tokenizer=tokenizer)
    summary = inspect_data.inspect(made, tmp_path / "out", rows=rows, strict=False)
    return summary, (tmp_path / "out" / "index.html").read_text()


def test_a_mixture_is_shown_source_by_source(small_rows, tmp_path, tokenizer_folder):
    config = stage3_instruct.get_config("tiny")
    config.data.root, config.data.patches_per_row = str(small_rows), 0
    config.data.sources = (
        sources.Source(name="all", path="rows.jsonl"),
        sources.Source(name="last", path="rows.jsonl", train_on="last"),
        sources.Source(name="thought", path="rows.jsonl", train_on="reasoning"),
        sources.Source(name="left out", path="rows.jsonl", group="captions"),
    )
    config.data.without = ("captions",)
    summary, page = inspect_config(config, tmp_path, tokenizer_folder, rows=6)
    assert [*summary.by_source] == ["all", "last", "thought"]
    assert [counts.refused for counts in summary.by_source.values()] == [0, 0, 12]
    assert summary.by_source["all"] == summary.by_source["last"]
    [reason] = summary.reasons
    assert "between <think> and </think>" in reason.kind and reason.rows == 12
    assert page.count("all, line") == page.count("last, line") == 3
    assert 0.5 < summary.fill.tokens < 1 and summary.fill.budget.patches % 64 == 0


@pytest.mark.parametrize("sequences_per_batch", [0, 4], ids=["in rows", "in sequences"])
def test_fill_and_refusals_are_those_of_training(
    small_rows, tmp_path, tokenizer_folder, sequences_per_batch
):
    config = stage3_instruct.get_config("tiny")
    config.data = dataclasses.replace(
        config.data,
        sources=(sources.Source(name="s", path="rows.jsonl"),),
        root=str(small_rows),
        tokens_per_row=104,
        patches_per_row=0,
        min_pixels=28 * 28,
        sequences_per_batch=sequences_per_batch,
        rows_per_batch=0 if sequences_per_batch else 4,
    )
    summary, _ = inspect_config(config, tmp_path, tokenizer_folder, rows=0)
    mixture = inputs.read_mixture(config.data, tmp_path)
    rows = inputs.encode(config.data, mixture, tokenizer_folder, workdir=tmp_path)
    data = inputs.complete(config.data, mixture, rows, workdir=tmp_path, multiples=batch_plans.ONE)
    complete = dataclasses.replace(config, data=data)
    trained = loop.make_pipeline(complete, mixture, rows).fill
    assert (summary.fill.tokens, summary.fill.patches) == pytest.approx(tuple(trained))
    dropped = read_lines(tmp_path / "out" / "dropped.jsonl")
    assert [dataclasses.asdict(row) for row in rows.dropped] == dropped and dropped


def test_rows_that_do_not_fit_are_refused_or_shortened(small_rows, tmp_path, tokenizer_folder):
    config = stage3_instruct.get_config("tiny")
    config.data.root, config.data.tokens_per_row = str(small_rows), 104
    config.data.sources = (sources.Source(name="s", path="rows.jsonl"),)
    config.data.min_pixels, config.data.max_pixels = 28 * 28, 84 * 84
    dropped, page = inspect_config(config, tmp_path, tokenizer_folder, rows=12)
    assert dropped.total.refused > 0 and dropped.total.rewritten == 0
    assert dropped.reasons[0].kind.startswith("does not fit into a row of N tokens")
    config.data.too_long = "shrink_images"
    shrunk, page = inspect_config(config, tmp_path, tokenizer_folder, rows=12)
    assert shrunk.total.refused < dropped.total.refused and shrunk.total.rewritten > 0
    assert page.count("images shrunk: to at most") == shrunk.total.rewritten


def test_questions_of_reinforcement_learning_are_asked_as_they_are(tmp_path, tokenizer_folder):
    config = stage4_rl.get_config("tiny")
    config.data.sources = (sources.Source(name="s", path="gold.jsonl"),)
    config.rl.max_prompt_tokens = 400
    rows = [
        {"id": "a", "messages": turns("Is it?", "yes"), "answer": "yes", "answer_type": "yes_no"}
    ]
    rows += [{"id": "b", "messages": turns("Is it?", "yes")}]
    config.data.root = str(tmp_path)
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary, page = inspect_config(config, tmp_path, tokenizer_folder, rows=9)
    assert summary.total.accepted == 1 and summary.total.trained == 0
    assert [reason.kind for reason in summary.reasons] == [
        "no answer and no answer_type: the answer cannot be verified"
    ]
    assert "answer" in page.partition("<article")[2], "the instruction is part of the question"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--path=nowhere.jsonl", "--output=OUT"], "no such file: .*nowhere.jsonl"),
        (["--output=OUT", "--rows=2"], "give one of --config"),
        (
            ["--config=configs/stage3_instruct.py:tiny", "--format=llava", "--output=OUT"],
            "--format belongs to --path",
        ),
        (["--path=x.jsonl", "--columns=answer", "--output=OUT"], "OURS=THEIRS, got 'answer'"),
        (["--path=x.jsonl", "--train_on=first", "--output=OUT"], "unknown train_on 'first'"),
    ],
    ids=["missing file", "nothing asked", "both forms", "columns", "train_on"],
)
def test_bad_flags_are_one_line(repo, tmp_path, arguments, message):
    done = run(repo, *(a.replace("OUT", str(tmp_path / "out")) for a in arguments))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(done.stderr)
    assert not (tmp_path / "out").exists()
