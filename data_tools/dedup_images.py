# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The step that leaves one row of each picture, where the paper does (arXiv 2506.07044, 2.1.4).

Equal means a perceptual hash without a bit of difference, and every picture of a row. Captions:
among the rows of all caption sources. Instructions: only within the sources that are named, for
several questions may be about one picture. Slices of one series that look alike all stay.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_tools import examples, groups, steps
from data_tools import rows as rows_lib
from lingshu_jax.common import errors
from lingshu_jax.data import fingerprints

SERIES = "series"  # a fact, or a column of the publisher
REASON, BROKEN = "duplicate picture", "broken"


@dataclasses.dataclass(kw_only=True)
class Config:
    """Where pictures may occur once.

    Attributes:
      captions: Among all sources of captions.
      within: Names of sources of instructions, each by itself. The paper's: PubMedVision and
        LLaVA-Med.
    """

    captions: bool = True
    within: tuple[str, ...] = ()

    def validate(self, sources: Sequence[str]) -> None:
        """Raises UserError if a source is named that is none.

        Args:
          sources: Names of all.
        """
        for name in self.within:
            if name not in sources:
                raise errors.UserError(
                    f"config.dedup_images.within names {name!r}; the sources are "
                    f"{', '.join(sources)}"
                )

    def scope(self, source: str, kinds: Mapping[str, str]) -> str | None:
        """Among what the pictures of a source occur once; None where they may occur often.

        Args:
          source: Its name.
          kinds: Kind of each source by name.
        """
        if kinds[source] == "captions":
            return "captions" if self.captions else None
        return source if source in self.within else None


@dataclasses.dataclass(frozen=True)
class DedupImages:
    """The step.

    Attributes:
      config: Where.
      kinds: Kind of each source by name, in the order of trust.
    """

    config: Config
    kinds: Mapping[str, str]
    name: str = "dedup_images"

    def settings(self) -> dict[str, Any]:
        """As of `steps.Step`."""
        return {
            **dataclasses.asdict(self.config),
            "kinds": list(self.kinds.items()),
            "hash": fingerprints.image_version(),
        }

    def plan(self, source: Path, folder: Path, run: steps.Run) -> None:
        """Hashes all pictures and finds the rows that share theirs with one that stays."""
        work = functools.partial(self._write_keys, source, folder)
        groups.plan(folder, rows_lib.names(source), work, run)

    def apply(self, rows: Sequence[rows_lib.Row], folder: Path, part: str) -> steps.Outcome:
        """As of `steps.Step`."""
        drops, hashes = groups.read_drops(folder, part), _read_hashes(folder, part)
        kept, dropped = [], []
        for row in rows:
            if row.id in drops:
                dropped.append(rows_lib.Dropped.of(row, REASON, f"of {drops[row.id][0]}"))
            elif not row.media:
                kept.append(row)
            elif row.id not in hashes:
                dropped.append(rows_lib.Dropped.of(row, BROKEN, "a picture does not decode"))
            else:
                version = fingerprints.image_version()
                kept.append(row.knowing(image_hashes=hashes[row.id], image_hash_version=version))
        return steps.Outcome(kept, dropped)

    def _write_keys(self, source: Path, folder: Path, part: str) -> None:
        hash_one = functools.cache(_hash)  # many rows may be about one picture
        found: dict[str, list[list[str]]] = {}
        keys = []
        for row in rows_lib.read(source / part):
            try:
                found[row.id] = [list(hash_one(medium)) for medium in row.media]
            except errors.UserError:
                continue
            scope = self.config.scope(row.source, self.kinds)
            if row.media and scope is not None:
                key = f"{scope} {rows_lib.dump(found[row.id])}"
                keys.append(groups.Key(key, self._rank(row.source), row.id, series(row)))
        steps.write_json(folder / "hashes" / f"{Path(part).stem}.json", found)
        groups.write_keys(folder, part, keys)

    def _rank(self, source: str) -> int:
        return list(self.kinds).index(source)


def series(row: rows_lib.Row) -> str:
    """The series of slices that the pictures of a row are of; "" if none is known."""
    found = row.facts.get(SERIES) or row.meta.get(SERIES) or ""
    return f"{row.source} {found}" if found else ""


def _hash(medium: rows_lib.Medium) -> tuple[str, ...]:
    visual = examples.value(medium)
    visual = tuple(visual) if isinstance(visual, list) else visual
    return fingerprints.media_hashes(visual, is_video=medium.kind == "video")


def _read_hashes(folder: Path, part: str) -> dict[str, list[list[str]]]:
    return steps.read_json(folder / "hashes" / f"{Path(part).stem}.json")
