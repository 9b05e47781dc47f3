# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Shows what is trained: every row is read, some are shown on one HTML page.

    python -m lingshu_jax.inspect_data --config=configs/stage3_instruct.py:tiny --output=DIR
    python -m lingshu_jax.inspect_data --path=rows.json --format=llava --image_root=DIR --output=DIR

The second form takes `--tokenizer=HF_DIR`, `--prompts` and the options of a source: `--split`,
`--dataset`, `--columns`, `--media_newline`, `--allow_outside`, `--train_on`. Writes `index.html`
and `dropped.jsonl` (empty when nothing was refused) into the output folder.

Every image is decoded. `--rows` limits the page only: it takes rows of all sources in turn.
"""

import contextlib
import dataclasses
import functools
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

import tqdm
from absl import flags

from lingshu_jax import inspect_page, inspect_summary
from lingshu_jax.common import cli, errors, paths, runtime
from lingshu_jax.data import (
    batch_plans,
    formats,
    images,
    manifests,
    messages,
    mixtures,
    packing,
    processor,
    sources,
    targets,
    tokenizer_files,
    too_long,
)
from lingshu_jax.rl import config as rl_config
from lingshu_jax.rl import questions
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import inputs

STAND_IN = "byte-level stand-in (one token a byte, the real special tokens)"
DROPPED, PAGE = "dropped.jsonl", "index.html"
# Flags that describe the one source of --path; a config says all this itself.
SOURCE_FLAGS = (
    *("format", "image_root", "allow_outside", "media_newline", "train_on", "dataset", "split"),
    *("columns", "prompts", "min_pixels", "max_pixels"),
)

Encode = Callable[[sources.Example], too_long.Fitted]


class Task(NamedTuple):
    """What is inspected.

    Attributes:
      title: Names it on the page.
      sources: Where the rows come from.
      root: Folder that relative paths of the sources start from.
      encode: Makes tokens of a good row; a UserError refuses it.
      encoder: What it encodes with.
      tokenizer: What the page calls the tokenizer.
      layout: How rows are packed; None without a config.
      seed: Of the shuffle before that.
    """

    title: str
    sources: Sequence[sources.Source]
    root: pathlib.Path
    encode: Encode
    encoder: messages.Encoder
    tokenizer: str
    layout: batch_plans.Layout | None
    seed: int = 0


def inspect(
    task: Task, output: pathlib.Path, *, rows: int, strict: bool
) -> inspect_summary.Summary:
    """Encodes every row, decodes every image, writes the page and `dropped.jsonl`.

    Args:
      task: What is inspected.
      output: Folder; made if missing.
      rows: How many good rows the page shows.
      strict: Makes the first refused row an error; nothing is written then.

    Returns:
      The totals at the top of the page.

    Raises:
      UserError: If a source cannot be read, or if a row is refused and `strict` is set.
    """
    tally = read(task, rows=rows, strict=strict)
    summary = tally.summary(
        title=task.title, tokenizer=task.tokenizer, layout=task.layout, seed=task.seed
    )
    output.mkdir(parents=True, exist_ok=True)
    formats.write_jsonl(output / DROPPED, map(dataclasses.asdict, tally.dropped))
    shown = inspect_summary.in_turn([*tally.shown.values()], rows)
    page = inspect_page.render(summary, shown, task.encoder)
    with paths.whole_file(output / PAGE) as partial:
        partial.write_text(page, encoding="utf-8", errors="replace")
    return summary


def read(task: Task, *, rows: int, strict: bool) -> inspect_summary.Tally:
    """Reads every row of every source, encodes it and decodes its media.

    Args:
      task: What is inspected.
      rows: How many good rows of each source are kept.
      strict: Makes the first refused row an error.

    Raises:
      UserError: If a source cannot be read, or if a row is refused and `strict` is set.
    """
    tally = inspect_summary.Tally(
        task.sources, task.root, rows=rows, geometry=task.encoder.geometry
    )
    for source in task.sources:
        every = sources.stream(source, task.root)
        for row in tqdm.tqdm(every, desc=source.name, unit="row", disable=None, leave=False):
            _take(row, task, tally)
            if strict and tally.dropped:
                raise errors.UserError(tally.dropped[0].text)
    return tally


def _take(row: sources.Example | sources.Dropped, task: Task, tally: inspect_summary.Tally) -> None:
    """Encodes a row and decodes its media; counts it either way."""
    if isinstance(row, sources.Dropped):
        tally.refuse(row)
        return
    try:
        fitted = task.encode(row)
        for media in fitted.encoded.media:
            images.verify(media)
    except errors.UserError as error:
        files = [*manifests.media_of(row)]
        tally.refuse(inspect_summary.refused(row, error), files)
        return
    tally.accept(row, fitted)


def encode_unpacked(encoder: messages.Encoder) -> Encode:
    """As for training, where nothing says how long a row may be.

    Args:
      encoder: What it encodes with.
    """

    def encode(row: sources.Example) -> too_long.Fitted:
        encoded = encoder.encode(row.messages, train_on=row.train_on, id=row.id)
        targets.require(encoded.loss_weights, row.train_on)
        return too_long.Fitted(encoded)

    return encode


def _encode_prompts(encoder: messages.Encoder) -> Encode:
    """Questions with the open turn of the assistant; an answer at the end is left out."""

    def encode(row: sources.Example) -> too_long.Fitted:
        turns = row.messages[:-1] if row.messages[-1]["role"] == "assistant" else row.messages
        encoded = encoder.encode(turns, train=False, generation_prompt=True, id=row.id)
        return too_long.Fitted(encoded)

    return encode


def _encode_questions(
    encoder: messages.Encoder, config: rl_config.RLConfig, budget: packing.Budget
) -> Encode:
    """As reinforcement learning asks them, the instruction included."""

    def encode(row: sources.Example) -> too_long.Fitted:
        made = questions.make_prompts(
            [row],
            encoder,
            instruction=config.instruction,
            max_prompt_tokens=config.max_prompt_tokens,
            budget=budget,
        )
        if made.dropped:
            raise errors.UserError(made.dropped[0].reason)
        return too_long.Fitted(made.prompts[0].encoded)

    return encode


@contextlib.contextmanager
def _stand_in() -> Iterator[pathlib.Path]:
    """A folder with one token a byte and the real special tokens."""
    with tempfile.TemporaryDirectory() as name:
        tokenizer_files.write_tokenizer(pathlib.Path(name), (), tokenizer_files.MIN_VOCAB)
        yield pathlib.Path(name)


def task_of_source(
    source: sources.Source,
    *,
    tokenizer: pathlib.Path | None,
    min_pixels: int | None,
    max_pixels: int | None,
    prompts: bool,
) -> Task:
    """One file or folder.

    Args:
      source: The file; relative paths start from the working directory.
      tokenizer: Hugging Face folder, or None for the stand-in.
      min_pixels: Smallest image area; None takes the folder's.
      max_pixels: Largest.
      prompts: The rows are questions; an answer at the end is left out.

    Raises:
      UserError: If the format or the tokenizer is missing.
    """
    source.validate()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_stand_in()) if tokenizer is None else tokenizer
        limits = processor.read_pixel_limits(folder)
        encoder = messages.Encoder(
            folder,
            min_pixels=limits.smallest if min_pixels is None else min_pixels,
            max_pixels=limits.largest if max_pixels is None else max_pixels,
        )
    return Task(
        title=source.name,
        sources=[source],
        root=pathlib.Path(),
        encode=_encode_prompts(encoder) if prompts else encode_unpacked(encoder),
        encoder=encoder,
        tokenizer=STAND_IN if tokenizer is None else _name_of(tokenizer),
        layout=None,
    )


def task_of_config(
    config: stage_config.StageConfig, output: pathlib.Path, *, tokenizer: pathlib.Path | None
) -> Task:
    """A stage's whole mixture, encoded as the stage does.

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
    root = inputs.data_root(data, output)
    folder = tokenizer
    if folder is None:
        mixture = inputs.read_mixture(data, output, epochs=config.epochs)
        folder = inputs.find_initial(config, mixture, output).assets
    encoder = messages.Encoder(folder, min_pixels=data.min_pixels, max_pixels=data.max_pixels)
    budget = inputs.budget(data, encoder.geometry)
    if isinstance(config, rl_config.RLStageConfig):
        encode, layout = _encode_questions(encoder, config.rl, budget), None
    else:
        policy = cast(too_long.Policy, data.too_long)
        encode = functools.partial(too_long.encode, encoder, budget=budget, policy=policy)
        layout = data.layout
    return Task(
        title=f"stage {config.stage}{', questions without their answers' * (layout is None)}",
        sources=mixtures.without(data.sources, data.without),
        root=root,
        encode=encode,
        encoder=encoder,
        tokenizer=_name_of(folder),
        layout=layout,
        seed=data.seed,
    )


def _name_of(folder: pathlib.Path) -> str:
    """A folder for the page, which does not say where things lie on this machine."""
    return folder.name if folder.is_absolute() else str(folder)


def _task(output: pathlib.Path) -> Task:
    """What the flags ask for."""
    tokenizer = paths.fetched(cli.flag("tokenizer")) if cli.flag("tokenizer") else None
    if (cli.flag("config") is None) == (cli.flag("path") is None):
        raise errors.UserError("give one of --config=FILE.py and --path=FILE")
    if cli.flag("config") is not None:
        given = [name for name in SOURCE_FLAGS if flags.FLAGS[name].present]
        if given:
            raise errors.UserError(f"--{given[0]} belongs to --path; the config says it itself")
        runtime.start()
        return task_of_config(cli.flag("config"), output, tokenizer=tokenizer)
    path = cli.required("path")
    source = sources.Source(
        name=pathlib.Path(path).absolute().stem,
        path=path,
        format=cli.flag("format"),
        image_root=cli.flag("image_root"),
        allow_outside=cli.flag("allow_outside"),
        media_newline=cli.flag("media_newline"),
        train_on=cli.flag("train_on"),
        dataset=cli.flag("dataset"),
        split=cli.flag("split"),
        columns=_columns(cli.flag("columns")),
    )
    return task_of_source(
        source,
        tokenizer=tokenizer,
        min_pixels=cli.flag("min_pixels"),
        max_pixels=cli.flag("max_pixels"),
        prompts=cli.flag("prompts"),
    )


def _columns(pairs: Sequence[str]) -> dict[str, str]:
    """`["answer=label"]` as `{"answer": "label"}`."""
    found = {}
    for pair in pairs:
        ours, sign, theirs = pair.partition("=")
        if not (ours and sign and theirs):
            raise errors.UserError(f"--columns must be OURS=THEIRS,OURS=THEIRS, got {pair!r}")
        found[ours] = theirs
    return found


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config()
    flags.DEFINE_string("path", None, "One file or folder instead of a config's mixture.")
    flags.DEFINE_string("format", "messages", "Its format, a word of docs/data_formats.md.")
    flags.DEFINE_string("image_root", "", "Folder of its images; else beside the file.")
    flags.DEFINE_bool("allow_outside", False, "Images may lie outside that folder.")
    flags.DEFINE_string("media_newline", "keep", "Around image tags: keep, swallow_one, strip.")
    flags.DEFINE_string("train_on", "all", "Answers that are trained: all, last, reasoning.")
    flags.DEFINE_string("dataset", "", "For llamafactory: entries, joined by commas.")
    flags.DEFINE_string("split", "train", "For formats with splits of their own.")
    flags.DEFINE_list("columns", [], "Our names of columns to the file's, as answer=label.")
    flags.DEFINE_bool("prompts", False, "The rows are questions; the answer is left out.")
    flags.DEFINE_string("tokenizer", None, "Hugging Face folder with the tokenizer.")
    flags.DEFINE_integer("min_pixels", None, "Smallest image area; else the tokenizer folder's.")
    flags.DEFINE_integer("max_pixels", None, "Largest image area; else the tokenizer folder's.")
    flags.DEFINE_string("output", None, "Folder of the page.")
    flags.DEFINE_integer("rows", 20, "Rows on the page; all are read.", lower_bound=0)
    flags.DEFINE_bool("strict", False, "The first refused row is an error.")


def main(argv: list[str]) -> None:
    """Reads the flags, writes the page, prints the totals."""
    del argv
    address = cli.required("output")
    with paths.opened(address) as output:
        summary = inspect(_task(output), output, rows=cli.flag("rows"), strict=cli.flag("strict"))
    for line in summary.lines():
        print(line)
    print(f"page: {address}/{PAGE}")


if __name__ == "__main__":
    cli.run(main, define_flags)
