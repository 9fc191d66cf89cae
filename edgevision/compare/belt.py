"""A camera over a conveyor: how far the belt has moved, and the frame as it lies on the belt. In: frames. Out: `Seen`.

The network and the change map look at a window of the belt that moves in the network's own steps. A frame lies off the window by less
than one step: so far it is moved back, and its newest pixels wait until the window has moved, too. What has left the frame but not yet the
window stays as it was last seen. Keeps, per camera, the window's picture, how far the frame lies off it, and the belt's speed.

The belt's way is measured against the window's picture, so that errors do not add up: of all whole shifts along the belt the one at which a
sample of rows differs least, beyond noise and with large differences cut off. Where no shift explains the frame much better than the others
do, none is taken: then all that differs is live.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevision.compare.settings import ChangeSettings
from edgevision.records import Image, Mask

LINES = 24  # rows (or columns) along the belt that are compared
NOISE_LEVELS, MOST_LEVELS = 10, 40
NOTHING = 0.02  # gray levels a pixel: as good as no difference
SURE = 0.5  # of what other shifts cost, at most
NEAR_PX = 2

Lines = NDArray[np.int32]


class Seen(NamedTuple):
    """A frame on the belt: `picture` of the window; (down, right) that the window has moved, whole steps; (down, right) that the frame
    lies off it; what the window shows newly since `Belt.commit`, None where that is nothing."""

    picture: Image
    moved_px: tuple[int, int] = (0, 0)
    off_px: tuple[int, int] = (0, 0)
    entered: Mask | None = None


class Belt:
    """The belt under one camera. `step_px` are the network's steps along the belt."""

    def __init__(self, settings: ChangeSettings, step_px: int) -> None:
        self._axis = 1 if settings.motion_axis == "x" else 0
        self._most, self._step = settings.motion_max_px, step_px
        across = [corner[self._axis] for corner in settings.roi or ()]
        self._span = slice(max(0, min(across)), max(across) + 1) if across else slice(None)
        self.reset()

    def reset(self) -> None:
        """Forget the belt: the next frame is a first one."""
        self._window: Image | None = None
        self._entered: Mask | None = None
        self._off = 0.0
        self._speed = 0

    def commit(self) -> None:
        """What the window shows newly was handed to the network."""
        self._entered = None

    def next(self, image: Image, way_px: float | None = None) -> Seen:
        """The frame on the belt. `way_px`: what an encoder says the belt has moved since the last frame; None: it is measured.

        The picture is valid until the next call.
        """
        if self._window is None or self._window.shape != image.shape or self._window.dtype != image.dtype:
            self.reset()
            self._window = image.copy()
            return Seen(self._window)
        if way_px is None:
            way_px = float(self._measured(image, self._window) - round(self._off))
            self._speed = round(way_px)
        self._off += way_px
        steps = math.trunc(self._off / self._step) * self._step
        self._off -= steps
        off = round(self._off)
        if steps:
            move(self._window, steps, self._axis)
            self._entered = self._moved_on(steps, image.shape[:2])
        self._take(image, self._window, off, steps)
        return Seen(self._window, self._along(steps), self._along(off), self._entered)

    def _moved_on(self, steps: int, shape: tuple[int, int]) -> Mask:
        """What the window shows newly, with what it did already and nobody has taken yet."""
        entered = np.zeros(shape, np.bool_) if self._entered is None else self._entered.copy()
        move(entered, steps, self._axis)
        np.moveaxis(entered, self._axis, 0)[entering(steps, shape[self._axis])] = True
        return entered

    def _take(self, image: Image, window: Image, off: int, steps: int) -> None:
        """What the frame shows of the window; what it does not show is guessed where the window never saw it."""
        picture, frame = (np.moveaxis(array, self._axis, 0) for array in (window, image))
        size = len(frame)
        if abs(steps) >= size:
            picture[:] = frame[-1 if off > 0 else 0]
        picture[max(0, -off) : size - max(0, off)] = frame[max(0, off) : size - max(0, -off)]

    def _along(self, pixels: int) -> tuple[int, int]:
        return (0, pixels) if self._axis else (pixels, 0)

    def _measured(self, image: Image, window: Image) -> int:
        """How far the frame lies off the window: as far as before where that is not sure."""
        seen, now = (self._lines(picture) for picture in (window, image))
        before = round(self._off)
        expected = before + self._speed
        reach = min(self._most, seen.shape[1] - 1 - abs(before) - NEAR_PX, seen.shape[1] // 2)
        near = {off: cost(seen, now, off) for off in range(expected - NEAR_PX, expected + NEAR_PX + 1)}
        still = cost(seen, now, before)
        if still <= NOTHING and self._speed == 0:
            return before
        best = min(near, key=lambda off: near[off])
        if abs(best - expected) < NEAR_PX and self._speed and near[best] <= max(SURE * still, NOTHING) and still > NOTHING:
            return best
        costs = {off: cost(seen, now, off) for off in range(before - reach, before + reach + 1)}
        best = min(costs, key=lambda off: (costs[off], abs(off - expected)))
        is_sure = costs[best] <= SURE * float(np.median(list(costs.values()))) and costs[best] < costs.get(before, math.inf)
        return best if is_sure else before

    def _lines(self, picture: Image) -> Lines:
        """A sample of lines along the belt, in gray levels of an 8-bit picture: (line, place)."""
        flat = picture if picture.ndim == 2 else picture[..., picture.shape[2] // 2]
        lines = flat if self._axis else flat.T
        lines = lines[self._span] if len(lines[self._span]) else lines
        chosen = lines[np.linspace(0, len(lines) - 1, min(LINES, len(lines)) + 2).astype(int)[1:-1]]
        return np.asarray(chosen.astype(np.int32) >> (0 if picture.dtype == np.uint8 else 8))


def cost(seen: Lines, now: Lines, off: int) -> float:
    """Mean difference beyond noise when place x of what was seen is place x + off of what is seen now."""
    size = seen.shape[1]
    if abs(off) >= size:
        return math.inf
    old, new = seen[:, max(0, -off) : size - max(0, off)], now[:, max(0, off) : size - max(0, -off)]
    return float(np.clip(np.abs(old - new) - NOISE_LEVELS, 0, MOST_LEVELS).mean())


def move(array: NDArray[np.generic], pixels: int, axis: int) -> None:
    """Move what an array shows along an axis, in place; what newly enters keeps its old values."""
    along = np.moveaxis(array, axis, 0)
    size = len(along)
    if abs(pixels) < size:
        along[max(0, pixels) : size + min(0, pixels)] = along[max(0, -pixels) : size - max(0, pixels)].copy()


def entering(pixels: int, size: int) -> slice:
    """The places along an axis that show something new when all has moved."""
    return slice(0, min(pixels, size)) if pixels > 0 else slice(max(0, size + pixels), size)
