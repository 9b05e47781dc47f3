# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Weights & Biases beside `metrics.jsonl`, for those who ask for it by `config.wandb`.

The package is imported only then. It takes its key from its own places (`wandb login`,
`WANDB_API_KEY`), which nothing here reads; `WANDB_MODE=offline` writes into the run's folder what
`wandb sync` sends later.
"""

import importlib
import importlib.util
import json
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

from lingshu_jax.common import errors, paths, runtime

RUN = "wandb.json"  # in a run's folder: which run over there is this one
_PACKAGE = "wandb"


class WandbRun:
    """The run of a folder over there; a continued folder continues it."""

    def __init__(self, project: str, workdir: pathlib.Path, config: Mapping[str, Any]):
        """Begins or continues it.

        Args:
          project: Where it belongs.
          workdir: The run's folder; names the run, and holds its id.
          config: JSON values that are shown with it.

        Raises:
          UserError: If Weights & Biases refuses, as without a key.
        """
        wandb: Any = importlib.import_module(_PACKAGE)
        try:
            self._run = wandb.init(
                project=project,
                name=workdir.name,
                id=_run_id(workdir / RUN),
                resume="allow",
                dir=str(workdir),
                config=dict(config),
                # What a command prints, and the code beside it, are not sent.
                settings=wandb.Settings(console="off", save_code=False),
            )
        except wandb.Error as error:
            raise errors.UserError(f"config.wandb={project}: {error}") from error

    def write(self, step: int, scalars: Mapping[str, float | int | None]) -> None:
        """Sends one row; of a row that was sent before an interruption the first one stays.

        Args:
          step: The step the numbers belong to.
          scalars: By name; None is not sent.
        """
        self._run.log({k: v for k, v in scalars.items() if v is not None}, step=step)

    def close(self) -> None:
        """Waits until everything is sent or written."""
        self._run.finish()


def require(project: str) -> None:
    """Finds out before any work whether the package is there.

    Args:
      project: `config.wandb`; "" needs nothing.

    Raises:
      UserError: If it is not.
    """
    if project and importlib.util.find_spec(_PACKAGE) is None:
        raise errors.UserError(
            f"config.wandb={project} needs the package wandb: pip install 'lingshu-jax[wandb]', "
            "or leave config.wandb empty"
        )


def open_run(project: str, workdir: pathlib.Path, config: Mapping[str, Any]) -> list[WandbRun]:
    """What a `MetricsWriter` is to write to as well: nothing where no project is named.

    Args:
      project: `config.wandb`.
      workdir: The run's folder.
      config: JSON values that are shown with it.

    Raises:
      UserError: If Weights & Biases refuses.
    """
    return [WandbRun(project, workdir, config)] if project and runtime.is_main_host() else []


def _run_id(path: pathlib.Path) -> str:
    """The id that the folder knows, else a new one, which it will know."""
    if not path.is_file():
        with paths.whole_file(path) as partial:
            partial.write_text(json.dumps({"id": uuid.uuid4().hex[:12]}) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))["id"]
