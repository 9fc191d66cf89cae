"""What the change map left although it plainly differs: looked for by another way than the map's own, in a sample of rows.

In: a frame as it lies for the map, what the network last used, what is handed over. Out: a share. Keeps nothing. Only runs of RUN_PX pixels
side by side count: an edge that shakes and a speck are narrower.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.records import Image, Mask

ROWS = 32
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
    low, high = around(used, rows, shake_px)
    values = image[rows].astype(np.float32) * light[0] + light[1]
    difference = np.maximum(values - high, low - values)
    apart = (difference if difference.ndim == 2 else difference.max(axis=2)) > levels
    return in_runs(apart & inside & ~live[rows]) / total


def around(picture: Image, rows: NDArray[np.intp], reach_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The least and the greatest value that the picture has within so many pixels of each one in these rows, (row, W[, C]) each."""
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
