"""What the change map left although it plainly differs: looked for by another way than the map's own, in a sample of rows or in all.

In: a frame as it lies for the map and in its light, what the network last used, what is handed over. Out: a share. Keeps nothing. Only runs
of pixels side by side count, in green: a speck is narrower.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.records import Image, Mask

ROWS = 24
RUN_PX = 8

Rows = NDArray[np.intp]


class Limits(NamedTuple):
    """How far a value may lie off, and how many side by side may.

    `levels`: in the camera's own, at each of the 256 gray levels (`level_shift` bits deeper) of what was used; counted from all that was
    used within `shake_px`, which the map forgives. A place is a speck to the map where fewer than
    `despeckle` of the 3x3 around it are off.
    """

    levels: NDArray[np.int32]
    level_shift: int
    shake_px: int
    run_px: int = RUN_PX
    despeckle: int = 1


def missed_share(
    lit: Callable[[Rows], Image],
    used: Image,
    masks: tuple[NDArray[np.uint8], Mask],
    limits: Limits,
    random: np.random.Generator | None,
) -> float:
    """The share of the pixels that count where the frame lies further from what was `used` than it may, in runs, and is not live.

    In some rows, drawn by `random`; None: in all. `used` is (H, W[, C]); `lit` gives rows of the frame in its light, (row, W[, C]); `masks`
    are (what counts, what is live), (H, W) each.
    """
    allowed, live = masks
    height = used.shape[0]
    count = height if random is None else min(ROWS, height)
    within: NDArray[np.float64] | float = 0.5 if random is None else random.random(count)
    rows = ((np.arange(count) + within) * (height / count)).astype(np.intp)
    inside = allowed[rows] > 0
    total = int(np.count_nonzero(inside))
    if total == 0:
        return 0.0
    known = green(used)
    seen, before = green(lit(rows)), known[rows]
    marks = (cv2.absdiff(seen, before) > at_levels(limits, before)) & inside & ~live[rows]
    some = np.flatnonzero(marks.any(axis=1))
    marks, seen, rows = marks[some], seen[some], rows[some]
    if in_runs(marks, limits.run_px) == 0:
        return 0.0
    marks &= _beyond_shake(known, seen, rows, limits)
    if limits.despeckle > 1 and in_runs(marks, limits.run_px):
        marks &= _support(known, lit, rows, limits) >= limits.despeckle
    return in_runs(marks, limits.run_px) / total


def _beyond_shake(known: Image, seen: Image, rows: Rows, limits: Limits) -> NDArray[np.bool_]:
    """Where these rows, as they are seen, lie further off than they may from all that is known within a shake."""
    if limits.shake_px <= 0:
        return np.asarray(cv2.absdiff(seen, known[rows]) > at_levels(limits, known[rows]))
    low, high = around(known, rows, limits.shake_px)
    values = seen.astype(np.float32)
    return np.asarray(np.maximum(values - high, low - values) > at_levels(limits, known[rows]))


def _support(known: Image, lit: Callable[[Rows], Image], rows: Rows, limits: Limits) -> NDArray[np.int32]:
    """How many of the 3x3 around each pixel of these rows are off."""
    count = np.zeros((len(rows), known.shape[1] + 2), np.int32)
    for down in (-1, 0, 1):
        near = np.clip(rows + down, 0, len(known) - 1)
        count[:, 1:-1] += _beyond_shake(known, green(lit(near)), near, limits)
    return count[:, :-2] + count[:, 1:-1] + count[:, 2:]


def green(picture: Image) -> NDArray[Any]:
    """The middle one of its channels."""
    return picture if picture.ndim == 2 else np.ascontiguousarray(picture[:, :, picture.shape[2] // 2])


def at_levels(limits: Limits, known: NDArray[Any]) -> NDArray[Any]:
    """How far each of these values may lie off."""
    if known.dtype == np.uint8:
        return np.asarray(cv2.LUT(known, np.minimum(limits.levels, 255).astype(np.uint8)))
    return np.asarray(limits.levels[np.minimum(known >> limits.level_shift, len(limits.levels) - 1)])


def around(picture: NDArray[Any], rows: Rows, reach_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The least and the greatest value that the picture has within so many pixels of each one in these rows, (row, W) each."""
    height, width = picture.shape[:2]
    low = high = picture[rows].astype(np.float32)
    for down in range(-reach_px, reach_px + 1):
        near = picture[np.clip(rows + down, 0, height - 1)].astype(np.float32)
        for right in range(-reach_px, reach_px + 1):
            moved = near[:, np.clip(np.arange(width) + right, 0, width - 1)]
            low, high = np.minimum(low, moved), np.maximum(high, moved)
    return low, high


def in_runs(marks: NDArray[np.bool_], run_px: int = RUN_PX) -> int:
    """How many places (row, column) begin a run of so many marks."""
    sums = np.cumsum(np.pad(marks, ((0, 0), (1, 0))), axis=1, dtype=np.int32)
    return int(np.count_nonzero(sums[:, run_px:] - sums[:, :-run_px] == run_px))
