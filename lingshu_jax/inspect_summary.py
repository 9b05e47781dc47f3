# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What `inspect_data` counts, and how it names files and reasons without saying where they lie."""

import array
import collections
import dataclasses
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lingshu_jax.common import errors, pages
from lingshu_jax.common import geometry as geometry_lib
from lingshu_jax.data import batch_plans, images, mixtures, packing, sources, too_long, volume_files

# What differs between two reasons of one kind: quotations, files, numbers.
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
FILES = re.compile(
    r"(?<![\w<])[\w.~-]*/[^\s:,;()]*|[\w.-]+\.(?:jpe?g|png|tiff?|webp|gif|dcm|nii)\b"
)
NUMBERS = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")
FILE = "FILE"


@dataclasses.dataclass
class Counts:
    """What one source gave, or all of them together.

    Attributes:
      read: Rows.
      accepted: Good ones.
      refused: The others.
      rewritten: Good ones that were shortened to fit.
      tokens: Of the good ones, as all that follow.
      trained: Tokens that the loss counts.
      media: Images and videos.
      patches: Of them.
      header_elements: Elements of medical headers that may identify a person, left behind.
    """

    read: int = 0
    accepted: int = 0
    refused: int = 0
    rewritten: int = 0
    tokens: int = 0
    trained: int = 0
    media: int = 0
    patches: int = 0
    header_elements: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Counts(*(a + b for a, b in pairs))


class Reason(NamedTuple):
    """One kind of refusal: in how many rows, and the first of them."""

    kind: str
    rows: int
    first: sources.Dropped


class Fill(NamedTuple):
    """How full packed rows are when every good row is read once.

    Attributes:
      rows: Packed ones.
      budget: What one holds.
      tokens: Share that carries data, in [0, 1].
      patches: The same of the patches.
    """

    rows: int
    budget: packing.Budget
    tokens: float
    patches: float


class Row(NamedTuple):
    """A good row for the page.

    Attributes:
      example: As read.
      fitted: As encoded.
      roots: Folders of its source.
    """

    example: sources.Example
    fitted: too_long.Fitted
    roots: tuple[str, ...]


class Summary(NamedTuple):
    """The totals.

    Attributes:
      title: What was inspected.
      tokenizer: Its folder, or what stands in for it.
      by_source: Counts by the name of the source.
      fill: Where it is known how rows are packed.
      reasons: Most frequent first.
    """

    title: str
    tokenizer: str
    by_source: dict[str, Counts]
    fill: Fill | None
    reasons: list[Reason]

    @property
    def total(self) -> Counts:
        """Of all sources."""
        return sum(self.by_source.values(), Counts())

    def table(self) -> list[tuple[str, str]]:
        """Names and values."""
        total = self.total
        pairs = [
            ("tokenizer", self.tokenizer),
            ("rows read", f"{total.read:,}"),
            ("rows accepted", f"{total.accepted:,}"),
            ("rows refused", f"{total.refused:,}"),
            ("tokens", f"{total.tokens:,}"),
            ("trained tokens", f"{total.trained:,}"),
            ("images and videos", f"{total.media:,}"),
            ("patches", f"{total.patches:,}"),
        ]
        if total.rewritten:
            pairs.append(("rows shortened to fit", f"{total.rewritten:,}"))
        if total.header_elements:
            pairs.append(("identifying header elements left behind", f"{total.header_elements:,}"))
        if self.fill is not None:
            budget = self.fill.budget
            size = (
                f"{self.fill.rows:,} rows of {budget.tokens:,} tokens, {budget.patches:,} patches"
            )
            shares = (pages.percent(share) for share in (self.fill.tokens, self.fill.patches))
            pairs.append(
                ("fill, every row packed once", "{} of tokens, {} of patches".format(*shares))
            )
            pairs.append(("packed into", size))
        return pairs

    def lines(self) -> Iterator[str]:
        """The totals as text."""
        yield from (f"{name}: {value}" for name, value in self.table())
        yield from (f"refused {reason.rows:,} x: {reason.kind}" for reason in self.reasons)


class Tally:
    """Counts rows as they come.

    Attributes:
      dropped: Every refused row.
      shown: The first good rows of each source.
    """

    def __init__(
        self,
        every: Sequence[sources.Source],
        root: pathlib.Path,
        *,
        rows: int,
        geometry: geometry_lib.VisionGeometry,
    ) -> None:
        """Begins with nothing.

        Args:
          every: The sources.
          root: Folder that their paths start from.
          rows: How many good rows of each are kept for the page.
          geometry: Of the encoder.
        """
        self.dropped: list[sources.Dropped] = []
        self.shown: dict[str, list[Row]] = {source.name: [] for source in every}
        self._rows, self._geometry = rows, geometry
        self._by_source = {source.name: Counts() for source in every}
        self._roots = {source.name: roots_of(source, root) for source in every}
        self._reasons: dict[str, Reason] = {}
        self._tokens, self._windows = array.array("i"), array.array("i")

    def accept(self, row: sources.Example, fitted: too_long.Fitted) -> None:
        """Counts a good row.

        Args:
          row: As read.
          fitted: As encoded; its media decode.
        """
        encoded, counts = fitted.encoded, self._by_source[row.source]
        counts.read += 1
        counts.accepted += 1
        counts.rewritten += bool(fitted.change)
        counts.tokens += encoded.num_tokens
        counts.trained += int(encoded.loss_weights.astype(bool).sum())
        counts.media += len(encoded.media)
        counts.patches += encoded.num_patches
        counts.header_elements += sum(map(images.dropped_tags, _files(encoded.media)))
        length = packing.length(encoded, self._geometry)
        self._tokens.append(length.tokens)
        self._windows.extend(length.windows)
        if len(self.shown[row.source]) < self._rows:
            self.shown[row.source].append(Row(row, fitted, self._roots[row.source]))

    def refuse(self, row: sources.Dropped, files: Sequence[str] = ()) -> None:
        """Counts a refused row.

        Args:
          row: With its reason.
          files: Its media, which the reason may name.
        """
        counts = self._by_source[row.source]
        counts.read += 1
        counts.refused += 1
        self.dropped.append(row)
        kind = kind_of(row.reason, [*files, *self._roots[row.source]])
        before = self._reasons.get(kind, Reason(kind, 0, row))
        self._reasons[kind] = before._replace(rows=before.rows + 1)

    def summary(
        self, *, title: str, tokenizer: str, layout: batch_plans.Layout | None, seed: int = 0
    ) -> Summary:
        """The totals.

        Args:
          title: As in `Summary`.
          tokenizer: As there.
          layout: How rows are packed; None gives no fill.
          seed: Of the shuffle before packing.
        """
        return Summary(
            title=title,
            tokenizer=tokenizer,
            by_source=self._by_source,
            fill=self._fill(layout, seed) if layout is not None and self._tokens else None,
            reasons=sorted(self._reasons.values(), key=lambda reason: -reason.rows),
        )

    def _fill(self, layout: batch_plans.Layout, seed: int) -> Fill:
        """Of an epoch that reads every row once, shuffled as for training."""
        tokens = np.asarray(self._tokens)
        every = packing.Lengths(tokens, np.asarray(self._windows).reshape(len(tokens), -1))
        order = mixtures.shuffled(np.arange(len(tokens)), mixtures.draws(seed, 0))
        layout = batch_plans.complete(layout, every, order, geometry=self._geometry)
        if layout.sequences_per_batch:
            rows = batch_plans.plan_batches(every[order], layout, geometry=self._geometry).rows
        else:
            rows = packing.plan(every[order], layout.budget, geometry=self._geometry).rows
        patches = sum(counts.patches for counts in self._by_source.values())
        return Fill(
            rows=len(rows),
            budget=layout.budget,
            tokens=int(tokens.sum()) / (len(rows) * layout.tokens_per_row),
            patches=patches / (len(rows) * layout.patches_per_row),
        )


def _files(media: Sequence[images.Media]) -> Iterator[images.Visual]:
    """The files of a row, each once, however many of its frames the row shows."""
    seen: dict[str | int, images.Visual] = {}
    for visual in (one.image for one in media):
        is_path = isinstance(visual, str)
        seen[volume_files.split_fragment(visual)[0] if is_path else id(visual)] = visual
    yield from seen.values()


def refused(row: sources.Example, error: errors.UserError) -> sources.Dropped:
    """A row that was read and then refused.

    Args:
      row: The row.
      error: Why.
    """
    reason = " ".join(str(error).split())
    return sources.Dropped(id=row.id, source=row.source, line=row.line, reason=reason)


def kind_of(reason: str, hidden: Sequence[str] = ()) -> str:
    """A reason without what differs from row to row, so that equal ones can be counted.

        a.png: 3 tokens, got 'x'  ->  FILE: N tokens, got '…'

    Args:
      reason: As dropped.jsonl says it.
      hidden: Files and folders that it may name, in full.
    """
    for place in sorted(hidden, key=len, reverse=True):
        reason = reason.replace(place, FILE)
    reason = FILES.sub(FILE, QUOTED.sub("'…'", reason))
    # What is no proper Unicode cannot be printed.
    return NUMBERS.sub("N", reason).encode(errors="replace").decode()


def roots_of(source: sources.Source, root: pathlib.Path) -> tuple[str, ...]:
    """The folders of a source, as they are written and as they are.

    Args:
      source: Names them.
      root: Where relative ones start.
    """
    path = pathlib.Path(root, source.path).absolute()
    folders = [path, path.parent]
    if source.image_root:
        folders.insert(0, pathlib.Path(root, source.image_root).absolute())
    return tuple(dict.fromkeys(str(f) for folder in folders for f in (folder, folder.resolve())))


def label(visual: images.Visual, roots: Sequence[str]) -> str:
    """Names an image or video for the page; of a path, only what is inside a root.

    Args:
      visual: As encoded.
      roots: From `roots_of`.
    """
    if not isinstance(visual, str):
        return images.describe(visual)
    path = pathlib.PurePath(visual)
    inside = (path.relative_to(root) for root in roots if path.is_relative_to(root))
    return str(next(inside, path.name))


def in_turn(by_source: Sequence[Sequence[Row]], count: int) -> list[Row]:
    """The first rows of every source, as equally many as fit into a number, source by source.

    Args:
      by_source: The rows of each source.
      count: At most so many in all.
    """
    ranked = sorted((place, i) for i, rows in enumerate(by_source) for place in range(len(rows)))
    taken = collections.Counter(i for _, i in ranked[:count])
    return [row for i, rows in enumerate(by_source) for row in rows[: taken[i]]]
