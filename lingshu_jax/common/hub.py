# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""A model by name: a folder on this machine, or an id of the Hugging Face hub.

What has been fetched lies in the hub's own cache (HF_HOME). A file whose connection breaks off
goes on where it stopped; the same command again fetches only the files that are not complete.
Retries, resuming, checks of size and tokens are huggingface_hub's.
"""

import hashlib
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import huggingface_hub
from huggingface_hub import errors as hub_errors
from huggingface_hub import utils as hub_utils

from lingshu_jax.common import errors, paths

# No pickled weights and no code. `*` also matches "/": what lies in a folder is left out, since a
# repository may hold earlier checkpoints of training there.
PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "LICENSE*", "README.md")
NESTED = "*/*"
_SAMPLE_BYTES = 1 << 16  # of each weight file, at _SAMPLES places
_SAMPLES = 16

_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>\w[\w./-]*))?", re.ASCII)


class _Wanted(NamedTuple):
    """A hub id, taken apart; no revision is the default branch."""

    repo: str
    revision: str | None


def resolve(name: str, option: str = "--hf") -> pathlib.Path:
    """The folder of a model; it is fetched where it is not on this machine yet.

    Args:
      name: A folder, perhaps in an object store, or `org/name` or `org/name@revision` (a branch,
        tag or commit).
      option: How the user gave the name, for messages.

    Raises:
      UserError: If there is no such folder, repository or revision, if access to it is not
        granted, or if it is not in the cache and the hub cannot be reached.
    """
    folder = paths.fetch(paths.local(name))
    if name and folder.is_dir():
        return folder
    if paths.is_remote(name):
        raise errors.UserError(f"{option}={name} holds nothing")
    wanted = _parse(name, option)
    try:
        # One file at a time: huggingface_hub throws an unfinished file away when it is stopped,
        # so that with several at once a stopped download may have gained nothing.
        found = huggingface_hub.snapshot_download(
            wanted.repo,
            revision=wanted.revision,
            allow_patterns=list(PATTERNS),
            ignore_patterns=[NESTED],
            max_workers=1,
        )
    except (hub_errors.HTTPError, OSError, RuntimeError) as error:
        # RuntimeError is what hf_xet, the hub's transfer library, raises.
        raise errors.UserError(_explain(error, wanted, option)) from error
    return pathlib.Path(found)


def find(name: str, option: str = "--hf") -> pathlib.Path | None:
    """The folder of a model if it is on this machine; nothing is fetched.

    Args:
      name: As of `resolve`.
      option: As of `resolve`.

    Returns:
      None where the name is in an object store, or a hub id that is not in the cache.

    Raises:
      UserError: If it is neither a folder nor a hub id.
    """
    if paths.is_remote(name):
        return None
    if name and pathlib.Path(name).is_dir():
        return pathlib.Path(name)
    wanted = _parse(name, option)
    try:
        found = huggingface_hub.snapshot_download(
            wanted.repo, revision=wanted.revision, local_files_only=True
        )
    except hub_errors.LocalEntryNotFoundError:
        return None
    return pathlib.Path(found)


def fetch_dataset(repo: str, revision: str, patterns: Sequence[str]) -> pathlib.Path:
    """The folder of a data set of the hub, fetched where it is not on this machine yet.

    Args:
      repo: `org/name`.
      revision: A commit, tag or branch; "" is the default branch. The folder's name is the commit.
      patterns: Files that are fetched.

    Raises:
      UserError: If it cannot be fetched and is not in the cache.
    """
    wanted = _Wanted(repo, revision or None)
    try:
        found = huggingface_hub.snapshot_download(
            repo,
            repo_type="dataset",
            revision=wanted.revision,
            allow_patterns=list(patterns),
            max_workers=1,  # as in `resolve`
        )
    except hub_errors.LocalEntryNotFoundError as error:
        at = f" --revision {revision}" if revision else ""
        raise errors.UserError(
            f"data set {repo} is not in the hub's cache, and the hub cannot be reached; give "
            f"--data_dir=DIR, where `hf download --repo-type dataset {repo}{at} --local-dir "
            "DIR/NAME` put it on a connected machine"
        ) from error
    except (hub_errors.HTTPError, OSError, RuntimeError) as error:
        raise errors.UserError(_explain(error, wanted, "data set ")) from error
    return pathlib.Path(found)


def digest_weights(model: pathlib.Path) -> str:
    """A short hash of a model: its config, and names, sizes and samples of its weight files.

    Args:
      model: A Hugging Face folder.

    Raises:
      UserError: If it is no folder with config.json and safetensors files.
    """
    if not model.is_dir():
        raise errors.UserError(f"--model {model} is not a folder")
    config, weights = model / "config.json", sorted(model.glob("*.safetensors"))
    if not config.is_file() or not weights:
        missing = "*.safetensors" if config.is_file() else "config.json"
        raise errors.UserError(f"--model {model} is no Hugging Face folder: it has no {missing}")
    total = hashlib.sha256(config.read_bytes())
    for path in weights:
        size = path.stat().st_size
        total.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for place in range(_SAMPLES):
                file.seek(place * max(0, size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                total.update(file.read(_SAMPLE_BYTES))
    return total.hexdigest()[:16]


def _parse(name: str, option: str) -> _Wanted:
    match = _ID.fullmatch(name)
    if match and _is_repository(match["repo"]) and ".." not in (match["revision"] or ""):
        return _Wanted(match["repo"], match["revision"])
    kind = "is a file, not a folder" if name and pathlib.Path(name).exists() else "is no folder"
    raise errors.UserError(
        f"{option}={name} {kind}, and it is no hub id, which is written org/name or "
        "org/name@revision"
    )


def _is_repository(name: str) -> bool:
    try:
        hub_utils.validate_repo_id(name)
    except hub_errors.HFValidationError:
        return False
    return True


def _explain(error: Exception, wanted: _Wanted, option: str) -> str:
    """One line; of the library's own text nothing, which may hold signed addresses."""
    if isinstance(error.__cause__, hub_errors.HfHubHTTPError):
        error = error.__cause__  # that it is not in the cache either is no news
    repo = wanted.repo
    login = "`hf auth login` gives this machine your access"
    match error:
        case hub_errors.GatedRepoError():
            return f"{repo} is gated: accept its terms at the hub; {login}"
        case hub_errors.RepositoryNotFoundError():
            return (
                f"{option}={repo} is no folder, and the hub shows no repository of that name; "
                f"if it is private, {login}"
            )
        case hub_errors.RevisionNotFoundError():
            return f"{repo} has no revision {wanted.revision!r} on the hub"
        case hub_errors.LocalEntryNotFoundError():
            return _say_offline(wanted, option)
        case hub_errors.HfHubHTTPError():
            status = error.response.status_code
            return f"{repo} could not be fetched: the hub answered with status {status}"
        case hub_errors.HTTPError():
            return (
                f"{repo} could not be fetched: {type(error).__name__}; "
                "the same command goes on with the files that are missing"
            )
    reason = getattr(error, "strerror", None) or type(error).__name__
    return f"{repo} could not be fetched: {reason}"


def _say_offline(wanted: _Wanted, option: str) -> str:
    name = wanted.repo if wanted.revision is None else f"{wanted.repo}@{wanted.revision}"
    revision = "" if wanted.revision is None else f" --revision {wanted.revision}"
    return (
        f"{name} is no folder, it is not complete in the hub's cache, and the hub cannot be "
        f"reached; give {option}=DIR, a folder with config.json, tokenizer and *.safetensors, as "
        f"`hf download {wanted.repo}{revision} --local-dir DIR` makes it on a connected machine"
    )
