"""How far each place of a frame lies off the picture in use, by its own way, and the frame moved back. In: a frame. Out: a frame.

A board, a foil, a sheet of steel stretches and is laid down askew: no one shift takes that back. Keeps, per camera, steep points of the
picture in use, one in each cell; the shift of each zone of cells, which its neighbours have a say in, so that an edge that runs one way
only is moved along with what crosses it; and room for a frame. Shifts are whole pixels: what is black and white stays so.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.compare.steady import BETTER, CELLS, MOST_LEVELS, STEEP_LEVELS
from edgevision.kernels.plain.places import WIDE
from edgevision.records import Image

ZONES = (8, 8)
TILE_PX = 16


class Places:
    """The places of one camera's frames (height, width). `reach_px` is the largest shift that is taken back, 0 for none."""

    def __init__(self, shape: tuple[int, int], channels: int, level_shift: int, reach_px: int) -> None:
        self._shape, self._channels, self._level_shift = shape, channels, level_shift
        self._margin = max(reach_px + 1, WIDE - reach_px) + 1  # of the points, from the frame's border
        self.is_on = reach_px > 0 and min(shape) > 2 * self._margin
        self._points = np.full((*CELLS, 2), -1, np.int64)
        self._costs = np.zeros((*ZONES, 2 * reach_px + 1, WIDE), np.int32)
        self._shifts = np.zeros((*ZONES, 2), np.int64)
        self._tiles = np.zeros((-(-shape[0] // TILE_PX), -(-shape[1] // TILE_PX), 2), np.int64)
        self._room: NDArray[Any] = np.zeros((0, 0), np.uint8)
        self._has_moved = False
        self._row = 0

    def choose(self, kernels: ModuleType, used: Image, allowed: NDArray[np.uint8], rows: int = 1) -> None:
        """Choose the points of the next `rows` rows of cells anew, from what is in use now."""
        height, least = self._shape[0], STEEP_LEVELS << self._level_shift
        for _ in range(rows if self.is_on else 0):
            k = self._row = (self._row + 1) % CELLS[0]
            span = (k * height // CELLS[0], (k + 1) * height // CELLS[0])
            kernels.choose_points(used, allowed, self._channels, span, self._margin, least, self._points[k])

    def moved(self, kernels: ModuleType, flat: Image, used: Image, light: tuple[Any, ...]) -> Image | None:
        """The frame (row, column x channel) with each place moved back, valid until the next; None where all of it lies as it should."""
        kernels.place_costs(flat, used, light, self._points, self._channels, MOST_LEVELS << self._level_shift, self._costs)
        self._has_moved = kernels.choose_shifts(self._costs, round(256 * BETTER), self._shifts) > 0
        if not self._has_moved:
            return None
        if self._room.shape != flat.shape or self._room.dtype != flat.dtype:
            self._room = np.zeros_like(flat)
        kernels.spread_shifts(self._shifts, self._shape, TILE_PX, self._tiles)
        kernels.move_places(flat, self._channels, TILE_PX, self._tiles, self._room)
        view: Image = self._room.view()
        view.setflags(write=False)
        return view

    @property
    def seen_px(self) -> float:
        """How far the last frame's furthest place lay off."""
        return float(np.abs(self._shifts).max()) if self._has_moved else 0.0

    def off_px(self, x: float, y: float) -> tuple[int, int]:
        """How much further (down, right) what the last frame shows at this place of the picture in use was in the frame itself."""
        if not self._has_moved:
            return 0, 0
        height, width = self._shape
        row, column = min(max(int(y), 0), height - 1) // TILE_PX, min(max(int(x), 0), width - 1) // TILE_PX
        return self._tiles.item(row, column, 0), self._tiles.item(row, column, 1)
