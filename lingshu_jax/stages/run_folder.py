# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of a run: its resolved config, its end, and refusing to mix two runs."""

import json
import os
import pathlib
import re
from typing import Any

from lingshu_jax.common import errors, paths, runtime
from lingshu_jax.stages import config as stage_config

CONFIG = "config.json"
FINISHED = "finished.json"

# How a run is laid out, watched, logged and kept may change when it is continued; nothing else.
_FREE_FIELDS = (
    *("mesh", "log_every_steps", "keep_checkpoints", "save_every_steps", "data.cache"),
    *("guard", "profile_steps", "wandb", "validation.every_steps", "validation.rows"),
    # Of stage 4, whose part of its config is named like the stage.
    *("monitors", "metric_aliases", "rl.monitors", "rl.metric_aliases"),
    *("validation.benchmarks", "validation.data_dir", "validation.samples"),
    *("validation.max_new_tokens", "validation.shown"),
    *("variants", "evaluation.batch_size"),  # of an ablation, and of a recipe
)
# Where these are 0 they are computed once: a continued run takes what the folder says.
_COMPUTED_FIELDS = ("data.patches_per_row", "data.rows_per_batch")


def open_run(config: Any, workdir: pathlib.Path) -> dict[str, Any] | None:
    """Finds the run that is to be continued; nothing is written yet.

    Args:
      config: A config dataclass of a stage or a recipe, validated.
      workdir: The run's folder.

    Returns:
      What a finished run left (`finish`), else None.

    Raises:
      UserError: If the folder holds a run of another config, or cannot be written.
    """
    existing = next(place for place in (workdir, *workdir.parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise errors.UserError(
            f"cannot write to --workdir {workdir}: {existing} is not a writable folder"
        )
    if before := read_config(workdir):
        _check_same(before, _resolved(config), workdir)
    finished = workdir / FINISHED
    return json.loads(finished.read_text()) if finished.is_file() else None


def read_config(workdir: pathlib.Path) -> dict[str, Any]:
    """The config of the run in a folder, in JSON values; empty where there is none.

    Args:
      workdir: The run's folder.
    """
    path = workdir / CONFIG
    return json.loads(path.read_text()) if path.is_file() else {}


def begin(config: Any, workdir: pathlib.Path) -> None:
    """Writes `config.json`: from here on the folder holds this run.

    Called when all inputs were found good, so that a mistake in the command can be mended
    without removing the folder.

    Args:
      config: A config dataclass of a stage or a recipe, validated.
      workdir: The run's folder.

    Raises:
      UserError: If the folder cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / CONFIG, _resolved(config))
    except OSError as error:
        raise errors.UserError(f"cannot write to --workdir {workdir}: {error}") from error


def finish(workdir: pathlib.Path, summary: dict[str, Any]) -> None:
    """Marks the run as complete; written last, by the main process, and the others wait for it.

    Args:
      workdir: The run's folder.
      summary: JSON values that say what came out.
    """
    if runtime.is_main_host():
        write_json(workdir / FINISHED, summary)
    runtime.wait_for_all("finished")


def share(workdir: pathlib.Path) -> None:
    """Waits until every process sees what the main one has written; all of them call this.

    Args:
      workdir: The run's folder. Where it is a mirror, other machines have mirrors of their own.

    Raises:
      UserError: If the store cannot be written or read.
    """
    if runtime.is_main_host():
        paths.push(workdir)
    runtime.wait_for_all("files written")
    if not runtime.is_main_host():
        paths.fetch(workdir)
    # Nothing new is written meanwhile: where processes share a mirror, fetching would remove it.
    runtime.wait_for_all("files seen")


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a JSON file whole or not at all.

    Args:
      path: Where to.
      value: JSON values.
    """
    with paths.whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _resolved(config: Any) -> dict[str, Any]:
    """The config as it reads when it comes back from JSON."""
    return json.loads(paths.with_addresses(json.dumps(stage_config.to_dict(config))))


def _check_same(old: dict[str, Any], new: dict[str, Any], workdir: pathlib.Path) -> None:
    known = _flat(old)
    for name, value in _flat(new).items():
        before = known.get(name)
        plain = re.sub(r"\[\d+\]", "", _own_name(name))
        is_free = any(f"{plain}.".startswith(f"{free}.") for free in _FREE_FIELDS)
        is_asked = _own_name(name) in _COMPUTED_FIELDS and value == 0
        if before != value and not is_free and not is_asked:
            raise errors.UserError(
                f"--workdir {workdir} holds a run with {name} = {before!r}, not {value!r}; "
                "continue with the same config or choose another folder"
            )


def _own_name(name: str) -> str:
    """A field's name inside its stage; in the config of a recipe the stage stands before it."""
    first, _, rest = name.partition(".")
    return rest if first in stage_config.STAGES else name


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Values by the name that a flag would have; of many parts, such as sources, also how many."""
    flat: dict[str, Any] = {}
    if isinstance(tree, dict):
        for name, value in tree.items():
            flat.update(_flat(value, f"{prefix}.{name}" if prefix else name))
    elif isinstance(tree, list) and tree and all(isinstance(part, dict) for part in tree):
        flat[prefix] = f"{len(tree)} entries"
        for number, part in enumerate(tree):
            flat.update(_flat(part, f"{prefix}[{number}]"))
    else:
        flat[prefix] = tree
    return flat
