# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Shows what is trained: every row is read, some are shown on one HTML page.

    python -m lingshu_jax.inspect_data --config=configs/stage3_instruct.py:tiny --output=DIR
    python -m lingshu_jax.inspect_data --path=rows.jsonl --format=messages --output=DIR

The second form takes `--image_root=DIR`, `--tokenizer=HF_DIR` and `--prompts`. Writes
`index.html` and `dropped.jsonl` (empty when nothing was refused) into the output folder.
"""

import collections
import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

from absl import flags

from lingshu_jax import inspect_page
from lingshu_jax.common import cli, errors, runtime
from lingshu_jax.data import formats, images, messages, packing, sources, tokenizer_files
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import questions
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import inputs

STAND_IN = "byte-level stand-in (one token a byte, the real special tokens)"


class Task(NamedTuple):
    """What is inspected.

    Attributes:
      examples: Rows that could be read, all sources.
      dropped: Rows that could not.
      encoder: Makes tokens of them.
      tokenizer: What the page calls the tokenizer.
      budget: What a packed row holds; None without a config.
      prompts: True if the rows are prompts of reinforcement learning.
    """

    examples: list[sources.Example]
    dropped: list[sources.Dropped]
    encoder: messages.Encoder
    tokenizer: str
    budget: packing.Budget | None
    prompts: bool


def inspect(task: Task, output: pathlib.Path, *, rows: int, strict: bool) -> inspect_page.Summary:
    """Encodes every row, decodes every image, writes the page and `dropped.jsonl`.

    Args:
      task: What is inspected.
      output: Folder; made if missing.
      rows: How many good rows the page shows, from the first on.
      strict: Makes the first refused row an error; nothing is written then.

    Returns:
      The totals at the top of the page.

    Raises:
      UserError: If a row is refused and `strict` is set.
    """
    dropped = list(task.dropped)
    shown: list[inspect_page.Row] = []
    lengths: list[packing.Length] = []
    totals: collections.Counter[str] = collections.Counter()
    if strict and dropped:
        raise errors.UserError(_say(dropped[0]))
    for example in task.examples:
        try:
            encoded = _encode(task, example)
        except errors.UserError as error:
            place = {"id": example.id, "source": example.source, "line": example.line}
            dropped.append(sources.Dropped(**place, reason=str(error)))
            if strict:
                raise errors.UserError(_say(dropped[-1])) from error
            continue
        lengths.append(packing.length(encoded, task.encoder.geometry))
        totals["tokens"] += encoded.num_tokens
        totals["trained tokens"] += int(encoded.loss_weights.astype(bool).sum())
        totals["images and videos"] += len(encoded.media)
        totals["patches"] += encoded.num_patches
        if len(shown) < rows:
            shown.append(inspect_page.Row(example, encoded))
    summary = inspect_page.Summary(
        tokenizer=task.tokenizer,
        counts={"rows": len(lengths), "refused rows": len(dropped), **totals},
        fill=None if task.budget is None else _fill(lengths, task.budget, task.encoder),
        reasons=dict(collections.Counter(row.reason for row in dropped).most_common()),
    )
    output.mkdir(parents=True, exist_ok=True)
    formats.write_jsonl(output / "dropped.jsonl", map(dataclasses.asdict, dropped))
    page = inspect_page.render(summary, shown, task.encoder)
    partial = output / "index.html.partial"
    partial.write_text(page, encoding="utf-8", errors="replace")
    partial.replace(output / "index.html")
    return summary


def _encode(task: Task, example: sources.Example) -> messages.Encoded:
    """Encodes a row and decodes its images; refuses what a training run would refuse."""
    encoded = task.encoder.encode(
        example.messages, train=not task.prompts, generation_prompt=task.prompts, id=example.id
    )
    if not task.prompts and not encoded.loss_weights.any():
        raise errors.UserError("nothing to train on: no assistant message")
    geometry = task.encoder.geometry
    if task.budget is not None:
        length = packing.length(encoded, geometry)
        if not packing.fits(length, task.budget, geometry):
            raise errors.UserError(
                f"{encoded.num_tokens} tokens and {encoded.num_patches} patches do not fit into a"
                f" row of {task.budget.tokens} tokens and {task.budget.patches} patches"
            )
    for media in encoded.media:
        images.verify(media)
    return encoded


def _fill(
    lengths: list[packing.Length], budget: packing.Budget, encoder: messages.Encoder
) -> tuple[float, float] | None:
    """Share of tokens and patches that carry data when the rows are packed as they stand."""
    num_rows = len(packing.plan(lengths, budget, geometry=encoder.geometry).rows)
    if not num_rows:
        return None
    tokens = sum(item.tokens for item in lengths)
    patches = sum(item.cells for item in lengths) * encoder.geometry.cell_patches
    return tokens / (num_rows * budget.tokens), patches / (num_rows * budget.patches)


def _say(row: sources.Dropped) -> str:
    return f"{row.source}, line {row.line}, id {row.id!r}: {row.reason}"


@contextlib.contextmanager
def _stand_in() -> Iterator[pathlib.Path]:
    """A folder with one token a byte and the real special tokens."""
    with tempfile.TemporaryDirectory() as name:
        tokenizer_files.write_tokenizer(pathlib.Path(name), (), tokenizer_files.MIN_VOCAB)
        yield pathlib.Path(name)


def _encoder(folder: pathlib.Path, *, min_pixels: int, max_pixels: int) -> messages.Encoder:
    return messages.Encoder(folder, min_pixels=min_pixels, max_pixels=max_pixels)


def task_of_file(
    source: sources.Source,
    *,
    tokenizer: pathlib.Path | None,
    min_pixels: int,
    max_pixels: int,
    prompts: bool,
) -> Task:
    """One file or folder.

    Args:
      source: The file; relative paths start from the working directory.
      tokenizer: Hugging Face folder, or None for the stand-in.
      min_pixels: Smallest image area.
      max_pixels: Largest.
      prompts: As in `Task`.

    Raises:
      UserError: If the file, the format or the tokenizer is missing.
    """
    reading = sources.read(source)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_stand_in()) if tokenizer is None else tokenizer
        encoder = _encoder(folder, min_pixels=min_pixels, max_pixels=max_pixels)
    name = STAND_IN if tokenizer is None else str(tokenizer)
    return Task(reading.examples, reading.dropped, encoder, name, None, prompts)


def task_of_config(
    config: stage_config.StageConfig, output: pathlib.Path, *, tokenizer: pathlib.Path | None
) -> Task:
    """A stage's whole mixture, as the stage reads it.

    Args:
      config: The stage.
      output: Stands for the run's folder: demo rows and a random checkpoint are made there.
      tokenizer: Hugging Face folder, or None for that of the stage's first weights.

    Raises:
      UserError: If the config or its files cannot be used.
    """
    config.validate()
    data = config.data
    output.mkdir(parents=True, exist_ok=True)
    mixture = inputs.read_mixture(data, output)
    folder = tokenizer or inputs.find_initial(config, mixture, output).assets
    encoder = _encoder(folder, min_pixels=data.min_pixels, max_pixels=data.max_pixels)
    budget = packing.Budget(data.tokens_per_row, data.patches_per_row)
    task = Task(mixture.examples, mixture.dropped, encoder, str(folder), budget, prompts=False)
    if isinstance(config, rl_config.RLStageConfig):
        return _with_prompts(task, config.rl, budget)
    return task


def _with_prompts(task: Task, config: rl_config.RLConfig, budget: packing.Budget) -> Task:
    """The questions as the policy is asked them, the instruction included."""
    examples: list[sources.Example] = []
    dropped = list(task.dropped)
    for example in task.examples:
        made = questions.make_prompts(
            [example],
            task.encoder,
            instruction=config.instruction,
            max_prompt_tokens=config.max_prompt_tokens,
            budget=budget,
        )
        dropped += made.dropped
        examples += [dataclasses.replace(example, messages=p.messages) for p in made.prompts]
    return task._replace(examples=examples, dropped=dropped, budget=None, prompts=True)


def _task(output: pathlib.Path) -> Task:
    """What the flags ask for."""
    tokenizer = pathlib.Path(cli.flag("tokenizer")) if cli.flag("tokenizer") else None
    if (cli.flag("config") is None) == (cli.flag("path") is None):
        raise errors.UserError("give one of --config=FILE.py and --path=FILE")
    if cli.flag("config") is not None:
        runtime.start()
        return task_of_config(cli.flag("config"), output, tokenizer=tokenizer)
    path = pathlib.Path(cli.required("path"))
    source = sources.Source(
        name=path.stem,
        path=str(path),
        format=cli.flag("format"),
        image_root=cli.flag("image_root"),
        split=cli.flag("split"),
    )
    return task_of_file(
        source,
        tokenizer=tokenizer,
        min_pixels=cli.flag("min_pixels"),
        max_pixels=cli.flag("max_pixels"),
        prompts=cli.flag("prompts"),
    )


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config()
    flags.DEFINE_string("path", None, "One file or folder instead of a config's mixture.")
    flags.DEFINE_string("format", "messages", "Its format.")
    flags.DEFINE_string("image_root", "", "Folder of its images; else beside the file.")
    flags.DEFINE_string("split", "train", "For formats with splits of their own.")
    flags.DEFINE_bool("prompts", False, "The rows are prompts without an answer turn.")
    flags.DEFINE_string("tokenizer", None, "Hugging Face folder with the tokenizer.")
    flags.DEFINE_integer("min_pixels", 3136, "Smallest image area, with --path.")
    flags.DEFINE_integer("max_pixels", 12845056, "Largest image area, with --path.")
    flags.DEFINE_string("output", None, "Folder of the page.")
    flags.DEFINE_integer("rows", 20, "Rows on the page; all are read.", lower_bound=0)
    flags.DEFINE_bool("strict", False, "The first refused row is an error.")


def main(argv: list[str]) -> None:
    """Reads the flags, writes the page, prints the totals."""
    del argv
    output = pathlib.Path(cli.required("output"))
    summary = inspect(_task(output), output, rows=cli.flag("rows"), strict=cli.flag("strict"))
    for line in summary.lines():
        print(line)
    print(f"page: {output / 'index.html'}")


if __name__ == "__main__":
    cli.run(main, define_flags)
