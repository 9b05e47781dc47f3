# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
r"""Writes training rows with a model: captions, questions, reasons, dialogues.

    python -m data_tools.synthesize --config=configs/synthesis.py:FOLDER --output=DIR \
      --model=NAME --engine=openai --base_url=http://localhost:8000/v1

Any engine can write. The same command again goes on where it was interrupted and pays for no reply
twice; it asks again for what got none. `--dry_run` says how much would be asked and what it costs,
and asks nothing. Exit code 0: every seed is a row or is counted as dropped; 1: some got no reply.
"""

import contextlib
import dataclasses
import functools
import heapq
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tqdm
from absl import flags

from data_tools import scans, splits, steps
from data_tools.synthesis import asks, desk, estimate, template_vqa
from data_tools.synthesis import config as config_lib
from data_tools.synthesis import labelled as labelled_lib
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import cli, paths
from lingshu_jax.data import sources
from lingshu_jax.engines import protocol, registry

SUMMARY = "summary.json"


def run(
    config: config_lib.SynthesisConfig,
    output: Path,
    choice: registry.Choice,
    *,
    temperature: float = desk.Author.temperature,
    is_guided: bool = desk.Author.is_guided,
) -> dict[str, Any]:
    """Writes what is missing.

    Args:
      config: What is written about, and how.
      output: Folder; missing, empty, or of an earlier run.
      choice: Who writes.
      temperature: Of every question; 0 is greedy.
      is_guided: Whether schemas are sent along, for the engine to keep to.

    Returns:
      The content of summary.json: by recipe what was read, asked, written and dropped.

    Raises:
      UserError: If the config or an input cannot be used, or the engine can give no more replies.
    """
    config.validate()
    author = desk.Author(
        model=choice.model,
        settings=choice.settings(),
        temperature=temperature,
        seed=config.seed,
        is_guided=is_guided,
    )
    salt = scans.salt(output, config.salt)
    summary: dict[str, Any] = {"model": choice.model, "recipes": {}}
    with contextlib.ExitStack() as stack:

        @functools.cache
        def engine() -> protocol.Engine:
            return stack.enter_context(contextlib.closing(choice.make()))

        for name in config.used():
            counts = desk.write(
                _recipe(config, name, salt),
                chosen(config, name, salt),
                output,
                author=author,
                make_engine=engine,
                window=config.window,
            )
            summary["recipes"][name] = dataclasses.asdict(counts)
        made = engine() if engine.cache_info().currsize else None
        if isinstance(made, protocol.Metered):
            summary["used"] = made.used()._asdict()
    steps.write_json(output / SUMMARY, summary)
    return summary


def plan(
    config: config_lib.SynthesisConfig, options: registry.Options
) -> dict[str, estimate.Estimate]:
    """What would be asked, by recipe; nothing is.

    Args:
      config: What would be written about.
      options: Of the engine, with prices.

    Raises:
      UserError: If the config or an input cannot be used.
    """
    config.validate()
    found = {}
    for name in config.used():
        number = functools.partial(_number, config.seed, f"{name} sample")
        every = _seeds(config, name, b"")  # nothing of it is kept
        count, sample = 0, []
        for seed in every:
            count += 1
            heapq.heappush(sample, (-number(seed), count, seed))
            if len(sample) > estimate.SAMPLE:
                heapq.heappop(sample)
        most = config.section(name).most
        found[name] = estimate.estimate(
            _recipe(config, name, b""),
            [seed for _, _, seed in sorted(sample, key=lambda entry: entry[1])],
            count=min(count, most) if most else count,
            author=desk.Author(model="", seed=config.seed),
            server=options.server,
        )
    return found


def chosen(
    config: config_lib.SynthesisConfig, name: str, salt: bytes
) -> Iterator[seeds_lib.Seed | sources.Dropped]:
    """The seeds of a recipe, and the rows that were refused, in the order of the sources.

    Args:
      config: Of the synthesis.
      name: Of the recipe.
      salt: Secret of the hashes in ids.

    Yields:
      All of them; where `most` says so, those whose ids have the smallest hashes: the same ones
      whatever their order, and a smaller choice is part of a larger one.
    """
    most = config.section(name).most
    if not most:
        yield from _stream(config, name, salt)
        return
    number = functools.partial(_number, config.seed, name)
    limit = max(heapq.nsmallest(most, map(number, _seeds(config, name, salt))), default=-1)
    for one in _stream(config, name, salt):
        if isinstance(one, sources.Dropped) or number(one) <= limit:
            yield one


def _recipe(config: config_lib.SynthesisConfig, name: str, salt: bytes) -> asks.Recipe:
    """A recipe that has seen, if it needs to, what all seeds say."""
    recipe = config.recipe(name)
    if isinstance(recipe, template_vqa.TemplateVqa):
        return recipe.prepared(_seeds(config, name, salt))
    return recipe


def _number(seed: int, name: str, one: seeds_lib.Seed) -> int:
    return splits.number(f"{seed} {name} choice {one.id}")


def _seeds(config: config_lib.SynthesisConfig, name: str, salt: bytes) -> Iterator[seeds_lib.Seed]:
    for one in _stream(config, name, salt):
        if isinstance(one, seeds_lib.Seed):
            yield one


def _stream(
    config: config_lib.SynthesisConfig, name: str, salt: bytes
) -> Iterator[seeds_lib.Seed | sources.Dropped]:
    wanted = config.section(name).sources
    for source in config.sources:
        if source.name in wanted:
            yield from seeds_lib.stream(source, config.root)
    for source in config.labelled:
        if source.name in wanted:
            yield from labelled_lib.stream(source, config.root, salt=salt)


def define_flags() -> None:
    """Defines the command's flags."""
    cli.define_config(example="configs/synthesis.py:.")
    registry.define_flags()
    flags.adopt_module_key_flags(registry)  # --help shows them
    flags.DEFINE_string("output", None, "Folder that everything is written to.")
    flags.DEFINE_float("temperature", desk.Author.temperature, "Of every question; 0 is greedy.")
    flags.DEFINE_boolean(
        "guided", desk.Author.is_guided, "The engine is told the schema of each reply. Not jax."
    )
    flags.DEFINE_boolean("dry_run", False, "Says what would be asked and paid, and asks nothing.")


def main(argv: list[str]) -> None:
    """Writes as the flags say and prints a line a recipe."""
    del argv
    config, options = cli.required("config"), registry.options_from_flags()
    if cli.flag("dry_run"):
        for line in describe_plan(plan(config, options), options):
            print(line)
        return
    address = cli.required("output")
    choice = registry.choose(cli.flag("engine"), cli.required("model"), options=options)
    sampling = protocol.SamplingParams(max_new_tokens=1, temperature=cli.flag("temperature"))
    sampling.validate()
    choice.check(sampling)
    with paths.opened(address) as output:
        summary = run(
            config,
            output,
            choice,
            temperature=cli.flag("temperature"),
            is_guided=cli.flag("guided") and choice.name != "jax",
        )
    for name, counts in summary["recipes"].items():
        print(describe(name, counts))
    failed = sum(counts["failed"] for counts in summary["recipes"].values())
    if failed:
        print(f"{failed:,} seeds got no reply; the same command asks for those again")
        sys.exit(1)


def describe(name: str, counts: dict[str, Any]) -> str:
    """A recipe in a line.

    Args:
      name: Its name.
      counts: Of `desk.Counts`.
    """
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in counts["dropped"].items())
    return (
        f"{name}: {counts['seeds']:,} seeds, {counts['asked']:,} replies ({counts['again']:,} "
        f"unreadable), {counts['rows']:,} rows; dropped: {dropped or 'none'}"
    )


def describe_plan(found: dict[str, estimate.Estimate], options: registry.Options) -> Iterator[str]:
    """What would be asked, in lines.

    Args:
      found: From `plan`.
      options: With prices.
    """
    terms = options.server.terms
    priced = bool(terms.price_in + terms.price_out)
    total = total_most = 0.0
    for name, one in found.items():
        cost, most = one.cost(terms), one.most_cost(terms)
        total, total_most = total + cost, total_most + most
        price = f"; cost about {cost:,.2f}, at most {most:,.2f}" if priced else ""
        lost = f"; {one.lost:,.0f} give no row" if one.lost else ""
        yield (
            f"{name}: {one.seeds:,} seeds, about {one.calls:,.0f} calls, {one.tokens_in:,.0f} "
            f"tokens in and {one.tokens_out:,.0f} out{price}{lost}"
        )
    if priced:
        yield f"all: about {total:,.2f}, at most {total_most:,.2f} if no reply is asked for twice"
    else:
        yield "no prices: give --price_in and --price_out, of a million tokens"
    sampled = ", ".join(f"{one.sampled:,} {name}" for name, one in found.items())
    tqdm.tqdm.write(
        f"estimated from examples about {sampled} seeds; four characters a token", file=sys.stderr
    )


if __name__ == "__main__":
    cli.run(main, define_flags)
