# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The package from Python: load a model and ask it, or train one on rows of your own.

    from lingshu_jax import api

    with api.load("lingshu-medical-mllm/Lingshu-7B") as model:
        print(model.answer("What does this image show?", "chest.dcm"))

    base = "Qwen/Qwen2.5-VL-3B-Instruct"
    run = api.finetune(base, "rows.json", format="llava", workdir="runs/mine")
    run.export("my-model")

Everything else is a command (README) or a module with functions of its own. Nothing that a model
says here may guide the care of a patient.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from lingshu_jax import export as exporting
from lingshu_jax import finetuning, train
from lingshu_jax.common import runtime
from lingshu_jax.data import sources
from lingshu_jax.engines import protocol, registry
from lingshu_jax.stages import config as stage_config

# A path (DICOM and NIfTI too), the bytes of a file, or a picture.
Picture = str | pathlib.Path | bytes | Image.Image
Message = Mapping[str, Any]


class Model:
    """A model that answers; closed by `close` or by leaving `with`."""

    def __init__(self, engine: protocol.Engine):
        """Takes over an engine.

        Args:
          engine: Closed with this.
        """
        self._engine = engine

    def answer(
        self,
        question: str,
        images: Picture | Sequence[Picture] = (),
        *,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> str:
        """The answer to one question.

        Args:
          question: Any text; pictures come before it.
          images: None, one or several.
          max_new_tokens: Longest answer, in tokens; a longer one is cut.
          temperature: 0 is greedy.
          seed: Of a sampled answer.

        Raises:
          UserError: If a picture cannot be read, or the question is too long.
        """
        sampling = _sampling(max_new_tokens, temperature, seed)
        return self.chat([_ask(question, images)], sampling)

    def chat(self, messages: Sequence[Message], sampling: protocol.SamplingParams) -> str:
        """The next turn of a conversation.

        Args:
          messages: `{"role", "content"}` as in a row of format `messages` (docs/data_formats.md);
            the last one is the user's.
          sampling: How it is decoded.

        Raises:
          UserError: As of `answer`.
        """
        ((found,),) = self._engine.generate(
            [protocol.Request(messages=messages, sampling=sampling)]
        )
        return found.text

    def stream(
        self,
        question: str,
        images: Picture | Sequence[Picture] = (),
        *,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Iterator[str]:
        """The answer in pieces, as it comes.

        Args:
          question: As of `answer`; so are the others.
          images: None, one or several.
          max_new_tokens: Longest answer, in tokens.
          temperature: 0 is greedy.
          seed: Of a sampled answer.
        """
        sampling = _sampling(max_new_tokens, temperature, seed)
        request = protocol.Request(messages=[_ask(question, images)], sampling=sampling)
        for delta in self._engine.stream(request):
            if delta.text:
                yield delta.text

    def close(self) -> None:
        """Lets go of its memory; nothing is asked afterwards."""
        self._engine.close()

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
      workdir: Its folder; `python -m lingshu_jax.report --workdir=` shows it.
      summary: What `finished.json` holds.
    """

    workdir: pathlib.Path
    summary: Mapping[str, Any]

    def export(self, folder: str | pathlib.Path) -> pathlib.Path:
        """Writes a complete Hugging Face folder, adapters merged.

        Args:
          folder: Where; must be new.

        Returns:
          The folder, which `load`, transformers and vLLM take.

        Raises:
          UserError: If it exists.
        """
        exporting.export(self.workdir, pathlib.Path(folder))
        return pathlib.Path(folder)


def load(
    model: str | pathlib.Path,
    *,
    engine: str = "jax",
    options: registry.Options = registry.DEFAULTS,
) -> Model:
    """Loads a model.

    Args:
      model: A Hugging Face folder or hub id (`org/name[@revision]`), or the name a server knows.
      engine: `jax`, `vllm` or `openai`.
      options: Of the engine.

    Raises:
      UserError: If there is no such model or engine.
    """
    return Model(registry.make(engine, str(model), options=options))


def finetune(
    model: str | pathlib.Path,
    rows: str | pathlib.Path,
    *,
    workdir: str | pathlib.Path,
    format: str = "messages",
    image_root: str | pathlib.Path = "",
    **values: Any,
) -> Run:
    """Trains on rows of your own; the same call continues a run that was interrupted.

    Args:
      model: Where it starts: a Hugging Face folder or hub id, or the workdir of an earlier run.
      rows: A file or folder.
      workdir: Of the run.
      format: Of the rows, a word of docs/data_formats.md.
      image_root: Where relative paths of pictures start; default: where the rows are.
      **values: `lora`, `epochs`, `steps`, `rows_per_batch`, `tokens_per_row`, as of
        `finetuning.stage`.

    Raises:
      UserError: If something cannot be used; the line says what.
    """
    source = sources.Source(name="rows", format=format, path=str(rows), image_root=str(image_root))
    return run(finetuning.stage(str(model), (source,), **values), workdir)


def run(config: stage_config.StageConfig, workdir: str | pathlib.Path) -> Run:
    """Runs a stage, as `python -m lingshu_jax.train` does.

    Args:
      config: Of a file in configs/, or your own.
      workdir: Of the run; continued if it exists.

    Raises:
      UserError: As of `finetune`.
    """
    runtime.start()
    folder = pathlib.Path(workdir)
    return Run(folder, train.run_stage(config, folder))


def _ask(question: str, images: Picture | Sequence[Picture]) -> Message:
    every = [images] if isinstance(images, str | pathlib.Path | bytes | Image.Image) else images
    shown = [str(one) if isinstance(one, pathlib.Path) else one for one in every]
    parts = [{"type": "image", "image": one} for one in shown]
    return {"role": "user", "content": [*parts, {"type": "text", "text": question}]}


def _sampling(max_new_tokens: int, temperature: float, seed: int) -> protocol.SamplingParams:
    return protocol.SamplingParams(
        max_new_tokens=max_new_tokens, temperature=temperature, seed=seed
    )
