"""The golden reference as one camera sees it: where the part lies in the frame, in which light, and which pixels no good part shows.

In: frames, live runs. Out: marks in `raw`. Keeps, per camera, the last pose, the golden picture and its bounds as they lie in the frame.

They are laid anew when the part has moved by more than an eighth of a pixel. Where nothing moved the last marks stand, but for a band.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.compare.align import LEAST_LANDMARKS, Landmarks, Limits, Pose, warped
from edgevision.compare.golden import Golden
from edgevision.compare.light import Lamp, refuse_colours
from edgevision.compare.measure import EDGE_SIGMAS, NOISE_GUESS
from edgevision.compare.settings import ChangeSettings
from edgevision.errors import InputError
from edgevision.records import Image

MOVED_PX = 0.125


class GoldenView:
    """One camera's view of a golden picture: `picture`, as it lies in the frame; `is_aligned` is False where the part was not found."""

    def __init__(self, golden: Golden, image: Image, allowed: NDArray[np.uint8], level_shift: int, settings: ChangeSettings) -> None:
        golden.refuse_unlike(image, settings.golden)
        height, width = image.shape[:2]
        self._flat_shape = (height, image.size // height)
        self._channels = image.size // (height * width)
        self._golden, self._allowed, self._level_shift, self._settings = golden, allowed, level_shift, settings
        self._limits = Limits(settings.align_px, settings.align_degrees)
        self._landmarks = Landmarks(golden.mean, allowed, self._limits) if settings.align_px > 0 else None
        if self._landmarks is not None and len(self._landmarks) < LEAST_LANDMARKS:
            raise InputError(
                f"{settings.golden}: shows too little texture to align frames with it; set compare.align_px: 0 for a fixed part"
            )
        self._lamp = Lamp((height, width, self._channels), image.dtype, level_shift)
        self.pose = Pose()
        self.is_aligned = False
        self._bounds = _bounds_of(golden, allowed, level_shift, settings)
        self._lay()

    @property
    def mean(self) -> Image:
        """The golden picture as it was taught, wherever it now lies in the frame."""
        return self._golden.mean

    def align(self, image: Image) -> bool:
        """Find the part. True when all of the frame must be judged anew: it moved, or has just been found."""
        if self._landmarks is None:
            was, self.is_aligned = self.is_aligned, True
            return not was
        found = self._landmarks.locate(image, self.pose)
        was = self.is_aligned
        self.is_aligned = found is not None and self._limits.holds(found)
        if found is None or not self.is_aligned:
            return False
        moved = Pose(found.dx - self.pose.dx, found.dy - self.pose.dy, found.angle - self.pose.angle).reach_px(image.shape)
        if moved > MOVED_PX:
            self.pose = found
            self._lay()
        return moved > MOVED_PX or not was

    def fit(self, kernels: ModuleType, flat: Image, dead: NDArray[np.int32], samples: NDArray[np.int32], grid: tuple[Any, Any]) -> None:
        """Take up the light of a frame (row, column x channel). `grid` is (first row and column, steps), `samples` working space."""
        depth = (self._level_shift, (256 << self._level_shift) - 1)
        place = ((self._allowed, dead), depth, self._channels, *grid, samples)
        n = kernels.gather(flat, self.picture.reshape(self._flat_shape), *place)[0]
        if self._settings.photometric == "none" or n < self._channels * 16:
            self._lamp.reset()
        else:
            self._lamp.fit(kernels, samples, n, 0.0)
        self.is_aligned = False  # should it be refused: the next frame is judged anew
        refuse_colours(samples, n, self._settings.colour_limit)
        self.is_aligned = True

    def judge_band(self, kernels: ModuleType, flat: Image, rows: tuple[int, int], flags: NDArray[np.uint8], raw: NDArray[np.uint8]) -> None:
        """Mark in these rows the pixels that no good part shows."""
        kernels.outside_band(flat, self._lamp.light, self._low, self._high, self._allowed, rows, self._channels, flags, raw)

    def judge_runs(self, kernels: ModuleType, flat: Image, runs: tuple[Any, int], flags: NDArray[np.uint8], raw: NDArray[np.uint8]) -> None:
        """The same in the live runs, (array, count)."""
        kernels.outside_runs(flat, self._lamp.light, self._low, self._high, self._allowed, *runs, self._channels, flags, raw)

    def _lay(self) -> None:
        """The picture and its bounds as they lie in the frame. What the golden picture does not reach is not judged."""
        low, high = self._bounds
        self.picture = self._golden.mean
        if self.pose != Pose():
            self.picture = warped(self._golden.mean, self.pose)
            self.picture.setflags(write=False)
            low = warped(low, self.pose, outside=0)
            high = warped(high, self.pose, outside=np.iinfo(high.dtype).max)
        self._low, self._high = low.reshape(self._flat_shape), high.reshape(self._flat_shape)


def _bounds_of(golden: Golden, allowed: NDArray[np.uint8], level_shift: int, settings: ChangeSettings) -> tuple[NDArray[Any], NDArray[Any]]:
    """The least and greatest value of a good part at every place, of the picture's shape."""
    unit, top = float(1 << level_shift), np.iinfo(golden.mean.dtype).max
    mean = golden.mean.astype(np.float32)
    edges = np.maximum(_steps(mean) - EDGE_SIGMAS * NOISE_GUESS * unit, 0) * settings.vibration_px
    over, under = (
        np.maximum(least * unit, times * spread.astype(np.float32) * (unit / 256)) + edges
        for least, times, spread in zip(settings.abs_threshold, settings.var_threshold, (golden.bright, golden.dark), strict=True)
    )
    seen = allowed.astype(bool) if mean.ndim == 2 else allowed.astype(bool)[..., None]
    low = np.where(seen, np.clip(np.floor(mean - under), 0, top), 0).astype(golden.mean.dtype)
    high = np.where(seen, np.clip(np.ceil(mean + over), 0, top), top).astype(golden.mean.dtype)
    return low, high


def _steps(mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest step to a neighbour across, plus the largest along."""
    wide = cv2.copyMakeBorder(mean, 1, 1, 1, 1, cv2.BORDER_REPLICATE).reshape(mean.shape[0] + 2, mean.shape[1] + 2, -1)
    middle = wide[1:-1, 1:-1]
    across = np.maximum(np.abs(wide[1:-1, :-2] - middle), np.abs(wide[1:-1, 2:] - middle))
    along = np.maximum(np.abs(wide[:-2, 1:-1] - middle), np.abs(wide[2:, 1:-1] - middle))
    return np.asarray((across + along).reshape(mean.shape), np.float32)
