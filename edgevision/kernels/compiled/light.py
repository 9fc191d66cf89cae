# ruff: noqa: D103 - each operation is described once, in plain/light.py
"""The light of a frame, compiled: the same operations and the same bits as `plain/light.py`, which documents them."""

import numpy as np

from edgevision.kernels.compiled.jit import kernel

i4 = np.int32


@kernel
def corrected(value, gain, offset, first, second, top):
    v = i4(i4(i4(i4(i4(value) * i4(gain)) >> i4(first)) + i4(offset)) >> i4(second))
    return max(i4(0), min(v, i4(top)))


@kernel
def correct_run(image, gain, offset, first, second, top, out):
    for k in range(image.shape[0]):
        out[k] = corrected(image[k], gain[k], offset[k], first, second, top)


@kernel
def correct_runs(image, light, runs, count, channels, out):
    gain, offset, block, first, second, top = light
    for k in range(count):
        r, lo, hi = runs[k, 0], runs[k, 1] * channels, runs[k, 2] * channels
        correct_run(image[r, lo:hi], gain[r // block, lo:hi], offset[lo:hi], first, second, top, out[r, lo:hi])


@kernel
def _between(a, z, weight, out):
    for x in range(out.shape[0]):
        out[x] = a + ((z - a) * weight[x] >> 8)


@kernel
def _take_three(factors, first, second, third, out):
    for x in range(factors.shape[0]):
        out[3 * x], out[3 * x + 1], out[3 * x + 2] = first * factors[x] >> 14, second * factors[x] >> 14, third * factors[x] >> 14


@kernel
def spread_gain(gains, factors, left, weight, out):
    channels, width = gains.shape[0], left.shape[0]
    row = np.zeros(width, np.int64)
    for b in range(factors.shape[0]):
        start = 0
        while start < width:
            stop = start + 1
            while stop < width and left[stop] == left[start]:
                stop += 1
            a, z = np.int64(factors[b, left[start]]), np.int64(factors[b, left[start] + 1])
            _between(a, z, weight[start:stop], row[start:stop])
            start = stop
        if channels == 3:
            _take_three(row, gains[0], gains[1], gains[2], out[b])
        else:
            for x in range(width):
                for c in range(channels):
                    out[b, x * channels + c] = gains[c] * row[x] >> 14


@kernel
def steepness(used, channels, r, x, i):
    u = i4(used[r, i])
    left = i - channels if x > 0 else i
    right = i + channels if i + channels < used.shape[1] else i
    across = max(abs(i4(used[r, left]) - u), abs(i4(used[r, right]) - u))
    along = max(abs(i4(used[max(r - 1, 0), i]) - u), abs(i4(used[min(r + 1, used.shape[0] - 1), i]) - u))
    return i4(across + along)


@kernel
def gather(image, used, place, depth, channels, start, steps, samples):
    allowed, dead = place
    level_shift, top = depth
    n = dark = bright = seen = 0
    low, high = 2 << level_shift, top - (2 << level_shift)
    for r in range(start[0], image.shape[0], steps[0]):
        for x in range(start[1], image.shape[1] // channels, steps[1]):
            if not allowed[r, x]:
                continue
            for c in range(channels):
                i = x * channels + c
                v, u = i4(image[r, i]), i4(used[r, i])
                seen += 1
                dark += v <= low
                bright += v >= high
                if low < v < high and low < u < high and steepness(used, channels, r, x, i) <= dead[min(u >> level_shift, 255)]:
                    samples[0, n], samples[1, n], samples[2, n], samples[3, n], samples[4, n] = v, u, c, r, x
                    n += 1
    return n, seen, dark, bright


@kernel
def _far(samples, k, light, channels):
    gain, offset, block, first, second, top = light
    i = samples[4, k] * channels + samples[2, k]
    return samples[1, k] - corrected(samples[0, k], gain[samples[3, k] // block, i], offset[i], first, second, top)


@kernel
def count_residuals(samples, n, light, channels, level_shift, counts):
    counts[:] = 0
    for k in range(n):
        counts[min(samples[1, k] >> (level_shift + 4), 15), min(abs(_far(samples, k, light, channels)) >> level_shift, 63)] += 1


@kernel
def fit_sums(samples, n, light, channels, limit, sums):
    sums[:] = 0
    for k in range(n):
        if abs(_far(samples, k, light, channels)) <= limit:
            x, y, c = np.int64(samples[0, k]), np.int64(samples[1, k]), samples[2, k]
            sums[c, 0] += 1
            sums[c, 1] += x
            sums[c, 2] += y
            sums[c, 3] += x * x
            sums[c, 4] += x * y


@kernel
def zone_sums(samples, n, light, channels, bins, limit, sums):
    rows, columns = bins
    sums[:] = 0
    for k in range(n):
        far = np.int64(_far(samples, k, light, channels))
        if abs(far) <= limit:
            zone = rows[samples[3, k]] * (columns[-1] + 1) + columns[samples[4, k]]
            sums[zone, 0] += 1
            sums[zone, 1] += far
            sums[zone, 2] += samples[1, k]
            sums[zone, 3] += far * far
