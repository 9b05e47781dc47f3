# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""An adapter of folders of DICOM and NIfTI files: a picture and a caption of what the header says.

Files of one series are taken together, and of each series some slices, evenly spaced. A caption
holds known words only: modality, body part, view and plane. Names of files and folders are in no
row but as the place of its picture, which `deidentify.convert` turns into the picture itself.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_tools import scans
from data_tools.adapters import prompts
from lingshu_jax.common import errors
from lingshu_jax.data import formats, volume_files

SLICES = 8  # of a series, unless `dataset` of the source says another number, as "slices=4"
_SLICES = re.compile(r"slices=([1-9]\d{0,5})")
_ONE_RUN = b"one run"  # groups files; its hashes go nowhere
_MODALITIES = {
    "CR": "X-ray image",
    "CT": "CT image",
    "DX": "X-ray image",
    "IO": "dental X-ray image",
    "MG": "mammogram",
    "MR": "MR image",
    "NM": "nuclear medicine image",
    "OP": "photograph of the eye",
    "OPT": "optical coherence tomogram",
    "PT": "PET image",
    "PX": "panoramic dental X-ray image",
    "RF": "fluoroscopic image",
    "SM": "microscopic image",
    "US": "ultrasound image",
    "XA": "angiographic image",
    "XC": "photograph",
}
# DICOM writes its terms of body parts without blanks.
_BODY_PARTS = {
    "ABDOMENPELVIS": "abdomen and pelvis",
    "CSPINE": "cervical spine",
    "HEADNECK": "head and neck",
    "LSPINE": "lumbar spine",
    "SSPINE": "sacrum",
    "TSPINE": "thoracic spine",
    "WHOLEBODY": "whole body",
}
_VIEWS = {
    "AP": "from front to back",
    "PA": "from back to front",
    "LATERAL": "from the side",
    "LL": "from the side",
    "RL": "from the side",
    "CC": "from above",
    "MLO": "obliquely",
}


class _File(NamedTuple):
    """A file of a series."""

    path: Path
    kind: volume_files.Kind
    frames: int
    facts: scans.Facts


@dataclasses.dataclass(frozen=True)
class Folder:
    """The adapter."""

    def row_files(self, path: Path) -> list[Path]:
        """All files of a folder and of those below it, but hidden ones.

        Args:
          path: The folder, or one file.

        Raises:
          UserError: If it is missing or empty.
        """
        if path.is_file():
            return [path]
        found = sorted(file for file in path.rglob("*") if _is_shown(file.relative_to(path)))
        found = [file for file in found if file.is_file()]
        if not found:
            raise errors.UserError(f"{path} is no folder with files")
        return found

    def read(
        self, path: Path, options: formats.Options
    ) -> Iterator[formats.Record | formats.Refusal]:
        """A row for each chosen slice, and a refusal for each file that does not read.

        Args:
          path: The folder, or one file.
          options: `dataset` may say how many slices of a series are taken, as "slices=4".

        Raises:
          UserError: If there are no files, or `dataset` says something else.
        """
        chosen = _SLICES.fullmatch(options.dataset or f"slices={SLICES}")
        if chosen is None:
            raise errors.UserError(f"dataset must be as slices=8, got {options.dataset!r}")
        files: list[_File] = []
        for number, file in enumerate(self.row_files(path), start=1):
            try:
                files.append(_open(file))
            except errors.UserError as error:
                reason = str(error).replace(str(file), "the file")
                yield formats.Refusal(number, f"file-{number:06d}", reason)
        for number, members in enumerate(_series(files), start=1):
            yield from _rows(members, number, int(chosen[1]))


def _is_shown(path: Path) -> bool:
    return not any(part.startswith((".", "__")) for part in path.parts)


def _open(path: Path) -> _File:
    try:
        found = volume_files.find(str(path))
    except OSError as error:
        raise errors.UserError(f"the file cannot be opened ({type(error).__name__})") from None
    if found is None:
        raise errors.UserError("the file is neither DICOM nor NIfTI")
    shape = found.read_shape()
    if found.kind == "dicom":
        return _File(path, found.kind, shape.num_frames, scans.read(str(path), _ONE_RUN))
    itself = scans.hashed(_ONE_RUN, path)
    return _File(path, found.kind, shape.num_frames, scans.Facts(itself, itself))


def _series(files: Sequence[_File]) -> list[list[_File]]:
    """Files of one series together, in the order of their places; series as their first files."""

    def key(file: _File) -> tuple[str, int, Path]:
        return file.facts.series, file.facts.instance, file.path

    groups = itertools.groupby(sorted(files, key=key), lambda file: file.facts.series)
    return sorted((list(members) for _, members in groups), key=lambda members: members[0].path)


def _rows(
    members: Sequence[_File], number: int, slices: int
) -> Iterator[formats.Record | formats.Refusal]:
    frames = [(file, frame) for file in members for frame in range(file.frames)]
    for place in volume_files.Choice(frames=slices).indices(len(frames)):
        file, frame = frames[place]
        row_id, line = f"series-{number:06d}-{place + 1:05d}", place + 1
        said = _caption(file, place + 1, len(frames))
        if said is None:
            yield formats.Refusal(line, row_id, "the header does not say what it shows")
            continue
        choice = volume_files.Choice(frame=frame)
        picture = {"type": "image", "image": f"{file.path.resolve()}{choice.fragment()}"}
        asked = {"type": "text", "text": prompts.for_caption(row_id, said)}
        messages = (
            {"role": "user", "content": [picture, asked]},
            {"role": "assistant", "content": [{"type": "text", "text": said}]},
        )
        meta: dict[str, Any] = {"series": f"series-{number:06d}"}
        yield formats.Record(line, row_id, messages, meta)


def _caption(file: _File, place: int, count: int) -> str | None:
    """What the header says in known words; None where it says nothing to speak of."""
    facts = file.facts
    kind = _MODALITIES.get(facts.modality or "")
    if file.kind == "nifti":
        kind = "slice of a three-dimensional scan"
    if kind is None:
        return None
    said = f"This is {_article(kind)} {kind}"
    if facts.body_part:
        said += f" of the {_BODY_PARTS.get(facts.body_part, facts.body_part.lower())}"
    said += f", taken {_VIEWS[facts.view]}" if facts.view in _VIEWS else ""
    plane = facts.plane if file.kind == "dicom" else "axial"
    said += f" in the {plane} plane" if plane else ""
    return f"{said}. It is number {place} of the {count} pictures of its series."


def _article(kind: str) -> str:
    return "an" if kind[0] in "aeiou" or kind.startswith(("X-", "MR")) else "a"


ADAPTERS = {"dicom_folder": Folder()}
