# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Paths that may lie in an object store, `s3://BUCKET/KEY` or `gs://BUCKET/KEY`.

Files in a store are read and written through their mirror, a local folder that stands for the
address: `fetch` brings what is there, `push` and `kept_in_store` send what is new. So every reader
and writer works on local files, libraries included, and a file appears in the store whole, by one
request. Only the arrays of checkpoints go past the mirror (`checkpoints.py`): `remote` says where.

    ~/.cache/lingshu_jax/stores/s3/BUCKET/KEY       (XDG_CACHE_HOME, where it is set)

Credentials, region and endpoint are the libraries' own matter: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL; GOOGLE_APPLICATION_CREDENTIALS.
"""

import contextlib
import functools
import logging
import os
import pathlib
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import fsspec.config
import fsspec.core
from etils import epath

from lingshu_jax.common import errors

SCHEMES = ("gs", "s3")  # the extra that a scheme needs has its name
# Made again from the data and the config wherever a run goes on: never sent.
LOCAL_ONLY = ("base", "demo", "encoded")
PARTIAL = ".partial"
# Sent before all else: without it what lies in the folder of an evaluation is somebody else's.
FIRST = "settings.json"
# Sent last, those of inner folders before the outer one's: the first says what a folder is, the
# second that an evaluation is complete, the third that a run is.
MARKERS = ("config.json", "COMMIT", "finished.json")
PUSH_SECONDS = 30.0
_PUSH_SHARE = 20  # sending may take one part in so many of the time
_STEP_MARK = "_CHECKPOINT_METADATA"  # orbax puts it into the folder of a step
# One that is damaged or cut short may have lost it, and is known by its name.
_STEP = re.compile(r"/(\w*checkpoints?/\d+|\d+\.unreadable)/")

# tensorstore writes past these libraries, so a listing that they remember would be an old one.
for _name in ("gcs", "gs", "s3"):
    fsspec.config.conf.setdefault(_name, {})["use_listings_cache"] = False
# On INFO it says where it has found credentials.
for _name in ("aiobotocore", "botocore"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# TensorFlow, where it is installed, would take the place of fsspec, and it has no S3.
os.environ.setdefault("EPATH_USE_TF", "false")

_sent: dict[str, tuple[int, int]] = {}  # local file -> size and time when both sides were equal
_kept: list[pathlib.Path] = []  # what this process writes: newer here than in the store
_lock = threading.Lock()


def is_remote(text: str | os.PathLike[str]) -> bool:
    """Whether a path is an address in a store.

    >>> is_remote("s3://bucket/run"), is_remote("runs/s3")
    (True, False)
    """
    return os.fspath(text).startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def local(text: str) -> pathlib.Path:
    """The local path that stands for what a user named: itself, or the mirror of an address.

    Args:
      text: A path or an address. Nothing is read.

    Raises:
      UserError: If the address names no bucket, or has `..` in it.
    """
    if not is_remote(text):
        return pathlib.Path(text)
    scheme, _, rest = text.partition("://")
    parts = [part for part in rest.split("/") if part]
    if not parts or {".", ".."} & set(parts):
        raise errors.UserError(f"{text}: an address is {scheme}://BUCKET/KEY, without . and ..")
    return pathlib.Path(_stores(), scheme, *parts)


def remote(path: str | os.PathLike[str]) -> epath.Path | None:
    """The address that a path inside a mirror stands for; None for all other paths.

    Args:
      path: A local path, whether or not there is something.
    """
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(_stores()))
    scheme, _, rest = inside.partition(os.sep)
    return epath.Path(f"{scheme}://{rest}") if scheme in SCHEMES and rest else None


def real(path: pathlib.Path) -> pathlib.Path | epath.Path:
    """Where a file really is: the address that a mirror stands for, else the absolute path.

    Args:
      path: As in `remote`.
    """
    return remote(path) or path.absolute()


def with_addresses(text: str) -> str:
    """A text with addresses where it names mirrors, so that it says the same on every machine.

    Args:
      text: Any.
    """
    for scheme in SCHEMES:
        text = text.replace(f"{_stores() / scheme}/", f"{scheme}://")
    return text


def under(root: str | os.PathLike[str], name: str) -> pathlib.Path:
    """The absolute local path of what a user named; the name may be an address of its own.

    Args:
      root: Where a relative name starts, a local path or an address.
      name: A path or an address.

    Raises:
      UserError: As in `local`.
    """
    if is_remote(name):
        return local(name)
    return pathlib.Path(local(os.fspath(root)), name).absolute()


def fetch(path: pathlib.Path) -> pathlib.Path:
    """Makes a mirror equal to what the store holds, a file or a folder.

    Steps of checkpoints stay where they are. Local files that the store does not have go, but for
    those of `LOCAL_ONLY`. Nothing is done for other local paths, nor inside a folder that this
    process keeps in the store.

    Args:
      path: From `local`, or inside of it.

    Returns:
      The same path; nothing is there if the store has nothing.

    Raises:
      UserError: If the store cannot be read.
    """
    place = remote(path)
    if place is None or any(path.absolute().is_relative_to(kept) for kept in _kept):
        return path
    with _talking_to(place), _lock:
        files, root = _filesystem(place)
        found = _without_steps(files.find(root, detail=True), root)
        there = {path / name[len(root) :].lstrip("/"): info for name, info in found.items()}
        for target in _local_files(path):
            if target not in there:
                target.unlink()
        wanted = {target: info for target, info in there.items() if not _is_same(target, info)}
        for target in wanted:
            target.parent.mkdir(parents=True, exist_ok=True)
        partial = [f"{target}{PARTIAL}" for target in wanted]
        if wanted:
            files.get([info["name"] for info in wanted.values()], partial)
        for (target, info), name in zip(wanted.items(), partial, strict=True):
            os.utime(name, times=(time.time(), _modified(info)))
            os.replace(name, target)
            _sent[str(target)] = _state(target)
    return path


def fetched(text: str) -> pathlib.Path:
    """`local`, with what is there.

    Args:
      text: A path or an address.

    Raises:
      UserError: As in `local` and `fetch`.
    """
    return fetch(local(text))


@functools.cache
def fetch_once(path: str) -> None:
    """`fetch` for what does not change while this process runs: data.

    Args:
      path: As in `fetch`.

    Raises:
      UserError: As in `fetch`.
    """
    fetch(pathlib.Path(path))


def fetch_folder(path: pathlib.Path) -> None:
    """Makes an empty local side of a folder whose files are fetched one by one.

    Args:
      path: As in `fetch`; nothing is done if the store has no such folder.

    Raises:
      UserError: If the store cannot be read.
    """
    place = remote(path)
    if place is not None and not path.is_dir():
        with _talking_to(place):
            if place.is_dir():
                path.mkdir(parents=True)


def push(folder: pathlib.Path) -> None:
    """Sends the files of a mirror that are new or have changed: `FIRST` first, `MARKERS` last.

    Args:
      folder: A mirror, of a folder or of one file; nothing is done for other local paths.

    Raises:
      UserError: If the store cannot be written.
    """
    place = remote(folder)
    if place is None:
        return
    with _talking_to(place), _lock:
        files, root = _filesystem(place)
        for source in sorted(_local_files(folder), key=_turn):
            if not source.is_file():  # removed since it was listed
                continue
            state = _state(source)
            if _sent.get(str(source)) != state:
                inside = "" if source == folder else f"/{source.relative_to(folder).as_posix()}"
                files.put_file(str(source), root + inside)
                _sent[str(source)] = state


def try_push(folder: pathlib.Path) -> None:
    """`push` while a run goes on: a failure is logged, and the next push makes it good.

    Args:
      folder: As in `push`.
    """
    try:
        push(folder)
    except errors.UserError as error:
        logging.warning("%s; it is tried again", error)


def remove(folder: pathlib.Path) -> None:
    """Removes a folder with all that is in it, from the store as well where it is a mirror.

    Args:
      folder: Which; it need not be there.

    Raises:
      UserError: If the store cannot be written.
    """
    if folder.is_dir():
        shutil.rmtree(folder)
    place = remote(folder)
    if place is not None:
        with _talking_to(place), _lock:
            files, root = _filesystem(place)
            if files.exists(root):
                files.rm(root, recursive=True)


@contextlib.contextmanager
def kept_in_store(folder: pathlib.Path, *, is_writer: bool) -> Iterator[None]:
    """Sends what changes in a mirror every `PUSH_SECONDS`, and all of it in the end.

    Args:
      folder: A run's folder; nothing is done where it is no mirror.
      is_writer: Whether this process is the one that sends.

    Raises:
      UserError: If the last sending fails; earlier failures are logged and made good by the next.
    """
    if not is_writer or remote(folder) is None:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_push_until, args=(folder, stop), daemon=True)
    thread.start()
    _kept.append(folder.absolute())
    try:
        yield
    finally:
        _kept.remove(folder.absolute())
        stop.set()
        thread.join()
        push(folder)


@contextlib.contextmanager
def opened(text: str) -> Iterator[pathlib.Path]:
    """Lends the local side of what one process writes: fetched, and kept in the store.

    Args:
      text: A path or an address.

    Raises:
      UserError: As in `fetched` and `kept_in_store`.
    """
    folder = fetched(text)
    with kept_in_store(folder, is_writer=True):
        yield folder


def tensorstore_spec(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """How tensorstore names a folder, local or in a store.

    Args:
      folder: An absolute path or an address.
    """
    text = os.fspath(folder)
    if not is_remote(text):
        return {"driver": "file", "path": f"{text}/"}
    scheme, _, rest = text.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme == "gs":
        return {"driver": "gcs", "bucket": bucket, "path": f"{key}/"}
    return {"driver": "s3", "bucket": bucket, "path": f"{key}/", **s3_settings()}


def s3_settings() -> dict[str, Any]:
    """What other S3 clients take from the environment, and tensorstore does not."""
    env = os.environ
    settings: dict[str, Any] = {
        "endpoint": env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL"),
        "aws_region": env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION"),
        # Named, it looks nowhere else, and does not complain of what is not there.
        "aws_credentials": {"type": "environment"} if env.get("AWS_ACCESS_KEY_ID") else None,
    }
    return {name: value for name, value in settings.items() if value}


def move_folder(place: pathlib.Path | epath.Path, target: pathlib.Path | epath.Path) -> None:
    """Gives a folder another name in the place of what has it; in a store, file by file.

    Args:
      place: The folder, local or in a store.
      target: Its new name on the same side.
    """
    if isinstance(place, pathlib.Path):
        shutil.rmtree(target, ignore_errors=True)
        place.rename(target)
        return
    (files, root), (_, new_root) = _filesystem(place), _filesystem(epath.Path(target))
    if files.exists(new_root):
        files.rm(new_root, recursive=True)
    names = files.find(root)
    files.copy(names, [new_root + name.removeprefix(root) for name in names])
    files.rm(root, recursive=True)


@contextlib.contextmanager
def whole_file(path: pathlib.Path | epath.Path) -> Iterator[pathlib.Path | epath.Path]:
    """Lends a name to write to; what was written takes the place of `path` in the end.

    Args:
      path: The file, which is there whole or as it was before. In a store it is lent itself: one
        request writes it.
    """
    if not isinstance(path, pathlib.Path):
        yield path
        return
    partial = path.with_name(path.name + PARTIAL)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Lends an empty folder that becomes `path` in the end.

    Args:
      path: Not there yet, or empty. What this or an earlier try leaves half-made goes.
    """
    partial = path.with_name(path.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _stores() -> pathlib.Path:
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache, "lingshu_jax", "stores")


def _filesystem(place: epath.Path) -> tuple[Any, str]:
    return fsspec.core.url_to_fs(os.fspath(place))


def _without_steps(found: dict[str, Any], root: str) -> dict[str, Any]:
    above = len(root.rpartition("/")[0])  # what lies further up says nothing about the files
    steps = {name.rpartition("/")[0] for name in found if name.endswith(f"/{_STEP_MARK}")}
    return {
        name: info
        for name, info in found.items()
        if not name.endswith("/")  # a folder's own object, as the consoles of stores make it
        and not any(name.startswith(f"{step}/") for step in steps)
        and not _STEP.search(name[above:])
    }


def _local_files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """What both sides should have: neither caches nor half-written files."""
    for parent, names, files in os.walk(folder):
        names[:] = [n for n in names if n not in LOCAL_ONLY and not n.endswith(PARTIAL)]
        yield from (pathlib.Path(parent, file) for file in files if not file.endswith(PARTIAL))
    if folder.is_file():
        yield folder


def _turn(path: pathlib.Path) -> tuple[int, int, pathlib.Path]:
    order = (FIRST, "", *MARKERS)
    turn = order.index(path.name if path.name in order else "")
    return turn, -len(path.parts), path


def _modified(info: dict[str, Any]) -> float:
    stamp = info.get("LastModified") or info.get("mtime")
    return stamp.timestamp() if stamp is not None else 0.0


def _is_same(target: pathlib.Path, info: dict[str, Any]) -> bool:
    """A fetched file has the time of its original, so a change on either side shows."""
    if not target.is_file():
        return False
    found = target.stat()
    return found.st_size == info["size"] and found.st_mtime == _modified(info)


def _state(path: pathlib.Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _push_until(folder: pathlib.Path, stop: threading.Event) -> None:
    pause = PUSH_SECONDS
    while not stop.wait(pause):
        started = time.monotonic()
        try_push(folder)
        pause = max(PUSH_SECONDS, _PUSH_SHARE * (time.monotonic() - started))


@contextlib.contextmanager
def _talking_to(place: epath.Path) -> Iterator[None]:
    """What a store's library raises becomes one line with nothing of its text: no key, no token."""
    scheme = os.fspath(place).partition("://")[0]
    try:
        yield
    except ImportError as error:
        raise errors.UserError(
            f"{place} needs an extra: pip install 'lingshu-jax[{scheme}]'"
        ) from error
    except (OSError, *store_errors()) as error:
        raise errors.UserError(f"{place}: {_reason(error)}") from error


def store_errors() -> tuple[type[Exception], ...]:
    """Of the libraries that are in use; those that are not installed raise nothing."""
    names = (
        ("aiohttp", "ClientError"),
        ("botocore.exceptions", "BotoCoreError"),
        ("gcsfs.retry", "HttpError"),
        ("google.auth.exceptions", "GoogleAuthError"),
    )
    return tuple(getattr(sys.modules[name], kind) for name, kind in names if name in sys.modules)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such bucket or object"
    if isinstance(error, PermissionError):
        return "access is denied with the credentials of this machine"
    kind = type(error).__name__
    if "Credential" in kind:
        return f"no usable credentials on this machine ({kind})"
    text = getattr(error, "strerror", None)
    return f"the store cannot be reached or refuses ({text or kind})"
