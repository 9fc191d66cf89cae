"""How far a shaken camera's frame lies off the picture in use, and the frame moved back. In: a frame, the picture in use. Out: a frame.

Keeps, per camera, steep points of the picture in use, one in each cell, a row of cells chosen anew on each frame; and room for a frame.
A frame that lies less than a quarter of a pixel off, or that no shift explains much better than none, stays as it is.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.records import Image

CELLS = (24, 32)
LEAST_POINTS = 16
BETTER = 0.75  # what remains of the points' differences, at most, if a shift is to be believed
LEAST_SHIFT = 3  # eighths of a pixel
REACH_MORE = 1
MOST_LEVELS = 40
STEEP_LEVELS = 24


class Steady:
    """The shake of one camera. `reach_px` is the largest shift that is taken back, 0 for none."""

    def __init__(self, shape: tuple[int, int], channels: int, level_shift: int, reach_px: float) -> None:
        self._channels, self._level_shift = channels, level_shift
        self._reach = math.ceil(reach_px) + REACH_MORE if min(shape) > 2 * (math.ceil(reach_px) + REACH_MORE + 1) and reach_px > 0 else 0
        self._most = round(8 * reach_px)
        self._height = shape[0]
        self._points = np.full((*CELLS, 2), -1, np.int64)
        self._near = np.zeros((3, 3), np.int64)
        self._costs = np.zeros((2 * self._reach + 1, 2 * self._reach + 1), np.int64)
        self._room: NDArray[Any] = np.zeros((0, 0), np.uint8)
        self._row = 0
        self.seen_px = 0.0  # how far the last frame lay off, also where that is further than is taken back; 0 where no shift is sure

    @property
    def is_on(self) -> bool:
        """Whether any shift is taken back, and so looked for."""
        return self._reach > 0

    def choose(self, kernels: ModuleType, used: Image, allowed: NDArray[np.uint8], rows: int = 1) -> None:
        """Choose the points of the next `rows` rows of cells anew, from what is in use now."""
        for _ in range(rows if self._reach else 0):
            k = self._row = (self._row + 1) % CELLS[0]
            span = (k * self._height // CELLS[0], (k + 1) * self._height // CELLS[0])
            kernels.choose_points(used, allowed, self._channels, span, self._reach + 1, STEEP_LEVELS << self._level_shift, self._points[k])

    def shift(self, kernels: ModuleType, flat: Image, used: Image, light: tuple[Any, ...]) -> tuple[int, int]:
        """How much further on (x, y), in eighths of a pixel, what was used is seen in this frame; (0, 0) where that is not sure."""
        self.seen_px = 0.0
        if not self._reach or self._shift_of(kernels, flat, used, light, self._points[self._row % 2 :: 2]) == (0, 0):
            return 0, 0  # half of the points see a shift; how far it is, all of them say
        return self._shift_of(kernels, flat, used, light, self._points)

    def _shift_of(
        self, kernels: ModuleType, flat: Image, used: Image, light: tuple[Any, ...], chosen: NDArray[np.int64]
    ) -> tuple[int, int]:
        points, most = np.ascontiguousarray(chosen).reshape(-1, 2), MOST_LEVELS << self._level_shift
        count = kernels.shift_costs(flat, used, light, points, self._channels, most, self._near)
        if count < LEAST_POINTS:
            return 0, 0
        costs, reach = self._near, 1
        if int(np.argmin(costs)) != 4:
            costs, reach = self._costs, self._reach
            kernels.shift_costs(flat, used, light, points, self._channels, most, costs)
        y, x = (int(k) for k in np.unravel_index(int(np.argmin(costs)), costs.shape))
        if x in (0, 2 * reach) or y in (0, 2 * reach):
            return 0, 0
        across, along = costs[y, x - 1 : x + 2], costs[y - 1 : y + 2, x]
        x8, y8 = 8 * (x - reach) + _between(*across), 8 * (y - reach) + _between(*along)
        is_near = max(abs(x - reach), abs(y - reach)) <= 1
        none = costs.max() if is_near else costs[reach, reach]  # what no shift costs, where it is not a neighbour of the best
        is_sure = costs[y, x] < BETTER * min(across.max(), along.max(), none)
        off = max(abs(x8), abs(y8))
        self.seen_px = off / 8 if is_sure else 0.0
        return (x8, y8) if is_sure and LEAST_SHIFT <= off <= self._most else (0, 0)

    def moved(self, kernels: ModuleType, flat: Image, shift: tuple[int, int]) -> Image:
        """The frame so far back; valid until the next."""
        if self._room.shape != flat.shape or self._room.dtype != flat.dtype:
            self._room = np.zeros_like(flat)
        kernels.move_back(flat, self._channels, shift, self._room)
        view: Image = self._room.view()
        view.setflags(write=False)
        return view


def _between(left: int, least: int, right: int) -> int:
    """Where between its neighbours the least lies, in eighths: of two straight flanks, as sums of differences have."""
    steepest = max(int(left), int(right)) - int(least)
    return round(4 * (int(left) - int(right)) / steepest) if steepest > 0 else 0
