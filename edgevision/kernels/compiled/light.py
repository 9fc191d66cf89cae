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
def _spread_run(line, weight, a, z, out):
    for i in range(out.shape[0]):
        out[i] = i4(i4(line[i]) * i4(a + i4(i4(i4(z - a) * i4(weight[i])) >> 8))) >> 14


@kernel
def spread_gain(line, factors, left, weight, span, out):
    start = span[2]
    while start < span[3]:
        zone, stop = left[start], start + 1
        while stop < span[3] and left[stop] == zone:
            stop += 1
        for b in range(span[0], span[1]):
            _spread_run(line[start:stop], weight[start:stop], i4(factors[b, zone]), i4(factors[b, zone + 1]), out[b, start:stop])
        start = stop


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
def _sample_far(value, used, gain, offset, first, second, top):
    return i4(i4(used) - corrected(value, gain, offset, first, second, top))


@kernel
def judge_samples(samples, n, view, level_shift, far, counts):
    gains, offsets, factors, left, weight, block, channels, first, second, top = view
    if factors.shape[0]:
        for k in range(n):
            c = samples[2, k]
            i, b = samples[4, k] * channels + c, samples[3, k] // block
            a, z = factors[b, left[i]], factors[b, left[i] + 1]
            gain = i4(i4(gains[c]) * i4(a + i4(i4(i4(z - a) * i4(weight[i])) >> 8))) >> 14
            far[k] = _sample_far(samples[0, k], samples[1, k], gain, offsets[c], first, second, top)
    else:
        for k in range(n):
            c = samples[2, k]
            far[k] = _sample_far(samples[0, k], samples[1, k], gains[c], offsets[c], first, second, top)
    counts[:] = 0
    for k in range(n):
        counts[min(samples[1, k] >> (level_shift + 4), 15), min(abs(far[k]) >> level_shift, 63)] += 1


@kernel
def fit_sums(samples, n, far, limit, sums):
    sums[:] = 0
    for k in range(n):
        if abs(far[k]) <= limit:
            x, y, c = np.int64(samples[0, k]), np.int64(samples[1, k]), samples[2, k]
            sums[c, 0] += 1
            sums[c, 1] += x
            sums[c, 2] += y
            sums[c, 3] += x * x
            sums[c, 4] += x * y


@kernel
def zone_sums(samples, n, far, bins, limit, sums):
    rows, columns = bins
    sums[:] = 0
    for k in range(n):
        off = np.int64(far[k])
        if abs(off) <= limit:
            zone = rows[samples[3, k]] * (columns[-1] + 1) + columns[samples[4, k]]
            sums[zone, 0] += 1
            sums[zone, 1] += off
            sums[zone, 2] += samples[1, k]
            sums[zone, 3] += off * off
