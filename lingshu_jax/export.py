# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint to Hugging Face folder: `python -m lingshu_jax.export --checkpoint=DIR --hf=DIR`.

Weights go layer by layer from the checkpoint into the folder. LoRA adapters are merged on the
way; with `--adapter` they alone are written, as a folder that PEFT loads onto the base model.
"""

import json
import pathlib
import shutil

import jax.numpy as jnp
from absl import flags

from lingshu_jax import lineage, model_card
from lingshu_jax.common import checkpoints, cli, errors, paths, runtime
from lingshu_jax.data import tokenizer_files
from lingshu_jax.models import hf, hf_config, layers, lora, origin, peft, qwen2_5_vl, sizes
from lingshu_jax.stages import trainer


def export(
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    dtype: str | None = None,
    evaluation: pathlib.Path | None = None,
) -> None:
    """Writes a complete folder that transformers and vLLM load as it is.

    Args:
      source: A checkpoint folder or a training workdir; its newest step is taken.
      target: The folder; it appears whole or not at all.
      dtype: Of the tensors; None keeps that of each parameter in the checkpoint, where frozen
        ones may be narrower than trained ones. config.json then names the wider of them, in which
        a loader loses nothing.
      evaluation: Folder of an evaluation whose scores the model card shows.

    Raises:
      UserError: If the source holds no checkpoint or no tokenizer, or the target exists.
    """
    _check_new(target)
    if evaluation is not None:
        model_card.find_evaluations(evaluation)  # a wrong one fails before anything is written
    found, size = _open(source)
    folder = checkpoints.Checkpoints(found)
    wanted = None if dtype is None else jnp.dtype(dtype)
    params = lora.merge_stored(_stored_params(folder, size), wanted)
    folder.close()
    assets = found / checkpoints.ASSETS
    tokenizer_files.require_tokenizer(assets)
    _make_parent(target)
    stored = str(json.loads((assets / "config.json").read_text())["torch_dtype"])
    config = hf_config.dump(size, dtype=dtype or stored)
    with paths.whole_folder(target) as partial:
        shutil.copytree(assets, partial, dirs_exist_ok=True)
        tokenizer_files.complete(partial)
        (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        hf.write_weights(params, size, partial, dtype=wanted)
        model_card.write(partial, source, name=target.name, evaluation=evaluation)


def export_adapter(source: pathlib.Path, target: pathlib.Path) -> None:
    """Writes the adapters of a run as a folder that `peft.PeftModel` loads onto its base model.

    Args:
      source: A checkpoint folder or a training workdir; its newest step is taken.
      target: The folder; it appears whole or not at all.

    Raises:
      UserError: If the source holds no adapters, or trained what such a folder cannot hold, or
        the target exists.
    """
    _check_new(target)
    found, size = _open(source)
    folder = checkpoints.Checkpoints(found)
    params = _stored_params(folder, size)
    trained = folder.read_meta().get(trainer.TRAINED, [])
    folder.close()
    traced = lineage.trace(source)
    base = traced.base.known
    if len(traced.stages) > 1:  # the adapters fit what the stages before made of the base
        base = origin.identify(traced.stages[-1].config["model"]["init_from"])
    _make_parent(target)
    # A folder's name, `runs/base`, would be taken for a repository of the hub.
    peft.write(target, params, base=base.hub_id, trained=trained)


def _check_new(target: pathlib.Path) -> None:
    if target.exists():
        raise errors.UserError(f"--hf={target} exists already; choose a new folder")


def _make_parent(target: pathlib.Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(f"cannot write --hf={target}: {error.strerror}") from error


def _open(source: pathlib.Path) -> tuple[pathlib.Path, sizes.ModelSize]:
    found = checkpoints.find(source)
    return found, hf_config.read(found / checkpoints.ASSETS)


def _stored_params(folder: checkpoints.Checkpoints, size: sizes.ModelSize) -> layers.Params:
    """The parameters of the newest step, unread, after a look at their names and shapes."""
    params = folder.stored_params()
    abstract = qwen2_5_vl.abstract_params(size, jnp.dtype(jnp.float32))
    checkpoints.check_same_leaves(lora.strip(params), abstract, folder.folder)
    return params


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("checkpoint", None, "A checkpoint folder or a run's workdir.")
    flags.DEFINE_string("hf", None, "Folder to write; must be new.")
    flags.DEFINE_enum("dtype", None, ["float32", "bfloat16"], "Default: as stored.")
    flags.DEFINE_bool("adapter", False, "Write the LoRA adapters alone, as a PEFT folder.")
    flags.DEFINE_string("evaluation", None, "Evaluation whose scores the model card shows.")


def main(argv: list[str]) -> None:
    """Reads the flags and exports."""
    del argv
    source, name = paths.fetched(cli.required("checkpoint")), cli.required("hf")
    evaluation = cli.flag("evaluation")
    runtime.start()
    with paths.opened(name) as target:
        if cli.flag("adapter"):
            if evaluation or cli.flag("dtype"):
                raise errors.UserError(
                    "--adapter writes adapters alone: no --evaluation, no --dtype"
                )
            export_adapter(source, target)
        else:
            found = None if evaluation is None else paths.fetched(evaluation)
            export(source, target, dtype=cli.flag("dtype"), evaluation=found)
    print(json.dumps({"hf": name}))


if __name__ == "__main__":
    cli.run(main, define_flags)
