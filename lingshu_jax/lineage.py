# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint back through the stages that made it to the model they began with.

Only the files that runs leave are read: config.json, data.json, finished.json, and the card of
the base model among a checkpoint's side files.
"""

import json
import pathlib
from typing import Any, NamedTuple

import huggingface_hub
import yaml

from lingshu_jax.common import checkpoints, errors, paths
from lingshu_jax.models import origin
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import inputs, run_folder

CARD = "README.md"
CHECKPOINT = "base_checkpoint"  # folder of a recipe's base, converted

RANDOM = origin.Origin("random weights")

Json = dict[str, Any]


class Stage(NamedTuple):
    """One run of a chain.

    Attributes:
      workdir: Its folder.
      steps: Of the checkpoint that the next stage, or the export, took.
      config: config.json.
      data: data.json; empty where the run left none.
      finished: finished.json; empty while the run has not reached its end.
    """

    workdir: pathlib.Path
    steps: int
    config: Json
    data: Json
    finished: Json

    @property
    def name(self) -> str:
        """The stage's, as `instruct`."""
        return self.config["stage"]


class Base(NamedTuple):
    """What the first stage began with.

    Attributes:
      known: Its names.
      is_random: Whether its weights were drawn.
      card: Front matter of its own card.
      path: Where it lay.
    """

    known: origin.Origin
    is_random: bool
    card: Json
    path: pathlib.Path


class Lineage(NamedTuple):
    """The base, and the stages in the order in which they were trained."""

    base: Base
    stages: list[Stage]


def trace(source: pathlib.Path) -> Lineage:
    """Walks `model.init_from` backwards.

    Args:
      source: A run's workdir, or a checkpoint folder.

    Raises:
      UserError: If the source holds no checkpoint, or a file of a run cannot be read.
    """
    assets = checkpoints.find(source) / checkpoints.ASSETS
    stages: list[Stage] = []
    place = source.absolute()
    while (workdir := _find_workdir(place)) and workdir not in [x.workdir for x in stages]:
        stages.insert(0, _read_stage(workdir))
        place = paths.fetch(paths.local(stages[0].config["model"]["init_from"]))
    known = _name_base(place, stages)
    return Lineage(Base(known, known == RANDOM, _read_card(assets), place), stages)


def _find_workdir(place: pathlib.Path) -> pathlib.Path | None:
    """The run that a checkpoint is of, if it is of one."""
    folder = place.parent if place.name == "checkpoints" else place
    is_run = "stage" in _read_json(folder / run_folder.CONFIG)
    return folder if is_run and (folder / "checkpoints").is_dir() else None


def _read_stage(workdir: pathlib.Path) -> Stage:
    folder = paths.real(workdir / "checkpoints")
    saved = [int(p.name) for p in folder.iterdir() if p.name.isdecimal()]
    files = (run_folder.CONFIG, inputs.DATA, run_folder.FINISHED)
    return Stage(workdir, max(saved, default=0), *(_read_json(workdir / name) for name in files))


def _name_base(place: pathlib.Path, stages: list[Stage]) -> origin.Origin:
    """Names the end of the walk: a Hugging Face folder, a checkpoint made of one, or chance."""
    if place.name == CHECKPOINT and (recipe := _read_json(place.parent / run_folder.CONFIG)):
        place = pathlib.Path(recipe.get("hf", place))
    if str(place) == stage_config.RANDOM:
        return RANDOM
    if (place / checkpoints.ASSETS).is_dir():
        # lingshu_jax.convert notes the model in the meta of step 0.
        meta = _read_json(paths.real(place) / "0" / "meta" / "metadata")
        if "base" in meta:
            return origin.Origin(**meta["base"])
        return origin.identify(meta.get("hf", place))
    started = stages[0].data.get("started_from") if stages else None
    if started and started["revision"]:  # what a name meant when the stage began
        return origin.Origin(**started)
    return origin.identify(place)


def _read_card(assets: pathlib.Path) -> Json:
    """The front matter of the base model's card; empty where there is none or it is damaged."""
    path = assets / CARD
    if not path.is_file():
        return {}
    try:
        return huggingface_hub.metadata_load(path) or {}
    except (ValueError, yaml.YAMLError):
        return {}


def _read_json(path: Any) -> Json:
    """A JSON object; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise errors.UserError(f"{path} is not JSON: {error}") from error
    return value if isinstance(value, dict) else {}
