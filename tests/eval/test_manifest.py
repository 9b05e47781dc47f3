# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What manifest.json says, and what it must never say."""

import hashlib
import importlib.metadata
import json
import pathlib
import subprocess
import sys
from typing import Any

import huggingface_hub
import pytest

from lingshu_jax.common import errors
from lingshu_jax.engines import ledger, openai_options, registry
from lingshu_jax.eval import answering, files, manifest, question_formats, runner
from lingshu_jax.eval.benchmarks import rows, vqa_rad
from tests.eval import scripted
from tests.eval.benchmarks import fixtures
from tests.eval.scripted import Killed, Scripted

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB_FILE = "data/test-00000-of-00001-abc.parquet"
QUESTIONS = [("is it clear?", "yes"), ("what is shown?", "a lung")]


@pytest.fixture
def settings(tmp_path: pathlib.Path) -> runner.Settings:
    return scripted.make_settings(scripted.write_data(tmp_path / "data"), prompt="think")


def read(out: pathlib.Path) -> dict[str, Any]:
    return json.loads((out / manifest.NAME).read_text())


def write_hub_copy(folder: pathlib.Path) -> pathlib.Path:
    """VQA-RAD as the hub has it."""
    found = [
        {"image": {"bytes": fixtures.picture(number), "path": None}, "question": q, "answer": a}
        for number, (q, a) in enumerate(QUESTIONS)
    ]
    fixtures.write_parquet(folder / HUB_FILE, found)
    return folder


def test_an_evaluation_says_what_it_was_made_with(
    tmp_path: pathlib.Path, settings: runner.Settings
) -> None:
    out = tmp_path / "out"
    options = registry.Options(rows=4, dtype="float32")
    runner.evaluate(settings, out, Scripted, options=options)
    found = read(out)
    file = settings.data_dir + "/small.jsonl"
    (described,) = found["benchmarks"].values()
    assert described["files"] == [
        {
            "name": "small.jsonl",
            "bytes": pathlib.Path(file).stat().st_size,
            "sha256": hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest(),
        }
    ]
    pictures = [path.stat().st_size for path in pathlib.Path(settings.data_dir).glob("*.png")]
    assert described["pictures"] == {"count": 6, "bytes": sum(pictures)}
    assert described["rows"] == 6
    assert found["prompts"]["form"] == "think"
    assert found["prompts"]["version"] == question_formats.VERSION
    assert len(found["prompts"]["sha256"]["small"]) == 64
    assert found["sampling"]["temperature"] == 0 and found["sampling"]["seed"] == 0
    (session,) = found["sessions"]
    assert session["engine"] == {"rows": 4, "dtype": "float32", "max_images": 16}
    assert session["software"]["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert session["software"]["python"].startswith("3.")
    assert session["hardware"]["cpus"] >= 1
    assert found["scored_with"] == session["software"]


def test_every_process_that_answered_is_noted_once(
    tmp_path: pathlib.Path, settings: runner.Settings
) -> None:
    out = tmp_path / "out"
    for index, dies_after in ((0, 1), (0, 1), (1, None), (0, None)):
        part = answering.Part(index=index, count=2)
        engine = Scripted(dies_after=dies_after)
        try:
            runner.evaluate_part(settings, out, lambda e=engine: e, part=part)
        except Killed:
            pass
    assert [session["part"] for session in read(out)["sessions"]] == ["0-of-2", "1-of-2"]


def test_nothing_is_told_of_the_machine_and_of_keys(
    tmp_path: pathlib.Path, settings: runner.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home" / "someone"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-very-secret-key")
    server = openai_options.Options(
        base_url="http://localhost:1/v1",
        cache_folder=home / "cache",
        ledger_file=home / "ledger.jsonl",
        terms=ledger.Terms(price_in=1.0, price_out=2.0),
    )
    options = registry.Options(vllm_python=str(home / "bin" / "python"), server=server)
    changed = scripted.make_settings(
        settings.data_dir, model=f"{home}/models/org/name", engine="openai"
    )
    out = tmp_path / "out"
    runner.evaluate(changed, out, Scripted, options=options)
    text = (out / manifest.NAME).read_text()
    for secret in (str(tmp_path), str(home), "someone", "sk-a-very", settings.data_dir):
        assert secret not in text, secret
    assert read(out)["model"]["name"] == "org/name"
    (session,) = read(out)["sessions"]
    assert session["engine"]["prices"] == {"in": 1.0, "out": 2.0}


def test_the_version_of_vllm_in_its_own_environment_is_asked() -> None:
    options = registry.Options(vllm_python=sys.executable)
    assert "vllm" not in manifest.session("vllm", options, "")["engine"]  # it has none
    broken = registry.Options(vllm_python="no-such-python")
    assert "vllm" not in manifest.session("vllm", broken, "")["engine"]


def test_a_checkout_has_a_commit(repo: pathlib.Path) -> None:
    done = subprocess.run(
        ["git", "-C", str(repo), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    known = manifest.software()["lingshu_jax"]
    assert known["commit"] == (done.stdout.strip() or None)


def test_a_benchmark_from_the_hub_without_a_data_folder(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pictures are in memory, its commit is the one that was fetched."""
    snapshot = write_hub_copy(tmp_path / "hub" / "snapshots" / COMMIT)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(snapshot))
    out, engine = tmp_path / "out", Scripted()
    for row_id, said in (("0", "yes"), ("1", "the lung")):
        monkeypatch.setitem(scripted.RESPONSES, row_id, said)
    settings = scripted.make_settings("", benchmarks="vqa_rad")
    summary = runner.evaluate(settings, out, lambda: engine)
    pictures = {r.id: r.messages[0]["content"][0]["image"] for r in engine.requests}
    assert pictures == {str(i): fixtures.picture(i) for i in range(2)}
    assert summary["remarks"][0] == "vqa_rad has 2 rows here, 451 as published"
    assert summary["settings"]["data_dir"] == ""
    described = read(out)["benchmarks"]["vqa_rad"]
    assert described["repository"] == vqa_rad.CARD.repository
    assert described["commits"] == [COMMIT]
    assert [file["name"] for file in described["files"]] == [HUB_FILE]
    assert described["pictures"]["bytes"] == sum(len(fixtures.picture(i)) for i in range(2))
    assert (out / "report.html").read_text().count("data:image/") >= 2


def test_the_commit_of_a_folder_that_the_hubs_command_filled(tmp_path: pathlib.Path) -> None:
    folder = write_hub_copy(tmp_path / "vqa_rad")
    item = vqa_rad.VqaRad()
    assert manifest.describe_data(item, tmp_path, [])["commits"] == []
    note = folder / ".cache" / "huggingface" / "download" / f"{HUB_FILE}.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{COMMIT}\netag\n1700000000.0\n")
    assert manifest.describe_data(item, tmp_path, [])["commits"] == [COMMIT]
    note.write_text("nonsense")
    assert manifest.describe_data(item, tmp_path, [])["commits"] == []


def test_very_large_files_are_not_hashed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set.jsonl").write_text("{}\n")
    item = rows.Rows("set", "set.jsonl")
    monkeypatch.setattr(manifest, "LARGEST_HASHED", 2)
    (described,) = manifest.describe_data(item, tmp_path, [])["files"]
    assert described == {"name": "set.jsonl", "bytes": 3, "sha256": None}


def test_a_damaged_manifest_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / manifest.NAME).write_text("{")
    with pytest.raises(errors.UserError, match=r"manifest\.json is damaged"):
        manifest.note_session(tmp_path, {"began": ""})


def test_remarks_are_told_once(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "remarks", lambda *_: ["small is odd"])
    settings = scripted.make_settings(scripted.write_data(tmp_path / "data"))
    summary = runner.evaluate(settings, tmp_path / "out", Scripted)
    assert summary["remarks"] == ["small is odd"]
    assert runner.evaluate(settings, tmp_path / "out", Scripted) == summary
    assert [record.getMessage() for record in caplog.records].count("small is odd") == 1
