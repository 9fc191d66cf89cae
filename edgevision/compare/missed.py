"""What the change map left although it plainly differs: looked for by another way than the map's own, in a sample of rows.

In: a frame as it lies for the map, what the network last used, what is handed over. Out: a share. Keeps nothing. Only runs of RUN_PX pixels
side by side count, in green: a speck is narrower.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.records import Image, Mask

ROWS = 24
RUN_PX = 8


def missed_share(
    frame: tuple[Image, Image],
    light: tuple[float, float],
    masks: tuple[NDArray[np.uint8], Mask],
    limits: tuple[float, int],
    random: np.random.Generator,
) -> float:
    """The share of the pixels that count, in some rows, where both pictures lie further apart than they may, in runs, and are not live.

    `limits` are (levels, pixels of shake that the map forgives): a value must lie so many levels beyond all that was used so near to it.

    `frame` is (the picture, what was used), (H, W[, C]) each; `light` the gain and offset that bring the first to the second; `masks` are
    (what counts, what is live), (H, W) each.
    """
    (image, used), (allowed, live) = frame, masks
    height = image.shape[0]
    count = min(ROWS, height)
    rows = ((np.arange(count) + random.random(count)) * (height / count)).astype(np.intp)
    inside = allowed[rows] > 0
    total = int(np.count_nonzero(inside))
    if total == 0:
        return 0.0
    levels, shake_px = limits
    seen, known = (part if part.ndim == 2 else part[:, :, part.shape[2] // 2] for part in (image, used))
    marks = (apart(seen[rows], known[rows], light) > levels) & inside & ~live[rows]
    if in_runs(marks) == 0:
        return 0.0
    if shake_px > 0:
        low, high = around(known, rows, shake_px)
        values = seen[rows].astype(np.float32) * light[0] + light[1]
        marks &= np.maximum(values - high, low - values) > levels
    return in_runs(marks) / total


def apart(seen: Image, known: Image, light: tuple[float, float]) -> NDArray[Any]:
    """How far apart two pictures (row, W) are, the first brought to the second's light."""
    if seen.dtype == np.uint8:
        table = np.clip(np.rint(np.arange(256) * light[0] + light[1]), 0, 255).astype(np.uint8)
        return np.asarray(cv2.absdiff(table[seen], known))
    return np.asarray(np.abs(seen.astype(np.float32) * light[0] + light[1] - known))


def around(picture: Image, rows: NDArray[np.intp], reach_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The least and the greatest value that the picture has within so many pixels of each one in these rows, (row, W) each."""
    height, width = picture.shape[:2]
    low = high = picture[rows].astype(np.float32)
    for down in range(-reach_px, reach_px + 1):
        near = picture[np.clip(rows + down, 0, height - 1)].astype(np.float32)
        for right in range(-reach_px, reach_px + 1):
            moved = near[:, np.clip(np.arange(width) + right, 0, width - 1)]
            low, high = np.minimum(low, moved), np.maximum(high, moved)
    return low, high


def in_runs(marks: NDArray[np.bool_]) -> int:
    """How many places (row, column) begin a run of RUN_PX marks."""
    sums = np.cumsum(np.pad(marks, ((0, 0), (1, 0))), axis=1, dtype=np.int32)
    return int(np.count_nonzero(sums[:, RUN_PX:] - sums[:, :-RUN_PX] == RUN_PX))
