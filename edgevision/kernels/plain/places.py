"""A frame each place of which lies off by its own way, slow and plain: the oracle of `compiled/places.py`.

Frames are (row, column x channel); all arithmetic is in integers.

    points   (cells down, cells across, 2): a point (row, column x channel) in each cell, row -1 where it has none
    costs    (zones down, zones across, 2 reach + 1, WIDE): by zone of cells and by shift (down, right) from -reach on; columns beyond
             2 reach are 0
    shifts   (zones down, zones across, 2): how far (down, right) what is looked for is seen further on
    tiles    (tiles down, tiles across, 2): the same by tile of `size` pixels a side
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.plain.light import Light

Array = NDArray[Any]

WIDE = 16  # columns of the costs: what a vector holds
OWN = 2  # so much more a zone's own points count than its neighbours'


def place_costs(image: Array, used: Array, light: Light, points: Array, channels: int, most: int, costs: Array) -> None:
    """How much each zone's points and their four neighbours, in the point's own light, differ, each by at most `most`, if the frame is read
    so far further on."""
    gain, offset, block, first, second, top = light
    reach = costs.shape[2] // 2
    costs[:] = 0
    down, across = points.shape[0] // costs.shape[0], points.shape[1] // costs.shape[1]
    for (row, column), r in np.ndenumerate(points[..., 0]):
        own, i = costs[row // down, column // across], int(points[row, column, 1])
        lit = int(gain[r // block, i]), int(offset[i])
        for y, x in ((0, 0), (0, -channels), (0, channels), (-1, 0), (1, 0)) if r >= 0 else ():
            here, at = int(r) + y, i + x
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    raw = int(image[here + dy, at + dx * channels])
                    value = min(max(((raw * lit[0] >> first) + lit[1]) >> second, 0), top)
                    own[dy + reach, dx + reach] += min(abs(value - int(used[here, at])), most)


def choose_shifts(costs: Array, better_q8: int, shifts: Array) -> int:
    """By zone the cheapest shift, its neighbours' costs added and its own once more; returns how many zones have one.

    Of equally cheap ones the shortest, of those the first. None where it costs better_q8 / 256 of none, or more.
    """
    zones, reach = costs.shape[:2], costs.shape[2] // 2
    ways = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    for row, column in np.ndindex(*zones):
        near = costs[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].sum(axis=(0, 1)) + (OWN - 1) * costs[row, column]
        at = {way: int(near[way[0] + reach, way[1] + reach]) for way in ways}
        best = min(ways, key=lambda way: (at[way], abs(way[0]) + abs(way[1])))
        shifts[row, column] = best if at[best] * 256 < better_q8 * at[0, 0] else (0, 0)
    return int(shifts.any(axis=2).sum())


def spread_shifts(shifts: Array, shape: tuple[int, int], size: int, tiles: Array) -> None:
    """The shift at each tile's middle, between those of the zones' middles, to the nearest whole pixel; beyond them as the last one."""
    (down, across), (height, width) = shifts.shape[:2], shape
    for row, column in np.ndindex(*tiles.shape[:2]):
        y, fy = _between(row, size, down, height)
        x, fx = _between(column, size, across, width)
        below, right = min(y + 1, down - 1), min(x + 1, across - 1)
        above = shifts[y, x] * (256 - fx) + shifts[y, right] * fx
        under = shifts[below, x] * (256 - fx) + shifts[below, right] * fx
        tiles[row, column] = (above * (256 - fy) + under * fy + (1 << 15)) >> 16


def _between(tile: int, size: int, zones: int, length: int) -> tuple[int, int]:
    """The zone whose middle lies before that of a tile, and how far it is on to the next one, in 1/256."""
    at = (2 * tile + 1) * size * zones * 256 // (2 * length) - 128
    return divmod(min(max(at, 0), (zones - 1) * 256), 256)


def move_places(image: Array, channels: int, size: int, tiles: Array, out: Array) -> None:
    """Read each tile of the frame so far further on; its border goes on outside."""
    height, width = image.shape[0], image.shape[1] // channels
    picture, moved = image.reshape(height, width, channels), out.reshape(height, width, channels)
    for r, x in np.ndindex(height, width):
        dy, dx = tiles[r // size, x // size]
        moved[r, x] = picture[min(max(r + dy, 0), height - 1), min(max(x + dx, 0), width - 1)]
