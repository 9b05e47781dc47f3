# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import socket
import sys

import pytest
from absl import flags

from data_tools import review
from data_tools.reviewing import decisions, items
from lingshu_jax.common import errors
from tests.data_tools.reviewing import small_review


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_review.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def run(monkeypatch):
    """The command with these flags, in this process."""
    values = flags.FlagValues()

    def call(*given):
        with monkeypatch.context() as patch:
            patch.setattr(flags, "FLAGS", values)
            values(["review", *given])
            review.main(["review"])

    monkeypatch.setattr(flags, "FLAGS", values)
    for name in ("DEFINE_string", "DEFINE_integer"):
        define = getattr(flags, name)
        monkeypatch.setattr(flags, name, lambda *a, f=define: f(*a, flag_values=values))
    review.define_flags()
    return call


def test_an_export_tells_what_became_of_the_rows(run, folder, tmp_path, capsys):
    data = items.read(folder)
    key = small_review.find(data, 7).key
    store = decisions.Store(tmp_path / "said")
    store.add(store.enter("Ann"), "1" * 32, {"item": key, "verdict": "approve"})
    store.close()
    run(f"--data={folder}", f"--decisions={tmp_path}/said", f"--export={tmp_path}/out")
    told = capsys.readouterr().out
    assert f"{tmp_path}/out: 1 of 11 rows, 0 preferences" in told
    assert "left out, not decided: 10" in told
    assert (tmp_path / "out" / "reviewed.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "--data is required"),
        (("--data=s3://bucket/rows",), "--data must be on this machine"),
        (("--data=FOLDER", "--overlap=-1"), "--overlap must be >= 0, got -1"),
        (("--data=FOLDER", "--image_root=FOLDER/none"), "no such folder"),
        (("--data=FOLDER", "--export=FOLDER/x"), "nobody has reviewed"),
        (("--data=FOLDER", "--port=70000"), "--port must be 0 to 65535"),
    ],
)
def test_wrong_flags_are_the_users_error(run, folder, given, said):
    with pytest.raises(errors.UserError, match=said):
        run(*(text.replace("FOLDER", str(folder)) for text in given))


def test_a_missing_extra_is_named(run, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "lingshu_jax.common.web", raising=False)
    monkeypatch.delattr("lingshu_jax.common.web", raising=False)
    with pytest.raises(
        errors.UserError, match=r"uvicorn is missing: pip install 'lingshu-jax\[web"
    ):
        run(f"--data={folder}", f"--decisions={tmp_path}/d")


def test_the_port_of_last_time_is_taken_if_it_is_free(capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        assert review._port("127.0.0.1", taken) not in (0, taken)
        assert "is taken" in capsys.readouterr().out
    assert review._port("127.0.0.1", taken) == taken
