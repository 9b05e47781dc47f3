# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Loss and gradients of the batches of `tests/stages/test_splits.py`, from several processes.

    python -m tests.distributed.gradients FILE.json '{"data": 2, "tensor": 2}'

The main process writes the loss of each batch, and beside it one .npz of its gradients each.
"""

import json
import pathlib
import sys
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from lingshu_jax.common import runtime, sharding, structs
from tests.stages import test_splits


def local_rows(batch: structs.Batch, mesh: jax.sharding.Mesh) -> structs.Batch:
    """What a reader of this process would have read."""
    share = sharding.row_share(mesh)
    count = test_splits.ROWS // share.count
    return jax.tree.map(lambda x: x[share.index * count : (share.index + 1) * count], batch)


def whole(gradients: dict[str, jax.Array]) -> dict[str, np.ndarray]:
    """Each leaf from all processes."""
    gather = multihost_utils.process_allgather
    return {name: np.asarray(gather(leaf, tiled=True)) for name, leaf in gradients.items()}


def main(path: str, axes: str) -> None:
    runtime.start(several_hosts=True)
    jax.config.update("jax_default_matmul_precision", "highest")
    mesh = sharding.make_mesh(json.loads(axes))
    sharding.connect(mesh)
    file, losses = pathlib.Path(path), {}
    for name, args in test_splits.BATCHES.items():
        batch = local_rows(test_splits.make_batch(*args, test_splits.PACKED), mesh)
        loss, gradients = test_splits.step_on(batch, mesh)
        losses[name], gathered = loss, whole(gradients)
        if runtime.is_main_host():
            to_save: Any = gathered
            np.savez(file.with_name(f"{name}.npz"), **to_save)
    if runtime.is_main_host():
        file.write_text(json.dumps(losses))


if __name__ == "__main__":
    main(*sys.argv[1:])
