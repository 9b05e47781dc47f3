# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How fast rows are made: ours beside transformers on the same files, as a Markdown table.

    PYTHONPATH=. python benchmarks/input_pipeline.py --images=DIR [--max_images=100]

Times are the processor time of this process, so that threads are counted and neighbours are not.
Ours and theirs take every file in turn, now the one first, now the other; a ratio is the median
over the repeats. Before anything is timed, the pixels of both are compared. Without transformers
the table has ours alone.
"""

import argparse
import dataclasses
import functools
import importlib
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image

from lingshu_jax.common import errors, geometry
from lingshu_jax.data import images

MIN_PIXELS, MAX_PIXELS = 3136, 1_003_520  # as the stages' configs have it
PROCESSOR = "transformers.models.qwen2_vl.image_processing_pil_qwen2_vl"
SIDE = geometry.QWEN2_5_VL.patch_size
TOLERANCE = 1e-6  # of a normalised value
AFTER_DECODING, WITH_DECODING = 2.5, 1.8  # times theirs, as asked

Work = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
      what: What was done.
      unit: Of the two rates.
      ours: Rate of ours, per second of one core.
      theirs: Rate of theirs, or None.
      ratios: Ours over theirs, one a repeat.
      asked: What the ratio, or our rate without theirs, must at least be; None asks nothing.
    """

    what: str
    unit: str
    ours: float
    theirs: float | None = None
    ratios: tuple[float, ...] = ()
    asked: float | None = None

    def cells(self) -> tuple[str, ...]:
        """The line as text."""
        theirs = ratio = "-"
        if self.theirs is not None:
            theirs = f"{self.theirs:,.1f}"
            spread = f"{min(self.ratios):.2f} to {max(self.ratios):.2f}"
            ratio = f"{statistics.median(self.ratios):.2f} ({spread})"
        asked = "-" if self.asked is None else f"{self.asked:g}"
        return self.what, self.unit, f"{self.ours:,.1f}", theirs, ratio, asked


@dataclasses.dataclass(frozen=True)
class Picture:
    """One file, decoded as well."""

    path: str
    image: Image.Image
    grid: geometry.Grid

    @property
    def is_grey(self) -> bool:
        """Whether its three channels are equal, as those of most radiographs are."""
        first, *others = (channel.tobytes() for channel in self.image.split())
        return all(first == other for other in others)


def find_pictures(folder: Path, count: int) -> list[Picture]:
    """Up to `count` pictures of a folder and its subfolders, spread evenly over their names.

    Args:
      folder: Where they are; files that are no pictures are left out.
      count: How many at most.

    Raises:
      UserError: If there is none.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [files[i * len(files) // count] for i in range(count)] if count < len(files) else files
    pictures = []
    for path in map(str, files):
        try:
            image = images.open_image(path)
            grid = _grid(image.height, image.width)
        except errors.UserError:
            continue
        pictures.append(Picture(path, image, grid))
    if not pictures:
        raise errors.UserError(f"no pictures in {folder}")
    return pictures


def _grid(height: int, width: int) -> geometry.Grid:
    return geometry.image_grid(height, width, min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS)


def ours_decoded(picture: Picture) -> np.ndarray:
    """Patches of a picture in memory."""
    return images.load_patches(images.Media(start=0, grid=picture.grid, image=picture.image))


def ours_from_file(picture: Picture) -> np.ndarray:
    """Patches of a file: size from its header, then the pixels, as training does it."""
    shape = images.read_shape(picture.path, is_video=False)
    grid = _grid(shape.height, shape.width)
    return images.load_patches(images.Media(start=0, grid=grid, image=picture.path))


def theirs_decoded(processor: Any, picture: Picture) -> np.ndarray:
    """Their patches of a picture in memory."""
    return processor(images=[picture.image])["pixel_values"]


def theirs_from_file(processor: Any, picture: Picture) -> np.ndarray:
    """Their patches of a file."""
    with Image.open(picture.path) as image:
        return processor(images=[image])["pixel_values"]


def make_processor() -> Any | None:
    """Theirs with the same limits, or None where transformers is not installed."""
    try:
        module = importlib.import_module(PROCESSOR)
    except ImportError:
        return None
    size = {"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS}
    return module.Qwen2VLImageProcessorPil(size=size)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of normalised values, or infinity where bytes differ.

    Args:
      ours: Bytes.
      theirs: Normalised values.
    """
    channels = ours.reshape(len(ours), 3, -1)
    mean = np.array(geometry.PIXEL_MEAN)[None, :, None]
    std = np.array(geometry.PIXEL_STD)[None, :, None]
    values = theirs.reshape(channels.shape).astype(np.float64)
    inverted = np.rint((values * std + mean) * 255)
    largest = float(np.abs((channels / 255 - mean) / std - values).max())
    return largest if (inverted == channels).all() else np.inf


def compare(processor: Any, picture: Picture) -> bool:
    """Checks that bytes are equal, and normalised values up to rounding.

    Args:
      processor: Theirs.
      picture: Cut by both, from the file and from memory.

    Returns:
      False if Pillow resizes this picture in another order than ours in one call, as from 13 on
      it may; then everything but that is compared.

    Raises:
      UserError: If the pixels differ.
    """
    theirs = theirs_from_file(processor, picture)
    height, width = picture.grid.h * SIDE, picture.grid.w * SIDE
    resized = images.resize(picture.image, height, width)
    in_one_call = picture.image.resize((width, height), Image.Resampling.BICUBIC)
    same_order = resized.tobytes() == in_one_call.tobytes()
    if not same_order:
        theirs = processor(images=[resized], do_resize=False)["pixel_values"]
    for ours in (ours_from_file(picture), ours_decoded(picture)):
        if not difference(ours, theirs) <= TOLERANCE:
            raise errors.UserError(f"{picture.path}: pixels differ from those of transformers")
    return same_order


def processor_seconds(work: Work) -> float:
    """Processor time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(sides: Sequence[Sequence[Work]], repeats: int) -> list[list[np.ndarray]]:
    """Seconds of each piece of work, one side beside the other, in turn.

    Args:
      sides: Ours and perhaps theirs: the same pieces of work.
      repeats: How often everything is done; one more run before warms up.

    Returns:
      For each repeat and side the seconds of each piece.
    """
    result = []
    for repeat in range(repeats + 1):
        seconds = [np.zeros(len(side)) for side in sides]
        for piece in range(len(sides[0])):
            turn = list(range(len(sides)))
            for side in turn if (piece + repeat) % 2 else turn[::-1]:
                seconds[side][piece] = processor_seconds(sides[side][piece])
        result.append(seconds)
    return result[1:]


def summarise(
    what: str, seconds: list[list[np.ndarray]], chosen: np.ndarray, asked: float | None
) -> Row:
    """A line about the chosen pieces of work.

    Args:
      what: Its first cell.
      seconds: As `measure` gives them.
      chosen: True for each piece that counts.
      asked: Ratio that is asked for.
    """
    rates = [[float(chosen.sum() / side[chosen].sum()) for side in repeat] for repeat in seconds]
    ours, *theirs = (statistics.median(side) for side in zip(*rates, strict=True))
    if not theirs:
        return Row(what, "images/s", ours)
    ratios = tuple(repeat[0] / repeat[1] for repeat in rates)
    return Row(what, "images/s", ours, theirs[0], ratios, asked)


def images_part(arguments: argparse.Namespace) -> Iterator[Row]:
    """Resize and patchify, after decoding and with it."""
    pictures = find_pictures(Path(arguments.images), arguments.max_images)
    processor = make_processor()
    if processor is not None:
        equal = sum(compare(processor, picture) for picture in pictures)
        print(f"pixels: {equal} of {len(pictures)} files equal to transformers', bit for bit")
        if equal < len(pictures):
            rest = len(pictures) - equal
            print(
                f"the other {rest} too, but for the order in which Pillow {PIL.__version__} resizes"
            )
    ways = (
        ("after decoding", ours_decoded, theirs_decoded, AFTER_DECODING),
        ("with decoding", ours_from_file, theirs_from_file, WITH_DECODING),
    )
    for name, ours, theirs, asked in ways:
        sides = [[functools.partial(ours, picture) for picture in pictures]]
        if processor is not None:
            sides.append([functools.partial(theirs, processor, picture) for picture in pictures])
        seconds = measure(sides, arguments.repeats)
        for group, chosen in groups_of(pictures).items():
            is_all = group == "all"
            what = f"{name}, {chosen.sum()} images" + ("" if is_all else f", {group}")
            yield summarise(what, seconds, chosen, asked if is_all else None)


def groups_of(pictures: Sequence[Picture]) -> dict[str, np.ndarray]:
    """Which pictures belong to all, and, where there are both, to the grey and coloured ones."""
    groups = {"all": np.ones(len(pictures), bool)}
    is_grey = np.array([picture.is_grey for picture in pictures])
    return groups | {"grey": is_grey, "coloured": ~is_grey} if 0 < is_grey.mean() < 1 else groups


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {"images": images_part}


def versions() -> str:
    """What the numbers depend on, beside the machine."""
    found = [f"Python {platform.python_version()}", f"numpy {np.__version__}"]
    found.append(f"Pillow {PIL.__version__}")
    for name in ("transformers", "torch"):
        try:
            found.append(f"{name} {importlib.import_module(name).__version__}")
        except ImportError:
            found.append(f"no {name}")
    return ", ".join(found)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| what | unit, a core | ours | transformers | ratio, median (range) | asked |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        yield f"| {' | '.join(row.cells())} |"


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the command line and prints the table.

    Args:
      argv: Arguments; None takes those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--images", help="folder of pictures")
    parser.add_argument("--max_images", type=int, default=100, help="how many of them")
    parser.add_argument("--repeats", type=int, default=5, help="how often everything is timed")
    arguments = parser.parse_args(argv)
    names = arguments.parts.split(",")
    if not set(names) <= set(PARTS):
        parser.error(f"--parts must be of {', '.join(PARTS)}, got {arguments.parts}")
    if "images" in names and not arguments.images:
        parser.error("--images=DIR is required")
    rows = [row for name in names for row in PARTS[name](arguments)]
    print(f"{versions()}; {platform.machine()}\n")
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
