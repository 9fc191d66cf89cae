"""A camera over a conveyor: how far the belt has moved, and the frame as it lies on the belt. In: frames. Out: `Seen`.

The network and the change map look at a window of the belt that moves in the network's own steps. A frame lies off the window by less
than one step: so far it is moved back, and its newest pixels wait until the window has moved, too. What has left the frame but not yet the
window stays as it was last seen. Keeps, per camera, the window's picture, how far the frame lies off it, and the belt's speed.

The belt's way is measured, to a fraction of a pixel, against a sample of lines of the window as they were when they entered it, so that a
belt that runs 2.4 pixels a frame is not lost: of all shifts along the belt the one at which the lines differ least, beyond noise and with
large differences cut off. Where none explains the frame much better than the others do, none is taken: then all that differs is live.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevision.compare.settings import ChangeSettings
from edgevision.errors import InputError
from edgevision.records import Image, Mask

LINES = 24  # rows (or columns) along the belt that are compared
NOISE_LEVELS, MOST_LEVELS = 10, 40
NOTHING = 0.02  # gray levels a pixel: as good as no difference
SURE = 0.5  # of what other shifts cost, at most
NEAR_PX = 2
MOST_WAY_PX = 1_000_000

Lines = NDArray[np.int16]


class Seen(NamedTuple):
    """A frame on the belt: `picture` of the window; (down, right) that the window has moved, whole steps; (down, right) that the frame
    lies off it; what the window shows newly since `Belt.commit`, None where that is nothing."""

    picture: Image
    moved_px: tuple[int, int] = (0, 0)
    off_px: tuple[int, int] = (0, 0)
    entered: Mask | None = None


class Belt:
    """The belt under one camera. `step_px` are the network's steps along the belt; `rim_px` is how far beyond what is new, and at the
    other end, a network that resizes its frames, or repeats their last pixels, looks from places that are new."""

    def __init__(self, settings: ChangeSettings, step_px: int, rim_px: int = 0) -> None:
        self._axis = 1 if settings.motion_axis == "x" else 0
        self._rim = rim_px
        self._most, self._step, self._deeper = settings.motion_max_px, step_px, (settings.bits or 16) - 8
        across = [corner[self._axis] for corner in settings.roi or ()]
        self._span = slice(max(0, min(across)), max(across) + 1) if across else slice(None)
        self.reset()

    def reset(self) -> None:
        """Forget the belt: the next frame is a first one."""
        self._window: Image | None = None
        self._entered: Mask | None = None
        self._off = 0.0  # how far the frame lies off the window
        self._speed = 0.0
        self._lines, self._phases = np.zeros((0, 0), np.int16), np.zeros(0)  # by place: how much further on than there the belt is seen

    def commit(self) -> None:
        """What the window shows newly was handed to the network."""
        self._entered = None

    def next(self, image: Image, way_px: float | None = None) -> Seen:
        """The frame on the belt. `way_px`: what an encoder says the belt has moved since the last frame; None: it is measured.

        The picture is valid until the next call. Raises InputError for a way that is no number of pixels.
        """
        if way_px is not None and not abs(way_px) <= MOST_WAY_PX:
            raise InputError(f"way_px is {way_px!r}; it must be the belt's way since the last frame, within {MOST_WAY_PX} px")
        if self._window is None or self._window.shape != image.shape or self._window.dtype != image.dtype:
            self.reset()
            self._window = image.copy()
            self._lines = self._sample(image)
            self._phases = np.zeros(self._lines.shape[1])
            return Seen(self._window)
        if way_px is None:
            lines = self._sample(image)
            way_px = self._measured(lines) - self._off
            self._speed = way_px
        self._off += way_px
        steps = math.trunc(self._off / self._step) * self._step
        self._off -= steps
        off = round(self._off)
        if steps:
            move(self._window, steps, self._axis)
            self._entered = self._moved_on(steps, image.shape[:2])
        self._take(image, self._window, off, steps)
        if steps:
            self._remember(self._sample(self._window), steps)
        return Seen(self._window, self._along(steps), self._along(off), self._entered)

    def _remember(self, window: Lines, steps: int) -> None:
        """Let the lines move along; what has entered with so many pixels is as the window shows it."""
        move(self._lines, steps, 1)
        move(self._phases, steps, 0)
        entered = entering(steps, window.shape[1])
        self._lines[:, entered] = window[:, entered]
        self._phases[entered] = self._off - round(self._off)

    def _moved_on(self, steps: int, shape: tuple[int, int]) -> Mask:
        """What the window shows newly, with what it did already and nobody has taken yet, and the rims."""
        entered = np.zeros(shape, np.bool_) if self._entered is None else self._entered.copy()
        move(entered, steps, self._axis)
        along = np.moveaxis(entered, self._axis, 0)
        along[: self._rim] = along[len(along) - self._rim :] = True
        along[entering(steps + int(math.copysign(self._rim, steps)), len(along))] = True
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

    def _measured(self, now: Lines) -> float:
        """How far the frame lies off the window: as far as before where that is not sure."""
        phase, size = float(self._phases.mean()), now.shape[1]
        before, expected = round(self._off - phase), round(self._off - phase + self._speed)
        still = self._cost(now, before)
        if (still <= NOTHING and abs(self._speed) < 0.5) or size <= 4 * NEAR_PX:
            return self._off
        near = range(expected - NEAR_PX, expected + NEAR_PX + 1)
        best = min(near, key=lambda off: self._cost(now, off))
        is_sure = expected != before and abs(best - expected) < NEAR_PX and NOTHING < SURE * still > self._cost(now, best)
        if not is_sure:
            reach = min(self._most, size // 2)
            costs = {off: self._cost(now, off) for off in range(before - reach, before + reach + 1) if abs(off) < size - NEAR_PX}
            best = min(costs, key=lambda off: (costs[off], abs(off - expected)))
            is_sure = costs[best] <= SURE * float(np.median(list(costs.values())))
        if is_sure and best != before:
            return best + between(*(self._cost(now, best + k) for k in (-1, 0, 1))) + phase
        self._refresh(now)
        return self._off

    def _refresh(self, now: Lines) -> None:
        """The belt stands, or has changed beyond recognition: from now on its lines are what is seen."""
        off, size = round(self._off), now.shape[1]
        stays = slice(max(0, -off), size - max(0, off))
        self._lines[:, stays] = now[:, stays.start + off : stays.stop + off]
        self._phases[stays] = self._off - off

    def _cost(self, now: Lines, off: int) -> float:
        """Mean difference beyond noise when place x of the window is place x + off of what is seen now."""
        size = now.shape[1]
        if abs(off) >= size:
            return math.inf
        old, new = self._lines[:, max(0, -off) : size - max(0, off)], now[:, max(0, off) : size - max(0, -off)]
        apart: Lines = np.abs(old - new)
        np.clip(apart, NOISE_LEVELS, NOISE_LEVELS + MOST_LEVELS, out=apart)
        return float(apart.sum(dtype=np.int64)) / apart.size - NOISE_LEVELS

    def _sample(self, picture: Image) -> Lines:
        """A sample of lines along the belt, in gray levels of an 8-bit picture: (line, place)."""
        flat = picture if picture.ndim == 2 else picture[..., picture.shape[2] // 2]
        lines = flat if self._axis else flat.T
        lines = lines[self._span] if len(lines[self._span]) else lines
        chosen = lines[np.linspace(0, len(lines) - 1, min(LINES, len(lines)) + 2).astype(int)[1:-1]]
        return np.asarray((chosen >> (0 if picture.dtype == np.uint8 else self._deeper)).astype(np.int16))


def between(before: float, least: float, after: float) -> float:
    """Where between its neighbours the least lies, of two straight flanks, as sums of differences have: -0.5 to 0.5."""
    steepest = max(before, after) - least
    return 0.5 * (before - after) / steepest if math.isfinite(steepest) and steepest > 0 else 0.0


def move(array: NDArray[Any], pixels: int, axis: int) -> None:
    """Move what an array shows along an axis, in place; what newly enters keeps its old values."""
    size, before = array.shape[axis], (slice(None),) * axis
    if abs(pixels) < size:
        there, here = slice(max(0, pixels), size + min(0, pixels)), slice(max(0, -pixels), size - max(0, pixels))
        array[(*before, there)] = array[(*before, here)]


def entering(pixels: int, size: int) -> slice:
    """The places along an axis that show something new when all has moved."""
    return slice(0, min(pixels, size)) if pixels > 0 else slice(max(0, size + pixels), size)
