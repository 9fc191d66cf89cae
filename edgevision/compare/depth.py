"""Frames of 10 to 16 bits as networks take them: by their upper 8 bits. In: a frame, live pixels. Out: uint8. Keeps room for a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.records import Image, Mask


class EightBits:
    """The upper bits of one camera's frames, which deliver so many; an 8-bit frame is handed on as it is."""

    def __init__(self, bits: int | None) -> None:
        self._shift = (bits or 16) - 8
        self._room: NDArray[Any] = np.zeros(0, np.uint8)

    def of(self, image: Image, live: Mask | None = None) -> Image:
        """(H, W[, C]) uint8, valid at live pixels (None: everywhere) until the next call."""
        if image.dtype == np.uint8:
            return image
        if self._room.shape != image.shape:
            self._room = np.zeros(image.shape, np.uint8)
        rows, columns = slice(None), slice(None)
        if live is not None:
            if not live.any():
                return self._room
            rows, columns = (_span(np.asarray(live.any(axis=axis))) for axis in (1, 0))
        np.minimum(image[rows, columns] >> self._shift, 255, out=self._room[rows, columns], casting="unsafe")
        return self._room


def _span(some: NDArray[np.bool_]) -> slice:
    """From the first to the last that is."""
    places = np.flatnonzero(some)
    return slice(int(places[0]), int(places[-1]) + 1)
