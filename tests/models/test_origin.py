# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a model is called in public."""

import pathlib

import pytest

from lingshu_jax.models import origin

COMMIT = "0123456789abcdef0123456789abcdef01234567"
QWEN = "Qwen/Qwen2.5-VL-7B-Instruct"
ALICE, MAC = "/home" + "/alice", "/Users" + "/alice"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (QWEN, (QWEN, QWEN, None)),
        ("/data/models/Qwen2.5-VL-7B-Instruct", (QWEN, QWEN, None)),
        (f"{QWEN}@v1.0", (QWEN, QWEN, "v1.0")),
        ("some-org/some.model@main", ("some-org/some.model", "some-org/some.model", "main")),
        (
            f"{ALICE}/.cache/huggingface/hub/models--some-org--a--b/snapshots/{COMMIT}",
            ("some-org/a--b", "some-org/a--b", COMMIT),
        ),
        ("models/Lingshu-32B", (f"lingshu-medical-mllm/{'Lingshu-32B'}",) * 2 + (None,)),
        ("/data/models/mine", ("models/mine", None, None)),
        ("Qwen2.5-VL-7B-Instruct-mine", ("Qwen2.5-VL-7B-Instruct-mine", None, None)),
    ],
)
def test_names(model: str, expected: tuple[str, str | None, str | None]) -> None:
    assert origin.identify(model) == expected
    assert origin.identify(pathlib.Path(model)) == expected


def test_the_commit_of_a_download_is_read(tmp_path: pathlib.Path) -> None:
    """`hf download --local-dir` leaves commit, etag and time, a line each."""
    folder = tmp_path / "Qwen2.5-VL-7B-Instruct"
    notes = folder / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    (notes / "config.json.metadata").write_text(f"{COMMIT}\nabc\n1700000000.0\n")
    assert origin.identify(folder) == (QWEN, QWEN, COMMIT)
    (notes / "config.json.metadata").write_text("something else\n")
    assert origin.identify(folder).revision is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/runs/stage1", "runs/stage1"),
        ("runs/stage1", "runs/stage1"),
        ("stage1", "stage1"),
        (f"{ALICE}/stage1", "stage1"),
        (ALICE, "unnamed"),
        (f"{MAC}/runs/stage1", "runs/stage1"),
        ("../runs", "runs"),
        ("/", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_public_names(path: str, expected: str) -> None:
    assert origin.public_name(path) == expected


def test_the_own_home_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Wherever homes lie on this machine."""
    monkeypatch.setenv("HOME", str(tmp_path / "alice"))
    assert origin.public_name(tmp_path / "alice" / "run") == "run"
    monkeypatch.setenv("HOME", str(tmp_path / "bob"))
    assert origin.public_name(tmp_path / "alice" / "run") == "alice/run"
