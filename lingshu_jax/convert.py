# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Hugging Face folder to checkpoint: `python -m lingshu_jax.convert --hf=DIR --checkpoint=DIR`.

`--hf` may be a hub id, `org/name` or `org/name@revision`. With `--verify` nothing is written: our
logits and greedy tokens are compared with those of transformers, as a table for a report.
"""

import collections
import json
import math
import pathlib
import sys

from absl import flags

from lingshu_jax import verify
from lingshu_jax.common import checkpoints, cli, errors, hub, paths, runtime
from lingshu_jax.models import hf, hf_config, origin
from lingshu_jax.stages import initial


def convert(source: pathlib.Path, target: pathlib.Path) -> None:
    """Writes a folder's weights as step 0 of a checkpoint folder, with its side files.

    Weights keep the folder's dtype and go layer by layer from its files into the checkpoint.
    A folder that an interrupted conversion left holds no complete step and is written again.

    Args:
      source: A Hugging Face folder.
      target: The checkpoint folder.

    Raises:
      UserError: If the source is no Hugging Face folder or damaged, or the target is in use.
    """
    start = initial.find(source)
    if start.is_checkpoint:
        raise errors.UserError(f"--hf={source} is a checkpoint already, not a Hugging Face folder")
    target = target.absolute()
    if not checkpoints.is_unused(target):
        raise errors.UserError(f"--checkpoint={target} is in use; choose a new folder")
    leaves = hf.open_leaves(source, start.size)
    folder = checkpoints.Checkpoints(target)
    folder.write_assets(start.assets, hf_config.dump(start.size, dtype=_main_dtype(leaves)))
    paths.push(target)  # before the step, which is no checkpoint without them
    folder.write_streamed(0, leaves, meta={"base": origin.identify(source)._asdict()})
    folder.close()


def _main_dtype(leaves: dict[str, hf.Leaf]) -> str:
    """The dtype of most values, which is what config.json can say."""
    values: collections.Counter[str] = collections.Counter()
    for leaf in leaves.values():
        values[leaf.dtype.name] += math.prod(leaf.shape)
    return values.most_common(1)[0][0]


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("hf", None, "Folder or hub id of a Qwen2.5-VL model.")
    flags.DEFINE_string("checkpoint", None, "Folder to write; must be new or partial.")
    flags.DEFINE_bool("verify", False, "Compare with transformers instead (needs torch).")


def main(argv: list[str]) -> None:
    """Reads the flags and converts, or verifies."""
    del argv
    name = cli.required("hf")
    if cli.flag("verify"):
        if cli.flag("checkpoint") is not None:
            raise errors.UserError("--verify writes nothing: leave --checkpoint out")
        runtime.start()
        report = verify.run(hub.resolve(name))
        print(verify.format_table(report))
        sys.exit(0 if report.agrees else 1)
    target = cli.required("checkpoint")
    runtime.start()
    with paths.opened(target) as folder:
        convert(hub.resolve(name), folder)
    print(json.dumps({"checkpoint": target, "step": 0}))


if __name__ == "__main__":
    cli.run(main, define_flags)
