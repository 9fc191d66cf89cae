"""The light of a frame, slow and plain: the oracle of `compiled/light.py`. All arithmetic is in integers.

light    (gain, offset, block, first, second, top): a value v at (row, i) becomes ((v x gain[row // block, i] >> first) + offset[i])
         >> second, within 0..top. gain is (row / block, column x channel), offset (column x channel)
samples  (5, n): value now, value as used, channel, row, column
view     (gains, offsets, factors, left, weight, block, channels, first, second, top): the same light for samples alone: gains and offsets
         by channel, and what `spread_gain` takes; without factors (0 rows) the gain is the same everywhere
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Light = tuple[Array, Array, int, int, int, int]
SampleLight = tuple[Array, Array, Array, Array, Array, int, int, int, int, int]


def correct(values: Array, light: Light) -> Array:
    """The picture (row, column x channel) in the light of the frame that was used."""
    gain, offset, block, first, second, top = light
    own = gain[np.arange(values.shape[0]) // block].astype(np.int64)
    return np.asarray(np.clip((((values.astype(np.int64) * own) >> first) + offset.astype(np.int64)) >> second, 0, top))


def spread_gain(line: Array, factors: Array, left: Array, weight: Array, span: tuple[int, int, int, int], out: Array) -> None:
    """The gain of every value: that of its line, times a factor (in 1/2^14) between those of the two zones whose middles it lies between.

    factors (row / block, zone); value i of a row takes `weight[i]` / 256 of zone left[i] + 1 and the rest of zone left[i]. Only
    out[span[0] : span[1], span[2] : span[3]] is written.
    """
    rows, values = slice(span[0], span[1]), slice(span[2], span[3])
    a, z = (factors[rows][:, left[values] + k].astype(np.int64) for k in (0, 1))
    factor = a + ((z - a) * weight[values] >> 8)
    out[rows, values] = line[values].astype(np.int64) * factor >> 14


def steepness(used: Array, channels: int) -> Array:
    """Largest step to a neighbour of the same channel across, plus the largest along; the picture's edge counts as its own neighbour."""
    picture = used.astype(np.int64).reshape(used.shape[0], -1, channels)
    edge = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = np.maximum(abs(edge[1:-1, :-2] - picture), abs(edge[1:-1, 2:] - picture))
    along = np.maximum(abs(edge[:-2, 1:-1] - picture), abs(edge[2:, 1:-1] - picture))
    return np.asarray((across + along).reshape(used.shape))


def gather(
    image: Array,
    used: Array,
    place: tuple[Array, Array],
    depth: tuple[int, int],
    channels: int,
    start: tuple[int, int],
    steps: tuple[int, int],
    samples: Array,
) -> tuple[int, int, int, int]:
    """A grid of allowed values, where flat, not dark, not bright; how many, and of how many seen how many were dark, bright."""
    allowed, dead = place
    level_shift, top = depth
    low, high = 2 << level_shift, top - (2 << level_shift)
    steep = steepness(used, channels)
    n = seen = dark = bright = 0
    for r in range(start[0], image.shape[0], steps[0]):
        for x in range(start[1], image.shape[1] // channels, steps[1]):
            for c in range(channels) if allowed[r, x] else ():
                i = x * channels + c
                v, u = int(image[r, i]), int(used[r, i])
                seen, dark, bright = seen + 1, dark + (v <= low), bright + (v >= high)
                if low < v < high and low < u < high and steep[r, i] <= dead[min(u >> level_shift, 255)]:
                    samples[:, n] = v, u, c, r, x
                    n += 1
    return n, seen, dark, bright


def judge_samples(samples: Array, n: int, view: SampleLight, level_shift: int, far: Array, counts: Array) -> None:
    """Each sample's value as used less its value now in this light, and how often each |of these| in levels occurs in 16 gray bins.

    The light is the one that `spread_gain` writes out for every value.
    """
    gains, offsets, factors, left, weight, block, channels, first, second, top = view
    v, y, c, r, x = (samples[k, :n].astype(np.int64) for k in range(5))
    gain = gains[c].astype(np.int64)
    if len(factors):
        i, own = x * channels + c, factors[r // block]
        every = np.arange(n)
        a, z = own[every, left[i]].astype(np.int64), own[every, left[i] + 1].astype(np.int64)
        gain = gain * (a + ((z - a) * weight[i] >> 8)) >> 14
    far[:n] = y - np.clip(((v * gain >> first) + offsets[c]) >> second, 0, top)
    counts[:] = 0
    np.add.at(counts, (np.minimum(y >> (level_shift + 4), 15), np.minimum(np.abs(far[:n]) >> level_shift, 63)), 1)


def fit_sums(samples: Array, n: int, far: Array, limit: int, sums: Array) -> None:
    """By channel (n, sum x, sum y, sum xx, sum xy) of the samples that are within `limit` of what was used."""
    sums[:] = 0
    near = np.abs(far[:n]) <= limit
    x, y, channel = (samples[k, :n][near].astype(np.int64) for k in range(3))
    for k, values in enumerate((np.ones_like(x), x, y, x * x, x * y)):
        np.add.at(sums[:, k], channel, values)


def zone_sums(samples: Array, n: int, far: Array, bins: tuple[Array, Array], limit: int, sums: Array) -> None:
    """By zone (n, sum of residuals, sum of used values, sum of squared residuals), of residuals `far` within `limit`.

    `bins` holds each row's and each column's zone row and zone column, in order.
    """
    rows, columns = bins
    sums[:] = 0
    near = np.abs(far[:n]) <= limit
    zone = (rows[samples[3, :n]] * (columns[-1] + 1) + columns[samples[4, :n]])[near]
    left = far[:n][near].astype(np.int64)
    for k, values in enumerate((np.ones_like(left), left, samples[1, :n][near], left * left)):
        np.add.at(sums[:, k], zone, values)


def correct_runs(image: Array, light: Light, runs: Array, count: int, channels: int, out: Array) -> None:
    """Write the corrected values of live pixels."""
    whole = correct(image, light)
    for r, start, stop in runs[:count]:
        out[r, start * channels : stop * channels] = whole[r, start * channels : stop * channels]
