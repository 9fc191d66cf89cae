"""The light of a frame, slow and plain: the oracle of `compiled/light.py`. All arithmetic is in integers.

light    (gain, offset, block, first, second, top): a value v at (row, i) becomes ((v x gain[row // block, i] >> first) + offset[i])
         >> second, within 0..top. gain is (row / block, column x channel), offset (column x channel)
line     (gains, offsets, first, second, top): the same for the whole picture, by channel
samples  (5, n): value now, value as used, channel, row, column
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Light = tuple[Array, Array, int, int, int, int]


def correct(values: Array, light: Light) -> Array:
    """The picture (row, column x channel) in the light of the frame that was used."""
    gain, offset, block, first, second, top = light
    own = gain[np.arange(values.shape[0]) // block].astype(np.int64)
    return np.asarray(np.clip((((values.astype(np.int64) * own) >> first) + offset.astype(np.int64)) >> second, 0, top))


def _far(samples: Array, n: int, light: Light, channels: int) -> Array:
    """Each sample's value as used, less its value now in the light of the frame that was used."""
    gain, offset, block, first, second, top = light
    v, y, c, r, x = (samples[k, :n].astype(np.int64) for k in range(5))
    i = x * channels + c
    return np.asarray(y - np.clip(((v * gain[r // block, i] >> first) + offset[i]) >> second, 0, top))


def spread_gain(gains: Array, factors: Array, left: Array, weight: Array, out: Array) -> None:
    """The gain of every value: its channel's, times a factor (in 1/2^14) between those of the two zones whose middles it lies between.

    factors (row / block, zone); a column x takes `weight[x]` / 256 of zone left[x] + 1 and the rest of zone left[x].
    """
    a, z = factors[:, left].astype(np.int64), factors[:, left + 1].astype(np.int64)
    factor = a + ((z - a) * weight >> 8)
    out[:] = (factor[..., None] * gains.astype(np.int64) >> 14).reshape(out.shape)


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


def count_residuals(samples: Array, n: int, light: Light, channels: int, level_shift: int, counts: Array) -> None:
    """How often each |used - corrected| in gray levels, up to 63, occurs in each of 16 gray bins."""
    counts[:] = 0
    residual = np.minimum(np.abs(_far(samples, n, light, channels)) >> level_shift, 63)
    np.add.at(counts, (np.minimum(samples[1, :n] >> (level_shift + 4), 15), residual), 1)


def fit_sums(samples: Array, n: int, light: Light, channels: int, limit: int, sums: Array) -> None:
    """By channel (n, sum x, sum y, sum xx, sum xy) of the samples that the light brings within `limit` of what was used."""
    sums[:] = 0
    near = np.abs(_far(samples, n, light, channels)) <= limit
    x, y, channel = (samples[k, :n][near].astype(np.int64) for k in range(3))
    for k, values in enumerate((np.ones_like(x), x, y, x * x, x * y)):
        np.add.at(sums[:, k], channel, values)


def zone_sums(samples: Array, n: int, light: Light, channels: int, bins: tuple[Array, Array], limit: int, sums: Array) -> None:
    """By zone (n, sum of residuals, sum of used values, sum of squared residuals), of residuals used - corrected within `limit`.

    `bins` holds each row's and each column's zone row and zone column, in order.
    """
    rows, columns = bins
    sums[:] = 0
    far = _far(samples, n, light, channels)
    near = np.abs(far) <= limit
    zone = (rows[samples[3, :n]] * (columns[-1] + 1) + columns[samples[4, :n]])[near]
    for k, values in enumerate((np.ones_like(far), far, samples[1, :n], far * far)):
        np.add.at(sums[:, k], zone, values[near])


def correct_runs(image: Array, light: Light, runs: Array, count: int, channels: int, out: Array) -> None:
    """Write the corrected values of live pixels."""
    whole = correct(image, light)
    for r, start, stop in runs[:count]:
        out[r, start * channels : stop * channels] = whole[r, start * channels : stop * channels]
