# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Videos and volumes beside transformers, which is given the positions of Qwen's training code.

transformers' own positions of a video differ between its releases, and text goes on before the
last frame's time in the newest; the twins pin that they are another model's positions.
"""

import dataclasses
import functools
import pathlib
import types
from collections.abc import Sequence
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from lingshu_jax.data import images, messages, packing, tokenizer_files
from tests.make_golden import tiny_models
from tests.models import goldens
from tests.oracle import checkpoints, sides
from tests.oracle import figures as figures_lib

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

WORDS = 256  # the byte-level tokenizer without merges; the special tokens follow
LIMITS = {"min_pixels": 784, "max_pixels": 12 * 784}
BUDGET = packing.Budget(tokens=256, patches=1024)
TEXT = "What moves?"


@dataclasses.dataclass(frozen=True)
class Clip:
    """Pixels [T, H, W, 3] as pictures and what the positions depend on; no rate is an image."""

    frames: np.ndarray
    fps: float | None
    path: str | None = None

    @property
    def part(self) -> dict[str, Any]:
        """As a message holds it: a file where there is one, else pictures."""
        if self.path is not None:
            return {"type": "video", "video": self.path, "fps": self.fps}
        pictures = [Image.fromarray(frame) for frame in self.frames]
        if self.fps is None:
            return {"type": "image", "image": pictures[0]}
        return {"type": "video", "video": pictures, "fps": self.fps}

    @property
    def pairs(self) -> np.ndarray:
        """Resized frames; the last one stands twice where their number is odd."""
        height, width = fit(*self.frames.shape[1:3])
        resized = [
            np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
            for frame in self.frames
        ]
        return np.stack(resized + resized[-1:] * (len(resized) % 2))


def fit(height: int, width: int) -> tuple[int, int]:
    """Nearest multiples of a cell; these tests choose sizes that the limits leave alone."""
    sides_ = [round(side / checkpoints.CELL) * checkpoints.CELL for side in (height, width)]
    assert LIMITS["min_pixels"] <= sides_[0] * sides_[1] <= LIMITS["max_pixels"]
    return sides_[0], sides_[1]


def random_clips(rng: np.random.Generator) -> dict[str, tuple[Clip, ...]]:
    """Odd and even numbers of frames at 0.5 to 8 a second; several media in one row."""

    def clip(count: int, fps: float | None) -> Clip:
        height, width = (int(side) for side in rng.integers(1, 4, 2))
        return Clip(checkpoints.picture(rng, height, width, count), fps)

    still = clip(1, None)
    return {
        "one_frame": (clip(1, 2.0),),
        "two_frames_slow": (clip(2, 0.5),),
        "three_frames": (clip(3, 0.7),),
        "five_frames": (clip(5, 1.5),),
        "eight_frames": (clip(8, 3.0),),
        "nine_frames_fast": (clip(9, 8.0),),
        "image_then_video": (still, clip(7, 5.3)),
        "video_then_image": (clip(4, 1.0), still),
        "two_rates": (clip(5, 4.0), clip(6, 0.5)),
        "long": (clip(8, 0.5),),
    }


def changed_clips(rng: np.random.Generator) -> dict[str, tuple[Clip, ...]]:
    """The same frames at another rate, in another order, and with another last one."""
    frames = checkpoints.picture(rng, 2, 3, 5)
    return {
        "slow": (Clip(frames, 0.5),),
        "fast": (Clip(frames, 8.0),),
        "backwards": (Clip(frames[::-1], 0.5),),
        "last_frame_dark": (Clip(np.concatenate([frames, 0 * frames[:1]]), 0.5),),
    }


def volume_clips(rng: np.random.Generator, folder: pathlib.Path) -> dict[str, tuple[Clip, ...]]:
    """The slices of a NIfTI file, an odd number of a size that is resized."""
    voxels = rng.normal(300, 100, (70, 61, 5)).astype(np.float32)
    path = folder / "volume.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)
    frames = np.stack([np.asarray(frame) for frame in images.open_frames(str(path))])
    assert frames.shape == (5, 61, 70, 3)
    return {
        "volume": (Clip(frames, 2.0, str(path)),),
        "volume_upside_down": (Clip(frames[:, ::-1].copy(), 2.0),),
    }


def positions_of(tokens: Sequence[int], clips: Sequence[Clip], pads: set[int]) -> np.ndarray:
    """[3, N] one token at a time.

    A frame stands `index * seconds a grid * 2` later than the first, in float32 and cut to
    whole numbers; whatever follows a medium goes on after the largest position before it.
    """
    columns: list[tuple[int, ...]] = []
    waiting = list(clips)
    while len(columns) < len(tokens):
        start = max((max(column) for column in columns), default=-1) + 1
        if tokens[len(columns)] not in pads:
            columns.append((start, start, start))
            continue
        clip = waiting.pop(0)
        frames, rows, width = tiny_models.grid_of(clip.pairs)
        seconds = np.float32(0.0 if clip.fps is None else 2 / clip.fps)
        columns += [
            (start + int(np.float32(t) * seconds * np.float32(2)), start + y, start + x)
            for t in range(frames)
            for y in range(rows // 2)
            for x in range(width // 2)
        ]
    return np.array(columns).T


class Videos:
    """One random checkpoint with a tokenizer, on both sides."""

    def __init__(self, module: types.ModuleType, seed: int, folder: pathlib.Path):
        drawn = checkpoints.random_model(seed)
        self.model = dataclasses.replace(drawn, num_text_tokens=WORDS, vocab_size=WORDS + 25)
        self.module = module
        self.oracle = checkpoints.build(module, self.model)
        self.golden = checkpoints.to_golden(self.oracle, folder)
        tokenizer_files.write_tokenizer(folder, ["abc"], WORDS, **LIMITS)
        self.encoder = messages.Encoder(folder, **LIMITS)
        self.pads = {self.encoder.special.image_pad, self.encoder.special.video_pad}
        rng = np.random.default_rng(seed)
        self.rows = random_clips(rng) | changed_clips(rng) | volume_clips(rng, folder)
        self.encoded = {name: self._encode(name, clips) for name, clips in self.rows.items()}

    @functools.cached_property
    def outputs(self) -> dict[str, sides.Output]:
        """Ours, of all rows."""
        return sides.Ours(self.golden, list(self.encoded.values()), BUDGET).forward()

    def _encode(self, name: str, clips: Sequence[Clip]) -> messages.Encoded:
        content = [*(clip.part for clip in clips), {"type": "text", "text": TEXT}]
        return self.encoder.encode([{"role": "user", "content": content}], train=False, id=name)

    def expected(self, row: messages.Encoded, clips: Sequence[Clip]) -> np.ndarray:
        return positions_of(row.tokens.tolist(), clips, self.pads)

    def theirs(
        self, row: messages.Encoded, clips: Sequence[Clip], positions: np.ndarray
    ) -> sides.Output:
        """Features of all media, and logits of the row with images and videos as they are."""
        torch = self.module.torch
        inputs: dict[str, Any] = {
            "input_ids": torch.from_numpy(row.tokens.astype(np.int64))[None],
            "position_ids": torch.from_numpy(positions.astype(np.int64))[:, None],
        }
        names = (("pixel_values_videos", "video_grid_thw"), ("pixel_values", "image_grid_thw"))
        for is_still, (pixels, grids) in enumerate(names):
            chosen = [clip for clip in clips if (clip.fps is None) == is_still]
            if chosen:
                inputs[pixels], inputs[grids] = self._pixels(chosen)
        with torch.no_grad():
            vision = self.oracle.model.visual(*self._pixels(clips)).pooler_output
            logits = self.oracle(**inputs).logits[0]
        return sides.Output(logits.numpy(), vision.numpy())

    def own_positions(self, row: messages.Encoded, clips: Sequence[Clip]) -> np.ndarray:
        """What transformers itself would take for a row of videos."""
        torch = self.module.torch
        ids = torch.from_numpy(row.tokens.astype(np.int64))[None]
        found, _ = self.oracle.model.get_rope_index(
            ids,
            mm_token_type_ids=2 * (ids == self.encoder.special.video_pad).int(),
            video_grid_thw=self._pixels(clips)[1],
            second_per_grid_ts=torch.tensor([2 / (clip.fps or 1) for clip in clips]),
        )
        return found[:, 0].numpy()

    def _pixels(self, clips: Sequence[Clip]) -> tuple[Any, Any]:
        torch = self.module.torch
        patches = np.concatenate([tiny_models.patchify(clip.pairs) for clip in clips])
        grids = [tiny_models.grid_of(clip.pairs) for clip in clips]
        pixels = tiny_models.normalise(patches).astype(np.float32)
        return torch.from_numpy(pixels), torch.tensor(grids)


@pytest.fixture(scope="module")
def videos(
    video_seed: int, oracle_side: types.ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Videos:
    return Videos(oracle_side, video_seed, tmp_path_factory.mktemp("video"))


def test_the_expected_positions_by_hand() -> None:
    """Two words, four grids of one token at half a second, one word."""
    frames = np.zeros((8, 28, 28, 3), np.uint8)
    found = positions_of([7, 7, 0, 0, 0, 0, 7], [Clip(frames, 4.0)], {0})
    assert found[0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert found[1].tolist() == [0, 1, 2, 2, 2, 2, 6]


def test_positions_features_and_logits(videos: Videos, figures: figures_lib.Figures) -> None:
    for name, clips in videos.rows.items():
        row = videos.encoded[name]
        expected = videos.expected(row, clips)
        np.testing.assert_array_equal(row.positions, expected, err_msg=name)
        theirs = videos.theirs(row, clips, expected)
        where = f"{videos.model.name} {name}"
        sides.assert_close(figures, videos.outputs[name], theirs, where)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("slow", "fast"),
        ("slow", "backwards"),
        ("slow", "last_frame_dark"),
        ("volume", "volume_upside_down"),
    ],
)
def test_rate_and_order_matter(videos: Videos, before: str, after: str) -> None:
    """The twins: the same frames faster, backwards, or without the repeated last one."""
    logits = [videos.outputs[name].logits[-len(TEXT) :] for name in (after, before)]
    assert goldens.gap(*logits) > sides.MATTERS


def test_their_own_positions_are_others(videos: Videos) -> None:
    """Text goes on after the larger side there, after the last frame here."""
    row, clips = videos.encoded["long"], videos.rows["long"]
    own, qwens = videos.own_positions(row, clips), videos.expected(row, clips)
    is_video = row.tokens == videos.encoder.special.video_pad
    np.testing.assert_array_equal(own[:, is_video], qwens[:, is_video])
    assert own[0, -1] < qwens[0, is_video].max() < qwens[0, -1]
    with pytest.raises(AssertionError, match="logits differ"):
        theirs = videos.theirs(row, clips, own)
        sides.assert_close(figures_lib.Figures(), videos.outputs["long"], theirs, "twin")
