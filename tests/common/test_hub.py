# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A model by folder or hub id: fetched with resume, found offline, or one line that helps.

huggingface_hub reads HF_* when it is imported, so what depends on them runs in a process.
"""

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping

import huggingface_hub
import pytest
from huggingface_hub import errors as hub_errors

from lingshu_jax.common import errors, hub
from tests import hub_server

WEIGHTS = "model-00002-of-00002.safetensors"
FILES = {
    "config.json": b"{}",
    "model-00001-of-00002.safetensors": bytes(range(256)) * 400,
    WEIGHTS: bytes(range(255, -1, -1)) * 500,
    "merges.txt": b"a b",
    "chat_template.jinja": b"{{ messages }}",
    "LICENSE": b"free",
    "pytorch_model.bin": b"pickle",
    "modeling_own.py": b"import os",
    "optimizer.pt": b"pickle",
    "checkpoint-500/model.safetensors": b"an earlier one",
}
WANTED = set(FILES) - {
    "pytorch_model.bin",
    "modeling_own.py",
    "optimizer.pt",
    "checkpoint-500/model.safetensors",
}
ID = hub_server.REPO
SECRET = "hf_aSecretThatNobodyMaySee"
ONE = """
import sys
from lingshu_jax.common import errors, hub
try:
    print(hub.resolve(sys.argv[1]))
except errors.UserError as error:
    print(f"error: {error}")
"""


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that asks the hub for anything fails."""

    def refuse(*_: object, **__: object) -> str:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)


@pytest.fixture
def server() -> Iterator[hub_server.Server]:
    yield from hub_server.run(FILES)


def resolve(name: str, cache: pathlib.Path, **variables: str) -> str:
    """What `hub.resolve` gives in a process of its own; nothing secret may be printed."""
    environment = {
        **os.environ,
        "HF_HOME": str(cache),
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": SECRET,
        "NO_PROXY": "127.0.0.1",
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", ONE, name],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=pathlib.Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert done.stdout.count("\n") == 1, done.stdout
    return done.stdout.strip()


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def fake_cache(home: pathlib.Path, refs: Mapping[str, str]) -> None:
    """The hub's cache as it is laid out on disk: refs name commits, commits hold files."""
    repository = home / "hub" / f"models--{ID.replace('/', '--')}"
    for ref, commit in refs.items():
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / ref).write_text(commit)
        (repository / "snapshots" / commit).mkdir(parents=True)
        (repository / "snapshots" / commit / "config.json").write_text(ref)


def test_a_folder_is_returned_as_it_is(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, no_hub: None
) -> None:
    assert hub.resolve(str(tmp_path)) == tmp_path
    # A folder wins over an id of the same spelling; nothing is asked of the hub.
    (tmp_path / "some-org" / "model@v1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hub.resolve("some-org/model@v1") == pathlib.Path("some-org/model@v1")


@pytest.mark.parametrize(
    ("name", "repo", "revision"),
    [
        ("Qwen/Qwen2.5-VL-3B-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct", None),
        ("a/b@refs/pr/3", "a/b", "refs/pr/3"),
        ("a/b@v1.0", "a/b", "v1.0"),
    ],
)
def test_an_id_is_taken_apart(
    name: str, repo: str, revision: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(repo_id: str, **options: object) -> str:
        asked.append((repo_id, options["revision"]))
        return "where/it/lies"

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub.resolve(name) == pathlib.Path("where/it/lies")
    assert asked == [(repo, revision)]


@pytest.mark.parametrize(
    "name",
    ["", "nowhere", "/no/such", "./a/b", "../a", "a/b/c", "a/b@", "a/b@../c", "a--b/c", "a/b c"],
)
def test_neither_folder_nor_id(name: str, no_hub: None) -> None:
    with pytest.raises(errors.UserError) as raised:
        hub.resolve(name, "--model")
    assert str(raised.value) == (
        f"--model={name} is no folder, and it is no hub id, which is written org/name or "
        "org/name@revision"
    )


def test_a_file_is_named_as_one(tmp_path: pathlib.Path) -> None:
    (tmp_path / "model.safetensors").write_text("")
    with pytest.raises(errors.UserError, match="is a file, not a folder"):
        hub.resolve(str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (hub_errors.HTTPError("https://x/?Signature=" + SECRET), "HTTPError; the same command"),
        (RuntimeError("https://x/?Signature=" + SECRET), "could not be fetched: RuntimeError"),
    ],
    ids=["disk", "network", "transfer"],
)
def test_other_failures_are_one_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(errors.UserError, match=line) as raised:
        hub.resolve(ID)
    assert SECRET not in str(raised.value)


def test_offline_one_line_says_which_folder_to_give() -> None:
    with pytest.raises(errors.UserError) as raised:
        hub.resolve(f"{ID}@v1")
    line = str(raised.value)
    assert line.startswith(f"{ID}@v1 is no folder") and "\n" not in line
    for part in ("--hf=DIR", "config.json", "tokenizer", "*.safetensors"):
        assert part in line
    assert f"`hf download {ID} --revision v1 --local-dir DIR`" in line


def test_no_connection_is_said_as_offline(tmp_path: pathlib.Path) -> None:
    line = resolve(ID, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert line.startswith(f"error: {ID} is no folder") and "--hf=DIR" in line


def test_the_cache_is_found_offline_by_revision(tmp_path: pathlib.Path) -> None:
    commits = {"main": "a" * 40, "v1": "b" * 40}
    fake_cache(tmp_path, commits)
    for name, commit in ((ID, "a"), (f"{ID}@v1", "b"), (f"{ID}@{'b' * 40}", "b")):
        folder = pathlib.Path(resolve(name, tmp_path, HF_HUB_OFFLINE="1"))
        assert folder.name == commit * 40, name
        assert (folder / "config.json").read_text() in commits
    assert resolve(f"{ID}@v2", tmp_path, HF_HUB_OFFLINE="1").startswith(f"error: {ID}@v2")


def test_weights_and_texts_are_fetched_never_code_or_pickles(
    server: hub_server.Server, tmp_path: pathlib.Path
) -> None:
    folder = pathlib.Path(resolve(f"{ID}@{hub_server.TAG}", tmp_path, HF_ENDPOINT=server.url))
    assert contents(folder) == {name: FILES[name] for name in WANTED}
    assert all(server.authorized), "the user's token reaches the hub"
    again = resolve(f"{ID}@{hub_server.TAG}", tmp_path, HF_HUB_OFFLINE="1")
    assert pathlib.Path(again) == folder


def test_a_file_that_broke_off_goes_on_where_it_stopped(
    server: hub_server.Server, tmp_path: pathlib.Path
) -> None:
    # huggingface_hub writes in pieces of 10 MiB: a shorter file would begin again.
    large = bytes(range(256)) * (24 * 2**20 // 256)
    server.files, server.break_off = {WEIGHTS: large}, {WEIGHTS}
    folder = pathlib.Path(resolve(ID, tmp_path, HF_ENDPOINT=server.url))
    assert server.ranges(WEIGHTS) == ["", f"bytes={10 * 2**20}-"]
    assert (folder / WEIGHTS).read_bytes() == large


def test_a_second_call_fetches_only_what_is_missing(
    server: hub_server.Server, tmp_path: pathlib.Path
) -> None:
    server.broken = {WEIGHTS}
    line = resolve(ID, tmp_path, HF_ENDPOINT=server.url)
    assert line == f"error: {ID} could not be fetched: the hub answered with status 500"
    offline = resolve(ID, tmp_path, HF_HUB_OFFLINE="1")
    assert offline.startswith("error: "), "half a model is no model"
    done = {name for method, name, _ in server.requests if method == "GET"} - {WEIGHTS}
    assert "model-00001-of-00002.safetensors" in done
    server.requests.clear()
    server.broken = set()
    folder = pathlib.Path(resolve(ID, tmp_path, HF_ENDPOINT=server.url))
    fetched = {name for method, name, _ in server.requests if method == "GET"}
    assert fetched == WANTED - done
    assert contents(folder) == {name: FILES[name] for name in WANTED}


@pytest.mark.parametrize(
    ("name", "refusal", "line"),
    [
        (f"{ID}@v9", None, f"{ID} has no revision 'v9' on the hub"),
        (
            "some-org/none",
            None,
            "--hf=some-org/none is no folder, and the hub shows no repository of that name; "
            "if it is private, `hf auth login` gives this machine your access",
        ),
        (
            ID,
            hub_server.Refusal(403, "GatedRepo"),
            f"{ID} is gated: accept its terms at the hub; `hf auth login` gives this machine "
            "your access",
        ),
        (
            ID,
            hub_server.Refusal(403),
            f"{ID} could not be fetched: the hub answered with status 403",
        ),
    ],
    ids=["revision", "repository", "gated", "status"],
)
def test_what_the_hub_refuses_is_one_line(
    name: str,
    refusal: hub_server.Refusal | None,
    line: str,
    server: hub_server.Server,
    tmp_path: pathlib.Path,
) -> None:
    server.refusal = refusal
    assert resolve(name, tmp_path, HF_ENDPOINT=server.url) == f"error: {line}"
