# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What curation takes on many nodes, from measured speeds: arithmetic without measurement.

Work on partitions is spread over all cores. What is not: each source is read by one process, and
one process groups keys, plans the mixture, writes the manifests and starts the others. Reading of
files is taken to keep up; the table says how much that is.
"""

import dataclasses
from collections.abc import Sequence

# What the paper collected (arXiv 2506.07044, 2.1), millions: pictures with captions, instructions
# about pictures, and texts.
CAPTIONS, INSTRUCTIONS, TEXTS = 4.0, 1.41, 0.858
NODES = (1, 8, 64)
PARTITIONS = 7  # times that a row is written and read again: after each step behind ingest
STARTS = 13  # times that processes are started
BANDS = 9  # keys of a text: datasketch's bands for a likeness of 0.8 and 128 values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speeds:
    """What one core does in a second.

    Attributes:
      read: Rows from a source to a partition.
      burned_in: Pictures decoded and looked at for burned-in text.
      look: Pictures decoded and looked at.
      filter_text: Rows whose texts are looked at: language, identifiers, length.
      hash_decoded: Pictures hashed that are decoded already.
      hash: Pictures decoded and hashed.
      modality: Rows whose modality is found without a model.
      sign: Texts signed by MinHash, with their bands.
      look_up: Rows looked up in the keys of the benchmarks.
      partition: Rows written to a partition and read again.
      shard_picture: Rows with a picture made records, fingerprints and shards.
      shard_text: The same of rows without.
      manifest: Rows counted in a manifest, with their fingerprints.
      card: Rows counted for the data card.
      bytes_per_picture: Mean size of a file.
      pixels_per_picture: Mean number of its pixels.
    """

    read: float
    burned_in: float
    look: float
    filter_text: float
    hash_decoded: float
    hash: float
    modality: float
    sign: float
    look_up: float
    partition: float
    shard_picture: float
    shard_text: float
    manifest: float
    card: float
    bytes_per_picture: float
    pixels_per_picture: float


@dataclasses.dataclass(frozen=True)
class Grouping:
    """Grouping of made keys, each of another row.

    Attributes:
      keys: How many.
      seconds: Wall clock of Daft's query.
      peak: Most memory of the process, bytes.
      more: How much of it came with the query, bytes.
      planning: Processor seconds of the groups of the mixture.
    """

    keys: int
    seconds: float
    peak: int
    more: int
    planning: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked.

    Attributes:
      samples: Rows in all, in the paper's shares.
      cores: Of a node.
      largest: Share of the rows that the largest source has.
      start: Seconds until processes are up.
    """

    samples: float
    cores: int
    largest: float
    start: float


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a number of nodes takes.

    Attributes:
      nodes: How many.
      serial: Seconds of what one process does.
      reading: Seconds of reading the sources.
      spread: Seconds of what is spread over all cores.
    """

    nodes: int
    serial: float
    reading: float
    spread: float

    @property
    def seconds(self) -> float:
        """All together."""
        return self.serial + self.reading + self.spread


def rows_of(samples: float) -> tuple[float, float]:
    """How many rows have a picture, one each, and how many have none."""
    share = (CAPTIONS + INSTRUCTIONS) / (CAPTIONS + INSTRUCTIONS + TEXTS)
    return samples * share, samples * (1 - share)


def core_seconds(speeds: Speeds, samples: float) -> dict[str, float]:
    """Seconds of one core for what is spread over all, by part.

    Args:
      speeds: Of one core.
      samples: Rows in all.
    """
    pictures, texts = rows_of(samples)
    return {
        "looking for burned-in text": pictures / speeds.burned_in,
        "decoding and looking": pictures / speeds.look,
        "filters of texts": samples / speeds.filter_text,
        "decoding and hashing": pictures / speeds.hash,
        "modality, without a model": samples / speeds.modality,
        "MinHash": texts / speeds.sign,
        "looking up benchmarks": samples / speeds.look_up,
        "partitions": PARTITIONS * samples / speeds.partition,
        "records and shards": pictures / speeds.shard_picture + texts / speeds.shard_text,
    }


def serial_seconds(speeds: Speeds, grouping: Grouping, plan: Plan) -> dict[str, float]:
    """Seconds of what one process does, by part; grouping is taken to be linear.

    Args:
      speeds: Of one core.
      grouping: The largest one that was measured.
      plan: What is asked.
    """
    pictures, texts = rows_of(plan.samples)
    return {
        "grouping": (pictures + BANDS * texts) * grouping.seconds / grouping.keys,
        "planning the mixture": plan.samples * grouping.planning / grouping.keys,
        "manifests": plan.samples / speeds.manifest,
        "data card": plan.samples / speeds.card,
        "starting processes": STARTS * plan.start,
    }


def cost(speeds: Speeds, grouping: Grouping, plan: Plan, nodes: int) -> Cost:
    """What a number of nodes takes.

    Args:
      speeds: Of one core.
      grouping: The largest one that was measured.
      plan: What is asked.
      nodes: How many.
    """
    cores = nodes * plan.cores
    reading = plan.samples / speeds.read
    return Cost(
        nodes,
        sum(serial_seconds(speeds, grouping, plan).values()),
        max(reading / cores, plan.largest * reading),
        sum(core_seconds(speeds, plan.samples).values()) / cores,
    )


def speed_table(speeds: Speeds) -> list[str]:
    """The speeds as Markdown.

    Args:
      speeds: Of one core.
    """
    lines = (
        ("reading a source", "rows", speeds.read),
        ("decoding, looking for burned-in text", "pictures", speeds.burned_in),
        ("decoding and looking", "pictures", speeds.look),
        ("filters of texts", "rows", speeds.filter_text),
        ("hashing after decoding", "pictures", speeds.hash_decoded),
        ("decoding and hashing", "pictures", speeds.hash),
        ("modality without a model", "rows", speeds.modality),
        ("MinHash and bands", "texts", speeds.sign),
        ("looking up benchmarks, n-grams of 13 words", "rows", speeds.look_up),
        ("writing and reading a partition", "rows", speeds.partition),
        ("records and shards, with a picture", "rows", speeds.shard_picture),
        ("records and shards, texts", "rows", speeds.shard_text),
        ("manifest and fingerprints", "rows", speeds.manifest),
        ("data card", "rows", speeds.card),
    )
    cells = [f"| {what} | {unit} | {value:,.0f} |" for what, unit, value in lines]
    return ["| part | unit | a second and core |", "| --- | --- | --- |", *cells, ""]


def grouping_table(measured: Sequence[Grouping]) -> list[str]:
    """The groupings as Markdown.

    Args:
      measured: Of several sizes.
    """
    cells = [
        f"| {one.keys:,} | {one.seconds:.2f} | {1e6 * one.seconds / one.keys:.2f} "
        f"| {one.peak / 2**20:,.0f} | {one.more / 2**20:,.0f} | {one.planning:.2f} |"
        for one in measured
    ]
    return [
        "| hashes | grouping, s | microseconds a hash | peak memory, MiB | of it grouping, MiB "
        "| groups of the mixture, s |",
        "| --- | --- | --- | --- | --- | --- |",
        *cells,
        "",
    ]


def cost_table(speeds: Speeds, grouping: Grouping, plan: Plan) -> list[str]:
    """The cost model as Markdown, with what it assumes.

    Args:
      speeds: Of one core.
      grouping: The largest one that was measured.
      plan: What is asked.
    """
    pictures, texts = rows_of(plan.samples)
    volume = pictures * speeds.bytes_per_picture
    spread, serial = (
        core_seconds(speeds, plan.samples),
        serial_seconds(speeds, grouping, plan),
    )
    lines = [
        f"{plan.samples:,.0f} samples: {pictures:,.0f} with a picture of "
        f"{speeds.bytes_per_picture / 1024:,.0f} KiB and {speeds.pixels_per_picture / 1e6:.2f} "
        f"megapixels, {texts:,.0f} texts; nodes of {plan.cores} cores",
        "",
        "| nodes | hours | of it one process | reading | all cores | pictures read, MB/s a node |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for nodes in NODES:
        found = cost(speeds, grouping, plan, nodes)
        # For text, to look, to hash, and for the shards.
        each = 4 * volume / found.spread / nodes / 1e6
        hours = (found.seconds, found.serial, found.reading, found.spread)
        cells = " | ".join(f"{value / 3600:.2f}" for value in hours)
        lines.append(f"| {nodes} | {cells} | {each:,.0f} |")
    lines += ["", "| part | hours of one core |", "| --- | --- |"]
    lines += [f"| {what} | {seconds / 3600:,.2f} |" for what, seconds in spread.items()]
    lines += [f"| {what}, one process | {value / 3600:,.2f} |" for what, value in serial.items()]
    return [
        *lines,
        "",
        "Assumed: a picture a row; nothing is dropped, so every step sees all rows; the largest "
        f"source has {plan.largest:.0%} of the rows and is read by one process; {BANDS} bands a "
        "text; a row is in one mixture; storage and network keep up; all cores are alike, and as "
        "fast as the one that was measured; no modality model and no embeddings.",
    ]
