"""The one pass over a frame, slow and plain: the oracle of `compiled/find.py`. All arithmetic is in integers.

    limits   (extra, cut, faint_q8, least): what is added to every tolerance; the tolerance beyond which a value is no part of a window,
             because an edge shakes there; how many tolerances, in 1/256, the sum over a window must exceed to be faintly changed (0:
             never); the least tolerance that counts there
    span     (first row, row after the last, first value of a row, value after the last): the box that needs a look
    space    (5, values of a row + 512): working space
    points   packed pixels of `weak`, row << 16 | column; `weak` has a border of one pixel, so both are one more than in the frame

A window is four rows, from an even one on, of four pixels, from any one on. It may hang over the border, where nothing differs.
What has moved by more than twice its tolerance is no part of a window: it is found by itself, and would mark all that surrounds it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.plain.light import Light, correct

Array = NDArray[Any]
Span = tuple[int, int, int, int]

WINDOW_PX = 4


def find_weak(
    image: Array,
    used: Array,
    tolerance: Array,
    light: Light,
    limits: tuple[int, int, int, int],
    channels: int,
    span: Span,
    space: Array,
    weak: Array,
    points: Array,
) -> int:
    """Mark in `weak` the pixels of which a value is further from `used` than its tolerance, and those of a faintly changed window.

    Lists them in `points`, in no order that matters; returns how many. A window's tolerance is that of the middle channel of its third
    pixel in its second row.
    """
    extra, cut, faint_q8, least = limits
    height, width = image.shape
    far = correct(image, light) - used.astype(np.int64)
    inside = np.zeros(image.shape, np.bool_)
    inside[span[0] : span[1], span[2] : span[3]] = True
    found = (np.abs(far) > tolerance.astype(np.int64) + extra) & inside
    marked = found.reshape(height, -1, channels).any(axis=2)
    if faint_q8:
        flat = np.where((tolerance <= cut) & (np.abs(far) <= 2 * tolerance.astype(np.int64)) & inside, far, 0)
        tall, half = height + height % 2 + 2, (WINDOW_PX // 2) * channels
        room = np.zeros((tall, width + 2 * half), np.int64)
        room[2 : 2 + height, half : half + width] = flat
        four = np.sum([room[k : tall - 3 + k] for k in range(4)], axis=0)[::2]  # from rows -2, 0, 2... on
        sums = np.sum([four[:, k : k + width : channels] for k in range(WINDOW_PX * channels)], axis=0)
        middle = np.maximum(2 * np.arange(len(four)) - 1, 0)
        limit = tolerance[middle, channels // 2 :: channels].astype(np.int64) * faint_q8 >> 8
        sums[[not span[0] // 2 <= k <= (span[1] - 1) // 2 for k in range(len(four))]] = 0
        sums[:, : span[2] // channels], sums[:, span[3] // channels :] = 0, 0
        for k, x in np.argwhere((np.abs(sums) > limit) & (np.abs(sums) > least * faint_q8 >> 8)):
            marked[max(2 * k - 2, 0) : 2 * k + 2, max(x - 2, 0) : x + 2] = True
    rows, columns = np.nonzero(marked)
    weak[1:-1, 1:-1] |= marked
    points[: len(rows)] = ((rows + 1) << 16) | (columns + 1)
    return len(rows)


def count_faint(
    image: Array,
    used: Array,
    tolerance: Array,
    light: Light,
    cut: int,
    channels: int,
    start: tuple[int, int],
    step: int,
    counts: Array,
) -> None:
    """How often each |sum over a window| in eighths of the tolerance at its middle occurs, on a grid of windows that hold no edge."""
    counts[:] = 0
    far = correct(image, light) - used.astype(np.int64)
    for row in range(start[0], image.shape[0] - 4, step):
        r = row - row % 2
        for x in range(start[1], image.shape[1] // channels - 4, step):
            window = np.s_[r : r + 4, x * channels : (x + 4) * channels]
            if (tolerance[window] <= cut).all():
                limit = max(int(tolerance[r + 1, (x + 2) * channels + channels // 2]), 1)
                counts[min(abs(int(far[window].sum())) * 8 // limit, len(counts) - 1)] += 1
