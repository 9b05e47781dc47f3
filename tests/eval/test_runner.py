# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Runs with a scripted generator, which stands for a remote one."""

import io
import json

import pytest
from PIL import Image

from lingshu_jax.common import errors, paths, prompts
from lingshu_jax.engines import protocol
from lingshu_jax.eval import answering, folder, question_formats, runner
from tests import s3_server
from tests.eval import scripted
from tests.eval.scripted import RESPONSES, Killed, Scripted, make_settings


@pytest.fixture
def data_dir(tmp_path):
    """A folder with one rows benchmark, `small`, whose pictures differ in size."""
    return scripted.write_data(tmp_path / "data")


@pytest.fixture
def settings(data_dir):
    return make_settings(data_dir)


def evaluate(settings, output_dir, engine=None, **kwargs):
    engine = engine or Scripted()
    summary = runner.evaluate(settings, output_dir, lambda: engine, **kwargs)
    return summary, engine.asked


def read_rows(output_dir):
    return folder.read_samples(output_dir / "small")


def test_an_evaluation_writes_its_files(tmp_path, settings):
    out = tmp_path / "out"
    summary, _ = evaluate(settings, out)
    assert {path.name for path in out.iterdir()} == {
        *("COMMIT", "settings.json", "manifest.json", "summary.json", "report.html", "small"),
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


@pytest.mark.parametrize(
    "tear", [b'{"row": "r', b'{"row": "r0", "answer": {"response": "x"}}', b"\xff\xfe"]
)
def test_a_torn_last_line_is_generated_again(tmp_path, settings, tear):
    out = tmp_path / "out"
    engine = Scripted(dies_after=2)
    with pytest.raises(Killed):
        evaluate(settings, out, engine)
    partial = folder.generations_file(out / "small", "")
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
    monkeypatch.setattr(answering, "WINDOW", 4)
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


def test_shards_of_two_machines_in_a_store_are_scored_by_a_later_command(
    tmp_path, bucket, data_dir, monkeypatch
):
    """Each machine has a mirror of its own, and does not see what the other writes meanwhile."""
    settings, place = make_settings(data_dir), f"{bucket}/run/evaluation"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    with paths.opened(place) as first:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
        with paths.opened(place) as second:
            part = answering.Part(index=1, count=2)
            assert runner.evaluate_part(settings, second, Scripted, part=part) is None
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
        part = answering.Part(index=0, count=2)
        assert runner.evaluate_part(settings, first, Scripted, part=part) is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "third"))
    with paths.opened(place) as third:
        _, asked = evaluate(settings, third)
        assert asked == []
        assert [row["response"] for row in read_rows(third)] == list(RESPONSES.values())
    left = [path.name for path in paths.fetched(f"{place}/small").iterdir()]
    assert sorted(left) == ["COMMIT", "samples.jsonl", "summary.json"]


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
    [
        ("max_new_tokens", 9),
        ("blind", True),
        ("limit", 2),
        ("model", "n"),
        ("prompt", "think"),
        ("seed", 1),
    ],
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


def truncate(path, size=60):
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize("size", [0, 60], ids=["no header", "half of its pixels"])
def test_a_picture_that_does_not_decode_costs_its_question_alone(
    tmp_path, data_dir, settings, size, capfd
):
    """It is named, whenever it shows, and every other question is answered before the end."""
    out, engine = tmp_path / "out", Scripted()
    truncate(data_dir / "r3.png", size)
    with pytest.raises(errors.UserError, match=r"1 of 6 questions of small .* 'r3': .*r3\.png"):
        evaluate(settings, out, engine)
    assert "question 'r3' has no answer: " in capfd.readouterr().err
    assert not folder.is_complete(out) and not folder.is_complete(out / "small")
    assert {*engine.asked} - {"r3"} == {*RESPONSES} - {"r3"}
    Image.new("RGB", (10, 10)).save(data_dir / "r3.png")
    _, asked = evaluate(settings, out)
    assert asked == ["r3"]
    assert [row["response"] for row in read_rows(out)] == list(RESPONSES.values())


def test_a_picture_that_changed_after_its_answer_is_noticed(tmp_path, data_dir, settings):
    with pytest.raises(errors.UserError, match="got no answer"):
        evaluate(settings, tmp_path / "out", Scripted(fails=("r0",)))
    Image.new("RGB", (10, 10)).save(data_dir / "r3.png")
    with pytest.raises(errors.UserError, match="'r3' of small was answered with other pictures"):
        evaluate(settings, tmp_path / "out")


def test_questions_without_an_answer_can_be_scored_as_empty(tmp_path, data_dir, settings):
    truncate(data_dir / "r3.png")
    out, engine = tmp_path / "out", Scripted(fails=("r0",))
    part = answering.Part(score_failed=True)
    summary = runner.evaluate_part(settings, out, lambda: engine, part=part)
    assert summary["remarks"] == ["small: 2 without an answer are scored as empty: r0, r3"]
    rows = {row["id"]: row for row in read_rows(out)}
    assert len(rows) == 6
    for name in ("r0", "r3"):
        row = rows[name]
        assert (row["response"], row["finish_reason"]) == ("", answering.FAILED)
        assert (row["strict"]["status"], row["strict"]["correct"]) == ("empty", False)
    usage = summary["benchmarks"]["small"]["usage"]
    assert (usage["answers"], usage["failed"], usage["cached"]) == (6, 2, 0)
    assert "r3" in (out / "report.html").read_text()


def test_a_benchmark_without_all_answers_keeps_no_other_from_its_end(tmp_path, data_dir):
    (data_dir / "other.jsonl").write_text((data_dir / "small.jsonl").read_text())
    out, settings = tmp_path / "out", make_settings(data_dir, benchmarks="other,small", limit=2)

    class FailsFirst(Scripted):
        def generate(self, requests, *, on_result):
            self._fails = ("r1",) if not self.requests else ()
            return super().generate(requests, on_result=on_result)

    with pytest.raises(errors.UserError, match="1 of 2 questions of other .* 'r1'"):
        evaluate(settings, out, FailsFirst())
    assert folder.is_complete(out / "small") and not folder.is_complete(out / "other")
    summary, asked = evaluate(settings, out)
    assert asked == ["r1"] and set(summary["benchmarks"]) == {"other", "small"}


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
    with Image.open(io.BytesIO(image["image"])) as grey:
        assert grey.size == (59, 40)
        assert grey.convert("RGB").getcolors() == [(59 * 40, (128, 128, 128))]
    assert text["text"].endswith("?</b>\n" + prompts.ANSWER_FORMAT)


def test_boxed_replaces_the_tail(tmp_path, data_dir):
    tail = question_formats.TAILS["open", "en"]
    path = data_dir / "small.jsonl"
    path.write_text(path.read_text().replace("r5 <b>?</b>", f"r5?\\n{tail}"))
    engine = Scripted()
    settings = make_settings(data_dir, prompt="boxed")
    summary, _ = evaluate(settings, tmp_path / "out", engine)
    texts = {r.id: r.messages[0]["content"][-1]["text"] for r in engine.requests}
    assert texts["r5"] == f"Question r5?\n{question_formats.BOXED_TAILS['open', 'en']}"
    assert texts["r0"] == "Question r0 <b>?</b>"
    (remark,) = summary["remarks"]
    assert remark.startswith("small has 5 prompts without a tail that --prompt=boxed replaces")


def test_sampling_is_as_set_and_every_question_has_a_seed_of_its_own(tmp_path, data_dir):
    changes = {"temperature": 0.5, "top_p": 0.9, "top_k": 7, "repetition_penalty": 1.1, "seed": 40}
    engine = Scripted()
    evaluate(make_settings(data_dir, **changes), tmp_path / "out", engine)
    for request in engine.requests:
        seed = 40 + int(request.id[1:])
        assert request.sampling == protocol.SamplingParams(
            max_new_tokens=8, **{**changes, "seed": seed}
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"limit": 0}, "--limit"),
        ({"prompt": "loud"}, "--prompt must be one of direct, think, boxed, got 'loud'"),
        ({"temperature": -1.0}, "temperature must be >= 0"),
        ({"benchmarks": "large"}, "unknown benchmark 'large'"),
        ({"data_dir": "nowhere", "benchmarks": "vqa_rad"}, "nowhere"),
    ],
)
def test_bad_settings_are_named_and_leave_nothing(tmp_path, data_dir, changes, message):
    with pytest.raises(errors.UserError, match=message):
        evaluate(make_settings(data_dir, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()
