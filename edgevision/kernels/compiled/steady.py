# ruff: noqa: D103 - each operation is described once, in plain/steady.py
"""A shaken frame, compiled: the same operations and the same bits as `plain/steady.py`, which documents them."""

import numpy as np

from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.light import corrected, steepness

i4 = np.int32


@kernel
def choose_points(used, allowed, channels, rows, margin, least, points):
    width = allowed.shape[1]
    cells = points.shape[0]
    for k in range(cells):
        best = i4(least)
        points[k, 0] = -1
        for r in range(max(rows[0], margin), min(rows[1], allowed.shape[0] - margin), 2):
            for x in range(max(k * width // cells, margin), min((k + 1) * width // cells, width - margin), 2):
                i = x * channels + channels // 2
                steep = steepness(used, channels, r, x, i)
                if steep > best and allowed[r, x]:
                    best = steep
                    points[k, 0], points[k, 1] = r, i


@kernel
def shift_costs(image, used, light, points, channels, most, costs):
    gain, offset, block, first, second, top = light
    reach = costs.shape[0] // 2
    costs[:] = 0
    n = 0
    for k in range(points.shape[0]):
        r, i = points[k, 0], points[k, 1]
        if r < 0:
            continue
        n += 1
        for y, x in ((0, 0), (0, -channels), (0, channels), (-1, 0), (1, 0)):
            before = i4(used[r + y, i + x])
            own, add = gain[(r + y) // block, i + x], offset[i + x]
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    value = corrected(image[r + y + dy, i + x + dx * channels], own, add, first, second, top)
                    costs[dy + reach, dx + reach] += min(abs(value - before), i4(most))
    return n


@kernel
def _move_row(a, b, c, d, fx, fy, out):
    gx, gy = i4(8 - fx), i4(8 - fy)
    for i in range(out.shape[0]):
        above = i4(i4(a[i]) * gx) + i4(i4(b[i]) * i4(fx))
        below = i4(i4(c[i]) * gx) + i4(i4(d[i]) * i4(fx))
        out[i] = i4(i4(above * gy) + i4(below * i4(fy)) + i4(32)) >> 6


@kernel
def move_back(image, channels, shift, out):
    height, width = image.shape
    x8, y8 = shift
    dx, dy = x8 >> 3, y8 >> 3
    fx, fy = x8 & 7, y8 & 7
    lo = max(0, -dx) * channels
    hi = min(width, width - (dx + (1 if fx else 0)) * channels)
    for r in range(height):
        top, bottom = max(0, min(r + dy, height - 1)), max(0, min(r + dy + (1 if fy else 0), height - 1))
        a, b = lo + dx * channels, hi + dx * channels
        step = channels if fx else 0
        one, two = image[top], image[bottom]
        _move_row(one[a:b], one[a + step : b + step], two[a:b], two[a + step : b + step], fx, fy, out[r, lo:hi])
        for i in range(lo):
            out[r, i] = out[r, lo + i % channels]
        for i in range(hi, width):
            out[r, i] = out[r, hi - channels + i % channels]
