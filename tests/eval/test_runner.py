# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Runs with a scripted generator, which stands for a remote one."""

import json

import pytest
from PIL import Image

from lingshu_jax.common import errors, paths, prompts
from lingshu_jax.engines import protocol
from lingshu_jax.eval import folder, runner
from tests import s3_server

RESPONSES = {
    "r0": "<answer>yes</answer>",
    "r1": "I am unable to answer",
    "r2": "",
    "r3": "<think>because",
    "r4": "B. dog",
    "r5": "The axial plane",
}
ROWS = [
    ("r0", "yes", "yes_no", []),
    ("r1", "no", "yes_no", []),
    ("r2", "no", "yes_no", []),
    ("r3", "2", "number", []),
    ("r4", "B", "choice", ["cat", "dog"]),
    ("r5", "axial plane", "open", []),
]


class Killed(BaseException):
    """Stands for a signal that ends the process."""


class Scripted:
    """Answers by id, last first, and keeps what it has answered.

    May die after some answers; has none to some questions.
    """

    def __init__(self, dies_after=None, fails=()):
        self.requests = []
        self._dies_after, self._fails = dies_after, fails

    def generate(self, requests, *, on_result):
        answers = [[] for _ in requests]
        for place in reversed(range(len(requests))):
            if len(self.requests) == self._dies_after:
                raise Killed
            self.requests.append(requests[place])
            if requests[place].id in self._fails:
                on_result(place, protocol.Failure("no answer"))
            else:
                answers[place] = [self._complete(requests[place])]
                on_result(place, answers[place])
        return answers

    def _complete(self, request):
        text = RESPONSES[request.id]
        return protocol.Completion(
            text=text, tokens=(1, 2), logprobs=(0.0, 0.0), finish_reason="stop"
        )


@pytest.fixture
def data_dir(tmp_path):
    """A folder with one rows benchmark, `small`, whose pictures differ in size."""
    data = tmp_path / "data"
    data.mkdir()
    lines = []
    for number, (row_id, gold, answer_type, options) in enumerate(ROWS):
        Image.new("RGB", (60 - number, 40), (200, 10, 10)).save(data / f"{row_id}.png")
        content = [
            {"type": "image", "image": f"{row_id}.png"},
            {"type": "text", "text": f"Question {row_id} <b>?</b>"},
        ]
        row = {"id": row_id, "messages": [{"role": "user", "content": content}]}
        row |= {"answer": gold, "answer_type": answer_type, "options": options}
        lines.append(json.dumps(row))
    (data / "small.jsonl").write_text("\n".join(lines) + "\n")
    return data


@pytest.fixture
def settings(data_dir):
    return make_settings(data_dir)


def make_settings(data_dir, /, **changes):
    values = {"model": "m", "benchmarks": "small", "data_dir": str(data_dir), "max_new_tokens": 8}
    return runner.Settings(**(values | changes))


def evaluate(settings, output_dir, engine=None, **kwargs):
    engine = engine or Scripted()
    summary = runner.evaluate(settings, output_dir, lambda: engine, **kwargs)
    return summary, [request.id for request in engine.requests]


def read_rows(output_dir):
    return folder.read_samples(output_dir / "small")


def test_an_evaluation_writes_its_files(tmp_path, settings):
    out = tmp_path / "out"
    summary, _ = evaluate(settings, out)
    assert {path.name for path in out.iterdir()} == {
        *("COMMIT", "settings.json", "summary.json", "report.html", "small"),
        *("leaderboard.json", "leaderboard.csv", "leaderboard.md"),
    }
    assert {path.name for path in (out / "small").iterdir()} == {
        *("COMMIT", "samples.jsonl", "summary.json"),
    }
    assert json.loads((out / "summary.json").read_text()) == summary
    numbers = summary["benchmarks"]["small"]
    assert (numbers["n"], numbers["strict_correct"]) == (6, 3)
    failures = ("empty", "truncated", "refusal", "unparsed")
    assert [numbers[name] for name in failures] == [1, 1, 1, 0]


def test_rows_keep_the_benchmarks_order_and_form(tmp_path, settings):
    evaluate(settings, tmp_path / "out")
    rows = read_rows(tmp_path / "out")
    assert [row["id"] for row in rows] == list(RESPONSES)
    assert [row["response"] for row in rows] == list(RESPONSES.values())
    statuses = [row["strict"]["status"] for row in rows]
    assert statuses == ["ok", "refusal", "empty", "truncated", "ok", "ok"]
    assert rows[4]["strict"] == {"correct": True, "status": "ok", "value": "B"}
    assert rows[4]["compat"] == {"correct": True, "kind": "choice"}
    assert {"question", "gold", "finish_reason", "judge"} <= set(rows[0])


def test_a_finished_run_does_nothing(tmp_path, settings):
    out = tmp_path / "out"
    summary, _ = evaluate(settings, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}

    def no_engine():
        raise AssertionError("a finished run needs no engine")

    assert runner.evaluate(settings, out, no_engine) == summary
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_killed_run_goes_on_without_repeating_a_row(tmp_path, settings):
    out = tmp_path / "out"
    engine = Scripted(dies_after=4)
    with pytest.raises(Killed):
        evaluate(settings, out, engine)
    first = [request.id for request in engine.requests]
    assert len(first) == 4
    assert not folder.is_complete(out)
    _, second = evaluate(settings, out)
    assert sorted(first + second) == sorted(RESPONSES)
    assert [row["id"] for row in read_rows(out)] == list(RESPONSES)


@pytest.mark.parametrize("tear", [b'{"id": "r', b'{"id": "r0", "response": "x"}', b"\xff\xfe"])
def test_a_torn_last_line_is_generated_again(tmp_path, settings, tear):
    out = tmp_path / "out"
    engine = Scripted(dies_after=2)
    with pytest.raises(Killed):
        evaluate(settings, out, engine)
    partial = out / "small" / folder.GENERATIONS
    whole = partial.read_bytes()
    partial.write_bytes(whole + tear)
    _, second = evaluate(settings, out)
    assert sorted([request.id for request in engine.requests] + second) == sorted(RESPONSES)
    assert [row["response"] for row in read_rows(out)] == list(RESPONSES.values())


def test_questions_without_an_answer_are_named_and_asked_again(tmp_path, settings):
    out, engine = tmp_path / "out", Scripted(fails=("r1", "r4"))
    with pytest.raises(errors.UserError, match="2 of 6 questions of small .* 'r1': no answer"):
        evaluate(settings, out, engine)
    assert len(engine.requests) == 6 and not folder.is_complete(out)
    _, second = evaluate(settings, out)
    assert sorted(second) == ["r1", "r4"]
    assert [row["response"] for row in read_rows(out)] == list(RESPONSES.values())


def test_windows_lose_no_question(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(runner, "WINDOW", 4)
    _, asked = evaluate(settings, tmp_path / "out")
    assert sorted(asked) == sorted(RESPONSES)


@pytest.fixture
def bucket(tmp_path):
    yield from s3_server.run(tmp_path / "cache")


def test_in_a_store_it_goes_on_in_another_home(tmp_path, bucket, data_dir, monkeypatch):
    """With the answers so far; the folder names no path of the machine that began it."""
    s3_server.store().put(f"{data_dir}/", f"{bucket}/data/", recursive=True)

    def run(home, engine=None, **changes):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / home))
        model = str(paths.local(f"{bucket}/run/export"))
        settings = make_settings(paths.local(f"{bucket}/data"), model=model, **changes)
        with paths.opened(f"{bucket}/run/evaluation") as out:
            return evaluate(settings, out, engine, overwrite=bool(changes))

    engine = Scripted(dies_after=2)
    with pytest.raises(Killed):
        run("first", engine)
    summary, asked = run("second")
    assert len(engine.requests) == 2 and len(asked) == 4
    assert summary["settings"]["model"] == f"{bucket}/run/export"
    assert summary["model"] == "run/export"
    with pytest.raises(Killed):
        run("second", Scripted(dies_after=0), limit=2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "third"))
    left = paths.fetched(f"{bucket}/run")
    assert not [*left.rglob("*")], "what is overwritten goes from the store as well"


def test_killed_before_the_tables_are_written(tmp_path, settings):
    out = tmp_path / "out"
    summary, _ = evaluate(settings, out)
    (out / "COMMIT").unlink()
    (out / "report.html").unlink()
    again, asked = evaluate(settings, out)
    assert asked == []
    assert again == summary
    assert folder.is_complete(out) and (out / "report.html").is_file()


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_new_tokens", 9), ("blind", True), ("limit", 2), ("model", "n"), ("prompt", "think")],
)
def test_a_changed_setting_is_named(tmp_path, data_dir, settings, name, value):
    evaluate(settings, tmp_path / "out")
    with pytest.raises(errors.UserError, match=f"{name} = "):
        evaluate(make_settings(data_dir, **{name: value}), tmp_path / "out")


def test_changed_data_is_noticed_while_a_run_is_partial(tmp_path, data_dir, settings):
    with pytest.raises(Killed):
        evaluate(settings, tmp_path / "out", Scripted(dies_after=2))
    path = data_dir / "small.jsonl"
    path.write_text(path.read_text().replace("axial plane", "coronal plane"))
    with pytest.raises(errors.UserError, match="data = "):
        evaluate(settings, tmp_path / "out")


def test_overwrite_starts_again(tmp_path, data_dir, settings):
    evaluate(settings, tmp_path / "out")
    other = make_settings(data_dir, limit=2)
    summary, asked = evaluate(other, tmp_path / "out", overwrite=True)
    assert sorted(asked) == ["r0", "r1"]
    assert summary["benchmarks"]["small"]["n"] == 2


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_left_alone(tmp_path, settings, overwrite):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(errors.UserError, match="out"):
        evaluate(settings, tmp_path / "out", overwrite=overwrite)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_an_image_that_does_not_decode_leaves_nothing_behind(tmp_path, data_dir, settings):
    path = data_dir / "r5.png"
    path.write_bytes(path.read_bytes()[:60])
    engine = Scripted()
    with pytest.raises(errors.UserError, match=r"r5\.png"):
        evaluate(settings, tmp_path / "out", engine)
    assert engine.requests == []
    assert not (tmp_path / "out").exists()


def test_the_prompt_is_the_rows_own(tmp_path, settings, data_dir):
    engine = Scripted()
    evaluate(settings, tmp_path / "out", engine)
    request = next(r for r in engine.requests if r.id == "r0")
    assert request.messages[0]["content"] == [
        {"type": "image", "image": str(data_dir / "r0.png")},
        {"type": "text", "text": "Question r0 <b>?</b>"},
    ]
    assert request.sampling == protocol.SamplingParams(max_new_tokens=8)


def test_blind_and_think_change_the_prompt(tmp_path, data_dir):
    engine = Scripted()
    evaluate(make_settings(data_dir, blind=True, prompt="think"), tmp_path / "out", engine)
    request = next(r for r in engine.requests if r.id == "r1")
    image, text = request.messages[0]["content"]
    assert image["image"].size == (59, 40)
    assert image["image"].getcolors() == [(59 * 40, (128, 128, 128))]
    assert text["text"].endswith("?</b>\n" + prompts.ANSWER_FORMAT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"limit": 0}, "--limit"),
        ({"prompt": "loud"}, "--prompt"),
        ({"benchmarks": "large"}, "unknown benchmark 'large'"),
        ({"data_dir": "nowhere", "benchmarks": "vqa_rad"}, "nowhere"),
    ],
)
def test_bad_settings_are_named_and_leave_nothing(tmp_path, data_dir, changes, message):
    with pytest.raises(errors.UserError, match=message):
        evaluate(make_settings(data_dir, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()
