# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of a published source: whose it is, on what terms, how its files are laid out."""

import dataclasses
from typing import Literal

from lingshu_jax.common import errors

Access = Literal["open", "registration", "credentialed"]
# The tables of the paper (arXiv 2506.07044) that name a source: 1, 1, 2, 3, section 2.1.3, 5.
Table = Literal["captions", "instructions", "text", "labelled images", "general", "stages", ""]
NOT_STATED = "not stated"
OPEN = "open: anybody may fetch it"
# The paper's name where it names none, and where it says the same of several entries.
PAPER = "arXiv 2506.07044 with its list of references"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """Facts of one source; what is not known is said so, and nothing is guessed.

    Attributes:
      key: Its name here; that of configs/mixtures.py where it occurs there.
      title: In tables.
      about: What it holds.
      paper: Its name in the paper; "" if the paper does not name it.
      table: Where the paper names it.
      repository: Id of the data set on the Hugging Face hub; "" if it is elsewhere.
      revision: Commit of the repository; "" where none was seen.
      address: Page of the publisher.
      licence: SPDX, or the publisher's words; `NOT_STATED`.
      access: Who may have it: everybody, who registers or asks, or who has shown credentials.
      terms: Of access, in a sentence.
      apply: Where access is applied for; "" if it is open.
      citation: Authors, title, where published.
      files: Patterns of the publisher's files that rows are made of, as they lie there.
      format: Word of `adapters.table.ADAPTERS` or of `readers.FORMATS`; "" is labelled images,
        which have no rows before something is written about them.
      kind: Word of `config.KINDS`.
      group: Word of `sources.GROUPS`.
      modality: Where all pictures are of one.
      schema: Where the layout was read: repository@commit, or a page.
      unchecked: What could not be checked at the publisher's, and why; "" if nothing.
    """

    key: str
    title: str
    about: str
    paper: str = ""
    table: Table = ""
    repository: str = ""
    revision: str = ""
    address: str
    licence: str
    access: Access = "open"
    terms: str = OPEN
    apply: str = ""
    citation: str
    files: tuple[str, ...]
    format: str = ""
    kind: str
    group: str
    modality: str = ""
    schema: str
    unchecked: str = ""

    @property
    def checked(self) -> bool:
        """Whether every fact was seen at the publisher's, or in what names its source."""
        return not self.unchecked

    def fetchable(self, name: str) -> None:
        """Checks that the files may be fetched without asking anybody.

        Args:
          name: Of the source in the config, for the message.

        Raises:
          UserError: If access is applied for, or the files are not on the hub.
        """
        if self.access != "open":
            raise errors.UserError(
                f"source {name!r}: fetch is for open sets; {self.title}: {self.terms}; apply at"
                f" {self.apply} and give the folder you have got as path"
            )
        if not self.repository:
            raise errors.UserError(
                f"source {name!r}: {self.title} is not on the hub; get it from {self.address} and"
                " give its folder as path"
            )

    def asked(self, access: Access, terms: str) -> "Entry":
        """The same, where access is asked for at its address.

        Args:
          access: Kind of access.
          terms: Of access.
        """
        return dataclasses.replace(self, access=access, terms=terms, apply=self.address)

    def where(self) -> str:
        """Where to get it, for the error of a folder that is not there."""
        if self.access == "open":
            return f"{self.title} is at {self.address}"
        return f"{self.title}: {self.terms}; apply at {self.apply}"


def labelled(
    key: str,
    title: str,
    about: str,
    *,
    paper: str,
    address: str,
    citation: str,
    licence: str = NOT_STATED,
    files: tuple[str, ...] = ("as published",),
    schema: str = PAPER,
    unchecked: str = "licence, layout and counts: the publisher's page was not at hand",
) -> Entry:
    """Labelled images that something is to be written about.

    Args:
      key: As of `Entry`; so are the others.
      title: Its title.
      about: Its modality, a colon, and what it holds.
      paper: Its name in the paper.
      address: Page of the publisher.
      citation: Where published.
      licence: Of the images.
      files: Their patterns.
      schema: Where that was read.
      unchecked: What was not seen at the publisher's.
    """
    return Entry(
        key=key,
        title=title,
        about=about,
        paper=paper,
        table="labelled images",
        address=address,
        licence=licence,
        citation=citation,
        files=files,
        kind="captions",
        group="synthetic",
        modality=about.partition(":")[0],
        schema=schema,
        unchecked=unchecked,
    )
