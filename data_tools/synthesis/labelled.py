# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Sets of labelled pictures as seeds: what is known of each picture, under names that say what.

Only labels that the config names are read, under names that `metadata` knows; a name that may be a
person's is refused. Ids, and what names a patient or a case, become hashes. DICOM and NIfTI files
are given as pixels alone, as curation treats them.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from data_tools import deidentify, modality_names, registry, scans
from data_tools import rows as rows_lib
from data_tools.adapters import small
from data_tools.synthesis import label_files, label_layouts, mask_files, metadata
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import errors, paths
from lingshu_jax.data import formats, sources, volumes

NO_LABEL, TWICE = "nothing is known of it", "a second row of the same picture"
FINDING = "finding"
_PRESENT = ("1", "1.0", "true", "yes", "y")
_ID = 16  # hexadecimal digits


@dataclasses.dataclass(kw_only=True)
class LabelledSource(label_files.Layout):
    """A set of labelled pictures, and how its labels are called.

    Attributes:
      name: Unique in a synthesis; ids of seeds begin with it.
      dataset: What wrote the labels: a key of the registry of sources, which also says where to get
        it, or a name of the user's own.
      modality: Of all its pictures; "" is the registry's.
      label_columns: Column, or part of the picture's name, to the name of a label, as {"dx":
        "finding"}. Without any, jsonl has them in `labels`, and for folders it is {"folder":
        "finding"}.
      present: Columns of a table that say 1 where a finding is there, to its words.
      labels: What holds for every picture, as {"organ": "knee"}.
      words: For a label, its values to words, as {"finding": {"nv": "a naevus"}}; a row with
        another value is refused, and "" leaves the label out.
      separator: Between several values in a cell; "" is none.
      group: Column, or part of the picture's name, that names a patient or a case.
    """

    name: str
    dataset: str = ""
    modality: str = ""
    label_columns: dict[str, str] = dataclasses.field(default_factory=dict)
    present: dict[str, str] = dataclasses.field(default_factory=dict)
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    words: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    separator: str = ""
    group: str = ""

    def validate(self) -> None:
        """Raises UserError naming the field, its value and what is allowed."""
        for field in ("name", "path"):
            self._require(bool(getattr(self, field)), field, "some text")
        self._require(
            self.layout in label_files.LAYOUTS,
            "layout",
            f"one of {', '.join(label_files.LAYOUTS)}",
        )
        self._require(
            not self.modality or self.modality in modality_names.MODALITIES,
            "modality",
            f"one of {', '.join(modality_names.MODALITIES)}",
        )
        self._require(self.plane in volumes.PLANES, "plane", f"one of {', '.join(volumes.PLANES)}")
        for field, smallest in (("every", 1), ("most", 0), ("least_area", 1)):
            self._require(getattr(self, field) >= smallest, field, f">= {smallest}")
        self._validate_files()
        self._validate_masks()
        self._validate_labels()

    def _require(self, condition: bool, field: str, allowed: str) -> None:
        if not condition:
            raise errors.UserError(
                f"source {self.name!r}: {field} must be {allowed}, got {getattr(self, field)!r}"
            )

    def _validate_files(self) -> None:
        is_table = self.layout in label_files.TABLES
        self._require(not (is_table and self.files), "files", "empty for a table")
        self._require(is_table or not self.present, "present", "empty without a table")
        try:
            groups = set(re.compile(self.files).groupindex)
        except re.error as error:
            raise errors.UserError(
                f"source {self.name!r}: files is no regular expression: {error}"
            ) from None
        if is_table:
            return
        known = {*groups, *label_files.FROM_PATH}
        named = [*self.label_columns, *filter(None, [self.group])]
        named += label_files.places(self.mask_pattern)
        if unknown := [one for one in named if one not in {*known, label_files.STRUCTURE}]:
            raise errors.UserError(
                f"source {self.name!r}: the name of a picture has no part {unknown[0]!r}; it has"
                f" {', '.join(sorted(known))}"
            )

    def _validate_masks(self) -> None:
        in_layout = self.layout in (label_files.MASKS, label_files.VOLUME)
        self._require(not in_layout or bool(self.mask_pattern), "mask_pattern", "some pattern")
        if self.layout == label_files.VOC or not self.has_masks():
            return
        self._require(bool(self.structures), "structures", 'some, as {"any": "tumour"}')
        if label_files.STRUCTURE not in label_files.places(self.mask_pattern):
            for value in self.structures:
                if not mask_files.is_value(value):
                    raise errors.UserError(
                        f"source {self.name!r}: a value of structures must be a number above 0, a"
                        f' colour as "#ff0000", or "{mask_files.ANY}", got {value!r}'
                    )

    def _validate_labels(self) -> None:
        for name in (*self.label_columns.values(), *self.labels, *self.words):
            _check_name(name, self)

    @property
    def kind(self) -> str:
        """The modality of all its pictures; "" where it is not known."""
        entry = registry.ENTRIES.get(self.dataset)
        return self.modality or modality_names.of_word(entry.modality if entry else "")

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns that are read."""
        is_class = self.layout == label_files.FOLDERS and not self.label_columns
        return {"folder": FINDING} if is_class else self.label_columns


def stream(
    source: LabelledSource, root: str = "", *, salt: bytes = b""
) -> Iterator[seeds_lib.Seed | sources.Dropped]:
    """A seed for each picture of a set, each slice of a volume being one.

    Args:
      source: What is read.
      root: Folder that a relative path starts from.
      salt: Secret of the hashes in ids; without one, who knows a patient's number finds out its id.

    Raises:
      UserError: If the set is not there, and where it is to be had, or is ill-formed.
    """
    source.validate()
    path = paths.under(root, source.path)
    paths.fetch_once(str(path))
    if not path.exists():
        entry = registry.ENTRIES.get(source.dataset)
        where = f"; {entry.where()}" if entry else ""
        raise errors.UserError(f"source {source.name!r}: no such file or folder: {path}{where}")
    treat = deidentify.Deidentify(deidentify.Config(), salt)
    seen: set[str] = set()
    for line, item in label_layouts.stream(source, path):
        try:
            if isinstance(item, formats.RowError):
                raise item
            seed = _seed(source, item, treat)
            if seed.id in seen:
                raise formats.RowError(TWICE)
        except formats.RowError as error:
            yield sources.Dropped(
                id=f"row-{line:06d}",
                source=source.name,
                line=line,
                reason=formats.one_line(error),
            )
            continue
        seen.add(seed.id)
        yield seed


def _seed(
    source: LabelledSource, item: label_files.Item, treat: deidentify.Deidentify
) -> seeds_lib.Seed:
    labels = _labels(source, item)
    if not labels and not item.boxes:
        raise formats.RowError(NO_LABEL)
    case = _case(source, item, treat.salt)
    own = scans.hashed(treat.salt, source.name, item.key)[:_ID]
    row = rows_lib.Row(
        id=f"{source.name}/{case}-{own}" if case else f"{source.name}/{own}",
        source=source.name,
        messages=(),
        media=(rows_lib.Medium(kind="image", path=item.image),),
    )
    row = _without_tags(row, treat)
    for scan in row.facts.get(deidentify.SCANS, ()):
        known = {name: scan[name] for name in ("body_part", "view", "plane") if scan[name]}
        said = {name: small.VIEWS.get(word.lower(), word.lower()) for name, word in known.items()}
        labels = {**said, **labels}
    modality = source.kind or row.facts.get("modality", "")
    return seeds_lib.Seed(
        id=row.id,
        source=source.name,
        media=row.media,
        labels=labels,
        boxes=item.boxes,
        masks=item.masks,
        modality=modality,
        dataset=source.dataset or source.name,
        case=case,
    )


def _without_tags(row: rows_lib.Row, treat: deidentify.Deidentify) -> rows_lib.Row:
    """The row with its DICOM or NIfTI file as a picture; any other as it is."""
    treated = treat.convert([row])
    if treated.dropped:
        gone = treated.dropped[0]
        raise formats.RowError(f"{gone.reason}: {gone.detail}" if gone.detail else gone.reason)
    return treated.kept[0]


def _case(source: LabelledSource, item: label_files.Item, salt: bytes) -> str:
    """A hash of the patient or case, that of a volume's file if nothing else; "" of a picture."""
    case = str(item.columns.get(source.group) or "") if source.group else item.volume
    if source.group and not case:
        raise formats.RowError(f"no {source.group!r} that names a case")
    return scans.hashed(salt, source.name, "case", case)[:_ID] if case else ""


def _labels(source: LabelledSource, item: label_files.Item) -> dict[str, str]:
    """Labels under our names and in words; the publisher's own, where no column is named."""
    found = {**source.labels, **_own_labels(source, item)}
    labels = {name: _in_words(source, name, value.strip()) for name, value in found.items()}
    there = [
        words
        for column, words in source.present.items()
        if str(item.columns.get(column) or "").strip().lower() in _PRESENT
    ]
    if there:
        labels[FINDING] = ", ".join(filter(None, [labels.get(FINDING, ""), *there]))
    return {name: value for name, value in labels.items() if value}


def _own_labels(source: LabelledSource, item: label_files.Item) -> dict[str, str]:
    if not source.columns:
        for name in item.labels:
            if metadata.is_identifier(name):
                raise formats.RowError(f"the label {name!r:.40} may name a person")
        return dict(item.labels)
    known = {**item.columns, **item.labels}
    found = {name: str(known[column]) for column, name in source.columns.items() if column in known}
    shown = item.labels.get(metadata.STRUCTURES)
    return {**found, **({metadata.STRUCTURES: shown} if shown else {})}


def _in_words(source: LabelledSource, name: str, value: str) -> str:
    values: Sequence[str] = value.split(source.separator) if source.separator else [value]
    known = source.words.get(name)
    if known is None:
        return ", ".join(one.strip() for one in values if one.strip())
    said = []
    for one in map(str.strip, values):
        if one and one not in known:
            raise formats.RowError(f"unknown value {one!r:.40} of {name}")
        said.append(known.get(one, ""))
    return ", ".join(filter(None, said))


def _check_name(name: str, source: LabelledSource) -> None:
    """Refuses a label that may name a person, or of which nobody knows whether it is visible."""
    why = metadata.why_hidden(name, dataset=source.dataset)
    if metadata.is_identifier(name):
        raise errors.UserError(
            f"source {source.name!r}: the label {name!r} may name a person; leave it out, or give"
            " its column as group"
        )
    if why == metadata.UNKNOWN:
        known = sorted(metadata.VISIBLE)
        raise errors.UserError(
            f"source {source.name!r}: unknown label {name!r}{errors.suggest(name, known)}; labels"
            f" that pictures show: {', '.join(known)}"
        )
