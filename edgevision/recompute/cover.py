"""Which crops cover what changed, at what price. In: live pixels, margins, sizes with their measured times. Out: Crops. Keeps nothing.

A change reaches `margin` pixels beyond itself, and a pixel is right only when `margin` pixels around it lie in its crop or the picture ends
there. So a crop's *core*, the part of its answer that is written, is what changed and one margin around it; the crop itself one more.
Cores of crops may overlap, as may the crops: whichever is written last is right, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.records import Box

MAX_PLACES = 24  # more changed places than this are joined until they are not
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Crop:
    """Picture pixels: `box` is run, `core` inside it is written."""

    box: Box
    core: Box


@dataclass(frozen=True, slots=True)
class Pattern:
    """What crops must keep to: the picture's (height, width), where they may begin, the context that they need, and the price of a size."""

    picture_px: Size
    align_px: int
    margin_px: int
    seconds: Mapping[Size, float]

    def fits(self, side_px: int, axis: int) -> bool:
        """Whether a crop may have that side: as the picture, it ends where no stride is cut short that is not cut at the picture's end."""
        total = self.picture_px[axis]
        return side_px == total or (side_px < total and (total - side_px) % self.align_px == 0)


def live_squares(live: NDArray[Any], align_px: int) -> NDArray[np.uint8]:
    """Which squares of `align_px` hold a live pixel of (H, W): 1 or 0, (rows, columns)."""
    rows, columns = (np.arange(0, side, align_px) for side in live.shape)
    return np.minimum(np.maximum.reduceat(np.maximum.reduceat(live, rows, axis=0), columns, axis=1), 1).astype(np.uint8)


def live_places(squares: NDArray[np.uint8], pattern: Pattern) -> list[Box]:
    """Boxes of what live squares of the pattern's grid reach, a margin around each place, on that grid or at the picture's end."""
    align = pattern.align_px
    reach = -(-pattern.margin_px // align)
    grown = cv2.dilate(squares, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(grown, connectivity=8)
    height, width = pattern.picture_px
    return [
        (x * align, y * align, min((x + w) * align, width), min((y + h) * align, height))
        for x, y, w, h, _ in stats[1:count].tolist()
    ]  # fmt: skip


def cover(places: list[Box], pattern: Pattern) -> tuple[list[Crop], float]:
    """The cheapest crops found for these places, and their seconds; infinite where no size will do."""
    while len(places) > MAX_PLACES:
        places = _halved(places)
    plans = [(place, *_cheapest(place, pattern)) for place in places]
    has_joined = True
    while has_joined:
        has_joined = False
        for first in range(len(plans)):
            for second in range(first + 1, len(plans)):
                joined = _around(plans[first][0], plans[second][0])
                crops, seconds = _cheapest(joined, pattern)
                if seconds <= plans[first][2] + plans[second][2]:
                    plans[first] = (joined, crops, seconds)
                    del plans[second]
                    has_joined = True
                    break
            if has_joined:
                break
    return [crop for _, crops, _ in plans for crop in crops], sum(seconds for _, _, seconds in plans)


def _halved(places: list[Box]) -> list[Box]:
    """Neighbours in reading order joined, two by two."""
    ordered = sorted(places, key=lambda box: (box[1] // 128, box[0]))
    return [_around(*ordered[start : start + 2]) if start + 1 < len(ordered) else ordered[start] for start in range(0, len(ordered), 2)]


def _around(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _cheapest(place: Box, pattern: Pattern) -> tuple[list[Crop], float]:
    best: tuple[list[Crop], float] = ([], float("inf"))
    for size, seconds in pattern.seconds.items():
        rows = _steps(place[1], place[3], size[0], 0, pattern)
        columns = _steps(place[0], place[2], size[1], 1, pattern)
        price = len(rows) * len(columns) * seconds
        if rows and columns and price < best[1]:
            best = (
                [
                    Crop((x, y, x + size[1], y + size[0]), (x1, y1, x2, y2))
                    for y, y1, y2 in rows for x, x1, x2 in columns
                ],
                price,
            )  # fmt: skip
    return best


def _steps(start: int, stop: int, side: int, axis: int, pattern: Pattern) -> list[tuple[int, int, int]]:
    """(begin of the crop, begin of its core, end of its core) along one axis, until `stop` is reached; [] where the side is too short."""
    total, align, margin = pattern.picture_px[axis], pattern.align_px, pattern.margin_px
    found: list[tuple[int, int, int]] = []
    while start < stop:
        begin = min(max(0, start - margin) // align * align, total - side)
        end = total if begin + side == total else (begin + side - margin) // align * align
        if end <= start:
            return []
        found.append((begin, start, min(end, stop)))
        start = end
    return found
