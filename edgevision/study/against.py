"""How far one picture lies from a golden reference, in gray levels. In: a Golden, a picture. Out: `Away`. Keeps nothing.

Two pictures that are taught together tell their difference: what the second is brighter and darker by, once it has been moved onto the
first and brought to its light. So this rests on `compare.golden.learn` alone, and what cannot be aligned is refused as it is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.compare.align import Limits
from edgevision.compare.golden import Golden, learn
from edgevision.compare.settings import ChangeSettings
from edgevision.records import Image, Mask

Levels = NDArray[np.float32]
UNIT = 256.0  # of what a Golden keeps, a gray level
LEAST_SPREAD = 0.5  # gray levels: no pixel is taken to vary by less
LADDER = tuple(float(level) for level in np.geomspace(1.0, 255.0, 240))


@dataclass(frozen=True, slots=True, eq=False)
class Away:
    """By how many gray levels a picture is `brighter` and `darker` than the reference, (H, W), what camera shake explains taken off.

    The same in multiples of how much good parts vary there: `brighter_spreads`, `darker_spreads`.
    """

    brighter: Levels
    darker: Levels
    brighter_spreads: Levels
    darker_spreads: Levels

    def foreground(self, settings: ChangeSettings) -> Mask:
        """Where it is foreground, by these settings."""
        marks = (self.brighter > settings.abs_threshold[0]) & (self.brighter_spreads > settings.var_threshold[0])
        marks |= (self.darker > settings.abs_threshold[1]) & (self.darker_spreads > settings.var_threshold[1])
        return without_specks(marks, settings.despeckle)


class Teacher:
    """One reference, with what is worked out once for it. `allowed` (H, W) is not 0 where anything counts."""

    def __init__(self, golden: Golden, settings: ChangeSettings, allowed: NDArray[np.uint8]) -> None:
        self.golden, self.settings, self._allowed = golden, settings, allowed.astype(np.float32)
        self._limits = Limits(settings.align_px, settings.align_degrees)
        self._shake = settings.vibration_px * _steepness(golden.mean)
        self._spreads = [np.maximum(_most(part / UNIT), LEAST_SPREAD) for part in (golden.bright, golden.dark)]

    def away(self, image: Image) -> Away:
        """Raises InputError for a picture of another size, or that cannot be aligned within the limits."""
        both = learn([self.golden.mean, image], self._limits)
        levels = [np.maximum(_most(part / UNIT) - self._shake, 0) * self._allowed for part in (both.bright, both.dark)]
        brighter, darker = (np.asarray(part, np.float32) for part in levels)
        spreads = [np.asarray(level / spread, np.float32) for level, spread in zip((brighter, darker), self._spreads, strict=True)]
        return Away(brighter, darker, spreads[0], spreads[1])


def strength(values: Levels, min_area: int, despeckle: int) -> float:
    """The highest limit that a group of `min_area` connected pixels still passes; 0 where none passes the lowest."""
    low, high = 0, len(LADDER)  # LADDER[:low] are passed, LADDER[high:] are not
    while low < high:
        middle = (low + high) // 2
        if largest_group(values > LADDER[middle], min_area, despeckle) >= min_area:
            low = middle + 1
        else:
            high = middle
    return LADDER[low - 1] if low else 0.0


def largest_group(marks: Mask, min_area: int, despeckle: int) -> int:
    """Pixels in the largest connected group, once specks are gone."""
    if np.count_nonzero(marks) < min_area:
        return 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(without_specks(marks, despeckle).view(np.uint8), connectivity=8)
    return int(stats[1:, cv2.CC_STAT_AREA].max(initial=0))


def without_specks(marks: Mask, despeckle: int) -> Mask:
    """The marks whose 3x3 neighbourhood holds at least so many of them."""
    if despeckle <= 1:
        return marks
    counts = cv2.boxFilter(np.ascontiguousarray(marks).view(np.uint8), cv2.CV_16U, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(marks & (counts >= despeckle))


def _most(values: NDArray[Any]) -> Levels:
    """(H, W) of (H, W[, 3]): the channel that differs most."""
    return np.asarray(values if values.ndim == 2 else values.max(axis=2), np.float32)


def _steepness(image: Image) -> Levels:
    """How much a pixel moves when the picture does by one pixel."""
    values = _most(image.astype(np.float32) / (1.0 if image.dtype == np.uint8 else 257.0))
    across, along = (np.abs(cv2.Sobel(values, cv2.CV_32F, *order, ksize=3, scale=0.125)) * 2 for order in ((1, 0), (0, 1)))
    return np.asarray(np.maximum(across, along), np.float32)
