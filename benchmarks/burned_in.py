# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""How much planted text the detector of burned-in text finds on real pictures.

    PYTHONPATH=. python benchmarks/burned_in.py --pictures=FOLDER [--pictures=FOLDER] [--most=60]

Texts of known ink are drawn into the pictures: names, numbers and dates, in several fonts, sizes
and shades, in corners, at edges and in the middle, with and without an outline. A text counts as
found if at least nine tenths of its ink lie under boxes. Pictures are also looked at as they are:
the share that is flagged then is an upper bound of false flags, for some hold real text.
"""

import argparse
import collections
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont

from data_tools import burned_in
from lingshu_jax.data import images

TEXTS = (
    "DOE^JANE",
    "Smith, John A.",
    "MRN 00482913",
    "12/03/2019 14:05",
    "St. Mary Hospital",
    "DOB: 1961-07-04",
    "Acc# 7731-2",
    "J. Rivera 54Y F",
)
SIZES = (12, 14, 16, 20, 24, 32, 48)  # of the font, pixels; capitals have seven tenths of it
FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSerif.ttf",
    "STIXGeneral.ttf",
    "",  # Pillow's own
)
SHADES = (255, 0, 200, 128)
READABLE = 60  # steps of grey between a text and what is behind it; else it has an outline
FOUND = 0.9


class Planted(NamedTuple):
    """A picture with a text.

    Attributes:
      image: Grey values.
      ink: The text's pixels, its outline left out.
      size: Of the font, pixels.
      look: Shade and outline.
      place: Where it is.
    """

    image: UInt8[np.ndarray, "H W"]
    ink: Bool[np.ndarray, "H W"]
    size: int
    look: str
    place: str


def plant(grey: UInt8[np.ndarray, "H W"], rng: np.random.Generator, size: int) -> Planted | None:
    """A picture with a text of one size; None if it has no room for it.

    Args:
      grey: The picture.
      rng: Draws text, font, shade and place.
      size: Of the font, pixels.
    """
    text, name = str(rng.choice(TEXTS)), str(rng.choice(FONTS))
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(folder / name, size) if name else ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text, stroke_width=1)
    room = grey.shape[1] - (right - left) - 6, grey.shape[0] - (bottom - top) - 6
    if min(room) < 1:
        return None
    place = str(rng.choice(["corner", "edge", "inside"]))
    x, y = (int(rng.integers(0, most)) for most in room)
    if place != "inside":
        y = int(rng.choice([0, room[1] - 1]))
    if place == "corner":
        x = int(rng.choice([0, room[0] - 1]))
    at = (x + 3 - left, y + 3 - top)
    ink = Image.new("L", grey.shape[::-1])
    ImageDraw.Draw(ink).text(at, text, 255, font=font)
    behind = grey[np.asarray(ink) > 127].astype(int)
    readable = [s for s in SHADES if np.mean(abs(behind - s) >= READABLE) >= FOUND]
    outlined = bool(rng.random() < 0.3) or not readable
    shade = int(rng.choice(readable or SHADES))
    picture = Image.fromarray(grey)
    outline = 0 if shade > 100 else 255
    pen = ImageDraw.Draw(picture)
    pen.text(at, text, shade, font=font, stroke_width=int(outlined), stroke_fill=outline)
    look = f"{shade}{' outlined' if outlined else ''}"
    if rng.random() < 0.5:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=80)
        picture, look = Image.open(file), f"{look}, JPEG"
    return Planted(np.asarray(picture), np.asarray(ink) > 127, size, look, place)


def is_found(planted: Planted, boxes: list[burned_in.Box]) -> bool:
    """Whether boxes cover a planted text.

    Args:
      planted: The picture.
      boxes: Found in it.
    """
    covered = np.zeros(planted.image.shape, bool)
    for left, top, right, bottom in boxes:
        covered[top:bottom, left:right] = True
    return bool(covered[planted.ink].mean() >= FOUND)


def pictures(folders: list[Path], most: int) -> Iterator[tuple[str, UInt8[np.ndarray, "H W"]]]:
    """Grey pictures of some folders.

    Args:
      folders: With PNG and JPEG files.
      most: Of each folder, evenly chosen; 0 is all.
    """
    for folder in folders:
        files = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
        step = -(-len(files) // most) if most else 1
        for path in files[::step]:
            yield path.name, np.asarray(images.open_image(str(path)).convert("L"))


def main() -> None:
    """Prints recall by size, look and place, flags, and times."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=Path, action="append", required=True)
    parser.add_argument("--most", type=int, default=60, help="pictures of each folder; 0: all")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    found = collections.defaultdict(list)
    flagged, covered, seconds, pixels = [], [], 0.0, 0
    for name, grey in pictures(asked.pictures, asked.most):
        start = time.process_time()
        boxes = burned_in.find(grey)
        seconds += time.process_time() - start
        pixels += grey.size
        flagged.append((name, len(boxes)))
        covered.append(sum((b.right - b.left) * (b.bottom - b.top) for b in boxes) / grey.size)
        for size in SIZES:
            planted = plant(grey, rng, size)
            if planted is not None:
                hit = is_found(planted, burned_in.find(planted.image))
                for key in (f"{size:2d} px", planted.look, planted.place, "all"):
                    found[key].append(hit)
    print("| texts | planted | found |\n|---|---|---|")
    for key, hits in sorted(found.items()):
        print(f"| {key} | {len(hits)} | {np.mean(hits):.1%} |")
    count = len(flagged)
    print(f"\n{sum(n > 0 for _, n in flagged)} of {count} pictures as they are have boxes,")
    print(f"which cover {np.mean(covered):.2%} of their pixels.")
    each = f"{1000 * seconds / count:.0f} ms of one core a picture"
    print(f"{each} of {pixels / count / 1e6:.2f} megapixels.")


if __name__ == "__main__":
    main()
