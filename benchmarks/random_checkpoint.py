# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Writes a Hugging Face folder of full size with random weights, tensor by tensor.

    PYTHONPATH=. python benchmarks/random_checkpoint.py --size=7b --hf=DIR

The weights are random bits of moderate exponent: finite, not compressible, good for measuring
what it costs to move them and for nothing else. The tokenizer knows bytes only.
"""

import argparse
import json
import pathlib
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from lingshu_jax.data import tokenizer_files
from lingshu_jax.models import hf, hf_config, sizes

MODERATE = np.uint16(0xBFFF)  # clears the highest bit of the exponent: below 2, never infinite


class RandomLeaf:
    """A parameter that is made up when it is read."""

    def __init__(self, shape: tuple[int, ...], seed: int):
        """Remembers the shape.

        Args:
          shape: Of the parameter.
          seed: Of its values; a part read twice differs.
        """
        self.shape, self.dtype = shape, jnp.dtype(jnp.bfloat16)
        self._rng = np.random.default_rng(seed)

    def __getitem__(self, index: tuple[int | slice, ...]) -> np.ndarray:
        """Random values of the shape that the index selects."""
        shape = np.broadcast_to(np.empty(()), self.shape)[index].shape
        bits = np.frombuffer(self._rng.bytes(2 * int(np.prod(shape))), np.uint16)
        return (bits & MODERATE).view(self.dtype).reshape(shape)


def write(folder: pathlib.Path, size: sizes.ModelSize) -> None:
    """Writes a complete folder.

    Args:
      folder: Where to; must be new.
      size: The model's sizes.
    """
    folder.mkdir(parents=True)
    tokenizer_files.write_tokenizer(
        folder, ["ab"], size.special.pad, min_pixels=4 * 784, max_pixels=16384 * 784
    )
    params: dict = {}
    for seed, (path, shape) in enumerate(hf.leaf_shapes(size).items()):
        hf.insert(params, path, RandomLeaf(shape, seed))
    (folder / "config.json").write_text(json.dumps(hf_config.dump(size, dtype="bfloat16")))
    hf.write_weights(params, size, folder)


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the arguments and writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="7b", choices=sorted(sizes.SIZES))
    parser.add_argument("--hf", type=pathlib.Path, required=True)
    arguments = parser.parse_args(argv)
    write(arguments.hf, sizes.get(arguments.size))


if __name__ == "__main__":
    main()
