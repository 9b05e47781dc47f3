# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Which model a folder holds, in words that may be published: no absolute path, no user's name."""

import pathlib
import re
from typing import NamedTuple

# What the hub's client calls the folder of a revision in its cache.
_CACHED = re.compile(r"models--(?P<org>[\w.-]+?)--(?P<name>[\w.-]+)/snapshots/(?P<revision>[^/]+)")
_WITH_REVISION = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+)")
# Folders are named after what was downloaded into them; these names are well known.
_PUBLISHED = (
    ("Qwen", re.compile(r"Qwen2\.5-VL-(3B|7B|32B|72B)-Instruct")),
    ("lingshu-medical-mllm", re.compile(r"Lingshu-(7B|32B)")),
)
# The hub's client leaves the commit here when it downloads into a folder of the user's.
_DOWNLOADED = pathlib.Path(".cache", "huggingface", "download", "config.json.metadata")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HOMES = ("home", "Users")


class Origin(NamedTuple):
    """A model, as one may call it in public.

    Attributes:
      name: The hub's name, else the last two parts of the folder.
      hub_id: `org/name` where the folder is known to come from there.
      revision: Branch, tag or commit, where it is known.
    """

    name: str
    hub_id: str | None = None
    revision: str | None = None


def identify(model: str | pathlib.Path) -> Origin:
    """What a model is called.

    Args:
      model: A folder, which need not exist any more, or `org/name@revision`.
    """
    path = pathlib.Path(model)
    if match := _CACHED.search(path.as_posix()):
        hub_id = f"{match['org']}/{match['name']}"
        return Origin(hub_id, hub_id, match["revision"])
    if match := _WITH_REVISION.fullmatch(str(model)):
        return Origin(match["id"], match["id"], match["revision"])
    for organisation, name in _PUBLISHED:
        if name.fullmatch(path.name):
            hub_id = f"{organisation}/{path.name}"
            return Origin(hub_id, hub_id, _read_revision(path))
    return Origin(public_name(path), None, _read_revision(path))


def public_name(path: str | pathlib.Path) -> str:
    """The last two parts of a path, without the user's name.

    >>> public_name("/data/runs/stage3_instruct")
    'runs/stage3_instruct'

    Args:
      path: Of a file or folder.
    """
    path = pathlib.Path(path)
    parts = path.parts[len(pathlib.Path(path.anchor).parts) :]
    users = {name for before, name in zip(parts, parts[1:], strict=False) if before in _HOMES}
    users |= {pathlib.Path("~").expanduser().name, *_HOMES, "..", "."}
    return "/".join(part for part in parts[-2:] if part not in users) or "unnamed"


def _read_revision(folder: pathlib.Path) -> str | None:
    """The commit that a folder was downloaded at."""
    path = folder / _DOWNLOADED
    if not path.is_file():
        return None
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first if _COMMIT.fullmatch(first) else None
