# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face folder to checkpoint: `python -m lingshu_jax.convert --hf=DIR --checkpoint=DIR`."""

import json
import pathlib

import jax.numpy as jnp
from absl import flags

from lingshu_jax.common import checkpoints, cli, errors, runtime, sharding
from lingshu_jax.models import hf_config
from lingshu_jax.stages import initial


def convert(source: pathlib.Path, target: pathlib.Path, *, dtype: str = "float32") -> None:
    """Writes a folder's weights as step 0 of a checkpoint folder, with its side files.

    A folder that an interrupted conversion left holds no complete step and is written again.

    Args:
      source: A Hugging Face folder.
      target: The checkpoint folder.
      dtype: Of the parameters.

    Raises:
      UserError: If the source is no Hugging Face folder or the target is in use.
    """
    start = initial.find(source)
    if start.is_checkpoint:
        raise errors.UserError(f"--hf={source} is a checkpoint already, not a Hugging Face folder")
    target = target.absolute()
    if not checkpoints.is_unused(target):
        raise errors.UserError(f"--checkpoint={target} is in use; choose a new folder")
    params = start.load(sharding.host_mesh(), jnp.dtype(dtype))
    folder = checkpoints.Checkpoints(target)
    folder.write_assets(start.assets, hf_config.dump(start.size, dtype=dtype))
    folder.save(0, params, opt_state=None, meta={"hf": str(source)})
    folder.wait()
    folder.close()


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("hf", None, "Hugging Face folder of a Qwen2.5-VL model.")
    flags.DEFINE_string("checkpoint", None, "Folder to write; must be new or partial.")
    flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Of the parameters.")


def main(argv: list[str]) -> None:
    """Reads the flags and converts."""
    del argv
    source, target = cli.required("hf"), cli.required("checkpoint")
    runtime.start()
    convert(pathlib.Path(source), pathlib.Path(target), dtype=cli.flag("dtype"))
    print(json.dumps({"checkpoint": target, "step": 0}))


if __name__ == "__main__":
    cli.run(main, define_flags)
