"""Where something moved and then came to rest, the picture is handed over once more, whole.

While a part moves, pixels that differ by less than the noise limit keep what they showed before, and the seams between old and new
look like scratches. In: the live runs of each frame. Out: the tiles that have just come to rest and show more than noise. Keeps, by tile:
whether it was touched since it was last handed over, and for how many frames nothing has moved nearby. Over a belt all this moves along.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.compare.belt import entering, move
from edgevision.records import Image

TILE_PX = 16
ACTIVE_PX = 64  # live pixels in a tile from which on something moves there: noise that is taken for a change does not fill a quarter
MISFIT = 1.3  # how much further off the tile must be than noise alone makes it
MEAN_SIGMAS = 1.128  # the mean |difference| of two pictures, in sigmas of the noise of each
REACH_TILES = 8  # a part's quiet middle is not at rest while its edges, so far away, still move


class Settle:
    """The tiles of one camera. `frames` is for how long nothing may have moved nearby; 0 switches it off."""

    def __init__(self, height: int, width: int, frames: int) -> None:
        shape = -(-height // TILE_PX), -(-width // TILE_PX)
        self._frames = frames
        self._counts = np.zeros(shape, np.int32)
        self._touched = np.zeros(shape, np.bool_)
        self._misfits = np.zeros(shape, np.int64)
        self._quiet = np.full(shape, 255, np.uint8)
        self._near = np.ones((2 * REACH_TILES + 1, 2 * REACH_TILES + 1), np.uint8)
        self._off_px = [0, 0]  # (down, right): how much further than its tile what was touched there lies, half a tile at most

    def shift(self, down_px: int, right_px: int) -> None:
        """The scene has moved so far in the picture: what was touched moves along, by the nearest whole tiles; nothing that enters was."""
        for axis, pixels in enumerate((down_px, right_px)):
            self._off_px[axis] += pixels
            tiles = round(self._off_px[axis] / TILE_PX)
            self._off_px[axis] -= tiles * TILE_PX
            if tiles:
                for said, anew in ((self._touched, False), (self._quiet, 255)):
                    move(said, tiles, axis)
                    np.moveaxis(said, axis, 0)[entering(tiles, said.shape[axis])] = anew

    def due(self, kernels: ModuleType, runs: NDArray[np.int32], count: int) -> NDArray[np.bool_] | None:
        """The tiles (row, column) that come to rest with this frame, None when there are none. `runs[:count]` are its live runs."""
        if not self._frames:
            return None
        self._counts[:] = 0
        kernels.count_tiles(runs, count, TILE_PX, self._counts)
        active = self._counts >= ACTIVE_PX
        if not active.any() and not self._touched.any():
            return None
        self._touched |= active
        near = cv2.dilate(active.view(np.uint8), self._near).astype(bool)
        self._quiet = np.where(near, 0, np.minimum(self._quiet, 254) + 1).astype(np.uint8)
        due: NDArray[np.bool_] = self._touched & (self._quiet >= self._frames)
        if not due.any():
            return None
        self._touched &= ~due
        for axis, off_px in enumerate(self._off_px):
            if off_px:  # it lies in the next tile, too
                beside = np.zeros_like(due)
                start, stop = (slice(1, None), slice(None, -1)) if off_px > 0 else (slice(None, -1), slice(1, None))
                np.moveaxis(beside, axis, 0)[start] = np.moveaxis(due, axis, 0)[stop]
                due = due | beside
        return due

    def worth(
        self, kernels: ModuleType, frame: tuple[Image, Image, Any], channels: int, noise: float, due: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Of the tiles that are due, those further from what is in use than noise makes them. `frame` is (image, used, light)."""
        kernels.tile_misfits(*frame, due, TILE_PX, channels, self._misfits)
        return np.asarray(due & (self._misfits > MISFIT * MEAN_SIGMAS * noise * TILE_PX * TILE_PX * channels))
