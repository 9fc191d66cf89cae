"""What white says of the light where hardly anything else does: a picture after a threshold is black and white. In: samples. Out: more.

White that is saturated says nothing as a rule: it may have been any brighter. But when a part is compared with a taught picture and its
white has come down, lamp or exposure has: those places are all that can tell by how much. Keeps nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.records import Image

DIMMED = 0.9  # of the taught picture's share of white: with less of it white, a frame's white has come down


def with_white(
    frame: tuple[Image, Image],
    allowed: NDArray[np.uint8],
    depth: tuple[int, int],
    grid: tuple[tuple[int, int], tuple[int, int]],
    into: NDArray[np.int32],
    n: int,
) -> int:
    """Add samples (value now, as taught, channel, row, column) to the `n` in `into` where the taught picture is white all around.

    `frame` is now and as taught, each (H, W, C); `depth` is the level's shift and the greatest value, `grid` the first row and column and
    the steps. Returns how many there are now. What is black now tells nothing.
    """
    now, taught = frame
    height, width = taught.shape[:2]
    (first, left), (down, right) = grid
    rows, columns = np.arange(first, height, down), np.arange(left, width, right)
    low, high = 2 << depth[0], depth[1] - (2 << depth[0])
    values = now[np.ix_(rows, columns)]
    chosen = (values > low) & (allowed[np.ix_(rows, columns)] != 0)[..., None]
    for dy, dx in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
        chosen &= taught[np.ix_(np.clip(rows + dy, 0, height - 1), np.clip(columns + dx, 0, width - 1))] >= high
    r, x, c = np.nonzero(chosen)
    count = int(min(len(r), into.shape[1] - n))
    r, x, c = r[:count], x[:count], c[:count]
    into[:, n : n + count] = values[r, x, c], taught[rows[r], columns[x], c], c, rows[r], columns[x]
    return n + count
