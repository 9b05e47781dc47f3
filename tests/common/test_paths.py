# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Paths in an object store: mirrors, checkpoints and data against an S3 on this machine."""

import importlib.util
import pathlib
import time
from collections.abc import Iterator

import numpy as np
import pytest

from lingshu_jax.common import checkpoints, errors, hub, paths, streamed
from lingshu_jax.data import images, sources
from lingshu_jax.stages import watchdog
from tests import s3_server, small


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from s3_server.run(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("text", ["runs/s3", "/data/gs", "s3:/one", "https://host/x", "."])
def test_other_paths_stay_as_they_are(text: str) -> None:
    assert paths.local(text) == pathlib.Path(text)
    assert paths.remote(paths.local(text)) is None
    assert paths.fetched(text) == pathlib.Path(text)


@pytest.mark.parametrize("address", ["s3://bucket", "s3://bucket/a/b c", "gs://other/1/x.json"])
def test_an_address_and_its_mirror(address: str) -> None:
    folder = paths.local(address)
    assert str(paths.remote(folder)) == str(paths.real(folder)) == address
    assert str(paths.remote(folder / "more")) == f"{address}/more"
    assert paths.local(f"{address}/") == folder


@pytest.mark.parametrize("address", ["s3://", "gs:///", "s3://bucket/../other", "s3://bucket/./x"])
def test_addresses_that_name_nothing(address: str) -> None:
    with pytest.raises(errors.UserError, match="://BUCKET/KEY"):
        paths.local(address)


def test_a_mirror_behind_a_link(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "disk")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert str(paths.remote(paths.local("s3://bucket/x").resolve())) == "s3://bucket/x"


def test_names_that_start_from_a_root() -> None:
    assert paths.under("/data", "rows.jsonl") == pathlib.Path("/data/rows.jsonl")
    assert paths.under("/data", "/rows.jsonl") == pathlib.Path("/rows.jsonl")
    for root, name in (("s3://b/data", "x"), ("/data", "s3://b/data/x")):
        assert str(paths.remote(paths.under(root, name))) == "s3://b/data/x"


def test_a_text_that_names_mirrors() -> None:
    address = "s3://bucket/run"
    text = f'{{"init_from": "{paths.local(address)}", "root": "/data/s3"}}'
    assert paths.with_addresses(text) == f'{{"init_from": "{address}", "root": "/data/s3"}}'


def test_a_whole_file_replaces_the_old_one_at_the_end(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), paths.whole_file(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    with paths.whole_file(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new" and [*tmp_path.iterdir()] == [path]


def test_what_was_half_made_goes(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ZeroDivisionError), paths.whole_folder(tmp_path / "a") as partial:
        (partial / "x").write_text("half")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), paths.whole_file(tmp_path / "b") as half:
        half.write_text("half")
        raise ZeroDivisionError
    assert not [*tmp_path.iterdir()]


def test_the_order_of_sending(tmp_path: pathlib.Path) -> None:
    """Of a folder half sent, no part says that it is whole; an evaluation says what it is."""
    names = (
        *("evaluation/settings.json", "evaluation/vqa/samples.jsonl", "export/model.safetensors"),
        *("zoo/params.txt", "config.json", "export/config.json"),
        *("evaluation/vqa/COMMIT", "evaluation/COMMIT", "stage/finished.json", "finished.json"),
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    ordered = sorted(paths._local_files(tmp_path), key=paths._turn)
    turns = {path.relative_to(tmp_path).as_posix(): turn for turn, path in enumerate(ordered)}
    assert turns["evaluation/settings.json"] == 0
    markers = ["evaluation/vqa/COMMIT", "evaluation/COMMIT", "stage/finished.json", "finished.json"]
    assert [turns[name] for name in markers] == [6, 7, 8, 9]
    assert {turns["config.json"], turns["export/config.json"]} == {4, 5}


def test_how_tensorstore_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    assert paths.tensorstore_spec("/a/b") == {"driver": "file", "path": "/a/b/"}
    assert paths.tensorstore_spec("gs://x/y/z") == {"driver": "gcs", "bucket": "x", "path": "y/z/"}
    assert paths.tensorstore_spec("s3://x/y") == {"driver": "s3", "bucket": "x", "path": "y/"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert paths.tensorstore_spec("s3://x/y")["endpoint"] == "http://127.0.0.1:9000"


def test_a_folder_goes_there_and_comes_back(bucket: str) -> None:
    folder, files = paths.local(f"{bucket}/run"), s3_server.store()
    for name in ("metrics.jsonl", "tensorboard/events", "finished.json", "encoded/rows"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "config.json.partial").write_text("half")
    paths.push(folder)
    sent = ["finished.json", "metrics.jsonl", "tensorboard/events"]
    assert files.find(f"{bucket}/run") == [f"bucket/run/{name}" for name in sent]
    # Another machine has gone on meanwhile, and a file of a run beside it is not ours.
    files.pipe(f"{bucket}/run/metrics.jsonl", b"two rows")
    files.rm(f"{bucket}/run/finished.json")
    files.pipe(f"{bucket}/run2/other", b"")
    paths.fetch(folder)
    assert (folder / "metrics.jsonl").read_text() == "two rows"
    assert (folder / "tensorboard/events").read_text() == "tensorboard/events"
    assert not (folder / "finished.json").exists() and not (folder / "other").exists()
    assert (folder / "encoded/rows").exists(), "what is never sent stays"


def test_only_what_changed_is_sent(bucket: str) -> None:
    folder, files = paths.local(f"{bucket}/changes"), s3_server.store()
    folder.mkdir(parents=True)
    (folder / "a").write_text("1")
    paths.push(folder)
    files.pipe(f"{bucket}/changes/a", b"of another hand")
    paths.push(folder)
    assert files.cat(f"{bucket}/changes/a") == b"of another hand"
    (folder / "a").write_text("12")
    paths.push(folder)
    assert files.cat(f"{bucket}/changes/a") == b"12"


def test_a_run_is_kept_in_the_store(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "PUSH_SECONDS", 0.05)
    files = s3_server.store()
    with pytest.raises(ZeroDivisionError), paths.opened(f"{bucket}/kept") as folder:
        folder.mkdir(parents=True)
        (folder / "metrics.jsonl").write_text("row")
        for _ in range(200):
            if files.exists(f"{bucket}/kept/metrics.jsonl"):
                break
            time.sleep(0.05)
        assert files.cat(f"{bucket}/kept/metrics.jsonl") == b"row"
        (folder / "last").write_text("x")
        paths.fetched(f"{bucket}/kept")
        assert (folder / "last").exists(), "what is written here is newer than the store"
        raise ZeroDivisionError
    assert files.exists(f"{bucket}/kept/last"), "sent however the run ends"


def test_a_store_out_of_reach_is_tried_again(
    bucket: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = paths.local(f"{bucket}/later")
    folder.mkdir(parents=True)
    (folder / "a").write_text("1")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        s3_server.forget()
        paths.try_push(folder)
    [told] = caplog.messages
    assert told.startswith(f"{bucket}/later: the store cannot be reached")
    s3_server.forget()
    paths.try_push(folder)
    assert s3_server.store().cat(f"{bucket}/later/a") == b"1" and caplog.messages == [told]


def test_a_removed_folder_is_gone_on_both_sides(bucket: str, tmp_path: pathlib.Path) -> None:
    files = s3_server.store()
    for name in ("removed", "removed2"):
        files.pipe(f"{bucket}/{name}/x", b"1")
    folder = paths.fetched(f"{bucket}/removed")
    assert (folder / "x").is_file()
    for _ in range(2):  # then there is none
        paths.remove(folder)
        assert not folder.exists() and not files.exists(f"{bucket}/removed")
    assert files.exists(f"{bucket}/removed2/x")
    (tmp_path / "local").mkdir()
    paths.remove(tmp_path / "local")
    assert not (tmp_path / "local").exists()


def test_damaged_steps_are_not_fetched(bucket: str) -> None:
    """Without the file by which a step is known, and with it."""
    files, run = s3_server.store(), f"{bucket}/damaged"
    for name in (
        *("checkpoints/9/params/d/x", "checkpoints/8.unreadable/params/d/x"),
        *("base_checkpoint/0/params/d/x", "other/7.unreadable/x", "other/7/_CHECKPOINT_METADATA"),
    ):
        files.pipe(f"{run}/{name}", b"large")
    kept = ("checkpoints/assets/config.json", "rollouts/9/rows.jsonl", "unreadable/x")
    for name in kept:
        files.pipe(f"{run}/{name}", b"{}")
    folder = paths.fetched(run)
    found = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.*"))]
    assert found == [*kept[:2]] and (folder / kept[2]).is_file()
    assert not [*folder.rglob("d")] and not (folder / "other").exists()
    files.pipe(f"{bucket}/checkpoints/3/hf/config.json", b"{}")
    assert (paths.fetched(f"{bucket}/checkpoints/3/hf") / "config.json").is_file()


def save(folder: checkpoints.Checkpoints, steps: range) -> dict[str, np.ndarray]:
    params = {"a": np.arange(12.0, dtype=np.float32).reshape(3, 4)}
    for step in steps:
        folder.save(step, {"a": params["a"] + step}, opt_state=None, meta={"step": step})
    folder.wait()
    return params


def test_checkpoints_in_a_store(bucket: str) -> None:
    path, files = paths.local(f"{bucket}/run3/checkpoints"), s3_server.store()
    saved = checkpoints.Checkpoints(path, keep=2)
    params = save(saved, range(1, 4))
    saved.close()
    assert not [*path.iterdir()], "arrays go past the mirror"
    # A save that was killed: no commit, so it is not seen, and the next run removes it.
    files.pipe(f"{bucket}/run3/checkpoints/9/params/d/x", b"half")
    files.pipe(f"{bucket}/run3/checkpoints/assets/config.json", b"{}")
    paths.fetch(path)
    again = checkpoints.Checkpoints(path, keep=2, clear_partial=True)
    assert again.steps() == [2, 3] and not files.exists(f"{bucket}/run3/checkpoints/9")
    restored = again.restore(params)
    assert np.array_equal(restored.params["a"], params["a"] + 3) and restored.meta == {"step": 3}
    assert files.exists(f"{bucket}/run3/checkpoints/assets/config.json")
    assert np.array_equal(again.stored_params(2)["a"][1:], params["a"][1:] + 2)
    again.set_aside(3)
    assert again.latest_step() == 2
    again.close()
    assert files.exists(f"{bucket}/run3/checkpoints/3.unreadable/meta/metadata")


def test_without_its_commit_a_step_is_not_there(bucket: str) -> None:
    """The twin of the test above."""
    path, files = paths.local(f"{bucket}/run4/checkpoints"), s3_server.store()
    saved = checkpoints.Checkpoints(path)
    save(saved, range(1, 3))
    saved.close()
    files.rm(f"{bucket}/run4/checkpoints/2/commit_success.txt")
    again = checkpoints.Checkpoints(path)
    assert again.latest_step() == 1
    again.close()
    assert not checkpoints.is_unused(path)
    files.rm(f"{bucket}/run4/checkpoints/1/commit_success.txt")
    assert checkpoints.is_unused(path)


class Leaf:
    """An array for `write_streamed`."""

    shape, dtype, is_stacked = (2, 3), np.dtype(np.float32), True

    def blocks(self) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        for layer in range(2):
            yield (layer,), np.full(3, layer, np.float32)


def test_a_streamed_step_in_a_store(bucket: str) -> None:
    leaf: streamed.StreamedLeaf = Leaf()
    saved = checkpoints.Checkpoints(paths.local(f"{bucket}/converted"))
    saved.write_streamed(0, {"x": leaf}, meta={"base": "b"})
    assert np.array_equal(saved.stored_params()["x"][...], [[0, 0, 0], [1, 1, 1]])
    assert saved.read_meta() == {"base": "b"}
    saved.close()
    found = paths.fetched(f"{bucket}/converted")
    assert not [*found.iterdir()], "steps are not copied"


def test_rows_and_images_in_a_store(bucket: str, tmp_path: pathlib.Path) -> None:
    rows, files = small.write_rows(tmp_path / "rows"), s3_server.store()
    for path in rows.iterdir():
        files.put_file(str(path), f"{bucket}/data/{path.name}")
    local, stored = (
        [*sources.stream(sources.Source(name="x", path="rows.jsonl", image_root="."), root)]
        for root in (rows, paths.local(f"{bucket}/data"))
    )
    assert len(local) == len(stored) == 12
    for ours, theirs in zip(stored, local, strict=True):
        assert isinstance(ours, sources.Example) and isinstance(theirs, sources.Example)
        for part, other in zip(
            ours.messages[0]["content"], theirs.messages[0]["content"], strict=True
        ):
            if part["type"] == "image":
                pixels = [np.asarray(images.open_image(p["image"])) for p in (part, other)]
                assert np.array_equal(*pixels)
            else:
                assert part == other


@pytest.mark.parametrize(("path", "image_root"), [("none.jsonl", ""), ("rows.jsonl", "none")])
def test_data_that_a_store_does_not_have(
    bucket: str, tmp_path: pathlib.Path, path: str, image_root: str
) -> None:
    rows = small.write_rows(tmp_path / "rows") / "rows.jsonl"
    s3_server.store().put_file(str(rows), f"{bucket}/some/rows.jsonl")
    source = sources.Source(name="x", path=path, image_root=image_root)
    root = paths.local(f"{bucket}/some")
    assert [place.name for place in sources.absent(source, root)] == [image_root or path]
    with pytest.raises(errors.UserError, match=r"no such (file|image root).*some/none"):
        next(iter(sources.stream(source, root)))


def test_an_image_that_a_store_does_not_have_refuses_its_row(
    bucket: str, tmp_path: pathlib.Path
) -> None:
    rows = small.write_rows(tmp_path / "rows") / "rows.jsonl"
    s3_server.store().put_file(str(rows), f"{bucket}/bare/rows.jsonl")
    source = sources.Source(name="x", path="rows.jsonl")
    found = sources.read(source, paths.local(f"{bucket}/bare"))
    assert len(found.examples) == 4 and len(found.dropped) == 8
    assert "no such file: 1.png" in found.dropped[0].reason


def test_a_model_folder_in_a_store(bucket: str, tmp_path: pathlib.Path) -> None:
    folder = small.write_folder(tmp_path / "hf")
    s3_server.store().put(f"{folder}/", f"{bucket}/hf/", recursive=True)
    found = hub.resolve(f"{bucket}/hf")
    assert {path.name for path in found.iterdir()} == {path.name for path in folder.iterdir()}
    with pytest.raises(errors.UserError, match="--hf=s3://bucket/nothing holds nothing"):
        hub.resolve(f"{bucket}/nothing")


def test_heartbeats_of_other_machines_are_seen_in_the_store(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    workdir = paths.local(f"{bucket}/watched")
    dog = watchdog.Watchdog(workdir, hang_seconds=0.4)
    dog.beat(7, "step", patience=1000.0)
    dog.start()
    time.sleep(1)
    dog.close()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = paths.real(paths.local(f"{bucket}/watched/heartbeats"))
    [beat] = watchdog.read(place, 1)
    assert isinstance(beat, watchdog.Beat) and (beat.step, beat.phase) == (7, "step")


@pytest.mark.parametrize("work", [paths.fetch, paths.push], ids=["fetch", "push"])
def test_a_missing_bucket_is_one_line(bucket: str, work, tmp_path: pathlib.Path) -> None:
    folder = paths.local("s3://no-such-bucket/run")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x").write_text("x")
    with pytest.raises(errors.UserError) as caught:
        work(folder)
    assert str(caught.value) == "s3://no-such-bucket/run: no such bucket or object"


def test_no_credentials_are_one_line(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    s3_server.forget()
    with pytest.raises(errors.UserError, match=f"{bucket}/run: no usable credentials"):
        paths.fetched(f"{bucket}/run")
    s3_server.forget()


@pytest.mark.parametrize("code", ["AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId"])
def test_refused_credentials_are_not_shown(bucket: str, code: str) -> None:
    exceptions = pytest.importorskip("botocore.exceptions")
    texts = pytest.importorskip("s3fs.errors")
    message = {"Error": {"Code": code, "Message": f"the key {s3_server.SECRET} is wrong"}}
    error = texts.translate_boto_error(exceptions.ClientError(message, "ListObjectsV2"))
    place = paths.remote(paths.local(f"{bucket}/run"))
    assert place is not None
    with pytest.raises(errors.UserError) as caught, paths._talking_to(place):
        raise error
    assert str(caught.value).startswith(f"{bucket}/run: access is denied")
    assert s3_server.SECRET not in str(caught.value)


def test_a_store_out_of_reach_is_one_line(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3_server.forget()
    with pytest.raises(errors.UserError, match=f"{bucket}/run: the store cannot be reached"):
        paths.fetched(f"{bucket}/run")
    s3_server.forget()


def test_a_scheme_whose_library_is_not_installed() -> None:
    if importlib.util.find_spec("gcsfs"):
        pytest.skip("gcsfs is installed")
    with pytest.raises(errors.UserError) as caught:
        paths.fetched("gs://bucket/run")
    assert str(caught.value) == "gs://bucket/run needs an extra: pip install 'lingshu-jax[gs]'"
