# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Fine-tuning on rows of your own, with LoRA adapters on the language model.

    python -m lingshu_jax.train --config=configs/finetune.py:3b,llava,rows.json --workdir=DIR
    python -m lingshu_jax.train --config=configs/finetune.py:7b,tfds,curated/mixtures/deep_align \
        --workdir=DIR

After the colon, with commas: the size (`3b`, `7b`, `32b`, `72b`, or `tiny`, which is random and
shows the way in a minute), the format and the path of the rows (docs/data_formats.md), and perhaps
the folder that relative paths of pictures start from. More of the config by flags:

    --config.model.init_from=DIR_OR_ID      another start, Lingshu's weights or an earlier run
    --config.lora.modules=                  no adapters: everything is trained
    --config.epochs=3                       passes over the rows
    --config.data.rows_per_batch=16         packed rows of a step; a multiple of the devices

`lingshu_jax/finetuning.py` has the values: our choice, and not tried on published weights.
"""

from lingshu_jax import finetuning
from lingshu_jax.common import errors
from lingshu_jax.data import sources
from lingshu_jax.stages import config

FORM = "SIZE,FORMAT,PATH or SIZE,FORMAT,PATH,IMAGE_ROOT"


def get_config(arg: str = "") -> config.StageConfig:
    """One stage on rows of your own.

    Args:
      arg: As above.

    Raises:
      UserError: If it has another form.
    """
    size, *row = arg.split(",")
    if not 2 <= len(row) <= 3:
        raise errors.UserError(f"--config=configs/finetune.py:{FORM}, got {arg!r}")
    form, path, *image_root = row
    rows = (sources.Source(name="rows", format=form, path=path, image_root="".join(image_root)),)
    if size == config.TINY:
        return finetuning.tiny(rows)
    return finetuning.stage(config.hub_folder(size), rows)
