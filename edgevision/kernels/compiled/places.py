# ruff: noqa: D103 - each operation is described once, in plain/places.py
"""Places that lie off by their own ways, compiled: the same operations and the same bits as `plain/places.py`, which documents them."""

import numpy as np

from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.light import corrected

WIDE = 16
OWN = 2
i4 = np.int32


@kernel
def _see(image, r, i, channels, gain, offset, shape, reach, seen):
    first, second, top = shape
    start = i - (reach + 1) * channels
    for k in range(2 * reach + 3):
        row = image[r + k - reach - 1]
        if channels == 1:  # written out, so that it becomes vector code
            for n in range(WIDE + 2):
                seen[k, n] = corrected(row[start + n], gain, offset, first, second, top)
        else:
            for n in range(WIDE + 2):
                seen[k, n] = corrected(row[start + n * channels], gain, offset, first, second, top)


@kernel
def _add(seen, here, left, right, above, below, most, costs):
    for k in range(costs.shape[0]):
        for n in range(WIDE):
            cost = min(abs(i4(seen[k + 1, n + 1] - here)), most)
            cost += min(abs(i4(seen[k + 1, n] - left)), most) + min(abs(i4(seen[k + 1, n + 2] - right)), most)
            cost += min(abs(i4(seen[k, n + 1] - above)), most) + min(abs(i4(seen[k + 2, n + 1] - below)), most)
            costs[k, n] += i4(cost)


@kernel
def place_costs(image, used, light, points, channels, most, costs):
    gain, offset, block, first, second, top = light
    shape, reach = (i4(first), i4(second), i4(top)), costs.shape[2] // 2
    down, across = points.shape[0] // costs.shape[0], points.shape[1] // costs.shape[1]
    seen = np.empty((2 * reach + 3, WIDE + 2), np.int32)
    costs[:] = 0
    for row in range(points.shape[0]):
        for column in range(points.shape[1]):
            r, i = points[row, column, 0], points[row, column, 1]
            if r < 0:
                continue
            _see(image, r, i, channels, i4(gain[r // block, i]), i4(offset[i]), shape, reach, seen)
            left, right = i4(used[r, i - channels]), i4(used[r, i + channels])
            above, below = i4(used[r - 1, i]), i4(used[r + 1, i])
            _add(seen, i4(used[r, i]), left, right, above, below, i4(most), costs[row // down, column // across])
    costs[:, :, :, 2 * reach + 1 :] = 0


@kernel
def _best(near, reach):
    best, down, right = near[reach, reach], 0, 0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            cost = near[dy + reach, dx + reach]
            if cost > best:
                continue
            if cost < best or abs(dy) + abs(dx) < abs(down) + abs(right):  # of equal ones the first
                best, down, right = cost, dy, dx
    return best, down, right


@kernel
def choose_shifts(costs, better_q8, shifts):
    down, across, side = costs.shape[0], costs.shape[1], costs.shape[2]
    near = np.empty((side, WIDE), np.int32)
    count = 0
    for row in range(down):
        for column in range(across):
            for k in range(side):
                for n in range(WIDE):
                    near[k, n] = i4((OWN - 1) * costs[row, column, k, n])
            for y in range(max(row - 1, 0), min(row + 2, down)):
                for x in range(max(column - 1, 0), min(column + 2, across)):
                    for k in range(side):
                        for n in range(WIDE):
                            near[k, n] += costs[y, x, k, n]
            best, dy, dx = _best(near, side // 2)
            is_better = np.int64(best) * 256 < np.int64(better_q8) * np.int64(near[side // 2, side // 2])
            shifts[row, column, 0], shifts[row, column, 1] = (dy, dx) if is_better else (0, 0)
            count += 1 if is_better and (dy != 0 or dx != 0) else 0
    return count


@kernel
def _between(tile, size, zones, length):
    at = (2 * tile + 1) * size * zones * 256 // (2 * length) - 128
    at = min(max(at, 0), (zones - 1) * 256)
    return at >> 8, at & 255


@kernel
def spread_shifts(shifts, shape, size, tiles):
    down, across = shifts.shape[0], shifts.shape[1]
    for row in range(tiles.shape[0]):
        y, fy = _between(row, size, down, shape[0])
        below = min(y + 1, down - 1)
        for column in range(tiles.shape[1]):
            x, fx = _between(column, size, across, shape[1])
            right = min(x + 1, across - 1)
            for k in range(2):
                above = shifts[y, x, k] * (256 - fx) + shifts[y, right, k] * fx
                under = shifts[below, x, k] * (256 - fx) + shifts[below, right, k] * fx
                tiles[row, column, k] = (above * (256 - fy) + under * fy + (1 << 15)) >> 16


@kernel
def _move_run(row, width, channels, dx, x, stop, out):
    lo, hi = min(max(x, -dx), stop), max(min(stop, width - dx), x)
    there, here = row[(lo + dx) * channels : (hi + dx) * channels], out[lo * channels : hi * channels]
    for i in range(here.shape[0]):
        here[i] = there[i]
    for i in range(x * channels, lo * channels):
        out[i] = row[i % channels]
    for i in range(hi * channels, stop * channels):
        out[i] = row[(width - 1) * channels + i % channels]


@kernel
def move_places(image, channels, size, tiles, out):
    height, width = image.shape[0], image.shape[1] // channels
    for r in range(height):
        mine = tiles[r // size]
        t = 0
        while t < mine.shape[0]:
            dy, dx, first = mine[t, 0], mine[t, 1], t
            while t < mine.shape[0] and mine[t, 0] == dy and mine[t, 1] == dx:
                t += 1
            row = image[min(max(r + dy, 0), height - 1)]
            _move_run(row, width, channels, dx, first * size, min(t * size, width), out[r])
