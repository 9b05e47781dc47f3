# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a stage reads before it trains: the mixture's examples and the first weights."""

import dataclasses
import fractions
import itertools
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from absl import logging

import lingshu_jax
from lingshu_jax.common import errors, hub, paths, runtime
from lingshu_jax.common import geometry as geometry_lib
from lingshu_jax.data import (
    batch_plans,
    demo_rows,
    formats,
    manifests,
    messages,
    mixtures,
    packing,
    pipeline,
    sources,
    store,
    too_long,
)
from lingshu_jax.models import origin
from lingshu_jax.stages import config as stage_config
from lingshu_jax.stages import initial, run_folder

BASE = "base"  # folder of a random checkpoint inside the workdir
ENCODED = "encoded"  # folder of encoded rows inside the workdir
DATA, DROPPED, REWRITTEN = "data.json", "dropped.jsonl", "rewritten.jsonl"
COMPUTED = ("patches_per_row", "rows_per_batch")  # where they are 0
MIXTURE = "mixture_sha256"  # of a checkpoint's meta: the manifest's digest


class Mixture(NamedTuple):
    """The rows of a mixture; they are read from their files whenever they are asked for.

    Attributes:
      examples: The chosen rows, each once, in the order of the sources.
      dropped: Rows that were refused while reading.
      amounts: The sources that gave examples, in the order of `source_ids`, and how often an
        epoch reads each of their rows.
      manifest: Files, rows and digests of the sources.
    """

    examples: mixtures.Examples
    dropped: list[sources.Dropped]
    amounts: pipeline.Amounts
    manifest: manifests.Manifest

    @property
    def names(self) -> tuple[str, ...]:
        """Of the sources."""
        return tuple(self.amounts.names)

    def first_epoch(self, seed: int) -> list[sources.Example]:
        """All examples of the first epoch in memory, copies included, source by source.

        Args:
          seed: Of the mixture.
        """
        examples = list(self.examples)
        sizes = [len(share.places) for share in self.examples.shares]
        stops = itertools.accumulate(sizes)
        places = [np.arange(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
        members = mixtures.epoch_members(
            places, self.amounts.names, self.amounts.copies, epoch=0, seed=seed
        )
        return [examples[place] for place in members]


def read_mixture(
    config: stage_config.DataConfig, workdir: pathlib.Path, *, epochs: int = 0
) -> Mixture:
    """Reads every source once, to know its rows; makes the demo's first where they are asked for.

    Args:
      config: Names the sources.
      workdir: The run's folder.
      epochs: Of the run; 0 where it is counted in steps.

    Raises:
      UserError: If a file is missing or of an unknown format, or where `strict` forbids it a
        row is refused.
    """
    root = data_root(config, workdir)
    wanted = mixtures.without(config.sources, config.without)
    found_sources = mixtures.present(wanted, root, skip_absent=config.skip_absent)
    absent = tuple(source.name for source in wanted if source not in found_sources)
    if absent:
        logging.warning("%d of %d sources are absent: %s", len(absent), len(wanted), absent)
    shares: list[mixtures.Share] = []
    copies: list[fractions.Fraction] = []
    dropped: list[sources.Dropped] = []
    entries = []
    for source in found_sources:
        found = mixtures.survey(source, root, strict=config.strict)
        places = mixtures.choose(source, found.good, fraction=config.fraction, seed=config.seed)
        amount = mixtures.copies(source, epochs)
        entries.append(
            manifests.describe(
                source,
                root,
                found.media,
                rows=found.good + len(found.dropped),
                examples=int(amount * len(places)),
                chosen=_describe_choice(len(places), found.good, config.seed),
            )
        )
        dropped += found.dropped
        if len(places):
            shares.append(mixtures.Share(source, places))
            copies.append(amount)
    return Mixture(
        mixtures.Examples(shares, root),
        dropped,
        pipeline.Amounts([share.source.name for share in shares], copies),
        manifests.combine(entries)._replace(absent=absent),
    )


def encode(
    config: stage_config.DataConfig,
    mixture: Mixture,
    assets: pathlib.Path,
    *,
    workdir: pathlib.Path,
) -> store.Store:
    """The encoded rows of a mixture, from an earlier run where it has left them.

    Args:
      config: Of the data.
      mixture: Its examples.
      assets: Folder with the tokenizer.
      workdir: The run's folder, where they are kept unless the config names another.

    Raises:
      UserError: If no example is left, or where `strict` forbids it a row is refused.
    """
    require_rows(config, mixture)
    encoder = messages.Encoder(assets, min_pixels=config.min_pixels, max_pixels=config.max_pixels)
    shares, root = mixture.examples.shares, mixture.examples.root
    files = [str(root.absolute()), *(f"{s.source.path} {s.source.image_root}" for s in shares)]
    with runtime.main_first("encode"):
        rows = store.build(
            mixture.examples,
            encoder,
            names=mixture.names,
            folder=pathlib.Path(config.cache) if config.cache else workdir / ENCODED,
            mixture=" ".join([mixture.manifest.sha256, *files]),
            options=store.Options(
                budget=budget(config, encoder.geometry),
                policy=cast(too_long.Policy, config.too_long),
                verify_images=config.verify_images,
            ),
        )
    require_none(rows.dropped, strict=config.strict)
    return rows


def require_rows(config: stage_config.DataConfig, mixture: Mixture) -> None:
    """Refuses a mixture without a good row.

    Args:
      config: Names the sources.
      mixture: What was read of them.

    Raises:
      UserError: If there is none; the line names the files and the first reason.
    """
    if len(mixture.examples):
        return
    files = ", ".join(str(mixture.examples.root / source.path) for source in config.sources)
    reason = f"; the first: {mixture.dropped[0].text}" if mixture.dropped else ", none there"
    raise errors.UserError(
        f"no row to read in {files}: {len(mixture.dropped)} refused{reason}; docs/data_formats.md "
        "has what config.data.sources may hold"
    )


def require_none(dropped: Sequence[sources.Dropped], *, strict: bool) -> None:
    """Refuses refused rows.

    Args:
      dropped: Rows that a run would go on without.
      strict: Whether it may not.

    Raises:
      UserError: With the text of the first, if `strict` is set.
    """
    if strict and dropped:
        raise errors.UserError(dropped[0].text)


def budget(
    config: stage_config.DataConfig, geometry: geometry_lib.VisionGeometry
) -> packing.Budget:
    """What a row holds; where its patches are not known yet, they are no limit.

    Args:
      config: Of the data.
      geometry: Of the model's vision.
    """
    if config.patches_per_row:
        return config.layout.budget
    return packing.token_budget(config.tokens_per_row, geometry)


def complete(
    config: stage_config.DataConfig,
    mixture: Mixture,
    rows: store.Store,
    *,
    workdir: pathlib.Path,
    multiples: batch_plans.Multiples,
) -> stage_config.DataConfig:
    """The config with the numbers that are computed from the mixture.

    They are what a run in the folder was begun with, else `batch_plans.complete` says them.

    Args:
      config: Of the data; 0 asks for a number.
      mixture: Says what the first epoch is.
      rows: Its lengths are what the numbers are computed from.
      workdir: The run's folder.
      multiples: What rows and slots must be multiples of.
    """
    before = run_folder.read_config(workdir).get("data", {})
    asked = [name for name in COMPUTED if not getattr(config, name)]
    config = dataclasses.replace(config, **{name: before.get(name, 0) for name in asked})
    layout = batch_plans.complete(
        config.layout,
        rows.lengths,
        pipeline.first_epoch(rows, mixture.amounts, config.seed),
        multiples=multiples,
        geometry=rows.geometry,
    )
    for name in asked:
        logging.info("data.%s = %d", name, getattr(layout, name))
    return dataclasses.replace(config, **{name: getattr(layout, name) for name in COMPUTED})


def data_root(config: stage_config.DataConfig, workdir: pathlib.Path) -> pathlib.Path:
    """Folder that relative source paths start from; makes the demo's rows if it is theirs.

    Args:
      config: Names the root.
      workdir: The run's folder.
    """
    if config.root == stage_config.DEMO:
        with runtime.main_first("demo rows"):
            return demo_rows.make(workdir / stage_config.DEMO).folder
    return paths.local(config.root)


def find_initial(
    config: stage_config.StageConfig, mixture: Mixture, workdir: pathlib.Path
) -> initial.Initial:
    """The first weights; what is downloaded or made for them is so by the main process first.

    Args:
      config: Names them.
      mixture: Its texts train the random checkpoint's tokenizer.
      workdir: The run's folder.

    Raises:
      UserError: If the folder is no checkpoint.
    """
    with runtime.main_first("initial"):
        if config.model.init_from != stage_config.RANDOM:
            return initial.find(hub.resolve(config.model.init_from, "--config.model.init_from"))
        return initial.find(_make_random(config, mixture, workdir))


def _make_random(
    config: stage_config.StageConfig, mixture: Mixture, workdir: pathlib.Path
) -> pathlib.Path:
    """A random checkpoint in the workdir; the mixture's texts train its tokenizer."""
    return initial.make_random_folder(
        workdir / BASE,
        config.model.size,
        corpus(config, mixture, workdir),
        seed=config.seed,
        min_pixels=config.data.min_pixels,
        max_pixels=config.data.max_pixels,
    )


def corpus(
    config: stage_config.StageConfig, mixture: Mixture, workdir: pathlib.Path
) -> Iterable[str]:
    """The texts that the tokenizer of a random checkpoint is trained on.

    Args:
      config: The stage.
      mixture: Its examples.
      workdir: Where the demo's rows are, if the stage reads those.
    """
    if config.data.root == stage_config.DEMO:
        return demo_rows.load(workdir / stage_config.DEMO).corpus()
    return _texts(mixture.examples)


def write_data(
    workdir: pathlib.Path,
    manifest: manifests.Manifest,
    dropped: Sequence[sources.Dropped],
    *,
    start: initial.Initial,
    rewritten: Sequence[sources.Dropped] | None = None,
    held_out: manifests.Manifest | None = None,
) -> None:
    """Writes what a run reads, on the main host; a run that goes on must still read the same.

    `data.json` holds files, rows and digests of every source, what the run started from, and
    with which versions. `dropped.jsonl` holds every refused row with its reason,
    `rewritten.jsonl` every row that was made to fit with what was done; they are empty when
    there is none.

    Args:
      workdir: The run's folder.
      manifest: Of the mixture, with the dropped rows counted.
      dropped: From reading and from encoding.
      start: The first weights.
      rewritten: From encoding; None where rows are never rewritten.
      held_out: The same of the questions that a run examines itself with.

    Raises:
      UserError: If the run in the folder was begun on other data, or the hosts do not share it.
    """
    path = workdir / DATA
    is_known = path.is_file()
    if is_known:
        before = json.loads(path.read_text(encoding="utf-8"))
        _check_same(before["sources"], manifest, workdir)
        # Validation may be switched on and off.
        if held_out and before["held_out"]:
            _check_same(before["held_out"]["sources"], held_out, workdir)
    if runtime.is_main_host():
        formats.write_jsonl(workdir / DROPPED, map(dataclasses.asdict, dropped))
        if rewritten is not None:
            formats.write_jsonl(workdir / REWRITTEN, map(dataclasses.asdict, rewritten))
        if not is_known:
            written = {
                **manifest._asdict(),
                "held_out": held_out._asdict() if held_out else None,
                "started_from": origin.identify(start.folder)._asdict(),
                "made_with": {"lingshu_jax": lingshu_jax.__version__, "jax": jax.__version__},
            }
            run_folder.write_json(path, written)
    runtime.wait_for_all("data written")
    # Asked for the first time here: a network file system remembers which names were absent. The
    # mirrors of a store are each machine's own.
    if paths.remote(workdir) is None and not (workdir / DROPPED).is_file():
        raise errors.UserError(
            f"--workdir {workdir} is another folder here than on the first host; all must share it"
        )


def _check_same(
    before: Sequence[dict[str, Any]], manifest: manifests.Manifest, workdir: pathlib.Path
) -> None:
    known = {entry["name"]: entry["sha256"] for entry in before}
    now = {entry["name"]: entry["sha256"] for entry in manifest.sources}
    changed = [name for name in {**now, **known} if now.get(name) != known.get(name)]
    if not changed:
        return
    raise errors.UserError(
        f"--workdir {workdir} holds a run on other data: {', '.join(changed)} changed since it "
        "began; continue with the same files or choose another folder"
    )


def _describe_choice(taken: int, good: int, seed: int) -> dict[str, int] | None:
    return None if taken == good else {"rows": taken, "seed": seed}


def _texts(examples: Iterable[sources.Example]) -> Iterator[str]:
    for example in examples:
        for message in example.messages:
            yield from (part["text"] for part in message["content"] if part["type"] == "text")
