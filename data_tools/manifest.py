# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What a mixture consists of and where it is from: `manifest.json` beside its shards.

Beside it `fingerprints.parquet` has the keys of its training rows, for the evaluator's check of
what a model may have seen. Neither names a folder of the machine that made them.
"""

import collections
import importlib.metadata
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_tools import mixture as mixture_lib
from data_tools import registry, steps
from data_tools import shards as shards_lib
from lingshu_jax.data import fingerprint_files

FILE, PRINTS = "manifest.json", "fingerprints.parquet"
NOT_STATED = "not stated"
# Where something lies, not what it is.
_PLACES = ("path", "image_root", "root", "data_dir", "tokenizer", "folder")
_FOLDER = re.compile(r"(?<![^\s\"'(=:,])(?:~|\.{1,2})?/(?:[^\s/\"',:]+/)*(?=[^\s/\"',:]|$)")
_LIBRARIES = ("daft", "numpy", "pillow", "pyarrow", "scipy", "array_record")


class Origin(NamedTuple):
    """Whose a source is.

    Attributes:
      publisher: Key of the registry; "" is the user's own.
      group: Word of `sources.GROUPS`.
      licence: As the registry has it.
      terms: Of access.
      citation: To be cited with it.
    """

    publisher: str = ""
    group: str = ""
    licence: str = NOT_STATED
    terms: str = ""
    citation: str = ""


def origins(
    sources: Sequence[Any], entry_of: Callable[[str], Any] = registry.get
) -> dict[str, Origin]:
    """Licence and citation of each source by name.

    Args:
      sources: Of the curation.
      entry_of: The entry of a publisher, with `licence`, `terms` and `citation`.

    Raises:
      UserError: If a publisher has no entry.
    """
    found = {}
    for source in sources:
        origin = Origin(source.publisher, source.group)
        if source.publisher:
            entry = entry_of(source.publisher)
            texts = {name: str(getattr(entry, name)) for name in ("licence", "terms", "citation")}
            origin = origin._replace(**texts)
        found[source.name] = origin
    return found


def without_places(value: Any) -> Any:
    """JSON values without fields that say where something lies, and without folders in texts.

    Args:
      value: As of a config, or a message.
    """
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in _PLACES}
        return {without_places(key): without_places(item) for key, item in kept.items()}
    if isinstance(value, list | tuple):
        return [without_places(item) for item in value]
    return _FOLDER.sub("", value) if isinstance(value, str) else value


def write(
    made: shards_lib.Made,
    folder: Path,
    origin: Mapping[str, Origin],
    *,
    choice: mixture_lib.Choice,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes fingerprints and manifest of a mixture.

    Args:
      made: The mixture.
      folder: Of the step that made the records.
      origin: From `origins`.
      choice: Which rows were drawn.
      about: `steps`: counts in and out; `config`: of the curation.

    Returns:
      The manifest.
    """
    prints = made.folder / PRINTS
    note = fingerprint_files.write(
        prints, shards_lib.training_prints(folder, made.name), meta=lambda: {"mixture": made.name}
    )
    taken = choice.taken[made.name]
    content = {
        "name": made.name,
        "rows": {split: sum(s.rows for s in of) for split, of in made.shards.items()},
        "shards": [shard._asdict() for of in made.shards.values() for shard in of],
        "rows_by": count(folder, made.name, origin),
        "absent": [name for name in taken if name not in origin],
        "sources": {
            name: origin[name]._asdict() for name, rows in taken.items() if rows and name in origin
        },
        "steps": without_places(about["steps"]),
        "config": without_places(about["config"]),
        "fingerprints": {"file": PRINTS, **note},
        "versions": versions(),
    }
    steps.write_json(made.folder / FILE, content)
    return content


def count(folder: Path, name: str, origin: Mapping[str, Origin]) -> dict[str, dict[str, Any]]:
    """Rows of a mixture by split, of each source, group, modality, licence and language.

    Args:
      folder: Of the step that made the records.
      name: Of the mixture.
      origin: From `origins`.
    """
    counts: dict[str, dict[str, collections.Counter[str]]] = {}
    columns = ("split", "mixtures", "source", "modality", "language")
    for table in shards_lib.read_index(folder, columns):
        for row in table.to_pylist():
            if name in row["mixtures"]:
                of = origin[row["source"]]
                kinds = {
                    "source": row["source"],
                    "group": of.group or NOT_STATED,
                    "modality": row["modality"] or "unknown",
                    "licence": of.licence,
                    "language": row["language"] or "unknown",
                }
                for kind, value in kinds.items():
                    split = counts.setdefault(kind, {}).setdefault(value, collections.Counter())
                    split[row["split"]] += 1
    return {
        kind: {value: dict(sorted(of.items())) for value, of in sorted(values.items())}
        for kind, values in sorted(counts.items())
    }


def versions() -> dict[str, str]:
    """The libraries that the outcome may depend on."""
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}
