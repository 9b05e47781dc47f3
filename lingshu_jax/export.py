# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint to Hugging Face folder: `python -m lingshu_jax.export --checkpoint=DIR --hf=DIR`."""

import json
import pathlib
import shutil
from typing import Any

import jax.numpy as jnp
from absl import flags

from lingshu_jax.common import checkpoints, cli, errors, runtime, sharding
from lingshu_jax.models import hf, hf_config
from lingshu_jax.stages import initial

_CARD = """---
library_name: transformers
pipeline_tag: image-text-to-text
tags: [medical, qwen2_5_vl, lingshu]
---

# {name}

Exported by lingshu_jax from a Qwen2.5-VL checkpoint ({details}).

For research. Not a medical device: its answers must not guide the care of a patient.
"""


def export(source: pathlib.Path, target: pathlib.Path, *, dtype: str | None = None) -> None:
    """Writes a complete folder that transformers and vLLM load as it is.

    Args:
      source: A checkpoint folder or a training workdir; its newest step is taken.
      target: The folder; it appears whole or not at all.
      dtype: Of the tensors; None keeps what the checkpoint was trained in.

    Raises:
      UserError: If the source holds no checkpoint or the target exists.
    """
    if target.exists():
        raise errors.UserError(f"--hf={target} exists already; choose a new folder")
    folder = checkpoints.find(source)
    assets = folder / checkpoints.ASSETS
    stored = json.loads((assets / "config.json").read_text())["torch_dtype"]
    start = initial.Initial(
        size=hf_config.read(assets), assets=assets, folder=folder, is_checkpoint=True
    )
    params = start.load(sharding.host_mesh(), jnp.dtype(stored))
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(assets, partial)
    dtype = dtype or str(stored)
    config = hf_config.dump(start.size, dtype=dtype)
    (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (partial / "README.md").write_text(_CARD.format(name=target.name, details=_details(config)))
    hf.write_weights(params, start.size, partial, dtype=jnp.dtype(dtype))
    partial.rename(target)


def _details(config: dict[str, Any]) -> str:
    return (
        f"{config['num_hidden_layers']} text layers of width {config['hidden_size']}, "
        f"{config['vision_config']['depth']} vision layers, {config['torch_dtype']}"
    )


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("checkpoint", None, "A checkpoint folder or a run's workdir.")
    flags.DEFINE_string("hf", None, "Folder to write; must be new.")
    flags.DEFINE_enum("dtype", None, ["float32", "bfloat16"], "Default: as stored.")


def main(argv: list[str]) -> None:
    """Reads the flags and exports."""
    del argv
    source, target = cli.required("checkpoint"), cli.required("hf")
    runtime.start()
    export(pathlib.Path(source), pathlib.Path(target), dtype=cli.flag("dtype"))
    print(json.dumps({"hf": target}))


if __name__ == "__main__":
    cli.run(main, define_flags)
