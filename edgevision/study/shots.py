"""What a benchmark shows its engines, shot by shot: a network's whole input, and which of its pixels are live.

`squares`: one compact square a shot takes new random values, at a fresh place. `clip`: a video as the change detector hands it on, bands of
the rolling refresh included. Both give the same shots each time they are asked. Arrays are valid until the next shot.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from edgevision.compare.background import ChangeDetector
from edgevision.errors import BadFrame, InputError
from edgevision.kernels.forms import Float
from edgevision.recompute.preprocess import Preprocess
from edgevision.recompute.refresh import RollingRefresh
from edgevision.recompute.settings import RecomputeSettings
from edgevision.records import Image, Mask
from edgevision.study.recording import read_frames
from edgevision.study.tensors import fitted, intake_for, to_tensor

FPS = 30.0


@dataclass(frozen=True, slots=True)
class Shot:
    """`x` (1, C, H, W) is the input in use, `live` (H, W) its live pixels; `frame` the 8-bit picture that the engine is handed, if it takes
    pictures, and `map_ms` what finding its change map took. `is_whole` when there is nothing to go by: the whole network must run.
    """

    x: Float
    live: Mask
    is_whole: bool
    frame: Image | None = None
    map_ms: float = 0.0
    ts: float = 0.0


@dataclass(frozen=True, slots=True)
class Squares:
    """`share` of the input's pixels live, in one square (a rectangle where a square would not fit). The first shot is whole."""

    shape: tuple[int, ...]
    preprocess: Preprocess
    share: float
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.share:.4g} live"

    def play(self, count: int) -> Iterator[Shot]:
        """`count` shots after the first, whole one."""
        random = np.random.default_rng(self.seed)
        _, channels, height, width = self.shape
        table = intake_for(self.preprocess, (1, 3 if channels > 1 else 1, height, width)).table
        x = np.empty(self.shape, np.float32)
        if table is None:
            raise InputError("the preprocess has no table")

        def fill(rows: slice, columns: slice) -> None:
            for channel in range(channels):
                place = x[0, channel, rows, columns]
                place[...] = table[channel % len(table)][random.integers(0, 256, place.shape, dtype=np.uint8)]

        fill(slice(None), slice(None))
        yield Shot(x, np.ones((height, width), np.bool_), True)
        rows, columns = square_px(self.share, height, width)
        for _ in range(count):
            live = np.zeros((height, width), np.bool_)
            if rows and columns:
                top, left = int(random.integers(0, height - rows + 1)), int(random.integers(0, width - columns + 1))
                live[top : top + rows, left : left + columns] = True
                fill(slice(top, top + rows), slice(left, left + columns))
            yield Shot(x, live, False)


def square_px(share: float, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the square that makes up this share of the picture."""
    wanted = share * height * width
    rows = min(height, max(1, round(wanted**0.5))) if wanted >= 1 else 0
    columns = min(width, max(1, round(wanted / rows))) if rows else 0
    return min(height, round(wanted / columns)) if columns == width else rows, columns


@dataclass(frozen=True, slots=True)
class Clip:
    """The frames of a video, stretched to the network's size, through a change detector with default settings, as if 30 came a second."""

    shape: tuple[int, ...]
    preprocess: Preprocess
    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def play(self, count: int) -> Iterator[Shot]:
        """At most `count` shots after the first, whole one. Raises InputError, CameraError where the clip cannot be used."""
        if not self.path.exists():
            raise InputError(f"{self.path}: no such file or folder; give a video file or a folder of images, with --clip")
        detector, refresh = ChangeDetector(), RollingRefresh(RecomputeSettings().keyframe_s)
        intake = intake_for(self.preprocess, self.shape)
        x = np.empty(self.shape, np.float32)
        used: Image = np.zeros(0, np.uint8)
        for number, frame in enumerate(read_frames(self.path, count + 1)):
            picture, ts = fitted(frame.image, self.shape), number / FPS
            if not used.size:
                detector.prepare(picture)
            start = time.perf_counter()
            try:
                change = detector.measure(picture, ts, refresh.rows(ts, picture.shape[0]))
            except BadFrame:
                continue
            detector.commit(change, change.live)
            map_ms = (time.perf_counter() - start) * 1e3
            if change.full_reason is not None:
                used = change.corrected.copy()
            else:
                np.copyto(used, change.corrected, where=change.live if used.ndim == 2 else change.live[:, :, None])
            to_tensor(used, intake, x)
            yield Shot(x, change.live, change.full_reason is not None, change.corrected, map_ms, ts)


Scene = Squares | Clip


def pairs(scene: Scene, count: int, wanted: int) -> Iterator[tuple[Float, Float]]:
    """`wanted` of the scene's shots, evenly spread: the input before and the input at it."""
    chosen = set(np.linspace(1, count, min(wanted, count) + 2)[1:-1].round().astype(int).tolist())
    before: Float | None = None
    for number, shot in enumerate(islice(scene.play(count), count + 1)):
        if before is not None:
            yield before, shot.x
        before = shot.x.copy() if number + 1 in chosen else None
