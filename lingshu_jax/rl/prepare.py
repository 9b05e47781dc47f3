# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Questions of any format become a training file of stage 4, as in the paper.

    python -m lingshu_jax.rl.prepare --input=DATA/vqa_rad --format=vqa_rad --output=DIR
    python -m lingshu_jax.rl.prepare --input=a.parquet --format=verl --input=b.jsonl \
        --format=messages --output=DIR --model=STAGE3_HF --min_pass=0.1 --max_pass=0.9

In turn: read (`data/readers.py`), multiple choice with word answers rewritten as open questions
(`prepare_choices.py`), yes/no cut to a share and the rest levelled over modality and form
(`prepare_balance.py`), and, where `--model` is given, tried by a model and kept between two pass
rates (`difficulty.py`), then cut and levelled once more.

    DIR/train.jsonl     rows of format `messages`: data.sources of configs/stage4_rl.py reads them
    DIR/images          their pictures, each under the hash of its content
    DIR/dropped.jsonl   every row that is not in it, with the reason
    DIR/manifest.json   settings, digests of what was read, counts of every step
    DIR/difficulty      what the model was asked and what it answered

Every row that was read is in train.jsonl or in dropped.jsonl. The same input, settings, seed and
answers give the same bytes. The same command again asks the model only what has no answer. Exit
code 0: done; 1: some questions could not be asked; 2: bad input.
"""

import collections
import dataclasses
import fractions
import pathlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

import tqdm
from absl import flags

from lingshu_jax.common import cli, errors, paths, prompts
from lingshu_jax.data import formats, sources
from lingshu_jax.engines import registry
from lingshu_jax.rl import (
    config_reward,
    difficulty,
    prepare_balance,
    prepare_report,
    prepare_rows,
    questions,
    rewards,
)

TRAIN, DROPPED, IMAGES, DIFFICULTY = "train.jsonl", "dropped.jsonl", "images", "difficulty"
CHOICES = ("open", "open_only", "keep")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is kept.

    Attributes:
      total_rows: At most so many; 0 is no limit. The paper has about 100,000 (Table 5).
      yes_no_share: The most of them that may be yes/no questions; the paper's is about 5 %.
      choices: "open" rewrites multiple choice where it can and keeps the rest as it is, "open_only"
        drops the rest, "keep" rewrites nothing.
      modality_keys: Where a row's meta says its modality; the first that is there counts.
      seed: Of what is kept where not all is.
      min_pass: Smallest pass rate of a question that is kept, where a model has tried it.
      max_pass: Largest.
    """

    total_rows: int = 100_000
    yes_no_share: float = 0.05
    choices: str = "open"
    modality_keys: tuple[str, ...] = ("modality", "predicted_modality")
    seed: int = 0
    min_pass: float = 0.0
    max_pass: float = 1.0

    def validate(self) -> None:
        """Raises UserError where a field is out of range."""
        for name in ("total_rows", "seed"):
            if getattr(self, name) < 0:
                raise errors.UserError(f"--{name} must be >= 0, got {getattr(self, name)}")
        if self.choices not in CHOICES:
            raise errors.UserError(f"--choices={self.choices}: allowed are {', '.join(CHOICES)}")
        for name in ("yes_no_share", "min_pass", "max_pass"):
            if not 0 <= getattr(self, name) <= 1:
                raise errors.UserError(f"--{name} must be 0 to 1, got {getattr(self, name)}")
        if self.min_pass > self.max_pass:
            raise errors.UserError(f"--min_pass={self.min_pass} is above --max_pass")


class Trial(NamedTuple):
    """How difficulty is measured."""

    sampling: difficulty.Sampling
    reward_fn: rewards.RewardFn
    reward: str


def run(
    inputs: Sequence[sources.Source],
    output: pathlib.Path,
    *,
    settings: Settings = Settings(),
    trial: Trial | None = None,
) -> prepare_report.Report:
    """Reads, rewrites, chooses and writes.

    Args:
      inputs: What is read; names are unique.
      output: The folder.
      settings: What is kept.
      trial: A model that tries the questions; None measures no difficulty.

    Raises:
      UserError: If a source or the model cannot be used, or if no question is left.
    """
    settings.validate()
    if trial is not None:
        trial.sampling.validate()
    _require_outside(inputs, output)
    work = _Work(settings, output)
    for source in inputs:
        work.read(source, with_prefix=len(inputs) > 1)
    work.choose("chosen")
    if trial is not None:
        work.write_pictures()
        work.measure(trial)
        work.choose("chosen again")
    work.write_pictures()
    rows = [prepare_rows.as_row(made.example, work.pictures.names) for made in work.kept]
    formats.write_jsonl(output / TRAIN, rows)
    formats.write_jsonl(output / DROPPED, map(dataclasses.asdict, work.dropped))
    report = work.report(inputs)
    prepare_report.write(report, output)
    if not rows:
        reason = work.dropped[0].text if work.dropped else "the input has no rows"
        raise errors.UserError(f"no question is left; {output / DROPPED} says why; first: {reason}")
    return report


class _Work:
    """The questions between two steps.

    Attributes:
      kept: Those that are left, in the order of the input.
      dropped: The others.
      pictures: Of those that are left.
    """

    def __init__(self, settings: Settings, output: pathlib.Path):
        self.kept: list[prepare_rows.Made] = []
        self.dropped: list[sources.Dropped] = []
        self.pictures = prepare_rows.Pictures(output / IMAGES)
        self._settings, self._output = settings, output
        self._tally = prepare_report.Tally()

    def read(self, source: sources.Source, *, with_prefix: bool) -> None:
        """Reads a source, and rewrites its multiple choice."""
        rows, before = sources.stream(source), len(self.kept)
        for row in tqdm.tqdm(rows, desc=source.name, unit="row", disable=None, leave=False):
            self._tally.read[source.name] += 1
            if isinstance(row, sources.Dropped):
                self.dropped.append(row)
                continue
            self._tally.see(row)
            try:
                made = self._make(row)
            except errors.UserError as error:
                self._drop(row, str(error))
                continue
            if with_prefix:  # ids are unique in a source at most
                named = dataclasses.replace(made.example, id=f"{source.name}/{made.example.id}")
                made = made._replace(example=named)
            self.kept.append(made)
        self._tally.step(f"verifiable of {source.name}", len(self.kept) - before)

    def choose(self, step: str) -> None:
        """Cuts yes/no and levels the rest."""
        if not self._tally.candidates:
            self._tally.candidates = [*self.kept]
        settings = self._settings
        choice = prepare_balance.choose(
            [made.cell for made in self.kept],
            total=settings.total_rows,
            yes_no_share=fractions.Fraction(str(settings.yes_no_share)),
            seed=settings.seed,
        )
        for place, reason in sorted(choice.reasons.items()):
            self._drop(self.kept[place].example, reason)
        self.kept = [self.kept[place] for place in choice.kept]
        self._tally.step(step, len(self.kept))

    def write_pictures(self) -> None:
        """Brings the pictures of what is left."""
        for made in self.kept:
            self.pictures.add(made.example)

    def measure(self, trial: Trial) -> None:
        """Has a model try what is left, and keeps what is neither too hard nor too easy."""
        if not self.kept:
            return
        asked = [questions.as_asked(made.example, trial.sampling.instruction) for made in self.kept]
        names = {key: f"../{name}" for key, name in self.pictures.names.items()}
        rows = []
        for made, one in zip(self.kept, asked, strict=True):
            told = dataclasses.replace(made.example, messages=one.messages)
            row = prepare_rows.as_row(told, names)
            rows.append({"id": row["id"], "messages": row["messages"][:-1]})
        tried = difficulty.measure(
            rows,
            asked,
            self._output / DIFFICULTY,
            sampling=trial.sampling,
            reward_fn=trial.reward_fn,
        )
        self._tally.tried, self._tally.trial = tried, (trial.sampling, trial.reward)
        before, self.kept = self.kept, []
        for made, one in zip(before, tried, strict=True):
            reason = _unfit(one, self._settings)
            if reason:
                self._drop(made.example, reason)
                continue
            meta = {
                **made.example.meta,
                "pass_rate": round(one.accuracy, 6),
                "pass_samples": one.samples,
            }
            example = dataclasses.replace(made.example, meta=meta)
            self.kept.append(made._replace(example=example))
        self._tally.step("between the pass rates", len(self.kept))

    def report(self, inputs: Sequence[sources.Source]) -> prepare_report.Report:
        """Everything that was counted."""
        return prepare_report.make(
            self._tally,
            inputs,
            kept=self.kept,
            dropped=self.dropped,
            settings=dataclasses.asdict(self._settings),
            train=self._output / TRAIN,
        )

    def _make(self, row: sources.Example) -> prepare_rows.Made:
        choices = self._settings.choices
        made = prepare_rows.make(
            row, open_choices=choices != "keep", modality_keys=self._settings.modality_keys
        )
        self._tally.count(made)
        if choices == "open_only" and made.choice not in ("", prepare_rows.REWRITTEN):
            raise errors.UserError(f"no open question: {made.choice}")
        return made

    def _drop(self, row: sources.Example, reason: str) -> None:
        place = {"id": row.id, "source": row.source, "line": row.line}
        self.dropped.append(sources.Dropped(**place, reason=reason))


def _unfit(tried: difficulty.Tried, settings: Settings) -> str:
    """Why a question is not kept after it was tried, or ""."""
    if tried.failure:
        return f"could not be asked: {tried.failure}"
    rate = f"{tried.accuracy:.3g} of {tried.samples} answers"
    if tried.accuracy < settings.min_pass:
        return f"pass rate below the smallest: {rate}, the smallest is {settings.min_pass}"
    if tried.accuracy > settings.max_pass:
        return f"pass rate above the largest: {rate}, the largest is {settings.max_pass}"
    return ""


def _require_outside(inputs: Sequence[sources.Source], output: pathlib.Path) -> None:
    """Refuses to write over what is read."""
    for source in inputs:
        for file in sources.row_files(source):
            if file.resolve().parent == output.resolve():
                raise errors.UserError(f"--output={output} is the folder of the --input {file}")


def define_flags() -> None:
    """Defines the command's flags."""
    registry.define_flags()
    flags.adopt_module_key_flags(registry)
    flags.DEFINE_multi_string("input", [], "File or folder of rows; may be given repeatedly.")
    for name, default, said in (
        ("format", "messages", "Word of docs/data_formats.md"),
        ("image_root", "", "Folder that media paths start from; default: the file's"),
        ("split", "train", "Part of a folder or data set"),
    ):
        flags.DEFINE_multi_string(name, [default], f"{said}. Once, or once for each --input.")
    flags.DEFINE_list("columns", [], "OURS=THEIRS,... where a file's columns differ.")
    flags.DEFINE_boolean("allow_outside", False, "Media may lie outside the image root.")
    flags.DEFINE_string("output", None, "Folder of the training file.")
    default = Settings()
    flags.DEFINE_integer("total_rows", default.total_rows, "At most so many; 0: no limit.")
    flags.DEFINE_float("yes_no_share", default.yes_no_share, "Most of the result, 0 to 1.")
    flags.DEFINE_string("choices", default.choices, f"One of {', '.join(CHOICES)}.")
    flags.DEFINE_list("modality_keys", [*default.modality_keys], "Of a row's meta.")
    flags.DEFINE_integer("seed", default.seed, "Of what is kept, and of sampled answers.")
    flags.DEFINE_float("min_pass", default.min_pass, "Smallest pass rate; with --model.")
    flags.DEFINE_float("max_pass", default.max_pass, "Largest pass rate; with --model.")
    flags.DEFINE_integer("samples", 8, "Answers to each question; with --model.")
    flags.DEFINE_float("temperature", 1.0, "Of these answers.")
    flags.DEFINE_integer("max_new_tokens", 2048, "Of an answer, in tokens.")
    flags.DEFINE_string("instruction", prompts.ANSWER_FORMAT, "As rl.instruction of the stage.")
    flags.DEFINE_string("reward", "", "path.py:name that judges; default: format and accuracy.")
    flags.DEFINE_boolean("overwrite", False, "Asks the model anew, whatever is there.")


def main(argv: list[str]) -> None:
    """Reads the flags, prepares, prints the tables."""
    del argv
    address = cli.required("output")
    settings = Settings(
        modality_keys=tuple(cli.flag("modality_keys")),
        **{
            field.name: cli.flag(field.name)
            for field in dataclasses.fields(Settings)
            if field.name != "modality_keys"
        },
    )
    inputs, trial = _inputs(), _trial()
    if trial is None and (settings.min_pass, settings.max_pass) != (0.0, 1.0):
        raise errors.UserError("--min_pass and --max_pass need --model, which tries the questions")
    with paths.opened(address) as output:
        report = run(inputs, output, settings=settings, trial=trial)
    print(prepare_report.format_tables(report))
    print(f"{report.rows} questions in {address}/{TRAIN}, {report.dropped} rows in {DROPPED}")
    if report.failed:
        print(f"{report.failed} questions could not be asked; the same command asks them again")
        sys.exit(1)


def _inputs() -> list[sources.Source]:
    files = cli.flag("input")
    if not files:
        raise errors.UserError("--input is required")
    given = {name: cli.flag(name) for name in ("format", "image_root", "split")}
    for name, values in given.items():
        if len(values) not in (1, len(files)):
            raise errors.UserError(
                f"--{name} is given {len(values)} times; allowed: once, or once for each of the "
                f"{len(files)} --input"
            )
    columns = dict(pair.partition("=")[::2] for pair in cli.flag("columns"))
    seen: collections.Counter[str] = collections.Counter()
    made = []
    for place, file in enumerate(files):
        name = pathlib.PurePath(file).stem
        seen[name] += 1
        made.append(
            sources.Source(
                name=name if seen[name] == 1 else f"{name}_{seen[name]}",
                path=file,
                columns=columns,
                allow_outside=cli.flag("allow_outside"),
                **{key: values[place % len(values)] for key, values in given.items()},
            )
        )
    return made


def _trial() -> Trial | None:
    if not cli.flag("model"):
        return None
    sampling = difficulty.Sampling(
        choice=registry.choose(
            cli.flag("engine"), cli.flag("model"), options=registry.options_from_flags()
        ),
        **{
            name: cli.flag(name)
            for name in (
                *("instruction", "samples", "temperature", "max_new_tokens", "seed", "overwrite"),
            )
        },
    )
    reward = config_reward.RewardConfig(function=cli.flag("reward"))
    return Trial(sampling, rewards.make(reward, field="--reward"), cli.flag("reward"))


if __name__ == "__main__":
    cli.run(main, define_flags)
