"""A shaken frame, slow and plain: the oracle of `compiled/steady.py`. Frames are (row, column x channel); all arithmetic is in integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.plain.light import Light, steepness

Array = NDArray[Any]


def choose_points(used: Array, allowed: Array, channels: int, rows: tuple[int, int], margin: int, least: int, points: Array) -> None:
    """In each of len(points) cells of these rows the steepest value (row, column x channel) of the middle channel; row -1 where none is.

    Every second pixel of every second row is looked at; of equal ones the first is taken; steeper than `least`, `margin` from the border.
    """
    height, width = allowed.shape
    steep = steepness(used, channels)[:, channels // 2 :: channels]
    for k in range(len(points)):
        points[k, 0] = -1
        best = least
        for r in range(max(rows[0], margin), min(rows[1], height - margin), 2):
            for x in range(max(k * width // len(points), margin), min((k + 1) * width // len(points), width - margin), 2):
                if steep[r, x] > best and allowed[r, x]:
                    best = int(steep[r, x])
                    points[k] = r, x * channels + channels // 2


def shift_costs(image: Array, used: Array, light: Light, points: Array, channels: int, most: int, costs: Array) -> int:
    """How much the points and their four neighbours differ, each by at most `most`, if the frame is read `dy - reach`, `dx - reach` further
    on; returns how many points there are. With both sides of an edge, no direction is preferred.

    costs (dy, dx) has 2 reach + 1 of each.
    """
    gain, offset, block, first, second, top = light
    reach = len(costs) // 2
    costs[:] = 0
    known = [(int(r), int(i)) for r, i in points if r >= 0]
    for r, i in ((r + y, i + x) for r, i in known for y, x in ((0, 0), (0, -channels), (0, channels), (-1, 0), (1, 0))):
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                raw = int(image[r + dy, i + dx * channels])
                value = min(max(((raw * int(gain[r // block, i]) >> first) + int(offset[i])) >> second, 0), top)
                costs[dy + reach, dx + reach] += min(abs(value - int(used[r, i])), most)
    return len(known)


def move_back(image: Array, channels: int, shift: tuple[int, int], out: Array) -> None:
    """Read the frame `shift` (x, y) eighths of a pixel further on, between pixels bilinearly; its border goes on outside."""
    height, width = image.shape[0], image.shape[1] // channels
    picture = image.reshape(height, width, channels).astype(np.int64)
    (dx, fx), (dy, fy) = divmod(shift[0], 8), divmod(shift[1], 8)
    first, last = max(0, -dx), min(width, width - dx - (fx > 0)) - 1
    columns = np.clip(np.arange(width), first, last) + dx
    top, bottom = (np.clip(np.arange(height) + dy + k, 0, height - 1) for k in (0, int(fy > 0)))
    right = columns + (fx > 0)
    above = picture[top][:, columns] * (8 - fx) + picture[top][:, right] * fx
    below = picture[bottom][:, columns] * (8 - fx) + picture[bottom][:, right] * fx
    out[:] = ((above * (8 - fy) + below * fy + 32) >> 6).reshape(out.shape)
