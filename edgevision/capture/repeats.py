"""For how long a camera has shown the same picture, bit for bit. In: its pictures, when they were taken. Out: seconds. Keeps one picture.

A sensor has noise: two of its pictures are never equal, and a camera that sends the last one again and again is frozen, however promptly it
sends. A few rows tell most pictures apart, so this costs microseconds until it is true.
"""

from __future__ import annotations

import numpy as np

from edgevision.records import Image

_EVERY_ROW = 61  # of a picture that is compared first; no power of two, as test patterns repeat by those


class Repeats:
    """One camera's. It outlives the decoder: one that is started anew and sends the same picture is as frozen."""

    def __init__(self) -> None:
        self._image: Image | None = None
        self._since_s = 0.0

    def same_s(self, image: Image, taken_s: float) -> float:
        """How long before this picture (H, W[, 3]) the first one like it was taken; 0.0 for one that differs from the last."""
        if self._image is None or not is_same(self._image, image):
            self._image, self._since_s = image, taken_s
        return max(0.0, taken_s - self._since_s)


def is_same(one: Image, other: Image) -> bool:
    """Equal in size, kind and every bit."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return np.array_equal(one[::_EVERY_ROW], other[::_EVERY_ROW]) and np.array_equal(one, other)
