# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The card of a benchmark: its names, where its data come from, what they must hold."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

Family = Literal["multimodal", "text", "reports", "chat"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """Facts about one benchmark that do not depend on a run.

    Attributes:
      name: On the command line and of its folder.
      title: In tables.
      upstream: MedEvalKit's name of its folder; "" where it has none.
      family: What is asked: about images, text alone, for reports, or in a conversation.
      in_paper: Whether the paper's tables hold it.
      repository: Id of the data set on the hub; "" if it is not there.
      revision: Commit of the repository that is fetched; "" takes the newest and notes which.
      files: Patterns of the publisher's files that are read, as they lie in the repository.
      archives: Those of them that are unpacked where they lie.
      folders: Where a data folder may hold it, besides `name` and `upstream`.
      origin: Where to get it, in words, with licence or agreement where one is asked for.
      schema: Where names and meaning of the columns were read: repository@commit and path.
      num_rows: Questions of the split as published; 0 if not known.
      golds: How often each gold occurs in it; empty if not known or not worth a check.
      published: Accuracy in percent by model, from the paper.
      published_reports: Metrics of reports, times 100, by model and by the paper's name of them.
    """

    name: str
    title: str
    upstream: str = ""
    family: Family
    in_paper: bool = False
    repository: str = ""
    revision: str = ""
    files: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    origin: str = ""
    schema: str = ""
    num_rows: int = 0
    golds: Mapping[str, int] = dataclasses.field(default_factory=dict)
    published: Mapping[str, float] = dataclasses.field(default_factory=dict)
    published_reports: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
