"""Frame-sized masks that are handed out and used again, without a fresh allocation on each frame. In: a shape. Out: writable masks."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevision.records import Mask

KEPT = 4
FEW = 3  # a row that is picked out costs as much as so many in one piece
LINE_BYTES = 64


class LiveMask(NamedTuple):
    """A mask and, per row, the first live column and the one after the last (width and 0 where the row has none)."""

    mask: Mask
    first: NDArray[np.int32]
    last: NDArray[np.int32]


def zeros_on_line(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Zeros that begin where a line of the cache begins: no vector of them then lies across two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(size + LINE_BYTES, np.uint8)
    start = -room.ctypes.data % LINE_BYTES
    zeros: NDArray[Any] = room[start : start + size].view(dtype).reshape(shape)
    return zeros


class MaskPool:
    """Masks of one shape. One that somebody still holds, or a view of it, is never handed out again."""

    def __init__(self, height: int, width: int) -> None:
        self.shape = (height, width)
        self._held: list[LiveMask] = []

    def take(self) -> LiveMask:
        """A mask free to be written; its values and extents are those of its last use (all False when new)."""
        for k in range(len(self._held)):
            if sys.getrefcount(self._held[k].mask) == 2:  # the pool's own, and the argument
                return self._held[k]
        height, width = self.shape
        fresh = LiveMask(np.zeros(self.shape, np.bool_), np.full(height, width, np.int32), np.zeros(height, np.int32))
        self._held = [*self._held[-KEPT + 1 :], fresh]
        return fresh


class ShownMask:
    """A mask that is written in place, row by row, and copies of it that stay as they are for as long as somebody holds them.

    Whoever writes a row of `mask` counts up its edition: only rows of another edition than the copy's are copied.
    """

    def __init__(self, height: int, width: int) -> None:
        self.mask = np.zeros((height, width), np.bool_)
        self.editions = np.ones(height, np.int32)
        self._pool = MaskPool(height, width)
        self.copy()

    def copy(self) -> Mask:
        """The mask as it is now, read-only; also as `shown` until the next one."""
        copy, _, editions = self._pool.take()
        rows = np.flatnonzero(editions != self.editions)
        if len(rows) * FEW > len(editions):
            copy[...] = self.mask
        else:
            copy[rows] = self.mask[rows]
        editions[rows] = self.editions[rows]
        self.shown = copy.view()
        self.shown.setflags(write=False)
        return self.shown

    def clear(self) -> Mask:
        """Nothing is marked any more."""
        self.mask[:] = False
        return self.rewritten()

    def rewritten(self) -> Mask:
        """All of it may have been written."""
        self.editions += 1
        return self.copy()
